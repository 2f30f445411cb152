//! A number with its interval.

use serde::{Deserialize, Serialize};

/// A score and the interval that holds 95 % of what other draws of the same size would give.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The score.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Half-width of a 95 % interval in standard errors.
const Z: f64 = 1.959_964;
/// The same where the standard error is that of a few numbers: the 97.5 % point of Student's t with 1, 2, … degrees of freedom.
const T: [f64; 9] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];

impl Estimate {
    /// `value` with a normal interval of this standard error.
    pub(crate) fn normal(value: f64, error: f64) -> Self {
        Self { value, low: value - Z * error, high: value + Z * error }
    }

    /// `value` with the interval of Student's t, for a standard error of so many degrees of freedom.
    pub(crate) fn student(value: f64, error: f64, freedom: usize) -> Self {
        let t = T.get(freedom.max(1) - 1).copied().unwrap_or(Z);
        Self { value, low: value - t * error, high: value + t * error }
    }

    /// `value` between the 2.5 % and the 97.5 % quantile of `replicates`.
    pub(crate) fn percentile(value: f64, mut replicates: Vec<f64>) -> Self {
        replicates.sort_by(f64::total_cmp);
        let quantile = |q: f64| {
            let place = q * (replicates.len() - 1) as f64;
            let (below, above) = (replicates[place.floor() as usize], replicates[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        Self { value, low: quantile(0.025), high: quantile(0.975) }
    }

    /// A share of `total` with Wilson's score interval (Wilson 1927).
    pub(crate) fn share(count: usize, total: usize) -> Self {
        let n = total.max(1) as f64;
        let p = count as f64 / n;
        let middle = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
        let half = Z / (1.0 + Z * Z / n) * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        Self { value: p, low: (middle - half).max(0.0), high: (middle + half).min(1.0) }
    }

    /// The mean of `values` with a normal interval.
    pub(crate) fn mean(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        Self::normal(mean, (variance / n).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::Estimate;

    #[test]
    fn intervals_of_textbooks() {
        // Newcombe 1998, Table I: 81 of 263, score interval 0.2553 to 0.3662.
        let share = Estimate::share(81, 263);
        assert!((share.low - 0.2553).abs() < 5e-5 && (share.high - 0.3662).abs() < 5e-5, "{share:?}");
        assert_eq!(Estimate::share(0, 10).low, 0.0);
        let percentile = Estimate::percentile(50.0, (0..=100).rev().map(f64::from).collect());
        assert_eq!((percentile.low, percentile.high), (2.5, 97.5));
    }
}
