//! GGUF, the one model container: a sans-IO push reader, a deterministic writer with llama.cpp's
//! split, and the block formats of ggml. The layout follows ggml's `docs/gguf.md` (versions 2 and
//! 3, little endian).
//!
//! Read on in [`reader`] for bytes in, [`header`] for what a file says about its model, [`writer`]
//! for bytes out and [`blocks`] for what the quantized bytes mean.

pub mod blocks;
mod config;
pub mod header;
mod parse;
pub mod reader;
pub mod types;
pub mod value;
pub mod writer;

pub use header::{Header, Split};
pub use reader::{Event, PIECE_BYTES, Reader, read_header};
pub use types::{TensorInfo, TensorType};
pub use value::{Array, Value};
pub use writer::{Layout, TensorSpec, part_name};

/// The first four bytes of every GGUF file.
pub const MAGIC: [u8; 4] = *b"GGUF";

/// Alignment of tensor data where the metadata does not set `general.alignment`.
pub const DEFAULT_ALIGNMENT: u64 = 32;
