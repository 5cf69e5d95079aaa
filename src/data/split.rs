//! Which report belongs to which split: a JSON object with a list of ids a split, or a CSV table with
//! a row an id, as MIMIC-CXR publishes it (`dicom_id,study_id,subject_id,split`, gzipped or not).

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value};

use super::archive::peek;
use crate::error::{Error, Result};

/// The part of the data a report is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// What the model learns from.
    Train,
    /// What decisions are made on.
    Val,
    /// What is looked at once, at the end.
    Test,
    /// Everything, where there is no split.
    All,
}

impl Part {
    /// The stem of the part's file: `train`, `val`, `test`; `pairs` without a split.
    pub fn name(self) -> &'static str {
        match self {
            Part::Train => "train",
            Part::Val => "val",
            Part::Test => "test",
            Part::All => "pairs",
        }
    }

    /// `train`; `val`, `valid`, `validate` (MIMIC-CXR), `validation`, `dev`; `test`.
    fn parse(name: &str) -> Option<Part> {
        match name.trim().to_ascii_lowercase().as_str() {
            "train" => Some(Part::Train),
            "val" | "valid" | "validate" | "validation" | "dev" => Some(Part::Val),
            "test" => Some(Part::Test),
            _ => None,
        }
    }
}

/// The columns that may hold the id in a table, the first that is there.
const ID_COLUMNS: [&str; 3] = ["study_id", "id", "uid"];
/// Ids named in a message.
const NAMED: usize = 10;

/// A split by id. Holds one short entry an id.
#[derive(Debug)]
pub struct Split {
    path: String,
    parts: HashMap<Box<str>, (Part, bool)>,
    /// Keys of a JSON split that are no split, with a list below them: subsets of one, for example.
    pub unused_keys: Vec<String>,
}

impl Split {
    /// Reads a split. `id_of` makes a report's id of what the split calls it.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::BadSplit`] for an id in two splits, a split without ids, columns that
    /// are missing, and what cannot be parsed.
    pub fn open(path: &Path, id_of: fn(&str) -> String) -> Result<Split> {
        let file = File::open(path).map_err(|error| Error::io(path, &error))?;
        let (magic, file) = peek(path, BufReader::with_capacity(1 << 16, file), 2)?;
        if magic == [0x1f, 0x8b] {
            Split::read(path, MultiGzDecoder::new(file), id_of)
        } else {
            Split::read(path, file, id_of)
        }
    }

    fn read(path: &Path, reader: impl Read, id_of: fn(&str) -> String) -> Result<Split> {
        let (head, reader) = peek(path, reader, 64)?;
        let mut split = Split {
            path: path.display().to_string(),
            parts: HashMap::new(),
            unused_keys: Vec::new(),
        };
        if head.trim_ascii_start().starts_with(b"{") {
            split.read_json(BufReader::new(reader), id_of)?;
        } else {
            split.read_csv(reader, id_of)?;
        }
        if split.parts.is_empty() {
            return Err(split.bad("it names no report"));
        }
        Ok(split)
    }

    fn read_json(&mut self, reader: impl Read, id_of: fn(&str) -> String) -> Result<()> {
        let object: Map<String, Value> = serde_json::from_reader(reader)
            .map_err(|error| self.bad(&format!("it is not a JSON object of lists ({error})")))?;
        for (key, value) in object {
            let Some(part) = Part::parse(&key) else {
                if value.is_array() {
                    self.unused_keys.push(key);
                }
                continue;
            };
            let Value::Array(ids) = value else {
                return Err(self.bad(&format!("{key:?} must be a list of ids")));
            };
            for id in ids {
                let id = match id {
                    Value::String(id) => id_of(&id),
                    Value::Number(id) if id.is_u64() => id_of(&id.to_string()),
                    _ => return Err(self.bad(&format!("{key:?} must hold texts or numbers"))),
                };
                self.insert(id, part, &|| format!("the list {key:?}"))?;
            }
        }
        Ok(())
    }

    fn read_csv(&mut self, reader: impl Read, id_of: fn(&str) -> String) -> Result<()> {
        let mut table = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(reader);
        let headers = table.headers().map_err(|error| self.bad(&error.to_string()))?.clone();
        let column = |name: &str| {
            headers.iter().position(|header| header.trim_start_matches('\u{feff}') == name)
        };
        let id = ID_COLUMNS.iter().find_map(|name| column(name));
        let (Some(id), Some(split)) = (id, column("split")) else {
            return Err(self.bad(
                "the columns split and study_id (or id, or uid) are needed; \
                 MIMIC-CXR's mimic-cxr-2.0.0-split.csv has them",
            ));
        };
        let mut record = csv::StringRecord::new();
        while table.read_record(&mut record).map_err(|error| self.bad(&error.to_string()))? {
            let line = record.position().map_or(0, csv::Position::line);
            let (Some(id), Some(name)) = (record.get(id), record.get(split)) else { continue };
            let part = Part::parse(name).ok_or_else(|| {
                self.bad(&format!("line {line} has a split that is not train, validate or test"))
            })?;
            if id.is_empty() {
                return Err(self.bad(&format!("line {line} has no id")));
            }
            self.insert(id_of(id), part, &|| format!("line {line}"))?;
        }
        Ok(())
    }

    fn insert(&mut self, id: String, part: Part, place: &dyn Fn() -> String) -> Result<()> {
        match self.parts.get(id.as_str()) {
            Some((other, _)) if *other != part => Err(self.bad(&format!(
                "{} puts {id} into {}, but it is in {} already; a report belongs to one split",
                place(),
                part.name(),
                other.name()
            ))),
            Some(_) => Ok(()),
            None => {
                self.parts.insert(id.into_boxed_str(), (part, false));
                Ok(())
            }
        }
    }

    fn bad(&self, what: &str) -> Error {
        Error::BadSplit { path: self.path.clone(), what: what.to_owned() }
    }

    /// The file this came from.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How many ids are in a part.
    pub fn count(&self, part: Part) -> usize {
        self.parts.values().filter(|(of, _)| *of == part).count()
    }

    /// The part of a report, which is from now on known to be there.
    pub fn take(&mut self, id: &str) -> Option<Part> {
        self.parts.get_mut(id).map(|(part, seen)| {
            *seen = true;
            *part
        })
    }

    /// The ids that no report had, sorted.
    pub fn missing(&self) -> Vec<&str> {
        let missing = self.parts.iter().filter(|(_, (_, seen))| !seen);
        let mut missing: Vec<&str> = missing.map(|(id, _)| &**id).collect();
        missing.sort_unstable();
        missing
    }

    /// The error that names some of the ids that no report had.
    pub(super) fn missing_error(&self, missing: &[&str]) -> Error {
        let some = missing.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        let more = if missing.len() > NAMED { ", …" } else { "" };
        self.bad(&format!(
            "{} of its ids have no report in the input ({some}{more}); \
             pass the whole data set, or --on-missing count",
            missing.len()
        ))
    }
}
