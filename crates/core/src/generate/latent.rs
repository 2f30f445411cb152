//! Latent vectors: drawn from a seed, and paths between them.

use crate::rng;

/// How a recipe says that its latent vector is [`latent`] of its seed, index and truncation.
pub const SEEDED: &str = "z ~ N(0, 1) of seed and index";

/// Latent vector number `index` of `seed`: `z ~ N(0, 1)` scaled by `truncation`. It depends on nothing else, so picture 3 of
/// a seed is the same whether 4 or 400 are asked for.
pub fn latent(seed: u64, index: u64, z_dim: usize, truncation: f32) -> Vec<f32> {
    let z = rng::normal(&mut rng::stream(seed, "generate", index), z_dim);
    z.into_iter().map(|v| v * truncation).collect()
}

/// Spherical linear interpolation (Shoemake 1985): follows the great circle from `a` to `b`, so that in between vectors keep
/// the length that the model was trained on; the length itself is interpolated linearly.
pub fn slerp(a: &[f32], b: &[f32], t: f32) -> Vec<f32> {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let (length_a, length_b) = (dot(a, a).sqrt(), dot(b, b).sqrt());
    let t = f64::from(t);
    let mix =
        |wa: f64, wb: f64| a.iter().zip(b).map(|(x, y)| (f64::from(*x) * wa + f64::from(*y) * wb) as f32).collect();
    if length_a < 1e-9 || length_b < 1e-9 {
        return mix(1.0 - t, t);
    }
    let angle = (dot(a, b) / (length_a * length_b)).clamp(-1.0, 1.0).acos();
    if angle.sin() < 1e-6 {
        return mix(1.0 - t, t); // parallel: the circle is a line
    }
    let length = length_a + (length_b - length_a) * t;
    mix(
        ((1.0 - t) * angle).sin() / angle.sin() * length / length_a,
        (t * angle).sin() / angle.sin() * length / length_b,
    )
}

/// A closed path through `anchors` with `between` steps from each to the next and from the last back to the first.
pub fn closed_path(anchors: &[Vec<f32>], between: usize) -> Vec<Vec<f32>> {
    let next = |i: usize| &anchors[(i + 1) % anchors.len()];
    (0..anchors.len())
        .flat_map(|i| (0..between).map(move |k| slerp(&anchors[i], next(i), k as f32 / between as f32)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slerp_keeps_lengths_and_ends() {
        let (a, b) = (latent(1, 0, 64, 1.0), latent(1, 1, 64, 1.0));
        let length = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
        for t in [0.0, 0.25, 0.5, 0.75, 1.0] {
            let expected = length(&a) + (length(&b) - length(&a)) * t;
            assert!((length(&slerp(&a, &b, t)) - expected).abs() < 1e-3);
        }
        let close = |x: &[f32], y: &[f32]| x.iter().zip(y).all(|(x, y)| (x - y).abs() < 1e-5);
        assert!(close(&slerp(&a, &b, 0.0), &a) && close(&slerp(&a, &b, 1.0), &b));
        assert!(close(&slerp(&a, &a, 0.5), &a), "equal ends");
        assert_eq!(closed_path(&[a, b], 8).len(), 16);
    }

    #[test]
    fn truncation_scales_and_index_alone_decides() {
        let (whole, half) = (latent(7, 3, 10, 1.0), latent(7, 3, 10, 0.5));
        assert!(whole.iter().zip(&half).all(|(w, h)| (w * 0.5 - h).abs() < 1e-7));
        assert_ne!(whole, latent(7, 4, 10, 1.0));
    }
}
