//! Finding an adapter, and what it can do.

use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::kernels::Variant;

/// How to open a device.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Browsers only: whether the page made wgpu's device request ask for `subgroups`, which wgpu itself
    /// does not do there.
    pub subgroups: bool,
    /// A variant to try before the ones that are usually faster on such a device.
    pub prefer: Option<Variant>,
}

/// What class of device this is: it decides which kernel variants are tried, in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// A software adapter: threads are cheap to run long and dear to synchronize.
    Cpu,
    /// A GPU.
    Gpu,
}

/// An open device.
#[derive(Clone)]
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    tier: Tier,
    subgroups: bool,
    pub(super) prefer: Option<Variant>,
    fault: Arc<Mutex<Option<Error>>>,
}

impl Gpu {
    /// Opens the best adapter, with the base limits and whatever larger buffers it offers.
    pub async fn open(options: Options) -> Result<Gpu> {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::PRIMARY;
        let instance = wgpu::Instance::new(descriptor);
        let request = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = match instance.request_adapter(&request).await {
            Ok(adapter) => adapter,
            // Without a GPU wgpu answers only when asked for the software adapter by name.
            Err(_) => instance
                .request_adapter(&wgpu::RequestAdapterOptions {
                    force_fallback_adapter: true,
                    ..request
                })
                .await
                .map_err(|error| no_adapter(&error.to_string()))?,
        };
        let offered = adapter.features();
        let info = adapter.get_info();
        let features = offered & (wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP);
        // The base limits of WebGPU, except for sizes: a larger model may need larger buffers.
        let has = adapter.limits();
        let limits = wgpu::Limits {
            max_storage_buffer_binding_size: has.max_storage_buffer_binding_size,
            max_buffer_size: has.max_buffer_size,
            ..wgpu::Limits::defaults()
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("radllama"),
            required_features: features,
            required_limits: limits,
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let (device, queue) =
            adapter.request_device(&descriptor).await.map_err(|error| Error::DeviceRefused {
                what: "a device with WebGPU's base limits".into(),
                reason: error.to_string(),
            })?;
        let fault = Arc::new(Mutex::new(None));
        watch(&device, &fault);
        let subgroups = (features.contains(wgpu::Features::SUBGROUP) || options.subgroups)
            && (info.subgroup_min_size >= 8 || info.subgroup_min_size == 0);
        let tier = if info.device_type == wgpu::DeviceType::Cpu { Tier::Cpu } else { Tier::Gpu };
        Ok(Gpu { device, queue, info, tier, subgroups, prefer: options.prefer, fault })
    }

    /// The adapter's name, or what is known in its place.
    pub fn name(&self) -> String {
        match (self.info.name.as_str(), self.tier) {
            ("", Tier::Cpu) => "software adapter".into(),
            ("", Tier::Gpu) => "GPU".into(),
            (name, _) => name.into(),
        }
    }

    /// The backend and driver behind it.
    pub fn driver(&self) -> String {
        format!("{} {} {}", self.info.backend, self.info.driver, self.info.driver_info)
            .trim()
            .to_string()
    }

    /// What class of device it is.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Whether a variant can run here at all.
    pub fn can_run(&self, variant: Variant) -> bool {
        match variant {
            Variant::Base | Variant::Serial => true,
            Variant::Subgroup => self.subgroups,
            Variant::F16 => self.device.features().contains(wgpu::Features::SHADER_F16),
        }
    }

    /// Largest storage binding in bytes.
    pub fn max_binding_bytes(&self) -> u64 {
        let limits = self.device.limits();
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
    }

    /// Fails if the device reported a fault since it was opened: lost, out of memory, invalid use.
    pub(super) fn healthy(&self) -> Result<()> {
        match self.fault.lock() {
            Ok(fault) => fault.clone().map_or(Ok(()), Err),
            Err(_) => Err(Error::Internal("the fault record is poisoned".into())),
        }
    }

    /// Waits for the callback of a mapping: blocks natively, awaits in the browser.
    pub(super) fn poll(&self) -> Result<()> {
        self.device
            .poll(wgpu::PollType::wait_indefinitely())
            .map(|_| ())
            .map_err(|error| Error::DeviceLost { reason: error.to_string() })
    }
}

fn watch(device: &wgpu::Device, fault: &Arc<Mutex<Option<Error>>>) {
    let record = |fault: &Mutex<Option<Error>>, error: Error| {
        if let Ok(mut fault) = fault.lock() {
            // The first fault is the cause; what follows are its consequences.
            fault.get_or_insert(error);
        }
    };
    let errors = fault.clone();
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        record(&errors, describe("a command", &error));
    }));
    let lost = fault.clone();
    device.set_device_lost_callback(move |reason, message| {
        if reason != wgpu::DeviceLostReason::Destroyed {
            record(&lost, Error::DeviceLost { reason: message });
        }
    });
}

/// wgpu's error as ours.
pub(super) fn describe(what: &str, error: &wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory { what: what.into() },
        other => Error::DeviceRefused { what: what.into(), reason: other.to_string() },
    }
}

fn no_adapter(reason: &str) -> Error {
    let hint = if cfg!(target_arch = "wasm32") {
        "use a current Chrome, Edge, Firefox or Safari with WebGPU and hardware acceleration on"
            .to_string()
    } else {
        format!(
            "install a Vulkan driver (on Debian: mesa-vulkan-drivers), or pass --backend cpu ({reason})"
        )
    };
    Error::NoAdapter { hint }
}
