//! Reports: where pairs of findings and impression come from, and the files that hold them.
//!
//! [`pairs`] is what training and evaluation read: one pair a line. Nothing here holds more than one
//! report in memory, and no error holds any of its text.

pub mod atomic;
pub mod pairs;

pub use pairs::{Pair, PairReader, PairWriter, read_pairs};
