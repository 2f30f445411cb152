//! The two players of a GAN, of any family.

use super::{ModelConfig, dcgan, fastgan, projected};
use crate::nn::{BatchNorm, Mode, Module, Param, SpectralConv2d};
use burn::tensor::Tensor;

/// z → picture.
#[derive(Debug, Clone)]
pub enum Generator {
    /// See [`dcgan`].
    Dcgan(dcgan::Generator),
    /// See [`fastgan`].
    Fastgan(fastgan::Generator),
}

impl Generator {
    /// The generator of a GAN family, without values; nothing for a family that has none.
    pub fn new(config: &ModelConfig) -> Option<Self> {
        match config {
            ModelConfig::Dcgan(config) => Some(Self::Dcgan(dcgan::Generator::new(config))),
            ModelConfig::Fastgan(config) | ModelConfig::Projected(config) => {
                Some(Self::Fastgan(fastgan::Generator::new(config)))
            }
            ModelConfig::Vae(_) => None,
        }
    }

    /// z `[batch, z_dim]`, labels one-hot `[batch, classes]` → `[batch, height, width, channels]` in [-1, 1].
    pub fn forward(&self, z: Tensor<2>, labels: Option<Tensor<2>>, mode: Mode) -> Tensor<4> {
        match self {
            Self::Dcgan(generator) => generator.forward(z, labels, mode),
            Self::Fastgan(generator) => generator.forward(z, labels, mode),
        }
    }

    /// See [`stack::first_map`](super::stack::first_map).
    pub(crate) fn first_map(&self) -> Tensor<2> {
        match self {
            Self::Dcgan(generator) => generator.first_map(),
            Self::Fastgan(generator) => generator.first_map(),
        }
    }

    /// Its batch norms in forward order.
    pub fn norms(&mut self) -> Vec<&mut BatchNorm> {
        match self {
            Self::Dcgan(generator) => generator.norms(),
            Self::Fastgan(generator) => generator.norms(),
        }
    }
}

impl Module for Generator {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        match self {
            Self::Dcgan(generator) => generator.collect(path, into),
            Self::Fastgan(generator) => generator.collect(path, into),
        }
    }
}

/// Picture → logits of "real".
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one discriminator is held at a time, never a list of them")]
pub enum Discriminator {
    /// See [`dcgan`].
    Dcgan(dcgan::Discriminator),
    /// See [`fastgan`].
    Fastgan(fastgan::Discriminator),
    /// See [`projected`].
    Projected(projected::Discriminator),
}

impl Discriminator {
    /// The discriminator of a GAN family, without values; nothing for a family that has none, or that needs another network's
    /// weights ([`projected`]). `normalisation` is that of [`dcgan`].
    pub fn new(config: &ModelConfig, normalisation: dcgan::Normalisation) -> Option<Self> {
        match config {
            ModelConfig::Dcgan(config) => Some(Self::Dcgan(dcgan::Discriminator::new(config, normalisation))),
            ModelConfig::Fastgan(config) => Some(Self::Fastgan(fastgan::Discriminator::new(config))),
            ModelConfig::Projected(_) | ModelConfig::Vae(_) => None,
        }
    }

    /// What has to happen once before each of its steps: spectral normalisation follows its singular vectors, and normalises
    /// once for all passes of the step.
    pub fn prepare(&mut self) {
        match self {
            Self::Projected(discriminator) => discriminator.prepare(),
            Self::Dcgan(discriminator) => discriminator.spectral().for_each(SpectralConv2d::prepare),
            Self::Fastgan(_) => {}
        }
    }

    /// What has to happen before its weights change: nothing that [`prepare`](Self::prepare) made is valid any more.
    pub fn release(&mut self) {
        match self {
            Self::Projected(discriminator) => discriminator.release(),
            Self::Dcgan(discriminator) => discriminator.spectral().for_each(SpectralConv2d::release),
            Self::Fastgan(_) => {}
        }
    }

    /// What it judges of pictures `[batch, height, width, channels]`: the pictures, or maps of features that nobody trains.
    pub fn look(&self, x: Tensor<4>) -> Vec<Tensor<4>> {
        match self {
            Self::Dcgan(_) | Self::Fastgan(_) => vec![x],
            Self::Projected(discriminator) => discriminator.look(x),
        }
    }

    /// What [`look`](Self::look) gave, labels one-hot `[batch, classes]` → the logits of each head, a head giving every picture
    /// the same number of them, one after another: `[batch · parts]`.
    pub fn judge(&self, mut seen: Vec<Tensor<4>>, labels: Option<Tensor<2>>) -> Vec<Tensor<1>> {
        match self {
            Self::Dcgan(discriminator) => vec![discriminator.forward(seen.remove(0), labels)],
            Self::Fastgan(discriminator) => vec![discriminator.forward(seen.remove(0), labels)],
            Self::Projected(discriminator) => discriminator.judge(seen, labels),
        }
    }

    /// Pictures and labels → logits.
    pub fn forward(&self, x: Tensor<4>, labels: Option<Tensor<2>>) -> Vec<Tensor<1>> {
        self.judge(self.look(x), labels)
    }

    /// As [`forward`](Self::forward), of those heads only that see the pixels themselves, where some see through another network.
    pub fn with_own_eyes(&self, x: Tensor<4>, labels: Option<Tensor<2>>) -> Vec<Tensor<1>> {
        match self {
            Self::Projected(discriminator) if discriminator.has_pixel_head() => {
                vec![discriminator.judge_pixels(x, labels)]
            }
            _ => self.forward(x, labels),
        }
    }

    /// As [`judge`](Self::judge) on what was seen of real pictures, and the loss of a task that the family learns on them besides.
    /// `choice` is a random number that the task may use.
    pub fn judge_real(
        &self,
        mut seen: Vec<Tensor<4>>,
        labels: Option<Tensor<2>>,
        choice: usize,
    ) -> (Vec<Tensor<1>>, Option<Tensor<1>>) {
        match self {
            Self::Fastgan(discriminator) => {
                let (logits, error) = discriminator.draw(seen.remove(0), labels, choice % 4);
                (vec![logits], Some(error))
            }
            Self::Dcgan(_) | Self::Projected(_) => (self.judge(seen, labels), None),
        }
    }
}

impl Module for Discriminator {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        match self {
            Self::Dcgan(discriminator) => discriminator.collect(path, into),
            Self::Fastgan(discriminator) => discriminator.collect(path, into),
            Self::Projected(discriminator) => discriminator.collect(path, into),
        }
    }
}
