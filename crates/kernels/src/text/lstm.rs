//! A long short-term memory over whole sequences (Hochreiter & Schmidhuber 1997, with the forget gate of Gers 2000), forward and
//! backward.
//!
//! Sequences are independent of each other, so a task takes a few of them through all steps and tasks need not wait for one
//! another: the recurrent weight stays in its core's cache, and only the gates and states stream by.

use crate::activation::Activation;
use crate::gemm::{LANES, Left, Order, Packed, Panel, TILE_ROWS, multiply, panel_vectors};
use crate::simd::{filled, vectorised, with_scratch};
use rayon::prelude::*;
use std::marker::PhantomData;
use std::ops::Range;

/// Sizes of `x [batch, time, 4 · width] → h [batch, time, width]`. The gates stand in the order input, forget, cell, output.
#[derive(Debug, Clone, Copy)]
pub(super) struct LstmShape {
    pub batch: usize,
    pub time: usize,
    pub width: usize,
}

impl LstmShape {
    /// Sequences of a task: two groups of rows read each panel of the weight, where that leaves more than one task.
    fn sequences(&self) -> usize {
        if self.batch >= 4 * TILE_ROWS { 2 * TILE_ROWS } else { TILE_ROWS }
    }

    fn states(&self) -> usize {
        self.time * self.width
    }
}

/// A weight `[depth, columns]` as panels, for the products of a few rows with it.
struct Weight<'a, T> {
    panels: &'a [T],
    depth: usize,
    columns: usize,
}

impl<T: Packed> Weight<'_, T> {
    fn vectors(columns: usize) -> usize {
        panel_vectors(columns)
    }

    fn len(depth: usize, columns: usize) -> usize {
        depth.div_ceil(T::STEPS) * columns.next_multiple_of(Self::vectors(columns) * LANES)
    }

    /// Packs the matrix whose element (p, j) is `at(p, j)`.
    fn pack(depth: usize, columns: usize, out: &mut [T], at: impl Fn(usize, usize) -> f32 + Sync) {
        let width = Self::vectors(columns) * LANES;
        out.par_chunks_mut((depth.div_ceil(T::STEPS) * width).max(1)).enumerate().for_each(|(panel, out)| {
            let mut rows = [[0.0f32; 3 * LANES]; 2];
            for (step, out) in out.chunks_exact_mut(width).enumerate() {
                for (half, row) in rows.iter_mut().enumerate().take(T::STEPS) {
                    for (i, value) in row[..width].iter_mut().enumerate() {
                        let (p, j) = (step * T::STEPS + half, panel * width + i);
                        *value = if p < depth && j < columns { at(p, j) } else { 0.0 };
                    }
                }
                T::pack_across(&rows[0][..width], &rows[1][..width], out);
            }
        });
    }

    /// The columns of panel `panel`.
    fn part(&self, panel: usize) -> Range<usize> {
        let width = Self::vectors(self.columns) * LANES;
        panel * width..self.columns.min((panel + 1) * width)
    }

    /// Multiplies packed rows, `stride` elements apart, and gives each (columns, product, floats from row to row of it) to `take`.
    fn multiply(&self, rows: &[T], count: usize, stride: usize, mut take: impl FnMut(Range<usize>, &[f32], usize)) {
        let (vectors, steps) = (Self::vectors(self.columns), self.depth.div_ceil(T::STEPS));
        let (tiles, width) = (count.div_ceil(TILE_ROWS), vectors * LANES);
        let left = Left {
            data: rows,
            order: Order::Rows,
            stride,
            tiles,
            tile_stride: TILE_ROWS * stride,
            steps,
            blocks: 1,
            block_stride: 0,
        };
        with_scratch::<f32, _>(tiles * TILE_ROWS * width, |product| {
            for (panel, data) in self.panels.chunks_exact(steps * width).enumerate() {
                multiply(&left, &Panel::dense(data, vectors), product, false);
                take(self.part(panel), product, width);
            }
        });
    }
}

/// Elements from row to row of packed states; not a power of two, so that rows do not fall on the same cache set.
fn row_stride<T: Packed>(depth: usize) -> usize {
    depth.div_ceil(T::STEPS).next_multiple_of(TILE_ROWS) + LANES
}

/// With a = x_t + bias + h_{t−1} · w: `i, f, o = σ(a)`, `g = tanh(a)`, `c_t = f c_{t−1} + i g`, `h_t = o tanh(c_t)`, from h and c zero.
/// Writes the gates over x; returns h and c.
pub(super) fn forward<T: Packed>(
    x: &mut [f32],
    bias: &[f32],
    w: &[f32],
    s: &LstmShape,
    _: PhantomData<T>,
) -> (Vec<f32>, Vec<f32>) {
    let (width, gates) = (s.width, 4 * s.width);
    let (mut h, mut c) = (vec![0.0f32; s.batch * s.states()], vec![0.0f32; s.batch * s.states()]);
    with_scratch::<T, _>(Weight::<T>::len(width, gates), |panels| {
        Weight::<T>::pack(width, gates, panels, |p, j| w[p * gates + j]);
        let w = Weight { panels: &*panels, depth: width, columns: gates };
        let chunk = s.sequences() * s.states();
        let tasks = x.par_chunks_mut(4 * chunk).zip(h.par_chunks_mut(chunk)).zip(c.par_chunks_mut(chunk));
        tasks.for_each(|((x, h), c)| {
            let count = h.len() / s.states();
            let stride = row_stride::<T>(width);
            with_scratch::<T, _>(count.next_multiple_of(TILE_ROWS) * stride, |rows| {
                rows.fill(T::default());
                for t in 0..s.time {
                    if t > 0 {
                        for (b, row) in rows.chunks_exact_mut(stride).take(count).enumerate() {
                            let h = &h[b * s.states() + (t - 1) * width..][..width];
                            T::pack_along(h, &mut row[..width.div_ceil(T::STEPS)]);
                        }
                        w.multiply(rows, count, stride, |columns, product, width| {
                            for (b, product) in product.chunks_exact(width).take(count).enumerate() {
                                add(&mut x[(b * s.time + t) * gates..][columns.clone()], product);
                            }
                        });
                    }
                    for b in 0..count {
                        let x = &mut x[(b * s.time + t) * gates..][..gates];
                        let (before, c) = c[b * s.states()..][..(t + 1) * width].split_at_mut(t * width);
                        let before = if t > 0 { &before[(t - 1) * width..] } else { &[] };
                        cell(x, bias, before, c, &mut h[b * s.states() + t * width..][..width]);
                    }
                }
            });
        });
    });
    (h, c)
}

fn add(x: &mut [f32], more: &[f32]) {
    vectorised(
        #[inline(always)]
        || {
            for (x, &more) in x.iter_mut().zip(more) {
                *x += more;
            }
        },
    );
}

/// The four quarters of a row of gates.
#[inline(always)]
fn quarters<T>(x: &mut [T]) -> [&mut [T]; 4] {
    let (first, second) = x.split_at_mut(x.len() / 2);
    let (i, f) = first.split_at_mut(first.len() / 2);
    let (g, o) = second.split_at_mut(second.len() / 2);
    [i, f, g, o]
}

/// One step of one sequence, on this thread: turns `x`, the sums before the gates but for the bias, into the gates, and writes
/// the new states. An empty `before` is a cell that is zero.
fn cell(x: &mut [f32], bias: &[f32], before: &[f32], c: &mut [f32], h: &mut [f32]) {
    vectorised(
        #[inline(always)]
        || {
            let (width, cells) = (h.len(), x.len() / 2..x.len() / 4 * 3);
            for (x, &bias) in x[..2 * width].iter_mut().zip(bias) {
                *x = Activation::Sigmoid.apply(*x + bias);
            }
            for (x, &bias) in x[cells.clone()].iter_mut().zip(&bias[cells]) {
                *x = Activation::Tanh.apply(*x + bias);
            }
            for (x, &bias) in x[3 * width..].iter_mut().zip(&bias[3 * width..]) {
                *x = Activation::Sigmoid.apply(*x + bias);
            }
            let [i, f, g, o] = quarters(x);
            for ((c, &i), &g) in c.iter_mut().zip(&*i).zip(&*g) {
                *c = i * g;
            }
            for ((c, &before), &f) in c.iter_mut().zip(before).zip(&*f) {
                *c += f * before;
            }
            for ((h, &c), &o) in h.iter_mut().zip(&*c).zip(&*o) {
                *h = o * Activation::Tanh.apply(c);
            }
        },
    );
}

/// One step of one sequence whose states are replaced, on this thread.
pub(super) fn step(sums: &mut [f32], bias: &[f32], c: &mut [f32], h: &mut [f32]) {
    with_scratch::<f32, _>(c.len(), |before| {
        before.copy_from_slice(c);
        cell(sums, bias, before, c, h);
    });
}

/// Backward through time: turns the gates into the gradients of the sums before them, in place.
pub(super) fn backward<T: Packed>(
    c: &[f32],
    gates: &mut [f32],
    gh: &[f32],
    w: &[f32],
    s: &LstmShape,
    _: PhantomData<T>,
) {
    let (width, columns) = (s.width, 4 * s.width);
    with_scratch::<T, _>(Weight::<T>::len(columns, width), |panels| {
        Weight::<T>::pack(columns, width, panels, |p, j| w[j * columns + p]);
        let w = Weight { panels: &*panels, depth: columns, columns: width };
        let chunk = s.sequences() * s.states();
        let tasks = gates.par_chunks_mut(4 * chunk).zip(c.par_chunks(chunk)).zip(gh.par_chunks(chunk));
        tasks.for_each(|((gates, c), gh)| {
            let count = c.len() / s.states();
            let stride = row_stride::<T>(columns);
            // The gradients that reach h and c of a step from the steps after it.
            let (mut dh, mut dc) = (vec![0.0f32; count * width], vec![0.0f32; count * width]);
            with_scratch::<T, _>(count.next_multiple_of(TILE_ROWS) * stride, |rows| {
                rows.fill(T::default());
                for t in (0..s.time).rev() {
                    for b in 0..count {
                        let at = b * s.states() + t * width;
                        let x = &mut gates[4 * at..][..columns];
                        let (dh, dc) = (&mut dh[b * width..][..width], &mut dc[b * width..][..width]);
                        add(dh, &gh[at..][..width]);
                        let before = if t > 0 { &c[at - width..at] } else { &[] };
                        cell_backward(x, before, &c[at..][..width], dh, dc);
                        T::pack_along(x, &mut rows[b * stride..][..columns.div_ceil(T::STEPS)]);
                    }
                    if t > 0 {
                        w.multiply(rows, count, stride, |columns, product, panel| {
                            for (b, product) in product.chunks_exact(panel).take(count).enumerate() {
                                dh[b * width..][columns.clone()].copy_from_slice(&product[..columns.len()]);
                            }
                        });
                    }
                }
            });
        });
    });
}

/// One step back of one sequence. `dh` is the whole gradient of h; `dc` what reaches c from the step after, and becomes what reaches
/// the cell before.
fn cell_backward(x: &mut [f32], before: &[f32], c: &[f32], dh: &[f32], dc: &mut [f32]) {
    vectorised(
        #[inline(always)]
        || {
            let [i, f, g, o] = quarters(x);
            let sigmoid = |y: f32| Activation::Sigmoid.derivative(y);
            for (((o, dc), &c), &dh) in o.iter_mut().zip(dc.iter_mut()).zip(c).zip(dh) {
                let c = Activation::Tanh.apply(c);
                *dc += dh * *o * Activation::Tanh.derivative(c);
                *o = dh * c * sigmoid(*o);
            }
            for ((i, g), &dc) in i.iter_mut().zip(g.iter_mut()).zip(&*dc) {
                let (input, cell) = (*i, *g);
                *i = dc * cell * sigmoid(input);
                *g = dc * input * Activation::Tanh.derivative(cell);
            }
            if before.is_empty() {
                f.fill(0.0);
            }
            for ((f, dc), &before) in f.iter_mut().zip(dc.iter_mut()).zip(before) {
                let forget = *f;
                *f = *dc * before * sigmoid(forget);
                *dc *= forget;
            }
        },
    );
}

/// The h before each step, `[batch, time, width]`: what the recurrent weight was multiplied with.
pub(super) fn previous(h: &[f32], s: &LstmShape) -> Vec<f32> {
    filled(h.len(), |out| {
        out.par_chunks_mut(s.states().max(1)).zip(h.par_chunks(s.states().max(1))).for_each(|(out, h)| {
            let (first, rest) = out.split_at_mut(s.width);
            first.write_copy_of_slice(&vec![0.0; s.width]);
            rest.write_copy_of_slice(&h[..h.len() - s.width]);
        });
    })
}
