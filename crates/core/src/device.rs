//! What computes: the processor, or a GPU in a build that supports one.

use crate::{Error, Result};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

/// What trains a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ComputeDevice {
    /// The processor, with the kernels of this project.
    #[default]
    Cpu,
    /// The best Vulkan device, with Burn's operations. `CUBECL_WGPU_DEFAULT_DEVICE` names another one.
    Vulkan,
}

impl ComputeDevice {
    /// The device for tensors, without autodiff.
    ///
    /// # Errors
    /// This build has no GPU support, or this machine has no such device.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(cpu()),
            Self::Vulkan => gpu::open(),
        }
    }

    /// The name that a GPU gives itself; none for the processor.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn name(self) -> Result<Option<String>> {
        self.open().map(|device| gpu::name(&device))
    }
}

/// The processor, which is always there.
pub fn cpu() -> Device {
    Device::flex()
}

#[cfg(feature = "vulkan")]
mod gpu {
    use super::*;
    use burn::tensor::wgpu::WgpuBackend;
    use std::sync::OnceLock;

    /// A device can be initialised once in the life of a process.
    static FOUND: OnceLock<Result<Device, String>> = OnceLock::new();

    pub fn open() -> Result<Device> {
        let initialise = || Device::wgpu_options().graphics_api(WgpuBackend::Vulkan).init().map_err(|e| e.to_string());
        FOUND.get_or_init(initialise).clone().map_err(|why| {
            Error::input(format!("there is no Vulkan device to compute on: {why}"))
                .hint("install the driver of your GPU, or use --device cpu")
        })
    }

    pub fn name(device: &Device) -> Option<String> {
        device.identity().map(|identity| identity.name)
    }
}

#[cfg(not(feature = "vulkan"))]
mod gpu {
    use super::*;

    pub fn open() -> Result<Device> {
        Err(Error::input("this build has no GPU support")
            .hint("build with `cargo build --release --features vulkan`, or use --device cpu"))
    }

    pub fn name(_: &Device) -> Option<String> {
        None
    }
}
