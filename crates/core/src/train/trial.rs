//! Training steps alone, without a run: no directory, no data source, no looks.

use crate::Result;
use crate::data::{Dataset, Loader};
use crate::families::Ingredients;
use crate::families::trainer::Remedy;
use crate::families::trainer::{Losses, StepInput, Trainer};
use crate::pretrained::EfficientNetLite0;
use crate::run::config::RunConfig;
use crate::run::model_file::{self, ModelInfo};
use std::path::Path;
use std::sync::Arc;

/// Batches of different pictures before they repeat.
const BATCHES: usize = 4;

/// The trainer and loader of a run on pictures of noise held in memory, step by step: what a step costs, and a model file
/// that makes pictures of nothing. The steps are those of [`Run::train`](super::Run::train).
///
/// ```no_run
/// # fn measure(config: &maliang::run::config::RunConfig) -> maliang::Result<()> {
/// let mut trial = maliang::train::Trial::new(config)?;
/// trial.step(); // the first also pays for allocating
/// let start = std::time::Instant::now();
/// trial.step();
/// println!("{:.0} ms", start.elapsed().as_secs_f64() * 1e3);
/// # Ok(()) }
/// ```
pub struct Trial {
    config: RunConfig,
    trainer: Box<dyn Trainer>,
    loader: Arc<Loader>,
    step: u64,
}

impl Trial {
    /// An untrained model of `config`; its source is not looked at and its budget does not matter.
    ///
    /// # Errors
    /// A setting out of range, a device that is not there, or a family that looks through another network.
    pub fn new(config: &RunConfig) -> Result<Self> {
        Self::looking_through(config, None)
    }

    /// As [`new`](Self::new), with the network that a projected GAN looks through.
    ///
    /// # Errors
    /// A setting out of range, or a device that is not there.
    pub fn looking_through(config: &RunConfig, features: Option<EfficientNetLite0>) -> Result<Self> {
        config.validate()?;
        let dataset = Dataset::synthetic(&config.data, config.model.classes(), BATCHES * config.train.batch)?;
        let loader = config.loader(&Arc::new(dataset), config.seed);
        let device = config.train.device.open()?;
        let given = Ingredients { settings: config.settings(), loader: &loader, device: &device, features };
        let trainer = config.model.trainer(given)?;
        Ok(Self { config: config.clone(), trainer, loader, step: 0 })
    }

    /// One step.
    pub fn step(&mut self) -> Losses {
        let remedy = Remedy::default();
        let (seed, lr) = (self.config.seed, self.config.train.lr);
        let input = StepInput { step: self.step, seed, lr, progress: 0.0, remedy, loader: &self.loader };
        self.step += 1;
        self.trainer.step(&input)
    }

    /// Writes the model as it is now, for [`Sampler::open`](crate::generate::sampler::Sampler::open).
    ///
    /// # Errors
    /// The disk refused, or a weight is no longer a number.
    pub fn save_model(&mut self, path: &Path) -> Result<()> {
        let manifest = self.loader.dataset().manifest();
        let info = ModelInfo {
            format: ModelInfo::current_format(),
            name: "trial".into(),
            config: self.config.model.clone(),
            step: self.step,
            images_seen: self.step * self.config.train.batch as u64,
            seed: self.config.seed,
            data: "noise".into(),
            data_pictures: manifest.counts.train,
            data_fingerprint: manifest.fingerprint.clone(),
            version: crate::VERSION.to_string(),
        };
        model_file::save(path, self.trainer.model().as_ref(), &info)
    }
}
