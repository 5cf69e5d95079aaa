//! Buffers on the device, and the way back from them.

use std::sync::{Arc, Mutex};

use super::Gpu;
use super::device::describe;
use crate::error::{Error, Result};
use crate::model::loader::Store;
use crate::model::{BufferId, BufferSpec};

/// Uniform offsets are multiples of this on every device.
pub(super) const UNIFORM_STRIDE: u64 = 256;

/// Weights in GPU buffers.
pub struct GpuStore {
    pub(super) gpu: Gpu,
    pub(super) buffers: Vec<wgpu::Buffer>,
    pub(super) uploaded_bytes: u64,
}

impl GpuStore {
    /// An empty store on a device.
    pub fn new(gpu: &Gpu) -> Self {
        GpuStore { gpu: gpu.clone(), buffers: Vec::new(), uploaded_bytes: 0 }
    }

    /// Waits until the device has taken what was written, so that staging memory does not pile up.
    pub async fn flush(gpu: &Gpu) -> Result<()> {
        let (done, wait) = signal();
        gpu.queue.submit([]);
        gpu.queue.on_submitted_work_done(move || done.set(Ok(())));
        gpu.poll()?;
        wait.await?;
        gpu.healthy()
    }
}

impl Drop for GpuStore {
    /// A browser would keep the memory until its next garbage collection; a model is too large to wait.
    fn drop(&mut self) {
        self.buffers.iter().for_each(wgpu::Buffer::destroy);
    }
}

impl Store for GpuStore {
    fn create(&mut self, buffers: &[BufferSpec]) -> Result<()> {
        self.buffers = buffers.iter().map(|spec| self.gpu.storage(spec)).collect::<Result<_>>()?;
        Ok(())
    }

    fn write(&mut self, buffer: BufferId, offset_words: u64, words: &[u32]) -> Result<()> {
        let buffer = self
            .buffers
            .get(buffer.0)
            .ok_or_else(|| Error::Internal("a weight has no buffer".into()))?;
        self.gpu.queue.write_buffer(buffer, 4 * offset_words, bytemuck::cast_slice(words));
        self.uploaded_bytes += 4 * words.len() as u64;
        self.gpu.healthy()
    }
}

impl Gpu {
    /// A storage buffer, zeroed.
    pub(super) fn storage(&self, spec: &BufferSpec) -> Result<wgpu::Buffer> {
        let most = self.max_binding_bytes();
        if spec.bytes() > most {
            return Err(Error::LimitTooSmall {
                limit: format!("largest storage binding (for {})", spec.label),
                required: spec.bytes(),
                actual: most,
            });
        }
        Ok(self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(&spec.label),
            size: spec.bytes().max(16),
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_DST
                | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        }))
    }

    /// A uniform buffer of `count` entries, [`UNIFORM_STRIDE`] apart, with the given contents.
    pub(super) fn uniforms<'a>(
        &self,
        label: &str,
        entries: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> wgpu::Buffer {
        let mut bytes = vec![0; entries.len().max(1) * UNIFORM_STRIDE as usize];
        for (slot, entry) in bytes.chunks_exact_mut(UNIFORM_STRIDE as usize).zip(entries) {
            slot[..entry.len()].copy_from_slice(entry);
        }
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes.len() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.queue.write_buffer(&buffer, 0, &bytes);
        buffer
    }

    /// A buffer that can be read on this side.
    pub(super) fn staging(&self, bytes: u64) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("staging"),
            size: bytes,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// Reads the first `words` of a staging buffer once the work that fills it is done, and unmaps it.
    pub(super) async fn read(&self, staging: &wgpu::Buffer, words: usize) -> Result<Vec<u32>> {
        let (done, wait) = signal();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            done.set(result.map_err(|error| Error::DeviceLost { reason: error.to_string() }));
        });
        self.poll()?;
        let mapped = wait.await;
        self.healthy()?; // the cause, where a failed mapping is only a consequence
        mapped?;
        let view = staging
            .get_mapped_range(..4 * words as u64)
            .map_err(|error| Error::Internal(error.to_string()))?;
        let result =
            view.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        drop(view);
        staging.unmap();
        Ok(result)
    }

    /// Runs `make` and turns what the device has to say against it into an error.
    pub(super) async fn scoped<T>(
        &self,
        what: &str,
        make: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let made = make();
        let (memory, validation) = (memory.pop(), validation.pop());
        match memory.await.or(validation.await) {
            Some(error) => Err(describe(what, &error)),
            None => made,
        }
    }
}

/// A one-shot channel between a callback and a future.
struct Signal(Arc<Mutex<Slot>>);

/// What was signalled, and who waits for it.
type Slot = (Option<Result<()>>, Option<std::task::Waker>);

impl Signal {
    fn set(self, result: Result<()>) {
        if let Ok(mut state) = self.0.lock() {
            state.0 = Some(result);
            if let Some(waker) = state.1.take() {
                waker.wake();
            }
        }
    }
}

fn signal() -> (Signal, impl Future<Output = Result<()>>) {
    let state = Arc::new(Mutex::new((None, None::<std::task::Waker>)));
    let waiting = state.clone();
    let wait = std::future::poll_fn(move |context| match waiting.lock() {
        Ok(mut state) => match state.0.take() {
            Some(result) => std::task::Poll::Ready(result),
            None => {
                state.1 = Some(context.waker().clone());
                std::task::Poll::Pending
            }
        },
        Err(_) => std::task::Poll::Ready(Err(Error::Internal("a signal is poisoned".into()))),
    });
    (Signal(state), wait)
}
