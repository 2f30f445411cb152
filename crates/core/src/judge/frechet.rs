//! The Fréchet distance of two Gaussians fitted to features (Dowson & Landau 1982; Heusel 2017, with Inception features:
//! "FID").

use super::estimate::Estimate;
use crate::features::Features;
use crate::matrix::{Matrix, Vanishing, cholesky, eigenvalues};
use rayon::prelude::*;
use std::ops::Range;

/// Groups of the jackknife behind an interval.
const GROUPS: usize = 10;
/// Fewer vectors than this a side are not extrapolated: halves of them say nothing.
const ENOUGH_TO_EXTRAPOLATE: usize = 20;

/// `|μ₁ − μ₂|² + tr(C₁ + C₂ − 2 (C₁ C₂)^½)`, with unbiased covariances.
///
/// It is biased upwards, more with fewer vectors: two samples of one distribution are `O(1/n)` apart (Bińkowski 2018, §3;
/// Chong & Forsyth 2020). Compare only numbers of the same size, with the floor of that size beside them; see
/// [`extrapolated`].
///
/// The trace of the square root is the sum of the roots of the eigenvalues of `Lᵀ C₂ L` with `L·Lᵀ = C₁`: of a Cholesky
/// factor, or with fewer vectors than dimensions of the smaller Gram matrix.
///
/// # Panics
/// If a set has fewer than two vectors, or they differ in length.
pub fn frechet(real: &Features, fake: &Features) -> f64 {
    assert!(real.count() >= 2 && fake.count() >= 2, "a covariance needs two vectors");
    assert_eq!(real.dimensions(), fake.dimensions(), "features of one extractor");
    let d = real.dimensions();
    let ((mean_1, x), (mean_2, y)) = (centred(real), centred(fake));
    let means: f64 = mean_1.iter().zip(&mean_2).map(|(a, b)| (a - b).powi(2)).sum();
    let trace = |m: &Matrix| m.values.iter().map(|v| v * v).sum::<f64>();
    let traces = trace(&x) + trace(&y);
    let (n, m) = (x.rows, y.rows);
    let small = if n.min(m) <= d {
        // The eigenvalues of C₁C₂ that are not 0 are the squared singular values of X·Yᵀ.
        let cross = x.times_transposed(y);
        if n <= m { cross.clone().times_transposed(cross) } else { cross.clone().transposed_times(cross) }
    } else {
        let factor = cholesky(&x.clone().transposed_times(x), Vanishing::Zero);
        let right = y.times(factor); // Y·L
        right.clone().transposed_times(right)
    };
    let root: f64 = eigenvalues(small).into_iter().map(|v| v.max(0.0).sqrt()).sum();
    // Rounding may leave a distance of a set to itself just below 0.
    (means + traces - 2.0 * root).max(0.0)
}

/// Mean, and the rows without it over √(n − 1), so that the covariance is `XᵀX`.
fn centred(set: &Features) -> (Vec<f64>, Matrix) {
    let mean = set.mean();
    let scale = 1.0 / ((set.count() - 1) as f64).sqrt();
    let rows = set.values().par_chunks_exact(set.dimensions());
    let values =
        rows.flat_map_iter(|row| row.iter().zip(&mean).map(|(&v, mean)| (f64::from(v) - mean) * scale)).collect();
    let matrix = Matrix { rows: set.count(), columns: set.dimensions(), values };
    (mean, matrix)
}

/// [`frechet`] with a 95 % interval by the grouped jackknife (Efron & Tibshirani 1993, §11.5): a tenth of both sets is left
/// out in turn. The bias is the same in all of these and does not widen the interval; the interval holds the value that
/// other draws *of this size* would give.
///
/// # Panics
/// As [`frechet`].
pub fn frechet_interval(real: &Features, fake: &Features) -> Estimate {
    let value = frechet(real, fake);
    let groups = GROUPS.min(real.count() / 2).min(fake.count() / 2);
    if groups < 2 {
        return Estimate { value, low: 0.0, high: f64::INFINITY };
    }
    // Neighbours stay together: generated pictures come in the order of their classes, one after the other.
    let without =
        |set: &Features, group: usize| set.select((0..set.count()).filter(|i| i * groups / set.count() != group));
    let left: Vec<f64> = (0..groups).map(|g| frechet(&without(real, g), &without(fake, g))).collect();
    let mean = left.iter().sum::<f64>() / groups as f64;
    let spread: f64 = left.iter().map(|v| (v - mean).powi(2)).sum();
    let error = (spread * (groups - 1) as f64 / groups as f64).sqrt();
    let estimate = Estimate::student(value, error, groups - 1);
    Estimate { low: estimate.low.max(0.0), ..estimate }
}

/// FD∞: the distance of `value` at this size, extrapolated to sets without end by the line through the distances of halves,
/// three quarters and all of both sets over 1/n (Chong & Forsyth 2020, who extrapolate one side). A part's distance is the
/// mean over its first and its last pictures. Below zero it says: not distinguishable. `None` below 20 vectors.
///
/// # Panics
/// If the sets differ in size.
pub fn extrapolated(real: &Features, fake: &Features, value: f64) -> Option<f64> {
    let n = real.count();
    assert_eq!(n, fake.count(), "sets of one size are extrapolated");
    if n < ENOUGH_TO_EXTRAPOLATE {
        return None;
    }
    let part = |range: Range<usize>| frechet(&real.select(range.clone()), &fake.select(range));
    let at = |size: usize| (1.0 / size as f64, (part(0..size) + part(n - size..n)) / 2.0);
    let points = [at(n / 2), at(3 * n / 4), (1.0 / n as f64, value)];
    let (mean_x, mean_y) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / 3.0, y + p.1 / 3.0));
    let slope = points.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum::<f64>()
        / points.iter().map(|p| (p.0 - mean_x).powi(2)).sum::<f64>();
    Some(mean_y - slope * mean_x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng;

    /// `count` draws of a Gaussian with independent entries of these means and deviations.
    fn gaussian(seed: u64, count: usize, moments: &[(f32, f32)]) -> Features {
        let mut values = rng::normal(&mut rng::stream(seed, "gaussian", 0), count * moments.len());
        for row in values.chunks_exact_mut(moments.len()) {
            row.iter_mut().zip(moments).for_each(|(v, (mean, deviation))| *v = mean + deviation * *v);
        }
        Features::from_values(moments.len(), values)
    }

    /// Two known Gaussians: Σ (μ₁ − μ₂)² + Σ (σ₁ − σ₂)² where both are axis-parallel, and the bias falls as it should.
    #[test]
    fn known_gaussians() {
        let a: Vec<(f32, f32)> = (0..6).map(|i| (i as f32 * 0.3, 0.5 + i as f32 * 0.2)).collect();
        let b: Vec<(f32, f32)> = (0..6).map(|i| (1.0 - i as f32 * 0.1, 1.5 - i as f32 * 0.2)).collect();
        let exact: f64 = a.iter().zip(&b).map(|(a, b)| f64::from((a.0 - b.0).powi(2) + (a.1 - b.1).powi(2))).sum();
        let (x, y) = (gaussian(1, 40_000, &a), gaussian(2, 40_000, &b));
        let found = frechet(&x, &y);
        assert!((found - exact).abs() < 0.02 * exact, "{found}, not {exact}");
        let distance = |n: usize, s: u64| frechet(&gaussian(9 + 2 * s, n, &a), &gaussian(10 + 2 * s, n, &a));
        let bias = |n: usize| (0..20).map(|s| distance(n, s)).sum::<f64>() / 20.0;
        let (few, more) = (bias(50), bias(200));
        assert!(few > 3.0 * more && few < 5.0 * more, "the bias is O(1/n): {few} and {more}");
    }

    /// With correlated entries, against a rotation: an orthogonal map changes no distance.
    #[test]
    fn both_ways_agree_and_rotations_change_nothing() {
        let moments: Vec<(f32, f32)> = (0..30).map(|i| (0.0, 1.0 + i as f32 * 0.1)).collect();
        let (x, y) = (gaussian(1, 31, &moments), gaussian(2, 45, &moments)); // more vectors than dimensions
        let direct = frechet(&x, &y);
        let pad = |set: &Features| {
            let rows: Vec<Vec<f32>> = set.rows().map(|row| [row, &[0.0; 20]].concat()).collect();
            Features::from_rows(&rows) // 50 dimensions: the Gram matrices
        };
        let gram = frechet(&pad(&x), &pad(&y));
        assert!((direct - gram).abs() < 1e-6 * direct, "{direct} {gram}");
        assert!((frechet(&y, &x) - direct).abs() < 1e-6 * direct, "symmetric");
        let rotate = |set: &Features| {
            let (c, s) = (0.6, 0.8);
            let rows: Vec<Vec<f32>> = set
                .rows()
                .map(|r| {
                    let pairs = r.chunks_exact(2).flat_map(|p| [c * p[0] - s * p[1], s * p[0] + c * p[1]]);
                    pairs.collect()
                })
                .collect();
            Features::from_rows(&rows)
        };
        let rotated = frechet(&rotate(&x), &rotate(&y));
        assert!((rotated - direct).abs() < 1e-5 * direct, "{direct} {rotated}");
    }

    #[test]
    fn a_set_is_at_no_distance_from_itself() {
        let set = gaussian(3, 25, &[(0.0, 1.0); 40]);
        assert!(frechet(&set, &set) < 1e-9);
        let constant = Features::from_values(3, vec![1.0; 30]);
        assert_eq!(frechet(&constant, &constant), 0.0);
    }

    #[test]
    fn extrapolation_takes_the_bias_out() {
        let moments = [(0.0, 1.0); 16];
        let far: Vec<(f32, f32)> = moments.iter().map(|&(m, d)| (m + 0.5, d)).collect();
        let (mut plain, mut better) = (0.0, 0.0);
        for s in 0..20 {
            let (x, y) = (gaussian(2 * s, 120, &moments), gaussian(2 * s + 1, 120, &far));
            let value = frechet(&x, &y);
            plain += value / 20.0;
            better += extrapolated(&x, &y, value).unwrap() / 20.0;
        }
        let exact = 16.0 * 0.25;
        assert!((better - exact).abs() < 0.3 * (plain - exact).abs(), "{plain} {better} {exact}");
        assert!(extrapolated(&gaussian(1, 10, &moments), &gaussian(2, 10, &moments), 1.0).is_none());
    }

    #[test]
    fn the_interval_holds_draws_of_its_size() {
        let moments = [(0.0, 1.0); 5];
        let far = [(0.6, 1.2); 5];
        let draw = |s: u64| (gaussian(2 * s, 100, &moments), gaussian(2 * s + 1, 100, &far));
        let mean = (0..60).map(draw).map(|(x, y)| frechet(&x, &y)).sum::<f64>() / 60.0;
        let inside = (100..160)
            .filter(|&s| {
                let (x, y) = draw(s);
                let found = frechet_interval(&x, &y);
                (found.low..found.high).contains(&mean)
            })
            .count();
        assert!((50..=60).contains(&inside), "{inside} of 60");
    }
}
