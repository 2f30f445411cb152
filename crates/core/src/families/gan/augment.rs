//! Draws the plans of DiffAugment (Zhao 2020), with the ranges of the authors' code, and steers how often they apply.

use super::settings::{Augmentation, GanConfig};
use crate::Result;
use crate::weights::{self, HostTensor, Weights};
use maliang_kernels::AUGMENT_PARAMETERS;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// One plan a picture: brightness ±0.5, saturation 0…2, contrast 0.5…1.5; shifts up to an eighth of the size; a cutout of
/// half the size, centred anywhere. Each of `kinds` is applied with probability `p`; what is not is the identity.
pub fn plans(
    kinds: &[Augmentation],
    p: f32,
    batch: usize,
    height: usize,
    width: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<f32> {
    let mut plans = Vec::with_capacity(batch * AUGMENT_PARAMETERS);
    for _ in 0..batch {
        let mut plan = [0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let mut has = |kind| kinds.contains(&kind) && (p >= 1.0 || rng.random::<f32>() < p);
        let [color, translation, cutout] =
            [Augmentation::Color, Augmentation::Translation, Augmentation::Cutout].map(&mut has);
        if color {
            plan[0] = rng.random::<f32>() - 0.5;
            plan[1] = rng.random::<f32>() * 2.0;
            plan[2] = rng.random::<f32>() + 0.5;
        }
        if translation {
            for (slot, size) in [(3, height), (4, width)] {
                let reach = (size as i32 + 4) / 8;
                plan[slot] = rng.random_range(-reach..=reach) as f32;
            }
        }
        if cutout {
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

/// Discriminator steps between two adjustments of p (Karras 2020, ADA, §3.1).
const ADJUST_EVERY: u64 = 4;

/// ADA's controller (Karras 2020, §3.1): when the discriminator is sure of too many training pictures, it is overfitting, and p
/// rises; else it falls.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Adaptive {
    /// Probability of each part of the augmentation.
    p: f32,
    /// Sum and number of the signs of logits on real pictures since the last adjustment.
    signs: f32,
    count: f32,
}

impl Adaptive {
    /// The probability of each part of the augmentation.
    pub fn p(&self, config: &GanConfig) -> f32 {
        if config.ada > 0.0 { self.p } else { 1.0 }
    }

    /// Takes note of the logits on one batch of real pictures, in the discriminator's step number `step`.
    pub fn observe(&mut self, config: &GanConfig, logits: &[f32], batch: usize, step: u64) {
        if config.ada == 0.0 {
            return;
        }
        let threshold = config.loss.threshold().unwrap_or(0.0);
        self.signs += logits.iter().map(|v| if *v > threshold { 1.0 } else { -1.0 }).sum::<f32>();
        self.count += logits.len() as f32;
        if (step + 1).is_multiple_of(ADJUST_EVERY) {
            let pictures = (batch as u64 * ADJUST_EVERY) as f64;
            let change = (pictures / config.ada_pictures) as f32;
            let sure = self.signs > config.ada * self.count;
            self.p = (self.p + if sure { change } else { -change }).clamp(0.0, 1.0);
            (self.signs, self.count) = (0.0, 0.0);
        }
    }

    /// Adds the controller's state to that of training.
    pub fn store(&self, config: &GanConfig, state: &mut Weights) {
        if config.ada > 0.0 {
            state.insert(NAME.into(), HostTensor { shape: vec![3], data: vec![self.p, self.signs, self.count] });
        }
    }

    /// Takes the controller's state out of that of training.
    ///
    /// # Errors
    /// It is not there.
    pub fn restore(&mut self, config: &GanConfig, state: &mut Weights) -> Result<()> {
        if config.ada > 0.0 {
            let found = weights::take(state, NAME, &[3])?.data;
            *self = Self { p: found[0], signs: found[1], count: found[2] };
        }
        Ok(())
    }
}

/// The controller in the state of training.
const NAME: &str = "ada";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng;

    #[test]
    fn p_follows_the_signs_and_stays_a_probability() {
        let config = GanConfig { ada: 0.6, ada_pictures: 320.0, ..GanConfig::default() };
        let mut ada = Adaptive::default();
        assert_eq!((ada.p(&config), ada.p(&GanConfig::default())), (0.0, 1.0));
        let walk = |ada: &mut Adaptive, logits: &[f32], steps: std::ops::Range<u64>| {
            steps
                .map(|step| {
                    ada.observe(&config, logits, 8, step);
                    ada.p(&config)
                })
                .collect::<Vec<_>>()
        };
        // Nine of ten real pictures are recognised: 0.8 > 0.6. Every fourth step p moves by 4 · 8 / 320.
        let sure = [1.0, 1.0, 2.0, 0.1, 5.0, 1.0, 1.0, 1.0, 0.5, -1.0];
        assert_eq!(walk(&mut ada, &sure, 0..8), [0.0, 0.0, 0.0, 0.1, 0.1, 0.1, 0.1, 0.2]);
        let mut state = Weights::new();
        ada.observe(&config, &sure, 8, 8);
        ada.store(&config, &mut state);
        let mut again = Adaptive::default();
        again.restore(&config, &mut state).unwrap();
        assert_eq!(again, ada);
        assert!(again.restore(&config, &mut state).is_err());
        assert_eq!(*walk(&mut ada, &sure, 9..80).last().unwrap(), 1.0);
        assert_eq!(*walk(&mut ada, &[1.0, -1.0], 80..160).last().unwrap(), 0.0);
    }

    #[test]
    fn p_is_the_share_of_pictures_that_are_changed() {
        use Augmentation::{Color, Cutout, Translation};
        let all = plans(&[Color, Translation, Cutout], 0.3, 4000, 32, 32, &mut rng::stream(1, "test", 0));
        let plans: Vec<_> = all.chunks_exact(AUGMENT_PARAMETERS).collect();
        let share = |changed: &dyn Fn(&[f32]) -> bool| {
            plans.iter().filter(|plan| changed(plan)).count() as f32 / plans.len() as f32
        };
        for share in [share(&|plan| plan[1] != 1.0), share(&|plan| plan[7] > plan[5])] {
            assert!((share - 0.3).abs() < 0.03, "{share}");
        }
    }
}
