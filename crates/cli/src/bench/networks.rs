//! The networks whose training is timed.

use maliang::data::DataConfig;
use maliang::device::ComputeDevice;
use maliang::models::{DcganConfig, ModelConfig, StackConfig, Upsampling, VaeConfig};
use maliang::train::{GanConfig, Precision, RunConfig, TrainConfig, VaeTraining};

/// The sizes of PyTorch's DCGAN example.
const STACK: StackConfig = StackConfig { height: 64, width: 64, channels: 3, base: 64 };

pub fn dcgan() -> ModelConfig {
    ModelConfig::Dcgan(DcganConfig { z_dim: 100, classes: Vec::new(), stack: STACK })
}

pub fn vae() -> ModelConfig {
    ModelConfig::Vae(VaeConfig {
        z_dim: 64,
        classes: Vec::new(),
        decoder: Upsampling::Transposed,
        components: 0,
        stack: STACK,
    })
}

/// The settings of a run with `model`, as `maliang train` chooses them, but without DiffAugment, which PyTorch's example
/// does not have.
pub fn config(model: ModelConfig, batch: usize, precision: Precision) -> RunConfig {
    let (lr, beta_1) = match model {
        ModelConfig::Vae(_) => (1e-3, 0.9),
        _ => (2e-4, 0.5),
    };
    let train = TrainConfig {
        batch,
        steps: 1,
        minutes: 0.0,
        lr,
        beta_1,
        beta_2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.0,
        clip_norm: 0.0,
        ema_half_life: 10_000.0,
        flip: Some(true),
        precision,
        device: ComputeDevice::Cpu,
        look_every: 0,
        patience: 0,
    };
    let data = DataConfig { width: STACK.width, height: STACK.height, channels: STACK.channels, ..Default::default() };
    let gan = GanConfig { augment: Vec::new(), ..Default::default() };
    RunConfig { seed: 0, init: None, data, model, train, gan, vae: VaeTraining::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_what_a_run_takes() {
        for model in [dcgan(), vae()] {
            config(model, 64, Precision::F32).validate().unwrap();
        }
    }
}
