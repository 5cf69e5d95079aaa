//! Bases of Hugging Face and GGUF files with adapters merged into them, against numpy
//! (tests/goldens/make_peft.py); and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "common/safetensors.rs"]
mod safetensors;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use half::f16;
use radllama::convert::{Base, Checkpoint, Options, Report, merge, shard_names};
use radllama::cpu::CpuStore;
use radllama::gguf::{Event, Header, Reader, TensorType, Value};
use radllama::lora::Adapter;
use radllama::model::BufferId;
use radllama::model::loader::{Loader, Part, Weights};
use radllama::native::load_checkpoint;
use radllama::quant::encode::{Quantizer, encode_row, encode_row_with};
use radllama::tokenizer::Tokenizer;
use radllama::tokenizer::TokenizerSpec;
use radllama::{Error, Result};
use safetensors::{Archive, Tensor};
use serde_json::json;

const HEAD_DIM: usize = 8;

fn golden(name: &str, file: &str) -> Vec<u8> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/peft");
    std::fs::read(dir.join(name).join(file)).unwrap()
}

/// SentencePiece in small, of 3 control, 256 byte and `pieces` other tokens.
fn tokenizer(pieces: usize) -> Vec<u8> {
    let control = ["<unk>", "<s>", "</s>"].map(String::from).into_iter();
    let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
    let letters = ["▁", "a", "b"].map(String::from).into_iter();
    let words = (0..pieces).map(|i| if i == 0 { "ab".to_owned() } else { format!("▁w{i}") });
    let tokens = control.chain(bytes).chain(letters).chain(words).take(259 + pieces);
    let vocab: serde_json::Map<_, _> =
        tokens.enumerate().map(|(id, token)| (token, json!(id))).collect();
    let added: Vec<_> = ["<unk>", "<s>", "</s>"]
        .into_iter()
        .enumerate()
        .map(|(id, content)| json!({"id": id, "content": content, "special": true}))
        .collect();
    let space = json!({"String": " "});
    let normalizer = json!({"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": space, "content": "▁"},
    ]});
    let model = json!({
        "type": "BPE", "byte_fallback": true, "unk_token": "<unk>", "vocab": vocab, "merges": ["a b"],
    });
    serde_json::to_vec(&json!({"added_tokens": added, "normalizer": normalizer, "model": model}))
        .unwrap()
}

/// The small checkpoint, to be damaged.
#[derive(Clone)]
struct Source {
    config: serde_json::Value,
    tokenizer: Vec<u8>,
    index: Option<Vec<u8>>,
    files: Vec<(String, Vec<u8>)>,
}

impl Source {
    fn golden() -> Source {
        Source {
            config: serde_json::from_slice(&golden("base", "config.json")).unwrap(),
            tokenizer: tokenizer(13),
            index: None,
            files: vec![("model.safetensors".into(), golden("base", "model.safetensors"))],
        }
    }

    fn archive(&self) -> Archive {
        Archive::parse(&self.files[0].1)
    }

    fn changed(change: impl Fn(&mut Archive)) -> Source {
        let mut source = Source::golden();
        let mut archive = source.archive();
        change(&mut archive);
        source.files[0].1 = archive.bytes();
        source
    }

    fn configured(key: &str, value: serde_json::Value) -> Source {
        let mut source = Source::golden();
        source.config[key] = value;
        source
    }

    /// As two shards with an index.
    fn sharded(&self) -> Source {
        let mut halves = [Archive::default(), Archive::default()];
        let mut map = serde_json::Map::new();
        for (i, (name, tensor)) in self.archive().tensors.into_iter().enumerate() {
            halves[i % 2].tensors.insert(name.clone(), tensor);
            map.insert(name, json!(format!("model-0000{}-of-00002.safetensors", i % 2 + 1)));
        }
        let index = serde_json::to_vec(&json!({"metadata": {}, "weight_map": map})).unwrap();
        let names = shard_names(&index).unwrap();
        let files = names.into_iter().zip(halves.map(|half| half.bytes())).collect();
        Source { index: Some(index), files, ..self.clone() }
    }

    fn open(&self) -> Result<Base<Cursor<Vec<u8>>>> {
        let names: Vec<&str> = self.files.iter().map(|(name, _)| name.as_str()).collect();
        let files = self.files.iter().map(|(_, file)| Cursor::new(file.clone())).collect();
        let checkpoint = Checkpoint {
            config: &serde_json::to_vec(&self.config).unwrap(),
            tokenizer: &self.tokenizer,
            chat_template: Some("{{ messages }}"),
            index: self.index.as_deref(),
            name: "tiny",
        };
        Base::hugging_face(&checkpoint, files, &names)
    }
}

fn refusal(source: &Source) -> Error {
    match source.open() {
        Ok(base) => write(base, vec![], &to(TensorType::F32)).unwrap_err(),
        Err(error) => error,
    }
}

fn adapter(name: &str) -> Adapter {
    let base = Source::golden().open().unwrap();
    Adapter::from_peft(
        &golden(name, "adapter_config.json"),
        &golden(name, "adapter_model.safetensors"),
        base.config(),
    )
    .unwrap()
}

type Files = Rc<RefCell<BTreeMap<String, Vec<u8>>>>;

/// A file in memory that takes no more than some bytes.
struct File(Files, String, usize);

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut files = self.0.borrow_mut();
        let file = files.entry(self.1.clone()).or_default();
        if file.len() + bytes.len() > self.2 {
            return Err(std::io::Error::from(std::io::ErrorKind::StorageFull));
        }
        file.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

type Written = (Report, BTreeMap<String, Vec<u8>>);

fn write<R: std::io::Read + std::io::Seek>(
    base: Base<R>,
    adapters: Vec<(Adapter, f32)>,
    options: &Options,
) -> Result<Written> {
    let files = Files::default();
    let mut open = |name: &str| Ok(File(files.clone(), name.to_owned(), usize::MAX));
    let report = merge(base, adapters, options, &mut open)?;
    Ok((report, files.take()))
}

fn to(ty: TensorType) -> Options {
    Options { name: "m".into(), target: Some(ty), ..Options::default() }
}

fn merged(adapters: Vec<(Adapter, f32)>, options: &Options) -> Written {
    write(Source::golden().open().unwrap(), adapters, options).unwrap()
}

fn read(file: &[u8]) -> (Header, BTreeMap<String, Vec<u8>>) {
    let mut reader = Reader::new("written");
    let mut tensors = BTreeMap::<String, Vec<u8>>::new();
    reader
        .push(file, &mut |event| {
            if let Event::Rows { tensor, bytes, .. } = event {
                tensors.entry(tensor.name.clone()).or_default().extend(bytes);
            }
            Ok(())
        })
        .unwrap();
    reader.finish().unwrap();
    (reader.header().unwrap().clone(), tensors)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// GGUF's name of a Hugging Face tensor.
fn gguf_name(name: &str) -> String {
    let renamed = [
        ("model.norm", "output_norm"),
        ("model.embed_tokens", "token_embd"),
        ("model.layers.", "blk."),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ];
    renamed.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

/// The rows of q and k as llama.cpp's converter orders them:
/// `w.reshape(heads, 2, width / 2, columns).swapaxes(1, 2)`.
fn interleaved(name: &str, values: &[f32], cols: usize) -> Vec<f32> {
    if !(name.contains("q_proj") || name.contains("k_proj")) {
        return values.to_vec();
    }
    let mut out = Vec::new();
    for head in values.chunks(HEAD_DIM * cols) {
        for i in 0..HEAD_DIM / 2 {
            for half in 0..2 {
                let row = half * (HEAD_DIM / 2) + i;
                out.extend(&head[row * cols..(row + 1) * cols]);
            }
        }
    }
    out
}

#[test]
fn a_checkpoint_becomes_gguf_with_every_tensor_in_its_place() {
    let (report, files) = merged(vec![], &to(TensorType::F32));
    let (header, tensors) = read(&files["m.gguf"]);
    let config = header.config().unwrap();
    assert_eq!(&config, Source::golden().open().unwrap().config());
    assert_eq!((config.num_attention_heads, config.num_key_value_heads), (4, 2));
    assert!(config.tie_word_embeddings);
    let archive = Source::golden().archive();
    assert_eq!(tensors.len(), archive.tensors.len());
    for (name, tensor) in &archive.tensors {
        let expected = interleaved(name, &tensor.values(), *tensor.shape.last().unwrap());
        assert!(floats(&tensors[&gguf_name(name)]) == expected, "{name}");
    }
    assert!(report.tensors.iter().all(|tensor| tensor.error.nmse() == 0.0));

    let key = |key: &str| header.str(&format!("radllama.{key}")).unwrap();
    let base = Source::golden().open().unwrap();
    assert_eq!(key("base_sha256"), base.sha256());
    assert_eq!(key("source_sha256"), base.hashes()[0]);
    assert_eq!(key("quantizer"), "nearest");
    assert_eq!(header.str("tokenizer.chat_template").unwrap(), "{{ messages }}");
    let tokenizer = Tokenizer::from_spec(TokenizerSpec::from_header(&header).unwrap()).unwrap();
    assert_eq!(tokenizer.vocab_size(), 272);
}

#[test]
fn merging_equals_numpy() {
    for name in ["plain", "patterns", "half"] {
        let (_, files) = merged(vec![(adapter(name), 1.0)], &to(TensorType::F32));
        let (_, tensors) = read(&files["m.gguf"]);
        let reference = Archive::parse(&golden(name, "merged.safetensors"));
        let untouched = Source::golden().archive();
        assert!(!reference.tensors.is_empty());
        for (tensor, expected) in &reference.tensors {
            let cols = expected.shape[1];
            let found = floats(&tensors[&gguf_name(tensor)]);
            let before = interleaved(tensor, &untouched.tensors[tensor].values(), cols);
            let expected = interleaved(tensor, &expected.values(), cols);
            let most = |other: &[f32]| {
                found.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
            };
            assert!(most(&expected) <= 1e-6, "{name} {tensor}: {}", most(&expected));
            assert!(most(&before) > 1e-3, "{name} {tensor} was not changed");
        }
    }
}

#[test]
fn a_gguf_base_gives_the_same_as_the_checkpoint_it_was_made_from() {
    let (_, files) = merged(vec![], &to(TensorType::F16));
    for name in ["plain", "patterns"] {
        let base = Base::gguf(vec![Cursor::new(files["m.gguf"].clone())], &["m.gguf"]).unwrap();
        let (_, from_gguf) = write(base, vec![(adapter(name), 1.0)], &to(TensorType::F32)).unwrap();
        let (_, from_hub) = merged(vec![(adapter(name), 1.0)], &to(TensorType::F32));
        assert!(read(&from_gguf["m.gguf"]).1 == read(&from_hub["m.gguf"]).1, "{name}");
    }
}

#[test]
fn adapters_add_up_with_their_weights() {
    let f32 = to(TensorType::F32);
    let tensors = |adapters| read(&merged(adapters, &f32).1["m.gguf"]).1;
    let (plain, patterns) = (adapter("plain"), adapter("patterns"));
    let both = tensors(vec![(plain.clone(), 1.0), (patterns.clone(), -0.5)]);
    let (one, other, none) =
        (tensors(vec![(plain.clone(), 1.0)]), tensors(vec![(patterns, 1.0)]), tensors(vec![]));
    for (name, both) in &both {
        let [one, other, none] = [&one, &other, &none].map(|tensors| floats(&tensors[name]));
        for (i, value) in floats(both).into_iter().enumerate() {
            let expected = one[i] - 0.5 * (other[i] - none[i]);
            assert!((value - expected).abs() < 1e-6, "{name} {i}");
        }
    }
    let error = write(Source::golden().open().unwrap(), vec![(plain, f32::NAN)], &f32).unwrap_err();
    assert_eq!(error.code(), "bad_option");
}

#[test]
fn shards_and_repetitions_give_the_same_bytes() {
    let options = Options {
        max_part_bytes: Some(30_000),
        quantizer: Quantizer::Search,
        ..to(TensorType::Q8_0)
    };
    let once = merged(vec![(adapter("plain"), 1.0)], &options);
    assert!(once.1.len() > 1, "it is a split");
    assert_eq!(once, merged(vec![(adapter("plain"), 1.0)], &options));
    let sharded = Source::golden().sharded();
    assert_eq!(sharded.files.len(), 2);
    let from_shards =
        write(sharded.open().unwrap(), vec![(adapter("plain"), 1.0)], &to(TensorType::Q4_1))
            .unwrap();
    let from_one = merged(vec![(adapter("plain"), 1.0)], &to(TensorType::Q4_1));
    assert_eq!(read(&from_shards.1["m.gguf"]).1, read(&from_one.1["m.gguf"]).1);
}

#[test]
fn what_no_adapter_touches_is_copied_byte_for_byte() {
    let (_, files) = merged(vec![], &to(TensorType::Q4_1));
    let base = || Base::gguf(vec![Cursor::new(files["m.gguf"].clone())], &["m.gguf"]).unwrap();
    let options = Options { quantizer: Quantizer::Search, ..to(TensorType::Q4_1) };
    let (report, again) = write(base(), vec![(adapter("half"), 1.0)], &options).unwrap();
    let (before, after) = (read(&files["m.gguf"]).1, read(&again["m.gguf"]).1);
    let changed: Vec<_> = before.keys().filter(|&name| before[name] != after[name]).collect();
    assert_eq!(changed, ["blk.1.attn_q.weight", "blk.1.attn_v.weight"]);
    for tensor in report.tensors {
        let touched = changed.iter().any(|name| **name == tensor.name);
        assert_eq!(tensor.error.nmse() > 0.0, touched, "{}", tensor.name);
    }
}

/// Squared error of each block in f64, from what the decoder makes of the bytes.
fn errors(ty: TensorType, values: &[f32], bytes: &[u8]) -> Vec<f64> {
    let mut decoded = vec![0.0; values.len()];
    ty.dequantize(bytes, &mut decoded);
    let square = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
    values
        .chunks(32)
        .zip(decoded.chunks(32))
        .map(|(a, b)| a.iter().zip(b).map(square).sum())
        .collect()
}

#[test]
fn the_search_is_never_worse_than_the_nearest_and_better_in_total() {
    let mut state = 7u64;
    let mut random = || {
        let mut sum = 0.0f32;
        for _ in 0..4 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            sum += (state >> 40) as f32 / (1u64 << 24) as f32;
        }
        (sum - 2.0) * 1.7
    };
    let blocks = 2000;
    let mut values: Vec<f32> = (0..blocks * 32).map(|_| 0.05 * random()).collect();
    // Odd blocks: all equal, zeros, one outlier, tiny, huge, one side only, two values.
    values[..32].fill(0.3);
    values[32..64].fill(0.0);
    values[70] = 9.0;
    values[96..128].iter_mut().for_each(|v| *v *= 1e-6);
    values[128..160].iter_mut().for_each(|v| *v *= 3e5);
    values[160..192].iter_mut().for_each(|v| *v = v.abs() + 1.0);
    values[192..224].iter_mut().for_each(|v| *v = if *v > 0.0 { 0.11 } else { -0.07 });
    values[224..256].iter_mut().for_each(|v| *v *= 1e-9);
    for (ty, gain) in
        [(TensorType::Q4_1, 0.93), (TensorType::Q4_0, 0.90), (TensorType::Q8_0, 0.999)]
    {
        let (mut nearest, mut search) = (Vec::new(), Vec::new());
        encode_row(ty, &values, "t", &mut nearest).unwrap();
        encode_row_with(Quantizer::Search, ty, &values, "t", &mut search).unwrap();
        let (old, new) = (errors(ty, &values, &nearest), errors(ty, &values, &search));
        for (block, (old, new)) in old.iter().zip(&new).enumerate() {
            assert!(new <= old, "{ty} block {block}: {new} > {old}");
        }
        let total = |errors: &[f64]| errors[8..].iter().sum::<f64>();
        let ratio = total(&new) / total(&old);
        assert!(ratio < gain, "{ty}: {ratio}");
    }
}

#[test]
fn checkpoints_of_other_models_are_refused_by_name() {
    for (key, value, code) in [
        ("rope_scaling", json!({"rope_type": "llama3", "factor": 8.0}), "unsupported_feature"),
        ("rope_scaling", json!({"type": "linear", "factor": 2.0}), "unsupported_feature"),
        ("rope_parameters", json!({"rope_type": "yarn", "rope_theta": 1e4}), "unsupported_feature"),
        ("attention_bias", json!(true), "unsupported_feature"),
        ("mlp_bias", json!(true), "unsupported_feature"),
        ("hidden_act", json!("gelu"), "unsupported_feature"),
        ("quantization_config", json!({"bits": 4}), "unsupported_feature"),
        ("sliding_window", json!(4096), "unsupported_feature"),
        ("model_type", json!("mistral"), "unsupported_architecture"),
        ("architectures", json!(["LlamaForSequenceClassification"]), "unsupported_architecture"),
        ("hidden_size", json!("32"), "bad_checkpoint"),
        ("intermediate_size", json!(null), "bad_checkpoint"),
        ("num_key_value_heads", json!(3), "bad_config"),
        ("num_key_value_heads", json!(4), "wrong_shape"),
        ("num_hidden_layers", json!(3), "missing_tensor"),
        ("num_hidden_layers", json!(1), "unexpected_tensor"),
        ("tie_word_embeddings", json!(false), "missing_tensor"),
        ("vocab_size", json!(271), "wrong_shape"),
    ] {
        let error = refusal(&Source::configured(key, value));
        assert_eq!(error.code(), code, "{key}: {error}");
        if code == "unsupported_feature" {
            assert!(error.to_string().contains(key), "{error}");
        }
    }
    let older = Source::configured("rope_parameters", json!(null)).open().unwrap();
    assert_eq!(older.config().rope_theta, 10_000.0);
    let mut large = Source::golden();
    large.tokenizer = tokenizer(14);
    assert_eq!(refusal(&large).code(), "vocabulary_mismatch");
    let mut small = Source::golden();
    small.tokenizer = tokenizer(10);
    let (_, files) = write(small.open().unwrap(), vec![], &to(TensorType::F16)).unwrap();
    let (header, _) = read(&files["m.gguf"]);
    assert_eq!(
        header.strings("tokenizer.ggml.tokens").unwrap().len(),
        272,
        "unused ones are added"
    );
}

#[test]
fn damaged_checkpoints_are_refused() {
    let down = "model.layers.1.mlp.down_proj.weight";
    let missing = Source::changed(|archive| _ = archive.tensors.remove(down));
    assert_eq!(refusal(&missing), Error::MissingTensor { tensor: down.into() });
    let extra = Source::changed(|archive| {
        archive.tensors.insert("lm_head.weight".into(), Tensor::f32(&[1, 32], &[0.0; 32]));
    });
    assert_eq!(refusal(&extra), Error::UnexpectedTensor { tensor: "lm_head.weight".into() });
    let rotary = Source::changed(|archive| {
        let name = "model.layers.0.self_attn.rotary_emb.inv_freq";
        archive.tensors.insert(name.into(), Tensor::f32(&[4], &[1.0; 4]));
    });
    assert!(rotary.open().is_ok(), "old checkpoints keep what the configuration says anyway");
    let ints = Source::changed(|archive| {
        archive.tensors.get_mut(down).unwrap().dtype = "I16".into();
    });
    let error = refusal(&ints);
    assert!(error.code() == "bad_checkpoint" && error.to_string().contains("I16"), "{error}");
    for ty in [TensorType::F32, TensorType::F16, TensorType::Q4_1] {
        for bad in [f16::NAN, f16::INFINITY] {
            let poisoned = Source::changed(|archive| {
                let tensor = archive.tensors.get_mut(down).unwrap();
                tensor.data[100..102].copy_from_slice(&bad.to_le_bytes());
            });
            let error = write(poisoned.open().unwrap(), vec![], &to(ty)).unwrap_err();
            let tensor = "blk.1.ffn_down.weight".to_owned();
            assert_eq!(error, Error::BadWeight { tensor }, "{ty} copied or not");
        }
    }
    let whole = Source::golden();
    let file = &whole.files[0].1;
    for (length, code) in
        [(0, "truncated"), (7, "truncated"), (60, "truncated"), (file.len() - 1, "truncated")]
    {
        let mut cut = whole.clone();
        cut.files[0].1.truncate(length);
        assert_eq!(refusal(&cut).code(), code, "{length}");
    }
    let mut longer = whole.clone();
    longer.files[0].1.push(0);
    assert_eq!(refusal(&longer).code(), "bad_checkpoint");
    let mut garbled = whole.clone();
    garbled.files[0].1[20] = 0xff;
    assert_eq!(refusal(&garbled).code(), "bad_checkpoint");

    let mut swapped = whole.sharded();
    let first = swapped.files[0].1.clone();
    swapped.files[1].1 = first;
    assert_eq!(refusal(&swapped).code(), "unexpected_tensor");
    for index in ["{}", "{\"weight_map\": {}}", "{\"weight_map\": {\"a\": \"../x\"}}"] {
        assert_eq!(shard_names(index.as_bytes()).unwrap_err().code(), "bad_checkpoint", "{index}");
    }
}

#[test]
fn an_adapter_of_another_base_and_a_full_disk_are_refused() {
    let base = || Source::golden().open().unwrap();
    let mut own = adapter("plain");
    own.base_sha256 = Some(base().sha256());
    assert!(write(base(), vec![(own.clone(), 1.0)], &to(TensorType::F16)).is_ok());
    own.base_sha256 = Some("0".repeat(64));
    let error = write(base(), vec![(own, 1.0)], &to(TensorType::F16)).unwrap_err();
    assert_eq!(error.code(), "other_base");

    let mut misfit = adapter("plain");
    misfit.pairs.values_mut().next().unwrap().b.pop();
    let error = write(base(), vec![(misfit, 1.0)], &to(TensorType::F16)).unwrap_err();
    assert_eq!(error.code(), "wrong_shape");

    let files = Files::default();
    for room in [0, 100, 20_000] {
        let mut open = |name: &str| Ok(File(files.clone(), name.to_owned(), room));
        let error = merge(base(), vec![], &to(TensorType::F16), &mut open).unwrap_err();
        assert_eq!(error.code(), "io", "{error}");
    }
}

/// The small checkpoint with a weight that is no number.
fn poisoned() -> Source {
    Source::changed(|archive| {
        let tensor = archive.tensors.get_mut("model.norm.weight").unwrap();
        tensor.data[..2].copy_from_slice(&f16::NAN.to_le_bytes());
    })
}

/// A folder with the small checkpoint.
fn folder(source: &Source) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    put("config.json", &serde_json::to_vec(&source.config).unwrap());
    put("tokenizer.json", &source.tokenizer);
    put("tokenizer_config.json", br#"{"chat_template": "{{ hello }}"}"#);
    if let Some(index) = &source.index {
        put("model.safetensors.index.json", index);
    }
    source.files.iter().for_each(|(name, bytes)| put(name, bytes));
    folder
}

fn command(base: &Path, output: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_radllama"));
    command.args(["--json", "merge", "--to", "q4_1", "--embedding", "q8_0", "--base"]).arg(base);
    command.arg("--adapter");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/peft/plain"));
    command.arg("--output").arg(output);
    command
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn the_command_writes_a_model_with_its_provenance_or_nothing() {
    let (base, out) = (folder(&Source::golden()), tempfile::tempdir().unwrap());
    let done = command(base.path(), &out.path().join("m"))
        .args(["--template", "alpaca"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(report["quantizer"], "search");
    assert!(report["nmse"].as_f64().unwrap() > 0.0);
    assert_eq!(names(out.path()), ["m.gguf"]);
    let file = std::fs::read(out.path().join("m.gguf")).unwrap();
    let (header, _) = read(&file);
    assert_eq!(header.str("radllama.template").unwrap(), "alpaca");
    assert_eq!(header.str("radllama.adapter_sha256").unwrap().len(), 129);
    assert_eq!(header.str("tokenizer.chat_template").unwrap(), "{{ hello }}");
    assert_eq!(header.tensor("token_embd.weight").unwrap().ty, TensorType::Q8_0);
    assert_eq!(header.get("general.file_type"), Some(&Value::U32(3)));

    // Weights that cannot be written: nothing is left, and what was there stays.
    let poisoned = folder(&poisoned());
    let done = command(poisoned.path(), &out.path().join("m")).output().unwrap();
    assert!(!done.status.success());
    let error: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(error["error"]["code"], "bad_weight");
    assert_eq!(names(out.path()), ["m.gguf"]);
    assert_eq!(std::fs::read(out.path().join("m.gguf")).unwrap(), file);
}

#[test]
fn a_checkpoint_loads_as_its_conversion_does() {
    for source in [Source::golden(), Source::golden().sharded()] {
        let folder = folder(&source);
        let loaded = load_checkpoint(folder.path(), CpuStore::default()).unwrap();
        let (_, files) = write(source.open().unwrap(), vec![], &to(TensorType::F32)).unwrap();
        let converted = load(&files["m.gguf"]).unwrap();
        assert_eq!(loaded.layout.config, converted.layout.config);
        assert_eq!(loaded.sha256, source.open().unwrap().hashes());
        for buffer in (0..converted.layout.buffers.len()).map(BufferId) {
            let words = converted.store.words(buffer).unwrap();
            assert!(loaded.store.words(buffer).unwrap() == words, "{buffer:?}");
        }
    }
    let refused = |source: &Source| {
        load_checkpoint(folder(source).path(), CpuStore::default()).err().unwrap().code()
    };
    assert_eq!(refused(&poisoned()), "bad_weight");
    let mut gone = Source::golden();
    gone.files.clear();
    assert_eq!(refused(&gone), "io");
}

/// Training reads either form of a base to the same values.
#[cfg(feature = "train")]
#[test]
fn a_checkpoint_and_its_conversion_train_alike() {
    let (source, out) = (Source::golden(), tempfile::tempdir().unwrap());
    let (_, files) = write(source.open().unwrap(), vec![], &to(TensorType::F32)).unwrap();
    let gguf = out.path().join("m.gguf");
    std::fs::write(&gguf, &files["m.gguf"]).unwrap();
    let pairs = out.path().join("pairs.jsonl");
    let lines =
        (0..4).map(|i| format!("{{\"id\":{i},\"findings\":\"a ab {i}\",\"impression\":\"ab\"}}\n"));
    std::fs::write(&pairs, lines.collect::<String>()).unwrap();
    let losses = |base: &Path, run: &str| -> Vec<f64> {
        let run = out.path().join(run);
        let done = Command::new(env!("CARGO_BIN_EXE_radllama"))
            .args(["train", "--template", "report", "--epochs", "2", "--batch", "2", "--train"])
            .arg(&pairs)
            .arg("--base")
            .arg(base)
            .arg("--output")
            .arg(&run)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let log = std::fs::read_to_string(run.join("log.jsonl")).unwrap();
        let lines =
            log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.map(|line| line["loss"].as_f64().unwrap()).collect()
    };
    let from_folder = losses(folder(&source).path(), "a");
    assert_eq!(from_folder.len(), 4);
    assert_eq!(from_folder, losses(&gguf, "b"));
}

#[test]
fn a_killed_merge_leaves_nothing_that_looks_whole() {
    let out = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stories15M-q8_0.gguf");
    let merge = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_radllama"));
        command.args(["merge", "--to", "q4_1", "--base"]).arg(&fixture);
        command.arg("--output").arg(out.path().join("m"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let mut child = merge().spawn().unwrap();
    let partial = out.path().join("m.gguf.partial");
    // Some of it is written: then the program is killed in the middle.
    while std::fs::metadata(&partial).map_or(0, |file| file.len()) < 100_000 {
        assert!(child.try_wait().unwrap().is_none(), "it was not caught in the middle");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
    assert_eq!(names(out.path()), ["m.gguf.partial"]);
    assert!(load(&std::fs::read(&partial).unwrap()).is_err());

    assert!(merge().status().unwrap().success());
    assert_eq!(names(out.path()), ["m.gguf"]);
    load(&std::fs::read(out.path().join("m.gguf")).unwrap()).unwrap();
}

fn load(file: &[u8]) -> Result<Weights<CpuStore>> {
    let mut loader = Loader::new(CpuStore::default(), vec![Part::default()]);
    loader.push(0, file)?;
    loader.finish()
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_no_model() {
    let (base, out) = (folder(&Source::golden()), tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink("/dev/full", out.path().join("m.gguf.partial")).unwrap();
    let done = command(base.path(), &out.path().join("m")).output().unwrap();
    assert!(!done.status.success());
    let error: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(error["error"]["code"], "io", "{error}");
    assert!(names(out.path()).is_empty());
}
