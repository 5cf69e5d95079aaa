//! Evaluation: how good a system's impressions are, beside what any system has to beat.
//!
//! One figure proves nothing here: always writing "No acute cardiopulmonary abnormality." reaches a
//! ROUGE-1 of 0.42 on OpenI. So [`evaluate`] puts every system beside the [`baselines`], on subsets
//! (findings the training set does not have, abnormal reports, short and long ones), with bootstrap
//! intervals ([`bootstrap`]) and paired differences, and counts outputs that are no impression
//! ([`degenerate`]). [`render`] writes all of it as Markdown and HTML.
//!
//! Scores are [`rouge`]'s. Nothing here reads files: `radllama eval` does.

pub mod baselines;
pub mod compare;
pub mod degenerate;
pub mod faithfulness;
pub mod neighbours;
pub mod outputs;
pub mod render;
pub mod rouge;
pub mod stem;
pub mod subsets;
pub mod table;

pub use crate::stats::bootstrap;
pub use compare::{Evaluation, Options, System, evaluate};

/// A report as evaluation needs it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Unique in its file.
    pub id: String,
    /// The findings.
    pub findings: String,
    /// The radiologist's impression.
    pub impression: String,
    /// Whether it describes anything abnormal, where the source tells.
    pub abnormal: Option<bool>,
}
