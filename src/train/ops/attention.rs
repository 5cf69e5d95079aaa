//! Causal grouped-query attention with rotary positions (Su et al. 2021), over packed sequences.
//!
//! Rows are in Hugging Face's order: the rotary pairs of a head are (i, i + Dh/2).

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{exp, tensor, values, with};
use crate::train::matrix::{columns, multiply_here, rows};

/// (cos, sin) by position and pair, \[positions\]\[Dh / 2\].
#[derive(Debug)]
pub(in crate::train) struct Rope(Vec<(f32, f32)>);

impl Rope {
    /// The table for `positions` positions.
    pub(in crate::train) fn new(positions: usize, head_dim: usize, theta: f32) -> Rope {
        let half = head_dim / 2;
        let angle = |position: usize, i: usize| {
            position as f64 * f64::from(theta).powf(-2.0 * i as f64 / head_dim as f64)
        };
        let at = |n: usize| angle(n / half, n % half);
        Rope((0..positions * half).map(|n| (at(n).cos() as f32, at(n).sin() as f32)).collect())
    }

    /// Rotates one head's row at a position; `back` undoes it.
    fn rotate(&self, row: &mut [f32], position: usize, back: bool) {
        let half = row.len() / 2;
        let (low, high) = row.split_at_mut(half);
        let table = &self.0[position * half..(position + 1) * half];
        for ((low, high), &(cos, sin)) in low.iter_mut().zip(high).zip(table) {
            let sin = if back { -sin } else { sin };
            (*low, *high) = (*low * cos - *high * sin, *low * sin + *high * cos);
        }
    }
}

/// softmax(q kᵀ / √Dh) v \[T\]\[H Dh\] for each sequence, from rows of q, k and v,
/// \[T\]\[(H + 2 Hkv) Dh\].
#[derive(Clone)]
pub(in crate::train) struct Attention {
    /// (first row, tokens) of each sequence.
    pub(in crate::train) sequences: Arc<Vec<(usize, usize)>>,
    pub(in crate::train) rope: Arc<Rope>,
    pub(in crate::train) heads: usize,
    pub(in crate::train) kv_heads: usize,
    pub(in crate::train) head_dim: usize,
}

impl Attention {
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    fn scale(&self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }

    /// Sequences × key/value heads: what is handed to the threads.
    fn tasks(&self) -> Vec<((usize, usize), usize)> {
        let heads = |sequence| (0..self.kv_heads).map(move |head| (sequence, head));
        self.sequences.iter().flat_map(|&sequence| heads(sequence)).collect()
    }

    /// Heads of a row: queries, then keys, then values.
    fn all_heads(&self) -> usize {
        self.heads + 2 * self.kv_heads
    }

    /// One head's rows of one sequence, rotated if they are queries or keys. `heads` is how many a row has.
    fn take(
        &self,
        from: &[f32],
        heads: usize,
        head: usize,
        sequence: (usize, usize),
        rotated: bool,
    ) -> Vec<f32> {
        let (dh, width) = (self.head_dim, heads * self.head_dim);
        let mut out = Vec::with_capacity(sequence.1 * dh);
        for row in sequence.0..sequence.0 + sequence.1 {
            out.extend_from_slice(&from[row * width + head * dh..][..dh]);
        }
        if rotated {
            for (position, row) in out.chunks_exact_mut(dh).enumerate() {
                self.rope.rotate(row, position, false);
            }
        }
        out
    }

    /// Puts one head's rows back, rotated back if they are gradients of queries or keys.
    fn put(
        &self,
        to: &mut [f32],
        heads: usize,
        head: usize,
        sequence: (usize, usize),
        mut values: Vec<f32>,
        rotated: bool,
    ) {
        let (dh, width) = (self.head_dim, heads * self.head_dim);
        for (position, row) in values.chunks_exact_mut(dh).enumerate() {
            if rotated {
                self.rope.rotate(row, position, true);
            }
            to[(sequence.0 + position) * width + head * dh..][..dh].copy_from_slice(row);
        }
    }

    /// The attention weights of one head, \[n\]\[n\].
    fn weights(&self, q: &[f32], k: &[f32], n: usize) -> Vec<f32> {
        let mut p = vec![0.0; n * n];
        let (q, k) = (rows(q, self.head_dim), columns(k, self.head_dim));
        multiply_here(&mut p, n, q, k, self.scale());
        for (i, row) in p.chunks_exact_mut(n).enumerate() {
            let (seen, unseen) = row.split_at_mut(i + 1);
            let most = seen.iter().copied().fold(f32::MIN, f32::max);
            let mut sum = 0.0;
            for p in seen.iter_mut() {
                *p = exp(*p - most);
                sum += *p;
            }
            seen.iter_mut().for_each(|p| *p /= sum);
            unseen.fill(0.0);
        }
        p
    }

    fn forward(&self, qkv: &[f32]) -> Vec<f32> {
        let (dh, all) = (self.head_dim, self.all_heads());
        let parts: Vec<_> = self
            .tasks()
            .into_par_iter()
            .map(|(sequence, kv)| {
                let k = self.take(qkv, all, self.heads + kv, sequence, true);
                let v = self.take(qkv, all, self.heads + self.kv_heads + kv, sequence, false);
                let outs: Vec<_> = (0..self.group())
                    .map(|i| {
                        let q = self.take(qkv, all, kv * self.group() + i, sequence, true);
                        let p = self.weights(&q, &k, sequence.1);
                        let mut out = vec![0.0; sequence.1 * dh];
                        multiply_here(&mut out, dh, rows(&p, sequence.1), rows(&v, dh), 1.0);
                        out
                    })
                    .collect();
                (sequence, kv, outs)
            })
            .collect();
        let mut attended = vec![0.0; qkv.len() / all * self.heads];
        for (sequence, kv, outs) in parts {
            for (i, out) in outs.into_iter().enumerate() {
                self.put(&mut attended, self.heads, kv * self.group() + i, sequence, out, false);
            }
        }
        attended
    }

    fn backward(&self, qkv: &[f32], g: &[f32]) -> Vec<f32> {
        let (dh, all) = (self.head_dim, self.all_heads());
        let parts: Vec<_> = self
            .tasks()
            .into_par_iter()
            .map(|(sequence, kv)| {
                let n = sequence.1;
                let k = self.take(qkv, all, self.heads + kv, sequence, true);
                let v = self.take(qkv, all, self.heads + self.kv_heads + kv, sequence, false);
                let (mut dk, mut dv) = (vec![0.0; n * dh], vec![0.0; n * dh]);
                let dqs: Vec<_> = (0..self.group())
                    .map(|i| {
                        let head = kv * self.group() + i;
                        let q = self.take(qkv, all, head, sequence, true);
                        let g = self.take(g, self.heads, head, sequence, false);
                        let p = self.weights(&q, &k, n);
                        multiply_here(&mut dv, dh, columns(&p, n), rows(&g, dh), 1.0);
                        let mut ds = vec![0.0; n * n];
                        multiply_here(&mut ds, n, rows(&g, dh), columns(&v, dh), 1.0);
                        for (ds, p) in ds.chunks_exact_mut(n).zip(p.chunks_exact(n)) {
                            let mean: f32 = ds.iter().zip(p).map(|(ds, p)| ds * p).sum();
                            for (ds, p) in ds.iter_mut().zip(p) {
                                *ds = p * (*ds - mean);
                            }
                        }
                        let mut dq = vec![0.0; n * dh];
                        multiply_here(&mut dq, dh, rows(&ds, n), rows(&k, dh), self.scale());
                        multiply_here(&mut dk, dh, columns(&ds, n), rows(&q, dh), self.scale());
                        dq
                    })
                    .collect();
                (sequence, kv, dqs, dk, dv)
            })
            .collect();
        let mut back = vec![0.0; qkv.len()];
        for (sequence, kv, dqs, dk, dv) in parts {
            for (i, dq) in dqs.into_iter().enumerate() {
                self.put(&mut back, all, kv * self.group() + i, sequence, dq, true);
            }
            self.put(&mut back, all, self.heads + kv, sequence, dk, true);
            self.put(&mut back, all, self.heads + self.kv_heads + kv, sequence, dv, false);
        }
        back
    }
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let out = self.forward(values(qkv, layout)?);
        let shape = (layout.dims()[0], self.heads * self.head_dim);
        Ok((CpuStorage::F32(out), shape.into()))
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let g = g.contiguous()?;
        let back = with(qkv, |qkv| with(&g, |g| Ok(self.backward(qkv, g))))?;
        Ok(Some(tensor(back, qkv.shape())?))
    }
}
