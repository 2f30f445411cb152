//! The table `[gan]`: how two players train.

use crate::families::settings::{OwnTable, check_ranges, named};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

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
        match self {
            Self::RelativisticPaired => true,
            Self::NonSaturating | Self::Minimax | Self::LeastSquares | Self::Hinge | Self::Wasserstein => false,
        }
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

/// What holds a DCGAN's discriminator in check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalisation {
    /// Batch norm behind all convolutions but the first (Radford 2015).
    #[default]
    Batch,
    /// Every convolution divided by its largest singular value (Miyato 2018): no picture's logit depends on another's.
    Spectral,
}

/// Settings of GAN training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GanConfig {
    /// The loss of both players: `non-saturating`, `minimax`, `least-squares`, `hinge`, `wasserstein` or `relativistic-paired`.
    pub loss: GanLoss,
    /// Parts of DiffAugment (`color`, `translation`, `cutout`) applied to real and generated pictures alike.
    pub augment: Vec<Augmentation>,
    /// What holds the discriminator of `dcgan` in check, `batch` or `spectral`; the other families have their own.
    pub normalisation: Normalisation,
    /// The discriminator's learning rate as a multiple of the generator's: two time scales (Heusel 2017).
    pub discriminator_rate: f32,
    /// Discriminator steps a generator step.
    pub critic_steps: usize,
    /// Weight clipping of the Wasserstein loss, where it has no gradient penalty.
    pub clip: f32,
    /// γ of R1, `γ/2 · ‖∇D‖²` on real pictures (Mescheder 2018); 0 is none. See [`penalties`](super::penalties). Of `projected` D
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
    /// Has the discriminator of `projected` a head that sees pixels, too? See [`projected`](crate::families::projected::discriminator). Runs
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

impl OwnTable for GanConfig {
    const NAME: &'static str = "gan";
}

impl GanConfig {
    /// Checks every number.
    ///
    /// # Errors
    /// One sentence naming the first value that is out of range, or two settings that do not go together.
    pub fn validate(&self) -> Result<()> {
        check_ranges(&[
            ("gan.discriminator_rate", f64::from(self.discriminator_rate), 0.0, 1e3),
            ("gan.critic_steps", self.critic_steps as f64, 1.0, 100.0),
            ("gan.clip", f64::from(self.clip), 1e-6, 1e3),
            ("gan.r1", f64::from(self.r1), 0.0, 1e6),
            ("gan.r2", f64::from(self.r2), 0.0, 1e6),
            ("gan.gradient_penalty", f64::from(self.gradient_penalty), 0.0, 1e6),
            ("gan.penalty_every", self.penalty_every as f64, 1.0, 1e6),
            ("gan.ada", f64::from(self.ada), 0.0, 0.99),
            ("gan.ada_pictures", self.ada_pictures, 1.0, 1e12),
            ("gan.drawing", f64::from(self.drawing), 0.0, 1e3),
            ("gan.feature_size", self.feature_size as f64, 32.0, 512.0),
        ])?;
        if self.ada > 0.0 && self.loss.threshold().is_none() {
            return Err(Error::input(
                "gan.ada counts real pictures above the loss's threshold, and this loss has none",
            )
            .hint("use gan.loss non-saturating, minimax, hinge or least-squares, or leave gan.ada out"));
        }
        if self.ada > 0.0 && self.augment.is_empty() {
            return Err(Error::input("gan.ada steers the parts of gan.augment, and there are none")
                .hint("--set 'gan.augment=[\"color\", \"translation\", \"cutout\"]', or leave gan.ada out"));
        }
        Ok(())
    }
}

/// Does a setting of `[gan]` do nothing beside the others, whichever family trains? Then the reason.
pub fn idle(gan: &GanConfig, setting: &str) -> Option<&'static str> {
    let penalties = gan.r1 > 0.0 || gan.r2 > 0.0 || gan.gradient_penalty > 0.0;
    match setting {
        "clip" if gan.loss != GanLoss::Wasserstein || gan.gradient_penalty > 0.0 => {
            Some("only gan.loss wasserstein without gan.gradient_penalty clips weights")
        }
        "penalty_every" if !penalties => Some("gan.r1, gan.r2 and gan.gradient_penalty are all 0"),
        "ada_pictures" if gan.ada == 0.0 => Some("gan.ada is 0"),
        "normalisation" => Some("only dcgan has a choice of normalisation"),
        "drawing" => Some("only fastgan has a discriminator that reconstructs pictures"),
        "feature_size" | "pixel_head" => Some("only projected has a feature network"),
        _ => None,
    }
}

/// The settings that people ask about, in a line.
pub fn line(gan: &GanConfig) -> String {
    format!("loss {}, augment {}", named(&gan.loss), named(&gan.augment))
}

/// What the losses of two players mean.
pub const LOSSES: &str = "The balance of the two networks, not the quality of the pictures: steady is good, \
                          a discriminator loss near zero means that the generator falls behind.";
