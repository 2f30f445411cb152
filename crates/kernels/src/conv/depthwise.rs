//! Depthwise convolution in NHWC: every channel is convolved with its own kernel. Forward pass, input gradient and weight
//! gradient.
//!
//! Forward pass and input gradient are one routine: the input gradient is, for each phase of the stride, a correlation of
//! the output gradient with every stride-th tap of the turned kernel. It computes a few neighbouring pixels of one vector
//! of channels at once, so that a pixel that is loaded serves all taps of a kernel row. Work is cut into runs of rows
//! whose number follows from the shape; every sum has a fixed order.

use crate::simd::filled;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Sizes of one depthwise convolution `[batch, height, width, channels] → [batch, out_height, out_width, channels]` with
/// weights `[kh, kw, channels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DepthwiseShape {
    pub batch: usize,
    pub input: [usize; 2],
    pub output: [usize; 2],
    pub channels: usize,
    pub kernel: [usize; 2],
    pub stride: usize,
    /// Rows of zeros above the input, columns left of it.
    pub before: [usize; 2],
}

impl DepthwiseShape {
    fn inputs(&self) -> usize {
        self.batch * self.input[0] * self.input[1] * self.channels
    }

    fn outputs(&self) -> usize {
        self.batch * self.output[0] * self.output[1] * self.channels
    }

    fn weights(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.channels
    }
}

/// Floats of the result that one task computes, at least a row.
const TASK_FLOATS: usize = 32 * 1024;
/// Parts that the rows of a weight gradient are cut into, at most.
const PARTS: usize = 32;

/// `y[b, oh, ow, c] = Σ_(i, j) x[b, oh·s + i − top, ow·s + j − left, c] · w[i, j, c]`.
pub(crate) fn forward(x: &[f32], w: &[f32], s: &DepthwiseShape) -> Vec<f32> {
    assert!(x.len() == s.inputs() && w.len() == s.weights(), "a depthwise convolution's tensors have other sizes");
    let [top, left] = s.before.map(|n| n as isize);
    let phase = Correlation { weights: w, kernel: s.kernel, stride: s.stride, before: [top, left] };
    correlate(x, s.input, s.output, s.channels, 1, &[phase])
}

/// `gx[b, h, w, c] = Σ gy[b, oh, ow, c] · w[i, j, c]` over all `oh·s + i − top = h`, `ow·s + j − left = w`.
pub(crate) fn input_grad(gy: &[f32], w: &[f32], s: &DepthwiseShape) -> Vec<f32> {
    assert!(gy.len() == s.outputs() && w.len() == s.weights(), "a depthwise convolution's tensors have other sizes");
    let turned: Vec<(Vec<f32>, [Phase; 2])> = (0..s.stride * s.stride)
        .map(|phase| {
            let at = [phase / s.stride, phase % s.stride];
            let axes = [0, 1].map(|axis| Phase::new(at[axis], s.kernel[axis], s.stride, s.before[axis]));
            let taps = axes[0].taps(s.stride).flat_map(|i| axes[1].taps(s.stride).map(move |j| (i, j)));
            let weights = taps.flat_map(|(i, j)| &w[(i * s.kernel[1] + j) * s.channels..][..s.channels]);
            (weights.copied().collect(), axes)
        })
        .collect();
    let phases: Vec<Correlation> = turned
        .iter()
        .map(|(weights, [down, across])| Correlation {
            weights,
            kernel: [down.count, across.count],
            stride: 1,
            before: [down.before, across.before],
        })
        .collect();
    correlate(gy, s.output, s.input, s.channels, s.stride, &phases)
}

/// The taps of one axis that reach every stride-th input pixel.
#[derive(Debug, Clone, Copy)]
struct Phase {
    first: usize,
    count: usize,
    /// Pixel `t` of the phase gathers output pixels from `t − before` on.
    before: isize,
}

impl Phase {
    /// Of input pixels `at`, `at + stride`, …: tap i takes part where `(at + padding − i)` is a multiple of the stride.
    fn new(at: usize, kernel: usize, stride: usize, padding: usize) -> Self {
        let first = (at + padding) % stride;
        let count = kernel.saturating_sub(first).div_ceil(stride);
        Self { first, count, before: count as isize - 1 - ((at + padding) / stride) as isize }
    }

    /// The last tap meets the first output pixel.
    fn taps(self, stride: usize) -> impl Iterator<Item = usize> {
        (0..self.count).rev().map(move |i| self.first + i * stride)
    }
}

/// Result pixel t of its phase: `Σ_(i, j) source[t · stride + (i, j) − before] · weights[i, j]`, zero outside.
#[derive(Debug, Clone, Copy)]
struct Correlation<'a> {
    /// `[kernel[0], kernel[1], channels]`
    weights: &'a [f32],
    kernel: [usize; 2],
    stride: usize,
    before: [isize; 2],
}

/// Computes `[batch, result[0], result[1], channels]`, pixel (h, w) by phase `(h % step, w % step)`.
fn correlate(
    source: &[f32],
    from: [usize; 2],
    result: [usize; 2],
    channels: usize,
    step: usize,
    phases: &[Correlation],
) -> Vec<f32> {
    let (picture, row) = (from[0] * from[1] * channels, result[1] * channels);
    let total: usize = source.len().checked_div(picture).unwrap_or(0) * result[0] * row;
    let rows = (TASK_FLOATS / row.max(1)).max(1);
    let zeros = vec![0.0; channels];
    filled(total, |out| {
        out.par_chunks_mut((rows * row).max(1)).enumerate().for_each(|(task, out)| {
            for (r, out) in out.chunks_exact_mut(row).enumerate() {
                let (b, h) = ((task * rows + r) / result[0], (task * rows + r) % result[0]);
                let picture = &source[b * picture..(b + 1) * picture];
                for across in 0..step.min(result[1]) {
                    let phase = &phases[h % step * step + across];
                    let at = ResultRow { row: h / step, first: across, step, width: result[1] };
                    pulp::Arch::new().dispatch(CorrelateRow { picture, from, channels, phase, zeros: &zeros, at, out });
                }
            }
        });
    })
}

/// Which pixels of a result a phase has in one row: `first`, `first + step`, … below `width`, in row `row` of the phase.
#[derive(Debug, Clone, Copy)]
struct ResultRow {
    row: usize,
    first: usize,
    step: usize,
    width: usize,
}

struct CorrelateRow<'a> {
    picture: &'a [f32],
    from: [usize; 2],
    channels: usize,
    phase: &'a Correlation<'a>,
    /// A pixel outside the picture.
    zeros: &'a [f32],
    at: ResultRow,
    out: &'a mut [MaybeUninit<f32>],
}

impl WithSimd for CorrelateRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Pixels at once: few in small pictures, where most of a block would be thrown away.
        match (self.phase.kernel[1], self.phase.stride, self.pixels()) {
            (1, 1, _) => self.run::<S, 1, 1, 4, 4>(simd),
            (2, 1, 0..=2) => self.run::<S, 2, 1, 2, 3>(simd),
            (2, 1, 3..=4) => self.run::<S, 2, 1, 4, 5>(simd),
            (2, 1, _) => self.run::<S, 2, 1, 8, 9>(simd),
            (3, 1, 0..=2) => self.run::<S, 3, 1, 2, 4>(simd),
            (3, 1, 3..=4) => self.run::<S, 3, 1, 4, 6>(simd),
            (3, 1, _) => self.run::<S, 3, 1, 8, 10>(simd),
            (5, 1, 0..=2) => self.run::<S, 5, 1, 2, 6>(simd),
            (5, 1, 3..=4) => self.run::<S, 5, 1, 4, 8>(simd),
            (5, 1, _) => self.run::<S, 5, 1, 8, 12>(simd),
            (3, 2, 0..=2) => self.run::<S, 3, 2, 2, 5>(simd),
            (3, 2, _) => self.run::<S, 3, 2, 4, 9>(simd),
            (5, 2, 0..=2) => self.run::<S, 5, 2, 2, 7>(simd),
            (5, 2, _) => self.run::<S, 5, 2, 4, 11>(simd),
            _ => self.any_kernel(),
        }
    }
}

impl CorrelateRow<'_> {
    /// How many pixels of the row are of this phase.
    fn pixels(&self) -> usize {
        (self.at.width - self.at.first).div_ceil(self.at.step)
    }

    /// Source row of kernel row i, where it lies inside the picture.
    #[inline(always)]
    fn source_row(&self, i: usize) -> Option<&[f32]> {
        let row = (self.at.row * self.phase.stride + i) as isize - self.phase.before[0];
        let floats = self.from[1] * self.channels;
        (0..self.from[0] as isize).contains(&row).then(|| &self.picture[row as usize * floats..][..floats])
    }

    /// Source column of tap j of pixel `t` of the phase, where it lies inside the picture.
    #[inline(always)]
    fn source_column(&self, t: usize, j: usize) -> Option<usize> {
        let column = (t * self.phase.stride + j) as isize - self.phase.before[1];
        (0..self.from[1] as isize).contains(&column).then_some(column as usize)
    }

    /// Kernels that are K wide, R pixels of `S::F32_LANES` channels at once; N = (R − 1) · STRIDE + K.
    #[inline(always)]
    fn run<S: Simd, const K: usize, const STRIDE: usize, const R: usize, const N: usize>(mut self, simd: S) {
        const { assert!(N == (R - 1) * STRIDE + K) };
        let channels = self.channels;
        let vectors = channels / S::F32_LANES * S::F32_LANES;
        let count = self.pixels();
        let kernel_rows = self.phase.kernel[0];
        // Per kernel row that meets the picture: its weights, and where the N source pixels of a block lie.
        let mut rows: Vec<(*const f32, [*const f32; N])> = Vec::with_capacity(kernel_rows);
        for start in (0..count).step_by(R) {
            let pixels = R.min(count - start);
            rows.clear();
            for i in 0..kernel_rows {
                let Some(source) = self.source_row(i) else { continue };
                let pixel = |q| match self.source_column(start, q) {
                    Some(column) => source[column * channels..][..channels].as_ptr(),
                    None => self.zeros.as_ptr(),
                };
                let weights = self.phase.weights[i * K * channels..][..K * channels].as_ptr();
                rows.push((weights, std::array::from_fn(pixel)));
            }
            for c in (0..vectors).step_by(S::F32_LANES) {
                let mut sums = [simd.splat_f32s(0.0); R];
                for (weights, sources) in &rows {
                    // SAFETY: each pointer is to `channels` floats (K times as many for the weights), and c + F32_LANES
                    // is at most `channels`; `S::f32s` is plain floats.
                    let load = |from: *const f32| unsafe { from.add(c).cast::<S::f32s>().read_unaligned() };
                    let taps: [S::f32s; K] = std::array::from_fn(|j| load(weights.wrapping_add(j * channels)));
                    let sources: [S::f32s; N] = std::array::from_fn(|q| load(sources[q]));
                    for (r, sum) in sums.iter_mut().enumerate() {
                        for (j, &tap) in taps.iter().enumerate() {
                            *sum = simd.mul_add_e_f32s(tap, sources[r * STRIDE + j], *sum);
                        }
                    }
                }
                for (r, &sum) in sums.iter().enumerate().take(pixels) {
                    let column = self.at.first + (start + r) * self.at.step;
                    let out = &mut self.out[column * channels + c..][..S::F32_LANES];
                    // SAFETY: `out` has room for the vector.
                    unsafe { out.as_mut_ptr().cast::<S::f32s>().write_unaligned(sum) };
                }
            }
            for t in start..start + pixels {
                self.pixel(t, vectors);
            }
        }
    }

    /// Any kernel, a channel at a time.
    fn any_kernel(mut self) {
        for t in 0..self.pixels() {
            self.pixel(t, 0);
        }
    }

    /// The channels from `first_channel` on of pixel `t`.
    #[inline(always)]
    fn pixel(&mut self, t: usize, first_channel: usize) {
        let [kernel_rows, kernel_columns] = self.phase.kernel;
        let column = self.at.first + t * self.at.step;
        for c in first_channel..self.channels {
            let mut sum = 0.0f32;
            for i in 0..kernel_rows {
                let Some(source) = self.source_row(i) else { continue };
                for j in 0..kernel_columns {
                    let weight = self.phase.weights[(i * kernel_columns + j) * self.channels + c];
                    if let Some(column) = self.source_column(t, j) {
                        sum += weight * source[column * self.channels + c];
                    }
                }
            }
            self.out[column * self.channels + c].write(sum);
        }
    }
}

/// `gw[i, j, c] = Σ_(b, oh, ow) x[b, oh·s + i − top, ow·s + j − left, c] · gy[b, oh, ow, c]`.
pub(crate) fn weight_grad(x: &[f32], gy: &[f32], s: &DepthwiseShape) -> Vec<f32> {
    assert!(x.len() == s.inputs() && gy.len() == s.outputs(), "a depthwise convolution's tensors have other sizes");
    let rows = s.batch * s.output[0];
    let step = rows.div_ceil(PARTS).max(1);
    let parts: Vec<Vec<f32>> = (0..rows.div_ceil(step))
        .into_par_iter()
        .map(|part| {
            let mut sums = vec![0.0; s.weights()];
            for row in part * step..rows.min((part + 1) * step) {
                add_row(x, gy, s, row, &mut sums);
            }
            sums
        })
        .collect();
    let mut total = vec![0.0f64; s.weights()];
    for part in &parts {
        for (total, &part) in total.iter_mut().zip(part) {
            *total += f64::from(part);
        }
    }
    total.into_iter().map(|v| v as f32).collect()
}

/// Adds what one row of output pixels contributes to the weight gradient.
fn add_row(x: &[f32], gy: &[f32], s: &DepthwiseShape, row: usize, sums: &mut [f32]) {
    let (b, oh) = (row / s.output[0], row % s.output[0]);
    let gy = &gy[row * s.output[1] * s.channels..][..s.output[1] * s.channels];
    for i in 0..s.kernel[0] {
        let h = (oh * s.stride + i).wrapping_sub(s.before[0]);
        if h >= s.input[0] {
            continue;
        }
        let x = &x[(b * s.input[0] + h) * s.input[1] * s.channels..][..s.input[1] * s.channels];
        for j in 0..s.kernel[1] {
            let sums = &mut sums[(i * s.kernel[1] + j) * s.channels..][..s.channels];
            // Output pixels whose tap j lies inside the picture.
            let first = s.before[1].saturating_sub(j).div_ceil(s.stride);
            let last = (s.input[1] + s.before[1]).saturating_sub(j).div_ceil(s.stride).min(s.output[1]);
            pulp::Arch::new().dispatch(AddTap { x, gy, s, offset: j, pixels: first..last.max(first), sums });
        }
    }
}

struct AddTap<'a> {
    x: &'a [f32],
    gy: &'a [f32],
    s: &'a DepthwiseShape,
    offset: usize,
    pixels: std::ops::Range<usize>,
    sums: &'a mut [f32],
}

impl WithSimd for AddTap<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, gy, s, offset, pixels, sums } = self;
        let channels = s.channels;
        let column = |ow: usize| ow * s.stride + offset - s.before[1];
        if pixels.is_empty() {
            return;
        }
        assert!(gy.len() >= pixels.end * channels && x.len() >= (column(pixels.end - 1) + 1) * channels);
        /// Vectors of channels that are summed at once: the additions of one would wait for each other.
        const VECTORS: usize = 4;
        let mut c = 0;
        while c + S::F32_LANES <= channels {
            let vectors = ((channels - c) / S::F32_LANES).min(VECTORS);
            let mut totals = [simd.splat_f32s(0.0); VECTORS];
            for ow in pixels.clone() {
                for (v, total) in totals.iter_mut().enumerate().take(vectors) {
                    let at = c + v * S::F32_LANES;
                    // SAFETY: by the assertion above both pixels have `channels` floats, and at + F32_LANES is at most
                    // `channels`; `S::f32s` is plain floats.
                    let load = |from: &[f32], pixel: usize| unsafe {
                        from.as_ptr().add(pixel * channels + at).cast::<S::f32s>().read_unaligned()
                    };
                    *total = simd.mul_add_e_f32s(load(x, column(ow)), load(gy, ow), *total);
                }
            }
            for (v, &total) in totals.iter().enumerate().take(vectors) {
                let sums = &mut sums[c + v * S::F32_LANES..][..S::F32_LANES];
                let sum = simd.add_f32s(simd.partial_load_f32s(sums), total);
                simd.partial_store_f32s(sums, sum);
            }
            c += vectors * S::F32_LANES;
        }
        for (c, sum) in sums.iter_mut().enumerate().skip(c) {
            *sum += pixels.clone().map(|ow| x[column(ow) * channels + c] * gy[ow * channels + c]).sum::<f32>();
        }
    }
}
