//! What the loop trains, pictures or text: everything that it must not know itself.

use super::observer::Unit;
use crate::Result;
use crate::families::trainer::Kind;
use crate::families::trainer::Losses;
use crate::families::trainer::Remedy;
use crate::families::trainer::Tolerance;
use crate::judge::ScoreName;
use crate::run::config::RunSettings;
use crate::run::dir::RunDir;
use crate::weights::Weights;
use std::path::Path;

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

/// What a look found.
#[derive(Debug, Clone)]
pub(super) struct Looked {
    /// Scores under their protocol names, at least one; lower is better, and the first decides.
    pub scores: Vec<(ScoreName, f64)>,
    /// Spread of what is generated relative to what is real, where that is measured.
    pub diversity: Option<f64>,
}

/// A model in training with its data.
pub(super) trait Subject {
    /// The settings of its runs.
    type Config: RunSettings;
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
    fn begin(&mut self, dir: &RunDir) -> Result<()>;
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
    /// See [`Trainer::remedy`](crate::families::Trainer::remedy).
    fn remedy(&self, now: Remedy, kind: Kind) -> Option<(Remedy, &'static str)>;
}
