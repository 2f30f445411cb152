//! Named random streams. There is no global generator and no generator state to save: every draw comes from a stream
//! that is a pure function of (seed, name, index), so a resumed run draws exactly what the uninterrupted one would.

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
