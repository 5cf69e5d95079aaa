//! How an adapter's factors are stored for the side path: as f16 where nothing is lost, else as f32.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "common/adapters.rs"]
mod adapters;
#[path = "common/tiny.rs"]
mod tiny;

use adapters::{adapter, halved, odd_ranks};
use radllama::cpu::CpuStore;
use radllama::digest::sha256;
use radllama::gguf::TensorType;
use radllama::kernels::lora::Factors;
use radllama::lora::{Adapter, Target};
use radllama::model::SidePath;
use radllama::model::loader::{Loader, Part};
use tiny::Tiny;

#[test]
fn factors_are_halves_only_where_nothing_is_lost() {
    let tiny = Tiny::new(TensorType::F32);
    let file = tiny.files().remove(0);
    let (bytes, hash) = (Some(file.len() as u64), Some(sha256(&file)));
    let part = Part { name: "tiny".into(), bytes, sha256: hash, ..Part::default() };
    let mut loader = Loader::new(CpuStore::default(), vec![part]);
    loader.push(0, &file).unwrap();
    let layout = loader.finish().unwrap().layout;
    let factors = |adapter: &Adapter| SidePath::new(&layout, adapter).unwrap();
    let floats = adapter(&tiny.config, 4, odd_ranks);
    let halves = halved(&floats);
    let (wide, narrow) = (factors(&floats), factors(&halves));
    assert_eq!((wide.factors, narrow.factors), (Factors::F32, Factors::F16));
    let words = |side: &SidePath| side.buffers.iter().map(|(_, words)| words.len()).sum::<usize>();
    assert_eq!(words(&wide), 2 * words(&narrow));
    // One value of one factor, and it is f32 for all: so fine that f16 has no such value, or too large.
    for value in [0.1, 1.0 + f32::EPSILON, 64.0, 1e-8, f32::from_bits(1)] {
        for of_a in [true, false] {
            let mut other = halves.clone();
            let pair = other.pairs.get_mut(&(1, Target::V)).unwrap();
            let values = if of_a { &mut pair.a } else { &mut pair.b };
            values[3] = value;
            assert_eq!(factors(&other).factors, Factors::F32, "{value:e}, A: {of_a}");
        }
    }
    // It is s·B that must be one, not B: a third of an f16 is none.
    let mut scaled = halves.clone();
    let pair = scaled.pairs.get_mut(&(0, Target::Down)).unwrap();
    pair.scale = 1.0 / 3.0;
    assert_eq!(factors(&scaled).factors, Factors::F32);
}

#[test]
fn every_half_below_64_is_kept_and_none_as_a_subnormal() {
    let mut held = 0;
    for bits in 0..=u16::MAX {
        let value = half::f16::from_bits(bits).to_f32();
        assert_eq!(Factors::F16.hold(value), value.abs() < 64.0, "{value:e}");
        assert!(Factors::F32.hold(value));
        if value.abs() < 64.0 {
            let [word] = Factors::F16.encode(&[value, value])[..] else { panic!("one word") };
            for half in [word as u16, (word >> 16) as u16] {
                let kept = half::f16::from_bits(half);
                assert!(kept.is_normal() || half << 1 == 0, "{value:e} as {half:x}");
                assert_eq!(f64::from(kept.to_f32()), 1024.0 * f64::from(value));
            }
            held += 1;
        }
    }
    assert_eq!(held, 2 * 0x5400);
    assert_eq!(Factors::F16.encode(&[0.5, -2.0]), [0xe800_6000]);
}
