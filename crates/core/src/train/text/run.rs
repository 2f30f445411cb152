//! A run on text: its directory, locked, and its corpus, open.

use super::super::session::Session;
use super::trainer::Texts;
use crate::data::text::{Corpus, TextManifest, scan_text};
use crate::run::config::text::TextRunConfig;
use crate::run::dir::{Lock, RunDir};
use crate::train::observer::{Observer, Outcome};
use crate::{Error, Result, files};
use std::path::Path;
use std::sync::Arc;

/// A run on text that is ready to train.
pub struct TextRun {
    dir: RunDir,
    config: TextRunConfig,
    corpus: Arc<Corpus>,
    lock: Lock,
}

impl TextRun {
    /// Starts a new run in `dir`, which must not hold one yet.
    ///
    /// # Errors
    /// A setting out of range, too short a text, a place that cannot be written to, another trainer.
    pub fn create(dir: RunDir, config: TextRunConfig, corpus: Arc<Corpus>) -> Result<Self> {
        config.validate()?;
        fits(&config, &corpus)?;
        dir.vacant()?;
        dir.create()?;
        let lock = dir.lock()?;
        let manifest = serde_json::to_vec_pretty(corpus.manifest()).expect("a manifest is plain data");
        files::write_bytes(&dir.file("data.json"), &manifest)?;
        dir.note_source(&config.corpus.source)?;
        Ok(Self { dir, config, corpus, lock })
    }

    /// Goes on with the run in `dir`. `adjust` may change the budget of the configuration. The tokens come from the cache when
    /// it is still there, so it does not matter whether the source has changed or gone.
    ///
    /// # Errors
    /// Not a run on text, another trainer, or neither cache nor unchanged source.
    pub fn resume(dir: RunDir, cache: &Path, adjust: impl FnOnce(&mut TextRunConfig)) -> Result<Self> {
        let mut config = dir.text_config()?;
        adjust(&mut config);
        config.validate()?;
        let lock = dir.lock()?;
        // A copy of a run need not have its samples.
        dir.create()?;
        let corpus = Arc::new(corpus_of(&dir, &config, cache)?);
        fits(&config, &corpus)?;
        dir.write_settings(&config.to_toml())?;
        Ok(Self { dir, config, corpus, lock })
    }

    /// The run's directory.
    pub fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// The run's settings.
    pub fn config(&self) -> &TextRunConfig {
        &self.config
    }

    /// Trains to the end of the budget, or until `observer` asks to stop.
    ///
    /// # Errors
    /// The disk refused, or training diverged more often than it may. What was saved before stays.
    pub fn train(self, observer: &mut dyn Observer) -> Result<Outcome> {
        self.open(observer)?.train(observer)
    }

    /// At its newest whole checkpoint, or at step 0.
    pub(in super::super) fn open(self, observer: &mut dyn Observer) -> Result<Session<Texts>> {
        let Self { dir, config, corpus, lock } = self;
        let texts = Texts::new(&config, corpus)?;
        Session::open(dir, config, texts, lock, observer)
    }
}

/// A model that predicts the tokens of this corpus, and a corpus that is longer than what it sees at once.
fn fits(config: &TextRunConfig, corpus: &Corpus) -> Result<()> {
    let (predicts, knows) = (config.model.vocabulary(), corpus.tokenizer().vocabulary());
    if predicts != knows {
        return Err(Error::input(format!(
            "model.vocabulary is {predicts}, but the tokenizer of this text has {knows} tokens"
        ))
        .hint("leave model.vocabulary out"));
    }
    let (context, tokens) = (config.model.context(), corpus.train_len());
    if tokens < context + 2 {
        return Err(Error::input(format!(
            "the text has {tokens} tokens to train on, which is too short for a context of {context}"
        ))
        .hint(match tokens / 4 {
            0..8 => "give text of at least a few pages".into(),
            shorter => format!("give more text, or --set model.context={shorter}"),
        }));
    }
    Ok(())
}

/// The corpus of the run in `dir`: from the cache when it is still there, else prepared again from an unchanged source.
///
/// # Errors
/// Not a run on text, or neither cache nor unchanged source.
pub fn corpus_of(dir: &RunDir, config: &TextRunConfig, cache: &Path) -> Result<Corpus> {
    let path = dir.file("data.json");
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path, &e))?;
    let manifest: TextManifest =
        serde_json::from_str(&text).map_err(|e| Error::corrupt(format!("{} cannot be read: {e}", path.display())))?;
    if let Ok(corpus) = Corpus::open_cached(cache, &manifest.fingerprint) {
        return Ok(corpus);
    }
    let source = &config.corpus.source;
    let gone = |what: &str| {
        Error::input(format!("{what} since this run began, and its cache is gone"))
            .hint("restore the text, or start a new run")
    };
    if source == "-" {
        return Err(gone("the text came from a pipe that is closed"));
    }
    let corpus = Corpus::open(&config.corpus, &scan_text(&dir.source(source))?, cache, &|_, _| ())?;
    corpus.recognised_as(&manifest).ok_or_else(|| gone(&format!("the text in {source} has changed")))
}
