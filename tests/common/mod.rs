//! A small Llama model, made up on the spot, and the program run on it.
#![allow(dead_code, reason = "every test binary uses its own part")]
#![allow(unreachable_pub, reason = "the module is copied into each test binary")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use radllama::digest::sha256;
use radllama::gguf::{Array, Layout, TensorSpec, TensorType, Value, part_name};
use radllama::quant::encode::encode_row;
use serde_json::json;

/// Hidden size, feed-forward size, layers, heads, key/value heads, tokens, context.
pub const D: u64 = 64;
pub const F: u64 = 96;
pub const LAYERS: u64 = 2;
pub const HEADS: u64 = 4;
pub const KV_HEADS: u64 = 2;
pub const VOCAB: u64 = 300;
pub const CONTEXT: u64 = 1024;

/// A model that can be spoilt before it is written.
#[derive(Clone)]
pub struct Tiny {
    pub metadata: Vec<(String, Value)>,
    pub tensors: Vec<(TensorSpec, Vec<u8>)>,
}

impl Tiny {
    /// All matrices of one type, norms F32.
    pub fn new(ty: TensorType) -> Tiny {
        Tiny::with(|_| ty)
    }

    /// Matrices of the type that `ty` gives for their name.
    pub fn with(ty: impl Fn(&str) -> TensorType) -> Tiny {
        let mut tiny = Tiny { metadata: metadata(), tensors: Vec::new() };
        let kv = D / HEADS * KV_HEADS;
        tiny.push("token_embd.weight", &[D, VOCAB], &ty);
        for layer in 0..LAYERS {
            for (part, dims) in [
                ("attn_norm", &[D][..]),
                ("attn_q", &[D, D]),
                ("attn_k", &[D, kv]),
                ("attn_v", &[D, kv]),
                ("attn_output", &[D, D]),
                ("ffn_norm", &[D]),
                ("ffn_gate", &[D, F]),
                ("ffn_up", &[D, F]),
                ("ffn_down", &[F, D]),
            ] {
                tiny.push(&format!("blk.{layer}.{part}.weight"), dims, &ty);
            }
        }
        tiny.push("output_norm.weight", &[D], &ty);
        tiny
    }

    /// Adds a tensor with made-up weights.
    pub fn push(&mut self, name: &str, dims: &[u64], ty: &impl Fn(&str) -> TensorType) {
        let ty = if dims.len() == 1 { TensorType::F32 } else { ty(name) };
        let mut random =
            Random(name.bytes().fold(7u64, |seed, b| seed.wrapping_mul(31) + u64::from(b)));
        let mut bytes = Vec::new();
        for _ in 0..dims[1..].iter().product::<u64>() {
            // Norms near 1; rows whose product with a normalized vector is near 1, the embedding larger.
            let (middle, width) = match (dims.len(), name) {
                (1, _) => (1.0, 0.1),
                (_, "token_embd.weight") => (0.0, 1.0),
                _ => (0.0, 1.7 / (dims[0] as f32).sqrt()),
            };
            let row: Vec<f32> = (0..dims[0]).map(|_| middle + width * random.next()).collect();
            encode_row(ty, &row, name, &mut bytes).unwrap();
        }
        self.tensors.push((TensorSpec { name: name.to_owned(), ty, dims: dims.to_vec() }, bytes));
    }

    /// Replaces a metadata value, or adds it.
    pub fn set(&mut self, key: &str, value: Value) {
        self.metadata.retain(|(k, _)| k != key);
        self.metadata.push((key.to_owned(), value));
    }

    /// Takes a tensor out.
    pub fn remove(&mut self, name: &str) -> (TensorSpec, Vec<u8>) {
        let at = self.tensors.iter().position(|(spec, _)| spec.name == name).unwrap();
        self.tensors.remove(at)
    }

    /// The bytes of the file, or of the parts of a split.
    pub fn files(&self, max_part_bytes: Option<u64>) -> Vec<Vec<u8>> {
        let specs: Vec<_> = self.tensors.iter().map(|(spec, _)| spec.clone()).collect();
        let layout = Layout::new(&self.metadata, &specs, max_part_bytes).unwrap();
        let write = |part: &radllama::gguf::writer::Part| {
            let mut bytes = Vec::new();
            part.write("tiny", &mut bytes, &mut |i, _, sink| sink(&self.tensors[i].1)).unwrap();
            bytes
        };
        layout.parts().iter().map(write).collect()
    }

    /// The one file.
    pub fn file(&self) -> Vec<u8> {
        self.files(None).remove(0)
    }

    /// Writes `STEM.gguf` and returns its path.
    pub fn save(&self, dir: &Path, stem: &str) -> PathBuf {
        save(dir, &format!("{stem}.gguf"), &self.file())
    }

    /// Writes the parts of a split and returns their paths.
    pub fn save_split(&self, dir: &Path, stem: &str, max_part_bytes: u64) -> Vec<PathBuf> {
        let files = self.files(Some(max_part_bytes));
        let name = |no| part_name(stem, no, files.len());
        files.iter().enumerate().map(|(no, bytes)| save(dir, &name(no), bytes)).collect()
    }
}

/// Writes a file and returns its path.
pub fn save(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// A manifest of `files`, which lie in `dir`, as a JSON value.
pub fn manifest(dir: &Path, files: &[PathBuf]) -> serde_json::Value {
    let files: Vec<_> = files
        .iter()
        .map(|path| {
            let bytes = fs::read(path).unwrap();
            let path = path.strip_prefix(dir).unwrap();
            json!({ "path": path, "bytes": bytes.len(), "sha256": sha256(&bytes) })
        })
        .collect();
    json!({
        "format": 1, "name": "tiny", "architecture": "llama", "template": "alpaca",
        "licence": "CC0-1.0", "provenance": "made up", "notice": "Made up for a test.",
        "files": files,
    })
}

/// Uniform in -1…1.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32 / (1 << 23) as f32) - 1.0
    }
}

fn metadata() -> Vec<(String, Value)> {
    let mut all: Vec<(String, Value)> = Vec::new();
    let mut key = |name: &str, value| all.push((name.to_owned(), value));
    key("general.architecture", Value::String("llama".into()));
    for (name, value) in [
        ("block_count", LAYERS),
        ("context_length", CONTEXT),
        ("embedding_length", D),
        ("feed_forward_length", F),
        ("attention.head_count", HEADS),
        ("attention.head_count_kv", KV_HEADS),
    ] {
        key(&format!("llama.{name}"), Value::U32(value as u32));
    }
    key("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5));
    let (tokens, types) = vocabulary();
    key("tokenizer.ggml.model", Value::String("llama".into()));
    let scores = (0..tokens.len()).map(|i| -(i as f32)).collect();
    key("tokenizer.ggml.tokens", Value::Array(Array::String(tokens)));
    key("tokenizer.ggml.scores", Value::Array(Array::F32(scores)));
    key("tokenizer.ggml.token_type", Value::Array(Array::I32(types)));
    key("tokenizer.ggml.bos_token_id", Value::U32(1));
    key("tokenizer.ggml.eos_token_id", Value::U32(2));
    key("tokenizer.ggml.unknown_token_id", Value::U32(0));
    all
}

/// A SentencePiece vocabulary: three control tokens, the bytes, letters and a few longer pieces.
fn vocabulary() -> (Vec<String>, Vec<i32>) {
    let mut tokens: Vec<(String, i32)> =
        [("<unk>", 2), ("<s>", 3), ("</s>", 3)].map(|(t, ty)| (t.to_owned(), ty)).to_vec();
    tokens.extend((0..256).map(|byte| (format!("<0x{byte:02X}>"), 6)));
    let pieces = ["▁t", "he", "▁the", "in", "er", "on", "▁a", "re", "at", "▁s", "en", "is", "▁"];
    tokens.extend(pieces.map(|piece| (piece.to_owned(), 1)));
    tokens.extend(('a'..='z').map(|letter| (letter.to_string(), 1)));
    tokens.extend([".", ","].map(|mark| (mark.to_owned(), 1)));
    assert_eq!(tokens.len() as u64, VOCAB);
    tokens.into_iter().unzip()
}

/// What a run of the program gave.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// stdout as the one JSON value that it must be.
    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.stdout.trim_end().lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The program with these arguments; `run` it.
pub fn radllama(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_radllama"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command with `stdin`.
pub fn run_with(mut command: Command, stdin: &[u8]) -> Ran {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    // A program that does not want it may be gone already.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran {
        code: output.status.code().expect("it ends by itself"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Runs the program.
pub fn run(args: &[&str]) -> Ran {
    run_with(radllama(args), b"")
}

/// Runs the program, which must succeed.
pub fn ok(args: &[&str]) -> Ran {
    let ran = run(args);
    assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
    ran
}
