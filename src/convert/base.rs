//! What adapters are merged into.

use std::io::{Read, Seek};

use super::SourceTensor;
use super::requantize::Source;
use crate::config::LlamaConfig;
use crate::error::Result;
use crate::gguf::{Header, TensorInfo, Value};
use crate::lora::peft::base_sha256;

/// A model that was found complete, its weights not yet read: a Hugging Face checkpoint or GGUF
/// files. `R` reads and seeks.
pub struct Base<R> {
    pub(super) config: LlamaConfig,
    pub(super) files: Vec<R>,
    /// SHA-256 of each file.
    pub(super) hashes: Vec<String>,
    /// What it is, for the provenance.
    pub(super) from: String,
    pub(super) metadata: Vec<(String, Value)>,
    pub(super) tensors: Vec<SourceTensor>,
}

impl<R: Read + Seek> Base<R> {
    /// A GGUF file, or all files of a split in order. `names` are the files' names.
    ///
    /// # Errors
    /// What is wrong with the files, or a model that is not supported.
    pub fn gguf(mut files: Vec<R>, names: &[&str]) -> Result<Base<R>> {
        let Source { metadata, tensors, hashes } = Source::read(&mut files, names)?;
        let has_output = tensors.iter().any(|tensor| tensor.name == "output.weight");
        let header = Header {
            name: names.first().copied().unwrap_or("").to_owned(),
            version: 3,
            metadata,
            tensors: tensors.iter().map(info).collect(),
            alignment: 0,
            data_offset: 0,
        };
        let config = header.config_with(has_output)?;
        let from = format!("GGUF {}", header.name).trim_end().to_owned();
        Ok(Base { config, files, hashes, from, metadata: header.metadata, tensors })
    }
}

fn info(tensor: &SourceTensor) -> TensorInfo {
    let SourceTensor { name, ty, dims, offset, .. } = tensor;
    TensorInfo { name: name.clone(), ty: *ty, dims: dims.clone(), offset: *offset }
}

impl<R> Base<R> {
    /// The model's shape, which adapters must fit.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// SHA-256 of each weight file, in order.
    pub fn hashes(&self) -> &[String] {
        &self.hashes
    }

    /// What adapters know the base by: [`base_sha256`] of its weight files.
    pub fn sha256(&self) -> String {
        base_sha256(&self.hashes)
    }
}
