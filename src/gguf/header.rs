//! What a GGUF file says about itself: metadata, tensors, split.

use super::types::TensorInfo;
use super::value::{Array, Value};
use crate::error::{Error, Result};

/// Everything before the data section of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// The file's name, for messages.
    pub name: String,
    /// GGUF version, 2 or 3.
    pub version: u32,
    /// Keys and values in the file's order.
    pub metadata: Vec<(String, Value)>,
    /// Tensors in the file's order.
    pub tensors: Vec<TensorInfo>,
    /// Alignment of tensor data in bytes.
    pub alignment: u64,
    /// First byte of the data section, counted from the start of the file.
    pub data_offset: u64,
}

/// Which part of a split a file is, as llama.cpp's `gguf-split` writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// Number of this part, from 0.
    pub no: u32,
    /// Number of parts.
    pub count: u32,
    /// Number of tensors in all parts together.
    pub tensors_count: u32,
}

impl Header {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.iter().find(|(k, _)| k == key).map(|(_, value)| value)
    }

    /// An integer of any width that fits in u32.
    pub fn u32(&self, key: &str) -> Result<u32> {
        self.require(key, "an unsigned integer", |value| u32::try_from(value.as_u64()?).ok())
    }

    /// A float.
    pub fn f32(&self, key: &str) -> Result<f32> {
        self.require(key, "a float", Value::as_f32)
    }

    /// A truth value.
    pub fn bool(&self, key: &str) -> Result<bool> {
        self.require(key, "a bool", Value::as_bool)
    }

    /// A string.
    pub fn str(&self, key: &str) -> Result<&str> {
        self.require(key, "a string", Value::as_str)
    }

    /// An array.
    pub fn array(&self, key: &str) -> Result<&Array> {
        self.require(key, "an array", Value::as_array)
    }

    /// An array of strings.
    pub fn strings(&self, key: &str) -> Result<&[String]> {
        self.require(key, "an array of strings", |value| value.as_array()?.as_strings())
    }

    fn require<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T> {
        self.get(key)
            .and_then(convert)
            .ok_or_else(|| Error::MissingMetadata { key: key.to_owned(), expected })
    }

    /// `Ok(None)` for an absent key, an error for one of another type.
    pub(super) fn optional<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        if self.get(key).is_none() {
            return Ok(None);
        }
        self.require(key, expected, convert).map(Some)
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// Length of the file: the end of its last tensor, without trailing padding.
    pub fn file_bytes(&self) -> u64 {
        let data = self.tensors.iter().map(|t| t.offset.saturating_add(t.bytes())).max();
        self.data_offset.saturating_add(data.unwrap_or(0))
    }

    /// Which part of a split this file is; `None` for a file that is not split.
    ///
    /// # Errors
    /// [`Error::SplitMismatch`] when the keys are incomplete or contradict each other.
    pub fn split(&self) -> Result<Option<Split>> {
        let read = |key: &str| {
            self.optional(key, "an unsigned integer", |v| u32::try_from(v.as_u64()?).ok())
        };
        let (Some(count), no, tensors_count) =
            (read("split.count")?, read("split.no")?, read("split.tensors.count")?)
        else {
            return Ok(None);
        };
        if count == 0 {
            return Ok(None);
        }
        let bad = |what: String| Err(Error::SplitMismatch { what });
        let (Some(no), Some(tensors_count)) = (no, tensors_count) else {
            return bad(format!(
                "{} has split.count but not split.no and split.tensors.count",
                self.name
            ));
        };
        if no >= count {
            return bad(format!("{} is part {no} (from 0) of {count}", self.name));
        }
        if (tensors_count as usize) < self.tensors.len() {
            return bad(format!(
                "{} holds {} tensors, but the whole split has {tensors_count}",
                self.name,
                self.tensors.len()
            ));
        }
        Ok(Some(Split { no, count, tensors_count }))
    }
}
