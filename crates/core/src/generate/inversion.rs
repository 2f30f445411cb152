//! The latent vector of a given picture: read from its label, encoded, or searched for (Zhu 2016, "Generative Visual
//! Manipulation on the Natural Image Manifold", §3.1).

use super::latent::SEEDED;
use super::picture::read_label;
use super::sampler::{Sampler, rows};
use crate::Result;
use crate::data::{self, DataConfig, preprocess};
use crate::device;
use crate::nn::{host, vector};
use crate::picture::Picture;
use crate::pretrained::{EfficientNetLite0, looking_size};
use crate::provenance::recipe::Recipe;
use crate::run::config::RunConfig;
use burn::tensor::{Tensor, TensorData};
use maliang_kernels::{AdamState, AdamStep, Filter, average_pool, resize};
use std::path::Path;

/// Steps of a search. Karras 2020 ("Analyzing and Improving the Image Quality of StyleGAN", appendix D) takes 1,000 for pictures
/// of 1024×1024; small pictures stop changing much earlier.
pub const STEPS: usize = 200;
/// Random latent vectors that are tried before the search.
const CANDIDATES: usize = 256;
/// The best of them, which are followed.
const STARTS: usize = 4;
/// Learning rate at the first step (Karras 2020, appendix D); it falls to 0 by a half cosine.
const LR: f32 = 0.1;
/// Halvings at which pictures are compared besides their full size: colours and shapes come before details.
const HALVINGS: usize = 2;
/// Weight of the feature distance beside that of pixels: it leads to the right kind of thing, pixels to the right one. Chosen, not
/// tuned.
const FEATURES: f32 = 0.1;
/// Mean difference up to which a picture is the one that its label names, in levels of 255: another machine may round
/// differently.
const SAME: f64 = 1.0;

/// How a latent vector was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// The picture is the model's own, and its label says how it was made: exact.
    Label,
    /// The encoder's mean.
    Encoder,
    /// Adam on the latent vector, from the best of random ones.
    Search {
        /// Steps made.
        steps: usize,
        /// What was minimised, at the best random latent vector.
        before: f32,
        /// The same, at the end.
        after: f32,
    },
}

/// A latent vector of a given picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The point of the latent space, as [`Sampler::decoded`] takes it.
    pub z: Vec<f32>,
    /// Its class; 0 for an unconditional model.
    pub class: usize,
    /// Where it comes from.
    pub method: Method,
    /// What it decodes to.
    pub picture: Picture,
    /// Root mean square difference of that from the given picture, in levels of 255.
    pub levels: f64,
}

impl Found {
    /// How it was found, for a recipe.
    pub fn words(&self) -> String {
        match self.method {
            Method::Label => "latent vector from the label of a given picture".into(),
            Method::Encoder => "encoding of a given picture".into(),
            Method::Search { steps, .. } => format!("projection of a given picture, {steps} steps"),
        }
    }

    fn new(sampler: &Sampler, given: &Picture, z: Vec<f32>, class: usize, method: Method) -> Self {
        let picture = sampler.decoded(std::slice::from_ref(&z), &[class]).remove(0);
        let squares: f64 = differences(given, &picture).map(|d| d * d).sum();
        let levels = (squares / given.pixels.len() as f64).sqrt();
        Self { z, class, method, picture, levels }
    }
}

/// What to search with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// The class; without one, each is tried.
    pub class: Option<usize>,
    /// Seed of the random latent vectors.
    pub seed: u64,
    /// A network whose features are compared besides pixels.
    pub eyes: Option<&'a EfficientNetLite0>,
}

/// How pictures for a model are prepared: as those of its run were, of which `run` are the settings; of a model alone only the size
/// is known.
pub fn prepared_as(sampler: &Sampler, run: Option<RunConfig>) -> DataConfig {
    let frame = sampler.info.config.frame();
    let (width, height, channels) = (frame.width, frame.height, frame.channels);
    DataConfig { width, height, channels, ..run.map_or_else(DataConfig::default, |run| run.data) }
}

/// The picture in the file at `path`, prepared so, and how it was made if its label says so.
///
/// # Errors
/// It is not a picture that can be read.
pub fn read(path: &Path, config: &DataConfig) -> Result<(Picture, Option<Recipe>)> {
    let pixels = data::read_picture(path, config)?;
    // A file that is no PNG or GIF of ours has no label to read.
    let recipe = read_label(path).ok().flatten().and_then(|label| label.recipe);
    Ok((Picture { width: config.width, height: config.height, channels: config.channels, pixels }, recipe))
}

/// The latent vector that `recipe` names, if `given` is the picture that this model made with it.
pub fn from_label(sampler: &Sampler, given: &Picture, recipe: &Recipe) -> Option<Found> {
    let config = &sampler.info.config;
    if recipe.model_hash != sampler.hash || sampler.hash.is_empty() {
        return None;
    }
    let class = match &recipe.class {
        Some(name) => config.classes().iter().position(|class| class == name)?,
        None if config.classes().is_empty() => 0,
        None => return None,
    };
    let z = match &recipe.z {
        Some(z) => z.clone(),
        None if recipe.latent == SEEDED => {
            sampler.z(&[sampler.latent(recipe.seed, recipe.index, recipe.truncation)]).remove(0)
        }
        None => return None,
    };
    if z.len() != config.noise() || !z.iter().all(|v| v.is_finite()) {
        return None;
    }
    let found = Found::new(sampler, given, z, class, Method::Label);
    let mean = differences(given, &found.picture).sum::<f64>() / given.pixels.len() as f64;
    (mean <= SAME).then_some(found)
}

/// Absolute differences of two pictures of one size, in levels of 255.
fn differences(a: &Picture, b: &Picture) -> impl Iterator<Item = f64> {
    a.pixels.iter().zip(&b.pixels).map(|(&a, &b)| f64::from(a.abs_diff(b)))
}

/// The latent vector whose picture is nearest to `given`, which has the size of the model's pictures: encoded where the model has
/// an encoder, else searched for. `on_step` is told how many steps are done and how many there are.
pub fn invert(sampler: &Sampler, given: &Picture, request: &Request, on_step: &dyn Fn(usize, usize)) -> Found {
    encode(sampler, given, request).unwrap_or_else(|| search(sampler, given, request, on_step))
}

/// `given` as a tensor `[1, height, width, channels]` in [-1, 1].
fn tensor(given: &Picture) -> Tensor<4> {
    let shape = [1, given.height, given.width, given.channels];
    Tensor::from_data(TensorData::new(preprocess::to_unit(&given.pixels), shape), &device::cpu())
}

/// The encoder's mean, under the class whose picture comes nearest; nothing for a model without an encoder.
fn encode(sampler: &Sampler, given: &Picture, request: &Request) -> Option<Found> {
    let classes = match request.class {
        Some(class) => vec![class],
        None => (0..sampler.info.config.classes().len().max(1)).collect(),
    };
    let of = |class: usize| {
        let (mu, _) = sampler.model().code()?.encode(tensor(given), &sampler.condition(&[class]));
        Some(Found::new(sampler, given, host(mu), class, Method::Encoder))
    };
    classes.into_iter().filter_map(of).min_by(|a, b| a.levels.total_cmp(&b.levels))
}

/// Follows the gradient of the distance from the best of random latent vectors (Adam, Kingma & Ba 2015). Their length is kept to
/// √z_dim + 2, which 99 % of the vectors that the model was trained on do not exceed: beyond it pictures come nearer and
/// everything around them falls apart.
fn search(sampler: &Sampler, given: &Picture, request: &Request, on_step: &dyn Fn(usize, usize)) -> Found {
    let d = sampler.info.config.noise();
    let model = sampler.model().latent().expect("a model with a latent space").constant();
    let distance = Distance::to(given, request.eyes);
    let of = |z: Tensor<2>, classes: &[usize]| distance.of(model.decode(z, &sampler.condition(classes).autodiff()));

    let candidates: Vec<Vec<f32>> = (0..CANDIDATES as u64).map(|i| sampler.latent(request.seed, i, 1.0)).collect();
    let classes: Vec<usize> =
        (0..CANDIDATES as u64).map(|i| request.class.unwrap_or_else(|| sampler.class_of(i))).collect();
    let near = |(z, classes): (&[Vec<f32>], &[usize])| host(of(sampler.vectors(z).autodiff(), classes).inner());
    let distances: Vec<f32> = candidates.chunks(32).zip(classes.chunks(32)).flat_map(near).collect();
    let mut order: Vec<usize> = (0..CANDIDATES).collect();
    order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]));
    order.truncate(STARTS);

    let classes: Vec<usize> = order.iter().map(|&i| classes[i]).collect();
    let starts: Vec<f32> = order.iter().flat_map(|&i| candidates[i].clone()).collect();
    let z = vector(starts, &device::cpu());
    let mut state =
        AdamState { first: vec![z.zeros_like()], second: vec![z.zeros_like()], values: vec![z], averages: vec![] };
    let longest = (d as f32).sqrt() + 2.0;
    for step in 0..STEPS {
        let leaf = Tensor::<1>::from_inner(state.values[0].clone()).require_grad();
        let gradients = of(leaf.clone().reshape([STARTS, d]), &classes).sum().backward();
        let Some(gradient) = leaf.grad(&gradients) else { break };
        let lr = LR * 0.5 * (1.0 + (std::f32::consts::PI * step as f32 / STEPS as f32).cos());
        state = maliang_kernels::adam(state, vec![gradient], adam(lr, step as u64 + 1));
        let z = state.values.remove(0).reshape([STARTS, d]);
        let length = z.clone().powi_scalar(2).sum_dim(1).sqrt(); // [STARTS, 1]
        state.values.push((z * (length.recip() * longest).clamp_max(1.0)).flatten(0, 1));
        on_step(step + 1, STEPS);
    }
    let z: Tensor<2> = state.values.remove(0).reshape([STARTS, d]);
    let after = host(of(z.clone().autodiff(), &classes).inner());
    let best = (0..STARTS).min_by(|&a, &b| after[a].total_cmp(&after[b])).expect("there is a start");
    let method = Method::Search { steps: STEPS, before: distances[order[0]], after: after[best] };
    Found::new(sampler, given, rows(z).swap_remove(best), classes[best], method)
}

/// Plain Adam, each number by itself.
fn adam(lr: f32, step: u64) -> AdamStep {
    AdamStep {
        lr,
        beta_1: 0.9,
        beta_2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.0,
        decayed: 0,
        clip_norm: 0.0,
        ema_beta: 0.0,
        step,
    }
}

/// The distance of pictures to a given one: mean squared difference of pixels at full, half and quarter size, and of features.
struct Distance<'a> {
    /// The given picture at each size.
    pixels: Vec<Tensor<4>>,
    features: Option<(&'a EfficientNetLite0, [Tensor<4>; 4])>,
}

impl<'a> Distance<'a> {
    fn to(given: &Picture, eyes: Option<&'a EfficientNetLite0>) -> Self {
        let x = tensor(given).autodiff();
        Self { pixels: pyramid(x.clone()), features: eyes.map(|eyes| (eyes, taps(eyes, x))) }
    }

    /// Pictures `[batch, height, width, channels]` → `[batch]`.
    fn of(&self, x: Tensor<4>) -> Tensor<1> {
        let pixels = pyramid(x.clone()).into_iter().zip(&self.pixels);
        let pixels = sum(pixels.map(|(x, given)| mean_square(x - given.clone()))) / (HALVINGS + 1) as f32;
        let Some((eyes, given)) = &self.features else { return pixels };
        // Relative to the size of the given picture's features, which differs between maps.
        let relative =
            |(x, given): (Tensor<4>, &Tensor<4>)| mean_square(x - given.clone()) / (mean_square(given.clone()) + 1e-6);
        pixels + sum(taps(eyes, x).into_iter().zip(given).map(relative)) * (FEATURES / given.len() as f32)
    }
}

/// Pictures at full size, halved, and halved again.
fn pyramid(x: Tensor<4>) -> Vec<Tensor<4>> {
    std::iter::successors(Some(x), |x| Some(average_pool(x.clone()))).take(HALVINGS + 1).collect()
}

/// The feature maps of pictures, looked at in the multiple of 32 pixels that is nearest to their own size.
fn taps(eyes: &EfficientNetLite0, x: Tensor<4>) -> [Tensor<4>; 4] {
    let [_, height, width, channels] = x.dims();
    let size = looking_size(height, width, height.max(width));
    let x = if [height, width] == size { x } else { resize(x, size, Filter::Triangle) };
    eyes.taps(if channels == 1 { x.repeat_dim(3, 3) } else { x })
}

/// Mean of the squares of each picture's numbers, `[batch]`.
fn mean_square(x: Tensor<4>) -> Tensor<1> {
    let [batch, h, w, c] = x.dims();
    x.reshape([batch, h * w * c]).powi_scalar(2).mean_dim(1).flatten(0, 1)
}

fn sum(terms: impl Iterator<Item = Tensor<1>>) -> Tensor<1> {
    terms.reduce(|a, b| a + b).expect("at least one term")
}

/// `count` points around `z`: `z + strength · ε`, ε ~ N(0, 1) of `seed` and number.
pub fn around(sampler: &Sampler, z: &[f32], strength: f32, seed: u64, count: usize) -> Vec<Vec<f32>> {
    let moved = |i| z.iter().zip(sampler.latent(seed, i, strength)).map(|(z, e)| z + e).collect();
    (0..count as u64).map(moved).collect()
}

#[cfg(test)]
pub(crate) mod tests;
