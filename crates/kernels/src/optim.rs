//! AdamW on slices: all tensors of a network in one pass over value, gradient, both moments and moving average.
//!
//! The tensors are cut into blocks of a fixed size, so that one large and twenty small ones keep every core busy; the
//! sums of the gradient norm are combined in the order of the blocks.

use crate::simd::vectorised;
use rayon::prelude::*;

/// Floats of a block: five streams of 64 KB fit into a second-level cache.
const BLOCK: usize = 16 * 1024;

/// AdamW's constants at one step: Adam (Kingma & Ba 2015, Algorithm 1) with decoupled weight decay (Loshchilov & Hutter
/// 2019, Algorithm 2), after clipping the gradient's norm (Pascanu 2013, Algorithm 1), and the moving average of the weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// Learning rate of this step.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta_1: f32,
    /// Decay of the second moment.
    pub beta_2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay; 0 is plain Adam.
    pub weight_decay: f32,
    /// Of the tensors, as many as decay: the first of the list. The others keep their size (gains, biases).
    pub decayed: usize,
    /// Largest norm of all gradients together; 0 means no limit.
    pub clip_norm: f32,
    /// Decay of the moving average of the weights.
    pub ema_beta: f32,
    /// Number of this step, from 1: it sets the bias corrections.
    pub step: u64,
}

impl AdamStep {
    /// The bias corrections (1 − β₁ᵗ, 1 − β₂ᵗ).
    pub(crate) fn corrections(&self) -> (f32, f32) {
        let power = |beta: f32| 1.0 - f64::from(beta).powf(self.step as f64);
        (power(self.beta_1) as f32, power(self.beta_2) as f32)
    }

    /// The decay of tensor `place` of the list.
    pub(crate) fn decay_of(&self, place: usize) -> f32 {
        if place < self.decayed { self.weight_decay } else { 0.0 }
    }
}

/// What a step does to one tensor, or to one block of it. All slices have the same length; `average` may be empty instead.
pub(crate) struct Slot<'a> {
    pub value: &'a mut [f32],
    pub gradient: &'a [f32],
    pub first: &'a mut [f32],
    pub second: &'a mut [f32],
    pub average: &'a mut [f32],
    pub decay: f32,
}

impl<'a> Slot<'a> {
    fn blocks(self) -> impl Iterator<Item = Slot<'a>> {
        let decay = self.decay;
        let averages = self.average.chunks_mut(BLOCK).map(Some).chain(std::iter::repeat_with(|| None));
        let moments = self.first.chunks_mut(BLOCK).zip(self.second.chunks_mut(BLOCK));
        self.value.chunks_mut(BLOCK).zip(self.gradient.chunks(BLOCK)).zip(moments).zip(averages).map(
            move |(((value, gradient), (first, second)), average)| Slot {
                decay,
                value,
                gradient,
                first,
                second,
                average: average.unwrap_or_default(),
            },
        )
    }
}

/// With `c = min(1, clip_norm / ‖g‖)` over all slots: `g ← c g`, `m ← β₁ m + (1 − β₁) g`, `v ← β₂ v + (1 − β₂) g²`,
/// `p ← p − lr · (m̂ / (√v̂ + ε) + decay · p)`, `average ← β average + (1 − β) p`, in place.
pub(crate) fn adam(slots: Vec<Slot>, step: &AdamStep) {
    let (c1, c2) = step.corrections();
    let (rate, root) = (step.lr / c1, c2.sqrt().recip());
    let AdamStep { lr, beta_1, beta_2, epsilon, clip_norm, ema_beta, .. } = *step;
    let clip = if clip_norm > 0.0 {
        // A norm that is not a number clips nothing: what broke must stay visible.
        (f64::from(clip_norm) / norm(&slots).max(clip_norm.into())) as f32
    } else {
        1.0
    };
    let blocks: Vec<Slot> = slots.into_iter().flat_map(Slot::blocks).collect();
    blocks.into_par_iter().for_each(|Slot { value, gradient, first, second, average, decay }| {
        vectorised(
            #[inline(always)]
            || {
                let moments = first.iter_mut().zip(second.iter_mut());
                for ((p, &g), (m, v)) in value.iter_mut().zip(gradient).zip(moments) {
                    let g = g * clip;
                    *m = beta_1 * *m + (1.0 - beta_1) * g;
                    *v = beta_2 * *v + (1.0 - beta_2) * g * g;
                    *p -= rate * *m / (v.sqrt() * root + epsilon) + lr * decay * *p;
                }
                for (a, &p) in average.iter_mut().zip(value.iter()) {
                    *a = ema_beta * *a + (1.0 - ema_beta) * p;
                }
            },
        );
    });
}

/// The Euclidean norm of all gradients together.
fn norm(slots: &[Slot]) -> f64 {
    /// Partial sums of a block: as many as the widest registers want, and the same number everywhere.
    const LANES: usize = 16;
    let blocks: Vec<&[f32]> = slots.iter().flat_map(|slot| slot.gradient.chunks(BLOCK)).collect();
    let squares = blocks.into_par_iter().map(|block| {
        let mut sums = [0.0f64; LANES];
        vectorised(
            #[inline(always)]
            || {
                for values in block.chunks(LANES) {
                    for (sum, &value) in sums.iter_mut().zip(values) {
                        *sum += f64::from(value) * f64::from(value);
                    }
                }
            },
        );
        sums.iter().sum::<f64>()
    });
    squares.collect::<Vec<f64>>().iter().sum::<f64>().sqrt()
}
