//! The table `[vae]`: how a VAE trains.

use crate::Result;
use crate::families::settings::{OwnTable, check_ranges};
use serde::{Deserialize, Serialize};

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
    /// The likelihood: `mse`, `bce`, `logistic` or `logistic-mixture`.
    pub reconstruction: Reconstruction,
    /// Weight of the KL term (Higgins 2017).
    pub beta: f32,
    /// Steps over which the KL term's weight rises from 0 to `beta` (Bowman 2016).
    pub kl_warmup: u64,
    /// Nats of KL a latent dimension gets for free (Kingma 2016).
    pub free_bits: f32,
    /// Weight of the decoder's loss against a discriminator, in nats a number of the picture; 0 is none. See
    /// `families/vae/adversary.rs`.
    pub adversarial: f32,
}

impl Default for VaeTraining {
    fn default() -> Self {
        Self { reconstruction: Reconstruction::Mse, beta: 1.0, kl_warmup: 500, free_bits: 0.02, adversarial: 0.0 }
    }
}

impl OwnTable for VaeTraining {
    const NAME: &'static str = "vae";
}

impl VaeTraining {
    /// Checks every number.
    ///
    /// # Errors
    /// One sentence naming the first value that is out of range.
    pub fn validate(&self) -> Result<()> {
        check_ranges(&[
            ("vae.beta", f64::from(self.beta), 0.0, 1e6),
            ("vae.adversarial", f64::from(self.adversarial), 0.0, 1e3),
            ("vae.free_bits", f64::from(self.free_bits), 0.0, 100.0),
        ])
    }
}
