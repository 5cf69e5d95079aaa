//! RMSNorm (Zhang and Sennrich 2019) and SwiGLU (Shazeer 2020).

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
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

/// silu(gate) · up.
pub(in crate::train) struct Swiglu;

/// Values one task takes: enough to be worth handing out.
const GRAIN: usize = 1 << 14;

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

impl CustomOp2 for Swiglu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (gate, up) = (values(gate, gate_layout)?, values(up, up_layout)?);
        let mut y = vec![0.0; gate.len()];
        y.par_chunks_mut(GRAIN).zip(gate.par_chunks(GRAIN)).zip(up.par_chunks(GRAIN)).for_each(
            |((y, gate), up)| {
                for ((y, &gate), up) in y.iter_mut().zip(gate).zip(up) {
                    *y = gate * sigmoid(gate) * up;
                }
            },
        );
        Ok((CpuStorage::F32(y), gate_layout.shape().clone()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let g = g.contiguous()?;
        let (dgate, dup) = with(gate, |gate| {
            with(up, |up| {
                with(&g, |g| {
                    let (mut dgate, mut dup) = (vec![0.0; g.len()], vec![0.0; g.len()]);
                    dgate
                        .par_chunks_mut(GRAIN)
                        .zip(dup.par_chunks_mut(GRAIN))
                        .zip(gate.par_chunks(GRAIN).zip(up.par_chunks(GRAIN)))
                        .zip(g.par_chunks(GRAIN))
                        .for_each(|(((dgate, dup), (gate, up)), g)| {
                            for i in 0..g.len() {
                                let s = sigmoid(gate[i]);
                                dup[i] = g[i] * gate[i] * s;
                                dgate[i] = g[i] * up[i] * s * (1.0 + gate[i] * (1.0 - s));
                            }
                        });
                    Ok((dgate, dup))
                })
            })
        })?;
        Ok((Some(tensor(dgate, gate.shape())?), Some(tensor(dup, up.shape())?)))
    }
}
