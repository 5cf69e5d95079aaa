//! Reports as token sequences, and their order.

use crate::error::Result;
use crate::prompt::{self, PromptRequest, Template};
use crate::sampler::SplitMix64;
use crate::tokenizer::Tokenizer;

/// A prompt with its response and the end token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    ids: Vec<u32>,
    /// Where the response begins.
    response: usize,
}

impl Example {
    /// The example of a report, or `None` where it has more than `longest` tokens.
    ///
    /// # Errors
    /// As [`prompt::build`].
    pub fn new(
        tokenizer: &Tokenizer,
        template: Template,
        findings: &str,
        impression: &str,
        longest: usize,
    ) -> Result<Option<Example>> {
        let request = PromptRequest::new(findings);
        let mut ids = prompt::build(tokenizer, template, &request, usize::MAX, 0)?;
        let response = ids.len();
        ids.extend(prompt::answer(tokenizer, template, impression)?);
        Ok((ids.len() <= longest).then_some(Example { ids, response }))
    }

    /// Prompt and response.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// The response alone, with its end: what the loss is over.
    pub fn response_tokens(&self) -> usize {
        self.ids.len() - self.response
    }
}

/// Sequences one behind the other, without padding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) ids: Vec<u32>,
    /// (first row, tokens) of each.
    pub(super) sequences: Vec<(usize, usize)>,
    /// (row, the id that must follow it).
    pub(super) targets: Vec<(u32, u32)>,
}

impl Batch {
    /// Packs examples into batches of at most `tokens` tokens, or of one example that is longer.
    pub(super) fn pack<'a>(
        examples: impl IntoIterator<Item = &'a Example>,
        tokens: usize,
    ) -> Vec<Batch> {
        let mut batches: Vec<Batch> = Vec::new();
        for example in examples {
            // The end token is predicted and never read.
            let read = &example.ids[..example.ids.len() - 1];
            if batches.last().is_none_or(|batch| batch.ids.len() + read.len() > tokens) {
                batches.push(Batch::default());
            }
            if let Some(batch) = batches.last_mut() {
                let first = batch.ids.len();
                batch.sequences.push((first, read.len()));
                batch.ids.extend_from_slice(read);
                let targets = example.ids[example.response..].iter().enumerate();
                let row = |i: usize| (first + example.response - 1 + i) as u32;
                batch.targets.extend(targets.map(|(i, &id)| (row(i), id)));
            }
        }
        batches
    }
}

/// The order of `count` examples in an epoch: a shuffle (Fisher and Yates) that follows from seed and
/// epoch alone.
pub(super) fn order(count: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut random = SplitMix64::new(seed ^ epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut order: Vec<usize> = (0..count).collect();
    for i in (1..count).rev() {
        order.swap(i, (random.next() % (i as u64 + 1)) as usize);
    }
    order
}
