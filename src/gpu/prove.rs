//! The start-up self-test: every kernel a model needs is compiled and held against its CPU twin on
//! this very device. A variant that is refused or computes wrongly gives way to the next; when none is
//! left, the device is refused. Silent gibberish is the worst fault an engine like this can have.

use std::collections::{BTreeMap, BTreeSet};

use super::{Gpu, GpuStore, Pipeline, Tier};
use crate::error::{Error, Result};
use crate::kernels::cases::{Case, Extent, cases};
use crate::kernels::{Call, Permutation, Variant, permutations};
use crate::model::{BufferSpec, Dispatch, Needs};

/// Proven pipelines, one for each kernel, format and epilogue.
#[derive(Debug, Clone)]
pub struct Kernels {
    proven: BTreeMap<Permutation, (Variant, Pipeline)>,
    passed_over: BTreeMap<String, Error>,
}

impl Kernels {
    /// The pipeline for a call, and which variant it is.
    pub(super) fn get(&self, call: &Call) -> Result<(Variant, &Pipeline)> {
        // Proven under the name of the base variant, whichever won.
        let key = call.permutation(Variant::Base);
        self.proven
            .get(&key)
            .map(|(variant, pipeline)| (*variant, pipeline))
            .ok_or_else(|| Error::Internal(format!("{} was not proven on this device", key.name())))
    }

    /// Which variant each kernel runs as.
    pub fn chosen(&self) -> BTreeMap<&'static str, &'static str> {
        let plain = self.proven.iter().filter(|(key, _)| !key.is_adapted());
        plain.map(|(key, (variant, _))| (key.kernel, variant.name())).collect()
    }

    /// The permutations that gave way to a slower one, and why.
    pub fn passed_over(&self) -> &BTreeMap<String, Error> {
        &self.passed_over
    }
}

/// The outcome of one case on one device.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Check {
    /// The permutation.
    pub permutation: String,
    /// The sizes.
    pub case: String,
    /// The largest error relative to the root mean square of the result.
    pub error: f64,
    /// What passes.
    pub allowed: f64,
}

impl Check {
    /// Whether the device computed what the twin computed.
    pub fn passed(&self) -> bool {
        self.error <= self.allowed
    }
}

/// The variants of a kernel to try on a device, best first. The order is measured: see ARCHITECTURE.md.
pub fn variants(gpu: &Gpu, kernel: &str) -> Vec<Variant> {
    let order: &[Variant] = match (gpu.tier(), kernel) {
        (
            Tier::Cpu,
            "matvec" | "matmul" | "matvecs" | "lora_down" | "attention" | "beam_attention",
        ) => &[Variant::Serial, Variant::Base],
        (Tier::Gpu, "matvec" | "matvecs") => &[Variant::Subgroup, Variant::Base],
        (Tier::Gpu, "matmul") => &[Variant::Base, Variant::F16],
        _ => &[Variant::Base],
    };
    let preferred = gpu.prefer.filter(|variant| order.contains(variant));
    let rest = order.iter().copied().filter(|variant| Some(*variant) != preferred);
    preferred.into_iter().chain(rest).filter(|variant| gpu.can_run(*variant)).collect()
}

impl Gpu {
    /// Compiles and proves what a model needs, but for beams and adapters. `progress` hears of each
    /// kernel: done, total.
    pub async fn prove(
        &self,
        needs: &Needs,
        progress: impl FnMut(usize, usize),
    ) -> Result<Kernels> {
        let all = permutations(&[needs.head_dim]);
        let wanted: Vec<Permutation> = all
            .iter()
            .filter(|permutation| permutation.variant == Variant::Base)
            .filter(|permutation| !permutation.is_for_beams() && !permutation.is_for_adapters())
            .filter(|permutation| permutation.format.is_none_or(|f| needs.formats.contains(&f)))
            .copied()
            .collect();
        let mut kernels = Kernels { proven: BTreeMap::new(), passed_over: BTreeMap::new() };
        self.prove_all(&all, &wanted, &mut kernels, progress).await?;
        Ok(kernels)
    }

    /// Compiles and proves what plans call beyond what was proven before, such as an adapter's kernels,
    /// and adds it to `kernels`.
    pub(super) async fn prove_plans(
        &self,
        plans: &[&[Dispatch]],
        kernels: &mut Kernels,
    ) -> Result<()> {
        let calls = plans.iter().copied().flatten().map(|dispatch| dispatch.call);
        let wanted: BTreeSet<Permutation> = calls
            .map(|call| call.permutation(Variant::Base))
            .filter(|permutation| !kernels.proven.contains_key(permutation))
            .collect();
        let head_dims: BTreeSet<u32> = wanted.iter().filter_map(|p| p.head_dim).collect();
        let all = permutations(&Vec::from_iter(head_dims));
        self.prove_all(&all, &Vec::from_iter(wanted), kernels, |_, _| ()).await
    }

    /// Proves each of the base permutations `wanted` in the first variant, among `all`, that is right
    /// here.
    async fn prove_all(
        &self,
        all: &[Permutation],
        wanted: &[Permutation],
        kernels: &mut Kernels,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<()> {
        let Kernels { proven, passed_over } = kernels;
        for (done, base) in wanted.iter().enumerate() {
            progress(done, wanted.len());
            let mut failure: Option<(String, Error)> = None;
            for variant in variants(self, base.kernel) {
                let permutation = Permutation { variant, ..*base };
                if !all.contains(&permutation) {
                    continue;
                }
                match self.prove_one(&permutation).await {
                    Ok(pipeline) => {
                        proven.insert(*base, (variant, pipeline));
                        passed_over.extend(failure.take());
                        break;
                    }
                    Err(error) => passed_over.extend(failure.replace((permutation.name(), error))),
                }
            }
            if let Some((_, error)) = failure {
                return Err(error);
            }
        }
        progress(wanted.len(), wanted.len());
        Ok(())
    }

    async fn prove_one(&self, permutation: &Permutation) -> Result<Pipeline> {
        let pipeline = self.pipeline(permutation).await?;
        for case in cases(permutation, Extent::Quick) {
            let check = check(self, permutation, &pipeline, &case).await?;
            if !check.passed() {
                return Err(Error::KernelWrong {
                    kernel: check.permutation,
                    error: check.error,
                    allowed: check.allowed,
                });
            }
        }
        Ok(pipeline)
    }
}

/// Runs one case on the device and holds it against the twin.
pub async fn check(
    gpu: &Gpu,
    permutation: &Permutation,
    pipeline: &Pipeline,
    case: &Case,
) -> Result<Check> {
    let actual = run_case(gpu, pipeline, case, permutation.variant).await?;
    Ok(Check {
        permutation: permutation.name(),
        case: case.name.clone(),
        error: case.error(&case.expected(), &actual),
        allowed: case.allowed(),
    })
}

/// A case on the device, ready to run.
struct Prepared {
    buffers: Vec<wgpu::Buffer>,
    bind_group: wgpu::BindGroup,
    grid: [u32; 3],
}

fn prepare(gpu: &Gpu, pipeline: &Pipeline, case: &Case, variant: Variant) -> Result<Prepared> {
    let buffers: Vec<wgpu::Buffer> = case
        .before
        .iter()
        .zip(case.call.bindings())
        .map(|(words, binding)| {
            let label = binding.name.to_string();
            let buffer = gpu.storage(&BufferSpec { label, words: words.len() as u64 })?;
            gpu.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
            Ok(buffer)
        })
        .collect::<Result<_>>()?;
    let params = gpu.uniforms("params", [case.call.params()].into_iter());
    let steps = gpu.uniforms("step", [bytemuck::bytes_of(&case.step)].into_iter());
    let params = wgpu::BufferBinding {
        buffer: &params,
        offset: 0,
        size: std::num::NonZeroU64::new(case.call.params().len() as u64),
    };
    let bind_group = gpu.bind_group(pipeline, &buffers.iter().collect::<Vec<_>>(), params, &steps);
    Ok(Prepared { buffers, bind_group, grid: case.call.grid(&case.step, variant) })
}

impl Prepared {
    fn encode(&self, gpu: &Gpu, pipeline: &Pipeline, times: u32) -> wgpu::CommandEncoder {
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[0]);
        let [x, y, z] = self.grid;
        for _ in 0..times {
            pass.dispatch_workgroups(x, y, z);
        }
        drop(pass);
        encoder
    }
}

/// Runs a case `times` times in one submit and waits for the end: for benchmarks, which time it from
/// outside.
pub async fn repeat(
    gpu: &Gpu,
    pipeline: &Pipeline,
    case: &Case,
    variant: Variant,
) -> Result<impl AsyncFnMut(u32) -> Result<()> + use<>> {
    let (gpu, pipeline) = (gpu.clone(), pipeline.clone());
    let prepared = prepare(&gpu, &pipeline, case, variant)?;
    Ok(async move |times: u32| {
        let encoder = prepared.encode(&gpu, &pipeline, times);
        gpu.queue.submit([encoder.finish()]);
        GpuStore::flush(&gpu).await
    })
}

/// The buffers of a case after the device ran it.
async fn run_case(
    gpu: &Gpu,
    pipeline: &Pipeline,
    case: &Case,
    variant: Variant,
) -> Result<Vec<Vec<u32>>> {
    let prepared = prepare(gpu, pipeline, case, variant)?;
    let mut encoder = prepared.encode(gpu, pipeline, 1);
    let total: usize = case.before.iter().map(Vec::len).sum();
    let staging = gpu.staging(4 * total as u64);
    let mut at = 0;
    for (buffer, words) in prepared.buffers.iter().zip(&case.before) {
        let bytes = 4 * words.len() as u64;
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, at, bytes);
        at += bytes;
    }
    gpu.queue.submit([encoder.finish()]);
    let mut words = gpu.read(&staging, total).await?;
    let mut after = Vec::with_capacity(case.before.len());
    for before in &case.before {
        let rest = words.split_off(before.len());
        after.push(words);
        words = rest;
    }
    Ok(after)
}
