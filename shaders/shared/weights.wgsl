// Weights in the planar GPU formats of src/quant.rs, in blocks of 32 along a row.
// The kernel declares `codes` (WeightCodes) and `scales` and indexes blocks over the whole tensor.
// `block_quad(block, i)` gives weights 4i..4i+3 of a block as f32, i in 0..8.

#if weights_q4
const UNITS: u32 = 1u; // vec4<u32> a block: 32 nibbles

fn nibbles(word: u32, shift: u32) -> vec4<f32> {
    return vec4<f32>((vec4<u32>(word >> shift) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u));
}
// Codes 0..15, before scale and minimum.
fn unit_codes_lo(unit: vec4<u32>, i: u32) -> vec4<f32> {
    return nibbles(unit[i >> 1u], (i & 1u) << 4u);
}
fn block_codes(block: u32, i: u32) -> vec4<f32> {
    return unit_codes_lo(codes[block], i);
}
fn block_scale(block: u32) -> vec2<f32> {
    return unpack2x16float(scales[block]);
}
fn block_quad(block: u32, i: u32) -> vec4<f32> {
    let scale = block_scale(block);
    return fma(block_codes(block, i), vec4<f32>(scale.x), vec4<f32>(scale.y));
}
#endif
#if weights_q8
const UNITS: u32 = 2u; // vec4<u32> a block: 32 bytes

fn block_codes(block: u32, i: u32) -> vec4<f32> {
    let word = codes[2u * block + (i >> 2u)][i & 3u];
    return vec4<f32>((vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));
}
fn block_scale(block: u32) -> vec2<f32> {
    return unpack2x16float(scales[block]);
}
fn block_quad(block: u32, i: u32) -> vec4<f32> {
    let scale = block_scale(block);
    return fma(block_codes(block, i), vec4<f32>(scale.x), vec4<f32>(scale.y));
}
#endif
#if weights_f16
const UNITS: u32 = 4u; // vec4<u32> a block: 32 halves

fn block_codes(block: u32, i: u32) -> vec4<f32> {
    let unit = codes[4u * block + (i >> 1u)];
    let at = (i & 1u) << 1u;
    return vec4<f32>(unpack2x16float(unit[at]), unpack2x16float(unit[at + 1u]));
}
// No scale: the "codes" are the weights.
fn block_scale(block: u32) -> vec2<f32> {
    return vec2<f32>(1.0, 0.0);
}
fn block_quad(block: u32, i: u32) -> vec4<f32> {
    return block_codes(block, i);
}
#endif
#if weights_f32
const UNITS: u32 = 8u; // vec4<u32> a block: 32 floats

fn block_quad(block: u32, i: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(codes[8u * block + i]);
}
#endif
