//! Damaged input: always a typed error or a valid parse, never a panic or a large allocation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(unsafe_code)] // a counting allocator, to see what damaged counts make the parser reserve

use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use radllama::gguf::{
    Array, Event, Header, Layout, Reader, TensorSpec, TensorType, Value, read_header,
};
use radllama::{Error, Result};

/// The largest allocation ever asked for in this process.
static LARGEST: AtomicUsize = AtomicUsize::new(0);

struct Watching;

// SAFETY: everything is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, memory: Memory) -> *mut u8 {
        LARGEST.fetch_max(memory.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(memory) }
    }

    unsafe fn dealloc(&self, at: *mut u8, memory: Memory) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, memory) }
    }

    unsafe fn realloc(&self, at: *mut u8, memory: Memory, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(at, memory, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// No test here works with more than a few MB.
fn nothing_large_was_allocated() {
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest < 8 << 20, "{largest} bytes at once");
}

fn read(file: &[u8], chunk: usize) -> Result<Header> {
    let mut reader = Reader::new("damaged.gguf");
    for piece in file.chunks(chunk) {
        reader.push(piece, &mut |event| {
            if let Event::Rows { tensor, bytes, .. } = event {
                assert_eq!(bytes.len() as u64 % tensor.row_bytes(), 0);
            }
            Ok(())
        })?;
    }
    reader.finish()?;
    Ok(reader.header().unwrap().clone())
}

/// Reads in one push and byte by byte, which must agree, and says what came of it.
fn code(file: &[u8]) -> &'static str {
    let whole = read(file, usize::MAX).map(|header| header.tensors);
    let bytes = read(file, 1).map(|header| header.tensors);
    assert_eq!(whole, bytes);
    whole.map_or_else(|error| error.code(), |_| "fine")
}

fn sample() -> Vec<u8> {
    let metadata = [
        ("general.architecture".to_owned(), Value::String("llama".to_owned())),
        ("n".to_owned(), Value::U32(7)),
        ("f".to_owned(), Value::F64(0.5)),
        ("yes".to_owned(), Value::Bool(true)),
        ("tokens".to_owned(), Value::Array(Array::String(["a", "bc"].map(str::to_owned).to_vec()))),
        ("scores".to_owned(), Value::Array(Array::F32(vec![0.0, -1.0, -2.0]))),
    ];
    let spec = |name: &str, ty, dims: &[u64]| TensorSpec {
        name: name.to_owned(),
        ty,
        dims: dims.to_vec(),
    };
    let tensors = [
        spec("token_embd.weight", TensorType::Q4_1, &[64, 3]),
        spec("output_norm.weight", TensorType::F32, &[6]),
    ];
    let layout = Layout::new(&metadata, &tensors, None).unwrap();
    let mut file = Vec::new();
    layout.parts()[0]
        .write("sample", &mut file, &mut |_, tensor, sink| sink(&vec![9; tensor.bytes() as usize]))
        .unwrap();
    file
}

#[test]
fn a_flipped_bit_anywhere_is_survived() {
    let file = sample();
    assert_eq!(code(&file), "fine");
    let mut errors = 0;
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut damaged = file.clone();
            damaged[at] ^= 1 << bit;
            errors += usize::from(code(&damaged) != "fine");
            // What parses must also answer questions.
            if let Ok(header) = read_header("damaged", &damaged) {
                let _ = (header.config(), header.split(), header.file_bytes());
            }
        }
    }
    assert!(errors > 1000, "{errors} of the flips are seen");
    nothing_large_was_allocated();
}

#[test]
fn every_truncation_is_seen() {
    let file = sample();
    let header = read(&file, 7).unwrap();
    let end = header.file_bytes() as usize;
    for length in 0..end {
        let error = read(&file[..length], usize::MAX).unwrap_err();
        let Error::Truncated { name, expected, found } = error.clone() else {
            panic!("{length}: {error}");
        };
        assert_eq!((name.as_str(), found), ("damaged.gguf", length as u64));
        assert!(expected > found && expected <= end as u64, "{length}: {expected}");
        assert_eq!(read(&file[..length], 1).unwrap_err(), error, "in any chunking");
        if length < header.data_offset as usize - 32 {
            assert_eq!(read_header("h", &file[..length]).unwrap_err().code(), "truncated");
        }
    }
    // The last tensor's padding may be absent, or there may be more.
    for length in end..file.len() {
        read(&file[..length], 5).unwrap();
    }
    read(&[&file[..], &[0; 100]].concat(), 64).unwrap();
}

#[test]
fn other_files_are_named_so() {
    for (bytes, expected) in [
        (&b"<!doctype html><html>"[..], "not_gguf"),
        (b"PK\x03\x04", "not_gguf"),
        (b"ggml....", "not_gguf"),
        (b"no", "not_gguf"),
        (b"GG", "truncated"),
        (b"", "truncated"),
    ] {
        assert_eq!(code(bytes), expected, "{bytes:?}");
    }
    let error = read(b"<!doctype html>", 3).unwrap_err();
    let expected = Error::NotGguf { name: "damaged.gguf".to_owned(), found: b"<!do".to_vec() };
    assert_eq!(error, expected);
    for version in [0, 1, 4, 3u32.swap_bytes()] {
        let mut file = sample();
        file[4..8].copy_from_slice(&u32::to_le_bytes(version));
        assert_eq!(read(&file, 9).unwrap_err(), Error::GgufVersion { version });
    }
}

/// Writes headers field by field.
struct Raw(Vec<u8>);

impl Raw {
    fn new(tensors: u64, keys: u64) -> Raw {
        Raw(b"GGUF\x03\0\0\0".to_vec()).u64(tensors).u64(keys)
    }

    fn u32(mut self, value: u32) -> Raw {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Raw {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn string(mut self, text: &[u8]) -> Raw {
        self = self.u64(text.len() as u64);
        self.0.extend(text);
        self
    }

    fn tensor(self, name: &str, dims: &[u64], ty: u32, offset: u64) -> Raw {
        let start = self.string(name.as_bytes()).u32(dims.len() as u32);
        dims.iter().fold(start, |raw, &dim| raw.u64(dim)).u32(ty).u64(offset)
    }

    /// Pads the header and adds `len` bytes of data.
    fn data(mut self, len: usize) -> Vec<u8> {
        self.0.resize(self.0.len().next_multiple_of(32) + len, 0);
        self.0
    }
}

fn corrupt(raw: Raw, says: &str) {
    let file = raw.data(4096);
    assert_eq!(code(&file), "corrupt_header", "{says}");
    let message = read(&file, 11).unwrap_err().to_string();
    assert!(message.contains(says), "{message} ({says})");
    nothing_large_was_allocated();
}

#[test]
fn counts_and_lengths_are_not_believed() {
    let huge = 1 << 60;
    corrupt(Raw::new(huge, 0), "tensors");
    corrupt(Raw::new(0, u64::MAX), "metadata keys");
    corrupt(Raw::new(0, 1).u64(huge), "a metadata key has");
    corrupt(Raw::new(0, 1).string(b"k").u32(8).u64(u64::MAX), "k has");
    corrupt(Raw::new(0, 1).string(b"k").u32(9).u32(6).u64(huge), "elements");
    corrupt(Raw::new(0, 1).string(b"k").u32(9).u32(8).u64(1).u64(huge), "k has");
    corrupt(Raw::new(1, 0).u64(huge), "a tensor name has");
    // Large, but within the limits: not there, so truncated, and not allocated for.
    for raw in [
        Raw::new(1 << 16, 0),
        Raw::new(0, 1 << 16),
        Raw::new(0, 1).string(b"k").u32(8).u64(16 << 20),
        Raw::new(0, 1).string(b"k").u32(9).u32(6).u64(64 << 20),
        Raw::new(0, 1).string(b"k").u32(9).u32(8).u64(64 << 20),
    ] {
        assert_eq!(code(&raw.0), "truncated");
        nothing_large_was_allocated();
    }
    // A row of 16 MiB of which a few bytes are there.
    let file = Raw::new(1, 0).tensor("t", &[4 << 20], 0, 0).data(100);
    assert_eq!(code(&file), "truncated");
    nothing_large_was_allocated();
}

#[test]
fn metadata_must_make_sense() {
    corrupt(Raw::new(0, 1).string(b"k").u32(13), "unknown value type 13");
    corrupt(Raw::new(0, 1).string(b"k").u32(9).u32(9).u64(0), "array of type 9");
    corrupt(Raw::new(0, 1).string(&[0xff, 0xfe]), "not UTF-8");
    corrupt(Raw::new(0, 1).string(b"k").u32(8).string(&[0xc3]), "not UTF-8");
    corrupt(Raw::new(0, 2).string(b"k").u32(4).u32(1).string(b"k").u32(4).u32(1), "twice");
    for alignment in [0, 3, 48, 1 << 17, u32::MAX] {
        let raw = Raw::new(0, 1).string(b"general.alignment").u32(4).u32(alignment);
        corrupt(raw, "general.alignment");
    }
    corrupt(Raw::new(0, 1).string(b"general.alignment").u32(8).string(b"32"), "general.alignment");
}

#[test]
fn tensors_must_make_sense() {
    corrupt(Raw::new(1, 0).tensor("t", &[], 0, 0), "0 dimensions");
    corrupt(Raw::new(1, 0).tensor("t", &[1; 5], 0, 0), "5 dimensions");
    corrupt(Raw::new(1, 0).tensor("t", &[0], 0, 0), "shape");
    corrupt(Raw::new(1, 0).tensor("t", &[4, 0], 0, 0), "shape");
    corrupt(Raw::new(1, 0).tensor("t", &[1 << 40], 0, 0), "shape");
    corrupt(Raw::new(1, 0).tensor("t", &[u64::MAX], 0, 0), "t has");
    corrupt(Raw::new(1, 0).tensor("t", &[4, 1 << 62], 0, 0), "shape");
    corrupt(Raw::new(1, 0).tensor("t", &[4, 1 << 31, 1 << 31, 4], 0, 0), "shape");
    corrupt(Raw::new(1, 0).tensor("t", &[4, 1 << 57], 0, 0), "past any file");
    corrupt(Raw::new(1, 0).tensor("t", &[33], 2, 0), "no multiple of Q4_0's block of 32");
    corrupt(Raw::new(1, 0).tensor("t", &[128], 12, 0), "no multiple of Q4_K's block of 256");

    let two = |a, b| Raw::new(2, 0).tensor("a", &[16], 0, a).tensor("b", &[16], 0, b);
    assert_eq!(code(&two(0, 64).data(128)), "fine");
    assert_eq!(code(&two(64, 0).data(128)), "fine");
    corrupt(two(0, 0), "next free position");
    corrupt(two(0, 32), "next free position");
    corrupt(two(0, 65), "next free position");
    corrupt(two(0, 96), "next free position");
    corrupt(two(0, u64::MAX), "next free position");
    corrupt(two(32, 96), "next free position");

    let twice = Raw::new(2, 0).tensor("a", &[16], 0, 0).tensor("a", &[16], 0, 64).data(128);
    assert_eq!(read(&twice, 3), Err(Error::DuplicateTensor { tensor: "a".to_owned() }));
    for (id, name) in [
        (10, "Q2_K"),
        (11, "Q3_K"),
        (20, "IQ4_NL"),
        (39, "MXFP4"),
        (4, "type 4"),
        (999, "type 999"),
    ] {
        let file = Raw::new(1, 0).tensor("a", &[256], id, 0).data(512);
        let expected =
            Error::UnknownTensorType { tensor: "a".to_owned(), type_name: name.to_owned() };
        assert_eq!(read(&file, 3), Err(expected));
    }
}

#[test]
fn an_error_stays() {
    let mut reader = Reader::new("damaged.gguf");
    let error = reader.push(b"nonsense", &mut |_| Ok(())).unwrap_err();
    assert_eq!(reader.push(&sample(), &mut |_| Ok(())), Err(error.clone()));
    assert_eq!(reader.finish(), Err(error));

    let mut reader = Reader::new("damaged.gguf");
    let mut calls = 0;
    let result = reader.push(&sample(), &mut |_| {
        calls += 1;
        if calls == 2 { Err(Error::Cancelled) } else { Ok(()) }
    });
    assert_eq!((result, calls), (Err(Error::Cancelled), 2));
    assert_eq!(reader.finish(), Err(Error::Cancelled));
}

#[test]
fn byte_by_byte_is_linear() {
    // 100,000 strings and one of 1 MB: quadratic work would take minutes.
    let mut raw = Raw::new(0, 2).string(b"long").u32(8).string(&vec![b'x'; 1 << 20]);
    raw = raw.string(b"tokens").u32(9).u32(8).u64(100_000);
    for i in 0..100_000 {
        raw = raw.string(format!("token{i}").as_bytes());
    }
    let file = raw.data(0);
    let start = Instant::now();
    let header = read(&file, 1).unwrap();
    assert_eq!(header.strings("tokens").unwrap()[99_999], "token99999");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
