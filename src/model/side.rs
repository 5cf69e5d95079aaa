//! An adapter as the GPU takes it: for each product of a block the stacked A of its fused tensors, and
//! their B with the scale in it, in the row order of GGUF. Nothing is merged: the weights stay as they
//! are, and what is added to them is exact to f32 rounding: factors are stored as f16 only where that
//! loses nothing.

use super::layout::Layout;
use super::loader::check_base;
use super::program::BufferSpec;
use crate::config::LlamaConfig;
use crate::error::{Error, Result};
use crate::kernels::lora::{Factors, Params};
use crate::lora::{Adapter, Pair, Target};

/// The side paths of all blocks, with the contents of their buffers.
#[derive(Debug, Clone)]
pub struct SidePath {
    /// How all its factors are stored.
    pub factors: Factors,
    /// By layer.
    pub layers: Vec<SideLayer>,
    /// Buffers and what is in them; [`SideProduct`] names them by their index.
    pub buffers: Vec<(BufferSpec, Vec<u32>)>,
}

/// The side paths of one block's products; nothing for a product of which no tensor is adapted.
#[derive(Debug, Clone, Copy, Default)]
pub struct SideLayer {
    /// Of q, k, v.
    pub qkv: Option<SideProduct>,
    /// Of the attention's output.
    pub output: Option<SideProduct>,
    /// Of gate and up.
    pub gate_up: Option<SideProduct>,
    /// Of down.
    pub down: Option<SideProduct>,
}

/// The side path of one product.
#[derive(Debug, Clone, Copy)]
pub struct SideProduct {
    /// A \[4 stride\]\[in\]: index into [`SidePath::buffers`].
    pub a: usize,
    /// s·B \[rows\]\[R\].
    pub b: usize,
    /// As the kernels take them, `blocks` and `rows` of the product included.
    pub params: Params,
}

impl SidePath {
    /// Lays out an adapter for a model.
    ///
    /// # Errors
    /// [`Error::UnexpectedTensor`] for a layer that the model does not have; [`Error::WrongShape`] for
    /// factors of another model; [`Error::BadWeight`] for values that are not finite.
    pub fn new(layout: &Layout, adapter: &Adapter) -> Result<SidePath> {
        let config = &layout.config;
        for ((layer, target), pair) in &adapter.pairs {
            check(config, *layer, *target, pair)?;
        }
        let factors = narrowest(adapter);
        let mut side = SidePath { factors, layers: Vec::new(), buffers: Vec::new() };
        for layer in 0..config.num_hidden_layers {
            use Target::{Down, Gate, K, O, Q, Up, V};
            let mut product = |targets: &[Target]| side.product(config, adapter, layer, targets);
            let built = SideLayer {
                qkv: product(&[Q, K, V]),
                output: product(&[O]),
                gate_up: product(&[Gate, Up]),
                down: product(&[Down]),
            };
            side.layers.push(built);
        }
        Ok(side)
    }

    /// The side path of an adapter, if there is one, for a base whose parts have these hashes.
    ///
    /// # Errors
    /// [`Error::OtherBase`]; as [`SidePath::new`].
    pub fn checked(
        layout: &Layout,
        sha256: &[String],
        adapter: Option<&Adapter>,
    ) -> Result<Option<SidePath>> {
        let Some(adapter) = adapter else { return Ok(None) };
        check_base(adapter, sha256)?;
        SidePath::new(layout, adapter).map(Some)
    }

    /// f32 values that A x has for a token, at most.
    pub fn widest(&self) -> u32 {
        let products = self.layers.iter().flat_map(|l| [l.qkv, l.output, l.gate_up, l.down]);
        products.flatten().map(|product| 4 * product.params.stride).max().unwrap_or(0)
    }

    fn product(
        &mut self,
        config: &LlamaConfig,
        adapter: &Adapter,
        layer: u32,
        targets: &[Target],
    ) -> Option<SideProduct> {
        let pair = |target: &Target| adapter.pairs.get(&(layer, *target));
        // Ranks may differ; zeros fill up to the largest, in whole vec4s.
        let rank = targets.iter().filter_map(pair).map(|pair| pair.rank).max()?;
        let rank = rank.next_multiple_of(4) as usize;
        let cols = targets.first()?.shape(config).1 as usize;
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let (mut first_rows, mut parts) = (Vec::new(), Vec::new());
        for target in targets {
            let rows = target.shape(config).0 as usize;
            let first = b.len();
            first_rows.push((first / rank) as u32);
            b.resize(first + rows * rank, 0.0);
            let Some(pair) = pair(target) else {
                parts.push(0); // its rows of B are zeros
                continue;
            };
            parts.push((a.len() / cols / 4) as u32);
            a.extend(&pair.a);
            a.resize(a.len().next_multiple_of(rank * cols), 0.0);
            for (row, from) in pair.b.chunks_exact(pair.rank as usize).enumerate() {
                let row = gguf_row(config, *target, row);
                let into = b[first + row * rank..].iter_mut();
                into.zip(from).for_each(|(into, from)| *into = pair.scale * from);
            }
        }
        let rows = (b.len() / rank) as u32;
        let or_end = |list: &[u32], i: usize, end| list.get(i).copied().unwrap_or(end);
        let params = Params {
            // Gate and up rows give one value together.
            rows: if targets.contains(&Target::Gate) { rows / 2 } else { rows },
            blocks: cols as u32 / crate::quant::BLOCK,
            quads: rank as u32 / 4,
            stride: (a.len() / cols / 4) as u32,
            second: or_end(&first_rows, 1, rows),
            third: or_end(&first_rows, 2, rows),
            second_at: or_end(&parts, 1, 0),
            third_at: or_end(&parts, 2, 0),
        };
        let names = targets.iter().map(|target| target.name()).collect::<Vec<_>>().join(" ");
        let factors = self.factors;
        let mut add = |factor: &str, values: Vec<f32>| {
            let words = factors.encode(&values);
            let label = format!("lora {layer} {names} {factor}");
            self.buffers.push((BufferSpec { label, words: words.len() as u64 }, words));
            self.buffers.len() - 1
        };
        Some(SideProduct { a: add("A", a), b: add("B", b), params })
    }
}

/// The narrowest format that holds every value of A and s·B.
fn narrowest(adapter: &Adapter) -> Factors {
    let f16 = |value: f32| Factors::F16.hold(value);
    let held =
        |pair: &Pair| pair.a.iter().all(|a| f16(*a)) && pair.b.iter().all(|b| f16(pair.scale * b));
    if adapter.pairs.values().all(held) { Factors::F16 } else { Factors::F32 }
}

/// Where GGUF's llama files have a row that Hugging Face has at `row`: heads of q and k are interleaved
/// there, (0, Dh/2, 1, Dh/2 + 1, …), and in halves here.
pub fn gguf_row(config: &LlamaConfig, target: Target, row: usize) -> usize {
    if target.permuted_heads(config).is_none() {
        return row;
    }
    let head_dim = config.head_dim as usize;
    let (head, at) = (row / head_dim, row % head_dim);
    head * head_dim + 2 * (at % (head_dim / 2)) + at / (head_dim / 2)
}

fn check(config: &LlamaConfig, layer: u32, target: Target, pair: &Pair) -> Result<()> {
    let module = format!("model.layers.{layer}.{}.{}", target.parent(), target.name());
    let tensor = |factor: &str| format!("{module}.lora_{factor}.weight");
    if layer >= config.num_hidden_layers {
        return Err(Error::UnexpectedTensor { tensor: tensor("A") });
    }
    let (rows, cols) = target.shape(config);
    let rank = u64::from(pair.rank);
    for (factor, values, [first, second]) in
        [("A", &pair.a, [rank, cols.into()]), ("B", &pair.b, [rows.into(), rank])]
    {
        if rank == 0 || values.len() as u64 != first * second {
            let known = if factor == "A" { first } else { second }.max(1);
            let other = values.len() as u64 / known;
            let found = if factor == "A" { vec![first, other] } else { vec![other, second] };
            let (tensor, expected) = (tensor(factor), vec![first, second]);
            return Err(Error::WrongShape { tensor, expected, found });
        }
        if !values.iter().all(|value| (value * pair.scale).is_finite()) {
            return Err(Error::BadWeight { tensor: tensor(factor) });
        }
    }
    Ok(())
}
