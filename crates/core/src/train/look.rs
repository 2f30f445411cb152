//! What a look at a run in training shows: the grid with its fixed seeds, and the scores against held-out pictures.

use super::health;
use super::subject::Looked;
use crate::Result;
use crate::data::source_name;
use crate::data::{DataConfig, Dataset, preprocess};
use crate::features::{Extractor, Features, Scaling, Standard};
use crate::generate::grid;
use crate::generate::latent::slerp;
use crate::generate::picture;
use crate::generate::sampler::Sampler;
use crate::judge::{Metric, ScoreName, Side, kid, kid_noise};
use crate::nn::host;
use crate::picture::Picture;
use crate::provenance::label::Label;
use crate::rng::evenly;
use crate::run::config::RunConfig;
use crate::run::dir::RunDir;
use burn::tensor::{Device, Tensor, TensorData};
use std::path::Path;

/// Pictures a score is computed on, a side, at most: 256 of 64×64 pixels keep a look under a second. Of smaller ones as many
/// pixels are looked at: small pictures are learned soon and closely, and what is left between two looks is small, too.
fn scored(data: &DataConfig) -> usize {
    (256 * 64 * 64 / (data.width * data.height)).clamp(256, 1024)
}
/// With fewer held-out pictures than this the estimate is mostly noise, so all pictures are compared with.
const ENOUGH_HELDOUT: usize = 64;
/// Seed of the pictures of grids and scores: their latents never change, so that looks can be compared.
const LOOK_SEED: u64 = 0;

/// Compares generated pictures with real ones of the run's data.
pub(super) struct Looker {
    features: Box<dyn Extractor>,
    /// Makes the features of generated pictures comparable with `real`, where they have to be.
    standard: Option<Standard>,
    real: Features,
    real_spread: f64,
    name: ScoreName,
}

impl Looker {
    /// Reads and embeds the real side once, through `features`, whose pictures lie on `device`.
    ///
    /// The score that decides for a GAN is KID against pictures the training never sees: a GAN's own losses measure the
    /// balance of two players and not the pictures, and KID is unbiased for any number of pictures.
    pub fn new(config: &RunConfig, data: &Dataset, features: Box<dyn Extractor>, device: &Device) -> Self {
        let heldout = data.heldout_len() >= ENOUGH_HELDOUT;
        let available = if heldout { data.heldout_len() } else { data.heldout_len() + data.train_len() };
        let count = available.min(scored(&config.data));
        let pictures: Vec<Vec<u8>> = evenly(available, count)
            .into_iter()
            .map(|i| {
                if i < data.heldout_len() {
                    data.heldout(i).to_vec()
                } else {
                    data.train(i - data.heldout_len()).to_vec()
                }
            })
            .collect();
        let shape = [config.data.height, config.data.width, config.data.channels];
        let rows: Vec<Vec<f32>> = pictures
            .chunks(32)
            .flat_map(|part| {
                let values = part.iter().flat_map(|p| preprocess::to_unit(p)).collect::<Vec<f32>>();
                let data = TensorData::new(values, [part.len(), shape[0], shape[1], shape[2]]);
                features.extract(Tensor::from_data(data, device))
            })
            .collect();
        let real = Features::from_rows(&rows);
        let standard = (features.scaling() == Scaling::Standardised).then(|| Standard::of(&real));
        let side = Some(if heldout { Side::Heldout } else { Side::All });
        let name = ScoreName::Pictures { metric: Metric::Kid, extractor: features.name(), side, n: count, k: None };
        let real = match &standard {
            Some(standard) => standard.apply(&real),
            None => real,
        };
        Self { name, features, real, standard, real_spread: health::spread(&pictures) }
    }

    /// A difference of scores that real pictures have among themselves: [`kid_noise`].
    pub fn noise(&self) -> f64 {
        kid_noise(&self.real)
    }

    /// Scores a model.
    pub fn look(&self, sampler: &Sampler) -> Looked {
        let count = self.real.count().max(64) as u64;
        let (mut features, mut bytes) = (Features::new(self.features.len()), Vec::new());
        let indices: Vec<u64> = (0..count).collect();
        for part in indices.chunks(32) {
            let latents: Vec<_> = part.iter().map(|&i| sampler.latent(LOOK_SEED, i, 1.0)).collect();
            let classes: Vec<_> = part.iter().map(|&i| sampler.class_of(i)).collect();
            let tensor = sampler.tensor(&latents, &classes);
            self.features.extract(tensor.clone()).iter().for_each(|row| features.push(row));
            let size = tensor.shape().num_elements() / part.len();
            bytes.extend(preprocess::to_bytes(&host(tensor)).chunks_exact(size).map(<[u8]>::to_vec));
        }
        let features = self.standard.as_ref().map_or_else(|| features.clone(), |standard| standard.apply(&features));
        let score = if self.real.count() >= 2 { kid(&self.real, &features) } else { f64::INFINITY };
        // Real pictures that are all alike have no spread to compare with.
        let diversity = if self.real_spread > 0.0 { health::spread(&bytes) / self.real_spread } else { 1.0 };
        Looked { scores: vec![(self.name.clone(), score)], diversity: Some(diversity) }
    }
}

/// Rows and columns of a grid: about 512 pixels wide.
fn grid_side(config: &RunConfig) -> usize {
    (512 / config.data.width.max(config.data.height).max(64)).clamp(3, 8)
}

/// Number `i` of a grid with `columns` columns: a class a row, as far as they go.
fn grid_class(i: usize, columns: usize, classes: usize) -> usize {
    if classes == 0 { 0 } else { (i / columns) % classes }
}

/// Rows of a grid: one a class where there are classes, up to twelve.
fn grid_rows(config: &RunConfig) -> usize {
    let classes = config.model.classes().len();
    if classes == 0 { grid_side(config) } else { classes.clamp(2, 12) }
}

/// Draws the grid of a checkpoint; below that of a VAE, real pictures beside what it makes of them, and ways between them.
pub(super) fn write_sample(path: &Path, sampler: &Sampler, config: &RunConfig, data: &Dataset) -> Result<()> {
    let (rows, columns) = (grid_rows(config), grid_side(config));
    let latents: Vec<_> = (0..rows * columns).map(|i| sampler.latent(LOOK_SEED, i as u64, 1.0)).collect();
    let classes: Vec<_> = (0..rows * columns).map(|i| grid_class(i, columns, config.model.classes().len())).collect();
    let pictures = sampler.pictures(&latents, &classes);
    let footer = format!("step {}", sampler.info.step);
    let words = format!("grid of seed {LOOK_SEED}, numbers 0 to {}", pictures.len() - 1);
    let (sheet, words) = match encoded(sampler, columns, data) {
        None => (grid::grid(&pictures, columns, Some(&footer)), words),
        Some(Encoded { side, real, reconstructed, between }) => {
            let real_text = format!("real pictures, {side}");
            let sections = [
                ("generated", pictures),
                (&real_text, real),
                ("generated: their reconstructions", reconstructed),
                ("generated: from one of them to another", between),
            ];
            let words =
                format!("{words}; real pictures where the sheet says so, their reconstructions, interpolations");
            (grid::sections(&sections, columns, &footer), words)
        }
    };
    let provenance = sampler.provenance(&Label::default(), LOOK_SEED, 0, None, 1.0, &words);
    picture::write_png(path, &sheet, &provenance)
}

/// What a VAE makes of real pictures.
struct Encoded {
    /// Which pictures they are.
    side: &'static str,
    real: Vec<Picture>,
    reconstructed: Vec<Picture>,
    /// Two rows, each from one of them to the next.
    between: Vec<Picture>,
}

/// A row of held-out pictures (training pictures where there are too few) through encoder and decoder, and a row each from the
/// first to the second and from the third to the fourth, along the great circle between their latents. None for a model that
/// has no encoder.
fn encoded(sampler: &Sampler, columns: usize, data: &Dataset) -> Option<Encoded> {
    let heldout = data.heldout_len() >= columns;
    let (first, available) = if heldout { (data.train_len(), data.heldout_len()) } else { (0, data.train_len()) };
    let numbers: Vec<usize> = evenly(available, columns).into_iter().map(|i| first + i).collect();
    let class = |&i: &usize| if heldout { data.heldout_label(i - first) } else { data.train_label(i) };
    let pictures: Vec<&[u8]> = numbers.iter().map(|&i| data.any(i)).collect();
    let classes: Vec<usize> = numbers.iter().filter_map(class).collect();
    let z = sampler.encode(&pictures, &classes)?;
    let reconstructed = sampler.decoded(&z, &classes);
    let mut between = Vec::new();
    for pair in (0..numbers.len()).collect::<Vec<_>>().chunks_exact(2).take(2) {
        let along = |i: usize| slerp(&z[pair[0]], &z[pair[1]], i as f32 / (columns - 1) as f32);
        let path: Vec<Vec<f32>> = (0..columns).map(along).collect();
        // The class stays that of the first: half a class is none.
        let class = classes.get(pair[0]).map_or_else(Vec::new, |&class| vec![class; columns]);
        between.extend(sampler.decoded(&path, &class));
    }
    let (width, height, channels) = (data.width(), data.height(), data.channels());
    let real = pictures.iter().map(|pixels| Picture { width, height, channels, pixels: pixels.to_vec() }).collect();
    let side = if heldout { "held out" } else { "trained on" };
    Some(Encoded { side, real, reconstructed, between })
}

/// Draws `reals.png`: training pictures as the model sees them, arranged like the grids. They are real, so no label.
pub(super) fn write_reals(dir: &RunDir, config: &RunConfig, data: &Dataset) -> Result<()> {
    let (rows, columns) = (grid_rows(config), grid_side(config));
    let classes = config.model.classes().len();
    let mut of_class: Vec<Vec<usize>> = vec![Vec::new(); classes.max(1)];
    for i in 0..data.train_len() {
        of_class[data.train_label(i).filter(|_| classes > 0).unwrap_or(0)].push(i);
    }
    let pictures: Vec<Picture> = (0..rows * columns)
        .filter_map(|i| {
            let pool = &of_class[grid_class(i, columns, classes)];
            let place = if classes == 0 { i } else { i % columns };
            let wanted = if classes == 0 { rows * columns } else { columns };
            // Spread over the pool; a small one is shown once and not repeated.
            let index = if pool.len() >= wanted { place * pool.len() / wanted } else { place };
            let pixels = data.train(*pool.get(index)?).to_vec();
            Some(Picture { width: data.width(), height: data.height(), channels: data.channels(), pixels })
        })
        .collect();
    picture::write_real_png(&dir.file("reals.png"), &grid::real_sheet(&pictures, columns))
}

/// The model's name: data, family and size.
pub(super) fn model_name(config: &RunConfig) -> String {
    let data = source_name(&config.data.source).replace([':', ' '], "-");
    format!("{data}-{}-{}x{}", config.model.family(), config.data.width, config.data.height)
}
