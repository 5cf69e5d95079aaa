//! The trained model: the frozen base with an adapter's factors as variables of candle's graph.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use candle_core::{Device, Tensor, Var};

use super::base::{Base, GROUPS};
use super::examples::{Batch, Example};
use super::ops::{
    Attention, Block, CrossEntropy, Dropout, FrozenLinear, LoraLinear, RmsNorm, Rope, Swiglu,
};
use crate::error::{Error, Result};
use crate::lora::{Adapter, LoraConfig, Pair, Pairs, Target};
use crate::sampler::SplitMix64;

/// candle's errors are ours to have avoided.
pub(super) fn internal(error: candle_core::Error) -> Error {
    Error::Internal(format!("training: {error}"))
}

/// The factors of matrices that are multiplied together: their A's one below the other \[ΣR\]\[in\], their
/// B's on the diagonal of one matrix \[Σout\]\[ΣR\].
struct Factors {
    a: Var,
    b: Var,
    /// What of it is whose.
    parts: Vec<(Target, Block)>,
    blocks: Arc<Vec<Block>>,
}

impl Factors {
    /// Stacks the pairs of one group; `None` without any.
    fn stack(
        config: &crate::LlamaConfig,
        group: &[Target],
        pairs: &BTreeMap<Target, &Pair>,
    ) -> candle_core::Result<Option<Factors>> {
        let ranks: usize = pairs.values().map(|pair| pair.rank as usize).sum();
        let outs: usize = group.iter().map(|target| target.shape(config).0 as usize).sum();
        let Some(inner) = group.first().map(|target| target.shape(config).1 as usize) else {
            return Ok(None);
        };
        if ranks == 0 {
            return Ok(None);
        }
        let (mut a, mut b) = (Vec::with_capacity(ranks * inner), vec![0.0; outs * ranks]);
        let (mut parts, mut first_row, mut first_rank) = (Vec::new(), 0, 0);
        for target in group {
            let out = target.shape(config).0 as usize;
            if let Some(pair) = pairs.get(target) {
                let rank = pair.rank as usize;
                a.extend_from_slice(&pair.a);
                for (row, values) in pair.b.chunks_exact(rank).enumerate() {
                    b[(first_row + row) * ranks + first_rank..][..rank].copy_from_slice(values);
                }
                let (rows, ranks) = (first_row..first_row + out, first_rank..first_rank + rank);
                parts.push((*target, Block { rows, ranks, scale: pair.scale }));
                first_rank += rank;
            }
            first_row += out;
        }
        let var = |values, shape| Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu)?);
        let blocks = Arc::new(parts.iter().map(|(_, block)| block.clone()).collect());
        let (a, b) = (var(a, (ranks, inner))?, var(b, (outs, ranks))?);
        Ok(Some(Factors { a, b, parts, blocks }))
    }

    /// The pairs again, from values of A and B: the variables' own, or their gradients.
    fn unstack(&self, a: &Tensor, b: &Tensor) -> candle_core::Result<Vec<(Target, Pair)>> {
        let (ranks, inner) = a.dims2()?;
        let (a, b) = (a.flatten_all()?.to_vec1::<f32>()?, b.flatten_all()?.to_vec1::<f32>()?);
        let pair = |(target, block): &(Target, Block)| {
            let rows = b[block.rows.start * ranks..block.rows.end * ranks].chunks_exact(ranks);
            let pair = Pair {
                rank: block.ranks.len() as u32,
                scale: block.scale,
                a: a[block.ranks.start * inner..block.ranks.end * inner].to_vec(),
                b: rows.flat_map(|row| &row[block.ranks.clone()]).copied().collect(),
            };
            (*target, pair)
        };
        Ok(self.parts.iter().map(pair).collect())
    }
}

/// Base and adapter.
pub struct Network {
    pub(super) base: Arc<Base>,
    config: LoraConfig,
    /// By layer and [`GROUPS`].
    factors: BTreeMap<(u32, usize), Factors>,
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
        for (&(layer, target), pair) in &adapter.pairs {
            let (out, inner) = target.shape(&base.config);
            for (side, values, rows, cols) in
                [('A', &pair.a, pair.rank, inner), ('B', &pair.b, out, pair.rank)]
            {
                if values.len() as u64 != u64::from(rows) * u64::from(cols) {
                    return Err(Error::WrongShape {
                        tensor: format!("layers.{layer}.{}.lora_{side}", target.name()),
                        expected: vec![u64::from(rows), u64::from(cols)],
                        found: vec![values.len() as u64],
                    });
                }
            }
        }
        let mut factors = BTreeMap::new();
        for layer in 0..base.config.num_hidden_layers {
            for (index, group) in GROUPS.into_iter().enumerate() {
                let own = |target: &Target| Some((*target, adapter.pairs.get(&(layer, *target))?));
                let pairs = group.iter().filter_map(own).collect();
                let stacked = Factors::stack(&base.config, group, &pairs).map_err(internal)?;
                factors.extend(stacked.map(|stacked| ((layer, index), stacked)));
            }
        }
        let head_dim = base.config.head_dim as usize;
        let rope = Arc::new(Rope::new(longest, head_dim, base.config.rope_theta));
        Ok(Network { base, config: adapter.config.clone(), factors, rope })
    }

    /// The variables with their names, always in the same order.
    pub(super) fn variables(&self) -> impl Iterator<Item = (String, &Var)> {
        self.factors.iter().flat_map(|(&(layer, group), factors)| {
            [("a", &factors.a), ("b", &factors.b)]
                .map(|(side, var)| (format!("layers.{layer}.{group}.{side}"), var))
        })
    }

    /// The adapter as it stands.
    pub fn adapter(&self) -> Result<Adapter> {
        let pairs = self.pairs(|var| Ok(var.as_tensor().clone())).map_err(internal)?;
        let base_sha256 = None;
        Ok(Adapter { config: self.config.clone(), base_sha256, pairs })
    }

    /// What `of` makes of each variable, by layer and target.
    fn pairs(
        &self,
        of: impl Fn(&Var) -> candle_core::Result<Tensor>,
    ) -> candle_core::Result<Pairs> {
        let mut pairs = BTreeMap::new();
        for (&(layer, _), factors) in &self.factors {
            let own = factors.unstack(&of(&factors.a)?, &of(&factors.b)?)?;
            pairs.extend(own.into_iter().map(|(target, pair)| ((layer, target), pair)));
        }
        Ok(pairs)
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
    pub fn gradients(&self, examples: &[Example]) -> Result<(f64, Pairs)> {
        let compute = || {
            let batches = Batch::pack(examples, usize::MAX);
            let batch = batches.first().cloned().unwrap_or_default();
            let loss = self.loss(&batch, Mode::default())?;
            let store = loss.backward()?;
            let gradient = |var: &Var| match store.get(var) {
                Some(gradient) => Ok(gradient.clone()),
                None => var.zeros_like(),
            };
            Ok((f64::from(loss.to_scalar::<f32>()?), self.pairs(gradient)?))
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
            let product = |x: &Tensor, group| self.product(i as u32, group, x, dropout);
            let qkv = product(&self.normed(&hidden, &layer.attention_norm)?, 0)?;
            hidden = (hidden + product(&qkv.apply_op1(attention.clone())?, 1)?)?;
            let gate_up = product(&self.normed(&hidden, &layer.ffn_norm)?, 2)?;
            hidden = (hidden + product(&gate_up.apply_op1(Swiglu)?, 3)?)?;
        }
        Ok(hidden)
    }

    /// One group's product, with its updates where it is adapted.
    fn product(
        &self,
        layer: u32,
        group: usize,
        x: &Tensor,
        dropout: Option<u64>,
    ) -> candle_core::Result<Tensor> {
        let weight = self.base.layers[layer as usize].matrices[group].clone();
        let Some(Factors { a, b, blocks, .. }) = self.factors.get(&(layer, group)) else {
            return x.apply_op1(FrozenLinear(weight));
        };
        let rate = self.config.lora_dropout;
        let dropout = dropout.filter(|_| rate > 0.0).map(|key| {
            let place = u64::from(layer) * 4 + group as u64 + 1;
            Dropout { rate, key: SplitMix64::new(key ^ (place << 40)).next() }
        });
        x.apply_op3(a, b, LoraLinear::new(weight, blocks.clone(), dropout))
    }
}
