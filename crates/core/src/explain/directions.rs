//! Directions of a latent space along which pictures change: those that a generator's first layer stretches most, or the
//! dimensions that a VAE uses most.

use crate::data::{Dataset, preprocess};
use crate::generate::sampler::Sampler;
use crate::matrix::{Matrix, eigenvectors};
use crate::nn::host;
use crate::rng::evenly;
use crate::weights::{self, HostTensor, Metadata, Weights};
use crate::{Error, Result};
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Directions that are kept.
const KEPT: usize = 16;
/// Latent vectors at which the effect of a direction is measured.
const PLACES: u64 = 16;
/// Training pictures over which a VAE's KL is measured, at most.
const ENCODED: usize = 2048;
/// Pictures that are encoded at once.
const BATCH: usize = 64;
/// Longest latent vector whose directions are computed: at 1,024 the eigenvectors take about a minute.
const LONGEST: usize = 1024;
/// Key of the description in the metadata of a file of directions.
const KEY: &str = "maliang-directions";

/// What directions are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Eigenvalues of AᵀA, A the generator's first projection (SeFa, Shen & Zhou 2021).
    Eigenvalue,
    /// Mean KL of a latent dimension over the training pictures, in nats: how much of a picture it tells.
    Kl,
    /// Mean squared change of a picture along a latent dimension, pixels in [-1, 1].
    Sensitivity,
}

/// One direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Direction {
    /// Its unit vector, `[z_dim]`.
    pub vector: Vec<f32>,
    /// What it was ordered by.
    pub weight: f64,
    /// Mean absolute change of a number of the picture by a step of 1, in levels of 255.
    pub effect: f64,
}

/// The foremost directions of a model, first to last.
#[derive(Debug, Clone, PartialEq)]
pub struct Directions {
    /// What they are ordered by.
    pub order: Order,
    /// At most sixteen.
    pub list: Vec<Direction>,
}

/// What a file of directions says about itself.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    model_hash: String,
    order: Order,
    weights: Vec<f64>,
    effects: Vec<f64>,
}

/// The directions of a model. `data` are the pictures it was trained on: without them the dimensions of a VAE are ordered by how
/// much the picture changes.
///
/// # Errors
/// A GAN with latent vectors too long to be decomposed.
pub fn directions(sampler: &Sampler, data: Option<&Dataset>) -> Result<Directions> {
    let d = sampler.info.config.noise();
    let latent = sampler.model().latent().ok_or_else(|| {
        Error::input(format!("{} has no latent space, so it has no directions", sampler.info.config.family()))
    })?;
    let (order, mut found) = match (latent.first_map(), data) {
        (Some(first_map), _) => {
            if d > LONGEST {
                return Err(Error::input(format!(
                    "the model's latent vectors have {d} numbers: directions are computed for at most {LONGEST}"
                )));
            }
            (Order::Eigenvalue, sefa(first_map, d))
        }
        (None, Some(data)) if sampler.encodes() => (Order::Kl, axes(kl(sampler, data))),
        (None, _) => {
            let change = |i| Ok::<_, Error>(change(sampler, &axis(d, i)).1);
            (Order::Sensitivity, axes((0..d).map(change).collect::<Result<_>>()?))
        }
    };
    found.truncate(KEPT);
    let direction = |(weight, vector): (f64, Vec<f32>)| {
        let effect = change(sampler, &vector).0;
        Direction { vector, weight, effect }
    };
    Ok(Directions { order, list: found.into_iter().map(direction).collect() })
}

/// Closed-form factorisation (SeFa: Shen & Zhou 2021, Equation 6): the eigenvectors of AᵀA, largest eigenvalue first, where the
/// generator's first step is `A z + b`. A unit step along the first changes its outcome most. Here A is the transpose of
/// `first_map [n_in, n_out]`, of which the first `z_dim` rows belong to z and the others to the label.
pub fn sefa(first_map: Tensor<2>, z_dim: usize) -> Vec<(f64, Vec<f32>)> {
    let columns = first_map.dims()[1];
    let values = host(first_map.slice([0..z_dim, 0..columns])).into_iter().map(f64::from).collect();
    let a = Matrix { rows: z_dim, columns, values };
    let found = eigenvectors(a.clone().times_transposed(a));
    found.into_iter().map(|(value, vector)| (value, vector.into_iter().map(|v| v as f32).collect())).collect()
}

/// The unit vector of dimension `i`.
fn axis(d: usize, i: usize) -> Vec<f32> {
    (0..d).map(|j| f32::from(u8::from(i == j))).collect()
}

/// The dimensions by their weights, heaviest first.
fn axes(weights: Vec<f64>) -> Vec<(f64, Vec<f32>)> {
    let d = weights.len();
    let mut all: Vec<(f64, usize)> = weights.into_iter().zip(0..d).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    all.into_iter().map(|(weight, i)| (weight, axis(d, i))).collect()
}

/// Mean KL(q(z|x) ‖ N(0, 1)) = ½(μ² + σ² − ln σ² − 1) of each dimension over the training pictures, in nats.
fn kl(sampler: &Sampler, data: &Dataset) -> Vec<f64> {
    let d = sampler.info.config.noise();
    let numbers = evenly(data.train_len(), ENCODED);
    let mut sums = vec![0.0; d];
    for part in numbers.chunks(BATCH) {
        let values: Vec<f32> = part.iter().flat_map(|&i| preprocess::to_unit(data.train(i))).collect();
        let shape = [part.len(), data.height(), data.width(), data.channels()];
        let x = Tensor::from_data(TensorData::new(values, shape), &crate::device::cpu());
        let classes: Vec<usize> = part.iter().map(|&i| data.train_label(i).unwrap_or(0)).collect();
        let Some(code) = sampler.model().code() else { continue };
        let (mu, logvar) = code.encode(x, &sampler.condition(&classes));
        for (mu, logvar) in host(mu).chunks_exact(d).zip(host(logvar).chunks_exact(d)) {
            for ((sum, mu), logvar) in sums.iter_mut().zip(mu).zip(logvar) {
                let (mu, logvar) = (f64::from(*mu), f64::from(*logvar));
                *sum += 0.5 * (mu * mu + logvar.exp() - logvar - 1.0);
            }
        }
    }
    sums.iter().map(|sum| sum / numbers.len() as f64).collect()
}

/// Mean absolute change of a number of a picture by a step of 1 along `direction`, in levels of 255, and mean squared change, in
/// [-1, 1].
fn change(sampler: &Sampler, direction: &[f32]) -> (f64, f64) {
    let latents: Vec<Vec<f32>> = (0..PLACES).map(|i| sampler.latent(0, i, 1.0)).collect();
    let classes: Vec<usize> = (0..PLACES).map(|i| sampler.class_of(i)).collect();
    let z = sampler.z(&latents);
    let moved: Vec<Vec<f32>> = z.iter().map(|z| step(z, direction, 1.0)).collect();
    let latent = sampler.model().latent().expect("a model with a latent space");
    let of = |z: &[Vec<f32>]| host(latent.decode(sampler.vectors(z), &sampler.condition(&classes)));
    let differences: Vec<f64> = of(&z).iter().zip(of(&moved)).map(|(a, b)| f64::from((a - b).abs())).collect();
    let mean = |sum: f64| sum / differences.len() as f64;
    (mean(differences.iter().sum()) * 127.5, mean(differences.iter().map(|d| d * d).sum()))
}

/// `z + strength · direction`.
pub(super) fn step(z: &[f32], direction: &[f32], strength: f32) -> Vec<f32> {
    z.iter().zip(direction).map(|(z, v)| z + strength * v).collect()
}

impl Direction {
    /// `z + strength · direction`.
    pub fn moved(&self, z: &[f32], strength: f32) -> Vec<f32> {
        step(z, &self.vector, strength)
    }
}

impl Directions {
    /// Writes them to `path`, atomically, as safetensors: `directions [count, z_dim]`, for the model of this hash.
    ///
    /// # Errors
    /// The disk refused.
    pub fn save(&self, path: &Path, model_hash: &str) -> Result<()> {
        let description = Description {
            model_hash: model_hash.into(),
            order: self.order,
            weights: self.list.iter().map(|direction| direction.weight).collect(),
            effects: self.list.iter().map(|direction| direction.effect).collect(),
        };
        let data: Vec<f32> = self.list.iter().flat_map(|direction| direction.vector.clone()).collect();
        let shape = vec![self.list.len(), data.len() / self.list.len().max(1)];
        let tensors = Weights::from([("directions".to_string(), HostTensor { shape, data })]);
        let json = serde_json::to_string(&description).expect("a description is plain data");
        weights::save(path, &tensors, &Metadata::from([(KEY.to_string(), json)]))
    }

    /// Reads the directions of `sampler`'s model from `path`.
    ///
    /// # Errors
    /// There are none, they are damaged, or they are those of another model.
    pub fn load(path: &Path, sampler: &Sampler) -> Result<Self> {
        let again = "run `maliang explain` on the same run or model first";
        if !path.is_file() {
            return Err(Error::input(format!(
                "the directions of this model are not known: there is no {}",
                path.display()
            ))
            .hint(again));
        }
        let (mut tensors, metadata) = weights::load(path)?;
        let damaged = || Error::corrupt(format!("{} does not hold directions", path.display())).hint(again);
        let text = metadata.get(KEY).ok_or_else(damaged)?;
        let Description { model_hash, order, weights, effects } = serde_json::from_str(text).map_err(|_| damaged())?;
        if model_hash != sampler.hash {
            return Err(Error::input(format!("{} holds the directions of another model", path.display())).hint(again));
        }
        let (count, d) = (weights.len(), sampler.info.config.noise());
        let tensor = weights::take(&mut tensors, "directions", &[count, d])?;
        if effects.len() != count {
            return Err(damaged());
        }
        let vectors = tensor.data.chunks_exact(d).map(<[f32]>::to_vec);
        let list = vectors.zip(weights).zip(effects);
        let list = list.map(|((vector, weight), effect)| Direction { vector, weight, effect }).collect();
        Ok(Self { order, list })
    }
}
