// Attention of T beams over the prefix they share, then each over its own ancestors.
// Layout: kernels/beam_attention.rs. Twin: kernels::beam_attention::reference.
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
@group(0) @binding(3) var<storage, read> slots: array<u32>; // [position - prefix + 1][T]
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>; // [T][H Dh / 4]
@group(0) @binding(5) var<uniform> params: Params;
@group(0) @binding(6) var<uniform> step: Step;

const LOWEST: f32 = -3.0e38; // below every score, and finite: WGSL need not have infinities

fn key_count(beam: u32) -> u32 {
    return step.position + 1u;
}

fn cache_row(key: u32, beam: u32) -> u32 {
    if key < step.prefix {
        return key;
    }
    return slots[(key - step.prefix) * step.tokens + beam];
}

#if serial
// A workgroup a beam and head: every thread walks each THREADS-th key, and the shares are put together
// at the end, as attention does for a single query.
const THREADS: u32 = 8u;
var<workgroup> share_most: array<f32, THREADS>;
var<workgroup> share_total: array<f32, THREADS>;
var<workgroup> share_sums: array<vec4<f32>, QUADS * THREADS>; // [quad][thread]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let beam = group.x;
    let head = group.y;
    let kv_quads = params.kv_heads * QUADS;
    let kv = head / (params.heads / params.kv_heads) * QUADS;
    let query = beam * (params.heads * QUADS + 2u * kv_quads) + head * QUADS;
    let keys = key_count(beam);
#repeat QUADS
    let q$i = qkv[query + $iu] * params.scale;
    var sum$i = vec4<f32>();
#end
    var most = LOWEST;
    var total = 0.0;
    for (var walked = 0u; walked < keys; walked += THREADS) {
        let key = walked + thread;
        let at = cache_row(min(key, keys - 1u), beam) * kv_quads + kv;
        var parts = vec4<f32>();
#repeat QUADS
        parts = fma(q$i, k_cache[at + $iu], parts);
#end
        let visible = key < keys;
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
        out[(beam * params.heads + head) * QUADS + quad] = sum / all_total;
    }
}
#else
#import attention_tiles
#endif
