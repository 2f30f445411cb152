//! Making the tokens of a corpus: three readings, none of which holds more than a few MiB of text.
//!
//! The first counts and hashes the documents, so that they can be split; the second learns the tokenizer from the training part;
//! the third encodes.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use rayon::prelude::*;

use super::config::{MOST_CHARACTERS, TokenizerKind};
use super::plan::{Part, Parted, Plan, Sink, TextSplit};
use super::shape::Unit;
use super::survey::{self, OnBytes, Survey};
use super::token_cache::{self, TokenWriter};
use super::words::words;
use super::{CorpusConfig, TextCounts, TextFileEntry, TextManifest, TextScan, Tokenizer};
use crate::Result;
use crate::data::{cache, display_name};

/// Bytes of text that are encoded as one.
const CHUNK: usize = 1 << 20;
/// Bytes of text that are encoded at the same time.
const BATCH: usize = 8 << 20;
/// Bytes of training text that BPE learns from, about: what is more changes the merges little and costs memory.
const SAMPLE: u64 = 16 << 20;

/// Names the corpus that `config` makes of `scan`: BLAKE3 over the settings (but not how the source was spelt) and over name, size
/// and time of every file, as 32 hexadecimal digits.
pub(super) fn fingerprint(config: &CorpusConfig, scan: &TextScan) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes()); // lengths keep neighbours apart
        hasher.update(bytes);
    };
    add(b"text");
    add(&token_cache::VERSION.to_le_bytes());
    let settings = CorpusConfig { source: String::new(), ..config.clone() };
    add(&serde_json::to_vec(&settings).unwrap_or_default());
    for file in &scan.files {
        add(file.name.as_bytes());
        add(&file.bytes.to_le_bytes());
        add(&file.stamp.to_le_bytes());
    }
    for reject in &scan.rejects {
        add(reject.name.as_bytes());
        add(reject.reason.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_string()
}

/// Reads everything and writes the token cache. A file that cannot be used costs only itself.
pub(super) fn build(
    config: &CorpusConfig,
    scan: &TextScan,
    dir: &Path,
    fingerprint: &str,
    on_bytes: OnBytes,
) -> Result<()> {
    let is_there = || token_cache::open(dir, fingerprint).is_ok();
    cache::make_once(dir, fingerprint, is_there, || tokenize(config, scan, dir, fingerprint, on_bytes))
}

fn tokenize(config: &CorpusConfig, scan: &TextScan, dir: &Path, fingerprint: &str, on_bytes: OnBytes) -> Result<()> {
    let all = 3 * scan.bytes();
    let survey = survey::survey(scan, config.documents, &mut (), &|done, _| on_bytes(done, all))?;
    let plan = Plan::new(&survey, config.holdout);
    let mut done = scan.bytes();
    let mut count = |bytes| {
        done += bytes;
        on_bytes(done, all);
    };

    let mut learner = Learner::new(config, &survey);
    let mut parted = Parted::new(&plan, Chunks::new(|part, text, _| learner.learn(part, &text)));
    survey.again(&mut parted, &mut count)?;
    drop(parted);
    let tokenizer = learner.tokenizer(config);

    let writer = TokenWriter::create(dir, fingerprint, tokenizer.vocabulary())?;
    let mut encoder =
        Encoder { tokenizer: &tokenizer, writer, waiting: Vec::new(), bytes: 0, counts: TextCounts::default() };
    let mut parted = Parted::new(&plan, Chunks::new(|part, text, end| encoder.push(part, text, end)));
    survey.again(&mut parted, &mut count)?;
    drop(parted);
    encoder.flush()?;

    let Encoder { writer, counts, .. } = encoder;
    let rejected = scan.files.len() - survey.files.len() + scan.rejects.len() + survey.bad_lines;
    let duplicates = plan.parts.iter().filter(|&&part| part == Part::Dropped).count();
    let manifest = TextManifest {
        fingerprint: fingerprint.to_string(),
        config: config.clone(),
        counts: TextCounts {
            documents: survey.documents.len() - duplicates,
            train_tokens: writer.train_tokens as usize,
            heldout_tokens: writer.heldout_tokens as usize,
            vocabulary: tokenizer.vocabulary(),
            rejected,
            duplicates,
            ignored: scan.ignored,
            ..counts
        },
        split: plan.split,
        notes: notes(scan, &survey, &plan, duplicates),
        rejects: survey.rejects.clone(),
        files: entries(&survey),
    };
    writer.finish(dir, &manifest, &tokenizer)
}

/// Gathers the text of parts into chunks for `take`, which is told whether the part ends with the chunk.
struct Chunks<F> {
    buffer: String,
    take: F,
}

impl<F: FnMut(Part, String, bool) -> Result<()>> Chunks<F> {
    fn new(take: F) -> Self {
        Self { buffer: String::new(), take }
    }
}

impl<F: FnMut(Part, String, bool) -> Result<()>> Sink for Chunks<F> {
    fn text(&mut self, part: Part, piece: &str) -> Result<()> {
        self.buffer.push_str(piece);
        if self.buffer.len() < CHUNK {
            return Ok(());
        }
        let rest = self.buffer.split_off(cut(&self.buffer));
        (self.take)(part, std::mem::replace(&mut self.buffer, rest), false)
    }

    fn end(&mut self, part: Part) -> Result<()> {
        (self.take)(part, std::mem::take(&mut self.buffer), true)
    }
}

/// Where a text can be cut without changing a token: before the last line of its second half that begins with something other than
/// white space (see [`words`]); where there is none, at its end.
fn cut(text: &str) -> usize {
    let half = text.ceil_char_boundary(text.len() / 2);
    let breaks = text[half..].rmatch_indices('\n').map(|(at, _)| half + at + 1);
    let mut lines = breaks.filter(|&at| text[at..].chars().next().is_some_and(|c| !c.is_whitespace()));
    lines.next().unwrap_or(text.len())
}

/// What a tokenizer is learned from.
enum Learner {
    Characters {
        counts: HashMap<char, u64>,
        heldout: BTreeSet<char>,
    },
    /// Every `stride`-th chunk of the training text.
    Bpe {
        words: HashMap<Box<str>, u64>,
        seen: u64,
        stride: u64,
    },
}

impl Learner {
    fn new(config: &CorpusConfig, survey: &Survey) -> Self {
        match config.tokenizer {
            TokenizerKind::Characters => Self::Characters { counts: HashMap::new(), heldout: BTreeSet::new() },
            TokenizerKind::Bpe => {
                let stride = survey.documents.iter().map(|d| d.bytes).sum::<u64>().div_ceil(SAMPLE).max(1);
                Self::Bpe { words: HashMap::new(), seen: 0, stride }
            }
        }
    }

    fn learn(&mut self, part: Part, text: &str) -> Result<()> {
        match (self, part) {
            (Self::Characters { counts, .. }, Part::Train) => {
                text.chars().for_each(|c| *counts.entry(c).or_default() += 1);
            }
            (Self::Characters { heldout, .. }, _) => heldout.extend(text.chars()),
            (Self::Bpe { words: known, seen, stride }, Part::Train) => {
                if seen.is_multiple_of(*stride) {
                    for word in words(text) {
                        match known.get_mut(word) {
                            Some(n) => *n += 1,
                            None => _ = known.insert(word.into(), 1),
                        }
                    }
                }
                *seen += 1;
            }
            (Self::Bpe { .. }, _) => {}
        }
        Ok(())
    }

    fn tokenizer(self, config: &CorpusConfig) -> Tokenizer {
        match self {
            Self::Characters { counts, heldout } => {
                let most = if config.vocabulary == 0 { MOST_CHARACTERS } else { config.vocabulary };
                Tokenizer::characters(&counts, &heldout, most)
            }
            Self::Bpe { words, .. } => Tokenizer::bpe(&words, config.vocabulary),
        }
    }
}

/// Encodes chunks in parallel and writes them in order.
struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    writer: TokenWriter,
    waiting: Vec<(Part, String, bool)>,
    bytes: usize,
    counts: TextCounts,
}

impl Encoder<'_> {
    fn push(&mut self, part: Part, text: String, end: bool) -> Result<()> {
        let (bytes, parts) = match part {
            Part::Heldout => (&mut self.counts.heldout_bytes, &mut self.counts.heldout_parts),
            _ => (&mut self.counts.train_bytes, &mut self.counts.train_parts),
        };
        *bytes += text.len() as u64;
        *parts += usize::from(end);
        self.bytes += text.len();
        self.waiting.push((part, text, end));
        if self.bytes >= BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let encode = |(part, text, end): &(Part, String, bool)| {
            let mut tokens = self.tokenizer.encode(text);
            tokens.extend(end.then_some(Tokenizer::END));
            (*part, tokens)
        };
        let encoded: Vec<_> = self.waiting.par_iter().map(encode).collect();
        (self.waiting, self.bytes) = (Vec::new(), 0);
        encoded.into_iter().try_for_each(|(part, tokens)| self.writer.push(part, &tokens))
    }
}

/// The files as the manifest lists them.
pub(super) fn entries(survey: &Survey) -> Vec<TextFileEntry> {
    let entry = |surveyed: &survey::Surveyed| TextFileEntry {
        name: surveyed.file.name.clone(),
        blake3: surveyed.hash.to_hex().to_string(),
        bytes: surveyed.found.bytes,
        documents: surveyed.documents,
        replaced: surveyed.found.replaced,
        first_replaced: surveyed.found.first_replaced,
        dropped: surveyed.found.dropped,
    };
    survey.files.iter().map(entry).collect()
}

/// What was decided and what was changed, a sentence each.
pub(super) fn notes(scan: &TextScan, survey: &Survey, plan: &Plan, duplicates: usize) -> Vec<String> {
    let mut notes = Vec::new();
    for (unit, what) in [
        (Unit::Block, "the text between two blank lines"),
        (Unit::Line, "a line of JSON"),
        (Unit::File, "a whole file"),
    ] {
        let files = || survey.files.iter().filter(|file| file.unit == unit);
        let (count, documents) = (files().count(), files().map(|file| file.documents).sum::<usize>());
        if count > 0 {
            let name = files().next().map_or(String::new(), |file| display_name(&file.file.name));
            let place = if count == 1 { name } else { format!("{count} files") };
            notes.push(format!("a document is {what}: {documents} in {place} (corpus.documents decides)"));
        }
    }
    notes.push(match plan.split {
        TextSplit::Nothing => "no text is held out".into(),
        TextSplit::Documents => "whole documents are held out, chosen by their content".into(),
        TextSplit::Blocks => {
            let n = plan.blocks.len();
            let held_out =
                if n == 1 { "one stretch of the text is".into() } else { format!("{n} stretches of the text are") };
            format!("{held_out} held out, evenly spread: too few documents, or too unequal ones, to hold out whole")
        }
    });
    if duplicates > 0 {
        notes.push(match duplicates {
            1 => "1 document repeats another and was dropped".into(),
            n => format!("{n} documents repeat another and were dropped"),
        });
    }
    let found = &survey.found;
    if found.replaced > 0 {
        notes.push(match found.replaced {
            1 => "1 invalid UTF-8 sequence was replaced by U+FFFD".into(),
            n => format!("{n} invalid UTF-8 sequences were replaced by U+FFFD"),
        });
    }
    if found.dropped > 0 {
        notes.push(match found.dropped {
            1 => "1 control character was dropped".into(),
            n => format!("{n} control characters were dropped"),
        });
    }
    if survey.bad_lines > 0 {
        notes.push(format!("{} lines of JSON could not be used", survey.bad_lines));
    }
    notes.extend(scan.notes.iter().cloned());
    notes
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn chunks_end_where_lines_begin() {
        assert_eq!(cut("one\ntwo\nthree"), 8);
        assert_eq!(cut("one\ntwo\n three"), 14, "a line that begins with a space could join what is before it");
        assert_eq!(cut("a\nbcdefghijk"), 12, "only the second half counts");
    }
}
