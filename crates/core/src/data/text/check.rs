//! What is in a source of text, what is broken, doubled, too small: everything is read once, nothing is written.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::build::notes;
use super::clean::Cleaning;
use super::config::{Documents, TokenizerKind};
use super::plan::{Part, Plan};
use super::scripts::script;
use super::survey::{self, Extra, OnBytes};
use super::{TextFileEntry, TextScan};
use crate::Result;
use crate::data::{Reject, SizeSummary};

/// What [`check_text`] found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextCheck {
    /// The source as text.
    pub source: String,
    /// The files that can be used.
    pub files: Vec<TextFileEntry>,
    /// Files that are no text.
    pub ignored: usize,
    /// Bytes, characters, lines, the longest line; what was replaced, dropped, changed.
    pub found: Cleaning,
    /// Documents, repeats included.
    pub documents: usize,
    /// Different documents: what training will see.
    pub distinct: usize,
    /// Bytes of a document.
    pub document_bytes: SizeSummary,
    /// Different characters.
    pub distinct_characters: usize,
    /// Characters that occur once.
    pub once: usize,
    /// How many characters of each script, the most frequent first.
    pub scripts: Vec<(String, u64)>,
    /// Things the user should know, one sentence each.
    pub notes: Vec<String>,
    /// Files and lines that cannot be used, with the reason.
    pub rejects: Vec<Reject>,
    /// What a token should be,
    pub suggested_tokenizer: TokenizerKind,
    /// and the vocabulary (0: all characters),
    pub suggested_vocabulary: usize,
    /// and why.
    pub reason: String,
}

/// Reads all text of a scan once. `progress` is told of bytes read and bytes to read.
///
/// # Errors
/// None of the text can be used.
pub fn check_text(scan: &TextScan, wanted: Documents, progress: OnBytes) -> Result<TextCheck> {
    let mut characters = Characters::default();
    let survey = survey::survey(scan, wanted, &mut characters, progress)?;
    // Only for what it says: nothing is written.
    let plan = Plan::new(&survey, 0.1);
    let counts = characters.all;
    let repeats = plan.parts.iter().filter(|&&part| part == Part::Dropped).count();
    let mut scripts: BTreeMap<&str, u64> = BTreeMap::new();
    counts.iter().for_each(|(&c, n)| *scripts.entry(script(c)).or_default() += n);
    let mut scripts: Vec<(String, u64)> = scripts.into_iter().map(|(name, n)| (name.to_string(), n)).collect();
    scripts.sort_by_key(|&(_, n)| std::cmp::Reverse(n));
    let (suggested_tokenizer, suggested_vocabulary, reason) = suggest(&survey.found, counts.len());
    Ok(TextCheck {
        source: scan.source.clone(),
        files: super::build::entries(&survey),
        ignored: scan.ignored,
        found: survey.found,
        documents: survey.documents.len(),
        distinct: survey.documents.len() - repeats,
        document_bytes: SizeSummary::of(survey.documents.iter().map(|document| document.bytes as usize))
            .expect("a survey without documents is an error"),
        distinct_characters: counts.len(),
        once: counts.values().filter(|&&n| n == 1).count(),
        scripts,
        notes: notes(scan, &survey, &plan, repeats),
        rejects: survey.rejects,
        suggested_tokenizer,
        suggested_vocabulary,
        reason,
    })
}

/// Text with more characters has enough words to learn them from, rather than letters.
const MANY: u64 = 2_000_000;

/// What a token should be: the kind, the vocabulary, the reason.
fn suggest(found: &Cleaning, distinct: usize) -> (TokenizerKind, usize, String) {
    let per_character = found.bytes as f64 / found.characters.max(1) as f64;
    if per_character >= 1.8 {
        let reason = format!("a character of this script stands for a syllable or a word; there are {distinct}");
        (TokenizerKind::Characters, 0, reason)
    } else if found.characters < MANY {
        let reason = format!("{} characters are too few to learn words from", found.characters);
        (TokenizerKind::Characters, 0, reason)
    } else {
        // A token that occurs some thousand times is learned well; a byte-level vocabulary below 1024 is hardly one.
        let vocabulary = ((found.bytes / 2000) as usize).next_power_of_two().clamp(1024, 16_384);
        (
            TokenizerKind::Bpe,
            vocabulary,
            format!("{} bytes of text are enough for {vocabulary} pieces of words", found.bytes),
        )
    }
}

/// Counts characters of files that are not refused.
#[derive(Default)]
struct Characters {
    all: HashMap<char, u64>,
    file: HashMap<char, u64>,
}

impl Extra for Characters {
    fn text(&mut self, piece: &str) {
        piece.chars().for_each(|c| *self.file.entry(c).or_default() += 1);
    }

    fn end_file(&mut self, usable: bool) {
        let file = std::mem::take(&mut self.file);
        if usable {
            file.into_iter().for_each(|(c, n)| *self.all.entry(c).or_default() += n);
        }
    }
}
