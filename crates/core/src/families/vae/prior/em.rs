//! Mixtures of Gaussians by expectation maximisation (Dempster 1977), where each point is itself a Gaussian: the posterior of one
//! picture. What is maximised is `Σᵢ ln Σₖ wₖ exp(E_{z ~ qᵢ} ln N(z; mₖ, Sₖ))`, a lower bound of what samples of the posteriors
//! would get, without drawing any; with one component it gives the Gaussian that has the moments of all posteriors together.

use crate::matrix::{Matrix, Vanishing, cholesky, inverse_lower};
use crate::rng;
use rand::RngExt;
use rayon::prelude::*;

/// Rounds of EM, at most, and the gain in nats a point below which it ends.
const ROUNDS: usize = 30;
const ENOUGH: f64 = 1e-3;
/// Of so many pictures one is kept back to choose the number of components.
const FOLDS: usize = 4;
/// Points a component needs.
const POINTS_A_COMPONENT: usize = 24;

/// Gaussians with diagonal covariance, a row each.
pub struct Points {
    d: usize,
    mean: Vec<f64>,
    variance: Vec<f64>,
}

/// One Gaussian of a mixture; the covariance is a whole symmetric matrix.
#[derive(Debug, Clone)]
pub struct Component {
    pub weight: f64,
    pub mean: Vec<f64>,
    pub covariance: Vec<f64>,
}

impl Points {
    /// From means and ln variances, rows of `d` numbers.
    pub fn new(d: usize, mu: &[f32], logvar: &[f32]) -> Self {
        let mean = mu.iter().map(|&v| f64::from(v)).collect();
        Self { d, mean, variance: logvar.iter().map(|&v| f64::from(v).exp()).collect() }
    }

    fn len(&self) -> usize {
        self.mean.len() / self.d
    }

    pub fn are_finite(&self) -> bool {
        self.mean.iter().chain(&self.variance).all(|v| v.is_finite())
    }

    fn rows(&self) -> impl IndexedParallelIterator<Item = (&[f64], &[f64])> {
        self.mean.par_chunks_exact(self.d).zip(self.variance.par_chunks_exact(self.d))
    }

    fn mean(&self, i: usize) -> &[f64] {
        &self.mean[i * self.d..(i + 1) * self.d]
    }

    fn select(&self, keep: impl Fn(usize) -> bool) -> Self {
        let rows: Vec<_> = (0..self.len()).filter(|&i| keep(i)).map(|i| i * self.d..(i + 1) * self.d).collect();
        let of = |values: &[f64]| rows.iter().flat_map(|row| &values[row.clone()]).copied().collect();
        Self { d: self.d, mean: of(&self.mean), variance: of(&self.variance) }
    }
}

/// The mixture whose number of components, up to `most`, describes those points best that it was not fitted to. Every row is of
/// one of the `pictures`, which stay together. More components must be better by more than the standard error of the
/// difference (Breiman 1984, §3.4.3, for trees).
pub fn choose(points: &Points, pictures: &[usize], most: usize) -> Vec<Component> {
    let kept_back = |i: usize| pictures[i] % FOLDS == FOLDS - 1;
    let (fitted, others) = (points.select(|i| !kept_back(i)), points.select(kept_back));
    if fitted.len() < 2 * POINTS_A_COMPONENT || others.len() < 2 {
        return vec![gaussian(points)];
    }
    let counts = std::iter::successors(Some(1), |k| Some(2 * k)).take_while(|&k| k <= most);
    let counts = counts.take_while(|&k| k * POINTS_A_COMPONENT <= fitted.len());
    let described = counts.map(|k| (k, expect(&fit(&fitted, k), &others).0));
    let best = described.reduce(|a, b| {
        let gains: Vec<f64> = a.1.iter().zip(&b.1).map(|(a, b)| b - a).collect();
        let (n, gain) = (gains.len() as f64, mean(&gains));
        let variance = gains.iter().map(|own| (own - gain).powi(2)).sum::<f64>() / (n - 1.0);
        if gain > (variance / n).sqrt() { b } else { a }
    });
    fit(points, best.map_or(1, |(k, _)| k))
}

/// The one Gaussian: the mean of the means, the covariance of the means plus the mean variance.
pub fn gaussian(points: &Points) -> Component {
    moments(points, &vec![1.0; points.len()])
}

/// A mixture of `count` Gaussians, the heaviest first.
///
/// Each covariance is drawn towards the mean covariance of all components with the weight of d + 2 points (a Wishart prior as
/// in Fraley & Raftery 2007, §3), without which a component of few points in many dimensions is flat.
pub fn fit(points: &Points, count: usize) -> Vec<Component> {
    if count == 1 {
        return vec![gaussian(points)];
    }
    let mut shares = one_hot(&nearest_centre(points, count), count);
    let (mut mixture, mut before) = (Vec::new(), f64::NEG_INFINITY);
    for _ in 0..ROUNDS {
        mixture = maximise(points, &shares);
        let (logs, next) = expect(&mixture, points);
        shares = next;
        let value = mean(&logs);
        if value - before < ENOUGH {
            break;
        }
        before = value;
    }
    mixture.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    mixture
}

/// The logarithm in the module's formula for each point, in nats, and the share of each component in each point, a column of points
/// a component.
fn expect(mixture: &[Component], points: &Points) -> (Vec<f64>, Vec<Vec<f64>>) {
    let densities: Vec<Density> = mixture.par_iter().map(Density::new).collect();
    let rows: Vec<(f64, Vec<f64>)> = points
        .rows()
        .map(|(mean, variance)| {
            let mut logs: Vec<f64> = densities.iter().map(|density| density.log(mean, variance)).collect();
            let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total = logs.iter().map(|log| (log - most).exp()).sum::<f64>().ln() + most;
            logs.iter_mut().for_each(|log| *log = (*log - total).exp());
            (total, logs)
        })
        .collect();
    let shares = (0..mixture.len()).map(|k| rows.iter().map(|(_, shares)| shares[k]).collect()).collect();
    (rows.into_iter().map(|(total, _)| total).collect(), shares)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn maximise(points: &Points, shares: &[Vec<f64>]) -> Vec<Component> {
    let mut mixture: Vec<Component> = shares.par_iter().map(|shares| moments(points, shares)).collect();
    let (n, d) = (points.len() as f64, points.d);
    let mut pooled = vec![0.0; d * d];
    for component in &mixture {
        pooled.iter_mut().zip(&component.covariance).for_each(|(p, c)| *p += component.weight * c);
    }
    let prior = (d + 2) as f64;
    for component in &mut mixture {
        let own = component.weight * n;
        for (c, p) in component.covariance.iter_mut().zip(&pooled) {
            *c = (own * *c + prior * p) / (own + prior);
        }
    }
    mixture
}

/// The Gaussian with the moments of the points, each with its share; the weight is its part of all points.
fn moments(points: &Points, shares: &[f64]) -> Component {
    /// What adds less than this to a component adds nothing.
    const NOTHING: f64 = 1e-8;
    let d = points.d;
    let total: f64 = shares.iter().sum::<f64>().max(NOTHING);
    let (mut mean, mut covariance) = (vec![0.0; d], vec![0.0; d * d]);
    let rows = || (0..points.len()).map(|i| (i, shares[i] / total)).filter(|(i, _)| shares[*i] > NOTHING);
    for (i, share) in rows() {
        mean.iter_mut().zip(points.mean(i)).for_each(|(m, v)| *m += share * v);
    }
    let mut away = vec![0.0; d];
    for (i, share) in rows() {
        away.iter_mut().zip(points.mean(i)).zip(&mean).for_each(|((a, v), m)| *a = v - m);
        for (r, row) in covariance.chunks_exact_mut(d).enumerate() {
            let factor = share * away[r];
            row[..=r].iter_mut().zip(&away).for_each(|(c, a)| *c += factor * a);
            row[r] += share * points.variance[i * d + r];
        }
    }
    (0..d).for_each(|i| (0..i).for_each(|j| covariance[j * d + i] = covariance[i * d + j]));
    Component { weight: total / points.len() as f64, mean, covariance }
}

/// The Cholesky factor of a component's covariance. Posterior variances keep its diagonal positive; rounding may not.
pub fn factor(component: &Component) -> Matrix {
    cholesky(&Matrix::square(component.covariance.clone()), Vanishing::Raised(1e-12))
}

/// A component, ready to be evaluated.
struct Density<'a> {
    constant: f64,
    mean: &'a [f64],
    /// L⁻¹ of the covariance L Lᵀ, and the diagonal of the inverse covariance.
    whiten: Vec<f64>,
    precision: Vec<f64>,
}

impl<'a> Density<'a> {
    fn new(component: &'a Component) -> Self {
        let d = component.mean.len();
        let factor = factor(component);
        let log_root: f64 = (0..d).map(|i| factor.values[i * d + i].ln()).sum();
        let whiten = inverse_lower(&factor).values;
        let precision = (0..d).map(|j| (j..d).map(|i| whiten[i * d + j].powi(2)).sum()).collect();
        let constant = component.weight.ln() - log_root - d as f64 / 2.0 * std::f64::consts::TAU.ln();
        Self { constant, mean: &component.mean, whiten, precision }
    }

    /// `ln w + E ln N(z)` for z of this mean and these variances.
    fn log(&self, mean: &[f64], variance: &[f64]) -> f64 {
        let d = mean.len();
        let away: Vec<f64> = mean.iter().zip(self.mean).map(|(a, b)| a - b).collect();
        let squares: f64 = (0..d)
            .map(|i| self.whiten[i * d..=i * d + i].iter().zip(&away).map(|(w, a)| w * a).sum::<f64>().powi(2))
            .sum();
        let spread: f64 = self.precision.iter().zip(variance).map(|(p, v)| p * v).sum();
        self.constant - 0.5 * (squares + spread)
    }
}

/// The number of the nearest of `count` points for each point. They are drawn far from each other: each with a probability as the
/// squared distance to those before it, the best of a few draws (greedy k-means++, Arthur & Vassilvitskii 2007, §7).
fn nearest_centre(points: &Points, count: usize) -> Vec<usize> {
    const DRAWS: usize = 5;
    let mut stream = rng::stream(0, "mixture", count as u64);
    let squares_to = |centre: usize| -> Vec<f64> {
        let centre = points.mean(centre);
        points.rows().map(|(mean, _)| mean.iter().zip(centre).map(|(a, b)| (a - b).powi(2)).sum()).collect()
    };
    let mut distance = squares_to(stream.random_range(0..points.len()));
    let mut nearest = vec![0; points.len()];
    for k in 1..count {
        let total: f64 = distance.iter().sum();
        let mut draw = || {
            let mut place = stream.random::<f64>() * total;
            let passed = |d: &f64| {
                place -= d;
                place < 0.0
            };
            let squares = squares_to(distance.iter().position(passed).unwrap_or(0));
            let left: f64 = squares.iter().zip(&distance).map(|(new, old)| new.min(*old)).sum();
            (left, squares)
        };
        let draws = (0..DRAWS).map(|_| draw());
        let (_, best) = draws.reduce(|a, b| if b.0 < a.0 { b } else { a }).expect("at least one draw");
        for i in 0..points.len() {
            if best[i] < distance[i] {
                (nearest[i], distance[i]) = (k, best[i]);
            }
        }
    }
    nearest
}

fn one_hot(of: &[usize], count: usize) -> Vec<Vec<f64>> {
    (0..count).map(|k| of.iter().map(|&own| f64::from(u8::from(own == k))).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `n` points around each of `centres`, each a Gaussian of small variance.
    fn clusters(n: usize, centres: &[[f32; 3]], width: f32) -> Points {
        let noise = rng::normal(&mut rng::stream(3, "test", 0), n * centres.len() * 3);
        let mu: Vec<f32> = noise
            .chunks_exact(3)
            .enumerate()
            .flat_map(|(i, row)| {
                let centre = centres[i % centres.len()];
                [0, 1, 2].map(|axis| centre[axis] + width * row[axis])
            })
            .collect();
        Points::new(3, &mu, &vec![-4.0; mu.len()])
    }

    #[test]
    fn the_number_of_components_is_that_of_the_clusters() {
        for (centres, width, expected) in [
            (vec![[0.0; 3]], 1.0, 1),
            (vec![[-2.0, 0.0, 0.0], [2.0, 1.0, 0.0]], 0.4, 2),
            (vec![[-2.0, 0.0, 0.0], [2.0, 1.0, 0.0], [0.0, 3.0, 3.0], [0.0, -3.0, 2.0]], 0.4, 4),
        ] {
            let points = clusters(200, &centres, width);
            let pictures: Vec<usize> = (0..points.len()).map(|i| i / centres.len()).collect();
            let mixture = choose(&points, &pictures, 8);
            assert_eq!(mixture.len(), expected);
            let total: f64 = mixture.iter().map(|c| c.weight).sum();
            assert!((total - 1.0).abs() < 1e-9);
            for centre in &centres {
                let near = |c: &Component| c.mean.iter().zip(centre).all(|(m, &v)| (m - f64::from(v)).abs() < 0.3);
                assert!(mixture.iter().any(near), "{centre:?}");
            }
        }
    }

    /// EM never makes it worse, but for what the prior of the covariances costs; and more components describe the points that they
    /// were fitted to better.
    #[test]
    fn the_bound_rises() {
        let points = clusters(100, &[[-2.0, 0.0, 0.0], [2.0, 1.0, 0.0]], 0.4);
        let values: Vec<f64> = [1, 2, 4].iter().map(|&k| mean(&expect(&fit(&points, k), &points).0)).collect();
        assert!(values[1] > values[0] + 0.5, "{values:?}");
        let mut shares = one_hot(&nearest_centre(&points, 3), 3);
        let mut before = f64::NEG_INFINITY;
        for _ in 0..10 {
            let (logs, next) = expect(&maximise(&points, &shares), &points);
            let value = mean(&logs);
            assert!(value > before - 1e-3, "{value} after {before}");
            (before, shares) = (value, next);
        }
    }

    /// One component has the moments of all posteriors together.
    #[test]
    fn one_component_has_the_moments() {
        let points = Points::new(2, &[1.0, 0.0, -1.0, 2.0], &[0.0, 0.0, 0.0, 0.0]);
        let found = gaussian(&points);
        assert_eq!((found.weight, found.mean), (1.0, vec![0.0, 1.0]));
        assert_eq!(found.covariance, [2.0, -1.0, -1.0, 2.0]);
    }

    #[test]
    fn few_points_make_one_gaussian() {
        let points = clusters(10, &[[-2.0, 0.0, 0.0], [2.0, 1.0, 0.0]], 0.1);
        assert_eq!(choose(&points, &(0..20).collect::<Vec<_>>(), 8).len(), 1);
        // The same picture again and again is one picture.
        let points = clusters(100, &[[-2.0, 0.0, 0.0]], 0.1);
        assert_eq!(choose(&points, &[0; 100], 8).len(), 1);
    }
}
