//! Where each tensor of a GGUF file goes: matrices that are always multiplied together (q, k, v; gate,
//! up) become one weight, so that one dispatch reads them.

use std::collections::BTreeMap;

use super::program::{BufferId, BufferSpec};
use crate::config::LlamaConfig;
use crate::error::{Error, Result};
use crate::gguf::TensorInfo;
use crate::quant::Format;

/// A weight matrix on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matrix {
    /// Its GPU format.
    pub format: Format,
    /// Codes \[rows\]\[cols\].
    pub codes: BufferId,
    /// Scales \[rows\]\[cols / 32\]; one unused word for formats without.
    pub scales: BufferId,
    /// Rows, of all fused tensors together.
    pub rows: u32,
    /// Columns.
    pub cols: u32,
}

/// The weights of one transformer block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// RMSNorm before attention, \[D\].
    pub attention_norm: BufferId,
    /// q, k, v rows in this order, \[(H + 2 Hkv) Dh\]\[D\].
    pub qkv: Matrix,
    /// \[D\]\[H Dh\]
    pub output: Matrix,
    /// RMSNorm before the feed-forward layer, \[D\].
    pub ffn_norm: BufferId,
    /// gate, then up rows, \[2 F\]\[D\].
    pub gate_up: Matrix,
    /// \[D\]\[F\]
    pub down: Matrix,
}

/// Where the rows of one GGUF tensor go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Into a matrix, from this row on.
    Rows(Matrix, u32),
    /// A vector of f32.
    Vector(BufferId, u32),
}

/// What kernels a model needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// The formats its matrices are in, each once.
    pub formats: Vec<Format>,
    /// Dh: attention is compiled for it.
    pub head_dim: u32,
}

/// All weights of a model, and the way of each tensor.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The model's shape.
    pub config: LlamaConfig,
    /// Buffers of the weights.
    pub buffers: Vec<BufferSpec>,
    /// By GGUF tensor name.
    pub routes: BTreeMap<String, Route>,
    /// \[V\]\[D\]
    pub embedding: Matrix,
    /// The blocks.
    pub layers: Vec<Layer>,
    /// The last RMSNorm, \[D\].
    pub final_norm: BufferId,
    /// \[V\]\[D\]; the embedding itself when they are tied.
    pub lm_head: Matrix,
}

/// Tensors that carry nothing a Llama forward needs: rotary frequencies that old converters wrote out,
/// which `rope_theta` already determines.
fn is_redundant(name: &str) -> bool {
    name.contains(".attn_rot_embd")
}

impl Layout {
    /// Plans the buffers for `config` from the tensor lists of all parts of the model.
    pub fn new<'a>(
        config: &LlamaConfig,
        tensors: impl IntoIterator<Item = &'a TensorInfo>,
    ) -> Result<Layout> {
        config.validate()?;
        let mut builder = Builder::default();
        for tensor in tensors {
            if builder.tensors.insert(&tensor.name, tensor).is_some() {
                return Err(Error::DuplicateTensor { tensor: tensor.name.clone() });
            }
        }
        let (d, f) = (config.hidden_size, config.intermediate_size);
        let (q, kv, v) = (config.attention_size(), config.kv_size(), config.vocab_size);
        let embedding = builder.matrix("token_embd", &[("token_embd.weight", v)], d)?;
        let mut layers = Vec::with_capacity(config.num_hidden_layers as usize);
        for i in 0..config.num_hidden_layers {
            let name = |part: &str| format!("blk.{i}.{part}.weight");
            let (attn_q, attn_k, attn_v) = (name("attn_q"), name("attn_k"), name("attn_v"));
            let (gate, up) = (name("ffn_gate"), name("ffn_up"));
            layers.push(Layer {
                attention_norm: builder.vector(&name("attn_norm"), d)?,
                qkv: builder.matrix(
                    &format!("blk.{i}.qkv"),
                    &[(&attn_q, q), (&attn_k, kv), (&attn_v, kv)],
                    d,
                )?,
                output: builder.matrix(&name("attn_output"), &[(&name("attn_output"), d)], q)?,
                ffn_norm: builder.vector(&name("ffn_norm"), d)?,
                gate_up: builder.matrix(&format!("blk.{i}.gate_up"), &[(&gate, f), (&up, f)], d)?,
                down: builder.matrix(&name("ffn_down"), &[(&name("ffn_down"), d)], f)?,
            });
        }
        let final_norm = builder.vector("output_norm.weight", d)?;
        let lm_head = if config.tie_word_embeddings {
            embedding
        } else {
            builder.matrix("output", &[("output.weight", v)], d)?
        };
        if let Some(name) = builder
            .tensors
            .keys()
            .find(|name| !builder.routes.contains_key(**name) && !is_redundant(name))
        {
            return Err(Error::UnexpectedTensor { tensor: name.to_string() });
        }
        let Builder { buffers, routes, .. } = builder;
        let config = config.clone();
        Ok(Layout { config, buffers, routes, embedding, layers, final_norm, lm_head })
    }

    /// What a device must be able to do for this model.
    pub fn needs(&self) -> Needs {
        let in_use = |format: &Format| {
            [self.embedding, self.lm_head]
                .into_iter()
                .chain(self.layers.iter().flat_map(|l| [l.qkv, l.output, l.gate_up, l.down]))
                .any(|matrix| matrix.format == *format)
        };
        let formats = Format::ALL.into_iter().filter(in_use).collect();
        Needs { formats, head_dim: self.config.head_dim }
    }

    /// The way of a tensor; `None` for one that is known to be redundant.
    pub fn route(&self, name: &str) -> Result<Option<Route>> {
        match self.routes.get(name) {
            Some(route) => Ok(Some(*route)),
            None if is_redundant(name) => Ok(None),
            None => Err(Error::UnexpectedTensor { tensor: name.to_string() }),
        }
    }
}

#[derive(Default)]
struct Builder<'a> {
    tensors: BTreeMap<&'a str, &'a TensorInfo>,
    buffers: Vec<BufferSpec>,
    routes: BTreeMap<String, Route>,
}

impl Builder<'_> {
    fn buffer(&mut self, label: String, words: u64) -> BufferId {
        self.buffers.push(BufferSpec { label, words });
        BufferId(self.buffers.len() - 1)
    }

    fn tensor(&self, name: &str, expected: &[u64]) -> Result<&TensorInfo> {
        let tensor = self
            .tensors
            .get(name)
            .ok_or_else(|| Error::MissingTensor { tensor: name.to_string() })?;
        let mut found = tensor.dims.clone();
        while found.len() > expected.len() && found.last() == Some(&1) {
            found.pop();
        }
        if found != expected {
            let (tensor, expected) = (name.to_string(), expected.to_vec());
            return Err(Error::WrongShape { tensor, expected, found });
        }
        Ok(tensor)
    }

    fn vector(&mut self, name: &str, len: u32) -> Result<BufferId> {
        self.tensor(name, &[u64::from(len)])?;
        let buffer = self.buffer(name.to_string(), u64::from(len));
        self.routes.insert(name.to_string(), Route::Vector(buffer, len));
        Ok(buffer)
    }

    /// One matrix from the rows of `parts`, in the widest of their formats.
    fn matrix(&mut self, label: &str, parts: &[(&str, u32)], cols: u32) -> Result<Matrix> {
        let mut format = None;
        let mut rows = 0;
        for (name, part_rows) in parts {
            let tensor = self.tensor(name, &[u64::from(cols), u64::from(*part_rows)])?;
            let own = Format::for_source(tensor.ty);
            format = Some(format.map_or(own, |other: Format| other.widest(own)));
            rows += part_rows;
        }
        let format = format.unwrap_or(Format::F32);
        let words = |per_row: u32| u64::from(per_row) * u64::from(rows);
        let codes = self.buffer(format!("{label} codes"), words(format.code_words(cols)));
        let scales = self.buffer(format!("{label} scales"), words(format.scale_words(cols)).max(4));
        let matrix = Matrix { format, codes, scales, rows, cols };
        let mut first = 0;
        for (name, part_rows) in parts {
            self.routes.insert(name.to_string(), Route::Rows(matrix, first));
            first += part_rows;
        }
        Ok(matrix)
    }
}
