use std::fs;

use radllama::data::openi::{id_of, parse};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::common::save;
use crate::fixtures::{gzip, ids, lines, plain_xml, prepared, tar, xml};

#[test]
fn sections_come_by_label() {
    let text = xml(
        7,
        &[
            ("COMPARISON", " None. "),
            ("INDICATION", ""),
            ("FINDINGS", "\n  Heart &lt; 5 cm &amp; 3&#176; <i>tilted</i>.\n  XXXX line.\n"),
            ("Impression", "<![CDATA[1. <normal> & clear]]>"),
            ("FINDINGS", "Second part."),
            ("TECHNIQUE", "Two views."),
        ],
        &["Cardiomegaly/mild", "Spine/degenerative "],
    );
    let pair = parse("x", text.as_bytes()).unwrap().pair;
    assert_eq!(pair.id, "CXR7");
    assert_eq!(pair.findings, "Heart < 5 cm & 3° tilted.\n  XXXX line.\nSecond part.");
    assert_eq!(pair.impression, "1. <normal> & clear");
    assert_eq!(pair.comparison.as_deref(), Some("None."));
    assert_eq!(pair.indication, None);
    assert_eq!(pair.mesh, ["Cardiomegaly/mild", "Spine/degenerative"]);
    assert_eq!(json!(pair.extra), json!({ "technique": "Two views." }));
}

#[test]
fn abnormal_is_neither_normal_nor_without_index() {
    let abnormal = |major: &[&str]| {
        parse("x", xml(1, &[("FINDINGS", "a")], major).as_bytes()).unwrap().pair.abnormal
    };
    assert_eq!(abnormal(&["normal"]), Some(false));
    assert_eq!(abnormal(&["No Indexing"]), Some(false));
    assert_eq!(abnormal(&["Opacity/lung", "No Indexing"]), Some(false));
    assert_eq!(abnormal(&["Opacity/lung"]), Some(true));
    assert_eq!(abnormal(&[]), None);
}

#[test]
fn a_split_may_name_reports_by_number() {
    assert_eq!(id_of("12"), "CXR12");
    assert_eq!(id_of(" CXR12"), "CXR12");
}

#[test]
fn archive_folder_and_file_give_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let reports = [(1, "Clear."), (2, "Hazy.")].map(|(uid, f)| plain_xml(uid, f, "Fine."));
    let folder = dir.path().join("folder/ecgen-radiology");
    fs::create_dir_all(&folder).unwrap();
    for (name, report) in ["1.xml", "2.xml"].iter().zip(&reports) {
        save(&folder, name, report.as_bytes());
    }
    let members = [
        ("ecgen-radiology/1.xml", reports[0].as_bytes()),
        ("ecgen-radiology/._1.xml", b"\0\x05\x16\x07"),
        ("ecgen-radiology/README", b"about"),
        ("ecgen-radiology/2.xml", reports[1].as_bytes()),
    ];
    let plain = save(dir.path(), "a.tar", &tar(&members));
    let zipped = save(dir.path(), "a.tgz", &gzip(&tar(&members)));
    let inputs = [&zipped, &plain, &dir.path().join("folder")];
    let written = inputs.map(|input| {
        let output = tempfile::tempdir().unwrap();
        let to = output.path().to_str().unwrap();
        let statistics = prepared(&["openi", input.to_str().unwrap(), "--output", to]);
        assert_eq!(statistics["kept"], 2);
        fs::read_to_string(output.path().join("pairs.jsonl")).unwrap()
    });
    assert!(written[0].contains("\"CXR2\""));
    assert_eq!(written[0], written[1]);
    assert_eq!(written[0], written[2]);
    let output = dir.path().join("one");
    let one = folder.join("2.xml");
    prepared(&["openi", one.to_str().unwrap(), "--output", output.to_str().unwrap()]);
    assert_eq!(ids(&output.join("pairs.jsonl")), ["CXR2"]);
}

#[test]
fn a_whole_run_counts_everything() {
    let dir = tempfile::tempdir().unwrap();
    let documents = [
        xml(1, &[("FINDINGS", "Clear."), ("IMPRESSION", "Normal.")], &["normal"]),
        xml(2, &[("FINDINGS", "Clear."), ("IMPRESSION", "No disease.")], &["normal"]),
        xml(3, &[("FINDINGS", "XXXX nodule, left."), ("IMPRESSION", "A nodule.")], &["Nodule"]),
        xml(4, &[("FINDINGS", "Clear."), ("IMPRESSION", "Normal.")], &["normal"]),
        xml(5, &[("FINDINGS", " "), ("IMPRESSION", "Normal.")], &["normal"]),
        xml(6, &[("FINDINGS", "Clear.")], &["normal"]),
        xml(7, &[], &["No Indexing"]),
        xml(8, &[("FINDINGS", "Clear."), ("IMPRESSION", "Nobody asked.")], &["normal"]),
    ];
    let names: Vec<_> = (1..=8).map(|number| format!("x/{number}.xml")).collect();
    let members: Vec<_> =
        names.iter().zip(&documents).map(|(name, d)| (name.as_str(), d.as_bytes())).collect();
    let archive = save(dir.path(), "a.tgz", &gzip(&tar(&members)));
    let split =
        json!({ "source": "made up", "train": [1, 2, 3, "CXR5"], "valid": [4, 6, 7], "hard": [4] });
    let split = save(dir.path(), "split.json", split.to_string().as_bytes());
    let output = dir.path().join("out");
    let args = [
        "openi",
        archive.to_str().unwrap(),
        "--split",
        split.to_str().unwrap(),
        "--output",
        output.to_str().unwrap(),
    ];
    let statistics = prepared(&args);
    assert_eq!(ids(&output.join("train.jsonl")), ["CXR1", "CXR2", "CXR3"]);
    assert_eq!(
        lines(&output.join("val.jsonl")),
        [json!({ "id": "CXR4", "findings": "Clear.", "impression": "Normal.",
                 "abnormal": false, "mesh": ["normal"] })]
    );
    assert!(!output.join("test.jsonl").exists());
    assert_eq!(
        statistics["left_out"],
        json!({
            "empty_findings": { "reports": 1, "first": ["CXR5"] },
            "empty_impression": { "reports": 1, "first": ["CXR6"] },
            "no_sections": { "reports": 1, "first": ["CXR7"] },
            "not_in_split": { "reports": 1, "first": ["CXR8"] },
        })
    );
    assert_eq!(statistics["reports"], 8);
    assert_eq!(statistics["split"]["unused_keys"], json!(["hard"]));
    assert_eq!(statistics["split"]["ids"], json!({ "train": 4, "val": 3, "test": 0 }));
    let train = &statistics["parts"]["train"];
    assert_eq!((&train["abnormal"], &train["normal"]), (&json!(1), &json!(2)));
    assert_eq!(train["with_marks"], 1);
    assert_eq!(train["findings"]["words"]["max"], 3);
    assert_eq!(train["findings"]["words"]["median"], 1);
    assert_eq!(train["findings"]["words"]["mean"], 1.67);
    let bytes = fs::read(output.join("train.jsonl")).unwrap();
    assert_eq!(train["bytes"], bytes.len());
    let sha256: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(train["sha256"], sha256);
    // Of one text: two in train, one in val.
    assert_eq!(
        statistics["duplicate_findings"],
        json!({
            "within": { "train": { "groups": 1, "copies": 1 } },
            "across": [{ "parts": ["train", "val"], "reports": { "train": 2, "val": 1 } }],
        })
    );
    let groups = lines(&output.join("duplicates.jsonl"));
    assert_eq!(groups.len(), 1);
    let reports = [("CXR1", "train"), ("CXR2", "train"), ("CXR4", "val")];
    assert_eq!(
        groups[0]["reports"],
        json!(reports.map(|(id, part)| json!({ "id": id, "part": part })))
    );
    // The file says the same, and a second run changes no byte.
    let file = |name: &str| fs::read_to_string(output.join(name)).unwrap();
    let before = ["statistics.json", "train.jsonl", "duplicates.jsonl"].map(file);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&before[0]).unwrap(), statistics);
    prepared(&args);
    assert_eq!(before, ["statistics.json", "train.jsonl", "duplicates.jsonl"].map(file));
}
