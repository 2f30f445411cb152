//! The log-likelihood of pictures under a model that has one, bounded by importance sampling.

use super::sampler::Sampler;
use crate::Result;
use crate::data::Dataset;
use crate::families::settings::Tables;
use crate::judge::{Bounds, Likelihood, Side};
use crate::rng::evenly;

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
/// of all where the model was trained on others; nothing for a model that has no likelihood, or without two pictures of its
/// classes. `tables` are the family's settings in the run.
///
/// `on_picture` is told how many pictures are done, of how many.
///
/// # Errors
/// Settings that cannot be read.
pub fn likelihoods(
    sampler: &Sampler,
    tables: &Tables,
    data: &Dataset,
    sample: Sample,
    on_picture: &dyn Fn(usize, usize),
) -> Result<Vec<Likelihood>> {
    let Some(likelihood) = sampler.model().likelihood() else { return Ok(Vec::new()) };
    let own = data.fingerprint() == sampler.info.data_fingerprint;
    let (side, first, available) = if own {
        (Side::Heldout, data.train_len(), data.heldout_len())
    } else {
        (Side::Given, 0, data.train_len() + data.heldout_len())
    };
    let count = available.min(sample.pictures);
    let classes = sampler.info.config.classes();
    if count < 2 || !(classes.is_empty() || classes == data.labels()) {
        return Ok(Vec::new());
    }
    let numbers: Vec<usize> = evenly(available, count).into_iter().map(|i| first + i).collect();
    let density = likelihood.density(classes.len(), tables, data)?;
    let mut bounds = Vec::with_capacity(count);
    for part in numbers.chunks(BATCH) {
        let weights = density.log_weights(part, sample.k, sample.seed);
        bounds.extend(weights.iter().map(|weights| Bounds::of(weights)));
        on_picture(bounds.len(), count);
    }
    Ok(Likelihood::both(&bounds, sample.k, density.name(), side))
}
