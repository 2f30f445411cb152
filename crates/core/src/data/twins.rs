//! Twins inside a prepared data set: pictures that a model will see several times, or that training and judging share.

use std::collections::HashMap;

use image::{DynamicImage, GrayImage, RgbImage};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Dataset;
use super::phash::{Look, near_pairs};

/// What looks the same within a data set. Files with equal bytes are dropped before and are not counted here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Twins {
    /// Training pictures that have exactly the pixels of an earlier one.
    pub exact: usize,
    /// Pairs of training pictures that look the same (a difference hash, confirmed on thumbnails).
    pub near: usize,
    /// Held-out pictures that look like a training picture: they make held-out scores too good.
    pub leaked: usize,
    /// Were all pairs compared? Otherwise the last two are lower bounds.
    pub complete: bool,
}

impl Dataset {
    /// Looks for twins among the prepared pictures.
    pub fn twins(&self) -> Twins {
        let (train, all) = (self.train_len(), self.train_len() + self.heldout_len());
        let looks: Vec<Option<Look>> = (0..all).into_par_iter().map(|i| self.look(self.any(i))).collect();
        let known: Vec<(usize, &Look)> = looks.iter().enumerate().filter_map(|(i, l)| Some((i, l.as_ref()?))).collect();
        let (pairs, complete) = near_pairs(&known.iter().map(|(_, look)| *look).collect::<Vec<_>>());
        let pairs: Vec<(usize, usize)> = pairs.into_iter().map(|(a, b, _)| (known[a].0, known[b].0)).collect();
        let mut leaked: Vec<usize> = pairs.iter().filter(|&&(a, b)| a < train && b >= train).map(|&(_, b)| b).collect();
        leaked.sort_unstable();
        leaked.dedup();
        let mut seen: HashMap<blake3::Hash, usize> = HashMap::new();
        (0..train).for_each(|i| *seen.entry(blake3::hash(self.train(i))).or_default() += 1);
        Twins {
            exact: train - seen.len(),
            near: pairs.iter().filter(|&&(_, b)| b < train).count(),
            leaked: leaked.len(),
            complete,
        }
    }

    /// Picture `i` of all: training pictures first, then held-out ones.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn any(&self, i: usize) -> &[u8] {
        if i < self.train_len() { self.train(i) } else { self.heldout(i - self.train_len()) }
    }

    fn look(&self, pixels: &[u8]) -> Option<Look> {
        let (width, height) = (self.width() as u32, self.height() as u32);
        let image: DynamicImage = match self.channels() {
            1 => GrayImage::from_raw(width, height, pixels.to_vec())?.into(),
            _ => RgbImage::from_raw(width, height, pixels.to_vec())?.into(),
        };
        Look::of(&image).ok()
    }
}
