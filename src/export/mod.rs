//! Export: a report with its impression, the guard's flags and acute findings and the way it came about, in
//! the formats of the trade.
//!
//! A [`Report`] is checked and cleaned once, divided into sections that carry the LOINC codes which FHIR, CDA
//! and DICOM share, and written by a file a format: plain text, Markdown, a FHIR R4 document, an HL7 v2.5.1
//! message, a DICOM Basic Text SR. Pure functions: no clock, no randomness, no files. Times are given, and
//! identifiers are made of the content, so the same report gives the same bytes. docs/export.md has every
//! field and the part of the standard that it is from.

#[cfg(feature = "dicom")]
mod dicom;
mod document;
mod fhir;
mod hl7;
mod input;
mod lines;
mod markdown;
mod report;
mod resource;
mod text;
mod time;

pub use lines::MAX_TEXT_BYTES;
pub use report::{Communication, Origin, Patient, Provenance, Report};

use crate::digest::sha256;
use crate::error::{Error, Result};
use document::Document;

/// A format to export in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Plain text.
    Text,
    /// CommonMark.
    Markdown,
    /// A FHIR R4 document in JSON.
    Fhir,
    /// An HL7 v2.5.1 ORU^R01 message.
    Hl7,
    /// A DICOM Basic Text SR. Native only: in the browser its dictionary would weigh more than all the others
    /// together.
    Dicom,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 5] =
        [Format::Text, Format::Markdown, Format::Fhir, Format::Hl7, Format::Dicom];

    /// Its name on the command line and in JavaScript.
    pub fn name(self) -> &'static str {
        match self {
            Format::Text => "text",
            Format::Markdown => "markdown",
            Format::Fhir => "fhir",
            Format::Hl7 => "hl7",
            Format::Dicom => "dicom",
        }
    }

    /// How a file's name ends.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Text => "txt",
            Format::Markdown => "md",
            Format::Fhir => "fhir.json",
            Format::Hl7 => "hl7",
            Format::Dicom => "dcm",
        }
    }

    /// Its media type.
    pub fn mime(self) -> &'static str {
        match self {
            Format::Text => "text/plain;charset=utf-8",
            Format::Markdown => "text/markdown;charset=utf-8",
            Format::Fhir => "application/fhir+json",
            Format::Hl7 => "x-application/hl7-v2+er7;charset=utf-8",
            Format::Dicom => "application/dicom",
        }
    }
}

impl std::str::FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Format::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| {
            Error::BadOption {
                option: "format",
                value: name.chars().take(40).collect(),
                expected: "text, markdown, fhir, hl7 or dicom",
            }
        })
    }
}

/// Writes a report in a format.
///
/// # Errors
/// [`Error::BadText`] for control characters and overlong texts; [`Error::BadData`] without an impression, or
/// where the format asks for what is missing or cannot hold what is there; [`Error::BadOption`] for a time that
/// is none, and for DICOM in a browser.
pub fn export(report: &Report, format: Format) -> Result<Vec<u8>> {
    let document = Document::new(report)?;
    match format {
        Format::Text => Ok(text::write(&document).into_bytes()),
        Format::Markdown => Ok(markdown::write(&document).into_bytes()),
        Format::Fhir => fhir::write(&document).map(String::into_bytes),
        Format::Hl7 => hl7::write(&document).map(String::into_bytes),
        #[cfg(feature = "dicom")]
        Format::Dicom => dicom::write(&document),
        #[cfg(not(feature = "dicom"))]
        Format::Dicom => Err(Error::BadOption {
            option: "format",
            value: "dicom".to_owned(),
            expected: "text, markdown, fhir or hl7 in a browser; `radllama export` writes DICOM",
        }),
    }
}

/// Longest name made of an id, in characters.
const MAX_NAME_CHARS: usize = 80;

/// A name for a file, without its ending: an id as it is, if every system takes it, else what of it does and
/// eight digits of its hash, so that two ids never have one name.
pub fn file_name(id: Option<&str>) -> String {
    let id = id.unwrap_or("report");
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String =
        id.chars().take(MAX_NAME_CHARS).map(|c| if safe(c) { c } else { '_' }).collect();
    // Windows has devices of these names, whatever the ending.
    let stem = name.split('.').next().unwrap_or("").to_ascii_uppercase();
    let port = ["COM", "LPT"].iter().any(|port| stem.starts_with(port) && stem.len() == 4);
    let device = port || ["", "CON", "PRN", "AUX", "NUL"].contains(&stem.as_str());
    if name == id && !device && !name.starts_with('-') && !name.ends_with('.') {
        return name;
    }
    let hash = sha256(id);
    let name = name.trim_matches(['.', '-']);
    format!("{}-{}", if name.is_empty() { "report" } else { name }, &hash[..8])
}
