//! From a shader permutation to a pipeline.

use super::Gpu;
use super::device::describe;
use crate::error::Result;
use crate::kernels::{self, Access, Permutation, assemble};

/// A compiled permutation with the layout of its bind group.
#[derive(Debug, Clone)]
pub struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

impl Gpu {
    /// Compiles a permutation. A refusal by the device is an error here, not later.
    pub async fn pipeline(&self, permutation: &Permutation) -> Result<Pipeline> {
        let name = permutation.name();
        // Browsers want to be told of subgroups in the source; naga does not know that line.
        let source = assemble::assemble(permutation, cfg!(target_arch = "wasm32"))?;
        let device = &self.device;
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(&name),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        };
        let checks = wgpu::ShaderRuntimeChecks {
            force_loop_bounding: false,
            ..wgpu::ShaderRuntimeChecks::checked()
        };
        // SAFETY: without loop bounding a loop that never ends is undefined. Every loop of these shaders
        // counts up to a uniform or a constant; indices stay checked. Worth a tenth of the time of a
        // prefill on lavapipe. Browsers keep their own checks.
        #[allow(unsafe_code, reason = "the only way to have it")]
        let module = unsafe { device.create_shader_module_trusted(descriptor, checks) };
        let layout = self.bind_group_layout(permutation);
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(permutation.kernel),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: Default::default(),
            cache: None,
        });
        // Both scopes are closed before anything is awaited, so that they hold this code's errors alone.
        let (internal, validation) = (internal.pop(), validation.pop());
        if let Some(error) = internal.await.or(validation.await) {
            return Err(describe(&format!("the shader {name}"), &error));
        }
        Ok(Pipeline { pipeline, layout })
    }

    /// The kernel's storage bindings, then the uniforms of its parameters and, at a dynamic offset, of the
    /// step.
    fn bind_group_layout(&self, permutation: &Permutation) -> wgpu::BindGroupLayout {
        let buffer = |ty, has_dynamic_offset, bytes| wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset,
            min_binding_size: std::num::NonZeroU64::new(bytes),
        };
        let storage = permutation.bindings().iter().map(|binding| {
            let read_only = binding.access == Access::Read;
            buffer(wgpu::BufferBindingType::Storage { read_only }, false, 0)
        });
        let params = permutation.params_bytes() as u64;
        let uniforms = [
            buffer(wgpu::BufferBindingType::Uniform, false, params),
            buffer(wgpu::BufferBindingType::Uniform, true, size_of::<kernels::Step>() as u64),
        ];
        let entries: Vec<_> = storage
            .chain(uniforms)
            .enumerate()
            .map(|(binding, ty)| wgpu::BindGroupLayoutEntry {
                binding: binding as u32,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty,
                count: None,
            })
            .collect();
        self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(permutation.kernel),
            entries: &entries,
        })
    }

    /// The bind group of one call.
    pub(super) fn bind_group(
        &self,
        pipeline: &Pipeline,
        buffers: &[&wgpu::Buffer],
        params: wgpu::BufferBinding<'_>,
        steps: &wgpu::Buffer,
    ) -> wgpu::BindGroup {
        let step = wgpu::BufferBinding {
            buffer: steps,
            offset: 0,
            size: std::num::NonZeroU64::new(size_of::<kernels::Step>() as u64),
        };
        let resources = buffers
            .iter()
            .map(|buffer| buffer.as_entire_binding())
            .chain([wgpu::BindingResource::Buffer(params), wgpu::BindingResource::Buffer(step)]);
        let entries: Vec<_> = resources
            .enumerate()
            .map(|(binding, resource)| wgpu::BindGroupEntry { binding: binding as u32, resource })
            .collect();
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.layout,
            entries: &entries,
        })
    }
}
