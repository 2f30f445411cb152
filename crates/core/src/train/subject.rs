//! What the loop trains, pictures or text: everything that it must not know itself.

use super::Losses;
use super::checkpoint::Tolerance;
use super::config::TrainConfig;
use super::health::Remedy;
use crate::Result;
use crate::weights::Weights;
use std::path::Path;

/// The settings of a run, of which the loop reads a part.
pub(super) trait Settings {
    /// Seed of every random stream.
    fn seed(&self) -> u64;
    /// What is common to all.
    fn train(&self) -> &TrainConfig;
    /// The same, where trial steps fill something in.
    fn train_mut(&mut self) -> &mut TrainConfig;
    /// As the text of `run.toml`.
    fn to_toml(&self) -> String;
}

/// What a step may depend on, besides the subject's own state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Steps completed before this one.
    pub step: u64,
    /// Seed of the random streams of this attempt.
    pub seed: u64,
    /// Learning rate, before any schedule of the subject's own.
    pub lr: f32,
    /// What remedies have changed.
    pub remedy: Remedy,
    /// Share of the budget that is spent, from 0 to 1: where a schedule is. It comes from the counters of the checkpoint, so a
    /// run that goes on finds it where it was.
    pub progress: f64,
}

/// What training is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Pictures shown.
    Pictures,
    /// Tokens read.
    Tokens,
}

impl Unit {
    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pictures => "pictures",
            Self::Tokens => "tokens",
        }
    }

    /// As `metrics.jsonl` has it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Pictures => "images",
            Self::Tokens => "tokens",
        }
    }
}

/// What a look found.
#[derive(Debug, Clone)]
pub(super) struct Looked {
    /// Scores under their protocol names, at least one; lower is better, and the first decides.
    pub scores: Vec<(String, f64)>,
    /// Spread of what is generated relative to what is real, where that is measured.
    pub diversity: Option<f64>,
}

/// A model in training with its data.
pub(super) trait Subject {
    /// The settings of its runs.
    type Config: Settings;
    /// What is looked at, scored and saved: the averaged model, ready to generate.
    type Model;
    /// What training is counted in.
    const UNIT: Unit;
    /// How the names of its samples end.
    const SAMPLES: &'static str;

    /// Units of one step.
    fn a_step(&self) -> u64;
    /// One step of training.
    fn step(&mut self, moment: &Moment) -> Losses;
    /// Steps on a copy, to be timed.
    fn trial(&self) -> Box<dyn FnMut(&Moment) + '_>;
    /// All tensors that resuming needs.
    fn state(&self) -> Weights;
    /// Back to `state`, saved after `step` steps; from here on with the draws of `seed`.
    fn restore(&mut self, state: Weights, step: u64, seed: u64) -> Result<()>;
    /// Before the first look of a new run: what else belongs into its directory, and weights to begin with.
    fn begin(&mut self, dir: &super::RunDir) -> Result<()>;
    /// The model as it is after `step` steps.
    fn model(&mut self, step: u64) -> Self::Model;
    /// Scores the model.
    fn look(&mut self, model: &Self::Model) -> Looked;
    /// Writes the model file.
    fn write_model(&self, path: &Path, model: &Self::Model) -> Result<()>;
    /// Writes to `path` what the model of a checkpoint makes, always from the same seeds.
    fn write_sample(&self, checkpoint: &Path, path: &Path) -> Result<()>;
    /// A magnitude that no healthy loss reaches.
    fn loss_limit(&self) -> f32;
    /// Scores of its looks that differ by chance alone.
    fn tolerance(&self) -> Tolerance;
    /// Of a GAN, whether its settings have no augmentation; other families are `None`.
    fn plain(&self) -> Option<bool>;
}
