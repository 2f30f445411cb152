//! The log-likelihood of pictures under a VAE, bounded by importance sampling.

use super::config::{Reconstruction, RunConfig};
use super::losses;
use crate::data::{Dataset, preprocess};
use crate::generate::sampler::Sampler;
use crate::judge::{Bounds, Likelihood};
use crate::models::{self, PictureModel, Vae};
use crate::nn::{Mode, host, vector};
use crate::rng;
use crate::rng::evenly;
use burn::tensor::{Tensor, TensorData};

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Pictures, at most.
    pub pictures: usize,
    /// Importance samples a picture.
    pub k: usize,
    /// Seed of the samples.
    pub seed: u64,
}

/// Pictures that go through the model at once.
const BATCH: usize = 64;

/// −ELBO and the importance-sampled negative log-likelihood in nats a picture (Burda 2016), of the held-out pictures of `data`, or
/// of all where the model was trained on others; nothing for a model that is no VAE, or without two pictures of its classes.
///
/// For `bce` they are likelihoods of the pictures where every number is black or white; for `mse` of a density, whose one
/// variance is the mean squared error on training pictures. `on_picture` is told how many pictures are done, of how many.
pub fn likelihoods(
    sampler: &Sampler,
    config: &RunConfig,
    data: &Dataset,
    sample: Sample,
    on_picture: &dyn Fn(usize, usize),
) -> Vec<Likelihood> {
    let PictureModel::Vae(vae) = sampler.model() else { return Vec::new() };
    let own = data.fingerprint() == sampler.info.data_fingerprint;
    let (side, first, available) = if own {
        ("heldout", data.train_len(), data.heldout_len())
    } else {
        ("given", 0, data.train_len() + data.heldout_len())
    };
    let count = available.min(sample.pictures);
    let classes = config.model.classes();
    if count < 2 || !(classes.is_empty() || classes == data.labels()) {
        return Vec::new();
    }
    let numbers: Vec<usize> = evenly(available, count).into_iter().map(|i| first + i).collect();
    let density = Density::new(vae, config, data);
    let mut bounds = Vec::with_capacity(count);
    for part in numbers.chunks(BATCH) {
        bounds.extend(density.bounds(part, sample));
        on_picture(bounds.len(), count);
    }
    let suffix = format!("{}_{side}_n{count}", config.vae.reconstruction.name());
    Likelihood::both(&bounds, sample.k, &suffix)
}

/// A VAE as a density of pictures of `data`.
struct Density<'a> {
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

impl<'a> Density<'a> {
    fn new(vae: &'a Vae, config: &RunConfig, data: &'a Dataset) -> Self {
        let (kind, classes) = (config.vae.reconstruction, config.model.classes().len());
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
        let labels = models::one_hot(&labels, self.classes, &device);
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

    /// The bounds of these pictures: ln w = ln p(x|z) + ln N(z; 0, 1) − ln N(z; mu, e^logvar), where the two normal densities
    /// leave `½ Σ (ε² + logvar − z²)`.
    fn bounds(&self, numbers: &[usize], sample: Sample) -> Vec<Bounds> {
        let p = self.posterior(numbers);
        let d = p.mu.dims()[1];
        let logvar = host(p.logvar.clone());
        let mut log_weights = vec![Vec::with_capacity(sample.k); numbers.len()];
        for i in 0..sample.k {
            let epsilon = noise(sample.seed, "importance", i as u64, numbers, d);
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
        log_weights.iter().map(|weights| Bounds::of(weights)).collect()
    }
}

/// Sample number `sample` of each picture: rows of `d` normal numbers that depend on nothing else.
fn noise(seed: u64, name: &str, sample: u64, numbers: &[usize], d: usize) -> Vec<f32> {
    let row = |&picture: &usize| rng::normal(&mut rng::stream(seed, &format!("{name}/{sample}"), picture as u64), d);
    numbers.iter().flat_map(row).collect()
}
