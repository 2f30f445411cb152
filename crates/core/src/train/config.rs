//! The resolved settings of a run: everything in `run.toml`.

use crate::data::DataConfig;
use crate::device::ComputeDevice;
use crate::models::{ModelConfig, Normalisation};
use crate::{Error, Result};
use maliang_kernels::Precision;
use serde::{Deserialize, Serialize};

/// Everything that decides what a run computes. Written to `run.toml` before the first step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Seed of every random stream of the run.
    pub seed: u64,
    /// The model whose weights it begins with, as `NAME HASH`: its name and the BLAKE3 of its file. The weights themselves are
    /// given beside the settings (`--init`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    /// The pictures and how they are prepared.
    pub data: DataConfig,
    /// The family and its sizes.
    pub model: ModelConfig,
    /// What is common to all families.
    pub train: TrainConfig,
    /// GAN training; used by GAN families.
    #[serde(default)]
    pub gan: GanConfig,
    /// VAE training; used by VAE families.
    #[serde(default)]
    pub vae: VaeTraining,
}

/// Settings of the training loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// What computes. The numbers of another device differ in their last digits.
    #[serde(default)]
    pub device: ComputeDevice,
    /// Pictures, or windows of text, that go through the model at once.
    pub batch: usize,
    /// Stop after this many steps; 0 is no limit.
    pub steps: u64,
    /// Stop after this many minutes of training; 0 is no limit.
    pub minutes: f64,
    /// Adam's learning rate.
    pub lr: f32,
    /// Adam's decay of the first moment.
    pub beta_1: f32,
    /// Adam's decay of the second moment.
    pub beta_2: f32,
    /// Adam's ε.
    pub epsilon: f32,
    /// AdamW's decoupled weight decay (Loshchilov & Hutter 2019), on every trained tensor of a picture model, on the matrices of
    /// a text model; 0 is Adam.
    #[serde(default)]
    pub weight_decay: f32,
    /// Longest gradient of a network, all of its tensors together: a longer one is scaled down to it (Pascanu 2013); 0 is
    /// no limit.
    #[serde(default)]
    pub clip_norm: f32,
    /// Pictures, or windows of text, after which an old weight counts half in the moving average of the weights (EMA); 0 turns it off.
    pub ema_half_life: f64,
    /// Show each picture mirrored half of the time; text has no such setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flip: Option<bool>,
    /// What the products of training are computed with; weights, sums, and everything else are f32 in any case.
    #[serde(default)]
    pub precision: Precision,
    /// Steps between looks: a grid, a score and a checkpoint. 0 lets the trial steps decide.
    pub look_every: u64,
    /// Stop early when the score has stopped improving, judged over windows of at least this many looks; 0 only says so. See
    /// [`plateau`](super::plateau::plateau).
    #[serde(default)]
    pub patience: usize,
}

/// What ends a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// See [`TrainConfig::steps`].
    pub steps: u64,
    /// See [`TrainConfig::minutes`].
    pub minutes: f64,
    /// See [`TrainConfig::patience`].
    pub patience: usize,
}

impl TrainConfig {
    /// What ends the run.
    pub fn limits(&self) -> Limits {
        Limits { steps: self.steps, minutes: self.minutes, patience: self.patience }
    }

    /// Checks every number; a batch has at least `fewest` examples.
    pub(super) fn validate(&self, fewest: usize) -> Result<()> {
        check_ranges(&[
            ("train.batch", self.batch as f64, fewest as f64, 4096.0),
            ("train.steps", self.steps as f64, 0.0, 1e15),
            ("train.minutes", self.minutes, 0.0, 1e7),
            ("train.patience", self.patience as f64, 0.0, 1e6),
            ("train.lr", f64::from(self.lr), 0.0, 1e6),
            ("train.beta_1", f64::from(self.beta_1), 0.0, 0.9999),
            ("train.beta_2", f64::from(self.beta_2), 0.0, 0.999_999),
            ("train.epsilon", f64::from(self.epsilon), 1e-12, 1.0),
            ("train.weight_decay", f64::from(self.weight_decay), 0.0, 1e3),
            ("train.clip_norm", f64::from(self.clip_norm), 0.0, 1e9),
            ("train.ema_half_life", self.ema_half_life, 0.0, 1e12),
        ])?;
        if self.steps == 0 && self.minutes == 0.0 {
            return Err(
                Error::input("neither train.steps nor train.minutes limits the run").hint("for example --minutes 10")
            );
        }
        Ok(())
    }
}

/// Checks settings, each as name, value, lowest and highest.
///
/// # Errors
/// One sentence naming the first value that is out of range.
pub(super) fn check_ranges(checks: &[(&str, f64, f64, f64)]) -> Result<()> {
    match checks.iter().find(|(_, value, low, high)| !(low..=high).contains(&value)) {
        None => Ok(()),
        Some((name, value, low, high)) => {
            Err(Error::input(format!("{name} is {value}, but must be between {low} and {high}")))
        }
    }
}

/// What the two players of a GAN minimise; see [`losses`](super::losses).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GanLoss {
    /// Goodfellow 2014, §3, the form that he recommends.
    NonSaturating,
    /// Goodfellow 2014, Equation 1.
    Minimax,
    /// Mao 2017.
    LeastSquares,
    /// Lim & Ye 2017.
    Hinge,
    /// Arjovsky 2017, with weight clipping, or with the gradient penalty of Gulrajani 2017 where `gradient_penalty` says so.
    Wasserstein,
    /// Each real picture against a generated one (Jolicoeur-Martineau 2019); with R1 and R2 the loss of R3GAN (Huang 2024).
    RelativisticPaired,
}

impl GanLoss {
    /// Does the generator's loss see real pictures?
    pub fn compares(self) -> bool {
        self == Self::RelativisticPaired
    }

    /// The logit above which a picture counts as real; nothing where only differences between logits mean something.
    pub fn threshold(self) -> Option<f32> {
        match self {
            Self::Wasserstein | Self::RelativisticPaired => None,
            // Halfway between the targets 0 and 1.
            Self::LeastSquares => Some(0.5),
            Self::NonSaturating | Self::Minimax | Self::Hinge => Some(0.0),
        }
    }
}

/// The three parts of DiffAugment (Zhao 2020).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Augmentation {
    /// Brightness, saturation, contrast.
    Color,
    /// Up to an eighth of the size in each direction.
    Translation,
    /// A square of half the size set to zero.
    Cutout,
}

/// Settings of GAN training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GanConfig {
    /// The loss of both players.
    pub loss: GanLoss,
    /// Parts of DiffAugment applied to real and generated pictures alike.
    pub augment: Vec<Augmentation>,
    /// What holds the discriminator of `dcgan` in check; the other families have their own.
    pub normalisation: Normalisation,
    /// The discriminator's learning rate as a multiple of the generator's: two time scales (Heusel 2017).
    pub discriminator_rate: f32,
    /// Discriminator steps a generator step.
    pub critic_steps: usize,
    /// Weight clipping of the Wasserstein loss, where it has no gradient penalty.
    pub clip: f32,
    /// γ of R1, `γ/2 · ‖∇D‖²` on real pictures (Mescheder 2018); 0 is none. See [`regularise`](super::regularise). Of `projected` D
    /// is the head that sees pixels, where there is one, as in the two penalties below.
    pub r1: f32,
    /// γ of R2, the same on generated pictures.
    pub r2: f32,
    /// λ of `λ · (‖∇D‖ − 1)²` on pictures between real and generated ones (Gulrajani 2017); 0 is none.
    pub gradient_penalty: f32,
    /// Discriminator steps between two that pay the penalties, which then weigh as many times more (Karras 2020, StyleGAN2,
    /// §3.1).
    pub penalty_every: usize,
    /// Adaptive augmentation (Karras 2020, ADA, §3.1): each part is applied with a probability p that is steered so that the
    /// mean sign of the discriminator's logits on real pictures stays here; 0 applies every part to every picture.
    pub ada: f32,
    /// Pictures in which p can rise from 0 to 1.
    pub ada_pictures: f64,
    /// Weight of the discriminator's task of drawing what it sees; used by `fastgan`.
    pub drawing: f32,
    /// Longer side, in pixels, at which the frozen network of `projected` looks at pictures; a multiple of 32.
    pub feature_size: usize,
    /// Has the discriminator of `projected` a head that sees pixels, too? See [`projected`](crate::models::projected). Runs
    /// that began before there was one say nothing of it and go on without.
    pub pixel_head: bool,
}

impl Default for GanConfig {
    fn default() -> Self {
        use Augmentation::{Color, Cutout, Translation};
        Self {
            loss: GanLoss::NonSaturating,
            augment: vec![Color, Translation, Cutout],
            normalisation: Normalisation::Batch,
            discriminator_rate: 1.0,
            critic_steps: 1,
            // Arjovsky 2017, Algorithm 1.
            clip: 0.01,
            r1: 0.0,
            r2: 0.0,
            gradient_penalty: 0.0,
            // Karras 2020, StyleGAN2, §3.1.
            penalty_every: 16,
            ada: 0.0,
            // A fifth of the authors' 500,000: runs on a processor show hundreds of thousands of pictures, not 25 million.
            ada_pictures: 100_000.0,
            drawing: 1.0,
            feature_size: 64,
            pixel_head: false,
        }
    }
}

/// The likelihood p(x|z) of a VAE; see [`losses`](super::losses).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reconstruction {
    /// Squared error: a Gaussian with the batch's optimal variance (Rybkin 2021).
    Mse,
    /// Binary cross-entropy on pictures scaled to [0, 1].
    Bce,
    /// Discretised logistic with a learned scale per channel (Kingma 2016): a true likelihood of the 8-bit picture.
    Logistic,
    /// A mixture of `model.components` discretised logistics a pixel, all of whose parameters the decoder gives (Salimans 2017):
    /// a true likelihood of the 8-bit picture. A picture is the mixture's mean.
    LogisticMixture,
}

impl Reconstruction {
    /// Its name in scores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mse => "mse",
            Self::Bce => "bce",
            Self::Logistic => "logistic",
            Self::LogisticMixture => "logistic-mixture",
        }
    }
}

/// Settings of VAE training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VaeTraining {
    /// The likelihood.
    pub reconstruction: Reconstruction,
    /// Weight of the KL term (Higgins 2017).
    pub beta: f32,
    /// Steps over which the KL term's weight rises from 0 to `beta` (Bowman 2016).
    pub kl_warmup: u64,
    /// Nats of KL a latent dimension gets for free (Kingma 2016).
    pub free_bits: f32,
    /// Weight of the decoder's loss against a discriminator, in nats a number of the picture; 0 is none. See
    /// `train/adversary.rs`.
    pub adversarial: f32,
}

impl Default for VaeTraining {
    fn default() -> Self {
        Self { reconstruction: Reconstruction::Mse, beta: 1.0, kl_warmup: 500, free_bits: 0.02, adversarial: 0.0 }
    }
}

impl RunConfig {
    /// Checks every number and that the device is there, so that nothing is allocated or started that cannot work.
    ///
    /// # Errors
    /// One sentence naming the first value that is out of range, or the device that is missing.
    pub fn validate(&self) -> Result<()> {
        self.model.validate()?;
        let stack = self.model.stack();
        if (stack.width, stack.height, stack.channels) != (self.data.width, self.data.height, self.data.channels) {
            return Err(Error::input(format!(
                "the model makes {}x{} pictures with {} channels, the data has {}x{} with {}",
                stack.width, stack.height, stack.channels, self.data.width, self.data.height, self.data.channels
            ))
            .hint("set the size once with --size, or give data and model the same width, height and channels"));
        }
        // Batch norm wants at least two.
        self.train.validate(2)?;
        check_ranges(&[
            ("gan.discriminator_rate", f64::from(self.gan.discriminator_rate), 0.0, 1e3),
            ("gan.critic_steps", self.gan.critic_steps as f64, 1.0, 100.0),
            ("gan.clip", f64::from(self.gan.clip), 1e-6, 1e3),
            ("gan.r1", f64::from(self.gan.r1), 0.0, 1e6),
            ("gan.r2", f64::from(self.gan.r2), 0.0, 1e6),
            ("gan.gradient_penalty", f64::from(self.gan.gradient_penalty), 0.0, 1e6),
            ("gan.penalty_every", self.gan.penalty_every as f64, 1.0, 1e6),
            ("gan.ada", f64::from(self.gan.ada), 0.0, 0.99),
            ("gan.ada_pictures", self.gan.ada_pictures, 1.0, 1e12),
            ("gan.drawing", f64::from(self.gan.drawing), 0.0, 1e3),
            ("gan.feature_size", self.gan.feature_size as f64, 32.0, 512.0),
            ("vae.beta", f64::from(self.vae.beta), 0.0, 1e6),
            ("vae.adversarial", f64::from(self.vae.adversarial), 0.0, 1e3),
            ("vae.free_bits", f64::from(self.vae.free_bits), 0.0, 100.0),
            ("data.holdout", self.data.holdout, 0.0, 0.5),
        ])?;
        if self.gan.ada > 0.0 && self.gan.loss.threshold().is_none() {
            return Err(Error::input(
                "gan.ada counts real pictures above the loss's threshold, and this loss has none",
            )
            .hint("use gan.loss non-saturating, minimax, hinge or least-squares, or leave gan.ada out"));
        }
        if self.gan.ada > 0.0 && self.gan.augment.is_empty() {
            return Err(Error::input("gan.ada steers the parts of gan.augment, and there are none")
                .hint("--set 'gan.augment=[\"color\", \"translation\", \"cutout\"]', or leave gan.ada out"));
        }
        self.validate_vae()?;
        self.train.device.open().map(|_| ())
    }

    /// A decoder whose output is what the likelihood takes, and a discriminator that has what its loss needs.
    fn validate_vae(&self) -> Result<()> {
        let ModelConfig::Vae(model) = &self.model else { return Ok(()) };
        let mixture = self.vae.reconstruction == Reconstruction::LogisticMixture;
        if mixture != (model.components > 0) {
            let components = model.components;
            return Err(Error::input(format!(
                "vae.reconstruction is {}, but model.components is {components}",
                self.vae.reconstruction.name()
            ))
            .hint("logistic-mixture needs at least one component (--set model.components=5), all others need 0"));
        }
        if self.vae.adversarial > 0.0 && self.gan.loss == GanLoss::Wasserstein {
            return Err(Error::input(
                "vae.adversarial does not go with gan.loss wasserstein, whose critic needs a penalty",
            )
            .hint("leave gan.loss out, or use hinge"));
        }
        Ok(())
    }

    /// Is it a projected GAN, which looks through a network that others have trained?
    pub fn needs_eyes(&self) -> bool {
        matches!(self.model, ModelConfig::Projected(_))
    }

    /// As the text of `run.toml`.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a run configuration is plain data")
    }
}
