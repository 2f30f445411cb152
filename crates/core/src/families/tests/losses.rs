//! Against `tests/golden/losses.json`, which `losses.py` computes from the papers in 64 bits.

use crate::families::gan::losses::{discriminator, generator};
use crate::families::gan::settings::GanLoss;
use crate::families::vae::logistic::LogisticMixture;
use crate::families::vae::losses::{kl, log_likelihood, reconstruction};
use crate::families::vae::settings::Reconstruction;
use crate::nn::host;
use burn::tensor::{Device, Tensor, TensorData};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("../../../tests/golden/losses.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

/// A tensor that gradients are wanted for.
fn leaf<const D: usize>(value: &Value, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(numbers(value), shape), &Device::flex().autodiff()).require_grad()
}

#[track_caller]
fn close(found: &[f32], expected: &Value, what: &str) {
    let expected = if expected.is_array() { numbers(expected) } else { vec![expected.as_f64().unwrap() as f32] };
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(&expected) {
        // The sums have terms in the tens, so 2e-5 of that is what 32 bits can promise.
        assert!((found - expected).abs() <= 2e-4 * expected.abs().max(1.0), "{what}: {found}, not {expected}");
    }
}

#[test]
fn gan_losses_of_both_players() {
    let golden = golden();
    let all = [
        GanLoss::NonSaturating,
        GanLoss::Minimax,
        GanLoss::LeastSquares,
        GanLoss::Hinge,
        GanLoss::Wasserstein,
        GanLoss::RelativisticPaired,
    ];
    for loss in all {
        let name = serde_json::to_value(loss).unwrap();
        let expected = &golden["gan"][name.as_str().unwrap()];
        let (real, fake) = (leaf(&golden["real"], [5]), leaf(&golden["fake"], [5]));
        let value = discriminator(loss, real.clone(), fake.clone());
        close(&host(value.clone().inner()), &expected["d"], "discriminator");
        let gradients = value.backward();
        close(&host(real.grad(&gradients).unwrap()), &expected["d_by_real"], "by real");
        close(&host(fake.grad(&gradients).unwrap()), &expected["d_by_fake"], "by fake");

        let value = generator(loss, fake.clone(), loss.compares().then(|| real.clone().detach()));
        close(&host(value.clone().inner()), &expected["g"], "generator");
        close(&host(fake.grad(&value.backward()).unwrap()), &expected["g_by_fake"], "generator by fake");
    }
}

/// Logits that a discriminator reaches when it has won.
#[test]
fn gan_losses_do_not_overflow() {
    let at = |v: f32| Tensor::<1>::from_data(TensorData::new(vec![v; 2], [2]), &Device::flex());
    for loss in [GanLoss::NonSaturating, GanLoss::Minimax] {
        for (real, fake, expected) in [(200.0, -200.0, 0.0), (-200.0, 200.0, 400.0)] {
            let value = host(discriminator(loss, at(real), at(fake)))[0];
            assert!((value - expected).abs() < 1e-3, "{loss:?} {value}");
        }
    }
    assert!((host(generator(GanLoss::NonSaturating, at(-200.0), None))[0] - 200.0).abs() < 1e-3);
    assert!((host(generator(GanLoss::Minimax, at(200.0), None))[0] + 200.0).abs() < 1e-3);
}

#[test]
fn reconstructions() {
    let golden = golden();
    for kind in [Reconstruction::Mse, Reconstruction::Bce, Reconstruction::Logistic] {
        let name = serde_json::to_value(kind).unwrap();
        let expected = &golden["reconstruction"][name.as_str().unwrap()];
        let shape = [2, 2, 3, 2];
        let (x, y) = (leaf(&golden["x"], shape).detach(), leaf(&golden["y"], shape));
        let log_scale = leaf(&golden["log_scale"], [2]);
        let value = reconstruction(kind, x, y.clone(), log_scale.clone());
        close(&host(value.clone().inner()), &expected["value"], "value");
        let gradients = value.backward();
        close(&host(y.grad(&gradients).unwrap()), &expected["by_y"], "by y");
        match log_scale.grad(&gradients) {
            Some(gradient) => close(&host(gradient), &expected["by_log_scale"], "by scale"),
            None => assert_ne!(kind, Reconstruction::Logistic),
        }
    }
}

/// The likelihood of a picture is its own: that of a batch is the mean. The Gaussian's is the batch's loss where its scale is the
/// batch's error.
#[test]
fn likelihoods_of_single_pictures() {
    let golden = golden();
    let mixture = LogisticMixture::new(2, 3);
    for kind in [Reconstruction::Mse, Reconstruction::Bce, Reconstruction::Logistic, Reconstruction::LogisticMixture] {
        let numbers = if kind == Reconstruction::LogisticMixture { mixture.parameters() } else { 3 };
        let x = leaf(&golden["x"], [2, 2, 2, 3]).inner();
        let y: Vec<f32> = (0..8 * numbers).map(|i| (i as f32).sin() * 0.9).collect();
        let y = Tensor::<4>::from_data(TensorData::new(y, [2, 2, 2, numbers]), &Device::flex());
        let scale = match kind {
            Reconstruction::Mse => vec![0.5 * (host((x.clone() - y.clone()).powi_scalar(2).mean())[0] + 1e-6).ln()],
            _ => vec![-1.0, -1.5, -2.0],
        };
        let scale = Tensor::<1>::from_data(TensorData::new(scale.clone(), [scale.len()]), &Device::flex());
        let both = host(log_likelihood(kind, x.clone(), y.clone(), scale.clone()));
        let second = log_likelihood(kind, x.clone().narrow(0, 1, 1), y.clone().narrow(0, 1, 1), scale.clone());
        assert_eq!(both.len(), 2);
        assert!((both[1] - host(second)[0]).abs() < 1e-4 * both[1].abs(), "{kind:?}");
        let loss = host(reconstruction(kind, x, y, scale))[0];
        assert!((loss + (both[0] + both[1]) / 2.0).abs() < 1e-3 * loss.abs(), "{kind:?}: {loss}, {both:?}");
    }
}

/// What the logistic says of all 256 levels of a number is a distribution: it sums to one, wherever its centre is.
#[test]
fn the_logistic_is_a_distribution_of_levels() {
    let device = Device::flex();
    for (centre, log_scale) in [(0.0f32, -1.0f32), (0.99, -3.0), (-1.0, -4.0), (0.3, 0.5)] {
        let total: f32 = (0..=255u8)
            .map(|level| {
                let tensor = |v: f32| Tensor::<4>::from_data(TensorData::new(vec![v], [1, 1, 1, 1]), &device);
                let scale = Tensor::<1>::from_data(TensorData::new(vec![log_scale], [1]), &device);
                let x = tensor(crate::data::preprocess::unit(level));
                (-host(reconstruction(Reconstruction::Logistic, x, tensor(centre), scale))[0]).exp()
            })
            .sum();
        assert!((total - 1.0).abs() < 1e-3, "centre {centre}, ln scale {log_scale}: {total}");
    }
}

/// A reconstruction that is exactly right, and one that is as wrong as can be, have finite losses and gradients.
#[test]
fn reconstructions_at_their_ends() {
    for kind in [Reconstruction::Mse, Reconstruction::Bce, Reconstruction::Logistic] {
        for (x, y) in [(1.0, 1.0), (-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0)] {
            let device = Device::flex().autodiff();
            let tensor = |v: f32| Tensor::<4>::from_data(TensorData::new(vec![v; 4], [1, 2, 2, 1]), &device);
            let scale = Tensor::<1>::from_data(TensorData::new(vec![-7.0f32], [1]), &device);
            let y = tensor(y).require_grad();
            let value = reconstruction(kind, tensor(x), y.clone(), scale);
            assert!(host(value.clone().inner())[0].is_finite(), "{kind:?}");
            let gradient = host(y.grad(&value.backward()).unwrap());
            assert!(gradient.iter().all(|v| v.is_finite()), "{kind:?} {gradient:?}");
        }
    }
}

#[test]
fn kl_per_dimension() {
    let golden = golden();
    let (mu, logvar) = (leaf(&golden["mu"], [2, 3]), leaf(&golden["logvar"], [2, 3]));
    let value = kl(mu.clone(), logvar.clone());
    close(&host(value.clone().inner()), &golden["kl"], "kl");
    let gradients = value.sum().backward();
    close(&host(mu.grad(&gradients).unwrap()), &golden["kl_by_mu"], "by mu");
    close(&host(logvar.grad(&gradients).unwrap()), &golden["kl_by_logvar"], "by logvar");
    let zero = Tensor::<2>::zeros([4, 2], &Device::flex());
    assert_eq!(host(kl(zero.clone(), zero)), [0.0, 0.0], "the prior costs nothing");
}
