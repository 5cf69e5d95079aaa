//! What figures are shown with: tables in Markdown, pages that need nothing else, plots.
//!
//! The plots are a small SVG writer's own and not a plotting crate's: colours that follow the reader's
//! light or dark scheme, marks that differ in shape too, and a title on every mark are attributes that
//! such crates' SVG does not let one set.

pub(crate) mod csv;
pub(crate) mod html;
pub(crate) mod markdown;
pub(crate) mod svg;
