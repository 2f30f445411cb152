//! A VAE as a density of pictures: what importance sampling needs.

use super::losses;
use super::net::Vae;
use super::settings::{Reconstruction, VaeTraining};
use crate::Result;
use crate::data::{Dataset, preprocess};
use crate::families::model::{Density, Likelihood, one_hot};
use crate::families::settings::Tables;
use crate::nn::{Mode, host, vector};
use crate::rng;
use crate::rng::evenly;
use burn::tensor::{Tensor, TensorData};

/// Pictures that go through the model at once.
const BATCH: usize = 64;

/// A VAE as a density of pictures of `data`.
struct Bounded<'a> {
    vae: &'a Vae,
    data: &'a Dataset,
    kind: Reconstruction,
    classes: usize,
    /// ln of the likelihood's scale: per channel, or one for a Gaussian.
    log_scale: Tensor<1>,
}

/// What the encoder says of pictures.
struct Posterior {
    x: Tensor<4>,
    labels: Option<Tensor<2>>,
    mu: Tensor<2>,
    logvar: Tensor<2>,
}

impl<'a> Bounded<'a> {
    fn new(vae: &'a Vae, kind: Reconstruction, classes: usize, data: &'a Dataset) -> Self {
        let mut density = Self { vae, data, kind, classes, log_scale: vae.log_scale() };
        if kind == Reconstruction::Mse {
            let numbers = evenly(data.train_len(), 4 * BATCH);
            let squares: f64 = numbers.chunks(BATCH).map(|part| density.squared_error(part)).sum();
            let mean = squares / (numbers.len() * data.width() * data.height() * data.channels()) as f64;
            let log_scale = 0.5 * (mean as f32 + losses::LEAST_VARIANCE).ln();
            density.log_scale = vector(vec![log_scale], &density.log_scale.device());
        }
        density
    }

    fn posterior(&self, numbers: &[usize]) -> Posterior {
        let (data, device) = (self.data, self.log_scale.device());
        let images: Vec<f32> = numbers.iter().flat_map(|&i| preprocess::to_unit(data.any(i))).collect();
        let shape = [numbers.len(), data.height(), data.width(), data.channels()];
        let x = Tensor::from_data(TensorData::new(images, shape), &device);
        let label = |&i: &usize| match i.checked_sub(data.train_len()) {
            Some(heldout) => data.heldout_label(heldout),
            None => data.train_label(i),
        };
        let labels: Vec<usize> = numbers.iter().filter_map(label).collect();
        let labels = one_hot(&labels, self.classes, &device);
        let (mu, logvar) = self.vae.encode(x.clone(), labels.clone(), Mode::Eval);
        Posterior { x, labels, mu, logvar }
    }

    /// z = mu + ε e^(logvar / 2), and what it decodes to. ε is the same for a picture whatever its neighbours.
    fn decode(&self, p: &Posterior, epsilon: &[f32]) -> (Tensor<2>, Tensor<4>) {
        let epsilon = Tensor::<2>::from_data(TensorData::new(epsilon.to_vec(), p.mu.dims()), &p.mu.device());
        let z = p.mu.clone() + (p.logvar.clone() * 0.5).exp() * epsilon;
        (z.clone(), self.vae.decode(z, p.labels.clone(), Mode::Eval))
    }

    fn squared_error(&self, numbers: &[usize]) -> f64 {
        let p = self.posterior(numbers);
        let (_, y) = self.decode(&p, &noise(0, "likelihood-scale", 0, numbers, p.mu.dims()[1]));
        f64::from(host((p.x - y).powi_scalar(2).sum())[0])
    }
}

impl Likelihood for Vae {
    /// The likelihood of `vae.reconstruction`. For `bce` it is one of pictures where every number is black or white; for `mse` a
    /// density, whose one variance is the mean squared error on training pictures.
    fn density<'a>(&'a self, classes: usize, tables: &Tables, data: &'a Dataset) -> Result<Box<dyn Density + 'a>> {
        let kind = tables.get::<VaeTraining>()?.reconstruction;
        Ok(Box::new(Bounded::new(self, kind, classes, data)))
    }
}

impl Density for Bounded<'_> {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// ln w = ln p(x|z) + ln N(z; 0, 1) − ln N(z; mu, e^logvar), where the two normal densities leave `½ Σ (ε² + logvar − z²)`.
    fn log_weights(&self, numbers: &[usize], k: usize, seed: u64) -> Vec<Vec<f64>> {
        let p = self.posterior(numbers);
        let d = p.mu.dims()[1];
        let logvar = host(p.logvar.clone());
        let mut log_weights = vec![Vec::with_capacity(k); numbers.len()];
        for i in 0..k {
            let epsilon = noise(seed, "importance", i as u64, numbers, d);
            let (z, y) = self.decode(&p, &epsilon);
            let likelihood = host(losses::log_likelihood(self.kind, p.x.clone(), y, self.log_scale.clone()));
            let z = host(z);
            for (picture, weights) in log_weights.iter_mut().enumerate() {
                let row = picture * d..(picture + 1) * d;
                let parts = epsilon[row.clone()].iter().zip(&logvar[row.clone()]).zip(&z[row]);
                let wide = |v: &f32| f64::from(*v);
                let prior: f64 = parts.map(|((e, l), z)| wide(e).powi(2) + wide(l) - wide(z).powi(2)).sum();
                weights.push(f64::from(likelihood[picture]) + 0.5 * prior);
            }
        }
        log_weights
    }
}

/// Sample number `sample` of each picture: rows of `d` normal numbers that depend on nothing else.
fn noise(seed: u64, name: &str, sample: u64, numbers: &[usize], d: usize) -> Vec<f32> {
    let row = |&picture: &usize| rng::normal(&mut rng::stream(seed, &format!("{name}/{sample}"), picture as u64), d);
    numbers.iter().flat_map(row).collect()
}
