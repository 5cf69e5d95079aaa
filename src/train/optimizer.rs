//! AdamW (Loshchilov and Hutter 2019) with a state that can be kept, gradient clipping, and how the
//! learning rate goes.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The course of the learning rate after its warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Half a cosine down to zero.
    Cosine,
    /// A line down to zero.
    Linear,
    /// No change.
    Constant,
}

impl Schedule {
    /// The share of the peak at `step` of `total`, after `warmup` steps of rising in a line.
    pub fn share(self, step: u64, warmup: u64, total: u64) -> f64 {
        if step < warmup {
            return (step + 1) as f64 / warmup as f64;
        }
        let left =
            (total.saturating_sub(step)) as f64 / (total.saturating_sub(warmup)).max(1) as f64;
        match self {
            Schedule::Cosine => 0.5 * (1.0 - (std::f64::consts::PI * left).cos()),
            Schedule::Linear => left,
            Schedule::Constant => 1.0,
        }
    }
}

/// First and second moments of one parameter tensor.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Moments {
    pub(super) m: Vec<f32>,
    pub(super) v: Vec<f32>,
}

const BETA: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

impl Moments {
    pub(super) fn zeros(len: usize) -> Moments {
        Moments { m: vec![0.0; len], v: vec![0.0; len] }
    }

    /// One step, the `step`th counted from 1, over `parameters` with gradients `scale` · `gradient`.
    pub(super) fn update(
        &mut self,
        parameters: &mut [f32],
        gradient: &[f32],
        scale: f64,
        rate: f64,
        decay: f64,
        step: u64,
    ) {
        let step = i32::try_from(step).unwrap_or(i32::MAX);
        let (first, second) = (1.0 - BETA.0.powi(step), 1.0 - BETA.1.powi(step));
        let moments = self.m.par_iter_mut().zip(&mut self.v);
        let values = parameters.par_iter_mut().zip(gradient).zip(moments).with_min_len(1 << 13);
        values.for_each(|((p, &g), (m, v))| {
            let g = f64::from(g) * scale;
            let new_m = BETA.0 * f64::from(*m) + (1.0 - BETA.0) * g;
            let new_v = BETA.1 * f64::from(*v) + (1.0 - BETA.1) * g * g;
            (*m, *v) = (new_m as f32, new_v as f32);
            let change = (new_m / first) / ((new_v / second).sqrt() + EPSILON);
            *p = (f64::from(*p) * (1.0 - rate * decay) - rate * change) as f32;
        });
    }
}

/// The Euclidean norm over all gradients.
pub(super) fn norm<'a>(gradients: impl IntoIterator<Item = &'a Vec<f32>>) -> f64 {
    let squares = |g: &Vec<f32>| g.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>();
    gradients.into_iter().map(squares).sum::<f64>().sqrt()
}
