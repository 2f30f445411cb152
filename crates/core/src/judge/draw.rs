//! Which pictures a judge takes: evenly, or at random from a named stream.

use crate::rng;

/// The numbers below `n` in random order: the same for the same seed and name.
pub fn permutation(n: usize, seed: u64, name: &str) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    rng::shuffle(&mut rng::stream(seed, name, 0), &mut order);
    order
}

/// How often each of `n` things is drawn in `n` draws with replacement.
pub(crate) fn resample(n: usize, seed: u64, name: &str, index: u64) -> Vec<f32> {
    let mut rng = rng::stream(seed, name, index);
    let mut counts = vec![0.0; n];
    (0..n).for_each(|_| counts[rng::below(&mut rng, n)] += 1.0);
    counts
}
