// Embedding gather: out[t] = dequantized row ids[place of t]. A thread writes one block of 32.
// Layout: kernels/embed.rs. Twin: kernels::embed::reference.
#import step
struct Params {
    dim: u32,
    vocab: u32,
    pad0: u32,
    pad1: u32,
}
@group(0) @binding(0) var<storage, read> codes: array<vec4<u32>>; // [V][D]
@group(0) @binding(1) var<storage, read> scales: array<u32>; // [V][D / 32]
@group(0) @binding(2) var<storage, read> ids: array<u32>; // [context + 1]
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>; // [T][D / 4]
@group(0) @binding(4) var<uniform> params: Params;
@group(0) @binding(5) var<uniform> step: Step;
#import weights

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let blocks = params.dim / 32u;
    if id.x >= blocks {
        return;
    }
    let row = min(ids[cache_position(id.y)], params.vocab - 1u);
    let at = (id.y * blocks + id.x) * 8u;
    for (var j = 0u; j < 4u; j++) {
        let pair = weight_pair(row * blocks + id.x, j);
        out[at + 2u * j] = pair[0];
        out[at + 2u * j + 1u] = pair[1];
    }
}
