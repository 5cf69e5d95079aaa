//! The frozen model under training, dequantized from the very weights that ship.

use std::sync::Arc;

use super::matrix::{Frozen, Precision};
use crate::config::LlamaConfig;
use crate::cpu::CpuStore;
use crate::error::Result;
use crate::lora::Target;
use crate::model::{BufferId, Matrix, Weights};
use crate::quant::dequantize_row;
use crate::tokenizer::Tokenizer;

/// A Llama model in f32 (or bf16 products), with the rows of q and k in Hugging Face's order.
pub struct Base {
    /// Its shape.
    pub config: LlamaConfig,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// SHA-256 of each of its files, where they were checked.
    pub sha256: Vec<String>,
    /// \[V\]\[D\]
    pub(super) embedding: Vec<f32>,
    pub(super) layers: Vec<BaseLayer>,
    /// \[D\]
    pub(super) final_norm: Arc<Vec<f32>>,
    /// \[V\]\[D\]
    pub(super) lm_head: Arc<Frozen>,
}

/// The matrices that share their input, in the order of the forward pass.
pub(super) const GROUPS: [&[Target]; 4] = [
    &[Target::Q, Target::K, Target::V],
    &[Target::O],
    &[Target::Gate, Target::Up],
    &[Target::Down],
];

/// One block.
pub(super) struct BaseLayer {
    pub(super) attention_norm: Arc<Vec<f32>>,
    pub(super) ffn_norm: Arc<Vec<f32>>,
    /// By [`GROUPS`]: matrices that are multiplied together are one.
    pub(super) matrices: [Arc<Frozen>; 4],
}

impl Base {
    /// Dequantizes loaded weights.
    ///
    /// # Errors
    /// [`crate::Error::Internal`] if an executor took the weights before.
    pub fn new(weights: Weights<CpuStore>, precision: Precision) -> Result<Base> {
        let Weights { layout, store, tokenizer, sha256 } = weights;
        let config = layout.config;
        let vector = |buffer: BufferId| -> Result<Arc<Vec<f32>>> {
            Ok(Arc::new(store.words(buffer)?.iter().map(|&word| f32::from_bits(word)).collect()))
        };
        let group = |matrix: Matrix, targets: &[Target]| -> Result<Arc<Frozen>> {
            let mut rows = dequantize(&store, matrix)?;
            let (mut first, cols) = (0, matrix.cols as usize);
            for target in targets {
                let values = target.shape(&config).0 as usize * cols;
                if let Some(heads) = target.permuted_heads(&config) {
                    half_split(&mut rows[first..first + values], heads as usize, cols);
                }
                first += values;
            }
            Ok(Arc::new(Frozen::new(rows, cols, precision)))
        };
        let layers = layout
            .layers
            .iter()
            .map(|layer| {
                Ok(BaseLayer {
                    attention_norm: vector(layer.attention_norm)?,
                    ffn_norm: vector(layer.ffn_norm)?,
                    matrices: [
                        group(layer.qkv, GROUPS[0])?,
                        group(layer.output, GROUPS[1])?,
                        group(layer.gate_up, GROUPS[2])?,
                        group(layer.down, GROUPS[3])?,
                    ],
                })
            })
            .collect::<Result<_>>()?;
        let width = config.hidden_size as usize;
        Ok(Base {
            embedding: dequantize(&store, layout.embedding)?,
            layers,
            final_norm: vector(layout.final_norm)?,
            lm_head: Arc::new(Frozen::new(dequantize(&store, layout.lm_head)?, width, precision)),
            config,
            tokenizer,
            sha256,
        })
    }

    /// Weights that are multiplied with each token: the "parameters" of FLOP counts.
    pub fn multiplied_parameters(&self) -> u64 {
        let size = |matrix: &Arc<Frozen>| (matrix.rows() * matrix.cols()) as u64;
        self.layers.iter().flat_map(|layer| &layer.matrices).map(size).sum()
    }
}

/// A matrix as f32, \[rows\]\[cols\].
fn dequantize(store: &CpuStore, matrix: Matrix) -> Result<Vec<f32>> {
    let (codes, scales) = (store.words(matrix.codes)?, store.words(matrix.scales)?);
    let code_words = matrix.format.code_words(matrix.cols) as usize;
    let scale_words = matrix.format.scale_words(matrix.cols) as usize;
    let cols = matrix.cols as usize;
    let mut out = vec![0.0; matrix.rows as usize * cols];
    for (at, row) in out.chunks_exact_mut(cols).enumerate() {
        let codes = &codes[at * code_words..][..code_words];
        dequantize_row(matrix.format, codes, &scales[at * scale_words..][..scale_words], row);
    }
    Ok(out)
}

/// Brings rows of GGUF's order (rotary pairs beside each other) into Hugging Face's (pairs half a head
/// apart).
fn half_split(rows: &mut [f32], heads: usize, cols: usize) {
    let head = rows.len() / heads; // values of one head's rows
    let half = head / cols / 2;
    for rows in rows.chunks_exact_mut(head) {
        let before = rows.to_vec();
        for (at, row) in rows.chunks_exact_mut(cols).enumerate() {
            let (side, pair) = (at / half, at % half);
            row.copy_from_slice(&before[(2 * pair + side) * cols..][..cols]);
        }
    }
}
