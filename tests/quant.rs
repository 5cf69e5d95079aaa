//! The block formats against llama.cpp's goldens, and the repacking against the block formats.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use proptest::prelude::*;
use radllama::Error;
use radllama::gguf::TensorType;
use radllama::quant::encode::{QuantError, TARGETS, encode_row};
use radllama::quant::{
    Format, dequantize_block, dequantize_row, quantize_row, repack, unpack_scale,
};

const COLS: u32 = 256;
const ROWS: usize = 2;

struct Golden {
    ty: TensorType,
    bytes: Vec<u8>,
    decoded: Vec<f32>,
    quantized_values: bool,
}

fn hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn floats(text: &str) -> Vec<f32> {
    hex(text).chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn goldens() -> (Vec<f32>, Vec<Golden>) {
    let json: serde_json::Value = serde_json::from_str(include_str!("goldens/quant.json")).unwrap();
    let all = TensorType::ALL.into_iter().map(|ty| {
        let golden = &json["types"][ty.name()];
        Golden {
            ty,
            bytes: hex(golden["bytes"].as_str().unwrap()),
            decoded: floats(golden["decoded"].as_str().unwrap()),
            quantized_values: golden["quantized_values"].as_bool().unwrap(),
        }
    });
    (floats(json["values"].as_str().unwrap()), all.collect())
}

/// Repacks and decodes the golden rows; also returns the scale words.
fn through(golden: &Golden, format: Format) -> (Vec<f32>, Vec<u32>) {
    let (mut codes, mut scales) = (Vec::new(), Vec::new());
    repack(golden.ty, format, COLS, &golden.bytes, "t", &mut codes, &mut scales).unwrap();
    let (words, groups) = (format.code_words(COLS) as usize, format.scale_words(COLS) as usize);
    assert_eq!((codes.len(), scales.len()), (ROWS * words, ROWS * groups));
    let mut out = vec![0.0; ROWS * COLS as usize];
    for (row, out) in out.chunks_mut(COLS as usize).enumerate() {
        let (codes, scales) = (&codes[row * words..][..words], &scales[row * groups..][..groups]);
        dequantize_row(format, codes, scales, out);
    }
    // The block decoder agrees with the row decoder.
    for (index, expected) in out.chunks(32).enumerate() {
        let mut block = [0.0; 32];
        dequantize_block(format, &codes, &scales, index, &mut block);
        assert_eq!(block, expected);
    }
    (out, scales)
}

#[test]
fn every_type_decodes_as_llama_cpp_does() {
    let (_, goldens) = goldens();
    for golden in goldens {
        let mut out = vec![f32::NAN; golden.decoded.len()];
        golden.ty.dequantize(&golden.bytes, &mut out);
        assert_eq!(out, golden.decoded, "{}", golden.ty);
        assert_eq!(golden.ty.row_bytes(256), Some(golden.bytes.len() as u64 / 2));
    }
}

#[test]
fn quantizers_give_llama_cpps_bytes() {
    let (values, goldens) = goldens();
    let mut checked = 0;
    for golden in goldens.iter().filter(|golden| TARGETS.contains(&golden.ty)) {
        assert!(golden.quantized_values);
        let mut bytes = Vec::new();
        for row in values.chunks(COLS as usize) {
            encode_row(golden.ty, row, "t", &mut bytes).unwrap();
        }
        assert!(bytes == golden.bytes, "{}", golden.ty);
        checked += 1;
    }
    assert_eq!(checked, TARGETS.len());
}

#[test]
fn repacking_is_exact_where_it_says_so() {
    use TensorType::*;
    let (_, goldens) = goldens();
    for golden in &goldens {
        let own = Format::for_source(golden.ty);
        for format in Format::ALL.into_iter().filter(|&format| format >= own) {
            let exact = match golden.ty {
                // What f16 cannot hold of a product of d and q, it rounds.
                _ if format == Format::F16 => golden.ty == F16,
                Q4_K | Q5_K | Q6_K => format == Format::F32,
                BF16 => format == Format::F32,
                _ => true,
            };
            if exact {
                assert_eq!(through(golden, format).0, golden.decoded, "{} {format}", golden.ty);
            }
        }
    }
}

#[test]
fn k_quants_lose_only_the_rounding_of_scales() {
    let (_, goldens) = goldens();
    for golden in goldens.iter().filter(|g| matches!(g.ty, TensorType::Q4_K | TensorType::Q5_K)) {
        for format in [Format::for_source(golden.ty), Format::Q8] {
            let (out, scales) = through(golden, format);
            let mut worst = 0.0f32;
            for (i, (a, b)) in out.iter().zip(&golden.decoded).enumerate() {
                let (_, m) = unpack_scale(scales[i / 32]);
                let magnitude = (b - m).abs() + m.abs();
                worst = worst.max((a - b).abs() / magnitude);
            }
            assert!(worst <= 1.001 / 2048.0, "{} {format}: {worst}", golden.ty);
        }
    }
}

#[test]
fn q6_k_stays_within_an_eighth_of_its_coarser_step() {
    let (_, goldens) = goldens();
    let golden = goldens.iter().find(|golden| golden.ty == TensorType::Q6_K).unwrap();
    let (out, _) = through(golden, Format::Q8);
    for (block, (out, expected)) in out.chunks(32).zip(golden.decoded.chunks(32)).enumerate() {
        let bytes = &golden.bytes[block / 8 * 210..][..210];
        let d = half::f16::from_le_bytes([bytes[208], bytes[209]]).to_f32();
        let halves = [0, 1].map(|h| (d * f32::from(bytes[192 + block % 8 * 2 + h] as i8)).abs());
        let step = halves[0].max(halves[1]);
        for (a, b) in out.iter().zip(expected) {
            assert!((a - b).abs() <= step / 8.0, "{a} {b} {step}");
        }
    }
}

#[test]
fn words_are_laid_out_as_documented() {
    // Q4_1: d = 1, m = 2; byte j has j in its low and 15 − j in its high nibble.
    let mut block = vec![0x00, 0x3c, 0x00, 0x40];
    block.extend((0..16u8).map(|j| j | ((15 - j) << 4)));
    let (mut codes, mut scales) = (Vec::new(), Vec::new());
    repack(TensorType::Q4_1, Format::Q4, 32, &block, "t", &mut codes, &mut scales).unwrap();
    assert_eq!(codes, [0x7654_3210, 0xfedc_ba98, 0x89ab_cdef, 0x0123_4567]);
    assert_eq!(scales, [0x4000_3c00]);
    repack(TensorType::Q4_1, Format::Q8, 32, &block, "t", &mut codes, &mut scales).unwrap();
    assert_eq!(codes[4..6], [0x0302_0100, 0x0706_0504], "appended");

    // Q8_0: d = 1, weights −128, −1, 0, 127, …: q = 0, 127, 128, 255; m = −128.
    let mut block = vec![0x00, 0x3c, 0x80, 0xff, 0x00, 0x7f];
    block.resize(34, 0);
    let (mut codes, mut scales) = (Vec::new(), Vec::new());
    repack(TensorType::Q8_0, Format::Q8, 32, &block, "t", &mut codes, &mut scales).unwrap();
    assert_eq!((codes[0], codes[1], scales[0]), (0xff80_7f00, 0x8080_8080, 0xd800_3c00));

    // Q4_0: m = −8.
    let mut block = vec![0x00, 0x3c];
    block.resize(18, 0x88);
    let (mut codes, mut scales) = (Vec::new(), Vec::new());
    repack(TensorType::Q4_0, Format::Q4, 32, &block, "t", &mut codes, &mut scales).unwrap();
    assert_eq!((codes.as_slice(), scales[0]), ([0x8888_8888; 4].as_slice(), 0xc800_3c00));

    // F16: low half first, an odd end is filled with zero, each row begins a word.
    let (mut codes, mut scales) = (Vec::new(), Vec::new());
    let bytes = [1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0];
    repack(TensorType::F16, Format::F16, 3, &bytes, "t", &mut codes, &mut scales).unwrap();
    assert_eq!(codes, [0x0002_0001, 3, 0x0005_0004, 6]);
    assert!(scales.is_empty());
}

#[test]
fn what_is_not_finite_is_refused() {
    let bad = |ty: TensorType, format: Format, cols: u32, bytes: &[u8]| {
        let result = repack(ty, format, cols, bytes, "blk.0.x", &mut Vec::new(), &mut Vec::new());
        assert_eq!(result, Err(Error::BadWeight { tensor: "blk.0.x".to_owned() }), "{ty} {format}");
    };
    // d, and where there is one m, infinite or NaN.
    for (ty, halves) in [
        (TensorType::Q4_0, vec![0]),
        (TensorType::Q4_1, vec![0, 2]),
        (TensorType::Q5_0, vec![0]),
        (TensorType::Q5_1, vec![0, 2]),
        (TensorType::Q8_0, vec![0]),
        (TensorType::Q4_K, vec![0, 2]),
        (TensorType::Q5_K, vec![0, 2]),
        (TensorType::Q6_K, vec![208]),
    ] {
        for at in halves {
            for high in [0x7c, 0xfc, 0x7e] {
                let mut bytes = vec![1; 2 * ty.block_bytes() as usize];
                bytes[ty.block_bytes() as usize + at + 1] = high;
                for format in Format::ALL.into_iter().filter(|&f| f >= Format::for_source(ty)) {
                    bad(ty, format, 2 * ty.block_len() as u32, &bytes);
                }
            }
        }
    }
    for format in Format::ALL {
        bad(TensorType::F32, format, 32, &[f32::NAN; 32].map(f32::to_le_bytes).concat());
        bad(TensorType::F32, format, 32, &[f32::INFINITY; 32].map(f32::to_le_bytes).concat());
        bad(TensorType::F16, format, 32, &[0xfc00u16; 32].map(u16::to_le_bytes).concat());
        bad(TensorType::BF16, format, 32, &[0x7f80u16; 32].map(u16::to_le_bytes).concat());
    }
    // Finite, but not in the target: −128·d or −8·d beyond f16, weights beyond f16.
    let mut q8 = half::f16::from_f32(600.0).to_le_bytes().to_vec();
    q8.resize(34, 1);
    bad(TensorType::Q8_0, Format::Q8, 32, &q8);
    let mut q4 = half::f16::from_f32(10_000.0).to_le_bytes().to_vec();
    q4.resize(18, 0x88);
    bad(TensorType::Q4_0, Format::Q4, 32, &q4);
    bad(TensorType::F32, Format::F16, 32, &[1e6f32; 32].map(f32::to_le_bytes).concat());
    bad(TensorType::BF16, Format::F16, 32, &[0x4980u16; 32].map(u16::to_le_bytes).concat());
    // The same weights fit where the range is wide enough.
    let bytes = [1e6f32; 32].map(f32::to_le_bytes).concat();
    repack(TensorType::F32, Format::F32, 32, &bytes, "t", &mut Vec::new(), &mut Vec::new())
        .unwrap();
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    for (ty, format, cols, bytes) in [
        (TensorType::Q4_1, Format::Q4, 33, 20),   // cols
        (TensorType::Q4_1, Format::Q4, 32, 21),   // not whole rows
        (TensorType::Q4_K, Format::Q4, 128, 144), // less than a block
        (TensorType::F16, Format::Q8, 48, 96),    // target's block
        (TensorType::F32, Format::F32, 0, 0),
    ] {
        let result =
            repack(ty, format, cols, &vec![0; bytes], "t", &mut Vec::new(), &mut Vec::new());
        assert_eq!(result.unwrap_err().code(), "wrong_shape", "{ty} {format} {cols}");
    }
    let error = encode_row(TensorType::Q4_0, &[0.0; 31], "t", &mut Vec::new()).unwrap_err();
    assert_eq!(error.code(), "wrong_shape");
    let error = encode_row(TensorType::F16, &[1e6], "t", &mut Vec::new()).unwrap_err();
    assert_eq!(error.code(), "bad_weight");
    let error = encode_row(TensorType::Q6_K, &[0.0; 256], "t", &mut Vec::new()).unwrap_err();
    assert_eq!(error.code(), "unsupported_feature");
}

#[test]
fn formats_are_ordered_and_sized() {
    for (format, name, code_words, scale_words) in [
        (Format::Q4, "q4", 72, 18),
        (Format::Q8, "q8", 144, 18),
        (Format::F16, "f16", 288, 0),
        (Format::F32, "f32", 576, 0),
    ] {
        assert_eq!(format.name(), name);
        assert_eq!((format.code_words(576), format.scale_words(576)), (code_words, scale_words));
        assert_eq!(format.has_scales(), scale_words > 0);
    }
    assert_eq!(Format::Q4.widest(Format::Q8), Format::Q8);
    assert_eq!(Format::F32.widest(Format::Q4), Format::F32);
    for ty in TensorType::ALL {
        assert_eq!(TensorType::from_id(ty.id()), Some(ty));
        assert_eq!(TensorType::from_name(&ty.name().to_lowercase()), Some(ty));
    }
}

#[test]
fn error_figures_are_right() {
    let mut error = QuantError::default();
    assert_eq!(error.rmse(), 0.0);
    error.add(&[1.0, 2.0], &[1.0, 5.0]);
    error.add(&[0.0, 0.0], &[0.0, -1.0]);
    assert_eq!((error.rmse(), error.max_abs), ((10.0f64 / 4.0).sqrt(), 3.0));
}

proptest! {
    /// No code is further than half a step from its weight, whatever the block's range.
    #[test]
    fn quantized_rows_err_by_half_a_step(
        values in prop::collection::vec(-1.0f32..1.0, 64),
        offset in -2.0f32..2.0,
        exponent in -6i32..12,
    ) {
        let values: Vec<f32> =
            values.iter().map(|v| (v + offset) * 2f32.powi(exponent)).collect();
        for format in [Format::Q4, Format::Q8] {
            let (mut codes, mut scales) = (Vec::new(), Vec::new());
            quantize_row(format, &values, &mut codes, &mut scales);
            let mut out = vec![0.0; values.len()];
            dequantize_row(format, &codes, &scales, &mut out);
            let levels = if format == Format::Q4 { 15.0 } else { 255.0 };
            for (block, (values, out)) in values.chunks(32).zip(out.chunks(32)).enumerate() {
                let (d, _) = unpack_scale(scales[block]);
                let min = values.iter().copied().fold(f32::MAX, f32::min);
                let max = values.iter().copied().fold(f32::MIN, f32::max);
                let widest = (max - min) / levels * 1.001 + min.abs() / 1024.0 / levels + 1e-7;
                prop_assert!(d <= widest, "a step of {d} where {widest} suffices");
                for (a, b) in values.iter().zip(out) {
                    let most = d * 0.5001 + 1e-6 * a.abs();
                    prop_assert!((a - b).abs() <= most, "{format} {a} {b} {d}");
                }
            }
        }
    }
}
