//! The directory of a run: what lies where, one trainer at a time, and the log of events.

use super::checkpoint;
use super::config::RunConfig;
use super::config::text::TextRunConfig;
use crate::data::Manifest;
use crate::data::text::TextManifest;
use crate::makes::Makes;
use crate::{Error, ErrorKind, Result, files};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Where the data lay when the run began: a file of one line.
const SOURCE: &str = "source.path";

/// A run directory.
#[derive(Debug, Clone)]
pub struct RunDir {
    root: PathBuf,
}

impl RunDir {
    /// The directory at `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Does `path` hold a run?
    pub fn is_run(path: &Path) -> bool {
        path.join("run.toml").is_file()
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file of the run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The directory of checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// The sample of the look at `step`: `png` is a grid of pictures, `txt` are texts.
    pub fn sample(&self, step: u64, extension: &str) -> PathBuf {
        self.root.join("samples").join(format!("{step:08}.{extension}"))
    }

    /// The run's name: the last part of its path.
    pub fn name(&self) -> String {
        let absolute = std::path::absolute(&self.root).unwrap_or_else(|_| self.root.clone());
        absolute.file_name().map_or_else(|| "run".into(), |name| name.to_string_lossy().into_owned())
    }

    /// All samples by step, oldest first.
    pub fn samples(&self) -> Vec<(u64, PathBuf)> {
        let entries = std::fs::read_dir(self.root.join("samples")).into_iter().flatten().flatten();
        let mut found: Vec<(u64, PathBuf)> =
            entries.filter_map(|e| Some((e.path().file_stem()?.to_str()?.parse().ok()?, e.path()))).collect();
        found.sort_unstable();
        found
    }

    /// Creates the directory and proves that files can be written there.
    ///
    /// # Errors
    /// The place cannot be written to.
    pub fn create(&self) -> Result<()> {
        for directory in [self.root.clone(), self.checkpoints(), self.root.join("samples")] {
            std::fs::create_dir_all(&directory).map_err(|e| Error::io("create", &directory, &e))?;
        }
        let probe = self.root.join(".probe");
        files::write_bytes(&probe, b"maliang")?;
        std::fs::remove_file(&probe).map_err(|e| Error::io("write", &probe, &e))
    }

    /// Notes where the data at `source` lies, for whoever goes on from another working directory. Not in `run.toml`, which is
    /// for other machines, too.
    ///
    /// # Errors
    /// The disk refused.
    pub fn note_source(&self, source: &str) -> Result<()> {
        match std::fs::canonicalize(source).ok().and_then(|path| path.into_os_string().into_string().ok()) {
            Some(path) => files::write_bytes(&self.file(SOURCE), format!("{path}\n").as_bytes()),
            None => Ok(()),
        }
    }

    /// Where the data may be that `source` of the settings names: as seen from the working directory, and where it lay when the run
    /// began, if it is still there.
    pub fn sources(&self, source: &str) -> Vec<String> {
        let noted = std::fs::read_to_string(self.file(SOURCE)).unwrap_or_default();
        let noted = noted.trim_end_matches('\n');
        let mut all = vec![source.to_string()];
        if noted != source && Path::new(noted).exists() {
            all.push(noted.to_string());
        }
        all
    }

    /// The first of the [`sources`](Self::sources) that is there.
    pub fn source(&self, source: &str) -> String {
        let all = self.sources(source);
        all.iter().find(|one| Path::new(one).exists()).cloned().unwrap_or_else(|| source.into())
    }

    /// What it is trained to make. A `run.toml` that cannot be read counts as one of pictures: reading it says what is wrong.
    pub fn makes(&self) -> Makes {
        let text = std::fs::read_to_string(self.file("run.toml")).unwrap_or_default();
        let on_text = text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("corpus"));
        if on_text { Makes::Text } else { Makes::Pictures }
    }

    /// Reads `run.toml` of a run on pictures.
    ///
    /// # Errors
    /// It is missing, not a run configuration, or one of text.
    pub fn config(&self) -> Result<RunConfig> {
        if self.makes() != Makes::Pictures {
            return Err(Error::input(format!("{} is a run on text, and this is for pictures", self.root.display()))
                .hint("train, generate, judge, show and runs take runs on text, too"));
        }
        let (path, config) = (self.file("run.toml"), self.read_config::<RunConfig>()?);
        config.opened().map_err(|error| error.of_file(&path))
    }

    /// Reads `run.toml` of a run on text.
    ///
    /// # Errors
    /// It is missing, not a run configuration, or one of pictures.
    pub fn text_config(&self) -> Result<TextRunConfig> {
        let path = self.file("run.toml");
        if path.is_file() && self.makes() != Makes::Text {
            // A damaged file of pictures is reported as what it is.
            self.config()?;
            return Err(Error::input(format!("{} is a run on pictures, and this is for text", self.root.display()))
                .hint("see `maliang runs` for what there is"));
        }
        self.read_config()
    }

    fn read_config<T: DeserializeOwned>(&self) -> Result<T> {
        let path = self.file("run.toml");
        let text = files::read_settings(&path)?;
        toml::from_str(&text).map_err(|e| Error::toml(&path, &text, &e))
    }

    /// The manifest of the run's pictures, `data.json`, if it is there and readable.
    pub fn manifest(&self) -> Option<Manifest> {
        serde_json::from_slice(&std::fs::read(self.file("data.json")).ok()?).ok()
    }

    /// The manifest of the run's corpus, `data.json`, if it is there and readable.
    pub fn text_manifest(&self) -> Option<TextManifest> {
        serde_json::from_slice(&std::fs::read(self.file("data.json")).ok()?).ok()
    }

    /// Writes `run.toml`.
    ///
    /// # Errors
    /// The disk refused.
    pub fn write_config(&self, config: &RunConfig) -> Result<()> {
        self.write_settings(&config.to_toml())
    }

    /// Writes `run.toml` as this text.
    ///
    /// # Errors
    /// The disk refused.
    pub fn write_settings(&self, toml: &str) -> Result<()> {
        files::write_bytes(&self.file("run.toml"), toml.as_bytes())
    }

    /// The directory of the checkpoint that a pointer (`best` or `last`) names, if it is there.
    pub fn pointed(&self, pointer: &str) -> Option<PathBuf> {
        let text = std::fs::read_to_string(self.file(pointer)).ok()?;
        let step: u64 = text.trim().parse().ok()?;
        Some(checkpoint::directory(&self.checkpoints(), step)).filter(|path| path.is_dir())
    }

    /// Points `best` or `last` at the checkpoint of `step`.
    ///
    /// # Errors
    /// The disk refused.
    pub fn point(&self, pointer: &str, step: u64) -> Result<()> {
        files::write_bytes(&self.file(pointer), format!("{step:08}\n").as_bytes())
    }

    /// Refuses a directory that a new run must not begin in: one that holds a run, or checkpoints, with which it would go on.
    ///
    /// # Errors
    /// It is such a directory.
    pub fn vacant(&self) -> Result<()> {
        let root = self.root.display();
        if Self::is_run(&self.root) {
            return Err(Error::input(format!("{root} already holds a run")).hint(format!(
                "`maliang train {}` goes on with it; --out chooses another place",
                files::quoted(&self.root)
            )));
        }
        if !checkpoint::list(&self.checkpoints()).is_empty() {
            return Err(Error::input(format!("{root} holds checkpoints of another run"))
                .hint("choose another directory with --out, or move them away"));
        }
        Ok(())
    }

    /// Takes the run's lock for this process. The operating system drops it when the process ends, however it ends, so a
    /// killed trainer leaves no stale lock. What such a trainer left half-written is removed.
    ///
    /// # Errors
    /// Another trainer holds it.
    pub fn lock(&self) -> Result<Lock> {
        let path = self.file("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|e| Error::io("open", &path, &e))?;
        match file.try_lock() {
            Ok(()) => {
                // What a killed trainer had begun to write. It costs space, not correctness: a failure is not an error.
                for directory in [self.root.clone(), self.root.join("samples")] {
                    let _ = files::remove_partials(&directory);
                }
                Ok(Lock { _file: file })
            }
            Err(std::fs::TryLockError::WouldBlock) => {
                Err(Error::new(ErrorKind::Locked, format!("another process is training in {}", self.root.display()))
                    .hint("wait for it to end, or choose another directory with --out"))
            }
            Err(std::fs::TryLockError::Error(e)) => Err(Error::io("lock", &path, &e)),
        }
    }

    /// All events of `metrics.jsonl`, oldest first; lines that are damaged or cut off by a crash are left out.
    pub fn metrics(&self) -> Vec<Map<String, Value>> {
        events(&std::fs::read(self.file("metrics.jsonl")).unwrap_or_default())
    }

    /// The machines that trained the run, in words and in the order of time, where that was recorded.
    pub fn machines(&self) -> Vec<String> {
        let of_session = |event: &Map<String, Value>| {
            let session = event.get("event")?.as_str()? == "session";
            event.get("machine")?.as_str().filter(|_| session).map(String::from)
        };
        let mut machines: Vec<String> = self.metrics().iter().filter_map(of_session).collect();
        machines.dedup();
        machines
    }

    /// Forgets what was logged and sampled after `step`: a resumed run makes it again.
    ///
    /// # Errors
    /// The disk refused.
    pub fn forget_after(&self, step: u64) -> Result<()> {
        let path = self.file("metrics.jsonl");
        let logged = match std::fs::read(&path) {
            // What cannot be read now must not be overwritten with nothing.
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io("read", &path, &e)),
            read => events(&read.unwrap_or_default()),
        };
        let kept: String = logged
            .iter()
            .filter(|event| event.get("step").and_then(Value::as_u64).is_none_or(|s| s <= step))
            .map(|event| format!("{}\n", Value::Object(event.clone())))
            .collect();
        files::write_bytes(&path, kept.as_bytes())?;
        for (_, path) in self.samples().into_iter().filter(|(s, _)| *s > step) {
            std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, &e))?;
        }
        Ok(())
    }

    /// Opens `metrics.jsonl` for appending.
    ///
    /// # Errors
    /// The disk refused.
    pub fn open_log(&self) -> Result<Log> {
        let path = self.file("metrics.jsonl");
        let file = OpenOptions::new().create(true).append(true).open(&path);
        Ok(Log { file: file.map_err(|e| Error::io("open", &path, &e))?, path })
    }
}

/// The events in the bytes of `metrics.jsonl`, a line each.
fn events(log: &[u8]) -> Vec<Map<String, Value>> {
    log.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// Held while a run is being trained.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// The log of a run: one JSON object a line.
#[derive(Debug)]
pub struct Log {
    file: File,
    path: PathBuf,
}

impl Log {
    /// Appends one event.
    ///
    /// # Errors
    /// The disk refused.
    pub fn write(&mut self, event: Value) -> Result<()> {
        let line = format!("{event}\n");
        self.file.write_all(line.as_bytes()).map_err(|e| Error::io("write", &self.path, &e))
    }
}
