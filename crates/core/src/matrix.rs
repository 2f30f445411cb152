//! Matrices in f64: products, a Cholesky factor and triangular solves, eigenvalues (for the Fréchet distance) and eigenvectors
//! (for the directions of a latent space, and for the axes of its density).

use crate::device;
use burn::tensor::{DType, Tensor, TensorData};
use rayon::prelude::*;

/// A dense row-major matrix.
#[derive(Debug, Clone)]
pub(crate) struct Matrix {
    pub rows: usize,
    pub columns: usize,
    pub values: Vec<f64>,
}

impl Matrix {
    /// A square one of these rows.
    pub fn square(values: Vec<f64>) -> Self {
        let side = values.len().isqrt();
        assert_eq!(side * side, values.len(), "as many rows as columns");
        Self { rows: side, columns: side, values }
    }

    fn tensor(self) -> Tensor<2> {
        let data = TensorData::new(self.values, [self.rows, self.columns]);
        Tensor::from_data(data, (&device::cpu(), DType::F64))
    }

    fn from_tensor(tensor: Tensor<2>) -> Self {
        let [rows, columns] = tensor.dims();
        let values = tensor.into_data().try_into_vec().expect("a product of f64 is f64");
        Self { rows, columns, values }
    }

    /// `self · other`.
    pub fn times(self, other: Self) -> Self {
        Self::from_tensor(self.tensor().matmul(other.tensor()))
    }

    /// `self · otherᵀ`.
    pub fn times_transposed(self, other: Self) -> Self {
        Self::from_tensor(self.tensor().matmul(other.tensor().transpose()))
    }

    /// `selfᵀ · other`.
    pub fn transposed_times(self, other: Self) -> Self {
        Self::from_tensor(self.tensor().transpose().matmul(other.tensor()))
    }
}

/// Inner product with eight chains of additions, so that it runs in vector registers; the order is fixed.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a8.zip(b8) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// What becomes of a direction in which a matrix that should be positive definite is zero: a feature that never varies, or one
/// that others determine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Vanishing {
    /// Its column of the factor is zero, as exact arithmetic has it.
    Zero,
    /// The pivot is raised to this, so that the factor can be inverted.
    Raised(f64),
}

/// The lower triangular `L` with `L·Lᵀ = a` for a symmetric positive semi-definite `a`, of which the lower triangle is read.
pub(crate) fn cholesky(a: &Matrix, vanishing: Vanishing) -> Matrix {
    let n = a.rows;
    let most = (0..n).map(|i| a.values[i * n + i]).fold(0.0, f64::max);
    let mut l = Matrix { rows: n, columns: n, values: vec![0.0; n * n] };
    for j in 0..n {
        let (pivot_row, below) = l.values[j * n..].split_at_mut(n);
        let mut pivot = a.values[j * n + j] - dot(&pivot_row[..j], &pivot_row[..j]);
        match vanishing {
            Vanishing::Zero if pivot <= most * 1e-13 * n as f64 => continue,
            Vanishing::Zero => {}
            Vanishing::Raised(least) => pivot = pivot.max(least),
        }
        let root = pivot.sqrt();
        pivot_row[j] = root;
        let pivot_row = &*pivot_row;
        below.par_chunks_exact_mut(n).with_min_len(64).enumerate().for_each(|(i, row)| {
            row[j] = (a.values[(j + 1 + i) * n + j] - dot(&row[..j], &pivot_row[..j])) / root;
        });
    }
    l
}

/// Turns b into L⁻¹ b for a lower triangular L.
pub(crate) fn solve_lower(l: &Matrix, b: &mut [f64]) {
    for (i, row) in l.values.chunks_exact(l.columns).enumerate() {
        let (known, rest) = b.split_at_mut(i);
        rest[0] = (rest[0] - dot(&row[..i], known)) / row[i];
    }
}

/// L⁻¹ of a lower triangular L.
pub(crate) fn inverse_lower(l: &Matrix) -> Matrix {
    let n = l.rows;
    let mut inverse = Matrix { rows: n, columns: n, values: vec![0.0; n * n] };
    let mut column = vec![0.0; n];
    for j in 0..n {
        column.fill(0.0);
        column[j] = 1.0;
        solve_lower(l, &mut column);
        (j..n).for_each(|i| inverse.values[i * n + j] = column[i]);
    }
    inverse
}

/// Eigenvalues of a symmetric matrix, in no particular order: Householder's reduction to a tridiagonal matrix, then QL steps
/// with implicit shifts (Golub & Van Loan 2013, §8.3).
pub(crate) fn eigenvalues(a: Matrix) -> Vec<f64> {
    let (mut diagonal, mut off) = tridiagonal(a);
    implicit_ql(&mut diagonal, &mut off);
    diagonal
}

/// Diagonal and subdiagonal (its last entry is 0) of a similar tridiagonal matrix.
///
/// Step k takes `A ← A − v·wᵀ − w·vᵀ` on the trailing matrix. This update is done one step late, in the pass over the rows
/// that multiplies with the next v: the matrix is read and written once a step.
fn tridiagonal(a: Matrix) -> (Vec<f64>, Vec<f64>) {
    let n = a.rows;
    let mut a = a.values;
    let (mut diagonal, mut off) = (vec![0.0; n], vec![0.0; n]);
    let (mut v, mut w) = (vec![0.0; n], vec![0.0; n]);
    for k in 0..n {
        // Row k as the pending update leaves it; its entries after k are what the reflection must reduce to one.
        let row = &mut a[k * n..(k + 1) * n];
        for j in k..n {
            row[j] -= v[k] * w[j] + w[k] * v[j];
        }
        diagonal[k] = row[k];
        if k + 1 == n {
            break;
        }
        let mut next = vec![0.0; n];
        next[k + 1..].copy_from_slice(&row[k + 1..]);
        let norm = dot(&next[k + 1..], &next[k + 1..]).sqrt();
        off[k] = if next[k + 1] > 0.0 { -norm } else { norm };
        next[k + 1] -= off[k];
        let length = dot(&next[k + 1..], &next[k + 1..]);
        let beta = if length > 0.0 { 2.0 / length } else { 0.0 };
        let mut p = vec![0.0; n];
        let rows = a[(k + 1) * n..].par_chunks_exact_mut(n).zip(&mut p[k + 1..]).enumerate();
        rows.with_min_len(16).for_each(|(i, (row, p))| {
            let i = k + 1 + i;
            let (vi, wi) = (v[i], w[i]);
            for ((value, wj), vj) in row[k + 1..].iter_mut().zip(&w[k + 1..]).zip(&v[k + 1..]) {
                *value -= vi * wj + wi * vj;
            }
            *p = beta * dot(&row[k + 1..], &next[k + 1..]);
        });
        let half = beta / 2.0 * dot(&p[k + 1..], &next[k + 1..]);
        p.iter_mut().zip(&next).for_each(|(p, v)| *p -= half * v);
        (v, w) = (next, p);
    }
    (diagonal, off)
}

/// Turns the diagonal of a symmetric tridiagonal matrix into its eigenvalues.
fn implicit_ql(d: &mut [f64], e: &mut [f64]) {
    let n = d.len();
    for l in 0..n {
        // Thirty steps an eigenvalue are more than any matrix needs; 60 is a bound, not a setting.
        for _ in 0..60 {
            let small = |m: usize| e[m].abs() <= f64::EPSILON * (d[m].abs() + d[m + 1].abs());
            let m = (l..n - 1).find(|&m| small(m)).unwrap_or(n - 1);
            if m == l {
                break;
            }
            // Wilkinson's shift.
            let g = (d[l + 1] - d[l]) / (2.0 * e[l]);
            let mut g = d[m] - d[l] + e[l] / (g + g.hypot(1.0).copysign(g));
            let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
            let mut early = false;
            for i in (l..m).rev() {
                let (f, b) = (s * e[i], c * e[i]);
                let r = f.hypot(g);
                e[i + 1] = r;
                if r == 0.0 {
                    d[i + 1] -= p;
                    e[m] = 0.0;
                    early = true;
                    break;
                }
                (s, c) = (f / r, g / r);
                g = d[i + 1] - p;
                let r = (d[i] - g) * s + 2.0 * c * b;
                p = s * r;
                d[i + 1] = g + p;
                g = c * r - b;
            }
            if !early {
                d[l] -= p;
                e[l] = g;
                e[m] = 0.0;
            }
        }
    }
}

/// Eigenvalues of a symmetric positive semi-definite matrix, largest first, and the unit eigenvector of each, its largest entry
/// positive.
///
/// Jacobi's method, one-sided (Hestenes 1958): rotations R make the rows of R·A orthogonal. Then R·A·Aᵀ·Rᵀ is diagonal: the rows
/// of R are the eigenvectors, the lengths of the rows of R·A the eigenvalues.
pub(crate) fn eigenvectors(a: Matrix) -> Vec<(f64, Vec<f64>)> {
    let n = a.rows;
    let mut product: Vec<Vec<f64>> = a.values.chunks_exact(n).map(<[f64]>::to_vec).collect();
    let mut vectors: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    let largest = product.iter().map(|row| dot(row, row)).fold(0.0, f64::max);
    // Ten sweeps are more than any matrix needs; 60 is a bound, not a setting.
    for _ in 0..60 {
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                let (x, y) = (&product[p], &product[q]);
                let (alpha, beta, gamma) = (dot(x, x), dot(y, y), dot(x, y));
                // Rows that are as good as zero have no direction.
                if gamma.abs() <= 1e-14 * (alpha * beta).sqrt() || gamma.abs() <= 1e-30 * largest {
                    continue;
                }
                rotated = true;
                let zeta = (beta - alpha) / (2.0 * gamma);
                let t = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                rotate(&mut product, p, q, c, c * t);
                rotate(&mut vectors, p, q, c, c * t);
            }
        }
        if !rotated {
            break;
        }
    }
    let mut found: Vec<(f64, Vec<f64>)> = product.iter().map(|row| dot(row, row).sqrt()).zip(vectors).collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (_, vector) in &mut found {
        let largest = vector.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(1.0);
        vector.iter_mut().for_each(|v| *v *= largest.signum());
    }
    found
}

/// Rows p and q of a matrix become `c·p − s·q` and `s·p + c·q`; p < q.
fn rotate(rows: &mut [Vec<f64>], p: usize, q: usize, c: f64, s: f64) {
    let (before, from) = rows.split_at_mut(q);
    for (x, y) in before[p].iter_mut().zip(&mut from[0]) {
        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng;

    fn random(seed: u64, rows: usize, columns: usize) -> Matrix {
        let values = rng::normal(&mut rng::stream(seed, "matrix", 0), rows * columns);
        Matrix { rows, columns, values: values.into_iter().map(f64::from).collect() }
    }

    /// Sums of powers of eigenvalues are traces of powers, for any symmetric matrix.
    #[test]
    fn eigenvalues_have_the_traces_of_the_matrix() {
        for n in [1, 2, 3, 10, 77, 200] {
            let a = random(n as u64, n, n);
            let mut symmetric = a.clone();
            for i in 0..n {
                for j in 0..n {
                    symmetric.values[i * n + j] = a.values[i * n + j] + a.values[j * n + i];
                }
            }
            let found = eigenvalues(symmetric.clone());
            let trace: f64 = (0..n).map(|i| symmetric.values[i * n + i]).sum();
            let squares: f64 = symmetric.values.iter().map(|v| v * v).sum();
            let square = symmetric.clone().times(symmetric.clone());
            let cubes: f64 = (0..n * n).map(|i| square.values[i] * symmetric.values[i % n * n + i / n]).sum();
            let close = |a: f64, b: f64| (a - b).abs() < 1e-10 * squares.powf(1.5).max(1.0);
            assert!(close(found.iter().sum(), trace), "{n}");
            assert!(close(found.iter().map(|v| v * v).sum(), squares), "{n}");
            assert!(close(found.iter().map(|v| v * v * v).sum(), cubes), "{n}");
        }
    }

    #[test]
    fn known_eigenvalues() {
        // The second difference: 2 − 2 cos(iπ / (n + 1)).
        let n = 30;
        let mut a = Matrix { rows: n, columns: n, values: vec![0.0; n * n] };
        for i in 0..n {
            a.values[i * n + i] = 2.0;
            if i + 1 < n {
                (a.values[i * n + i + 1], a.values[(i + 1) * n + i]) = (-1.0, -1.0);
            }
        }
        let mut found = eigenvalues(a);
        found.sort_by(f64::total_cmp);
        for (i, value) in found.iter().enumerate() {
            let expected = 2.0 - 2.0 * (std::f64::consts::PI * (i + 1) as f64 / (n + 1) as f64).cos();
            assert!((value - expected).abs() < 1e-12, "{i}");
        }
        let zero = Matrix { rows: 4, columns: 4, values: vec![0.0; 16] };
        assert_eq!(eigenvalues(zero), [0.0; 4]);
    }

    #[test]
    fn eigenvectors_are_orthonormal_and_multiply_back() {
        // Of full rank, of a rank below the size, nothing at all.
        for (rows, n) in [(60, 40), (1, 1), (12, 20)] {
            let x = random(6, rows, n);
            let a = x.clone().transposed_times(x);
            let found = eigenvectors(a.clone());
            assert!(found.windows(2).all(|pair| pair[0].0 >= pair[1].0));
            for (i, (value, v)) in found.iter().enumerate() {
                for (j, (_, w)) in found.iter().enumerate() {
                    let expected = f64::from(u8::from(i == j));
                    assert!((dot(v, w) - expected).abs() < 1e-12, "{n}: {i}, {j}");
                }
                let product = a.values.chunks_exact(n).map(|row| dot(row, v));
                let worst = product.zip(v).map(|(av, v)| (av - value * v).abs()).fold(0.0, f64::max);
                assert!(worst < 1e-9, "{n}, {i}: {worst}");
            }
            let mut values = eigenvalues(a);
            values.sort_by(|a, b| b.total_cmp(a));
            assert!(values.iter().zip(&found).all(|(a, (b, _))| (a - b).abs() < 1e-9));
        }
        let zero = eigenvectors(Matrix { rows: 3, columns: 3, values: vec![0.0; 9] });
        assert_eq!(zero.iter().map(|(value, _)| *value).collect::<Vec<_>>(), [0.0; 3]);
    }

    #[test]
    fn a_factor_and_its_inverse() {
        let x = random(7, 40, 23);
        let a = x.clone().transposed_times(x);
        let l = cholesky(&a, Vanishing::Raised(1e-12));
        let worst =
            |a: &Matrix, b: &Matrix| a.values.iter().zip(&b.values).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
        assert!(worst(&a, &l.clone().times_transposed(l.clone())) < 1e-10);
        let one =
            Matrix { rows: 23, columns: 23, values: (0..23 * 23).map(|i| f64::from(u8::from(i % 24 == 0))).collect() };
        assert!(worst(&one, &inverse_lower(&l).times(l.clone())) < 1e-10);
        let mut b = l.clone().times(random(8, 23, 1)).values;
        solve_lower(&l, &mut b);
        assert!(b.iter().zip(random(8, 23, 1).values).all(|(b, x)| (b - x).abs() < 1e-10));
        // Rounding may make a pivot negative; raised, the factor still has an inverse.
        let raised = cholesky(
            &Matrix { rows: 2, columns: 2, values: vec![1.0, 1.0, 1.0, 1.0 - 1e-15] },
            Vanishing::Raised(1e-12),
        );
        assert!(inverse_lower(&raised).values.iter().all(|v| v.is_finite()));
    }

    #[test]
    fn a_factor_of_a_singular_matrix() {
        let x = random(5, 12, 20); // rank 12 of 20
        let a = x.clone().transposed_times(x);
        let l = cholesky(&a, Vanishing::Zero);
        let again = l.clone().times_transposed(l);
        let worst = a.values.iter().zip(&again.values).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-10, "{worst}");
    }
}
