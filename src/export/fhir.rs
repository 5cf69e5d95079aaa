//! FHIR R4 (4.0.1): a document, that is a Bundle whose first entry is a Composition.
//!
//! R4's DiagnosticReport has no sections, so the Composition carries them, with the section codes of HL7
//! Europe's imaging report; the DiagnosticReport beside it is what most receivers look for: `conclusion`,
//! `presentedForm` and the sections as Observations. Rules of a document: hl7.org/fhir/R4/documents.html.
//!
//! What a model wrote is labelled `AIAST` (Artificial Intelligence asserted, v3-ObservationValue) in
//! `meta.security`, as HL7's AI Transparency on FHIR has it, and the Provenance names program, model and
//! adapter as Devices, with the SHA-256 of their files as identifiers.

use serde_json::{Value, json};

use super::document::{Document, Kind, REPORT, SOFTWARE, Section, VERSION};
use super::report::{Communication, Origin};
use super::resource::{compact, narrative};
use super::text;
use super::time::Moment;
use crate::error::{Error, Result};

const LOINC: &str = "http://loinc.org";
const TERMINOLOGY: &str = "http://terminology.hl7.org/CodeSystem";

/// The Bundle.
pub(super) fn write(document: &Document) -> Result<String> {
    let writer = Writer {
        document,
        time: document.time("FHIR")?,
        subject: patient(document).map(|_| document.urn("patient")),
    };
    let mut bundle = writer.bundle();
    compact(&mut bundle);
    let mut text = serde_json::to_string_pretty(&bundle)
        .map_err(|error| Error::Internal(format!("a bundle cannot be written: {error}")))?;
    text.push('\n');
    Ok(text)
}

struct Writer<'a> {
    document: &'a Document,
    time: Moment,
    /// The patient's entry, if there is one.
    subject: Option<String>,
}

impl Writer<'_> {
    fn bundle(&self) -> Value {
        let document = self.document;
        let mut entries = vec![
            self.entry("composition", self.composition()),
            self.entry("report", self.diagnostic_report()),
        ];
        entries.extend(patient(document).map(|patient| self.entry("patient", patient)));
        for section in self.observed() {
            entries.push(self.entry(part(section.kind), self.observation(section)));
        }
        for (number, told) in self.recorded() {
            entries.push(self.entry(&format!("told {number}"), self.communication(told)));
        }
        for (name, device) in self.devices() {
            entries.push(self.entry(name, device));
        }
        entries.push(self.entry("provenance", self.provenance()));
        json!({
            "resourceType": "Bundle",
            "meta": self.label(),
            "language": document.language(),
            // bdl-9: a document's identifier has a system and a value.
            "identifier": { "system": "urn:ietf:rfc:3986", "value": document.urn("document") },
            "type": "document",
            "timestamp": self.time.fhir(),
            "entry": entries,
        })
    }

    fn entry(&self, name: &str, resource: Value) -> Value {
        json!({ "fullUrl": self.document.urn(name), "resource": resource })
    }

    fn reference(&self, name: &str) -> Value {
        json!({ "reference": self.document.urn(name) })
    }

    fn subject(&self) -> Value {
        json!(self.subject.as_ref().map(|urn| json!({ "reference": urn })))
    }

    /// The label of what a model had a hand in.
    fn label(&self) -> Value {
        let label = json!({ "security": [{
            "system": format!("{TERMINOLOGY}/v3-ObservationValue"),
            "code": "AIAST",
            "display": "Artificial Intelligence asserted",
        }] });
        if self.document.report.provenance.is_model() { label } else { Value::Null }
    }

    /// Sections that have an Observation.
    fn observed(&self) -> impl Iterator<Item = &Section> {
        let with = |kind| kind != Kind::Communication;
        self.document.sections.iter().filter(move |s| s.kind.loinc().is_some() && with(s.kind))
    }

    fn recorded(&self) -> impl Iterator<Item = (usize, &Communication)> {
        let told = self.document.report.communications.iter().enumerate();
        told.filter(|(_, told)| told.is_recorded())
    }

    fn identifiers(&self) -> Vec<Value> {
        let report = &self.document.report;
        let id = report.id.as_ref().map(|id| json!({ "value": id }));
        let accession = report.accession.as_ref().map(|accession| {
            let system = format!("{TERMINOLOGY}/v2-0203");
            let coding = json!({ "system": system, "code": "ACSN", "display": "Accession ID" });
            json!({ "type": { "coding": [coding] }, "value": accession })
        });
        id.into_iter().chain(accession).collect()
    }

    fn composition(&self) -> Value {
        let sections: Vec<Value> = self.document.sections.iter().map(|s| self.section(s)).collect();
        json!({
            "resourceType": "Composition",
            "meta": self.label(),
            "language": self.document.language(),
            "text": narrative(&[(None, self.document.items(Kind::Provenance), false)]),
            "identifier": self.identifiers().first(),
            "status": "preliminary",
            "type": report_code(),
            "subject": self.subject(),
            "date": self.time.fhir(),
            // What put the document together, not who answers for it: nobody has yet.
            "author": [self.reference("software")],
            "title": "Radiology report, preliminary",
            "section": sections,
        })
    }

    fn section(&self, section: &Section) -> Value {
        let mut entries = Vec::new();
        match section.kind {
            Kind::Communication => {
                for (number, _) in self.recorded() {
                    entries.push(self.reference(&format!("told {number}")));
                }
            }
            kind if kind.loinc().is_some() => entries.push(self.reference(part(kind))),
            _ => {}
        }
        if section.kind == Kind::Impression {
            entries.push(self.reference("report"));
        }
        json!({
            "title": section.kind.title(),
            "code": section.kind.loinc().map(|_| code(section.kind)),
            "text": narrative(&[(None, &section.items, !section.is_prose())]),
            "entry": entries,
        })
    }

    fn diagnostic_report(&self) -> Value {
        let document = self.document;
        let body = text::body(document);
        let parts: Vec<(Option<&str>, &[String], bool)> = document
            .sections
            .iter()
            .map(|s| (Some(s.kind.title()), s.items.as_slice(), !s.is_prose()))
            .collect();
        let radiology = json!({
            "system": format!("{TERMINOLOGY}/v2-0074"), "code": "RAD", "display": "Radiology",
        });
        json!({
            "resourceType": "DiagnosticReport",
            "meta": self.label(),
            "language": document.language(),
            "text": narrative(&parts),
            "identifier": self.identifiers(),
            "status": "preliminary",
            "category": [{ "coding": [radiology] }],
            "code": report_code(),
            "subject": self.subject(),
            "effectiveDateTime": document.study_time().as_ref().map(Moment::fhir),
            "issued": self.time.fhir(),
            "result": self.observed().map(|s| self.reference(part(s.kind))).collect::<Vec<_>>(),
            "imagingStudy": self.imaging_study(),
            "conclusion": document.report.impression.join("\n"),
            "presentedForm": [{
                "contentType": "text/plain; charset=utf-8",
                "language": document.language(),
                "data": base64::encode(&body),
                "size": body.len(),
                "title": "Radiology report",
                "creation": self.time.fhir(),
            }],
        })
    }

    /// The images, by their Study Instance UID: the form that R4's ImagingStudy gives for it.
    fn imaging_study(&self) -> Value {
        let study = self.document.report.study_uid.as_ref().map(|uid| {
            let value = format!("urn:oid:{uid}");
            let system = "urn:dicom:uid";
            json!([{ "type": "ImagingStudy", "identifier": { "system": system, "value": value } }])
        });
        json!(study)
    }

    fn observation(&self, section: &Section) -> Value {
        let drafted = matches!(section.kind, Kind::Impression | Kind::Recommendation);
        let model = drafted && self.document.report.provenance.is_model();
        let imaging = json!({
            "system": format!("{TERMINOLOGY}/observation-category"),
            "code": "imaging",
            "display": "Imaging",
        });
        let notes = match section.kind {
            Kind::Impression => self.document.items(Kind::Checks),
            _ => &[],
        };
        json!({
            "resourceType": "Observation",
            "meta": if model { self.label() } else { Value::Null },
            "text": narrative(&[(None, &section.items, !section.is_prose())]),
            "status": "preliminary",
            "category": [{ "coding": [imaging] }],
            "code": code(section.kind),
            "subject": self.subject(),
            "effectiveDateTime": self.document.study_time().as_ref().map(Moment::fhir),
            "issued": self.time.fhir(),
            "valueString": section.items.join("\n"),
            "device": if model { self.reference("model") } else { Value::Null },
            "note": notes.iter().map(|text| json!({ "text": text })).collect::<Vec<_>>(),
        })
    }

    /// Who was told of an acute finding. A time that is none by FHIR stands in the payload alone.
    fn communication(&self, told: &Communication) -> Value {
        let line = self.document.report.communications.iter().position(|other| other == told);
        let payload = line.and_then(|at| self.document.items(Kind::Communication).get(at));
        let sent = told.when.as_deref().and_then(Moment::parse);
        json!({
            "resourceType": "Communication",
            "text": narrative(&[(None, payload.map(std::slice::from_ref).unwrap_or_default(), false)]),
            "status": "completed",
            "category": [{ "coding": [{
                "system": format!("{TERMINOLOGY}/communication-category"),
                "code": "notification",
                "display": "Notification",
            }] }],
            "medium": told.how.as_ref().map(|how| json!([{ "text": how }])),
            "subject": self.subject(),
            "topic": { "text": told.label },
            "about": [self.reference("report")],
            "sent": sent.as_ref().map(Moment::fhir),
            "recipient": told.who.as_ref().map(|who| json!([{ "display": who }])),
            "payload": [{ "contentString": payload }],
        })
    }

    /// The programs and weights that had a part in it, by entry name.
    fn devices(&self) -> Vec<(&'static str, Value)> {
        let from = &self.document.report.provenance;
        let exporter = (Some(SOFTWARE.to_owned()), Some(VERSION.to_owned()));
        let mut devices = vec![(
            "software",
            device(exporter.0.as_deref(), exporter.1.as_deref(), &[], "Software"),
        )];
        if from.software.is_some() && (&from.software, &from.version) != (&exporter.0, &exporter.1)
        {
            let (software, version) = (from.software.as_deref(), from.version.as_deref());
            devices.push(("writer", device(software, version, &[], "Software")));
        }
        if from.is_model() {
            let (model, hashes) = (from.model.as_deref(), &from.model_sha256);
            devices.push(("model", device(model, None, hashes, "Language model")));
        }
        if from.adapter.is_some() || from.adapter_sha256.is_some() {
            let (adapter, hash) = (from.adapter.as_deref(), from.adapter_sha256.as_slice());
            devices.push(("adapter", device(adapter, None, hash, "Adapter of the language model")));
        }
        devices
    }

    fn provenance(&self) -> Value {
        let document = self.document;
        let from = &document.report.provenance;
        let role = |code: &str, display: &str| {
            let system = format!("{TERMINOLOGY}/provenance-participant-type");
            json!({ "coding": [{ "system": system, "code": code, "display": display }] })
        };
        let mut agents: Vec<Value> = self
            .devices()
            .iter()
            .map(|(name, _)| {
                json!({ "type": role("assembler", "Assembler"), "who": self.reference(name) })
            })
            .collect();
        match from.origin {
            Some(Origin::Edited) => agents.push(json!({
                "type": role("enterer", "Enterer"),
                "who": { "display": "The person who edited the draft" },
            })),
            Some(Origin::Person) => agents.push(json!({
                "type": role("author", "Author"),
                "who": { "display": "The person who wrote the impression" },
            })),
            Some(Origin::Generated) | None => {}
        }
        let target = ["report", "composition"].map(|name| self.reference(name));
        let drafted = [Kind::Impression, Kind::Recommendation];
        let observed = self.observed().filter(|section| drafted.contains(&section.kind));
        let findings = self.observed().find(|section| section.kind == Kind::Findings);
        json!({
            "resourceType": "Provenance",
            "text": narrative(&[(None, document.items(Kind::Provenance), false)]),
            "target": target.into_iter().chain(observed.map(|s| self.reference(part(s.kind)))).collect::<Vec<_>>(),
            "occurredDateTime": from.written,
            "recorded": self.time.fhir(),
            "activity": { "coding": [{
                "system": format!("{TERMINOLOGY}/v3-DataOperation"), "code": "CREATE", "display": "create",
            }] },
            "agent": agents,
            "entity": findings.map(|s| json!([{ "role": "source", "what": self.reference(part(s.kind)) }])),
        })
    }
}

/// The name of a section's Observation.
fn part(kind: Kind) -> &'static str {
    kind.title()
}

fn code(kind: Kind) -> Value {
    let coding = kind.loinc().map(|(code, _)| json!({ "system": LOINC, "code": code }));
    json!({ "coding": coding.into_iter().collect::<Vec<_>>(), "text": kind.title() })
}

fn report_code() -> Value {
    json!({ "coding": [{ "system": LOINC, "code": REPORT.0 }], "text": REPORT.1 })
}

fn patient(document: &Document) -> Option<Value> {
    let patient = &document.report.patient;
    let record = json!({ "coding": [{
        "system": format!("{TERMINOLOGY}/v2-0203"), "code": "MR", "display": "Medical record number",
    }] });
    patient.is_known().then(|| {
        json!({
            "resourceType": "Patient",
            "identifier": patient.id.as_ref().map(|id| json!([{ "type": record, "value": id }])),
            "name": patient.is_named().then(|| json!([{
                "family": patient.family, "given": patient.given.as_ref().map(|given| json!([given])),
            }])),
        })
    })
}

fn device(name: Option<&str>, version: Option<&str>, hashes: &[String], kind: &str) -> Value {
    let name = name.unwrap_or("Name not recorded");
    json!({
        "resourceType": "Device",
        "identifier": hashes
            .iter()
            .map(|hash| json!({ "type": { "text": "SHA-256" }, "value": hash.to_ascii_lowercase() }))
            .collect::<Vec<_>>(),
        "deviceName": [{ "name": name, "type": "other" }],
        "type": { "text": kind },
        "version": version.map(|version| json!([{ "value": version }])),
    })
}
