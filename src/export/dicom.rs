//! DICOM: a Basic Text SR (PS3.3 section A.35.1) as a file (PS3.10), after template TID 2000 (PS3.16).
//!
//! Headings are the LOINC codes of CID 7001, lines are TEXT items with the concepts of CID 7002. UIDs are
//! UUIDs under 2.25 (PS3.5 section B.2), made of the report's content. What is not known is empty where
//! its attribute may be (type 2) and left out where it need not be there (type 3).

use dicom_core::value::{DataSetSequence, PrimitiveValue};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

use super::document::{Document, Kind, REPORT, SOFTWARE, Section, VERSION};
use super::time::Moment;
use crate::error::{Error, Result};

/// A coded concept: value, scheme, meaning.
type Code<'a> = (&'a str, &'a str, &'a str);

/// Scheme of our own codes, as PS3.16 section 8 wants private ones called.
const OWN: &str = "99RADLLAMA";

/// The file.
pub(super) fn write(document: &Document) -> Result<Vec<u8>> {
    let mut object = InMemDicomObject::new_empty();
    head(document, &mut object)?;
    content(document, &mut object);
    let failed = |error: &dyn std::fmt::Display| {
        Error::Internal(format!("a DICOM file cannot be written: {error}"))
    };
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .media_storage_sop_class_uid(uids::BASIC_TEXT_SR_STORAGE)
        .media_storage_sop_instance_uid(document.uid("instance"));
    let file = object.with_meta(meta).map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    file.write_all(&mut bytes).map_err(|error| failed(&error))?;
    Ok(bytes)
}

/// The modules around the content: patient, study, series, equipment, document, SOP common.
fn head(document: &Document, object: &mut InMemDicomObject) -> Result<()> {
    let report = &document.report;
    let time = document.time("DICOM")?;
    let study_time = document.study_time();
    let short =
        |name, text: &Option<String>, most| limited(name, text.as_deref().unwrap_or(""), most);
    limited("the language", document.language(), 16)?; // a Code Value's length
    let patient = &report.patient;
    let part = |part: &Option<String>| -> Result<String> {
        let part = limited("the patient's name", part.as_deref().unwrap_or(""), 64)?;
        match part.contains(['^', '=']) {
            true => Err(bad("the patient's name has ^ or = in it, which DICOM's names cannot")),
            false => Ok(part),
        }
    };
    let name = format!("{}^{}", part(&patient.family)?, part(&patient.given)?);
    let date = study_time.as_ref().map_or(String::new(), Moment::dicom_date);
    let clock = study_time.as_ref().map_or(String::new(), Moment::dicom_time);
    for (tag, vr, value) in [
        (tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192".to_owned()),
        (tags::SOP_CLASS_UID, VR::UI, uids::BASIC_TEXT_SR_STORAGE.to_owned()),
        (tags::SOP_INSTANCE_UID, VR::UI, document.uid("instance")),
        (tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH, time.offset().unwrap_or("+0000").to_owned()),
        (tags::PATIENT_NAME, VR::PN, name.trim_end_matches('^').to_owned()),
        (tags::PATIENT_ID, VR::LO, short("the patient's id", &patient.id, 64)?),
        (tags::PATIENT_BIRTH_DATE, VR::DA, String::new()),
        (tags::PATIENT_SEX, VR::CS, String::new()),
        (
            tags::STUDY_INSTANCE_UID,
            VR::UI,
            report.study_uid.clone().unwrap_or_else(|| document.uid("study")),
        ),
        (tags::STUDY_DATE, VR::DA, date),
        (tags::STUDY_TIME, VR::TM, clock),
        (tags::REFERRING_PHYSICIAN_NAME, VR::PN, String::new()),
        (tags::STUDY_ID, VR::SH, String::new()),
        (tags::ACCESSION_NUMBER, VR::SH, short("the accession number", &report.accession, 16)?),
        (tags::MODALITY, VR::CS, "SR".to_owned()),
        (tags::SERIES_INSTANCE_UID, VR::UI, document.uid("series")),
        (tags::SERIES_NUMBER, VR::IS, "1".to_owned()),
        (tags::MANUFACTURER, VR::LO, SOFTWARE.to_owned()),
        (tags::MANUFACTURER_MODEL_NAME, VR::LO, SOFTWARE.to_owned()),
        (tags::SOFTWARE_VERSIONS, VR::LO, VERSION.to_owned()),
        (tags::INSTANCE_NUMBER, VR::IS, "1".to_owned()),
        (tags::COMPLETION_FLAG, VR::CS, "PARTIAL".to_owned()),
        (tags::VERIFICATION_FLAG, VR::CS, "UNVERIFIED".to_owned()),
        (tags::PRELIMINARY_FLAG, VR::CS, "PRELIMINARY".to_owned()),
        (tags::CONTENT_DATE, VR::DA, time.dicom_date()),
        (tags::CONTENT_TIME, VR::TM, time.dicom_time()),
    ] {
        object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
    }
    for tag in [
        tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE,
        tags::PERFORMED_PROCEDURE_CODE_SEQUENCE,
    ] {
        sequence(object, tag, Vec::new());
    }
    Ok(())
}

/// The content tree.
fn content(document: &Document, object: &mut InMemDicomObject) {
    let report = (REPORT.0, "LN", REPORT.1);
    text(object, tags::VALUE_TYPE, VR::CS, "CONTAINER");
    concept(object, tags::CONCEPT_NAME_CODE_SEQUENCE, report);
    text(object, tags::CONTINUITY_OF_CONTENT, VR::CS, "SEPARATE");
    let mut template = InMemDicomObject::new_empty();
    text(&mut template, tags::MAPPING_RESOURCE, VR::CS, "DCMR");
    text(&mut template, tags::TEMPLATE_IDENTIFIER, VR::CS, "2000");
    sequence(object, tags::CONTENT_TEMPLATE_SEQUENCE, vec![template]);

    let mut items = vec![language(document)];
    // TID 1002 and 1004: the observer is a device. Its UID stands for this release on no particular device.
    let device = ("121007", "DCM", "Device");
    items.push(coded("HAS OBS CONTEXT", ("121005", "DCM", "Observer Type"), device));
    let mut uid = item("HAS OBS CONTEXT", "UIDREF", ("121012", "DCM", "Device Observer UID"));
    text(&mut uid, tags::UID, VR::UI, &document.uid("observer"));
    items.push(uid);
    for (code, meaning, value) in [
        ("121013", "Device Observer Name", format!("{SOFTWARE} {VERSION}")),
        ("121014", "Device Observer Manufacturer", SOFTWARE.to_owned()),
        ("121015", "Device Observer Model Name", SOFTWARE.to_owned()),
    ] {
        items.push(text_item("HAS OBS CONTEXT", (code, "DCM", meaning), &value));
    }
    items.extend(document.sections.iter().map(heading));
    sequence(object, tags::CONTENT_SEQUENCE, items);
}

/// TID 1204.
fn language(document: &Document) -> InMemDicomObject {
    let language = document.language();
    let meaning = if language == "en" { "English" } else { language };
    let name = ("121049", "DCM", "Language of Content Item and Descendants");
    coded("HAS CONCEPT MOD", name, (language, "RFC5646", meaning))
}

/// A section with a TEXT item for each of its items.
fn heading(section: &Section) -> InMemDicomObject {
    let summary = ("55112-7", "LN", "Summary");
    let (own, element) = match section.kind {
        Kind::Comparison => ("", ("121069", "DCM", "Previous Finding")),
        Kind::Findings => ("", ("121071", "DCM", "Finding")),
        Kind::Impression => ("", ("121073", "DCM", "Impression")),
        Kind::Recommendation => ("", ("121075", "DCM", "Recommendation")),
        Kind::Communication => ("", summary),
        Kind::Checks => ("CHECKS", summary),
        Kind::Provenance => ("PROVENANCE", summary),
    };
    let name = match section.kind.loinc() {
        Some((code, meaning)) => (code, "LN", meaning),
        None => (own, OWN, section.kind.title()),
    };
    let mut container = item("CONTAINS", "CONTAINER", name);
    text(&mut container, tags::CONTINUITY_OF_CONTENT, VR::CS, "SEPARATE");
    // Lines in a UT end with CR LF (PS3.5 section 6.1.3 has both as its line breaks).
    let lines = section
        .items
        .iter()
        .map(|line| text_item("CONTAINS", element, &line.replace('\n', "\r\n")));
    sequence(&mut container, tags::CONTENT_SEQUENCE, lines.collect());
    container
}

fn item(relationship: &str, value_type: &str, name: Code<'_>) -> InMemDicomObject {
    let mut item = InMemDicomObject::new_empty();
    text(&mut item, tags::RELATIONSHIP_TYPE, VR::CS, relationship);
    text(&mut item, tags::VALUE_TYPE, VR::CS, value_type);
    concept(&mut item, tags::CONCEPT_NAME_CODE_SEQUENCE, name);
    item
}

fn text_item(relationship: &str, name: Code<'_>, value: &str) -> InMemDicomObject {
    let mut item = item(relationship, "TEXT", name);
    text(&mut item, tags::TEXT_VALUE, VR::UT, value);
    item
}

fn coded(relationship: &str, name: Code<'_>, value: Code<'_>) -> InMemDicomObject {
    let mut item = item(relationship, "CODE", name);
    concept(&mut item, tags::CONCEPT_CODE_SEQUENCE, value);
    item
}

fn concept(object: &mut InMemDicomObject, tag: Tag, (value, scheme, meaning): Code<'_>) {
    let mut code = InMemDicomObject::new_empty();
    text(&mut code, tags::CODE_VALUE, VR::SH, value);
    text(&mut code, tags::CODING_SCHEME_DESIGNATOR, VR::SH, scheme);
    text(&mut code, tags::CODE_MEANING, VR::LO, meaning);
    sequence(object, tag, vec![code]);
}

fn text(object: &mut InMemDicomObject, tag: Tag, vr: VR, value: &str) {
    object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
}

fn sequence(object: &mut InMemDicomObject, tag: Tag, items: Vec<InMemDicomObject>) {
    object.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
}

/// A text that a short string of DICOM's holds.
fn limited(name: &str, text: &str, most: usize) -> Result<String> {
    if text.contains('\\') {
        return Err(bad(&format!("{name} has a backslash in it, which parts values in DICOM")));
    }
    let length = text.chars().count();
    if length > most {
        return Err(bad(&format!("{name} has {length} characters; DICOM holds {most}")));
    }
    Ok(text.to_owned())
}

fn bad(what: &str) -> Error {
    Error::BadData { place: "the report".to_owned(), what: what.to_owned() }
}
