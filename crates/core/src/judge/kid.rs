//! Kernel Inception Distance (Bińkowski 2018) on any features.

/// The unbiased squared maximum mean discrepancy of two sets of feature vectors under the cubic kernel
/// `k(x, y) = (x·y/d + 1)³`; its expectation is 0 when both sets come from one distribution, whatever their sizes.
///
/// Every feature is first standardised by the mean and deviation of the real set, so that the score depends neither on the
/// scale of an extractor that was not trained nor, between looks, on the generated set itself.
///
/// # Panics
/// If a set has fewer than two vectors.
pub fn kid(real: &[Vec<f32>], fake: &[Vec<f32>]) -> f64 {
    assert!(real.len() >= 2 && fake.len() >= 2, "the unbiased estimate needs two vectors a side");
    let d = real[0].len();
    let n = real.len() as f64;
    let moments: Vec<(f64, f64)> = (0..d)
        .map(|i| {
            let values = || real.iter().map(|v| f64::from(v[i]));
            let mean = values().sum::<f64>() / n;
            (mean, (values().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt())
        })
        .collect();
    let mut deviations: Vec<f64> = moments.iter().map(|(_, deviation)| *deviation).collect();
    deviations.sort_by(f64::total_cmp);
    // A feature that hardly varies over the real set (a filter that never fires on it) must not be blown up into the only
    // one that counts as soon as a generated picture touches it.
    let least = (deviations[d / 2] * 0.1).max(1e-6);
    let standard: Vec<(f64, f64)> =
        moments.into_iter().map(|(mean, deviation)| (mean, deviation.max(least).recip())).collect();
    let scaled = |set: &[Vec<f32>]| -> Vec<Vec<f32>> {
        let one = |v: &Vec<f32>| {
            v.iter().zip(&standard).map(|(&v, (mean, scale))| ((f64::from(v) - mean) * scale) as f32).collect()
        };
        set.iter().map(one).collect()
    };
    let (real, fake) = (scaled(real), scaled(fake));
    let kernel = |x: &[f32], y: &[f32]| {
        let dot: f32 = x.iter().zip(y).map(|(a, b)| a * b).sum();
        (f64::from(dot) / d as f64 + 1.0).powi(3)
    };
    let within = |set: &[Vec<f32>]| {
        let n = set.len() as f64;
        let sum: f64 =
            (0..set.len()).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| kernel(&set[i], &set[j])).sum();
        2.0 * sum / (n * (n - 1.0))
    };
    let across: f64 = real.iter().flat_map(|x| fake.iter().map(move |y| (x, y))).map(|(x, y)| kernel(x, y)).sum();
    within(&real) + within(&fake) - 2.0 * across / (real.len() * fake.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::kid;
    use crate::rng;

    fn cloud(seed: u64, count: usize, shift: f32) -> Vec<Vec<f32>> {
        (0..count)
            .map(|i| rng::normal(&mut rng::stream(seed, "cloud", i as u64), 8).iter().map(|v| v + shift).collect())
            .collect()
    }

    #[test]
    fn a_feature_that_is_nearly_silent_on_real_pictures_does_not_drown_the_others() {
        let real: Vec<Vec<f32>> = cloud(1, 60, 0.0).into_iter().map(|v| [vec![v[0] * 1e-3], v].concat()).collect();
        let fake: Vec<Vec<f32>> = cloud(2, 60, 0.0).into_iter().map(|v| [vec![0.1], v].concat()).collect();
        assert!(kid(&real, &fake) < 2.0, "{}", kid(&real, &fake));
    }

    #[test]
    fn is_near_zero_for_one_distribution_and_grows_with_the_distance() {
        let same: f64 = (0..20).map(|s| kid(&cloud(s, 60, 0.0), &cloud(100 + s, 40, 0.0))).sum::<f64>() / 20.0;
        assert!(same.abs() < 0.02, "unbiased: mean over 20 draws is {same}");
        let near = kid(&cloud(1, 60, 0.0), &cloud(2, 60, 0.5));
        let far = kid(&cloud(1, 60, 0.0), &cloud(2, 60, 2.0));
        assert!(near > 0.1 && far > near, "near {near}, far {far}");
    }
}
