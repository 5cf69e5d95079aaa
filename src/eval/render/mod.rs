//! An [`Evaluation`](super::Evaluation) for people: as Markdown, also for terminals, and as a page.
//!
//! The plots are a small SVG writer's own and not a plotting crate's: colours that follow the reader's
//! light or dark scheme, marks that differ in shape too, and a title on every mark are attributes that
//! such crates' SVG does not let one set.

mod html;
mod markdown;
mod plots;
mod svg;

pub use html::{Text, html};
pub use markdown::markdown;

/// Measures as people write them, in the order of [`METRICS`](super::rouge::METRICS).
const TITLES: [&str; 4] = ["ROUGE-1", "ROUGE-2", "ROUGE-L", "ROUGE-Lsum"];
