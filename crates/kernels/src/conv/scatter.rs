//! The input gradient towards a few channels, such as the last layer of a generator: one product a picture computes what
//! every output pixel sends to all its taps at once (`kh · kw · c_in` columns instead of `c_in`), and the results are
//! added up where they belong.

use super::ConvShape;
use super::direct::{multiply_panels, panels_len, row_stride};
use crate::gemm::{LANES, Packed, TILE_ROWS, panel_vectors};
use crate::simd::{vectorised, with_scratch};
use rayon::prelude::*;
use std::marker::PhantomData;

/// Pixels that are multiplied together.
const TILE_PIXELS: usize = 96;
/// Columns up to which the products of a tile stay in the first-level cache.
const MOST_COLUMNS: usize = 256;

/// Is a product with `c_in` columns so narrow that this way is better?
pub(super) fn suits(s: &ConvShape) -> bool {
    s.c_in < LANES && s.taps() > 1 && s.taps() * s.c_in <= MOST_COLUMNS
}

/// See [`input_grad`](super::input_grad).
pub(super) fn input_grad<T: Packed>(gy: &[f32], w: &[f32], s: &ConvShape, _: PhantomData<T>) -> Vec<f32> {
    let (depth, columns) = (s.c_out, s.taps() * s.c_in);
    let stride = row_stride::<T>(depth);
    let width = panel_vectors(columns) * LANES;
    let pixels = s.out_height * s.out_width;
    let mut gx = vec![0.0; s.inputs()];
    with_scratch::<T, _>(panels_len::<T>(depth, columns), |panels| {
        pack_transposed(w, s, panels);
        let panels = &*panels;
        let picture = (s.height * s.width * s.c_in).max(1);
        gx.par_chunks_mut(picture).zip(gy.par_chunks((pixels * s.c_out).max(1))).for_each(|(gx, gy)| {
            with_scratch::<T, _>(TILE_PIXELS * stride, |rows| {
                for (tile, gy) in gy.chunks(TILE_PIXELS * s.c_out).enumerate() {
                    let count = gy.len() / s.c_out;
                    // In f32, whole groups of rows are multiplied as they lie.
                    let gy = T::from_floats(gy).filter(|_| count.is_multiple_of(TILE_ROWS)).ok_or(gy);
                    let (rows, stride) = match gy {
                        Ok(gy) => (gy, s.c_out),
                        Err(gy) => (pack_rows(gy, s.c_out, stride, rows), stride),
                    };
                    multiply_panels(rows, count, depth, stride, panels, columns, |part, product| {
                        for (i, product) in product.chunks_exact(width).take(count).enumerate() {
                            add_pixel(gx, s, tile * TILE_PIXELS + i, part.clone(), product);
                        }
                    });
                }
            });
        });
    });
    gx
}

/// Rows of `depth` numbers, packed at `stride`.
fn pack_rows<'a, T: Packed>(numbers: &[f32], depth: usize, stride: usize, rows: &'a mut [T]) -> &'a [T] {
    vectorised(
        #[inline(always)]
        || {
            for (row, numbers) in rows.chunks_exact_mut(stride).zip(numbers.chunks_exact(depth)) {
                T::pack_along(numbers, &mut row[..depth.div_ceil(T::STEPS)]);
            }
        },
    );
    rows
}

/// The weights `[taps · c_in, c_out]`, transposed, as panels.
fn pack_transposed<T: Packed>(w: &[f32], s: &ConvShape, panels: &mut [T]) {
    let columns = s.taps() * s.c_in;
    let width = panel_vectors(columns) * LANES;
    for (panel, out) in panels.chunks_exact_mut((s.c_out.div_ceil(T::STEPS) * width).max(1)).enumerate() {
        for column in panel * width..columns.min((panel + 1) * width) {
            let row = &w[column * s.c_out..(column + 1) * s.c_out];
            for (step, pair) in row.chunks(T::STEPS).enumerate() {
                let at = step * width + column % width;
                T::pack_along(pair, &mut out[at..at + 1]);
            }
        }
    }
}

/// Adds columns `part` of output pixel `pixel`'s products to the input pixels that they belong to.
fn add_pixel(gx: &mut [f32], s: &ConvShape, pixel: usize, part: std::ops::Range<usize>, product: &[f32]) {
    let (oh, ow) = (pixel / s.out_width, pixel % s.out_width);
    let row_floats = s.kernel[1] * s.c_in;
    // Floats of a kernel row that fall before the left edge of the picture, and that fit before its right edge.
    let before = s.padding.saturating_sub(ow * s.stride) * s.c_in;
    let end = (s.width + s.padding).saturating_sub(ow * s.stride) * s.c_in;
    for i in part.start / row_floats..part.end.div_ceil(row_floats) {
        let h = (oh * s.stride + i).wrapping_sub(s.padding);
        let first = (i * row_floats + before).max(part.start);
        let last = (i * row_floats + end.min(row_floats)).min(part.end);
        if h >= s.height || first >= last {
            continue;
        }
        // Column `c` of kernel row i lands on float `ow · s · c_in − p · c_in + c` of the picture's row.
        let at = h * s.width * s.c_in + (ow * s.stride) * s.c_in + (first - i * row_floats) - s.padding * s.c_in;
        let target = &mut gx[at..at + last - first];
        for (target, value) in target.iter_mut().zip(&product[first - part.start..last - part.start]) {
            *target += value;
        }
    }
}
