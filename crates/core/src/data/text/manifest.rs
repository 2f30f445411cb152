//! What a corpus was made of: written into its cache, and by the trainer as `data.json`.

use serde::{Deserialize, Serialize};

use super::CorpusConfig;
use super::clean::Place;
use super::plan::TextSplit;
use crate::data::Reject;

/// One file of the corpus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextFileEntry {
    /// Name inside the source.
    pub name: String,
    /// BLAKE3 of its bytes, hexadecimal.
    pub blake3: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Documents in it, repeats included.
    pub documents: usize,
    /// Invalid UTF-8 sequences, each replaced by U+FFFD.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replaced: u64,
    /// Where the first of them was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_replaced: Option<Place>,
    /// Control characters that were dropped.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// The numbers of a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextCounts {
    /// Different documents of the source. A document of a split by blocks is cut into parts.
    pub documents: usize,
    /// Parts of the training stream, each closed by the end-of-document token.
    pub train_parts: usize,
    /// Parts of the held-out stream.
    pub heldout_parts: usize,
    /// Tokens trained on.
    pub train_tokens: usize,
    /// Tokens held out.
    pub heldout_tokens: usize,
    /// UTF-8 bytes behind the training tokens.
    pub train_bytes: u64,
    /// UTF-8 bytes behind the held-out tokens.
    pub heldout_bytes: u64,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// Files, and lines of `.jsonl` files, that could not be used.
    pub rejected: usize,
    /// Repeats of another document that were dropped.
    pub duplicates: usize,
    /// Files that are no text.
    pub ignored: usize,
}

/// Everything that went into a corpus, and everything that did not with the reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextManifest {
    /// Names this text with these settings.
    pub fingerprint: String,
    /// The settings.
    pub config: CorpusConfig,
    /// The numbers.
    pub counts: TextCounts,
    /// How the held-out text was chosen.
    pub split: TextSplit,
    /// Things the user should know, one sentence each; first what a document was taken to be.
    pub notes: Vec<String>,
    /// What could not be used.
    pub rejects: Vec<Reject>,
    /// The files, by name.
    pub files: Vec<TextFileEntry>,
}

impl TextManifest {
    /// What may be told without saying which files there are and where they lie: settings and numbers.
    pub fn outline(&self) -> Self {
        let source = crate::data::source_name(&self.config.source);
        Self {
            config: CorpusConfig { source, ..self.config.clone() },
            notes: Vec::new(),
            rejects: Vec::new(),
            files: Vec::new(),
            ..self.clone()
        }
    }
}
