//! Convolution by unrolled tiles (im2col): a tile of pixels is copied into a matrix whose rows are receptive fields,
//! multiplied, and written. Works for every shape.

use super::{CHUNK_FLOATS, ConvShape, Finish, ROW_GAP, pointwise};
use crate::gemm::{LANES, Left, Order, Packed, Panel, TILE_ROWS, multiply, panel_vectors};
use crate::simd::{filled, vectorised, with_scratch};
use rayon::prelude::*;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// Pixels that are unrolled and multiplied together: their fields stay in the second-level cache.
const TILE_PIXELS: usize = 96;
/// Pixels that follow each other in a block of the weight gradient's operands.
const STEP_PIXELS: usize = 64;
/// Rows of the weight gradient that one task computes.
const TASK_ROWS: usize = 64;

/// Copies the receptive field of an output pixel to the start of `patch` (`[kh, kw, c_in]`); what lies outside the picture is
/// zero. `patch` is at least LANES floats longer, and what stands there may change.
fn unroll(x: &[f32], s: &ConvShape, pixel: usize, patch: &mut [f32]) {
    let (b, oh, ow) = split(pixel, s.out_height, s.out_width);
    let row_floats = s.kernel[1] * s.c_in;
    let (before, taps) = clip(ow * s.stride, s.padding, s.kernel[1], s.width);
    let first = (ow * s.stride + before).wrapping_sub(s.padding);
    for row in 0..s.kernel[0] {
        let out = &mut patch[row * row_floats..];
        let ih = (oh * s.stride + row).wrapping_sub(s.padding);
        if ih >= s.height || taps == 0 {
            out[..row_floats].fill(0.0);
            continue;
        }
        let source = &x[((b * s.height + ih) * s.width + first) * s.c_in..];
        // Short rows are copied as one vector: the next row overwrites what is too much.
        match (source.first_chunk::<LANES>(), out.first_chunk_mut::<LANES>()) {
            (Some(source), Some(out)) if row_floats <= LANES && taps == s.kernel[1] => *out = *source,
            _ => fill_row(&mut out[..row_floats], before * s.c_in, &source[..taps * s.c_in]),
        }
    }
}

/// Of `count` taps starting at `start - padding`, how many fall before 0 and how many inside `0..size`.
fn clip(start: usize, padding: usize, count: usize, size: usize) -> (usize, usize) {
    let before = padding.saturating_sub(start).min(count);
    let end = (size + padding).saturating_sub(start).min(count);
    (before, end.saturating_sub(before))
}

/// Writes `pixels` into one row of a patch, `before` floats from its start, and zeros around them.
fn fill_row(row: &mut [f32], before: usize, pixels: &[f32]) {
    let end = before + pixels.len();
    row[..before].fill(0.0);
    row[before..end].copy_from_slice(pixels);
    row[end..].fill(0.0);
}

/// Pixel number → (picture, row, column).
fn split(pixel: usize, height: usize, width: usize) -> (usize, usize, usize) {
    (pixel / (height * width), pixel / width % height, pixel % width)
}

/// Has `fill` write a row of `depth` floats, with LANES to spare after them, and packs it into `out`.
fn pack_row<T: Packed>(depth: usize, out: &mut [T], fill: impl FnOnce(&mut [f32])) {
    match T::as_floats(out) {
        Some(out) => fill(out),
        None => with_scratch::<f32, _>(depth + LANES, |row| {
            fill(row);
            vectorised(
                #[inline(always)]
                || T::pack_along(&row[..depth], &mut out[..depth.div_ceil(T::STEPS)]),
            );
        }),
    }
}

/// A matrix `[depth, columns]`, row `p` at `row(p)`, as panels `[panels, depth / STEPS, vectors · LANES]`.
pub(super) fn pack_panels<'a, T: Packed>(
    depth: usize,
    columns: usize,
    row: impl Fn(usize) -> &'a [f32] + Sync,
    out: &mut [T],
) {
    let width = panel_vectors(columns) * LANES;
    out.par_chunks_mut((depth.div_ceil(T::STEPS) * width).max(1)).enumerate().for_each(|(panel, out)| {
        let part = panel * width..columns.min((panel + 1) * width);
        let zeros = [0.0; 3 * LANES];
        for (step, out) in out.chunks_exact_mut(width).enumerate() {
            let first = &row(step * T::STEPS)[part.clone()];
            let second = if T::STEPS == 1 {
                &[]
            } else if step * T::STEPS + 1 < depth {
                &row(step * T::STEPS + 1)[part.clone()]
            } else {
                &zeros[..part.len()]
            };
            vectorised(
                #[inline(always)]
                || T::pack_across(first, second, &mut out[..part.len()]),
            );
        }
    });
}

/// Floats or pairs of what [`pack_panels`] writes.
pub(super) fn panels_len<T: Packed>(depth: usize, columns: usize) -> usize {
    let width = panel_vectors(columns) * LANES;
    depth.div_ceil(T::STEPS) * columns.next_multiple_of(width)
}

/// Multiplies rows that are packed at `stride` with all panels, and gives each (panel, product `[rows, width]`) to `take`.
pub(super) fn multiply_panels<T: Packed>(
    rows: &[T],
    count: usize,
    depth: usize,
    stride: usize,
    panels: &[T],
    columns: usize,
    mut take: impl FnMut(std::ops::Range<usize>, &[f32]),
) {
    let vectors = panel_vectors(columns);
    let (width, steps, tiles) = (vectors * LANES, depth.div_ceil(T::STEPS), count.div_ceil(TILE_ROWS));
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
        for (panel, data) in panels.chunks_exact((steps * width).max(1)).enumerate() {
            multiply(&left, &Panel::dense(data, vectors), product, false);
            take(panel * width..columns.min((panel + 1) * width), product);
        }
    });
}

/// Elements from row to row of a packed tile.
pub(super) fn row_stride<T: Packed>(depth: usize) -> usize {
    depth.div_ceil(T::STEPS).next_multiple_of(TILE_ROWS) + ROW_GAP
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
    let stride = row_stride::<T>(depth);
    with_scratch::<T, _>(panels_len::<T>(depth, s.c_out), |panels| {
        pack_panels(depth, s.c_out, |p| &w[p * s.c_out..(p + 1) * s.c_out], panels);
        let panels = &*panels;
        filled(s.outputs(), |y| {
            y.par_chunks_mut((TILE_PIXELS * s.c_out).max(1)).enumerate().for_each(|(tile, y)| {
                let count = y.len() / s.c_out;
                with_scratch::<T, _>(TILE_PIXELS * stride, |rows| {
                    for (r, row) in rows.chunks_exact_mut(stride).take(count).enumerate() {
                        pack_row(depth, row, |patch| unroll(x, s, tile * TILE_PIXELS + r, patch));
                    }
                    multiply_panels(rows, count, depth, stride, panels, s.c_out, |columns, product| {
                        copy_rows(product, panel_vectors(s.c_out) * LANES, columns, s.c_out, y);
                    });
                });
                // SAFETY: the panels have all columns.
                unsafe { Finish::apply(finish, y) };
            });
        })
    })
}

/// Copies a product into `columns` of rows of `row_len` floats.
pub(super) fn copy_rows(
    product: &[f32],
    width: usize,
    columns: std::ops::Range<usize>,
    row_len: usize,
    out: &mut [MaybeUninit<f32>],
) {
    for (row, product) in out.chunks_exact_mut(row_len).zip(product.chunks_exact(width)) {
        row[columns.clone()].write_copy_of_slice(&product[..columns.len()]);
    }
}

/// See [`weight_grad`](super::weight_grad).
pub(super) fn weight_grad<T: Packed>(x: &[f32], gy: &[f32], s: &ConvShape, _: PhantomData<T>) -> Vec<f32> {
    let depth = s.taps() * s.c_in;
    let pixels = s.batch * s.out_height * s.out_width;
    let vectors = panel_vectors(s.c_out);
    let (width, steps) = (vectors * LANES, STEP_PIXELS / T::STEPS);
    let panels = s.c_out.div_ceil(width);
    let padded = depth.next_multiple_of(TASK_ROWS);
    let stride = padded + ROW_GAP;
    let (left_block, panel_block) = (steps * stride, panels * steps * width);
    let chunk = (CHUNK_FLOATS / (stride + panels * width) / STEP_PIXELS).max(1) * STEP_PIXELS;
    let chunk = chunk.min(pixels.next_multiple_of(STEP_PIXELS));
    let blocks_of = |count: usize| count.div_ceil(STEP_PIXELS);
    with_scratch::<f32, _>(panels * padded * width, |sums| {
        sums.fill(0.0); // there may be no pixel at all
        with_scratch::<T, _>(blocks_of(chunk) * left_block, |v| {
            with_scratch::<T, _>(blocks_of(chunk) * panel_block, |g| {
                for start in (0..pixels).step_by(chunk.max(1)) {
                    let blocks = blocks_of(chunk.min(pixels - start));
                    let v = &mut v[..blocks * left_block];
                    let g = &mut g[..blocks * panel_block];
                    let packs = v.par_chunks_mut(left_block).zip(g.par_chunks_mut(panel_block));
                    packs.enumerate().for_each(|(block, (v, g))| {
                        pack_steps::<T>(x, gy, s, start + block * STEP_PIXELS, stride, v, g);
                    });
                    sums.par_chunks_mut(TASK_ROWS * width).enumerate().for_each(|(task, sums)| {
                        let tasks = padded / TASK_ROWS;
                        let (panel, row) = (task / tasks, task % tasks * TASK_ROWS);
                        let left = Left {
                            data: &v[row..],
                            order: Order::Steps,
                            stride,
                            tiles: TASK_ROWS / TILE_ROWS,
                            tile_stride: TILE_ROWS,
                            steps,
                            blocks,
                            block_stride: left_block,
                        };
                        let data = &g[panel * steps * width..];
                        multiply(
                            &left,
                            &Panel { block_stride: panel_block, ..Panel::dense(data, vectors) },
                            sums,
                            true,
                        );
                    });
                }
            });
        });
        filled(s.weights(), |gw| {
            gw.par_chunks_mut(s.c_out.max(1)).enumerate().for_each(|(row, gw)| {
                for (panel, gw) in gw.chunks_mut(width).enumerate() {
                    let at = (panel * padded + row) * width;
                    gw.write_copy_of_slice(&sums[at..at + gw.len()]);
                }
            });
        })
    })
}

/// One block of both operands of the weight gradient: unrolled fields `[steps, stride]`, and the gradient as panels
/// `[panels, steps, width]`; zero beyond the last pixel.
fn pack_steps<T: Packed>(x: &[f32], gy: &[f32], s: &ConvShape, first: usize, stride: usize, v: &mut [T], g: &mut [T]) {
    let depth = s.taps() * s.c_in;
    let pixels = s.batch * s.out_height * s.out_width;
    // The field of a pixel that is a product's row lies in x as it is.
    let in_place = pointwise::suits(s);
    with_scratch::<f32, _>(s.c_out.max(depth), |zeros| {
        zeros.fill(0.0);
        with_scratch::<f32, _>(T::STEPS * (depth + LANES), |fields| {
            for (step, v) in v.chunks_exact_mut(stride).enumerate() {
                let at = first + step * T::STEPS;
                let of = |pixel: usize| pixel < at + T::STEPS && pixel < pixels;
                if !in_place {
                    for (half, field) in fields.chunks_exact_mut(depth + LANES).enumerate() {
                        if of(at + half) {
                            unroll(x, s, at + half, field);
                        }
                    }
                }
                let field = |half: usize| match (of(at + half), in_place) {
                    (false, _) => &zeros[..depth],
                    (true, true) => &x[(at + half) * depth..][..depth],
                    (true, false) => &fields[half * (depth + LANES)..][..depth],
                };
                let gradient = |half: usize| {
                    if of(at + half) { &gy[(at + half) * s.c_out..][..s.c_out] } else { &zeros[..s.c_out] }
                };
                pack_step([field(0), field(1)], [gradient(0), gradient(1)], step, v, g);
            }
        });
    });
}

/// One step of both operands, from one pixel or, where an element holds two, from two; see [`pack_steps`].
fn pack_step<T: Packed>(field: [&[f32]; 2], gradient: [&[f32]; 2], step: usize, v: &mut [T], g: &mut [T]) {
    let (depth, c_out) = (field[0].len(), gradient[0].len());
    let (width, steps) = (panel_vectors(c_out) * LANES, STEP_PIXELS / T::STEPS);
    vectorised(
        #[inline(always)]
        || {
            T::pack_across(field[0], field[1], &mut v[..depth]);
            for (panel, start) in (0..c_out).step_by(width).enumerate() {
                let part = start..c_out.min(start + width);
                let at = (panel * steps + step) * width;
                T::pack_across(&gradient[0][part.clone()], &gradient[1][part.clone()], &mut g[at..at + part.len()]);
            }
        },
    );
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

/// See [`input_grad`](super::input_grad).
///
/// A stride of s splits the input pixels into s² phases; within one phase it is a plain convolution of `gy` with the taps
/// of that phase, so nothing is scattered and no zero is multiplied.
pub(super) fn input_grad<T: Packed>(gy: &[f32], w: &[f32], s: &ConvShape, _: PhantomData<T>) -> Vec<f32> {
    let phases: Vec<(Phase, Phase, Vec<T>)> = (0..s.stride * s.stride)
        .map(|phase| {
            let vertical = Phase::new(phase / s.stride, s.kernel[0], s.stride, s.padding);
            let horizontal = Phase::new(phase % s.stride, s.kernel[1], s.stride, s.padding);
            let weights = phase_weights(w, s, &vertical, &horizontal);
            let depth = vertical.count * horizontal.count * s.c_out;
            let mut panels = vec![T::default(); panels_len::<T>(depth, s.c_in)];
            pack_panels(depth, s.c_in, |p| &weights[p * s.c_in..(p + 1) * s.c_in], &mut panels);
            (vertical, horizontal, panels)
        })
        .collect();
    // A tile is a run of whole picture rows, across pictures when they are small.
    let tile = (TILE_PIXELS * s.stride * s.stride).div_ceil(s.width.max(1)).next_multiple_of(s.stride);
    let mut gx = vec![0.0; s.inputs()];
    gx.par_chunks_mut((tile * s.width * s.c_in).max(1)).enumerate().for_each(|(t, gx_tile)| {
        let picture_rows = gx_tile.len() / (s.width * s.c_in);
        for (phase, (vertical, horizontal, panels)) in phases.iter().enumerate() {
            let depth = vertical.count * horizontal.count * s.c_out;
            if depth == 0 {
                continue; // gx is zero there already
            }
            let (down, across) = (phase / s.stride, phase % s.stride);
            let of_phase = |row: &usize| (t * tile + row) % s.height % s.stride == down;
            let pixels: Vec<(usize, usize)> = (0..picture_rows)
                .filter(of_phase)
                .flat_map(|row| (across..s.width).step_by(s.stride).map(move |x| (row, x)))
                .collect();
            let stride = row_stride::<T>(depth);
            with_scratch::<T, _>(pixels.len().next_multiple_of(TILE_ROWS) * stride, |rows| {
                for (&(row, x), out) in pixels.iter().zip(rows.chunks_exact_mut(stride)) {
                    let (b, h) = ((t * tile + row) / s.height, (t * tile + row) % s.height);
                    pack_row(depth, out, |patch| unroll_phase(gy, s, [b, h, x], vertical, horizontal, patch));
                }
                multiply_panels(rows, pixels.len(), depth, stride, panels, s.c_in, |columns, product| {
                    let width = panel_vectors(s.c_in) * LANES;
                    for (&(row, x), product) in pixels.iter().zip(product.chunks_exact(width)) {
                        let pixel = &mut gx_tile[(row * s.width + x) * s.c_in..][..s.c_in];
                        pixel[columns.clone()].copy_from_slice(&product[..columns.len()]);
                    }
                });
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
fn unroll_phase(gy: &[f32], s: &ConvShape, [b, h, x]: [usize; 3], v: &Phase, u: &Phase, patch: &mut [f32]) {
    let row_floats = u.count * s.c_out;
    let left = u.start(x, s.stride, s.padding);
    let (before, taps) = clip(left, u.count - 1, u.count, s.out_width);
    let first = (left + before).wrapping_sub(u.count - 1);
    let top = v.start(h, s.stride, s.padding);
    for (t, out) in patch[..v.count * row_floats].chunks_exact_mut(row_floats).enumerate() {
        let oh = (top + t).wrapping_sub(v.count - 1);
        if oh >= s.out_height || taps == 0 {
            out.fill(0.0);
            continue;
        }
        let source = ((b * s.out_height + oh) * s.out_width + first) * s.c_out;
        fill_row(out, before * s.c_out, &gy[source..source + taps * s.c_out]);
    }
}
