//! What a run leaves in its folder: a log of one JSON object a line, the loss as a picture, the
//! checkpoint, and at the end the adapter as PEFT has it. Each file is whole or not there.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use plotters::prelude::*;
use serde::{Deserialize, Serialize};

use super::trainer::StepReport;
use crate::data::atomic::AtomicFile;
use crate::error::{Error, Result};
use crate::lora::Adapter;
use crate::lora::peft::Element;

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum LogLine {
    /// An update.
    Step {
        /// What it did.
        #[serde(flatten)]
        report: StepReport,
        /// Of this update, wall clock.
        tokens_per_s: f64,
    },
    /// A validation.
    Validation {
        /// After this update.
        step: u64,
        /// Passes over the examples so far.
        epoch: f64,
        /// Mean cross entropy a response token, in nats.
        loss: f64,
    },
}

impl LogLine {
    /// The update it is about.
    pub fn step(&self) -> u64 {
        match self {
            LogLine::Step { report, .. } => report.step,
            LogLine::Validation { step, .. } => *step,
        }
    }
}

/// The folder of a run.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    log: Vec<LogLine>,
    file: Option<std::fs::File>,
}

impl RunFolder {
    /// Opens the folder, making it where it is not there.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(path: &Path) -> Result<RunFolder> {
        std::fs::create_dir_all(path).map_err(|error| Error::io(path, &error))?;
        Ok(RunFolder { path: path.to_owned(), log: Vec::new(), file: None })
    }

    fn name(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The last checkpoint, if there is one.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn checkpoint(&self) -> Result<Option<Vec<u8>>> {
        let path = self.name("checkpoint.safetensors");
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(&path, &error)),
        }
    }

    /// Puts a checkpoint in the place of the last.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save_checkpoint(&self, bytes: &[u8]) -> Result<()> {
        write(&self.name("checkpoint.safetensors"), bytes)
    }

    /// Begins the log, or goes on with it after update `step`: what came after the checkpoint will
    /// come again and is dropped, a half-written last line with it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn begin_log(&mut self, step: u64) -> Result<()> {
        let path = self.name("log.jsonl");
        if step > 0 && path.exists() {
            let file = std::fs::File::open(&path).map_err(|error| Error::io(&path, &error))?;
            let lines = BufReader::new(file).lines().map_while(|line| line.ok());
            let parsed = lines.filter_map(|line| serde_json::from_str::<LogLine>(&line).ok());
            self.log = parsed.filter(|line| line.step() <= step).collect();
        }
        let text: String = self.log.iter().map(line).collect::<Result<_>>()?;
        write(&path, text.as_bytes())?;
        let file = std::fs::OpenOptions::new().append(true).open(&path);
        self.file = Some(file.map_err(|error| Error::io(&path, &error))?);
        Ok(())
    }

    /// Appends to the log.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn log(&mut self, entry: LogLine) -> Result<()> {
        if let Some(file) = &mut self.file {
            let text = line(&entry)?;
            let written = file.write_all(text.as_bytes());
            written.map_err(|error| Error::io(self.path.join("log.jsonl"), &error))?;
        }
        self.log.push(entry);
        Ok(())
    }

    /// Draws the losses so far.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Internal`] should the picture not be drawn.
    pub fn save_plot(&self) -> Result<()> {
        let mut svg = String::new();
        plot(&self.log, &mut svg).map_err(|error| Error::Internal(format!("plot: {error}")))?;
        write(&self.name("loss.svg"), svg.as_bytes())
    }
}

/// Writes an adapter into a folder as PEFT does, the weights first: a folder with a configuration is whole.
///
/// # Errors
/// [`Error::Io`]; what [`Adapter::to_peft`] finds.
pub fn save_adapter(folder: &Path, adapter: &Adapter, element: Element) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, &error))?;
    let (config, weights) = adapter.to_peft(element)?;
    write(&folder.join("adapter_model.safetensors"), &weights)?;
    write(&folder.join("adapter_config.json"), &config)
}

fn line(entry: &LogLine) -> Result<String> {
    let text = serde_json::to_string(entry).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(text + "\n")
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.append(bytes)?;
    file.commit()
}

/// Updates a point of the smoothed training curve averages over.
const SMOOTHING: usize = 20;

fn plot(log: &[LogLine], svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let train: Vec<(f64, f64)> = log
        .iter()
        .filter_map(|line| match line {
            LogLine::Step { report, .. } => Some((report.epoch, report.loss)),
            LogLine::Validation { .. } => None,
        })
        .collect();
    let validation: Vec<(f64, f64)> = log
        .iter()
        .filter_map(|line| match line {
            LogLine::Validation { epoch, loss, .. } => Some((*epoch, *loss)),
            LogLine::Step { .. } => None,
        })
        .collect();
    let smooth = train.iter().enumerate().map(|(i, &(epoch, _))| {
        let window = &train[i.saturating_sub(SMOOTHING - 1)..=i];
        (epoch, window.iter().map(|&(_, loss)| loss).sum::<f64>() / window.len() as f64)
    });
    let smooth: Vec<_> = smooth.collect();
    let last = train.last().map_or(1.0, |&(epoch, _)| epoch).max(1e-3);
    let highest = smooth.iter().chain(&validation).map(|&(_, loss)| loss).fold(0.1, f64::max);

    let root = SVGBackend::with_string(svg, (800, 450)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .caption("Loss, nats a response token", ("sans-serif", 20))
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d(0.0..last, 0.0..highest * 1.05)?;
    chart.configure_mesh().x_desc("epoch").light_line_style(WHITE).draw()?;
    let (blue, orange) = (RGBColor(31, 119, 180), RGBColor(214, 98, 14));
    let key = |colour: RGBColor| {
        move |(x, y): (i32, i32)| {
            PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2))
        }
    };
    chart
        .draw_series(LineSeries::new(smooth, blue.stroke_width(2)))?
        .label("training, mean of 20 updates")
        .legend(key(blue));
    chart
        .draw_series(LineSeries::new(validation.clone(), orange.stroke_width(2)))?
        .label("validation")
        .legend(key(orange));
    chart.draw_series(validation.iter().map(|&at| Circle::new(at, 4, orange.filled())))?;
    chart.configure_series_labels().border_style(BLACK).background_style(WHITE).draw()?;
    root.present()?;
    drop(chart);
    drop(root);
    Ok(())
}
