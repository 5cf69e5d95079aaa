//! What an engine asks of whoever runs a [`super::Program`].

use crate::error::Result;
use crate::kernels::Step;
use crate::lora::Adapter;

/// What crossed the border to the device, counted where it happens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Kernels dispatched.
    pub dispatches: u64,
    /// Command buffers submitted.
    pub submits: u64,
    /// Bytes written to the device.
    pub uploaded_bytes: u64,
    /// Bytes read back.
    pub read_bytes: u64,
}

impl std::ops::Sub for Counters {
    type Output = Counters;
    fn sub(self, earlier: Counters) -> Counters {
        Counters {
            dispatches: self.dispatches - earlier.dispatches,
            submits: self.submits - earlier.submits,
            uploaded_bytes: self.uploaded_bytes - earlier.uploaded_bytes,
            read_bytes: self.read_bytes - earlier.read_bytes,
        }
    }
}

/// Runs the steps of a program. Work is queued in order; only the `read` methods wait.
#[allow(async_fn_in_trait, reason = "the browser's futures are not Send, and need not be")]
pub trait Executor {
    /// Ids that are on their way back.
    type Pending;

    /// Positions of the KV cache.
    fn context(&self) -> u32;
    /// Most tokens of a prefill step.
    fn chunk(&self) -> u32;
    /// Writes ids into the id buffer from `position` on.
    fn write_ids(&mut self, position: u32, ids: &[u32]) -> Result<()>;
    /// Queues the layers for the step's tokens; with `head` also lm_head and the next id, which goes to
    /// position + tokens.
    fn prefill(&mut self, step: Step, head: bool) -> Result<()>;
    /// Queues `steps` decode steps, the first over the id at `position`, and the way back of the ids
    /// they choose.
    fn decode(&mut self, position: u32, steps: u32) -> Result<Self::Pending>;
    /// Queues one decode step over the id at `position`, for its logits alone.
    fn advance(&mut self, position: u32) -> Result<()>;
    /// Queues the way back of the id at `position`.
    fn fetch_id(&mut self, position: u32) -> Result<Self::Pending>;
    /// Waits for ids.
    async fn read(&mut self, pending: Self::Pending) -> Result<Vec<u32>>;
    /// Waits until all that was queued is done.
    async fn wait(&mut self) -> Result<()>;
    /// The logits of the last head, \[V\].
    async fn logits(&mut self) -> Result<Vec<f32>>;
    /// The largest [`crate::kernels::top_k::MAX_K`] logits of the last head with their ids, descending.
    async fn top_k(&mut self) -> Result<Vec<(u32, f32)>>;
    /// Makes ready for beams: what they need is compiled and proven on their first use.
    async fn prepare_beams(&mut self) -> Result<()>;
    /// The `candidates` likeliest ids behind the last head with their log-probabilities, descending:
    /// where beams start. [`crate::kernels::argmax::NOT_FINITE`] for all ids if any logit is not finite.
    async fn beam_start(&mut self, candidates: u32) -> Result<Vec<(u32, f32)>>;
    /// One step of beams ([`Step::beams`]): the token of each, `ids`, through the layers. `slots`
    /// \[position - prefix + 1\]\[T\] are the cache rows of its ancestors and, last, its own. Gives
    /// each beam's candidates, as [`Self::beam_start`] does.
    async fn beam_step(
        &mut self,
        step: Step,
        ids: &[u32],
        slots: &[u32],
    ) -> Result<Vec<(u32, f32)>>;
    /// Loads an adapter beside the weights, in place of the one before, or drops it. The weights stay
    /// where they are; what the KV cache holds is another model's from here on. On an error all is as it
    /// was.
    async fn set_adapter(&mut self, adapter: Option<&Adapter>) -> Result<()>;
    /// Counts since the executor was made.
    fn counters(&self) -> Counters;
}
