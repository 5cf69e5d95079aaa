// The K largest logits of each row, descending, equals by ascending id; for beams as log-probabilities.
// A workgroup finds a row's one after the other: each round looks for the largest that sorts behind
// the last one found. Layout: kernels/top_k.rs. Twin: kernels::top_k::reference.
#import step
struct Params {
    vocab: u32,
    k: u32,
    log_probs: u32,
    pad: u32,
}
@group(0) @binding(0) var<storage, read> logits: array<f32>; // [T][V]
@group(0) @binding(1) var<storage, read_write> top: array<vec2<u32>>; // [T][K]: id, value's bits
@group(0) @binding(2) var<uniform> params: Params;
@group(0) @binding(3) var<uniform> step: Step;

const THREADS: u32 = 256u;
const NONE: u32 = 0xffffffffu; // also argmax::NOT_FINITE
var<workgroup> best_logit: array<f32, THREADS>;
var<workgroup> best_id: array<u32, THREADS>;

// Whether (a, id a) sorts before (b, id b).
fn before(a: f32, a_id: u32, b: f32, b_id: u32) -> bool {
    return a_id != NONE && (b_id == NONE || a > b || (a == b && a_id < b_id));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = group.x * params.vocab;
    let k = select(min(params.k, step.candidates), params.k, step.candidates == 0u);
    var most = 0.0;
    var last = 0.0;
    var last_id = NONE;
    for (var round = 0u; round < k; round++) {
        var best = 0.0;
        var id = NONE;
        for (var i = thread; i < params.vocab; i += THREADS) {
            let logit = logits[row + i];
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
            top[group.x * k + round] = vec2<u32>(id, bitcast<u32>(best));
        }
        if round == 0u {
            most = best;
        }
        last = best;
        last_id = id;
        workgroupBarrier();
    }
    if params.log_probs == 0u {
        return;
    }
    // The sum of all exponentials; by bits whether all logits are finite, as in argmax.
    var total = 0.0;
    var finite = 1u;
    for (var i = thread; i < params.vocab; i += THREADS) {
        let logit = logits[row + i];
        total += exp(logit - most);
        finite &= select(0u, 1u, (bitcast<u32>(logit) & 0x7f800000u) != 0x7f800000u);
    }
    best_logit[thread] = total;
    best_id[thread] = finite;
    workgroupBarrier();
    if thread == 0u {
        total = 0.0;
        for (var i = 0u; i < THREADS; i++) {
            total += best_logit[i];
            finite &= best_id[i];
        }
        let sum_log = log(total);
        for (var round = group.x * k; round < (group.x + 1u) * k; round++) {
            let found = top[round]; // written by this very thread
            let log_prob = (bitcast<f32>(found.y) - most) - sum_log;
            top[round] = select(
                vec2<u32>(NONE, 0u),
                vec2<u32>(found.x, bitcast<u32>(log_prob)),
                finite == 1u,
            );
        }
    }
}
