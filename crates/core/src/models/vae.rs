//! A convolutional variational auto-encoder (Kingma & Welling 2014), optionally conditional on a label (Sohn 2015).

use super::dcgan::with_labels;
use super::stack::{Downsampler, StackConfig, Upsampler, WEIGHT_INIT};
use crate::nn::{BatchNorm, Bias, Init, Linear, Mode, Module, Param, join, vector};
use burn::tensor::Tensor;
use maliang_kernels::Activation;
use serde::{Deserialize, Serialize};

/// The networks' sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaeConfig {
    /// Length of the latent vector z.
    pub z_dim: usize,
    /// Names of the classes; empty for an unconditional model.
    pub classes: Vec<String>,
    /// The convolutional stacks.
    pub stack: StackConfig,
}

/// Encoder q(z|x) = N(μ, σ²) and decoder p(x|z).
#[derive(Debug, Clone)]
pub struct Vae {
    encoder: Downsampler,
    mu: Linear,
    mu_bias: Bias,
    logvar: Linear,
    logvar_bias: Bias,
    decoder: Upsampler,
    /// Mean and Cholesky factor of a Gaussian fitted to where the encoder puts the training pictures.
    prior_mean: Param,
    prior_factor: Param,
    /// ln of the scale of the discretised logistic, per channel; learned, and unused by the other reconstructions.
    log_scale: Param,
}

impl Vae {
    /// A VAE without values.
    pub fn new(config: &VaeConfig) -> Self {
        let classes = config.classes.len();
        let features = config.stack.features() + classes;
        Self {
            encoder: Downsampler::new(&config.stack),
            mu: Linear::new(features, config.z_dim, WEIGHT_INIT),
            mu_bias: Bias::new(config.z_dim),
            logvar: Linear::new(features, config.z_dim, WEIGHT_INIT),
            logvar_bias: Bias::new(config.z_dim),
            decoder: Upsampler::new(&config.stack, config.z_dim + classes),
            prior_mean: Param::statistic(&[config.z_dim], 0.0),
            prior_factor: Param::statistic(&[config.z_dim, config.z_dim], 0.0),
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

    /// z `[batch, z_dim]` → pictures in [-1, 1].
    pub fn decode(&self, z: Tensor<2>, labels: Option<Tensor<2>>, mode: Mode) -> Tensor<4> {
        self.decoder.forward(with_labels(z, labels), mode)
    }

    /// ε ~ N(0, 1) → z from the fitted Gaussian, `[batch, z_dim]`.
    ///
    /// The encoder never fills N(0, 1) exactly, and what lies in its gaps decodes to nothing sensible. A Gaussian with full
    /// covariance fitted after training closes most of them (ex-post density estimation, Ghosh 2020, §4).
    pub fn from_prior(&self, epsilon: Tensor<2>) -> Tensor<2> {
        let mean = self.prior_mean.get::<1>().unsqueeze::<2>();
        epsilon.matmul(self.prior_factor.get::<2>().transpose()) + mean
    }

    /// Fits the Gaussian to posteriors (mu, logvar) of training pictures, `count` rows of `z_dim` numbers each: its mean is
    /// that of the mu, its covariance that of the mu plus the mean posterior variance.
    pub(crate) fn fit_prior(&mut self, mu: &[f32], logvar: &[f32]) {
        let d = self.prior_mean.len();
        let n = (mu.len() / d) as f64;
        let mut mean = vec![0.0f64; d];
        let mut covariance = vec![0.0f64; d * d];
        for row in mu.chunks_exact(d) {
            mean.iter_mut().zip(row).for_each(|(m, &v)| *m += f64::from(v) / n);
        }
        for (row, variances) in mu.chunks_exact(d).zip(logvar.chunks_exact(d)) {
            for i in 0..d {
                let a = f64::from(row[i]) - mean[i];
                for j in 0..=i {
                    covariance[i * d + j] += a * (f64::from(row[j]) - mean[j]) / n;
                }
                covariance[i * d + i] += f64::from(variances[i]).exp() / n;
            }
        }
        let factor = cholesky(&covariance, d);
        let device = self.prior_mean.flat().device();
        self.prior_mean.set(vector(mean.iter().map(|&v| v as f32).collect(), &device));
        self.prior_factor.set(vector(factor.iter().map(|&v| v as f32).collect(), &device));
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
        into.push((join(path, "prior.mean"), &mut self.prior_mean));
        into.push((join(path, "prior.factor"), &mut self.prior_factor));
        into.push((join(path, "log_scale"), &mut self.log_scale));
    }
}

/// The lower triangular L with L·Lᵀ = `a`, from the lower triangle of a symmetric positive definite d×d matrix.
fn cholesky(a: &[f64], d: usize) -> Vec<f64> {
    let mut l = vec![0.0; d * d];
    for i in 0..d {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| l[i * d + k] * l[j * d + k]).sum();
            let rest = a[i * d + j] - dot;
            l[i * d + j] = if i == j {
                // Posterior variances keep the diagonal positive; rounding may not.
                rest.max(1e-12).sqrt()
            } else {
                rest / l[j * d + j]
            };
        }
    }
    l
}

#[cfg(test)]
mod tests {
    use super::cholesky;

    #[test]
    fn cholesky_multiplies_back() {
        let a = [4.0, 0.0, 0.0, 2.0, 5.0, 0.0, 1.0, 3.0, 6.0];
        let l = cholesky(&a, 3);
        for i in 0..3 {
            for j in 0..=i {
                let product: f64 = (0..3).map(|k| l[i * 3 + k] * l[j * 3 + k]).sum();
                assert!((product - a[i * 3 + j]).abs() < 1e-12);
            }
        }
    }
}
