//! Small data sets in the published formats.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::common::{Ran, run};

/// A word that stands in every text made here, and must stand in no message.
pub(crate) const SECRET: &str = "zyzzyva";

/// A report in OpenI's shape.
pub(crate) fn xml(uid: u32, sections: &[(&str, &str)], major: &[&str]) -> String {
    let sections: String = sections
        .iter()
        .map(|(label, text)| format!("<AbstractText Label=\"{label}\">{text}</AbstractText>\n"))
        .collect();
    let major: String = major.iter().map(|term| format!("<major>{term}</major>\n")).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<eCitation>\n<meta type=\"rr\"/>\n\
         <uId id=\"CXR{uid}\"/>\n<title>A collection</title>\n<MedlineCitation>\n<Article>\n\
         <Abstract>\n{sections}</Abstract>\n</Article>\n</MedlineCitation>\n\
         <MeSH>\n{major}<automatic>lung</automatic>\n</MeSH>\n</eCitation>"
    )
}

/// A report with both sections.
pub(crate) fn plain_xml(uid: u32, findings: &str, impression: &str) -> String {
    xml(uid, &[("FINDINGS", findings), ("IMPRESSION", impression)], &["normal"])
}

/// An uncompressed archive with its end.
pub(crate) fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut { header }, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A study of MIMIC-CXR's layout below `root`.
pub(crate) fn study(root: &Path, subject: u32, study: u32, text: &[u8]) -> PathBuf {
    let folder = root.join(format!("files/p{}/p{subject}", subject / 1_000_000));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("s{study}.txt"));
    fs::write(&path, text).unwrap();
    path
}

/// The objects of a JSON Lines file.
pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The ids of a pairs file.
pub(crate) fn ids(path: &Path) -> Vec<String> {
    lines(path).iter().map(|pair| pair["id"].as_str().unwrap().to_owned()).collect()
}

/// `radllama data` with these arguments and `--json`, which must fail: its code and message.
pub(crate) fn fails(args: &[&str]) -> (String, String) {
    let ran: Ran = run(&[&["data"], args, &["--json"]].concat());
    assert_eq!(ran.code, 1, "{args:?}: {ran:?}");
    assert!(!format!("{ran:?}").contains(SECRET), "text in a message: {ran:?}");
    let error = &ran.json()["error"];
    (error["code"].as_str().unwrap().to_owned(), error["message"].as_str().unwrap().to_owned())
}

/// `radllama data` with these arguments and `--json`, which must succeed: the statistics.
pub(crate) fn prepared(args: &[&str]) -> Value {
    crate::common::ok(&[&["data"], args, &["--json"]].concat()).json()
}

/// That no file of a pairs run stands in `folder`, whole or partial.
pub(crate) fn assert_nothing_written(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.is_empty(), "{names:?}");
}
