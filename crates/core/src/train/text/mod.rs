//! Training on text: a corpus becomes a writer.
//!
//! The loop is that of pictures; what is different lies here. [`config`] is `run.toml`, [`choose`] fills it in, [`trainer`] is
//! one step, [`look`] scores and writes samples, [`run`] is the run directory.

mod choose;
mod config;
mod look;
mod run;
mod trainer;

pub use choose::{CorpusChoice, TextChoice, TextRequest, choose_corpus, choose_text};
pub use config::{TextRunConfig, TextTraining};
pub use run::{TextRun, corpus_of};
#[cfg(test)]
pub(super) use trainer::Texts;
