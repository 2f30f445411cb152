//! Strided convolutions of a few channels, such as the first layer of a discriminator, as convolutions of stride 1: a block
//! of s×s pixels becomes one pixel of s²·c channels ("space to depth"), and a kernel of k×k taps one of (k/s)×(k/s). A row of
//! a receptive field is then one stretch of memory, and the picture as it lies is the left operand of the product:
//! nothing is unrolled.

use super::{ConvShape, Finish};
use crate::gemm::{LANES, Left, Order, Packed, Panel, TILE_ROWS, multiply, panel_vectors};
use crate::simd::{filled, with_scratch};
use rayon::prelude::*;
use std::marker::PhantomData;

/// The convolution of stride 1 over blocks, which has the padding within its blocks. None where that would not help.
pub(super) fn shape(s: &ConvShape) -> Option<ConvShape> {
    let divides = s.stride > 1 && s.kernel.iter().all(|k| k.is_multiple_of(s.stride));
    // An even number of channels, so that bf16 pairs do not straddle pixels.
    if !divides || s.c_in >= LANES || s.padding >= s.kernel[1] || !(s.stride * s.stride * s.c_in).is_multiple_of(2) {
        return None;
    }
    let kernel = s.kernel.map(|k| k / s.stride);
    let (height, width) = (s.out_height + kernel[0] - 1, s.out_width + kernel[1] - 1);
    Some(ConvShape { height, width, c_in: s.stride * s.stride * s.c_in, kernel, stride: 1, padding: 0, ..*s })
}

/// Floats after the last block: the last group of rows may read, but not use, so many.
fn spare(f: &ConvShape) -> usize {
    TILE_ROWS * f.c_in + LANES
}

/// Pixels as blocks, and some zeros after them.
fn blocks(x: &[f32], s: &ConvShape, f: &ConvShape) -> Vec<f32> {
    let mut blocks = vec![0.0; f.inputs() + spare(f)];
    let row = s.stride * s.c_in;
    let lines = blocks[..f.inputs()].par_chunks_mut(f.width * f.c_in);
    lines.enumerate().for_each(|(line, blocks)| {
        for down in 0..s.stride {
            let h = (line % f.height * s.stride + down).wrapping_sub(s.padding);
            if h >= s.height {
                continue;
            }
            let pixels = &x[(line / f.height * s.height + h) * s.width * s.c_in..][..s.width * s.c_in];
            for (b, block) in blocks.chunks_exact_mut(f.c_in).enumerate() {
                let block = &mut block[down * row..(down + 1) * row];
                // The block's row starts `padding` pixels further left in the picture.
                let (start, left) = (b * row, s.padding * s.c_in);
                let before = left.saturating_sub(start).min(row);
                let source = (start + before).checked_sub(left).and_then(|at| pixels.get(at..)).unwrap_or_default();
                for (out, &value) in block[before..].iter_mut().zip(source) {
                    *out = value;
                }
            }
        }
    });
    blocks
}

/// Pairs (row of the weights `[taps · c_in, c_out]`, the row of the folded weights that it is).
fn weight_rows(s: &ConvShape, f: &ConvShape) -> impl Iterator<Item = (usize, usize)> {
    let (s, f) = (*s, *f);
    (0..s.taps() * s.c_in).map(move |row| {
        let (tap, channel) = (row / s.c_in, row % s.c_in);
        let (i, j) = (tap / s.kernel[1], tap % s.kernel[1]);
        let block = i / s.stride * f.kernel[1] + j / s.stride;
        (row, block * f.c_in + (i % s.stride * s.stride + j % s.stride) * s.c_in + channel)
    })
}

/// `numbers` in the packed format: themselves, or what `pack` makes of them, `len` elements.
fn packed<T: Packed, R>(
    numbers: &[f32],
    len: usize,
    pack: impl FnOnce(&[f32], &mut [T]),
    body: impl FnOnce(&[T]) -> R,
) -> R {
    match T::from_floats(numbers) {
        Some(numbers) => body(numbers),
        None => with_scratch::<T, _>(len, |out| {
            pack(numbers, out);
            body(out)
        }),
    }
}

/// See [`forward`](super::forward).
pub(super) fn forward<T: Packed>(
    x: &[f32],
    w: &[f32],
    s: &ConvShape,
    finish: Option<Finish>,
    f: &ConvShape,
    _: PhantomData<T>,
) -> Vec<f32> {
    let blocks = blocks(x, s, f);
    let vectors = panel_vectors(f.c_out);
    let width = vectors * LANES;
    let (depth, channels) = (f.kernel[1] * f.c_in / T::STEPS, f.c_in / T::STEPS);
    let mut folded = vec![0.0; f.weights()];
    for (row, at) in weight_rows(s, f) {
        folded[at * s.c_out..][..s.c_out].copy_from_slice(&w[row * s.c_out..][..s.c_out]);
    }
    let steps = f.kernel[0] * depth;
    with_scratch::<T, _>(f.c_out.div_ceil(width) * steps * width, |panels| {
        super::direct::pack_panels(steps * T::STEPS, f.c_out, |p| &folded[p * f.c_out..(p + 1) * f.c_out], panels);
        let panels = &*panels;
        packed::<T, _>(&blocks, blocks.len() / T::STEPS, T::pack_along, |blocks| {
            filled(f.outputs(), |y| {
                y.par_chunks_mut((f.out_width * f.c_out).max(1)).enumerate().for_each(|(line, y)| {
                    let tiles = f.out_width.div_ceil(TILE_ROWS);
                    let left = Left {
                        data: &blocks[(line / f.out_height * f.height + line % f.out_height) * f.width * channels..],
                        order: Order::Rows,
                        stride: channels,
                        tiles,
                        tile_stride: TILE_ROWS * channels,
                        steps: depth,
                        blocks: f.kernel[0],
                        block_stride: f.width * channels,
                    };
                    with_scratch::<f32, _>(tiles * TILE_ROWS * width, |product| {
                        for (panel, data) in panels.chunks_exact(steps * width).enumerate() {
                            let right = Panel { data, vectors, stride: width, block_stride: depth * width };
                            multiply(&left, &right, product, false);
                            let columns = panel * width..f.c_out.min((panel + 1) * width);
                            super::direct::copy_rows(product, width, columns, f.c_out, y);
                        }
                    });
                    // SAFETY: the panels have all columns.
                    unsafe { Finish::apply(finish, y) };
                });
            })
        })
    })
}

/// See [`weight_grad`](super::weight_grad): a sum a picture, and the sum of these.
pub(super) fn weight_grad<T: Packed>(
    x: &[f32],
    gy: &[f32],
    s: &ConvShape,
    f: &ConvShape,
    _: PhantomData<T>,
) -> Vec<f32> {
    let blocks = blocks(x, s, f);
    let vectors = panel_vectors(f.c_out);
    let width = vectors * LANES;
    let rows = (f.kernel[1] * f.c_in).next_multiple_of(TILE_ROWS);
    let panels = f.c_out.div_ceil(width);
    let (steps, wide) = (f.out_width.div_ceil(T::STEPS), panels * width);
    let sum = f.kernel[0] * panels * rows * width;
    let mut all = vec![0.0; f.batch * sum];
    // bf16 takes two neighbouring output pixels at once: number i of a receptive field, and of the one after it.
    let pair = |numbers: &[f32], out: &mut [T]| {
        out.par_chunks_mut(4096).enumerate().for_each(|(i, out)| {
            let numbers = &numbers[i * 4096..];
            T::pack_across(&numbers[..out.len()], &numbers[f.c_in..][..out.len()], out);
        });
    };
    packed::<T, _>(&blocks, blocks.len() - f.c_in, pair, |blocks| {
        let picture = f.out_width * f.out_height * f.c_out;
        all.par_chunks_mut(sum.max(1)).zip(gy.par_chunks(picture.max(1))).enumerate().for_each(|(b, (sums, gy))| {
            let mut multiply_all = |right: &[T], stride: usize| {
                for (part, sums) in sums.chunks_exact_mut(rows * width).enumerate() {
                    let (down, panel) = (part / panels, part % panels);
                    let left = Left {
                        data: &blocks[(b * f.height + down) * f.width * f.c_in..],
                        order: Order::Steps,
                        stride: T::STEPS * f.c_in,
                        tiles: rows / TILE_ROWS,
                        tile_stride: TILE_ROWS,
                        steps,
                        blocks: f.out_height,
                        block_stride: f.width * f.c_in,
                    };
                    let data = &right[panel * width..];
                    multiply(&left, &Panel { data, vectors, stride, block_stride: steps * stride }, sums, false);
                }
            };
            match T::from_floats(gy).filter(|_| f.c_out == wide) {
                Some(gy) => multiply_all(gy, f.c_out),
                None => with_scratch::<T, _>(f.out_height * steps * wide, |right| {
                    pack_gradient(gy, f, wide, right);
                    multiply_all(right, wide);
                }),
            }
        });
    });
    let (first, others) = all.split_at_mut(sum.min(f.batch * sum));
    for other in others.chunks_exact(sum.max(1)) {
        for (total, value) in first.iter_mut().zip(other) {
            *total += value;
        }
    }
    let mut gw = vec![0.0; s.weights()];
    if first.is_empty() {
        return gw;
    }
    for (row, at) in weight_rows(s, f) {
        let (down, i) = (at / (f.kernel[1] * f.c_in), at % (f.kernel[1] * f.c_in));
        for (panel, gw) in gw[row * s.c_out..][..s.c_out].chunks_mut(width).enumerate() {
            gw.copy_from_slice(&first[((down * panels + panel) * rows + i) * width..][..gw.len()]);
        }
    }
    gw
}

/// The rows of output gradients of one picture as `[out_height, steps, wide]`, zero beyond the last pixel and channel.
fn pack_gradient<T: Packed>(gy: &[f32], f: &ConvShape, wide: usize, out: &mut [T]) {
    let zeros = vec![0.0; f.c_out];
    out.fill(T::default());
    let steps = f.out_width.div_ceil(T::STEPS);
    for (line, out) in gy.chunks_exact(f.out_width * f.c_out).zip(out.chunks_exact_mut(steps * wide)) {
        for (pixels, out) in line.chunks(T::STEPS * f.c_out).zip(out.chunks_exact_mut(wide)) {
            let second = pixels.get(f.c_out..2 * f.c_out).unwrap_or(&zeros);
            T::pack_across(&pixels[..f.c_out], second, &mut out[..f.c_out]);
        }
    }
}
