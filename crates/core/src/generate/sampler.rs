//! A trained model, opened and ready to make pictures.

use super::latent::latent;
use super::picture::Picture;
use crate::data::preprocess;
use crate::device;
use crate::models::{self, PictureModel};
use crate::nn::host;
use crate::provenance::bundle::{self, ModelInfo};
use crate::provenance::label::{Label, Provenance, Recipe};
use crate::train::{RunDir, checkpoint};
use crate::{Error, Result};
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// Pictures that are computed together.
const BATCH: usize = 64;

/// A model that makes pictures.
#[derive(Debug, Clone)]
pub struct Sampler {
    /// What the model file says about itself.
    pub info: ModelInfo,
    /// BLAKE3 of the model file.
    pub hash: String,
    model: PictureModel,
    device: Device,
}

impl Sampler {
    /// Opens a run directory (its best checkpoint, else its newest whole one), a checkpoint directory, or a model file.
    /// Also returns a sentence for each damaged checkpoint that was passed over.
    ///
    /// # Errors
    /// Nothing usable is there.
    pub fn open(path: &Path) -> Result<(Self, Vec<String>)> {
        let mut warnings = Vec::new();
        for candidate in candidates(path)? {
            match Self::open_file(&candidate) {
                Ok(sampler) => return Ok((sampler, warnings)),
                Err(error) if candidate == path => return Err(error),
                Err(error) => warnings.push(error.to_string()),
            }
        }
        let detail = warnings.first().map_or(String::new(), |first| format!(": {first}"));
        Err(Error::corrupt(format!("no usable model in {}{detail}", path.display()))
            .hint("train it again, or give a model file of another run"))
    }

    fn open_file(path: &Path) -> Result<Self> {
        let device = device::cpu();
        let (model, info, hash) = bundle::open(path, &device)?;
        // Inside a checkpoint the recorded checksum must agree too: a flipped bit in a weight is still a number.
        if let Some(directory) = path.parent().filter(|d| d.join("state.json").is_file()) {
            let counters = checkpoint::counters(directory)?;
            if counters.files.get(checkpoint::MODEL_FILE) != Some(&hash) {
                return Err(Error::corrupt(format!("{} is damaged: its checksum does not match", path.display())));
            }
        }
        Ok(Self { info, hash, model, device })
    }

    /// A model in memory on `device`, as training looks at it.
    pub(crate) fn in_training(model: PictureModel, info: ModelInfo, device: Device) -> Self {
        Self { info, hash: String::new(), model, device }
    }

    /// The model itself.
    pub(crate) fn model(&self) -> &PictureModel {
        &self.model
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
        latent(seed, index, self.info.config.z_dim(), truncation)
    }

    /// The class of picture `index` when none is asked for: each in turn.
    pub fn class_of(&self, index: u64) -> usize {
        (index % self.info.config.classes().len().max(1) as u64) as usize
    }

    /// One picture a latent vector; `classes` one a picture, ignored by an unconditional model.
    ///
    /// They are computed many at a time; the kernels give each the same bytes in any company.
    pub fn pictures(&self, latents: &[Vec<f32>], classes: &[usize]) -> Vec<Picture> {
        let batch = |(i, latents): (usize, &[Vec<f32>])| {
            let classes = classes.get(i * BATCH..classes.len().min((i + 1) * BATCH)).unwrap_or_default();
            let tensor = self.tensor(latents, classes);
            let [_, height, width, channels] = tensor.dims();
            let values = host(tensor);
            let pictures = values.par_chunks_exact(height * width * channels);
            let picture = |values| Picture { width, height, channels, pixels: preprocess::to_bytes(values) };
            pictures.map(picture).collect::<Vec<_>>()
        };
        latents.chunks(BATCH).enumerate().flat_map(batch).collect()
    }

    /// As [`pictures`](Self::pictures), as one tensor in [-1, 1].
    pub(crate) fn tensor(&self, latents: &[Vec<f32>], classes: &[usize]) -> Tensor<4> {
        let z = TensorData::new(latents.concat(), [latents.len(), self.info.config.z_dim()]);
        let labels = models::one_hot(classes, self.info.config.classes().len(), &self.device);
        self.model.generate(Tensor::from_data(z, &self.device), labels)
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
            version: crate::VERSION.to_string(),
        };
        Provenance { label: label.clone(), recipe }
    }
}

/// The model files to try, best first.
fn candidates(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    if !path.is_dir() {
        return Err(Error::input(format!("there is no {}", path.display()))
            .hint("give a run directory (see `maliang runs`), a checkpoint directory, or a model file"));
    }
    let direct = path.join(checkpoint::MODEL_FILE);
    if direct.is_file() {
        return Ok(vec![direct]);
    }
    let run = RunDir::new(path);
    let newest = checkpoint::list(&run.checkpoints()).into_iter().map(|(_, directory)| directory);
    let found: Vec<PathBuf> =
        run.pointed("best").into_iter().chain(newest).map(|directory| directory.join(checkpoint::MODEL_FILE)).collect();
    if found.is_empty() {
        return Err(Error::input(format!("{} holds no trained model", path.display()))
            .hint("give a run directory (see `maliang runs`), a checkpoint directory, or a model file"));
    }
    Ok(found)
}
