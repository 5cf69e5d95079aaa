//! Models from the file system: a GGUF file, the first file of a split, or a manifest, memory-mapped
//! and loaded onto the GPU or into the CPU executor. For programs; the browser streams instead.

mod checkpoint;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;

use memmap2::Mmap;

pub use checkpoint::{checkpoint_config, load_checkpoint, open_checkpoint, read_peft};

use crate::config::LlamaConfig;
use crate::cpu::{CpuExecutor, CpuStore};
use crate::digest;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::gguf::{Header, MAGIC, TensorInfo, part_name, read_header};
use crate::gpu::{Gpu, GpuExecutor, GpuStore, Kernels};
use crate::lora::Adapter;
use crate::manifest::{Manifest, ManifestFile};
use crate::model::loader::{Part, Store};
use crate::model::{Executor, Layout, Loader, Weights};
use crate::prompt::Template;
use crate::quant::{self, Format};
use crate::tokenizer::{Tokenizer, TokenizerSpec};

/// Context where neither caller nor manifest asks for one (or the model's own, where that is less).
pub const DEFAULT_CONTEXT: u32 = 1024;
/// Bytes handed to the loader at a time, and between two waits for the device.
const PIECE_BYTES: usize = 4 << 20;
const FLUSH_BYTES: usize = 32 << 20;
/// Longest prefill step on a GPU, in tokens: what the activations are made for.
pub const GPU_CHUNK: u32 = 256;
/// The same on the CPU.
const CPU_CHUNK: u32 = 64;

/// Milliseconds since the first call: the engine's clock.
pub fn clock_ms() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64() * 1e3
}

/// The files of one model, mapped but not yet read.
#[derive(Debug)]
pub struct ModelFiles {
    /// The manifest, where the model was opened through one.
    pub manifest: Option<Manifest>,
    /// Which adapter the executors get.
    pub adapter: AdapterSource,
    /// Where the manifest's paths begin.
    folder: PathBuf,
    parts: Vec<PartFile>,
}

/// Which adapter a model is run with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AdapterSource {
    /// The manifest's, if it has one.
    #[default]
    Manifest,
    /// That in a folder, as PEFT writes it.
    Folder(PathBuf),
    /// None: the base alone.
    None,
}

#[derive(Debug)]
struct PartFile {
    path: PathBuf,
    part: Part,
    map: Mmap,
}

impl ModelFiles {
    /// Opens a GGUF file, all parts of a split by its first file, or the files of a manifest.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::NotGguf`]; [`Error::BadManifest`]; [`Error::SplitMismatch`] for a part
    /// that is not the first, or when another part is not there; what is wrong with a header.
    pub fn open(path: &Path) -> Result<ModelFiles> {
        let first = PartFile::open(path, Part { name: name_of(path), ..Part::default() })?;
        let text = first.map.trim_ascii_start();
        if !first.map.starts_with(&MAGIC) && text.starts_with(b"{") {
            return Self::from_manifest(path, Manifest::parse(text)?);
        }
        let header = read_header(first.part.name.clone(), &first.map)?;
        let mut parts = vec![first];
        if let Some(split) = header.split()?.filter(|split| split.count > 1) {
            let (no, count) = (split.no as usize, split.count as usize);
            let name = name_of(path);
            let suffix = part_name("", no, count);
            let stem = name.strip_suffix(&suffix).ok_or_else(|| Error::SplitMismatch {
                what: format!("{name} is part {} of {count}; give it back a name that ends in {suffix}, so that the others are found", no + 1),
            })?;
            if no != 0 {
                let what = format!(
                    "{name} is part {} of {count}; pass the first, {}",
                    no + 1,
                    part_name(stem, 0, count)
                );
                return Err(Error::SplitMismatch { what });
            }
            for no in 1..count {
                let name = part_name(stem, no, count);
                let path = path.with_file_name(&name);
                if !path.exists() {
                    let what = format!("{name} is missing; put all {count} parts into one folder");
                    return Err(Error::SplitMismatch { what });
                }
                parts.push(PartFile::open(&path, Part { name, ..Part::default() })?);
            }
        }
        let (folder, adapter) = (PathBuf::new(), AdapterSource::default());
        Ok(ModelFiles { manifest: None, adapter, folder, parts })
    }

    fn from_manifest(path: &Path, manifest: Manifest) -> Result<ModelFiles> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let parts = manifest
            .files
            .iter()
            .map(|file| {
                let part = Part {
                    name: file.path.clone(),
                    bytes: Some(file.bytes),
                    sha256: Some(file.sha256.clone()),
                    ..Part::default()
                };
                PartFile::open(&folder.join(&file.path), part)
            })
            .collect::<Result<_>>()?;
        let (folder, adapter) = (folder.to_owned(), AdapterSource::default());
        Ok(ModelFiles { manifest: Some(manifest), adapter, folder, parts })
    }

    /// What to call the model: the manifest's name, or that of its first file.
    pub fn name(&self) -> String {
        match &self.manifest {
            Some(manifest) => manifest.name.clone(),
            None => self.parts.first().map(|part| part.part.name.clone()).unwrap_or_default(),
        }
    }

    /// The files in order, with their lengths in bytes.
    pub fn files(&self) -> impl Iterator<Item = (&Path, u64)> {
        self.parts.iter().map(|part| (part.path.as_path(), part.map.len() as u64))
    }

    /// The files' names and the files, opened to be read from their beginning.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sources(&self) -> Result<(Vec<String>, Vec<File>)> {
        let open = |path| File::open(path).map_err(|error| Error::io(path, &error));
        self.files().map(|(path, _)| Ok((name_of(path), open(path)?))).collect()
    }

    /// Bytes of all files together.
    pub fn total_bytes(&self) -> u64 {
        self.files().map(|(_, bytes)| bytes).sum()
    }

    /// The headers of all parts.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn headers(&self) -> Result<Vec<Header>> {
        self.parts.iter().map(|part| read_header(part.part.name.clone(), &part.map)).collect()
    }

    /// The shape of the model.
    ///
    /// # Errors
    /// What is wrong with a header.
    pub fn config(&self) -> Result<LlamaConfig> {
        let headers = self.headers()?;
        let names = || headers.iter().flat_map(|header| &header.tensors);
        let has_output = names().any(|tensor| tensor.name == "output.weight");
        let first = headers.first().ok_or_else(|| Error::Internal("no parts".into()))?;
        first.config_with(has_output)
    }

    /// One tensor as f32, row after row; `headers` are [`ModelFiles::headers`].
    ///
    /// # Errors
    /// [`Error::MissingTensor`]; [`Error::Truncated`]; what is wrong with its values.
    pub fn tensor(&self, headers: &[Header], name: &str) -> Result<(TensorInfo, Vec<f32>)> {
        for (part, header) in self.parts.iter().zip(headers) {
            let Some(tensor) = header.tensors.iter().find(|tensor| tensor.name == name) else {
                continue;
            };
            let start = header.data_offset + tensor.offset;
            let row = tensor.ty.row_bytes(tensor.cols()).unwrap_or(0);
            let end = start.saturating_add(row.saturating_mul(tensor.rows()));
            let bytes = part.map.get(start as usize..end as usize).ok_or_else(|| {
                let (name, found) = (part.part.name.clone(), part.map.len() as u64);
                Error::Truncated { name, expected: end, found }
            })?;
            let (mut words, mut scales) = (Vec::new(), Vec::new());
            let cols = tensor.cols() as u32;
            quant::repack(tensor.ty, Format::F32, cols, bytes, name, &mut words, &mut scales)?;
            return Ok((tensor.clone(), words.into_iter().map(f32::from_bits).collect()));
        }
        Err(Error::MissingTensor { tensor: name.to_owned() })
    }

    /// The tokenizer alone. A file with a vocabulary and no weights will do.
    ///
    /// # Errors
    /// What is wrong with the first part's header or its vocabulary.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        let first = self.parts.first().ok_or_else(|| Error::Internal("no parts".into()))?;
        let header = read_header(first.part.name.clone(), &first.map)?;
        Tokenizer::from_spec(TokenizerSpec::from_header(&header)?)
    }

    /// The prompt template: the manifest's, or else [`Template::of`] the tokenizer.
    ///
    /// # Errors
    /// [`Error::BadManifest`].
    pub fn template(&self, tokenizer: &Tokenizer) -> Result<Template> {
        if let Some(manifest) = &self.manifest {
            return manifest.template();
        }
        Ok(Template::of(tokenizer))
    }

    /// The context to run with, in tokens: `asked`, or the manifest's, or [`DEFAULT_CONTEXT`], the
    /// latter two no more than the model's own.
    pub fn context(&self, asked: Option<u32>, layout: &Layout) -> u32 {
        let usual = self.manifest.as_ref().and_then(|m| m.context).unwrap_or(DEFAULT_CONTEXT);
        asked.unwrap_or(usual.min(layout.config.max_position_embeddings))
    }

    /// Reads everything into a store. `progress` hears of bytes done and in total; `flush` is called
    /// every few MiB.
    ///
    /// # Errors
    /// What is wrong with the files, as [`Loader`] finds it.
    pub fn load<S: Store>(
        &self,
        store: S,
        progress: &mut dyn FnMut(u64, u64),
        flush: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Weights<S>> {
        let mut loader =
            Loader::new(store, self.parts.iter().map(|part| part.part.clone()).collect());
        let mut taken = vec![0; self.parts.len()];
        let (mut done, total) = (0, self.total_bytes());
        let mut unflushed = 0;
        for heads in [true, false] {
            for (index, part) in self.parts.iter().enumerate() {
                while taken[index] < part.map.len() && !(heads && loader.head_complete(index)) {
                    let end = part.map.len().min(taken[index] + PIECE_BYTES);
                    let bytes = &part.map[taken[index]..end];
                    loader.push(index, bytes)?;
                    taken[index] = end;
                    done += bytes.len() as u64;
                    unflushed += bytes.len();
                    if unflushed >= FLUSH_BYTES {
                        flush()?;
                        unflushed = 0;
                    }
                    progress(done, total);
                }
            }
        }
        flush()?;
        loader.finish()
    }

    /// The adapter that [`ModelFiles::adapter`] asks for, for a model of this shape.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::HashMismatch`] against the manifest; what [`Adapter::from_peft`] finds.
    pub fn read_adapter(&self, config: &LlamaConfig) -> Result<Option<Adapter>> {
        let (settings, weights) = match (&self.adapter, &self.manifest) {
            (AdapterSource::Folder(folder), _) => read_peft(folder)?,
            (AdapterSource::Manifest, Some(Manifest { adapter: Some(adapter), .. })) => {
                (self.read_checked(&adapter.config)?, self.read_checked(&adapter.weights)?)
            }
            _ => return Ok(None),
        };
        Adapter::from_peft(&settings, &weights, config).map(Some)
    }

    fn read_checked(&self, file: &ManifestFile) -> Result<Vec<u8>> {
        let bytes = read(&self.folder.join(&file.path))?;
        file.check(&bytes)?;
        Ok(bytes)
    }

    /// The SHA-256 of each part: from the manifest, or else of the bytes.
    pub fn sha256(&self) -> Vec<String> {
        let digest = |part: &PartFile| digest::sha256(&part.map);
        let known = |part: &PartFile| part.part.sha256.clone().unwrap_or_else(|| digest(part));
        self.parts.iter().map(known).collect()
    }

    /// The adapter, and the base's hashes where it asks for them and the loader had none to check.
    fn adapter_for<S>(&self, weights: &mut Weights<S>) -> Result<Option<Adapter>> {
        let adapter = self.read_adapter(&weights.layout.config)?;
        if adapter.as_ref().is_some_and(|adapter| adapter.base_sha256.is_some())
            && weights.sha256.is_empty()
        {
            weights.sha256 = self.sha256();
        }
        Ok(adapter)
    }

    /// An executor on a GPU, with the kernels that were proven there, and with the adapter if there is
    /// one.
    ///
    /// # Errors
    /// What is wrong with the files; a model too large for the device; kernels that compute wrongly.
    pub fn gpu_executor(
        &self,
        gpu: &Gpu,
        context: Option<u32>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(GpuExecutor, Tokenizer, Kernels)> {
        let mut flush = || pollster::block_on(GpuStore::flush(gpu));
        let mut weights = self.load(GpuStore::new(gpu), progress, &mut flush)?;
        let kernels = pollster::block_on(gpu.prove(&weights.layout.needs(), |_, _| {}))?;
        let context = self.context(context, &weights.layout);
        let chunk = GPU_CHUNK.min(context);
        let adapter = self.adapter_for(&mut weights)?;
        let mut executor =
            pollster::block_on(GpuExecutor::new(&mut weights, &kernels, context, chunk))?;
        if adapter.is_some() {
            pollster::block_on(executor.set_adapter(adapter.as_ref()))?;
        }
        Ok((executor, weights.tokenizer, kernels))
    }

    /// An executor over the kernels' CPU twins, with the adapter if there is one: slow, exact.
    ///
    /// # Errors
    /// What is wrong with the files, or too little memory.
    pub fn cpu_executor(
        &self,
        context: Option<u32>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(CpuExecutor, Tokenizer)> {
        let mut weights = self.load(CpuStore::default(), progress, &mut || Ok(()))?;
        let context = self.context(context, &weights.layout);
        let adapter = self.adapter_for(&mut weights)?;
        let mut executor = CpuExecutor::new(&mut weights, context, CPU_CHUNK.min(context))?;
        if adapter.is_some() {
            pollster::block_on(executor.set_adapter(adapter.as_ref()))?;
        }
        Ok((executor, weights.tokenizer))
    }

    /// An engine over what [`ModelFiles::gpu_executor`] or [`ModelFiles::cpu_executor`] gave.
    ///
    /// # Errors
    /// [`Error::BadManifest`].
    pub fn engine<E: Executor>(&self, executor: E, tokenizer: Tokenizer) -> Result<Engine<E>> {
        let template = self.template(&tokenizer)?;
        Ok(Engine::new(executor, tokenizer, template, clock_ms))
    }
}

impl PartFile {
    #[allow(unsafe_code, reason = "mapping a file is unsafe in Rust whatever one does")]
    fn open(path: &Path, part: Part) -> Result<PartFile> {
        let io = |error: std::io::Error| Error::io(path, &error);
        let file = File::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.is_dir() {
            let reason = "is a folder; pass a .gguf file or a manifest".to_owned();
            return Err(Error::Io { path: path.display().to_string(), reason });
        }
        // SAFETY: the map is only read. Should another program cut the file short meanwhile, the
        // process ends with a signal; it cannot go on with wrong weights, whose bytes are checked on
        // the one pass over them.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        Ok(PartFile { path: path.to_owned(), part, map })
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::io(path, &error))
}

fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}
