// Causal attention of T queries over the cache, softmax online. Layout: kernels/attention.rs.
// Twin: kernels::attention::reference.
#import step
struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    scale: f32,
}
@group(0) @binding(0) var<storage, read> qkv: array<vec4<f32>>; // [T][(H + 2 Hkv) Dh / 4]
@group(0) @binding(1) var<storage, read> k_cache: array<vec4<f32>>; // [context][Hkv Dh / 4]
@group(0) @binding(2) var<storage, read> v_cache: array<vec4<f32>>; // [context][Hkv Dh / 4]
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>; // [T][H Dh / 4]
@group(0) @binding(4) var<uniform> params: Params;
@group(0) @binding(5) var<uniform> step: Step;

const MAX_QUADS: u32 = 32u; // config::MAX_HEAD_DIM / 4
const LOWEST: f32 = -3.0e38; // below every score, and finite: WGSL need not have infinities

#if serial
const THREADS: u32 = 8u; // attention::SERIAL_THREADS

// A thread walks all keys of one query. The threads of a workgroup share the head, so every one of
// them reads the same key and value at the same time.
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let quads = params.head_dim / 4u;
    let head = group.y;
    let kv_quads = params.kv_heads * quads;
    let kv = head / (params.heads / params.kv_heads) * quads;
    let token = group.x * THREADS + thread;
    let read_token = min(token, step.tokens - 1u);
    let query = read_token * (params.heads * quads + 2u * kv_quads) + head * quads;
    let last = step.position + read_token;
    let last_of_group = step.position + min(group.x * THREADS + THREADS, step.tokens) - 1u;
    var sums: array<vec4<f32>, MAX_QUADS>;
    var q: array<vec4<f32>, MAX_QUADS>;
    for (var i = 0u; i < quads; i++) {
        q[i] = qkv[query + i] * params.scale;
    }
    var most = LOWEST;
    var total = 0.0;
    for (var key = 0u; key <= last_of_group; key++) {
        let at = key * kv_quads + kv;
        var parts = vec4<f32>();
        for (var i = 0u; i < quads; i++) {
            parts = fma(q[i], k_cache[at + i], parts);
        }
        let score = select(LOWEST, dot(parts, vec4<f32>(1.0)), key <= last);
        let more = max(most, score);
        let shrink = exp(most - more);
        // Key 0 is always visible, so `more` is a real score and a hidden key weighs nothing.
        let weight = exp(score - more);
        most = more;
        total = total * shrink + weight;
        for (var i = 0u; i < quads; i++) {
            sums[i] = fma(vec4<f32>(weight), v_cache[at + i], sums[i] * shrink);
        }
    }
    if token < step.tokens {
        let at = (token * params.heads + head) * quads;
        for (var i = 0u; i < quads; i++) {
            out[at + i] = sums[i] / total;
        }
    }
}
#else
// A workgroup a query: 64 threads score 64 keys at a time, then each thread sums the values of its
// own quad of the head over a share of those keys.
const THREADS: u32 = 64u;
var<workgroup> query: array<vec4<f32>, MAX_QUADS>;
var<workgroup> scores: array<f32, THREADS>;
var<workgroup> shares: array<vec4<f32>, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let quads = params.head_dim / 4u;
    let token = group.x;
    let head = group.y;
    let kv_quads = params.kv_heads * quads;
    let kv = head / (params.heads / params.kv_heads) * quads;
    if thread < quads {
        let at = token * (params.heads * quads + 2u * kv_quads) + head * quads + thread;
        query[thread] = qkv[at] * params.scale;
    }
    // The values' threads: `per_quad` of them share a quad, each taking every per_quad-th key.
    let per_quad = THREADS / quads;
    let quad = thread % quads;
    let share = thread / quads;
    let keys = step.position + token + 1u;
    var most = LOWEST;
    var total = 0.0;
    var sum = vec4<f32>();
    workgroupBarrier();
    for (var first = 0u; first < keys; first += THREADS) {
        let key = first + thread;
        var score = LOWEST;
        if key < keys {
            let at = key * kv_quads + kv;
            var parts = vec4<f32>();
            for (var i = 0u; i < quads; i++) {
                parts = fma(query[i], k_cache[at + i], parts);
            }
            score = dot(parts, vec4<f32>(1.0));
        }
        scores[thread] = score;
        workgroupBarrier();
        var more = most;
        for (var i = 0u; i < THREADS; i++) {
            more = max(more, scores[i]);
        }
        let shrink = exp(most - more);
        most = more;
        workgroupBarrier();
        scores[thread] = exp(score - more);
        workgroupBarrier();
        total *= shrink;
        for (var i = 0u; i < THREADS; i++) {
            total += scores[i];
        }
        sum *= shrink;
        if share < per_quad {
            let end = min(THREADS, keys - first);
            for (var i = share; i < end; i += per_quad) {
                sum = fma(vec4<f32>(scores[i]), v_cache[(first + i) * kv_quads + kv + quad], sum);
            }
        }
        workgroupBarrier();
    }
    shares[thread] = sum;
    workgroupBarrier();
    if thread < quads {
        for (var i = 1u; i < per_quad; i++) {
            sum += shares[thread + i * quads];
        }
        out[(token * params.heads + head) * quads + thread] = sum / total;
    }
}
#endif
