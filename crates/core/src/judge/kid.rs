//! Kernel Inception Distance (Bińkowski 2018) on any features.

use super::draw::{permutation, resample};
use super::estimate::Estimate;
use super::products::{product, strips};
use crate::device;
use crate::features::Features;
use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

/// Bootstrap replicates behind an interval.
pub const REPLICATES: usize = 200;

/// The unbiased squared maximum mean discrepancy of two sets of feature vectors under the cubic kernel
/// `k(x, y) = (x·y/d + 1)³`; its expectation is 0 when both sets come from one distribution, whatever their sizes.
///
/// # Panics
/// If a set has fewer than two vectors.
pub fn kid(real: &Features, fake: &Features) -> f64 {
    replicates(real, fake, 0, 0)[0]
}

/// [`kid`] with a 95 % interval by the bootstrap: both sets of pictures are drawn anew with replacement, 200 times, and
/// the estimate is made over pairs of different original pictures (two draws of one picture are no pair), so that the
/// replicates scatter around the estimate without bias; the interval is that of their percentiles. Near 0 it is too wide
/// rather than too narrow (the estimate is a degenerate U-statistic there).
///
/// # Panics
/// As [`kid`].
pub fn kid_interval(real: &Features, fake: &Features, seed: u64) -> Estimate {
    let mut all = replicates(real, fake, REPLICATES, seed);
    let value = all.remove(0);
    Estimate::percentile(value, all)
}

/// How far the [`kid`] of two sets as large as `real`, both of its distribution, scatters around 0: one standard deviation, 0 for
/// fewer than eight vectors.
///
/// Measured between random halves of `real`, ten times. There the estimate is a degenerate U-statistic, whose deviation falls
/// with the number of vectors (Gretton 2012, theorem 12), so that of the whole is half as large.
pub fn kid_noise(real: &Features) -> f64 {
    const SPLITS: u64 = 10;
    let half = real.count() / 2;
    if half < 4 {
        return 0.0;
    }
    let squares = (0..SPLITS).map(|split| {
        let order = permutation(real.count(), split, "kid-halves");
        let [a, b] = [&order[..half], &order[half..2 * half]].map(|part| real.select(part.iter().copied()));
        kid(&a, &b).powi(2)
    });
    (squares.sum::<f64>() / SPLITS as f64).sqrt() / 2.0
}

/// The estimate, then `count` bootstrap replicates of it.
fn replicates(real: &Features, fake: &Features, count: usize, seed: u64) -> Vec<f64> {
    assert!(real.count() >= 2 && fake.count() >= 2, "the unbiased estimate needs two vectors a side");
    // A constant in the kernel cancels exactly. Taking out the kernel of the means keeps the digits that matter.
    let means: f64 = real.mean().iter().zip(fake.mean()).map(|(a, b)| a * b).sum();
    let constant = (means / real.dimensions() as f64 + 1.0).powi(3);
    let weights = |set: &Features, name: &str| -> Vec<Vec<f32>> {
        let drawn = (0..count as u64).into_par_iter().map(|i| resample(set.count(), seed, name, i));
        std::iter::once(vec![1.0; set.count()]).chain(drawn.collect::<Vec<_>>()).collect()
    };
    let (of_real, of_fake) = (weights(real, "bootstrap-real"), weights(fake, "bootstrap-fake"));
    let within_real = means_of_pairs(real, real, &of_real, &of_real, true, constant);
    let within_fake = means_of_pairs(fake, fake, &of_fake, &of_fake, true, constant);
    let across = means_of_pairs(real, fake, &of_real, &of_fake, false, constant);
    (0..=count).map(|i| within_real[i] + within_fake[i] - 2.0 * across[i]).collect()
}

/// For each pair of weights the weighted mean over pairs (i, j) of `k(a_i, b_j) − constant`; over `i ≠ j` in one set.
fn means_of_pairs(
    a: &Features,
    b: &Features,
    of_a: &[Vec<f32>],
    of_b: &[Vec<f32>],
    same: bool,
    constant: f64,
) -> Vec<f64> {
    let (d, m) = (a.dimensions() as f64, b.count());
    let mut sums = vec![0.0; of_a.len()];
    strips(a, b, |first, mut values| {
        let rows: Vec<f64> = values
            .par_chunks_exact_mut(m)
            .enumerate()
            .map(|(i, row)| {
                let mut sum = 0.0;
                for (j, value) in row.iter_mut().enumerate() {
                    let base = f64::from(*value) / d + 1.0;
                    let kernel = if same && j == first + i { 0.0 } else { base * base * base - constant };
                    sum += kernel;
                    *value = kernel as f32;
                }
                sum
            })
            .collect();
        sums[0] += rows.iter().sum::<f64>(); // the first weights are all 1: their sum stays in f64
        if of_a.len() > 1 {
            let count = rows.len();
            let left: Vec<f32> = of_a[1..].iter().flat_map(|w| &w[first..first + count]).copied().collect();
            let kernel = Tensor::<2>::from_data(TensorData::new(values, [count, m]), &device::cpu());
            let weighted = product(left, kernel);
            let dot = |(row, w): (&[f32], &Vec<f32>)| -> f64 {
                row.iter().zip(w).map(|(v, w)| f64::from(*v) * f64::from(*w)).sum()
            };
            let parts: Vec<f64> = weighted.par_chunks_exact(m).zip(&of_b[1..]).map(dot).collect();
            sums[1..].iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
        }
    });
    let pairs = |(wa, wb): (&Vec<f32>, &Vec<f32>)| {
        let all = (wa.len() * wb.len()) as f64;
        if same { all - wa.iter().map(|w| f64::from(w * w)).sum::<f64>() } else { all }
    };
    sums.iter().zip(of_a.iter().zip(of_b)).map(|(sum, weights)| sum / pairs(weights).max(1.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::{Scaling, Standard};
    use crate::rng;

    fn cloud(seed: u64, count: usize, shift: f32) -> Vec<Vec<f32>> {
        (0..count)
            .map(|i| rng::normal(&mut rng::stream(seed, "cloud", i as u64), 8).iter().map(|v| v + shift).collect())
            .collect()
    }

    fn score(real: &[Vec<f32>], fake: &[Vec<f32>]) -> f64 {
        let (real, fake) = (Features::from_rows(real), Features::from_rows(fake));
        let (real, others) = Scaling::Standardised.apply(&real, &[&fake]);
        kid(&real, &others[0])
    }

    #[test]
    fn a_feature_that_is_nearly_silent_on_real_pictures_does_not_drown_the_others() {
        let real: Vec<Vec<f32>> = cloud(1, 60, 0.0).into_iter().map(|v| [vec![v[0] * 1e-3], v].concat()).collect();
        let fake: Vec<Vec<f32>> = cloud(2, 60, 0.0).into_iter().map(|v| [vec![0.1], v].concat()).collect();
        assert!(score(&real, &fake) < 2.0, "{}", score(&real, &fake));
    }

    #[test]
    fn is_near_zero_for_one_distribution_and_grows_with_the_distance() {
        let same: f64 = (0..20).map(|s| score(&cloud(s, 60, 0.0), &cloud(100 + s, 40, 0.0))).sum::<f64>() / 20.0;
        assert!(same.abs() < 0.02, "unbiased: mean over 20 draws is {same}");
        let near = score(&cloud(1, 60, 0.0), &cloud(2, 60, 0.5));
        let far = score(&cloud(1, 60, 0.0), &cloud(2, 60, 2.0));
        assert!(near > 0.1 && far > near, "near {near}, far {far}");
    }

    /// It is what sets of that size really scatter by, and falls with their size.
    #[test]
    fn noise_is_that_of_sets_of_one_distribution() {
        let set = |seed, count| Features::from_rows(&cloud(seed, count, 0.0));
        let scatter = |count| {
            let squares = (0..40).map(|s| kid(&set(2 * s, count), &set(2 * s + 1, count)).powi(2));
            (squares.sum::<f64>() / 40.0).sqrt()
        };
        for count in [40, 160] {
            let (said, real) = (kid_noise(&set(1000, count)), scatter(count));
            assert!((0.5..2.0).contains(&(said / real)), "{said} for {real} with {count} vectors");
        }
        assert!(kid_noise(&set(1, 160)) < 0.5 * kid_noise(&set(1, 40)));
        assert_eq!(kid_noise(&set(1, 7)), 0.0);
    }

    /// The mean of the replicates is the estimate, and the interval holds the truth about as often as it says.
    #[test]
    fn the_interval_covers() {
        let set = |seed, shift| Features::from_rows(&cloud(seed, 50, shift));
        let truth: f64 = (0..60).map(|s| kid(&set(2 * s, 0.0), &set(2 * s + 1, 0.4))).sum::<f64>() / 60.0;
        let inside = (0..60)
            .filter(|&s| {
                let found = kid_interval(&set(1000 + 2 * s, 0.0), &set(1001 + 2 * s, 0.4), s);
                assert!(found.low < found.value && found.value < found.high);
                (found.low..found.high).contains(&truth)
            })
            .count();
        assert!((48..=60).contains(&inside), "{inside} of 60 intervals hold {truth}");
        let all = replicates(&set(1, 0.0), &set(2, 0.4), 400, 3);
        let mean = all[1..].iter().sum::<f64>() / 400.0;
        assert!((mean - all[0]).abs() < 0.02, "{mean} around {}", all[0]);
    }

    #[test]
    fn many_strips_are_one_sum() {
        let (real, fake) = (Features::from_rows(&cloud(1, 600, 0.0)), Features::from_rows(&cloud(2, 300, 0.3)));
        let kernel = |x: &[f32], y: &[f32]| {
            let dot: f64 = x.iter().zip(y).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            (dot / 8.0 + 1.0).powi(3)
        };
        let mean = |a: &Features, b: &Features, same: bool| {
            let mut sum = 0.0;
            for (i, x) in a.rows().enumerate() {
                sum += b.rows().enumerate().filter(|(j, _)| !same || i != *j).map(|(_, y)| kernel(x, y)).sum::<f64>();
            }
            sum / (a.count() * if same { b.count() - 1 } else { b.count() }) as f64
        };
        let expected = mean(&real, &real, true) + mean(&fake, &fake, true) - 2.0 * mean(&real, &fake, false);
        assert!((kid(&real, &fake) - expected).abs() < 1e-6, "{} {expected}", kid(&real, &fake));
        let standard = Standard::of(&real);
        assert!(kid(&standard.apply(&real), &standard.apply(&real)) < 1e-9, "one set with itself is not above 0");
    }
}
