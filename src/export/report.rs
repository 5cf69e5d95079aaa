//! What is exported, and its checked, cleaned form.

use serde::{Deserialize, Serialize};

use super::lines::{clean, clean_line};
use super::time::Moment;
use crate::error::{Error, Result};

/// A report to be exported. Everything but the impression is optional; nothing that is not given is made
/// up. docs/export.md has the fields, and [`Report::from_json`] reads them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// What the caller calls the report.
    pub id: Option<String>,
    /// Accession number of the examination.
    pub accession: Option<String>,
    /// Study Instance UID of the images.
    pub study_uid: Option<String>,
    /// When the examination was done: a date or a time by RFC 3339.
    pub study_time: Option<String>,
    /// When the export was made, RFC 3339 with a distance from UTC. FHIR, HL7 and DICOM ask for it.
    pub time: Option<String>,
    /// Language of the texts (BCP 47); English where nothing says.
    pub language: Option<String>,
    /// Of whom the report is.
    pub patient: Patient,
    /// The findings section.
    pub findings: String,
    /// The impression, a line an item.
    pub impression: Vec<String>,
    /// What is recommended, a line an item.
    pub recommendation: Vec<String>,
    /// What it was compared with.
    pub prior: String,
    /// What the guard flagged, a line an item.
    pub checks: Vec<String>,
    /// Acute findings, and who was told of them.
    pub communications: Vec<Communication>,
    /// How the impression came about.
    pub provenance: Provenance,
    /// Whether HL7 is to say that it is for production (`P` in MSH-11) and not for training (`T`).
    pub production: bool,
}

/// Of whom a report is; usually not known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Patient {
    /// Medical record number.
    pub id: Option<String>,
    /// Family name.
    pub family: Option<String>,
    /// Given name or names.
    pub given: Option<String>,
}

impl Patient {
    /// Whether anything is known.
    pub fn is_known(&self) -> bool {
        self.id.is_some() || self.is_named()
    }

    /// Whether a part of the name is known.
    pub fn is_named(&self) -> bool {
        self.family.is_some() || self.given.is_some()
    }
}

/// An acute finding, and the communication about it, as far as it was written down.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Communication {
    /// The guard's concept.
    pub concept: Option<String>,
    /// What the finding is called.
    pub label: String,
    /// Who was told.
    pub who: Option<String>,
    /// When; RFC 3339 is passed on as a time, anything else as text.
    pub when: Option<String>,
    /// How: by telephone, in person, …
    pub how: Option<String>,
}

impl Communication {
    /// Whether somebody was told, as far as is known.
    pub fn is_recorded(&self) -> bool {
        self.who.is_some() || self.when.is_some() || self.how.is_some()
    }
}

/// How an impression came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A model wrote it and nobody changed it.
    Generated,
    /// A model wrote it and a person changed it.
    Edited,
    /// A person wrote it.
    Person,
}

/// What wrote an impression.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// Who had the last word; not known where nothing says.
    pub origin: Option<Origin>,
    /// The program that wrote it.
    pub software: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The model's name.
    pub model: Option<String>,
    /// SHA-256 of the model's files, in hexadecimal.
    pub model_sha256: Vec<String>,
    /// The adapter's name.
    pub adapter: Option<String>,
    /// SHA-256 of the adapter's weights, in hexadecimal.
    pub adapter_sha256: Option<String>,
    /// When it was written, RFC 3339.
    pub written: Option<String>,
}

impl Provenance {
    /// Whether a model wrote the impression or a part of it.
    pub fn is_model(&self) -> bool {
        match self.origin {
            Some(origin) => origin != Origin::Person,
            None => self.model.is_some() || !self.model_sha256.is_empty(),
        }
    }
}

impl Report {
    /// The same report as all formats can carry it: without control characters, with plain line breaks, without
    /// empty items.
    ///
    /// # Errors
    /// [`Error::BadText`]; [`Error::BadData`] without an impression or with an unsound hash or UID;
    /// [`Error::BadOption`] for a time that is none.
    pub(super) fn cleaned(&self) -> Result<Report> {
        let line = |name: &str, text: &Option<String>| -> Result<Option<String>> {
            let text = text.as_deref().map(|text| clean_line(name, text)).transpose()?;
            Ok(text.filter(|text| !text.is_empty()))
        };
        let list = |name: &str, list: &[String]| -> Result<Vec<String>> {
            let mut lines =
                list.iter().map(|text| clean(name, text)).collect::<Result<Vec<_>>>()?;
            lines.retain(|line| !line.is_empty());
            Ok(lines)
        };
        let told = |told: &Communication| -> Result<Communication> {
            Ok(Communication {
                concept: line("communication", &told.concept)?,
                label: clean_line("acute finding", &told.label)?,
                who: line("communication", &told.who)?,
                when: line("communication", &told.when)?,
                how: line("communication", &told.how)?,
            })
        };
        let from = &self.provenance;
        let report = Report {
            id: line("id", &self.id)?,
            accession: line("accession number", &self.accession)?,
            study_uid: line("study_uid", &self.study_uid)?,
            study_time: line("study_time", &self.study_time)?,
            time: line("time", &self.time)?,
            language: line("language", &self.language)?,
            patient: Patient {
                id: line("patient's id", &self.patient.id)?,
                family: line("patient's name", &self.patient.family)?,
                given: line("patient's name", &self.patient.given)?,
            },
            findings: clean("findings", &self.findings)?,
            impression: list("impression", &self.impression)?,
            recommendation: list("recommendation", &self.recommendation)?,
            prior: clean("prior report", &self.prior)?,
            checks: list("flags", &self.checks)?,
            communications: self.communications.iter().map(told).collect::<Result<_>>()?,
            provenance: Provenance {
                origin: from.origin,
                software: line("software", &from.software)?,
                version: line("version", &from.version)?,
                model: line("model", &from.model)?,
                model_sha256: list("model_sha256", &from.model_sha256)?,
                adapter: line("adapter", &from.adapter)?,
                adapter_sha256: line("adapter_sha256", &from.adapter_sha256)?,
                written: line("written", &from.written)?,
            },
            production: self.production,
        };
        report.check()?;
        Ok(report)
    }

    fn check(&self) -> Result<()> {
        let bad = |what: &str| {
            Err(Error::BadData { place: "the report".to_owned(), what: what.to_owned() })
        };
        if self.impression.is_empty() {
            return bad("there is no impression to export");
        }
        if self.communications.iter().any(|told| told.label.is_empty()) {
            return bad(
                "a communication has no \"label\": name the acute finding that it is about",
            );
        }
        let from = &self.provenance;
        let is_hash =
            |hash: &String| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        if !from.model_sha256.iter().chain(&from.adapter_sha256).all(is_hash) {
            return bad("a SHA-256 must have 64 hexadecimal digits");
        }
        if self.study_uid.as_ref().is_some_and(|uid| !is_uid(uid)) {
            return bad(
                "\"study_uid\" is no DICOM UID: numbers with dots between, 64 characters at most",
            );
        }
        let language = |text: &String| {
            let parts = text.split('-').all(|part| {
                (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
            });
            parts && text.len() >= 2
        };
        if !self.language.as_ref().is_none_or(language) {
            return bad("\"language\" is no BCP 47 tag, as \"en\" or \"pt-BR\" are");
        }
        for (option, time) in [("time", &self.time), ("provenance.written", &from.written)] {
            if let Some(time) = time {
                Moment::instant(option, time)?;
            }
        }
        if self.study_time.as_ref().is_some_and(|time| Moment::parse(time).is_none()) {
            return bad("\"study_time\" is neither a date (2026-11-27) nor a time by RFC 3339");
        }
        Ok(())
    }
}

/// Whether a text is a UID as PS3.5 section 9.1 has it.
fn is_uid(text: &str) -> bool {
    let sound = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        digits && (part.len() == 1 || !part.starts_with('0'))
    };
    text.len() <= 64 && text.contains('.') && text.split('.').all(sound)
}
