//! Running programs on the GPU through wgpu: natively on Vulkan, Metal and DX12, in the browser on
//! WebGPU, with the same code.
//!
//! [`Gpu::open`] finds a device; [`Gpu::prove`] compiles the kernels and holds them against their CPU
//! twins on that very device; only the [`Kernels`] that come out of that can make a [`GpuExecutor`].

mod buffers;
mod device;
mod executor;
mod pipeline;
mod prove;

pub use buffers::GpuStore;
pub use device::{Gpu, Options, Tier};
pub use executor::GpuExecutor;
pub use pipeline::Pipeline;
pub use prove::{Check, Kernels, check, repeat, variants};
