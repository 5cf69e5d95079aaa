use std::fs;
use std::path::Path;

use radllama::data::mimic_cxr::{id_of, reports};
use radllama::data::pairs::Pair;
use radllama::data::sections::{Section, last, sections};
use serde_json::json;

use crate::common::{radllama, save};
use crate::fixtures::{fails, gzip, ids, prepared, study};

const REPORT: &str = "                                 FINAL REPORT
 EXAMINATION:  CHEST (PORTABLE AP)

 INDICATION:  ___ year old with cough.

 COMPARISON:  ___.

 FINDINGS:

 The lungs are clear.  Ratio at 10:30 was 3:1.
 PORT-A-CATH: right.

 IMPRESSION:

 1.  No acute process.
 2.  Unchanged ___.
";

/// What the reader makes of a tree.
fn read(root: &Path) -> Vec<Pair> {
    let mut pairs = Vec::new();
    reports(root, &mut |found| {
        pairs.push(found?.pair);
        Ok(())
    })
    .unwrap();
    pairs
}

#[test]
fn sections_are_found_by_their_headers() {
    let found = sections(REPORT);
    let kinds: Vec<_> = found.iter().map(|(section, _)| *section).collect();
    use Section::{Comparison, Findings, Impression, Indication, Other};
    // "PORT-A-CATH:" is a header by its shape, of nothing that is asked for.
    assert_eq!(kinds, [Other, Indication, Comparison, Findings, Other, Impression]);
    assert_eq!(last(&found, Findings), Some("The lungs are clear.  Ratio at 10:30 was 3:1."));
    assert_eq!(last(&found, Impression), Some("1.  No acute process.\n 2.  Unchanged ___."));
    assert_eq!(sections("no header here: none\n at all"), []);
    assert_eq!(sections(""), []);
    assert_eq!(sections("FINDINGS:"), [(Findings, "")]);
}

#[test]
fn the_last_section_with_text_counts() {
    let found = sections(
        " FINDINGS: first\n IMPRESSION: early\n ADDENDUM\n IMPRESSON: late\r\n FINDINGS:\n\n",
    );
    assert_eq!(last(&found, Section::Findings), Some("first"));
    assert_eq!(last(&found, Section::Impression), Some("late"));
    assert_eq!(last(&found, Section::History), None);
}

#[test]
fn the_line_behind_a_header_alone_is_text() {
    let found = sections(" FINDINGS:\n AP VIEW: clear.\n LUNGS: clear\n");
    assert_eq!(found[0], (Section::Findings, "AP VIEW: clear."));
    assert_eq!(found[1], (Section::Other, "clear"));
    // An empty line between gives the next header its own.
    let found = sections(" CHEST, PA AND LATERAL:\n\n INDICATION: pain\n");
    assert_eq!(found, [(Section::Findings, ""), (Section::Indication, "pain")]);
}

#[test]
fn the_published_layout_is_walked() {
    let dir = tempfile::tempdir().unwrap();
    study(dir.path(), 11_000_002, 50_000_002, b" HISTORY: fall\n FINDINGS: b\n IMPRESSION: c\n");
    study(dir.path(), 10_000_001, 50_000_001, REPORT.as_bytes());
    save(&dir.path().join("files"), "index.html", b"<html>");
    save(&dir.path().join("files/p10/p10000001"), "notes.txt", b" FINDINGS: not a study\n");
    save(dir.path(), "LICENSE.txt", b"outside files");
    for root in [dir.path().to_owned(), dir.path().join("files")] {
        let pairs = read(&root);
        assert_eq!(pairs.len(), 2);
        assert_eq!((pairs[0].id.as_str(), pairs[1].id.as_str()), ("s50000001", "s50000002"));
        assert_eq!(pairs[0].indication.as_deref(), Some("___ year old with cough."));
        assert_eq!(pairs[0].comparison.as_deref(), Some("___."));
        assert_eq!(pairs[0].extra["subject_id"], "10000001");
        assert_eq!(pairs[1].indication.as_deref(), Some("fall"));
        assert_eq!(pairs[1].abnormal, None);
    }
    assert_eq!((id_of("50000001"), id_of("s50000001")), ("s50000001".into(), "s50000001".into()));
}

#[test]
fn the_official_split_divides() {
    let dir = tempfile::tempdir().unwrap();
    for (number, text) in [
        (1, REPORT),
        (2, " FINDINGS: b\n IMPRESSION: c\n"),
        (3, " FINDINGS: d\n IMPRESSION: e\n"),
        (4, " FINDINGS AND IMPRESSION: all in one\n"),
        (5, "WET READ\nnothing with a header\n"),
        (6, " FINDINGS: f\n IMPRESSION: not in the split\n"),
    ] {
        study(dir.path(), 10_000_000 + number, 50_000_000 + number, text.as_bytes());
    }
    // Two images of the first study.
    let split = "dicom_id,study_id,subject_id,split\n\
                 aa-1,50000001,10000001,train\naa-2,50000001,10000001,train\n\
                 bb-1,50000002,10000002,validate\ncc-1,50000003,10000003,test\n\
                 dd-1,50000004,10000004,train\nee-1,50000005,10000005,train\n";
    let root = dir.path().to_str().unwrap();
    let plain = save(dir.path(), "split.csv", split.as_bytes());
    let zipped = save(dir.path(), "split.csv.gz", &gzip(split.as_bytes()));
    for (split, output) in [(plain, "a"), (zipped, "b")] {
        let output = dir.path().join(output);
        let statistics = prepared(&[
            "mimic-cxr",
            root,
            "--split",
            split.to_str().unwrap(),
            "--output",
            output.to_str().unwrap(),
        ]);
        assert_eq!(ids(&output.join("train.jsonl")), ["s50000001"]);
        assert_eq!(ids(&output.join("val.jsonl")), ["s50000002"]);
        assert_eq!(ids(&output.join("test.jsonl")), ["s50000003"]);
        assert_eq!(
            statistics["left_out"],
            json!({
                "empty_findings": { "reports": 1, "first": ["s50000004"] },
                "no_sections": { "reports": 1, "first": ["s50000005"] },
                "not_in_split": { "reports": 1, "first": ["s50000006"] },
            })
        );
        assert_eq!(statistics["parts"]["train"]["with_marks"], 1);
        assert_eq!(statistics["split"]["ids"], json!({ "train": 3, "val": 1, "test": 1 }));
    }
}

#[test]
fn what_is_no_such_tree_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    let output = output.to_str().unwrap();
    let zip = save(dir.path(), "mimic-cxr-reports.zip", b"PK\x03\x04");
    for input in [dir.path(), &zip] {
        let (code, message) = fails(&["mimic-cxr", input.to_str().unwrap(), "--output", output]);
        assert_eq!(code, "io");
        assert!(message.contains("unpack mimic-cxr-reports.zip"), "{message}");
    }
    let gone = dir.path().join("gone");
    let (code, message) = fails(&["mimic-cxr", gone.to_str().unwrap(), "--output", output]);
    assert_eq!(code, "io");
    assert!(message.contains("gone"), "{message}");
}

/// Writes a tree of `count` reports with `padding` bytes of findings each.
fn tree(root: &Path, count: u32, padding: usize) {
    let padding = "the lungs are clear. ".repeat(padding / 21);
    for number in 0..count {
        let subject = 10_000_000 + number / 4 * 1000 % 9_999_999 + number / 4;
        let text = format!(
            " FINAL REPORT\n INDICATION: ___\n\n FINDINGS:\n {padding}{number}\n\n IMPRESSION:\n {number}\n"
        );
        study(root, subject, 50_000_000 + number, text.as_bytes());
    }
}

/// Runs the program over a tree; its largest resident set in KiB, and seconds.
#[cfg(target_os = "linux")]
fn measure(root: &Path, count: u32) -> (u64, f64) {
    let output = root.join("out");
    let args = ["data", "mimic-cxr", root.to_str().unwrap(), "--output", output.to_str().unwrap()];
    let start = std::time::Instant::now();
    let mut child = radllama(&args).stdout(std::process::Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(&status).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(child.wait().unwrap().success());
    let seconds = start.elapsed().as_secs_f64();
    let written = fs::read_to_string(output.join("pairs.jsonl")).unwrap();
    assert_eq!(written.lines().count(), count as usize);
    (peak, seconds)
}

/// With RADLLAMA_REPORTS=20000 and more, a measurement; `--nocapture` shows it.
#[test]
#[cfg(target_os = "linux")]
fn memory_does_not_grow_with_the_text() {
    let asked = std::env::var("RADLLAMA_REPORTS").ok().and_then(|count| count.parse().ok());
    let count: u32 = asked.unwrap_or(4000);
    let padding = 8000;
    let peaks = [count / 10, count].map(|count| {
        let dir = tempfile::tempdir().unwrap();
        tree(dir.path(), count, padding);
        let (peak, seconds) = measure(dir.path(), count);
        eprintln!(
            "{count} reports, {} MB of text: {peak} KiB at most, {:.0} reports/s",
            u64::from(count) * padding as u64 / 1_000_000,
            f64::from(count) / seconds
        );
        peak
    });
    // An id, a place and a hash a report; its text would be 8 KB.
    let grown = peaks[1].saturating_sub(peaks[0]) * 1024;
    assert!(grown < 2_000_000 + u64::from(count) * 400, "{grown} bytes more: {peaks:?}");
}
