//! Reports: where pairs of findings and impression come from, and the files that hold them.
//!
//! [`pairs`] is what training and evaluation read: one pair a line. [`openi`] and [`mimic_cxr`] read
//! the published data sets; [`prepare`] takes their reports, or those of other tables ([`rename`]), through
//! [`filter`] and [`split`] into pairs files with [`statistics`].
//!
//! [`stream`] reads the rows ([`crate::rows`]) of files in any encoding.
//!
//! Nothing here holds more than one report's text in memory, and no error holds any of it.

pub mod archive;
pub mod atomic;
pub mod filter;
pub mod mimic_cxr;
pub mod openi;
pub mod pairs;
pub mod prepare;
pub mod rename;
pub mod sections;
pub mod split;
pub mod statistics;
pub mod stream;
mod table;
mod text;
mod writer;

pub use pairs::{Pair, PairReader, PairWriter, read_pairs};
