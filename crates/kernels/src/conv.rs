//! Convolution in NHWC on slices: forward, input gradient (= transposed convolution) and weight gradient.
//!
//! All three are tiled im2col + GEMM: a tile of pixels is unrolled into a matrix that stays in the second-level cache,
//! multiplied, and written. Layouts: activations `[batch, height, width, channel]`, weights `[kh, kw, c_in, c_out]`.

use crate::matmul::{Matrix, matmul};
use crate::simd::with_scratch;
use rayon::prelude::*;

/// Floats of an unrolled tile: 384 KB, so that it and its product share a 1 MB second-level cache.
const TILE_FLOATS: usize = 96 * 1024;

/// Sizes of one convolution `[batch, height, width, c_in] → [batch, out_height, out_width, c_out]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConvShape {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub c_in: usize,
    pub out_height: usize,
    pub out_width: usize,
    pub c_out: usize,
    pub kernel: [usize; 2],
    pub stride: usize,
    pub padding: usize,
}

impl ConvShape {
    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Copies the receptive field of output pixel (`oh`, `ow`) of picture `b`, kernel rows `rows`, into `patch`
    /// (`[rows, kw, c_in]`); what lies outside the picture is zero.
    fn unroll(&self, x: &[f32], b: usize, oh: usize, ow: usize, rows: std::ops::Range<usize>, patch: &mut [f32]) {
        let row_floats = self.kernel[1] * self.c_in;
        let (before, taps) = clip(ow * self.stride, self.padding, self.kernel[1], self.width);
        let first = (ow * self.stride + before).wrapping_sub(self.padding);
        for (row, out) in rows.zip(patch.chunks_exact_mut(row_floats)) {
            let ih = (oh * self.stride + row).wrapping_sub(self.padding);
            if ih >= self.height || taps == 0 {
                out.fill(0.0);
                continue;
            }
            let source = ((b * self.height + ih) * self.width + first) * self.c_in;
            fill_row(out, before * self.c_in, &x[source..source + taps * self.c_in]);
        }
    }
}

/// Of `count` taps starting at `start - padding`, how many fall before 0 and how many inside `0..size`.
fn clip(start: usize, padding: usize, count: usize, size: usize) -> (usize, usize) {
    let before = padding.saturating_sub(start).min(count);
    let end = (size + padding).saturating_sub(start).min(count);
    (before, end.saturating_sub(before))
}

/// `y[b, oh, ow, :] = Σ_(i, j) x[b, oh·s + i − p, ow·s + j − p, :] · w[i, j, :, :]`.
pub(crate) fn forward(x: &[f32], w: &[f32], s: &ConvShape) -> Vec<f32> {
    let k = s.taps() * s.c_in;
    let pixels = s.batch * s.out_height * s.out_width;
    let mut y = vec![0.0; pixels * s.c_out];
    let tile = tile_rows(k);
    y.par_chunks_mut(tile * s.c_out).enumerate().for_each(|(t, y_tile)| {
        let rows = y_tile.len() / s.c_out;
        with_scratch(rows * k, |patches| {
            for (r, patch) in patches.chunks_exact_mut(k).enumerate() {
                let pixel = t * tile + r;
                let (b, oh, ow) = split(pixel, s.out_height, s.out_width);
                s.unroll(x, b, oh, ow, 0..s.kernel[0], patch);
            }
            matmul(y_tile, s.c_out, Matrix::new(patches, rows, k), Matrix::new(w, k, s.c_out), false);
        });
    });
    y
}

/// `gw[i, j, :, :] = Σ_(b, oh, ow) x[b, oh·s + i − p, ow·s + j − p, :]ᵀ · gy[b, oh, ow, :]`.
///
/// Cut by kernel row (and by output channel where there are few rows), so no two tasks share a sum.
pub(crate) fn weight_grad(x: &[f32], gy: &[f32], s: &ConvShape) -> Vec<f32> {
    let row_floats = s.kernel[1] * s.c_in;
    let pixels = s.batch * s.out_height * s.out_width;
    let tile = tile_rows(row_floats);
    let cuts = if s.kernel[0] >= 3 { 1 } else { 4.min(s.c_out.div_ceil(16)) };
    let columns = s.c_out.div_ceil(cuts);
    let tasks: Vec<(usize, usize)> =
        (0..s.kernel[0]).flat_map(|i| (0..s.c_out).step_by(columns).map(move |c| (i, c))).collect();
    let parts: Vec<Vec<f32>> = tasks
        .par_iter()
        .map(|&(i, column)| {
            let width = columns.min(s.c_out - column);
            let mut part = vec![0.0; row_floats * width];
            for start in (0..pixels).step_by(tile) {
                let rows = tile.min(pixels - start);
                with_scratch(rows * row_floats, |patches| {
                    for (r, patch) in patches.chunks_exact_mut(row_floats).enumerate() {
                        let (b, oh, ow) = split(start + r, s.out_height, s.out_width);
                        s.unroll(x, b, oh, ow, i..i + 1, patch);
                    }
                    let gradient = Matrix {
                        data: &gy[start * s.c_out + column..],
                        rows,
                        columns: width,
                        row_stride: s.c_out,
                        column_stride: 1,
                    };
                    matmul(&mut part, width, Matrix::new(patches, rows, row_floats).transposed(), gradient, start > 0);
                });
            }
            part
        })
        .collect();
    let mut gw = vec![0.0; s.taps() * s.c_in * s.c_out];
    for (&(i, column), part) in tasks.iter().zip(&parts) {
        let width = columns.min(s.c_out - column);
        for (r, row) in part.chunks_exact(width).enumerate() {
            let at = (i * row_floats + r) * s.c_out + column;
            gw[at..at + width].copy_from_slice(row);
        }
    }
    gw
}

/// One axis of one phase of a strided transposed convolution: the kernel taps that reach input positions `≡ phase`.
struct Phase {
    /// First tap: `(phase + padding) mod stride`; the others follow at distance `stride`.
    first: usize,
    /// Number of taps.
    count: usize,
}

impl Phase {
    fn new(phase: usize, kernel: usize, stride: usize, padding: usize) -> Self {
        let first = (phase + padding) % stride;
        Self { first, count: if first < kernel { (kernel - first).div_ceil(stride) } else { 0 } }
    }

    /// Output positions read by input position `h`, in rising order: `start - padding .. start - padding + count`
    /// with `padding = count - 1`, in the terms of [`clip`].
    fn start(&self, h: usize, stride: usize, padding: usize) -> usize {
        (h + padding - self.first) / stride
    }
}

/// `gx[b, h, w, :] = Σ gy[b, oh, ow, :] · w[i, j, :, :]ᵀ` over all `oh·s + i − p = h`, `ow·s + j − p = w`.
///
/// A stride of s splits the input pixels into s² phases; within one phase it is a plain convolution of `gy` with the taps
/// of that phase, so nothing is scattered and no zero is multiplied.
pub(crate) fn input_grad(gy: &[f32], w: &[f32], s: &ConvShape) -> Vec<f32> {
    let phases: Vec<(Phase, Phase, Vec<f32>)> = (0..s.stride * s.stride)
        .map(|phase| {
            let vertical = Phase::new(phase / s.stride, s.kernel[0], s.stride, s.padding);
            let horizontal = Phase::new(phase % s.stride, s.kernel[1], s.stride, s.padding);
            let weights = phase_weights(w, s, &vertical, &horizontal);
            (vertical, horizontal, weights)
        })
        .collect();
    let most_taps = phases.iter().map(|(v, h, _)| v.count * h.count).max().unwrap_or(0);
    if most_taps == 0 || s.c_in == 0 {
        return vec![0.0; s.batch * s.height * s.width * s.c_in];
    }
    // A tile is a run of whole picture rows, across pictures when they are small; one GEMM per phase and tile.
    let rows_of_a_phase = tile_rows(most_taps * s.c_out);
    let tile = (rows_of_a_phase * s.stride * s.stride).div_ceil(s.width).next_multiple_of(s.stride);
    let mut gx = vec![0.0; s.batch * s.height * s.width * s.c_in];
    gx.par_chunks_mut(tile * s.width * s.c_in).enumerate().for_each(|(t, gx_tile)| {
        let picture_rows = gx_tile.len() / (s.width * s.c_in);
        for (phase, (vertical, horizontal, weights)) in phases.iter().enumerate() {
            let k = vertical.count * horizontal.count * s.c_out;
            if k == 0 {
                continue; // gx is zero there already
            }
            let (down, across) = (phase / s.stride, phase % s.stride);
            let of_phase = |row: &usize| (t * tile + row) % s.height % s.stride == down;
            let columns = (across..s.width).step_by(s.stride);
            let rows: Vec<usize> = (0..picture_rows).filter(of_phase).collect();
            let pixels = rows.len() * columns.len();
            with_scratch(pixels * (k + s.c_in), |scratch| {
                let (patches, product) = scratch.split_at_mut(pixels * k);
                let mut patch = patches.chunks_exact_mut(k);
                for &row in &rows {
                    let (b, h) = ((t * tile + row) / s.height, (t * tile + row) % s.height);
                    for x in columns.clone() {
                        unroll_phase(gy, s, b, h, x, vertical, horizontal, patch.next().expect("a patch a pixel"));
                    }
                }
                matmul(product, s.c_in, Matrix::new(patches, pixels, k), Matrix::new(weights, k, s.c_in), false);
                let mut pixel = product.chunks_exact(s.c_in);
                for &row in &rows {
                    for x in columns.clone() {
                        let at = (row * s.width + x) * s.c_in;
                        gx_tile[at..at + s.c_in].copy_from_slice(pixel.next().expect("a product a pixel"));
                    }
                }
            });
        }
    });
    gx
}

/// The weights of one phase as a `[taps · c_out, c_in]` matrix, taps in the order in which [`unroll_phase`] reads `gy`.
fn phase_weights(w: &[f32], s: &ConvShape, vertical: &Phase, horizontal: &Phase) -> Vec<f32> {
    let mut weights = Vec::with_capacity(vertical.count * horizontal.count * s.c_out * s.c_in);
    for i in (0..vertical.count).rev().map(|t| vertical.first + t * s.stride) {
        for j in (0..horizontal.count).rev().map(|t| horizontal.first + t * s.stride) {
            let tap = &w[(i * s.kernel[1] + j) * s.c_in * s.c_out..][..s.c_in * s.c_out];
            for o in 0..s.c_out {
                weights.extend((0..s.c_in).map(|c| tap[c * s.c_out + o]));
            }
        }
    }
    weights
}

/// The output pixels that input pixel (`h`, `x`) of picture `b` took part in, `[taps, c_out]`; outside is zero.
#[allow(clippy::too_many_arguments)]
fn unroll_phase(gy: &[f32], s: &ConvShape, b: usize, h: usize, x: usize, v: &Phase, u: &Phase, patch: &mut [f32]) {
    let row_floats = u.count * s.c_out;
    let left = u.start(x, s.stride, s.padding);
    let (before, taps) = clip(left, u.count - 1, u.count, s.out_width);
    let first = (left + before).wrapping_sub(u.count - 1);
    let top = v.start(h, s.stride, s.padding);
    for (t, out) in patch.chunks_exact_mut(row_floats).enumerate() {
        let oh = (top + t).wrapping_sub(v.count - 1);
        if oh >= s.out_height || taps == 0 {
            out.fill(0.0);
            continue;
        }
        let source = ((b * s.out_height + oh) * s.out_width + first) * s.c_out;
        fill_row(out, before * s.c_out, &gy[source..source + taps * s.c_out]);
    }
}

/// Writes `pixels` into one row of a patch, `before` floats from its start, and zeros around them.
fn fill_row(row: &mut [f32], before: usize, pixels: &[f32]) {
    let end = before + pixels.len();
    row[..before].fill(0.0);
    row[before..end].copy_from_slice(pixels);
    row[end..].fill(0.0);
}

/// Rows of an unrolled tile whose rows have `k` floats.
fn tile_rows(k: usize) -> usize {
    (TILE_FLOATS / k.max(1)).clamp(16, 8192)
}

/// Pixel number → (picture, row, column).
fn split(pixel: usize, height: usize, width: usize) -> (usize, usize, usize) {
    (pixel / (height * width), pixel / width % height, pixel % width)
}
