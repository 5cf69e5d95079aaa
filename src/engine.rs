//! From a prompt to text: prefill in chunks, decode in batches or by beams, stop, cancel.

mod beam;

use std::collections::VecDeque;

use crate::error::{Error, Result};
use crate::kernels::{Step, argmax, top_k};
use crate::lora::Adapter;
use crate::manifest::Decoding;
use crate::model::forward::MAX_BEAMS;
use crate::model::{Counters, Executor};
use crate::prompt::{self, PromptRequest, Template};
use crate::sampler::{self, Sampler, Sampling};
use crate::tokenizer::{StreamDecoder, Tokenizer};

/// How to generate.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateOptions {
    /// Most tokens to write.
    pub max_new_tokens: u32,
    /// How the next token is chosen; greedy unless a temperature is set.
    pub sampling: Sampling,
    /// Hypotheses followed side by side, 1 … [`MAX_BEAMS`]; 1: no beam search. Only without sampling.
    pub beams: u32,
    /// With beams a text is worth its summed log-probability over its length to this power, as in Hugging
    /// Face's `generate`: above 0 favours long texts, below 0 short ones.
    pub length_penalty: f32,
    /// With beams no so many tokens in a row are written twice; 0: any may be. As Hugging Face's
    /// `no_repeat_ngram_size`, but what the prompt says may be written once more.
    pub no_repeat_ngram: u32,
    /// How many of the best hypotheses to report, `beams` at most.
    pub n_best: u32,
    /// How many of the largest logits behind the prompt to report.
    pub top_logits: u32,
    /// Go on after an end token: for measurements.
    pub ignore_eos: bool,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        GenerateOptions {
            max_new_tokens: 128,
            sampling: Sampling::default(),
            beams: 1,
            length_penalty: 1.0,
            no_repeat_ngram: 0,
            n_best: 1,
            top_logits: 0,
            ignore_eos: false,
        }
    }
}

impl GenerateOptions {
    /// Decodes as the caller `asked`; what that leaves open, the model's manifest says.
    pub fn decoded(mut self, manifest: Option<Decoding>, asked: Decoding) -> Self {
        self.decode_as(manifest.unwrap_or_default());
        self.decode_as(asked);
        if asked.beams.is_none() && !self.sampling.is_greedy() {
            self.beams = 1; // who samples has not asked for the manifest's beams
        }
        self
    }

    fn decode_as(&mut self, decoding: Decoding) {
        let Decoding { beams, length_penalty, no_repeat_ngram, max_new_tokens } = decoding;
        self.beams = beams.unwrap_or(self.beams);
        self.length_penalty = length_penalty.unwrap_or(self.length_penalty);
        self.no_repeat_ngram = no_repeat_ngram.unwrap_or(self.no_repeat_ngram);
        self.max_new_tokens = max_new_tokens.unwrap_or(self.max_new_tokens);
    }

    /// Checks what can be checked before a model is there.
    ///
    /// # Errors
    /// [`Error::BadOption`] for a value outside its range, or beams together with sampling.
    pub fn validate(&self) -> Result<()> {
        let bad = |option, value: &dyn std::fmt::Display, expected| {
            Err(Error::BadOption { option, value: value.to_string(), expected })
        };
        self.sampling.validate()?;
        if self.max_new_tokens == 0 {
            return bad("max_new_tokens", &0, "at least 1");
        }
        if !(1..=MAX_BEAMS).contains(&self.beams) {
            return bad("beams", &self.beams, "1 to 8");
        }
        if self.beams > 1 && !self.sampling.is_greedy() {
            return bad(
                "beams",
                &self.beams,
                "1 with a temperature or a repetition penalty: a beam search does not sample",
            );
        }
        if !self.length_penalty.is_finite() {
            return bad("length_penalty", &self.length_penalty, "a finite number");
        }
        if !(1..=self.beams).contains(&self.n_best) {
            return bad("n_best", &self.n_best, "at least 1 and at most the beams");
        }
        Ok(())
    }
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The model chose an end token.
    Eos,
    /// `max_new_tokens` were written.
    Length,
    /// The caller cancelled; the text so far is kept.
    Cancelled,
}

/// News while generating.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// So many of the prompt's tokens have been read.
    Prefill {
        /// Tokens read, those already in the cache included.
        done: usize,
        /// Tokens of the prompt.
        total: usize,
    },
    /// New text. All deltas together are the result's text. A beam search, which may drop what it wrote,
    /// gives a single one at its end.
    Delta(&'a str),
    /// The whole text that leads a beam search so far; the next may be another one.
    Draft(&'a str),
}

/// The caller's ears and brake.
pub struct Watch<'a> {
    /// Hears of progress.
    pub on: &'a mut dyn FnMut(Progress<'_>),
    /// Asked between chunks and batches whether to go on.
    pub cancelled: &'a dyn Fn() -> bool,
}

/// How long it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Timings {
    /// From the call to the first chosen token, in milliseconds.
    pub prefill_ms: f64,
    /// From there to the last.
    pub decode_ms: f64,
    /// Prompt tokens that had to be read, per second.
    pub prefill_tokens_per_s: f64,
    /// Tokens after the first, per second.
    pub decode_tokens_per_s: f64,
}

/// One of the texts that a beam search found.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Hypothesis {
    /// The chosen ids, a closing end token included.
    pub ids: Vec<u32>,
    /// Those as text, without control tokens.
    pub text: String,
    /// Summed log-probability over length^`length_penalty`.
    pub score: f64,
}

/// What a generation gave.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Generation {
    /// The prompt.
    pub prompt_ids: Vec<u32>,
    /// Of these, how many were still in the cache.
    pub reused_tokens: usize,
    /// The chosen ids, a closing end token included.
    pub ids: Vec<u32>,
    /// The chosen ids as text, without control tokens.
    pub text: String,
    /// Why it ended.
    pub stop: Stop,
    /// What a beam search thinks the text is worth: see [`GenerateOptions::length_penalty`].
    pub score: Option<f64>,
    /// The best that a beam search found, this text first, as many as were asked for; else empty.
    pub n_best: Vec<Hypothesis>,
    /// (id, logit) behind the prompt, descending, as many as were asked for.
    pub top_logits: Vec<(u32, f32)>,
    /// How long it took.
    pub timings: Timings,
    /// What the decode steps after the first token moved: (steps, counts).
    pub steady: (u64, Counters),
}

/// Milliseconds from any fixed origin. The engine has no clock of its own.
pub type Clock = fn() -> f64;

/// A model ready to write.
pub struct Engine<E> {
    executor: E,
    tokenizer: Tokenizer,
    template: Template,
    clock: Clock,
    /// The ids whose keys and values the cache holds.
    cached: Vec<u32>,
    /// Prefill chunk, as the last ones took their time.
    chunk: u32,
}

/// Prefill starts with chunks of this many tokens, doubles while they take less than [`CHUNK_MS`] and halves
/// where they take several times that: long enough to be efficient, short enough to cancel within a second.
const FIRST_CHUNK: u32 = 16;
const MIN_CHUNK: u32 = 8;
const CHUNK_MS: f64 = 120.0;
/// Decode steps a submit: at least five, so that a device that is slow to submit to is not held up;
/// more while a batch takes less than [`BATCH_MS`].
const FIRST_BATCH: u32 = 5;
const MAX_BATCH: u32 = 16;
const BATCH_MS: f64 = 60.0;

impl<E: Executor> Engine<E> {
    /// An engine over an executor whose model belongs to `tokenizer`.
    pub fn new(executor: E, tokenizer: Tokenizer, template: Template, clock: Clock) -> Self {
        let chunk = FIRST_CHUNK.min(executor.chunk());
        Engine { executor, tokenizer, template, clock, cached: Vec::new(), chunk }
    }

    /// What runs the model.
    pub fn executor(&self) -> &E {
        &self.executor
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Loads an adapter beside the weights, in place of the one before, or drops it; the weights are not
    /// touched. What the cache holds is another model's then, and is forgotten.
    pub async fn set_adapter(&mut self, adapter: Option<&Adapter>) -> Result<()> {
        self.executor.set_adapter(adapter).await?;
        self.cached.clear();
        Ok(())
    }

    /// Writes the impression of a report's findings, without the whitespace that some templates' answers
    /// begin with.
    pub async fn impression(
        &mut self,
        request: &PromptRequest<'_>,
        options: &GenerateOptions,
        watch: &mut Watch<'_>,
    ) -> Result<Generation> {
        let (context, room) = (self.executor.context() as usize, options.max_new_tokens as usize);
        let ids = prompt::build(&self.tokenizer, self.template, request, context, room)?;
        let mut begun = false;
        let mut on = |news: Progress<'_>| match news {
            Progress::Delta(text) if !begun => {
                let text = text.trim_start();
                begun = !text.is_empty();
                if begun {
                    (watch.on)(Progress::Delta(text));
                }
            }
            Progress::Draft(text) => (watch.on)(Progress::Draft(text.trim_start())),
            news => (watch.on)(news),
        };
        let mut watch = Watch { on: &mut on, cancelled: watch.cancelled };
        let mut generation = self.generate(&ids, options, &mut watch).await?;
        let texts = generation.n_best.iter_mut().map(|hypothesis| &mut hypothesis.text);
        for text in texts.chain([&mut generation.text]) {
            *text = text.trim_start().to_owned();
        }
        Ok(generation)
    }

    /// Continues a prompt.
    pub async fn generate(
        &mut self,
        prompt_ids: &[u32],
        options: &GenerateOptions,
        watch: &mut Watch<'_>,
    ) -> Result<Generation> {
        check(prompt_ids, options, self.executor.context(), &self.tokenizer)?;
        if options.beams > 1 {
            self.executor.prepare_beams().await?;
        }
        // The last token is read again even when all are cached: its logits are not.
        let reused = common_prefix(&self.cached, prompt_ids).min(prompt_ids.len() - 1);
        self.cached.truncate(reused);
        let only_control = prompt_ids.iter().all(|id| self.tokenizer.is_control(*id));
        let mut run = Run {
            executor: &mut self.executor,
            cached: &mut self.cached,
            chunk: &mut self.chunk,
            clock: self.clock,
            stream: stream(&self.tokenizer, only_control),
            only_control,
            tokenizer: &self.tokenizer,
            options,
            watch,
            start: (self.clock)(),
            first_at: None,
            after_first: Counters::default(),
            generation: Generation {
                prompt_ids: prompt_ids.to_vec(),
                reused_tokens: reused,
                ids: Vec::new(),
                text: String::new(),
                stop: Stop::Length,
                score: None,
                n_best: Vec::new(),
                top_logits: Vec::new(),
                timings: Timings::default(),
                steady: (0, Counters::default()),
            },
        };
        run.all().await?;
        run.finish()
    }
}

fn check(
    prompt_ids: &[u32],
    options: &GenerateOptions,
    context: u32,
    tokenizer: &Tokenizer,
) -> Result<()> {
    options.validate()?;
    if prompt_ids.is_empty() {
        return Err(Error::BadOption {
            option: "prompt",
            value: "empty".into(),
            expected: "at least one token",
        });
    }
    let vocab_size = tokenizer.vocab_size() as u32;
    if let Some(id) = prompt_ids.iter().find(|id| **id >= vocab_size) {
        return Err(Error::TokenOutOfRange { id: *id, vocab_size });
    }
    let (prompt_tokens, max_new_tokens) = (prompt_ids.len(), options.max_new_tokens as usize);
    let context = context as usize;
    if prompt_tokens.saturating_add(max_new_tokens) > context {
        return Err(Error::PromptTooLong { prompt_tokens, max_new_tokens, context });
    }
    // Each step of beams takes a row of the cache for each of them; the last token needs none.
    let beams = options.beams as usize;
    let positions = beams.saturating_mul(max_new_tokens - 1);
    if beams > 1 && prompt_tokens.saturating_add(positions) > context {
        return Err(Error::BeamsTooLong {
            prompt_tokens,
            beams,
            max_new_tokens,
            positions,
            context,
        });
    }
    Ok(())
}

/// A decoder for what follows a prompt of control tokens only, or one with text.
fn stream(tokenizer: &Tokenizer, only_control: bool) -> StreamDecoder<'_> {
    if only_control { tokenizer.stream() } else { tokenizer.stream_continuing() }
}

fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// One generation in progress.
struct Run<'a, 'w, E> {
    executor: &'a mut E,
    cached: &'a mut Vec<u32>,
    chunk: &'a mut u32,
    clock: Clock,
    tokenizer: &'a Tokenizer,
    stream: StreamDecoder<'a>,
    only_control: bool,
    options: &'a GenerateOptions,
    watch: &'a mut Watch<'w>,
    start: f64,
    first_at: Option<f64>,
    after_first: Counters,
    generation: Generation,
}

impl<E: Executor> Run<'_, '_, E> {
    async fn all(&mut self) -> Result<()> {
        if !self.prefill().await? {
            self.generation.stop = Stop::Cancelled;
            return Ok(());
        }
        if self.options.top_logits > 0 {
            let logits = self.executor.logits().await?;
            let k = self.options.top_logits as usize;
            self.generation.top_logits = sampler::top_logits(&logits, k);
        }
        if self.options.beams > 1 {
            self.beam_search().await
        } else if self.options.sampling.is_greedy() {
            self.greedy().await
        } else {
            self.sampled().await
        }
    }

    /// Reads the prompt. False when the caller cancelled.
    async fn prefill(&mut self) -> Result<bool> {
        let total = self.generation.prompt_ids.len();
        let mut done = self.generation.reused_tokens;
        self.executor.write_ids(done as u32, &self.generation.prompt_ids[done..])?;
        while done < total {
            if (self.watch.cancelled)() {
                return Ok(false);
            }
            let tokens = (*self.chunk as usize).min(total - done);
            let last = done + tokens == total;
            let before = (self.clock)();
            self.executor.prefill(Step::new(done as u32, tokens as u32), last)?;
            if !last {
                self.executor.wait().await?;
                let ms = (self.clock)() - before;
                if ms < CHUNK_MS {
                    *self.chunk = (*self.chunk * 2).min(self.executor.chunk());
                } else if ms > 4.0 * CHUNK_MS && *self.chunk > MIN_CHUNK {
                    *self.chunk /= 2;
                }
            }
            self.cached.extend(&self.generation.prompt_ids[done..done + tokens]);
            done += tokens;
            (self.watch.on)(Progress::Prefill { done, total });
        }
        Ok(true)
    }

    /// The ids are chosen on the device; this side only listens.
    async fn greedy(&mut self) -> Result<()> {
        let prompt = self.generation.prompt_ids.len() as u32;
        let pending = self.executor.fetch_id(prompt)?;
        let first = self.executor.read(pending).await?;
        if !self.accept(&first)? {
            return Ok(());
        }
        // The next step reads the id at `position`; ids up to there are chosen or on their way.
        let mut position = prompt;
        let end = prompt + self.options.max_new_tokens - 1;
        let mut batch = FIRST_BATCH;
        let mut ahead = 1;
        let mut in_flight = VecDeque::new();
        loop {
            while in_flight.len() < ahead && position < end {
                let steps = batch.min(end - position);
                in_flight.push_back(self.executor.decode(position, steps)?);
                position += steps;
                self.generation.steady.0 += u64::from(steps);
            }
            let Some(pending) = in_flight.pop_front() else { return Ok(()) };
            let before = (self.clock)();
            let ids = self.executor.read(pending).await?;
            // On a fast device the next batch is queued before this one is read, so that it never idles;
            // on a slow one that would only be work thrown away at the end.
            if (self.clock)() - before < BATCH_MS {
                (batch, ahead) = ((batch * 2).min(MAX_BATCH), 2);
            }
            if !self.accept(&ids)? {
                // What is still in flight is read and dropped: its buffers are used again.
                for pending in in_flight {
                    self.executor.read(pending).await?;
                }
                return Ok(());
            }
        }
    }

    /// The ids are chosen here, from the largest logits or all of them.
    async fn sampled(&mut self) -> Result<()> {
        let sampling = &self.options.sampling;
        let few =
            (1..=top_k::MAX_K).contains(&sampling.top_k) && sampling.repetition_penalty == 1.0;
        let mut sampler = Sampler::new(*sampling)?;
        let mut recent = self.generation.prompt_ids.clone();
        let mut position = recent.len() as u32;
        loop {
            let mut candidates = if few {
                // A NaN or an infinity may lie outside the largest few; the choice behind the head, made
                // over all logits, tells of it.
                let chosen = self.executor.fetch_id(position)?;
                let candidates = self.executor.top_k().await?;
                if self.executor.read(chosen).await?.contains(&argmax::NOT_FINITE) {
                    return Err(Error::NotFinite { position });
                }
                candidates
            } else {
                let logits = self.executor.logits().await?;
                (0..).zip(logits).collect()
            };
            if candidates.iter().any(|(_, logit)| !logit.is_finite()) {
                return Err(Error::NotFinite { position });
            }
            let id = sampler.sample(&mut candidates, &recent)?;
            recent.push(id);
            if !self.accept(&[id])?
                || recent.len()
                    == self.generation.prompt_ids.len() + self.options.max_new_tokens as usize
            {
                return Ok(());
            }
            self.executor.write_ids(position, &[id])?;
            self.executor.advance(position)?;
            self.generation.steady.0 += 1;
            position += 1;
        }
    }

    /// Several texts side by side; the best is kept. The device finds each one's likeliest successors, this
    /// side chooses among them and says which rows of the cache each text descends from.
    async fn beam_search(&mut self) -> Result<()> {
        let ends = if self.options.ignore_eos { &[] } else { self.tokenizer.ends() };
        let beams = self.options.beams;
        let mut search = beam::Search::new(self.options, ends);
        let candidates = search.candidates(self.tokenizer.vocab_size() as u32);
        let prompt = self.generation.prompt_ids.len() as u32;
        let mut position = prompt;
        let mut found = self.executor.beam_start(candidates).await?;
        loop {
            if found.iter().any(|(id, _)| *id == argmax::NOT_FINITE) {
                return Err(Error::NotFinite { position });
            }
            let go_on = search.advance(&found);
            if self.first_at.is_none() {
                self.first_at = Some((self.clock)());
                self.after_first = self.executor.counters();
            }
            let cancelled = (self.watch.cancelled)();
            if cancelled || !go_on {
                return self.choose(search.finish(), cancelled && go_on);
            }
            let draft = self.text_of(search.leading())?;
            (self.watch.on)(Progress::Draft(&draft));
            let step = Step::beams(position, beams, prompt, candidates);
            for (slot, beam) in (step.cache_position(0)..).zip(search.running_mut()) {
                beam.slots.push(slot);
            }
            let running = search.running_mut();
            let ids: Vec<u32> = running.iter().filter_map(|b| b.ids.last().copied()).collect();
            let slots: Vec<u32> = (0..=(position - prompt) as usize)
                .flat_map(|behind| running.iter().map(move |beam| beam.slots[behind]))
                .collect();
            found = self.executor.beam_step(step, &ids, &slots).await?;
            self.generation.steady.0 += 1;
            position += 1;
        }
    }

    /// Makes the best of what a beam search found the result.
    fn choose(&mut self, found: Vec<beam::Finished>, cancelled: bool) -> Result<()> {
        for found in found.into_iter().take(self.options.n_best as usize) {
            let text = self.text_of(&found.ids)?;
            let (ids, score) = (found.ids, found.score);
            self.generation.n_best.push(Hypothesis { ids, text, score });
        }
        let best = self.generation.n_best.first().cloned();
        let Some(best) = best else {
            return Err(Error::Internal("a beam search found nothing".into()));
        };
        self.generation.stop = match best.ids.last() {
            _ if cancelled => Stop::Cancelled,
            Some(id) if self.is_end(*id) => Stop::Eos,
            _ => Stop::Length,
        };
        self.generation.ids = best.ids;
        self.generation.score = Some(best.score);
        deliver(&mut self.generation, self.watch, &best.text);
        Ok(())
    }

    fn is_end(&self, id: u32) -> bool {
        self.tokenizer.is_end(id) && !self.options.ignore_eos
    }

    /// The text of all of a hypothesis' ids.
    fn text_of(&self, ids: &[u32]) -> Result<String> {
        let mut stream = stream(self.tokenizer, self.only_control);
        let mut text = String::new();
        for id in ids.iter().filter(|id| !self.is_end(**id)) {
            text.push_str(&stream.push(*id)?);
        }
        text.push_str(&stream.finish());
        Ok(text)
    }

    /// Takes chosen ids. False when there is nothing more to do.
    fn accept(&mut self, ids: &[u32]) -> Result<bool> {
        for id in ids {
            let position = (self.generation.prompt_ids.len() + self.generation.ids.len()) as u32;
            if *id == argmax::NOT_FINITE {
                return Err(Error::NotFinite { position });
            }
            // Choosing an id computed the cache row of the one before it.
            self.cached.extend(self.generation.ids.last());
            self.generation.ids.push(*id);
            if self.is_end(*id) {
                self.generation.stop = Stop::Eos;
                return Ok(false);
            }
            let text = self.stream.push(*id)?;
            deliver(&mut self.generation, self.watch, &text);
        }
        if self.first_at.is_none() {
            self.first_at = Some((self.clock)());
            self.after_first = self.executor.counters();
        }
        if (self.watch.cancelled)() {
            self.generation.stop = Stop::Cancelled;
            return Ok(false);
        }
        Ok(true)
    }

    fn finish(self) -> Result<Generation> {
        let end = (self.clock)();
        let mut generation = self.generation;
        deliver(&mut generation, self.watch, &self.stream.finish());
        let first_at = self.first_at.unwrap_or(end);
        let read = generation.prompt_ids.len() - generation.reused_tokens;
        let rate = |tokens: usize, ms: f64| if ms > 0.0 { tokens as f64 * 1e3 / ms } else { 0.0 };
        let (prefill_ms, decode_ms) = (first_at - self.start, end - first_at);
        generation.timings = Timings {
            prefill_ms,
            decode_ms,
            prefill_tokens_per_s: rate(read, prefill_ms),
            decode_tokens_per_s: rate(generation.ids.len().saturating_sub(1), decode_ms),
        };
        if self.first_at.is_some() {
            generation.steady.1 = self.executor.counters() - self.after_first;
        }
        Ok(generation)
    }
}

fn deliver(generation: &mut Generation, watch: &mut Watch<'_>, text: &str) {
    if !text.is_empty() {
        generation.text.push_str(text);
        (watch.on)(Progress::Delta(text));
    }
}
