//! Reports into pairs files: OpenI's XML, MIMIC-CXR's layout, tables. All text here is made up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../common/mod.rs"]
mod common;

mod bad;
mod filters;
mod fixtures;
mod mimic_cxr;
mod openi;
mod pairs;
