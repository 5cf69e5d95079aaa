//! What the guard is worth: how often it flags impressions that people wrote, and how many errors planted
//! in them it finds.
//!
//! [`plant`] makes the errors, [`measure`] counts. Intervals are E. B. Wilson's (1927), 95 %. Nothing
//! here reads files or a clock: `radllama guard --eval` does.

pub mod measure;
pub mod plant;

pub use measure::{Figures, Share, measure};
pub use plant::{Case, Planted, plant};

/// A report with its prior, as the guard takes them.
#[derive(Debug, Clone, Default)]
pub struct Pair {
    /// Unique in its file.
    pub id: String,
    /// The findings.
    pub findings: String,
    /// The impression, by a person.
    pub impression: String,
    /// What it was compared with.
    pub prior: Option<String>,
    /// Whether the token limit ended it.
    pub cut: bool,
    /// MeSH terms, where the source gives them.
    pub mesh: Vec<String>,
}
