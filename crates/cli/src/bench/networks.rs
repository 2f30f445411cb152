//! The networks whose training is timed.

use maliang::data::DataConfig;
use maliang::device::ComputeDevice;
use maliang::families::ModelConfig;
use maliang::families::blocks::stack::{StackConfig, Upsampling};
use maliang::families::dcgan::DcganConfig;
use maliang::families::gan::settings::GanConfig;
use maliang::families::settings::{Tables, TrainConfig};
use maliang::families::vae::VaeConfig;
use maliang::run::config::RunConfig;
use maliang::train::Precision;

/// The sizes of PyTorch's DCGAN example.
const STACK: StackConfig = StackConfig { height: 64, width: 64, channels: 3, base: 64 };

/// With the learning rate and β₁ that `maliang train` chooses.
pub fn dcgan() -> (ModelConfig, f32, f32) {
    (DcganConfig { z_dim: 100, classes: Vec::new(), stack: STACK }.into(), 2e-4, 0.5)
}

/// With the learning rate and β₁ that `maliang train` chooses.
pub fn vae() -> (ModelConfig, f32, f32) {
    let (classes, decoder) = (Vec::new(), Upsampling::Transposed);
    (VaeConfig { z_dim: 64, classes, decoder, components: 0, stack: STACK }.into(), 1e-3, 0.9)
}

/// The settings of a run with `model`, as `maliang train` chooses them, but without DiffAugment, which PyTorch's example
/// does not have.
pub fn config((model, lr, beta_1): (ModelConfig, f32, f32), batch: usize, precision: Precision) -> RunConfig {
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
    let mut tables = Tables::of(&gan);
    model.retain_read(&mut tables);
    RunConfig { seed: 0, init: None, data, model, train, tables }
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
