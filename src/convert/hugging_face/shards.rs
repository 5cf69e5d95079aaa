//! Safetensors files and the index of their shards.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Seek, SeekFrom};

use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde::Deserialize;

use super::bad;
use crate::convert::read_at;
use crate::error::{Error, Result};
use crate::gguf::TensorType;

/// Longest header that is believed; the format's own limit.
const MAX_HEADER: u64 = 100_000_000;

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Index {
    fn parse(json: &[u8]) -> Result<Index> {
        serde_json::from_slice(json)
            .map_err(|e| bad(format!("model.safetensors.index.json is not understood ({e})")))
    }
}

/// The names of the files that an index speaks of, in order. None leaves the index's folder.
///
/// # Errors
/// [`Error::BadCheckpoint`].
pub fn shard_names(index: &[u8]) -> Result<Vec<String>> {
    let mut names: Vec<String> = Index::parse(index)?.weight_map.into_values().collect();
    names.sort_unstable();
    names.dedup();
    match names.iter().find(|name| name.contains(['/', '\\', ':']) || name.starts_with('.')) {
        Some(name) => Err(bad(format!("the index names {name:?}, which is no plain file name"))),
        None if names.is_empty() => Err(bad("the index names no files")),
        None => Ok(names),
    }
}

/// Where a tensor lies.
pub(super) struct Found {
    pub(super) ty: TensorType,
    pub(super) file: usize,
    pub(super) offset: u64,
}

struct Entry {
    dtype: Dtype,
    shape: Vec<u64>,
    file: usize,
    offset: u64,
}

/// All tensors of a checkpoint that nobody has taken yet.
pub(super) struct Shards {
    entries: HashMap<String, Entry>,
}

impl Shards {
    /// Reads the headers of all files, which must hold exactly what the index says.
    pub(super) fn open<R: Read + Seek>(
        files: &mut [R],
        names: &[&str],
        index: Option<&[u8]>,
    ) -> Result<Shards> {
        let index = index.map(Index::parse).transpose()?;
        let mut entries = HashMap::new();
        for (no, file) in files.iter_mut().enumerate() {
            let name = names.get(no).copied().unwrap_or("a shard");
            let (header, data) = header(file, name)?;
            for (tensor, info) in header.tensors() {
                if let Some(index) = &index {
                    match index.weight_map.get(tensor.as_str()) {
                        Some(home) if home == name => {}
                        _ => return Err(Error::UnexpectedTensor { tensor: tensor.to_string() }),
                    }
                }
                let entry = Entry {
                    dtype: info.dtype,
                    shape: info.shape.iter().map(|&n| n as u64).collect(),
                    file: no,
                    offset: data + info.data_offsets.0 as u64,
                };
                if entries.insert(tensor.to_string(), entry).is_some() {
                    return Err(Error::DuplicateTensor { tensor: tensor.to_string() });
                }
            }
        }
        let listed = index.iter().flat_map(|index| index.weight_map.keys());
        if let Some(missing) = listed.into_iter().find(|&name| !entries.contains_key(name)) {
            return Err(Error::MissingTensor { tensor: missing.clone() });
        }
        Ok(Shards { entries })
    }

    /// Takes a tensor of exactly this shape, rows first.
    pub(super) fn take(&mut self, name: &str, shape: &[u64]) -> Result<Found> {
        let tensor = || name.to_owned();
        let entry =
            self.entries.remove(name).ok_or_else(|| Error::MissingTensor { tensor: tensor() })?;
        if entry.shape != shape {
            let (expected, found) = (shape.to_vec(), entry.shape);
            return Err(Error::WrongShape { tensor: tensor(), expected, found });
        }
        let ty = match entry.dtype {
            Dtype::F32 => TensorType::F32,
            Dtype::F16 => TensorType::F16,
            Dtype::BF16 => TensorType::BF16,
            other => {
                return Err(bad(format!(
                    "tensor {name} has type {other:?}, but must be F32, F16 or BF16"
                )));
            }
        };
        Ok(Found { ty, file: entry.file, offset: entry.offset })
    }

    /// Refuses what nobody took, but for the rotary frequencies of old checkpoints, which the
    /// configuration gives.
    pub(super) fn finish(self) -> Result<()> {
        let mut left: Vec<String> = self.entries.into_keys().collect();
        left.retain(|name| !name.ends_with(".self_attn.rotary_emb.inv_freq"));
        left.sort_unstable();
        match left.into_iter().next() {
            Some(tensor) => Err(Error::UnexpectedTensor { tensor }),
            None => Ok(()),
        }
    }
}

/// The header of a file, and where its data begin.
fn header(file: &mut (impl Read + Seek), name: &str) -> Result<(Metadata, u64)> {
    let length = file.seek(SeekFrom::End(0)).map_err(|error| Error::io(name, &error))?;
    let truncated =
        |expected: u64| Error::Truncated { name: name.to_owned(), expected, found: length };
    if length < 8 {
        return Err(truncated(8));
    }
    let mut size = [0; 8];
    read_at(file, name, 0, &mut size)?;
    let size = u64::from_le_bytes(size);
    if size > MAX_HEADER {
        return Err(bad(format!("{name} announces a header of {size} bytes")));
    }
    if length < 8 + size {
        return Err(truncated(8 + size));
    }
    let mut json = vec![0; size as usize];
    read_at(file, name, 8, &mut json)?;
    let header: Metadata = serde_json::from_slice(&json)
        .map_err(|error| bad(format!("the header of {name} is damaged ({error})")))?;
    let expected = 8 + size + header.data_len() as u64;
    match length.cmp(&expected) {
        std::cmp::Ordering::Less => Err(truncated(expected)),
        std::cmp::Ordering::Greater => {
            Err(bad(format!("{name} has {length} bytes, but its header speaks of {expected}")))
        }
        std::cmp::Ordering::Equal => Ok((header, 8 + size)),
    }
}
