//! A program: buffers and dispatches as plain data. It is built once a model is known and executed
//! by the GPU or by the CPU twins, step after step, without change.

use crate::kernels::Call;

/// Index into [`Program::buffers`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct BufferId(pub usize);

/// A buffer of 32-bit words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BufferSpec {
    /// For messages and GPU debuggers.
    pub label: String,
    /// Length in words.
    pub words: u64,
}

impl BufferSpec {
    /// Length in bytes.
    pub fn bytes(&self) -> u64 {
        4 * self.words
    }
}

/// One kernel call with its buffers, in the order of the kernel's bindings.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch {
    /// What to compute.
    pub call: Call,
    /// On which buffers.
    pub buffers: Vec<BufferId>,
}

/// Everything an executor needs to run a model.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// All buffers: weights, activations, KV cache, ids.
    pub buffers: Vec<BufferSpec>,
    /// One token: through all layers, lm_head and the choice of the next id.
    pub decode: Vec<Dispatch>,
    /// T tokens through all layers.
    pub prefill: Vec<Dispatch>,
    /// After the last prefill: the last token through lm_head and the choice of the next id.
    pub head: Vec<Dispatch>,
    /// The largest logits, for sampling.
    pub top_k: Vec<Dispatch>,
    /// A step of beams: T tokens through all layers and lm_head, and each one's likeliest successors.
    pub beam: Vec<Dispatch>,
    /// The likeliest successors behind the last head: where beams start.
    pub beam_start: Vec<Dispatch>,
    /// Token ids by position, [context + 1]: the prompt's, then the chosen ones.
    pub ids: BufferId,
    /// \[V\] f32 of the last head.
    pub logits: BufferId,
    /// \[MAX_K\] of (id, logit's bits).
    pub top: BufferId,
    /// \[position - prefix + 1\]\[T\] of cache rows: which ancestors each beam has.
    pub slots: BufferId,
    /// \[T\]\[K\] of (id, log-probability's bits).
    pub candidates: BufferId,
    /// (cos, sin) by position; filled by the executor when it is made.
    pub rope_table: BufferId,
    /// The first buffer of an adapter's side path; the number of all buffers where there is none. What
    /// stands before it is the same with every adapter.
    pub side: usize,
    /// Positions the KV cache holds.
    pub context: u32,
    /// Most tokens of one prefill step.
    pub chunk: u32,
}
