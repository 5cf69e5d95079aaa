//! Every shader permutation through naga, and its bindings and parameters against what Rust says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeSet;

use naga::valid::{Capabilities, ValidationFlags, Validator};
use radllama::kernels::{self, Access, HEAD_DIMS, assemble, permutations};

fn parse(name: &str, source: &str) -> Result<naga::Module, String> {
    let module = naga::front::wgsl::parse_str(source)
        .map_err(|error| format!("{name}: {}", error.emit_to_string(source)))?;
    let capabilities = Capabilities::SUBGROUP
        | Capabilities::SHADER_FLOAT16
        | Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|error| format!("{name}: {}", error.emit_to_string(source)))?;
    Ok(module)
}

#[test]
fn every_permutation_validates() {
    let all = permutations(&HEAD_DIMS);
    let kernels: BTreeSet<_> = all.iter().map(|permutation| permutation.kernel).collect();
    assert_eq!(kernels, assemble::kernel_names().collect(), "kernels without a permutation");
    let faults: Vec<_> = all
        .iter()
        .filter_map(|p| parse(&p.name(), &assemble::assemble(p, false).unwrap()).err())
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(all.len() > 60, "only {} permutations", all.len());
}

#[test]
fn every_line_of_the_permutations_file_is_understood() {
    let lines = assemble::PERMUTATIONS.lines().filter(|l| !l.starts_with('#')).map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        assert_eq!(columns.len(), 5, "{line}");
        let listed = columns[1..4].iter().map(|list| list.split(',').count()).product::<usize>();
        match columns[4] {
            "head_dim" => listed * HEAD_DIMS.len(),
            "lora" => listed * 3,
            "factors" => listed * 2,
            other => {
                assert_eq!(other, "-", "{line}");
                listed
            }
        }
    });
    assert_eq!(lines.sum::<usize>(), permutations(&HEAD_DIMS).len());
}

#[test]
fn a_bad_shader_fails() {
    assert!(parse("bad", "@compute @workgroup_size(1) fn main() { let x: u32 = 1.5; }").is_err());
}

#[test]
fn bindings_and_params_agree_with_rust() {
    for permutation in permutations(&HEAD_DIMS) {
        let name = permutation.name();
        let module = parse(&name, &assemble::assemble(&permutation, false).unwrap()).unwrap();
        let expected = permutation.bindings();
        for (_, variable) in module.global_variables.iter() {
            let Some(binding) = &variable.binding else { continue };
            assert_eq!(binding.group, 0, "{name}");
            let index = binding.binding as usize;
            let bytes = module.types[variable.ty].inner.size(module.to_ctx()) as usize;
            match (variable.space, expected.get(index)) {
                (naga::AddressSpace::Storage { access }, Some(expected)) => {
                    assert_eq!(variable.name.as_deref(), Some(expected.name), "{name}");
                    let writes = access.contains(naga::StorageAccess::STORE);
                    assert_eq!(writes, expected.access == Access::Write, "{name}: {expected:?}");
                }
                (naga::AddressSpace::Uniform, None) if index == expected.len() => {
                    assert_eq!(bytes, permutation.params_bytes(), "{name}: params");
                }
                (naga::AddressSpace::Uniform, None) if index == expected.len() + 1 => {
                    assert_eq!(bytes, size_of::<kernels::Step>(), "{name}: step");
                }
                other => panic!("{name}: binding {index} is {other:?}"),
            }
        }
    }
}

#[test]
fn base_variants_keep_to_the_base_limits() {
    for permutation in permutations(&HEAD_DIMS) {
        let name = permutation.name();
        let module = parse(&name, &assemble::assemble(&permutation, false).unwrap()).unwrap();
        assert!(permutation.bindings().len() <= 8, "{name}: storage buffers");
        let [x, y, z] = module.entry_points[0].workgroup_size;
        assert!(x * y * z <= 256, "{name}: {} invocations", x * y * z);
        let workgroup_bytes: u32 = module
            .global_variables
            .iter()
            .filter(|(_, v)| v.space == naga::AddressSpace::WorkGroup)
            .map(|(_, v)| module.types[v.ty].inner.size(module.to_ctx()))
            .sum();
        assert!(workgroup_bytes <= 16384, "{name}: {workgroup_bytes} bytes of workgroup memory");
    }
}
