//! What the two players of a GAN minimise, on tensors of logits. Means over the batch.

use super::settings::GanLoss;
use burn::tensor::Tensor;

/// ln(1 + eˣ), without overflow.
fn softplus(x: Tensor<1>) -> Tensor<1> {
    x.clone().clamp_min(0.0) + x.abs().neg().exp().log1p()
}

/// What the discriminator minimises, from its logits on real and on generated pictures.
///
/// non-saturating and minimax `softplus(−D(x)) + softplus(D(G(z)))`; least squares `½(D(x) − 1)² + ½D(G(z))²`; hinge
/// `max(0, 1 − D(x)) + max(0, 1 + D(G(z)))`; Wasserstein `D(G(z)) − D(x)`; relativistic paired
/// `softplus(−(D(x) − D(G(z))))`, each real picture against one generated picture.
pub fn discriminator(loss: GanLoss, real: Tensor<1>, fake: Tensor<1>) -> Tensor<1> {
    match loss {
        GanLoss::NonSaturating | GanLoss::Minimax => softplus(-real).mean() + softplus(fake).mean(),
        GanLoss::LeastSquares => ((real - 1.0).powi_scalar(2).mean() + fake.powi_scalar(2).mean()) * 0.5,
        GanLoss::Hinge => (-real + 1.0).clamp_min(0.0).mean() + (fake + 1.0).clamp_min(0.0).mean(),
        GanLoss::Wasserstein => fake.mean() - real.mean(),
        GanLoss::RelativisticPaired => softplus(fake - real).mean(),
    }
}

/// Share of pictures that the discriminator classifies correctly, from its logits on real and on generated pictures: real ones above
/// its threshold and generated ones below; for a loss that compares, real above generated. A critic (Wasserstein) has no
/// threshold and so no such share.
pub fn accuracy(loss: GanLoss, real: &[f32], fake: &[f32]) -> Option<f32> {
    if loss.compares() {
        let right = real.iter().zip(fake).filter(|(real, fake)| real > fake).count();
        return Some(right as f32 / real.len().max(1) as f32);
    }
    let threshold = loss.threshold()?;
    let right = real.iter().filter(|v| **v > threshold).count() + fake.iter().filter(|v| **v < threshold).count();
    Some(right as f32 / (real.len() + fake.len()).max(1) as f32)
}

/// What the generator minimises, from the discriminator's logits on its pictures, and on real ones where the loss compares
/// ([`GanLoss::compares`]).
///
/// non-saturating `softplus(−D(G(z)))`; minimax `−softplus(D(G(z)))`, which is `ln(1 − σ(D(G(z))))`; least squares
/// `½(D(G(z)) − 1)²`; hinge and Wasserstein `−D(G(z))`; relativistic paired `softplus(−(D(G(z)) − D(x)))`.
///
/// # Panics
/// If a loss that compares gets no logits on real pictures.
pub fn generator(loss: GanLoss, fake: Tensor<1>, real: Option<Tensor<1>>) -> Tensor<1> {
    match loss {
        GanLoss::NonSaturating => softplus(-fake).mean(),
        GanLoss::Minimax => -softplus(fake).mean(),
        GanLoss::LeastSquares => (fake - 1.0).powi_scalar(2).mean() * 0.5,
        GanLoss::Hinge | GanLoss::Wasserstein => -fake.mean(),
        GanLoss::RelativisticPaired => softplus(real.expect("a loss that compares sees real pictures") - fake).mean(),
    }
}
