//! Steps without a run.

use crate::data::DataConfig;
use crate::device::ComputeDevice;
use crate::families::ModelConfig;
use crate::families::blocks::stack::{StackConfig, Upsampling};
use crate::families::dcgan::DcganConfig;
use crate::families::fastgan::FastganConfig;
use crate::families::settings::{Tables, TrainConfig};
use crate::families::vae::VaeConfig;
use crate::generate::sampler::Sampler;
use crate::run::config::RunConfig;
use crate::train::{Precision, Trial};

/// Every family, with and without classes.
fn configs() -> Vec<RunConfig> {
    let stack = StackConfig { height: 32, width: 40, channels: 3, base: 4 };
    let families = |classes: Vec<String>| {
        [
            ModelConfig::Dcgan(DcganConfig { z_dim: 5, classes: classes.clone(), stack: stack.clone() }),
            ModelConfig::Fastgan(FastganConfig {
                z_dim: 5,
                classes: classes.clone(),
                smooth: false,
                stack: stack.clone(),
            }),
            ModelConfig::Vae(VaeConfig {
                z_dim: 5,
                classes,
                decoder: Upsampling::default(),
                components: 0,
                stack: stack.clone(),
            }),
        ]
    };
    let models = [families(Vec::new()), families(vec!["cat".into(), "dog".into()])].concat();
    let train = TrainConfig {
        batch: 4,
        steps: 1,
        minutes: 0.0,
        lr: 1e-3,
        beta_1: 0.5,
        beta_2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.0,
        clip_norm: 0.0,
        ema_half_life: 100.0,
        flip: Some(true),
        precision: Precision::F32,
        device: ComputeDevice::Cpu,
        look_every: 0,
        patience: 0,
    };
    let config = |model| RunConfig {
        seed: 1,
        init: None,
        data: DataConfig { height: 32, width: 40, ..DataConfig::default() },
        model,
        train: train.clone(),
        tables: Tables::default(),
    };
    models.into_iter().map(config).collect()
}

#[test]
fn a_trial_steps_and_its_model_makes_pictures() {
    for config in configs() {
        let (mut trial, mut twin) = (Trial::new(&config).unwrap(), Trial::new(&config).unwrap());
        // More steps than there are batches: the pictures repeat.
        for _ in 0..6 {
            let losses = trial.step();
            assert!(losses.iter().all(|(_, value)| value.is_finite()), "{losses:?}");
            assert_eq!(losses, twin.step(), "the same settings, the same steps");
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.safetensors");
        trial.save_model(&path).unwrap();
        let (sampler, _) = Sampler::open(&path).unwrap();
        assert_eq!((sampler.info.step, sampler.info.images_seen), (6, 24));
        let picture = &sampler.pictures(&[sampler.latent(0, 0, 1.0)], &[0])[0];
        assert_eq!((picture.width, picture.height), (40, 32));
    }
}

#[test]
fn a_trial_refuses_what_a_run_refuses() {
    let mut config = configs().remove(0);
    config.data.width = 48;
    assert!(Trial::new(&config).is_err());
}

#[test]
fn bf16_trains_nearly_like_f32() {
    for mut config in configs() {
        let mut losses = |precision| {
            config.train.precision = precision;
            let mut trial = Trial::new(&config).unwrap();
            (0..3).flat_map(|_| trial.step()).map(|(_, loss)| loss).collect::<Vec<f32>>()
        };
        let (full, half) = (losses(Precision::F32), losses(Precision::Bf16));
        assert_eq!(full != half, Precision::Bf16.is_supported(), "other numbers exactly where there are instructions");
        for (a, b) in full.iter().zip(&half) {
            assert!((a - b).abs() < 0.05 * (1.0 + a.abs()), "{full:?} {half:?}");
        }
    }
}
