//! What lies among a user's files and is none of them: what is hidden, what other programs keep there, what this program wrote.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

/// Folders in which network drives, systems and archivers keep thumbnails, deleted files and shadows of files.
const OF_PROGRAMS: [&str; 10] = [
    "@eaDir",
    "@Recycle",
    "@Recently-Snapshot",
    "#recycle",
    "#snapshot",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
    "__MACOSX",
    "thumbnails.lrdata",
];

/// What was left out of a source, for one sentence.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    of_programs: BTreeSet<String>,
    own: BTreeSet<String>,
}

impl LeftOut {
    /// Is the file or folder of this name inside the source left out for one of its parts?
    pub fn takes(&mut self, name: &str) -> bool {
        let folder = name.split('/').find(|part| OF_PROGRAMS.iter().any(|folder| part.eq_ignore_ascii_case(folder)));
        // Every archive of a Mac has its shadows: nobody misses them.
        if let Some(folder) = folder.filter(|folder| *folder != "__MACOSX") {
            self.of_programs.insert(folder.to_string());
        }
        folder.is_some() || name.split('/').any(|part| part.starts_with('.') && part != "." && part != "..")
    }

    /// Is the folder at `path`, of this name inside the source, a run of this program, or a cache (which has the mark of the
    /// Cache Directory Tagging Specification)?
    pub fn takes_folder(&mut self, name: &str, path: &Path) -> bool {
        let has = |file: &str| path.join(file).is_file();
        let begun = || has("lock") || has("metrics.jsonl") || path.join("checkpoints").is_dir();
        let own = (has("run.toml") || has("race.toml")) && begun() || has("CACHEDIR.TAG");
        if own {
            self.own.insert(name.to_string());
        }
        own
    }

    /// Folders among `names`, those of all files of an archive, that are runs of this program, each with a slash at its end.
    pub fn runs_among(&mut self, names: &[String]) -> Vec<String> {
        let all: HashSet<&str> = names.iter().map(String::as_str).collect();
        let is_run = |folder: &&str| {
            folder.ends_with('/')
                && ["lock", "metrics.jsonl"].iter().any(|file| all.contains(format!("{folder}{file}").as_str()))
        };
        let folders = names.iter().filter_map(|name| name.strip_suffix("run.toml").or(name.strip_suffix("race.toml")));
        let runs: Vec<String> = folders.filter(is_run).map(String::from).collect();
        self.own.extend(runs.iter().map(|folder| folder.trim_end_matches('/').to_string()));
        runs
    }

    /// What was left out, if it is worth a sentence.
    pub fn note(&self) -> Option<String> {
        let list = |names: &BTreeSet<String>| {
            let shown: Vec<String> = names.iter().take(3).map(|name| super::display_name(name)).collect();
            let more = names.len().saturating_sub(shown.len());
            shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
        };
        let own = (!self.own.is_empty()).then(|| format!("runs and caches of this program ({})", list(&self.own)));
        let others =
            (!self.of_programs.is_empty()).then(|| format!("folders of other programs ({})", list(&self.of_programs)));
        let all: Vec<String> = own.into_iter().chain(others).collect();
        (!all.is_empty()).then(|| format!("left out: {}", all.join("; ")))
    }
}
