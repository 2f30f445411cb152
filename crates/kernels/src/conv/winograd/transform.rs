//! The transforms of minimal filtering on vectors of channels.

use pulp::Simd;

/// Outputs of a tile in each direction.
pub(super) const OUT: usize = 2;

/// The A×A (or smaller) values of a tile; rows and columns beyond are zero and cost nothing.
pub(super) type Grid<V> = [[V; 4]; 4];

/// The transforms of one dimension, for A = r + 1 = 3 or 4.
#[derive(Clone, Copy)]
pub(super) struct Transform<S: Simd, const A: usize>(pub S);

/// Applies a transform of one dimension to the columns and then the rows of a grid. A macro, because the compiler keeps
/// vector instructions in registers only within functions that are inlined into each other.
macro_rules! both {
    ($transform:ident.$method:ident($grid:expr)) => {{
        let mut grid = $grid;
        for j in 0..4 {
            let column = $transform.$method([grid[0][j], grid[1][j], grid[2][j], grid[3][j]]);
            for i in 0..4 {
                grid[i][j] = column[i];
            }
        }
        for i in 0..4 {
            grid[i] = $transform.$method(grid[i]);
        }
        grid
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
    fn half(self, a: S::f32s) -> S::f32s {
        self.0.mul_f32s(a, self.0.splat_f32s(0.5))
    }

    #[inline(always)]
    fn zero(self) -> S::f32s {
        self.0.splat_f32s(0.0)
    }

    #[inline(always)]
    fn input(self, d: [S::f32s; 4]) -> [S::f32s; 4] {
        if A == 3 {
            [self.sub(d[0], d[1]), d[1], self.sub(d[2], d[1]), d[3]]
        } else {
            [self.sub(d[0], d[2]), self.add(d[1], d[2]), self.sub(d[2], d[1]), self.sub(d[1], d[3])]
        }
    }

    #[inline(always)]
    fn filter(self, g: [S::f32s; 4]) -> [S::f32s; 4] {
        if A == 3 {
            [g[0], self.add(g[0], g[1]), g[1], g[3]]
        } else {
            let (even, odd) = (self.half(self.add(g[0], g[2])), self.half(g[1]));
            [g[0], self.add(even, odd), self.sub(even, odd), g[2]]
        }
    }

    #[inline(always)]
    fn output(self, m: [S::f32s; 4]) -> [S::f32s; 4] {
        if A == 3 {
            [self.add(m[0], m[1]), self.add(m[1], m[2]), self.zero(), self.zero()]
        } else {
            let (even, odd) = (self.add(m[1], m[2]), self.sub(m[1], m[2]));
            [self.add(m[0], even), self.sub(odd, m[3]), self.zero(), self.zero()]
        }
    }

    /// Transpose of `output`.
    #[inline(always)]
    fn output_adjoint(self, y: [S::f32s; 4]) -> [S::f32s; 4] {
        if A == 3 {
            [y[0], self.add(y[0], y[1]), y[1], self.zero()]
        } else {
            [y[0], self.add(y[0], y[1]), self.sub(y[0], y[1]), self.sub(self.zero(), y[1])]
        }
    }

    /// Transpose of `filter`.
    #[inline(always)]
    fn filter_adjoint(self, m: [S::f32s; 4]) -> [S::f32s; 4] {
        if A == 3 {
            [self.add(m[0], m[1]), self.add(m[1], m[2]), self.zero(), self.zero()]
        } else {
            let (even, odd) = (self.half(self.add(m[1], m[2])), self.half(self.sub(m[1], m[2])));
            [self.add(m[0], even), odd, self.add(even, m[3]), self.zero()]
        }
    }

    /// Transforms the pixels of a tile into A×A rows: row (i, j) starts at `out + (i · A + j) · stride`. `adjoint` takes
    /// OUT×OUT pixels through `output_adjoint`, otherwise A×A pixels go through `input`.
    ///
    /// # Safety
    /// Every pixel that is read holds `channels` floats, and so does every row of `out`.
    #[inline(always)]
    pub unsafe fn pixels(self, pixels: &Grid<&[f32]>, adjoint: bool, channels: usize, out: *mut f32, stride: usize) {
        let size = if adjoint { OUT } else { A };
        for c in (0..channels).step_by(S::F32_LANES) {
            let mut d = [[self.zero(); 4]; 4];
            for i in 0..size {
                for j in 0..size {
                    debug_assert_eq!(pixels[i][j].len(), channels);
                    // SAFETY: c < channels, and the caller vouches for the pixel.
                    d[i][j] = unsafe { load(self.0, pixels[i][j].as_ptr(), c, channels) };
                }
            }
            let m = if adjoint { both!(self.output_adjoint(d)) } else { both!(self.input(d)) };
            for i in 0..A {
                for j in 0..A {
                    // SAFETY: c < channels, and the caller vouches for the row.
                    unsafe { store(self.0, out.add((i * A + j) * stride), c, channels, m[i][j]) };
                }
            }
        }
    }

    /// Transforms (A−1)×(A−1) rows of `len` weights into A×A rows.
    ///
    /// # Safety
    /// As for [`pixels`](Self::pixels), with `len` for `channels`.
    #[inline(always)]
    pub unsafe fn filters(self, taps: &Grid<&[f32]>, len: usize, out: *mut f32, stride: usize) {
        for c in (0..len).step_by(S::F32_LANES) {
            let mut g = [[self.zero(); 4]; 4];
            for i in 0..A - 1 {
                for j in 0..A - 1 {
                    debug_assert_eq!(taps[i][j].len(), len);
                    // SAFETY: c < len, and the caller vouches for the row.
                    g[i][j] = unsafe { load(self.0, taps[i][j].as_ptr(), c, len) };
                }
            }
            let m = both!(self.filter(g));
            for i in 0..A {
                for j in 0..A {
                    // SAFETY: as above.
                    unsafe { store(self.0, out.add((i * A + j) * stride), c, len, m[i][j]) };
                }
            }
        }
    }

    /// Loads A×A vectors at distance `stride` and takes them through `output`.
    ///
    /// # Safety
    /// A whole vector can be read at each of them.
    #[inline(always)]
    pub unsafe fn outputs(self, m: *const f32, stride: usize) -> Grid<S::f32s> {
        // SAFETY: by the contract of this function.
        let m = unsafe { self.grid(m, stride) };
        both!(self.output(m))
    }

    /// Loads A×A vectors at distance `stride` and takes them through `filter_adjoint`.
    ///
    /// # Safety
    /// As for [`outputs`](Self::outputs).
    #[inline(always)]
    pub unsafe fn weights(self, m: *const f32, stride: usize) -> Grid<S::f32s> {
        // SAFETY: by the contract of this function.
        let m = unsafe { self.grid(m, stride) };
        both!(self.filter_adjoint(m))
    }

    /// The transpose of `input` for A = 3, as far as it falls into the first two rows and columns of a tile: from the tile's
    /// own products and from those of the tiles before, above and diagonally above it, which reach one row or column in.
    ///
    /// # Safety
    /// A whole vector can be read at each of the nine positions of each tile `(products, stride)`.
    #[inline(always)]
    pub unsafe fn inputs(
        self,
        here: (*const f32, usize),
        before: (*const f32, usize),
        above: (*const f32, usize),
        diagonal: (*const f32, usize),
    ) -> [[S::f32s; 2]; 2] {
        let at = |(products, stride): (*const f32, usize), i: usize, j: usize| {
            // SAFETY: by the contract of this function.
            unsafe { products.add((i * A + j) * stride).cast::<S::f32s>().read_unaligned() }
        };
        // One dimension: [m0 + the m2 of the tile before, m1 − m0 − m2].
        let mut rows = [[self.zero(); 2]; 3];
        for (i, row) in rows.iter_mut().enumerate() {
            let m = [at(here, i, 0), at(here, i, 1), at(here, i, 2)];
            *row = [self.add(m[0], at(before, i, 2)), self.sub(m[1], self.add(m[0], m[2]))];
        }
        let m = [at(above, 2, 0), at(above, 2, 1), at(above, 2, 2)];
        let above = [self.add(m[0], at(diagonal, 2, 2)), self.sub(m[1], self.add(m[0], m[2]))];
        let mut y = [[self.zero(); 2]; 2];
        for j in 0..2 {
            y[0][j] = self.add(rows[0][j], above[j]);
            y[1][j] = self.sub(rows[1][j], self.add(rows[0][j], rows[2][j]));
        }
        y
    }

    #[inline(always)]
    unsafe fn grid(self, m: *const f32, stride: usize) -> Grid<S::f32s> {
        let mut grid = [[self.zero(); 4]; 4];
        for i in 0..A {
            for j in 0..A {
                // SAFETY: the callers pass their contract on.
                grid[i][j] = unsafe { m.add((i * A + j) * stride).cast::<S::f32s>().read_unaligned() };
            }
        }
        grid
    }
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
