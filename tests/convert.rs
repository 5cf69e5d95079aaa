//! Conversions of small made-up models, read back with the reader.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::rc::Rc;

use radllama::convert::{Options, Report, Vocabulary, llama2c, requantize};
use radllama::gguf::{Array, Event, Header, Reader, TensorType, Value};
use radllama::{Error, Result};

const DIM: usize = 64;
const HIDDEN: usize = 96;
const LAYERS: usize = 2;
const KV: usize = 32;
const VOCAB: usize = 259 + 6;
const CONTEXT: usize = 8;

/// Weight number `i` of a file: all different, in f16's range, not representable in 8 bits.
fn weight(i: usize) -> f32 {
    ((i * 7919 % 10_007) as f32 - 5003.0) / 8192.0
}

fn checkpoint(shared: bool) -> Vec<u8> {
    let vocab = if shared { VOCAB as i32 } else { -(VOCAB as i32) };
    let header = [DIM as i32, HIDDEN as i32, LAYERS as i32, 4, 2, vocab, CONTEXT as i32]
        .map(i32::to_le_bytes);
    let per_layer = 2 * DIM + 2 * DIM * DIM + 2 * KV * DIM + 3 * DIM * HIDDEN;
    let classifier = if shared { 0 } else { VOCAB * DIM };
    let weights = VOCAB * DIM + LAYERS * per_layer + DIM + CONTEXT * 16 + classifier;
    let mut file = header.concat();
    file.extend((0..weights).flat_map(|i| weight(i).to_le_bytes()));
    file
}

/// tokenizer.json in small: 3 control and 256 byte tokens, then `pieces`, with `merges`.
fn tokenizer(pieces: &[&str], merges: &[&str]) -> Vec<u8> {
    let mut vocab = serde_json::Map::new();
    for (id, token) in ["<unk>", "<s>", "</s>"].into_iter().enumerate() {
        vocab.insert(token.to_owned(), id.into());
    }
    for byte in 0..256 {
        vocab.insert(format!("<0x{byte:02X}>"), (byte + 3).into());
    }
    for (i, piece) in pieces.iter().enumerate() {
        vocab.insert((*piece).to_owned(), (i + 259).into());
    }
    let added = ["<unk>", "<s>", "</s>"].into_iter().enumerate();
    let added: Vec<_> = added
        .map(|(id, content)| serde_json::json!({"id": id, "content": content, "special": true}))
        .collect();
    let model = serde_json::json!({
        "type": "BPE", "byte_fallback": true, "unk_token": "<unk>",
        "vocab": vocab, "merges": merges,
    });
    serde_json::to_vec(&serde_json::json!({"added_tokens": added, "model": model})).unwrap()
}

fn vocabulary() -> Vocabulary {
    let json = tokenizer(&["▁▁", "▁a", "ab", "▁", "a", "b"], &["▁ a", "a b", "▁ ▁"]);
    Vocabulary::from_tokenizer_json(&json).unwrap()
}

type Files = Rc<RefCell<BTreeMap<String, Vec<u8>>>>;

/// A file in memory.
struct File(Files, String);

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().entry(self.1.clone()).or_default().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn open(files: &Files) -> impl FnMut(&str) -> Result<File> + use<> {
    let files = files.clone();
    move |name| {
        assert!(!files.borrow().contains_key(name), "{name} is opened once");
        Ok(File(files.clone(), name.to_owned()))
    }
}

fn convert(source: Vec<u8>, options: &Options) -> Result<(Report, BTreeMap<String, Vec<u8>>)> {
    let files = Files::default();
    let mut source = Cursor::new(source);
    let report = llama2c(&mut source, "m.bin", &vocabulary(), options, &mut open(&files))?;
    Ok((report, files.take()))
}

fn again(sources: &[&[u8]], options: &Options) -> Result<(Report, BTreeMap<String, Vec<u8>>)> {
    let files = Files::default();
    let mut cursors: Vec<_> = sources.iter().map(Cursor::new).collect();
    let names = vec!["a.gguf"; sources.len()];
    let report = requantize(&mut cursors, &names, options, &mut open(&files))?;
    Ok((report, files.take()))
}

fn read(file: &[u8]) -> (Header, BTreeMap<String, Vec<u8>>) {
    let mut reader = Reader::new("converted");
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

fn named(target: Option<TensorType>) -> Options {
    Options { name: "m".to_owned(), target, ..Options::default() }
}

#[test]
fn every_llama2c_tensor_lands_where_it_belongs() {
    for shared in [true, false] {
        let (report, files) = convert(checkpoint(shared), &named(None)).unwrap();
        let (header, tensors) = read(&files["m.gguf"]);
        let config = header.config().unwrap();
        assert_eq!((config.hidden_size, config.num_key_value_heads), (64, 2));
        assert_eq!(config.tie_word_embeddings, shared);
        assert_eq!((config.rms_norm_eps, config.rope_theta), (1e-5, 10_000.0));

        // The order of run.c's memory_map_weights, counted by hand.
        let mut next = 0;
        let mut expect = |name: String, rows: usize, cols: usize| {
            let bytes: Vec<u8> =
                (next..next + rows * cols).flat_map(|i| weight(i).to_le_bytes()).collect();
            next += rows * cols;
            assert!(tensors[&name] == bytes, "{name}");
            let info = header.tensor(&name).unwrap();
            assert_eq!((info.cols(), info.rows()), (cols as u64, rows as u64), "{name}");
        };
        expect("token_embd.weight".to_owned(), VOCAB, DIM);
        for (kind, rows, cols) in [
            ("attn_norm", 1, DIM),
            ("attn_q", DIM, DIM),
            ("attn_k", KV, DIM),
            ("attn_v", KV, DIM),
            ("attn_output", DIM, DIM),
            ("ffn_norm", 1, DIM),
            ("ffn_gate", HIDDEN, DIM),
            ("ffn_down", DIM, HIDDEN),
            ("ffn_up", HIDDEN, DIM),
        ] {
            for layer in 0..LAYERS {
                expect(format!("blk.{layer}.{kind}.weight"), rows, cols);
            }
        }
        expect("output_norm.weight".to_owned(), 1, DIM);
        next += CONTEXT * 16;
        let expect = |name: &str, at: usize| {
            let bytes: Vec<u8> =
                (at..at + VOCAB * DIM).flat_map(|i| weight(i).to_le_bytes()).collect();
            assert!(tensors[name] == bytes, "{name}");
        };
        if !shared {
            expect("output.weight", next);
        }
        assert_eq!(tensors.len(), 2 + 9 * LAYERS + usize::from(!shared));
        assert!(report.tensors.iter().all(|tensor| tensor.error.rmse() == 0.0));
        assert_eq!(report.parts[0].bytes, files["m.gguf"].len() as u64);
    }
}

#[test]
fn types_are_chosen_by_tensor() {
    let mut options = named(Some(TensorType::Q4_1));
    options.embedding = Some(TensorType::Q8_0);
    options.provenance.push(("license".to_owned(), "MIT".to_owned()));
    let (report, files) = convert(checkpoint(true), &options).unwrap();
    let (header, tensors) = read(&files["m.gguf"]);
    for tensor in &header.tensors {
        let expected = match tensor.name.as_str() {
            "token_embd.weight" => TensorType::Q8_0,
            name if name.contains("norm") => TensorType::F32,
            _ => TensorType::Q4_1,
        };
        assert_eq!(tensor.ty, expected, "{}", tensor.name);
    }
    assert_eq!(header.u32("general.file_type"), Ok(3));
    assert_eq!(header.str("radllama.license"), Ok("MIT"));
    assert_eq!(header.str("radllama.converted_from"), Ok("llama2.c checkpoint m.bin"));

    // The figures of the report are those of the bytes.
    let row = TensorType::Q8_0.row_bytes(64).unwrap() as usize;
    let mut out = vec![0.0; VOCAB * DIM];
    TensorType::Q8_0.dequantize(&tensors["token_embd.weight"], &mut out);
    assert_eq!(tensors["token_embd.weight"].len(), row * VOCAB);
    let (mut squares, mut most) = (0.0f64, 0.0f32);
    for (i, &w) in out.iter().enumerate() {
        squares += f64::from(w - weight(i)).powi(2);
        most = most.max((w - weight(i)).abs());
    }
    let error = report.tensors[0].error;
    assert_eq!(error.max_abs, most);
    assert!((error.rmse() - (squares / out.len() as f64).sqrt()).abs() < 1e-9);
    assert!(most > 0.0 && most < 0.61 / 127.0 * 0.51 * 2.0, "{most}");
}

#[test]
fn the_vocabulary_is_written_as_llama_cpp_wants_it() {
    let (_, files) = convert(checkpoint(true), &named(None)).unwrap();
    let (header, _) = read(&files["m.gguf"]);
    assert_eq!(header.str("tokenizer.ggml.model"), Ok("llama"));
    let tokens = header.strings("tokenizer.ggml.tokens").unwrap();
    assert_eq!(
        (tokens[0].as_str(), tokens[13].as_str(), tokens[260].as_str()),
        ("<unk>", "<0x0A>", "▁a")
    );
    let scores = header.array("tokenizer.ggml.scores").unwrap().as_f32s().unwrap();
    assert_eq!(scores[..259], [0.0; 259]);
    assert_eq!(scores[259..], [-1e9, -1.0, -2.0, -1e9, -4.0, -5.0], "spaces alone come last");
    let types = header.array("tokenizer.ggml.token_type").unwrap().to_i32s().unwrap();
    assert_eq!(types[..5], [2, 3, 3, 6, 6]);
    assert_eq!(types[258..], [6, 1, 1, 1, 1, 1, 1]);
    for (key, value) in [
        ("bos_token_id", Value::U32(1)),
        ("eos_token_id", Value::U32(2)),
        ("unknown_token_id", Value::U32(0)),
        ("add_bos_token", Value::Bool(true)),
        ("add_space_prefix", Value::Bool(true)),
    ] {
        assert_eq!(header.get(&format!("tokenizer.ggml.{key}")), Some(&value), "{key}");
    }
}

#[test]
fn vocabularies_without_known_scores_are_refused() {
    let refused = |json: &[u8], says: &str| {
        let error = Vocabulary::from_tokenizer_json(json).unwrap_err();
        assert_eq!(error.code(), "bad_tokenizer");
        assert!(error.to_string().contains(says), "{error} ({says})");
    };
    refused(b"{}", "not understood");
    refused(&tokenizer(&["ab", "▁a"], &["▁ a", "a b"]), "order of the merges");
    refused(&tokenizer(&["▁▁", "ab", "cd"], &["a b", "▁ ▁", "c d"]), "order of the merges");
    refused(&tokenizer(&["ab"], &["a c"]), "not there");
    let text = String::from_utf8(tokenizer(&["ab"], &[])).unwrap();
    refused(
        text.replace("\"byte_fallback\":true", "\"byte_fallback\":false").as_bytes(),
        "byte fallback",
    );
    refused(text.replace("\"BPE\"", "\"WordPiece\"").as_bytes(), "byte fallback");
    refused(text.replace("\"<0x0A>\"", "\"newline\"").as_bytes(), "256 byte tokens");
    refused(text.replace("\"ab\":259", "\"ab\":300").as_bytes(), "gaps");
    refused(text.replace("\"ab\":259", "\"ab\":258").as_bytes(), "two tokens");
    refused(text.replace("</s>", "<end>").as_bytes(), "</s>");
    // Pairs of the newer form, and spaces in their place.
    let json = tokenizer(&["▁▁", "ab"], &["▁ ▁", "a b"]);
    let text = String::from_utf8(json).unwrap().replace("\"a b\"", "[\"a\",\"b\"]");
    assert_eq!(
        Vocabulary::from_tokenizer_json(text.as_bytes()).unwrap().scores[259..],
        [0.0, -1.0]
    );
}

#[test]
fn damaged_checkpoints_are_refused() {
    let code = |file: Vec<u8>| convert(file, &named(None)).unwrap_err().code();
    let file = checkpoint(true);
    assert_eq!(code(file[..20].to_vec()), "truncated");
    assert_eq!(code(file[..file.len() - 4].to_vec()), "truncated");
    assert_eq!(code([&file[..], &[0; 4]].concat()), "truncated");
    for (field, value, expected) in [
        (0, 0, "bad_config"),
        (0, -64, "bad_config"),
        (2, 0, "bad_config"),
        (3, 7, "bad_config"),
        (4, 3, "bad_config"),
        (5, 300, "vocabulary_mismatch"),
        (5, i32::MIN, "bad_config"),
        (6, 9, "truncated"),
        (0, i32::MAX, "bad_config"),
    ] {
        let mut file = file.clone();
        file[field * 4..field * 4 + 4].copy_from_slice(&i32::to_le_bytes(value));
        assert_eq!(code(file), expected, "field {field} = {value}");
    }
    let mut file = file;
    file[28..32].copy_from_slice(&f32::NAN.to_le_bytes());
    let error = convert(file, &named(Some(TensorType::Q8_0))).unwrap_err();
    assert_eq!(error, Error::BadWeight { tensor: "token_embd.weight".to_owned() });
}

#[test]
fn a_new_split_keeps_every_byte() {
    let (_, files) = convert(checkpoint(true), &named(Some(TensorType::Q8_0))).unwrap();
    let source = &files["m.gguf"];
    let (header, tensors) = read(source);

    let options = Options { max_part_bytes: Some(40_000), ..named(None) };
    let (report, parts) = again(&[source], &options).unwrap();
    assert!(parts.len() >= 2);
    assert_eq!(parts, again(&[source], &options).unwrap().1, "deterministic");
    let mut found = BTreeMap::new();
    for ((name, part), reported) in parts.iter().zip(&report.parts) {
        assert!(part.len() <= 40_000);
        assert_eq!((name, part.len() as u64), (&reported.name, reported.bytes));
        found.extend(read(part).1);
    }
    assert_eq!(found, tensors);
    let (first, _) = read(&parts[&report.parts[0].name]);
    for (key, value) in &header.metadata {
        if !key.starts_with("radllama.") {
            assert_eq!(first.get(key), Some(value), "{key}");
        }
    }
    assert_eq!(first.str("radllama.source_sha256").unwrap().len(), 64);

    // Together again, and only in order and complete.
    let list: Vec<&[u8]> = parts.values().map(Vec::as_slice).collect();
    let (_, joined) = again(&list, &named(None)).unwrap();
    let (whole, joined) = read(&joined["m.gguf"]);
    assert_eq!(joined, tensors);
    assert_eq!(whole.split(), Ok(None));
    let mut wrong = list.clone();
    wrong.swap(0, 1);
    assert_eq!(again(&wrong, &named(None)).unwrap_err().code(), "split_mismatch");
    assert_eq!(again(&list[..1], &named(None)).unwrap_err().code(), "split_mismatch");
    let mut short = list.clone();
    let last = &short[list.len() - 1][..200];
    *short.last_mut().unwrap() = last;
    assert_eq!(again(&short, &named(None)).unwrap_err().code(), "truncated");
}

#[test]
fn requantizing_goes_through_f32() {
    let (_, files) = convert(checkpoint(true), &named(None)).unwrap();
    let (report, out) = again(&[&files["m.gguf"]], &named(Some(TensorType::Q4_0))).unwrap();
    let (header, tensors) = read(&out["m.gguf"]);
    assert_eq!(header.u32("general.file_type"), Ok(2));
    // The same as quantizing the checkpoint at once.
    let (_, direct) = convert(checkpoint(true), &named(Some(TensorType::Q4_0))).unwrap();
    assert_eq!(tensors, read(&direct["m.gguf"]).1);
    let norm = report.tensors.iter().find(|tensor| tensor.name == "output_norm.weight").unwrap();
    assert_eq!((norm.from, norm.to, norm.error.rmse()), (TensorType::F32, TensorType::F32, 0.0));
    let tokens = header.get("tokenizer.ggml.tokens");
    assert_eq!(tokens, Some(&Value::Array(Array::String(vocabulary().tokens))));
}
