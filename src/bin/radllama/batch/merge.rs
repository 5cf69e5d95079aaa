//! `radllama batch merge`: shards of one run as one file.

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

use radllama::data::atomic::AtomicFile;
use radllama::eval::outputs::Shard;
use radllama::{Error, Result};
use serde_json::json;

use super::super::{output, resume};
use super::lines::{Index, numbers};
use super::{OPTION, SOME_FAILED};

/// Join the shards of a run: every row once, in the order of the input.
///
/// All must come from one input, model and set of options. The file that is written is that of a run without
/// shards: `radllama batch IN --out OUT --report DIR` finds nothing to do in it and scores it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file to write.
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// The shards' files, in any order.
    #[arg(value_name = "SHARD", required = true)]
    shards: Vec<PathBuf>,
}

pub(super) fn run(args: &Args, json: bool) -> Result<ExitCode> {
    let refuse =
        |path: &PathBuf, what: String| Error::BadData { place: path.display().to_string(), what };
    for path in &args.shards {
        if resume::read_side(path, OPTION)?.is_none() {
            let what =
                "its .run.json is missing, so that nobody knows which shard it is".to_owned();
            return Err(refuse(path, what));
        }
    }
    let settings = resume::common_settings(&args.shards, OPTION)?.unwrap_or_default();
    let rows = settings["rows"].as_u64();
    let rows =
        rows.ok_or_else(|| refuse(&args.shards[0], "is not of radllama batch".to_owned()))?;
    let mut index = Index::new(rows);
    let mut files = Vec::new();
    for (number, path) in args.shards.iter().enumerate() {
        let mut file = File::open(path).map_err(|error| Error::io(path, &error))?;
        index.add(path, number, &mut file)?;
        files.push((path.as_path(), file));
    }
    let missing: Vec<u64> =
        (1..).zip(&index.places).filter(|(_, place)| place.is_none()).map(|(row, _)| row).collect();
    if !missing.is_empty() {
        let what = format!(
            "{} of {rows} rows are missing: {}; run {} to their end",
            missing.len(),
            numbers(&missing),
            unfinished(args, &missing)?
        );
        let place = args.shards.iter().map(|path| path.display().to_string());
        return Err(Error::BadData { place: place.collect::<Vec<_>>().join(", "), what });
    }
    let mut out = AtomicFile::create(&args.out)?;
    index.copy(&mut files, |_| true, &mut |line| out.append(line))?;
    resume::write_side(&args.out, &settings)?;
    out.commit()?;
    let failed = index.counts.failed;
    if json {
        output::object(&json!({
            "out": args.out.display().to_string(), "rows": rows,
            "written": index.counts.written, "failed": failed,
        }))?;
    } else {
        output::line(&format!("{}: {rows} rows, {failed} errors", args.out.display()))?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(SOME_FAILED) })
}

/// The shards that the missing rows belong to.
fn unfinished(args: &Args, missing: &[u64]) -> Result<String> {
    let mut count = 1;
    for path in &args.shards {
        let shard = resume::read_side(path, OPTION)?.unwrap_or_default();
        if let Some(shard) = shard["shard"].as_str().and_then(|text| text.parse::<Shard>().ok()) {
            count = shard.count as u64;
        }
    }
    if count == 1 {
        return Ok("the batch".to_owned());
    }
    let mut shards: Vec<u64> = missing.iter().map(|row| (row - 1) % count).collect();
    shards.sort_unstable();
    shards.dedup();
    let names: Vec<String> = shards.iter().map(|index| format!("{index}/{count}")).collect();
    Ok(format!("the shards {}", names.join(", ")))
}
