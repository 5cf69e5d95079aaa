//! One error type for the whole crate. Every variant says what was wrong and what to do, and has a
//! stable [`Error::code`] that survives the worker boundary in the browser.
//!
//! Findings and impressions never appear in an error.

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, from a bad file to a device that computes wrongly.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the message says what each field is")]
pub enum Error {
    // Model files.
    /// The first four bytes are not `GGUF`.
    #[error(
        "{name} is not a GGUF file (it starts with {found:02x?}); pass a .gguf model, the first file of a split, or a manifest"
    )]
    NotGguf { name: String, found: Vec<u8> },
    /// A GGUF version this reader does not know.
    #[error(
        "GGUF version {version} is not supported (2 and 3 are); convert the file with a current llama.cpp"
    )]
    GgufVersion { version: u32 },
    /// The bytes ended before the file did.
    #[error(
        "{name} is truncated: {expected} bytes are expected, {found} are there; download it again"
    )]
    Truncated { name: String, expected: u64, found: u64 },
    /// A header that contradicts itself or exceeds sane limits.
    #[error("the GGUF header is corrupt: {what}; download the file again")]
    CorruptHeader { what: String },
    /// A tensor type outside the supported list.
    #[error(
        "tensor {tensor} has type {type_name}, which is not supported; requantize the model to Q4_1, Q8_0 or F16"
    )]
    UnknownTensorType { tensor: String, type_name: String },
    /// Another architecture than `llama`.
    #[error("the model's architecture is {found}, but only llama is supported")]
    UnsupportedArchitecture { found: String },
    /// A feature of the model that would change its results if ignored.
    #[error(
        "the model uses {what}, which is not supported; results would be wrong, so it is refused"
    )]
    UnsupportedFeature { what: String },
    /// A metadata key the model needs is absent or has another type.
    #[error(
        "the GGUF metadata lacks {key} ({expected}); the file was not made for this architecture or is damaged"
    )]
    MissingMetadata { key: String, expected: &'static str },
    /// A tensor the architecture needs is not in the file(s).
    #[error(
        "tensor {tensor} is missing; the file is incomplete or one part of the split was left out"
    )]
    MissingTensor { tensor: String },
    /// A tensor nobody would consume.
    #[error(
        "tensor {tensor} is not part of this architecture; it would be ignored, so the model is refused"
    )]
    UnexpectedTensor { tensor: String },
    /// The same tensor twice.
    #[error("tensor {tensor} appears twice; two parts of different models may have been mixed")]
    DuplicateTensor { tensor: String },
    /// Dimensions that contradict the configuration.
    #[error("tensor {tensor} has shape {found:?}, but the configuration asks for {expected:?}")]
    WrongShape { tensor: String, expected: Vec<u64>, found: Vec<u64> },
    /// A weight that is NaN, infinite or does not fit the target format.
    #[error(
        "tensor {tensor} holds a value that is not finite or does not fit its format; the file is damaged"
    )]
    BadWeight { tensor: String },
    /// A file whose SHA-256 is not the manifest's.
    #[error(
        "{name} does not match its manifest: sha256 {expected} is expected, {found} was found; download it again"
    )]
    HashMismatch { name: String, expected: String, found: String },
    /// A split whose parts do not belong together or come in the wrong order.
    #[error("the parts of the split do not fit together: {what}")]
    SplitMismatch { what: String },
    /// A manifest that is not understood.
    #[error("the model manifest is not valid: {what}")]
    BadManifest { what: String },
    /// An adapter that cannot be understood.
    #[error("the adapter is not valid: {what}; save it again with PEFT")]
    BadAdapter { what: String },
    /// An adapter that was trained on other weights.
    #[error(
        "the adapter was trained on another base (sha256 {expected}, this one is {found}); its results would be wrong, so it is refused"
    )]
    OtherBase { expected: String, found: String },
    /// A Hugging Face checkpoint that cannot be understood.
    #[error("the checkpoint is not valid: {what}; download it again or save it with transformers")]
    BadCheckpoint { what: String },
    /// A configuration that cannot describe a model.
    #[error("the model's configuration is not valid: {what}")]
    BadConfig { what: String },

    // Tokenizer and prompt.
    /// A tokenizer that cannot be built from the metadata.
    #[error("the tokenizer cannot be built: {what}")]
    BadTokenizer { what: String },
    /// Tokenizer and model disagree on the number of tokens.
    #[error(
        "the tokenizer has {tokenizer} tokens but the model has {model}; they do not belong together"
    )]
    VocabularyMismatch { tokenizer: usize, model: usize },
    /// An id outside the vocabulary.
    #[error("token id {id} is outside the vocabulary of {vocab_size}")]
    TokenOutOfRange { id: u32, vocab_size: u32 },
    /// No findings were given.
    #[error("the findings are empty; type or paste the findings of a report")]
    EmptyFindings,
    /// The input text cannot be text.
    #[error("the input {what}; it must be plain UTF-8 text")]
    BadText { what: String },
    /// The prompt and the room for the answer exceed the context.
    #[error(
        "the prompt has {prompt_tokens} tokens and the answer may have {max_new_tokens}, but the context holds {context}; shorten the findings"
    )]
    PromptTooLong { prompt_tokens: usize, max_new_tokens: usize, context: usize },
    /// Prompt and beams exceed the context.
    #[error(
        "the prompt has {prompt_tokens} tokens and {beams} beams of {max_new_tokens} need {positions} more, but the context holds {context}; use fewer beams or new tokens, a longer context or shorter findings"
    )]
    BeamsTooLong {
        prompt_tokens: usize,
        beams: usize,
        max_new_tokens: usize,
        positions: usize,
        context: usize,
    },
    /// An option outside its range.
    #[error("{option} is {value}, but must be {expected}")]
    BadOption { option: &'static str, value: String, expected: &'static str },

    // Device.
    /// No adapter at all.
    #[error("no GPU adapter was found; {hint}")]
    NoAdapter { hint: String },
    /// The adapter cannot hold or run the model.
    #[error(
        "the adapter's {limit} is {actual}, but {required} is needed; use a smaller or more strongly quantized model"
    )]
    LimitTooSmall { limit: String, required: u64, actual: u64 },
    /// No variant of a kernel gives right results here.
    #[error(
        "the GPU computes {kernel} wrongly (error {error:.3e}, allowed {allowed:.1e}); update the graphics driver or use another browser"
    )]
    KernelWrong { kernel: String, error: f64, allowed: f64 },
    /// A shader or a command the device refused.
    #[error("the GPU refused {what}: {reason}")]
    DeviceRefused { what: String, reason: String },
    /// The device went away.
    #[error("the GPU was lost ({reason}); load the model again")]
    DeviceLost { reason: String },
    /// Not enough memory on the device.
    #[error("the GPU is out of memory ({what}); close other programs or use a smaller model")]
    OutOfMemory { what: String },
    /// Logits that are not finite.
    #[error(
        "the model computed values that are not finite at position {position}; nothing it wrote can be trusted"
    )]
    NotFinite { position: u32 },

    // Reports.
    /// A report, or a line of a pairs file, that cannot be read. Never its text.
    #[error("{place}: {what}")]
    BadData { place: String, what: String },
    /// The same report id twice.
    #[error(
        "id {id} stands in {first} and again in {second}; ids must be unique: remove or rename one of the two"
    )]
    DuplicateId { id: String, first: String, second: String },
    /// A split that contradicts itself or the reports.
    #[error("the split {path} cannot be used: {what}")]
    BadSplit { path: String, what: String },

    // Running.
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
    /// A file could not be read or written.
    #[error("{path}: {reason}")]
    Io { path: String, reason: String },
    /// A download failed.
    #[error("{url} could not be fetched: {reason}; check the connection and try again")]
    Network { url: String, reason: String },
    /// Something that cannot happen did.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

impl Error {
    /// An error of the file system about the file or folder at `path`.
    pub fn io(path: impl AsRef<std::path::Path>, error: &std::io::Error) -> Error {
        Error::Io { path: path.as_ref().display().to_string(), reason: error.to_string() }
    }

    /// A stable, machine-readable name for the kind of error: it does not change between releases.
    pub fn code(&self) -> &'static str {
        match self {
            Error::NotGguf { .. } => "not_gguf",
            Error::GgufVersion { .. } => "gguf_version",
            Error::Truncated { .. } => "truncated",
            Error::CorruptHeader { .. } => "corrupt_header",
            Error::UnknownTensorType { .. } => "unknown_tensor_type",
            Error::UnsupportedArchitecture { .. } => "unsupported_architecture",
            Error::UnsupportedFeature { .. } => "unsupported_feature",
            Error::MissingMetadata { .. } => "missing_metadata",
            Error::MissingTensor { .. } => "missing_tensor",
            Error::UnexpectedTensor { .. } => "unexpected_tensor",
            Error::DuplicateTensor { .. } => "duplicate_tensor",
            Error::WrongShape { .. } => "wrong_shape",
            Error::BadWeight { .. } => "bad_weight",
            Error::HashMismatch { .. } => "hash_mismatch",
            Error::SplitMismatch { .. } => "split_mismatch",
            Error::BadManifest { .. } => "bad_manifest",
            Error::BadAdapter { .. } => "bad_adapter",
            Error::OtherBase { .. } => "other_base",
            Error::BadCheckpoint { .. } => "bad_checkpoint",
            Error::BadConfig { .. } => "bad_config",
            Error::BadTokenizer { .. } => "bad_tokenizer",
            Error::VocabularyMismatch { .. } => "vocabulary_mismatch",
            Error::TokenOutOfRange { .. } => "token_out_of_range",
            Error::EmptyFindings => "empty_findings",
            Error::BadText { .. } => "bad_text",
            Error::PromptTooLong { .. } => "prompt_too_long",
            Error::BeamsTooLong { .. } => "beams_too_long",
            Error::BadOption { .. } => "bad_option",
            Error::NoAdapter { .. } => "no_adapter",
            Error::LimitTooSmall { .. } => "limit_too_small",
            Error::KernelWrong { .. } => "kernel_wrong",
            Error::DeviceRefused { .. } => "device_refused",
            Error::DeviceLost { .. } => "device_lost",
            Error::OutOfMemory { .. } => "out_of_memory",
            Error::NotFinite { .. } => "not_finite",
            Error::BadData { .. } => "bad_data",
            Error::DuplicateId { .. } => "duplicate_id",
            Error::BadSplit { .. } => "bad_split",
            Error::Cancelled => "cancelled",
            Error::Io { .. } => "io",
            Error::Network { .. } => "network",
            Error::Internal(_) => "internal",
        }
    }
}
