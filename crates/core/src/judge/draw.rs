//! Random choices of a judge, each from a named stream.

use crate::rng;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// A number below `n`, evenly likely but for a bias below n / 2^64.
fn below(rng: &mut ChaCha8Rng, n: usize) -> usize {
    ((u128::from(rng.next_u64()) * n as u128) >> 64) as usize
}

/// The numbers below `n` in random order (Fisher–Yates, Durstenfeld 1964).
pub(crate) fn permutation(n: usize, seed: u64, name: &str) -> Vec<usize> {
    let mut rng = rng::stream(seed, name, 0);
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, below(&mut rng, i + 1));
    }
    order
}

/// How often each of `n` things is drawn in `n` draws with replacement.
pub(crate) fn resample(n: usize, seed: u64, name: &str, index: u64) -> Vec<f32> {
    let mut rng = rng::stream(seed, name, index);
    let mut counts = vec![0.0; n];
    (0..n).for_each(|_| counts[below(&mut rng, n)] += 1.0);
    counts
}
