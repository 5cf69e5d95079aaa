//! Reader studies from file to figures: the figures against other software's, and the files' faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use radllama::study::{Answer, Item, Options, Record, Study, analyse, plan, ratings, report};

fn study(reports: usize, systems: &[&str]) -> Study {
    let items = (0..reports).map(|n| Item {
        id: format!("r{n}"),
        findings: format!("findings {n}, secret"),
        reference: None,
        outputs: systems.iter().map(|system| format!("secret of {system} on {n}")).collect(),
    });
    let systems = systems.iter().map(|system| (*system).to_owned()).collect();
    Study { title: "t".into(), seed: 1, systems, items: items.collect() }
}

/// Answers by a rule over report, reader and system, given in the reader's order and places.
fn answered(
    study: &Study,
    readers: &[&str],
    rule: &dyn Fn(usize, usize, usize, usize) -> Option<u8>,
) -> Vec<Record> {
    let mut all = Vec::new();
    for (r, reader) in readers.iter().enumerate() {
        let answers: Vec<Answer> = plan(study, reader)
            .unwrap()
            .iter()
            .map(|shown| {
                let marks: Vec<[Option<u8>; 5]> = shown
                    .places
                    .iter()
                    .map(|s| std::array::from_fn(|c| rule(shown.item, r, *s, c)))
                    .collect();
                let sum = |marks: &[Option<u8>; 5]| {
                    marks.iter().flatten().map(|m| u32::from(*m)).sum::<u32>()
                };
                // The larger sum is preferred, system 0 where sums are equal.
                let by =
                    |place: &usize| (sum(&marks[*place]), std::cmp::Reverse(shown.places[*place]));
                let preferred = (0..marks.len()).max_by_key(by);
                Answer { marks, preferred, seconds: 10.0 + r as f64 }
            })
            .collect();
        all.extend(ratings::records(study, reader, &answers).unwrap());
    }
    all
}

fn rule(n: usize, r: usize, s: usize, c: usize) -> Option<u8> {
    if n % 7 == 3 && r == 1 && c == 2 {
        return None;
    }
    let shift = [-1, 0, 0, 1][(n * 5 + r * 3 + s * 2 + c) % 4];
    Some((1 + ((n * 7 + n * s + s * 3 + c * 3) % 5) as i32 + shift).clamp(1, 5) as u8)
}

/// tests/goldens/study.py computes the same with numpy, scipy and the package krippendorff.
#[test]
fn the_figures_are_those_of_other_software() {
    let study = study(12, &["alpha", "beta"]);
    let records = answered(&study, &["A", "B", "C"], &rule);
    let found = analyse(&records, Options { resamples: 500, seed: 3 }).unwrap();
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("goldens/study.json")).unwrap();
    let close = |found: f64, golden: &serde_json::Value, what: &str| {
        let golden = golden.as_f64().unwrap_or_else(|| panic!("{what}: {golden}"));
        assert!((found - golden).abs() < 1e-9, "{what}: {found}, not {golden}");
    };
    for system in 0..2 {
        for measure in 0..6 {
            let mean = found.means[system][measure].unwrap();
            let golden = &golden["means"][system][measure];
            close(mean.mean, &golden["mean"], "mean");
            close(mean.sd, &golden["sd"], "sd");
            assert_eq!(mean.count, golden["count"].as_u64().unwrap() as usize);
            assert!(mean.interval.low < mean.mean && mean.mean < mean.interval.high);
        }
    }
    for measure in 0..6 {
        let gain = found.differences[0].gains[measure].unwrap();
        let golden = &golden["differences"][measure];
        close(gain.difference, &golden["difference"], "difference");
        close(gain.p, &golden["p"], "p");
        close(gain.p_holm, &golden["p_holm"], "p_holm");
    }
    for criterion in 0..5 {
        let golden = &golden["alpha"][criterion];
        let alpha = &found.agreement[criterion];
        close(alpha.ordinal.unwrap().alpha, &golden["ordinal"], "ordinal");
        close(alpha.interval.unwrap().alpha, &golden["interval"], "interval");
    }
    let preference = &found.preference;
    close(preference.alpha.unwrap().alpha, &golden["preference"]["alpha"], "preference");
    close(preference.p.unwrap(), &golden["preference"]["p"], "sign test");
    close(preference.p_judgements.unwrap(), &golden["preference"]["p_judgements"], "binomial");
    assert_eq!(serde_json::json!(preference.votes), golden["preference"]["votes"]);
    assert_eq!(serde_json::json!(preference.won), golden["preference"]["won"]);
    assert_eq!((found.reports, found.readers.len()), (12, 3));
    assert_eq!(found.readers[2].median_seconds, Some(12.0));
    assert_eq!((found.readers[0].missing, found.readers[1].missing), (0, 4));
    assert_eq!(preference.places.iter().sum::<usize>(), 36);
}

#[test]
fn the_order_of_rows_and_files_does_not_matter() {
    let study = study(9, &["a", "b", "c"]);
    let mut records = answered(&study, &["A", "B"], &rule);
    let options = Options { resamples: 200, seed: 9 };
    let first = analyse(&records, options).unwrap();
    assert!(first.preference.chi_square.is_some() && first.preference.pairs.len() == 3);
    assert_eq!(first.differences.len(), 3);
    records.reverse();
    let again = analyse(&records, options).unwrap();
    assert_eq!(first.means, again.means);
    assert_eq!(first.agreement, again.agreement);
    assert_eq!(first.preference, again.preference);
    assert_ne!(first.means, analyse(&records, Options { seed: 8, ..options }).unwrap().means);
}

#[test]
fn one_reader_and_half_a_study_have_figures_and_no_agreement() {
    let study = study(10, &["a", "b"]);
    let mut answers =
        vec![Answer { marks: vec![[Some(3); 5], [Some(4); 5]], preferred: Some(1), seconds: 1.0 }];
    answers.push(Answer::default());
    let records = ratings::records(&study, "A", &answers).unwrap();
    let found = analyse(&records, Options { resamples: 50, seed: 0 }).unwrap();
    assert_eq!((found.reports, found.readers[0].reports), (1, 1));
    assert!(found.agreement.iter().all(|alpha| alpha.ordinal.is_none()));
    assert_eq!(found.preference.p, Some(1.0));
    assert_eq!(found.means.iter().flatten().flatten().count(), 12);
    report::csv(&found);
    assert!(report::html(&found, "").contains("no variation"));
    let none = ratings::records(&study, "A", &[Answer::default()]).unwrap();
    assert_eq!(analyse(&none, Options::default()).unwrap_err().code(), "bad_data");
    let zero = Options { resamples: 0, seed: 0 };
    assert_eq!(analyse(&records, zero).unwrap_err().code(), "bad_option");
}

#[test]
fn files_are_read_as_they_are_written_and_reports_tell_no_text() {
    let study = study(6, &["a \"quoted\", system", "b<c>"]);
    let records = answered(&study, &["A", "Ü;"], &rule);
    let (first, second): (Vec<_>, Vec<_>) = records.iter().cloned().partition(|r| r.reader == "A");
    let (a, b) = (ratings::csv(&first), ratings::csv(&second));
    let files = [("b.csv", b.as_bytes()), ("a.csv", a.as_bytes())];
    let mut merged = ratings::merge(&files, Some(&study.hash())).unwrap();
    merged.sort_by_key(|record| (record.reader.clone(), record.order, record.place));
    assert_eq!(merged, records);
    let found = analyse(&merged, Options { resamples: 50, seed: 0 }).unwrap();
    let page = report::html(&found, "<b>");
    let texts = [
        page.clone(),
        report::markdown(&found, "t"),
        report::csv(&found),
        report::json(&found).unwrap().to_string(),
    ];
    for text in texts {
        assert!(!text.contains("secret"), "{text}");
    }
    assert!(!page.contains("b<c>") && page.contains("b&lt;c&gt;") && !page.contains("<b></"));
    assert_eq!(page.matches("http").count(), page.matches("www.w3.org").count());
    for (name, svg) in report::plots(&found) {
        assert!(svg.starts_with("<svg") && svg.contains("aria-label"), "{name}");
    }
}

#[test]
fn every_fault_of_readers_files_is_told_with_its_line() {
    let study = study(3, &["a", "b"]);
    let good = ratings::csv(&answered(&study, &["R"], &rule));
    let lines: Vec<&str> = good.lines().collect();
    let other = ratings::csv(&answered(&Study { seed: 2, ..study.clone() }, &["B"], &rule));
    let merge = |files: &[&str]| {
        let files: Vec<(&str, &[u8])> =
            files.iter().zip(["one", "two"]).map(|(text, name)| (name, text.as_bytes())).collect();
        ratings::merge(&files, None)
    };
    assert_eq!(merge(&[&good]).unwrap().len(), 6);
    let with = |line: usize, from: &str, to: &str| {
        let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        assert!(lines[line].contains(from), "{}", lines[line]);
        lines[line] = lines[line].replacen(from, to, 1);
        lines.join("\n")
    };
    let cells: Vec<&str> = lines[2].split(',').collect();
    let marks = cells[6..11].join(",");
    let without = [&lines[..2], &lines[3..]].concat().join("\n");
    for (files, words) in [
        (vec![good.as_str(), other.as_str()], &["two, line 2", "another study", "one, line 2"][..]),
        (vec![&good, &good], &["R, r", "one, line 2", "two, line 2"]),
        (vec![&with(0, "place", "where")], &["one, line 1", "\"place\" is missing"]),
        (
            vec![&with(2, &marks, &marks.replacen(|c: char| c.is_ascii_digit(), "6", 1))],
            &["line 3", "from 1 to 5"],
        ),
        (
            vec![&with(2, &marks, &marks.replacen(|c: char| c.is_ascii_digit(), "x", 1))],
            &["line 3", "from 1 to 5"],
        ),
        (vec![&with(3, ",A,", ",?,")], &["line 4", "\"place\""]),
        (vec![&with(3, ",A,", ",B,")], &["line 4", "place B"]),
        (vec![&without], &["line 2", "1 systems", "row missing"]),
        (vec![&good[..good.len() / 2]], &["line", "cells"]),
        (vec![lines[0]], &["one", "no ratings"]),
        (vec![""], &["one", "missing"]),
    ] {
        let Err(error) = merge(&files) else { panic!("{words:?} was taken") };
        let error = error.to_string();
        for word in words {
            assert!(error.contains(word), "{word:?} is not in {error:?}");
        }
    }
    let twice = good.replace(",0,", ",1,");
    assert!(merge(&[&twice]).unwrap_err().to_string().contains("prefers 2"));
    let bad = ratings::merge(&[("one", &[b'a', 0xe9][..])], None).unwrap_err();
    assert!(bad.to_string().contains("one, line 1") && bad.to_string().contains("UTF-8"));
}
