//! An [`Evaluation`](super::Evaluation) for people: as Markdown, also for terminals, and as a page.

mod html;
mod markdown;
mod plots;
pub mod systems;

pub use html::{Text, html};
pub use markdown::markdown;

/// Measures as people write them, in the order of [`METRICS`](super::rouge::METRICS).
const TITLES: [&str; 4] = ["ROUGE-1", "ROUGE-2", "ROUGE-L", "ROUGE-Lsum"];
