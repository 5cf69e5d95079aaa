// RMSNorm: out = x / sqrt(mean(x^2) + eps) * weight, a workgroup a token.
// Layout: kernels/rms_norm.rs. Twin: kernels::rms_norm::reference.
#import step
struct Params {
    dim: u32,
    eps: f32,
    last_only: u32,
    pad: u32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [T][D / 4]
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>; // [D / 4]
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>; // [T][D / 4]
@group(0) @binding(3) var<uniform> params: Params;
@group(0) @binding(4) var<uniform> step: Step;

// One load a thread covers D = 1024 with vec4s; few enough that the second pass over them is cheap.
const THREADS: u32 = 64u;
var<workgroup> partial: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let quads = params.dim / 4u;
    let token = select(group.x, step.tokens - 1u, params.last_only == 1u);
    var sum = 0.0;
    for (var i = thread; i < quads; i += THREADS) {
        let value = x[token * quads + i];
        sum += dot(value, value);
    }
    partial[thread] = sum;
    workgroupBarrier();
    var total = 0.0;
    for (var i = 0u; i < THREADS; i++) {
        total += partial[i];
    }
    let scale = inverseSqrt(total / f32(params.dim) + params.eps);
    for (var i = thread; i < quads; i += THREADS) {
        out[group.x * quads + i] = x[token * quads + i] * scale * weight[i];
    }
}
