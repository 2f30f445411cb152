//! The training pictures that generated pictures resemble most: similar, which is not to say that they caused them.

use super::feature_cache;
use super::products::{Neighbour, nearest};
use crate::data::Dataset;
use crate::features::{Extractor, Features};
use crate::picture::Picture;
use std::path::Path;

/// The `k` training pictures of `data` that are nearest to each of `pictures`, which have their size, in the features of
/// `extractor`; nearest first. Features of the training pictures are kept in `cache`; `on_progress` is told how many are done and
/// how many there are.
pub fn neighbours(
    pictures: &[Picture],
    data: &Dataset,
    extractor: &dyn Extractor,
    k: usize,
    cache: &Path,
    on_progress: &dyn Fn(usize, usize),
) -> Vec<Vec<Neighbour>> {
    let numbers: Vec<usize> = (0..data.train_len()).collect();
    let training = feature_cache::of_real(extractor, data, &numbers, cache, &|done| on_progress(done, numbers.len()));
    let shape = [data.height(), data.width(), data.channels()];
    let mut generated = Features::new(extractor.len());
    for part in pictures.chunks(feature_cache::BATCH) {
        let bytes: Vec<&[u8]> = part.iter().map(|picture| picture.pixels.as_slice()).collect();
        extractor.extract(feature_cache::tensor(&bytes, shape)).iter().for_each(|row| generated.push(row));
    }
    let (training, others) = extractor.scaling().apply(&training, &[&generated]);
    nearest(&others[0], &training, k, false)
}
