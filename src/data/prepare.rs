//! From reports to pairs files: one pass that checks ids, splits, filters, counts and writes.
//!
//! In memory stay an id, a place and a hash of the findings a report (some 150 bytes); the text does
//! not. Files get their names only when all of them are whole, `statistics.json` last: it has the hash
//! of every other, so a run that was killed while renaming is seen.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::atomic::AtomicFile;
use super::filter::{Changes, Filters};
use super::pairs::{Format, Pair, PairWriter, Sealed};
use super::split::{Part, Split};
use super::statistics::{Duplicates, Findings, Statistics};
use crate::error::{Error, Result};

/// A report as its source has it: sections may be empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What was read.
    pub pair: Pair,
    /// Where it stands, for messages.
    pub place: String,
    /// Whether it has any section at all.
    pub sections: bool,
}

/// Takes report after report, or why one of them cannot be read.
pub type Sink<'a> = dyn FnMut(Result<Found>) -> Result<()> + 'a;

/// How to prepare.
#[derive(Debug)]
pub struct Options {
    /// The folder for the files; it is made where it is missing.
    pub output: PathBuf,
    /// Which report goes where; without it all go into one file.
    pub split: Option<Split>,
    /// What is done to the reports.
    pub filters: Filters,
    /// Keep the first report of an id and count the others, instead of refusing the second.
    pub keep_first: bool,
    /// Count ids of the split that no report has, instead of refusing.
    pub count_missing: bool,
    /// Count reports that cannot be read, instead of stopping at the first.
    pub count_unreadable: bool,
    /// What the files are.
    pub format: Format,
}

/// A run under way.
#[derive(Debug)]
pub struct Preparation {
    options: Options,
    writers: BTreeMap<Part, PairWriter>,
    statistics: Statistics,
    changes: Changes,
    findings: Findings,
    /// Number and place of each id.
    ids: HashMap<Box<str>, (u32, Box<str>)>,
}

impl Preparation {
    /// Makes the folder.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn new(options: Options) -> Result<Preparation> {
        std::fs::create_dir_all(&options.output)
            .map_err(|error| Error::io(&options.output, &error))?;
        Ok(Preparation {
            options,
            writers: BTreeMap::new(),
            statistics: Statistics::default(),
            changes: Changes::default(),
            findings: Findings::default(),
            ids: HashMap::new(),
        })
    }

    /// Reports that came so far.
    pub fn reports(&self) -> u64 {
        self.statistics.reports
    }

    /// Takes a report.
    ///
    /// # Errors
    /// [`Error::DuplicateId`]; [`Error::BadData`] for one that cannot be read; [`Error::Io`].
    pub fn add(&mut self, found: Result<Found>) -> Result<()> {
        self.statistics.reports += 1;
        let Found { mut pair, place, sections } = match found {
            Ok(found) => found,
            Err(Error::BadData { place, .. }) if self.options.count_unreadable => {
                self.statistics.leave_out("unreadable", &place);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let number = u32::try_from(self.ids.len())
            .map_err(|_| Error::Internal("more than 2^32 reports".into()))?;
        if let Some((_, first)) = self.ids.get(pair.id.as_str()) {
            if self.options.keep_first {
                self.statistics.leave_out("duplicate_id", &pair.id);
                return Ok(());
            }
            return Err(Error::DuplicateId {
                id: pair.id,
                first: first.to_string(),
                second: format!("{place} (--on-duplicate keeps one of them)"),
            });
        }
        self.ids.insert(pair.id.clone().into_boxed_str(), (number, place.into_boxed_str()));
        let part = match &mut self.options.split {
            None => Some(Part::All),
            Some(split) => split.take(&pair.id),
        };
        let reason = match part {
            None => Some("not_in_split"),
            Some(_) if !sections => Some("no_sections"),
            Some(_) if pair.findings.trim().is_empty() => Some("empty_findings"),
            Some(_) if pair.impression.trim().is_empty() => Some("empty_impression"),
            Some(_) => self.options.filters.apply(&mut pair, &mut self.changes),
        };
        if let Some(reason) = reason {
            self.statistics.leave_out(reason, &pair.id);
            return Ok(());
        }
        let part = part.unwrap_or(Part::All);
        self.statistics.keep(part, &pair);
        self.findings.add(&pair.findings, part, number);
        if !self.writers.contains_key(&part) {
            let path = self.options.output.join(self.file(part));
            self.writers.insert(part, PairWriter::with_format(&path, self.options.format)?);
        }
        self.writers.get_mut(&part).map_or(Ok(()), |writer| writer.write(&pair))
    }

    fn file(&self, part: Part) -> String {
        format!("{}.{}", part.name(), self.options.format.extension())
    }

    /// Checks the split, writes the reports' duplicates and the statistics, and gives all files their
    /// names. `source` says where the reports came from. Returns what statistics.json holds.
    ///
    /// # Errors
    /// [`Error::BadSplit`] for ids without a report; [`Error::BadData`] when nothing is left;
    /// [`Error::Io`], also for files of an earlier run that this one would leave standing.
    pub fn finish(mut self, source: Value) -> Result<Value> {
        let missing = match &self.options.split {
            None => Vec::new(),
            Some(split) => {
                let missing = split.missing();
                if !missing.is_empty() && !self.options.count_missing {
                    return Err(split.missing_error(&missing));
                }
                missing.into_iter().map(str::to_owned).collect()
            }
        };
        if self.statistics.kept() == 0 {
            return Err(self.nothing_left());
        }
        self.refuse_leftovers()?;
        let (duplicates_file, duplicates) = self.duplicates()?;
        let mut sealed = Vec::new();
        for (part, writer) in std::mem::take(&mut self.writers) {
            sealed.push((part, writer.seal()?));
        }
        let value = self.summary(source, &missing, &sealed, duplicates);
        let mut statistics = AtomicFile::create(&self.options.output.join("statistics.json"))?;
        let mut text = serde_json::to_string_pretty(&value)
            .map_err(|error| Error::Internal(error.to_string()))?;
        text.push('\n');
        statistics.append(text.as_bytes())?;
        statistics.sync()?;
        for (_, file) in sealed {
            file.publish()?;
        }
        duplicates_file.commit()?;
        statistics.commit()?;
        Ok(value)
    }

    fn nothing_left(&self) -> Error {
        let reasons: Vec<_> = self
            .statistics
            .left_out()
            .iter()
            .map(|(reason, left)| format!("{reason}: {}", left.reports))
            .collect();
        let what = format!(
            "none of the {} reports is left to write ({}); check the input, the split and the filters",
            self.statistics.reports,
            reasons.join(", ")
        );
        Error::BadData { place: self.options.output.display().to_string(), what }
    }

    /// A part's file of another run beside this run's would be taken for a part of it.
    fn refuse_leftovers(&self) -> Result<()> {
        for part in [Part::Train, Part::Val, Part::Test, Part::All] {
            for format in [Format::Jsonl, Format::Csv] {
                let ours = format == self.options.format && self.writers.contains_key(&part);
                let name = format!("{}.{}", part.name(), format.extension());
                let path = self.options.output.join(name);
                if !ours && path.exists() {
                    let reason = "is from another run and would stand beside this run's files; \
                                  remove it or choose another --output"
                        .to_owned();
                    return Err(Error::Io { path: path.display().to_string(), reason });
                }
            }
        }
        Ok(())
    }

    /// Writes the groups of reports with the same findings, and counts them.
    fn duplicates(&mut self) -> Result<(AtomicFile, Duplicates)> {
        let mut file = AtomicFile::create(&self.options.output.join("duplicates.jsonl"))?;
        let mut ids = vec![""; self.ids.len()];
        for (id, (number, _)) in &self.ids {
            ids[*number as usize] = id;
        }
        let mut duplicates = Duplicates::default();
        for group in self.findings.groups() {
            duplicates.add(&group);
            let reports: Vec<_> = group
                .reports
                .iter()
                .map(|(part, number)| json!({ "id": ids[*number as usize], "part": part.name() }))
                .collect();
            let hash = format!("{:032x}", group.hash);
            let line = json!({ "findings_sha256_16": hash, "reports": reports });
            file.append(format!("{line}\n").as_bytes())?;
        }
        file.sync()?;
        Ok((file, duplicates))
    }

    fn summary(
        &self,
        source: Value,
        missing: &[String],
        sealed: &[(Part, Sealed)],
        duplicates: Duplicates,
    ) -> Value {
        let mut parts = serde_json::Map::new();
        for (part, statistics) in self.statistics.parts() {
            let mut value = statistics.json();
            if let Some((_, file)) = sealed.iter().find(|(of, _)| *of == part) {
                value["file"] = self.file(part).into();
                value["bytes"] = file.bytes.into();
                value["sha256"] = file.sha256.clone().into();
            }
            parts.insert(part.name().into(), value);
        }
        let split = self.options.split.as_ref().map(|split| {
            let ids: BTreeMap<_, _> = [Part::Train, Part::Val, Part::Test]
                .map(|part| (part.name(), split.count(part)))
                .into();
            json!({
                "file": file_name(Path::new(split.path())),
                "ids": ids,
                "missing": { "ids": missing.len(), "first": &missing[..missing.len().min(20)] },
                "unused_keys": split.unused_keys,
            })
        });
        json!({
            "source": source,
            "split": split,
            "reports": self.statistics.reports,
            "kept": self.statistics.kept(),
            "left_out": self.statistics.left_out(),
            "filters": self.options.filters,
            "changed": self.changes,
            "parts": parts,
            "duplicate_findings": duplicates.json(),
        })
    }
}

/// A file's name alone: what statistics say must not depend on where the file lay.
pub fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
