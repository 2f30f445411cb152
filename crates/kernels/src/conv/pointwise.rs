//! 1×1 convolutions with stride 1: every pixel is a row of one product. Rows of f32 are multiplied where they lie.

use super::direct::{copy_rows, multiply_panels, panels_len, row_stride};
use super::{ConvShape, Finish};
use crate::gemm::{LANES, Packed, TILE_ROWS, panel_vectors};
use crate::simd::{filled, vectorised, with_scratch};
use rayon::prelude::*;
use std::marker::PhantomData;

/// Pixels of a task, at most.
const TILE_PIXELS: usize = 96;
/// Floats after which a first-level cache begins again at the same set.
const PAGE: usize = 1024;
/// Tasks that the pixels should at least make, as long as each has a whole tile. Short tiles read the panels too often.
const TASKS: usize = 16;

/// Is it a product of all pixels `[batch · height · width, c_in]` with `[c_in, c_out]`?
pub(super) fn suits(s: &ConvShape) -> bool {
    s.kernel == [1, 1] && s.stride == 1 && s.padding == 0
}

/// See [`forward`](super::forward).
pub(super) fn forward<T: Packed>(
    x: &[f32],
    w: &[f32],
    s: &ConvShape,
    finish: Option<Finish>,
    _: PhantomData<T>,
) -> Vec<f32> {
    product::<T>(x, s.c_in, s.c_out, finish, |column, depth, panel| {
        for (step, out) in panel.chunks_exact_mut(panel_vectors(s.c_out) * LANES).enumerate() {
            let row = |p: usize| &w[p * s.c_out..][column.clone()];
            // bf16 takes two rows at once; the odd one out is joined by zeros.
            let (first, zeros) = (step * T::STEPS, [0.0; 3 * LANES]);
            let second = if first + 1 < depth { row(first + 1) } else { &zeros[..column.len()] };
            T::pack_across(row(first), second, &mut out[..column.len()]);
        }
    })
}

/// See [`input_grad`](super::input_grad).
pub(super) fn input_grad<T: Packed>(gy: &[f32], w: &[f32], s: &ConvShape, _: PhantomData<T>) -> Vec<f32> {
    product::<T>(gy, s.c_out, s.c_in, None, |column, depth, panel| {
        let width = panel_vectors(s.c_in) * LANES;
        for (i, row) in w[column.start * depth..column.end * depth].chunks_exact(depth.max(1)).enumerate() {
            for (step, pair) in row.chunks(T::STEPS).enumerate() {
                T::pack_along(pair, &mut panel[step * width + i..][..1]);
            }
        }
    })
}

/// Rows `[.., depth]` times a matrix `[depth, columns]`, of which `pack` writes the panel with the columns of a range.
fn product<T: Packed>(
    rows: &[f32],
    depth: usize,
    columns: usize,
    finish: Option<Finish>,
    pack: impl Fn(std::ops::Range<usize>, usize, &mut [T]) + Sync,
) -> Vec<f32> {
    let count = rows.len().checked_div(depth).unwrap_or(0);
    let tile = (count / TASKS).next_multiple_of(TILE_ROWS).clamp(TILE_ROWS, TILE_PIXELS);
    let width = panel_vectors(columns) * LANES;
    with_scratch::<T, _>(panels_len::<T>(depth, columns), |panels| {
        panels.par_chunks_mut((depth.div_ceil(T::STEPS) * width).max(1)).enumerate().for_each(|(panel, out)| {
            vectorised(
                #[inline(always)]
                || pack(panel * width..columns.min((panel + 1) * width), depth, out),
            );
        });
        let panels = &*panels;
        filled(count * columns, |y| {
            let tiles = y.par_chunks_mut((tile * columns).max(1)).zip(rows.par_chunks((tile * depth).max(1)));
            tiles.for_each(|(y, rows)| {
                let count = rows.len() / depth;
                let take = |part, product: &[f32]| copy_rows(product, width, part, columns, y);
                match T::from_floats(rows) {
                    // Whole groups of rows can be read where they are, unless all of them fall on the same cache set.
                    Some(rows) if count.is_multiple_of(TILE_ROWS) && !depth.is_multiple_of(PAGE) => {
                        multiply_panels(rows, count, depth, depth, panels, columns, take);
                    }
                    _ => {
                        let stride = row_stride::<T>(depth);
                        with_scratch::<T, _>(count.next_multiple_of(TILE_ROWS) * stride, |packed| {
                            let steps = depth.div_ceil(T::STEPS);
                            vectorised(
                                #[inline(always)]
                                || {
                                    for (row, out) in rows.chunks_exact(depth).zip(packed.chunks_exact_mut(stride)) {
                                        T::pack_along(row, &mut out[..steps]);
                                    }
                                },
                            );
                            multiply_panels(packed, count, depth, stride, panels, columns, take);
                        });
                    }
                }
                // SAFETY: the panels have all columns.
                unsafe { Finish::apply(finish, y) };
            });
        })
    })
}
