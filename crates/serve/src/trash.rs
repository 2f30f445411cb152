//! Runs that were deleted, and can be brought back for a while.
//!
//! A deleted run is moved to `.deleted/` beside the others, under the time and its name. What has lain there for a week is removed
//! for good when the server starts.

use crate::now;
use crate::problem::{Answer, Problem};
use maliang::run::dir::RunDir;
use std::path::{Path, PathBuf};

/// Where deleted runs lie.
const DIRECTORY: &str = ".deleted";
/// Seconds that they do.
const KEPT: u64 = 7 * 24 * 3600;

/// Moves a run away. Returns until when it can be brought back, in seconds since 1970.
///
/// # Errors
/// It is being trained or read by another program, or the disk refused.
pub fn put(run: &RunDir) -> Answer<u64> {
    let name = run.name();
    let Ok(_alone) = run.lock() else {
        return Err(Problem::conflict(format!("a program is training or reading the run \"{name}\"; stop that first")));
    };
    let place = run.root().parent().map(|runs| runs.join(DIRECTORY)).ok_or_else(Problem::bug)?;
    let at = now();
    let moved =
        std::fs::create_dir_all(&place).and_then(|()| std::fs::rename(run.root(), place.join(format!("{at}-{name}"))));
    moved.map_err(|error| refused(&error))?;
    Ok(at + KEPT)
}

/// Brings the run of that name back that was deleted last.
///
/// # Errors
/// There is none, or another run has its name by now.
pub fn take(runs: &Path, name: &str) -> Answer<()> {
    let last = list(runs).into_iter().filter(|(_, own, _)| own == name).max_by_key(|(at, ..)| *at);
    let (_, _, path) = last.ok_or_else(|| Problem::no_run(name))?;
    let place = runs.join(name);
    if place.exists() {
        return Err(Problem::conflict(format!("there is another run \"{name}\" already")));
    }
    std::fs::rename(path, place).map_err(|error| refused(&error))
}

/// Removes what was deleted long ago.
pub fn empty(runs: &Path) {
    for (at, name, path) in list(runs) {
        if at + KEPT < now() {
            tracing::info!(run = name, "this run was deleted a week ago and is removed for good");
            if let Err(error) = std::fs::remove_dir_all(path) {
                tracing::warn!(run = name, %error, "this run cannot be removed");
            }
        }
    }
}

/// Deleted runs: when, their names, and where they lie.
fn list(runs: &Path) -> Vec<(u64, String, PathBuf)> {
    let entries = std::fs::read_dir(runs.join(DIRECTORY)).into_iter().flatten().flatten();
    let parts = |entry: std::fs::DirEntry| {
        let file = entry.file_name().to_string_lossy().into_owned();
        let (at, name) = file.split_once('-')?;
        Some((at.parse().ok()?, name.to_owned(), entry.path()))
    };
    entries.filter_map(parts).collect()
}

fn refused(error: &std::io::Error) -> Problem {
    tracing::error!(%error, "a run cannot be moved");
    Problem::conflict("the run cannot be moved; the server's log says why")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_deleted_long_ago_goes_and_the_rest_comes_back() {
        let place = tempfile::tempdir().unwrap();
        let runs = place.path();
        for at in [now() - KEPT - 5, now() - 5, now() - 9] {
            std::fs::create_dir_all(runs.join(DIRECTORY).join(format!("{at}-a-b"))).unwrap();
        }
        empty(runs);
        assert_eq!(list(runs).len(), 2);
        take(runs, "a-b").unwrap();
        assert!(runs.join("a-b").is_dir());
        assert_eq!(take(runs, "a-b").unwrap_err().status(), 409);
        std::fs::remove_dir(runs.join("a-b")).unwrap();
        take(runs, "a-b").unwrap();
        assert_eq!(take(runs, "a-b").unwrap_err().status(), 404);
    }
}
