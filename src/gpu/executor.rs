//! Runs a program on the device. All bind groups are made once; a step is one compute pass whose only
//! changing input is the dynamic offset of its [`Step`], which already lies on the device.

use super::buffers::UNIFORM_STRIDE;
use super::{Gpu, GpuStore, Kernels, Pipeline};
use crate::error::{Error, Result};
use crate::kernels::{Call, Step, Variant, rope_kv, top_k};
use crate::lora::Adapter;
use crate::model::{
    BufferSpec, Counters, Dispatch, Executor, Layout, Program, SidePath, Weights, forward,
};

/// Weights, cache and bind groups on a device.
pub struct GpuExecutor {
    gpu: Gpu,
    /// Those of beams and of adapters come when they are first asked for.
    kernels: Kernels,
    layout: Layout,
    /// Of the base, where hashes are known.
    sha256: Vec<String>,
    buffers: Vec<wgpu::Buffer>,
    program: Program,
    decode: Vec<Bound>,
    prefill: Vec<Bound>,
    head: Vec<Bound>,
    top_k: Vec<Bound>,
    /// What beams need: none before their first use, as few sessions come to it.
    beams: Option<Beams>,
    /// Entry p: the decode step at position p. The entry behind the last: the prefill step.
    steps: wgpu::Buffer,
    /// Staging buffers for ids that are free.
    staging: Vec<wgpu::Buffer>,
    counters: Counters,
}

impl Drop for GpuExecutor {
    /// As for the store: the memory is free now, not when a browser comes to collect it.
    fn drop(&mut self) {
        self.buffers.iter().for_each(wgpu::Buffer::destroy);
    }
}

/// A dispatch with its pipeline and bind group.
struct Bound {
    call: Call,
    variant: Variant,
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
}

/// The plans of beams, and the way back of their candidates.
struct Beams {
    start: Vec<Bound>,
    step: Vec<Bound>,
    staging: wgpu::Buffer,
}

/// Ids on their way back: a staging buffer and how many.
pub struct PendingIds {
    staging: wgpu::Buffer,
    count: u32,
}

/// Most ids of one way back.
const MAX_STEPS: u32 = 64;

impl GpuExecutor {
    /// An executor of `weights` with kernels proven on their device.
    pub async fn new(
        weights: &mut Weights<GpuStore>,
        kernels: &Kernels,
        context: u32,
        chunk: u32,
    ) -> Result<Self> {
        let gpu = weights.store.gpu.clone();
        let program = forward::program(&weights.layout, context, chunk)?;
        let config = &weights.layout.config;
        let mut buffers = std::mem::take(&mut weights.store.buffers);
        if buffers.len() != weights.layout.buffers.len() {
            return Err(Error::Internal("these weights were given to an executor before".into()));
        }
        let more: Vec<&BufferSpec> = program.buffers[buffers.len()..].iter().collect();
        let what = format!("the KV cache of {context} positions");
        let made = gpu
            .scoped(&what, || more.iter().map(|spec| gpu.storage(spec)).collect::<Result<Vec<_>>>())
            .await?;
        buffers.extend(made);
        let table = rope_kv::table(context, config.head_dim, config.rope_theta);
        gpu.queue.write_buffer(&buffers[program.rope_table.0], 0, bytemuck::cast_slice(&table));
        let positions: Vec<Step> = (0..=context).map(|position| Step::new(position, 1)).collect();
        let steps = gpu.uniforms("steps", positions.iter().map(bytemuck::bytes_of));
        let uploaded_bytes = weights.store.uploaded_bytes + 4 * table.len() as u64 + steps.size();
        let [decode, prefill, head, top_k] = bind_all(&gpu, kernels, &program, &buffers, &steps)?;
        gpu.healthy()?;
        Ok(GpuExecutor {
            decode,
            prefill,
            head,
            top_k,
            beams: None,
            kernels: kernels.clone(),
            gpu,
            layout: weights.layout.clone(),
            sha256: weights.sha256.clone(),
            buffers,
            program,
            steps,
            staging: Vec::new(),
            counters: Counters { uploaded_bytes, ..Counters::default() },
        })
    }

    /// Bytes of all buffers on the device.
    pub fn device_bytes(&self) -> u64 {
        self.buffers.iter().map(wgpu::Buffer::size).sum()
    }

    fn submit(&mut self, encoder: wgpu::CommandEncoder) -> Result<()> {
        self.gpu.queue.submit([encoder.finish()]);
        self.counters.submits += 1;
        self.gpu.healthy()
    }

    fn encoder(&self) -> wgpu::CommandEncoder {
        self.gpu.device.create_command_encoder(&Default::default())
    }

    /// Copies ids into a staging buffer.
    fn fetch(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        position: u32,
        count: u32,
    ) -> PendingIds {
        let staging =
            self.staging.pop().unwrap_or_else(|| self.gpu.staging(4 * u64::from(MAX_STEPS)));
        let ids = &self.buffers[self.program.ids.0];
        let (from, bytes) = (4 * u64::from(position), 4 * u64::from(count));
        encoder.copy_buffer_to_buffer(ids, from, &staging, 0, bytes);
        PendingIds { staging, count }
    }

    /// Runs a plan of beams and reads the candidates: one submit.
    async fn candidates(&mut self, start: bool, step: &Step) -> Result<Vec<(u32, f32)>> {
        let entry = self.program.context;
        self.upload_step(step, entry);
        let mut encoder = self.encoder();
        let Some(beams) = &self.beams else {
            return Err(Error::Internal("beams were not prepared".into()));
        };
        let plan = if start { &beams.start } else { &beams.step };
        encode(&mut encoder, &mut self.counters, &[plan], step, entry);
        let pairs = (step.tokens * step.candidates) as usize;
        let bytes = 8 * pairs as u64;
        let from = &self.buffers[self.program.candidates.0];
        encoder.copy_buffer_to_buffer(from, 0, &beams.staging, 0, bytes);
        let staging = beams.staging.clone();
        self.submit(encoder)?;
        let words = self.gpu.read(&staging, 2 * pairs).await?;
        self.counters.read_bytes += bytes;
        Ok(top_k::pairs(&words, pairs))
    }

    /// Writes a step that is not one of decoding to its entry.
    fn upload_step(&mut self, step: &Step, entry: u32) {
        let bytes = bytemuck::bytes_of(step);
        self.gpu.queue.write_buffer(&self.steps, u64::from(entry) * UNIFORM_STRIDE, bytes);
        self.counters.uploaded_bytes += bytes.len() as u64;
    }

    /// Reads `words` from the start of a buffer.
    async fn read_buffer(
        &mut self,
        mut encoder: wgpu::CommandEncoder,
        buffer: usize,
        words: usize,
    ) -> Result<Vec<u32>> {
        let bytes = 4 * words as u64;
        let staging = self.gpu.staging(bytes);
        encoder.copy_buffer_to_buffer(&self.buffers[buffer], 0, &staging, 0, bytes);
        self.submit(encoder)?;
        self.counters.read_bytes += bytes;
        self.gpu.read(&staging, words).await
    }
}

/// One compute pass over `bound`.
fn encode(
    encoder: &mut wgpu::CommandEncoder,
    counters: &mut Counters,
    bound: &[&[Bound]],
    step: &Step,
    entry: u32,
) {
    let offset = entry * UNIFORM_STRIDE as u32;
    let mut pass = encoder.begin_compute_pass(&Default::default());
    for Bound { call, variant, pipeline, bind_group } in bound.iter().copied().flatten() {
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, bind_group, &[offset]);
        let [x, y, z] = call.grid(step, *variant);
        pass.dispatch_workgroups(x, y, z);
        counters.dispatches += 1;
    }
}

/// The program's plans, in the order of its fields.
fn bind_all(
    gpu: &Gpu,
    kernels: &Kernels,
    program: &Program,
    buffers: &[wgpu::Buffer],
    steps: &wgpu::Buffer,
) -> Result<[Vec<Bound>; 4]> {
    let bind = |plan: &[Dispatch]| bind(gpu, kernels, plan, buffers, steps);
    Ok([
        bind(&program.decode)?,
        bind(&program.prefill)?,
        bind(&program.head)?,
        bind(&program.top_k)?,
    ])
}

fn bind(
    gpu: &Gpu,
    kernels: &Kernels,
    plan: &[Dispatch],
    buffers: &[wgpu::Buffer],
    steps: &wgpu::Buffer,
) -> Result<Vec<Bound>> {
    let params = gpu.uniforms("params", plan.iter().map(|dispatch| dispatch.call.params()));
    plan.iter()
        .enumerate()
        .map(|(i, dispatch)| {
            let (variant, pipeline): (Variant, &Pipeline) = kernels.get(&dispatch.call)?;
            let buffers: Vec<_> = dispatch.buffers.iter().map(|id| &buffers[id.0]).collect();
            let params = wgpu::BufferBinding {
                buffer: &params,
                offset: i as u64 * UNIFORM_STRIDE,
                size: std::num::NonZeroU64::new(dispatch.call.params().len() as u64),
            };
            Ok(Bound {
                call: dispatch.call,
                variant,
                pipeline: pipeline.pipeline.clone(),
                bind_group: gpu.bind_group(pipeline, &buffers, params, steps),
            })
        })
        .collect()
}

impl Executor for GpuExecutor {
    type Pending = PendingIds;

    fn context(&self) -> u32 {
        self.program.context
    }

    fn chunk(&self) -> u32 {
        self.program.chunk
    }

    fn write_ids(&mut self, position: u32, ids: &[u32]) -> Result<()> {
        let buffer = &self.buffers[self.program.ids.0];
        let bytes: &[u8] = bytemuck::cast_slice(ids);
        self.gpu.queue.write_buffer(buffer, 4 * u64::from(position), bytes);
        self.counters.uploaded_bytes += bytes.len() as u64;
        self.gpu.healthy()
    }

    fn prefill(&mut self, step: Step, head: bool) -> Result<()> {
        let entry = self.program.context;
        self.upload_step(&step, entry);
        let mut encoder = self.encoder();
        let head: &[Bound] = if head { &self.head } else { &[] };
        encode(&mut encoder, &mut self.counters, &[&self.prefill, head], &step, entry);
        self.submit(encoder)
    }

    fn decode(&mut self, position: u32, steps: u32) -> Result<PendingIds> {
        if steps > MAX_STEPS {
            return Err(Error::Internal(format!(
                "{steps} decode steps at once, {MAX_STEPS} at most"
            )));
        }
        let mut encoder = self.encoder();
        for entry in position..position + steps {
            let step = Step::new(entry, 1);
            encode(&mut encoder, &mut self.counters, &[&self.decode], &step, entry);
        }
        let pending = self.fetch(&mut encoder, position + 1, steps);
        self.submit(encoder)?;
        Ok(pending)
    }

    fn advance(&mut self, position: u32) -> Result<()> {
        let mut encoder = self.encoder();
        let step = Step::new(position, 1);
        encode(&mut encoder, &mut self.counters, &[&self.decode], &step, position);
        self.submit(encoder)
    }

    fn fetch_id(&mut self, position: u32) -> Result<PendingIds> {
        let mut encoder = self.encoder();
        let pending = self.fetch(&mut encoder, position, 1);
        self.submit(encoder)?;
        Ok(pending)
    }

    async fn read(&mut self, pending: PendingIds) -> Result<Vec<u32>> {
        let ids = self.gpu.read(&pending.staging, pending.count as usize).await?;
        self.counters.read_bytes += 4 * u64::from(pending.count);
        self.staging.push(pending.staging);
        Ok(ids)
    }

    async fn wait(&mut self) -> Result<()> {
        GpuStore::flush(&self.gpu).await
    }

    async fn logits(&mut self) -> Result<Vec<f32>> {
        let (buffer, encoder) = (self.program.logits.0, self.encoder());
        let words = self.program.buffers[buffer].words as usize;
        let words = self.read_buffer(encoder, buffer, words).await?;
        Ok(words.into_iter().map(f32::from_bits).collect())
    }

    async fn top_k(&mut self) -> Result<Vec<(u32, f32)>> {
        let mut encoder = self.encoder();
        encode(&mut encoder, &mut self.counters, &[&self.top_k], &Step::new(0, 1), 0);
        let buffer = self.program.top.0;
        let words = self.program.buffers[buffer].words as usize;
        let vocab = self.program.buffers[self.program.logits.0].words as usize;
        let words = self.read_buffer(encoder, buffer, words).await?;
        Ok(top_k::pairs(&words, vocab))
    }

    async fn prepare_beams(&mut self) -> Result<()> {
        if self.beams.is_some() {
            return Ok(());
        }
        let plans = [&self.program.beam_start[..], &self.program.beam];
        self.gpu.prove_plans(&plans, &mut self.kernels).await?;
        let bind =
            |plan: &[Dispatch]| bind(&self.gpu, &self.kernels, plan, &self.buffers, &self.steps);
        let (start, step) = (bind(&self.program.beam_start)?, bind(&self.program.beam)?);
        let bytes = self.buffers[self.program.candidates.0].size();
        self.beams = Some(Beams { start, step, staging: self.gpu.staging(bytes) });
        self.gpu.healthy()
    }

    async fn beam_start(&mut self, candidates: u32) -> Result<Vec<(u32, f32)>> {
        self.candidates(true, &Step::beams(0, 1, 0, candidates)).await
    }

    async fn beam_step(
        &mut self,
        step: Step,
        ids: &[u32],
        slots: &[u32],
    ) -> Result<Vec<(u32, f32)>> {
        self.write_ids(step.cache_position(0), ids)?;
        let bytes: &[u8] = bytemuck::cast_slice(slots);
        self.gpu.queue.write_buffer(&self.buffers[self.program.slots.0], 0, bytes);
        self.counters.uploaded_bytes += bytes.len() as u64;
        self.candidates(false, &step).await
    }

    async fn set_adapter(&mut self, adapter: Option<&Adapter>) -> Result<()> {
        let side = SidePath::checked(&self.layout, &self.sha256, adapter)?;
        let (context, chunk) = (self.program.context, self.program.chunk);
        let program = forward::adapted(&self.layout, context, chunk, side.as_ref())?;
        let gpu = self.gpu.clone();
        let plans = [&program.decode[..], &program.prefill, &program.head, &program.top_k];
        gpu.prove_plans(&plans, &mut self.kernels).await?;
        let more = &program.buffers[program.side..];
        let make = || more.iter().map(|spec| gpu.storage(spec)).collect::<Result<Vec<_>>>();
        let made = gpu.scoped("the adapter", make).await?;
        let contents = side.map(|side| side.buffers).unwrap_or_default();
        for (buffer, (_, words)) in made.iter().zip(&contents) {
            gpu.queue.write_buffer(buffer, 0, bytemuck::cast_slice(words));
            self.counters.uploaded_bytes += 4 * words.len() as u64;
        }
        let mut buffers = self.buffers[..program.side].to_vec();
        buffers.extend(made);
        [self.decode, self.prefill, self.head, self.top_k] =
            bind_all(&gpu, &self.kernels, &program, &buffers, &self.steps)?;
        self.beams = None; // bound to the program before; made again when they are next asked for
        let before = std::mem::replace(&mut self.buffers, buffers);
        // Nothing that is queued needs them when it is done: destroying waits for that.
        before[program.side..].iter().for_each(wgpu::Buffer::destroy);
        self.program = program;
        gpu.healthy()
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
