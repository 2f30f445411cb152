//! The judgement of a model that writes: how well it predicts held-out text, beside an n-gram model; whether it repeats itself;
//! whether it copies.
//!
//! A metric knows no model family: the model is a function that gives the nats of tokens, and some pieces of text.

mod automaton;
mod copying;
mod likelihood;
mod ngram;
mod table;
#[cfg(test)]
mod tests;
mod variety;

use serde::{Deserialize, Serialize};

pub use copying::{Passage, Spans, TextCopying};
pub use likelihood::{Heldout, Nats};
pub use ngram::{Ngram, ORDER};
pub use variety::{Measured, Variety};

use super::{JudgedModel, OnStage};
use crate::data::text::{Corpus, Tokenizer};
use crate::{Error, Result};

/// Version of `scores.json` of text.
const FORMAT: u32 = 1;
/// Pieces of generated text, at least.
const FEWEST_PIECES: usize = 4;
/// Held-out text that copies and repetitions are compared with, in bytes, at most.
const MOST_HELDOUT_BYTES: usize = 1 << 20;

/// What to judge with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextOptions {
    /// Seed of the generated pieces, of the bootstrap and of the copycat.
    pub seed: u64,
    /// Held-out tokens that are predicted, at most.
    pub tokens: usize,
    /// Tokens of context that the model can use.
    pub context: usize,
}

/// Everything that was found, as it stands in `scores.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextJudgement {
    /// Version of this record.
    pub format: u32,
    /// Always `text`: pictures have records of another form.
    pub modality: String,
    /// The model; nothing where the text came from elsewhere.
    pub model: Option<JudgedModel>,
    /// Generated pieces and their characters.
    pub pieces: usize,
    /// See above.
    pub characters: usize,
    /// Seed of the generated pieces.
    pub seed: u64,
    /// How they were made, in words; nothing where that is not known.
    pub sampling: String,
    /// Fingerprint of the corpus.
    pub data_fingerprint: String,
    /// Tokens of the corpus: trained on, held out.
    pub data_tokens: [usize; 2],
    /// How well held-out text is predicted; nothing if none is held out.
    pub heldout: Option<Heldout>,
    /// Repetition.
    pub variety: Variety,
    /// Copying.
    pub copying: TextCopying,
    /// Version of Maliang that judged.
    pub version: String,
}

impl TextJudgement {
    /// As the text of `scores.json`.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a judgement is plain data")
    }
}

/// Judges a model by the nats that it gives to held-out text, and by `pieces` that it generated without a prompt (or without
/// their prompts).
///
/// # Errors
/// Fewer than four pieces with text, or a corpus with other tokens than those of the model (`tokenizer`).
pub fn judge_text(
    nats: Nats,
    pieces: &[String],
    corpus: &Corpus,
    tokenizer: &Tokenizer,
    options: &TextOptions,
    on_stage: OnStage,
) -> Result<TextJudgement> {
    // What says nothing is left out; what remains keeps its numbers.
    let said = pieces.iter().enumerate().filter(|(_, piece)| !piece.trim().is_empty());
    let (numbers, pieces): (Vec<usize>, Vec<String>) = said.map(|(number, piece)| (number, piece.clone())).unzip();
    if pieces.len() < FEWEST_PIECES {
        return Err(Error::input(format!(
            "{} pieces of text are too few to judge: at least {FEWEST_PIECES}",
            pieces.len()
        ))
        .hint("a model that writes nothing has not been trained enough; else generate more with -n"));
    }
    if corpus.tokenizer() != tokenizer {
        return Err(Error::input("the corpus has other tokens than the model")
            .hint("judge with the corpus that the model was trained on"));
    }
    let heldout = likelihood::heldout(nats, corpus, options.context, options.tokens, options.seed, on_stage);
    on_stage("variety", 0, 1);
    let other = corpus.heldout_documents(MOST_HELDOUT_BYTES);
    let variety = variety::variety(&pieces, &other);
    on_stage("copying", 0, 1);
    let mut copying = copying::report(&pieces, &other, corpus, options.seed)?;
    copying.passages.iter_mut().for_each(|passage| passage.piece = numbers[passage.piece]);
    Ok(TextJudgement {
        format: FORMAT,
        modality: "text".into(),
        model: None,
        pieces: pieces.len(),
        characters: pieces.iter().map(|piece| piece.chars().count()).sum(),
        seed: options.seed,
        sampling: String::new(),
        data_fingerprint: corpus.fingerprint().to_string(),
        data_tokens: [corpus.train_len(), corpus.heldout_len()],
        heldout,
        variety,
        copying,
        version: crate::VERSION.to_string(),
    })
}
