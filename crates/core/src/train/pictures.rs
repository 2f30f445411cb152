//! Pictures as the loop trains them: a family's trainer, its loader, and what looks at it.

use super::init;
use super::look::{self, Looker};
use super::observer::Unit;
use super::subject::{Looked, Moment, Subject};
use crate::Result;
use crate::data::source_name;
use crate::data::{Dataset, Loader};
use crate::families::Ingredients;
use crate::families::trainer::Tolerance;
use crate::families::trainer::{Kind, Remedy};
use crate::families::trainer::{Losses, StepInput, Trainer};
use crate::generate::sampler::Sampler;
use crate::judge::RandomFeatures;
use crate::pretrained::EfficientNetLite0;
use crate::run::config::RunConfig;
use crate::run::dir::RunDir;
use crate::run::model_file::{self, ModelInfo};
use crate::weights::Weights;
use burn::tensor::Device;
use std::path::Path;
use std::sync::Arc;

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
    /// A device that is not there, or features that are needed and not there.
    pub fn new(config: &RunConfig, dataset: Arc<Dataset>, features: Option<EfficientNetLite0>) -> Result<Self> {
        // Trial steps and the VAE's statistics use the first attempt's order whatever the attempt; `restore` sets the run's own.
        let loader = config.loader(&dataset, config.seed);
        let device = config.train.device.open()?;
        let given = Ingredients { settings: config.settings(), loader: &loader, device: &device, features };
        let trainer = config.model.trainer(given)?;
        let looker = Looker::new(config, &dataset, Box::new(RandomFeatures::new(&device)), &device);
        let tolerance = trainer.tolerance(looker.noise());
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
    let Moment { step, seed, lr, remedy, progress } = *moment;
    StepInput { step, seed, lr, progress, remedy, loader }
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
        self.loader = self.config.loader(&self.dataset, seed);
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
        if let Some(score) = self.trainer.score(sampler.model(), &self.dataset) {
            looked.scores.insert(0, score);
        }
        looked
    }

    fn write_model(&self, path: &Path, sampler: &Sampler) -> Result<()> {
        model_file::save(path, sampler.model(), &sampler.info)
    }

    /// The grid.
    fn write_sample(&self, checkpoint: &Path, path: &Path) -> Result<()> {
        let (sampler, _) = Sampler::open(checkpoint)?;
        look::write_sample(path, &sampler, &self.config, &self.dataset)
    }

    fn loss_limit(&self) -> f32 {
        self.trainer.loss_limit()
    }

    fn tolerance(&self) -> Tolerance {
        self.tolerance
    }

    fn remedy(&self, now: Remedy, kind: Kind) -> Option<(Remedy, &'static str)> {
        self.trainer.remedy(now, kind)
    }
}
