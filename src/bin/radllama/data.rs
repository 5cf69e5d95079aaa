//! `radllama data`: published data sets and tables into pairs files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use radllama::data::filter::{Filters, Words};
use radllama::data::pairs::Format;
use radllama::data::prepare::{Options, Preparation, Sink, file_name};
use radllama::data::rename::{self, Columns, Ids, Unknown};
use radllama::data::split::Split;
use radllama::data::{mimic_cxr, openi};
use radllama::{Error, Result};
use serde_json::{Value, json};

use super::output;

/// Make pairs files of findings and impressions from reports.
///
/// Writes train.jsonl, val.jsonl and test.jsonl, as the split names them (pairs.jsonl without a split),
/// one {"id", "findings", "impression", …} a line; duplicates.jsonl, the groups of reports with the
/// same findings; and statistics.json. Reports that are not in the split or lack one of the two
/// sections are left out and counted. Text stays as it is unless a filter is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    source: Source,
}

#[derive(Debug, Subcommand)]
enum Source {
    /// OpenI's chest X-ray reports: the archive of XML files, gzipped or not, its folder, or one file.
    Openi {
        /// NLMCXR_reports.tgz, a folder of XML files, or one of them.
        #[arg(value_name = "ARCHIVE|FOLDER|FILE")]
        input: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// MIMIC-CXR's reports in their published layout: files/pNN/pNNNNNNNN/sNNNNNNNN.txt.
    MimicCxr {
        /// The folder that has the folder files, or files itself.
        #[arg(value_name = "FOLDER")]
        input: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// A pairs file or another table of reports: JSON Lines or CSV, gzipped or not.
    Pairs {
        /// A .jsonl or .csv file; - is stdin.
        #[arg(value_name = "FILE")]
        input: PathBuf,
        /// What the file is, where its name does not say.
        #[arg(long, value_enum)]
        from: Option<To>,
        /// The field or column with the id.
        #[arg(long, value_name = "NAME", default_value = "id")]
        id_column: String,
        /// Number the reports instead, with this before the number.
        #[arg(long, value_name = "PREFIX", conflicts_with = "id_column")]
        make_ids: Option<String>,
        /// The field or column with the findings.
        #[arg(long, value_name = "NAME", default_value = "findings")]
        findings_column: String,
        /// The field or column with the impression.
        #[arg(long, value_name = "NAME", default_value = "impression")]
        impression_column: String,
        /// What to do with fields that a pairs file does not know.
        #[arg(long, value_enum, default_value_t = OnUnknown::Keep)]
        unknown: OnUnknown,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Which report goes where: JSON lists of ids under train, val and test, or a CSV table with the
    /// columns study_id (or id, or uid) and split, gzipped or not.
    #[arg(long, value_name = "FILE")]
    split: Option<PathBuf>,
    /// Folder for the files.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// What to write.
    #[arg(long, value_enum, default_value_t = To::Jsonl)]
    to: To,
    /// What to do with a second report of one id.
    #[arg(long, value_enum, default_value_t = OnDuplicate::Error)]
    on_duplicate: OnDuplicate,
    /// What to do with ids of the split that no report has.
    #[arg(long, value_enum, default_value_t = OnFault::Error)]
    on_missing: OnFault,
    /// What to do with a report that cannot be read.
    #[arg(long, value_enum, default_value_t = OnFault::Error)]
    on_unreadable: OnFault,
    #[command(flatten)]
    filters: FilterArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Filters (all off unless given)")]
struct FilterArgs {
    /// Take list numbers (1. 2) …) out of the impression.
    #[arg(long)]
    strip_numbers: bool,
    /// Take sentences out that say who was told, when and how.
    #[arg(long)]
    strip_communication: bool,
    /// Write every de-identification mark (___ or XXXX) as TEXT.
    #[arg(long, value_name = "TEXT")]
    mark: Option<String>,
    /// Make one space of every run of white space and line breaks.
    #[arg(long)]
    join_lines: bool,
    /// Leave out reports with more than N de-identification marks.
    #[arg(long, value_name = "N")]
    max_marks: Option<u32>,
    /// Leave out reports whose findings have fewer words.
    #[arg(long, value_name = "N")]
    min_findings_words: Option<u32>,
    /// Leave out reports whose findings have more words.
    #[arg(long, value_name = "N")]
    max_findings_words: Option<u32>,
    /// Leave out reports whose impression has fewer words.
    #[arg(long, value_name = "N")]
    min_impression_words: Option<u32>,
    /// Leave out reports whose impression has more words.
    #[arg(long, value_name = "N")]
    max_impression_words: Option<u32>,
}

impl FilterArgs {
    fn filters(&self) -> Filters {
        Filters {
            number_prefixes: self.strip_numbers,
            communication: self.strip_communication,
            mark: self.mark.clone(),
            join_lines: self.join_lines,
            max_marks: self.max_marks,
            findings_words: Words { min: self.min_findings_words, max: self.max_findings_words },
            impression_words: Words {
                min: self.min_impression_words,
                max: self.max_impression_words,
            },
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    Jsonl,
    Csv,
}

impl To {
    fn format(self) -> Format {
        match self {
            To::Jsonl => Format::Jsonl,
            To::Csv => Format::Csv,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnUnknown {
    /// Carry them over as they are.
    Keep,
    /// Stop and name the field.
    Refuse,
    /// Leave them out.
    Drop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnDuplicate {
    /// Stop and name both places.
    Error,
    /// Keep the first and count the others.
    First,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnFault {
    /// Stop at the first.
    Error,
    /// Go on and count them.
    Count,
}

pub(crate) fn run(args: &Args, json: bool) -> Result<ExitCode> {
    match &args.source {
        Source::Openi { input, common } => {
            prepare("openi", input, common, openi::id_of, json, &mut |sink| {
                openi::reports(input, sink)
            })
        }
        Source::MimicCxr { input, common } => {
            prepare("mimic-cxr", input, common, mimic_cxr::id_of, json, &mut |sink| {
                mimic_cxr::reports(input, sink)
            })
        }
        Source::Pairs {
            input,
            from,
            id_column,
            make_ids,
            findings_column,
            impression_column,
            unknown,
            common,
        } => {
            let columns = Columns {
                id: match make_ids {
                    None => Ids::Field(id_column.clone()),
                    Some(prefix) => Ids::Numbered(prefix.clone()),
                },
                findings: findings_column.clone(),
                impression: impression_column.clone(),
                unknown: match unknown {
                    OnUnknown::Keep => Unknown::Keep,
                    OnUnknown::Refuse => Unknown::Refuse,
                    OnUnknown::Drop => Unknown::Drop,
                },
            };
            let format = from.map(To::format);
            prepare("pairs", input, common, str::to_owned, json, &mut |sink| {
                rename::reports(input, format, &columns, sink)
            })
        }
    }
}

/// Runs `read`, which hands the reports of `input` to the sink and returns how many files were none.
fn prepare(
    kind: &str,
    input: &Path,
    common: &Common,
    id_of: fn(&str) -> String,
    json: bool,
    read: &mut dyn FnMut(&mut Sink<'_>) -> Result<u64>,
) -> Result<ExitCode> {
    let split = common.split.as_deref().map(|path| Split::open(path, id_of)).transpose()?;
    let mut preparation = Preparation::new(Options {
        output: common.output.clone(),
        split,
        filters: common.filters.filters(),
        keep_first: common.on_duplicate == OnDuplicate::First,
        count_missing: common.on_missing == OnFault::Count,
        count_unreadable: common.on_unreadable == OnFault::Count,
        format: common.to.format(),
    })?;
    let spinner = output::spinner("reading reports");
    let others = read(&mut |found| {
        preparation.add(found)?;
        if preparation.reports().is_multiple_of(256) {
            spinner.set_message(format!("{} reports", preparation.reports()));
        }
        Ok(())
    });
    spinner.finish_and_clear();
    let others = others?;
    if preparation.reports() == 0 {
        let what = "no report was found there";
        return Err(Error::BadData { place: input.display().to_string(), what: what.into() });
    }
    let source = json!({ "kind": kind, "input": file_name(input), "other_files": others });
    let statistics = preparation.finish(source)?;
    if json {
        output::object(&statistics)?;
    } else {
        print(&statistics, &common.output)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(statistics: &Value, folder: &Path) -> Result<()> {
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    output::line(&format!(
        "{:<12}{:>9}{:>10}{:>22}{:>22}",
        "part", "reports", "abnormal", "findings words", "impression words"
    ))?;
    for (_, part) in statistics["parts"].as_object().into_iter().flatten() {
        let words = |section: &str| {
            let words = &part[section]["words"];
            format!("{} ({}–{})", words["median"], words["min"], words["max"])
        };
        output::line(&format!(
            "{:<12}{:>9}{:>10}{:>22}{:>22}",
            part["file"].as_str().unwrap_or_default(),
            number(&part["reports"]),
            number(&part["abnormal"]),
            words("findings"),
            words("impression")
        ))?;
    }
    for (reason, left) in statistics["left_out"].as_object().into_iter().flatten() {
        output::line(&format!("left out, {reason}: {}", left["reports"]))?;
    }
    for (change, count) in statistics["changed"].as_object().into_iter().flatten() {
        if number(count) > 0.0 {
            output::line(&format!("changed, {change}: {count}"))?;
        }
    }
    let missing = &statistics["split"]["missing"]["ids"];
    if number(missing) > 0.0 {
        output::line(&format!("ids of the split without a report: {missing}"))?;
    }
    let duplicates = &statistics["duplicate_findings"];
    for (part, count) in duplicates["within"].as_object().into_iter().flatten() {
        let (groups, copies) = (&count["groups"], &count["copies"]);
        output::line(&format!("same findings within {part}: {copies} copies in {groups} groups"))?;
    }
    for pair in duplicates["across"].as_array().into_iter().flatten() {
        for (part, count) in pair["reports"].as_object().into_iter().flatten() {
            let other = pair["parts"].as_array().into_iter().flatten().find(|name| *name != part);
            let other = other.and_then(Value::as_str).unwrap_or_default();
            output::line(&format!("reports of {part} whose findings stand in {other}: {count}"))?;
        }
    }
    output::line(&format!("written to {}", folder.display()))
}
