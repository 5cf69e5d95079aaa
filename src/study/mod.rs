//! Reader studies: radiologists judge several systems' impressions of the same findings, blinded and
//! side by side, as in the expert evaluation of *Radiology-Llama2* (Liu et al. 2023): five criteria from
//! 1 to 5, and here also which impression they would rather sign.
//!
//! A [`Study`] is read from a file; [`plan`] says for each reader in which order the reports come and
//! which system stands in which place; what a reader answers becomes [`ratings`], a CSV file a reader;
//! [`analysis`] makes figures of all readers' files, [`report`] shows them. Nothing here knows files,
//! clocks or a page: `radllama study` and www/study.html bring those.

pub mod analysis;
pub mod file;
pub mod plan;
mod plots;
pub mod preference;
pub mod ratings;
pub mod report;
mod table;

pub use analysis::{Analysis, Options, analyse};
pub use file::{Item, Study};
pub use plan::{Shown, plan};
pub use ratings::{Answer, Record};

/// What is judged from 1 to 5: its name in files, as people write it, and what it asks.
pub const CRITERIA: [(&str, &str, &str); 5] = [
    ("understandability", "Understandability", "Can it be read and understood at once?"),
    ("coherence", "Coherence", "Does it hang together, without contradiction?"),
    ("relevance", "Relevance", "Does it say what matters in these findings, and nothing else?"),
    ("conciseness", "Conciseness", "Is it as short as it can be?"),
    ("clinical_utility", "Clinical utility", "Would it help whoever treats the patient?"),
];

/// The highest mark; 1 is the lowest.
pub const MOST: u8 = 5;

/// The most systems that fit side by side.
pub const MOST_SYSTEMS: usize = 4;

/// The most reports of a study: more than readers ever read, and few enough for exact tests.
pub const MOST_REPORTS: usize = 2000;

/// The letter of a place on the screen, from 0.
pub fn letter(place: usize) -> char {
    char::from(b'A' + (place % 26) as u8)
}
