//! A frozen product, alone or with trained low-rank updates beside it (LoRA, Hu et al. 2021).

use std::ops::Range;
use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{tensor, values, with};
use crate::sampler::SplitMix64;
use crate::train::matrix::{Frozen, Operand, outer, transpose};

/// x Wᵀ.
pub(in crate::train) struct FrozenLinear(pub(in crate::train) Arc<Frozen>);

impl CustomOp1 for FrozenLinear {
    fn name(&self) -> &'static str {
        "frozen_linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = Operand::new(values(x, layout)?, self.0.cols(), self.0.precision());
        let y = self.0.forward(&x);
        let shape = (y.len() / self.0.rows(), self.0.rows());
        Ok((CpuStorage::F32(y), shape.into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let dx = with(&g.contiguous()?, |g| {
            Ok(self.0.backward(&Operand::new(g, self.0.rows(), self.0.precision())))
        })?;
        Ok(Some(tensor(dx, x.shape())?))
    }
}

/// Zeroes a share `rate` of x's values before A and scales the others up. What is zeroed follows from
/// `key` alone, so that the backward pass and a resumed run see the same.
#[derive(Debug, Clone, Copy)]
pub(in crate::train) struct Dropout {
    pub(in crate::train) rate: f32,
    pub(in crate::train) key: u64,
}

impl Dropout {
    /// Multiplies by the mask, in place.
    fn apply(self, x: &mut [f32], width: usize) {
        let limit = (f64::from(self.rate) * 2f64.powi(32)) as u32;
        let scale = 1.0 / (1.0 - self.rate);
        x.par_chunks_mut(width).enumerate().for_each(|(row, x)| {
            let mut random =
                SplitMix64::new(self.key ^ (row as u64).wrapping_mul(0xd134_2543_de82_ef95));
            for pair in x.chunks_mut(2) {
                let bits = random.next();
                for (value, bits) in pair.iter_mut().zip([bits as u32, (bits >> 32) as u32]) {
                    *value *= if bits < limit { 0.0 } else { scale };
                }
            }
        });
    }
}

/// Which ranks update which rows of a fused matrix, and how strongly.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::train) struct Block {
    pub(in crate::train) rows: Range<usize>,
    pub(in crate::train) ranks: Range<usize>,
    pub(in crate::train) scale: f32,
}

/// x Wᵀ + scale · (drop(x) Aᵀ) Bᵀ for matrices that are multiplied together, with gradients for x, A
/// \[R\]\[in\] and B \[out\]\[R\]. B is zero outside its blocks and stays so.
pub(in crate::train) struct LoraLinear {
    weight: Arc<Frozen>,
    blocks: Arc<Vec<Block>>,
    dropout: Option<Dropout>,
    /// scale · drop(x) Aᵀ \[T\]\[R\], kept from the forward pass.
    low: Mutex<Vec<f32>>,
}

impl LoraLinear {
    pub(in crate::train) fn new(
        weight: Arc<Frozen>,
        blocks: Arc<Vec<Block>>,
        dropout: Option<Dropout>,
    ) -> Self {
        LoraLinear { weight, blocks, dropout, low: Mutex::default() }
    }

    /// What A sees of x, where that is not x itself.
    fn dropped(&self, x: &[f32]) -> Option<Vec<f32>> {
        self.dropout.map(|dropout| {
            let mut x = x.to_vec();
            dropout.apply(&mut x, self.weight.cols());
            x
        })
    }

    fn scale(&self, low: &mut [f32], rank: usize) {
        for row in low.chunks_exact_mut(rank) {
            for block in &*self.blocks {
                row[block.ranks.clone()].iter_mut().for_each(|v| *v *= block.scale);
            }
        }
    }

    /// Zeroes a gradient of B outside the blocks.
    fn mask(&self, db: &mut [f32], rank: usize) {
        for block in &*self.blocks {
            for row in db[block.rows.start * rank..block.rows.end * rank].chunks_exact_mut(rank) {
                row[..block.ranks.start].fill(0.0);
                row[block.ranks.end..].fill(0.0);
            }
        }
    }

    /// Gradients of x, A and B.
    fn backward(&self, x: &[f32], a: &[f32], b: &[f32], g: &[f32], rank: usize) -> [Vec<f32>; 3] {
        let (out, inner) = (self.weight.rows(), self.weight.cols());
        let precision = self.weight.precision();
        let low = self.low.lock().map(|mut low| std::mem::take(&mut *low)).unwrap_or_default();
        let gradient = Operand::new(g, out, precision);
        let mut dlow = vec![0.0; low.len()];
        gradient.times(b, &mut dlow, rank);
        self.scale(&mut dlow, rank);
        let mut dx = self.weight.backward(&gradient);
        let dropped = self.dropped(x);
        let da = outer(&dlow, rank, dropped.as_deref().unwrap_or(x), inner, precision);
        let mut db = transpose(&outer(&low, rank, g, out, precision), out);
        self.mask(&mut db, rank);
        let back = Operand::new(&dlow, rank, precision);
        match self.dropout {
            None => back.times(a, &mut dx, inner),
            Some(dropout) => {
                let mut through = vec![0.0; dx.len()];
                back.times(a, &mut through, inner);
                dropout.apply(&mut through, inner);
                dx.iter_mut().zip(through).for_each(|(dx, t)| *dx += t);
            }
        }
        [dx, da, db]
    }
}

impl CustomOp3 for LoraLinear {
    fn name(&self) -> &'static str {
        "lora_linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, a, b) = (values(x, x_layout)?, values(a, a_layout)?, values(b, b_layout)?);
        let (out, inner, tokens) = (self.weight.rows(), self.weight.cols(), x_layout.dims()[0]);
        let (rank, precision) = (a_layout.dims()[0], self.weight.precision());
        let operand = Operand::new(x, inner, precision);
        let mut y = self.weight.forward(&operand);
        let mut low = vec![0.0; tokens * rank];
        match self.dropped(x) {
            None => operand.times_transposed(a, &mut low, rank),
            Some(x) => Operand::new(&x, inner, precision).times_transposed(a, &mut low, rank),
        }
        self.scale(&mut low, rank);
        Operand::new(&low, rank, precision).times_transposed(b, &mut y, out);
        if let Ok(mut kept) = self.low.lock() {
            *kept = low;
        }
        Ok((CpuStorage::F32(y), (tokens, out).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (g, rank) = (g.contiguous()?, a.dims()[0]);
        let [dx, da, db] = with(x, |x| {
            with(a, |a| with(b, |b| with(&g, |g| Ok(self.backward(x, a, b, g, rank)))))
        })?;
        Ok((
            Some(tensor(dx, x.shape())?),
            Some(tensor(da, a.shape())?),
            Some(tensor(db, b.shape())?),
        ))
    }
}
