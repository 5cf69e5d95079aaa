//! Adapters that PEFT wrote (tests/goldens/peft), read and written again; and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "common/safetensors.rs"]
mod safetensors;

use std::path::PathBuf;

use radllama::LlamaConfig;
use radllama::lora::peft::{Element, base_sha256};
use radllama::lora::{Adapter, Target};
use safetensors::{Archive, Tensor};
use serde_json::{Value, json};

fn model() -> LlamaConfig {
    LlamaConfig {
        hidden_size: 32,
        intermediate_size: 32,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 8,
        vocab_size: 272,
        max_position_embeddings: 64,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        tie_word_embeddings: true,
    }
}

fn golden(name: &str, file: &str) -> Vec<u8> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/peft");
    std::fs::read(dir.join(name).join(file)).unwrap()
}

fn files(name: &str) -> (Value, Archive) {
    let config = serde_json::from_slice(&golden(name, "adapter_config.json")).unwrap();
    (config, Archive::parse(&golden(name, "adapter_model.safetensors")))
}

fn read(config: &Value, archive: &Archive) -> radllama::Result<Adapter> {
    Adapter::from_peft(&serde_json::to_vec(config).unwrap(), &archive.bytes(), &model())
}

fn name(layer: u32, target: Target, factor: char) -> String {
    let (parent, target) = (target.parent(), target.name());
    format!("base_model.model.model.layers.{layer}.{parent}.{target}.lora_{factor}.weight")
}

#[test]
fn what_peft_wrote_is_read_and_every_tensor_comes_back_to_the_byte() {
    for case in ["plain", "patterns"] {
        let (config, archive) = files(case);
        let adapter = read(&config, &archive).unwrap();
        assert_eq!(adapter.base_sha256, None);
        assert_eq!(adapter.pairs.len() * 2, archive.tensors.len());
        let (written_config, written) = adapter.to_peft(Element::F32).unwrap();
        assert!(Archive::parse(&written).tensors == archive.tensors, "{case}");
        let again = Adapter::from_peft(&written_config, &written, &model()).unwrap();
        assert_eq!(again, adapter, "{case}");
        assert_eq!(
            again.to_peft(Element::F32).unwrap(),
            (written_config, written),
            "{case}: deterministic"
        );
    }
}

#[test]
fn ranks_and_scales_are_pefts() {
    let (config, archive) = files("plain");
    let adapter = read(&config, &archive).unwrap();
    assert_eq!(adapter.pairs.len(), 14);
    assert!(adapter.pairs.values().all(|pair| (pair.rank, pair.scale) == (4, 2.0)));
    assert_eq!(adapter.config.target_modules, Target::ALL);
    assert_eq!((adapter.config.r, adapter.config.lora_alpha), (4, 8.0));
    assert_eq!((adapter.config.lora_dropout, adapter.config.base_model.as_str()), (0.1, "tiny"));
    let pair = &adapter.pairs[&(1, Target::K)];
    assert_eq!(pair.a, archive.tensors[&name(1, Target::K, 'A')].values());
    assert_eq!(pair.b, archive.tensors[&name(1, Target::K, 'B')].values());
    assert_eq!((pair.a.len(), pair.b.len()), (4 * 32, 16 * 4));

    let (config, archive) = files("patterns");
    let adapter = read(&config, &archive).unwrap();
    assert!(adapter.config.use_rslora);
    let expect = |layer, target, rank: u32, alpha: f64| {
        let pair = &adapter.pairs[&(layer, target)];
        let scale = (alpha / f64::from(rank).sqrt()) as f32;
        assert_eq!((pair.rank, pair.scale), (rank, scale), "{layer} {target:?}");
    };
    expect(0, Target::Q, 3, 7.0);
    expect(1, Target::Q, 3, 5.0);
    expect(0, Target::K, 3, 5.0);
    expect(1, Target::K, 4, 5.0);
    expect(1, Target::Down, 2, 5.0);
    assert_eq!(adapter.pairs.len(), 8);

    let (config, archive) = files("half");
    assert!(archive.tensors.values().all(|tensor| tensor.dtype == "BF16"));
    let mut adapter = read(&config, &archive).unwrap();
    assert_eq!(adapter.pairs.keys().copied().collect::<Vec<_>>(), [(1, Target::Q), (1, Target::V)]);
    let bits = &archive.tensors[&name(1, Target::V, 'B')].data;
    let first = f32::from_bits(u32::from(u16::from_le_bytes([bits[0], bits[1]])) << 16);
    assert_eq!(adapter.pairs[&(1, Target::V)].b[0], first);
    // F32 is written, of the same values.
    let (config, file) = adapter.to_peft(Element::F32).unwrap();
    assert_eq!(Adapter::from_peft(&config, &file, &model()).unwrap(), adapter);

    // In half the size, to half the precision; what F16 cannot hold is refused.
    let (config, half) = adapter.to_peft(Element::F16).unwrap();
    assert!(half.len() < file.len());
    let mut rounded = Adapter::from_peft(&config, &half, &model()).unwrap();
    for (key, pair) in &mut rounded.pairs {
        let exact = &adapter.pairs[key];
        for (found, exact) in pair.a.iter().zip(&exact.a).chain(pair.b.iter().zip(&exact.b)) {
            assert!((found - exact).abs() <= exact.abs() / 2048.0 + 3e-8, "{found} {exact}");
        }
        *pair = exact.clone();
    }
    assert_eq!(rounded, adapter);
    adapter.pairs.get_mut(&(1, Target::Q)).unwrap().a[0] = 1e5;
    assert_eq!(adapter.to_peft(Element::F16).unwrap_err().code(), "bad_weight");
}

#[test]
fn uneven_adapters_and_odd_scales_survive() {
    let (config, archive) = files("plain");
    let mut adapter = read(&config, &archive).unwrap();
    adapter.pairs.remove(&(0, Target::Up));
    adapter.pairs.get_mut(&(1, Target::Gate)).unwrap().scale = 0.123_456_79;
    adapter.config.use_rslora = true;
    let (config, file) = adapter.to_peft(Element::F32).unwrap();
    assert_eq!(Adapter::from_peft(&config, &file, &model()).unwrap(), adapter);
}

#[test]
fn what_changes_results_and_is_not_supported_is_refused_by_name() {
    for (key, value) in [
        ("use_dora", json!(true)),
        ("bias", json!("lora_only")),
        ("lora_bias", json!(true)),
        ("modules_to_save", json!(["lm_head"])),
        ("fan_in_fan_out", json!(true)),
        ("init_lora_weights", json!("pissa")),
        ("init_lora_weights", json!("olora")),
        ("loftq_config", json!({"loftq_bits": 4})),
        ("layer_replication", json!([[0, 1], [0, 1]])),
        ("trainable_token_indices", json!([5])),
        ("target_parameters", json!(["mlp.w"])),
        ("alora_invocation_tokens", json!([1, 2])),
        ("use_qalora", json!(true)),
        ("megatron_config", json!({"a": 1})),
        ("use_something_new", json!(true)),
        ("layers_pattern", json!("h")),
        ("rank_pattern", json!({"layers.[01].self_attn.q_proj": 4})),
        ("peft_type", json!("LOHA")),
    ] {
        let (mut config, archive) = files("plain");
        config[key] = value;
        let error = read(&config, &archive).unwrap_err();
        assert_eq!(error.code(), "unsupported_feature", "{key}: {error}");
        assert!(error.to_string().contains(key), "{key}: {error}");
    }
    for (key, value) in [
        ("something_new", json!(null)),
        ("use_something_new", json!(false)),
        ("list_of_something", json!([])),
        ("init_lora_weights", json!("gaussian")),
        ("target_modules", json!("all-linear")),
        ("target_modules", json!(".*(q|k|v|o|gate|up|down)_proj")),
    ] {
        let (mut config, archive) = files("plain");
        config[key] = value;
        assert!(read(&config, &archive).is_ok(), "{key}");
    }
}

#[test]
fn a_configuration_that_does_not_fit_the_tensors_is_refused() {
    for (key, value, code) in [
        ("r", json!(8), "wrong_shape"),
        ("r", json!(0), "bad_adapter"),
        ("r", json!("4"), "bad_adapter"),
        ("lora_alpha", json!(null), "bad_adapter"),
        ("use_rslora", json!("yes"), "bad_adapter"),
        ("rank_pattern", json!({"q_proj": 2}), "wrong_shape"),
        ("rank_pattern", json!({"q_proj": -2}), "bad_adapter"),
        ("alpha_pattern", json!({"q_proj": "x"}), "bad_adapter"),
        ("target_modules", json!(["q_proj"]), "unexpected_tensor"),
        ("layers_to_transform", json!([1]), "unexpected_tensor"),
        ("layers_to_transform", json!(-1), "bad_adapter"),
        ("exclude_modules", json!(["k_proj"]), "unexpected_tensor"),
    ] {
        let (mut config, archive) = files("plain");
        config[key] = value;
        let error = read(&config, &archive).unwrap_err();
        assert_eq!(error.code(), code, "{key}: {error}");
    }
    let (mut config, archive) = files("half");
    config["layers_to_transform"] = json!(null);
    assert_eq!(read(&config, &archive).unwrap_err().code(), "missing_tensor");
    for json in ["", "[]", "{\"peft_type\": \"LORA\"", "\u{0}\u{1}"] {
        let error = Adapter::from_peft(json.as_bytes(), &archive.bytes(), &model()).unwrap_err();
        assert_eq!(error.code(), "bad_adapter", "{json}");
    }
}

#[test]
fn every_tensor_is_used_exactly_once_or_the_adapter_is_refused() {
    let (config, archive) = files("plain");
    let refused = |change: &dyn Fn(&mut Archive)| {
        let mut archive = archive.clone();
        change(&mut archive);
        let error = read(&config, &archive).unwrap_err();
        (error.code(), error.to_string())
    };
    for factor in ['A', 'B'] {
        let gone = name(1, Target::Down, factor);
        let (code, text) = refused(&|archive| _ = archive.tensors.remove(&gone));
        assert_eq!(code, "missing_tensor");
        assert!(text.contains(&gone), "{text}");
    }
    let gone = |archive: &mut Archive| {
        archive.tensors.remove(&name(1, Target::Q, 'A'));
        archive.tensors.remove(&name(1, Target::Q, 'B'));
    };
    assert_eq!(refused(&gone).0, "missing_tensor");
    assert_eq!(refused(&|archive| archive.tensors.clear()).0, "bad_adapter");
    for extra in [
        "base_model.model.lm_head.lora_A.weight",
        "base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight",
        "base_model.model.model.layers.01.self_attn.q_proj.lora_A.weight",
        "base_model.model.model.layers.0.mlp.q_proj.lora_A.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight",
        "x",
    ] {
        let add = |archive: &mut Archive| {
            let tensor = archive.tensors[&name(0, Target::Q, 'A')].clone();
            archive.tensors.insert(extra.to_owned(), tensor);
        };
        assert_eq!(refused(&add).0, "unexpected_tensor", "{extra}");
    }
    for bad in [f32::NAN, f32::INFINITY] {
        let poison = |archive: &mut Archive| {
            let tensor = archive.tensors.get_mut(&name(0, Target::Up, 'B')).unwrap();
            tensor.data[40..44].copy_from_slice(&bad.to_le_bytes());
        };
        let (code, text) = refused(&poison);
        assert_eq!(code, "bad_weight");
        assert!(text.contains("up_proj"), "{text}");
    }
    let ints = |archive: &mut Archive| {
        archive.tensors.get_mut(&name(0, Target::Up, 'B')).unwrap().dtype = "I32".to_owned();
    };
    let (code, text) = refused(&ints);
    assert_eq!(code, "bad_adapter");
    assert!(text.contains("I32") && text.contains("up_proj"), "{text}");
    let turned = |archive: &mut Archive| {
        archive.tensors.get_mut(&name(0, Target::Up, 'B')).unwrap().shape.reverse();
    };
    assert_eq!(refused(&turned).0, "wrong_shape");
    let vector = |archive: &mut Archive| {
        let values = Tensor::f32(&[4], &[0.0; 4]);
        archive.tensors.insert(name(0, Target::Up, 'A'), values);
    };
    assert_eq!(refused(&vector).0, "wrong_shape");
}

#[test]
fn damaged_archives_are_refused() {
    let (config, file) =
        (golden("plain", "adapter_config.json"), golden("plain", "adapter_model.safetensors"));
    let code = |file: &[u8]| Adapter::from_peft(&config, file, &model()).unwrap_err().code();
    for length in [0, 7, 8, 100, file.len() - 1] {
        assert_eq!(code(&file[..length]), "bad_adapter", "{length}");
    }
    let mut longer = file.clone();
    longer.push(0);
    assert_eq!(code(&longer), "bad_adapter");
    let mut huge = file.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(code(&huge), "bad_adapter");
    let mut garbled = file;
    garbled[20] = 0xff;
    assert_eq!(code(&garbled), "bad_adapter");
}

#[test]
fn an_adapter_of_another_model_or_base_is_refused() {
    let (config, archive) = files("plain");
    let other = LlamaConfig { num_key_value_heads: 4, ..model() };
    let bytes = serde_json::to_vec(&config).unwrap();
    let error = Adapter::from_peft(&bytes, &archive.bytes(), &other).unwrap_err();
    assert_eq!(error.code(), "wrong_shape");

    let mut adapter = read(&config, &archive).unwrap();
    let hash = base_sha256(&["a".repeat(64), "b".repeat(64)]);
    // By sha256sum, of the 128 letters.
    assert_eq!(hash, "fa0dafbf43f1f551e536353e9d1a942a8e86e41a0b58dfeaf264ef217f6b862a");
    assert_ne!(hash, base_sha256(&["b".repeat(64), "a".repeat(64)]));
    assert!(adapter.check_base(&hash).is_ok(), "an adapter that does not tell fits any base");
    adapter.base_sha256 = Some(hash.clone());
    let (config, file) = adapter.to_peft(Element::F32).unwrap();
    let again = Adapter::from_peft(&config, &file, &model()).unwrap();
    assert_eq!(again.base_sha256, Some(hash.clone()));
    assert!(again.check_base(&hash).is_ok());
    assert_eq!(again.check_base(&"0".repeat(64)).unwrap_err().code(), "other_base");
}
