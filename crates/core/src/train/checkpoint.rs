//! Checkpoints: the only place where training state is written and read.
//!
//! `checkpoints/00000500/` holds `model.safetensors` (the averaged model, usable alone), `state.safetensors` (both players,
//! averages and optimiser moments) and `state.json` (counters and the BLAKE3 of the other two). The directory is written
//! under a temporary name, synced, and renamed: it exists whole or not at all.

use crate::models::PictureModel;
use crate::provenance::bundle::{self, ModelInfo};
use crate::provenance::weights::{self, Metadata, Weights};
use crate::{Error, Result, files};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Name of the model file inside a checkpoint.
pub const MODEL_FILE: &str = "model.safetensors";
const STATE_FILE: &str = "state.safetensors";
const COUNTERS_FILE: &str = "state.json";
/// Version of the training state.
const FORMAT: u32 = 1;
/// Names of unfinished checkpoints begin with this.
const UNFINISHED: &str = ".unfinished-";

/// The best look so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Steps completed at that look.
    pub step: u64,
    /// Its score: lower is better.
    pub score: f64,
}

/// Everything of a training state that is not a tensor. Random streams need no state: they are functions of seed and step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// Version of this record.
    pub format: u32,
    /// Steps completed.
    pub step: u64,
    /// Seconds of training behind this state.
    pub seconds: f64,
    /// How often training was rolled back; enters the seeds, so that a retry draws other pictures.
    pub attempt: u32,
    /// Factor on the learning rate after rollbacks.
    pub lr_scale: f32,
    /// The best look so far.
    pub best: Option<Best>,
    /// Highest diversity of generated pictures so far, relative to real ones.
    pub diversity: f64,
    /// BLAKE3 of each file of the checkpoint.
    pub files: BTreeMap<String, String>,
    /// BLAKE3 of this record with this field empty.
    pub checksum: String,
}

impl Counters {
    /// The state before the first step.
    pub fn start() -> Self {
        Self {
            format: FORMAT,
            step: 0,
            seconds: 0.0,
            attempt: 0,
            lr_scale: 1.0,
            best: None,
            diversity: 0.0,
            files: BTreeMap::new(),
            checksum: String::new(),
        }
    }

    fn json(&self) -> String {
        serde_json::to_string(self).expect("counters are plain data")
    }

    /// The text of `state.json`: the record with the checksum of its own text.
    fn sealed(&self) -> String {
        let open = Self { checksum: String::new(), ..self.clone() };
        Self { checksum: blake3::hash(open.json().as_bytes()).to_hex().to_string(), ..open }.json()
    }
}

/// The directory of the checkpoint at `step`.
pub fn directory(checkpoints: &Path, step: u64) -> PathBuf {
    checkpoints.join(format!("{step:08}"))
}

/// Writes a checkpoint, in place of one of the same step that a rolled-back attempt or an interruption left.
///
/// # Errors
/// The disk refused; the partial checkpoint is removed and earlier ones are untouched.
pub fn save(
    checkpoints: &Path,
    counters: &Counters,
    state: &Weights,
    model: &PictureModel,
    info: &ModelInfo,
) -> Result<PathBuf> {
    let target = directory(checkpoints, counters.step);
    let unfinished = checkpoints.join(format!("{UNFINISHED}{:08}", counters.step));
    let write = || -> Result<()> {
        if unfinished.exists() {
            // Left by a trainer that was killed here: nothing of it may get into the new one.
            std::fs::remove_dir_all(&unfinished).map_err(|e| Error::io("replace", &unfinished, &e))?;
        }
        std::fs::create_dir_all(&unfinished).map_err(|e| Error::io("create", &unfinished, &e))?;
        let model_path = unfinished.join(MODEL_FILE);
        let state_path = unfinished.join(STATE_FILE);
        bundle::save(&model_path, model, info)?;
        weights::save(&state_path, state, &Metadata::new())?;
        let files = BTreeMap::from([
            (MODEL_FILE.to_string(), files::blake3_file(&model_path)?),
            (STATE_FILE.to_string(), files::blake3_file(&state_path)?),
        ]);
        let sealed = Counters { files, ..counters.clone() }.sealed();
        files::write_bytes(&unfinished.join(COUNTERS_FILE), sealed.as_bytes())?;
        if target.exists() {
            // Left by a rolled-back attempt, or written again after an interruption: the new one takes its place.
            std::fs::remove_dir_all(&target).map_err(|e| Error::io("replace", &target, &e))?;
        }
        std::fs::rename(&unfinished, &target).map_err(|e| Error::io("write", &target, &e))?;
        files::sync_directory(checkpoints).map_err(|e| Error::io("sync", checkpoints, &e))
    };
    write().inspect_err(|_| {
        // Best effort: the error that is reported is the one that stopped the save.
        let _ = std::fs::remove_dir_all(&unfinished);
    })?;
    Ok(target)
}

/// Reads a checkpoint after checking every file against its checksum.
///
/// # Errors
/// A file is missing or damaged.
pub fn load(directory: &Path) -> Result<(Counters, Weights)> {
    let counters = verify(directory)?;
    let (state, _) = weights::load(&directory.join(STATE_FILE))?;
    Ok((counters, state))
}

/// Checks every file of a checkpoint against its checksum and returns the counters.
///
/// # Errors
/// A file is missing or damaged.
pub fn verify(directory: &Path) -> Result<Counters> {
    let counters = counters(directory)?;
    for (name, expected) in &counters.files {
        let path = directory.join(name);
        if &files::blake3_file(&path)? != expected {
            return Err(Error::corrupt(format!("{} is damaged: its checksum does not match", path.display())));
        }
    }
    Ok(counters)
}

/// Reads the counters of a checkpoint, checked against their own checksum.
///
/// # Errors
/// They are missing or damaged.
pub fn counters(directory: &Path) -> Result<Counters> {
    let path = directory.join(COUNTERS_FILE);
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path, &e))?;
    let damaged = || Error::corrupt(format!("{} is damaged: its checksum does not match", path.display()));
    let counters: Counters = serde_json::from_str(&text).map_err(|_| damaged())?;
    if counters.format != FORMAT || counters.sealed() != text {
        return Err(damaged());
    }
    Ok(counters)
}

/// All checkpoints of a run by step, newest first.
pub fn list(checkpoints: &Path) -> Vec<(u64, PathBuf)> {
    let entries = std::fs::read_dir(checkpoints).into_iter().flatten().flatten();
    let mut found: Vec<(u64, PathBuf)> =
        entries.filter_map(|e| Some((e.file_name().to_str()?.parse().ok()?, e.path()))).collect();
    found.sort_unstable_by_key(|&(step, _)| std::cmp::Reverse(step));
    found
}

/// The newest checkpoint that is whole, and a sentence for each newer one that is not.
pub fn newest_whole(checkpoints: &Path) -> (Option<(PathBuf, Counters, Weights)>, Vec<String>) {
    let mut warnings = Vec::new();
    for (_, path) in list(checkpoints) {
        match load(&path) {
            Ok((counters, state)) => return (Some((path, counters, state)), warnings),
            Err(error) => warnings.push(format!("{error}; trying the checkpoint before it")),
        }
    }
    (None, warnings)
}

/// Removes what no resume needs: unfinished checkpoints, and all but the newest two and the one at step `best`.
pub fn tidy(checkpoints: &Path, best: Option<u64>) {
    let remove = |path: &Path| {
        // A checkpoint that cannot be removed costs space, not correctness.
        let _ = std::fs::remove_dir_all(path);
    };
    for entry in std::fs::read_dir(checkpoints).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            remove(&entry.path());
        }
    }
    for (step, path) in list(checkpoints).into_iter().skip(2) {
        if Some(step) != best {
            remove(&path);
        }
    }
}
