//! Arguments that several subcommands share, and where text and models come from.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use radllama::engine::GenerateOptions;
use radllama::eval::{Options, bootstrap};
use radllama::manifest::Decoding;
use radllama::native::{AdapterSource, ModelFiles};
use radllama::sampler::Sampling;
use radllama::{Error, Result};

/// What runs the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// The best adapter: Vulkan, Metal or DX12.
    Gpu,
    /// The kernels' CPU twins: slow, the measure of the GPU's.
    Cpu,
}

/// Which model, where, how long a context.
#[derive(Debug, Clone, Args)]
pub(crate) struct ModelArgs {
    /// A GGUF file, the first file of a split, or a manifest. Without it weights/manifest.json is looked
    /// for in the folders of the program, of the caller and above both, then where it was built.
    #[arg(long, value_name = "PATH")]
    pub(crate) model: Option<PathBuf>,
    /// A folder with a PEFT adapter (adapter_config.json, adapter_model.safetensors) to run the model
    /// with, in place of the manifest's.
    #[arg(long, value_name = "DIR")]
    pub(crate) adapter: Option<PathBuf>,
    /// Run the base alone, whatever the manifest says.
    #[arg(long, conflicts_with = "adapter")]
    pub(crate) no_adapter: bool,
    /// Context in tokens; usually the smaller of the model's own and 1024.
    #[arg(long, value_name = "N")]
    pub(crate) context: Option<u32>,
    /// What runs the model.
    #[arg(long, value_enum, default_value_t = Backend::Gpu)]
    pub(crate) backend: Backend,
}

impl ModelArgs {
    /// Opens the model, or the default.
    pub(crate) fn open(&self) -> Result<ModelFiles> {
        let mut files = match &self.model {
            Some(path) => ModelFiles::open(path)?,
            None => ModelFiles::open(&default_model()?)?,
        };
        files.adapter = match &self.adapter {
            Some(folder) => AdapterSource::Folder(folder.clone()),
            None if self.no_adapter => AdapterSource::None,
            None => AdapterSource::Manifest,
        };
        Ok(files)
    }
}

impl ModelArgs {
    /// The same without an adapter, of another model if one is given.
    pub(crate) fn base(&self, model: Option<&Path>) -> ModelArgs {
        let model = model.map(Path::to_owned).or_else(|| self.model.clone());
        ModelArgs { model, adapter: None, no_adapter: true, ..self.clone() }
    }
}

/// The default model's manifest: in `weights/` beside the program or above it (a build in the
/// repository, an unpacked release), of the current folder or above it, or where this was built.
pub(crate) fn default_model() -> Result<PathBuf> {
    let program = std::env::current_exe().ok().and_then(|path| path.canonicalize().ok());
    let here = std::env::current_dir().ok();
    let built = Path::new(env!("CARGO_MANIFEST_DIR"));
    program
        .iter()
        .flat_map(|path| path.ancestors().skip(1))
        .chain(here.iter().flat_map(|path| path.ancestors()))
        .chain([built])
        .map(|folder| folder.join("weights/manifest.json"))
        .find(|path| path.is_file())
        .ok_or_else(|| Error::Io {
            path: "weights/manifest.json".into(),
            reason: "no default model was found; pass one with --model PATH".into(),
        })
}

/// How to choose tokens, and how many.
#[derive(Debug, Clone, Args)]
pub(crate) struct SamplingArgs {
    /// Most tokens to write; without it as the model's manifest says for impressions, or 128.
    #[arg(long, value_name = "N")]
    max_new_tokens: Option<u32>,
    /// 0 always takes the likeliest token.
    #[arg(long, value_name = "T", default_value_t = 0.0, allow_negative_numbers = true)]
    temperature: f32,
    /// Choose among the N likeliest tokens; 0: among all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    top_k: u32,
    /// Choose among the likeliest tokens that together reach this probability.
    #[arg(long, value_name = "P", default_value_t = 1.0, allow_negative_numbers = true)]
    top_p: f32,
    /// Drop tokens less likely than P times the likeliest.
    #[arg(long, value_name = "P", default_value_t = 0.0, allow_negative_numbers = true)]
    min_p: f32,
    /// Makes tokens that already occurred less likely; 1: no change.
    #[arg(long, value_name = "R", default_value_t = 1.0, allow_negative_numbers = true)]
    repetition_penalty: f32,
    /// Follow N texts side by side and keep the best, 8 at most; 1: no beam search. Without it as the
    /// model's manifest says for impressions, or 1.
    #[arg(long, value_name = "N")]
    beams: Option<u32>,
    /// With beams: summed log-probability over length to this power is what a text is worth.
    #[arg(long, value_name = "A", allow_negative_numbers = true)]
    length_penalty: Option<f32>,
    /// With beams: no N tokens in a row are written twice; 0: any may be.
    #[arg(long, value_name = "N")]
    no_repeat_ngram: Option<u32>,
    /// With beams: report the N best texts in --json.
    #[arg(long, value_name = "N", default_value_t = 1)]
    n_best: u32,
    /// The same seed gives the same text.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

impl SamplingArgs {
    /// As the engine wants it; where the caller says nothing, as `decoding` does.
    pub(crate) fn options(&self, decoding: Option<Decoding>) -> GenerateOptions {
        let options = GenerateOptions {
            sampling: Sampling {
                temperature: self.temperature,
                top_k: self.top_k,
                top_p: self.top_p,
                min_p: self.min_p,
                repetition_penalty: self.repetition_penalty,
                seed: self.seed,
            },
            n_best: self.n_best,
            ..GenerateOptions::default()
        };
        let asked = Decoding {
            beams: self.beams,
            length_penalty: self.length_penalty,
            no_repeat_ngram: self.no_repeat_ngram,
            max_new_tokens: self.max_new_tokens,
        };
        options.decoded(decoding, asked)
    }
}

/// The text of an argument; `-` is stdin.
pub(crate) fn text_or_stdin(text: &str) -> Result<String> {
    if text == "-" { read_text(Path::new("-")) } else { Ok(text.to_owned()) }
}

/// The text of a file; `-` is stdin.
///
/// # Errors
/// [`Error::Io`]; [`Error::BadText`] for what is not UTF-8, naming the place and not the text.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes).map(drop)
    } else {
        std::fs::read(path).map(|read| bytes = read)
    };
    let shown = if path == Path::new("-") { Path::new("stdin") } else { path };
    read.map_err(|error| Error::io(shown, &error))?;
    String::from_utf8(bytes).map_err(|error| Error::BadText {
        what: format!("is not UTF-8 at byte {}", error.utf8_error().valid_up_to() + 1),
    })
}

/// `DIR` or `DIR=WEIGHT`, of an adapter.
pub(crate) fn adapter_and_weight(text: &str) -> Result<(PathBuf, Option<f32>)> {
    let Some((folder, weight)) = text.rsplit_once('=') else { return Ok((text.into(), None)) };
    let number = weight.parse().ok().filter(|weight: &f32| weight.is_finite());
    let number = number.ok_or_else(|| Error::BadOption {
        option: "the adapter's weight",
        value: weight.to_owned(),
        expected: "a number, as in DIR=0.5",
    })?;
    Ok((folder.into(), Some(number)))
}

/// How outputs are scored.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ScoringArgs {
    /// Compare words instead of their stems.
    #[arg(long)]
    no_stemmer: bool,
    /// Draws of the bootstrap.
    #[arg(long, value_name = "N", default_value_t = bootstrap::RESAMPLES)]
    resamples: usize,
    /// Seed of the bootstrap.
    #[arg(long, value_name = "N", default_value_t = 0)]
    bootstrap_seed: u64,
}

impl ScoringArgs {
    pub(crate) fn options(self) -> Options {
        Options { stemmer: !self.no_stemmer, resamples: self.resamples, seed: self.bootstrap_seed }
    }
}

/// `NAME=FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedFile {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

impl std::str::FromStr for NamedFile {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<NamedFile, String> {
        match text.split_once('=') {
            Some((name, path)) if !name.is_empty() && !path.is_empty() => {
                Ok(NamedFile { name: name.to_owned(), path: path.into() })
            }
            _ => Err("write NAME=FILE".to_owned()),
        }
    }
}

impl NamedFile {
    /// Each name with all its files, in the order in which the names come first.
    pub(crate) fn joined(files: &[NamedFile]) -> Vec<(&str, Vec<PathBuf>)> {
        let mut joined: Vec<(&str, Vec<PathBuf>)> = Vec::new();
        for NamedFile { name, path } in files {
            match joined.iter_mut().find(|(known, _)| known == name) {
                Some((_, paths)) => paths.push(path.clone()),
                None => joined.push((name, vec![path.clone()])),
            }
        }
        joined
    }
}
