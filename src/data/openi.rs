//! OpenI's chest X-ray reports (Indiana University, Demner-Fushman et al. 2016): one XML document a
//! report, whose sections are `AbstractText` elements with a `Label`.
//!
//! The id of a report is its `uId`, `CXR1`; a bare number in a split stands for the same. Text is kept
//! as it is, but for white space at both ends. Two sections with one label are joined by a newline;
//! labels beside the four known ones are kept as extra fields in lower case. `mesh` holds the MeSH
//! terms `major`, and a report is abnormal when it has such terms and none of them is `normal` or
//! `No Indexing`. The `automatic` terms, made by a program, are left out.

use std::path::Path;

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use serde_json::Value;

use super::archive;
use super::pairs::{FIELDS, Pair};
use super::prepare::{Found, Sink};
use crate::error::{Error, Result};

/// Hands every report of an archive, a folder or a file to `sink`. Returns how many other files there
/// were.
///
/// # Errors
/// [`Error::Io`]; what `sink` returns.
pub fn reports(path: &Path, sink: &mut Sink<'_>) -> Result<u64> {
    archive::documents(path, &mut |place, bytes| sink(parse(&place, &bytes)))
}

/// The id that a split means: OpenI's splits are lists of numbers.
pub fn id_of(text: &str) -> String {
    let text = text.trim();
    let number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if number { format!("CXR{text}") } else { text.to_owned() }
}

/// What an element's text is for.
enum Capture {
    Section(String),
    Major,
}

/// Reads one report.
///
/// # Errors
/// [`Error::BadData`], with `place` and never a word of the text.
pub fn parse(place: &str, bytes: &[u8]) -> Result<Found> {
    let bad = |what: String| Error::BadData { place: place.to_owned(), what };
    let text = std::str::from_utf8(bytes)
        .map_err(|error| bad(format!("is not UTF-8 at byte {}", error.valid_up_to() + 1)))?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut sections: Vec<(String, String)> = Vec::new();
    let mut pair = Pair::default();
    let (mut depth, mut root) = (0usize, false);
    // What is captured, since which depth, and the text so far.
    let mut capture: Option<(Capture, usize, String)> = None;
    loop {
        let at = reader.buffer_position();
        // The parser's own message may quote the text.
        let malformed = || bad(format!("is not well-formed XML near byte {at}"));
        let event = reader.read_event().map_err(|_| malformed())?;
        match event {
            Event::Start(start) => {
                if depth == 0 {
                    root = is_root(&start, root).ok_or_else(|| bad(NOT_OPENI.into()))?;
                }
                depth += 1;
                if capture.is_none() {
                    capture = opened(&start, &mut pair)
                        .map_err(|()| malformed())?
                        .map(|what| (what, depth, String::new()));
                }
            }
            Event::Empty(start) => {
                if depth == 0 {
                    return Err(bad(NOT_OPENI.into()));
                }
                let opened = opened(&start, &mut pair).map_err(|()| malformed())?;
                if let Some(Capture::Section(label)) = opened {
                    sections.push((label, String::new()));
                }
            }
            Event::End(_) => {
                if let Some((what, _, text)) = capture.take_if(|(_, since, _)| *since == depth) {
                    match what {
                        Capture::Section(label) => sections.push((label, text)),
                        Capture::Major => pair.mesh.push(text.trim().to_owned()),
                    }
                }
                depth = depth.saturating_sub(1);
            }
            Event::Text(content) => match &mut capture {
                Some((.., text)) => text.push_str(&content.xml10_content()),
                None if depth == 0 && !content.trim().is_empty() => {
                    return Err(bad(NOT_OPENI.into()));
                }
                None => {}
            },
            Event::CData(content) => {
                if let Some((.., text)) = &mut capture {
                    text.push_str(&content.xml10_content());
                }
            }
            Event::GeneralRef(reference) => {
                if let Some((.., text)) = &mut capture {
                    let character = reference.resolve_char_ref().map_err(|_| malformed())?;
                    match (character, resolve_predefined_entity(&reference)) {
                        (Some(character), _) => text.push(character),
                        (None, Some(entity)) => text.push_str(entity),
                        (None, None) => return Err(malformed()),
                    }
                }
            }
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    if !root {
        return Err(bad(NOT_OPENI.into()));
    }
    if depth > 0 {
        return Err(bad("the XML ends too soon; the file is cut short".into()));
    }
    if pair.id.is_empty() {
        return Err(bad("has no uId; an OpenI report has <uId id=\"CXR…\"/>".into()));
    }
    if !pair.mesh.is_empty() {
        pair.abnormal =
            Some(!pair.mesh.iter().any(|term| term == "normal" || term == "No Indexing"));
    }
    let found = !sections.is_empty();
    place_sections(sections, &mut pair).map_err(bad)?;
    Ok(Found { pair, place: place.to_owned(), sections: found })
}

const NOT_OPENI: &str = "is not an OpenI report (one <eCitation> element was expected)";

/// `true` for the first `eCitation`, nothing for anything else at the top.
fn is_root(start: &BytesStart<'_>, already: bool) -> Option<bool> {
    (!already && start.name().as_ref() == "eCitation").then_some(true)
}

/// Takes what an element's attributes say, and tells whether its text is wanted.
fn opened(start: &BytesStart<'_>, pair: &mut Pair) -> Result<Option<Capture>, ()> {
    let attribute = |name: &str| -> Result<Option<String>, ()> {
        let Some(attribute) = start.try_get_attribute(name).map_err(|_| ())? else {
            return Ok(None);
        };
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|_| ())?;
        Ok(Some(value.trim().to_owned()))
    };
    Ok(match start.name().as_ref() {
        "uId" => {
            pair.id = attribute("id")?.unwrap_or_default();
            None
        }
        "AbstractText" => Some(Capture::Section(attribute("Label")?.unwrap_or_default())),
        "major" => Some(Capture::Major),
        _ => None,
    })
}

fn place_sections(sections: Vec<(String, String)>, pair: &mut Pair) -> Result<(), String> {
    for (label, text) in sections {
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        let name = label.to_lowercase();
        match name.as_str() {
            "findings" => join(&mut pair.findings, text),
            "impression" => join(&mut pair.impression, text),
            "indication" => join(pair.indication.get_or_insert_default(), text),
            "comparison" => join(pair.comparison.get_or_insert_default(), text),
            _ if FIELDS.contains(&name.as_str()) => {
                return Err(format!(
                    "a section is labelled {label:?}, which is another field's name"
                ));
            }
            "" => return Err("an AbstractText has no Label".into()),
            _ => {
                let entry = pair.extra.entry(name).or_insert_with(|| Value::String(String::new()));
                if let Value::String(joined) = entry {
                    join(joined, text);
                }
            }
        }
    }
    Ok(())
}

fn join(section: &mut String, text: &str) {
    if !section.is_empty() {
        section.push('\n');
    }
    section.push_str(text);
}
