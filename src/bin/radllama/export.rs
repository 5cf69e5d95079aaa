//! `radllama export`: reports into the formats of the trade.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use radllama::data::PairReader;
use radllama::data::atomic::AtomicFile;
use radllama::data::stream::{self, RowFile};
use radllama::digest::sha256;
use radllama::export::{Format, Provenance, Report, export, file_name};
use radllama::rows;
use radllama::{Error, Result};
use serde_json::{Value, json};

use super::{output, resume};

/// Export reports as plain text, Markdown, FHIR R4, HL7 v2.5.1 or DICOM SR.
///
/// Reads JSON lines of {"id", "findings", "impression"} and what docs/export.md has besides. Lines of `radllama
/// batch` will do: OUT.run.json says with which model they were written, and --findings IN adds what the batch
/// read. A line that cannot be exported is named with its number and does
/// not keep the others from it; the exit status is then 1.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// text, markdown, fhir, hl7 or dicom.
    #[arg(long, value_name = "NAME")]
    format: Format,
    /// JSON lines, a report each; `-` is stdin.
    #[arg(long, value_name = "FILE", default_value = "-")]
    input: PathBuf,
    /// The file that a batch read: its findings, prior and comparison, by id, for lines that have none.
    #[arg(long, value_name = "IN")]
    findings: Option<PathBuf>,
    /// A folder, for a file a report named by its id; or a file, for one report.
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Time of the export by RFC 3339, for reports that have none; now, where nothing says.
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// HL7: for production (P in MSH-11), not for training (T).
    #[arg(long)]
    production: bool,
}

pub(crate) fn run(args: &Args, json: bool) -> Result<ExitCode> {
    let text = args.out.as_os_str().to_string_lossy();
    let folder = args.out.is_dir() || text.ends_with(['/', std::path::MAIN_SEPARATOR]);
    if folder {
        std::fs::create_dir_all(&args.out).map_err(|error| Error::io(&args.out, &error))?;
    }
    let side = match args.input == Path::new("-") {
        true => None,
        false => resume::read_side(&args.input, "--input")?,
    };
    let read = |path: &PathBuf| findings(path, side.as_ref());
    let mut job = Job {
        args,
        folder,
        written: side.as_ref().map(written),
        findings: args.findings.as_ref().map(read).transpose()?.unwrap_or_default(),
        now: args.time.clone().unwrap_or_else(now),
        ids: HashMap::new(),
        names: HashSet::new(),
        files: Vec::new(),
    };
    let failed = if args.input == Path::new("-") {
        job.all(PairReader::new("stdin", std::io::stdin().lock()))?
    } else {
        let file =
            std::fs::File::open(&args.input).map_err(|error| Error::io(&args.input, &error))?;
        job.all(PairReader::new(args.input.display().to_string(), BufReader::new(file)))?
    };
    if job.files.is_empty() && failed.is_empty() {
        let what = "holds no reports; one object {\"id\", \"findings\", \"impression\"} a line is expected";
        let place = args.input.display().to_string();
        return Err(Error::BadData { place, what: what.to_owned() });
    }
    if json {
        let (format, files) = (args.format.name(), &job.files);
        output::object(&json!({ "format": format, "files": files, "failed": failed }))?;
    } else {
        output::line(&format!("{} exported, {} not", job.files.len(), failed.len()))?;
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Job<'a> {
    args: &'a Args,
    folder: bool,
    /// What a run's own file says of all its lines.
    written: Option<Provenance>,
    findings: HashMap<String, rows::Report>,
    now: String,
    /// Where each id stands.
    ids: HashMap<String, String>,
    /// File names in small letters, as some systems see no difference.
    names: HashSet<String>,
    files: Vec<String>,
}

impl Job<'_> {
    /// Exports every line; returns what became of those that could not be. A file that cannot be written
    /// ends it all.
    fn all<R: BufRead>(&mut self, mut reader: PairReader<R>) -> Result<Vec<Value>> {
        let mut failed = Vec::new();
        while let Some(fields) = reader.next_fields() {
            let place = reader.place();
            let report = fields.and_then(|fields| Report::from_fields(fields, &place));
            match report.and_then(|report| self.one(report, reader.line(), &place)) {
                Ok(()) => {}
                Err(error @ Error::Io { .. }) => return Err(error),
                Err(error) => {
                    let message = at(&place, &error);
                    output::note(&format!("error: {message}"));
                    failed.push(json!({ "code": error.code(), "message": message }));
                }
            }
        }
        Ok(failed)
    }

    fn one(&mut self, mut report: Report, line: u64, place: &str) -> Result<()> {
        report.time.get_or_insert_with(|| self.now.clone());
        report.production |= self.args.production;
        if let (Some(written), Provenance { model: None, origin: None, .. }) =
            (&self.written, &report.provenance)
        {
            report.provenance = written.clone();
        }
        if let Some(read) = report.id.as_ref().and_then(|id| self.findings.get(id)) {
            let prior = read.prior.as_ref().or(read.comparison.as_ref());
            let fill = |own: &mut String, read: Option<&String>| {
                if own.is_empty() {
                    own.clone_from(read.unwrap_or(&String::new()));
                }
            };
            fill(&mut report.findings, Some(&read.findings));
            fill(&mut report.prior, prior);
        }
        if let Some(id) = &report.id
            && let Some(first) = self.ids.insert(id.clone(), place.to_owned())
        {
            let (id, second) = (id.clone(), place.to_owned());
            self.ids.insert(id.clone(), first.clone());
            return Err(Error::DuplicateId { id, first, second });
        }
        let bytes = export(&report, self.args.format)?;
        let path = match self.folder {
            true => self.args.out.join(self.name(report.id.as_deref(), line)),
            false if !self.files.is_empty() => {
                let what = "--out is a file and holds the report before; give a folder for several";
                return Err(Error::BadData { place: place.to_owned(), what: what.to_owned() });
            }
            false => self.args.out.clone(),
        };
        let mut file = AtomicFile::create(&path)?;
        file.append(&bytes)?;
        file.commit()?;
        self.files.push(path.display().to_string());
        Ok(())
    }

    /// A name that no report before has.
    fn name(&mut self, id: Option<&str>, line: u64) -> String {
        let mut name = match id {
            Some(id) => file_name(Some(id)),
            None => format!("report-{line}"),
        };
        if !self.names.insert(name.to_ascii_lowercase()) {
            name = format!("{name}-{}", &sha256(format!("{line} {}", id.unwrap_or("")))[..8]);
            self.names.insert(name.to_ascii_lowercase());
        }
        format!("{name}.{}", self.args.format.extension())
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// With what the lines of a file were written, as its run says.
fn written(side: &Value) -> Provenance {
    let hashes = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(text).collect()
    };
    Provenance {
        software: Some("radllama".to_owned()),
        version: text(&side["radllama"]),
        model: text(&side["model"]),
        model_sha256: hashes(&side["model_sha256"]),
        adapter_sha256: hashes(&side["adapter_sha256"]).pop(), // behind its configuration's
        ..Provenance::default()
    }
}

/// What a batch read, by id, in the way its run says. Rows that cannot be used have no impression either.
fn findings(path: &Path, side: Option<&Value>) -> Result<HashMap<String, rows::Report>> {
    let reading = side.map_or(&Value::Null, |side| &side["reading"]);
    let column = |name: &str| text(&reading["columns"][name]);
    let options = stream::Options {
        format: None, // its name tells
        encoding: text(&reading["encoding"]),
        columns: rows::Columns {
            id: column("id"),
            findings: column("findings"),
            prior: column("prior"),
            comparison: column("comparison"),
            reference: column("reference"),
        },
    };
    let mut file = RowFile::open(path, &options)?;
    let mut reports = HashMap::new();
    while let Some(row) = file.next() {
        let row = row?;
        if let (Some(id), Ok(report)) = (row.id, row.report) {
            reports.insert(id, report);
        }
    }
    Ok(reports)
}

/// What went wrong, with the line in front.
fn at(place: &str, error: &Error) -> String {
    match error {
        Error::BadData { place: at, .. } if at == place => error.to_string(),
        Error::BadData { what, .. } => format!("{place}: {what}"),
        Error::DuplicateId { .. } => error.to_string(),
        error => format!("{place}: {error}"),
    }
}

/// Now, by RFC 3339 in UTC.
fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, clock) = (seconds / 86_400, seconds % 86_400);
    // Days into a date of the Gregorian calendar, whose pattern repeats every 400 years of 146,097 days;
    // years begin in March, so that the leap day is a year's last.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (clock / 3_600, clock / 60 % 60, clock % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z")
}
