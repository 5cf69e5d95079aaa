//! Rows of CSV and JSON Lines: right ones in any pieces, wrong ones with their numbers and nothing lost behind them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use proptest::prelude::*;
use radllama::Error;
use radllama::rows::{Columns, Format, MAX_ROW_BYTES, Reader, Records, Row};

/// All rows of a text, pushed in pieces of `piece` bytes.
fn read(format: Format, columns: Columns, bytes: &[u8], piece: usize) -> Result<Vec<Row>, Error> {
    let mut reader = Reader::new("t", format, columns);
    let mut rows = Vec::new();
    for bytes in bytes.chunks(piece.max(1)) {
        reader.push(bytes);
        while let Some(row) = reader.next() {
            rows.push(row?);
        }
    }
    reader.end();
    while let Some(row) = reader.next() {
        rows.push(row?);
    }
    reader.finish()?;
    Ok(rows)
}

const CSV: Format = Format::Csv(None);

/// Each row as `number/line id: findings` or `number/line id! what is wrong`.
fn shown(format: Format, bytes: &[u8]) -> Vec<String> {
    let all = [1, 2, 3, 7, 1 << 20].map(|piece| {
        let rows = read(format, Columns::default(), bytes, piece).unwrap();
        let show = |row: &Row| {
            let id = row.id.as_deref().unwrap_or("?");
            match &row.report {
                Ok(report) => format!("{}/{} {id}: {}", row.number, row.line, report.findings),
                Err(error) => format!("{}/{} {id}! {error}", row.number, row.line),
            }
        };
        rows.iter().map(show).collect::<Vec<_>>()
    });
    assert!(all.iter().all(|rows| *rows == all[0]), "pieces change what is read: {all:?}");
    all[0].clone()
}

fn wrong(format: Format, bytes: &[u8]) -> String {
    let errors = [1, 5, 1 << 20]
        .map(|piece| read(format, Columns::default(), bytes, piece).unwrap_err().to_string());
    assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
    errors[0].clone()
}

/// Checks rows against words that must stand in them, in order.
fn check(rows: &[String], expected: &[&[&str]]) {
    assert_eq!(rows.len(), expected.len(), "{rows:#?}");
    for (row, words) in rows.iter().zip(expected) {
        for word in *words {
            assert!(row.contains(word), "{word:?} is not in {row:?}");
        }
        assert!(!row.contains('!') || !row.contains("secret"), "{row}");
    }
}

#[test]
fn tables_as_they_come() {
    let rows =
        shown(CSV, b"\xef\xbb\xbfID,Findings\r\na,\"x, \"\"y\"\"\r\nz\"\r\n\r\nb,5\" long\r\n");
    assert_eq!(rows, ["1/2 a: x, \"y\"\r\nz", "2/5 b: 5\" long"]);
    assert_eq!(shown(CSV, b"findings;id\nx, y;7"), ["1/2 7: x, y"]);
    assert_eq!(shown(CSV, b"findings\tid\rx\ty\r"), ["1/2 y: x"]);
    assert_eq!(shown(CSV, b"\n\nnote,findings\n,x\n,y\n"), ["1/4 1: x", "2/5 2: y"]);
    assert_eq!(shown(CSV, b"\"findings\",\"id\"\n\"x\",\"\xc3\xa9\""), ["1/2 \u{e9}: x"]);
    assert_eq!(shown(CSV, b"findings\n\"\"\"\"\n"), ["1/2 1: \""]);
}

#[test]
fn one_stray_quote_costs_one_row() {
    // Never closed: everything up to the end would be its cell.
    let rows = shown(CSV, b"id,findings\na,x\nb,\"secret\nc,y\nd,z\n");
    check(
        &rows,
        &[
            &["1/2 a: x"],
            &["2/3 ?!", "row 2, line 3", "never closed"],
            &["3/4 c: y"],
            &["4/5 d: z"],
        ],
    );
    // Closed by the next row's: these two would be one.
    let rows = shown(CSV, b"id,findings\nb,\"secret\nc,\"y\"\nd,z\n");
    check(&rows, &[&["1/2 ?!", "behind a closing quote"], &["2/3 c: y"], &["3/4 d: z"]]);
    // On the last line, and on a line alone.
    let rows = shown(CSV, b"id,findings\na,x\nb,\"secret");
    check(&rows, &[&["1/2 a"], &["2/3 ?!", "never closed"]]);
    let rows = shown(CSV, b"id,findings\nb,\"secret\"secret\nc,y\n");
    check(&rows, &[&["1/2 ?!", "behind a closing quote"], &["2/3 c: y"]]);
    // Longer than a row may be.
    let mut long = b"id,findings\nb,\"secret\nc,y\n".to_vec();
    long.extend(b"z,z\n".repeat(MAX_ROW_BYTES / 4));
    let rows = read(CSV, Columns::default(), &long, 1 << 16).unwrap();
    assert_eq!(rows.len(), MAX_ROW_BYTES / 4 + 2);
    assert!(rows[0].report.as_ref().unwrap_err().to_string().contains("more than"));
    assert_eq!(rows[1].id.as_deref(), Some("c"));
}

#[test]
fn bad_rows_of_tables() {
    let rows = shown(
        CSV,
        b"id,findings,impression\na,x,i\nb,y\nc,z,secret,more\n\xe9,caf\xe9,i\nd, ,i\na,w,i\n,x,i\ne,q,\n",
    );
    check(
        &rows,
        &[
            &["1/2 a: x"],
            &["2/3 ?!", "t, row 2, line 3: has 2 cells, the header 3"],
            &["3/4 ?!", "has 4 cells"],
            &["4/5 ?!", "not UTF-8 at byte 1 of the row", "windows-1252"],
            &["5/6 d!", "the findings are empty"],
            &["6/7 a!", "id a stands in t, row 1 and again in row 6, line 7"],
            &["7/8 ?!", "an empty id"],
            &["8/9 e: q"],
        ],
    );
}

#[test]
fn bad_lines_of_json() {
    let long = format!("{{\"findings\": \"{}\"}}\n", "secret ".repeat(MAX_ROW_BYTES / 7 + 1));
    let mut bytes =
        b"\xef\xbb\xbf{\"id\": \"a\", \"findings\": \"x\"}\n\n{\"id\": 7, \"findings\": \"y\"}\n"
            .to_vec();
    bytes.extend(b"{\"id\": \"b\", \"findings\": \"secret\n[1]\n{\"id\": \"c\"}\n{\"id\": \"d\", \"findings\": 5}\n");
    bytes.extend(b"{\"findings\": \"z\"}\n{\"id\": \"a\", \"findings\": \"secret\"}\n{\"findings\": \"caf\xe9\"}\n");
    bytes.extend(b"{\"id\": \"e\", \"id\": \"f\", \"findings\": \"x\"}\n{\"id\": [1], \"findings\": \"x\"}\n");
    bytes.extend(b"{\"id\": \"g\", \"findings\": null}\n");
    bytes.extend(long.as_bytes());
    bytes.extend(b"{\"id\": \"h\", \"Findings\": \"last\"}");
    let rows = read(Format::Jsonl, Columns::default(), &bytes, 1 << 16).unwrap();
    let rows: Vec<String> = rows
        .iter()
        .map(|row| match &row.report {
            Ok(report) => format!("{} {:?}: {}", row.number, row.id, report.findings),
            Err(error) => format!("{} {:?}! {error}", row.number, row.id),
        })
        .collect();
    check(
        &rows,
        &[
            &["1 Some(\"a\"): x"],
            &["2 Some(\"7\"): y"],
            &["3 None!", "t, row 3, line 4: the JSON ends too soon"],
            &["4 None!", "line 5", "not a JSON object"],
            &["5 Some(\"c\")!", "has no field \"findings\""],
            &["6 Some(\"d\")!", "no text"],
            &["7 Some(\"7\")!", "id 7 stands in t, row 2"],
            &["8 Some(\"a\")!", "id a stands in t, row 1"],
            &["9 None!", "not UTF-8 at byte 18"],
            &["10 None!", "a field stands twice"],
            &["11 None!", "neither a text nor a whole number"],
            &["12 Some(\"g\")!", "the findings are empty"],
            &["13 None!", "more than"],
            &["14 Some(\"h\"): last"],
        ],
    );
}

#[test]
fn files_of_which_nothing_can_be_made() {
    for (bytes, words) in [
        (&b"id,text\na,secret\n"[..], &["t: has no column \"findings\"", "--findings-column"][..]),
        (b"id,text", &["no column \"findings\""]),
        (b"findings,findings\nx,y\n", &["more than once"]),
        (b"", &["no rows"]),
        (b"\n\n", &["no rows"]),
        (b"id,findings\n", &["no rows"]),
        (b"f\0i\0n\0d\0i\0n\0g\0s\0\n\0x\0\n\0", &["utf-16le"]),
        (b"id,\"findings\nsecret", &["the header", "never closed"]),
    ] {
        let error = wrong(CSV, bytes);
        for word in words {
            assert!(error.contains(word), "{word:?} is not in {error:?}");
        }
        assert!(!error.contains("secret"), "{error}");
    }
    let error = wrong(Format::Jsonl, b"{\"text\": \"secret\"}\n{\"text\": \"secret\"}\n");
    assert!(error.contains("no column \"findings\""), "{error}");
    let columns = Columns { prior: Some("before".into()), ..Columns::default() };
    let error = read(CSV, columns, b"id,findings\na,x\n", 9).unwrap_err();
    assert!(error.to_string().contains("no column \"before\" for the prior"), "{error}");
}

#[test]
fn columns_by_their_names() {
    let bytes = b"Study_ID,Report,IMPRESSION,Prior,x\ns1,one,two,three,four\ns2,one,,,\n";
    let columns = Columns { findings: Some("Report".into()), ..Columns::default() };
    let rows = read(CSV, columns, bytes, 4).unwrap();
    let report = rows[0].report.as_ref().unwrap();
    assert_eq!(rows[0].id.as_deref(), Some("s1"));
    assert_eq!(report.findings, "one");
    assert_eq!(report.reference.as_deref(), Some("two"));
    assert_eq!(report.prior.as_deref(), Some("three"));
    let report = rows[1].report.as_ref().unwrap();
    assert_eq!((&report.reference, &report.prior), (&None, &None));
    // A column that is not to be used.
    let none = || Some(String::new());
    let columns =
        Columns { findings: Some("x".into()), id: none(), reference: none(), ..Columns::default() };
    let rows = read(CSV, columns, bytes, 4).unwrap();
    assert_eq!(rows[0].id.as_deref(), Some("1"));
    assert_eq!(rows[0].report.as_ref().unwrap().reference, None);
    assert!(matches!(rows[1].report, Err(Error::EmptyFindings)));
}

#[test]
fn names_tell_formats() {
    for (name, format) in [
        ("a.csv", CSV),
        ("A.CSV.gz", CSV),
        ("a.tsv", Format::Csv(Some(b'\t'))),
        ("a.jsonl", Format::Jsonl),
        ("csv", Format::Jsonl),
    ] {
        assert_eq!(Format::of(name), format, "{name}");
    }
}

/// The cells of a table as the csv crate reads them, blank ones left out as it does.
fn by_crate(bytes: &[u8]) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

proptest! {
    #[test]
    fn tables_are_read_as_the_csv_crate_reads_them(
        cells in prop::collection::vec(prop::collection::vec("[a-c ,;\"\r\n\u{e9}]{0,6}", 3), 1..6),
        piece in 1usize..9,
        crlf: bool,
    ) {
        let end = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new().terminator(end).from_writer(Vec::new());
        writer.write_record(["h1", "h2", "h3"]).unwrap();
        cells.iter().for_each(|row| writer.write_record(row).unwrap());
        let bytes = writer.into_inner().unwrap();
        let mut records = Records::new(Format::Csv(Some(b',')));
        let mut found = Vec::new();
        for bytes in bytes.chunks(piece) {
            records.push(bytes);
            while let Some(record) = records.next() { found.push(record.unwrap()) }
        }
        records.end();
        while let Some(record) = records.next() { found.push(record.unwrap()) }
        let found: Vec<Vec<String>> = found.into_iter().map(|record| match record.fields.unwrap() {
            radllama::rows::Fields::Cells(cells) => cells,
            radllama::rows::Fields::Object(_) => panic!("a table has no objects"),
        }).collect();
        prop_assert_eq!(&found, &cells);
        prop_assert_eq!(&found, &by_crate(&bytes)[1..]);
    }

    #[test]
    fn no_bytes_make_it_panic_or_depend_on_the_pieces(
        bytes in prop::collection::vec(prop::sample::select(b"a,\"\n\r\xff".to_vec()), 0..60),
        piece in 1usize..5,
    ) {
        let table = [b"findings,id\n".as_slice(), &bytes].concat();
        let whole = read(CSV, Columns::default(), &table, usize::MAX);
        prop_assert_eq!(read(CSV, Columns::default(), &table, piece), whole);
        let lines = [b"{\"findings\": \"x\"}\n".as_slice(), &bytes].concat();
        let whole = read(Format::Jsonl, Columns::default(), &lines, usize::MAX);
        prop_assert_eq!(read(Format::Jsonl, Columns::default(), &lines, piece), whole);
    }
}
