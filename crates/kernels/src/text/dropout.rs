//! Inverted dropout whose mask is a function of (seed, place), so that no mask is ever stored.

use crate::simd::vectorised;
use rayon::prelude::*;

/// Floats of a task.
const BLOCK: usize = 16 * 1024;

/// What the number at place `i` is multiplied by: 0 with the given probability, 1 / (1 − probability) otherwise.
#[inline(always)]
pub(super) fn factor(i: usize, probability: f32, [first, second]: [u32; 2], kept: f32) -> f32 {
    let uniform = (mix(mix((i as u32).wrapping_add(first)) ^ second) >> 8) as f32 / (1u32 << 24) as f32;
    if uniform < probability { 0.0 } else { kept }
}

/// A bijection of 32 bits in which every bit of the input moves half the bits of the output (Wellons, hash-prospector,
/// "lowbias32").
#[inline(always)]
fn mix(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
    x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
    x ^ (x >> 16)
}

/// Two keys from a seed, by one step of SplitMix64 (Steele 2014).
pub(super) fn keys(seed: u64) -> [u32; 2] {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    [z as u32, (z >> 32) as u32]
}

/// Multiplies every number by its [`factor`], in place.
pub(super) fn apply(x: &mut [f32], probability: f32, seed: u64) {
    let (keys, kept) = (keys(seed), 1.0 / (1.0 - probability));
    x.par_chunks_mut(BLOCK).enumerate().for_each(|(block, x)| {
        vectorised(
            #[inline(always)]
            || {
                for (i, x) in x.iter_mut().enumerate() {
                    *x *= factor(block * BLOCK + i, probability, keys, kept);
                }
            },
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_zeros_is_the_probability_and_seeds_are_independent() {
        const COUNT: usize = 100_000;
        let mask = |seed: u64| {
            let mut x = vec![1.0; COUNT];
            apply(&mut x, 0.3, seed);
            x
        };
        let (a, b) = (mask(1), mask(2));
        assert!(a.iter().all(|&v| v == 0.0 || v == 1.0 / 0.7));
        let share = |drop: &dyn Fn(usize) -> bool| (0..COUNT).filter(|&i| drop(i)).count() as f64 / COUNT as f64;
        // Four standard deviations of a share of 100,000 draws are at most 0.0058.
        assert!((share(&|i| a[i] == 0.0) - 0.3).abs() < 0.006);
        assert!((share(&|i| a[i] == 0.0 && b[i] == 0.0) - 0.09).abs() < 0.006);
        assert!((share(&|i| a[i] == 0.0 && a[(i + 1) % COUNT] == 0.0) - 0.09).abs() < 0.006);
        assert_eq!(a, mask(1));
    }
}
