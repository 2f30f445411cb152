//! The first stage of minimal filtering: tiles of pixels and filters, transformed, as packed operands.

use super::transform::{Grid, Transform, filter_taps, outputs};
use crate::conv::ConvShape;
use crate::gemm::{LANES, Packed, TILE_ROWS, panel_vectors};
use crate::simd::with_scratch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Where the source pixels of a tile lie in one direction: element i of tile u at `start + u · tile + i · step`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub start: isize,
    pub tile: usize,
    pub step: usize,
}

impl Axis {
    #[inline(always)]
    fn at(&self, tile: usize, element: usize) -> usize {
        // Negative positions wrap to huge ones, which are outside of every picture.
        self.start.wrapping_add_unsigned(tile * self.tile + element * self.step) as usize
    }
}

/// Pictures to take tiles from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub data: &'a [f32],
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    /// One pixel of zeros: what lies outside of the pictures.
    pub zeros: &'a [f32],
}

impl<'a> Source<'a> {
    /// The `size`×`size` pixels of tile (u, v) of a picture.
    #[inline(always)]
    fn pixels<const A: usize>(
        &self,
        size: usize,
        picture: usize,
        axes: &[Axis; 2],
        [u, v]: [usize; 2],
    ) -> Grid<&'a [f32], A> {
        let mut grid = [[self.zeros; A]; A];
        for (i, out) in grid.iter_mut().enumerate().take(size) {
            let row = axes[0].at(u, i);
            if row >= self.height {
                continue;
            }
            let row = (picture * self.height + row) * self.width;
            for (j, out) in out.iter_mut().enumerate().take(size) {
                let column = axes[1].at(v, j);
                if column < self.width {
                    let at = (row + column) * self.channels;
                    *out = &self.data[at..at + self.channels];
                }
            }
        }
        grid
    }
}

/// The grid of tiles over all pictures, and the chunk of tile rows that is being worked on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiles {
    /// Tile rows of one picture.
    pub rows: usize,
    /// Tiles in a row.
    pub columns: usize,
    /// First tile row of the chunk, counted over all pictures.
    pub first: usize,
    /// Tile rows of the chunk.
    pub count: usize,
}

impl Tiles {
    pub fn len(&self) -> usize {
        self.count * self.columns
    }

    /// (picture, tile row, tile column) of tile `t` of the chunk.
    fn place(&self, t: usize) -> (usize, usize, usize) {
        let row = self.first + t / self.columns;
        (row / self.rows, row % self.rows, t % self.columns)
    }
}

/// A tile's transform (`output_adjoint` or `input`): the channels of all planes in a row, row (i, j) at `(i · A + j) · stride`.
/// A row may be cut into panels.
struct TransformTile<'a, const A: usize> {
    source: &'a Source<'a>,
    planes: &'a [[Axis; 2]],
    adjoint: bool,
    place: (usize, usize, usize),
    out: &'a mut [f32],
    stride: usize,
    /// Channels of a panel, a multiple of LANES where there are several, and the distance from panel to panel.
    panel: usize,
    panel_stride: usize,
}

impl<const A: usize> WithSimd for TransformTile<'_, A> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { source, planes, adjoint, place: (picture, u, v), out, stride, panel, panel_stride } = self;
        let channels = source.channels;
        let last = planes.len() * channels - 1;
        assert!((A * A - 1) * stride + last / panel * panel_stride + last % panel < out.len());
        assert_eq!(source.zeros.len(), channels);
        for (plane, axes) in planes.iter().enumerate() {
            let pixels = source.pixels::<A>(if adjoint { outputs(A) } else { A }, picture, axes, [u, v]);
            let mut start = 0;
            while start < channels {
                let (number, within) = ((plane * channels + start) / panel, (plane * channels + start) % panel);
                let end = channels.min(start + panel - within);
                let out = out[number * panel_stride + within..].as_mut_ptr();
                // SAFETY: every pixel and the zeros have `channels` floats, and the assertion bounds the rows of `out`, of
                // which this stretch lies in one panel.
                unsafe {
                    if adjoint {
                        Transform::<S, A>(simd).pixels::<true>(&pixels, start..end, out, stride);
                    } else {
                        Transform::<S, A>(simd).pixels::<false>(&pixels, start..end, out, stride);
                    }
                }
                start = end;
            }
        }
    }
}

/// A tile's transform as `[A·A, depth]`.
fn transform_into_rows<const A: usize>(
    source: &Source,
    planes: &[[Axis; 2]],
    adjoint: bool,
    place: (usize, usize, usize),
    out: &mut [f32],
) {
    let depth = planes.len() * source.channels;
    let (stride, panel, panel_stride) = (depth, depth, 0);
    pulp::Arch::new().dispatch(TransformTile::<A> { source, planes, adjoint, place, out, stride, panel, panel_stride });
}

/// Transformed input tiles, packed as a left operand whose rows are tiles: groups of [`TILE_ROWS`] tiles, each
/// `[A·A, TILE_ROWS, stride]`.
pub(super) fn pack_rows<T: Packed, const A: usize>(
    source: &Source,
    planes: &[[Axis; 2]],
    adjoint: bool,
    tiles: &Tiles,
    stride: usize,
    out: &mut [T],
) {
    let depth = planes.len() * source.channels;
    out.par_chunks_mut(A * A * TILE_ROWS * stride).enumerate().for_each(|(group, out)| {
        let lanes = TILE_ROWS.min(tiles.len().saturating_sub(group * TILE_ROWS));
        for lane in 0..lanes {
            let place = tiles.place(group * TILE_ROWS + lane);
            if let Some(out) = T::as_floats(out) {
                let (out, stride) = (&mut out[lane * stride..], TILE_ROWS * stride);
                let (panel, panel_stride) = (depth, 0);
                let tile = TransformTile::<A> { source, planes, adjoint, place, out, stride, panel, panel_stride };
                pulp::Arch::new().dispatch(tile);
                continue;
            }
            with_scratch::<f32, _>(A * A * depth, |rows| {
                transform_into_rows::<A>(source, planes, adjoint, place, rows);
                for (position, row) in rows.chunks_exact(depth).enumerate() {
                    let at = (position * TILE_ROWS + lane) * stride;
                    T::pack_along(row, &mut out[at..at + depth.div_ceil(T::STEPS)]);
                }
            });
        }
    });
}

/// Tiles that follow each other in a block of the weight gradient's operands.
pub(super) const STEP_TILES: usize = 64;

/// Elements of one block of [`STEP_TILES`] tiles as [`pack_steps`] stores it.
pub(super) fn steps_len<T: Packed, const A: usize>(depth: usize, width: usize) -> usize {
    A * A * depth.next_multiple_of(width) * STEP_TILES / T::STEPS
}

/// Transformed tiles, packed as an operand whose inner dimension runs over tiles: blocks of [`STEP_TILES`] tiles, each
/// `[A·A, panels, steps, width]`, for a left operand as for panels of a right one. Beyond the last tile it is zero.
pub(super) fn pack_steps<T: Packed, const A: usize>(
    source: &Source,
    planes: &[[Axis; 2]],
    adjoint: bool,
    tiles: &Tiles,
    width: usize,
    out: &mut [T],
) {
    let depth = planes.len() * source.channels;
    let steps = STEP_TILES / T::STEPS;
    let row = depth.next_multiple_of(width) * steps;
    out.par_chunks_mut(steps_len::<T, A>(depth, width)).enumerate().for_each(|(block, out)| {
        if let Some(out) = T::as_floats(out) {
            for step in 0..steps {
                let out = &mut out[step * width..];
                let tile = block * STEP_TILES + step;
                if tile < tiles.len() {
                    let (place, stride, panel, panel_stride) = (tiles.place(tile), row, width, steps * width);
                    let tile = TransformTile::<A> { source, planes, adjoint, place, out, stride, panel, panel_stride };
                    pulp::Arch::new().dispatch(tile);
                } else {
                    out.chunks_mut(steps * width).for_each(|out| out[..width].fill(0.0));
                }
            }
            return;
        }
        with_scratch::<f32, _>(T::STEPS * A * A * depth, |rows| {
            for step in 0..steps {
                for (half, rows) in rows.chunks_exact_mut(A * A * depth).enumerate() {
                    let tile = block * STEP_TILES + step * T::STEPS + half;
                    if tile < tiles.len() {
                        transform_into_rows::<A>(source, planes, adjoint, tiles.place(tile), rows);
                    } else {
                        rows.fill(0.0);
                    }
                }
                let (first, second) = rows.split_at(A * A * depth);
                for (position, out) in out.chunks_exact_mut(row).enumerate() {
                    let row = position * depth..(position + 1) * depth;
                    let (first, second) = (&first[row.clone()], second.get(row).unwrap_or_default());
                    for (panel, out) in out.chunks_exact_mut(steps * width).enumerate() {
                        let part = panel * width..depth.min((panel + 1) * width);
                        let second = second.get(part.clone()).unwrap_or_default();
                        T::pack_across(&first[part.clone()], second, &mut out[step * width..][..part.len()]);
                    }
                }
            }
        });
    });
}

/// Floats (or pairs) of the packed filters of one phase.
pub(super) fn filters_len<T: Packed, const A: usize>(depth: usize, columns: usize) -> usize {
    let width = panel_vectors(columns) * LANES;
    columns.next_multiple_of(width) * A * A * depth.div_ceil(T::STEPS)
}

/// Filters of `depth` inputs and `columns` outputs.
pub(super) struct Filters<F> {
    pub depth: usize,
    pub columns: usize,
    /// The weights of tap (i, j) from input `step` to the outputs from `column` (a multiple of LANES) on, at most LANES of them;
    /// none where nobody reads the products.
    pub row: F,
}

impl<'a, F: Fn(usize, usize, [usize; 2]) -> &'a [f32] + Sync> Filters<F> {
    /// Transforms the filters and packs them as panels `[panels, A·A, depth / STEPS, vectors · LANES]`.
    pub fn pack<T: Packed, const A: usize>(&self, out: &mut [T]) {
        let Self { depth, columns, .. } = *self;
        let width = panel_vectors(columns) * LANES;
        let packed = depth.div_ceil(T::STEPS);
        out.par_chunks_mut(A * A * packed * width).enumerate().for_each(|(panel, out)| {
            let first = panel * width;
            with_scratch::<f32, _>(T::STEPS * A * A * width, |scratch| {
                for step in 0..packed {
                    if let Some(out) = T::as_floats(out) {
                        self.transform::<A>(step, first, width, &mut out[step * width..], packed * width);
                        continue;
                    }
                    for (half, rows) in scratch.chunks_exact_mut(A * A * width).enumerate() {
                        let step = step * T::STEPS + half;
                        if step < depth {
                            self.transform::<A>(step, first, width, rows, width);
                        } else {
                            rows.fill(0.0);
                        }
                    }
                    let (one, other) = scratch.split_at(A * A * width);
                    let rows = one.chunks_exact(width).zip(other.chunks_exact(width));
                    for (position, (one, other)) in rows.enumerate() {
                        T::pack_across(one, other, &mut out[(position * packed + step) * width..][..width]);
                    }
                }
            });
        });
    }

    /// Transforms `width` columns of one step into A×A rows at distance `stride`.
    fn transform<const A: usize>(&self, step: usize, first: usize, width: usize, out: &mut [f32], stride: usize) {
        for lane in (0..width.min(self.columns - first)).step_by(LANES) {
            let mut taps: Grid<&[f32], A> = [[&[]; A]; A];
            for (i, taps) in taps.iter_mut().enumerate().take(filter_taps(A)) {
                for (j, tap) in taps.iter_mut().enumerate().take(filter_taps(A)) {
                    *tap = (self.row)(step, first + lane, [i, j]);
                }
            }
            let len = taps[0][0].len();
            pulp::Arch::new().dispatch(TransformFilter::<A> { taps, len, out: &mut out[lane..], stride });
        }
    }
}

/// The `[c_in, c_out]` matrices of all taps, each transposed.
pub(super) fn transpose(w: &[f32], s: &ConvShape, out: &mut [f32]) {
    let matrix = s.c_in * s.c_out;
    out.par_chunks_mut(matrix).zip(w.par_chunks(matrix)).for_each(|(out, w)| {
        // Squares that stay in the first-level cache.
        for top in (0..s.c_out).step_by(LANES) {
            for left in (0..s.c_in).step_by(LANES) {
                for o in top..s.c_out.min(top + LANES) {
                    for c in left..s.c_in.min(left + LANES) {
                        out[o * s.c_in + c] = w[c * s.c_out + o];
                    }
                }
            }
        }
    });
}

/// The transform of r×r taps into A×A rows of `len` floats.
struct TransformFilter<'a, const A: usize> {
    taps: Grid<&'a [f32], A>,
    len: usize,
    out: &'a mut [f32],
    stride: usize,
}

impl<const A: usize> WithSimd for TransformFilter<'_, A> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if self.len == 0 {
            return;
        }
        assert!((A * A - 1) * self.stride + self.len <= self.out.len());
        let taps = self.taps.iter().take(filter_taps(A)).flat_map(|taps| &taps[..filter_taps(A)]);
        assert!(taps.into_iter().all(|tap| tap.len() == self.len));
        // SAFETY: the assertions bound the rows of weights and of `out`.
        unsafe { Transform::<S, A>(simd).filters(&self.taps, self.len, self.out.as_mut_ptr(), self.stride) };
    }
}
