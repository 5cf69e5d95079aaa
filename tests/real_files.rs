//! Runs on model files that are too large to commit; `RADLLAMA_MODELS` names their directory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::time::Instant;

use radllama::gguf::{Event, Reader};
use radllama::quant::{Format, repack};

#[test]
#[ignore = "needs model files"]
fn the_default_model_reads_and_repacks() {
    let dir = std::env::var("RADLLAMA_MODELS").expect("RADLLAMA_MODELS is set");
    let bytes = std::fs::read(format!("{dir}/SmolLM2-135M-Instruct.Q4_1.gguf")).unwrap();
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
