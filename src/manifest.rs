//! The manifest of a model's weights: which files, how large, with which hashes, under which
//! licence, and how to prompt it.

use serde::{Deserialize, Serialize};

use crate::digest::sha256;
use crate::prompt::Template;
use crate::{Error, Result};

/// The only version of the format so far.
const FORMAT: u32 = 1;

/// A model as it is published: one GGUF file or all parts of a split, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format: 1.
    pub format: u32,
    /// What to call the model to a reader.
    pub name: String,
    /// Always `llama`.
    pub architecture: String,
    /// The prompt template the model was tuned with: `alpaca`, `chatml`, `llama2` or `report`.
    pub template: String,
    /// Context to run it with, in tokens, where it should be less than the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<u32>,
    /// SPDX expression of the licence of the weights.
    pub licence: String,
    /// Where the weights come from and what was done to them.
    pub provenance: String,
    /// What a user must be told before trusting an answer, such as that the model is untuned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
    /// The files, in the order of the split.
    pub files: Vec<ManifestFile>,
    /// An adapter that the model is run with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<ManifestAdapter>,
    /// How to decode where the caller does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoding: Option<Decoding>,
}

/// An adapter as PEFT writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestAdapter {
    /// `adapter_config.json`.
    pub config: ManifestFile,
    /// `adapter_model.safetensors`.
    pub weights: ManifestFile,
}

/// How the model was meant to decode: what it was evaluated with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Decoding {
    /// Beams; 1: greedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beams: Option<u32>,
    /// With beams: the power of the length that a score is divided by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length_penalty: Option<f32>,
    /// With beams: tokens in a row that are not written twice; 0: any may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_repeat_ngram: Option<u32>,
    /// Most tokens to write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_new_tokens: Option<u32>,
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Relative to the manifest, with `/` between folders.
    pub path: String,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

impl ManifestFile {
    /// Holds a file that is whole in memory against what the manifest says of it.
    ///
    /// # Errors
    /// [`Error::Truncated`]; [`Error::HashMismatch`].
    pub fn check(&self, bytes: &[u8]) -> Result<()> {
        let (name, found) = (self.path.clone(), bytes.len() as u64);
        if found != self.bytes {
            return Err(Error::Truncated { name, expected: self.bytes, found });
        }
        let found = sha256(bytes);
        if found != self.sha256 {
            return Err(Error::HashMismatch { name, expected: self.sha256.clone(), found });
        }
        Ok(())
    }
}

impl Manifest {
    /// Reads and validates a manifest.
    ///
    /// # Errors
    /// [`Error::BadManifest`] saying what is wrong.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let manifest: Self =
            serde_json::from_slice(json).map_err(|e| Error::BadManifest { what: e.to_string() })?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// Checks what the types cannot say. A path may not leave the manifest's folder: manifests come
    /// from the network.
    ///
    /// # Errors
    /// [`Error::BadManifest`] saying what is wrong.
    pub fn validate(&self) -> Result<()> {
        let bad = |what: String| Err(Error::BadManifest { what });
        if self.format != FORMAT {
            return bad(format!("format is {}, this release reads {FORMAT}", self.format));
        }
        if self.architecture != "llama" {
            return bad(format!(
                "architecture is {:?}, only \"llama\" is supported",
                self.architecture
            ));
        }
        let texts =
            [("name", &self.name), ("licence", &self.licence), ("provenance", &self.provenance)];
        if let Some((field, _)) = texts.iter().find(|(_, text)| text.trim().is_empty()) {
            return bad(format!("{field} is empty"));
        }
        self.template()?;
        if self.context == Some(0) {
            return bad("context is 0".to_owned());
        }
        if self.files.is_empty() {
            return bad("files is empty".to_owned());
        }
        let all = self.all_files();
        for (index, file) in all.iter().enumerate() {
            let ManifestFile { path, bytes, sha256 } = file;
            if !is_relative(path) {
                return bad(format!("the path {path:?} is not relative to the manifest's folder"));
            }
            if all[..index].iter().any(|other| other.path == *path) {
                return bad(format!("{path} is listed twice"));
            }
            if *bytes == 0 {
                return bad(format!("{path} has 0 bytes"));
            }
            let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
            if sha256.len() != 64 || !sha256.bytes().all(is_digit) {
                return bad(format!(
                    "the sha256 of {path} is not 64 lower-case hexadecimal digits"
                ));
            }
        }
        if all.iter().try_fold(0u64, |sum, file| sum.checked_add(file.bytes)).is_none() {
            return bad("the files together exceed 2^64 bytes".to_owned());
        }
        let decoding = self.decoding.unwrap_or_default();
        if decoding.beams == Some(0) || decoding.max_new_tokens == Some(0) {
            return bad("decoding asks for 0 beams or tokens".to_owned());
        }
        Ok(())
    }

    /// The prompt template.
    ///
    /// # Errors
    /// [`Error::BadManifest`] for an unknown name.
    pub fn template(&self) -> Result<Template> {
        let parsed = self.template.parse();
        parsed.map_err(|error: Error| Error::BadManifest { what: error.to_string() })
    }

    /// The model's files, then the adapter's.
    pub fn all_files(&self) -> Vec<&ManifestFile> {
        let adapter = self.adapter.iter().flat_map(|adapter| [&adapter.config, &adapter.weights]);
        self.files.iter().chain(adapter).collect()
    }

    /// Bytes of all files together, the adapter's included.
    pub fn total_bytes(&self) -> u64 {
        self.all_files().iter().map(|file| file.bytes).fold(0, u64::saturating_add)
    }
}

/// Whether `path` is made of plain names only: no root, drive, `.`, `..`, empty name, backslash, and
/// nothing a URL would read as a scheme, query or fragment.
fn is_relative(path: &str) -> bool {
    let plain = |name: &str| !matches!(name, "" | "." | "..");
    path.split('/').all(plain)
        && !path.contains(['\\', ':', '?', '#', '%'])
        && !path.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn valid() -> Value {
        json!({
            "format": 1,
            "name": "SmolLM2-135M-Instruct Q4_1",
            "architecture": "llama",
            "template": "chatml",
            "licence": "Apache-2.0",
            "provenance": "made for a test",
            "files": [
                { "path": "a-00001-of-00002.gguf", "bytes": 10, "sha256": "0".repeat(64) },
                { "path": "parts/a-00002-of-00002.gguf", "bytes": 5, "sha256": "f".repeat(64) },
            ],
        })
    }

    fn parse(json: &Value) -> Result<Manifest> {
        Manifest::parse(json.to_string().as_bytes())
    }

    #[test]
    fn a_valid_manifest_is_read_and_written_again() {
        let manifest = parse(&valid()).unwrap();
        assert_eq!(manifest.total_bytes(), 15);
        assert_eq!(manifest.template().unwrap(), Template::ChatMl);
        assert_eq!(manifest.context, None);
        assert_eq!(parse(&serde_json::to_value(&manifest).unwrap()).unwrap(), manifest);
    }

    #[test]
    fn each_fault_is_named() {
        let faults: Vec<(&str, Value, &str)> = vec![
            ("/format", json!(2), "format"),
            ("/architecture", json!("mistral"), "mistral"),
            ("/template", json!("vicuna"), "vicuna"),
            ("/name", json!(" "), "name"),
            ("/licence", json!(""), "licence"),
            ("/files", json!([]), "files"),
            ("/files/0/bytes", json!(0), "0 bytes"),
            ("/files/0/bytes", json!(-1), "-1"),
            ("/files/1/bytes", json!(u64::MAX), "exceed"),
            ("/files/0/sha256", json!("0".repeat(63)), "sha256"),
            ("/files/0/sha256", json!("G".repeat(64)), "sha256"),
            ("/files/1/path", json!("a-00001-of-00002.gguf"), "twice"),
        ];
        for (pointer, value, named) in faults {
            let mut json = valid();
            *json.pointer_mut(pointer).unwrap() = value;
            let error = parse(&json).unwrap_err();
            assert_eq!(error.code(), "bad_manifest");
            assert!(error.to_string().contains(named), "{pointer}: {error}");
        }
        for path in
            ["", "/a", "../a", "a/../b", "a//b", "./a", "C:\\a", "http://x/a", "a?b", "%2e%2e/a"]
        {
            let mut json = valid();
            json["files"][0]["path"] = json!(path);
            assert_eq!(parse(&json).unwrap_err().code(), "bad_manifest", "{path}");
        }
    }

    #[test]
    fn unknown_and_missing_fields_and_other_bytes_are_refused() {
        let mut json = valid();
        json["sha"] = json!("x");
        assert!(parse(&json).unwrap_err().to_string().contains("sha"));
        let mut json = valid();
        json.as_object_mut().unwrap().remove("files");
        assert!(parse(&json).unwrap_err().to_string().contains("files"));
        assert_eq!(Manifest::parse(b"GGUF\0\xff").unwrap_err().code(), "bad_manifest");
        let mut json = valid();
        json["context"] = json!(0);
        assert!(parse(&json).unwrap_err().to_string().contains("context"));
    }

    #[test]
    fn an_adapter_and_decoding_are_read_and_checked() {
        let mut json = valid();
        json["adapter"] = json!({
            "config": { "path": "adapter_config.json", "bytes": 3, "sha256": "1".repeat(64) },
            "weights": { "path": "adapter_model.safetensors", "bytes": 4, "sha256": "2".repeat(64) },
        });
        json["decoding"] = json!({ "beams": 4, "length_penalty": 0.6 });
        let manifest = parse(&json).unwrap();
        assert_eq!(manifest.total_bytes(), 22);
        let decoding = manifest.decoding.unwrap();
        assert_eq!((decoding.beams, decoding.max_new_tokens), (Some(4), None));
        assert_eq!(decoding.length_penalty, Some(0.6));
        assert_eq!(parse(&serde_json::to_value(&manifest).unwrap()).unwrap(), manifest);
        let faults = [
            ("/adapter/config/path", json!("../a"), "relative"),
            ("/adapter/config/path", json!("a-00001-of-00002.gguf"), "twice"),
            ("/adapter/weights/bytes", json!(0), "0 bytes"),
            ("/adapter/weights/sha256", json!("2"), "sha256"),
            ("/adapter/weights", json!(null), "null"),
            ("/decoding/beams", json!(0), "decoding"),
            ("/decoding", json!({ "beam": 4 }), "beam"),
        ];
        for (pointer, value, named) in faults {
            let mut json = json.clone();
            *json.pointer_mut(pointer).unwrap() = value;
            let error = parse(&json).unwrap_err();
            assert_eq!(error.code(), "bad_manifest");
            assert!(error.to_string().contains(named), "{pointer}: {error}");
        }
    }
}
