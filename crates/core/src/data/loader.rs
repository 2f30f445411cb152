//! Batches as a pure function of (seed, step): nothing to save, so nothing to get wrong on resume.

use std::sync::{Arc, Mutex};

use rand::Rng;

use super::ahead::Ahead;
use super::{Dataset, preprocess};
use crate::rng;

/// What one training step reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Pictures, NHWC `[size, height, width, channels]`, in [-1, 1].
    pub pictures: Vec<f32>,
    /// What each of them is asked for with.
    pub condition: Conditions,
    /// How many pictures.
    pub size: usize,
}

/// What each picture of a batch is asked for with: its class and its caption, in the order of the pictures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The class of each picture as an index into [`Dataset::labels`]; empty if the data has no labels.
    pub classes: Vec<usize>,
    /// The caption of each picture that has one; empty if no picture of the data has one.
    pub captions: Vec<Option<Arc<str>>>,
}

/// Serves shuffled, optionally mirrored batches of the training part of a [`Dataset`].
///
/// Picture `j` of step `s` is number `k = s * batch + j` of an endless sequence of epochs: epoch `k / n`, place `k % n` in
/// that epoch's permutation. Each picture comes exactly once an epoch, a batch may straddle two epochs, and a data set
/// smaller than a batch is simply repeated within it.
pub struct Loader {
    batches: Arc<Batches>,
    /// The batch that another thread assembles while this one trains.
    ahead: Ahead<u64, Batch>,
}

/// What a batch is a function of.
struct Batches {
    dataset: Arc<Dataset>,
    batch: usize,
    flip: bool,
    seed: u64,
    /// The permutations in use, newest last. A cache only: the result does not depend on it.
    epochs: Mutex<Vec<(u64, Arc<Vec<u32>>)>>,
}

impl Loader {
    /// A loader of `batch` pictures a step, mirrored left-right with probability one half if `flip`.
    pub fn new(dataset: Arc<Dataset>, batch: usize, flip: bool, seed: u64) -> Self {
        let batches = Batches { dataset, batch, flip, seed, epochs: Mutex::new(Vec::new()) };
        Self { batches: Arc::new(batches), ahead: Ahead::default() }
    }

    /// The data set behind this loader.
    pub fn dataset(&self) -> &Dataset {
        &self.batches.dataset
    }

    /// How many pictures a batch has.
    pub fn batch_size(&self) -> usize {
        self.batches.batch
    }

    /// The training pictures of `step`, by index, in the order of the batch.
    pub fn indices(&self, step: u64) -> Vec<usize> {
        self.batches.indices(step)
    }

    /// The batch of `step`: the same for the same (data, batch, flip, seed, step), in whatever order steps are asked for.
    pub fn batch(&self, step: u64) -> Batch {
        self.ahead.take(step).unwrap_or_else(|| self.batches.batch(step))
    }

    /// As [`batch`](Self::batch), and begins the batch of step `next` on another thread. A wrong guess costs time only.
    pub fn batch_before(&self, step: u64, next: u64) -> Batch {
        let batch = self.batch(step);
        let batches = self.batches.clone();
        self.ahead.start(next, move || batches.batch(next));
        batch
    }
}

impl Batches {
    fn indices(&self, step: u64) -> Vec<usize> {
        let n = self.dataset.train_len() as u128;
        let first = u128::from(step) * self.batch as u128;
        let mut order: Option<(u64, Arc<Vec<u32>>)> = None;
        let mut indices = Vec::with_capacity(self.batch);
        for k in first..first + self.batch as u128 {
            let epoch = (k / n) as u64;
            let permutation = match &order {
                Some((cached, permutation)) if *cached == epoch => permutation,
                _ => &order.insert((epoch, self.permutation(epoch))).1,
            };
            indices.push(permutation[(k % n) as usize] as usize);
        }
        indices
    }

    fn batch(&self, step: u64) -> Batch {
        let indices = self.indices(step);
        let data = &*self.dataset;
        let row = data.width() * data.channels();
        let mut flips = rng::stream(self.seed, "flip", step);
        let mut pictures = Vec::with_capacity(self.batch * data.height() * row);
        for &index in &indices {
            let bytes = data.train(index);
            // Drawn for every picture, so that each decision depends on its place alone.
            if flips.next_u32() & 1 == 1 && self.flip {
                for line in bytes.chunks_exact(row) {
                    for pixel in line.chunks_exact(data.channels()).rev() {
                        pictures.extend(pixel.iter().map(|&byte| preprocess::unit(byte)));
                    }
                }
            } else {
                pictures.extend(bytes.iter().map(|&byte| preprocess::unit(byte)));
            }
        }
        Batch { pictures, condition: data.train_conditions(&indices), size: indices.len() }
    }

    /// The permutation of one epoch, from the cache or drawn.
    fn permutation(&self, epoch: u64) -> Arc<Vec<u32>> {
        // A poisoned lock only means that another thread panicked: the cache itself is always whole.
        let mut epochs = self.epochs.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((_, found)) = epochs.iter().find(|(cached, _)| *cached == epoch) {
            return found.clone();
        }
        let drawn = Arc::new(permutation(self.dataset.train_len(), self.seed, epoch));
        epochs.push((epoch, drawn.clone()));
        if epochs.len() > 2 {
            epochs.remove(0); // a batch straddles at most two epochs, unless the data set is tiny
        }
        drawn
    }
}

/// The order of the pictures in one epoch.
fn permutation(n: usize, seed: u64, epoch: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n as u32).collect();
    rng::shuffle(&mut rng::stream(seed, "shuffle", epoch), &mut order);
    order
}
