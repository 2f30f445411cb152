//! Checkpoints: the only place where training state is written and read.
//!
//! `checkpoints/00000500/` holds `model.safetensors` (the averaged model, usable alone), `state.safetensors` (both players,
//! averages and optimiser moments) and `state.json` (counters and the BLAKE3 of the other two). The directory is written
//! under a temporary name, synced, and renamed: it exists whole or not at all.

use super::counters::{Counters, FORMAT};
use crate::weights::{self, Metadata, Weights};
use crate::{Error, Result, files};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Name of the model file inside a checkpoint.
pub const MODEL_FILE: &str = "model.safetensors";
const STATE_FILE: &str = "state.safetensors";
const COUNTERS_FILE: &str = "state.json";
/// Names of unfinished checkpoints begin with this.
const UNFINISHED: &str = ".unfinished-";

/// The directory of the checkpoint at `step`.
pub fn directory(checkpoints: &Path, step: u64) -> PathBuf {
    checkpoints.join(format!("{step:08}"))
}

/// Writes a checkpoint, its model file by `write_model`, in place of one of the same step that a rolled-back attempt or an interruption left.
///
/// # Errors
/// The disk refused; the partial checkpoint is removed and earlier ones are untouched.
pub fn save(
    checkpoints: &Path,
    counters: &Counters,
    state: &Weights,
    write_model: impl FnOnce(&Path) -> Result<()>,
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
        write_model(&model_path)?;
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

/// Writes the counters of a checkpoint anew, its tensors as they are: a rollback that must be remembered.
///
/// # Errors
/// The disk refused; the earlier counters are still there.
pub fn rewrite(directory: &Path, counters: &Counters) -> Result<()> {
    files::write_bytes(&directory.join(COUNTERS_FILE), counters.sealed().as_bytes())
}

/// All checkpoints of a run by step, newest first.
pub fn list(checkpoints: &Path) -> Vec<(u64, PathBuf)> {
    let entries = std::fs::read_dir(checkpoints).into_iter().flatten().flatten();
    let mut found: Vec<(u64, PathBuf)> =
        entries.filter_map(|e| Some((e.file_name().to_str()?.parse().ok()?, e.path()))).collect();
    found.sort_unstable_by_key(|&(step, _)| std::cmp::Reverse(step));
    found
}

/// A checkpoint, read and checked.
pub type Found = (PathBuf, Counters, Weights);

/// The newest checkpoint that is whole, and a sentence for each newer one that is not.
pub fn newest_whole(checkpoints: &Path) -> (Option<Found>, Vec<String>) {
    first_whole(list(checkpoints))
}

/// Steps that training must have stayed healthy after a checkpoint before a rollback may return to it: weights that have
/// exploded can be saved before any loss shows it.
const PROBATION: u64 = 20;

/// The whole checkpoint that a rollback at `step` returns to, if there is any: the newest one that is `PROBATION` steps
/// old, or the oldest one where none is.
pub fn trusted(checkpoints: &Path, step: u64) -> Option<Found> {
    let (young, mut old): (Vec<_>, Vec<_>) = list(checkpoints).into_iter().partition(|&(at, _)| at + PROBATION > step);
    // Every step since a checkpoint was healthy, or there would have been a rollback: of the young ones the oldest is best.
    old.extend(young.into_iter().rev());
    first_whole(old).0
}

fn first_whole(candidates: Vec<(u64, PathBuf)>) -> (Option<Found>, Vec<String>) {
    let mut warnings = Vec::new();
    for (_, path) in candidates {
        match load(&path) {
            Ok((counters, state)) => return (Some((path, counters, state)), warnings),
            Err(error) => warnings.push(error.to_string()),
        }
    }
    (None, warnings)
}

/// Removes all checkpoints after `step`: a rollback has found them not to be trusted.
///
/// # Errors
/// The disk refused.
pub fn forget_after(checkpoints: &Path, step: u64) -> Result<()> {
    for (_, path) in list(checkpoints).into_iter().filter(|&(at, _)| at > step) {
        std::fs::remove_dir_all(&path).map_err(|e| Error::io("remove", &path, &e))?;
    }
    Ok(())
}

/// Puts all checkpoints after `step` aside, under names that are not steps, which it gives back: what could not be read is neither
/// counted nor overwritten.
///
/// # Errors
/// The disk refused.
pub fn set_aside_after(checkpoints: &Path, step: u64) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for (_, path) in list(checkpoints).into_iter().filter(|&(at, _)| at > step) {
        let aside = path.with_extension("damaged");
        if aside.exists() {
            std::fs::remove_dir_all(&aside).map_err(|e| Error::io("replace", &aside, &e))?;
        }
        std::fs::rename(&path, &aside).map_err(|e| Error::io("rename", &path, &e))?;
        all.push(aside);
    }
    Ok(all)
}

/// Which of `steps`, newest first, no resume and no rollback needs: all but the newest two, the one that a rollback returns
/// to now, and the one that it will return to next.
fn unneeded(steps: &[u64]) -> Vec<u64> {
    let Some(&newest) = steps.first() else { return Vec::new() };
    let young = steps.iter().filter(|&&step| step + PROBATION > newest).count();
    // Where all are young, the oldest is the trusted one.
    let trusted = young.min(steps.len() - 1);
    let kept = [0, 1, trusted, trusted.saturating_sub(1)];
    steps.iter().enumerate().filter(|(place, _)| !kept.contains(place)).map(|(_, &step)| step).collect()
}

/// Removes what is not needed: unfinished checkpoints, and those of which neither a resume nor a rollback makes use, except
/// the best one at step `best` and what was the best when the trusted one was saved.
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
    let found = list(checkpoints);
    let unneeded = unneeded(&found.iter().map(|&(step, _)| step).collect::<Vec<_>>());
    let kept = found.iter().filter(|(step, _)| !unneeded.contains(step));
    let bests: Vec<u64> = kept.filter_map(|(_, path)| Some(counters(path).ok()?.best?.step)).chain(best).collect();
    for (step, path) in &found {
        if unneeded.contains(step) && !bests.contains(step) {
            remove(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families::trainer::Tolerance;
    use crate::run::counters::Best;

    /// What is on disk after looks every `every` steps, newest first, and the rollback's target after each.
    fn history(every: u64, looks: u64) -> Vec<(Vec<u64>, u64)> {
        let mut kept = vec![0];
        let looks = (1..=looks).map(|look| {
            kept.insert(0, look * every);
            let remove = unneeded(&kept);
            kept.retain(|step| !remove.contains(step));
            let target = kept.iter().find(|&&step| step + PROBATION <= kept[0]).or(kept.last());
            (kept.clone(), *target.unwrap())
        });
        looks.collect()
    }

    #[test]
    fn of_looks_that_are_about_as_good_the_last_is_best() {
        let after = |scores: &[f64], share, least| {
            let tolerance = Tolerance { share, least };
            let looks = scores.iter().zip(1..);
            let (mut best, mut steps) = (None, Vec::new());
            for (&score, step) in looks {
                let (found, own) = Best::after(best.as_ref(), step, score, tolerance);
                steps.extend(own.then_some(step));
                best = Some(found);
            }
            (steps, best.unwrap())
        };
        let scores = [2.0, 1.0, 1.04, 1.06, 1.03, 1.08, 0.999];
        assert_eq!(
            after(&scores[..6], 0.05, 0.0),
            (vec![1, 2, 3, 5], Best { step: 5, score: 1.03, lowest: Some(1.0) })
        );
        assert_eq!(after(&scores, 0.05, 0.0), (vec![1, 2, 3, 5, 7], Best { step: 7, score: 0.999, lowest: None }));
        assert_eq!(after(&scores, 0.0, 0.0).0, [1, 2, 7]);
        // It does not creep upwards, and below zero there are no shares.
        assert_eq!(after(&[1.0, 1.04, 1.08], 0.05, 0.0).0, [1, 2]);
        assert_eq!(after(&[-0.1, -0.0999, -0.2], 0.05, 0.0).0, [1, 3]);
        assert_eq!(after(&[-0.1, -0.0999, -0.2, 0.1], 0.05, 0.01).0, [1, 2, 3]);
    }

    #[test]
    fn looks_far_apart_keep_two_checkpoints() {
        for (look, (kept, target)) in history(PROBATION, 6).into_iter().enumerate() {
            let newest = (look as u64 + 1) * PROBATION;
            assert_eq!((kept, target), (vec![newest, newest - PROBATION], newest - PROBATION));
        }
    }

    #[test]
    fn looks_close_together_keep_few_and_the_target_follows() {
        for every in [1, 5, 7, 19] {
            for (kept, target) in history(every, 60) {
                assert!(kept.len() <= 4, "{kept:?}");
                assert!(target + 2 * PROBATION + every >= kept[0], "{kept:?} returns to {target}");
                assert!(target == 0 || target + PROBATION <= kept[0], "{kept:?} returns to {target}");
            }
        }
    }
}
