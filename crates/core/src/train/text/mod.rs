//! Training on text: a corpus becomes a writer.
//!
//! The loop is that of pictures; what is different lies here: `choose.rs` fills in the settings, `trainer.rs` is one
//! step, `look.rs` scores and writes samples, `run.rs` is a run that is ready to train.

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
