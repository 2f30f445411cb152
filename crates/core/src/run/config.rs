//! The resolved settings of a run: everything in `run.toml`.

pub mod text;

use crate::data::{DataConfig, Dataset, Loader};
use crate::families::ModelConfig;
use crate::families::settings::{Settings, Tables, TrainConfig, check_ranges, named};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Everything that decides what a run computes. Written to `run.toml` before the first step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    /// Seed of every random stream of the run.
    pub seed: u64,
    /// The model whose weights it begins with, as `NAME HASH`: its name and the BLAKE3 of its file. The weights themselves are
    /// given beside the settings (`--init`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    /// The pictures and how they are prepared.
    pub data: DataConfig,
    /// The family and its sizes.
    pub model: ModelConfig,
    /// What is common to all families.
    pub train: TrainConfig,
    /// The tables that the family reads, and no others.
    #[serde(flatten)]
    pub tables: Tables,
}

impl RunConfig {
    /// Checks every number and that the device is there, so that nothing is allocated or started that cannot work.
    ///
    /// # Errors
    /// One sentence naming the first value that is out of range, or the device that is missing.
    pub fn validate(&self) -> Result<()> {
        self.model.validate()?;
        let frame = self.model.frame();
        if (frame.width, frame.height, frame.channels) != (self.data.width, self.data.height, self.data.channels) {
            return Err(Error::input(format!(
                "the model makes {}x{} pictures with {} channels, the data has {}x{} with {}",
                frame.width, frame.height, frame.channels, self.data.width, self.data.height, self.data.channels
            ))
            .hint("set the size once with --size, or give data and model the same width, height and channels"));
        }
        // Batch norm wants at least two.
        self.train.validate(2)?;
        check_ranges(&[("data.holdout", self.data.holdout, 0.0, 0.5)])?;
        self.model.check(&self.tables)?;
        self.train.device.open().map(|_| ())
    }

    /// Settings as read from a file, of which those are left out that do nothing: files of earlier versions have the tables of all
    /// families.
    ///
    /// # Errors
    /// A table that no family reads.
    pub fn opened(mut self) -> Result<Self> {
        self.model.refuse_unknown(&self.tables)?;
        self.model.retain_read(&mut self.tables);
        Ok(self)
    }

    /// Does its training look through EfficientNet-Lite0?
    pub fn needs_features(&self) -> bool {
        self.model.about().needs_features
    }

    /// Its batches of the pictures in `dataset`, under `seed`.
    pub fn loader(&self, dataset: &Arc<Dataset>, seed: u64) -> Arc<Loader> {
        let flip = self.train.flip == Some(true);
        Arc::new(Loader::new(dataset.clone(), self.train.batch, flip, seed))
    }

    /// What a trainer reads of it.
    pub fn settings(&self) -> Settings {
        let Self { seed, data, train, tables, .. } = self.clone();
        Settings { seed, data, train, tables }
    }

    /// The settings that people ask about, in one line.
    ///
    /// # Errors
    /// A setting of the family's tables that cannot be used.
    pub fn line(&self) -> Result<String> {
        let (t, family) = (&self.train, self.model.training(&self.tables)?);
        Ok(format!(
            "batch {}, {}, lr {:e}, beta {}/{}, EMA half-life {} pictures, {family}, {}, flip {}, held out {:.0} %, seed {}",
            t.batch,
            named(&t.precision),
            t.lr,
            t.beta_1,
            t.beta_2,
            t.ema_half_life,
            self.model.sizes(),
            t.flip == Some(true),
            self.data.holdout * 100.0,
            self.seed
        ))
    }
}

/// A setting as a person would type it: one of single precision is not shown in double, a word has no quotes.
pub fn shown(value: &toml::Value) -> String {
    match value {
        toml::Value::Float(number) if f64::from(*number as f32) == *number => (*number as f32).to_string(),
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(values) => format!("[{}]", values.iter().map(shown).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// The settings of a run, of which the training loop reads a part.
pub trait RunSettings {
    /// Seed of every random stream.
    fn seed(&self) -> u64;
    /// What is common to all.
    fn train(&self) -> &TrainConfig;
    /// The same, where trial steps fill something in.
    fn train_mut(&mut self) -> &mut TrainConfig;
    /// As the text of `run.toml`.
    fn to_toml(&self) -> String;
}

/// The same for settings of pictures and of text, which have these parts under the same names.
macro_rules! run_settings {
    ($config:ty) => {
        impl $config {
            /// As the text of `run.toml`.
            pub fn to_toml(&self) -> String {
                toml::to_string(self).expect("a run configuration is plain data")
            }
        }

        impl $crate::run::config::RunSettings for $config {
            fn seed(&self) -> u64 {
                self.seed
            }

            fn train(&self) -> &TrainConfig {
                &self.train
            }

            fn train_mut(&mut self) -> &mut TrainConfig {
                &mut self.train
            }

            fn to_toml(&self) -> String {
                <$config>::to_toml(self)
            }
        }
    };
}
pub(crate) use run_settings;

run_settings!(RunConfig);
