//! Runs on model files that are too large to commit; `RADLLAMA_MODELS` names their directory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::print_stdout)] // figures, with --nocapture

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::time::Instant;

use radllama::convert::{Options, Report, Vocabulary, llama2c, requantize};
use radllama::gguf::{Array, Event, Reader, TensorType, read_header};
use radllama::quant::{Format, repack};

#[test]
#[ignore = "needs model files"]
fn the_default_model_reads_and_repacks() {
    let bytes = std::fs::read(models().join("SmolLM2-135M-Instruct.Q4_1.gguf")).unwrap();
    for chunk in [1 << 16, 4 << 20, usize::MAX] {
        let mut reader = Reader::new("smollm2");
        let (mut repacked, mut seconds, mut out) = (0, 0.0, 0);
        let start = Instant::now();
        for piece in bytes.chunks(chunk.min(bytes.len())) {
            reader
                .push(piece, &mut |event| {
                    if let Event::Rows { tensor, bytes, .. } = event {
                        let (mut codes, mut scales) = (Vec::new(), Vec::new());
                        let start = Instant::now();
                        repack(
                            tensor.ty,
                            Format::for_source(tensor.ty),
                            tensor.cols() as u32,
                            bytes,
                            &tensor.name,
                            &mut codes,
                            &mut scales,
                        )?;
                        seconds += start.elapsed().as_secs_f64();
                        repacked += bytes.len();
                        out += codes.len() + scales.len();
                    }
                    Ok(())
                })
                .unwrap();
        }
        reader.finish().unwrap();
        println!(
            "pushes of {chunk}: {repacked} bytes to {out} words, {:.3} s, repack {:.2} GB/s",
            start.elapsed().as_secs_f64(),
            repacked as f64 / seconds / 1e9
        );
        let header = reader.header().unwrap();
        println!("{:?} {}", header.config().unwrap(), header.file_bytes());
        assert_eq!(header.file_bytes(), bytes.len() as u64);
    }
}

fn models() -> PathBuf {
    std::env::var("RADLLAMA_MODELS").expect("RADLLAMA_MODELS is set").into()
}

fn create(dir: PathBuf) -> impl FnMut(&str) -> radllama::Result<BufWriter<File>> {
    std::fs::create_dir_all(&dir).unwrap();
    move |name| Ok(BufWriter::new(File::create(dir.join(name)).unwrap()))
}

fn show(report: &Report, start: Instant) {
    for part in &report.parts {
        println!("{} {} {}", part.name, part.bytes, part.sha256);
    }
    let worst = report.tensors.iter().max_by(|a, b| a.error.rmse().total_cmp(&b.error.rmse()));
    println!("worst {worst:?}, {:.2} s", start.elapsed().as_secs_f64());
}

#[test]
#[ignore = "needs model files"]
fn the_llama2_vocabulary_equals_sentencepiece() {
    let json = std::fs::read(models().join("l2_supercat_tokenizer_config.json")).unwrap();
    let vocabulary = Vocabulary::from_tokenizer_json(&json).unwrap();
    let bytes = std::fs::read(models().join("ggml-vocab-llama-spm.gguf")).unwrap();
    let header = read_header("spm", &bytes).unwrap();
    assert_eq!(header.strings("tokenizer.ggml.tokens").unwrap(), vocabulary.tokens);
    let scores = header.array("tokenizer.ggml.scores").unwrap().as_f32s().unwrap();
    assert_eq!(scores, vocabulary.scores);
    let types = header.array("tokenizer.ggml.token_type").unwrap();
    assert_eq!(types, &Array::I32(vocabulary.types.clone()));
    assert_eq!((vocabulary.bos, vocabulary.eos, vocabulary.unk), (1, 2, 0));
}

#[test]
#[ignore = "needs model files"]
fn stories15m_converts() {
    let json = std::fs::read(models().join("l2_supercat_tokenizer_config.json")).unwrap();
    let vocabulary = Vocabulary::from_tokenizer_json(&json).unwrap();
    for (name, ty) in [
        ("f32", TensorType::F32),
        ("f16", TensorType::F16),
        ("q8_0", TensorType::Q8_0),
        ("q4_1", TensorType::Q4_1),
    ] {
        let start = Instant::now();
        let options = Options {
            name: format!("stories15M-{name}"),
            target: Some(ty),
            provenance: vec![("license".to_owned(), "MIT".to_owned())],
            ..Options::default()
        };
        let mut source = File::open(models().join("stories15M.bin")).unwrap();
        let report =
            llama2c(&mut source, "stories15M.bin", &vocabulary, &options, &mut create(models()))
                .unwrap();
        show(&report, start);
    }
}

#[test]
#[ignore = "needs model files"]
fn the_default_model_splits() {
    let start = Instant::now();
    let options = Options {
        name: "SmolLM2-135M-Instruct.Q4_1".to_owned(),
        max_part_bytes: Some(47_000_000),
        ..Options::default()
    };
    let mut files = [File::open(models().join("SmolLM2-135M-Instruct.Q4_1.gguf")).unwrap()];
    let names = ["SmolLM2-135M-Instruct.Q4_1.gguf"];
    let report = requantize(&mut files, &names, &options, &mut create(models().join("split")));
    show(&report.unwrap(), start);
}
