//! Reader studies for JavaScript: the files are read, planned and analysed here, so that the page knows
//! neither their forms nor which system stands where.
#![allow(unreachable_pub, reason = "wasm-bindgen exports what is public, from here as well")]

use std::collections::BTreeMap;

use js_sys::Uint8Array;
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use super::{Js, plain, thrown};
use crate::error::{Error, Result};
use crate::study::{self, Answer, CRITERIA, Item, Options, Study, file, ratings, report};

/// A study as its reader sees it: no system has a name here.
#[derive(Serialize)]
struct Begun {
    study: String,
    title: String,
    reader: String,
    systems: usize,
    criteria: Vec<Criterion>,
    screens: Vec<Screen>,
}

#[derive(Serialize)]
struct Criterion {
    name: &'static str,
    title: &'static str,
    question: &'static str,
}

#[derive(Serialize)]
struct Screen {
    id: String,
    findings: String,
    /// The impressions in place A, B, …
    shown: Vec<String>,
}

/// Opens a study file for a reader.
#[wasm_bindgen(js_name = studyBegin)]
pub fn begin(name: &str, bytes: &[u8], reader: &str) -> Js<JsValue> {
    begun(name, bytes, reader).map_err(thrown).and_then(|begun| plain(&begun))
}

fn begun(name: &str, bytes: &[u8], reader: &str) -> Result<Begun> {
    let study = Study::parse(name, bytes)?;
    let plan = study::plan(&study, reader)?;
    let screens = plan.iter().map(|shown| {
        let item = &study.items[shown.item];
        let (id, findings) = (item.id.clone(), item.findings.clone());
        let shown = shown.places.iter().map(|system| item.outputs[*system].clone()).collect();
        Screen { id, findings, shown }
    });
    let criteria = CRITERIA.map(|(name, title, question)| Criterion { name, title, question });
    Ok(Begun {
        study: study.hash(),
        title: study.title.clone(),
        reader: study::plan::code(reader)?.to_owned(),
        systems: study.systems.len(),
        criteria: criteria.into(),
        screens: screens.collect(),
    })
}

/// A report that is to be written about.
#[derive(Serialize, Deserialize)]
struct Report {
    id: String,
    findings: String,
    reference: Option<String>,
    /// By system, in the order of their names.
    #[serde(default)]
    outputs: Vec<String>,
}

/// The reports of a file that has no outputs yet.
#[wasm_bindgen(js_name = studyFindings)]
pub fn findings(name: &str, bytes: &[u8]) -> Js<JsValue> {
    let items = file::findings(name, bytes).map_err(thrown)?;
    let report =
        |Item { id, findings, reference, outputs }| Report { id, findings, reference, outputs };
    plain(&items.into_iter().map(report).collect::<Vec<_>>())
}

/// A study that was made on the spot.
#[derive(Deserialize)]
struct Made {
    title: String,
    seed: u64,
    systems: Vec<String>,
    reports: Vec<Report>,
}

/// The study file of `{title, seed, systems, reports}` with an output of each system for each report, in
/// the order of `systems`.
#[wasm_bindgen(js_name = studyFile)]
pub fn study_file(made_json: &str) -> Js<String> {
    made(made_json).map_err(thrown)
}

fn made(json: &str) -> Result<String> {
    let made: Made =
        serde_json::from_str(json).map_err(|_| Error::Internal("the study is not whole".into()))?;
    let item =
        |Report { id, findings, reference, outputs }| Item { id, findings, reference, outputs };
    let items = made.reports.into_iter().map(item).collect();
    let study = Study { title: made.title, seed: made.seed, systems: made.systems, items };
    let text = study.jsonl();
    Study::parse("the study", text.as_bytes())?;
    Ok(text)
}

/// A reader's answers, in the order of the screens, as a CSV file that names the systems.
#[wasm_bindgen(js_name = studyRatings)]
pub fn reader_file(name: &str, bytes: &[u8], reader: &str, answers_json: &str) -> Js<String> {
    let answers: Vec<Answer> = serde_json::from_str(answers_json)
        .map_err(|_| thrown(Error::Internal("the answers are not whole".into())))?;
    Study::parse(name, bytes)
        .and_then(|study| Ok(ratings::csv(&ratings::records(&study, reader, &answers)?)))
        .map_err(thrown)
}

#[derive(Serialize)]
struct Reported {
    figures: serde_json::Value,
    html: String,
    markdown: String,
    csv: String,
    /// All readers' rows.
    ratings: String,
    plots: BTreeMap<&'static str, String>,
}

/// Merges readers' files and analyses them. `study`: the hash that they must have, if it is known.
#[wasm_bindgen(js_name = studyReport)]
pub fn merged(
    names: Vec<String>,
    contents: Vec<Uint8Array>,
    study: Option<String>,
    title: &str,
) -> Js<JsValue> {
    let contents: Vec<Vec<u8>> = contents.iter().map(Uint8Array::to_vec).collect();
    reported(&names, &contents, study.as_deref(), title)
        .map_err(thrown)
        .and_then(|reported| plain(&reported))
}

fn reported(
    names: &[String],
    contents: &[Vec<u8>],
    study: Option<&str>,
    title: &str,
) -> Result<Reported> {
    let files: Vec<(&str, &[u8])> =
        names.iter().map(String::as_str).zip(contents.iter().map(Vec::as_slice)).collect();
    let records = ratings::merge(&files, study)?;
    let analysis = study::analyse(&records, Options::default())?;
    Ok(Reported {
        figures: report::json(&analysis)?,
        html: report::html(&analysis, title),
        markdown: report::markdown(&analysis, title),
        csv: report::csv(&analysis),
        ratings: ratings::csv(&records),
        plots: report::plots(&analysis).into(),
    })
}
