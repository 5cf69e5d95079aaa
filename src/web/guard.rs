//! The guard for JavaScript: places are UTF-16 code units, as `slice` and selections count them.

use wasm_bindgen::prelude::*;

use super::{Js, plain, thrown};
use crate::guard;

/// Checks impressions against their findings; needs no model and no GPU.
#[wasm_bindgen]
pub struct Guard {
    guard: guard::Guard,
}

#[wasm_bindgen]
impl Guard {
    /// Over the built-in lexicon. Takes some milliseconds: make one and keep it.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Js<Guard> {
        Ok(Guard { guard: guard::Guard::built_in().map_err(thrown)? })
    }

    /// `{ lines, flags, acute }` of [`guard::Report`], with all places in UTF-16 code units. `part`: the
    /// impression is still being written. `cut`: it ended because no more tokens were allowed.
    pub fn check(
        &self,
        findings: &str,
        impression: &str,
        prior: Option<String>,
        part: bool,
        cut: bool,
    ) -> Js<JsValue> {
        let prior = prior.as_deref();
        let report = match (part, cut) {
            (true, _) => self.guard.check_part(findings, impression, prior),
            (false, true) => self.guard.check_cut(findings, impression, prior),
            (false, false) => self.guard.check(findings, impression, prior),
        };
        plain(&report.in_utf16(findings, impression))
    }
}
