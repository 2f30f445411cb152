//! What a family of picture models is: its sizes ([`Family`]), its trained model ([`Model`]), its training ([`Trainer`]).
//!
//! Nobody outside of a family's folder asks which family it is. Who wants an encoder asks the model for [`Code`], who wants to
//! know what a loss means asks [`About`].

use super::settings::{Settings, Tables, check_ranges};
use crate::data::{Batch, CheckReport, Conditions, DataConfig, Dataset, Loader};
use crate::judge::ScoreName;
use crate::makes::Makes;
use crate::nn::{self, BatchNorm, Module, Statistics};
use crate::pretrained::EfficientNetLite0;
use crate::weights::Weights;
use crate::{Error, Result};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

/// What is said of a family wherever families are listed: help, reports, the server.
#[derive(Debug)]
pub struct About {
    /// What it makes.
    pub makes: Makes,
    /// Its name in `--model` and in `run.toml`.
    pub name: &'static str,
    /// One line of help.
    pub summary: &'static str,
    /// The paper that it implements.
    pub paper: &'static str,
    /// What its losses mean, for the curve in a report.
    pub losses: &'static str,
    /// The tables of `run.toml` that it reads, besides those that all families read.
    pub tables: &'static [&'static str],
    /// Does its training look through EfficientNet-Lite0, whose weights the user installs?
    pub needs_features: bool,
    /// Has it a network that tells real pictures from generated ones?
    pub has_critic: bool,
    /// Has its model [`Styles`], which mix?
    pub has_styles: bool,
}

/// The shape of what a model makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Rows.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// 1 (grey) or 3 (RGB).
    pub channels: usize,
}

/// What a model can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes<'a> {
    /// Nothing: it makes what it has learned.
    Nothing,
    /// One of these classes.
    Classes(&'a [String]),
    /// Words.
    Captions,
    /// Another picture.
    Pictures,
}

impl<'a> Takes<'a> {
    /// Classes of these names; nothing where there are none.
    pub fn of_classes(names: &'a [String]) -> Self {
        if names.is_empty() { Self::Nothing } else { Self::Classes(names) }
    }
}

/// What a batch of pictures is asked for with.
#[derive(Debug, Clone)]
pub enum Condition {
    /// Nothing.
    Nothing,
    /// Classes, one-hot `[batch, classes]`.
    Classes(Tensor<2>),
    /// A caption a picture.
    Captions(Vec<String>),
    /// A picture each, `[batch, height, width, channels]` in [-1, 1].
    Pictures(Tensor<4>),
}

impl Condition {
    /// The classes `labels` of `count` there are; nothing where there are none.
    pub fn of_classes(labels: &[usize], count: usize, device: &Device) -> Self {
        one_hot(labels, count, device).map_or(Self::Nothing, Self::Classes)
    }

    /// The classes, one-hot, where it is classes.
    pub fn classes(&self) -> Option<Tensor<2>> {
        match self {
            Self::Classes(labels) => Some(labels.clone()),
            Self::Nothing | Self::Captions(_) | Self::Pictures(_) => None,
        }
    }
}

/// How pictures are made, besides their noise and what is asked for.
#[derive(Clone, Copy)]
pub struct How<'a> {
    /// Called between the steps of a model that makes pictures in several: a server lets others compute there.
    pub between: &'a dyn Fn(),
}

impl Default for How<'_> {
    fn default() -> Self {
        Self { between: &|| () }
    }
}

/// The sizes of a model, as `[model]` of `run.toml` and a model file have them: everything that is needed to build it.
pub trait Family: Debug + Send + Sync {
    /// What is said of the family.
    fn about(&self) -> &'static About;
    /// The shape of what it makes.
    fn frame(&self) -> Frame;
    /// Length of the noise vector that a picture is made from.
    fn noise(&self) -> usize;
    /// What it can be asked for.
    fn takes(&self) -> Takes<'_>;
    /// Its sizes as people read them, for one line.
    fn sizes(&self) -> String;
    /// Checks every number before anything is allocated from it.
    ///
    /// # Errors
    /// One sentence naming the value that is out of range.
    fn validate(&self) -> Result<()>;
    /// Checks the family's own tables.
    ///
    /// # Errors
    /// One sentence naming the setting that is out of range, or that does not go with another.
    fn check(&self, tables: &Tables) -> Result<()>;
    /// Does a setting of a table that the family reads do anything, the other settings being these? If not, the reason, which
    /// goes on from "because".
    fn idle(&self, _tables: &Tables, _table: &str, _setting: &str) -> Option<&'static str> {
        None
    }
    /// Its settings of training that people ask about, as one line.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    fn training(&self, tables: &Tables) -> Result<String>;
    /// The part of its training state that makes the pictures.
    fn player(&self) -> &'static str;
    /// The other family in a race that this one is the first choice of, and why.
    fn rival(&self) -> (&'static str, &'static str);
    /// The model without values.
    fn model(&self) -> Box<dyn Model>;
    /// An untrained model in training.
    ///
    /// # Errors
    /// As [`check`](Self::check), and features that are needed and not there.
    fn trainer(&self, given: Ingredients) -> Result<Box<dyn Trainer>>;
    /// The network that tells real pictures from generated ones, out of a training state, on the processor and outside autodiff;
    /// nothing for a family that has none.
    ///
    /// # Errors
    /// As [`trainer`](Self::trainer); a tensor that is missing or has another shape.
    fn critic(
        &self,
        _settings: &Settings,
        _state: &mut Weights,
        _features: Option<EfficientNetLite0>,
    ) -> Result<Option<Box<dyn Critic>>> {
        Ok(None)
    }
    /// Are the tensors of a training state whose names begin with this of use only to a run of the same seed?
    fn seeded(&self) -> Option<&'static str> {
        None
    }

    /// The family's name.
    fn family(&self) -> &'static str {
        self.about().name
    }

    /// The classes it can be asked for; empty when it takes none.
    fn classes(&self) -> &[String] {
        match self.takes() {
            Takes::Classes(names) => names,
            Takes::Nothing | Takes::Captions | Takes::Pictures => &[],
        }
    }
}

/// What a trainer begins with.
pub struct Ingredients<'a> {
    /// The settings of the run.
    pub settings: Settings,
    /// Its pictures.
    pub loader: &'a Arc<Loader>,
    /// What computes.
    pub device: &'a Device,
    /// What a family looks through that [needs it](About::needs_features).
    pub features: Option<EfficientNetLite0>,
}

/// A trained model. Consumers ask it for abilities.
pub trait Model: Any + Debug + Send + Sync {
    /// Takes its values out of `weights`.
    ///
    /// # Errors
    /// A missing or misshapen tensor.
    fn load(&mut self, weights: &mut Weights, device: &Device) -> Result<()>;
    /// The values by name.
    fn weights(&self) -> Weights;
    /// Noise ε ~ N(0, 1) `[batch, noise]` → pictures `[batch, height, width, channels]` in [-1, 1], each independent of the others
    /// in its batch.
    fn make(&self, noise: Tensor<2>, condition: &Condition, how: How) -> Tensor<4>;
    /// Its latent space, if it has one.
    fn latent(&self) -> Option<&dyn Latent> {
        None
    }
    /// Its encoder, if it has one.
    fn code(&self) -> Option<&dyn Code> {
        None
    }
    /// Its styles, if it has such.
    fn styles(&self) -> Option<&dyn Styles> {
        None
    }
    /// Its likelihood, if it has one.
    fn likelihood(&self) -> Option<&dyn Likelihood> {
        None
    }
    /// A copy.
    fn boxed_clone(&self) -> Box<dyn Model>;
}

impl Clone for Box<dyn Model> {
    fn clone(&self) -> Self {
        self.boxed_clone()
    }
}

/// A space of vectors that are pictures, near ones alike.
pub trait Latent {
    /// Noise ε ~ N(0, 1) → points z of the space, both `[batch, noise]`.
    fn point(&self, noise: Tensor<2>) -> Tensor<2>;
    /// Points z `[batch, noise]` → pictures, as [`Model::make`] makes them.
    fn decode(&self, z: Tensor<2>, condition: &Condition) -> Tensor<4>;
    /// The first linear map `[n_in, n_out]` that a point goes through, where its directions say how pictures differ (SeFa, Shen &
    /// Zhou 2021): the first rows belong to z.
    fn first_map(&self) -> Option<Tensor<2>> {
        None
    }
    /// A copy through which gradients go to the points and nowhere else.
    fn constant(&self) -> Box<dyn Latent>;
}

/// From pictures to the latent space.
pub trait Code {
    /// Pictures → mean and log variance of their points, each `[batch, noise]`.
    fn encode(&self, x: Tensor<4>, condition: &Condition) -> (Tensor<2>, Tensor<2>);
}

/// Contents and styles that mix.
pub trait Styles {
    /// Pictures with the contents of some points and the style of others, each with what it is asked for.
    fn mix(&self, content: (Tensor<2>, &Condition), style: (Tensor<2>, &Condition)) -> Tensor<4>;
}

/// A density of pictures, bounded by importance sampling.
pub trait Likelihood {
    /// Measures the scale of the likelihood on `data`, where training has left it open, and is ready for bounds. `classes` is how
    /// many classes the model takes.
    ///
    /// # Errors
    /// Settings that are not of this family.
    fn density<'a>(&'a self, classes: usize, tables: &Tables, data: &'a Dataset) -> Result<Box<dyn Density + 'a>>;
}

/// A [`Likelihood`] that is ready to be asked.
pub trait Density {
    /// Its name in scores.
    fn name(&self) -> &'static str;
    /// ln of the importance weights p(x, z) / q(z|x) of these pictures of the data set, `k` each.
    fn log_weights(&self, pictures: &[usize], k: usize, seed: u64) -> Vec<Vec<f64>>;
}

/// A network that tells real pictures from generated ones.
pub trait Critic: Debug + Send {
    /// The opinion of each picture, `[batch]`: larger is more real.
    fn opinions(&self, x: Tensor<4>, condition: &Condition) -> Tensor<1>;
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
    /// Weights or losses that are no numbers, or absurd ones.
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

/// What speaks for one family or another where the user names none.
#[derive(Debug)]
pub struct Facts<'a> {
    /// What the source holds.
    pub report: &'a CheckReport,
    /// The pictures as they will be prepared.
    pub data: &'a DataConfig,
    /// May they be photographs? Digits and emoji are not.
    pub photographic: bool,
    /// Are the weights of EfficientNet-Lite0 installed?
    pub features: bool,
}

impl Facts<'_> {
    /// Would a network that was trained on photographs see these pictures well? Coloured things it does, on a ground of one colour,
    /// too; grey drawings, digits and the flat graphics of emoji it does not: lab L-33, L-35, L-53.
    pub fn features_help(&self) -> bool {
        self.photographic && self.data.channels == 3 && self.data.width.min(self.data.height) >= FINEST
    }
}

/// How well a family suits: the highest rank is chosen, for this reason.
#[derive(Debug)]
pub struct Suits {
    /// Compared with that of others.
    pub rank: u8,
    /// The reason in words.
    pub why: String,
}

/// What a family chooses its settings from.
#[derive(Debug)]
pub struct Question<'a> {
    /// What the source holds.
    pub report: &'a CheckReport,
    /// The pictures as they will be prepared.
    pub data: &'a DataConfig,
    /// The classes to learn.
    pub classes: Vec<String>,
    /// How long the run may be.
    pub budget: Budget,
    /// The family's tables as far as the user has set them.
    pub given: &'a Tables,
}

/// How long a run may be.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Minutes; 0 is no limit.
    pub minutes: f64,
    /// Steps; 0 is no limit.
    pub steps: u64,
    /// Pictures of a step.
    pub batch: usize,
}

impl Budget {
    /// Pictures that a minute budget shows at `speed` pictures a second; nothing where only steps limit the run, because then its
    /// length is the user's own choice.
    pub fn pictures(&self, speed: f64) -> Option<f64> {
        (self.minutes > 0.0).then_some(self.minutes * 60.0 * speed)
    }

    /// How often it shows each of `count` pictures at that speed.
    pub fn epochs(&self, speed: f64, count: usize) -> f64 {
        let by_steps = if self.steps > 0 { self.steps as f64 * self.batch as f64 } else { f64::MAX };
        self.pictures(speed).unwrap_or(f64::MAX).min(by_steps) / count.max(1) as f64
    }

    /// Channels of the first stage: the widest network of which the budget can show `enough` pictures, `speed` being pictures a
    /// second with so many channels.
    pub fn width(&self, enough: f64, speed: impl Fn(usize) -> f64) -> usize {
        let shown = |base| self.pictures(speed(base)).unwrap_or(f64::MAX);
        [64, 48, 32, 24].into_iter().find(|&base| shown(base) >= enough).unwrap_or(24)
    }
}

/// What a family chose.
#[derive(Debug, Clone)]
pub struct Chosen<C> {
    /// The model.
    pub model: C,
    /// Its own tables, what the user has set laid over them.
    pub tables: Tables,
    /// Adam's learning rate.
    pub lr: f32,
    /// Adam's β₁ and β₂.
    pub betas: (f32, f32),
    /// Half-life of the moving average, in pictures.
    pub ema_half_life: f64,
    /// Does training in bf16 reach about the same scores?
    pub bf16: bool,
    /// Why, a line each: (what, value, reason).
    pub reasons: Vec<(&'static str, String, String)>,
}

impl<C> Chosen<C> {
    /// The same of a wider type of models.
    pub(super) fn into<D: From<C>>(self) -> Chosen<D> {
        let Self { model, tables, lr, betas, ema_half_life, bf16, reasons } = self;
        Chosen { model: model.into(), tables, lr, betas, ema_half_life, bf16, reasons }
    }
}

/// A family in the list.
pub trait Listed: Family + Sized {
    /// What is said of it.
    const ABOUT: About;
    /// Does it suit these pictures, so that it may be chosen where the user names no family?
    fn suits(_facts: &Facts) -> Option<Suits> {
        None
    }
    /// Fills in everything that the user leaves open.
    ///
    /// # Errors
    /// A setting that does not exist, or has another type.
    fn choose(question: &Question) -> Result<Chosen<Self>>;
}

/// Smaller pictures have too little to see for a network of photographs, and no level to excite for FastGAN.
pub const FINEST: usize = 32;

/// Smallest and largest picture side that the convolutional families take.
pub const SIDES: std::ops::RangeInclusive<usize> = 16..=256;

/// Checks a picture size.
///
/// # Errors
/// A side outside [`SIDES`].
pub fn check_size(width: usize, height: usize) -> Result<()> {
    if SIDES.contains(&width) && SIDES.contains(&height) {
        return Ok(());
    }
    let (low, high) = (SIDES.start(), SIDES.end());
    Err(Error::input(format!("the picture size {width}x{height} is out of range: both sides must be {low} to {high}"))
        .hint("for example --size 64, or --size 96x64 (width x height)"))
}

/// Checks the length of a latent vector.
pub(crate) fn check_noise(z_dim: usize) -> Result<()> {
    check_ranges(&[("model.z_dim", z_dim as f64, 1.0, 4096.0)])
}

/// Checks the classes of a conditional model.
pub(crate) fn check_classes(classes: &[String]) -> Result<()> {
    if classes.len() > 10_000 {
        return Err(Error::input(format!("{} classes are too many: at most 10000", classes.len())));
    }
    Ok(())
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

/// Labels as rows of 0 and 1, `[batch, classes]`; none for an unconditional model.
pub fn one_hot(labels: &[usize], classes: usize, device: &Device) -> Option<Tensor<2>> {
    if classes == 0 {
        return None;
    }
    let mut values = vec![0.0f32; labels.len() * classes];
    for (row, &label) in values.chunks_exact_mut(classes).zip(labels) {
        row[label] = 1.0;
    }
    Some(Tensor::from_data(TensorData::new(values, [labels.len(), classes]), device))
}

/// Sets the standing statistics of `norms` from several measured passes.
pub(crate) fn set_standing_statistics(norms: Vec<&mut BatchNorm>, passes: Vec<Statistics>) {
    let mut passes: Vec<_> = passes.into_iter().map(|p| p.into_inner().into_iter()).collect();
    for norm in norms {
        let own: Vec<_> = passes.iter_mut().map(|p| p.next().expect("a pass measures every norm once")).collect();
        norm.set_statistics(&own);
    }
}

/// The values of a network by name.
pub(crate) fn weights_of(module: &impl Module) -> Weights {
    let mut weights = Weights::new();
    nn::store(module, &mut weights, "");
    weights
}
