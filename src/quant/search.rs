//! Scales that leave the least squared error in a block of 32 weights.
//!
//! For codes q the best scale and minimum are a linear regression of the weights on the codes; for a
//! scale and a minimum the best codes are the nearest. The two are taken in turns, from several
//! stretched and shrunk ranges, with scale and minimum rounded to f16 before codes are chosen. The
//! idea of many starting scales is `make_qx_quants` and `make_qkx2_quants` of `ggml-quants.c`.
//!
//! Each function gets a block and its bytes as the reference quantizer wrote them, and replaces the
//! bytes only where that lowers the error.

use half::f16;

/// Factors of the reference's scale from which the search starts. Under 1 the extremes are clamped
/// and the rest lies closer.
const STARTS: [f32; 12] = [0.70, 0.76, 0.81, 0.85, 0.88, 0.91, 0.94, 0.97, 1.0, 1.03, 1.07, 1.12];
/// For 8 bits, where clamping never pays, but a scale that f16 holds well does.
const FINE_STARTS: [f32; 6] = [0.994, 0.996, 0.998, 1.0, 1.001, 1.002];
/// Turns of codes and scales after the best start.
const TURNS: usize = 4;

/// Adding and subtracting this rounds a small f32 to the nearest integer, in vector registers.
const ROUNDER: f32 = 12_582_912.0; // 1.5 · 2²³

type Block = [f32; 32];

/// A choice of scales with its codes. Weights are `d·q + m`.
#[derive(Clone, Copy)]
struct Fit {
    d: f16,
    m: f16,
    q: Block,
    error: f32,
}

/// Codes from `low` to `high`; `with_minimum`: whether m is free, or 0.
struct Shape {
    low: f32,
    high: f32,
    with_minimum: bool,
}

impl Shape {
    /// Nearest codes for `d·q + m`.
    fn codes(&self, x: &Block, d: f32, m: f32) -> Block {
        let inverse = 1.0 / d;
        x.map(|x| (((x - m) * inverse).clamp(self.low, self.high) + ROUNDER) - ROUNDER)
    }

    /// d and m by least squares, rounded to f16: m after d was rounded. `None` where no such scale
    /// exists.
    fn regress(&self, x: &Block, q: &Block) -> Option<(f16, f16)> {
        let qq = sum(|i| q[i] * q[i]);
        let xq = sum(|i| x[i] * q[i]);
        let (d, m) = if self.with_minimum {
            let (sq, sx) = (sum(|i| q[i]), sum(|i| x[i]));
            let determinant = 32.0 * qq - sq * sq;
            let d = f16::from_f32((32.0 * xq - sx * sq) / determinant);
            (d, f16::from_f32((sx - d.to_f32() * sq) / 32.0))
        } else {
            (f16::from_f32(xq / qq), f16::ZERO)
        };
        (d.is_finite() && d != f16::ZERO && m.is_finite()).then_some((d, m))
    }

    fn fit(&self, x: &Block, d: f16, m: f16) -> Fit {
        let (step, base) = (d.to_f32(), m.to_f32());
        let q = self.codes(x, step, base);
        let error = sum(|i| {
            let difference = step * q[i] + base - x[i];
            difference * difference
        });
        Fit { d, m, q, error }
    }

    /// The best of what the starts (d, m) lead to.
    fn search(&self, x: &Block, starts: impl Iterator<Item = (f32, f32)>) -> Option<Fit> {
        let mut best: Option<Fit> = None;
        let keep = |fit: Fit, best: &mut Option<Fit>| {
            let better = best.is_none_or(|best| fit.error < best.error);
            if better {
                *best = Some(fit);
            }
            better
        };
        for (d, m) in starts {
            if let Some((d, m)) = self.regress(x, &self.codes(x, d, m)) {
                keep(self.fit(x, d, m), &mut best);
            }
        }
        for _ in 0..TURNS {
            let Some((d, m)) = self.regress(x, &best?.q) else { break };
            if !keep(self.fit(x, d, m), &mut best) {
                break;
            }
        }
        best
    }
}

/// Σ over the block in eight lanes, which a compiler keeps in vector registers.
fn sum(term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0f32; 8];
    for i in 0..4 {
        for (lane, total) in lanes.iter_mut().enumerate() {
            *total += term(8 * i + lane);
        }
    }
    lanes.iter().sum()
}

fn exact_error(x: &Block, decoded: impl Fn(usize) -> f32) -> f64 {
    let square = |i| (f64::from(decoded(i)) - f64::from(x[i])).powi(2);
    (0..32).map(square).sum()
}

fn half(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

fn nibble(bytes: &[u8], i: usize) -> f32 {
    f32::from(if i < 16 { bytes[i] & 15 } else { bytes[i - 16] >> 4 })
}

fn put_nibbles(q: &Block, centre: f32, bytes: &mut [u8]) {
    for (j, byte) in bytes.iter_mut().enumerate() {
        *byte = (q[j] + centre) as u8 | (((q[j + 16] + centre) as u8) << 4);
    }
}

/// `bytes`: f16 d, f16 m, 16 bytes of nibbles.
pub(super) fn q4_1(x: &Block, bytes: &mut [u8]) {
    let (d, m) = (half(bytes), half(&bytes[2..]));
    if d == 0.0 {
        return;
    }
    let shape = Shape { low: 0.0, high: 15.0, with_minimum: true };
    // A range about the same middle.
    let middle = m + 7.5 * d;
    let starts = STARTS.map(|factor| (factor * d, middle - 7.5 * factor * d));
    let Some(fit) = shape.search(x, starts.into_iter()) else { return };
    let old = exact_error(x, |i| d * nibble(&bytes[4..], i) + m);
    let (d, m) = (fit.d.to_f32(), fit.m.to_f32());
    if exact_error(x, |i| d * fit.q[i] + m) < old {
        bytes[..2].copy_from_slice(&fit.d.to_le_bytes());
        bytes[2..4].copy_from_slice(&fit.m.to_le_bytes());
        put_nibbles(&fit.q, 0.0, &mut bytes[4..20]);
    }
}

/// `bytes`: f16 d, 16 bytes of nibbles.
pub(super) fn q4_0(x: &Block, bytes: &mut [u8]) {
    let d = half(bytes);
    if d == 0.0 {
        return;
    }
    let shape = Shape { low: -8.0, high: 7.0, with_minimum: false };
    // The codes reach further to one side: either sign may be the better one.
    let starts = STARTS.into_iter().flat_map(|factor| [(factor * d, 0.0), (-factor * d, 0.0)]);
    let Some(fit) = shape.search(x, starts) else { return };
    let old = exact_error(x, |i| d * (nibble(&bytes[2..], i) - 8.0));
    let d = fit.d.to_f32();
    if exact_error(x, |i| d * fit.q[i]) < old {
        bytes[..2].copy_from_slice(&fit.d.to_le_bytes());
        put_nibbles(&fit.q, 8.0, &mut bytes[2..18]);
    }
}

/// `bytes`: f16 d, 32 signed bytes.
pub(super) fn q8_0(x: &Block, bytes: &mut [u8]) {
    let d = half(bytes);
    if d == 0.0 {
        return;
    }
    let shape = Shape { low: -127.0, high: 127.0, with_minimum: false };
    let Some(fit) = shape.search(x, FINE_STARTS.into_iter().map(|factor| (factor * d, 0.0))) else {
        return;
    };
    let old = exact_error(x, |i| d * f32::from(bytes[2 + i] as i8));
    let d = fit.d.to_f32();
    if exact_error(x, |i| d * fit.q[i]) < old {
        bytes[..2].copy_from_slice(&fit.d.to_le_bytes());
        for (byte, q) in bytes[2..34].iter_mut().zip(fit.q) {
            *byte = q as i8 as u8;
        }
    }
}
