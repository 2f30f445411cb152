//! The models of the server: which there are on disk, and which are in memory.

use crate::lock;
use maliang::explain::{self, Directions, directions};
use maliang::generate::locate;
use maliang::generate::sampler::Sampler;
use maliang::generate::writer::Author;
use maliang::makes::Makes;
use maliang::run::dir::RunDir;
use maliang::{ErrorKind, Result};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Semaphore;

/// The directories are looked through again after this time.
const FRESH: Duration = Duration::from_secs(1);
/// What a loaded model takes of memory, in sizes of its file: the weights, and copies of them in the order of products.
const COPIES: u64 = 2;

/// A model on disk.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What clients call it: the name of its run or file.
    pub id: String,
    /// What it makes.
    pub makes: Makes,
    /// When its file was written, in seconds since 1970.
    pub created: u64,
    /// The run or model file.
    pub path: PathBuf,
}

/// A model of pictures in memory.
#[derive(Debug)]
pub struct Painter {
    /// It.
    pub sampler: Sampler,
    /// Directions that change its pictures, once they were asked for.
    directions: OnceLock<Directions>,
    /// One permit: a batch that takes many turns is made alone of its model.
    pub(crate) easel: Arc<Semaphore>,
}

impl Painter {
    /// A model that was opened.
    pub fn new(sampler: Sampler) -> Self {
        Self { sampler, directions: OnceLock::new(), easel: Arc::new(Semaphore::new(1)) }
    }

    /// What `maliang explain` found of this very model, or else what its weights tell by themselves. Computes.
    ///
    /// # Errors
    /// Its latent vectors are too long for that.
    pub fn directions(&self, run: &Path) -> Result<&Directions> {
        if let Some(known) = self.directions.get() {
            return Ok(known);
        }
        let file = run.join(explain::DIRECTORY).join(explain::DIRECTIONS);
        let explained = Directions::load(&file, &self.sampler);
        let found = explained.or_else(|_| directions(&self.sampler, None))?;
        Ok(self.directions.get_or_init(|| found))
    }
}

/// A model in memory, by what it makes. Its copies share it.
#[derive(Debug, Clone)]
pub enum Model {
    /// One that makes pictures.
    Pictures(Arc<Painter>),
    /// One that writes.
    Text(Arc<Author>),
}

impl Model {
    /// BLAKE3 of its file.
    pub fn hash(&self) -> &str {
        match self {
            Self::Pictures(painter) => &painter.sampler.hash,
            Self::Text(author) => &author.hash,
        }
    }
}

/// What tells that a file is another one: its path, time and length.
type Stamp = (PathBuf, Option<SystemTime>, u64);

#[derive(Debug)]
struct Loaded {
    model: Model,
    stamp: Stamp,
    /// A file that was tried in its place and could not be used.
    refused: Option<Stamp>,
    /// When it was last asked for, in requests since the start.
    used: u64,
}

/// Finds models, opens them when they are asked for, and forgets those that were not for longest when memory is short.
///
/// A model file that is replaced is opened, and with that checked, before it takes the place of the one in memory; if it
/// cannot be used the old one stays. Requests in work keep the model they began with.
#[derive(Debug)]
pub struct Shelf {
    places: Vec<PathBuf>,
    /// Bytes that models may take together.
    limit: u64,
    seen: Mutex<(Option<Instant>, Vec<Entry>)>,
    loaded: Mutex<HashMap<PathBuf, Loaded>>,
    /// One model is opened at a time: opening uses all cores.
    opening: Mutex<()>,
}

impl Shelf {
    /// A shelf for what is in `places`: directories of runs, runs, model files.
    pub fn new(places: Vec<PathBuf>, limit: u64) -> Self {
        Self { places, limit, seen: Mutex::default(), loaded: Mutex::default(), opening: Mutex::default() }
    }

    /// All models, by name.
    pub fn list(&self) -> Vec<Entry> {
        self.seen_since(Instant::now().checked_sub(FRESH))
    }

    /// All models, as they were seen at `oldest` or later.
    fn seen_since(&self, oldest: Option<Instant>) -> Vec<Entry> {
        let mut seen = lock(&self.seen);
        if seen.0.is_none_or(|at| oldest.is_some_and(|oldest| at < oldest)) {
            *seen = (Some(Instant::now()), scan(&self.places));
        }
        seen.1.clone()
    }

    /// The model called `id`. Names are only compared: no path is ever made of what a client sends. One that was not there a
    /// moment ago is looked for again: its training may just have ended.
    pub fn find(&self, id: &str) -> Option<Entry> {
        let asked = Instant::now();
        let named = |list: Vec<Entry>| list.into_iter().find(|entry| entry.id == id);
        named(self.list()).or_else(|| named(self.seen_since(Some(asked))))
    }

    /// All runs, also those that have no model yet, by name.
    pub fn runs(&self) -> BTreeMap<String, RunDir> {
        let runs = named(&self.places).into_iter().filter(|(_, path)| RunDir::is_run(path));
        runs.map(|(id, path)| (id, RunDir::new(path))).collect()
    }

    /// Looks through the directories again the next time, whatever was seen lately.
    pub fn refresh(&self) {
        lock(&self.seen).0 = None;
    }

    /// Models in memory.
    pub fn count(&self) -> usize {
        lock(&self.loaded).len()
    }

    /// The model itself, opened if it is not in memory or its file is another one by now. Blocks.
    ///
    /// # Errors
    /// It cannot be opened, and there is no earlier one in memory.
    pub fn get(&self, entry: &Entry) -> Result<Model> {
        let stamp = stamp(&entry.path)?;
        if let Some(model) = self.in_memory(&entry.path, &stamp) {
            return Ok(model);
        }
        let _one_at_a_time = lock(&self.opening);
        if let Some(model) = self.in_memory(&entry.path, &stamp) {
            return Ok(model);
        }
        let opened = open(entry);
        let mut loaded = lock(&self.loaded);
        match opened {
            Ok(model) => {
                self.keep(&mut loaded, entry, stamp, &model);
                Ok(model)
            }
            Err(error) => match loaded.get_mut(&entry.path) {
                Some(old) => {
                    tracing::error!(
                        model = entry.id,
                        error = error.message,
                        "the new model file cannot be used; the old model stays in use"
                    );
                    old.refused = Some(stamp);
                    Ok(old.model.clone())
                }
                None => Err(error),
            },
        }
    }

    /// Keeps `model` in memory in the place of the one in the entry's file, until that is another file: for a program that has a
    /// model of its own.
    ///
    /// # Errors
    /// The entry has no file.
    pub fn put(&self, entry: &Entry, model: &Model) -> Result<()> {
        let stamp = stamp(&entry.path)?;
        self.keep(&mut lock(&self.loaded), entry, stamp, model);
        Ok(())
    }

    /// Keeps a model in memory; others make room for it.
    fn keep(&self, loaded: &mut HashMap<PathBuf, Loaded>, entry: &Entry, stamp: Stamp, model: &Model) {
        let own = Loaded { model: model.clone(), stamp, refused: None, used: newest(loaded) + 1 };
        loaded.insert(entry.path.clone(), own);
        self.evict(loaded, &entry.path);
    }

    fn in_memory(&self, path: &Path, stamp: &Stamp) -> Option<Model> {
        let mut loaded = lock(&self.loaded);
        let now = newest(&loaded) + 1;
        let own = loaded.get_mut(path).filter(|own| own.stamp == *stamp || own.refused.as_ref() == Some(stamp))?;
        own.used = now;
        Some(own.model.clone())
    }

    /// Forgets models until the others fit, `keep` never.
    fn evict(&self, loaded: &mut HashMap<PathBuf, Loaded>, keep: &Path) {
        let bytes = |loaded: &HashMap<PathBuf, Loaded>| loaded.values().map(|own| own.stamp.2 * COPIES).sum::<u64>();
        while bytes(loaded) > self.limit {
            let oldest = loaded.iter().filter(|(path, _)| *path != keep).min_by_key(|(_, own)| own.used);
            let Some(path) = oldest.map(|(path, _)| path.clone()) else { return };
            tracing::info!(model = %path.display(), "a model was removed from memory, for another one");
            loaded.remove(&path);
        }
    }
}

/// The latest time that any model was asked for.
fn newest(loaded: &HashMap<PathBuf, Loaded>) -> u64 {
    loaded.values().map(|own| own.used).max().unwrap_or(0)
}

fn stamp(path: &Path) -> Result<Stamp> {
    let file = locate::file(path)?;
    let metadata = std::fs::metadata(&file).map_err(|e| maliang::Error::io("read", &file, &e))?;
    Ok((file, metadata.modified().ok(), metadata.len()))
}

fn open(entry: &Entry) -> Result<Model> {
    let (model, warnings) = match entry.makes {
        Makes::Pictures => {
            let (sampler, warnings) = Sampler::open(&entry.path)?;
            (Model::Pictures(Arc::new(Painter::new(sampler))), warnings)
        }
        Makes::Text => Author::open(&entry.path).map(|(a, warnings)| (Model::Text(Arc::new(a)), warnings))?,
    };
    for warning in warnings {
        tracing::warn!(model = entry.id, warning, "a damaged checkpoint was passed over");
    }
    tracing::info!(model = entry.id, hash = model.hash(), "model opened");
    Ok(model)
}

/// What is in `places`, by name. What cannot be used is left out; the log says so.
fn scan(places: &[PathBuf]) -> Vec<Entry> {
    let mut list = Vec::new();
    for (id, path) in named(places) {
        let makes = match locate::makes(&path) {
            Ok(makes) => makes,
            // A run that has no checkpoint yet is not worth a word.
            Err(error) if error.kind == ErrorKind::Input => continue,
            Err(error) => {
                tracing::warn!(model = %path.display(), error = error.message, "a model cannot be used");
                continue;
            }
        };
        let written = stamp(&path).ok().and_then(|(_, modified, _)| modified);
        let created = written.and_then(|t| t.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_secs());
        list.push(Entry { id, makes, created, path });
    }
    list
}

/// Runs and model files in `places` and what they are called, by name.
fn named(places: &[PathBuf]) -> BTreeMap<String, PathBuf> {
    let mut named = BTreeMap::new();
    let mut add = |path: PathBuf| {
        let name = free_name(&path, &named);
        named.insert(name, path);
    };
    for place in places {
        if place.is_file() || RunDir::is_run(place) {
            add(place.clone());
        } else if let Ok(entries) = std::fs::read_dir(place) {
            let model = |path: &PathBuf| RunDir::is_run(path) || path.extension().is_some_and(|e| e == "safetensors");
            let mut inside: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(model).collect();
            inside.sort();
            inside.into_iter().for_each(&mut add);
        }
    }
    named
}

/// The name of a run, or of a file without its ending; with a number where two have the same.
fn free_name(path: &Path, taken: &BTreeMap<String, PathBuf>) -> String {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let name = if whole.is_file() { whole.file_stem() } else { whole.file_name() };
    let name = name.map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned());
    let free = |name: &String| !taken.contains_key(name);
    (1..).map(|i| if i == 1 { name.clone() } else { format!("{name}-{i}") }).find(free).unwrap_or(name)
}
