//! Writer and reader against each other in any chunking, and against another writer's file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use proptest::prelude::*;
use radllama::gguf::{
    Array, Event, Header, Layout, PIECE_BYTES, Reader, Split, TensorSpec, TensorType, Value,
    part_name, read_header,
};

/// What a file says: its header, and per tensor (in the order of `TensorEnd`) its bytes.
type Content = (Header, Vec<(String, Vec<u8>)>);

/// Reads a file with pushes of the given lengths, repeated, and checks the order of events.
fn read(file: &[u8], lengths: &[usize]) -> radllama::Result<Content> {
    let mut reader = Reader::new("test.gguf");
    let mut header: Option<Header> = None;
    let mut done = Vec::new();
    let mut current: Vec<u8> = Vec::new();
    let mut rest = file;
    for &length in lengths.iter().cycle() {
        let (piece, tail) = rest.split_at(length.min(rest.len()));
        rest = tail;
        reader.push(piece, &mut |event| {
            match event {
                Event::Header(h) => assert!(header.replace(h.clone()).is_none()),
                Event::Rows { tensor, first_row, bytes } => {
                    let row = tensor.row_bytes() as usize;
                    assert_eq!(first_row as usize * row, current.len(), "rows in order");
                    assert!(!bytes.is_empty() && bytes.len() % row == 0, "whole rows");
                    assert!(bytes.len() < PIECE_BYTES + row, "pieces of bounded size");
                    current.extend(bytes);
                }
                Event::TensorEnd(tensor) => {
                    assert_eq!(current.len() as u64, tensor.bytes());
                    done.push((tensor.name.clone(), std::mem::take(&mut current)));
                }
            }
            Ok(())
        })?;
        if rest.is_empty() {
            break;
        }
    }
    reader.finish()?;
    assert_eq!(reader.header(), header.as_ref());
    Ok((header.unwrap(), done))
}

/// Bytes that depend on tensor and position.
fn data(index: usize, len: u64) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(31) as u8) ^ (index as u8).wrapping_mul(77)).collect()
}

fn write(metadata: &[(String, Value)], tensors: &[TensorSpec], most: Option<u64>) -> Vec<Vec<u8>> {
    let layout = Layout::new(metadata, tensors, most).unwrap();
    let mut files = Vec::new();
    for part in layout.parts() {
        let mut file = Vec::new();
        part.write("test", &mut file, &mut |index, tensor, sink| {
            let bytes = data(index, tensor.bytes());
            let (a, b) = bytes.split_at(bytes.len() / 3);
            sink(a)?;
            sink(b)
        })
        .unwrap();
        assert_eq!(file.len() as u64, part.file_bytes());
        files.push(file);
    }
    files
}

fn spec(name: &str, ty: TensorType, dims: &[u64]) -> TensorSpec {
    TensorSpec { name: name.to_owned(), ty, dims: dims.to_vec() }
}

fn key(name: &str, value: Value) -> (String, Value) {
    (name.to_owned(), value)
}

fn value() -> impl Strategy<Value = Value> {
    let array = prop_oneof![
        any::<Vec<u8>>().prop_map(Array::U8),
        any::<Vec<i8>>().prop_map(Array::I8),
        any::<Vec<u16>>().prop_map(Array::U16),
        any::<Vec<i16>>().prop_map(Array::I16),
        any::<Vec<u32>>().prop_map(Array::U32),
        any::<Vec<i32>>().prop_map(Array::I32),
        prop::collection::vec(-1e9f32..1e9, 0..50).prop_map(Array::F32),
        any::<Vec<bool>>().prop_map(Array::Bool),
        prop::collection::vec("\\PC{0,12}", 0..40).prop_map(Array::String),
        any::<Vec<u64>>().prop_map(Array::U64),
        any::<Vec<i64>>().prop_map(Array::I64),
        prop::collection::vec(-1e9f64..1e9, 0..50).prop_map(Array::F64),
    ];
    prop_oneof![
        any::<u8>().prop_map(Value::U8),
        any::<i8>().prop_map(Value::I8),
        any::<u16>().prop_map(Value::U16),
        any::<i16>().prop_map(Value::I16),
        any::<u32>().prop_map(Value::U32),
        any::<i32>().prop_map(Value::I32),
        (-1e9f32..1e9).prop_map(Value::F32),
        any::<bool>().prop_map(Value::Bool),
        "\\PC{0,40}".prop_map(Value::String),
        any::<u64>().prop_map(Value::U64),
        any::<i64>().prop_map(Value::I64),
        (-1e9f64..1e9).prop_map(Value::F64),
        array.prop_map(Value::Array),
    ]
}

fn tensors() -> impl Strategy<Value = Vec<TensorSpec>> {
    let one = (0..TensorType::ALL.len(), 1u64..5, prop::collection::vec(1u64..6, 0..3));
    prop::collection::vec(one, 0..8).prop_map(|list| {
        let named = list.into_iter().enumerate();
        named
            .map(|(i, (ty, blocks, rest))| {
                let ty = TensorType::ALL[ty];
                let mut dims = vec![blocks * ty.block_len()];
                dims.extend(rest);
                spec(&format!("t{i}.weight"), ty, &dims)
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_in_any_chunking(
        values in prop::collection::vec(value(), 0..12),
        tensors in tensors(),
        lengths in prop::collection::vec(1usize..700, 1..20),
    ) {
        let metadata: Vec<_> =
            values.into_iter().enumerate().map(|(i, v)| (format!("key.{i}"), v)).collect();
        let files = write(&metadata, &tensors, None);
        prop_assert_eq!(&files, &write(&metadata, &tensors, None), "deterministic");
        let file = &files[0];
        let whole = read(file, &[usize::MAX]).unwrap();
        prop_assert_eq!(&whole.0.metadata, &metadata);
        prop_assert_eq!(whole.1.len(), tensors.len());
        for (i, (tensor, (name, bytes))) in tensors.iter().zip(&whole.1).enumerate() {
            prop_assert_eq!(&tensor.name, name);
            prop_assert_eq!(bytes, &data(i, bytes.len() as u64));
        }
        for (info, tensor) in whole.0.tensors.iter().zip(&tensors) {
            prop_assert_eq!(&info.name, &tensor.name);
            prop_assert_eq!((info.ty, &info.dims), (tensor.ty, &tensor.dims));
        }
        prop_assert_eq!(&read(file, &[1]).unwrap(), &whole);
        prop_assert_eq!(&read(file, &lengths).unwrap(), &whole);
        prop_assert_eq!(&read_header("test.gguf", file).unwrap(), &whole.0);
    }

    #[test]
    fn splits_hold_every_tensor_once(tensors in tensors(), extra in 0u64..4000) {
        let metadata = [key("general.architecture", Value::String("llama".to_owned()))];
        let largest = tensors.iter().map(|t| t.ty.row_bytes(t.dims[0]).unwrap()
            * t.dims[1..].iter().product::<u64>()).max().unwrap_or(0);
        let most = largest + 512 + extra;
        let files = write(&metadata, &tensors, Some(most));
        let mut seen = Vec::new();
        for (no, file) in files.iter().enumerate() {
            prop_assert!(file.len() as u64 <= most);
            let (header, parts) = read(file, &[777]).unwrap();
            let expected = Split {
                no: no as u32,
                count: files.len() as u32,
                tensors_count: tensors.len() as u32,
            };
            prop_assert_eq!(header.split().unwrap(), Some(expected));
            prop_assert_eq!(header.get("general.architecture").is_some(), no == 0);
            for (name, bytes) in parts {
                prop_assert_eq!(&bytes, &data(seen.len(), bytes.len() as u64));
                seen.push(name);
            }
        }
        let names: Vec<_> = tensors.iter().map(|t| t.name.clone()).collect();
        prop_assert_eq!(seen, names);
    }
}

#[test]
fn another_writers_file_reads() {
    let file = include_bytes!("goldens/tiny.gguf");
    let (header, tensors) = read(file, &[13]).unwrap();
    assert_eq!((header.version, header.alignment), (3, 32));
    for (name, value) in [
        ("general.architecture", Value::String("llama".to_owned())),
        ("test.u8", Value::U8(200)),
        ("test.i8", Value::I8(-5)),
        ("test.u16", Value::U16(60000)),
        ("test.i16", Value::I16(-6000)),
        ("test.u32", Value::U32(4_000_000_000)),
        ("test.i32", Value::I32(-2_000_000_000)),
        ("test.u64", Value::U64(1 << 60)),
        ("test.i64", Value::I64(-(1 << 60))),
        ("test.f32", Value::F32(1.5)),
        ("test.f64", Value::F64(-2.25)),
        ("test.bool", Value::Bool(true)),
        ("test.string", Value::String("Köln ▁".to_owned())),
        ("test.strings", Value::Array(Array::String(["a", "", "▁b"].map(str::to_owned).to_vec()))),
        ("test.floats", Value::Array(Array::F32(vec![0.5, -1.0]))),
        ("test.ints", Value::Array(Array::I32(vec![1, -2, 3]))),
        ("test.bools", Value::Array(Array::Bool(vec![true, false]))),
    ] {
        assert_eq!(header.get(name), Some(&value), "{name}");
    }
    let shapes: Vec<_> =
        header.tensors.iter().map(|t| (t.name.as_str(), t.ty, t.cols(), t.rows())).collect();
    let expected = [
        ("a.weight", TensorType::F32, 4, 3),
        ("b.weight", TensorType::Q4_1, 64, 2),
        ("c.weight", TensorType::F16, 5, 1),
    ];
    assert_eq!(shapes, expected);
    let mut a = [0.0; 12];
    TensorType::F32.dequantize(&tensors[0].1, &mut a);
    assert_eq!(a, std::array::from_fn::<f32, 12, _>(|i| i as f32));
    assert_eq!(tensors[2].1, [0x00, 0x3c].repeat(5));

    // Our writer gives that writer's bytes again.
    let specs: Vec<_> = header.tensors.iter().map(|t| spec(&t.name, t.ty, &t.dims)).collect();
    let layout = Layout::new(&header.metadata, &specs, None).unwrap();
    let mut again = Vec::new();
    layout.parts()[0].write("again", &mut again, &mut |i, _, sink| sink(&tensors[i].1)).unwrap();
    assert!(again == file);
}

/// A file by hand: version, alignment key, tensors of f32 as (name, count, offset), data section.
fn by_hand(
    version: u32,
    alignment: Option<u32>,
    tensors: &[(&str, u64, u64)],
    data: &[u8],
) -> Vec<u8> {
    let string = |file: &mut Vec<u8>, text: &str| {
        file.extend((text.len() as u64).to_le_bytes());
        file.extend(text.as_bytes());
    };
    let mut file = b"GGUF".to_vec();
    file.extend(version.to_le_bytes());
    file.extend((tensors.len() as u64).to_le_bytes());
    file.extend(u64::from(alignment.is_some()).to_le_bytes());
    if let Some(alignment) = alignment {
        string(&mut file, "general.alignment");
        file.extend(4u32.to_le_bytes());
        file.extend(alignment.to_le_bytes());
    }
    for (name, count, offset) in tensors {
        string(&mut file, name);
        file.extend(1u32.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(0u32.to_le_bytes());
        file.extend(offset.to_le_bytes());
    }
    file.resize(file.len().next_multiple_of(alignment.unwrap_or(32) as usize), 0);
    file.extend(data);
    file
}

#[test]
fn tensors_may_lie_in_any_order_and_alignment() {
    for version in [2, 3] {
        for (alignment, step) in [(None, 32), (Some(64), 64), (Some(16), 16)] {
            let mut data = vec![0xee; step];
            data[..8].fill(1); // "second", two weights, lies first
            data.extend([2; 12]); // "first", three weights, has no padding after it
            let tensors = [("first", 3, step as u64), ("second", 2, 0)];
            let file = by_hand(version, alignment, &tensors, &data);
            for lengths in [&[1][..], &[7, 64], &[usize::MAX]] {
                let (header, read) = read(&file, lengths).unwrap();
                assert_eq!(header.version, version);
                assert_eq!(header.file_bytes(), file.len() as u64);
                assert_eq!(header.tensors[0].name, "first", "the header keeps the file's order");
                let expected =
                    [("second".to_owned(), vec![1; 8]), ("first".to_owned(), vec![2; 12])];
                assert_eq!(read, expected);
            }
        }
    }
}

#[test]
fn a_vocabulary_without_tensors_is_a_file() {
    let file = &write(&[key("a", Value::Bool(true))], &[], None)[0];
    for length in [1, 5, usize::MAX] {
        assert!(read(file, &[length]).unwrap().1.is_empty());
    }
    // The padding after the header may be absent.
    assert!(read(&file[..24 + 8 + 1 + 4 + 1], &[4]).is_ok());
}

#[test]
fn the_buffer_is_bounded_by_a_piece_and_a_row() {
    // 3 MiB in rows of 4,004 bytes, then one row of 2 MiB, then rows larger than a piece.
    let tensors = [
        spec("a", TensorType::F32, &[1001, 800]),
        spec("b", TensorType::F32, &[1 << 19]),
        spec("c", TensorType::F32, &[300_000, 3]),
    ];
    let file = &write(&[], &tensors, None)[0];
    for chunk in [997, 65_536, 1_048_577, 5_000_000] {
        let mut reader = Reader::new("bounded");
        let (mut most, mut pieces, mut next) = (0, Vec::new(), 0);
        for piece in file.chunks(chunk) {
            reader
                .push(piece, &mut |event| {
                    match event {
                        Event::Rows { tensor, first_row, bytes } => {
                            assert_eq!(first_row, next);
                            next += bytes.len() as u64 / tensor.row_bytes();
                            pieces.push(bytes.len());
                        }
                        Event::TensorEnd(tensor) => {
                            assert_eq!(next, tensor.rows());
                            next = 0;
                        }
                        Event::Header(_) => {}
                    }
                    Ok(())
                })
                .unwrap();
            let row = 2 << 20;
            assert!(reader.buffered_bytes() < PIECE_BYTES + row);
            most = most.max(reader.buffered_bytes());
        }
        reader.finish().unwrap();
        assert_eq!(reader.buffered_bytes(), 0, "nothing is kept at the end");
        assert!(chunk > 4 << 20 || most > 0, "small pushes are buffered");
        // Only the last piece of a tensor is short.
        assert_eq!(pieces.len(), 4 + 1 + 3, "{pieces:?}");
    }
}

#[test]
fn rows_are_lent_from_the_push_without_a_copy() {
    let file = &write(&[], &[spec("a", TensorType::F32, &[1024, 1024])], None)[0];
    let mut reader = Reader::new("lent");
    let range = file.as_ptr_range();
    let mut lent = 0;
    reader
        .push(file, &mut |event| {
            if let Event::Rows { bytes, .. } = event {
                assert!(range.contains(&bytes.as_ptr()));
                lent += bytes.len();
            }
            Ok(())
        })
        .unwrap();
    assert_eq!((lent, reader.buffered_bytes()), (4 << 20, 0));
}

#[test]
fn the_writer_refuses_what_it_cannot_write() {
    let a = spec("a", TensorType::F32, &[100]);
    let code = |metadata: &[(String, Value)], tensors: &[TensorSpec], most: Option<u64>| {
        Layout::new(metadata, tensors, most).unwrap_err().code()
    };
    assert_eq!(code(&[], &[a.clone(), a.clone()], None), "duplicate_tensor");
    assert_eq!(code(&[], &[spec("a", TensorType::Q4_0, &[33])], None), "wrong_shape");
    assert_eq!(code(&[], &[spec("a", TensorType::F32, &[])], None), "wrong_shape");
    assert_eq!(code(&[], &[spec("a", TensorType::F32, &[4, 0])], None), "wrong_shape");
    assert_eq!(code(&[], std::slice::from_ref(&a), Some(500)), "bad_option");
    let long = [key("k", Value::String("x".repeat(600)))];
    assert_eq!(code(&long, &[], Some(500)), "bad_option");
    // Metadata that leaves no room for the first tensor gets a part of its own.
    let parts = write(&long, std::slice::from_ref(&a), Some(1000));
    assert_eq!(parts.len(), 2);
    assert!(read(&parts[0], &[9]).unwrap().1.is_empty());

    for length in [399, 401] {
        let layout = Layout::new(&[], std::slice::from_ref(&a), None).unwrap();
        let mut out = Vec::new();
        let result =
            layout.parts()[0].write("t", &mut out, &mut |_, _, sink| sink(&vec![0; length]));
        assert_eq!(result.unwrap_err().code(), "truncated");
    }
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is full"))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let layout = Layout::new(&[], &[a], None).unwrap();
    let error = layout.parts()[0].write("t", &mut Full, &mut |_, _, _| Ok(())).unwrap_err();
    assert!(error.to_string().contains("the disk is full"), "{error}");
    assert_eq!(part_name("m", 0, 3), "m-00001-of-00003.gguf");
}

#[test]
fn split_keys_are_checked() {
    let part = |keys: &[(&str, Value)]| {
        let metadata: Vec<_> = keys.iter().map(|(k, v)| key(k, v.clone())).collect();
        let mut header = read_header("p", &write(&[], &[], None)[0]).unwrap();
        header.metadata = metadata;
        header.split()
    };
    let no = |v| ("split.no", Value::U16(v));
    let count = |v| ("split.count", Value::U16(v));
    let tensors = ("split.tensors.count", Value::I32(5));
    assert_eq!(part(&[]), Ok(None));
    assert_eq!(part(&[no(0), count(0), tensors.clone()]), Ok(None));
    let expected = Split { no: 1, count: 2, tensors_count: 5 };
    assert_eq!(part(&[no(1), count(2), tensors.clone()]), Ok(Some(expected)));
    assert_eq!(part(&[no(2), count(2), tensors.clone()]).unwrap_err().code(), "split_mismatch");
    assert_eq!(part(&[count(2), tensors]).unwrap_err().code(), "split_mismatch");
    assert_eq!(part(&[no(0), count(2)]).unwrap_err().code(), "split_mismatch");
    let text = ("split.count", Value::String("2".to_owned()));
    assert_eq!(part(&[text]).unwrap_err().code(), "missing_metadata");
}

fn llama() -> Vec<(String, Value)> {
    vec![
        key("general.architecture", Value::String("llama".to_owned())),
        key("llama.block_count", Value::U32(2)),
        key("llama.context_length", Value::U32(256)),
        key("llama.embedding_length", Value::U32(64)),
        key("llama.feed_forward_length", Value::U32(96)),
        key("llama.attention.head_count", Value::U32(4)),
        key("llama.attention.head_count_kv", Value::U32(2)),
        key("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        key("llama.vocab_size", Value::U32(300)),
    ]
}

fn header(metadata: Vec<(String, Value)>, tensors: &[TensorSpec]) -> Header {
    let mut header = read_header("h", &write(&[], tensors, None)[0]).unwrap();
    header.metadata = metadata;
    header
}

#[test]
fn the_configuration_comes_from_the_metadata() {
    let config = header(llama(), &[]).config().unwrap();
    assert_eq!((config.hidden_size, config.intermediate_size), (64, 96));
    assert_eq!((config.num_attention_heads, config.num_key_value_heads), (4, 2));
    assert_eq!((config.num_hidden_layers, config.max_position_embeddings), (2, 256));
    assert_eq!((config.head_dim, config.vocab_size), (16, 300));
    assert_eq!((config.rms_norm_eps, config.rope_theta), (1e-5, 10_000.0));
    assert!(config.tie_word_embeddings);

    let output = [spec("output.weight", TensorType::F32, &[64, 300])];
    assert!(!header(llama(), &output).config().unwrap().tie_word_embeddings);
    assert!(!header(llama(), &[]).config_with(true).unwrap().tie_word_embeddings);

    // Defaults and other sources of the same numbers.
    let mut metadata = llama();
    metadata.retain(|(k, _)| k != "llama.attention.head_count_kv" && k != "llama.vocab_size");
    metadata.push(key("llama.rope.freq_base", Value::F32(5e5)));
    metadata.push(key("llama.attention.key_length", Value::U32(32)));
    metadata.push(key("llama.attention.value_length", Value::U32(32)));
    let tokens = vec!["x".to_owned(); 77];
    metadata.push(key("tokenizer.ggml.tokens", Value::Array(Array::String(tokens))));
    let config = header(metadata.clone(), &[]).config().unwrap();
    assert_eq!((config.num_key_value_heads, config.head_dim, config.vocab_size), (4, 32, 77));
    assert_eq!(config.rope_theta, 5e5);
    let embedding = [spec("token_embd.weight", TensorType::F32, &[64, 55])];
    assert_eq!(header(metadata, &embedding).config().unwrap().vocab_size, 55);

    let mut metadata = llama();
    metadata[6].1 = Value::Array(Array::I32(vec![2, 2]));
    assert_eq!(header(metadata.clone(), &[]).config().unwrap().num_key_value_heads, 2);
    metadata[6].1 = Value::Array(Array::I32(vec![2, 1]));
    assert_eq!(header(metadata, &[]).config().unwrap_err().code(), "unsupported_feature");
}

#[test]
fn what_would_change_results_is_refused() {
    let code = |name: &str, value: Value| {
        let mut metadata = llama();
        metadata.retain(|(k, _)| k != name);
        metadata.push(key(name, value));
        header(metadata, &[]).config().map_or_else(|error| error.code(), |_| "fine")
    };
    let text = |text: &str| Value::String(text.to_owned());
    assert_eq!(code("general.architecture", text("qwen2")), "unsupported_architecture");
    for (name, value) in [
        ("llama.rope.scaling.type", text("linear")),
        ("llama.rope.scaling.type", text("yarn")),
        ("llama.rope.scaling.factor", Value::F32(4.0)),
        ("llama.rope.scale_linear", Value::F32(0.5)),
        ("llama.expert_count", Value::U32(8)),
        ("llama.attention.value_length", Value::U32(8)),
        ("llama.rope.dimension_count", Value::U32(8)),
        ("llama.attention.sliding_window", Value::U32(4096)),
        ("llama.attention.clamp_kqv", Value::F32(8.0)),
        ("llama.attention.causal", Value::Bool(false)),
        ("llama.attention.scale", Value::F32(0.3)),
        ("llama.logit_scale", Value::F32(0.5)),
        ("llama.final_logit_softcapping", Value::F32(30.0)),
        ("llama.use_parallel_residual", Value::Bool(true)),
    ] {
        // dimension_count alone sets the head's width; with key_length it contradicts it.
        if name == "llama.rope.dimension_count" {
            let mut metadata = llama();
            metadata.push(key(name, value));
            metadata.push(key("llama.attention.key_length", Value::U32(16)));
            let error = header(metadata, &[]).config().unwrap_err();
            assert_eq!(error.code(), "unsupported_feature", "{name}");
            continue;
        }
        assert_eq!(code(name, value), "unsupported_feature", "{name}");
    }
    for (name, value) in [
        ("llama.rope.scaling.type", text("none")),
        ("llama.rope.scaling.factor", Value::F32(1.0)),
        ("llama.expert_count", Value::U32(0)),
        ("llama.attention.value_length", Value::U32(16)),
        ("llama.rope.dimension_count", Value::U32(16)),
        ("llama.attention.causal", Value::Bool(true)),
        ("llama.attention.scale", Value::F32(0.25)),
    ] {
        assert_eq!(code(name, value), "fine", "{name}");
    }
    let factors = [spec("rope_freqs.weight", TensorType::F32, &[8])];
    assert_eq!(header(llama(), &factors).config().unwrap_err().code(), "unsupported_feature");

    assert_eq!(code("llama.block_count", text("two")), "missing_metadata");
    assert_eq!(code("llama.block_count", Value::I32(-1)), "missing_metadata");
    assert_eq!(code("llama.attention.head_count", Value::U32(0)), "bad_config");
    assert_eq!(code("llama.attention.head_count", Value::U32(5)), "bad_config");
    assert_eq!(code("llama.embedding_length", Value::U32(0)), "bad_config");
    for (name, _) in llama() {
        let optional = ["llama.attention.head_count_kv"].contains(&name.as_str());
        let mut metadata = llama();
        metadata.retain(|(k, _)| *k != name);
        let result = header(metadata, &[]).config();
        assert_eq!(result.is_ok(), optional, "{name}");
        if let Err(error) = result {
            assert_eq!(error.code(), "missing_metadata", "{name}");
        }
    }
}
