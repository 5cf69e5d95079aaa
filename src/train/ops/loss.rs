//! lm_head and cross entropy, over the rows that predict a response.

use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{exp, tensor, values, with};
use crate::train::matrix::{Frozen, Operand};

/// Σ over rows of the cross entropy of `softmax(h Wᵀ)` with the target ids, a scalar. With label
/// smoothing ε (Szegedy et al. 2016) a target's share is 1 − ε and the rest is spread over all V.
pub(in crate::train) struct CrossEntropy {
    /// \[V\]\[D\]
    pub(in crate::train) lm_head: Arc<Frozen>,
    /// A row's next token.
    pub(in crate::train) targets: Vec<u32>,
    pub(in crate::train) smoothing: f32,
    /// The gradient by logits, \[rows\]\[V\], from the forward pass, which has all it takes.
    pub(in crate::train) gradient: Mutex<Option<Vec<f32>>>,
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn cpu_fwd(&self, h: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let v = self.lm_head.rows();
        let (width, precision) = (self.lm_head.cols(), self.lm_head.precision());
        let h = Operand::new(values(h, layout)?, width, precision);
        let mut logits = self.lm_head.forward(&h);
        let (even, target_share) = (self.smoothing / v as f32, 1.0 - self.smoothing);
        let losses: Vec<f64> = logits
            .par_chunks_mut(v)
            .zip(&self.targets)
            .map(|(row, &target)| {
                let target = target as usize;
                let most = row.iter().copied().fold(f32::MIN, f32::max);
                let of_target = row[target];
                let mean = row.iter().map(|&l| f64::from(l)).sum::<f64>() / v as f64; // of the logits
                row.iter_mut().for_each(|logit| *logit = exp(*logit - most));
                let sum: f64 = row.chunks(256).map(|p| f64::from(p.iter().sum::<f32>())).sum();
                let inverse = (1.0 / sum) as f32;
                row.iter_mut().for_each(|p| *p = *p * inverse - even);
                row[target] -= target_share;
                sum.ln() + f64::from(most)
                    - f64::from(target_share) * f64::from(of_target)
                    - f64::from(self.smoothing) * mean
            })
            .collect();
        match self.gradient.lock() {
            Ok(mut gradient) => *gradient = Some(logits),
            Err(_) => candle_core::bail!("another thread failed within the loss"),
        }
        let loss = losses.iter().sum::<f64>() as f32;
        Ok((CpuStorage::F32(vec![loss]), ().into()))
    }

    fn bwd(&self, h: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let gradient = self.gradient.lock().ok().and_then(|mut gradient| gradient.take());
        let Some(gradient) = gradient else { candle_core::bail!("the loss was walked back twice") };
        let precision = self.lm_head.precision();
        let gradient = Operand::new(&gradient, self.lm_head.rows(), precision);
        let mut dh = self.lm_head.backward(&gradient);
        with(g, |g| {
            dh.iter_mut().for_each(|dh| *dh *= g[0]);
            Ok(())
        })?;
        Ok(Some(tensor(dh, h.shape())?))
    }
}
