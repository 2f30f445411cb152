//! What a data set was made of: written beside the cache, and by the trainer as `data.json`.

use serde::{Deserialize, Serialize};

use super::{DataConfig, Reject};

/// Which part a picture belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Trained on.
    Train,
    /// Kept out of training, for judging.
    Heldout,
}

/// One picture of the data set: where it came from, and what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Name inside the source.
    pub name: String,
    /// BLAKE3 of the file's bytes, hexadecimal.
    pub blake3: String,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Original width in pixels, as it is meant to be seen.
    pub width: usize,
    /// Original height in pixels, as it is meant to be seen.
    pub height: usize,
    /// How the file stores pixels: `RGB`, `grey 16-bit`, `palette`, …
    pub mode: String,
    /// The class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The caption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// Trained on or held out.
    pub split: Split,
}

/// Files with exactly the same bytes: one is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Duplicate {
    /// The first by name.
    pub kept: String,
    /// The others.
    pub dropped: Vec<String>,
}

/// The numbers of a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Pictures trained on.
    pub train: usize,
    /// Pictures held out.
    pub heldout: usize,
    /// Files that could not be used.
    pub rejected: usize,
    /// Repeats of another file that were dropped.
    pub duplicates: usize,
    /// Files that are not pictures.
    pub ignored: usize,
}

/// Everything that went into a data set, and everything that did not with the reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Names these pictures with these settings.
    pub fingerprint: String,
    /// The settings.
    pub config: DataConfig,
    /// The numbers.
    pub counts: Counts,
    /// The class names in the order of their indices; empty if unlabelled.
    pub labels: Vec<String>,
    /// Things the user should know, one sentence each.
    pub notes: Vec<String>,
    /// The files that could not be used.
    pub rejects: Vec<Reject>,
    /// Files with the same bytes.
    pub duplicates: Vec<Duplicate>,
    /// The pictures, in the order of the rows of the cache.
    pub pictures: Vec<Entry>,
}

impl Manifest {
    /// What may be told without saying which pictures there are and where they lie: settings, numbers, class names.
    pub fn outline(&self) -> Self {
        let source = crate::data::source_name(&self.config.source);
        Self {
            fingerprint: self.fingerprint.clone(),
            config: DataConfig { source, ..self.config.clone() },
            counts: self.counts.clone(),
            labels: self.labels.clone(),
            notes: Vec::new(),
            rejects: Vec::new(),
            duplicates: Vec::new(),
            pictures: Vec::new(),
        }
    }
}

/// The distinct labels in their order: by number if all are numbers, else by name. Nothing unless every label is there.
pub(super) fn classes<'a>(labels: impl Iterator<Item = Option<&'a str>>) -> Vec<String> {
    let Some(distinct) = labels.collect::<Option<std::collections::BTreeSet<&str>>>() else { return Vec::new() };
    let mut distinct: Vec<&str> = distinct.into_iter().collect();
    if distinct.iter().all(|label| label.parse::<u64>().is_ok()) {
        distinct.sort_by_key(|label| label.parse::<u64>().unwrap_or(0));
    }
    distinct.into_iter().map(String::from).collect()
}
