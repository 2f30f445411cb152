//! Average pooling of 2×2 pixels on `[batch, height, width, channel]` slices.

use crate::augment::PictureShape;
use crate::simd::{filled, vectorised};
use rayon::prelude::*;

/// The mean of each 2×2 square; an odd last row or column is left out.
pub(crate) fn average(x: &[f32], shape: PictureShape) -> Vec<f32> {
    let PictureShape { height, width, channels } = shape;
    let (oh, ow) = (height / 2, width / 2);
    let batch = x.len() / (height * width * channels).max(1);
    let row = width * channels;
    filled(batch * oh * ow * channels, |y| {
        y.par_chunks_mut((ow * channels).max(1)).enumerate().for_each(|(i, y)| {
            let first = ((i / oh) * height + i % oh * 2) * row;
            let (upper, lower) = x[first..first + 2 * row].split_at(row);
            vectorised(
                #[inline(always)]
                || {
                    let pairs = upper.chunks_exact(2 * channels).zip(lower.chunks_exact(2 * channels));
                    for (y, (upper, lower)) in y.chunks_exact_mut(channels).zip(pairs) {
                        let ((a, b), (c, d)) = (upper.split_at(channels), lower.split_at(channels));
                        for ((((y, &a), &b), &c), &d) in y.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                            y.write((a + b + (c + d)) * 0.25);
                        }
                    }
                },
            );
        });
    })
}

/// Gradient of [`average`] in a picture of `shape`: each pixel gets a quarter of its square's gradient.
pub(crate) fn average_backward(gy: &[f32], shape: PictureShape) -> Vec<f32> {
    let PictureShape { height, width, channels } = shape;
    let (oh, ow) = (height / 2, width / 2);
    let batch = gy.len() / (oh * ow * channels).max(1);
    filled(batch * height * width * channels, |gx| {
        gx.par_chunks_mut((width * channels).max(1)).enumerate().for_each(|(i, gx)| {
            let (picture, row) = (i / height, i % height / 2);
            let (inside, rest) = gx.split_at_mut(if row < oh { 2 * ow * channels } else { 0 });
            rest.iter_mut().for_each(|v| _ = v.write(0.0));
            if row >= oh {
                return;
            }
            let gy = &gy[(picture * oh + row) * ow * channels..][..ow * channels];
            vectorised(
                #[inline(always)]
                || {
                    for (gx, gy) in inside.chunks_exact_mut(2 * channels).zip(gy.chunks_exact(channels)) {
                        let (left, right) = gx.split_at_mut(channels);
                        for ((left, right), &gy) in left.iter_mut().zip(right).zip(gy) {
                            left.write(0.25 * gy);
                            right.write(0.25 * gy);
                        }
                    }
                },
            );
        });
    })
}
