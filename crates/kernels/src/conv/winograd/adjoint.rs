//! The transpose of the forward pass for two taps a phase: every tile of output gradients sends a square of A×A to each
//! phase of the input, and neighbouring squares overlap by one row and one column, where they are added.

use super::pack::{Axis, Filters, Source, Tiles, filters_len, pack_rows, transpose};
use super::transform::{Transform, outputs, store};
use super::{BACKWARD, ConvShape, Products, chunk, products, row_stride, tap};
use crate::gemm::{LANES, Packed, TILE_ROWS};
use crate::reuse::with_filters;
use crate::simd::{filled, with_scratch};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// See [`input_grad`](super::input_grad); `source` is `gy`.
pub(super) fn input_grad<T: Packed, const A: usize>(source: Source, w: &[f32], s: &ConvShape) -> Vec<f32> {
    let phases = s.stride * s.stride;
    // Whole vectors for every phase.
    let channels = s.c_in.next_multiple_of(LANES);
    let (depth, columns) = (s.c_out, phases * channels);
    let stride = row_stride::<T>(depth);
    let (rows, tiles_across) = (s.out_height.div_ceil(outputs(A)), s.out_width.div_ceil(outputs(A)));
    let picture_tiles = rows * tiles_across;
    let filters_len = filters_len::<T, A>(depth, columns);
    let pictures = (chunk(filters_len) / (A * A * (stride + columns) * picture_tiles)).clamp(1, s.batch);
    let most = pictures * picture_tiles;
    let here = [Axis { start: 0, tile: outputs(A), step: 1 }; 2];
    let pack = |filters: &mut [T]| {
        with_scratch::<f32, _>(s.weights(), |transposed| {
            transpose(w, s, transposed);
            let row = |o: usize, column: usize, at: [usize; 2]| {
                let (phase, channel) = (column / channels, column % channels);
                if channel >= s.c_in {
                    return &[][..];
                }
                let tap = tap(s, phase, at) * s.c_out + o;
                &transposed[tap * s.c_in + channel..][..LANES.min(s.c_in - channel)]
            };
            Filters { depth, columns, row }.pack::<T, A>(filters);
        });
    };
    with_filters(w, BACKWARD + A as u32, filters_len, pack, |filters| {
        filled(s.inputs(), |mut gx| {
            with_scratch::<T, _>(A * A * most.next_multiple_of(TILE_ROWS) * stride, |v| {
                with_scratch::<f32, _>(Products::<A>::len(most, columns), |p| {
                    for first in (0..s.batch).step_by(pictures) {
                        let pictures = pictures.min(s.batch - first);
                        let tiles = Tiles { rows, columns: tiles_across, first: first * rows, count: pictures * rows };
                        let v = &mut v[..A * A * tiles.len().next_multiple_of(TILE_ROWS) * stride];
                        let p = &mut p[..Products::<A>::len(tiles.len(), columns)];
                        pack_rows::<T, A>(&source, &[here], true, &tiles, stride, v);
                        products::<T, A>(v, stride, filters, depth.div_ceil(T::STEPS), columns, p);
                        let products = Products::new(p, columns);
                        let row_len = s.width * s.c_in;
                        // Row u of tiles ends in input rows m·s·u − p .. m·s·(u + 1) − p; the last of them holds overlaps only.
                        let row_of = |u: usize| (u * outputs(A) * s.stride).saturating_sub(s.padding).min(s.height);
                        let mut parts = Vec::with_capacity(pictures * (rows + 1));
                        for picture in 0..pictures {
                            for u in 0..=rows {
                                let lines = if u == rows { s.height } else { row_of(u + 1) } - row_of(u);
                                parts.push((picture, u, gx.split_off_mut(..lines * row_len).expect("all rows fit")));
                            }
                        }
                        parts.into_par_iter().for_each(|(picture, u, out)| {
                            let (first, row) = (picture * picture_tiles, row_of(u));
                            let add = AddTiles::<A> { products, s, channels, first, rows, tiles_across, u, row, out };
                            pulp::Arch::new().dispatch(add);
                        });
                    }
                });
            });
        })
    })
}

/// Adds the squares of tile rows u − 1 and u up to the input rows from `row` on.
struct AddTiles<'a, const A: usize> {
    products: Products<'a, A>,
    s: &'a ConvShape,
    /// Columns of a phase.
    channels: usize,
    /// First tile of the picture, its rows of tiles, and the tiles in a row.
    first: usize,
    rows: usize,
    tiles_across: usize,
    u: usize,
    row: usize,
    out: &'a mut [MaybeUninit<f32>],
}

impl<const A: usize> AddTiles<'_, A> {
    /// The products of a tile at `column` and the distance of its positions; zeros where there is no such tile.
    #[inline(always)]
    fn tile(&self, u: usize, v: usize, column: usize) -> (*const f32, usize) {
        const NOTHING: &[f32; LANES] = &[0.0; LANES];
        if u < self.rows && v < self.tiles_across {
            (self.products.at(self.first + u * self.tiles_across + v, column), self.products.stride())
        } else {
            (NOTHING.as_ptr(), 0)
        }
    }
}

impl<const A: usize> WithSimd for AddTiles<'_, A> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (s, out) = (self.s, self.out.as_mut_ptr().cast::<f32>());
        let (u, lines) = (self.u, self.out.len() / (s.width * s.c_in));
        assert_eq!(self.out.len(), lines * s.width * s.c_in);
        for v in 0..=self.tiles_across {
            for phase in 0..s.stride * s.stride {
                // Where pixel (0, 0) of the phase falls; what is outside of the lines and the picture wraps to huge numbers.
                let top = (outputs(A) * s.stride * u + phase / s.stride).wrapping_sub(s.padding + self.row);
                let left = (outputs(A) * s.stride * v + phase % s.stride).wrapping_sub(s.padding);
                for c in (0..s.c_in).step_by(S::F32_LANES) {
                    let column = phase * self.channels + c;
                    let here = self.tile(u, v, column);
                    let before = self.tile(u, v.wrapping_sub(1), column);
                    let above = self.tile(u.wrapping_sub(1), v, column);
                    let diagonal = self.tile(u.wrapping_sub(1), v.wrapping_sub(1), column);
                    let put = |i: usize, j: usize, value: S::f32s| {
                        let (row, pixel) = (top.wrapping_add(i * s.stride), left.wrapping_add(j * s.stride));
                        if row < lines && pixel < s.width {
                            // SAFETY: the row and the pixel lie in `out`, and c < c_in.
                            unsafe { store(simd, out.add((row * s.width + pixel) * s.c_in), c, s.c_in, value) };
                        }
                    };
                    // SAFETY: each pointer comes from `tile`, whose positions can all be read.
                    unsafe { Transform::<S, A>(simd).inputs(here, before, above, diagonal, put) };
                }
            }
        }
    }
}
