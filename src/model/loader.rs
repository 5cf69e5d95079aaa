//! From the bytes of GGUF files to weights on a device, a few MiB at a time. [`Weights`] come out
//! only when every tensor went in whole and every hash was right.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::layout::{Layout, Needs, Route};
use super::program::{BufferId, BufferSpec};
use crate::digest::hex;
use crate::error::{Error, Result};
use crate::gguf::{Event, Header, Reader, TensorInfo};
use crate::lora::Adapter;
use crate::lora::peft::base_sha256;
use crate::quant::{self, Format};
use crate::tokenizer::{Tokenizer, TokenizerSpec};

/// A place for weights: GPU buffers, or memory.
pub trait Store {
    /// Makes the buffers, zeroed. Called once, before the first write.
    fn create(&mut self, buffers: &[BufferSpec]) -> Result<()>;
    /// Writes words at a word offset.
    fn write(&mut self, buffer: BufferId, offset_words: u64, words: &[u32]) -> Result<()>;
}

/// What is known of a file before its first byte.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// For messages.
    pub name: String,
    /// Its length, where a manifest tells.
    pub bytes: Option<u64>,
    /// Its SHA-256 in hex, where a manifest tells.
    pub sha256: Option<String>,
    /// Whether it is hashed even where nothing tells what to expect: for the record.
    pub hash: bool,
}

/// A complete, shape-checked and hash-checked set of weights in a [`Store`].
pub struct Weights<S> {
    /// Where they lie.
    pub layout: Layout,
    /// What holds them.
    pub store: S,
    /// The tokenizer that came with them.
    pub tokenizer: Tokenizer,
    /// SHA-256 of each part that was hashed.
    pub sha256: Vec<String>,
}

/// Most bytes kept while headers of other parts are outstanding.
const MAX_PENDING_BYTES: usize = 64 << 20;

/// Takes the bytes of a model's parts.
///
/// The heads of all parts must come first, in any chunking, until [`Loader::head_complete`] says so for
/// each: the layout depends on all tensors' types. After that the parts may come in any order.
pub struct Loader<S> {
    parts: Vec<PartState>,
    sink: Sink<S>,
}

struct PartState {
    part: Part,
    /// Sees the bytes first, for the header alone; gone once the layout stands.
    head: Reader,
    /// What came before the layout stood.
    pending: Vec<u8>,
    body: Reader,
    hash: Option<Sha256>,
    bytes: u64,
}

impl PartState {
    /// The hash of the bytes so far, if it is what was promised; nothing where none was asked for.
    fn verified(&self) -> Result<Option<String>> {
        let Some(hash) = self.hash.clone() else { return Ok(None) };
        let found = hex(hash.finalize());
        match &self.part.sha256 {
            Some(expected) if !found.eq_ignore_ascii_case(expected) => {
                let (name, expected) = (self.part.name.clone(), expected.clone());
                Err(Error::HashMismatch { name, expected, found })
            }
            _ => Ok(Some(found)),
        }
    }
}

/// The receiving side: what the readers' events write to.
struct Sink<S> {
    store: S,
    layout: Option<Layout>,
    /// Tensors that went in whole.
    done: BTreeSet<String>,
    codes: Vec<u32>,
    scales: Vec<u32>,
}

impl<S: Store> Loader<S> {
    /// A loader of a model that comes in these parts.
    pub fn new(store: S, parts: Vec<Part>) -> Self {
        let parts = parts
            .into_iter()
            .map(|part| PartState {
                head: Reader::new(part.name.clone()),
                body: Reader::new(part.name.clone()),
                pending: Vec::new(),
                hash: (part.hash || part.sha256.is_some()).then(Sha256::new),
                bytes: 0,
                part,
            })
            .collect();
        let (layout, done) = (None, BTreeSet::new());
        let sink = Sink { store, layout, done, codes: Vec::new(), scales: Vec::new() };
        Loader { parts, sink }
    }

    /// Whether enough of part `index` has come to know its tensors.
    pub fn head_complete(&self, index: usize) -> bool {
        self.sink.layout.is_some()
            || self.parts.get(index).is_some_and(|part| part.head.header().is_some())
    }

    /// Takes the next bytes of part `index`. With the last one its hash is checked, where a manifest
    /// tells its length.
    pub fn push(&mut self, index: usize, bytes: &[u8]) -> Result<()> {
        let count = self.parts.len();
        let part = self.parts.get_mut(index).ok_or_else(|| Error::SplitMismatch {
            what: format!("there is no part {index}, only {count}"),
        })?;
        part.bytes += bytes.len() as u64;
        if let Some(expected) = part.part.bytes.filter(|expected| part.bytes > *expected) {
            let name = part.part.name.clone();
            return Err(Error::Truncated { name, expected, found: part.bytes });
        }
        if let Some(hash) = &mut part.hash {
            hash.update(bytes);
        }
        if part.part.bytes == Some(part.bytes) {
            // As soon as it can be known, and before damaged bytes are taken for something else.
            part.verified()?;
        }
        if self.sink.layout.is_some() {
            return part.body.push(bytes, &mut |event| self.sink.take(event));
        }
        part.head.push(bytes, &mut |_| Ok(()))?;
        part.pending.extend_from_slice(bytes);
        if self.parts.iter().all(|part| part.head.header().is_some()) {
            self.lay_out()?;
            for part in &mut self.parts {
                let pending = std::mem::take(&mut part.pending);
                part.body.push(&pending, &mut |event| self.sink.take(event))?;
            }
        } else if self.parts.iter().map(|part| part.pending.len()).sum::<usize>()
            > MAX_PENDING_BYTES
        {
            return Err(Error::SplitMismatch {
                what: "the first bytes of every part must be read before the rest of any".into(),
            });
        }
        Ok(())
    }

    /// What a device must be able to do for the model, once all heads are complete.
    pub fn needs(&self) -> Option<Needs> {
        self.sink.layout.as_ref().map(Layout::needs)
    }

    fn lay_out(&mut self) -> Result<()> {
        let headers: Vec<&Header> =
            self.parts.iter().filter_map(|part| part.head.header()).collect();
        check_split(&headers)?;
        let tensors = || headers.iter().flat_map(|header| &header.tensors);
        let has_output = tensors().any(|tensor| tensor.name == "output.weight");
        let config = headers[0].config_with(has_output)?;
        let layout = Layout::new(&config, tensors())?;
        self.sink.store.create(&layout.buffers)?;
        self.sink.layout = Some(layout);
        Ok(())
    }

    /// The weights, if all of them came.
    pub fn finish(self) -> Result<Weights<S>> {
        let mut sha256 = Vec::new();
        for part in &self.parts {
            let name = || part.part.name.clone();
            if let Some(expected) = part.part.bytes.filter(|expected| part.bytes < *expected) {
                return Err(Error::Truncated { name: name(), expected, found: part.bytes });
            }
            sha256.extend(part.verified()?);
            let reader = if self.sink.layout.is_some() { &part.body } else { &part.head };
            reader.finish()?;
        }
        let (Some(layout), Some(first)) = (self.sink.layout, self.parts.first()) else {
            return Err(Error::SplitMismatch { what: "the model has no parts".into() });
        };
        if let Some(tensor) = layout.routes.keys().find(|name| !self.sink.done.contains(*name)) {
            return Err(Error::MissingTensor { tensor: tensor.clone() });
        }
        let header = first.head.header().ok_or_else(|| Error::Internal("no header".into()))?;
        let tokenizer = Tokenizer::from_spec(TokenizerSpec::from_header(header)?)?;
        let (tokens, model) = (tokenizer.vocab_size(), layout.config.vocab_size as usize);
        if tokens != model {
            return Err(Error::VocabularyMismatch { tokenizer: tokens, model });
        }
        Ok(Weights { layout, store: self.sink.store, tokenizer, sha256 })
    }
}

impl<S: Store> Sink<S> {
    fn take(&mut self, event: Event<'_>) -> Result<()> {
        match event {
            Event::Header(_) => Ok(()),
            Event::Rows { tensor, first_row, bytes } => self.rows(tensor, first_row, bytes),
            Event::TensorEnd(tensor) => {
                self.done.insert(tensor.name.clone());
                Ok(())
            }
        }
    }

    fn rows(&mut self, tensor: &TensorInfo, first_row: u64, bytes: &[u8]) -> Result<()> {
        let layout =
            self.layout.as_ref().ok_or_else(|| Error::Internal("rows before layout".into()))?;
        self.codes.clear();
        self.scales.clear();
        match layout.route(&tensor.name)? {
            None => Ok(()),
            Some(Route::Vector(buffer, len)) => {
                let format = Format::F32;
                let (codes, scales) = (&mut self.codes, &mut self.scales);
                quant::repack(tensor.ty, format, len, bytes, &tensor.name, codes, scales)?;
                self.store.write(buffer, first_row * u64::from(len), &self.codes)
            }
            Some(Route::Rows(matrix, row)) => {
                let (format, cols) = (matrix.format, matrix.cols);
                let (codes, scales) = (&mut self.codes, &mut self.scales);
                quant::repack(tensor.ty, format, cols, bytes, &tensor.name, codes, scales)?;
                let row = u64::from(row) + first_row;
                let at = |per_row: u32| row * u64::from(per_row);
                self.store.write(matrix.codes, at(format.code_words(cols)), &self.codes)?;
                if format.has_scales() {
                    self.store.write(matrix.scales, at(format.scale_words(cols)), &self.scales)?;
                }
                Ok(())
            }
        }
    }
}

/// Parts must be one split, whole and in order.
fn check_split(headers: &[&Header]) -> Result<()> {
    let mismatch = |what: String| Err(Error::SplitMismatch { what });
    let mut tensors_expected = BTreeMap::new();
    for (index, header) in headers.iter().enumerate() {
        match header.split()? {
            None if headers.len() == 1 => {}
            None => return mismatch(format!("{} is not part of a split", header.name)),
            Some(split) => {
                if split.count as usize != headers.len() {
                    return mismatch(format!(
                        "{} belongs to a split of {} parts, but {} were given",
                        header.name,
                        split.count,
                        headers.len()
                    ));
                }
                if split.no as usize != index {
                    return mismatch(format!(
                        "{} is part {} of the split, but came as part {index}",
                        header.name, split.no
                    ));
                }
                tensors_expected.insert(split.tensors_count, &header.name);
            }
        }
    }
    let found: usize = headers.iter().map(|header| header.tensors.len()).sum();
    match tensors_expected.keys().find(|expected| **expected as usize != found) {
        Some(expected) => mismatch(format!("{expected} tensors are announced, {found} are there")),
        None => Ok(()),
    }
}

/// Whether an adapter was trained on the base whose parts have these hashes, as far as both sides know.
///
/// # Errors
/// [`Error::OtherBase`].
pub fn check_base(adapter: &Adapter, parts: &[String]) -> Result<()> {
    if parts.is_empty() { Ok(()) } else { adapter.check_base(&base_sha256(parts)) }
}
