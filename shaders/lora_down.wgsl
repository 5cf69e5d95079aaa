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
// Two rows a thread: what it loads of x serves both, and on a CPU adapter it is the loads that cost.
const THREADS: u32 = 8u;
const ROWS: u32 = 2u * THREADS; // lora_down::SERIAL_ROWS
const TOKENS: u32 = 4u; // lora_down::SERIAL_TOKENS

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row0 = group.x * ROWS + thread;
    let row1 = row0 + THREADS;
    let first0 = min(row0, params.rows - 1u) * params.quads;
    let first1 = min(row1, params.rows - 1u) * params.quads;
    if step.tokens == 1u {
        var sum0 = vec4<f32>();
        var sum1 = vec4<f32>();
        for (var quad = 0u; quad < params.quads; quad += 2u) {
            let x0 = x[quad];
            let x1 = x[quad + 1u];
#repeat 2
            sum$i = fma(factors(a[first$i + quad]), x0, sum$i);
            sum$i = fma(factors(a[first$i + quad + 1u]), x1, sum$i);
#end
        }
#repeat 2
        if row$i < params.rows {
            out[row$i] = dot(sum$i, vec4<f32>(FACTOR_UNIT));
        }
#end
        return;
    }
    let token = group.y * TOKENS;
    let last = step.tokens - 1u;
    let t0 = token * params.quads;
    let t1 = min(token + 1u, last) * params.quads;
    let t2 = min(token + 2u, last) * params.quads;
    let t3 = min(token + 3u, last) * params.quads;
    var sums0 = vec4<f32>(); // a token a component
    var sums1 = vec4<f32>();
    for (var quad = 0u; quad < params.quads; quad++) {
        let columns = mat4x4<f32>(x[t0 + quad], x[t1 + quad], x[t2 + quad], x[t3 + quad]);
#repeat 2
        sums$i += factors(a[first$i + quad]) * columns;
#end
    }
    for (var t = 0u; t < TOKENS && token + t < step.tokens; t++) {
#repeat 2
        if row$i < params.rows {
            out[(token + t) * params.rows + row$i] = sums$i[t] * FACTOR_UNIT;
        }
#end
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
