//! Pictures as the loop trains them: a family's trainer, its loader, and what looks at it.

use super::checkpoint::Tolerance;
use super::config::{RunConfig, TrainConfig};
use super::look::{self, Looker};
use super::subject::{Looked, Moment, Settings, Subject, Unit};
use super::{Losses, RunDir, StepInput, Trainer, init, new_trainer};
use crate::Result;
use crate::data::source_name;
use crate::data::{Dataset, Loader};
use crate::generate::sampler::Sampler;
use crate::judge::RandomFeatures;
use crate::models::ModelConfig;
use crate::pretrained::EfficientNetLite0;
use crate::provenance::bundle::{self, ModelInfo};
use crate::weights::Weights;
use burn::tensor::Device;
use std::path::Path;
use std::sync::Arc;

impl Settings for RunConfig {
    fn seed(&self) -> u64 {
        self.seed
    }

    fn train(&self) -> &TrainConfig {
        &self.train
    }

    fn train_mut(&mut self) -> &mut TrainConfig {
        &mut self.train
    }

    fn to_toml(&self) -> String {
        RunConfig::to_toml(self)
    }
}

/// A family of picture models in training.
pub(super) struct Pictures {
    config: RunConfig,
    pub(super) dataset: Arc<Dataset>,
    device: Device,
    pub(super) trainer: Box<dyn Trainer>,
    loader: Arc<Loader>,
    looker: Looker,
    tolerance: Tolerance,
}

impl Pictures {
    /// An untrained model of `config`.
    ///
    /// # Errors
    /// A device that is not there, or a projected GAN without eyes.
    pub fn new(config: &RunConfig, dataset: Arc<Dataset>, eyes: Option<EfficientNetLite0>) -> Result<Self> {
        // Trial steps and the VAE's statistics use the first attempt's order whatever the attempt; `restore` sets the run's own.
        let loader = loader(config, &dataset, config.seed);
        let device = config.train.device.open()?;
        let trainer = new_trainer(config, &loader, &device, eyes)?;
        let looker = Looker::new(config, &dataset, Box::new(RandomFeatures::new(&device)), &device);
        // The KID of a few hundred pictures of a GAN; see LAB.md. A VAE is scored on the same held-out pictures each time.
        let tolerance = match config.model {
            ModelConfig::Vae(_) => Tolerance::NONE,
            _ => Tolerance { share: 0.05, least: looker.noise() },
        };
        Ok(Self { config: config.clone(), dataset, device, trainer, loader, looker, tolerance })
    }

    fn info(&self, step: u64) -> ModelInfo {
        let manifest = self.dataset.manifest();
        ModelInfo {
            format: ModelInfo::current_format(),
            name: look::model_name(&self.config),
            config: self.config.model.clone(),
            step,
            images_seen: step * self.a_step(),
            seed: self.config.seed,
            data: source_name(&self.config.data.source),
            data_pictures: self.dataset.train_len(),
            data_fingerprint: manifest.fingerprint.clone(),
            version: crate::VERSION.to_string(),
        }
    }
}

/// What a trainer reads at a moment.
fn input<'a>(moment: &Moment, loader: &'a Loader) -> StepInput<'a> {
    let Moment { step, seed, lr, remedy, .. } = *moment;
    StepInput { step, seed, lr, remedy, loader }
}

impl Subject for Pictures {
    type Config = RunConfig;
    type Model = Sampler;
    const UNIT: Unit = Unit::Pictures;
    const SAMPLES: &'static str = "png";

    fn a_step(&self) -> u64 {
        self.config.train.batch as u64
    }

    fn step(&mut self, moment: &Moment) -> Losses {
        self.trainer.step(&input(moment, &self.loader))
    }

    fn trial(&self) -> Box<dyn FnMut(&Moment) + '_> {
        let mut trainer = self.trainer.boxed_clone();
        Box::new(move |moment| {
            trainer.step(&input(moment, &self.loader));
        })
    }

    fn state(&self) -> Weights {
        self.trainer.state()
    }

    fn restore(&mut self, state: Weights, step: u64, seed: u64) -> Result<()> {
        self.trainer.restore(state, step)?;
        self.loader = loader(&self.config, &self.dataset, seed);
        Ok(())
    }

    fn begin(&mut self, dir: &RunDir) -> Result<()> {
        look::write_reals(dir, &self.config, &self.dataset)?;
        if self.config.init.is_some() {
            init::begin(dir, self.trainer.as_mut())?;
        }
        Ok(())
    }

    fn model(&mut self, step: u64) -> Sampler {
        Sampler::in_training(self.trainer.model(), self.info(step), self.device.clone())
    }

    fn look(&mut self, sampler: &Sampler) -> Looked {
        let mut looked = self.looker.look(sampler);
        if let Some(likelihood) = self.trainer.likelihood(sampler.model(), &self.dataset) {
            let name = format!("heldout_elbo_bits_{}", self.config.vae.reconstruction.name());
            looked.scores.insert(0, (name, likelihood));
        }
        looked
    }

    fn write_model(&self, path: &Path, sampler: &Sampler) -> Result<()> {
        bundle::save(path, sampler.model(), &sampler.info)
    }

    /// The grid.
    fn write_sample(&self, checkpoint: &Path, path: &Path) -> Result<()> {
        let (sampler, _) = Sampler::open(checkpoint)?;
        look::write_sample(path, &sampler, &self.config, &self.dataset)
    }

    /// Logits in the thousands, or a thousand nats a number.
    fn loss_limit(&self) -> f32 {
        match self.config.model {
            ModelConfig::Vae(_) => 1e3 * self.config.data.row_bytes() as f32,
            _ => 1e4,
        }
    }

    fn tolerance(&self) -> Tolerance {
        self.tolerance
    }

    fn plain(&self) -> Option<bool> {
        let gan = !matches!(self.config.model, ModelConfig::Vae(_));
        gan.then_some(self.config.gan.augment.is_empty())
    }
}

/// The batches of `config` under `seed`.
pub(super) fn loader(config: &RunConfig, dataset: &Arc<Dataset>, seed: u64) -> Arc<Loader> {
    let flip = config.train.flip == Some(true);
    Arc::new(Loader::new(dataset.clone(), config.train.batch, flip, seed))
}
