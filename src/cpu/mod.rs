//! The executor over the kernels' CPU twins: slow, plain, and the measure of the GPU's.

use crate::error::{Error, Result};
use crate::kernels::{Access, Args, Step, rope_kv, top_k};
use crate::lora::Adapter;
use crate::model::loader::Store;
use crate::model::{
    BufferId, BufferSpec, Counters, Dispatch, Executor, Layout, Program, SidePath, Weights, forward,
};

/// Weights in memory.
#[derive(Debug, Default)]
pub struct CpuStore {
    buffers: Vec<Vec<u32>>,
}

impl CpuStore {
    /// The words of a buffer.
    ///
    /// # Errors
    /// [`Error::Internal`] where there is none: it was never made, or an executor took it.
    pub fn words(&self, buffer: BufferId) -> Result<&[u32]> {
        let words = self.buffers.get(buffer.0).map(Vec::as_slice);
        words.ok_or_else(|| Error::Internal("the store does not hold that buffer".into()))
    }
}

impl Store for CpuStore {
    fn create(&mut self, buffers: &[BufferSpec]) -> Result<()> {
        self.buffers = zeroed(buffers)?;
        Ok(())
    }

    fn write(&mut self, buffer: BufferId, offset_words: u64, words: &[u32]) -> Result<()> {
        let at = offset_words as usize;
        self.buffers
            .get_mut(buffer.0)
            .and_then(|buffer| buffer.get_mut(at..at + words.len()))
            .ok_or_else(|| Error::Internal("a weight was written outside its buffer".into()))?
            .copy_from_slice(words);
        Ok(())
    }
}

fn zeroed(specs: &[BufferSpec]) -> Result<Vec<Vec<u32>>> {
    let allocate = |spec: &BufferSpec| {
        let mut words = Vec::new();
        let len = usize::try_from(spec.words).map_err(|_| ())?;
        words.try_reserve_exact(len).map_err(|_| ())?;
        words.resize(len, 0);
        Ok(words)
    };
    specs
        .iter()
        .map(|spec| {
            allocate(spec).map_err(|()| Error::OutOfMemory {
                what: format!("{}: {} bytes of memory", spec.label, spec.bytes()),
            })
        })
        .collect()
}

/// Runs a program with the twins.
pub struct CpuExecutor {
    layout: Layout,
    /// Of the base, where hashes are known.
    sha256: Vec<String>,
    program: Program,
    buffers: Vec<Vec<u32>>,
    counters: Counters,
}

impl CpuExecutor {
    /// An executor for a context of `context` positions. It takes the weights out of `weights`.
    pub fn new(weights: &mut Weights<CpuStore>, context: u32, chunk: u32) -> Result<Self> {
        let layout = &weights.layout;
        let program = forward::program(layout, context, chunk)?;
        let mut buffers = std::mem::take(&mut weights.store.buffers);
        if buffers.len() != layout.buffers.len() {
            // A second executor would run on zeros.
            return Err(Error::Internal("another executor took the weights".into()));
        }
        buffers.extend(zeroed(&program.buffers[buffers.len()..])?);
        let table = rope_kv::table(context, layout.config.head_dim, layout.config.rope_theta);
        buffers[program.rope_table.0] = bytemuck::cast_slice(&table).to_vec();
        let (layout, sha256) = (layout.clone(), weights.sha256.clone());
        Ok(CpuExecutor { layout, sha256, program, buffers, counters: Counters::default() })
    }
}

/// Runs the dispatches of one step over `buffers`.
fn run(dispatches: &[Dispatch], step: &Step, buffers: &mut [Vec<u32>], counters: &mut Counters) {
    for Dispatch { call, buffers: ids } in dispatches {
        // The outputs are taken out of the arena for the call, so that inputs can be borrowed.
        let bindings = || call.bindings().iter().zip(ids);
        let mut taken: Vec<(usize, Vec<u32>)> = bindings()
            .filter(|(binding, _)| binding.access == Access::Write)
            .map(|(_, id)| (id.0, std::mem::take(&mut buffers[id.0])))
            .collect();
        let inputs = bindings()
            .filter(|(binding, _)| binding.access == Access::Read)
            .map(|(_, id)| &*buffers[id.0])
            .collect();
        let outputs = taken.iter_mut().map(|(_, buffer)| &mut **buffer).collect();
        call.reference(step, &mut Args { inputs, outputs });
        for (id, buffer) in taken {
            buffers[id] = buffer;
        }
        counters.dispatches += 1;
    }
}

impl Executor for CpuExecutor {
    type Pending = Vec<u32>;

    fn context(&self) -> u32 {
        self.program.context
    }

    fn chunk(&self) -> u32 {
        self.program.chunk
    }

    fn write_ids(&mut self, position: u32, ids: &[u32]) -> Result<()> {
        self.buffers[self.program.ids.0][position as usize..][..ids.len()].copy_from_slice(ids);
        Ok(())
    }

    fn prefill(&mut self, step: Step, head: bool) -> Result<()> {
        let CpuExecutor { program, buffers, counters, .. } = self;
        run(&program.prefill, &step, buffers, counters);
        if head {
            run(&program.head, &step, buffers, counters);
        }
        Ok(())
    }

    fn decode(&mut self, position: u32, steps: u32) -> Result<Vec<u32>> {
        let CpuExecutor { program, buffers, counters, .. } = self;
        for position in position..position + steps {
            run(&program.decode, &Step::new(position, 1), buffers, counters);
        }
        Ok(self.buffers[self.program.ids.0][position as usize + 1..][..steps as usize].to_vec())
    }

    fn advance(&mut self, position: u32) -> Result<()> {
        self.decode(position, 1).map(drop)
    }

    fn fetch_id(&mut self, position: u32) -> Result<Vec<u32>> {
        Ok(vec![self.buffers[self.program.ids.0][position as usize]])
    }

    async fn read(&mut self, pending: Vec<u32>) -> Result<Vec<u32>> {
        Ok(pending)
    }

    async fn wait(&mut self) -> Result<()> {
        Ok(())
    }

    async fn logits(&mut self) -> Result<Vec<f32>> {
        Ok(bytemuck::cast_slice(&self.buffers[self.program.logits.0]).to_vec())
    }

    async fn top_k(&mut self) -> Result<Vec<(u32, f32)>> {
        let CpuExecutor { program, buffers, counters, .. } = self;
        run(&program.top_k, &Step::new(0, 1), buffers, counters);
        Ok(top_k::pairs(&buffers[program.top.0], buffers[program.logits.0].len()))
    }

    async fn prepare_beams(&mut self) -> Result<()> {
        Ok(())
    }

    async fn beam_start(&mut self, candidates: u32) -> Result<Vec<(u32, f32)>> {
        let CpuExecutor { program, buffers, counters, .. } = self;
        let step = Step::beams(0, 1, 0, candidates);
        run(&program.beam_start, &step, buffers, counters);
        Ok(top_k::pairs(&buffers[program.candidates.0], candidates as usize))
    }

    async fn beam_step(
        &mut self,
        step: Step,
        ids: &[u32],
        slots: &[u32],
    ) -> Result<Vec<(u32, f32)>> {
        self.write_ids(step.cache_position(0), ids)?;
        let CpuExecutor { program, buffers, counters, .. } = self;
        buffers[program.slots.0][..slots.len()].copy_from_slice(slots);
        run(&program.beam, &step, buffers, counters);
        let pairs = (step.tokens * step.candidates) as usize;
        Ok(top_k::pairs(&buffers[program.candidates.0], pairs))
    }

    async fn set_adapter(&mut self, adapter: Option<&Adapter>) -> Result<()> {
        let (context, chunk) = (self.program.context, self.program.chunk);
        let side = SidePath::checked(&self.layout, &self.sha256, adapter)?;
        let program = forward::adapted(&self.layout, context, chunk, side.as_ref())?;
        let contents = side.map(|side| side.buffers).unwrap_or_default();
        let mut more: Vec<_> = contents.into_iter().map(|(_, words)| words).collect();
        more.extend(zeroed(&program.buffers[program.side + more.len()..])?);
        self.buffers.truncate(program.side);
        self.buffers.extend(more);
        self.program = program;
        Ok(())
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
