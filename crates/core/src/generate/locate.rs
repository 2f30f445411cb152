//! Finding the model file that a path means.

use crate::makes::Makes;
use crate::run::checkpoint;
use crate::run::dir::RunDir;
use crate::run::model_file;
use crate::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// Opens the model that `path` means by `open`: of a run directory its best checkpoint, else its newest whole one; of a checkpoint
/// directory its model; else the file itself. Also returns a sentence for each damaged checkpoint that was passed over.
///
/// `open` returns the model and the BLAKE3 of its file. Inside a checkpoint that must be the recorded checksum: a flipped bit in a
/// weight is still a number.
///
/// # Errors
/// Nothing usable is there.
pub(super) fn first<T>(path: &Path, open: impl Fn(&Path) -> Result<(T, String)>) -> Result<(T, Vec<String>)> {
    let mut warnings = Vec::new();
    for candidate in candidates(path)? {
        let opened = open(&candidate).and_then(|(model, hash)| checked(&candidate, &hash).map(|()| model));
        match opened {
            Ok(model) => return Ok((model, warnings)),
            // What is of another kind will not be of this one in another checkpoint.
            Err(error) if candidate == path || error.kind == ErrorKind::Input => return Err(error),
            Err(error) => warnings.push(error.to_string()),
        }
    }
    let detail = warnings.first().map_or(String::new(), |first| format!(": {first}"));
    Err(Error::corrupt(format!("no usable model in {}{detail}", path.display()))
        .hint("train it again, or give a model file of another run"))
}

fn checked(path: &Path, hash: &str) -> Result<()> {
    if let Some(directory) = path.parent().filter(|directory| directory.join("state.json").is_file()) {
        let counters = checkpoint::counters(directory)?;
        if counters.files.get(checkpoint::MODEL_FILE).is_none_or(|recorded| recorded != hash) {
            return Err(Error::corrupt(format!("{} is damaged: its checksum does not match", path.display())));
        }
    }
    Ok(())
}

/// What the model that `path` means makes; only headers are read.
///
/// # Errors
/// There is no model, or none that can be read.
pub fn makes(path: &Path) -> Result<Makes> {
    let mut first = None;
    for candidate in candidates(path)? {
        match model_file::makes(&candidate) {
            Ok(makes) => return Ok(makes),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or_else(|| nothing(path)))
}

/// The model file that `path` means, before it is known whether it can be used: of a run directory that of its best checkpoint.
///
/// # Errors
/// There is none.
pub fn file(path: &Path) -> Result<PathBuf> {
    candidates(path)?.into_iter().find(|file| file.is_file()).ok_or_else(|| nothing(path))
}

/// The model files to try, best first.
fn candidates(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    if !path.is_dir() {
        return Err(Error::input(format!("there is no {}", path.display()))
            .hint("give a run directory (see `maliang runs`), a checkpoint directory, or a model file"));
    }
    let direct = path.join(checkpoint::MODEL_FILE);
    if direct.is_file() {
        return Ok(vec![direct]);
    }
    let run = RunDir::new(path);
    let newest = checkpoint::list(&run.checkpoints()).into_iter().map(|(_, directory)| directory);
    let found: Vec<PathBuf> =
        run.pointed("best").into_iter().chain(newest).map(|directory| directory.join(checkpoint::MODEL_FILE)).collect();
    if found.is_empty() { Err(nothing(path)) } else { Ok(found) }
}

fn nothing(path: &Path) -> Error {
    Error::input(format!("{} holds no trained model", path.display()))
        .hint("give a run directory (see `maliang runs`), a checkpoint directory, or a model file")
}
