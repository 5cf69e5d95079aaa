// The first half of a low-rank side path: out[t][row] = A[row] . x[t], for the few rows of an adapter's
// A. Layout: kernels/lora_down.rs. Twin: kernels::lora_down::reference.
#import step
#import factors
struct Params {
    rows: u32,
    quads: u32, // of a row
    pad0: u32,
    pad1: u32,
}
@group(0) @binding(0) var<storage, read> a: array<FactorQuad>; // [rows][quads]
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>; // [T][quads]
@group(0) @binding(2) var<storage, read_write> out: array<f32>; // [T][rows]
@group(0) @binding(3) var<uniform> params: Params;
@group(0) @binding(4) var<uniform> step: Step;

#if serial
// A thread a row: x comes from the same address for all, which a CPU adapter loads once.
const ROWS: u32 = 8u; // lora_down::SERIAL_ROWS
const TOKENS: u32 = 4u; // lora_down::SERIAL_TOKENS

@compute @workgroup_size(ROWS)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    if row >= params.rows {
        return;
    }
    let first = row * params.quads;
    if step.tokens == 1u {
        var sum0 = vec4<f32>();
        var sum1 = vec4<f32>();
        for (var quad = 0u; quad < params.quads; quad += 4u) {
            sum0 = fma(factors(a[first + quad]), x[quad], sum0);
            sum1 = fma(factors(a[first + quad + 1u]), x[quad + 1u], sum1);
            sum0 = fma(factors(a[first + quad + 2u]), x[quad + 2u], sum0);
            sum1 = fma(factors(a[first + quad + 3u]), x[quad + 3u], sum1);
        }
        out[row] = dot(sum0 + sum1, vec4<f32>(FACTOR_UNIT));
        return;
    }
    let token = id.y * TOKENS;
    let last = step.tokens - 1u;
    let t0 = token * params.quads;
    let t1 = min(token + 1u, last) * params.quads;
    let t2 = min(token + 2u, last) * params.quads;
    let t3 = min(token + 3u, last) * params.quads;
    var sums = vec4<f32>(); // a token a component
    for (var quad = 0u; quad < params.quads; quad++) {
        sums += factors(a[first + quad])
            * mat4x4<f32>(x[t0 + quad], x[t1 + quad], x[t2 + quad], x[t3 + quad]);
    }
    for (var t = 0u; t < TOKENS && token + t < step.tokens; t++) {
        out[(token + t) * params.rows + row] = sums[t] * FACTOR_UNIT;
    }
}
#else
// A workgroup a row and token: there are few of both, and a GPU should be done with them at once.
const THREADS: u32 = 64u;
var<workgroup> partial: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    var sum = 0.0;
    for (var quad = thread; quad < params.quads; quad += THREADS) {
        sum += dot(factors(a[group.x * params.quads + quad]), x[group.y * params.quads + quad]);
    }
    partial[thread] = sum;
    workgroupBarrier();
    if thread == 0u {
        var total = 0.0;
        for (var i = 0u; i < THREADS; i++) {
            total += partial[i];
        }
        out[group.y * params.rows + group.x] = total * FACTOR_UNIT;
    }
}
#endif
