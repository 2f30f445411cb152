//! Resizing of pictures: a small matrix for the rows and one for the columns, of which only the taps that are not zero are
//! multiplied. The gradient is the same with both matrices transposed.

use crate::simd::vectorised;
use rayon::prelude::*;

/// How pictures are resized. Pixel `o` of `n` is looked for at `(o + ½) · size / n − ½`, which PyTorch calls
/// `align_corners=False`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// The two nearest pixels, also when the picture shrinks: PyTorch's `bilinear`.
    Bilinear,
    /// A triangle that is widened when the picture shrinks: Pillow's `BILINEAR`, PyTorch's `bilinear` with `antialias=True`.
    Triangle,
    /// Keys' cubic (1981) with a = −½, widened when the picture shrinks: Pillow's `BICUBIC`, PyTorch's `bicubic` with
    /// `antialias=True`.
    Bicubic,
}

impl Filter {
    /// Half the width of the kernel.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear | Self::Triangle => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn kernel(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Self::Bilinear | Self::Triangle => (1.0 - x).max(0.0),
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            Self::Bicubic => 0.0,
        }
    }
}

/// One row of a resizing matrix: its first column that is not zero, and the weights from there on.
#[derive(Debug, Clone, PartialEq)]
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// The rows of the matrix that maps `from` pixels to `to`. Taps outside are left out, and the others add up to 1.
fn taps(from: usize, to: usize, filter: Filter) -> Vec<Taps> {
    let step = from as f64 / to as f64;
    let scale = if filter == Filter::Bilinear { 1.0 } else { step.max(1.0) };
    let support = filter.support() * scale;
    (0..to)
        .map(|o| {
            let centre = (o as f64 + 0.5) * step;
            // Pillow's rounding.
            let first = ((centre - support + 0.5).max(0.0) as usize).min(from - 1);
            let last = ((centre + support + 0.5) as usize).clamp(first + 1, from);
            let weights: Vec<f64> = (first..last).map(|i| filter.kernel((i as f64 + 0.5 - centre) / scale)).collect();
            let sum: f64 = weights.iter().sum();
            Taps { first, weights: weights.iter().map(|w| (w / sum) as f32).collect() }
        })
        .collect()
}

/// The rows of the transposed matrix, which has `columns` of them.
fn transposed(rows: &[Taps], columns: usize) -> Vec<Taps> {
    (0..columns)
        .map(|column| {
            let weight = |row: &Taps| column.checked_sub(row.first).and_then(|i| row.weights.get(i)).copied();
            let meets = |row: &Taps| weight(row).is_some();
            let first = rows.iter().position(meets).unwrap_or(0);
            let last = rows.iter().rposition(meets).map_or(0, |i| i + 1);
            Taps { first, weights: rows[first..last].iter().map(|row| weight(row).unwrap_or(0.0)).collect() }
        })
        .collect()
}

/// The matrix `[to, from]` itself.
pub(crate) fn matrix(from: usize, to: usize, filter: Filter) -> Vec<f32> {
    let mut matrix = vec![0.0; from * to];
    for (row, taps) in matrix.chunks_exact_mut(from).zip(taps(from, to, filter)) {
        row[taps.first..taps.first + taps.weights.len()].copy_from_slice(&taps.weights);
    }
    matrix
}

/// `[batch, height, width, channels]` → `[batch, size[0], size[1], channels]`.
pub(crate) fn forward(x: &[f32], from: [usize; 4], size: [usize; 2], filter: Filter) -> Vec<f32> {
    mix(x, from, [0, 1].map(|axis| taps(from[axis + 1], size[axis], filter)))
}

/// The adjoint of [`forward`]: gradients of its results, `gy [batch, ..]` of shape `from`, to gradients of pictures of `size`.
pub(crate) fn backward(gy: &[f32], from: [usize; 4], size: [usize; 2], filter: Filter) -> Vec<f32> {
    mix(gy, from, [0, 1].map(|axis| transposed(&taps(size[axis], from[axis + 1], filter), size[axis])))
}

/// Applies one matrix to the rows and one to the columns of every picture, a picture a task.
fn mix(x: &[f32], [_, height, width, channels]: [usize; 4], [vertical, horizontal]: [Vec<Taps>; 2]) -> Vec<f32> {
    let row = width * channels;
    let (tall, wide) = (vertical.len(), horizontal.len() * channels);
    let picture = (height * row).max(1);
    let mut y = vec![0.0f32; x.len() / picture * tall * wide];
    y.par_chunks_mut((tall * wide).max(1)).zip(x.par_chunks(picture)).for_each(|(y, x)| {
        let mut mixed = vec![0.0f32; row];
        for (y, down) in y.chunks_exact_mut(wide).zip(&vertical) {
            mixed.fill(0.0);
            vectorised(
                #[inline(always)]
                || {
                    for (source, &weight) in x[down.first * row..].chunks_exact(row).zip(&down.weights) {
                        for (sum, &value) in mixed.iter_mut().zip(source) {
                            *sum += weight * value;
                        }
                    }
                },
            );
            for (y, across) in y.chunks_exact_mut(channels).zip(&horizontal) {
                for (source, &weight) in mixed[across.first * channels..].chunks_exact(channels).zip(&across.weights) {
                    for (sum, &value) in y.iter_mut().zip(source) {
                        *sum += weight * value;
                    }
                }
            }
        }
    });
    y
}
