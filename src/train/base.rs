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

/// One block.
pub(super) struct BaseLayer {
    pub(super) attention_norm: Arc<Vec<f32>>,
    pub(super) ffn_norm: Arc<Vec<f32>>,
    /// By [`Target::ALL`]'s order.
    pub(super) matrices: [Arc<Frozen>; 7],
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
        let matrix = |matrix: Matrix, first: u32, target: Target| -> Result<Arc<Frozen>> {
            let (count, cols) = target.shape(&config);
            let mut rows = dequantize(&store, matrix, first, count)?;
            if let Some(heads) = target.permuted_heads(&config) {
                rows = half_split(&rows, heads as usize, cols as usize);
            }
            Ok(Arc::new(Frozen::new(rows, cols as usize, precision)))
        };
        let (q, kv) = (config.attention_size(), config.kv_size());
        let layers = layout
            .layers
            .iter()
            .map(|layer| {
                Ok(BaseLayer {
                    attention_norm: vector(layer.attention_norm)?,
                    ffn_norm: vector(layer.ffn_norm)?,
                    matrices: [
                        matrix(layer.qkv, 0, Target::Q)?,
                        matrix(layer.qkv, q, Target::K)?,
                        matrix(layer.qkv, q + kv, Target::V)?,
                        matrix(layer.output, 0, Target::O)?,
                        matrix(layer.gate_up, 0, Target::Gate)?,
                        matrix(layer.gate_up, config.intermediate_size, Target::Up)?,
                        matrix(layer.down, 0, Target::Down)?,
                    ],
                })
            })
            .collect::<Result<_>>()?;
        let all = |matrix: Matrix| dequantize(&store, matrix, 0, matrix.rows);
        let width = config.hidden_size as usize;
        Ok(Base {
            embedding: all(layout.embedding)?,
            layers,
            final_norm: vector(layout.final_norm)?,
            lm_head: Arc::new(Frozen::new(all(layout.lm_head)?, width, precision)),
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

/// Rows `first`… of a matrix as f32, \[count\]\[cols\].
fn dequantize(store: &CpuStore, matrix: Matrix, first: u32, count: u32) -> Result<Vec<f32>> {
    let (codes, scales) = (store.words(matrix.codes)?, store.words(matrix.scales)?);
    let code_words = matrix.format.code_words(matrix.cols) as usize;
    let scale_words = matrix.format.scale_words(matrix.cols) as usize;
    let cols = matrix.cols as usize;
    let mut out = vec![0.0; count as usize * cols];
    for (i, row) in out.chunks_exact_mut(cols).enumerate() {
        let at = first as usize + i;
        let codes = &codes[at * code_words..][..code_words];
        dequantize_row(matrix.format, codes, &scales[at * scale_words..][..scale_words], row);
    }
    Ok(out)
}

/// Rows of GGUF's order (rotary pairs beside each other) in Hugging Face's (pairs half a head apart).
fn half_split(rows: &[f32], heads: usize, cols: usize) -> Vec<f32> {
    let head = rows.len() / heads; // values of one head's rows
    let half = head / cols / 2;
    let mut out = Vec::with_capacity(rows.len());
    for rows in rows.chunks_exact(head) {
        for side in 0..2 {
            for pair in 0..half {
                out.extend_from_slice(&rows[(2 * pair + side) * cols..][..cols]);
            }
        }
    }
    out
}
