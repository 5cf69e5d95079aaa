// Attention for GPUs. The kernel says how many keys query `token` sees, key_count(token), and in which
// row of the cache its key `key` lies, cache_row(key, token).

// A workgroup a query. Its threads score up to TILE keys; then each sums the values of one quad of the
// head over a share of those keys. Few barriers: most contexts are one tile.
const THREADS: u32 = 64u;
const TILE: u32 = 512u;
const SHARES: u32 = THREADS / QUADS; // threads of a quad, each with every SHARES-th key
var<workgroup> query: array<vec4<f32>, QUADS>;
var<workgroup> scores: array<f32, TILE>;
var<workgroup> partial: array<f32, THREADS>;
var<workgroup> shares: array<vec4<f32>, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let token = group.x;
    let head = group.y;
    let kv_quads = params.kv_heads * QUADS;
    let kv = head / (params.heads / params.kv_heads) * QUADS;
    if thread < QUADS {
        let at = token * (params.heads * QUADS + 2u * kv_quads) + head * QUADS + thread;
        query[thread] = qkv[at] * params.scale;
    }
    let quad = thread % QUADS;
    let share = thread / QUADS;
    let keys = key_count(token);
    var most = LOWEST;
    var total = 0.0; // of this thread's keys
    var sum = vec4<f32>();
    workgroupBarrier();
    for (var first = 0u; first < keys; first += TILE) {
        let end = min(TILE, keys - first);
        var more = most;
        for (var i = thread; i < end; i += THREADS) {
            let at = cache_row(first + i, token) * kv_quads + kv;
            var parts = vec4<f32>();
            for (var j = 0u; j < QUADS; j++) {
                parts = fma(query[j], k_cache[at + j], parts);
            }
            let score = dot(parts, vec4<f32>(1.0));
            scores[i] = score;
            more = max(more, score);
        }
        partial[thread] = more;
        workgroupBarrier();
        for (var i = 0u; i < THREADS; i++) {
            more = max(more, partial[i]);
        }
        let shrink = exp(most - more);
        most = more;
        total *= shrink;
        for (var i = thread; i < end; i += THREADS) {
            let weight = exp(scores[i] - most);
            scores[i] = weight;
            total += weight;
        }
        workgroupBarrier();
        sum *= shrink;
        if share < SHARES {
            for (var i = share; i < end; i += SHARES) {
                let at = cache_row(first + i, token) * kv_quads + kv;
                sum = fma(vec4<f32>(scores[i]), v_cache[at + quad], sum);
            }
        }
        workgroupBarrier(); // before the next tile's scores and maxima are written
    }
    partial[thread] = total;
    shares[thread] = sum;
    workgroupBarrier();
    if thread < QUADS {
        total = 0.0;
        for (var i = 0u; i < THREADS; i++) {
            total += partial[i];
        }
        for (var i = 1u; i < SHARES; i++) {
            sum += shares[thread + i * QUADS];
        }
        out[(token * params.heads + head) * QUADS + thread] = sum / total;
    }
}
