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

const LOWEST: f32 = -3.0e38; // below every score, and finite: WGSL need not have infinities

#if serial
// A thread walks all keys of one query of a head that the workgroup shares, so that all of them read
// the same key and value at the same time. A single query is shared out instead: every thread walks
// each THREADS-th key, and the shares are put together at the end.
const THREADS: u32 = 8u; // attention::SERIAL_THREADS
var<workgroup> share_most: array<f32, THREADS>;
var<workgroup> share_total: array<f32, THREADS>;
var<workgroup> share_sums: array<vec4<f32>, QUADS * THREADS>; // [quad][thread]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let head = group.y;
    let kv_quads = params.kv_heads * QUADS;
    let kv = head / (params.heads / params.kv_heads) * QUADS;
    let single = step.tokens == 1u;
    let token = select(group.x * THREADS + thread, 0u, single);
    let read_token = min(token, step.tokens - 1u);
    let query = read_token * (params.heads * QUADS + 2u * kv_quads) + head * QUADS;
    let last = step.position + read_token;
    let last_of_group = step.position + min((group.x + 1u) * THREADS, step.tokens) - 1u;
    let first = select(0u, thread, single);
    let stride = select(1u, THREADS, single);
#repeat QUADS
    let q$i = qkv[query + $iu] * params.scale;
    var sum$i = vec4<f32>();
#end
    var most = LOWEST;
    var total = 0.0;
    for (var walked = 0u; walked <= last_of_group; walked += stride) {
        let key = walked + first;
        let at = min(key, last_of_group) * kv_quads + kv;
        var parts = vec4<f32>();
#repeat QUADS
        parts = fma(q$i, k_cache[at + $iu], parts);
#end
        let visible = key <= last;
        let score = select(LOWEST, dot(parts, vec4<f32>(1.0)), visible);
        let more = max(most, score);
        let shrink = exp(most - more);
        let weight = select(0.0, exp(score - more), visible);
        most = more;
        total = total * shrink + weight;
#repeat QUADS
        sum$i = fma(vec4<f32>(weight), v_cache[at + $iu], sum$i * shrink);
#end
    }
    if single {
        share_most[thread] = most;
        share_total[thread] = total;
#repeat QUADS
        share_sums[$iu * THREADS + thread] = sum$i;
#end
        workgroupBarrier();
        var all_most = LOWEST;
        for (var i = 0u; i < THREADS; i++) {
            all_most = max(all_most, share_most[i]);
        }
        var all_total = 0.0;
        for (var i = 0u; i < THREADS; i++) {
            all_total += share_total[i] * exp(share_most[i] - all_most);
        }
        for (var quad = thread; quad < QUADS; quad += THREADS) {
            var sum = vec4<f32>();
            for (var i = 0u; i < THREADS; i++) {
                sum += share_sums[quad * THREADS + i] * exp(share_most[i] - all_most);
            }
            out[head * QUADS + quad] = sum / all_total;
        }
    } else if token < step.tokens {
        let at = (token * params.heads + head) * QUADS;
#repeat QUADS
        out[at + $iu] = sum$i / total;
#end
    }
}
#else
fn key_count(token: u32) -> u32 {
    return step.position + token + 1u;
}

fn cache_row(key: u32, token: u32) -> u32 {
    return key;
}
#import attention_tiles
#endif
