// What the matrix products share at their head: parameters and bindings. With a side path two more of the
// latter stand among them. Layout: kernels/matvec.rs and kernels/lora.rs.
struct Params {
    rows: u32, // values written a token
    blocks: u32, // of 32 columns
#if lora
    quads: u32, // R / 4
    stride: u32, // quads of a token in lora_t
    second: u32, // first row of the second fused tensor, then of the third
    third: u32,
    second_at: u32, // where its part of a token begins in lora_t, in quads
    third_at: u32,
#else
    pad0: u32,
    pad1: u32,
#endif
}
@group(0) @binding(0) var<storage, read> codes: array<vec4<u32>>; // [rows][cols]
@group(0) @binding(1) var<storage, read> scales: array<u32>; // [rows][cols / 32]
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>; // [T][cols / 4]
#if lora
@group(0) @binding(3) var<storage, read> lora_b: array<FactorQuad>; // [rows][R / 4]
@group(0) @binding(4) var<storage, read> lora_t: array<vec4<f32>>; // [T][stride]
@group(0) @binding(5) var<storage, read_write> out: array<f32>; // [T][rows]
@group(0) @binding(6) var<uniform> params: Params;
#else
@group(0) @binding(3) var<storage, read_write> out: array<f32>; // [T][rows]
@group(0) @binding(4) var<uniform> params: Params;
#endif
