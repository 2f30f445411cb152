//! Decoded pictures of one size, ready to train on.

use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use super::build::{self, fingerprint};
use super::cache;
use super::config::DataConfig;
use super::loader::Conditions;
use super::manifest::{Entry, Manifest, Split};
use super::source::{OnProgress, Scan};
use crate::Result;

/// Decoded pictures of one size, memory-mapped: u8, HWC each, split into a training and a held-out part.
#[derive(Debug)]
pub struct Dataset {
    map: Mmap,
    manifest: Manifest,
    /// Rows of the cache.
    train: Vec<usize>,
    heldout: Vec<usize>,
    /// The label of each row as an index into `manifest.labels`; empty if unlabelled.
    labels: Vec<usize>,
    /// The caption of each row, shared with the batches; empty if no row has one.
    captions: Vec<Option<Arc<str>>>,
}

impl Dataset {
    /// Opens the data set of `config` and `scan`, decoding it into `cache_dir` first if it is not there. What a check of the scan
    /// has [kept](Scan::keeping) is not decoded again, and is kept no longer.
    ///
    /// A file that cannot be read or decoded becomes a reject in the [`Manifest`]; exact duplicates are kept once. It is
    /// an error if nothing is left, or if the cache cannot be written.
    pub fn open(config: &DataConfig, scan: &Scan, cache_dir: &Path, on_progress: OnProgress) -> Result<Dataset> {
        config.validate()?;
        if scan.items.is_empty() {
            return Err(scan.nothing_usable(&scan.rejects));
        }
        let fingerprint = fingerprint(config, scan);
        let dataset = match Self::open_cached(cache_dir, &fingerprint) {
            Ok(dataset) => Ok(dataset),
            // Not there, or damaged: in both cases it is made from the source.
            Err(_) => build::build(config, scan, cache_dir, &fingerprint, on_progress)
                .and_then(|()| Self::open_cached(cache_dir, &fingerprint)),
        };
        scan.forget();
        let mut dataset = dataset?;
        // The fingerprint does not depend on how the source was spelt.
        dataset.manifest.config.source.clone_from(&config.source);
        Ok(dataset)
    }

    /// Opens a cache by its fingerprint alone, as a resumed run does: the source may have changed or gone. All pixels are compared
    /// with their checksum, which reads the whole file: about a second for a gigabyte.
    pub fn open_cached(cache_dir: &Path, fingerprint: &str) -> Result<Dataset> {
        let (map, manifest) = cache::open(cache_dir, fingerprint)?;
        Ok(Self::of(map, manifest))
    }

    /// The data set whose pictures lie in `map`, in the order of the manifest.
    pub(super) fn of(map: Mmap, manifest: Manifest) -> Self {
        let rows =
            |split| manifest.pictures.iter().enumerate().filter(move |(_, p)| p.split == split).map(|(row, _)| row);
        let (train, heldout) = (rows(Split::Train).collect(), rows(Split::Heldout).collect());
        let labels = if manifest.labels.is_empty() {
            Vec::new()
        } else {
            let place: std::collections::HashMap<&str, usize> =
                manifest.labels.iter().enumerate().map(|(i, label)| (label.as_str(), i)).collect();
            let label = |entry: &Entry| place.get(entry.label.as_deref()?).copied();
            manifest.pictures.iter().map(label).collect::<Option<_>>().unwrap_or_default()
        };
        let captions = if manifest.pictures.iter().any(|entry| entry.caption.is_some()) {
            manifest.pictures.iter().map(|entry| entry.caption.as_deref().map(Arc::from)).collect()
        } else {
            Vec::new()
        };
        Self { map, manifest, train, heldout, labels, captions }
    }

    /// The same under the name that `before` has, if it was made of the same bytes: files that were only copied or touched are
    /// the data set that they were.
    pub(crate) fn recognised_as(mut self, before: &Manifest) -> Option<Self> {
        self.manifest.fingerprint.clone_from(&before.fingerprint);
        (self.manifest == *before).then_some(self)
    }

    /// Names the pictures and every setting that shapes them: the same fingerprint, the same bytes.
    pub fn fingerprint(&self) -> &str {
        &self.manifest.fingerprint
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.manifest.config.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.manifest.config.height
    }

    /// 1 (grey) or 3 (RGB).
    pub fn channels(&self) -> usize {
        self.manifest.config.channels
    }

    /// How many pictures to train on; at least 1.
    pub fn train_len(&self) -> usize {
        self.train.len()
    }

    /// How many pictures are held out for judging; may be 0.
    pub fn heldout_len(&self) -> usize {
        self.heldout.len()
    }

    /// The class names, or nothing if the data is unlabelled.
    pub fn labels(&self) -> &[String] {
        &self.manifest.labels
    }

    /// Training picture `i`, `[height, width, channels]`. Panics if `i >= train_len()`.
    pub fn train(&self, i: usize) -> &[u8] {
        self.row(self.train[i])
    }

    /// Held-out picture `i`, `[height, width, channels]`. Panics if `i >= heldout_len()`.
    pub fn heldout(&self, i: usize) -> &[u8] {
        self.row(self.heldout[i])
    }

    /// The class of training picture `i` as an index into [`Self::labels`].
    pub fn train_label(&self, i: usize) -> Option<usize> {
        self.labels.get(self.train[i]).copied()
    }

    /// The class of held-out picture `i` as an index into [`Self::labels`].
    pub fn heldout_label(&self, i: usize) -> Option<usize> {
        self.labels.get(self.heldout[i]).copied()
    }

    /// What the training pictures `numbers` are asked for with. Panics if one of them is not below `train_len()`.
    pub fn train_conditions(&self, numbers: &[usize]) -> Conditions {
        self.conditions(numbers.iter().map(|&i| self.train[i]))
    }

    /// What the held-out pictures `numbers` are asked for with. Panics if one of them is not below `heldout_len()`.
    pub fn heldout_conditions(&self, numbers: &[usize]) -> Conditions {
        self.conditions(numbers.iter().map(|&i| self.heldout[i]))
    }

    /// The manifest's entry of training picture `i`: its name, hash, caption.
    pub fn train_entry(&self, i: usize) -> &Entry {
        &self.manifest.pictures[self.train[i]]
    }

    /// The manifest's entry of held-out picture `i`.
    pub fn heldout_entry(&self, i: usize) -> &Entry {
        &self.manifest.pictures[self.heldout[i]]
    }

    /// What went in, what did not and why.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn conditions(&self, rows: impl Iterator<Item = usize> + Clone) -> Conditions {
        Conditions {
            classes: rows.clone().filter_map(|row| self.labels.get(row).copied()).collect(),
            captions: rows.filter_map(|row| self.captions.get(row).cloned()).collect(),
        }
    }

    fn row(&self, row: usize) -> &[u8] {
        let size = self.manifest.config.row_bytes();
        &self.map[cache::HEADER_BYTES + row * size..][..size]
    }
}
