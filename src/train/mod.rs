//! LoRA instruction tuning on a frozen base, as *Radiology-Llama2* (Liu et al. 2023) does it, on the
//! CPU.
//!
//! [`Base`] dequantizes the weights that ship; [`Network`] is the forward pass of [`crate::model`] over
//! them in candle's graph, with an adapter's factors as variables; [`Trainer`] takes the steps. The
//! graph's operations are this module's own ([`ops`]): candle keeps the tape. A test holds the network's
//! logits against the engine's. [`average`] makes one adapter of several.

mod amx;
mod average;
mod base;
mod checkpoint;
mod examples;
mod files;
mod matrix;
mod network;
mod ops;
mod optimizer;
mod trainer;

pub use average::{Kept, average};
pub use base::Base;
pub use examples::Example;
pub use files::{LogLine, RunFolder, save_adapter};
pub use matrix::{Frozen, Precision, measured_flops};
pub use network::Network;
pub use optimizer::Schedule;
pub use trainer::{Options, State, StepReport, Trainer};
