//! From files of text to windows of tokens: scan → survey → plan of the split → tokenizer → tokens on disk.
//!
//! Text is read as a stream, three times, and its tokens are memory-mapped: a corpus may be larger than memory. What stays in
//! memory of each document are 40 bytes. The policies: `clean.rs` what happens to bytes, `shape.rs` what a document is, `plan.rs` what is held
//! out, `characters.rs` and `merges.rs` what a token is.
//!
//! ```no_run
//! # fn main() -> maliang::Result<()> {
//! use maliang::data::text::{self, Corpus, CorpusConfig};
//! let config = CorpusConfig { source: "poems.txt".into(), ..CorpusConfig::default() };
//! let scan = text::scan_text(&config.source)?;
//! let corpus = Corpus::open(&config, &scan, "cache".as_ref(), &|_, _| ())?;
//! println!("{}", corpus.tokenizer().decode(&corpus.train(0, 100)));
//! # Ok(()) }
//! ```

mod build;
mod characters;
mod check;
mod clean;
mod config;
mod manifest;
mod merges;
mod plan;
mod scripts;
mod shape;
mod source;
mod survey;
#[cfg(test)]
mod tests;
mod token_cache;
mod tokenizer;
mod unicode;
mod walk;
mod words;

use std::path::Path;

pub use check::{TextCheck, check_text};
pub use clean::{Cleaning, Place, cleaned};
pub use config::{CorpusConfig, Documents, TokenizerKind};
pub use manifest::{TextCounts, TextFileEntry, TextManifest};
pub use plan::TextSplit;
pub use source::{TextFile, TextFormat, TextScan, makes, scan_text};
pub use tokenizer::Tokenizer;
pub use words::words;

use crate::Result;

/// Tokens that are turned into text at one time.
const TOKENS_AT_ONCE: usize = 1 << 16;

/// A corpus: tokenised, memory-mapped, split into a training and a held-out stream.
///
/// Each stream is its documents (or, in a split by blocks, their parts) in the order of the source, each followed by
/// [`Tokenizer::END`].
#[derive(Debug)]
pub struct Corpus {
    tokens: token_cache::Tokens,
    manifest: TextManifest,
    tokenizer: Tokenizer,
}

impl Corpus {
    /// Opens the corpus of `config` and `scan`, tokenising it into `cache` first if it is not there. `progress` is told of bytes read
    /// and bytes to read.
    ///
    /// # Errors
    /// A setting out of range; no text in the source (a file that cannot be used is a reject in the [`TextManifest`]); a
    /// file that changes while it is read; a cache that cannot be written.
    pub fn open(
        config: &CorpusConfig,
        scan: &TextScan,
        cache: &Path,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Self> {
        config.validate()?;
        let fingerprint = build::fingerprint(config, scan);
        let mut corpus = match Self::open_cached(cache, &fingerprint) {
            Ok(corpus) => corpus,
            Err(_) => {
                // Not there, or damaged: in both cases it is made from the source.
                build::build(config, scan, cache, &fingerprint, progress)?;
                Self::open_cached(cache, &fingerprint)?
            }
        };
        // The fingerprint does not depend on how the source was spelt.
        corpus.manifest.config.source.clone_from(&config.source);
        Ok(corpus)
    }

    /// Opens a corpus by its fingerprint alone, as a resumed run does: the source may have changed or gone. All tokens are compared
    /// with their checksum, which reads the whole file.
    pub fn open_cached(cache: &Path, fingerprint: &str) -> Result<Self> {
        let (tokens, manifest, tokenizer) = token_cache::open(cache, fingerprint)?;
        Ok(Self { tokens, manifest, tokenizer })
    }

    /// The same under the name that `before` has, if it was made of the same bytes: files that were only copied or touched are
    /// the corpus that they were.
    pub(crate) fn recognised_as(mut self, before: &TextManifest) -> Option<Self> {
        self.manifest.fingerprint.clone_from(&before.fingerprint);
        (self.manifest == *before).then_some(self)
    }

    /// From text to tokens and back.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Tokens of the training stream.
    pub fn train_len(&self) -> usize {
        self.tokens.train
    }

    /// Tokens of the held-out stream; may be 0.
    pub fn heldout_len(&self) -> usize {
        self.tokens.heldout
    }

    /// `len` tokens of the training stream. Panics unless `start + len <= train_len()`.
    pub fn train(&self, start: usize, len: usize) -> Vec<u32> {
        assert!(
            start.checked_add(len).is_some_and(|end| end <= self.train_len()),
            "a window beyond the training stream"
        );
        self.tokens.read(start, len)
    }

    /// `len` tokens of the held-out stream. Panics unless `start + len <= heldout_len()`.
    pub fn heldout(&self, start: usize, len: usize) -> Vec<u32> {
        assert!(
            start.checked_add(len).is_some_and(|end| end <= self.heldout_len()),
            "a window beyond the held-out stream"
        );
        self.tokens.read(self.train_len() + start, len)
    }

    /// Tells `visit` all training text, in pieces of any length, and of the end of each document (or part) by nothing.
    pub fn for_each_training_text(&self, visit: &mut dyn FnMut(Option<&str>)) {
        let mut bytes = Vec::new();
        let tell = |bytes: &mut Vec<u8>, end: bool, visit: &mut dyn FnMut(Option<&str>)| {
            // A character whose last bytes have not come yet waits for them.
            let whole = match std::str::from_utf8(bytes) {
                Err(e) if !end && e.error_len().is_none() => e.valid_up_to(),
                _ => bytes.len(),
            };
            if whole > 0 {
                visit(Some(&String::from_utf8_lossy(&bytes[..whole])));
            }
            bytes.drain(..whole);
            if end {
                visit(None);
            }
        };
        for start in (0..self.train_len()).step_by(TOKENS_AT_ONCE) {
            for token in self.train(start, TOKENS_AT_ONCE.min(self.train_len() - start)) {
                if token == Tokenizer::END {
                    tell(&mut bytes, true, visit);
                } else {
                    bytes.extend_from_slice(self.tokenizer.bytes(token));
                }
            }
            tell(&mut bytes, false, visit);
        }
        if !bytes.is_empty() {
            tell(&mut bytes, true, visit);
        }
    }

    /// The held-out documents (or parts of the text), from the first, until they have `most` bytes; the last is cut.
    pub fn heldout_documents(&self, most: usize) -> Vec<String> {
        let tokens = self.heldout(0, self.heldout_len().min(most));
        let (mut documents, mut left) = (Vec::new(), most);
        for document in tokens.split(|&token| token == Tokenizer::END) {
            let mut text = self.tokenizer.decode(document);
            text.truncate(text.floor_char_boundary(left));
            left -= text.len();
            if !text.is_empty() {
                documents.push(text);
            }
        }
        documents
    }

    /// UTF-8 bytes behind the training tokens.
    pub fn train_bytes(&self) -> u64 {
        self.manifest.counts.train_bytes
    }

    /// UTF-8 bytes behind the held-out tokens, for bits per byte.
    pub fn heldout_bytes(&self) -> u64 {
        self.manifest.counts.heldout_bytes
    }

    /// Different documents of the source.
    pub fn documents(&self) -> usize {
        self.manifest.counts.documents
    }

    /// What went in, what did not and why.
    pub fn manifest(&self) -> &TextManifest {
        &self.manifest
    }

    /// Names the text and every setting that shapes its tokens: the same fingerprint, the same tokens.
    pub fn fingerprint(&self) -> &str {
        &self.manifest.fingerprint
    }
}
