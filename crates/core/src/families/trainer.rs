//! A family in training: one step, what resuming needs, and what helps in trouble.

use super::model::Model;
use super::settings::Settings;
use crate::data::{Batch, Conditions, DataConfig, Dataset, Loader};
use crate::judge::ScoreName;
use crate::nn::{BatchNorm, Statistics};
use crate::pretrained::EfficientNetLite0;
use crate::weights::Weights;
use crate::{Error, Result};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a trainer begins with.
pub struct Ingredients<'a> {
    /// The settings of the run.
    pub settings: Settings,
    /// Its pictures.
    pub loader: &'a Arc<Loader>,
    /// What computes.
    pub device: &'a Device,
    /// What a family looks through that [needs it](super::About::needs_features).
    pub features: Option<EfficientNetLite0>,
}

/// Losses of a step, by name.
pub type Losses = Vec<(&'static str, f32)>;

/// The share of pictures that a discriminator classified correctly, among the losses of its step.
pub const ACCURACY: &str = "d_accuracy";

/// Batches over which the standing statistics of batch norm are measured.
pub(crate) const STANDING_BATCHES: u64 = 8;

/// What a step may depend on, besides the trainer's own state.
pub struct StepInput<'a> {
    /// Steps completed before this one.
    pub step: u64,
    /// Seed of the random streams of this attempt.
    pub seed: u64,
    /// Learning rate.
    pub lr: f32,
    /// Share of the budget that is spent, from 0 to 1: where a schedule is.
    pub progress: f64,
    /// What remedies have changed.
    pub remedy: Remedy,
    /// Where pictures come from, and what each is asked for with.
    pub loader: &'a Loader,
}

/// A family in training.
pub trait Trainer {
    /// One step of training.
    fn step(&mut self, input: &StepInput) -> Losses;
    /// The averaged model with standing statistics: what is looked at, scored and saved.
    fn model(&mut self) -> Box<dyn Model>;
    /// A score of the held-out pictures under what [`model`](Self::model) has made, which decides instead of KID, with its
    /// protocol name; lower is better. For families that have one.
    fn score(&self, _model: &dyn Model, _data: &Dataset) -> Option<(ScoreName, f64)> {
        None
    }
    /// All tensors that resuming needs.
    fn state(&self) -> Weights;
    /// Back to `state`, saved after `step` steps.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    fn restore(&mut self, state: Weights, step: u64) -> Result<()>;
    /// A copy for trial steps.
    fn boxed_clone(&self) -> Box<dyn Trainer>;
    /// A magnitude that no healthy loss reaches.
    fn loss_limit(&self) -> f32;
    /// Scores of looks that differ by chance alone; `noise` is the standard deviation of KID between halves of the real pictures.
    fn tolerance(&self, noise: f64) -> Tolerance;
    /// What is changed next for this kind of trouble, `now` being what has been changed already, and in words; nothing where
    /// nothing is left. The learning rate, which is halved after divergence and collapse, is not part of this.
    fn remedy(&self, now: Remedy, kind: Kind) -> Option<(Remedy, &'static str)>;
}

/// Scores that differ by no more than this differ by chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// A share of the lowest score, where that is positive.
    pub share: f64,
    /// At least so much, whatever the lowest score: near zero there are no shares.
    pub least: f64,
}

impl Tolerance {
    /// Every difference counts.
    pub const NONE: Self = Self { share: 0.0, least: 0.0 };

    /// How far above the score `lowest` is no difference.
    pub(crate) fn above(self, lowest: f64) -> f64 {
        (self.share * lowest.max(0.0)).max(self.least)
    }
}

/// What is wrong with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Weights or losses that are not numbers, or absurd ones.
    Divergence,
    /// The generator makes one picture.
    Collapse,
    /// The discriminator is sure of everything, and the generator learns nothing from it.
    Domination,
}

impl Kind {
    /// As in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Divergence => "divergence",
            Self::Collapse => "collapse",
            Self::Domination => "domination",
        }
    }
}

/// What remedies have changed in how a model trains, besides the common learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remedy {
    /// DiffAugment on every picture, though the settings have none.
    pub augment: bool,
    /// Factor on the discriminator's learning rate.
    pub d_lr_scale: f32,
}

impl Default for Remedy {
    fn default() -> Self {
        Self { augment: false, d_lr_scale: 1.0 }
    }
}

impl Remedy {
    /// Has nothing been changed?
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Both of two.
    pub fn and(self, other: Self) -> Self {
        Self { augment: self.augment || other.augment, d_lr_scale: self.d_lr_scale.min(other.d_lr_scale) }
    }
}

/// What to say when a family that looks through features has none.
pub fn no_features() -> Error {
    Error::input("this family trains with the feature network EfficientNet-Lite0, whose weights are not installed")
        .hint("install them with `maliang weights get efficientnet-lite0`, or use --model fastgan, which needs none")
}

/// A batch as a tensor `[batch, height, width, channels]` in [-1, 1], and what each picture is asked for with.
pub(crate) fn pictures_tensor(batch: Batch, data: &DataConfig, device: &Device) -> (Tensor<4>, Conditions) {
    let shape = [batch.size, data.height, data.width, data.channels];
    (Tensor::from_data(TensorData::new(batch.pictures, shape), device), batch.condition)
}

/// Sets the standing statistics of `norms` from several measured passes.
pub(crate) fn set_standing_statistics(norms: Vec<&mut BatchNorm>, passes: Vec<Statistics>) {
    let mut passes: Vec<_> = passes.into_iter().map(|p| p.into_inner().into_iter()).collect();
    for norm in norms {
        let own: Vec<_> = passes.iter_mut().map(|p| p.next().expect("a pass measures every norm once")).collect();
        norm.set_statistics(&own);
    }
}
