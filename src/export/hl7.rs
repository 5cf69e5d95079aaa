//! HL7 version 2.5.1, an unsolicited observation (ORU^R01): MSH, PID where anything is known of the
//! patient, OBR, NTE for provenance and flags, an OBX a line.
//!
//! Chapter 2 has the encoding, chapter 3 PID, chapter 7 OBR and OBX. Segments end with a carriage return
//! (2.5.4), the character set is UTF-8 (`UNICODE UTF-8` of table 0211 in MSH-18), delimiters inside a text
//! are escaped (2.7.1).

use super::document::{Document, Kind, REPORT, SOFTWARE, Section, VERSION};
use super::time::Moment;
use crate::error::{Error, Result};

/// The message.
pub(super) fn write(document: &Document) -> Result<String> {
    let report = &document.report;
    let time = document.time("HL7")?.hl7();
    let mut message = Message(String::new());
    let processing = if report.production { "P" } else { "T" };
    // Its first field is the delimiter itself.
    message.segment(&[
        (0, "MSH"),
        (1, "^~\\&"),
        (2, SOFTWARE),
        (6, &time),
        (8, "ORU^R01^ORU_R01"),
        (9, &document.control_id()),
        (10, processing),
        (11, "2.5.1"),
        (17, "UNICODE UTF-8"),
    ]);
    patient(document, &mut message)?;
    let short = |name, text: &Option<String>| -> Result<String> {
        Ok(escape(limited(name, text.as_deref().unwrap_or(""), 199)?))
    };
    let id = short("the id", &report.id)?;
    let accession = short("the accession number", &report.accession)?;
    let study_time = document.study_time().as_ref().map_or(String::new(), Moment::hl7);
    message.segment(&[
        (0, "OBR"),
        (1, "1"),
        (3, &id),
        (4, &format!("{}^{}^LN", REPORT.0, REPORT.1)),
        (7, &study_time),
        (18, &accession),
        (22, &time),
        (24, "RAD"),
        (25, "P"), // table 0123: preliminary
    ]);
    message.notes(document.items(Kind::Provenance));
    let mut number = 0;
    for section in &document.sections {
        observations(section, &mut number, &mut message)?;
        if section.kind == Kind::Impression {
            message.notes(document.items(Kind::Checks));
        }
    }
    Ok(message.0)
}

/// PID, or nothing where nothing is known: the group is optional in ORU_R01, its fields are not.
fn patient(document: &Document, message: &mut Message) -> Result<()> {
    let patient = &document.report.patient;
    if !patient.is_known() {
        return Ok(());
    }
    let id = patient.id.as_deref().ok_or_else(|| Error::BadData {
        place: "the report".to_owned(),
        what: "the patient has a name but no \"id\", which HL7 requires (PID-3)".to_owned(),
    })?;
    let part = |part: &Option<String>| -> Result<String> {
        Ok(escape(limited("the patient's name", part.as_deref().unwrap_or(""), 199)?))
    };
    limited("the patient's id", id, 199)?;
    let name = match patient.is_named() {
        true => format!("{}^{}^^^^^L", part(&patient.family)?, part(&patient.given)?),
        // Section 3.4.2.5: what stands there where the name is not known.
        false => "~^^^^^^U".to_owned(),
    };
    message.segment(&[(0, "PID"), (1, "1"), (3, &escape(id)), (5, &name)]);
    Ok(())
}

/// An OBX a line. OBX-4 tells the lines of a section apart; an item that has lines of its own is
/// formatted text (FT) with `\.br\`, all others are TX, which receivers of radiology reports expect.
fn observations(section: &Section, number: &mut usize, message: &mut Message) -> Result<()> {
    let Some((code, meaning)) = section.kind.loinc() else { return Ok(()) };
    let lines: Vec<&str> = match section.is_prose() {
        true => section.items.iter().flat_map(|item| item.split('\n')).collect(),
        false => section.items.iter().map(String::as_str).collect(),
    };
    for (line, text) in lines.iter().enumerate() {
        *number += 1;
        limited("a line", text, 65_536)?;
        message.segment(&[
            (0, "OBX"),
            (1, &number.to_string()),
            (2, if text.contains('\n') { "FT" } else { "TX" }),
            (3, &format!("{code}^{meaning}^LN")),
            (4, &(line + 1).to_string()),
            (5, &escape(text)),
            (11, "P"), // table 0085: preliminary
            (18, &format!("{SOFTWARE} {VERSION}")),
        ]);
    }
    Ok(())
}

/// A text within the length that appendix 2.A gives its data type: 199 for ST, 65,536 for TX and FT.
fn limited<'t>(name: &str, text: &'t str, most: usize) -> Result<&'t str> {
    let length = text.chars().count();
    if length > most {
        let what = format!("{name} has {length} characters; HL7 holds {most}");
        return Err(Error::BadData { place: "the report".to_owned(), what });
    }
    Ok(text)
}

/// Delimiters as escape sequences (section 2.7.1), line breaks as `\.br\` (section 2.7.6).
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\E\\"),
            '|' => escaped.push_str("\\F\\"),
            '^' => escaped.push_str("\\S\\"),
            '&' => escaped.push_str("\\T\\"),
            '~' => escaped.push_str("\\R\\"),
            '\n' => escaped.push_str("\\.br\\"),
            c => escaped.push(c),
        }
    }
    escaped
}

struct Message(String);

impl Message {
    /// Appends a segment of fields by their numbers, in order; what is between is empty.
    fn segment(&mut self, fields: &[(usize, &str)]) {
        let mut at = 0;
        let last =
            fields.iter().rev().find(|(_, text)| !text.is_empty()).map_or(0, |field| field.0);
        for (number, text) in fields.iter().filter(|(number, _)| *number <= last) {
            while at < *number {
                self.0.push('|');
                at += 1;
            }
            self.0.push_str(text);
        }
        self.0.push('\r');
    }

    /// NTE segments: remarks (table 0364) of the filler (table 0105).
    fn notes(&mut self, lines: &[String]) {
        for (number, line) in lines.iter().enumerate() {
            let (number, line) = ((number + 1).to_string(), escape(line));
            self.segment(&[(0, "NTE"), (1, &number), (2, "L"), (3, &line), (4, "RE")]);
        }
    }
}
