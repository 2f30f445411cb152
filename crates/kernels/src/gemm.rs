//! Packed matrix products: C ← A·B or C ← C + A·B, in panels of a few vectors of columns.
//!
//! The callers pack: what is multiplied is never a user's tensor but a transformed or unrolled copy of it, so the copy may
//! as well have the order (and the number format) that the inner loop wants. An element of the product is one chain of
//! fused multiply–adds over the inner dimension in rising order. It depends on its own row and column alone: not on the
//! number of threads, nor on how many other rows are computed with it.

use std::fmt::Debug;

#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
use x86::{avx2_f32, avx512_bf16, avx512_f32, avx512_pack_across, avx512_pack_along};

/// Rows of C that the inner loop computes at once.
pub(crate) const TILE_ROWS: usize = 8;
/// Columns of a panel come in multiples of this.
pub(crate) const LANES: usize = 16;
/// Columns of most panels. Their rows are copied by a few instructions, and not by calls that take longer than the copying.
const USUAL_WIDTH: usize = 2 * LANES;
/// Inner steps between two visits to C, so that the panel stays in the first-level cache. With AVX-512, which visits C in whole rows,
/// a panel of two vectors takes 32 KB; elsewhere 8 KB, because the loop comes back to it (on a Zen 3, 97 instead of 88 GFLOP/s).
fn block_steps() -> usize {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        return 256;
    }
    64
}

/// A number as the inner loop reads it: one f32, or two neighbouring numbers of the inner dimension in bf16.
pub(crate) trait Packed: Copy + Default + Debug + Send + Sync + 'static {
    /// Numbers of the inner dimension that one element holds.
    const STEPS: usize;

    /// Packs numbers that follow each other in the inner dimension. An odd one out is joined by zero.
    fn pack_along(source: &[f32], out: &mut [Self]);

    /// Packs rows that follow each other in the inner dimension: `first`, and where an element holds two, `second`.
    fn pack_across(first: &[f32], second: &[f32], out: &mut [Self]);

    /// `out` itself where packing is copying, so that results can be written in place.
    fn as_floats(out: &mut [Self]) -> Option<&mut [f32]>;

    /// `numbers` themselves where an element is one of them.
    fn from_floats(numbers: &[f32]) -> Option<&[Self]>;

    /// The inner loop of this processor for panels of `vectors` vectors.
    fn inner_loop(vectors: usize, order: Order) -> InnerLoop<Self>;
}

/// Two bf16 numbers, the first in the lower half.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Bf16Pair(u32);

impl Bf16Pair {
    /// Has this processor instructions for them?
    pub fn supported() -> bool {
        #[cfg(target_arch = "x86_64")]
        return std::arch::is_x86_feature_detected!("avx512bw") && std::arch::is_x86_feature_detected!("avx512bf16");
        #[cfg(not(target_arch = "x86_64"))]
        return false;
    }

    #[inline(always)]
    fn new(first: f32, second: f32) -> Self {
        Self(u32::from(to_bf16(first)) | u32::from(to_bf16(second)) << 16)
    }
}

/// The nearest bf16, ties to even; what is not a number stays so.
#[inline(always)]
fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = (bits.wrapping_add(0x7FFF + ((bits >> 16) & 1)) >> 16) as u16;
    if value.is_nan() { 0x7FC0 } else { rounded }
}

/// How the elements of A lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Element (i, p) at `i · stride + p`.
    Rows,
    /// Element (i, p) at `p · stride + i`.
    Steps,
}

/// A left operand: `tiles` groups of [`TILE_ROWS`] rows, each `blocks` blocks of `steps` packed elements deep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left<'a, T> {
    pub data: &'a [T],
    pub order: Order,
    /// From row to row or from step to step, by `order`.
    pub stride: usize,
    pub tiles: usize,
    /// From one group of rows to the next.
    pub tile_stride: usize,
    pub steps: usize,
    pub blocks: usize,
    /// From one block of steps to the next.
    pub block_stride: usize,
}

/// A panel of the right operand: `vectors · LANES` columns, element (p, j) of a block at `p · stride + j`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Panel<'a, T> {
    pub data: &'a [T],
    pub vectors: usize,
    /// From step to step.
    pub stride: usize,
    /// From one block of steps to the next.
    pub block_stride: usize,
}

impl<'a, T> Panel<'a, T> {
    /// One block whose steps follow each other.
    pub fn dense(data: &'a [T], vectors: usize) -> Self {
        Self { data, vectors, stride: vectors * LANES, block_stride: 0 }
    }
}

/// What an inner loop is given. Pointers, because the loops are shared by all shapes and their bounds are checked once.
pub(crate) struct Call<T> {
    a: *const T,
    stride: usize,
    b: *const T,
    c: *mut f32,
    steps: usize,
    blocks: usize,
    b_stride: usize,
    a_block: usize,
    b_block: usize,
    accumulate: bool,
}

/// Multiplies one group of rows with one panel.
pub(crate) type InnerLoop<T> = unsafe fn(&Call<T>);

/// Vectors a panel should have for a product of `columns` columns.
pub(crate) fn panel_vectors(columns: usize) -> usize {
    match columns {
        0..=LANES => 1,
        _ if columns.is_multiple_of(3 * LANES) && !columns.is_multiple_of(2 * LANES) => 3,
        _ => 2,
    }
}

/// `c ← a·b`, or `c ← c + a·b` when `accumulate`; `c` is dense `[tiles · TILE_ROWS, vectors · LANES]`.
pub(crate) fn multiply<T: Packed>(a: &Left<T>, b: &Panel<T>, c: &mut [f32], accumulate: bool) {
    let columns = b.vectors * LANES;
    if a.tiles == 0 {
        return;
    }
    assert_eq!(c.len(), a.tiles * TILE_ROWS * columns, "the product has another size");
    if a.steps == 0 || a.blocks == 0 {
        if !accumulate {
            c.fill(0.0);
        }
        return;
    }
    let (rows, steps) = (TILE_ROWS - 1, a.steps - 1);
    let inside = match a.order {
        Order::Rows => rows * a.stride + steps,
        Order::Steps => steps * a.stride + rows,
    };
    let last = (a.tiles - 1) * a.tile_stride + (a.blocks - 1) * a.block_stride + inside;
    assert!(last < a.data.len(), "the left operand reaches past its slice");
    assert!(
        (a.blocks - 1) * b.block_stride + steps * b.stride + columns <= b.data.len(),
        "the panel reaches past its slice"
    );
    let run = T::inner_loop(b.vectors, a.order);
    // Deep products visit C several times, so that the panel stays in the first-level cache between groups of rows.
    let most = block_steps();
    let (blocks, steps) = if a.blocks == 1 { (1, most) } else { ((most / a.steps).max(1), a.steps) };
    for first_block in (0..a.blocks).step_by(blocks) {
        for first_step in (0..a.steps).step_by(steps) {
            let steps = steps.min(a.steps - first_step);
            let accumulate = accumulate || first_block > 0 || first_step > 0;
            let a_start = first_block * a.block_stride
                + match a.order {
                    Order::Rows => first_step,
                    Order::Steps => first_step * a.stride,
                };
            let b_start = first_block * b.block_stride + first_step * b.stride;
            for (tile, c) in c.chunks_exact_mut(TILE_ROWS * columns).enumerate() {
                let call = Call {
                    a: a.data[tile * a.tile_stride + a_start..].as_ptr(),
                    stride: a.stride,
                    b: b.data[b_start..].as_ptr(),
                    c: c.as_mut_ptr(),
                    steps,
                    blocks: blocks.min(a.blocks - first_block),
                    b_stride: b.stride,
                    a_block: a.block_stride,
                    b_block: b.block_stride,
                    accumulate,
                };
                // SAFETY: the asserts above bound every offset that the loop forms from these sizes and strides, for
                // `a`, `b` and `c` each in its own slice, and `inner_loop` returns only what this processor can run.
                unsafe { run(&call) };
            }
        }
    }
}

/// The inner loop of every other processor, four rows of sixteen columns at a time; the compiler makes vectors of it.
///
/// # Safety
/// All offsets of `call` lie inside its slices.
unsafe fn portable<const VECTORS: usize, const BY_ROWS: bool>(call: &Call<f32>) {
    const ROWS: usize = 4;
    // One instruction of the base set there; elsewhere a call.
    const FUSED: bool = cfg!(target_arch = "aarch64");
    for top in (0..TILE_ROWS).step_by(ROWS) {
        for j in 0..VECTORS {
            // SAFETY: by the contract of this function; every offset is one that the whole tile visits.
            unsafe {
                let c = |i: usize| call.c.add(((top + i) * VECTORS + j) * LANES).cast::<[f32; LANES]>();
                let mut sums = [[0.0f32; LANES]; ROWS];
                if call.accumulate {
                    for (i, sum) in sums.iter_mut().enumerate() {
                        *sum = c(i).read();
                    }
                }
                for block in 0..call.blocks {
                    let a = call.a.add(block * call.a_block);
                    let b = call.b.add(block * call.b_block);
                    for p in 0..call.steps {
                        let columns = b.add(p * call.b_stride + j * LANES).cast::<[f32; LANES]>().read();
                        for (i, sum) in sums.iter_mut().enumerate() {
                            let row = top + i;
                            let at = if BY_ROWS { row * call.stride + p } else { p * call.stride + row };
                            let factor = *a.add(at);
                            for (s, &column) in sum.iter_mut().zip(&columns) {
                                *s = if FUSED { factor.mul_add(column, *s) } else { factor * column + *s };
                            }
                        }
                    }
                }
                for (i, sum) in sums.iter().enumerate() {
                    c(i).write(*sum);
                }
            }
        }
    }
}

/// Picks the instance of a generic inner loop.
macro_rules! instance {
    ($name:ident, $vectors:expr, $order:expr) => {
        match ($vectors, $order) {
            (1, Order::Rows) => $name::<1, true>,
            (1, Order::Steps) => $name::<1, false>,
            (2, Order::Rows) => $name::<2, true>,
            (2, Order::Steps) => $name::<2, false>,
            (3, Order::Rows) => $name::<3, true>,
            (3, Order::Steps) => $name::<3, false>,
            (vectors, _) => unreachable!("no panels of {vectors} vectors"),
        }
    };
}

impl Packed for f32 {
    const STEPS: usize = 1;

    #[inline(always)]
    fn pack_along(source: &[f32], out: &mut [f32]) {
        out.copy_from_slice(source);
    }

    #[inline(always)]
    fn pack_across(first: &[f32], _: &[f32], out: &mut [f32]) {
        match (<&[f32; USUAL_WIDTH]>::try_from(first), <&mut [f32; USUAL_WIDTH]>::try_from(&mut *out)) {
            (Ok(first), Ok(out)) => *out = *first,
            _ => out.copy_from_slice(first),
        }
    }

    fn as_floats(out: &mut [f32]) -> Option<&mut [f32]> {
        Some(out)
    }

    fn from_floats(numbers: &[f32]) -> Option<&[f32]> {
        Some(numbers)
    }

    fn inner_loop(vectors: usize, order: Order) -> InnerLoop<f32> {
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") {
                return instance!(avx512_f32, vectors, order);
            }
            if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                return instance!(avx2_f32, vectors, order);
            }
        }
        instance!(portable, vectors, order)
    }
}

impl Packed for Bf16Pair {
    const STEPS: usize = 2;

    fn pack_along(source: &[f32], out: &mut [Self]) {
        assert_eq!(out.len(), source.len().div_ceil(2));
        #[cfg(target_arch = "x86_64")]
        if Self::supported() {
            // SAFETY: the processor has the instructions, and the assertion makes the lengths fit.
            return unsafe { avx512_pack_along(source, out) };
        }
        for (out, pair) in out.iter_mut().zip(source.chunks(2)) {
            *out = Self::new(pair[0], pair.get(1).copied().unwrap_or(0.0));
        }
    }

    fn pack_across(first: &[f32], second: &[f32], out: &mut [Self]) {
        assert!(first.len() == out.len() && second.len() == out.len());
        #[cfg(target_arch = "x86_64")]
        if Self::supported() {
            // SAFETY: the processor has the instructions, and the assertion makes the lengths fit.
            return unsafe { avx512_pack_across(first, second, out) };
        }
        for ((out, &first), &second) in out.iter_mut().zip(first).zip(second) {
            *out = Self::new(first, second);
        }
    }

    fn as_floats(_: &mut [Self]) -> Option<&mut [f32]> {
        None
    }

    fn from_floats(_: &[f32]) -> Option<&[Self]> {
        None
    }

    fn inner_loop(vectors: usize, order: Order) -> InnerLoop<Self> {
        #[cfg(target_arch = "x86_64")]
        if Self::supported() {
            return instance!(avx512_bf16, vectors, order);
        }
        unreachable!("bf16 is used only where the processor supports it ({vectors} vectors, {order:?})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::numbers;

    #[test]
    fn every_inner_loop_multiplies() {
        // Steps of one block that are visited several times, and several blocks.
        for (vectors, order, (steps, blocks), accumulate) in (1..=3).flat_map(|vectors| {
            let orders = [Order::Rows, Order::Steps].into_iter();
            let depths = [(1, 1), (300, 1), (7, 40)];
            orders.flat_map(move |order| {
                depths.into_iter().flat_map(move |depth| [false, true].map(|add| (vectors, order, depth, add)))
            })
        }) {
            let (tiles, columns) = (3, vectors * LANES);
            let rows = tiles * TILE_ROWS;
            let (stride, tile_stride) =
                if order == Order::Rows { (steps + 5, TILE_ROWS * (steps + 5)) } else { (rows + 2, TILE_ROWS) };
            let block_stride = if order == Order::Rows { rows * stride } else { steps * stride };
            let a = numbers(1, blocks * block_stride + rows);
            let b = numbers(2, blocks * steps * columns);
            let before = numbers(3, rows * columns);
            let mut c = before.clone();
            let left = Left { data: &a, order, stride, tiles, tile_stride, steps, blocks, block_stride };
            let panel = Panel { block_stride: steps * columns, ..Panel::dense(&b, vectors) };
            multiply(&left, &panel, &mut c, accumulate);
            for (at, &c) in c.iter().enumerate() {
                let (i, j) = (at / columns, at % columns);
                let mut expected = if accumulate { f64::from(before[at]) } else { 0.0 };
                for (block, p) in (0..blocks).flat_map(|block| (0..steps).map(move |p| (block, p))) {
                    let inside = if order == Order::Rows { i * stride + p } else { p * stride + i };
                    let factor = a[block * block_stride + inside];
                    expected += f64::from(factor) * f64::from(b[(block * steps + p) * columns + j]);
                }
                assert!(
                    (f64::from(c) - expected).abs() < 1e-4,
                    "[{i}, {j}] of {vectors} vectors, {order:?}, {steps} steps, {blocks} blocks: {c}, {expected}"
                );
            }
        }
    }
}
