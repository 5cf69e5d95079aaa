//! radllama writes the *Impression* of a radiology report from its *Findings* on the reader's own
//! device: a quantized Llama-2-architecture model, run by this crate's WGSL compute shaders.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod config;
pub mod convert;
pub mod cpu;
pub mod engine;
pub mod error;
pub mod gguf;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod kernels;
pub mod manifest;
pub mod model;
#[cfg(feature = "native")]
pub mod native;
pub mod prompt;
pub mod quant;
pub mod sampler;
pub mod tokenizer;
#[cfg(all(feature = "web", target_arch = "wasm32"))]
pub mod web;

pub use config::LlamaConfig;
pub use error::{Error, Result};
