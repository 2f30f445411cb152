//! Training: one loop that is safe against crashes, and one `step` a family that reads like its paper.
//!
//! The loop is shared because what it guards — checkpoints, exact resume, rollback — must exist once.

mod adversary;
mod augment;
mod bounds;
pub mod checkpoint;
mod choose;
mod config;
mod gan;
pub mod health;
mod init;
mod look;
pub mod losses;
mod optim;
mod pictures;
mod plateau;
mod race;
pub mod regularise;
mod run_dir;
mod session;
mod subject;
#[cfg(test)]
mod tests;
mod text;
mod text_trial;
mod trial;
mod vae;

pub use bounds::{Sample, likelihoods};
pub use choose::{Choice, Request, candidates, choose, set};
pub use config::{Augmentation, GanConfig, GanLoss, Limits, Reconstruction, RunConfig, TrainConfig, VaeTraining};
pub(crate) use gan::trained_discriminator;
pub use init::{Adopted, Donor};
pub use maliang_kernels::Precision;
pub use plateau::{PATIENCE, Plateau, Scored, plateau};
pub use race::Race;
pub use run_dir::{Lock, Log, RunDir};
pub use subject::Unit;
pub use text::{
    CorpusChoice, TextChoice, TextRequest, TextRun, TextRunConfig, TextTraining, choose_corpus, choose_text, corpus_of,
};
pub use text_trial::TextTrial;
pub use trial::Trial;

use crate::data::{Batch, DataConfig, Dataset, Loader, Source, scan};
use crate::models::{ModelConfig, PictureModel};
use crate::pretrained::EfficientNetLite0;
use crate::weights::Weights;
use crate::{Error, Result, files};
use burn::tensor::{Device, Tensor, TensorData};
use checkpoint::Best;
use health::Remedy;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Batches over which the standing statistics of batch norm are measured.
const STANDING_BATCHES: u64 = 8;

/// Losses of a step, by name.
pub type Losses = Vec<(&'static str, f32)>;

/// The share of pictures that a discriminator told rightly, among the losses of its step.
pub(crate) const ACCURACY: &str = "d_accuracy";

/// What a step may depend on, besides the trainer's own state.
pub(crate) struct StepInput<'a> {
    /// Steps completed before this one.
    pub step: u64,
    /// Seed of the random streams of this attempt.
    pub seed: u64,
    /// Learning rate.
    pub lr: f32,
    /// What remedies have changed.
    pub remedy: Remedy,
    /// Where pictures come from.
    pub loader: &'a Loader,
}

/// A family in training.
pub(crate) trait Trainer {
    /// One step of training.
    fn step(&mut self, input: &StepInput) -> Losses;
    /// The averaged model with standing statistics: what is looked at, scored and saved.
    fn model(&mut self) -> PictureModel;
    /// −ELBO of the held-out pictures in bits per number, for families that have one.
    fn likelihood(&self, _model: &PictureModel, _data: &Dataset) -> Option<f64> {
        None
    }
    /// All tensors that resuming needs.
    fn state(&self) -> Weights;
    /// Back to `state`, saved after `step` steps.
    fn restore(&mut self, state: Weights, step: u64) -> Result<()>;
    /// A copy for trial steps.
    fn boxed_clone(&self) -> Box<dyn Trainer>;
}

/// The untrained trainer of `config`'s family. `eyes` is what a projected GAN looks through.
fn new_trainer(
    config: &RunConfig,
    loader: &Arc<Loader>,
    device: &Device,
    eyes: Option<EfficientNetLite0>,
) -> Result<Box<dyn Trainer>> {
    Ok(match &config.model {
        ModelConfig::Vae(model) => Box::new(vae::VaeTrainer::new(config, model, loader.clone(), device.clone())),
        _ => Box::new(gan::GanTrainer::new(config, device.clone(), eyes)?),
    })
}

/// What to say when a projected GAN has nothing to look through.
pub fn no_eyes() -> Error {
    Error::input("a projected GAN looks through EfficientNet-Lite0, whose weights are not installed")
        .hint("install them with `maliang weights get efficientnet-lite0`, or use --model fastgan, which needs none")
}

/// What training reports while it runs.
#[derive(Debug, Clone)]
pub enum Event {
    /// The run goes on from a checkpoint.
    Resumed {
        /// Steps completed.
        step: u64,
    },
    /// What the trial steps measured.
    Estimate {
        /// Seconds a step.
        seconds_per_step: f64,
        /// Steps until the end.
        steps: u64,
        /// Seconds until the end.
        seconds: f64,
        /// Highest memory use of the process so far, in bytes.
        memory: Option<u64>,
        /// Steps between looks.
        look_every: u64,
    },
    /// A step is done.
    Step {
        /// Steps completed.
        step: u64,
        /// Pictures or tokens a second, over the last steps.
        rate: f64,
        /// Which of the two.
        unit: Unit,
        /// Share of the run that is done.
        progress: f64,
        /// Seconds until the end.
        eta: f64,
        /// Losses of this step.
        losses: Losses,
    },
    /// The model was scored and saved, and a sample of it written.
    Look {
        /// Steps completed.
        step: u64,
        /// A grid of pictures, or texts.
        sample: PathBuf,
        /// Scores under their protocol names, lower is better; the first decides which checkpoint is best.
        scores: Vec<(String, f64)>,
        /// Is this the best look so far?
        best: bool,
    },
    /// Something the user should know, in one sentence.
    Note(String),
}

/// Who listens to training. The library has no clock of its own: the listener brings it.
pub trait Observer {
    /// Something happened.
    fn event(&mut self, event: &Event);
    /// Should training save and stop?
    fn stop(&self) -> bool {
        false
    }
    /// Seconds on a clock that only goes forward.
    fn seconds(&self) -> f64;
    /// Highest memory use of this process so far, in bytes, where it is known.
    fn memory(&self) -> Option<u64> {
        None
    }
    /// What computes, in words, for the record.
    fn machine(&self) -> Option<String> {
        None
    }
}

/// How training ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Steps completed.
    pub step: u64,
    /// Seconds of training, all sessions together.
    pub seconds: f64,
    /// The best look.
    pub best: Option<Best>,
    /// Did it reach the end of its budget (true), or was it asked to stop (false)?
    pub finished: bool,
    /// Did it end before its budget, because the score had stopped improving?
    pub stopped_early: bool,
}

/// A run that is ready to train: its directory locked, its data open.
#[derive(Debug)]
pub struct Run {
    dir: RunDir,
    config: RunConfig,
    dataset: Arc<Dataset>,
    eyes: Option<EfficientNetLite0>,
    _lock: Lock,
}

impl Run {
    /// Starts a new run in `dir`, which must not hold one yet.
    ///
    /// # Errors
    /// A setting out of range, too few pictures, a place that cannot be written to, another trainer.
    pub fn create(dir: RunDir, config: RunConfig, dataset: Arc<Dataset>) -> Result<Self> {
        config.validate()?;
        enough_pictures(dataset.train_len())?;
        same_classes(&config, &dataset)?;
        dir.vacant()?;
        dir.create()?;
        let lock = dir.lock()?;
        let manifest = serde_json::to_vec_pretty(dataset.manifest()).expect("a manifest is plain data");
        files::write_bytes(&dir.file("data.json"), &manifest)?;
        Ok(Self { dir, config, dataset, eyes: None, _lock: lock })
    }

    /// Goes on with the run in `dir`. `adjust` may change the budget of the configuration. The pictures come from the
    /// cache when it is still there, so it does not matter whether the source has changed or gone.
    ///
    /// # Errors
    /// Not a run, another trainer, or neither cache nor unchanged source.
    pub fn resume(dir: RunDir, cache: &Path, adjust: impl FnOnce(&mut RunConfig)) -> Result<Self> {
        let mut config = dir.config()?;
        adjust(&mut config);
        config.validate()?;
        let lock = dir.lock()?;
        let dataset = data_of(&dir, &config, cache)?;
        let made_of = DataConfig { source: config.data.source.clone(), ..dataset.manifest().config.clone() };
        if made_of != config.data {
            return Err(Error::input(format!(
                "the pictures of {} were prepared by other [data] settings",
                dir.root().display()
            ))
            .hint("take back what was changed in run.toml; other settings are another run, with --out"));
        }
        same_classes(&config, &dataset)?;
        dir.write_config(&config)?;
        Ok(Self { dir, config, dataset: Arc::new(dataset), eyes: None, _lock: lock })
    }

    /// Has the run begin with what was taken over from another model.
    ///
    /// # Errors
    /// The disk refused.
    pub fn beginning_with(self, adopted: &Adopted) -> Result<Self> {
        adopted.leave_in(&self.dir)?;
        Ok(self)
    }

    /// The run's directory.
    pub fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// The run's settings.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// Gives the run the network that a projected GAN looks through, on the run's device; other families do without.
    pub fn looking_through(self, eyes: Option<EfficientNetLite0>) -> Self {
        Self { eyes, ..self }
    }

    /// Trains to the end of the budget, or until `observer` asks to stop.
    ///
    /// # Errors
    /// The disk refused, or training diverged more often than it may. What was saved before stays.
    pub fn train(self, observer: &mut dyn Observer) -> Result<Outcome> {
        session::Session::of_pictures(self, observer)?.train(observer)
    }
}

/// The pictures of the run in `dir`: from the cache when it is still there, else prepared again from an unchanged source.
///
/// # Errors
/// Not a run, or neither cache nor unchanged source.
pub fn data_of(dir: &RunDir, config: &RunConfig, cache: &Path) -> Result<Dataset> {
    let path = dir.file("data.json");
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path, &e))?;
    let manifest: crate::data::Manifest =
        serde_json::from_str(&text).map_err(|e| Error::corrupt(format!("{} cannot be read: {e}", path.display())))?;
    if let Ok(dataset) = Dataset::open_cached(cache, &manifest.fingerprint) {
        return Ok(dataset);
    }
    let found = scan(&Source::parse(&config.data.source)?)?;
    let dataset = Dataset::open(&config.data, &found, cache, &|_, _| ())?;
    dataset.recognised_as(&manifest).ok_or_else(|| {
        let source = &config.data.source;
        Error::input(format!("the pictures in {source} have changed since this run began, and its cache is gone"))
            .hint("restore the pictures, or start a new run on the changed ones")
    })
}

/// Fewer than this and there is nothing to learn from.
const FEWEST_PICTURES: usize = 2;

/// Refuses what is too little to train on.
///
/// # Errors
/// Fewer than two pictures.
pub fn enough_pictures(count: usize) -> Result<()> {
    if count >= FEWEST_PICTURES {
        return Ok(());
    }
    let pictures = if count == 1 { "1 usable picture is" } else { "0 usable pictures are" };
    Err(Error::input(format!("{pictures} too little to train on: at least {FEWEST_PICTURES} are needed"))
        .hint("see `maliang data check` for what is in the source; 100 pictures or more give good results"))
}

/// A conditional model learns the classes of its pictures: others, fewer or more have no pictures to learn from.
fn same_classes(config: &RunConfig, dataset: &Dataset) -> Result<()> {
    let (asked, found) = (config.model.classes(), dataset.labels());
    if asked.is_empty() || asked == found {
        return Ok(());
    }
    let list = |names: &[String]| match names {
        [] => "no classes".to_string(),
        names if names.len() > 8 => format!("{} classes ({}, …)", names.len(), names[..8].join(", ")),
        names => names.join(", "),
    };
    Err(Error::input(format!("model.classes names {}, but the pictures have {}", list(asked), list(found)))
        .hint("leave model.classes out, or train without classes: --set model.classes=[]"))
}

/// A batch as a tensor `[batch, height, width, channels]` in [-1, 1], and its labels.
pub(crate) fn pictures_tensor(batch: Batch, data: &DataConfig, device: &Device) -> (Tensor<4>, Vec<usize>) {
    let shape = [batch.size, data.height, data.width, data.channels];
    (Tensor::from_data(TensorData::new(batch.images, shape), device), batch.labels)
}
