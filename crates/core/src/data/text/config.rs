//! The settings that decide what the tokens of a run are.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenizerKind {
    /// A character.
    Characters,
    /// A piece of a word that is frequent in this corpus: byte-level byte-pair encoding (Sennrich 2016, Radford 2019).
    Bpe,
}

/// What a document is: documents are kept apart by [`super::Tokenizer::END`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Documents {
    /// Decided by looking, see `shape.rs`; what was decided stands in the manifest.
    #[default]
    Auto,
    /// A file. (A line of a `.jsonl` file is always a document.)
    File,
    /// What stands between blank lines.
    BlankLines,
}

/// The `[corpus]` part of a run file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorpusConfig {
    /// Where the text is, as the user typed it; see [`super::scan_text`].
    pub source: String,
    /// What a token is: `characters` or `bpe`.
    pub tokenizer: TokenizerKind,
    /// Tokens at most, the end of a document included. Characters: 0 for as many as there are, up to 16,384; BPE: from 512.
    pub vocabulary: usize,
    /// Share of the text kept out of training for judging, 0 to 0.5.
    pub holdout: f64,
    /// What a document is: `auto`, `file` or `blank-lines`.
    #[serde(default)]
    pub documents: Documents,
}

impl Default for CorpusConfig {
    /// Characters, a tenth held out; no source.
    fn default() -> Self {
        Self {
            source: String::new(),
            tokenizer: TokenizerKind::Characters,
            vocabulary: 0,
            holdout: 0.1,
            documents: Documents::Auto,
        }
    }
}

/// Characters that become tokens, at most; the rest is spelt in bytes.
pub(super) const MOST_CHARACTERS: usize = 16_384;
/// Smallest and largest vocabulary of BPE: the 256 bytes and some merges; what fits 16 bits.
pub(super) const BPE_VOCABULARY: std::ops::RangeInclusive<usize> = 512..=65_536;

impl CorpusConfig {
    /// An error that names the first setting out of range.
    pub fn validate(&self) -> Result<()> {
        let out_of_range = |what: &str, hint: &str| {
            Err(Error::input(format!("corpus.vocabulary is {}: out of range for {what}", self.vocabulary)).hint(hint))
        };
        match self.tokenizer {
            TokenizerKind::Bpe if !BPE_VOCABULARY.contains(&self.vocabulary) => {
                return out_of_range("BPE", "use 512 to 65536, for example 4096");
            }
            TokenizerKind::Characters if self.vocabulary == 1 || self.vocabulary > MOST_CHARACTERS => {
                return out_of_range("characters", "use 0 for as many as there are, or 2 to 16384");
            }
            _ => {}
        }
        if !(0.0..=0.5).contains(&self.holdout) {
            return Err(Error::input(format!("corpus.holdout is {}, but must be a share from 0 to 0.5", self.holdout))
                .hint("for example 0.1"));
        }
        Ok(())
    }
}
