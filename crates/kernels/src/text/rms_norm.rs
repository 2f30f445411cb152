//! Root mean square normalisation of rows, forward and backward.

use crate::simd::{dot, filled, vectorised};
use rayon::prelude::*;

/// Rows of a task: about 64 KB of floats.
fn block_rows(width: usize) -> usize {
    (16 * 1024 / width.max(1)).max(1)
}

/// `1 / √(mean(x²) + ε)` of one row.
#[inline(always)]
fn inverse(x: &[f32], epsilon: f32) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + epsilon).sqrt()
}

/// One row on this thread: `y = γ x / √(mean(x²) + ε)`.
pub(super) fn row(x: &[f32], gamma: &[f32], epsilon: f32, y: &mut [f32]) {
    vectorised(
        #[inline(always)]
        || {
            let inverse = inverse(x, epsilon);
            for ((y, &x), &g) in y.iter_mut().zip(x).zip(gamma) {
                *y = x * inverse * g;
            }
        },
    );
}

/// `y = γ x / √(mean(x²) + ε)` for every row.
pub(super) fn forward(x: &[f32], gamma: &[f32], epsilon: f32) -> Vec<f32> {
    let width = gamma.len();
    let block = block_rows(width) * width;
    filled(x.len(), |y| {
        y.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(y, x)| {
            vectorised(
                #[inline(always)]
                || {
                    for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                        let inverse = inverse(x, epsilon);
                        for ((y, &x), &g) in y.iter_mut().zip(x).zip(gamma) {
                            y.write(x * inverse * g);
                        }
                    }
                },
            );
        });
    })
}

/// Gradients (x, γ) of [`forward`]. With r = 1 / √(mean(x²) + ε), x̂ = r x and g = γ gy:
/// `gx = r (g − x̂ mean(g x̂))`, `gγ = Σ gy x̂`, summed in blocks of a fixed number of rows and then over the blocks in f64.
pub(super) fn backward(x: &[f32], gy: &[f32], gamma: &[f32], epsilon: f32) -> (Vec<f32>, Vec<f32>) {
    let width = gamma.len();
    let block = block_rows(width) * width;
    let mut partial: Vec<Vec<f32>> = Vec::new();
    let gx = filled(x.len(), |gx| {
        let blocks = gx.par_chunks_mut(block).zip(x.par_chunks(block)).zip(gy.par_chunks(block));
        let sums = blocks.map(|((gx, x), gy)| {
            let mut sums = vec![0.0f32; width];
            vectorised(
                #[inline(always)]
                || {
                    let mut weighted = vec![0.0f32; width];
                    let rows = gx.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(gy.chunks_exact(width));
                    for ((gx, x), gy) in rows {
                        let inverse = inverse(x, epsilon);
                        for ((w, &gy), &gamma) in weighted.iter_mut().zip(gy).zip(gamma) {
                            *w = gy * gamma;
                        }
                        let mean = dot(&weighted, x) * inverse / width as f32;
                        for ((gx, &w), &x) in gx.iter_mut().zip(&weighted).zip(x) {
                            gx.write(inverse * (w - x * inverse * mean));
                        }
                        for ((sum, &gy), &x) in sums.iter_mut().zip(gy).zip(x) {
                            *sum += gy * (x * inverse);
                        }
                    }
                },
            );
            sums
        });
        partial = sums.collect();
    });
    let mut total = vec![0.0f64; width];
    for part in &partial {
        total.iter_mut().zip(part).for_each(|(total, &part)| *total += f64::from(part));
    }
    (gx, total.iter().map(|&v| v as f32).collect())
}
