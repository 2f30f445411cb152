//! Noise to a sample of a mixture of Gaussians, along a flow.

/// Steps of the flow. 16 of them are within half a percent of the moments of mixtures whose components are a tenth as wide as the
/// whole.
const STEPS: usize = 16;

/// The flow of `xₜ = (1 − t) ε + t u` for ε ~ N(0, I) and u from a mixture of Gaussians: xₜ moves with the mean velocity
/// `v(x, t) = E[u − ε | xₜ = x]` (Lipman 2023, flow matching; Albergo 2023), which has a closed form here, because xₜ given a
/// component is Gaussian: with its mean m, axes Q and variances λ, `σ² = λt² + (1 − t)²` and `y = Qᵀ(x − t m)`,
/// `v = m + Q [(tλ − (1 − t)) / σ² · y]`, and the components weigh as `w Π σ⁻¹ e^(−y²/2σ²)`.
///
/// Why not draw a component, and then from it? Because a latent vector here is a place that one can walk from: the flow is a
/// smooth one-to-one map from noise to the mixture, so that neighbours stay neighbours and an interpolation passes quickly
/// through the gap between two components instead of jumping. The price is a few million multiplications a picture.
pub struct Flow {
    d: usize,
    components: Vec<Gaussian>,
}

struct Gaussian {
    log_weight: f64,
    mean: Vec<f64>,
    /// Qᵀ: an axis a row.
    axes: Vec<f64>,
    variances: Vec<f64>,
}

impl Flow {
    /// The mixture of components with positive weights: means a row each, axes a d×d matrix each whose columns are the axes.
    pub fn new(d: usize, weights: &[f32], means: &[f32], axes: &[f32], variances: &[f32]) -> Self {
        let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        let component = |k: usize| Gaussian {
            log_weight: f64::from(weights[k]).ln(),
            mean: wide(&means[k * d..(k + 1) * d]),
            axes: (0..d * d).map(|i| f64::from(axes[k * d * d + i % d * d + i / d])).collect(),
            // Relative to the whole, whose variances are 1 in these coordinates: no component is a point.
            variances: wide(&variances[k * d..(k + 1) * d]).into_iter().map(|v| v.max(1e-4)).collect(),
        };
        Self { d, components: (0..weights.len()).filter(|&k| weights[k] > 0.0).map(component).collect() }
    }

    /// Where the flow takes ε: Heun's method in equal steps.
    pub fn end(&self, epsilon: &[f32]) -> Vec<f32> {
        let h = 1.0 / STEPS as f64;
        let mut x: Vec<f64> = epsilon.iter().map(|&v| f64::from(v)).collect();
        let moved = |x: &[f64], v: &[f64], h: f64| x.iter().zip(v).map(|(x, v)| x + h * v).collect::<Vec<f64>>();
        let mut v = self.velocity(&x, 0.0);
        for step in 1..=STEPS {
            let next = self.velocity(&moved(&x, &v, h), step as f64 * h);
            let mean: Vec<f64> = v.iter().zip(&next).map(|(a, b)| (a + b) / 2.0).collect();
            x = moved(&x, &mean, h);
            v = self.velocity(&x, step as f64 * h);
        }
        x.into_iter().map(|v| v as f32).collect()
    }

    fn velocity(&self, x: &[f64], t: f64) -> Vec<f64> {
        let each: Vec<(f64, Vec<f64>)> = self.components.iter().map(|c| c.velocity(x, t)).collect();
        let most = each.iter().map(|(log, _)| *log).fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = each.iter().map(|(log, _)| (log - most).exp()).sum();
        let mut v = vec![0.0; self.d];
        for (log, own) in each {
            let share = (log - most).exp() / total;
            v.iter_mut().zip(own).for_each(|(v, own)| *v += share * own);
        }
        v
    }
}

impl Gaussian {
    /// ln of the component's weight at x, but for a constant, and its velocity there.
    fn velocity(&self, x: &[f64], t: f64) -> (f64, Vec<f64>) {
        let d = x.len();
        let away: Vec<f64> = x.iter().zip(&self.mean).map(|(x, m)| x - t * m).collect();
        let (mut log, mut v) = (self.log_weight, self.mean.clone());
        for (axis, lambda) in self.axes.chunks_exact(d).zip(&self.variances) {
            let y: f64 = axis.iter().zip(&away).map(|(a, x)| a * x).sum();
            let variance = lambda * t * t + (1.0 - t) * (1.0 - t);
            log -= 0.5 * (y * y / variance + variance.ln());
            let along = (t * lambda - (1.0 - t)) / variance * y;
            v.iter_mut().zip(axis).for_each(|(v, a)| *v += along * a);
        }
        (log, v)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng;

    /// Weights 0.3 and 0.7, in two dimensions: narrow in one, turned by 30 degrees.
    fn flow() -> Flow {
        let (c, s) = (0.75f32.sqrt(), 0.5f32);
        let axes = [1.0, 0.0, 0.0, 1.0, c, -s, s, c];
        Flow::new(2, &[0.3, 0.7], &[-1.2, 0.3, 0.6, -0.2], &axes, &[0.04, 0.3, 0.5, 0.1])
    }

    /// Noise becomes a sample of the mixture: shares, means and covariances of both components.
    #[test]
    fn the_end_is_the_mixture() {
        let flow = flow();
        let noise = rng::normal(&mut rng::stream(1, "test", 0), 2 * 20_000);
        let ends: Vec<Vec<f32>> = noise.chunks_exact(2).map(|row| flow.end(row)).collect();
        let n = ends.len() as f64;
        let mean =
            |f: &dyn Fn(f64, f64) -> f64| ends.iter().map(|e| f(f64::from(e[0]), f64::from(e[1]))).sum::<f64>() / n;
        let (mx, my) = (0.3 * -1.2 + 0.7 * 0.6, 0.3 * 0.3 - 0.7 * 0.2);
        // Covariance of the turned component: Q diag(0.5, 0.1) Qᵀ.
        let (a, b, cross) = (0.5 * 0.75 + 0.1 * 0.25, 0.5 * 0.25 + 0.1 * 0.75, 0.4 * 0.75f64.sqrt() * 0.5);
        let xx = 0.3 * (0.04 + 1.44) + 0.7 * (a + 0.36);
        let yy = 0.3 * (0.3 + 0.09) + 0.7 * (b + 0.04);
        let xy = 0.3 * (-1.2 * 0.3) + 0.7 * (cross - 0.6 * 0.2);
        let found = [mean(&|x, _| x), mean(&|_, y| y), mean(&|x, _| x * x), mean(&|_, y| y * y), mean(&|x, y| x * y)];
        for (found, expected) in found.iter().zip([mx, my, xx, yy, xy]) {
            assert!((found - expected).abs() < 0.03, "{found}, not {expected}");
        }
        // The narrow component is there, and as narrow: its share of points lies within two of its deviations.
        let near = mean(&|x, y| f64::from(u8::from((x + 1.2).abs() < 0.4 && (y - 0.3).abs() < 1.1)));
        assert!((near - 0.3 * 0.954 * 0.955).abs() < 0.05, "{near}");
    }

    /// A walk through noise has no jump: ten times as many steps are about a tenth as long, the longest one too.
    #[test]
    fn a_walk_is_continuous() {
        let flow = flow();
        let longest = |steps: usize| {
            let at = |i: usize| {
                let angle = i as f32 / steps as f32 * std::f32::consts::TAU;
                flow.end(&[1.5 * angle.cos(), 1.5 * angle.sin()])
            };
            let ends: Vec<Vec<f32>> = (0..=steps).map(at).collect();
            ends.windows(2).map(|pair| (pair[0][0] - pair[1][0]).hypot(pair[0][1] - pair[1][1])).fold(0.0, f32::max)
        };
        let (coarse, fine) = (longest(2_000), longest(20_000));
        assert!(fine < coarse / 5.0, "{coarse} {fine}");
    }

    /// One component: the flow is the symmetric root of its covariance.
    #[test]
    fn a_single_gaussian_is_scaled() {
        let flow = Flow::new(
            2,
            &[1.0, 0.0],
            &[0.5, -0.5, 0.0, 0.0],
            &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
            &[0.25, 1.0, 0.0, 0.0],
        );
        let end = flow.end(&[1.0, -2.0]);
        assert!((end[0] - 1.0).abs() < 0.01 && (end[1] + 2.5).abs() < 0.01, "{end:?}");
    }
}
