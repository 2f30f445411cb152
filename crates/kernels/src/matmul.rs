//! A bounds-checked face for the `gemm` crate: C ← A·B or C ← C + A·B on one thread.
//!
//! Threads are spread over tiles by the callers, so that the cut of the work, and with it the order of every sum,
//! depends on the problem and never on the number of threads.

use gemm::Parallelism;

/// A read-only matrix inside a slice: element (i, j) is `data[i * row_stride + j * column_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub data: &'a [f32],
    pub rows: usize,
    pub columns: usize,
    pub row_stride: usize,
    pub column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A dense row-major matrix.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The transpose, without moving data.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    fn check(&self) {
        if self.rows > 0 && self.columns > 0 {
            let last = (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride;
            assert!(last < self.data.len(), "matrix reaches past its slice");
        }
    }
}

/// `c ← a·b`, or `c ← c + a·b` when `accumulate`; `c` is row-major with `row_stride` floats from row to row.
pub(crate) fn matmul(c: &mut [f32], row_stride: usize, a: Matrix, b: Matrix, accumulate: bool) {
    assert_eq!(a.columns, b.rows, "inner dimensions differ");
    a.check();
    b.check();
    if a.rows == 0 || b.columns == 0 {
        return;
    }
    assert!(b.columns <= row_stride || a.rows == 1, "rows of the product overlap");
    assert!((a.rows - 1) * row_stride + b.columns <= c.len(), "product reaches past its slice");
    // SAFETY: the three asserts above bound every index that gemm forms from these sizes and strides; `c` is borrowed
    // mutably and so does not alias `a` or `b`.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            c.as_mut_ptr(),
            1,
            row_stride as isize,
            accumulate,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
