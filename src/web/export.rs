//! Exports for JavaScript: a report as JSON in, a file out.

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;

use super::{Js, thrown};
use crate::export::{Format, Report, export, file_name};

/// A file made of a report.
#[wasm_bindgen]
pub struct ExportedFile {
    name: String,
    mime: &'static str,
    bytes: Vec<u8>,
}

#[wasm_bindgen]
impl ExportedFile {
    /// Writes a report, as docs/export.md has it in JSON, in a format by its name. Needs no model.
    pub fn of(report_json: &str, format: &str) -> Js<ExportedFile> {
        let made = || {
            let format: Format = format.parse()?;
            let report = Report::from_json(report_json)?;
            let bytes = export(&report, format)?;
            let name = format!("{}.{}", file_name(report.id.as_deref()), format.extension());
            Ok(ExportedFile { name, mime: format.mime(), bytes })
        };
        made().map_err(thrown)
    }

    /// A name for it that every system takes.
    #[wasm_bindgen(getter)]
    pub fn name(&self) -> String {
        self.name.clone()
    }

    /// Its media type.
    #[wasm_bindgen(getter)]
    pub fn mime(&self) -> String {
        self.mime.to_owned()
    }

    /// Its content.
    pub fn bytes(&self) -> Uint8Array {
        Uint8Array::from(&self.bytes[..])
    }
}
