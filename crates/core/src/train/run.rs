//! A run on pictures that is ready to train.

use super::init::Adopted;
use super::observer::{Observer, Outcome};
use super::pictures::Pictures;
use super::session::Session;
use crate::data::{DataConfig, Dataset, Source, scan};
use crate::pretrained::EfficientNetLite0;
use crate::run::config::RunConfig;
use crate::run::dir::{Lock, RunDir};
use crate::{Error, Result, files};
use std::path::Path;
use std::sync::Arc;

/// A run that is ready to train: its directory locked, its data open.
#[derive(Debug)]
pub struct Run {
    dir: RunDir,
    config: RunConfig,
    dataset: Arc<Dataset>,
    eyes: Option<EfficientNetLite0>,
    _lock: Lock,
}

impl Run {
    /// Starts a new run in `dir`, which must not hold one yet.
    ///
    /// # Errors
    /// A setting out of range, too few pictures, a place that cannot be written to, another trainer.
    pub fn create(dir: RunDir, config: RunConfig, dataset: Arc<Dataset>) -> Result<Self> {
        config.validate()?;
        enough_pictures(dataset.train_len())?;
        same_classes(&config, &dataset)?;
        dir.vacant()?;
        dir.create()?;
        let lock = dir.lock()?;
        let manifest = serde_json::to_vec_pretty(dataset.manifest()).expect("a manifest is plain data");
        files::write_bytes(&dir.file("data.json"), &manifest)?;
        dir.note_source(&config.data.source)?;
        Ok(Self { dir, config, dataset, eyes: None, _lock: lock })
    }

    /// Goes on with the run in `dir`. `adjust` may change the budget of the configuration. The pictures come from the
    /// cache when it is still there, so it does not matter whether the source has changed or gone.
    ///
    /// # Errors
    /// Not a run, another trainer, or neither cache nor unchanged source.
    pub fn resume(dir: RunDir, cache: &Path, adjust: impl FnOnce(&mut RunConfig)) -> Result<Self> {
        let mut config = dir.config()?;
        adjust(&mut config);
        config.validate()?;
        let lock = dir.lock()?;
        // A copy of a run need not have its samples.
        dir.create()?;
        let dataset = data_of(&dir, &config, cache)?;
        let made_of = DataConfig { source: config.data.source.clone(), ..dataset.manifest().config.clone() };
        if made_of != config.data {
            return Err(Error::input(format!(
                "the pictures of {} were prepared with other [data] settings",
                dir.root().display()
            ))
            .hint("undo the change in run.toml, or start a new run with --out"));
        }
        same_classes(&config, &dataset)?;
        dir.write_config(&config)?;
        Ok(Self { dir, config, dataset: Arc::new(dataset), eyes: None, _lock: lock })
    }

    /// Has the run begin with what was taken over from another model.
    ///
    /// # Errors
    /// The disk refused.
    pub fn beginning_with(self, adopted: &Adopted) -> Result<Self> {
        adopted.leave_in(&self.dir)?;
        Ok(self)
    }

    /// The run's directory.
    pub fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// The run's settings.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// Gives the run the network that a projected GAN looks through, on the run's device; other families do without.
    pub fn looking_through(self, eyes: Option<EfficientNetLite0>) -> Self {
        Self { eyes, ..self }
    }

    /// Trains to the end of the budget, or until `observer` asks to stop.
    ///
    /// # Errors
    /// The disk refused, or training diverged more often than it may. What was saved before stays.
    pub fn train(self, observer: &mut dyn Observer) -> Result<Outcome> {
        Session::of_pictures(self, observer)?.train(observer)
    }
}

/// The pictures of the run in `dir`: from the cache when it is still there, else prepared again from an unchanged source.
///
/// # Errors
/// Not a run, or neither cache nor unchanged source.
pub fn data_of(dir: &RunDir, config: &RunConfig, cache: &Path) -> Result<Dataset> {
    let path = dir.file("data.json");
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path, &e))?;
    let manifest: crate::data::Manifest =
        serde_json::from_str(&text).map_err(|e| Error::corrupt(format!("{} cannot be read: {e}", path.display())))?;
    if let Ok(dataset) = Dataset::open_cached(cache, &manifest.fingerprint) {
        return Ok(dataset);
    }
    let source = &config.data.source;
    // Another folder of that name may be in the working directory.
    let sources = dir.sources(source);
    let there: Vec<&String> = sources.iter().filter(|source| Path::new(source).exists()).collect();
    let mut failed = None;
    for source in if there.is_empty() { vec![source] } else { there } {
        let found = scan(&Source::parse(source)?)?;
        match Dataset::open(&config.data, &found, cache, &|_, _| ()) {
            Ok(dataset) => {
                if let Some(dataset) = dataset.recognised_as(&manifest) {
                    return Ok(dataset);
                }
            }
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    let changed = || {
        Error::input(format!("the pictures in {source} have changed since this run began, and its cache is gone"))
            .hint("restore the pictures, or start a new run on the changed ones")
    };
    Err(failed.unwrap_or_else(changed))
}

/// Fewer than this and there is nothing to learn from.
const FEWEST_PICTURES: usize = 2;

/// Refuses what is too little to train on.
///
/// # Errors
/// Fewer than two pictures.
pub fn enough_pictures(count: usize) -> Result<()> {
    if count >= FEWEST_PICTURES {
        return Ok(());
    }
    let pictures = if count == 1 { "1 usable picture is" } else { "0 usable pictures are" };
    Err(Error::input(format!("{pictures} too little to train on: at least {FEWEST_PICTURES} are needed"))
        .hint("see `maliang data check` for what is in the source; 100 pictures or more give good results"))
}

/// A conditional model learns the classes of its pictures: others, fewer or more have no pictures to learn from.
fn same_classes(config: &RunConfig, dataset: &Dataset) -> Result<()> {
    let (asked, found) = (config.model.classes(), dataset.labels());
    if asked.is_empty() || asked == found {
        return Ok(());
    }
    let list = |names: &[String]| match names {
        [] => "no classes".to_string(),
        names if names.len() > 8 => format!("{} classes ({}, …)", names.len(), names[..8].join(", ")),
        names => names.join(", "),
    };
    Err(Error::input(format!("model.classes names {}, but the pictures have {}", list(asked), list(found)))
        .hint("leave model.classes out, or train without classes: --set model.classes=[]"))
}

impl Session<Pictures> {
    pub(super) fn of_pictures(run: Run, observer: &mut dyn Observer) -> Result<Self> {
        let Run { dir, config, dataset, eyes, _lock } = run;
        let subject = Pictures::new(&config, dataset, eyes)?;
        Self::open(dir, config, subject, _lock, observer)
    }
}
