//! The model families. A model knows no data set; its config says everything needed to build it again.

pub mod dcgan;
pub mod fastgan;
pub mod gan;
mod logistic;
mod prior;
pub mod projected;
mod residual;
pub mod stack;
#[cfg(test)]
pub(crate) mod tests;
pub mod text;
mod vae;

pub use dcgan::{DcganConfig, Normalisation};
pub use fastgan::FastganConfig;
pub use gan::{Discriminator, Generator};
pub use logistic::LogisticMixture;
pub(crate) use logistic::log_mass;
pub use prior::Prior;
pub use stack::{StackConfig, Upsampling};
pub(crate) use vae::complete;
pub use vae::{Vae, VaeConfig};

use crate::nn::{self, BatchNorm, Mode, Module, Statistics};
use crate::weights::{self, Weights};
use crate::{Error, Result};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// Smallest and largest picture side that the convolutional families take.
pub const SIDES: std::ops::RangeInclusive<usize> = 16..=256;

/// Which family, and its sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "lowercase")]
pub enum ModelConfig {
    /// See [`DcganConfig`].
    Dcgan(DcganConfig),
    /// See [`FastganConfig`].
    Fastgan(FastganConfig),
    /// The generator of [`fastgan`], against the discriminator of [`projected`].
    Projected(FastganConfig),
    /// See [`VaeConfig`].
    Vae(VaeConfig),
}

impl ModelConfig {
    /// The family's name.
    pub fn family(&self) -> &'static str {
        match self {
            Self::Dcgan(_) => "dcgan",
            Self::Fastgan(_) => "fastgan",
            Self::Projected(_) => "projected",
            Self::Vae(_) => "vae",
        }
    }

    /// The convolutional stacks.
    pub fn stack(&self) -> &StackConfig {
        match self {
            Self::Dcgan(c) => &c.stack,
            Self::Fastgan(c) | Self::Projected(c) => &c.stack,
            Self::Vae(c) => &c.stack,
        }
    }

    /// The classes it can be asked for; empty when it is unconditional.
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Dcgan(c) => &c.classes,
            Self::Fastgan(c) | Self::Projected(c) => &c.classes,
            Self::Vae(c) => &c.classes,
        }
    }

    /// Length of the latent vector.
    pub fn z_dim(&self) -> usize {
        match self {
            Self::Dcgan(c) => c.z_dim,
            Self::Fastgan(c) | Self::Projected(c) => c.z_dim,
            Self::Vae(c) => c.z_dim,
        }
    }

    /// Checks every number before anything is allocated from it.
    ///
    /// # Errors
    /// One sentence naming the value that is out of range.
    pub fn validate(&self) -> Result<()> {
        let StackConfig { height, width, channels, base } = *self.stack();
        check_size(width, height)?;
        if let Self::Fastgan(_) | Self::Projected(_) = self
            && width.min(height) < fastgan::SMALLEST
        {
            let smallest = fastgan::SMALLEST;
            return Err(Error::input(format!(
                "{} needs sides of at least {smallest} pixels, but the size is {width}x{height}",
                self.family()
            ))
            .hint(format!("--size {smallest}, or --model dcgan for smaller pictures")));
        }
        let range = |name: &str, value: usize, allowed: std::ops::RangeInclusive<usize>| {
            if allowed.contains(&value) {
                return Ok(());
            }
            let (low, high) = (allowed.start(), allowed.end());
            Err(Error::input(format!("model.{name} is {value}, but must be between {low} and {high}")))
        };
        range("z_dim", self.z_dim(), 1..=4096)?;
        range("stack.base", base, 4..=512)?;
        if let Self::Vae(config) = self {
            range("components", config.components, 0..=32)?;
        }
        if channels != 1 && channels != 3 {
            return Err(Error::input(format!(
                "model.stack.channels is {channels}, but must be 1 (grey) or 3 (colour)"
            )));
        }
        if self.classes().len() > 10_000 {
            return Err(Error::input(format!("{} classes are too many: at most 10000", self.classes().len())));
        }
        Ok(())
    }
}

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

/// The part of a model that makes pictures, of any family.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one model is held at a time, never a list of them")]
pub enum PictureModel {
    /// A GAN's generator.
    Gan(Generator),
    /// A VAE.
    Vae(Vae),
}

impl PictureModel {
    /// The model of `config`, without values.
    fn new(config: &ModelConfig) -> Self {
        match config {
            ModelConfig::Vae(config) => Self::Vae(Vae::new(config)),
            ModelConfig::Dcgan(_) | ModelConfig::Fastgan(_) | ModelConfig::Projected(_) => {
                Self::Gan(Generator::new(config).expect("a GAN has a generator"))
            }
        }
    }

    /// Builds the model of `config` with the values in `weights`.
    ///
    /// # Errors
    /// A config out of range; a missing, surplus or misshapen tensor.
    pub fn load(config: &ModelConfig, mut weights: Weights, device: &Device) -> Result<Self> {
        config.validate()?;
        let mut model = Self::new(config);
        match &mut model {
            Self::Gan(generator) => nn::load(generator, &mut weights, "", device)?,
            Self::Vae(vae) => {
                if let ModelConfig::Vae(config) = config {
                    complete(config, &mut weights, "");
                }
                nn::load(vae, &mut weights, "", device)?;
            }
        }
        weights::expect_empty(&weights)?;
        Ok(model)
    }

    /// The values by name.
    pub fn weights(&self) -> Weights {
        let mut weights = Weights::new();
        match self {
            Self::Gan(generator) => nn::store(generator, &mut weights, ""),
            Self::Vae(vae) => nn::store(vae, &mut weights, ""),
        }
        weights
    }

    /// Draws ε ~ N(0, 1) `[batch, z_dim]`, labels one-hot → pictures `[batch, height, width, channels]` in [-1, 1], each
    /// independent of the others in its batch.
    pub fn generate(&self, epsilon: Tensor<2>, labels: Option<Tensor<2>>) -> Tensor<4> {
        self.decode(self.latent(epsilon), labels)
    }

    /// Draws ε ~ N(0, 1) → the latent vectors z that are generated from, both `[batch, z_dim]`: the draw itself for a GAN, a
    /// sample of the fitted prior for a VAE.
    pub fn latent(&self, epsilon: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Gan(_) => epsilon,
            Self::Vae(vae) => vae.from_prior(epsilon),
        }
    }

    /// Latent vectors z `[batch, z_dim]` → pictures, as [`generate`](Self::generate) makes them.
    pub fn decode(&self, z: Tensor<2>, labels: Option<Tensor<2>>) -> Tensor<4> {
        match self {
            Self::Gan(generator) => generator.forward(z, labels, Mode::Eval),
            Self::Vae(vae) => vae.picture(vae.decode(z, labels, Mode::Eval)),
        }
    }

    /// Pictures → mean and log variance of their latent vectors, each `[batch, z_dim]`; nothing for a GAN, which has no encoder.
    pub fn encode(&self, x: Tensor<4>, labels: Option<Tensor<2>>) -> Option<(Tensor<2>, Tensor<2>)> {
        match self {
            Self::Gan(_) => None,
            Self::Vae(vae) => Some(vae.encode(x, labels, Mode::Eval)),
        }
    }

    /// A copy through which gradients go to the latent vectors and nowhere else.
    pub(crate) fn constant(&self) -> Self {
        match self {
            Self::Gan(generator) => Self::Gan(generator.constant()),
            Self::Vae(vae) => Self::Vae(vae.constant()),
        }
    }
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
