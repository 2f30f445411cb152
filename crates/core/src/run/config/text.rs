//! The resolved settings of a run on text: everything in its `run.toml`.

use super::run_settings;
use crate::data::text::CorpusConfig;
use crate::families::settings::{TrainConfig, check_ranges};
use crate::families::text::TextModelConfig;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Everything that decides what a run on text computes. Written to `run.toml` before the first step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextRunConfig {
    /// Seed of every random stream of the run.
    pub seed: u64,
    /// The text and how it becomes tokens.
    pub corpus: CorpusConfig,
    /// The family and its sizes.
    pub model: TextModelConfig,
    /// What is common to pictures and text.
    pub train: TrainConfig,
    /// What only text has.
    #[serde(default)]
    pub text: TextTraining,
}

/// Settings of training on text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextTraining {
    /// Share of the budget over which the learning rate rises from 0.
    pub warmup: f64,
    /// Share of the learning rate that is left at the end of the cosine (Loshchilov & Hutter 2017; a tenth as in Hoffmann
    /// 2022, §3).
    pub final_lr: f64,
    /// Batches whose gradients are averaged before the weights move: the effect of a larger batch in the memory of a small one.
    pub accumulate: usize,
    /// What is continued at every look; the empty one begins a document.
    pub prompts: Vec<String>,
    /// Tokens of a continuation, at most.
    pub sample_tokens: usize,
}

impl Default for TextTraining {
    fn default() -> Self {
        Self { warmup: 0.05, final_lr: 0.1, accumulate: 1, prompts: vec![String::new(); 2], sample_tokens: 200 }
    }
}

impl TextTraining {
    /// The factor on the learning rate when `progress` of the budget, from 0 to 1, is spent: a linear rise over the warm-up,
    /// then half a cosine down to `final_lr`. Past the end of the budget it stays there.
    pub fn lr_scale(&self, progress: f64) -> f64 {
        let (progress, warmup) = (progress.clamp(0.0, 1.0), self.warmup);
        if progress < warmup {
            return progress / warmup;
        }
        let fall = if warmup < 1.0 { (progress - warmup) / (1.0 - warmup) } else { 0.0 };
        self.final_lr + (1.0 - self.final_lr) * 0.5 * (1.0 + (std::f64::consts::PI * fall).cos())
    }
}

impl TextRunConfig {
    /// Checks every number and that the device is there, so that nothing is allocated or started that cannot work.
    ///
    /// # Errors
    /// One sentence naming the first value that is out of range, or the device that is missing.
    pub fn validate(&self) -> Result<()> {
        self.model.validate()?;
        self.train.validate(1)?;
        let text = &self.text;
        check_ranges(&[
            ("text.warmup", text.warmup, 0.0, 1.0),
            ("text.final_lr", text.final_lr, 0.0, 1.0),
            ("text.accumulate", text.accumulate as f64, 1.0, 4096.0),
            ("text.sample_tokens", text.sample_tokens as f64, 1.0, 100_000.0),
            ("text.prompts (their number)", text.prompts.len() as f64, 1.0, 100.0),
            ("corpus.holdout", self.corpus.holdout, 0.0, 0.5),
        ])?;
        if self.train.flip.is_some() {
            return Err(Error::input("train.flip mirrors pictures, but this is text").hint("leave it out"));
        }
        self.train.device.open().map(|_| ())
    }

    /// Tokens of one step.
    pub fn tokens_a_step(&self) -> u64 {
        (self.train.batch * self.text.accumulate * self.model.context()) as u64
    }
}

run_settings!(TextRunConfig);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_rises_and_falls() {
        let text = TextTraining { warmup: 0.1, final_lr: 0.2, ..TextTraining::default() };
        let close = |progress, expected: f64| {
            let found = text.lr_scale(progress);
            assert!((found - expected).abs() < 1e-12, "{progress}: {found}, not {expected}");
        };
        for (progress, expected) in [(0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (0.55, 0.6), (1.0, 0.2), (7.0, 0.2)] {
            close(progress, expected);
        }
        let none = TextTraining { warmup: 0.0, final_lr: 1.0, ..text.clone() };
        assert_eq!((none.lr_scale(0.0), none.lr_scale(0.9)), (1.0, 1.0), "a constant rate");
        let all = TextTraining { warmup: 1.0, ..text };
        assert_eq!((all.lr_scale(0.5), all.lr_scale(1.0)), (0.5, 1.0), "nothing but warm-up");
    }
}
