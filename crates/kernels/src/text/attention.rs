//! Causal multi-head attention with rotary positions, forward and backward.
//!
//! As in FlashAttention-2 (Dao 2023) the `[time, time]` scores never exist as a whole: the forward pass keeps the logarithm of
//! each row's sum of exponentials, and the backward pass computes the scores again, tile by tile. One task is one head of one
//! sequence, so that no sum crosses tasks. Products are f32.

mod head;

use super::rotary::Rotary;
use crate::activation::exp;
use crate::gemm::{LANES, TILE_ROWS, multiply, panel_vectors};
use crate::simd::{dot, filled, vectorised, with_scratch};
use head::{Columns, Head, Shared, TILE};
use rayon::prelude::*;

/// Sizes of `qkv [batch, time, 3 · heads · width] → y [batch, time, heads · width]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttentionShape {
    pub batch: usize,
    pub time: usize,
    pub heads: usize,
    /// Numbers of a head.
    pub width: usize,
}

impl AttentionShape {
    /// Floats of one position of y.
    fn model(&self) -> usize {
        self.heads * self.width
    }

    /// Tiles along the time.
    fn tiles(&self) -> usize {
        self.time.div_ceil(TILE)
    }

    /// Floats of a panel of head columns.
    fn panel(&self) -> usize {
        panel_vectors(self.width) * LANES
    }

    /// Numbers of a head, with the zeros that fill its last panel.
    fn padded_width(&self) -> usize {
        self.width.next_multiple_of(self.panel())
    }

    /// Floats of one head matrix: all positions, with the zeros that fill the last tile.
    fn head_floats(&self) -> usize {
        self.tiles() * TILE * self.padded_width()
    }

    /// What scores are multiplied by (Vaswani 2017, §3.2.1).
    fn scale(&self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }

    /// Where part (0 q, 1 k, 2 v) of head `h` of sequence `b` lies in qkv.
    fn part(&self, b: usize, h: usize, part: usize) -> Columns {
        let row = 3 * self.model();
        Columns { start: b * self.time * row + part * self.model() + h * self.width, stride: row }
    }

    /// Where head `h` of sequence `b` lies in y.
    fn output(&self, b: usize, h: usize) -> Columns {
        Columns { start: b * self.time * self.model() + h * self.width, stride: self.model() }
    }
}

/// `y = softmax(mask(q kᵀ / √width)) v` per head, q and k turned by their positions. Returns y and the logarithms of the
/// sums of exponentials `[batch, heads, time]`.
pub(super) fn forward(qkv: &[f32], s: &AttentionShape, rotary: &Rotary) -> (Vec<f32>, Vec<f32>) {
    let mut log_sum = vec![0.0f32; s.batch * s.heads * s.time];
    let y = filled(s.batch * s.time * s.model(), |y| {
        let y = Shared::new(y);
        log_sum.par_chunks_mut(s.time.max(1)).enumerate().for_each(|(task, log_sum)| {
            let (b, h) = (task / s.heads, task % s.heads);
            with_scratch::<f32, _>(3 * s.head_floats() + s.tiles() * TILE * TILE + TILE * s.panel(), |memory| {
                let (q, memory) = memory.split_at_mut(s.head_floats());
                let (k, memory) = memory.split_at_mut(s.head_floats());
                let (v, memory) = memory.split_at_mut(s.head_floats());
                let (scores, product) = memory.split_at_mut(s.tiles() * TILE * TILE);
                // The memory of v is free until v is loaded.
                Head::transposed(k, s, v, |t, row| head::turned(qkv, s.part(b, h, 1), rotary, 1.0, t, row));
                let (mut q, mut v) = (Head::new(q, s), Head::new(v, s));
                q.load_turned(qkv, s.part(b, h, 0), rotary, s.scale());
                v.load(qkv, s.part(b, h, 2));
                for tile in 0..s.tiles() {
                    let rows = TILE.min(s.time - tile * TILE);
                    let scores = &mut scores[..(tile + 1) * TILE * TILE];
                    for (panel, scores) in scores.chunks_exact_mut(TILE * TILE).enumerate() {
                        multiply(&q.rows(tile), &head::transposed_panel(k, s, panel), scores, false);
                    }
                    let mut sums = [0.0f32; TILE];
                    softmax(scores, &mut sums, &mut log_sum[tile * TILE..][..rows]);
                    let weights = head::weights(scores);
                    for panel in 0..s.padded_width() / s.panel() {
                        multiply(&weights, &v.panel(0, panel), product, false);
                        let columns = panel * s.panel()..s.width.min((panel + 1) * s.panel());
                        for (i, product) in product.chunks_exact(s.panel()).take(rows).enumerate() {
                            // SAFETY: this task alone writes the columns of its head in the rows of its sequence.
                            let out = unsafe { y.row(s.output(b, h), tile * TILE + i, columns.clone()) };
                            for (out, product) in out.iter_mut().zip(product) {
                                out.write(product / sums[i]);
                            }
                        }
                    }
                }
            });
        });
    });
    (y, log_sum)
}

/// Turns a row of tiles of scores, the last of which lies on the diagonal, into `e^(score − largest)`, and writes down each row's
/// sum and the logarithm of its sum of exponentials.
fn softmax(scores: &mut [f32], sums: &mut [f32; TILE], log_sum: &mut [f32]) {
    let diagonal = scores.len() - TILE * TILE;
    vectorised(
        #[inline(always)]
        || {
            for (i, log_sum) in log_sum.iter_mut().enumerate() {
                scores[diagonal + i * TILE + i + 1..diagonal + (i + 1) * TILE].fill(f32::NEG_INFINITY);
                let mut lanes = [f32::NEG_INFINITY; TILE];
                for tile in scores.chunks_exact(TILE * TILE) {
                    for (lane, &x) in lanes.iter_mut().zip(&tile[i * TILE..(i + 1) * TILE]) {
                        *lane = if x > *lane { x } else { *lane };
                    }
                }
                let largest = lanes.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
                let mut lanes = [0.0f32; TILE];
                for tile in scores.chunks_exact_mut(TILE * TILE) {
                    for (lane, x) in lanes.iter_mut().zip(&mut tile[i * TILE..(i + 1) * TILE]) {
                        *x = exp(*x - largest);
                        *lane += *x;
                    }
                }
                // What the future weighs is nothing, and not the little that the exponential gives for minus infinity.
                scores[diagonal + i * TILE + i + 1..diagonal + (i + 1) * TILE].fill(0.0);
                sums[i] = lanes.iter().sum();
                *log_sum = largest + sums[i].ln();
            }
        },
    );
}

/// Gradient of [`forward`] in qkv. With P the weights, dP = gy vᵀ and D = Σ gy · y per row: `dS = P ∘ (dP − D)`, `dv = Pᵀ gy`,
/// `dq = dS k / √width`, `dk = dSᵀ q / √width`, and q and k turned back.
pub(super) fn backward(
    qkv: &[f32],
    y: &[f32],
    gy: &[f32],
    log_sum: &[f32],
    s: &AttentionShape,
    rotary: &Rotary,
) -> Vec<f32> {
    filled(qkv.len(), |g_qkv| {
        let g_qkv = Shared::new(g_qkv);
        log_sum.par_chunks(s.time.max(1)).enumerate().for_each(|(task, log_sum)| {
            let (b, h) = (task / s.heads, task % s.heads);
            let tile_rows = TILE * s.padded_width();
            with_scratch::<f32, _>(7 * s.head_floats() + tile_rows + 2 * TILE * TILE, |memory| {
                let (matrices, memory) = memory.split_at_mut(7 * s.head_floats());
                let mut matrices = matrices.chunks_exact_mut(s.head_floats());
                let mut take = || matrices.next().expect("seven matrices");
                let (mut q, mut k, mut g) = (Head::new(take(), s), Head::new(take(), s), Head::new(take(), s));
                let (k_t, v_t, dk, dv) = (take(), take(), take(), take());
                let (dq, memory) = memory.split_at_mut(tile_rows);
                let (p, ds) = memory.split_at_mut(TILE * TILE);
                q.load_turned(qkv, s.part(b, h, 0), rotary, s.scale());
                k.load_turned(qkv, s.part(b, h, 1), rotary, 1.0);
                g.load(gy, s.output(b, h));
                // The memory of dk and dv is free until the first tile.
                Head::transposed(k_t, s, dk, |t, row| row.copy_from_slice(k.row(t)));
                Head::transposed(v_t, s, dk, |t, row| head::plain(qkv, s.part(b, h, 2), t, row));
                dk.fill(0.0);
                dv.fill(0.0);
                for tile in 0..s.tiles() {
                    let rows = TILE.min(s.time - tile * TILE);
                    let log_sum = &log_sum[tile * TILE..][..rows];
                    let mut means = [0.0f32; TILE];
                    for (i, mean) in means.iter_mut().take(rows).enumerate() {
                        let y = s.output(b, h).row(y, tile * TILE + i, s.width);
                        *mean = vectorised(
                            #[inline(always)]
                            || dot(y, &g.row(tile * TILE + i)[..s.width]),
                        );
                    }
                    for panel in 0..=tile {
                        multiply(&q.rows(tile), &head::transposed_panel(k_t, s, panel), p, false);
                        multiply(&g.rows(tile), &head::transposed_panel(v_t, s, panel), ds, false);
                        score_gradients(p, ds, log_sum, &means, panel == tile);
                        for columns in 0..s.padded_width() / s.panel() {
                            let size = TILE * s.panel();
                            let at = (columns * s.tiles() + panel) * size;
                            multiply(&head::across(p), &g.panel(tile, columns), &mut dv[at..at + size], true);
                            multiply(&head::across(ds), &q.panel(tile, columns), &mut dk[at..at + size], true);
                            let dq = &mut dq[columns * size..(columns + 1) * size];
                            multiply(&head::weights(ds), &k.panel(panel, columns), dq, panel > 0);
                        }
                    }
                    // SAFETY: this task alone writes the columns of its head in the rows of its sequence.
                    unsafe { head::store(dq, 1, 0, tile, s, s.part(b, h, 0), &g_qkv, Some((rotary, s.scale()))) };
                }
                for tile in 0..s.tiles() {
                    // SAFETY: as above; q already carries the scale, so dk needs none.
                    unsafe {
                        head::store(dk, s.tiles(), tile, tile, s, s.part(b, h, 1), &g_qkv, Some((rotary, 1.0)));
                        head::store(dv, s.tiles(), tile, tile, s, s.part(b, h, 2), &g_qkv, None);
                    }
                }
            });
        });
    })
}

/// Turns a tile of scores into weights P and a tile of dP into dS; beyond the last row and, on the diagonal, in the future both are
/// zero.
fn score_gradients(p: &mut [f32], ds: &mut [f32], log_sum: &[f32], means: &[f32; TILE], diagonal: bool) {
    vectorised(
        #[inline(always)]
        || {
            for (i, (p, ds)) in p.chunks_exact_mut(TILE).zip(ds.chunks_exact_mut(TILE)).enumerate() {
                let Some(&log_sum) = log_sum.get(i) else {
                    p.fill(0.0);
                    ds.fill(0.0);
                    continue;
                };
                for (p, ds) in p.iter_mut().zip(ds.iter_mut()) {
                    *p = exp(*p - log_sum);
                    *ds = *p * (*ds - means[i]);
                }
                if diagonal {
                    p[i + 1..].fill(0.0);
                    ds[i + 1..].fill(0.0);
                }
            }
        },
    );
}

/// One query against the keys and values of one head, on this thread: `y = Σ_t softmax(q · k_t) v_t`, with the scale and the turn
/// already in `q` and `keys`. `keys`, `values` are `[time, width]`, `scores` has room for `time` numbers.
pub(super) fn one_query(q: &[f32], keys: &[f32], values: &[f32], scores: &mut [f32], y: &mut [f32]) {
    let width = q.len();
    vectorised(
        #[inline(always)]
        || {
            for (score, key) in scores.iter_mut().zip(keys.chunks_exact(width)) {
                *score = dot(q, key);
            }
            let largest = super::cross_entropy::largest(scores);
            let mut sum = 0.0;
            for score in scores.iter_mut() {
                *score = exp(*score - largest);
            }
            for score in scores.iter() {
                sum += score;
            }
            y.fill(0.0);
            for (&score, value) in scores.iter().zip(values.chunks_exact(width)) {
                for (y, &value) in y.iter_mut().zip(value) {
                    *y += score * value;
                }
            }
            for y in y.iter_mut() {
                *y /= sum;
            }
        },
    );
}

const _: () = assert!(TILE.is_multiple_of(TILE_ROWS) && TILE.is_multiple_of(LANES));
