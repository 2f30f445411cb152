//! Gates: the gated linear unit, and pictures scaled channel by channel.

use crate::activation::Activation;
use crate::simd::{filled, vectorised};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Floats of a block of rows.
const BLOCK: usize = 32 * 1024;
/// Pixels whose products are summed in f32 before they are added to a sum in f64.
const SUM_PIXELS: usize = 64;

/// `y = a · σ(b)` for rows `[a, b]` of `2 · channels` numbers.
pub(crate) fn glu(x: &[f32], channels: usize) -> Vec<f32> {
    let rows = (BLOCK / channels).max(1);
    filled(x.len() / 2, |y| {
        y.par_chunks_mut(rows * channels).zip(x.par_chunks(rows * 2 * channels)).for_each(|(y, x)| {
            vectorised(
                #[inline(always)]
                || {
                    for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(2 * channels)) {
                        let (a, b) = x.split_at(channels);
                        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                            y.write(a * Activation::Sigmoid.apply(b));
                        }
                    }
                },
            );
        });
    })
}

/// Gradient of [`glu`]: `[gy · σ(b), gy · a · σ(b) (1 − σ(b))]`.
pub(crate) fn glu_backward(x: &[f32], gy: &[f32], channels: usize) -> Vec<f32> {
    let rows = (BLOCK / channels).max(1);
    filled(x.len(), |gx| {
        let blocks = gx.par_chunks_mut(rows * 2 * channels).zip(x.par_chunks(rows * 2 * channels));
        blocks.zip(gy.par_chunks(rows * channels)).for_each(|((gx, x), gy)| {
            vectorised(
                #[inline(always)]
                || {
                    let rows = gx.chunks_exact_mut(2 * channels).zip(x.chunks_exact(2 * channels));
                    for ((gx, x), gy) in rows.zip(gy.chunks_exact(channels)) {
                        let ((ga, gb), (a, b)) = (gx.split_at_mut(channels), x.split_at(channels));
                        for ((((ga, gb), &a), &b), &gy) in ga.iter_mut().zip(gb).zip(a).zip(b).zip(gy) {
                            let gate = Activation::Sigmoid.apply(b);
                            ga.write(gy * gate);
                            gb.write(gy * a * (gate * (1.0 - gate)));
                        }
                    }
                },
            );
        });
    })
}

/// `y[b, p, c] = x[b, p, c] · s[b, c]`, a picture having `pixels` pixels.
pub(crate) fn excite(x: &[f32], s: &[f32], pixels: usize, channels: usize) -> Vec<f32> {
    filled(x.len(), |y| {
        let picture = (pixels * channels).max(1);
        y.par_chunks_mut(picture)
            .zip(x.par_chunks(picture))
            .zip(s.par_chunks(channels))
            .for_each(|((y, x), s)| scale_rows(y, x, s));
    })
}

/// Gradients of [`excite`]: `gx = gy · s`, `gs[b, c] = Σ_p gy · x`.
pub(crate) fn excite_backward(
    x: &[f32],
    s: &[f32],
    gy: &[f32],
    pixels: usize,
    channels: usize,
) -> (Vec<f32>, Vec<f32>) {
    let picture = (pixels * channels).max(1);
    let mut gs = vec![0.0; s.len()];
    let gx = filled(x.len(), |gx| {
        let pictures = gx.par_chunks_mut(picture).zip(x.par_chunks(picture)).zip(gy.par_chunks(picture));
        pictures.zip(s.par_chunks(channels).zip(gs.par_chunks_mut(channels))).for_each(|(((gx, x), gy), (s, gs))| {
            scale_rows(gx, gy, s);
            let mut total = vec![0.0f64; channels];
            let mut part = vec![0.0f32; channels];
            for (x, gy) in x.chunks(SUM_PIXELS * channels).zip(gy.chunks(SUM_PIXELS * channels)) {
                part.fill(0.0);
                vectorised(
                    #[inline(always)]
                    || {
                        for (x, gy) in x.chunks_exact(channels).zip(gy.chunks_exact(channels)) {
                            for ((sum, &x), &gy) in part.iter_mut().zip(x).zip(gy) {
                                *sum += gy * x;
                            }
                        }
                    },
                );
                total.iter_mut().zip(&part).for_each(|(total, &part)| *total += f64::from(part));
            }
            gs.iter_mut().zip(&total).for_each(|(gs, &total)| *gs = total as f32);
        });
    });
    (gx, gs)
}

/// Multiplies every row of `x` by `s`.
fn scale_rows(y: &mut [MaybeUninit<f32>], x: &[f32], s: &[f32]) {
    vectorised(
        #[inline(always)]
        || {
            for (y, x) in y.chunks_exact_mut(s.len()).zip(x.chunks_exact(s.len())) {
                for ((y, &x), &s) in y.iter_mut().zip(x).zip(s) {
                    y.write(x * s);
                }
            }
        },
    );
}
