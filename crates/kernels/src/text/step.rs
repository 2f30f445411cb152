//! One position after another: what a model needs to write, on plain slices, without tensors or allocation.
//!
//! Every number is a function of its row alone, whatever the number of threads.

use super::{attention, lstm};
use crate::gemm::{LANES, Left, Order, Panel, TILE_ROWS, multiply, panel_vectors};
use crate::simd::with_scratch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Weights from which on a product with one row is worth waking another thread: reading this many takes longer than that.
const WORTH_A_THREAD: usize = 96 * 1024;

/// A weight `[n_in, n_out]`, packed once in the order in which products read it.
#[derive(Debug)]
pub struct Matrix {
    /// `[panels, n_in, width]`, zero beyond the last column.
    panels: Vec<f32>,
    n_in: usize,
    n_out: usize,
}

impl Matrix {
    /// Packs `w [n_in, n_out]`.
    ///
    /// # Panics
    /// If `w` has another size.
    pub fn new(w: &[f32], n_in: usize, n_out: usize) -> Self {
        assert_eq!(w.len(), n_in * n_out, "a weight of another size");
        Self::pack(n_in, n_out, |part, panel| {
            let width = panel.len() / n_in.max(1);
            for (p, out) in panel.chunks_exact_mut(width).enumerate() {
                out[..part.len()].copy_from_slice(&w[p * n_out..][part.clone()]);
            }
        })
    }

    /// Packs the transpose of `w [n_out, n_in]`.
    ///
    /// # Panics
    /// If `w` has another size.
    pub fn transposed(w: &[f32], n_in: usize, n_out: usize) -> Self {
        assert_eq!(w.len(), n_in * n_out, "a weight of another size");
        Self::pack(n_in, n_out, |part, panel| {
            let width = panel.len() / n_in.max(1);
            for (i, row) in w[part.start * n_in..part.end * n_in].chunks_exact(n_in.max(1)).enumerate() {
                for (out, &value) in panel.chunks_exact_mut(width).zip(row) {
                    out[i] = value;
                }
            }
        })
    }

    fn pack(n_in: usize, n_out: usize, fill: impl Fn(std::ops::Range<usize>, &mut [f32]) + Sync) -> Self {
        let width = panel_vectors(n_out) * LANES;
        let mut panels = vec![0.0; n_in * n_out.next_multiple_of(width)];
        panels.par_chunks_mut((n_in * width).max(1)).enumerate().for_each(|(i, panel)| {
            fill(i * width..n_out.min((i + 1) * width), panel);
        });
        Self { panels, n_in, n_out }
    }

    /// Numbers of an input row.
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    /// Numbers of an output row.
    pub fn n_out(&self) -> usize {
        self.n_out
    }

    fn width(&self) -> usize {
        panel_vectors(self.n_out) * LANES
    }

    /// `y = x · w`, `x [rows, n_in]` → `y [rows, n_out]`. Several rows read the weight once; one row gets other roundings of its
    /// last bits than among others.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn times(&self, x: &[f32], y: &mut [f32]) {
        match self.rows(x, y) {
            0 => (),
            1 => self.times_row(x, y),
            rows => self.times_rows(x, rows, y),
        }
    }

    /// As [`times`](Self::times) of each row by itself, to the last bit: rows that have nothing to do with each other, of which each
    /// panel of the weight is read once from memory for all.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn times_each(&self, x: &[f32], y: &mut [f32]) {
        let rows = self.rows(x, y);
        if rows <= 1 {
            return self.times(x, y);
        }
        let (panel, width) = (self.n_in * self.width(), self.width());
        let [_, share] = self.tasks();
        with_scratch::<f32, _>(rows * self.n_out.next_multiple_of(width), |products| {
            let tasks = products.par_chunks_mut(share * rows * width).zip(self.panels.par_chunks(share * panel));
            tasks.for_each(|(products, panels)| {
                // A panel stays in the cache for all rows.
                for (product, panel) in products.chunks_exact_mut(rows * width).zip(panels.chunks_exact(panel)) {
                    for (x, y) in x.chunks_exact(self.n_in).zip(product.chunks_exact_mut(width)) {
                        self.row_times_panels(x, panel, y);
                    }
                }
            });
            self.collect(products, rows, y);
        });
    }

    /// Rows of `x [rows, n_in]`, to which those of `y [rows, n_out]` must fit.
    fn rows(&self, x: &[f32], y: &[f32]) -> usize {
        let rows = x.len() / self.n_in.max(1);
        assert!(x.len() == rows * self.n_in && y.len() == rows * self.n_out, "a product's slices have other sizes");
        rows
    }

    /// Products `[panels, rows, width]`, of which the first rows are wanted → `y [rows, n_out]`.
    fn collect(&self, products: &[f32], rows: usize, y: &mut [f32]) {
        let width = self.width();
        for (i, y) in y.chunks_exact_mut(self.n_out).enumerate() {
            for (y, product) in y.chunks_mut(width).zip(products.chunks_exact(rows * width)) {
                y.copy_from_slice(&product[i * width..][..y.len()]);
            }
        }
    }

    /// How many tasks a product with one row is cut into, and of how many panels each: whole ones, cut by the size of the weight.
    fn tasks(&self) -> [usize; 2] {
        let panels = self.panels.len() / (self.n_in * self.width()).max(1);
        let tasks = (self.panels.len() / WORTH_A_THREAD).clamp(1, panels.max(1));
        [tasks, panels.div_ceil(tasks)]
    }

    fn row_times_panels(&self, x: &[f32], panels: &[f32], y: &mut [f32]) {
        let arch = pulp::Arch::new();
        match self.width() / LANES {
            1 => arch.dispatch(RowTimesPanels::<1> { x, panels, y }),
            2 => arch.dispatch(RowTimesPanels::<2> { x, panels, y }),
            _ => arch.dispatch(RowTimesPanels::<3> { x, panels, y }),
        }
    }

    fn times_row(&self, x: &[f32], y: &mut [f32]) {
        let [tasks, share] = self.tasks();
        if tasks == 1 {
            return self.row_times_panels(x, &self.panels, y);
        }
        y.par_chunks_mut(share * self.width())
            .zip(self.panels.par_chunks(share * self.n_in * self.width()))
            .for_each(|(y, weights)| self.row_times_panels(x, weights, y));
    }

    fn times_rows(&self, x: &[f32], rows: usize, y: &mut [f32]) {
        let (n_in, width, vectors) = (self.n_in, self.width(), panel_vectors(self.n_out));
        let padded = rows.next_multiple_of(TILE_ROWS);
        with_scratch::<f32, _>(padded * n_in, |left| {
            left[..x.len()].copy_from_slice(x);
            left[x.len()..].fill(0.0);
            let left = Left {
                data: &*left,
                order: Order::Rows,
                stride: n_in,
                tiles: padded / TILE_ROWS,
                tile_stride: TILE_ROWS * n_in,
                steps: n_in,
                blocks: 1,
                block_stride: 0,
            };
            with_scratch::<f32, _>(padded * self.n_out.next_multiple_of(width), |products| {
                let panels = products.par_chunks_mut(padded * width).zip(self.panels.par_chunks(n_in * width));
                panels.for_each(|(product, panel)| multiply(&left, &Panel::dense(panel, vectors), product, false));
                self.collect(products, padded, y);
            });
        });
    }
}

/// Sums of a column that are formed side by side, so that an addition need not wait for the one before it.
const CHAINS: usize = 4;

/// `y = x · w` for one row and whole panels of `VECTORS` times LANES columns. LANES columns at a time: their sums stay in registers,
/// and every line of memory is still read once.
struct RowTimesPanels<'a, const VECTORS: usize> {
    x: &'a [f32],
    panels: &'a [f32],
    y: &'a mut [f32],
}

impl<const VECTORS: usize> WithSimd for RowTimesPanels<'_, VECTORS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, panels, y } = self;
        // Registers of LANES columns, and of a row of a panel.
        let registers = LANES / S::F32_LANES;
        let row = VECTORS * registers;
        let (groups, rest) = x.as_chunks::<CHAINS>();
        for (y, panel) in y.chunks_mut(VECTORS * LANES).zip(panels.chunks_exact((x.len() * VECTORS * LANES).max(1))) {
            let (rows, _) = S::as_simd_f32s(panel);
            let (grouped, left) = rows.split_at(groups.len() * CHAINS * row);
            for (column, y) in y.chunks_mut(LANES).enumerate() {
                let mut sums = [[simd.splat_f32s(0.0); LANES]; CHAINS];
                let mut add = |chain: usize, x: f32, row: &[S::f32s]| {
                    let (factor, weights) = (simd.splat_f32s(x), &row[column * registers..][..registers]);
                    for j in 0..registers {
                        sums[chain][j] = simd.mul_add_e_f32s(factor, weights[j], sums[chain][j]);
                    }
                };
                for (rows, group) in grouped.chunks_exact(CHAINS * row).zip(groups) {
                    for chain in 0..CHAINS {
                        add(chain, group[chain], &rows[chain * row..][..row]);
                    }
                }
                for (chain, (row, &x)) in left.chunks_exact(row).zip(rest).enumerate() {
                    add(chain, x, row);
                }
                let mut out = [0.0; LANES];
                let [a, b, c, d] = sums;
                for (j, out) in S::as_mut_simd_f32s(&mut out).0.iter_mut().enumerate() {
                    *out = simd.add_f32s(simd.add_f32s(a[j], b[j]), simd.add_f32s(c[j], d[j]));
                }
                y.copy_from_slice(&out[..y.len()]);
            }
        }
    }
}

/// One row of [`rms_norm`](fn@super::rms_norm): `y = γ x / √(mean(x²) + ε)`.
pub fn rms_norm(x: &[f32], gamma: &[f32], epsilon: f32, y: &mut [f32]) {
    super::rms_norm::row(x, gamma, epsilon, y);
}

/// One row of [`swiglu`](fn@super::swiglu): `x` of `2 · width` numbers, `y` of `width`.
pub fn swiglu(x: &[f32], y: &mut [f32]) {
    super::swiglu::row(x, y);
}

/// One query of one head against the `scores.len()` positions that it sees: `y = Σ_t softmax_t(q · k_t) v_t`. `q` and `keys` are
/// turned by their positions already, and `q` carries the scale; `keys`, `values` are `[positions, width]`.
///
/// # Panics
/// If `keys` or `values` hold fewer positions.
pub fn attend(q: &[f32], keys: &[f32], values: &[f32], scores: &mut [f32], y: &mut [f32]) {
    let len = scores.len() * q.len();
    attention::one_query(q, &keys[..len], &values[..len], scores, y);
}

/// One step of [`lstm`](fn@super::lstm): `sums` are x · w + h · w of the last h, and are overwritten; `c` and `h` are replaced.
pub fn lstm_cell(sums: &mut [f32], bias: &[f32], c: &mut [f32], h: &mut [f32]) {
    lstm::step(sums, bias, c, h);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::numbers;

    #[test]
    fn rows_that_are_multiplied_together_are_each_as_if_alone() {
        for (n_in, n_out) in [(1, 5), (7, 16), (33, 48), (40, 100), (384, 1152), (500, 1030), (130, 3000)] {
            let matrix = Matrix::new(&numbers(2, n_in * n_out), n_in, n_out);
            for rows in [1, 2, 5, 9] {
                let x = numbers(1, rows * n_in);
                let (mut together, mut alone) = (vec![0.0; rows * n_out], vec![0.0; rows * n_out]);
                matrix.times_each(&x, &mut together);
                for (x, y) in x.chunks_exact(n_in).zip(alone.chunks_exact_mut(n_out)) {
                    matrix.times(x, y);
                }
                assert_eq!(together, alone, "{rows} rows of {n_in} to {n_out}");
            }
        }
    }

    #[test]
    fn products_of_one_row_and_of_many_are_products() {
        for (rows, n_in, n_out) in [(1, 7, 5), (1, 33, 48), (3, 33, 48), (9, 40, 100), (1, 384, 1152), (2, 1, 17)] {
            let (x, w) = (numbers(1, rows * n_in), numbers(2, n_in * n_out));
            let columns: Vec<f32> = (0..n_out).flat_map(|j| w[j..].iter().step_by(n_out).copied()).collect();
            let matrices = [Matrix::new(&w, n_in, n_out), Matrix::transposed(&columns, n_in, n_out)];
            let [y, y_transposed] = matrices.map(|matrix| {
                let mut y = vec![f32::NAN; rows * n_out];
                matrix.times(&x, &mut y);
                y
            });
            assert_eq!(y, y_transposed);
            for (at, y) in y.iter().enumerate() {
                let (i, j) = (at / n_out, at % n_out);
                let terms = (0..n_in).map(|p| f64::from(x[i * n_in + p]) * f64::from(w[p * n_out + j]));
                let expected = terms.sum::<f64>();
                assert!(
                    (f64::from(*y) - expected).abs() < 1e-4,
                    "[{i}, {j}] of {rows}x{n_in}x{n_out}: {y}, {expected}"
                );
            }
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bytes() {
        let (x, matrix) = (numbers(1, 500), Matrix::new(&numbers(2, 500 * 1030), 500, 1030));
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut y = vec![0.0; 1030];
            pool.install(|| matrix.times(&x, &mut y));
            y
        };
        assert!(run(1) == run(2) && run(1) == run(5));
    }
}
