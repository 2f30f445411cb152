//! Draws the plans of DiffAugment (Zhao 2020), with the ranges of the authors' code.

use super::config::Augmentation;
use maliang_kernels::AUGMENT_PARAMETERS;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// One plan a picture: brightness ±0.5, saturation 0…2, contrast 0.5…1.5; shifts up to an eighth of the size; a cutout of
/// half the size, centred anywhere. What `kinds` leaves out is the identity.
pub fn plans(kinds: &[Augmentation], batch: usize, height: usize, width: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let has = |kind| kinds.contains(&kind);
    let mut plans = Vec::with_capacity(batch * AUGMENT_PARAMETERS);
    for _ in 0..batch {
        let mut plan = [0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        if has(Augmentation::Color) {
            plan[0] = rng.random::<f32>() - 0.5;
            plan[1] = rng.random::<f32>() * 2.0;
            plan[2] = rng.random::<f32>() + 0.5;
        }
        if has(Augmentation::Translation) {
            for (slot, size) in [(3, height), (4, width)] {
                let reach = (size as i32 + 4) / 8;
                plan[slot] = rng.random_range(-reach..=reach) as f32;
            }
        }
        if has(Augmentation::Cutout) {
            for (slot, size) in [(5, height), (6, width)] {
                let side = (size / 2) as i32;
                let start = rng.random_range(0..size as i32 + (1 - side % 2)) - side / 2;
                plan[slot] = start.max(0) as f32;
                plan[slot + 2] = (start + side).min(size as i32) as f32;
            }
        }
        plans.extend(plan);
    }
    plans
}
