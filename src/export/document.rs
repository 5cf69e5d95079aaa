//! A report as its sections, which all formats share, and what is derived from it.

use sha2::{Digest, Sha256};

use super::report::{Communication, Origin, Report};
use super::time::Moment;
use crate::error::{Error, Result};

/// This program, which makes the export.
pub(super) const SOFTWARE: &str = "radllama";
/// Its version.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Stands in every export.
pub(super) const DISCLAIMER: &str =
    "radllama is a research tool, not a medical device: a radiologist must check every sentence.";

/// A section's meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Comparison,
    Findings,
    Impression,
    Recommendation,
    Communication,
    /// What the guard flagged.
    Checks,
    /// Who or what wrote the impression.
    Provenance,
}

impl Kind {
    /// Its heading.
    pub(super) fn title(self) -> &'static str {
        match self {
            Kind::Comparison => "Comparison",
            Kind::Findings => "Findings",
            Kind::Impression => "Impression",
            Kind::Recommendation => "Recommendation",
            Kind::Communication => "Communication of critical results",
            Kind::Checks => "Automatic checks",
            Kind::Provenance => "Provenance",
        }
    }

    /// Its LOINC code, with DICOM's meaning for it. The headings of an imaging report in DICOM (PS3.16
    /// CID 7001) and in CDA (PS3.20 chapter 9) and the sections of HL7 Europe's imaging report in FHIR
    /// R4 are the same codes.
    pub(super) fn loinc(self) -> Option<(&'static str, &'static str)> {
        match self {
            Kind::Comparison => Some(("18834-2", "Previous Findings")),
            Kind::Findings => Some(("59776-5", "Findings")),
            Kind::Impression => Some(("19005-8", "Impressions")),
            Kind::Recommendation => Some(("18783-1", "Recommendations")),
            Kind::Communication => Some(("73568-8", "Communication of Critical Results")),
            Kind::Checks | Kind::Provenance => None,
        }
    }
}

/// LOINC's code for the whole: any imaging study, as the modality is not known (PS3.16 CID 7000).
pub(super) const REPORT: (&str, &str) = ("18748-4", "Diagnostic Imaging Report");

/// A section with its items: lines of a list, or one text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Section {
    pub(super) kind: Kind,
    pub(super) items: Vec<String>,
}

impl Section {
    /// Whether its items are a text and not a list.
    pub(super) fn is_prose(&self) -> bool {
        matches!(self.kind, Kind::Comparison | Kind::Findings)
    }
}

/// A report that was checked and cleaned.
pub(super) struct Document {
    pub(super) report: Report,
    /// In the order of a report; none is empty.
    pub(super) sections: Vec<Section>,
    /// Of everything that is exported, so that two exports have the same identifiers only if they are the
    /// same in every byte.
    seed: [u8; 32],
}

impl Document {
    pub(super) fn new(report: &Report) -> Result<Document> {
        let report = report.cleaned()?;
        let whole = serde_json::to_vec(&report)
            .map_err(|error| Error::Internal(format!("a report cannot be written: {error}")))?;
        let seed = Sha256::digest([VERSION.as_bytes(), b"\0", &whole].concat()).into();
        let one = |text: &String| if text.is_empty() { Vec::new() } else { vec![text.clone()] };
        let mut sections = vec![
            Section { kind: Kind::Comparison, items: one(&report.prior) },
            Section { kind: Kind::Findings, items: one(&report.findings) },
            Section { kind: Kind::Impression, items: report.impression.clone() },
            Section { kind: Kind::Recommendation, items: report.recommendation.clone() },
            Section {
                kind: Kind::Communication,
                items: report.communications.iter().map(told).collect(),
            },
            Section { kind: Kind::Checks, items: report.checks.clone() },
            Section { kind: Kind::Provenance, items: provenance(&report) },
        ];
        sections.retain(|section| !section.items.is_empty());
        Ok(Document { report, sections, seed })
    }

    /// The items of a section.
    pub(super) fn items(&self, kind: Kind) -> &[String] {
        let found = self.sections.iter().find(|section| section.kind == kind);
        found.map_or(&[], |section| &section.items)
    }

    /// When the export was made.
    ///
    /// # Errors
    /// [`Error::BadData`] where nothing says.
    pub(super) fn time(&self, format: &str) -> Result<Moment> {
        let time = self.report.time.as_deref().ok_or_else(|| Error::BadData {
            place: "the report".to_owned(),
            what: format!("\"time\", the time of the export, is missing; {format} asks for it"),
        })?;
        Moment::instant("time", time)
    }

    /// When the examination was done.
    pub(super) fn study_time(&self) -> Option<Moment> {
        self.report.study_time.as_deref().and_then(Moment::parse)
    }

    /// The language of the texts.
    pub(super) fn language(&self) -> &str {
        self.report.language.as_deref().unwrap_or("en")
    }

    /// A UUID of version 8 (RFC 9562, section 5.8) for the part `name`, made of everything that is exported.
    fn uuid_bits(&self, name: &str) -> u128 {
        let digest = Sha256::digest([&self.seed[..], name.as_bytes()].concat());
        let bits = digest.iter().take(16).fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
        bits & !(0xf << 76) & !(0x3 << 62) | 0x8 << 76 | 0x2 << 62
    }

    /// It as `urn:uuid:…`.
    pub(super) fn urn(&self, name: &str) -> String {
        let bits = self.uuid_bits(name);
        let hex = format!("{bits:032x}");
        let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
        format!("urn:uuid:{a}-{b}-{c}-{d}-{e}")
    }

    /// It as a DICOM UID (PS3.5 section B.2).
    #[cfg(feature = "dicom")]
    pub(super) fn uid(&self, name: &str) -> String {
        format!("2.25.{}", self.uuid_bits(name))
    }

    /// Twenty hexadecimal digits, what HL7 allows for a message's control id.
    pub(super) fn control_id(&self) -> String {
        crate::digest::hex(&self.seed[..10])
    }
}

fn told(told: &Communication) -> String {
    let Communication { label, who, when, how, .. } = told;
    if !told.is_recorded() {
        return format!("{label}: no communication is recorded.");
    }
    let said = |part: &Option<String>| part.clone().unwrap_or_else(|| "not recorded".to_owned());
    format!("{label}: told to {}; when: {}; how: {}.", said(who), said(when), said(how))
}

fn provenance(report: &Report) -> Vec<String> {
    let from = &report.provenance;
    let origin = match from.origin {
        Some(Origin::Generated) => "The impression was drafted by a language model and not edited.",
        Some(Origin::Edited) => {
            "The impression was drafted by a language model and then edited by a person."
        }
        Some(Origin::Person) => "The impression was written by a person.",
        None if from.is_model() => {
            "The impression was drafted by a language model; whether a person edited it is not recorded."
        }
        None => "How the impression was written is not recorded.",
    };
    let mut lines =
        vec![format!("Preliminary: not verified by a physician. {origin}"), DISCLAIMER.to_owned()];
    let named = |name: &Option<String>, hashes: &[String]| {
        let name = name.as_deref().unwrap_or("name not recorded");
        match hashes.is_empty() {
            true => name.to_owned(),
            false => format!("{name}, SHA-256 {}", hashes.join(", ")),
        }
    };
    if let Some(id) = &report.id {
        lines.push(format!("Report: {id}"));
    }
    if let Some(software) = &from.software {
        let version = from.version.as_deref().unwrap_or("version not recorded");
        lines.push(format!("Written with: {software} {version}"));
    }
    if from.model.is_some() || !from.model_sha256.is_empty() {
        lines.push(format!("Model: {}", named(&from.model, &from.model_sha256)));
    }
    if from.adapter.is_some() || from.adapter_sha256.is_some() {
        let hash = from.adapter_sha256.as_slice();
        lines.push(format!("Adapter: {}", named(&from.adapter, hash)));
    }
    if let Some(written) = &from.written {
        lines.push(format!("Written: {written}"));
    }
    let when = report.time.as_ref().map_or(String::new(), |time| format!(", {time}"));
    lines.push(format!("Exported with: {SOFTWARE} {VERSION}{when}"));
    lines
}
