//! The compute kernels: for each a WGSL file in `shaders/` and, here, a file of the same name with
//! its parameters, its bindings, its grid and `reference()`, the CPU twin that says what is right.
//!
//! Buffers are arrays of 32-bit words everywhere. Bindings stand in one order: inputs, outputs,
//! then the call's `Params` and the step's [`Step`], both uniforms.
//!
//! Letters for shapes: T tokens, D hidden, F ffn, H heads, Hkv kv heads, Dh head dim, V vocab, R rank.

pub mod argmax;
pub mod assemble;
pub mod attention;
pub mod beam_attention;
pub mod cases;
pub mod embed;
pub mod lora;
pub mod lora_down;
pub mod matmul;
pub mod matvec;
pub mod matvecs;
pub mod permutation;
pub mod rms_norm;
pub mod rope_kv;
pub mod top_k;

pub use permutation::{Epilogue, HEAD_DIMS, Permutation, Variant, permutations};

use crate::quant::Format;
use lora::Factors;

/// What differs from step to step: where the tokens stand. 16 bytes, a uniform with a dynamic offset.
///
/// The T rows of a step are either tokens that follow one another (`prefix` is 0), or beams: T
/// continuations of one text, all at the same position. Beams share the cache rows 0 … prefix; behind
/// them each step adds T rows, one a beam, and `slots` says which of them a beam descends from.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Step {
    /// Position of the step's first token in the context.
    pub position: u32,
    /// T: tokens of this step (1 in decode).
    pub tokens: u32,
    /// Positions that all beams share, at least 1; 0: the step's tokens follow one another.
    pub prefix: u32,
    /// Candidates a row that `top_k` is to find; 0: as many as its parameters say.
    pub candidates: u32,
}

impl Step {
    /// A step over `tokens` tokens, the first at `position`.
    pub fn new(position: u32, tokens: u32) -> Self {
        Step { position, tokens, prefix: 0, candidates: 0 }
    }

    /// A step over `beams` tokens at `position`, a beam each, behind a prefix of `prefix` tokens.
    pub fn beams(position: u32, beams: u32, prefix: u32, candidates: u32) -> Self {
        Step { position, tokens: beams, prefix, candidates }
    }

    /// Where row `row` stands in the text.
    pub fn text_position(&self, row: u32) -> u32 {
        if self.prefix > 0 { self.position } else { self.position + row }
    }

    /// Its row of the cache and its place in `ids`.
    pub fn cache_position(&self, row: u32) -> u32 {
        let first = match self.prefix {
            0 => self.position,
            prefix => prefix + (self.position - prefix) * self.tokens,
        };
        first + row
    }
}

/// How a kernel uses a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    Write,
}

/// One storage binding of a kernel; its index is its place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// The variable's name in the WGSL.
    pub name: &'static str,
    /// Read or read_write.
    pub access: Access,
}

const fn read(name: &'static str) -> Binding {
    Binding { name, access: Access::Read }
}

const fn write(name: &'static str) -> Binding {
    Binding { name, access: Access::Write }
}

/// The buffers of one call on the CPU, split as the binding list splits them.
pub struct Args<'a> {
    /// The read bindings, in order.
    pub inputs: Vec<&'a [u32]>,
    /// The write bindings, in order.
    pub outputs: Vec<&'a mut [u32]>,
}

/// A kernel with all that is fixed when the plan is built.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Call {
    /// Rows of the embedding, dequantized.
    Embed(Format, embed::Params),
    /// Root-mean-square normalization.
    RmsNorm(rms_norm::Params),
    /// Weight matrix times one vector.
    Matvec(Format, Epilogue, matvec::Params),
    /// Weight matrix times T vectors.
    Matmul(Format, Epilogue, matvec::Params),
    /// Weight matrix times a few vectors: a step of beams.
    Matvecs(Format, Epilogue, matvec::Params),
    /// The first half of an adapter's side path.
    LoraDown(Factors, lora_down::Params),
    /// [`Call::Matvec`] with an adapter's side path.
    MatvecLora(Format, Epilogue, Factors, lora::Params),
    /// [`Call::Matmul`] with an adapter's side path.
    MatmulLora(Format, Epilogue, Factors, lora::Params),
    /// [`Call::Matvecs`] with an adapter's side path.
    MatvecsLora(Format, Epilogue, Factors, lora::Params),
    /// Rotary embedding of queries and keys; keys and values into the cache.
    RopeKv(rope_kv::Params),
    /// Causal attention over the cache.
    Attention(attention::Params),
    /// Attention of beams, each over the prefix and its own ancestors.
    BeamAttention(attention::Params),
    /// The greedy next id.
    Argmax(argmax::Params),
    /// The K largest logits.
    TopK(top_k::Params),
}

impl Call {
    /// The kernel's name: of its WGSL file, its module here, and its row in `shaders/permutations`.
    pub fn kernel(&self) -> &'static str {
        match self {
            Call::Embed(..) => "embed",
            Call::RmsNorm(_) => "rms_norm",
            Call::Matvecs(..) | Call::MatvecsLora(..) => "matvecs",
            Call::Matvec(..) | Call::MatvecLora(..) => "matvec",
            Call::Matmul(..) | Call::MatmulLora(..) => "matmul",
            Call::LoraDown(..) => "lora_down",
            Call::RopeKv(_) => "rope_kv",
            Call::Attention(_) => "attention",
            Call::BeamAttention(_) => "beam_attention",
            Call::Argmax(_) => "argmax",
            Call::TopK(_) => "top_k",
        }
    }

    /// The shader permutation that runs this call as `variant`.
    pub fn permutation(&self, variant: Variant) -> Permutation {
        let (format, epilogue) = match *self {
            Call::Embed(format, _) => (Some(format), None),
            Call::Matvec(format, epilogue, _)
            | Call::Matmul(format, epilogue, _)
            | Call::Matvecs(format, epilogue, _)
            | Call::MatvecLora(format, epilogue, ..)
            | Call::MatvecsLora(format, epilogue, ..)
            | Call::MatmulLora(format, epilogue, ..) => (Some(format), Some(epilogue)),
            _ => (None, None),
        };
        let head_dim = match self {
            Call::Attention(p) | Call::BeamAttention(p) => Some(p.head_dim),
            _ => None,
        };
        let lora = match *self {
            Call::LoraDown(factors, _)
            | Call::MatvecLora(_, _, factors, _)
            | Call::MatmulLora(_, _, factors, _)
            | Call::MatvecsLora(_, _, factors, _) => Some(factors),
            _ => None,
        };
        Permutation { kernel: self.kernel(), variant, format, epilogue, head_dim, lora }
    }

    /// The kernel's storage bindings.
    pub fn bindings(&self) -> &'static [Binding] {
        self.permutation(Variant::Base).bindings()
    }

    /// The call's parameters, as they lie in the uniform.
    pub fn params(&self) -> &[u8] {
        match self {
            Call::Embed(_, p) => bytemuck::bytes_of(p),
            Call::RmsNorm(p) => bytemuck::bytes_of(p),
            Call::Matvec(_, _, p) | Call::Matmul(_, _, p) | Call::Matvecs(_, _, p) => {
                bytemuck::bytes_of(p)
            }
            Call::MatvecLora(.., p) | Call::MatmulLora(.., p) | Call::MatvecsLora(.., p) => {
                bytemuck::bytes_of(p)
            }
            Call::LoraDown(_, p) => bytemuck::bytes_of(p),
            Call::RopeKv(p) => bytemuck::bytes_of(p),
            Call::Attention(p) | Call::BeamAttention(p) => bytemuck::bytes_of(p),
            Call::Argmax(p) => bytemuck::bytes_of(p),
            Call::TopK(p) => bytemuck::bytes_of(p),
        }
    }

    /// Workgroups to dispatch for `step` with `variant`.
    pub fn grid(&self, step: &Step, variant: Variant) -> [u32; 3] {
        match self {
            Call::Embed(_, p) => embed::grid(p, step),
            Call::RmsNorm(p) => rms_norm::grid(p, step),
            Call::Matvec(_, epilogue, p) => matvec::grid(p, *epilogue, variant),
            Call::Matmul(_, epilogue, p) => matmul::grid(p, *epilogue, step, variant),
            Call::Matvecs(_, epilogue, p) => matvecs::grid(p, *epilogue, step, variant),
            Call::MatvecLora(_, epilogue, _, p) => matvec::grid(&p.product(), *epilogue, variant),
            Call::MatmulLora(_, epilogue, _, p) => {
                matmul::grid(&p.product(), *epilogue, step, variant)
            }
            Call::MatvecsLora(_, epilogue, _, p) => {
                matvecs::grid(&p.product(), *epilogue, step, variant)
            }
            Call::LoraDown(_, p) => lora_down::grid(p, step, variant),
            Call::RopeKv(p) => rope_kv::grid(p, step),
            Call::Attention(p) => attention::grid(p, step, variant),
            Call::BeamAttention(p) => beam_attention::grid(p, step),
            Call::Argmax(_) => [1, 1, 1],
            Call::TopK(_) => [step.tokens, 1, 1],
        }
    }

    /// Runs the CPU twin.
    pub fn reference(&self, step: &Step, args: &mut Args<'_>) {
        match self {
            Call::Embed(format, p) => embed::reference(*format, p, step, args),
            Call::RmsNorm(p) => rms_norm::reference(p, step, args),
            Call::Matvec(format, epilogue, p) => {
                matvec::reference(*format, *epilogue, p, &Step::new(step.position, 1), args);
            }
            Call::Matmul(format, epilogue, p) | Call::Matvecs(format, epilogue, p) => {
                matvec::reference(*format, *epilogue, p, step, args);
            }
            Call::MatvecLora(format, epilogue, factors, p) => {
                let step = Step::new(step.position, 1);
                matvec::adapted(*format, *epilogue, *factors, p, &step, args);
            }
            Call::MatmulLora(format, epilogue, factors, p)
            | Call::MatvecsLora(format, epilogue, factors, p) => {
                matvec::adapted(*format, *epilogue, *factors, p, step, args);
            }
            Call::LoraDown(factors, p) => lora_down::reference(*factors, p, step, args),
            Call::RopeKv(p) => rope_kv::reference(p, step, args),
            Call::Attention(p) => attention::reference(p, step, args),
            Call::BeamAttention(p) => beam_attention::reference(p, step, args),
            Call::Argmax(p) => argmax::reference(p, step, args),
            Call::TopK(p) => top_k::reference(p, step, args),
        }
    }
}

/// The storage bindings of the plain kernel named `kernel`; empty for a name that is none.
pub fn bindings(kernel: &str) -> &'static [Binding] {
    match kernel {
        "embed" => embed::BINDINGS,
        "rms_norm" => rms_norm::BINDINGS,
        "matvec" => matvec::BINDINGS,
        "matmul" => matmul::BINDINGS,
        "matvecs" => matvecs::BINDINGS,
        "lora_down" => lora_down::BINDINGS,
        "rope_kv" => rope_kv::BINDINGS,
        "attention" => attention::BINDINGS,
        "beam_attention" => beam_attention::BINDINGS,
        "argmax" => argmax::BINDINGS,
        "top_k" => top_k::BINDINGS,
        _ => &[],
    }
}

/// Size of a plain kernel's `Params` in bytes, for the bind group layout and the reflection test.
pub fn params_bytes(kernel: &str) -> usize {
    match kernel {
        "embed" => size_of::<embed::Params>(),
        "rms_norm" => size_of::<rms_norm::Params>(),
        "matvec" | "matmul" | "matvecs" => size_of::<matvec::Params>(),
        "lora_down" => size_of::<lora_down::Params>(),
        "rope_kv" => size_of::<rope_kv::Params>(),
        "attention" | "beam_attention" => size_of::<attention::Params>(),
        "argmax" => size_of::<argmax::Params>(),
        "top_k" => size_of::<top_k::Params>(),
        _ => 0,
    }
}
