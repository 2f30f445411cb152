//! One head of one sequence as a matrix, and the ways that products read it.

use super::AttentionShape;
use crate::gemm::{LANES, Left, Order, Panel, TILE_ROWS};
use crate::simd::{vectorised, with_scratch};
use crate::text::rotary::Rotary;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Positions of a tile: a tile of scores is a panel of two vectors.
pub(super) const TILE: usize = 2 * LANES;

/// Rows that lie `stride` floats apart in a larger tensor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    pub start: usize,
    pub stride: usize,
}

impl Columns {
    pub fn row<'a>(&self, tensor: &'a [f32], t: usize, width: usize) -> &'a [f32] {
        &tensor[self.start + t * self.stride..][..width]
    }
}

/// `[time, width]`, filled up with zeros to whole tiles and panels.
pub(super) struct Head<'a> {
    data: &'a mut [f32],
    shape: &'a AttentionShape,
}

impl<'a> Head<'a> {
    pub fn new(data: &'a mut [f32], shape: &'a AttentionShape) -> Self {
        Self { data, shape }
    }

    /// Reads it as it stands in `tensor`.
    pub fn load(&mut self, tensor: &[f32], from: Columns) {
        self.fill(|t, row| plain(tensor, from, t, row));
    }

    /// Reads it turned by its positions and scaled.
    pub fn load_turned(&mut self, tensor: &[f32], from: Columns, rotary: &Rotary, scale: f32) {
        self.fill(|t, row| turned(tensor, from, rotary, scale, t, row));
    }

    fn fill(&mut self, write: impl Fn(usize, &mut [f32])) {
        let (time, width) = (self.shape.time, self.shape.width);
        vectorised(
            #[inline(always)]
            || {
                for (t, row) in self.data.chunks_exact_mut(self.shape.padded_width()).enumerate() {
                    let (row, rest) = row.split_at_mut(width);
                    rest.fill(0.0);
                    if t < time { write(t, row) } else { row.fill(0.0) }
                }
            },
        );
    }

    pub fn row(&self, t: usize) -> &[f32] {
        &self.data[t * self.shape.padded_width()..][..self.shape.width]
    }

    /// A tile of positions as the left operand, the width its inner dimension.
    pub fn rows(&self, tile: usize) -> Left<'_, f32> {
        let stride = self.shape.padded_width();
        Left {
            data: &self.data[tile * TILE * stride..],
            order: Order::Rows,
            stride,
            tiles: TILE / TILE_ROWS,
            tile_stride: TILE_ROWS * stride,
            steps: self.shape.width,
            blocks: 1,
            block_stride: 0,
        }
    }

    /// A panel of columns as the right operand, the positions from `tile` on its inner dimension.
    pub fn panel(&self, tile: usize, panel: usize) -> Panel<'_, f32> {
        let stride = self.shape.padded_width();
        Panel {
            data: &self.data[tile * TILE * stride + panel * self.shape.panel()..],
            vectors: self.shape.panel() / LANES,
            stride,
            block_stride: TILE * stride,
        }
    }

    /// Writes the transpose into `out`, `[tiles, padded width, TILE]`, whose rows `write` gives; `scratch` holds a row.
    pub fn transposed(out: &mut [f32], shape: &AttentionShape, scratch: &mut [f32], write: impl Fn(usize, &mut [f32])) {
        let row = &mut scratch[..shape.width];
        vectorised(
            #[inline(always)]
            || {
                for (tile, out) in out.chunks_exact_mut(TILE * shape.padded_width()).enumerate() {
                    for i in 0..TILE {
                        let t = tile * TILE + i;
                        if t < shape.time {
                            write(t, row)
                        } else {
                            row.fill(0.0)
                        }
                        for (out, &value) in out.chunks_exact_mut(TILE).zip(&*row) {
                            out[i] = value;
                        }
                    }
                }
            },
        );
    }
}

/// Row `t` as it stands in `tensor`.
#[inline(always)]
pub(super) fn plain(tensor: &[f32], from: Columns, t: usize, row: &mut [f32]) {
    row.copy_from_slice(from.row(tensor, t, row.len()));
}

/// Row `t` turned by its position and scaled.
#[inline(always)]
pub(super) fn turned(tensor: &[f32], from: Columns, rotary: &Rotary, scale: f32, t: usize, row: &mut [f32]) {
    rotary.turn(t, scale, from.row(tensor, t, row.len()), row);
}

/// A tile of positions of a transposed head as the right operand, the width its inner dimension.
pub(super) fn transposed_panel<'a>(data: &'a [f32], shape: &AttentionShape, tile: usize) -> Panel<'a, f32> {
    Panel::dense(&data[tile * TILE * shape.padded_width()..], TILE / LANES)
}

/// Tiles `[.., TILE, TILE]` side by side as the left operand, their columns its inner dimension.
pub(super) fn weights(tiles: &[f32]) -> Left<'_, f32> {
    Left {
        data: tiles,
        order: Order::Rows,
        stride: TILE,
        tiles: TILE / TILE_ROWS,
        tile_stride: TILE_ROWS * TILE,
        steps: TILE,
        blocks: tiles.len() / (TILE * TILE),
        block_stride: TILE * TILE,
    }
}

/// One tile, transposed, as the left operand.
pub(super) fn across(tile: &[f32]) -> Left<'_, f32> {
    Left {
        data: tile,
        order: Order::Steps,
        stride: TILE,
        tiles: TILE / TILE_ROWS,
        tile_stride: TILE_ROWS,
        steps: TILE,
        blocks: 1,
        block_stride: 0,
    }
}

/// Writes tile `from` of `product`, `[panels, tiles, TILE, panel]`, to the positions of tile `to`, turned back where asked for.
///
/// # Safety
/// Nobody else writes these columns in the rows of this sequence meanwhile.
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn store(
    product: &[f32],
    tiles: usize,
    from: usize,
    to: usize,
    shape: &AttentionShape,
    columns: Columns,
    out: &Shared,
    turn: Option<(&Rotary, f32)>,
) {
    let panel = shape.panel();
    with_scratch::<f32, _>(shape.padded_width() + shape.width, |memory| {
        let (row, turned) = memory.split_at_mut(shape.padded_width());
        vectorised(
            #[inline(always)]
            || {
                for i in 0..TILE.min(shape.time - to * TILE) {
                    for (p, row) in row.chunks_exact_mut(panel).enumerate() {
                        row.copy_from_slice(&product[((p * tiles + from) * TILE + i) * panel..][..panel]);
                    }
                    let t = to * TILE + i;
                    let values = match turn {
                        None => &row[..shape.width],
                        Some((rotary, scale)) => {
                            rotary.turn_back(t, scale, &row[..shape.width], turned);
                            &*turned
                        }
                    };
                    // SAFETY: by the contract of this function.
                    unsafe { out.row(columns, t, 0..shape.width) }.write_copy_of_slice(values);
                }
            },
        );
    });
}

/// A tensor whose columns are written by several tasks at once.
pub(super) struct Shared<'a> {
    start: *mut MaybeUninit<f32>,
    len: usize,
    _tensor: PhantomData<&'a mut [MaybeUninit<f32>]>,
}

// SAFETY: it gives out parts of the tensor only through `row`, whose caller promises that no two tasks take the same part.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub fn new(tensor: &'a mut [MaybeUninit<f32>]) -> Self {
        Self { start: tensor.as_mut_ptr(), len: tensor.len(), _tensor: PhantomData }
    }

    /// Columns `part` of row `t`.
    ///
    /// # Safety
    /// Nobody else holds a part of them.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn row(&self, columns: Columns, t: usize, part: Range<usize>) -> &mut [MaybeUninit<f32>] {
        let at = columns.start + t * columns.stride + part.start;
        assert!(at + part.len() <= self.len, "a row outside of its tensor");
        // SAFETY: inside the tensor by the assertion, which is borrowed for as long as `self` lives; unshared by the contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), part.len()) }
    }
}
