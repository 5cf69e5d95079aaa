//! Rows of one tensor on their way from source to target: decoded, put into order, adapters added,
//! encoded. On a machine with several cores, groups of rows go side by side; the result does not
//! depend on how many.

use std::sync::Arc;

#[cfg(feature = "native")]
use rayon::prelude::*;

use super::SourceTensor;
use crate::error::Result;
use crate::gguf::TensorType;
use crate::lora::Pair;
use crate::quant::encode::{QuantError, Quantizer, encode_row_with};

/// Rows in a group. Fixed, so that sums over groups are always the same.
const GROUP_ROWS: usize = 32;

/// `factor · B A`, to be added to a matrix.
#[derive(Debug, Clone)]
pub(super) struct Update {
    /// Its own scale is part of `factor`.
    pub(super) pair: Arc<Pair>,
    pub(super) factor: f32,
    /// The width of a head where the rows of B are in half-split order and the matrix's interleaved.
    pub(super) half_split: Option<u64>,
}

impl Update {
    /// Adds row `row` (of GGUF's order) of the update. B's row times A is summed in f32, in the
    /// order of the ranks, then scaled, then added: errors are some 10⁻⁷ of the update's size.
    fn add(&self, row: u64, values: &mut [f32], scratch: &mut Vec<f32>) {
        let rank = self.pair.rank as usize;
        let row = self.half_split.map_or(row, |width| half_split_row(row, width)) as usize;
        scratch.clear();
        scratch.resize(values.len(), 0.0);
        let b = self.pair.b.get(row * rank..(row + 1) * rank).unwrap_or(&[]);
        for (&b, a) in b.iter().zip(self.pair.a.chunks_exact(values.len())) {
            for (sum, &a) in scratch.iter_mut().zip(a) {
                *sum += b * a;
            }
        }
        for (value, &sum) in values.iter_mut().zip(scratch.iter()) {
            *value += self.factor * sum;
        }
    }
}

/// Where row `row` of GGUF's interleaved order is in Hugging Face's half-split order: within each
/// head of `width` rows, GGUF's rows 2i and 2i+1 are Hugging Face's i and i + width/2.
pub(super) fn half_split_row(row: u64, width: u64) -> u64 {
    let (head, within) = (row / width, row % width);
    head * width + within / 2 + (within % 2) * (width / 2)
}

/// Consecutive rows of a tensor.
pub(super) struct Rows<'a> {
    pub(super) tensor: &'a SourceTensor,
    /// Number of the first row.
    pub(super) first: u64,
    /// The rows as they are in the source: whole heads where those are half-split.
    pub(super) bytes: &'a [u8],
    pub(super) to: TensorType,
    pub(super) quantizer: Quantizer,
}

impl Rows<'_> {
    fn row_bytes(&self) -> usize {
        self.tensor.ty.row_bytes(self.tensor.dims[0]).unwrap_or(0) as usize
    }

    fn group(&self, group: usize) -> Result<(Vec<u8>, QuantError)> {
        let (cols, row_bytes) = (self.tensor.dims[0] as usize, self.row_bytes());
        let count = self.bytes.len() / row_bytes;
        let (mut values, mut decoded) = (vec![0.0; cols], vec![0.0; cols]);
        let (mut scratch, mut encoded) = (Vec::new(), Vec::new());
        let mut error = QuantError::default();
        for row in group * GROUP_ROWS..count.min((group + 1) * GROUP_ROWS) {
            let source = match self.tensor.half_split {
                Some(width) => half_split_row(row as u64, width) as usize,
                None => row,
            };
            let bytes = &self.bytes[source * row_bytes..(source + 1) * row_bytes];
            self.tensor.ty.dequantize(bytes, &mut values);
            for update in &self.tensor.updates {
                update.add(self.first + row as u64, &mut values, &mut scratch);
            }
            let start = encoded.len();
            encode_row_with(self.quantizer, self.to, &values, &self.tensor.name, &mut encoded)?;
            self.to.dequantize(&encoded[start..], &mut decoded);
            error.add(&values, &decoded);
        }
        Ok((encoded, error))
    }
}

/// The rows encoded, with what that cost, group by group in order.
pub(super) fn recode_rows(rows: &Rows<'_>) -> Vec<Result<(Vec<u8>, QuantError)>> {
    let count = rows.bytes.len() / rows.row_bytes().max(1);
    let groups = 0..count.div_ceil(GROUP_ROWS);
    #[cfg(feature = "native")]
    return groups.into_par_iter().map(|group| rows.group(group)).collect();
    #[cfg(not(feature = "native"))]
    return groups.map(|group| rows.group(group)).collect();
}
