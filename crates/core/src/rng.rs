//! Named random streams. There is no global generator and no generator state to save: every draw comes from a stream
//! that is a pure function of (seed, name, index), so a resumed run draws exactly what the uninterrupted one would.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

/// The stream `name` of `seed` at `index` (a step, an epoch, a picture): ChaCha8 keyed by BLAKE3 of the three.
pub fn stream(seed: u64, name: &str, index: u64) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(&index.to_le_bytes());
    hasher.update(name.as_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

/// A number below `n`, evenly likely but for a bias below n / 2^64.
pub fn below(rng: &mut ChaCha8Rng, n: usize) -> usize {
    ((u128::from(rng.next_u64()) * n as u128) >> 64) as usize
}

/// Puts `items` into random order (Fisher–Yates, Durstenfeld 1964). Written out here because the order is part of what "same
/// seed" promises, and `rand` may change its own shuffle between versions.
pub fn shuffle<T>(rng: &mut ChaCha8Rng, items: &mut [T]) {
    for i in (1..items.len()).rev() {
        items.swap(i, below(rng, i + 1));
    }
}

/// `count` standard normal numbers.
pub fn normal(rng: &mut ChaCha8Rng, count: usize) -> Vec<f32> {
    StandardNormal.sample_iter(rng).take(count).collect()
}

/// `count` class numbers below `classes`, evenly likely; empty when there are no classes.
pub fn labels(rng: &mut ChaCha8Rng, count: usize, classes: usize) -> Vec<usize> {
    use rand::RngExt;
    if classes == 0 {
        return Vec::new();
    }
    (0..count).map(|_| rng.random_range(0..classes)).collect()
}

/// `count` numbers below `total`, evenly spaced, because pictures lie in the order of their names and so of their classes.
pub(crate) fn evenly(total: usize, count: usize) -> Vec<usize> {
    let count = count.min(total);
    (0..count).map(|i| i * total / count).collect()
}
