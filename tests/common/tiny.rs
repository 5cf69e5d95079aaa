//! Tiny random llama models as GGUF bytes: odd sizes, any tensor type, any value, made in milliseconds.
#![allow(dead_code, unreachable_pub)] // the module is copied into each test binary, which uses its part

use half::f16;
use radllama::LlamaConfig;
use radllama::gguf::{Array, Layout, TensorSpec, TensorType, Value};
use radllama::quant::encode::{TARGETS, encode_row};

/// The end of a tensor's name, and its value at index i in row-major order.
pub type Values = (&'static str, fn(usize) -> f32);

/// What to make. Start from [`Tiny::new`] or [`Tiny::wide`] and change fields.
#[derive(Debug, Clone)]
pub struct Tiny {
    pub config: LlamaConfig,
    /// Type of all matrices but those in `types`.
    pub matrices: TensorType,
    /// Types of single tensors, by the end of their name (`attn_k.weight`).
    pub types: Vec<(&'static str, TensorType)>,
    /// Values of single tensors, of types that [`encode_row`] writes.
    pub values: Vec<Values>,
    /// Largest file; split into parts if set.
    pub max_part_bytes: Option<u64>,
    pub seed: u64,
}

impl Tiny {
    /// Two layers of sizes that are multiples of as little as possible: D 96, F 160, 6 heads over 2
    /// key/value heads of 16, V 301.
    pub fn new(matrices: TensorType) -> Tiny {
        let config = LlamaConfig {
            hidden_size: 96,
            intermediate_size: 160,
            num_hidden_layers: 2,
            num_attention_heads: 6,
            num_key_value_heads: 2,
            head_dim: 16,
            vocab_size: 301,
            max_position_embeddings: 256,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            tie_word_embeddings: true,
        };
        let (types, values) = (Vec::new(), Vec::new());
        Tiny { config, matrices, types, values, max_part_bytes: None, seed: 1 }
    }

    /// One whose widths suit the types with blocks of 256.
    pub fn wide(matrices: TensorType) -> Tiny {
        let mut tiny = Tiny::new(matrices);
        tiny.config.hidden_size = 256;
        tiny.config.intermediate_size = 512;
        tiny.config.num_attention_heads = 4;
        tiny.config.head_dim = 64;
        tiny
    }

    /// With an lm_head of its own.
    pub fn untied(mut self) -> Tiny {
        self.config.tie_word_embeddings = false;
        self
    }

    /// The file, or the parts of the split in order.
    pub fn files(&self) -> Vec<Vec<u8>> {
        let tensors = self.tensors();
        let layout = Layout::new(&self.metadata(), &tensors, self.max_part_bytes).unwrap();
        let write = |part: &radllama::gguf::writer::Part| {
            let mut file = Vec::new();
            part.write("tiny", &mut file, &mut |index, _, sink| {
                sink(&self.bytes(index, &tensors[index]))
            })
            .unwrap();
            file
        };
        layout.parts().iter().map(write).collect()
    }

    fn metadata(&self) -> Vec<(String, Value)> {
        let c = &self.config;
        let (tokens, types) = vocabulary(c.vocab_size as usize);
        let scores = (0..tokens.len()).map(|i| -(i as f32)).collect();
        let entries = [
            ("general.architecture", Value::String("llama".into())),
            ("general.name", Value::String("tiny".into())),
            ("llama.embedding_length", Value::U32(c.hidden_size)),
            ("llama.feed_forward_length", Value::U32(c.intermediate_size)),
            ("llama.block_count", Value::U32(c.num_hidden_layers)),
            ("llama.attention.head_count", Value::U32(c.num_attention_heads)),
            ("llama.attention.head_count_kv", Value::U32(c.num_key_value_heads)),
            ("llama.attention.key_length", Value::U32(c.head_dim)),
            ("llama.attention.value_length", Value::U32(c.head_dim)),
            ("llama.rope.dimension_count", Value::U32(c.head_dim)),
            ("llama.rope.freq_base", Value::F32(c.rope_theta)),
            ("llama.attention.layer_norm_rms_epsilon", Value::F32(c.rms_norm_eps)),
            ("llama.context_length", Value::U32(c.max_position_embeddings)),
            ("llama.vocab_size", Value::U32(c.vocab_size)),
            ("tokenizer.ggml.model", Value::String("llama".into())),
            ("tokenizer.ggml.tokens", Value::Array(Array::String(tokens))),
            ("tokenizer.ggml.scores", Value::Array(Array::F32(scores))),
            ("tokenizer.ggml.token_type", Value::Array(Array::I32(types))),
            ("tokenizer.ggml.unknown_token_id", Value::U32(0)),
            ("tokenizer.ggml.bos_token_id", Value::U32(1)),
            ("tokenizer.ggml.eos_token_id", Value::U32(2)),
        ];
        entries.map(|(key, value)| (key.to_owned(), value)).to_vec()
    }

    fn tensors(&self) -> Vec<TensorSpec> {
        let c = &self.config;
        let (d, f, v) = (c.hidden_size, c.intermediate_size, c.vocab_size);
        let (q, kv) = (c.attention_size(), c.kv_size());
        let mut tensors = vec![self.matrix("token_embd", d, v)];
        for i in 0..c.num_hidden_layers {
            let name = |part: &str| format!("blk.{i}.{part}");
            tensors.extend([
                vector(&name("attn_norm"), d),
                self.matrix(&name("attn_q"), d, q),
                self.matrix(&name("attn_k"), d, kv),
                self.matrix(&name("attn_v"), d, kv),
                self.matrix(&name("attn_output"), q, d),
                vector(&name("ffn_norm"), d),
                self.matrix(&name("ffn_gate"), d, f),
                self.matrix(&name("ffn_up"), d, f),
                self.matrix(&name("ffn_down"), f, d),
            ]);
        }
        tensors.push(vector("output_norm", d));
        if !c.tie_word_embeddings {
            tensors.push(self.matrix("output", d, v));
        }
        tensors
    }

    fn matrix(&self, name: &str, cols: u32, rows: u32) -> TensorSpec {
        let name = format!("{name}.weight");
        let own = self.types.iter().find(|(end, _)| is_called(&name, end));
        let ty = own.map_or(self.matrices, |(_, ty)| *ty);
        TensorSpec { name, ty, dims: vec![cols.into(), rows.into()] }
    }

    fn bytes(&self, index: usize, tensor: &TensorSpec) -> Vec<u8> {
        let mut random = Random(self.seed.wrapping_mul(0x1_0000) + index as u64);
        let (cols, rows) =
            (tensor.dims[0] as usize, tensor.dims.get(1).copied().unwrap_or(1) as usize);
        let given = self.values.iter().find(|(end, _)| is_called(&tensor.name, end));
        let is_vector = tensor.dims.len() == 1;
        let mut value = |i: usize| match given {
            Some((_, value)) => value(i),
            None if is_vector => 1.0 + 0.2 * random.value(),
            None => 0.15 * random.value(),
        };
        if tensor.ty == TensorType::BF16 {
            let mut bits = |i| (value(i).to_bits() >> 16) as u16;
            return (0..cols * rows).flat_map(|i| bits(i).to_le_bytes()).collect();
        }
        let mut out = Vec::new();
        if TARGETS.contains(&tensor.ty) {
            for row in 0..rows {
                let values: Vec<f32> = (0..cols).map(|col| value(row * cols + col)).collect();
                encode(tensor, &values, &mut out);
            }
            return out;
        }
        for _ in 0..cols * rows / tensor.ty.block_len() as usize {
            random_block(tensor.ty, &mut random, &mut out);
        }
        out
    }
}

/// Whether the last parts of `name`, between dots, are `end`.
fn is_called(name: &str, end: &str) -> bool {
    name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// As [`encode_row`], but F32 takes any value: damaged models are wanted, too.
fn encode(tensor: &TensorSpec, values: &[f32], out: &mut Vec<u8>) {
    match tensor.ty {
        TensorType::F32 => out.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        ty => encode_row(ty, values, &tensor.name, out).unwrap(),
    }
}

fn vector(name: &str, len: u32) -> TensorSpec {
    TensorSpec { name: format!("{name}.weight"), ty: TensorType::F32, dims: vec![len.into()] }
}

/// A block of random codes whose scales give weights of deviation 0.1 or so.
fn random_block(ty: TensorType, random: &mut Random, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend((0..ty.block_bytes()).map(|_| random.next() as u8));
    let jitter = 1.0 + 0.2 * random.value();
    let halves: &[(usize, f32)] = match ty {
        TensorType::Q5_0 => &[(0, 0.012)],
        TensorType::Q5_1 => &[(0, 0.012), (2, -0.18)],
        TensorType::Q4_K => &[(0, 0.0005), (2, 0.004)],
        TensorType::Q5_K => &[(0, 0.00025), (2, 0.004)],
        TensorType::Q6_K => &[(208, 0.00008)],
        other => panic!("{other} is written by encode_row"),
    };
    for (at, value) in halves {
        let bytes = f16::from_f32(value * jitter).to_le_bytes();
        out[start + at..start + at + 2].copy_from_slice(&bytes);
    }
}

/// SentencePiece tokens and their types: unknown, BOS, EOS, all bytes, a space, letters, and words.
fn vocabulary(size: usize) -> (Vec<String>, Vec<i32>) {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).to_vec();
    let mut types = vec![2, 3, 3];
    tokens.extend((0..=255u8).map(|byte| format!("<0x{byte:02X}>")));
    types.resize(tokens.len(), 6);
    tokens.push("\u{2581}".into());
    tokens.extend(('a'..='z').map(String::from));
    tokens.extend((tokens.len()..size).map(|i| format!("\u{2581}w{i}")));
    tokens.truncate(size);
    types.resize(size, 1);
    (tokens, types)
}

/// SplitMix64 (Steele et al. 2014).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// About normal, mean 0, deviation 1.
    pub fn value(&mut self) -> f32 {
        let sum: f32 = (0..4).map(|_| (self.next() >> 40) as f32 / (1u64 << 24) as f32).sum();
        (sum - 2.0) * 1.732
    }

    /// In 0..end.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}
