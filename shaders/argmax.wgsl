// The greedy next id into ids[position + T]; equals go to the lower id, a logit that is not finite
// gives NOT_FINITE. One workgroup. Layout: kernels/argmax.rs. Twin: kernels::argmax::reference.
#import step
struct Params {
    vocab: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}
@group(0) @binding(0) var<storage, read> logits: array<f32>; // [V]
@group(0) @binding(1) var<storage, read_write> ids: array<u32>; // [context + 1]
@group(0) @binding(2) var<uniform> params: Params;
@group(0) @binding(3) var<uniform> step: Step;

const THREADS: u32 = 256u;
const NOT_FINITE: u32 = 0xffffffffu;
var<workgroup> best_logit: array<f32, THREADS>;
var<workgroup> best_id: array<u32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
    var best = -3.4e38;
    var id = min(thread, params.vocab - 1u);
    var finite = true;
    for (var i = thread; i < params.vocab; i += THREADS) {
        let logit = logits[i];
        // By bits: a compiler may assume that no float is NaN.
        finite = finite && (bitcast<u32>(logit) & 0x7f800000u) != 0x7f800000u;
        if logit > best {
            best = logit;
            id = i;
        }
    }
    best_logit[thread] = best;
    best_id[thread] = select(NOT_FINITE, id, finite);
    workgroupBarrier();
    if thread == 0u {
        for (var i = 1u; i < THREADS; i++) {
            let other = best_id[i];
            if other == NOT_FINITE {
                id = NOT_FINITE;
                break;
            }
            if best_logit[i] > best || (best_logit[i] == best && other < id) {
                best = best_logit[i];
                id = other;
            }
        }
        ids[step.position + step.tokens] = select(id, NOT_FINITE, best_id[0] == NOT_FINITE);
    }
}
