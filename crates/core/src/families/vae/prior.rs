//! Where the encoder puts the training pictures: a Gaussian, and in it a mixture of Gaussians where that describes unseen latents
//! better (ex-post density estimation, Ghosh 2020, §4).

mod em;
mod flow;

use crate::matrix::{Matrix, eigenvectors, solve_lower};
use crate::nn::{Module, Param, host, join, vector};
use crate::weights::{HostTensor, Weights};
use burn::tensor::{Tensor, TensorData};
use em::{Component, Points};
use flow::Flow;
use rayon::prelude::*;

/// Components, at most.
const MOST: usize = 8;
/// Latent dimensions up to which a mixture is tried: its parameters, and the time to fit it, grow with their square.
const MOST_DIMENSIONS: usize = 128;

/// The density of a VAE's latent space that pictures are made from.
///
/// The encoder never fills N(0, 1) exactly, and what lies in its gaps decodes to nothing sensible. A Gaussian with full
/// covariance, `m + L u`, fitted after training, closes most of the gaps; a mixture for `u` leaves out more of them. How many
/// components it has is what describes latents best that it was not fitted to; one is the Gaussian itself.
#[derive(Debug, Clone)]
pub struct Prior {
    mean: Param,
    factor: Param,
    /// The density of u, where there are few enough dimensions.
    mixture: Option<MixtureParams>,
}

/// A mixture of up to [`MOST`] Gaussians; all weights are zero where a single one does.
#[derive(Debug, Clone)]
struct MixtureParams {
    weights: Param,
    means: Param,
    /// Principal axes of each component, a column each, and the variances along them.
    axes: Param,
    variances: Param,
}

impl Prior {
    /// Without values.
    pub fn new(z_dim: usize) -> Self {
        let zeros = |shape: &[usize]| Param::statistic(shape, 0.0);
        Self {
            mean: zeros(&[z_dim]),
            factor: zeros(&[z_dim, z_dim]),
            mixture: (z_dim <= MOST_DIMENSIONS).then(|| MixtureParams {
                weights: zeros(&[MOST]),
                means: zeros(&[MOST, z_dim]),
                axes: zeros(&[MOST, z_dim, z_dim]),
                variances: zeros(&[MOST, z_dim]),
            }),
        }
    }

    /// ε ~ N(0, 1) → z, `[batch, z_dim]`: continuous in ε, so that a walk from one ε to another is one from picture to picture.
    /// Along the flow of `prior/flow.rs`.
    pub fn sample(&self, epsilon: Tensor<2>) -> Tensor<2> {
        let u = match self.flow() {
            None => epsilon,
            Some(flow) => {
                let (shape, device) = (epsilon.dims(), epsilon.device());
                let rows: Vec<Vec<f32>> = host(epsilon).par_chunks_exact(shape[1]).map(|row| flow.end(row)).collect();
                Tensor::from_data(TensorData::new(rows.concat(), shape), &device)
            }
        };
        u.matmul(self.factor.get::<2>().transpose()) + self.mean.get::<1>().unsqueeze::<2>()
    }

    /// Components of the mixture.
    pub fn components(&self) -> usize {
        let weights = self.mixture.as_ref().map_or_else(Vec::new, |mixture| host(mixture.weights.flat()));
        weights.iter().filter(|&&weight| weight > 0.0).count().max(1)
    }

    fn flow(&self) -> Option<Flow> {
        if self.components() == 1 {
            return None;
        }
        let MixtureParams { weights, means, axes, variances } = self.mixture.as_ref()?;
        let [weights, means, axes, variances] = [weights, means, axes, variances].map(|param| host(param.flat()));
        Some(Flow::new(self.mean.len(), &weights, &means, &axes, &variances))
    }

    /// Fits it to posteriors N(mu, e^logvar) of training pictures, rows of `z_dim` numbers; `pictures` says of each row which
    /// picture it is of, so that a picture is on one side only when the number of components is chosen.
    pub fn fit(&mut self, mu: &[f32], logvar: &[f32], pictures: &[usize]) {
        let d = self.mean.len();
        let points = Points::new(d, mu, logvar);
        let whole = em::gaussian(&points);
        let factor = em::factor(&whole);
        let mixture =
            if self.mixture.is_some() && points.are_finite() { em::choose(&points, pictures, MOST) } else { vec![] };
        let device = self.mean.flat().device();
        let set = |param: &mut Param, values: &[f64]| {
            let mut values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
            values.resize(param.len(), 0.0);
            param.set(vector(values, &device));
        };
        set(&mut self.mean, &whole.mean);
        set(&mut self.factor, &factor.values);
        let Some(params) = &mut self.mixture else { return };
        let inner: Vec<Whitened> = if mixture.len() > 1 {
            mixture.iter().map(|c| whitened(c, &whole.mean, &factor)).collect()
        } else {
            vec![]
        };
        let all = |pick: fn(&Whitened) -> &[f64]| inner.iter().flat_map(pick).copied().collect::<Vec<f64>>();
        set(&mut params.weights, &all(|c| std::slice::from_ref(&c.weight)));
        set(&mut params.means, &all(|c| &c.mean));
        set(&mut params.axes, &all(|c| &c.axes));
        set(&mut params.variances, &all(|c| &c.variances));
    }
}

/// A component in the coordinates u.
struct Whitened {
    weight: f64,
    mean: Vec<f64>,
    axes: Vec<f64>,
    variances: Vec<f64>,
}

/// `component` in coordinates u where z = mean + factor · u: the centre L⁻¹(m − mean), the covariance L⁻¹ S L⁻ᵀ.
fn whitened(component: &Component, mean: &[f64], factor: &Matrix) -> Whitened {
    let d = mean.len();
    let mut centre: Vec<f64> = component.mean.iter().zip(mean).map(|(a, b)| a - b).collect();
    solve_lower(factor, &mut centre);
    // L⁻¹ on every column of S, which is symmetric, and again on every column of the transpose.
    let mut covariance = component.covariance.clone();
    for _ in 0..2 {
        covariance.par_chunks_exact_mut(d).for_each(|row| solve_lower(factor, row));
        covariance = (0..d * d).map(|i| covariance[i % d * d + i / d]).collect();
    }
    let found = eigenvectors(Matrix::square(covariance));
    let axes = (0..d * d).map(|i| found[i % d].1[i / d]).collect();
    let variances = found.iter().map(|(variance, _)| *variance).collect();
    Whitened { weight: component.weight, mean: centre, axes, variances }
}

/// Gives weights of a VAE of an earlier version, which had a Gaussian only, a mixture of one: under `prefix`, where no part of a
/// mixture is.
pub(super) fn complete(weights: &mut Weights, prefix: &str, z_dim: usize) {
    let Some(mut mixture) = Prior::new(z_dim).mixture else { return };
    let name = |part: &str| join(prefix, &join("prior", part));
    if mixture.parts().iter().any(|(part, _)| weights.contains_key(&name(part))) {
        return;
    }
    for (part, param) in mixture.parts() {
        weights.insert(name(part), HostTensor { shape: param.shape().to_vec(), data: vec![0.0; param.len()] });
    }
}

impl MixtureParams {
    fn parts(&mut self) -> [(&'static str, &mut Param); 4] {
        let Self { weights, means, axes, variances } = self;
        [("weights", weights), ("means", means), ("axes", axes), ("variances", variances)]
    }
}

impl Module for Prior {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        into.push((join(path, "mean"), &mut self.mean));
        into.push((join(path, "factor"), &mut self.factor));
        let mixture = self.mixture.iter_mut().flat_map(MixtureParams::parts);
        into.extend(mixture.map(|(name, param)| (join(path, name), param)));
    }
}
