//! The trained model: the frozen base with an adapter's factors as variables of candle's graph.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use candle_core::{Device, Tensor, Var};

use super::base::Base;
use super::examples::{Batch, Example};
use super::ops::{
    Attention, CrossEntropy, Dropout, FrozenLinear, LoraLinear, RmsNorm, Rope, Swiglu,
};
use crate::error::{Error, Result};
use crate::lora::{Adapter, LoraConfig, Pair, Target};
use crate::sampler::SplitMix64;

/// candle's errors are ours to have avoided.
pub(super) fn internal(error: candle_core::Error) -> Error {
    Error::Internal(format!("training: {error}"))
}

/// A and B of one matrix.
struct Factors {
    a: Var,
    b: Var,
    scale: f32,
}

/// Base and adapter.
pub struct Network {
    pub(super) base: Arc<Base>,
    config: LoraConfig,
    factors: BTreeMap<(u32, Target), Factors>,
    rope: Arc<Rope>,
}

/// How a batch is looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mode {
    /// Zeroes inputs of A, by this key.
    pub(super) dropout: Option<u64>,
    /// Label smoothing.
    pub(super) smoothing: f32,
}

impl Network {
    /// A fresh adapter on a base: A uniform within ±1/√in (Kaiming with a = √5, as PEFT does), B zero,
    /// so that training starts from the base's own output.
    pub fn new(base: Arc<Base>, config: LoraConfig, longest: usize, seed: u64) -> Result<Network> {
        let mut random = SplitMix64::new(seed);
        let mut pairs = BTreeMap::new();
        for layer in 0..base.config.num_hidden_layers {
            for &target in &config.target_modules {
                let (out, inner) = target.shape(&base.config);
                let bound = 1.0 / f64::from(inner).sqrt();
                let mut uniform = || {
                    let unit = (random.next() >> 11) as f64 / (1u64 << 53) as f64;
                    (bound * (2.0 * unit - 1.0)) as f32
                };
                let a = (0..config.r * inner).map(|_| uniform()).collect();
                let b = vec![0.0; (out * config.r) as usize];
                let pair = Pair { rank: config.r, scale: config.scale(), a, b };
                pairs.insert((layer, target), pair);
            }
        }
        Self::from_adapter(base, &Adapter { config, base_sha256: None, pairs }, longest)
    }

    /// The network of an adapter, for sequences of up to `longest` tokens.
    ///
    /// # Errors
    /// [`Error::WrongShape`] for factors that do not fit the base.
    pub fn from_adapter(base: Arc<Base>, adapter: &Adapter, longest: usize) -> Result<Network> {
        let var = |values: &[f32], rows: u32, cols: u32, name: &str| -> Result<Var> {
            if values.len() as u64 != u64::from(rows) * u64::from(cols) {
                return Err(Error::WrongShape {
                    tensor: name.to_owned(),
                    expected: vec![u64::from(rows), u64::from(cols)],
                    found: vec![values.len() as u64],
                });
            }
            let shape = (rows as usize, cols as usize);
            let tensor = Tensor::from_slice(values, shape, &Device::Cpu);
            tensor.and_then(|tensor| Var::from_tensor(&tensor)).map_err(internal)
        };
        let mut factors = BTreeMap::new();
        for (&(layer, target), pair) in &adapter.pairs {
            let (out, inner) = target.shape(&base.config);
            let name = format!("layers.{layer}.{}", target.name());
            let a = var(&pair.a, pair.rank, inner, &name)?;
            let b = var(&pair.b, out, pair.rank, &name)?;
            factors.insert((layer, target), Factors { a, b, scale: pair.scale });
        }
        let head_dim = base.config.head_dim as usize;
        let rope = Arc::new(Rope::new(longest, head_dim, base.config.rope_theta));
        Ok(Network { base, config: adapter.config.clone(), factors, rope })
    }

    /// The variables with their names, always in the same order.
    pub(super) fn variables(&self) -> impl Iterator<Item = (String, &Var)> {
        self.factors.iter().flat_map(|(&(layer, target), factors)| {
            [("a", &factors.a), ("b", &factors.b)]
                .map(|(side, var)| (format!("layers.{layer}.{}.{side}", target.name()), var))
        })
    }

    /// The adapter as it stands.
    pub fn adapter(&self) -> Result<Adapter> {
        let values = |var: &Var| var.flatten_all()?.to_vec1::<f32>();
        let pairs = self
            .factors
            .iter()
            .map(|(&key, factors)| {
                let rank = factors.a.dims()[0] as u32;
                let (a, b) = (values(&factors.a)?, values(&factors.b)?);
                Ok((key, Pair { rank, scale: factors.scale, a, b }))
            })
            .collect::<candle_core::Result<_>>()
            .map_err(internal)?;
        let base_sha256 = None;
        Ok(Adapter { config: self.config.clone(), base_sha256, pairs })
    }

    /// Σ of the cross entropies of a batch's responses: a scalar to walk back from.
    pub(super) fn loss(&self, batch: &Batch, mode: Mode) -> candle_core::Result<Tensor> {
        let (at, targets): (Vec<u32>, Vec<u32>) = batch.targets.iter().copied().unzip();
        let hidden = self.hidden(batch, mode.dropout)?;
        let rows = hidden.index_select(&Tensor::new(at, &Device::Cpu)?, 0)?;
        self.normed(&rows, &self.base.final_norm)?.apply_op1(CrossEntropy {
            lm_head: self.base.lm_head.clone(),
            targets,
            smoothing: mode.smoothing,
            gradient: Mutex::new(None),
        })
    }

    /// The logits after each token of one sequence, \[T\]\[V\]: what the engine must agree with.
    ///
    /// # Errors
    /// [`Error::PromptTooLong`] for more tokens than the network was made for.
    pub fn logits(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let batch = Batch { ids: ids.to_vec(), sequences: vec![(0, ids.len())], targets: vec![] };
        let normed = |hidden: Tensor| self.normed(&hidden, &self.base.final_norm);
        let logits = |h: Tensor| h.apply_op1(FrozenLinear(self.base.lm_head.clone()));
        self.hidden(&batch, None)
            .and_then(normed)
            .and_then(logits)
            .and_then(|logits| logits.flatten_all()?.to_vec1())
            .map_err(internal)
    }

    /// The examples' summed cross entropy and its gradients by the adapter's factors, as a `Pair` each:
    /// for checks.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn gradients(&self, examples: &[Example]) -> Result<(f64, BTreeMap<(u32, Target), Pair>)> {
        let compute = || -> candle_core::Result<_> {
            let mut sum = 0.0;
            let mut gradients: BTreeMap<_, Pair> = BTreeMap::new();
            for batch in Batch::pack(examples, usize::MAX) {
                let loss = self.loss(&batch, Mode::default())?;
                let store = loss.backward()?;
                for (&key, Factors { a, b, scale }) in &self.factors {
                    let by = |var: &Var| match store.get(var) {
                        Some(gradient) => gradient.flatten_all()?.to_vec1::<f32>(),
                        None => Ok(vec![0.0; var.elem_count()]),
                    };
                    let rank = a.dims()[0] as u32;
                    gradients.insert(key, Pair { rank, scale: *scale, a: by(a)?, b: by(b)? });
                }
                sum += f64::from(loss.to_scalar::<f32>()?);
            }
            Ok((sum, gradients))
        };
        compute().map_err(internal)
    }

    fn normed(&self, x: &Tensor, weight: &Arc<Vec<f32>>) -> candle_core::Result<Tensor> {
        let (weight, eps) = (weight.clone(), self.base.config.rms_norm_eps);
        x.apply_op1(RmsNorm { weight, eps })
    }

    /// The residual stream after the last block, \[T\]\[D\].
    fn hidden(&self, batch: &Batch, dropout: Option<u64>) -> candle_core::Result<Tensor> {
        let config = &self.base.config;
        let width = config.hidden_size as usize;
        let mut embedded = Vec::with_capacity(batch.ids.len() * width);
        for &id in &batch.ids {
            embedded.extend_from_slice(&self.base.embedding[id as usize * width..][..width]);
        }
        let attention = Attention {
            sequences: Arc::new(batch.sequences.clone()),
            rope: self.rope.clone(),
            heads: config.num_attention_heads as usize,
            kv_heads: config.num_key_value_heads as usize,
            head_dim: config.head_dim as usize,
        };
        let mut hidden = Tensor::from_vec(embedded, (batch.ids.len(), width), &Device::Cpu)?;
        for (i, layer) in self.base.layers.iter().enumerate() {
            let product = |x: &Tensor, target| self.product(i as u32, target, x, dropout);
            let x = self.normed(&hidden, &layer.attention_norm)?;
            let (q, k) = (product(&x, Target::Q)?, product(&x, Target::K)?);
            let x = q.apply_op3(&k, &product(&x, Target::V)?, attention.clone())?;
            hidden = (hidden + product(&x, Target::O)?)?;
            let x = self.normed(&hidden, &layer.ffn_norm)?;
            let x = product(&x, Target::Gate)?.apply_op2(&product(&x, Target::Up)?, Swiglu)?;
            hidden = (hidden + product(&x, Target::Down)?)?;
        }
        Ok(hidden)
    }

    /// One matrix's product, with its update where it is adapted.
    fn product(
        &self,
        layer: u32,
        target: Target,
        x: &Tensor,
        dropout: Option<u64>,
    ) -> candle_core::Result<Tensor> {
        let weight = self.base.layers[layer as usize].matrices[target as usize].clone();
        let Some(Factors { a, b, scale }) = self.factors.get(&(layer, target)) else {
            return x.apply_op1(FrozenLinear(weight));
        };
        let rate = self.config.lora_dropout;
        let dropout = dropout.filter(|_| rate > 0.0).map(|key| {
            let place = u64::from(layer) * 7 + target as u64 + 1;
            Dropout { rate, key: SplitMix64::new(key ^ (place << 40)).next() }
        });
        x.apply_op3(a, b, LoraLinear { weight, scale: *scale, dropout })
    }
}
