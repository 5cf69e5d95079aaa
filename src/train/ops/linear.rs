//! A frozen product, alone or with a trained low-rank update beside it (LoRA, Hu et al. 2021).

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{tensor, values, with};
use crate::sampler::SplitMix64;
use crate::train::matrix::{Factor, Frozen, outer, transpose};

/// x Wᵀ.
pub(in crate::train) struct FrozenLinear(pub(in crate::train) Arc<Frozen>);

impl CustomOp1 for FrozenLinear {
    fn name(&self) -> &'static str {
        "frozen_linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = self.0.forward(values(x, layout)?);
        let shape = (y.len() / self.0.rows(), self.0.rows());
        Ok((CpuStorage::F32(y), shape.into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let dx = with(&g.contiguous()?, |g| Ok(self.0.backward(g)))?;
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

/// x Wᵀ + scale · (drop(x) Aᵀ) Bᵀ, with gradients for x, A \[R\]\[in\] and B \[out\]\[R\].
pub(in crate::train) struct LoraLinear {
    pub(in crate::train) weight: Arc<Frozen>,
    pub(in crate::train) scale: f32,
    pub(in crate::train) dropout: Option<Dropout>,
}

impl LoraLinear {
    /// Calls `f` with what A sees of x.
    fn dropped<R>(&self, x: &[f32], f: impl FnOnce(&[f32]) -> R) -> R {
        match self.dropout {
            None => f(x),
            Some(dropout) => {
                let mut x = x.to_vec();
                dropout.apply(&mut x, self.weight.cols());
                f(&x)
            }
        }
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
        let mut y = self.weight.forward(x);
        let mut low = vec![0.0; tokens * rank];
        let a = Factor::new(a, inner, precision);
        self.dropped(x, |x| a.add_transposed(x, &mut low, 1.0));
        Factor::new(b, rank, precision).add_transposed(&low, &mut y, self.scale);
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
        let (out, inner, tokens) = (self.weight.rows(), self.weight.cols(), x.dims()[0]);
        let (rank, precision) = (a.dims()[0], self.weight.precision());
        let g = g.contiguous()?;
        let (dx, da, db) = with(x, |x| {
            with(a, |a| {
                with(b, |b| {
                    with(&g, |g| {
                        let a = Factor::new(a, inner, precision);
                        let b = Factor::new(b, rank, precision);
                        let mut low = vec![0.0; tokens * rank]; // x Aᵀ
                        let mut dlow = vec![0.0; tokens * rank]; // scale · g B
                        b.add(g, &mut dlow, self.scale);
                        let da = self.dropped(x, |x| {
                            a.add_transposed(x, &mut low, 1.0);
                            outer(&dlow, rank, x, inner, 1.0, precision)
                        });
                        let db = outer(&low, rank, g, out, self.scale, precision);
                        let db = transpose(&db, out);
                        let mut dx = self.weight.backward(g);
                        match self.dropout {
                            None => a.add(&dlow, &mut dx, 1.0),
                            Some(dropout) => {
                                let mut through = vec![0.0; dx.len()];
                                a.add(&dlow, &mut through, 1.0);
                                dropout.apply(&mut through, inner);
                                dx.iter_mut().zip(through).for_each(|(dx, t)| *dx += t);
                            }
                        }
                        Ok((dx, da, db))
                    })
                })
            })
        })?;
        Ok((
            Some(tensor(dx, x.shape())?),
            Some(tensor(da, a.shape())?),
            Some(tensor(db, b.shape())?),
        ))
    }
}
