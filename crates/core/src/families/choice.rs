//! What a family chooses where the user leaves it open, and what speaks for one family or another.

use super::family::{About, FINEST, Family};
use super::settings::Tables;
use crate::Result;
use crate::data::{CheckReport, DataConfig};

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
    /// Minutes; 0 means no limit.
    pub minutes: f64,
    /// Steps; 0 means no limit.
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
    pub reasons: Vec<Reason>,
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

/// One line of reasons: what, value, why.
pub type Reason = (&'static str, String, String);

/// Fewer pictures than this show little but blobs.
pub const ENOUGH: f64 = 100_000.0;
/// Half-life of the moving average, in pictures, where a family has no reason for another.
pub const EMA: f64 = 10_000.0;

/// The width of the first stage, and why.
pub fn width(base: usize) -> Reason {
    ("width", format!("{base} channels"), "what the budget can train well on a plain CPU".into())
}
