//! radllama writes the *Impression* of a radiology report from its *Findings* on the reader's own
//! device: a quantized Llama-2-architecture model, run by this crate's WGSL compute shaders.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod config;
pub mod error;

pub use config::LlamaConfig;
pub use error::{Error, Result};
