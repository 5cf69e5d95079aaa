//! The steps of training: batches, gradients, updates, validation.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::base::Base;
use super::examples::{Batch, Example, order};
use super::network::{Mode, Network, internal};
use super::optimizer::{Moments, Schedule, norm};
use crate::error::{Error, Result};
use crate::lora::{Adapter, LoraConfig};
use crate::sampler::SplitMix64;

/// How to train. What the same options, base and data give is the same to the last bit on one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Passes over the training examples.
    pub epochs: u32,
    /// Examples an update.
    pub batch: u32,
    /// Tokens whose activations are held at a time: an update's examples are packed into batches of
    /// this size without padding, and their gradients summed.
    pub batch_tokens: u32,
    /// Longest example, in tokens.
    pub longest: u32,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// How it goes down.
    pub schedule: Schedule,
    /// Share of all steps in which it goes up.
    pub warmup: f64,
    /// AdamW's decoupled weight decay.
    pub weight_decay: f64,
    /// Largest gradient norm; longer gradients are scaled down to it. 0: any.
    pub clip: f64,
    /// Share of a target's probability that is spread over all tokens.
    pub label_smoothing: f32,
    /// Makes initial values, order and dropout.
    pub seed: u64,
    /// Validations a training run may get no better in before it stops. 0: any.
    pub patience: u32,
}

/// How far a run is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Updates done.
    pub step: u64,
    /// Tokens seen.
    pub tokens: u64,
    /// Lowest validation loss so far.
    pub best_loss: Option<f64>,
    /// The update it was at.
    pub best_step: u64,
    /// Validations since.
    pub since_best: u32,
}

/// What an update did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Counted from 1.
    pub step: u64,
    /// Passes over the examples so far, with fraction.
    pub epoch: f64,
    /// Mean cross entropy a response token, in nats.
    pub loss: f64,
    /// The learning rate of the step.
    pub learning_rate: f64,
    /// Of the gradients, before clipping.
    pub gradient_norm: f64,
    /// Tokens in it, prompts included.
    pub tokens: u64,
}

/// A run of training.
pub struct Trainer {
    pub(super) network: Network,
    pub(super) options: Options,
    pub(super) state: State,
    pub(super) moments: BTreeMap<String, Moments>,
    /// The adapter with the lowest validation loss.
    pub(super) best: Option<Adapter>,
    train: Vec<Example>,
    validation: Vec<Example>,
}

impl Trainer {
    /// A run from the beginning: on a fresh adapter, or on from `start`.
    ///
    /// # Errors
    /// [`Error::BadOption`]; [`Error::BadText`] without examples.
    pub fn new(
        base: Arc<Base>,
        lora: LoraConfig,
        start: Option<&Adapter>,
        options: Options,
        train: Vec<Example>,
        validation: Vec<Example>,
    ) -> Result<Trainer> {
        check(&lora, &options)?;
        if train.is_empty() {
            let what = "(training pairs) leaves no example to train on".to_owned();
            return Err(Error::BadText { what });
        }
        let longest = options.longest as usize;
        let network = match start {
            Some(adapter) => Network::from_adapter(base, adapter, longest)?,
            None => Network::new(base, lora, longest, options.seed)?,
        };
        let moments = network
            .variables()
            .map(|(name, var)| (name, Moments::zeros(var.elem_count())))
            .collect();
        let (state, best) = (State::default(), None);
        Ok(Trainer { network, options, state, moments, best, train, validation })
    }

    /// How far it is.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Updates of an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        (self.train.len() as u64).div_ceil(u64::from(self.options.batch))
    }

    /// Updates of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.steps_per_epoch() * u64::from(self.options.epochs)
    }

    /// Whether all epochs are done, or validation has not got better for too long.
    pub fn finished(&self) -> bool {
        let patience = self.options.patience;
        self.state.step >= self.total_steps() || (patience > 0 && self.state.since_best >= patience)
    }

    /// One update.
    ///
    /// # Errors
    /// [`Error::NotFinite`] when the loss is, with the step as position: lower the learning rate.
    pub fn step(&mut self) -> Result<StepReport> {
        let options = &self.options;
        let step = self.state.step;
        let (epoch, within) = (step / self.steps_per_epoch(), step % self.steps_per_epoch());
        let first = (within * u64::from(options.batch)) as usize;
        let order = order(self.train.len(), options.seed, epoch);
        let chosen = order[first..].iter().take(options.batch as usize).map(|&i| &self.train[i]);
        let batches = Batch::pack(chosen, options.batch_tokens as usize);
        let targets: usize = batches.iter().map(|batch| batch.targets.len()).sum();
        let tokens: usize = batches.iter().map(|batch| batch.ids.len()).sum();

        let mut sum = 0.0;
        let mut gradients: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for (number, batch) in batches.iter().enumerate() {
            let key = SplitMix64::new(options.seed ^ (step << 20) ^ number as u64).next();
            let mode = Mode { dropout: Some(key), smoothing: options.label_smoothing };
            sum += self.gradients(batch, mode, &mut gradients).map_err(internal)?;
        }
        let loss = sum / targets as f64;
        // Of the mean loss over all response tokens of the update, however they were packed.
        let gradient_norm = norm(gradients.values()) / targets as f64;
        if !loss.is_finite() || !gradient_norm.is_finite() {
            return Err(Error::NotFinite { position: u32::try_from(step).unwrap_or(u32::MAX) });
        }
        let clipped = options.clip > 0.0 && gradient_norm > options.clip;
        let scale = if clipped { options.clip / gradient_norm } else { 1.0 } / targets as f64;
        let learning_rate = self.learning_rate(step);
        self.update(&gradients, scale, learning_rate).map_err(internal)?;
        self.state.step += 1;
        self.state.tokens += tokens as u64;
        Ok(StepReport {
            step: step + 1,
            epoch: (step + 1) as f64 / self.steps_per_epoch() as f64,
            loss,
            learning_rate,
            gradient_norm,
            tokens: tokens as u64,
        })
    }

    fn learning_rate(&self, step: u64) -> f64 {
        let total = self.total_steps();
        let warmup = (self.options.warmup * total as f64).round() as u64;
        self.options.learning_rate * self.options.schedule.share(step, warmup, total)
    }

    /// Adds a batch's gradients and returns its summed loss.
    fn gradients(
        &self,
        batch: &Batch,
        mode: Mode,
        sums: &mut BTreeMap<String, Vec<f32>>,
    ) -> candle_core::Result<f64> {
        let loss = self.network.loss(batch, mode)?;
        let store = loss.backward()?;
        for (name, var) in self.network.variables() {
            let Some(gradient) = store.get(var) else { continue };
            let gradient = gradient.flatten_all()?.to_vec1::<f32>()?;
            match sums.get_mut(&name) {
                Some(sum) => sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g),
                None => {
                    sums.insert(name, gradient);
                }
            }
        }
        Ok(f64::from(loss.to_scalar::<f32>()?))
    }

    fn update(
        &mut self,
        gradients: &BTreeMap<String, Vec<f32>>,
        scale: f64,
        rate: f64,
    ) -> candle_core::Result<()> {
        for (name, var) in self.network.variables() {
            let (Some(gradient), Some(moments)) =
                (gradients.get(&name), self.moments.get_mut(&name))
            else {
                continue;
            };
            let mut values = var.flatten_all()?.to_vec1::<f32>()?;
            let decay = self.options.weight_decay;
            moments.update(&mut values, gradient, scale, rate, decay, self.state.step + 1);
            var.set(&candle_core::Tensor::from_vec(values, var.shape(), var.device())?)?;
        }
        Ok(())
    }

    /// The validation examples' mean cross entropy a response token, in nats; `None` without any.
    /// Remembers the adapter if it is the best so far.
    pub fn validate(&mut self) -> Result<Option<f64>> {
        if self.validation.is_empty() {
            return Ok(None);
        }
        let (mut sum, mut count) = (0.0, 0);
        for batch in Batch::pack(&self.validation, self.options.batch_tokens as usize) {
            let loss = self.network.loss(&batch, Mode::default());
            let loss = loss.and_then(|loss| loss.to_scalar::<f32>()).map_err(internal)?;
            sum += f64::from(loss);
            count += batch.targets.len();
        }
        let loss = sum / count as f64;
        if self.state.best_loss.is_none_or(|best| loss < best) {
            self.best = Some(self.network.adapter()?);
            self.state.best_loss = Some(loss);
            self.state.best_step = self.state.step;
            self.state.since_best = 0;
        } else {
            self.state.since_best += 1;
        }
        Ok(Some(loss))
    }

    /// The adapter as it stands.
    pub fn adapter(&self) -> Result<Adapter> {
        self.network.adapter()
    }

    /// The adapter that validated best, if any did.
    pub fn best_adapter(&self) -> Option<&Adapter> {
        self.best.as_ref()
    }
}

fn check(lora: &LoraConfig, options: &Options) -> Result<()> {
    let bad = |option, value: String, expected| Err(Error::BadOption { option, value, expected });
    let share = |v: f64| (0.0..1.0).contains(&v);
    if lora.r == 0 || lora.r > 1024 {
        return bad("rank", lora.r.to_string(), "1 to 1024");
    }
    if !(lora.lora_alpha > 0.0 && lora.lora_alpha.is_finite()) {
        return bad("alpha", lora.lora_alpha.to_string(), "greater than 0");
    }
    if !share(f64::from(lora.lora_dropout)) {
        return bad("dropout", lora.lora_dropout.to_string(), "at least 0 and below 1");
    }
    if lora.target_modules.is_empty() {
        return bad("targets", "empty".to_owned(), "at least one matrix");
    }
    for (option, value) in
        [("epochs", options.epochs), ("batch", options.batch), ("longest", options.longest)]
    {
        if value == 0 {
            return bad(option, value.to_string(), "at least 1");
        }
    }
    if !(options.learning_rate > 0.0 && options.learning_rate.is_finite()) {
        return bad("learning-rate", options.learning_rate.to_string(), "greater than 0");
    }
    if !share(options.warmup) {
        return bad("warmup", options.warmup.to_string(), "at least 0 and below 1");
    }
    if !share(f64::from(options.label_smoothing)) {
        let value = options.label_smoothing.to_string();
        return bad("label-smoothing", value, "at least 0 and below 1");
    }
    for (option, value) in [("weight-decay", options.weight_decay), ("clip", options.clip)] {
        if !(value >= 0.0 && value.is_finite()) {
            return bad(option, value.to_string(), "0 or greater");
        }
    }
    Ok(())
}
