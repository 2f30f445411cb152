//! What a judge sees of a picture: feature vectors, and the extractors that make them.

use burn::tensor::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// A network (or anything else) that turns pictures into vectors whose distances mean something.
#[allow(clippy::len_without_is_empty)] // a vector without entries is none
pub trait Extractor: Send + Sync {
    /// Its part of a metric's name: "randomconv", "effnetlite0".
    fn name(&self) -> String;
    /// Length of a feature vector.
    fn len(&self) -> usize;
    /// Pictures `[batch, height, width, channels]` in [-1, 1], 1 or 3 channels → one vector a picture, each independent of
    /// its neighbours in the batch.
    fn extract(&self, pictures: Tensor<4>) -> Vec<Vec<f32>>;
    /// How its features enter the metrics: part of the protocol. A trained network's are taken as they are.
    fn scaling(&self) -> Scaling {
        Scaling::Raw
    }
}

/// What is done to features before they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scaling {
    /// Nothing: the field's protocol for trained networks, whose features have scales that mean something.
    Raw,
    /// Each feature is standardised by the real set: see [`Standard`]. For features that nobody trained.
    Standardised,
}

/// Feature vectors of equal length, one after the other: `[count, dimensions]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    dimensions: usize,
    values: Vec<f32>,
}

impl Features {
    /// An empty set of vectors of length `dimensions`.
    ///
    /// # Panics
    /// If `dimensions` is 0.
    pub fn new(dimensions: usize) -> Self {
        assert!(dimensions > 0, "a feature vector has entries");
        Self { dimensions, values: Vec::new() }
    }

    /// All vectors in one piece.
    ///
    /// # Panics
    /// If `values` is not a whole number of vectors.
    pub fn from_values(dimensions: usize, values: Vec<f32>) -> Self {
        assert!(dimensions > 0 && values.len().is_multiple_of(dimensions), "a whole number of vectors");
        Self { dimensions, values }
    }

    /// As extractors return them.
    ///
    /// # Panics
    /// If they differ in length or there are none.
    pub fn from_rows(rows: &[Vec<f32>]) -> Self {
        let mut all = Self::new(rows[0].len());
        rows.iter().for_each(|row| all.push(row));
        all
    }

    /// Appends a vector.
    ///
    /// # Panics
    /// If it has another length.
    pub fn push(&mut self, row: &[f32]) {
        assert_eq!(row.len(), self.dimensions, "feature vectors of one set have one length");
        self.values.extend_from_slice(row);
    }

    /// Entries of a vector.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// How many vectors.
    pub fn count(&self) -> usize {
        self.values.len() / self.dimensions
    }

    /// Vector `i`.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.dimensions..][..self.dimensions]
    }

    /// The vectors in turn.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dimensions)
    }

    /// All entries, vector by vector.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The vectors of these numbers, in their order.
    pub fn select(&self, numbers: impl IntoIterator<Item = usize>) -> Self {
        let mut chosen = Self::new(self.dimensions);
        numbers.into_iter().for_each(|i| chosen.push(self.row(i)));
        chosen
    }

    /// Mean of each entry.
    pub fn mean(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.dimensions];
        for row in self.rows() {
            sums.iter_mut().zip(row).for_each(|(sum, &v)| *sum += f64::from(v));
        }
        sums.iter().map(|sum| sum / self.count().max(1) as f64).collect()
    }

    /// Biased variance of each entry, around its `mean`.
    pub fn variance(&self, mean: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; self.dimensions];
        for row in self.rows() {
            sums.iter_mut().zip(row).zip(mean).for_each(|((sum, &v), mean)| *sum += (f64::from(v) - mean).powi(2));
        }
        sums.iter().map(|sum| sum / self.count().max(1) as f64).collect()
    }
}

/// Squared distance of two vectors, summed in f64.
pub(crate) fn squared_distance(x: &[f32], y: &[f32]) -> f64 {
    x.iter().zip(y).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

/// The affine map that gives every feature of a real set mean 0 and deviation 1. It depends on the real set alone, so that
/// scores of several generated sets against it stay comparable.
#[derive(Debug, Clone)]
pub struct Standard {
    /// (mean, 1 / deviation) of each feature.
    moments: Vec<(f64, f64)>,
}

impl Standard {
    /// Measures `real`.
    pub fn of(real: &Features) -> Self {
        let mean = real.mean();
        let deviation: Vec<f64> = real.variance(&mean).into_iter().map(f64::sqrt).collect();
        let mut sorted = deviation.clone();
        sorted.sort_by(f64::total_cmp);
        // A feature that hardly varies over the real set (a filter that never fires on it) must not be blown up into the
        // only one that counts as soon as a generated picture touches it.
        let least = (sorted[sorted.len() / 2] * 0.1).max(1e-6);
        let moments = mean.into_iter().zip(deviation).map(|(mean, d)| (mean, d.max(least).recip())).collect();
        Self { moments }
    }

    /// `set` with every feature standardised.
    pub fn apply(&self, set: &Features) -> Features {
        let mut values = set.values.clone();
        values.par_chunks_exact_mut(set.dimensions).for_each(|row| {
            row.iter_mut().zip(&self.moments).for_each(|(v, (mean, scale))| {
                *v = ((f64::from(*v) - mean) * scale) as f32;
            });
        });
        Features { dimensions: set.dimensions, values }
    }
}

impl Scaling {
    /// `real` and `others` as the metrics see them.
    pub fn apply(self, real: &Features, others: &[&Features]) -> (Features, Vec<Features>) {
        match self {
            Self::Raw => (real.clone(), others.iter().map(|&set| set.clone()).collect()),
            Self::Standardised => {
                let standard = Standard::of(real);
                (standard.apply(real), others.iter().map(|set| standard.apply(set)).collect())
            }
        }
    }
}
