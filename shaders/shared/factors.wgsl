// An adapter's factors, a quad at a time. Layout and twin: kernels/lora.rs, `Factors`.
#if lora_f16
alias FactorQuad = vec2<u32>;
// Halves are kept 1024 times as large, so that none is subnormal: those a device may read as zero.
const FACTOR_UNIT: f32 = 0.0009765625;

fn factors(quad: FactorQuad) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(quad.x), unpack2x16float(quad.y));
}
#else
alias FactorQuad = vec4<f32>;
const FACTOR_UNIT: f32 = 1.0;

fn factors(quad: FactorQuad) -> vec4<f32> {
    return quad;
}
#endif
