//! Precision and recall (Kynkäänniemi 2019), density and coverage (Naeem 2020): shares of pictures that lie in the k-nearest-
//! neighbour balls of the other side.

use super::estimate::Estimate;
use super::products::{nearest, squares, strips};
use crate::features::{Features, squared_distance};
use rayon::prelude::*;

/// The four numbers. Intervals are those of the pictures that are counted (Wilson's for the shares, normal for density), the
/// balls of the other side taken as given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prdc {
    /// Share of generated pictures inside a ball of a real one: how many look real.
    pub precision: Estimate,
    /// Share of real pictures inside a ball of a generated one: how much of the data can be made.
    pub recall: Estimate,
    /// Real balls that a generated picture lies in, over k; robust against real outliers, may exceed 1.
    pub density: Estimate,
    /// Share of real pictures with a generated one in their ball; robust against generated outliers.
    pub coverage: Estimate,
}

/// Measures `fake` against `real` with balls that reach to the `k`-th nearest neighbour of their own set; a set of n
/// vectors has no more than n − 1 neighbours, so k is lowered to that.
///
/// # Panics
/// If a set has fewer than two vectors.
pub fn prdc(real: &Features, fake: &Features, k: usize) -> Prdc {
    assert!(real.count() >= 2 && fake.count() >= 2, "a neighbour needs a second vector");
    let k = k.min(real.count() - 1).min(fake.count() - 1);
    let balls = |set: &Features| -> Vec<f64> {
        nearest(set, set, k, true).iter().map(|near| near[k - 1].distance.powi(2)).collect()
    };
    let (of_real, of_fake) = (balls(real), balls(fake));
    let (real_squares, fake_squares) = (squares(real), squares(fake));
    let mut balls_of = vec![0u32; fake.count()];
    let (mut covered, mut recalled) = (0, 0);
    strips(real, fake, |first, products| {
        let rows = products.par_chunks_exact(fake.count()).enumerate().map(|(i, products)| {
            let i = first + i;
            let (mut inside, mut recalled) = (Vec::new(), false);
            for (j, &product) in products.iter().enumerate() {
                let scale = real_squares[i] + fake_squares[j];
                let mut distance = scale - 2.0 * f64::from(product);
                // Where the rounding of the product could decide, it is computed without cancellation.
                let close = |radius: f64| (distance - radius).abs() < 1e-5 * scale;
                if close(of_real[i]) || close(of_fake[j]) {
                    distance = squared_distance(real.row(i), fake.row(j));
                }
                if distance <= of_real[i] {
                    inside.push(j);
                }
                recalled |= distance <= of_fake[j];
            }
            (inside, recalled)
        });
        for (inside, is_recalled) in rows.collect::<Vec<_>>() {
            covered += usize::from(!inside.is_empty());
            recalled += usize::from(is_recalled);
            inside.into_iter().for_each(|j| balls_of[j] += 1);
        }
    });
    let densities: Vec<f64> = balls_of.iter().map(|&count| f64::from(count) / k as f64).collect();
    Prdc {
        precision: Estimate::share(balls_of.iter().filter(|&&count| count > 0).count(), fake.count()),
        recall: Estimate::share(recalled, real.count()),
        density: Estimate::mean(&densities),
        coverage: Estimate::share(covered, real.count()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng;

    /// `count` vectors in each of these clusters, far from one another.
    fn clusters(seed: u64, count: usize, which: &[usize]) -> Features {
        let mut set = Features::new(6);
        for &cluster in which {
            for i in 0..count {
                let mut row = rng::normal(&mut rng::stream(seed, "clusters", (cluster * 1000 + i) as u64), 6);
                row[cluster % 6] += 30.0 * (1.0 + (cluster / 6) as f32);
                set.push(&row);
            }
        }
        set
    }

    #[test]
    fn dropped_classes_cost_recall_and_coverage_but_not_precision() {
        let real = clusters(1, 40, &[0, 1, 2, 3]);
        let same = prdc(&real, &clusters(2, 40, &[0, 1, 2, 3]), 5);
        let half = prdc(&real, &clusters(2, 80, &[0, 1]), 5);
        assert!(same.precision.value > 0.8 && same.recall.value > 0.8 && same.coverage.value > 0.8, "{same:?}");
        assert!(half.precision.value > 0.8, "{half:?}");
        assert!(half.recall.value <= 0.5 && half.coverage.value <= 0.5, "{half:?}");
    }

    #[test]
    fn a_set_covers_itself_and_noise_covers_nothing() {
        let real = clusters(1, 30, &[0, 1]);
        let itself = prdc(&real, &real, 5);
        assert_eq!((itself.precision.value, itself.recall.value, itself.coverage.value), (1.0, 1.0, 1.0));
        let noise = Features::from_values(6, vec![500.0; 60 * 6]);
        let noise = prdc(&real, &noise, 5);
        assert_eq!((noise.precision.value, noise.recall.value, noise.density.value), (0.0, 0.0, 0.0));
    }

    #[test]
    fn few_vectors_lower_k() {
        let found = prdc(&clusters(1, 3, &[0]), &clusters(2, 4, &[0]), 5);
        assert!(found.precision.value.is_finite() && found.density.value.is_finite());
    }
}
