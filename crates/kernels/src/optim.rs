//! Adam on slices, one pass over parameter, gradient and both moments.

use crate::simd::vectorised;
use rayon::prelude::*;

/// Adam's constants at one step (Kingma & Ba 2015, Algorithm 1, with decoupled weight decay after Loshchilov 2019).
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
    /// Number of this step, from 1: it sets the bias corrections.
    pub step: u64,
}

impl AdamStep {
    /// The bias corrections (1 − β₁ᵗ, 1 − β₂ᵗ).
    pub(crate) fn corrections(&self) -> (f32, f32) {
        let power = |beta: f32| 1.0 - f64::from(beta).powf(self.step as f64);
        (power(self.beta_1) as f32, power(self.beta_2) as f32)
    }
}

/// `m ← β₁ m + (1 − β₁) g`, `v ← β₂ v + (1 − β₂) g²`, `p ← p − lr · (m̂ / (√v̂ + ε) + decay · p)`, in place.
pub(crate) fn adam(p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], step: &AdamStep) {
    const BLOCK: usize = 16 * 1024;
    let (c1, c2) = step.corrections();
    let (rate, root) = (step.lr / c1, c2.sqrt().recip());
    let AdamStep { lr, beta_1, beta_2, epsilon, weight_decay, .. } = *step;
    p.par_chunks_mut(BLOCK)
        .zip(g.par_chunks(BLOCK))
        .zip(m.par_chunks_mut(BLOCK).zip(v.par_chunks_mut(BLOCK)))
        .for_each(|((p, g), (m, v))| {
            vectorised(
                #[inline(always)]
                || {
                    for (((p, &g), m), v) in p.iter_mut().zip(g).zip(m.iter_mut()).zip(v.iter_mut()) {
                        *m = beta_1 * *m + (1.0 - beta_1) * g;
                        *v = beta_2 * *v + (1.0 - beta_2) * g * g;
                        *p -= rate * *m / (v.sqrt() * root + epsilon) + lr * weight_decay * *p;
                    }
                },
            );
        });
}
