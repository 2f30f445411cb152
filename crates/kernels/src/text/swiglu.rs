//! The gate of a transformer's feed-forward layer, forward and backward.

use crate::activation::Activation;
use crate::simd::{filled, vectorised};
use rayon::prelude::*;

/// Floats of a task.
const BLOCK: usize = 16 * 1024;

/// One row on this thread: `y = a σ(a) b` for `x = [a, b]`.
pub(super) fn row(x: &[f32], y: &mut [f32]) {
    let (a, b) = x.split_at(y.len());
    vectorised(
        #[inline(always)]
        || {
            for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                *y = a * Activation::Sigmoid.apply(a) * b;
            }
        },
    );
}

/// `y = a σ(a) b` for rows `[a, b]` of `2 · width` numbers.
pub(super) fn forward(x: &[f32], width: usize) -> Vec<f32> {
    let rows = (BLOCK / width.max(1)).max(1);
    filled(x.len() / 2, |y| {
        y.par_chunks_mut(rows * width).zip(x.par_chunks(rows * 2 * width)).for_each(|(y, x)| {
            vectorised(
                #[inline(always)]
                || {
                    for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(2 * width)) {
                        let (a, b) = x.split_at(width);
                        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                            y.write(a * Activation::Sigmoid.apply(a) * b);
                        }
                    }
                },
            );
        });
    })
}

/// Gradient of [`forward`]; with s = σ(a): `[gy · b · s (1 + a (1 − s)), gy · a s]`.
pub(super) fn backward(x: &[f32], gy: &[f32], width: usize) -> Vec<f32> {
    let rows = (BLOCK / width.max(1)).max(1);
    filled(x.len(), |gx| {
        let blocks = gx.par_chunks_mut(rows * 2 * width).zip(x.par_chunks(rows * 2 * width));
        blocks.zip(gy.par_chunks(rows * width)).for_each(|((gx, x), gy)| {
            vectorised(
                #[inline(always)]
                || {
                    let rows = gx.chunks_exact_mut(2 * width).zip(x.chunks_exact(2 * width));
                    for ((gx, x), gy) in rows.zip(gy.chunks_exact(width)) {
                        let ((ga, gb), (a, b)) = (gx.split_at_mut(width), x.split_at(width));
                        // Two loops, each of which becomes vector instructions: together they have too many slices for the
                        // compiler to prove apart, and the second exponential costs less than that.
                        for (((ga, &a), &b), &gy) in ga.iter_mut().zip(a).zip(b).zip(gy) {
                            let s = Activation::Sigmoid.apply(a);
                            ga.write(gy * b * (s * (1.0 + a * (1.0 - s))));
                        }
                        for ((gb, &a), &gy) in gb.iter_mut().zip(a).zip(gy) {
                            gb.write(gy * (a * Activation::Sigmoid.apply(a)));
                        }
                    }
                },
            );
        });
    })
}
