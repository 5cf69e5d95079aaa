//! Which shaders there are: `shaders/permutations`, read once.

use super::Binding;
use super::lora::{self, Factors};
use crate::quant::Format;

/// How a kernel is written for a class of devices. All variants compute the same thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Variant {
    /// Runs on every WebGPU device: f32, no optional feature.
    Base,
    /// Sums across a subgroup instead of through workgroup memory. Needs `subgroups`, size 8 or more.
    Subgroup,
    /// Keeps weight codes in workgroup memory as f16, which holds them exactly. Needs `shader-f16`.
    F16,
    /// No barriers, one long-running thread per output: for adapters that are CPUs.
    Serial,
}

impl Variant {
    /// All variants.
    pub const ALL: [Variant; 4] = [Variant::Base, Variant::Subgroup, Variant::F16, Variant::Serial];

    /// The name in `shaders/permutations` and in `#if`.
    pub fn name(self) -> &'static str {
        match self {
            Variant::Base => "base",
            Variant::Subgroup => "subgroup",
            Variant::F16 => "f16",
            Variant::Serial => "serial",
        }
    }
}

/// What a matrix product does with its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Epilogue {
    /// out = W·x
    Store,
    /// out += W·x: the residual stream.
    Add,
    /// out_i = silu(W_i·x) × (W_{i+F}·x): gate rows first, then up rows, F of each.
    Swiglu,
}

impl Epilogue {
    /// All epilogues.
    pub const ALL: [Epilogue; 3] = [Epilogue::Store, Epilogue::Add, Epilogue::Swiglu];

    /// The name in `shaders/permutations` and in `#if`.
    pub fn name(self) -> &'static str {
        match self {
            Epilogue::Store => "store",
            Epilogue::Add => "add",
            Epilogue::Swiglu => "swiglu",
        }
    }
}

/// One shader that can be compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Permutation {
    /// Name of the WGSL file.
    pub kernel: &'static str,
    /// For which class of devices.
    pub variant: Variant,
    /// The weight format, where the kernel reads weights.
    pub format: Option<Format>,
    /// What happens to the result, where the kernel is a matrix product.
    pub epilogue: Option<Epilogue>,
    /// Dh, where the kernel's loops over a head are written out.
    pub head_dim: Option<u32>,
    /// How an adapter's factors lie, where a matrix product adds its side path or the kernel is
    /// `lora_down`.
    pub lora: Option<Factors>,
}

/// The head dims that tests and listings compile attention for: odd, common, widest.
pub const HEAD_DIMS: [u32; 4] = [4, 48, 64, 128];

impl Permutation {
    /// `matvec.serial.q4.swiglu`
    pub fn name(&self) -> String {
        let mut name = format!("{}.{}", self.kernel, self.variant.name());
        let head_dim = self.head_dim.map(|head_dim| format!("dh{head_dim}"));
        let parts = [
            self.format.map(Format::name),
            self.epilogue.map(Epilogue::name),
            head_dim.as_deref(),
            self.lora.map(Factors::name),
        ];
        for part in parts.into_iter().flatten() {
            name.push('.');
            name.push_str(part);
        }
        name
    }

    /// Whether only adapters need it: it is compiled when the first one comes.
    pub fn is_for_adapters(&self) -> bool {
        self.lora.is_some()
    }

    /// Whether it is a matrix product with a side path.
    pub fn is_adapted(&self) -> bool {
        self.lora.is_some() && self.kernel != "lora_down"
    }

    /// Whether only beams need it: it is compiled on their first use.
    pub fn is_for_beams(&self) -> bool {
        matches!(self.kernel, "matvecs" | "beam_attention")
    }

    /// The names that `#if` finds true.
    pub fn defines(&self) -> Vec<&'static str> {
        let mut defines = vec![self.variant.name()];
        // Variant and format may both be called f16: the format's defines carry a prefix.
        if let Some(format) = self.format {
            defines.push(match format {
                Format::Q4 => "weights_q4",
                Format::Q8 => "weights_q8",
                Format::F16 => "weights_f16",
                Format::F32 => "weights_f32",
            });
            if format.has_scales() {
                defines.push("scaled");
            }
        }
        defines.extend(self.epilogue.map(Epilogue::name));
        if self.is_adapted() {
            defines.push("lora");
        }
        if self.lora == Some(Factors::F16) {
            defines.push("lora_f16");
        }
        defines
    }

    /// Its storage bindings.
    pub fn bindings(&self) -> &'static [Binding] {
        if self.is_adapted() { lora::BINDINGS } else { super::bindings(self.kernel) }
    }

    /// Size of its `Params` in bytes.
    pub fn params_bytes(&self) -> usize {
        if self.is_adapted() { size_of::<lora::Params>() } else { super::params_bytes(self.kernel) }
    }
}

/// Every permutation that `shaders/permutations` lists, in its order, attention for each of
/// `head_dims`.
pub fn permutations(head_dims: &[u32]) -> Vec<Permutation> {
    let mut all = Vec::new();
    for line in super::assemble::PERMUTATIONS.lines() {
        let mut columns = line.split_whitespace();
        let (Some(kernel), Some(variants), Some(formats), Some(epilogues)) =
            (columns.next(), columns.next(), columns.next(), columns.next())
        else {
            continue;
        };
        let Some(kernel) = super::assemble::kernel_names().find(|name| *name == kernel) else {
            continue; // the header line; tests/shaders.rs holds every other line against the files
        };
        let listed = |list: &str, name: &str| list.split(',').any(|item| item == name);
        let pick_format: Vec<_> =
            Format::ALL.into_iter().filter(|f| listed(formats, f.name())).map(Some).collect();
        let pick_epilogue: Vec<_> =
            Epilogue::ALL.into_iter().filter(|e| listed(epilogues, e.name())).map(Some).collect();
        let more = columns.next();
        let pick_head_dim: Vec<_> = match more {
            Some("head_dim") => head_dims.iter().copied().map(Some).collect(),
            _ => vec![None],
        };
        let pick_lora: &[Option<Factors>] = match more {
            Some("lora") => &[None, Some(Factors::F32), Some(Factors::F16)],
            Some("factors") => &[Some(Factors::F32), Some(Factors::F16)],
            _ => &[None],
        };
        for variant in Variant::ALL.into_iter().filter(|v| listed(variants, v.name())) {
            for &format in or_none(&pick_format) {
                for &epilogue in or_none(&pick_epilogue) {
                    for &head_dim in &pick_head_dim {
                        for &lora in pick_lora {
                            all.push(Permutation {
                                kernel,
                                variant,
                                format,
                                epilogue,
                                head_dim,
                                lora,
                            });
                        }
                    }
                }
            }
        }
    }
    all
}

fn or_none<T>(list: &[Option<T>]) -> &[Option<T>] {
    if list.is_empty() { &[None] } else { list }
}
