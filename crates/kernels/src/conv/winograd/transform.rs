//! The transforms of minimal filtering on vectors of channels.

// Loops by index are unrolled; iterators would be functions of their own, outside of the vector instructions.
#![allow(clippy::needless_range_loop, clippy::manual_memcpy)]

use pulp::Simd;
use std::mem::MaybeUninit;

/// Taps r of the filter of a transform.
pub(super) const fn filter_taps(a: usize) -> usize {
    if a == 4 { 3 } else { 2 }
}

/// Outputs m of a tile in each direction: A = m + r − 1.
pub(super) const fn outputs(a: usize) -> usize {
    a + 1 - filter_taps(a)
}

/// The A×A values of a tile; what a smaller square leaves over is zero and costs nothing.
pub(super) type Grid<V, const A: usize> = [[V; A]; A];

/// The transforms of one dimension, for A = 3, 4 or 5.
#[derive(Clone, Copy)]
pub(super) struct Transform<S: Simd, const A: usize>(pub S);

/// Applies a transform of one dimension to the columns and then the rows of an n×n square, of which m×m values come out.
/// `$load` is the value at ($i, $j), `$store` takes `$v` there. A macro, because the compiler keeps vectors in registers only
/// within functions that are inlined into each other; `unsafe`
/// is that of the place where it stands.
macro_rules! both {
    ($transform:ident.$method:ident, $n:expr => $m:expr, ($i:ident, $j:ident), $load:expr, |$v:ident| $store:expr) => {{
        let mut half = [[MaybeUninit::uninit(); A]; A];
        for $j in 0..$n {
            let mut line = [$transform.zero(); A];
            for $i in 0..$n {
                line[$i] = $load;
            }
            line = $transform.$method(line);
            for i in 0..$m {
                half[i][$j].write(line[i]);
            }
        }
        for $i in 0..$m {
            let mut line = [$transform.zero(); A];
            for j in 0..$n {
                // Sound: the loop before has written all values of the first m rows and n columns.
                line[j] = half[$i][j].assume_init();
            }
            line = $transform.$method(line);
            for $j in 0..$m {
                let $v = line[$j];
                $store;
            }
        }
    }};
}

impl<S: Simd, const A: usize> Transform<S, A> {
    #[inline(always)]
    fn add(self, a: S::f32s, b: S::f32s) -> S::f32s {
        self.0.add_f32s(a, b)
    }

    #[inline(always)]
    fn sub(self, a: S::f32s, b: S::f32s) -> S::f32s {
        self.0.sub_f32s(a, b)
    }

    #[inline(always)]
    fn scale(self, factor: f32, a: S::f32s) -> S::f32s {
        self.0.mul_f32s(self.0.splat_f32s(factor), a)
    }

    /// `factor · a + b`
    #[inline(always)]
    fn scale_add(self, factor: f32, a: S::f32s, b: S::f32s) -> S::f32s {
        self.0.mul_add_f32s(self.0.splat_f32s(factor), a, b)
    }

    #[inline(always)]
    fn zero(self) -> S::f32s {
        self.0.splat_f32s(0.0)
    }

    /// The first values of a line, zeros after them.
    #[inline(always)]
    fn line<const N: usize>(self, values: [S::f32s; N]) -> [S::f32s; A] {
        let mut line = [self.zero(); A];
        for i in 0..N {
            line[i] = values[i];
        }
        line
    }

    #[inline(always)]
    fn input(self, d: [S::f32s; A]) -> [S::f32s; A] {
        if A == 3 {
            self.line([self.sub(d[0], d[1]), d[1], self.sub(d[2], d[1])])
        } else if A == 4 {
            self.line([self.sub(d[0], d[2]), self.add(d[1], d[2]), self.sub(d[2], d[1]), self.sub(d[1], d[3])])
        } else {
            let (far, near) = (self.sub(d[3], d[1]), self.sub(d[2], d[3]));
            self.line([
                self.scale_add(2.0, self.sub(d[0], d[2]), far),
                self.scale_add(2.0, d[1], near),
                self.scale_add(2.0, self.sub(d[2], d[1]), near),
                far,
                self.scale_add(-2.0, far, self.sub(d[4], d[2])),
            ])
        }
    }

    /// Transpose of `input` where neighbouring tiles share one element (A = 3 and 5): the last belongs to the next tile.
    #[inline(always)]
    fn input_adjoint(self, m: [S::f32s; A]) -> [S::f32s; A] {
        if A == 3 {
            self.line([m[0], self.sub(m[1], self.add(m[0], m[2])), m[2]])
        } else {
            let ends = self.scale_add(-2.0, m[4], self.sub(m[0], m[1]));
            self.line([
                self.add(m[0], m[0]),
                self.sub(self.sub(self.sub(m[1], m[2]), m[2]), self.add(ends, m[3])),
                self.scale_add(3.0, m[2], self.sub(self.scale_add(-2.0, m[0], m[1]), m[4])),
                self.add(ends, self.sub(m[3], m[2])),
                m[4],
            ])
        }
    }

    #[inline(always)]
    fn filter(self, g: [S::f32s; A]) -> [S::f32s; A] {
        if A == 3 {
            self.line([g[0], self.add(g[0], g[1]), g[1]])
        } else if A == 4 {
            let (even, odd) = (self.scale(0.5, self.add(g[0], g[2])), self.scale(0.5, g[1]));
            self.line([g[0], self.add(even, odd), self.sub(even, odd), g[2]])
        } else {
            let sixth = self.scale(1.0 / 6.0, g[0]);
            self.line([
                self.scale(0.5, g[0]),
                self.scale(0.5, self.add(g[0], g[1])),
                self.scale_add(-1.0 / 6.0, g[1], sixth),
                self.scale_add(1.0 / 3.0, g[1], sixth),
                g[1],
            ])
        }
    }

    #[inline(always)]
    fn output(self, m: [S::f32s; A]) -> [S::f32s; A] {
        if A == 3 {
            self.line([self.add(m[0], m[1]), self.add(m[1], m[2])])
        } else if A == 4 {
            let (even, odd) = (self.add(m[1], m[2]), self.sub(m[1], m[2]));
            self.line([self.add(m[0], even), self.sub(odd, m[3])])
        } else {
            let (even, odd) = (self.add(m[1], m[2]), self.sub(m[1], m[2]));
            self.line([
                self.add(self.add(m[0], m[3]), even),
                self.scale_add(2.0, m[3], odd),
                self.scale_add(4.0, m[3], even),
                self.add(self.scale_add(8.0, m[3], odd), m[4]),
            ])
        }
    }

    /// Transpose of `output`.
    #[inline(always)]
    fn output_adjoint(self, y: [S::f32s; A]) -> [S::f32s; A] {
        if A == 3 {
            self.line([y[0], self.add(y[0], y[1]), y[1]])
        } else if A == 4 {
            self.line([y[0], self.add(y[0], y[1]), self.sub(y[0], y[1]), self.sub(self.zero(), y[1])])
        } else {
            let (even, odd) = (self.add(y[0], y[2]), self.add(y[1], y[3]));
            let (even_2, odd_2) = (self.scale_add(4.0, y[2], y[0]), self.scale_add(4.0, y[3], y[1]));
            self.line([y[0], self.add(even, odd), self.sub(even, odd), self.scale_add(2.0, odd_2, even_2), y[3]])
        }
    }

    /// Transpose of `filter`.
    #[inline(always)]
    fn filter_adjoint(self, m: [S::f32s; A]) -> [S::f32s; A] {
        if A == 3 {
            self.line([self.add(m[0], m[1]), self.add(m[1], m[2])])
        } else if A == 4 {
            let (even, odd) = (self.scale(0.5, self.add(m[1], m[2])), self.scale(0.5, self.sub(m[1], m[2])));
            self.line([self.add(m[0], even), odd, self.add(even, m[3])])
        } else {
            let half = self.scale(0.5, self.add(m[0], m[1]));
            let rest = self.scale_add(1.0 / 3.0, m[3], self.scale_add(-1.0 / 6.0, m[2], m[4]));
            self.line([self.scale_add(1.0 / 6.0, self.add(m[2], m[3]), half), self.scale_add(0.5, m[1], rest)])
        }
    }

    /// Transforms some channels of the pixels of a tile into A×A rows: row (i, j) starts at `out + (i · A + j) · stride`.
    /// `ADJOINT` takes the pixels of m×m outputs through `output_adjoint`, otherwise A×A pixels go through `input`.
    ///
    /// # Safety
    /// Every pixel that is read reaches to the end of `channels`, and every row of `out` holds so many floats.
    #[inline(always)]
    pub unsafe fn pixels<const ADJOINT: bool>(
        self,
        pixels: &Grid<&[f32], A>,
        channels: std::ops::Range<usize>,
        out: *mut f32,
        stride: usize,
    ) {
        let (start, end) = (channels.start, channels.end);
        for c in (start..end).step_by(S::F32_LANES) {
            // SAFETY: c lies among the channels, and the caller vouches for the pixels and the rows.
            unsafe {
                if ADJOINT {
                    both!(
                        self.output_adjoint, outputs(A) => A, (i, j),
                        load(self.0, pixels[i][j].as_ptr(), c, end),
                        |m| store(self.0, out.add((i * A + j) * stride), c - start, end - start, m)
                    );
                } else {
                    both!(
                        self.input, A => A, (i, j),
                        load(self.0, pixels[i][j].as_ptr(), c, end),
                        |m| store(self.0, out.add((i * A + j) * stride), c - start, end - start, m)
                    );
                }
            }
        }
    }

    /// Transforms r×r rows of `len` weights into A×A rows.
    ///
    /// # Safety
    /// As for [`pixels`](Self::pixels), with `len` for `channels`.
    #[inline(always)]
    pub unsafe fn filters(self, taps: &Grid<&[f32], A>, len: usize, out: *mut f32, stride: usize) {
        for c in (0..len).step_by(S::F32_LANES) {
            // SAFETY: c < len, and the caller vouches for the rows.
            unsafe {
                both!(
                    self.filter, filter_taps(A) => A, (i, j),
                    load(self.0, taps[i][j].as_ptr(), c, len),
                    |m| store(self.0, out.add((i * A + j) * stride), c, len, m)
                );
            }
        }
    }

    /// Takes A×A vectors at distance `stride` through `output` and gives each of the m×m results with its place to `put`.
    ///
    /// # Safety
    /// A whole vector can be read at each of them.
    #[inline(always)]
    pub unsafe fn outputs(self, m: *const f32, stride: usize, mut put: impl FnMut(usize, usize, S::f32s)) {
        // SAFETY: by the contract of this function.
        unsafe { both!(self.output, A => outputs(A), (i, j), read::<S>(m, (i * A + j) * stride), |y| put(i, j, y)) };
    }

    /// As [`outputs`](Self::outputs), through `filter_adjoint` to r×r results.
    ///
    /// # Safety
    /// The same.
    #[inline(always)]
    pub unsafe fn weights(self, m: *const f32, stride: usize, mut put: impl FnMut(usize, usize, S::f32s)) {
        // SAFETY: by the contract of this function.
        unsafe {
            both!(
                self.filter_adjoint, A => filter_taps(A), (i, j),
                read::<S>(m, (i * A + j) * stride),
                |g| put(i, j, g)
            );
        }
    }

    /// The pixels of a tile through `input_adjoint`, given with their places to `put`: from its own products and from those of
    /// the tiles before, above and diagonally above it, which reach one row or column in.
    ///
    /// # Safety
    /// A whole vector can be read at each of the A×A positions of each tile `(products, stride)`.
    #[inline(always)]
    pub unsafe fn inputs(
        self,
        here: (*const f32, usize),
        before: (*const f32, usize),
        above: (*const f32, usize),
        diagonal: (*const f32, usize),
        mut put: impl FnMut(usize, usize, S::f32s),
    ) {
        let mut rows = [[MaybeUninit::uninit(); A]; A];
        for i in 0..A {
            // SAFETY: by the contract of this function.
            let line = unsafe { self.input_row(here, before, i) };
            for j in 0..outputs(A) {
                rows[i][j].write(line[j]);
            }
        }
        // SAFETY: by the contract of this function.
        let last = unsafe { self.input_row(above, diagonal, A - 1) };
        for j in 0..outputs(A) {
            let mut column = [self.zero(); A];
            for i in 0..A {
                // SAFETY: the first m columns of all rows were written above.
                column[i] = unsafe { rows[i][j].assume_init() };
            }
            column = self.input_adjoint(column);
            column[0] = self.add(column[0], last[j]);
            for i in 0..outputs(A) {
                put(i, j, column[i]);
            }
        }
    }

    /// Row `i` of a tile's products through `input_adjoint`, with what the tile before sends into its first column.
    ///
    /// # Safety
    /// As for [`inputs`](Self::inputs).
    #[inline(always)]
    unsafe fn input_row(self, own: (*const f32, usize), before: (*const f32, usize), i: usize) -> [S::f32s; A] {
        let mut line = [self.zero(); A];
        for j in 0..A {
            // SAFETY: by the contract of this function.
            line[j] = unsafe { read::<S>(own.0, (i * A + j) * own.1) };
        }
        line = self.input_adjoint(line);
        // SAFETY: by the contract of this function.
        line[0] = self.add(line[0], unsafe { read::<S>(before.0, (i * A + A - 1) * before.1) });
        line
    }
}

/// # Safety
/// A whole vector can be read at `row + at`.
#[inline(always)]
unsafe fn read<S: Simd>(row: *const f32, at: usize) -> S::f32s {
    // SAFETY: by the contract of this function; vectors are plain floats.
    unsafe { row.add(at).cast::<S::f32s>().read_unaligned() }
}

/// The vector at `at` of a row of `len` floats, zeros beyond its end.
///
/// # Safety
/// `at < len`, and the row can be read.
#[inline(always)]
unsafe fn load<S: Simd>(simd: S, row: *const f32, at: usize, len: usize) -> S::f32s {
    // SAFETY: by the contract of this function; vectors are plain floats.
    unsafe {
        if at + S::F32_LANES <= len {
            row.add(at).cast::<S::f32s>().read_unaligned()
        } else {
            simd.partial_load_f32s(std::slice::from_raw_parts(row.add(at), len - at))
        }
    }
}

/// Writes a vector at `at` of a row of `len` floats, as far as the row goes.
///
/// # Safety
/// `at < len`, and the row can be written (it may be uninitialised).
#[inline(always)]
pub(super) unsafe fn store<S: Simd>(simd: S, row: *mut f32, at: usize, len: usize, value: S::f32s) {
    // SAFETY: by the contract of this function; vectors are plain floats.
    unsafe {
        if at + S::F32_LANES <= len {
            row.add(at).cast::<S::f32s>().write_unaligned(value);
        } else {
            row.add(at).write_bytes(0, len - at); // `partial_store` wants initialised floats
            simd.partial_store_f32s(std::slice::from_raw_parts_mut(row.add(at), len - at), value);
        }
    }
}
