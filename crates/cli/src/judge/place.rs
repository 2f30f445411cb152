//! Where a model lies, and where what is found of it is written.

use maliang::run::checkpoint;
use maliang::run::dir::RunDir;
use maliang::{Error, Result};
use std::path::{Path, PathBuf};

/// The run that a model belongs to, whether it is given by its run, a checkpoint or a file.
pub fn run_of(model: &Path) -> Option<RunDir> {
    let absolute = std::path::absolute(model).ok()?;
    let own = RunDir::is_run(model).then(|| model.to_path_buf());
    let above = || absolute.ancestors().skip(1).take(3).find(|path| RunDir::is_run(path)).map(Path::to_path_buf);
    own.or_else(above).map(RunDir::new)
}

/// Seconds of training behind the newest checkpoint.
pub fn seconds(run: &RunDir) -> Option<f64> {
    Some(checkpoint::counters(&run.pointed("last")?).ok()?.seconds)
}

/// Where to write: what was named, else the run directory for a run's best model, and here for anything else, which must not overwrite
/// the former.
pub fn output<'a>(model: &'a Path, named: Option<&'a Path>) -> &'a Path {
    named.unwrap_or(if RunDir::is_run(model) { model } else { Path::new(".") })
}

/// [`output`], which is made where it is missing.
pub fn directory(model: &Path, named: Option<&Path>) -> Result<PathBuf> {
    let directory = output(model, named).to_path_buf();
    std::fs::create_dir_all(&directory).map_err(|e| Error::io("create", &directory, &e))?;
    Ok(directory)
}
