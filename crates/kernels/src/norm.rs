//! Batch norm, the per-channel affine map and the bias, each + activation, forward and backward, on `[rows, channels]` slices.
//!
//! Every pass is cut into blocks of a fixed number of rows; partial sums are combined in block order in f64.

use crate::activation::{Activation, with_activation};
use crate::simd::{filled, vectorised};
use rayon::prelude::*;

/// Rows of a block: about 128 KB of floats.
fn block_rows(channels: usize) -> usize {
    (32 * 1024 / channels.max(1)).max(1)
}

/// Runs `block(first_row, rows)` over all blocks and adds up the `sums` per-channel sums that each returns.
fn sum_blocks<const SUMS: usize>(
    rows: usize,
    channels: usize,
    block: impl Fn(usize, usize, &mut [Vec<f32>; SUMS]) + Sync,
) -> [Vec<f64>; SUMS] {
    let step = block_rows(channels);
    let partial: Vec<[Vec<f32>; SUMS]> = (0..rows.div_ceil(step))
        .into_par_iter()
        .map(|i| {
            let mut sums = std::array::from_fn(|_| vec![0.0; channels]);
            block(i * step, step.min(rows - i * step), &mut sums);
            sums
        })
        .collect();
    std::array::from_fn(|s| {
        let mut total = vec![0.0; channels];
        for part in &partial {
            for (t, &p) in total.iter_mut().zip(&part[s]) {
                *t += f64::from(p);
            }
        }
        total
    })
}

/// Per-channel mean and (biased) variance of `x`. Sums are taken of differences to the first row, which keeps them small.
pub(crate) fn mean_variance(x: &[f32], channels: usize) -> (Vec<f32>, Vec<f32>) {
    let rows = x.len() / channels;
    let origin = &x[..channels];
    let [first, second] = sum_blocks(rows, channels, |start, count, [first, second]| {
        vectorised(
            #[inline(always)]
            || {
                for row in x[start * channels..][..count * channels].chunks_exact(channels) {
                    for (((a, b), &v), &o) in first.iter_mut().zip(second.iter_mut()).zip(row).zip(origin) {
                        let d = v - o;
                        *a += d;
                        *b += d * d;
                    }
                }
            },
        );
    });
    let n = rows as f64;
    let mean = first.iter().zip(origin).map(|(&a, &o)| (f64::from(o) + a / n) as f32).collect();
    let variance = first.iter().zip(&second).map(|(&a, &b)| (b / n - (a / n) * (a / n)).max(0.0) as f32).collect();
    (mean, variance)
}

/// `y = f(x · scale + shift)` per channel.
pub(crate) fn affine(x: &[f32], scale: &[f32], shift: &[f32], activation: Activation) -> Vec<f32> {
    let channels = scale.len();
    let block = block_rows(channels) * channels;
    filled(x.len(), |y| {
        y.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(y, x)| {
            with_activation!(activation, apply, |f| vectorised(
                #[inline(always)]
                || {
                    for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                        for (((y, &x), &a), &b) in y.iter_mut().zip(x).zip(scale).zip(shift) {
                            y.write(f(x * a + b));
                        }
                    }
                }
            ));
        });
    })
}

/// Gradients of [`affine`]: with g = gy · f′(y): (g · scale, Σ g · x, Σ g).
pub(crate) fn affine_backward(
    x: &[f32],
    y: &[f32],
    gy: &[f32],
    scale: &[f32],
    activation: Activation,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let channels = scale.len();
    let [g_scale, g_shift] = affine_sums(x, y, gy, channels, activation);
    let block = block_rows(channels) * channels;
    let gx = filled(x.len(), |gx| {
        gx.par_chunks_mut(block).zip(y.par_chunks(block)).zip(gy.par_chunks(block)).for_each(|((gx, y), gy)| {
            with_activation!(activation, derivative, |f| vectorised(
                #[inline(always)]
                || {
                    let rows =
                        gx.chunks_exact_mut(channels).zip(y.chunks_exact(channels)).zip(gy.chunks_exact(channels));
                    for ((gx, y), gy) in rows {
                        for (((gx, &y), &gy), &a) in gx.iter_mut().zip(y).zip(gy).zip(scale) {
                            gx.write(gy * f(y) * a);
                        }
                    }
                }
            ));
        });
    });
    (gx, to_f32(&g_scale), to_f32(&g_shift))
}

/// The affine map per channel that batch norm with these statistics is: `scale = γ / √(variance + ε)`,
/// `shift = β − mean · scale`.
pub(crate) fn normalisation(
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    variance: &[f32],
    epsilon: f32,
) -> (Vec<f32>, Vec<f32>) {
    let inverse = variance.iter().map(|v| 1.0 / (v + epsilon).sqrt());
    let scale: Vec<f32> = gamma.iter().zip(inverse).map(|(g, i)| g * i).collect();
    let shift = beta.iter().zip(mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
    (scale, shift)
}

/// `x ← f(x + bias)` per channel, in place.
pub(crate) fn bias(x: &mut [f32], bias: &[f32], activation: Activation) {
    let channels = bias.len();
    x.par_chunks_mut(block_rows(channels) * channels).for_each(|x| bias_pixels(x, bias, activation));
}

/// As [`bias()`], on this thread.
pub(crate) fn bias_pixels(x: &mut [f32], bias: &[f32], activation: Activation) {
    with_activation!(activation, apply, |f| vectorised(
        #[inline(always)]
        || {
            for x in x.chunks_exact_mut(bias.len()) {
                for (x, &b) in x.iter_mut().zip(bias) {
                    *x = f(*x + b);
                }
            }
        }
    ));
}

/// `gy ← gy · f′(y)`, in place.
pub(crate) fn activation_backward(y: &[f32], gy: &mut [f32], activation: Activation) {
    let block = block_rows(1);
    gy.par_chunks_mut(block).zip(y.par_chunks(block)).for_each(|(gy, y)| {
        with_activation!(activation, derivative, |f| vectorised(
            #[inline(always)]
            || {
                for (gy, &y) in gy.iter_mut().zip(y) {
                    *gy *= f(y);
                }
            }
        ));
    });
}

/// Σ over rows, per channel.
pub(crate) fn channel_sums(x: &[f32], channels: usize) -> Vec<f32> {
    let [sums] = sum_blocks(x.len() / channels, channels, |start, count, [sums]| {
        vectorised(
            #[inline(always)]
            || {
                for row in x[start * channels..][..count * channels].chunks_exact(channels) {
                    for (sum, &v) in sums.iter_mut().zip(row) {
                        *sum += v;
                    }
                }
            },
        );
    });
    to_f32(&sums)
}

/// Gradients of batch norm + activation in training (statistics of the batch itself). With x̂ = (x − mean)/σ,
/// y = f(γ x̂ + β), g = gy · f′(y) and n rows: `gβ = Σ g`, `gγ = Σ g x̂`, `gx = γ/σ (g − gβ/n − x̂ gγ/n)`.
///
/// y is computed again from x: that is cheaper than reading it from memory.
#[allow(clippy::too_many_arguments)]
pub(crate) fn batch_norm_backward(
    x: &[f32],
    gy: &[f32],
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    variance: &[f32],
    epsilon: f32,
    activation: Activation,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let channels = gamma.len();
    let n = (x.len() / channels) as f64;
    let (scale, shift) = normalisation(gamma, beta, mean, variance, epsilon);
    let (scale, shift) = (scale.as_slice(), shift.as_slice());
    let [g_x, g_one] = sum_blocks(x.len() / channels, channels, |start, count, [with_x, alone]| {
        let range = start * channels..(start + count) * channels;
        let (x, gy) = (&x[range.clone()], &gy[range]);
        with_activation!(activation, slope_at, |f| vectorised(
            #[inline(always)]
            || {
                for (x, gy) in x.chunks_exact(channels).zip(gy.chunks_exact(channels)) {
                    let sums = with_x.iter_mut().zip(alone.iter_mut());
                    for (((((s, t), &x), &gy), &a), &b) in sums.zip(x).zip(gy).zip(scale).zip(shift) {
                        let g = gy * f(x * a + b);
                        *s += g * x;
                        *t += g;
                    }
                }
            }
        ));
    });
    let mut g_gamma = vec![0.0; channels];
    // gx = g · scale − x · slope − offset with per-channel constants.
    let (mut slope, mut offset) = (vec![0.0; channels], vec![0.0; channels]);
    for i in 0..channels {
        let inverse = 1.0 / (f64::from(variance[i]) + f64::from(epsilon)).sqrt();
        let mean = f64::from(mean[i]);
        let dot = (g_x[i] - mean * g_one[i]) * inverse;
        let scale = f64::from(gamma[i]) * inverse;
        let slope_of_x = scale * inverse * dot / n;
        g_gamma[i] = dot as f32;
        slope[i] = slope_of_x as f32;
        offset[i] = (scale * g_one[i] / n - slope_of_x * mean) as f32;
    }
    let (slope, offset) = (slope.as_slice(), offset.as_slice());
    let block = block_rows(channels) * channels;
    let gx = filled(x.len(), |gx| {
        let blocks = gx.par_chunks_mut(block).zip(x.par_chunks(block)).zip(gy.par_chunks(block));
        blocks.for_each(|((gx, x), gy)| {
            with_activation!(activation, slope_at, |f| vectorised(
                #[inline(always)]
                || {
                    let rows =
                        gx.chunks_exact_mut(channels).zip(x.chunks_exact(channels)).zip(gy.chunks_exact(channels));
                    for ((gx, x), gy) in rows {
                        let channels = scale.iter().zip(shift).zip(slope).zip(offset);
                        for (((gx, &x), &gy), (((&a, &b), &slope), &offset)) in
                            gx.iter_mut().zip(x).zip(gy).zip(channels)
                        {
                            gx.write(gy * f(x * a + b) * a - x * slope - offset);
                        }
                    }
                }
            ));
        });
    });
    (gx, g_gamma, to_f32(&g_one))
}

/// Per channel, with g = gy · f′(y): [Σ g · x, Σ g].
fn affine_sums(x: &[f32], y: &[f32], gy: &[f32], channels: usize, activation: Activation) -> [Vec<f64>; 2] {
    sum_blocks(x.len() / channels, channels, |start, count, [with_x, alone]| {
        let range = start * channels..(start + count) * channels;
        let (x, y, gy) = (&x[range.clone()], &y[range.clone()], &gy[range]);
        with_activation!(activation, derivative, |f| vectorised(
            #[inline(always)]
            || {
                let rows = x.chunks_exact(channels).zip(y.chunks_exact(channels)).zip(gy.chunks_exact(channels));
                for ((x, y), gy) in rows {
                    for ((((s, t), &x), &y), &gy) in with_x.iter_mut().zip(alone.iter_mut()).zip(x).zip(y).zip(gy) {
                        let g = gy * f(y);
                        *s += g * x;
                        *t += g;
                    }
                }
            }
        ));
    })
}

fn to_f32(sums: &[f64]) -> Vec<f32> {
    sums.iter().map(|&v| v as f32).collect()
}
