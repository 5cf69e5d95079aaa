//! Statistics of small studies: bootstrap intervals, agreement of observers, exact tests.
//!
//! Plain functions over numbers. `eval` scores systems with them, `study` judges readers' ratings.

pub mod alpha;
pub mod bootstrap;
pub mod significance;
