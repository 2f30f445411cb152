//! The settings that all families have, and the tables of `run.toml` that only some of them read.

use crate::data::DataConfig;
use crate::device::ComputeDevice;
use crate::nn::optim::{AdamSettings, average_beta};
use crate::{Error, Result};
use maliang_kernels::Precision;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use toml::{Table, Value};

/// Settings of the training loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// What computes, `cpu` or `vulkan`. The numbers of another device differ in their last digits.
    #[serde(default)]
    pub device: ComputeDevice,
    /// Pictures, or windows of text, that go through the model at once.
    pub batch: usize,
    /// Stop after this many steps; 0 means no limit.
    pub steps: u64,
    /// Stop after this many minutes of training; 0 means no limit.
    pub minutes: f64,
    /// Adam's learning rate.
    pub lr: f32,
    /// Adam's decay of the first moment.
    pub beta_1: f32,
    /// Adam's decay of the second moment.
    pub beta_2: f32,
    /// Adam's ε.
    pub epsilon: f32,
    /// AdamW's decoupled weight decay (Loshchilov & Hutter 2019), on every trained tensor of a picture model, on the matrices of
    /// a text model; 0 is Adam.
    #[serde(default)]
    pub weight_decay: f32,
    /// Longest gradient of a network, all of its tensors together: a longer one is scaled down to it (Pascanu 2013); 0
    /// means no limit.
    #[serde(default)]
    pub clip_norm: f32,
    /// Pictures, or windows of text, after which an old weight counts half in the moving average of the weights (EMA); 0 turns it off.
    pub ema_half_life: f64,
    /// Show each picture mirrored half of the time; text has no such setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flip: Option<bool>,
    /// What the products of training are computed with, `f32` or `bf16`; weights, sums, and everything else are f32 in any case.
    #[serde(default)]
    pub precision: Precision,
    /// Steps between looks: a grid, a score and a checkpoint. 0 lets the trial steps decide.
    pub look_every: u64,
    /// Stop early when the score has stopped improving, judged over windows of at least this many looks; 0 only says so. See
    /// `train/plateau.rs`.
    #[serde(default)]
    pub patience: usize,
}

/// What ends a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// See [`TrainConfig::steps`].
    pub steps: u64,
    /// See [`TrainConfig::minutes`].
    pub minutes: f64,
    /// See [`TrainConfig::patience`].
    pub patience: usize,
}

impl TrainConfig {
    /// What ends the run.
    pub fn limits(&self) -> Limits {
        Limits { steps: self.steps, minutes: self.minutes, patience: self.patience }
    }

    /// Checks every number; a batch has at least `fewest` examples.
    ///
    /// # Errors
    /// One sentence naming the first value that is out of range.
    pub fn validate(&self, fewest: usize) -> Result<()> {
        check_ranges(&[
            ("train.batch", self.batch as f64, fewest as f64, 4096.0),
            ("train.steps", self.steps as f64, 0.0, 1e15),
            ("train.minutes", self.minutes, 0.0, 1e7),
            ("train.patience", self.patience as f64, 0.0, 1e6),
            ("train.lr", f64::from(self.lr), 0.0, 1e6),
            ("train.beta_1", f64::from(self.beta_1), 0.0, 0.9999),
            ("train.beta_2", f64::from(self.beta_2), 0.0, 0.999_999),
            ("train.epsilon", f64::from(self.epsilon), 1e-12, 1.0),
            ("train.weight_decay", f64::from(self.weight_decay), 0.0, 1e3),
            ("train.clip_norm", f64::from(self.clip_norm), 0.0, 1e9),
            ("train.ema_half_life", self.ema_half_life, 0.0, 1e12),
        ])?;
        if self.steps == 0 && self.minutes == 0.0 {
            return Err(
                Error::input("neither train.steps nor train.minutes limits the run").hint("for example --minutes 10")
            );
        }
        Ok(())
    }

    /// What AdamW reads.
    pub fn adam(&self) -> AdamSettings {
        let Self { beta_1, beta_2, epsilon, weight_decay, clip_norm, .. } = *self;
        AdamSettings { beta_1, beta_2, epsilon, weight_decay, clip_norm }
    }

    /// See [`average_beta`], after `shown` pictures or windows.
    pub fn average_beta(&self, shown: u64) -> f32 {
        average_beta(self.ema_half_life, self.batch, shown)
    }
}

/// Checks settings, each as name, value, lowest and highest.
///
/// # Errors
/// One sentence naming the first value that is out of range.
pub(crate) fn check_ranges(checks: &[(&str, f64, f64, f64)]) -> Result<()> {
    match checks.iter().find(|(_, value, low, high)| !(low..=high).contains(&value)) {
        None => Ok(()),
        Some((name, value, low, high)) => {
            Err(Error::input(format!("{name} is {value}, but must be between {low} and {high}")))
        }
    }
}

/// A table of `run.toml` that belongs to the families that read it, `[gan]` for example.
pub trait OwnTable: Serialize + DeserializeOwned + Default {
    /// Its name.
    const NAME: &'static str;
}

/// The tables of a run that belong to its family, as written: what is left out has its default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tables(BTreeMap<String, Table>);

impl Tables {
    /// Only this table.
    pub fn of<T: OwnTable>(table: &T) -> Self {
        let mut tables = Self::default();
        tables.set(table);
        tables
    }

    /// The settings of one table.
    ///
    /// # Errors
    /// A setting that does not exist or has another type.
    pub fn get<T: OwnTable>(&self) -> Result<T> {
        let table = self.0.get(T::NAME).cloned().unwrap_or_default();
        table.try_into().map_err(|error| unusable(&format!("a setting of [{}]", T::NAME), &error))
    }

    /// Replaces one table.
    pub fn set<T: OwnTable>(&mut self, table: &T) {
        let mut table = Table::try_from(table).expect("settings are plain data");
        table.iter_mut().for_each(|(_, value)| shorten(value));
        self.0.insert(T::NAME.into(), table);
    }

    /// Changes the settings of one table, as tests do.
    #[cfg(test)]
    pub(crate) fn change<T: OwnTable>(&mut self, change: impl FnOnce(&mut T)) -> Result<()> {
        let mut table = self.get()?;
        change(&mut table);
        self.set(&table);
        Ok(())
    }

    /// Lays what the user has set over these.
    pub fn overlay(&mut self, given: &Self) {
        for (name, table) in &given.0 {
            self.0.entry(name.clone()).or_default().extend(table.clone());
        }
    }

    /// The names of the tables.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The settings by name, table after table.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        self.0
            .iter()
            .flat_map(|(name, table)| table.iter().map(move |(key, value)| (name.as_str(), key.as_str(), value)))
    }

    /// Keeps those settings for which `keep(table, setting)` is true, and no empty table.
    pub fn retain(&mut self, keep: impl Fn(&str, &str) -> bool) {
        for (name, table) in &mut self.0 {
            table.retain(|key, _| keep(name, key));
        }
        self.0.retain(|_, table| !table.is_empty());
    }

    /// The value of one setting, where it is set.
    pub fn value(&self, table: &str, setting: &str) -> Option<&Value> {
        self.0.get(table)?.get(setting)
    }

    /// Has the user set this?
    pub fn sets(&self, table: &str, setting: &str) -> bool {
        self.value(table, setting).is_some()
    }
}

impl FromIterator<(String, Table)> for Tables {
    fn from_iter<I: IntoIterator<Item = (String, Table)>>(tables: I) -> Self {
        Self(tables.into_iter().collect())
    }
}

/// Where all settings are.
pub(crate) const SETTINGS: &str = "docs/guide.md lists all settings; --set takes them as group.name=value";

/// What to say of `what`, a setting that does not exist or has another type.
pub(crate) fn unusable(what: &str, error: &toml::de::Error) -> Error {
    // Its text ends with the name of the setting, on a line of its own.
    Error::input(format!("{what} cannot be used: {}", error.to_string().trim_end().replace('\n', " "))).hint(SETTINGS)
}

/// A setting as it is spelt in `run.toml`, without quotes.
pub fn named(setting: &impl Serialize) -> String {
    serde_json::to_string(setting).unwrap_or_default().replace('"', "").replace(',', ", ")
}

/// An f32 as people write it: 0.03, and not the f64 beside it, 0.029999999329447746.
fn shorten(value: &mut Value) {
    if let Value::Float(float) = value {
        let short = (*float as f32).to_string().parse::<f64>();
        if let Ok(short) = short
            && f64::from(*float as f32) == *float
            && short as f32 == *float as f32
        {
            *float = short;
        }
    }
}

/// The settings of a run as a trainer reads them.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Seed of every random stream of the run.
    pub seed: u64,
    /// The pictures and how they are prepared.
    pub data: DataConfig,
    /// What is common to all families.
    pub train: TrainConfig,
    /// What belongs to the family.
    pub tables: Tables,
}
