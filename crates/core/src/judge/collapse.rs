//! Does a generator make many different pictures, or a few again and again?

use super::pixels::Pixels;
use super::products::nearest;
use crate::features::Features;
use serde::{Deserialize, Serialize};

/// Two pictures are the same when their thumbnails differ by at most this many of 255 levels (root mean square).
const SAME_LEVELS: f64 = 4.0;
/// Below this diversity, or above this share of repeats, it is a collapse.
const COLLAPSED_DIVERSITY: f64 = 0.3;
const COLLAPSED_REPEATS: f64 = 0.5;
/// Below this diversity, or this share of the coverage that real pictures reach, it is narrow.
const NARROW_DIVERSITY: f64 = 0.7;
const NARROW_COVERAGE: f64 = 0.3;

/// Measures of mode collapse, each with what real pictures of the same number reach.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Collapse {
    /// Root mean square distance between two generated pictures in feature space, relative to two real ones.
    pub diversity: f64,
    /// The same of other real pictures: about 1.
    pub diversity_floor: f64,
    /// Share of generated pictures that another one repeats.
    pub duplicates: f64,
    /// The same of real pictures.
    pub duplicates_floor: f64,
    /// Coverage (Naeem 2020), as in the scores.
    pub coverage: f64,
    /// The same of real pictures.
    pub coverage_floor: f64,
    /// In words.
    pub words: String,
}

/// Root mean square distance of two vectors of a set is √2 of this.
fn spread(set: &Features) -> f64 {
    let mean = set.mean();
    let n = set.count() as f64;
    (set.variance(&mean).iter().sum::<f64>() * n / (n - 1.0).max(1.0)).sqrt()
}

/// Diversity of `set` relative to `real`. Real pictures that are all alike have no diversity to compare with: 1.
pub fn diversity(real: &Features, set: &Features) -> f64 {
    let real = spread(real);
    if real > 0.0 { spread(set) / real } else { 1.0 }
}

/// Share of pictures that another of the set repeats, from their vectors in pixel space.
pub fn duplicate_rate(pixels: &Pixels, set: &Features) -> f64 {
    let near = nearest(set, set, 1, true);
    let same = near.iter().filter(|n| n.first().is_some_and(|n| pixels.levels(n.distance) <= SAME_LEVELS)).count();
    same as f64 / set.count().max(1) as f64
}

impl Collapse {
    /// Are the pictures hardly different from one another, or do they repeat?
    pub fn is_collapse(&self) -> bool {
        self.diversity < COLLAPSED_DIVERSITY || self.duplicates - self.duplicates_floor > COLLAPSED_REPEATS
    }

    /// The verdict on these measures.
    pub(super) fn describe(mut self) -> Self {
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        self.words = if self.is_collapse() {
            format!(
                "It has collapsed: the pictures are {} as varied as real ones, and {} of them repeat another.",
                percent(self.diversity),
                percent(self.duplicates)
            )
        } else if self.diversity < NARROW_DIVERSITY || self.coverage < NARROW_COVERAGE * self.coverage_floor {
            format!(
                "Low variety: the pictures are {} as varied as real ones and cover {} of the data (other \
                 real pictures: {}).",
                percent(self.diversity),
                percent(self.coverage),
                percent(self.coverage_floor)
            )
        } else {
            format!(
                "No collapse: the pictures are {} as varied as real ones and cover {} of the data (other real pictures: {}).",
                percent(self.diversity),
                percent(self.coverage),
                percent(self.coverage_floor)
            )
        };
        self
    }
}
