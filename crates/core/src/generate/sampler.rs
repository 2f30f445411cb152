//! A trained model, opened and ready to make pictures.

use super::latent::latent;
use super::locate;
use crate::data::preprocess;
use crate::device;
use crate::families::{Condition, How, Model};
use crate::nn::host;
use crate::picture::Picture;
use crate::provenance::label::{Label, Provenance};
use crate::provenance::recipe::Recipe;
use crate::run::model_file::{self, ModelInfo};
use crate::{Error, Result};
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;
use std::path::Path;

/// Pictures that are computed together.
const BATCH: usize = 64;

/// A model that makes pictures.
#[derive(Debug, Clone)]
pub struct Sampler {
    /// What the model file says about itself.
    pub info: ModelInfo,
    /// BLAKE3 of the model file.
    pub hash: String,
    model: Box<dyn Model>,
    device: Device,
}

impl Sampler {
    /// Opens a run directory (its best checkpoint, else its newest whole one), a checkpoint directory, or a model file.
    /// Also returns a sentence for each damaged checkpoint that was passed over.
    ///
    /// # Errors
    /// Nothing usable is there.
    pub fn open(path: &Path) -> Result<(Self, Vec<String>)> {
        locate::first(path, |file| {
            let device = device::cpu();
            let (model, info, hash) = model_file::open(file, &device)?;
            Ok((Self { info, hash: hash.clone(), model, device }, hash))
        })
    }

    /// A model in memory on `device`, as training looks at it: it has no file yet, so its hash is empty.
    pub fn in_training(model: Box<dyn Model>, info: ModelInfo, device: Device) -> Self {
        Self { info, hash: String::new(), model, device }
    }

    /// The model itself.
    pub(crate) fn model(&self) -> &dyn Model {
        self.model.as_ref()
    }

    /// The number of the class called `name`.
    ///
    /// # Errors
    /// The model knows no such class, or none at all.
    pub fn class(&self, name: &str) -> Result<usize> {
        let classes = self.info.config.classes();
        if classes.is_empty() {
            return Err(Error::input(format!(
                "this model was trained without classes, so \"{name}\" cannot be asked for"
            ))
            .hint("leave --class out, or train on a folder whose sub-folders are the classes"));
        }
        classes.iter().position(|c| c == name).ok_or_else(|| {
            Error::input(format!("the model has no class \"{name}\"")).hint(format!("it knows: {}", classes.join(", ")))
        })
    }

    /// Latent vector number `index` of `seed`.
    pub fn latent(&self, seed: u64, index: u64, truncation: f32) -> Vec<f32> {
        latent(seed, index, self.info.config.noise(), truncation)
    }

    /// The class of picture `index` when none is asked for: each in turn.
    pub fn class_of(&self, index: u64) -> usize {
        (index % self.info.config.classes().len().max(1) as u64) as usize
    }

    /// One picture a latent vector; `classes` one a picture, ignored by an unconditional model.
    ///
    /// They are computed many at a time; the kernels give each the same bytes in any company.
    pub fn pictures(&self, latents: &[Vec<f32>], classes: &[usize]) -> Vec<Picture> {
        self.pictures_in_turns(latents, classes, &|| ())
    }

    /// As [`pictures`](Self::pictures), and calls `between` between the steps of a model that makes pictures in several, and
    /// between batches: who shares the processor lets others compute there.
    pub fn pictures_in_turns(&self, latents: &[Vec<f32>], classes: &[usize], between: &dyn Fn()) -> Vec<Picture> {
        let mut made = Vec::with_capacity(latents.len());
        for (i, (latents, classes)) in batches(latents, classes).enumerate() {
            if i > 0 {
                between();
            }
            made.extend(in_bytes(self.tensor_in_turns(latents, classes, between)));
        }
        made
    }

    /// As [`pictures`](Self::pictures), from points of the model's latent space as [`z`](Self::z) gives them.
    ///
    /// # Panics
    /// If the model has no latent space.
    pub fn decoded(&self, z: &[Vec<f32>], classes: &[usize]) -> Vec<Picture> {
        let latent = self.model.latent().expect("a model with a latent space");
        let batch = |(z, classes)| in_bytes(latent.decode(self.vectors(z), &self.condition(classes)));
        batches(z, classes).flat_map(batch).collect()
    }

    /// The points of the model's latent space that latent vectors stand for: the vectors themselves but for a model that generates
    /// from a prior of its own, or that has no such space.
    pub fn z(&self, latents: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let Some(latent) = self.model.latent() else { return latents.to_vec() };
        let batch = |latents: &[Vec<f32>]| rows(latent.point(self.vectors(latents)));
        latents.chunks(BATCH).flat_map(batch).collect()
    }

    /// Has the model a latent space: directions, paths between pictures, a search for given ones?
    pub fn has_latent(&self) -> bool {
        self.model.latent().is_some()
    }

    /// Can the model find a picture's latent vector by an encoder?
    pub fn encodes(&self) -> bool {
        self.model.code().is_some()
    }

    /// Has the model styles to mix, see [`mixed`](Self::mixed)?
    pub fn mixes(&self) -> bool {
        self.model.styles().is_some()
    }

    /// Style mixing: pictures with the contents of these latent vectors and classes and the style of that one; nothing for a
    /// family that has no styles.
    pub fn mixed(&self, contents: (&[Vec<f32>], &[usize]), style: (&[f32], usize)) -> Option<Vec<Picture>> {
        let styles = self.model.styles()?;
        let batch = |(contents, classes): (&[Vec<f32>], &[usize])| {
            let same = vec![style.0.to_vec(); contents.len()];
            let content = (self.vectors(contents), &self.condition(classes));
            let style = (self.vectors(&same), &self.condition(&vec![style.1; contents.len()]));
            in_bytes(styles.mix(content, style))
        };
        Some(batches(contents.0, contents.1).flat_map(batch).collect())
    }

    /// Where the encoder of a model puts pictures (u8, of the model's size), the means of its posteriors; nothing for a model that
    /// has no encoder. `classes` as in [`pictures`](Self::pictures).
    pub fn encode(&self, pictures: &[&[u8]], classes: &[usize]) -> Option<Vec<Vec<f32>>> {
        let frame = self.info.config.frame();
        let values: Vec<f32> = pictures.iter().flat_map(|picture| preprocess::to_unit(picture)).collect();
        let x = TensorData::new(values, [pictures.len(), frame.height, frame.width, frame.channels]);
        let (mu, _) = self.model.code()?.encode(Tensor::from_data(x, &self.device), &self.condition(classes));
        Some(rows(mu))
    }

    /// As [`pictures`](Self::pictures), as one tensor in [-1, 1].
    pub(crate) fn tensor(&self, latents: &[Vec<f32>], classes: &[usize]) -> Tensor<4> {
        self.tensor_in_turns(latents, classes, &|| ())
    }

    fn tensor_in_turns(&self, latents: &[Vec<f32>], classes: &[usize], between: &dyn Fn()) -> Tensor<4> {
        self.model.make(self.vectors(latents), &self.condition(classes), How { between })
    }

    /// Latent vectors as a tensor `[batch, z_dim]`.
    pub(crate) fn vectors(&self, latents: &[Vec<f32>]) -> Tensor<2> {
        let data = TensorData::new(latents.concat(), [latents.len(), self.info.config.noise()]);
        Tensor::from_data(data, &self.device)
    }

    /// What pictures of these classes are asked for with; nothing for an unconditional model.
    pub(crate) fn condition(&self, classes: &[usize]) -> Condition {
        Condition::of_classes(classes, self.info.config.classes().len(), &self.device)
    }

    /// The provenance of picture `index` of `seed`; `latent` says in words how its latent was chosen.
    pub fn provenance(
        &self,
        label: &Label,
        seed: u64,
        index: u64,
        class: Option<usize>,
        truncation: f32,
        latent: &str,
    ) -> Provenance {
        let class = class.and_then(|c| self.info.config.classes().get(c).cloned());
        let recipe = Recipe {
            model: self.info.name.clone(),
            model_hash: self.hash.clone(),
            seed,
            index,
            latent: latent.to_string(),
            class,
            truncation,
            z: None,
            version: crate::VERSION.to_string(),
        };
        Provenance { label: label.clone(), recipe }
    }
}

/// Vectors and their classes, [`BATCH`] at a time.
fn batches<'a>(
    vectors: &'a [Vec<f32>],
    classes: &'a [usize],
) -> impl Iterator<Item = (&'a [Vec<f32>], &'a [usize])> + use<'a> {
    let classes = |i: usize| classes.get(i * BATCH..classes.len().min((i + 1) * BATCH)).unwrap_or_default();
    vectors.chunks(BATCH).enumerate().map(move |(i, vectors)| (vectors, classes(i)))
}

/// A tensor in [-1, 1] as pictures.
pub(crate) fn in_bytes(tensor: Tensor<4>) -> Vec<Picture> {
    let [_, height, width, channels] = tensor.dims();
    let values = host(tensor);
    let picture = |values| Picture { width, height, channels, pixels: preprocess::to_bytes(values) };
    values.par_chunks_exact(height * width * channels).map(picture).collect()
}

/// The rows of a matrix.
pub(crate) fn rows(tensor: Tensor<2>) -> Vec<Vec<f32>> {
    let length = tensor.dims()[1];
    host(tensor).chunks_exact(length).map(<[f32]>::to_vec).collect()
}
