//! The manifest of a model's weights: which files, how large, with which hashes, under which
//! licence, and how to prompt it.

use serde::{Deserialize, Serialize};

use crate::prompt::Template;
use crate::{Error, Result};

/// The only version of the format so far.
const FORMAT: u32 = 1;

/// A model as it is published: one GGUF file or all parts of a split, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
        for (index, file) in self.files.iter().enumerate() {
            let ManifestFile { path, bytes, sha256 } = file;
            if !is_relative(path) {
                return bad(format!("the path {path:?} is not relative to the manifest's folder"));
            }
            if self.files[..index].iter().any(|other| other.path == *path) {
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
        if self.files.iter().try_fold(0u64, |sum, file| sum.checked_add(file.bytes)).is_none() {
            return bad("the files together exceed 2^64 bytes".to_owned());
        }
        Ok(())
    }

    /// The prompt template.
    ///
    /// # Errors
    /// [`Error::BadManifest`] for an unknown name.
    pub fn template(&self) -> Result<Template> {
        Template::from_name(&self.template).ok_or_else(|| Error::BadManifest {
            what: format!("template is {:?}, but must be alpaca, chatml, llama2 or report", self.template),
        })
    }

    /// Bytes of all files together.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).fold(0, u64::saturating_add)
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
}
