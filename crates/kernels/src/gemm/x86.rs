//! The inner loops and the packing of x86 processors, in intrinsics.

use super::{Bf16Pair, Call, LANES, TILE_ROWS};
use std::arch::x86_64::*;

/// The inner loop in intrinsics: `ROWS × vectors` accumulators stay in registers over all steps.
macro_rules! inner_loop {
    ($name:ident, $features:literal, $type:ty, $load:expr, $broadcast:expr, $multiply:expr) => {
        /// # Safety
        /// The processor has the named features, and all offsets of `call` lie inside its slices.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $name<const VECTORS: usize, const BY_ROWS: bool>(call: &Call<$type>) {
            // SAFETY: by the contract of this function.
            unsafe {
                let mut sums = [[_mm512_setzero_ps(); VECTORS]; TILE_ROWS];
                let c = |i: usize, j: usize| call.c.add((i * VECTORS + j) * LANES);
                if call.accumulate {
                    for i in 0..TILE_ROWS {
                        for j in 0..VECTORS {
                            sums[i][j] = _mm512_loadu_ps(c(i, j));
                        }
                    }
                }
                for block in 0..call.blocks {
                    let a = call.a.add(block * call.a_block);
                    let b = call.b.add(block * call.b_block);
                    for p in 0..call.steps {
                        let b = b.add(p * call.b_stride);
                        let mut columns = [$load(b); VECTORS];
                        for j in 1..VECTORS {
                            columns[j] = $load(b.add(j * LANES));
                        }
                        for i in 0..TILE_ROWS {
                            let at = if BY_ROWS { i * call.stride + p } else { p * call.stride + i };
                            let row = $broadcast(a.add(at));
                            for j in 0..VECTORS {
                                sums[i][j] = $multiply(row, columns[j], sums[i][j]);
                            }
                        }
                    }
                }
                for i in 0..TILE_ROWS {
                    for j in 0..VECTORS {
                        _mm512_storeu_ps(c(i, j), sums[i][j]);
                    }
                }
            }
        }
    };
}

inner_loop!(
    avx512_f32,
    "avx512f",
    f32,
    |p: *const f32| _mm512_loadu_ps(p),
    |p: *const f32| _mm512_set1_ps(*p),
    |a, b, c| _mm512_fmadd_ps(a, b, c)
);
inner_loop!(
    avx512_bf16,
    "avx512f,avx512bf16",
    Bf16Pair,
    |p: *const Bf16Pair| _mm512_loadu_si512(p.cast::<__m512i>()),
    |p: *const Bf16Pair| _mm512_set1_epi32((*p).0 as i32),
    // SAFETY: both types are 512 plain bits.
    |a: __m512i, b: __m512i, c| _mm512_dpbf16_ps(
        c,
        std::mem::transmute::<__m512i, __m512bh>(a),
        std::mem::transmute::<__m512i, __m512bh>(b)
    )
);

/// # Safety
/// The processor has AVX-512 with bf16, and `out` holds a pair for every two numbers of `source`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn avx512_pack_along(source: &[f32], out: &mut [Bf16Pair]) {
    for (out, source) in out.chunks_mut(LANES).zip(source.chunks(2 * LANES)) {
        let (mut low, mut high) = ([0.0; LANES], [0.0; LANES]);
        // SAFETY: whole vectors are read from chunks of two vectors, or from the arrays; whole vectors are written to
        // chunks of LANES pairs, masked ones to what is left.
        unsafe {
            let (low, high) = if source.len() == 2 * LANES {
                (source.as_ptr(), source.as_ptr().add(LANES))
            } else {
                let cut = source.len().min(LANES);
                low[..cut].copy_from_slice(&source[..cut]);
                high[..source.len() - cut].copy_from_slice(&source[cut..]);
                (low.as_ptr(), high.as_ptr())
            };
            let pairs = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(high), _mm512_loadu_ps(low));
            write_pairs(out, std::mem::transmute::<__m512bh, __m512i>(pairs));
        }
    }
}

/// # Safety
/// The processor has AVX-512 with bf16, and the three slices have the same length.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn avx512_pack_across(first: &[f32], second: &[f32], out: &mut [Bf16Pair]) {
    // Word 2i from lane i of the first operand, word 2i + 1 from lane i of the second.
    let mut order = [0u16; 2 * LANES];
    for (i, word) in order.iter_mut().enumerate() {
        *word = (i / 2 + i % 2 * LANES) as u16;
    }
    for ((out, first), second) in out.chunks_mut(LANES).zip(first.chunks(LANES)).zip(second.chunks(LANES)) {
        // SAFETY: the masks keep reads and writes inside the chunks.
        unsafe {
            let order = _mm512_loadu_si512(order.as_ptr().cast());
            let mask = ((1u32 << out.len()) - 1) as __mmask16;
            let (first, second) =
                (_mm512_maskz_loadu_ps(mask, first.as_ptr()), _mm512_maskz_loadu_ps(mask, second.as_ptr()));
            let halves = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(second, first));
            write_pairs(out, _mm512_permutexvar_epi16(order, halves));
        }
    }
}

/// # Safety
/// The processor has AVX-512, and `out` has at most LANES elements.
#[target_feature(enable = "avx512f")]
unsafe fn write_pairs(out: &mut [Bf16Pair], pairs: __m512i) {
    let mask = ((1u32 << out.len()) - 1) as __mmask16;
    // SAFETY: by the contract of this function the mask selects just the elements of `out`.
    unsafe { _mm512_mask_storeu_epi32(out.as_mut_ptr().cast(), mask, pairs) };
}

/// # Safety
/// The processor has AVX2 and FMA, and all offsets of `call` lie inside its slices.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn avx2_f32<const VECTORS: usize, const BY_ROWS: bool>(call: &Call<f32>) {
    // Rows change first: those that follow find the columns in the cache.
    for column in (0..VECTORS * LANES).step_by(LANES) {
        for row in (0..TILE_ROWS).step_by(AVX2_ROWS) {
            // SAFETY: the same contract; the parts are those of the tile.
            unsafe { avx2_part::<VECTORS, BY_ROWS>(call, row, column) }
        }
    }
}

/// Rows that [`avx2_part`] computes at once: with two registers of columns the fewest sums that keep two multipliers busy for the
/// four cycles that a multiplication takes.
const AVX2_ROWS: usize = 4;

/// [`AVX2_ROWS`] rows from `row` on and LANES columns from `column` on, in intrinsics: where arrays take the place of registers, the
/// compiler may write every sum to memory in every step.
///
/// # Safety
/// As [`avx2_f32`], and the part lies inside the tile.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn avx2_part<const VECTORS: usize, const BY_ROWS: bool>(call: &Call<f32>, row: usize, column: usize) {
    // SAFETY: by the contract of this function.
    unsafe {
        let mut sums = [[_mm256_setzero_ps(); 2]; AVX2_ROWS];
        let c = |i: usize, j: usize| call.c.add((row + i) * VECTORS * LANES + column + j * LANES / 2);
        if call.accumulate {
            for (i, sums) in sums.iter_mut().enumerate() {
                *sums = [_mm256_loadu_ps(c(i, 0)), _mm256_loadu_ps(c(i, 1))];
            }
        }
        let (down, along) = if BY_ROWS { (call.stride, 1) } else { (1, call.stride) };
        for block in 0..call.blocks {
            let a = call.a.add(block * call.a_block + row * down);
            let b = call.b.add(block * call.b_block + column);
            for p in 0..call.steps {
                let b = b.add(p * call.b_stride);
                let columns = [_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(LANES / 2))];
                for (i, sums) in sums.iter_mut().enumerate() {
                    let factor = _mm256_set1_ps(*a.add(p * along + i * down));
                    sums[0] = _mm256_fmadd_ps(factor, columns[0], sums[0]);
                    sums[1] = _mm256_fmadd_ps(factor, columns[1], sums[1]);
                }
            }
        }
        for (i, [left, right]) in sums.into_iter().enumerate() {
            _mm256_storeu_ps(c(i, 0), left);
            _mm256_storeu_ps(c(i, 1), right);
        }
    }
}
