//! A convolutional variational auto-encoder (Kingma & Welling 2014), optionally conditional on a label (Sohn 2015).

use super::VaeConfig;
use super::logistic::LogisticMixture;
use super::prior::{self, Prior};
use crate::Result;
use crate::families::blocks::WEIGHT_INIT;
use crate::families::blocks::labels::with_labels;
use crate::families::blocks::stack::{Downsampler, Output, Upsampler};
use crate::families::model::{Code, Condition, How, Latent, Likelihood, Model, weights_of};
use crate::nn::{self, BatchNorm, Bias, Init, Linear, Mode, Module, Param, join};
use crate::weights::Weights;
use burn::tensor::{Device, Tensor};
use maliang_kernels::Activation;

/// Encoder q(z|x) = N(μ, σ²) and decoder p(x|z).
#[derive(Debug, Clone)]
pub struct Vae {
    encoder: Downsampler,
    mu: Linear,
    mu_bias: Bias,
    logvar: Linear,
    logvar_bias: Bias,
    decoder: Upsampler,
    mixture: Option<LogisticMixture>,
    prior: Prior,
    /// ln of the scale of the discretised logistic, per channel; learned, and unused by the other reconstructions.
    log_scale: Param,
}

impl Vae {
    /// A VAE without values.
    pub fn new(config: &VaeConfig) -> Self {
        let classes = config.classes.len();
        let features = config.stack.features() + classes;
        let mixture = config.mixture();
        let output = match mixture {
            Some(mixture) => Output { channels: mixture.parameters(), activation: Activation::Identity },
            None => Output { channels: config.stack.channels, activation: Activation::Tanh },
        };
        Self {
            encoder: Downsampler::new(&config.stack),
            mu: Linear::new(features, config.z_dim, WEIGHT_INIT),
            mu_bias: Bias::new(config.z_dim),
            logvar: Linear::new(features, config.z_dim, WEIGHT_INIT),
            logvar_bias: Bias::new(config.z_dim),
            decoder: Upsampler::with(&config.stack, config.z_dim + classes, config.decoder, output),
            mixture,
            prior: Prior::new(config.z_dim),
            // e⁻² of the half range: about the error of a first blurred reconstruction.
            log_scale: Param::new(&[config.stack.channels], Init::Constant(-2.0)),
        }
    }

    /// Pictures → (mu, logvar), each `[batch, z_dim]`.
    pub fn encode(&self, x: Tensor<4>, labels: Option<Tensor<2>>, mode: Mode) -> (Tensor<2>, Tensor<2>) {
        let features = with_labels(self.encoder.forward(x, mode), labels);
        let mu = self.mu_bias.forward(self.mu.forward(features.clone()), Activation::Identity);
        let logvar = self.logvar_bias.forward(self.logvar.forward(features), Activation::Identity);
        // e^±10 keeps the sampled z and the KL finite while the encoder is still untrained.
        (mu, logvar.clamp(-10.0, 10.0))
    }

    /// z `[batch, z_dim]` → what p(x|z) is described by: pictures in [-1, 1], or the parameters of a [`LogisticMixture`].
    pub fn decode(&self, z: Tensor<2>, labels: Option<Tensor<2>>, mode: Mode) -> Tensor<4> {
        self.decoder.forward(with_labels(z, labels), mode)
    }

    /// The picture in [-1, 1] that stands for a distribution as [`decode`](Self::decode) gives it: its mean, so that a picture is
    /// a function of z.
    pub fn picture(&self, decoded: Tensor<4>) -> Tensor<4> {
        match self.mixture {
            Some(mixture) => mixture.mean(decoded),
            None => decoded,
        }
    }

    /// ε ~ N(0, 1) → z from the density fitted to the latents of the training pictures, `[batch, z_dim]`; see [`Prior`].
    pub fn from_prior(&self, epsilon: Tensor<2>) -> Tensor<2> {
        self.prior.sample(epsilon)
    }

    /// Fits the density to posteriors (mu, logvar) of training pictures, rows of `z_dim` numbers; see [`Prior::fit`].
    pub(crate) fn fit_prior(&mut self, mu: &[f32], logvar: &[f32], pictures: &[usize]) {
        self.prior.fit(mu, logvar, pictures);
    }

    /// Components of that density.
    pub fn prior_components(&self) -> usize {
        self.prior.components()
    }

    /// ln scale of the discretised logistic, `[channels]`.
    pub fn log_scale(&self) -> Tensor<1> {
        self.log_scale.get()
    }

    /// Batch norms of encoder and decoder in forward order.
    pub fn norms(&mut self) -> Vec<&mut BatchNorm> {
        self.encoder.norms().into_iter().chain(self.decoder.norms()).collect()
    }
}

impl Module for Vae {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        self.encoder.collect(&join(path, "encoder"), into);
        self.mu.collect(&join(path, "mu"), into);
        self.mu_bias.collect(&join(path, "mu"), into);
        self.logvar.collect(&join(path, "logvar"), into);
        self.logvar_bias.collect(&join(path, "logvar"), into);
        self.decoder.collect(&join(path, "decoder"), into);
        self.prior.collect(&join(path, "prior"), into);
        into.push((join(path, "log_scale"), &mut self.log_scale));
    }
}

/// A VAE as a trained model.
#[derive(Debug, Clone)]
pub struct VaeModel {
    /// The networks.
    pub vae: Vae,
    /// Length of the latent vector.
    pub z_dim: usize,
}

impl Model for VaeModel {
    fn load(&mut self, weights: &mut Weights, device: &Device) -> Result<()> {
        prior::complete(weights, "", self.z_dim);
        nn::load(&mut self.vae, weights, "", device)
    }

    fn weights(&self) -> Weights {
        weights_of(&self.vae)
    }

    fn make(&self, noise: Tensor<2>, condition: &Condition, _how: How) -> Tensor<4> {
        self.decode(self.point(noise), condition)
    }

    fn latent(&self) -> Option<&dyn Latent> {
        Some(self)
    }

    fn code(&self) -> Option<&dyn Code> {
        Some(self)
    }

    fn likelihood(&self) -> Option<&dyn Likelihood> {
        Some(&self.vae)
    }

    fn boxed_clone(&self) -> Box<dyn Model> {
        Box::new(self.clone())
    }
}

impl Latent for VaeModel {
    /// A sample of the fitted prior.
    fn point(&self, noise: Tensor<2>) -> Tensor<2> {
        self.vae.from_prior(noise)
    }

    fn decode(&self, z: Tensor<2>, condition: &Condition) -> Tensor<4> {
        self.vae.picture(self.vae.decode(z, condition.classes(), Mode::Eval))
    }

    fn constant(&self) -> Box<dyn Latent> {
        Box::new(Self { vae: self.vae.constant(), z_dim: self.z_dim })
    }
}

impl Code for VaeModel {
    fn encode(&self, x: Tensor<4>, condition: &Condition) -> (Tensor<2>, Tensor<2>) {
        self.vae.encode(x, condition.classes(), Mode::Eval)
    }
}
