//! radllama writes the *Impression* of a radiology report from its *Findings* on the reader's own
//! device: a quantized Llama-2-architecture model, run by this crate's WGSL compute shaders.
//!
//! A way through the crate, from the bytes of a model to a sentence:
//!
//! 1. [`model::Loader`] takes the bytes of GGUF files ([`gguf`]) in any chunking, repacks them into the
//!    GPU's weight formats ([`quant`]) and hands out [`model::Weights`] only when all of them came.
//! 2. [`model::forward`] writes the Llama forward pass down once, as a [`model::Program`]: buffers and
//!    kernel calls, plain data.
//! 3. [`kernels`] holds each kernel's parameters, bindings, grid and CPU twin; its WGSL is in `shaders/`.
//! 4. `gpu` compiles the kernels, proves them against their twins on the device at hand, and runs the
//!    program; [`cpu`] runs it over the twins themselves.
//! 5. [`engine::Engine`] turns [`prompt`]s into ids ([`tokenizer`]), reads them in chunks, writes in
//!    batches, and stops.
//!
//! `native` and `bin/radllama` bring files, a clock and a terminal; `web` brings JavaScript.
//! ARCHITECTURE.md says why it is so.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod config;
pub mod convert;
pub mod cpu;
#[cfg(feature = "native")]
pub mod data;
pub mod digest;
pub mod engine;
pub mod error;
pub mod eval;
pub mod export;
pub mod gguf;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod guard;
pub mod kernels;
pub mod lora;
pub mod manifest;
pub mod model;
#[cfg(feature = "native")]
pub mod native;
pub mod prompt;
pub mod quant;
mod render;
pub mod rows;
pub mod sampler;
pub mod stats;
pub mod study;
pub mod tokenizer;
#[cfg(feature = "train")]
pub mod train;
#[cfg(all(feature = "web", target_arch = "wasm32"))]
pub mod web;

pub use config::LlamaConfig;
pub use error::{Error, Result};
