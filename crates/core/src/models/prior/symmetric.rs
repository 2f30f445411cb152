//! Small dense matrices in 64 bits, row by row: the Cholesky factor, triangular solves, eigenvectors.

/// The lower triangular L with L·Lᵀ = `a`, from the lower triangle of a symmetric positive definite d×d matrix.
pub fn cholesky(a: &[f64], d: usize) -> Vec<f64> {
    let mut l = vec![0.0; d * d];
    for i in 0..d {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| l[i * d + k] * l[j * d + k]).sum();
            let rest = a[i * d + j] - dot;
            l[i * d + j] = if i == j {
                // Posterior variances keep the diagonal positive; rounding may not.
                rest.max(1e-12).sqrt()
            } else {
                rest / l[j * d + j]
            };
        }
    }
    l
}

/// Turns b into L⁻¹ b for a lower triangular L.
pub fn solve_lower(l: &[f64], b: &mut [f64]) {
    let d = b.len();
    for i in 0..d {
        let dot: f64 = l[i * d..i * d + i].iter().zip(&b[..i]).map(|(l, b)| l * b).sum();
        b[i] = (b[i] - dot) / l[i * d + i];
    }
}

/// L⁻¹ of a lower triangular L.
pub fn inverse_lower(l: &[f64], d: usize) -> Vec<f64> {
    let mut inverse = vec![0.0; d * d];
    let mut column = vec![0.0; d];
    for j in 0..d {
        column.fill(0.0);
        column[j] = 1.0;
        solve_lower(l, &mut column);
        (j..d).for_each(|i| inverse[i * d + j] = column[i]);
    }
    inverse
}

/// Eigenvalues, and eigenvectors as columns, of a symmetric matrix: cyclic Jacobi rotations (Golub & Van Loan 2013, §8.5).
pub fn eigen(mut a: Vec<f64>, d: usize) -> (Vec<f64>, Vec<f64>) {
    let mut vectors = vec![0.0; d * d];
    (0..d).for_each(|i| vectors[i * d + i] = 1.0);
    let size: f64 = a.iter().map(|v| v * v).sum();
    // It converges quadratically after a few sweeps; 30 is a bound, not a setting.
    for _ in 0..30 {
        let off: f64 = (0..d).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * d + j].powi(2)).sum();
        if off <= 1e-24 * size || off.is_nan() {
            break;
        }
        for p in 0..d {
            for q in p + 1..d {
                rotate(&mut a, &mut vectors, d, p, q);
            }
        }
    }
    ((0..d).map(|i| a[i * d + i]).collect(), vectors)
}

/// Makes `a[p][q]` zero by a rotation of the axes p and q.
fn rotate(a: &mut [f64], vectors: &mut [f64], d: usize, p: usize, q: usize) {
    let apq = a[p * d + q];
    if apq == 0.0 {
        return;
    }
    let tau = (a[q * d + q] - a[p * d + p]) / (2.0 * apq);
    let t = tau.signum() / (tau.abs() + tau.hypot(1.0));
    let c = 1.0 / t.hypot(1.0);
    let s = t * c;
    let turn = |x: &mut [f64], i: usize, j: usize| {
        let (xi, xj) = (x[i], x[j]);
        (x[i], x[j]) = (c * xi - s * xj, s * xi + c * xj);
    };
    for k in 0..d {
        turn(a, k * d + p, k * d + q);
        turn(vectors, k * d + p, k * d + q);
    }
    for k in 0..d {
        turn(a, p * d + k, q * d + k);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng;

    #[test]
    fn cholesky_multiplies_back() {
        let a = [4.0, 0.0, 0.0, 2.0, 5.0, 0.0, 1.0, 3.0, 6.0];
        let l = cholesky(&a, 3);
        for i in 0..3 {
            for j in 0..=i {
                let product: f64 = (0..3).map(|k| l[i * 3 + k] * l[j * 3 + k]).sum();
                assert!((product - a[i * 3 + j]).abs() < 1e-12);
            }
        }
        let inverse = inverse_lower(&l, 3);
        for i in 0..3 {
            for j in 0..3 {
                let product: f64 = (0..3).map(|k| inverse[i * 3 + k] * l[k * 3 + j]).sum();
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn eigenvectors_diagonalise() {
        for d in [1, 2, 7, 40] {
            let x: Vec<f64> =
                rng::normal(&mut rng::stream(1, "test", d as u64), d * d).into_iter().map(f64::from).collect();
            let a: Vec<f64> = (0..d * d).map(|i| x[i] + x[i % d * d + i / d]).collect();
            let (values, vectors) = eigen(a.clone(), d);
            for j in 0..d {
                for i in 0..d {
                    let product: f64 = (0..d).map(|k| a[i * d + k] * vectors[k * d + j]).sum();
                    assert!((product - values[j] * vectors[i * d + j]).abs() < 1e-9, "{d}");
                    let dot: f64 = (0..d).map(|k| vectors[k * d + i] * vectors[k * d + j]).sum();
                    assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-9, "{d}");
                }
            }
        }
        assert!(eigen(vec![f64::NAN; 9], 3).0.iter().all(|v| v.is_nan()));
    }
}
