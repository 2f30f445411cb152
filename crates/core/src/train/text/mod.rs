//! Training on text: a corpus becomes a writer.
//!
//! The loop is that of pictures; what is different lies here. [`choose`] fills it in, [`trainer`] is
//! one step, [`look`] scores and writes samples, [`run`] is the run directory.

mod choose;
mod look;
mod run;
mod trainer;
pub mod trial;

pub use choose::{CorpusChoice, TextChoice, TextRequest, choose_corpus, choose_text};
pub use run::{TextRun, corpus_of};
#[cfg(test)]
pub(super) use trainer::Texts;
pub use trial::TextTrial;
