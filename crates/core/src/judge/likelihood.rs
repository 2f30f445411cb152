//! Bounds on the log-likelihood of pictures under a latent variable model, from importance weights.

use super::estimate::Estimate;
use super::score_name::{Bound, ScoreName, Side};
use serde::{Deserialize, Serialize};

/// Two lower bounds of ln p(x) of one picture, in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The ELBO, `1/k Σ ln wᵢ`.
    pub elbo: f64,
    /// The importance-sampled bound, `ln 1/k Σ wᵢ` (Burda 2016, Equation 8): never below the ELBO of the same samples, and with k
    /// it rises towards ln p(x).
    pub importance: f64,
}

impl Bounds {
    /// From ln wᵢ = ln p(x, zᵢ) − ln q(zᵢ|x) of k samples zᵢ ~ q(z|x), at least one.
    pub fn of(log_weights: &[f64]) -> Self {
        let k = log_weights.len() as f64;
        let most = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = log_weights.iter().map(|v| (v - most).exp()).sum();
        Self { elbo: log_weights.iter().sum::<f64>() / k, importance: most + (sum / k).ln() }
    }
}

/// A negative log-likelihood; the smaller the better.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Likelihood {
    /// Its protocol: bound, unit, likelihood, pictures.
    pub name: ScoreName,
    /// Mean over the pictures.
    pub value: f64,
    /// Lower end of its 95 % interval over the pictures.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Likelihood {
    /// −ELBO and the importance-sampled bound of these pictures, by k samples, under a model of this likelihood.
    pub fn both(bounds: &[Bounds], k: usize, likelihood: &str, side: Side) -> Vec<Self> {
        let of = |bound: Bound, pick: fn(&Bounds) -> f64| {
            let Estimate { value, low, high } = Estimate::mean(&bounds.iter().map(|b| -pick(b)).collect::<Vec<_>>());
            let name = ScoreName::Nats { bound, likelihood: likelihood.into(), side, n: bounds.len() };
            Self { name, value, low, high }
        };
        vec![of(Bound::Elbo, |b| b.elbo), of(Bound::Importance { k }, |b| b.importance)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng;

    /// Probabilistic PCA (Tipping & Bishop 1999) with one latent dimension: x = w z + ε, ε ~ N(0, σ² I). ln p(x) is that of
    /// N(0, w wᵀ + σ² I); the posterior is N(wᵀx/m, σ²/m) with m = wᵀw + σ².
    #[test]
    fn a_model_that_can_be_solved() {
        let (w, variance) = ([0.8f64, -1.5, 0.3], 0.25f64);
        let x = [1.1f64, -0.7, 0.4];
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let tau = std::f64::consts::TAU;
        let normal = |v: f64, mean: f64, variance: f64| -0.5 * ((v - mean).powi(2) / variance + (tau * variance).ln());
        let m = dot(&w, &w) + variance;
        // Determinant and inverse of a rank-one change (Sherman & Morrison 1950).
        let exact = -0.5 * (3.0 * tau.ln() + 2.0 * variance.ln() + m.ln())
            - 0.5 * (dot(&x, &x) - dot(&w, &x).powi(2) / m) / variance;
        let bounds = |widened: f64, k: usize, draw: u64| {
            let (mean, spread) = (dot(&w, &x) / m, variance / m * widened);
            let noise = rng::normal(&mut rng::stream(k as u64, "test", draw), k);
            let log_weights: Vec<f64> = noise
                .into_iter()
                .map(|e| {
                    let z = mean + spread.sqrt() * f64::from(e);
                    let likelihood: f64 = x.iter().zip(&w).map(|(x, w)| normal(*x, w * z, variance)).sum();
                    likelihood + normal(z, 0.0, 1.0) - normal(z, mean, spread)
                })
                .collect();
            Bounds::of(&log_weights)
        };
        // The posterior itself: every weight is p(x).
        let Bounds { elbo, importance } = bounds(1.0, 7, 0);
        assert!((elbo - exact).abs() < 1e-9 && (importance - exact).abs() < 1e-9, "{elbo} {importance} {exact}");
        // A wider one: the ELBO misses by KL(q ‖ p) = ½(v − 1 − ln v), the importance-sampled bound closes the gap.
        let Bounds { elbo, importance } = bounds(3.0, 20_000, 0);
        let kl = 0.5 * (3.0 - 1.0 - 3.0f64.ln());
        assert!((elbo - (exact - kl)).abs() < 0.02, "{elbo}, not {}", exact - kl);
        assert!((importance - exact).abs() < 0.02, "{importance}, not {exact}");
        // In the mean over draws it rises with k, and never above.
        let mean = |k: usize| (0..2000).map(|draw| bounds(3.0, k, draw).importance).sum::<f64>() / 2000.0;
        let rising = [1, 4, 16].map(mean);
        assert!(rising[0] < rising[1] - 0.1 && rising[1] < rising[2] - 0.02 && rising[2] < exact, "{rising:?} {exact}");
    }

    /// Weights whose exponentials overflow.
    #[test]
    fn large_numbers() {
        let Bounds { elbo, importance } = Bounds::of(&[5000.0, 5002.0]);
        assert_eq!(elbo, 5001.0);
        assert!((importance - (5002.0 + (0.5 * (1.0 + (-2.0f64).exp())).ln())).abs() < 1e-9);
        assert_eq!(Bounds::of(&[-7.5]), Bounds { elbo: -7.5, importance: -7.5 });
    }
}
