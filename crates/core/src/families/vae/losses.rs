//! What a VAE minimises, as the papers write it.

use super::logistic::{LogisticMixture, log_mass};
use super::settings::Reconstruction;
use burn::tensor::Tensor;

/// −ln p(x|z) in nats a picture, mean over the batch: [`log_likelihood`], but for
///
/// * MSE: `D/2 · (ln(2π·mse) + 1)` with D numbers a picture: a Gaussian whose one variance is the best for this batch,
///   which is the mean squared error itself (Rybkin 2021, Equation 7); so `β` needs no tuning against the pixel scale.
pub fn reconstruction(kind: Reconstruction, x: Tensor<4>, y: Tensor<4>, log_scale: Tensor<1>) -> Tensor<1> {
    if kind != Reconstruction::Mse {
        return -log_likelihood(kind, x, y, log_scale).mean();
    }
    let numbers = x.dims()[1..].iter().product::<usize>() as f32;
    let mse = (x - y).powi_scalar(2).mean();
    (((mse + LEAST_VARIANCE) * std::f32::consts::TAU).log() + 1.0) * (numbers / 2.0)
}

/// Far below one grey level's quantisation error (2/255)²/12 ≈ 5e-6.
pub const LEAST_VARIANCE: f32 = 1e-6;

/// ln p(x|z) of each picture in nats: `[batch]`. `x` is in [-1, 1], and so is its reconstruction `y`, but for the mixture, whose
/// parameters `y` are.
///
/// * MSE: `Σ −(x − x̂)²/2σ² − ½ ln 2πσ²`, a density; `log_scale` holds ln σ, one number.
/// * BCE: `Σ t ln p + (1 − t) ln(1 − p)` on `t = (x + 1)/2`, `p = (x̂ + 1)/2`: a likelihood where t is 0 or 1.
/// * Logistic: `Σ ln[σ((x − x̂ + ½δ)/s) − σ((x − x̂ − ½δ)/s)]`, δ = 2/255 one grey level, the outermost levels open to ±∞;
///   `s = e^log_scale` per channel (Kingma 2016, Appendix C).
/// * Logistic mixture: see [`LogisticMixture`] (Salimans 2017).
pub fn log_likelihood(kind: Reconstruction, x: Tensor<4>, y: Tensor<4>, log_scale: Tensor<1>) -> Tensor<1> {
    let [batch, height, width, channels] = x.dims();
    let each = match kind {
        Reconstruction::Mse => {
            let log_scale = log_scale.reshape([1, 1, 1, 1]);
            let squares = ((x - y) * (-log_scale.clone()).exp()).powi_scalar(2);
            -(squares * 0.5 + log_scale + std::f32::consts::TAU.ln() / 2.0)
        }
        Reconstruction::Bce => {
            let t = (x + 1.0) * 0.5;
            // tanh saturates to exactly ±1 in f32; 1e-6 keeps the logarithms finite.
            let p = ((y + 1.0) * 0.5).clamp(1e-6, 1.0 - 1e-6);
            let q = -p.clone() + 1.0;
            t.clone() * p.log() + (-t + 1.0) * q.log()
        }
        Reconstruction::Logistic => log_mass(x, y, log_scale.reshape([1, 1, 1, channels])),
        Reconstruction::LogisticMixture => {
            let components = y.dims()[3] / LogisticMixture::new(1, channels).parameters();
            LogisticMixture::new(components, channels).log_likelihood(x, y)
        }
    };
    let numbers = each.dims()[3] * height * width;
    each.reshape([batch, numbers]).sum_dim(1).reshape([batch])
}

/// KL(N(μ, σ²) ‖ N(0, 1)) = ½(μ² + σ² − ln σ² − 1) per latent dimension, mean over the batch: `[z_dim]`.
pub fn kl(mu: Tensor<2>, logvar: Tensor<2>) -> Tensor<1> {
    let z_dim = mu.dims()[1];
    let each = (mu.powi_scalar(2) + logvar.clone().exp() - logvar - 1.0) * 0.5;
    each.mean_dim(0).reshape([z_dim])
}
