//! RMSNorm (Zhang and Sennrich 2019) and SwiGLU (Shazeer 2020).

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{exp, tensor, values, with};

/// x · w / rms(x) along rows.
pub(in crate::train) struct RmsNorm {
    pub(in crate::train) weight: Arc<Vec<f32>>,
    pub(in crate::train) eps: f32,
}

impl RmsNorm {
    fn inverse(&self, x: &[f32]) -> f32 {
        let squares: f32 = x.iter().map(|v| v * v).sum();
        1.0 / (squares / x.len() as f32 + self.eps).sqrt()
    }
}

impl CustomOp1 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(x, layout)?;
        let d = self.weight.len();
        let mut y = vec![0.0; x.len()];
        y.par_chunks_mut(d).zip(x.par_chunks(d)).for_each(|(y, x)| {
            let inverse = self.inverse(x);
            for ((y, x), w) in y.iter_mut().zip(x).zip(&*self.weight) {
                *y = x * inverse * w;
            }
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let d = self.weight.len();
        let g = g.contiguous()?;
        let dx = with(x, |x| {
            with(&g, |g| {
                let mut dx = vec![0.0; x.len()];
                dx.par_chunks_mut(d).zip(x.par_chunks(d)).zip(g.par_chunks(d)).for_each(
                    |((dx, x), g)| {
                        let inverse = self.inverse(x);
                        let gw = || g.iter().zip(&*self.weight).map(|(g, w)| g * w);
                        let along: f32 = gw().zip(x).map(|(gw, x)| gw * x).sum();
                        let back = along * inverse * inverse / d as f32;
                        for ((dx, gw), x) in dx.iter_mut().zip(gw()).zip(x) {
                            *dx = inverse * (gw - x * back);
                        }
                    },
                );
                Ok(dx)
            })
        })?;
        Ok(Some(tensor(dx, x.shape())?))
    }
}

/// silu(gate) · up \[T\]\[F\], from rows of gate and up, \[T\]\[2 F\].
pub(in crate::train) struct Swiglu;

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

impl CustomOp1 for Swiglu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(x, layout)?;
        let (tokens, f) = (layout.dims()[0], layout.dims()[1] / 2);
        let mut y = vec![0.0; tokens * f];
        y.par_chunks_mut(f).zip(x.par_chunks(2 * f)).for_each(|(y, x)| {
            let (gate, up) = x.split_at(f);
            for ((y, &gate), up) in y.iter_mut().zip(gate).zip(up) {
                *y = gate * sigmoid(gate) * up;
            }
        });
        Ok((CpuStorage::F32(y), (tokens, f).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let (g, f) = (g.contiguous()?, x.dims()[1] / 2);
        let dx = with(x, |x| {
            with(&g, |g| {
                let mut dx = vec![0.0; x.len()];
                let rows = dx.par_chunks_mut(2 * f).zip(x.par_chunks(2 * f)).zip(g.par_chunks(f));
                rows.for_each(|((dx, x), g)| {
                    let (dgate, dup) = dx.split_at_mut(f);
                    let (gate, up) = x.split_at(f);
                    let inputs = gate.iter().zip(up).zip(g);
                    for ((dgate, dup), ((&gate, up), g)) in dgate.iter_mut().zip(dup).zip(inputs) {
                        let s = sigmoid(gate);
                        *dup = g * gate * s;
                        *dgate = g * up * s * (1.0 + gate * (1.0 - s));
                    }
                });
                Ok(dx)
            })
        })?;
        Ok(Some(tensor(dx, x.shape())?))
    }
}
