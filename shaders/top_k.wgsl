// The K largest logits, descending, equals by ascending id. One workgroup finds them one after the
// other: each round looks for the largest that sorts behind the last one found.
// Layout: kernels/top_k.rs. Twin: kernels::top_k::reference.
struct Params {
    vocab: u32,
    k: u32,
    pad0: u32,
    pad1: u32,
}
@group(0) @binding(0) var<storage, read> logits: array<f32>; // [V]
@group(0) @binding(1) var<storage, read_write> top: array<vec2<u32>>; // [K]: id, logit's bits
@group(0) @binding(2) var<uniform> params: Params;

const THREADS: u32 = 256u;
const NONE: u32 = 0xffffffffu;
var<workgroup> best_logit: array<f32, THREADS>;
var<workgroup> best_id: array<u32, THREADS>;

// Whether (a, id a) sorts before (b, id b).
fn before(a: f32, a_id: u32, b: f32, b_id: u32) -> bool {
    return a_id != NONE && (b_id == NONE || a > b || (a == b && a_id < b_id));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
    var last = 0.0;
    var last_id = NONE;
    for (var round = 0u; round < params.k; round++) {
        var best = 0.0;
        var id = NONE;
        for (var i = thread; i < params.vocab; i += THREADS) {
            let logit = logits[i];
            let behind = last_id == NONE || before(last, last_id, logit, i);
            if behind && before(logit, i, best, id) {
                best = logit;
                id = i;
            }
        }
        best_logit[thread] = best;
        best_id[thread] = id;
        workgroupBarrier();
        best = best_logit[0];
        id = best_id[0];
        for (var i = 1u; i < THREADS; i++) {
            if before(best_logit[i], best_id[i], best, id) {
                best = best_logit[i];
                id = best_id[i];
            }
        }
        if thread == 0u {
            top[round] = vec2<u32>(id, bitcast<u32>(best));
        }
        last = best;
        last_id = id;
        workgroupBarrier();
    }
}
