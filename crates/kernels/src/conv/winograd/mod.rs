//! Minimal filtering: m outputs of a filter of r taps from A = m + r − 1 products instead of m·r, in both directions
//! (Winograd 1980; Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks").
//!
//! A stride of s splits pixels and kernel into s² phases; within each phase the convolution has stride 1 and r = kernel / s
//! taps. In one dimension:
//!
//! | | m = 2, r = 2 | m = 2, r = 3 | m = 4, r = 2 |
//! |---|---|---|---|
//! | input d | d0−d1, d1, d2−d1 | d0−d2, d1+d2, d2−d1, d1−d3 | 2(d0−d2)+d3−d1, 2d1+d2−d3, 3d2−2d1−d3, d3−d1, d4−d2−2(d3−d1) |
//! | filter g | g0, g0+g1, g1 | g0, ½(g0+g1+g2), ½(g0−g1+g2), g2 | ½g0, ½(g0+g1), ⅙(g0−g1), ⅙g0+⅓g1, g1 |
//! | output from products p | p0+p1, p1+p2 | p0+p1+p2, p1−p2−p3 | p0+p1+p2+p3, p1−p2+2p3, p1+p2+4p3, p1−p2+8p3+p4 |
//! | products in two dimensions | 9 for 16 | 16 for 36 | 25 for 64 |
//!
//! The third evaluates at the points 0, 1, −1, 2 and ∞. The gradients are the transposes of the same bilinear forms. With such
//! small factors results differ from the direct sum by a few rounding errors; only bf16 has none to spare for m = 4.
//!
//! Three stages, a chunk of tiles at a time: transform the input tiles; multiply, one matrix product a position of the
//! A×A grid; transform the products back. A tile is a square of m×m outputs.

mod adjoint;
mod pack;
mod transform;

use super::{CHUNK_FLOATS, ConvShape, Finish, ROW_GAP};
use crate::gemm::{LANES, Left, Order, Packed, Panel, TILE_ROWS, multiply, panel_vectors};
use crate::options::Precision;
use crate::reuse::with_filters;
use crate::simd::{filled, with_scratch};
use pack::{Axis, Filters, STEP_TILES, Source, Tiles, filters_len, pack_rows, pack_steps, steps_len, transpose};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::mem::MaybeUninit;
use transform::{Transform, filter_taps, outputs, store};

/// Tiles that one task multiplies: with a panel of filters they fit the second-level cache.
const TASK_TILES: usize = 64;
/// Rows of the weight gradient that one task sums.
const TASK_ROWS: usize = 64;
/// Elements of transformed tiles that are alive at once in the weight gradient: more, because each chunk visits all sums.
const WEIGHT_CHUNK: usize = 4 * CHUNK_FLOATS;

/// Numbers of the two transforms of filters; A is added.
const FORWARD: u32 = 0;
const BACKWARD: u32 = 8;

/// Tiles of a picture below which the filters, of which there are A² for every r² of the kernel, cost more to transform than
/// larger tiles save. A matter of the picture and not of the batch, so that a picture's bytes do not depend on its company.
const MANY_TILES: usize = 4;

/// The A for a shape: None where channels are too few to fill vectors, or the kernel is not 2 or 3 taps wide in every phase.
pub(super) fn size(s: &ConvShape, precision: Precision) -> Option<usize> {
    let [kh, kw] = s.kernel;
    let suits = !super::dense::suits(s)
        && kh == kw
        && kh.is_multiple_of(s.stride)
        && s.c_in >= LANES
        && s.c_out >= LANES
        && s.padding < kh;
    let tiles = |m: usize| s.out_height.div_ceil(m) * s.out_width.div_ceil(m);
    match kh / s.stride {
        2 if suits => {
            let large = precision == Precision::F32 && tiles(4) >= MANY_TILES && 25 * tiles(4) < 9 * tiles(2);
            Some(if large { 5 } else { 3 })
        }
        3 if suits && s.stride == 1 => Some(4),
        _ => None,
    }
}

/// The second stage: one matrix product a position of the A×A grid and task of [`TASK_TILES`] tiles.
///
/// `v` holds the transformed tiles as [`pack_rows`] leaves them, `filters` is `[panels, A·A, steps, width]`, and `p` becomes
/// `[tasks, A·A, panels, TASK_TILES, width]`.
fn products<T: Packed, const A: usize>(
    v: &[T],
    stride: usize,
    filters: &[T],
    steps: usize,
    columns: usize,
    p: &mut [f32],
) {
    let vectors = panel_vectors(columns);
    let width = vectors * LANES;
    let panels = columns.div_ceil(width);
    let group = A * A * TILE_ROWS * stride;
    p.par_chunks_mut(panels * TASK_TILES * width).enumerate().for_each(|(task, p)| {
        let (task, position) = (task / (A * A), task % (A * A));
        let first = task * TASK_TILES / TILE_ROWS;
        let tiles = (TASK_TILES / TILE_ROWS).min(v.len() / group - first);
        let left = Left {
            data: &v[first * group + position * TILE_ROWS * stride..],
            order: Order::Rows,
            stride,
            tiles,
            tile_stride: group,
            steps,
            blocks: 1,
            block_stride: 0,
        };
        for (panel, p) in p.chunks_exact_mut(TASK_TILES * width).enumerate() {
            let data = &filters[(panel * A * A + position) * steps * width..];
            multiply(&left, &Panel::dense(data, vectors), &mut p[..tiles * TILE_ROWS * width], false);
        }
    });
}

/// Where the products of a tile lie in what [`products`] writes.
#[derive(Clone, Copy)]
struct Products<'a, const A: usize> {
    data: &'a [f32],
    /// Columns of a panel, and panels.
    width: usize,
    panels: usize,
}

impl<'a, const A: usize> Products<'a, A> {
    fn new(data: &'a [f32], columns: usize) -> Self {
        let width = panel_vectors(columns) * LANES;
        Self { data, width, panels: columns.div_ceil(width) }
    }

    /// Floats for `tiles` tiles of `columns` columns.
    fn len(tiles: usize, columns: usize) -> usize {
        tiles.next_multiple_of(TASK_TILES) * A * A * columns.next_multiple_of(panel_vectors(columns) * LANES)
    }

    /// Distance from one position of the A×A grid to the next.
    #[inline(always)]
    fn stride(&self) -> usize {
        self.panels * TASK_TILES * self.width
    }

    /// A tile's vector at `column`, a multiple of the vector length, in position (0, 0). All positions can be read there.
    #[inline(always)]
    fn at(&self, tile: usize, column: usize) -> *const f32 {
        let (task, row) = (tile / TASK_TILES, tile % TASK_TILES);
        let at =
            task * A * A * self.stride() + (column / self.width * TASK_TILES + row) * self.width + column % self.width;
        // A vector may be shorter than LANES, so that `column` lies inside of them.
        self.data[at..at + (A * A - 1) * self.stride() + LANES - column % LANES].as_ptr()
    }
}

/// A convolution of stride 1 over planes of a source: all of `forward`, and `input_grad` where the stride is 1.
struct Problem<'a> {
    source: Source<'a>,
    planes: &'a [[Axis; 2]],
    batch: usize,
    height: usize,
    width: usize,
    channels: usize,
}

impl Problem<'_> {
    fn solve<T: Packed, const A: usize>(&self, filters: &[T], finish: Option<Finish>) -> Vec<f32> {
        let depth = self.planes.len() * self.source.channels;
        let stride = row_stride::<T>(depth);
        let (rows, columns) = (self.height.div_ceil(outputs(A)), self.width.div_ceil(outputs(A)));
        let all = self.batch * rows;
        let tile_floats = A * A * (stride + self.channels);
        let chunk = (chunk(filters.len()) / (tile_floats * columns)).max(TASK_TILES.div_ceil(columns)).min(all);
        let most = chunk * columns;
        filled(self.batch * self.height * self.width * self.channels, |mut y| {
            with_scratch::<T, _>(A * A * most.next_multiple_of(TILE_ROWS) * stride, |v| {
                with_scratch::<f32, _>(Products::<A>::len(most, self.channels), |p| {
                    for first in (0..all).step_by(chunk) {
                        let tiles = Tiles { rows, columns, first, count: chunk.min(all - first) };
                        let v = &mut v[..A * A * tiles.len().next_multiple_of(TILE_ROWS) * stride];
                        let p = &mut p[..Products::<A>::len(tiles.len(), self.channels)];
                        pack_rows::<T, A>(&self.source, self.planes, false, &tiles, stride, v);
                        products::<T, A>(v, stride, filters, depth.div_ceil(T::STEPS), self.channels, p);
                        let products = Products::new(p, self.channels);
                        let lines = (first..first + tiles.count)
                            .map(|row| outputs(A).min(self.height - row % rows * outputs(A)));
                        let parts: Vec<_> = lines
                            .map(|lines| y.split_off_mut(..lines * self.width * self.channels).expect("all rows fit"))
                            .collect();
                        parts.into_par_iter().enumerate().for_each(|(row, out)| {
                            let (width, channels, first) = (self.width, self.channels, row * columns);
                            let unpack = Unpack::<A> { products, first, columns, out: &mut *out, width, channels };
                            pulp::Arch::new().dispatch(unpack);
                            // SAFETY: `Unpack` has written all pixels of its rows.
                            unsafe { Finish::apply(finish, out) };
                        });
                    }
                });
            });
        })
    }
}

/// The way back: products → m×m outputs, for one row of tiles.
struct Unpack<'a, const A: usize> {
    products: Products<'a, A>,
    /// First tile of the row, and tiles in it.
    first: usize,
    columns: usize,
    /// Up to m rows of pixels `[rows, width, channels]`.
    out: &'a mut [MaybeUninit<f32>],
    width: usize,
    channels: usize,
}

impl<const A: usize> WithSimd for Unpack<'_, A> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { products, first, columns, out, width, channels } = self;
        let rows = out.len() / (width * channels);
        assert_eq!(out.len(), rows * width * channels);
        for v in 0..columns {
            for c in (0..channels).step_by(S::F32_LANES) {
                let put = |i: usize, j: usize, value: S::f32s| {
                    if i < rows && outputs(A) * v + j < width {
                        let pixel = (i * width + outputs(A) * v + j) * channels;
                        // SAFETY: the pixel lies in `out`, and c < channels.
                        unsafe { store(simd, out.as_mut_ptr().add(pixel).cast(), c, channels, value) };
                    }
                };
                // SAFETY: `at` checks that all positions lie in the slice, whose rows are whole vectors.
                unsafe { Transform::<S, A>(simd).outputs(products.at(first + v, c), products.stride(), put) };
            }
        }
    }
}

/// The planes of the input: one a phase of the stride, in the order of the transformed filters.
fn input_planes<const A: usize>(s: &ConvShape) -> Vec<[Axis; 2]> {
    let axis =
        |phase: usize| Axis { start: phase as isize - s.padding as isize, tile: outputs(A) * s.stride, step: s.stride };
    (0..s.stride * s.stride).map(|phase| [axis(phase / s.stride), axis(phase % s.stride)]).collect()
}

/// Elements of transformed tiles that are alive at once. Every chunk reads all filters, so it should not be smaller than they.
fn chunk(filters_len: usize) -> usize {
    CHUNK_FLOATS.max(filters_len)
}

/// Elements from row to row of packed tiles.
fn row_stride<T: Packed>(depth: usize) -> usize {
    depth.div_ceil(T::STEPS).next_multiple_of(TILE_ROWS) + ROW_GAP
}

/// Number of tap (i, j) of one phase of the stride among all taps of the kernel.
fn tap(s: &ConvShape, phase: usize, [i, j]: [usize; 2]) -> usize {
    (phase / s.stride + i * s.stride) * s.kernel[1] + phase % s.stride + j * s.stride
}

/// See [`forward`](super::forward).
pub(super) fn forward<T: Packed, const A: usize>(
    x: &[f32],
    w: &[f32],
    s: &ConvShape,
    finish: Option<Finish>,
) -> Vec<f32> {
    let planes = input_planes::<A>(s);
    let (depth, columns) = (planes.len() * s.c_in, s.c_out);
    let row = |p: usize, column: usize, at: [usize; 2]| {
        let tap = tap(s, p / s.c_in, at) * s.c_in + p % s.c_in;
        &w[tap * s.c_out + column..][..LANES.min(s.c_out - column)]
    };
    let zeros = vec![0.0; s.c_in];
    let problem = Problem {
        source: Source { data: x, height: s.height, width: s.width, channels: s.c_in, zeros: &zeros },
        planes: &planes,
        batch: s.batch,
        height: s.out_height,
        width: s.out_width,
        channels: s.c_out,
    };
    let pack = |filters: &mut [T]| Filters { depth, columns, row }.pack::<T, A>(filters);
    with_filters(w, FORWARD + A as u32, filters_len::<T, A>(depth, columns), pack, |filters| {
        problem.solve::<T, A>(filters, finish)
    })
}

/// See [`input_grad`](super::input_grad). With stride 1 and three taps it is the convolution of `gy` with the reversed
/// filters; with two taps it is the transpose of `forward`, stage by stage, which moves less.
pub(super) fn input_grad<T: Packed, const A: usize>(gy: &[f32], w: &[f32], s: &ConvShape) -> Vec<f32> {
    let zeros = vec![0.0; s.c_out];
    let source = Source { data: gy, height: s.out_height, width: s.out_width, channels: s.c_out, zeros: &zeros };
    if A != 4 {
        return adjoint::input_grad::<T, A>(source, w, s);
    }
    let taps = filter_taps(A);
    let axis = Axis { start: s.padding as isize - (taps as isize - 1), tile: outputs(A), step: 1 };
    let (depth, columns) = (s.c_out, s.c_in);
    let pack = |filters: &mut [T]| {
        with_scratch::<f32, _>(s.weights(), |transposed| {
            transpose(w, s, transposed);
            let row = |o: usize, c: usize, [i, j]: [usize; 2]| {
                let tap = tap(s, 0, [taps - 1 - i, taps - 1 - j]) * s.c_out + o;
                &transposed[tap * s.c_in + c..][..LANES.min(s.c_in - c)]
            };
            Filters { depth, columns, row }.pack::<T, A>(filters);
        });
    };
    with_filters(w, BACKWARD + A as u32, filters_len::<T, A>(depth, columns), pack, |filters| {
        let (batch, height, width) = (s.batch, s.height, s.width);
        Problem { source, planes: &[[axis; 2]], batch, height, width, channels: s.c_in }.solve::<T, A>(filters, None)
    })
}

/// See [`weight_grad`](super::weight_grad).
pub(super) fn weight_grad<T: Packed, const A: usize>(x: &[f32], gy: &[f32], s: &ConvShape) -> Vec<f32> {
    let planes = input_planes::<A>(s);
    let depth = planes.len() * s.c_in;
    let vectors = panel_vectors(s.c_out);
    let width = vectors * LANES;
    let (groups, panels) = (depth.div_ceil(TASK_ROWS), s.c_out.div_ceil(width));
    let (rows, columns) = (s.out_height.div_ceil(outputs(A)), s.out_width.div_ceil(outputs(A)));
    let all = s.batch * rows;
    let (v_block, g_block) = (steps_len::<T, A>(depth, TASK_ROWS), steps_len::<T, A>(s.c_out, width));
    let chunk = (WEIGHT_CHUNK * STEP_TILES / (v_block + g_block) / columns).clamp(1, all);
    let blocks_of = |rows: usize| (rows * columns).div_ceil(STEP_TILES);
    let zeros = vec![0.0; s.c_in.max(s.c_out)];
    let input = Source { data: x, height: s.height, width: s.width, channels: s.c_in, zeros: &zeros[..s.c_in] };
    let (height, width_out) = (s.out_height, s.out_width);
    let gradient = Source { data: gy, height, width: width_out, channels: s.c_out, zeros: &zeros[..s.c_out] };
    let here = [Axis { start: 0, tile: outputs(A), step: 1 }; 2];
    let steps = STEP_TILES / T::STEPS;
    let task_floats = panels * TASK_ROWS * width;
    // [A·A, groups, panels, TASK_ROWS, width]
    with_scratch::<f32, _>(A * A * groups * task_floats, |sums| {
        with_scratch::<T, _>(blocks_of(chunk) * v_block, |v| {
            with_scratch::<T, _>(blocks_of(chunk) * g_block, |g| {
                for first in (0..all).step_by(chunk) {
                    let tiles = Tiles { rows, columns, first, count: chunk.min(all - first) };
                    let blocks = blocks_of(tiles.count);
                    let (v, g) = (&mut v[..blocks * v_block], &mut g[..blocks * g_block]);
                    pack_steps::<T, A>(&input, &planes, false, &tiles, TASK_ROWS, v);
                    pack_steps::<T, A>(&gradient, &[here], true, &tiles, width, g);
                    sums.par_chunks_mut(task_floats).enumerate().for_each(|(task, sums)| {
                        let (position, group) = (task / groups, task % groups);
                        let left = Left {
                            data: &v[task * steps * TASK_ROWS..],
                            order: Order::Steps,
                            stride: TASK_ROWS,
                            tiles: TASK_ROWS.min(depth - group * TASK_ROWS).div_ceil(TILE_ROWS),
                            tile_stride: TILE_ROWS,
                            steps,
                            blocks,
                            block_stride: v_block,
                        };
                        for (panel, sums) in sums.chunks_exact_mut(TASK_ROWS * width).enumerate() {
                            let data = &g[(position * panels + panel) * steps * width..];
                            let sums = &mut sums[..left.tiles * TILE_ROWS * width];
                            multiply(
                                &left,
                                &Panel { block_stride: g_block, ..Panel::dense(data, vectors) },
                                sums,
                                first > 0,
                            );
                        }
                    });
                }
            });
        });
        filled(s.weights(), |gw| {
            // The taps of one phase and some channels come from the same sums, so one task writes them all.
            let mut taps: Vec<_> =
                gw.chunks_mut(s.c_in * s.c_out).map(|tap| tap.chunks_mut(TASK_ROWS * s.c_out)).collect();
            let mut parts = Vec::new();
            for first in (0..s.c_in).step_by(TASK_ROWS) {
                let mut part: Vec<_> = taps.iter_mut().map(|tap| tap.next()).collect();
                for plane in 0..planes.len() {
                    let out: Vec<_> = (0..filter_taps(A))
                        .flat_map(|i| (0..filter_taps(A)).map(move |j| (i, j)))
                        .map(|(i, j)| part[tap(s, plane, [i, j])].take().expect("every tap has these channels once"))
                        .collect();
                    parts.push((plane * s.c_in + first, out));
                }
            }
            parts.into_par_iter().for_each(|(first, out)| {
                let stride = groups * task_floats;
                pulp::Arch::new().dispatch(UnpackTaps::<A> {
                    sums,
                    stride,
                    panels,
                    width,
                    first,
                    columns: s.c_out,
                    out,
                });
            });
        })
    })
}

/// The weight gradients of the r×r taps of one phase from the transformed sums.
struct UnpackTaps<'a, const A: usize> {
    sums: &'a [f32],
    /// Distance from one position of the A×A grid to the next.
    stride: usize,
    /// Panels, and columns of a panel.
    panels: usize,
    width: usize,
    /// Row of the first channel.
    first: usize,
    columns: usize,
    /// `[channels, columns]` of each tap, all of the same length.
    out: Vec<&'a mut [MaybeUninit<f32>]>,
}

impl<const A: usize> WithSimd for UnpackTaps<'_, A> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let taps = filter_taps(A);
        let channels = self.out[0].len() / self.columns;
        assert!(self.out.len() == taps * taps && self.out.iter().all(|out| out.len() == channels * self.columns));
        for channel in 0..channels {
            let (group, row) = ((self.first + channel) / TASK_ROWS, (self.first + channel) % TASK_ROWS);
            for c in (0..self.columns).step_by(S::F32_LANES) {
                let at = ((group * self.panels + c / self.width) * TASK_ROWS + row) * self.width + c % self.width;
                let m = self.sums[at..at + (A * A - 1) * self.stride + S::F32_LANES].as_ptr();
                let put = |i: usize, j: usize, value: S::f32s| {
                    let out = self.out[i * taps + j].as_mut_ptr().cast::<f32>();
                    // SAFETY: the assertion makes every row `columns` long, and c < columns.
                    unsafe { store(simd, out.add(channel * self.columns), c, self.columns, value) };
                };
                // SAFETY: the slice just taken reaches to the last of the A×A vectors.
                unsafe { Transform::<S, A>(simd).weights(m, self.stride, put) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of 4, 8 and 16 numbers can be read from the last tile of a task, whatever this machine's are.
    #[test]
    fn the_last_tile_is_read_by_vectors_of_any_length() {
        for columns in [16, 48, 96] {
            let data = vec![0.0; Products::<4>::len(TASK_TILES, columns)];
            let products = Products::<4>::new(&data, columns);
            for lanes in [4, 8, 16] {
                (0..columns).step_by(lanes).for_each(|column| _ = products.at(TASK_TILES - 1, column));
            }
        }
    }
}
