//! Convolutions whose kernel covers the whole picture, and linear layers: one matrix product each.

use super::{ConvShape, Finish, ROW_GAP};
use crate::gemm::{LANES, Left, Order, Packed, Panel, TILE_ROWS, multiply, panel_vectors};
use crate::simd::{filled, with_scratch};
use rayon::prelude::*;
use std::marker::PhantomData;

/// Rows of the product that one task computes.
const TASK_ROWS: usize = 64;

/// Is `y` a plain product of `x [batch, height · width · c_in]` and `w [height · width · c_in, c_out]`?
pub(super) fn suits(s: &ConvShape) -> bool {
    s.padding == 0 && s.kernel == [s.height, s.width]
}

/// See [`forward`](super::forward).
pub(super) fn forward<T: Packed>(
    x: &[f32],
    w: &[f32],
    s: &ConvShape,
    finish: Option<Finish>,
    _: PhantomData<T>,
) -> Vec<f32> {
    let depth = s.taps() * s.c_in;
    product::<T>(Matrix::along(x, s.batch, depth), Matrix::across(w, s.c_out, depth), finish)
}

/// See [`input_grad`](super::input_grad).
pub(super) fn input_grad<T: Packed>(gy: &[f32], w: &[f32], s: &ConvShape, _: PhantomData<T>) -> Vec<f32> {
    product::<T>(Matrix::along(gy, s.batch, s.c_out), Matrix::along(w, s.taps() * s.c_in, s.c_out), None)
}

/// See [`weight_grad`](super::weight_grad).
pub(super) fn weight_grad<T: Packed>(x: &[f32], gy: &[f32], s: &ConvShape, _: PhantomData<T>) -> Vec<f32> {
    product::<T>(Matrix::across(x, s.taps() * s.c_in, s.batch), Matrix::across(gy, s.c_out, s.batch), None)
}

/// An operand: `lines` rows of A or columns of B, each `depth` long in the inner dimension.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    data: &'a [f32],
    lines: usize,
    depth: usize,
    /// Neighbours in memory are neighbours in the inner dimension.
    along: bool,
}

impl<'a> Matrix<'a> {
    fn along(data: &'a [f32], lines: usize, depth: usize) -> Self {
        Self { data, lines, depth, along: true }
    }

    fn across(data: &'a [f32], lines: usize, depth: usize) -> Self {
        Self { data, lines, depth, along: false }
    }

    /// Packs `width` lines from `first` on as `[depth / STEPS, width]`.
    fn pack_panel<T: Packed>(&self, first: usize, width: usize, out: &mut [T]) {
        let lines = first..self.lines.min(first + width);
        let steps = self.depth.div_ceil(T::STEPS);
        if self.along {
            with_scratch::<T, _>(steps, |line| {
                for (i, l) in lines.enumerate() {
                    T::pack_along(&self.data[l * self.depth..(l + 1) * self.depth], line);
                    for (out, &value) in out.chunks_exact_mut(width).zip(&*line) {
                        out[i] = value;
                    }
                }
            });
            return;
        }
        let row = |p: usize| &self.data[p * self.lines..][lines.clone()];
        with_scratch::<f32, _>(lines.len(), |zeros| {
            zeros.fill(0.0);
            for (step, out) in out.chunks_exact_mut(width).enumerate() {
                let p = step * T::STEPS;
                let second = if p + 1 < self.depth { row(p + 1) } else { &*zeros };
                T::pack_across(row(p), second, &mut out[..lines.len()]);
            }
        });
    }
}

/// `c[i, j] = Σ_p a[i, p] · b[p, j]`, dense `[a.lines, b.lines]`.
fn product<T: Packed>(a: Matrix, b: Matrix, finish: Option<Finish>) -> Vec<f32> {
    let (rows, columns) = (a.lines, b.lines);
    let steps = a.depth.div_ceil(T::STEPS);
    let vectors = panel_vectors(columns);
    let width = vectors * LANES;
    let (groups, panels) = (rows.div_ceil(TASK_ROWS), columns.div_ceil(width));
    // Rows that lie along the inner dimension are copied as they are, the others as panels of TASK_ROWS.
    let stride = if a.along { steps.next_multiple_of(TILE_ROWS) + ROW_GAP } else { TASK_ROWS };
    let group = if a.along { TASK_ROWS * stride } else { steps * TASK_ROWS };
    let task = TASK_ROWS * width;
    with_scratch::<T, _>(groups * group, |left| {
        left.par_chunks_mut(group.max(1)).enumerate().for_each(|(g, left)| {
            if !a.along {
                return a.pack_panel(g * TASK_ROWS, TASK_ROWS, left);
            }
            let lines = a.data[g * TASK_ROWS * a.depth..].chunks_exact(a.depth.max(1));
            for (line, out) in lines.zip(left.chunks_exact_mut(stride)) {
                T::pack_along(line, &mut out[..steps]);
            }
        });
        with_scratch::<T, _>(panels * steps * width, |right| {
            right.par_chunks_mut((steps * width).max(1)).enumerate().for_each(|(panel, right)| {
                b.pack_panel(panel * width, width, right);
            });
            // [groups, panels, TASK_ROWS, width]
            with_scratch::<f32, _>(groups * panels * task, |c| {
                c.par_chunks_mut(task).enumerate().for_each(|(t, c)| {
                    let (g, panel) = (t / panels, t % panels);
                    let tiles = TASK_ROWS.min(rows - g * TASK_ROWS).div_ceil(TILE_ROWS);
                    let (order, tile_stride) =
                        if a.along { (Order::Rows, TILE_ROWS * stride) } else { (Order::Steps, TILE_ROWS) };
                    let data = &left[g * group..];
                    let left = Left { data, order, stride, tiles, tile_stride, steps, blocks: 1, block_stride: 0 };
                    let data = &right[panel * steps * width..];
                    let c = &mut c[..tiles * TILE_ROWS * width];
                    multiply(&left, &Panel::dense(data, vectors), c, false);
                });
                filled(rows * columns, |out| {
                    out.par_chunks_mut((TASK_ROWS * columns).max(1)).enumerate().for_each(|(g, out)| {
                        for (i, out) in out.chunks_exact_mut(columns).enumerate() {
                            for (panel, out) in out.chunks_mut(width).enumerate() {
                                let at = (g * panels + panel) * task + i * width;
                                out.write_copy_of_slice(&c[at..at + out.len()]);
                            }
                        }
                        // SAFETY: the panels have all columns.
                        unsafe { Finish::apply(finish, out) };
                    });
                })
            })
        })
    })
}
