//! Which text is trained on and which is held out.
//!
//! With 20 documents or more the split is by document and by content, so that it does not change when documents are added
//! ([`crate::data::split`]). With fewer, or where single documents are so large that the held-out share would be missed, contiguous
//! stretches are held out: up to eight, evenly spread, cut at line ends. Either way what lies on the other side of a border
//! never comes into the same stream: the parts of the training stream are closed by the end-of-document token.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::survey::Survey;
use super::walk::Visitor;
use crate::Result;
use crate::data::split;

/// Which part text belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Train,
    Heldout,
    /// A repeat of an earlier document.
    Dropped,
}

/// How the held-out text was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextSplit {
    /// None is.
    Nothing,
    /// Whole documents.
    Documents,
    /// Stretches of the text.
    Blocks,
}

/// With fewer documents the split is by block.
const ENOUGH_DOCUMENTS: usize = 20;
/// The share that whole documents hold out may be so many times too large or too small.
const SLACK: f64 = 3.0;
/// Bytes of a block, about, and blocks at most.
const BLOCK: f64 = 16_384.0;
const MOST_BLOCKS: f64 = 8.0;
/// A text with fewer bytes is trained on whole.
const TINY: u64 = 2_048;
/// A block ends at most so many bytes after it should, even where no line ends.
const OVERRUN: u64 = 1 << 16;

/// The split of a survey.
#[derive(Debug)]
pub(super) struct Plan {
    pub split: TextSplit,
    /// Of each document; in a split by blocks, `Train` stands for what is kept.
    pub parts: Vec<Part>,
    /// Held-out stretches, in bytes of kept text.
    pub blocks: Vec<Range<u64>>,
}

impl Plan {
    pub fn new(survey: &Survey, holdout: f64) -> Self {
        let repeats = survey.repeats();
        let parts: Vec<Part> = repeats.iter().map(|&r| if r { Part::Dropped } else { Part::Train }).collect();
        let kept: Vec<usize> = (0..parts.len()).filter(|&i| parts[i] == Part::Train).collect();
        let bytes =
            |numbers: &mut dyn Iterator<Item = usize>| -> u64 { numbers.map(|i| survey.documents[i].bytes).sum() };
        let total = bytes(&mut kept.iter().copied());
        if holdout <= 0.0 || total < TINY {
            return Self { split: TextSplit::Nothing, parts, blocks: Vec::new() };
        }
        if kept.len() >= ENOUGH_DOCUMENTS {
            let hashes: Vec<[u8; 32]> = kept.iter().map(|&i| survey.documents[i].hash).collect();
            let out = split::heldout(&hashes, holdout);
            let heldout = bytes(&mut kept.iter().zip(&out).filter(|(_, out)| **out).map(|(&i, _)| i));
            let share = heldout as f64 / total as f64;
            if (holdout / SLACK..=holdout * SLACK).contains(&share) && share < 0.75 {
                let mut parts = parts;
                kept.iter().zip(out).filter(|(_, out)| *out).for_each(|(&i, _)| parts[i] = Part::Heldout);
                return Self { split: TextSplit::Documents, parts, blocks: Vec::new() };
            }
        }
        Self { split: TextSplit::Blocks, parts, blocks: blocks(total, holdout) }
    }
}

/// Stretches of together `holdout · total` bytes, each in the middle of its share of the text.
fn blocks(total: u64, holdout: f64) -> Vec<Range<u64>> {
    let count = (total as f64 * holdout / BLOCK).floor().clamp(1.0, MOST_BLOCKS);
    let length = total as f64 * holdout / count;
    (0..count as usize)
        .map(|i| {
            let start = (i as f64 + 0.5) * total as f64 / count - length / 2.0;
            start.round() as u64..(start + length).round() as u64
        })
        .collect()
}

/// Takes the text of the parts: pieces, then the end of a document or of a stretch of one.
pub(super) trait Sink {
    fn text(&mut self, part: Part, piece: &str) -> Result<()>;
    fn end(&mut self, part: Part) -> Result<()>;
}

/// Sorts documents into their parts on their way to a sink, cutting them where a stretch begins or ends.
pub(super) struct Parted<'a, S> {
    plan: &'a Plan,
    pub sink: S,
    document: usize,
    /// Bytes of kept text before here.
    at: u64,
    /// Borders of blocks passed; an odd number is inside of one.
    passed: usize,
    /// Nothing of this document or stretch has gone to the sink.
    fresh: bool,
}

impl<'a, S: Sink> Parted<'a, S> {
    pub fn new(plan: &'a Plan, sink: S) -> Self {
        Self { plan, sink, document: 0, at: 0, passed: 0, fresh: true }
    }

    fn border(&self) -> Option<u64> {
        let block = self.plan.blocks.get(self.passed / 2)?;
        Some(if self.passed.is_multiple_of(2) { block.start } else { block.end })
    }

    fn part(&self) -> Part {
        match self.plan.parts.get(self.document).copied().unwrap_or(Part::Dropped) {
            Part::Train if !self.passed.is_multiple_of(2) => Part::Heldout,
            part => part,
        }
    }

    fn send(&mut self, piece: &str) -> Result<()> {
        // After a cut the text begins with its first line that is not blank.
        let text = if self.fresh { piece.trim_start_matches('\n') } else { piece };
        self.at += (piece.len() - text.len()) as u64;
        if text.is_empty() {
            return Ok(());
        }
        self.at += text.len() as u64;
        self.fresh = false;
        self.sink.text(self.part(), text)
    }

    fn cut(&mut self) -> Result<()> {
        if !std::mem::replace(&mut self.fresh, true) {
            self.sink.end(self.part())?;
        }
        self.passed += 1;
        Ok(())
    }
}

impl<S: Sink> Visitor for Parted<'_, S> {
    fn text(&mut self, mut piece: &str) -> Result<()> {
        if self.part() == Part::Dropped {
            return Ok(());
        }
        // Up to each border, then up to the line end after it.
        while let Some(border) = self.border() {
            let before = border.saturating_sub(self.at).min(piece.len() as u64) as usize;
            let before = piece.ceil_char_boundary(before);
            let (head, rest) = piece.split_at(before);
            if !head.is_empty() {
                self.send(head)?;
            }
            if rest.is_empty() {
                return Ok(());
            }
            let room = (border + OVERRUN).saturating_sub(self.at).min(rest.len() as u64) as usize;
            let room = rest.ceil_char_boundary(room);
            match rest[..room].find('\n') {
                Some(end) => {
                    self.send(&rest[..end])?;
                    piece = &rest[end..];
                }
                None if (self.at + room as u64) < border + OVERRUN => {
                    return self.send(rest);
                }
                None => {
                    self.send(&rest[..room])?;
                    piece = &rest[room..];
                }
            }
            self.cut()?;
        }
        self.send(piece)
    }

    fn end(&mut self) -> Result<()> {
        let part = self.part();
        if part != Part::Dropped && !std::mem::replace(&mut self.fresh, true) {
            self.sink.end(part)?;
        }
        // A document that ends is as good a place to cut as a line that ends.
        if part != Part::Dropped && self.border().is_some_and(|border| border <= self.at) {
            self.passed += 1;
        }
        self.document += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::text::clean::Cleaning;
    use crate::data::text::survey::Document;

    fn survey(texts: &[&str]) -> Survey {
        let documents = texts
            .iter()
            .map(|text| Document { hash: *blake3::hash(text.as_bytes()).as_bytes(), bytes: text.len() as u64 })
            .collect();
        Survey { files: vec![], documents, rejects: vec![], bad_lines: 0, found: Cleaning::default() }
    }

    #[derive(Default, Debug, PartialEq)]
    struct Collected(Vec<(bool, String)>, String);

    impl Sink for Collected {
        fn text(&mut self, _: Part, piece: &str) -> Result<()> {
            self.1.push_str(piece);
            Ok(())
        }

        fn end(&mut self, part: Part) -> Result<()> {
            self.0.push((part == Part::Heldout, std::mem::take(&mut self.1)));
            Ok(())
        }
    }

    /// The parts of these documents, told in pieces of `size` characters.
    fn parts(texts: &[&str], plan: &Plan, size: usize) -> Vec<(bool, String)> {
        let mut parted = Parted::new(plan, Collected::default());
        for text in texts {
            let characters: Vec<char> = text.chars().collect();
            for piece in characters.chunks(size) {
                parted.text(&piece.iter().collect::<String>()).unwrap();
            }
            parted.end().unwrap();
        }
        assert_eq!(parted.sink.1, "");
        parted.sink.0
    }

    #[test]
    fn many_documents_are_split_whole_and_repeats_dropped() {
        let mut texts: Vec<String> =
            (0..200).map(|i| format!("document {i}, about as long as all the others")).collect();
        texts.push(texts[7].clone());
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let plan = Plan::new(&survey(&texts), 0.1);
        assert_eq!(plan.split, TextSplit::Documents);
        let parts = parts(&texts, &plan, 10);
        let heldout = parts.iter().filter(|(heldout, _)| *heldout).count();
        assert!(parts.len() == 200 && (8..=35).contains(&heldout), "{heldout}");
        assert_eq!(Plan::new(&survey(&texts), 0.0).split, TextSplit::Nothing);
    }

    #[test]
    fn a_book_gives_stretches_and_no_line_is_in_two() {
        let book: String = (0..20_000).map(|i| format!("line {i} of the book\n")).collect();
        let plan = Plan::new(&survey(&[&book]), 0.1);
        assert_eq!((plan.split, plan.blocks.len()), (TextSplit::Blocks, 2));
        let pieces = parts(&[&book], &plan, 997);
        assert_eq!(pieces, parts(&[&book], &plan, 64), "pieces do not matter");
        assert_eq!(pieces.iter().map(|(heldout, _)| *heldout).collect::<Vec<_>>(), [false, true, false, true, false]);
        let joined: Vec<&str> = pieces.iter().flat_map(|(_, text)| text.lines()).collect();
        assert_eq!(joined, book.lines().collect::<Vec<_>>(), "nothing is lost, nothing doubled");
        let heldout: usize = pieces.iter().filter(|(heldout, _)| *heldout).map(|(_, text)| text.len()).sum();
        assert!((heldout as f64 / book.len() as f64 - 0.1).abs() < 0.001, "{heldout}");
    }

    #[test]
    fn a_book_of_one_line_is_cut_anyway() {
        let book = "字".repeat(200_000);
        let plan = Plan::new(&survey(&[&book]), 0.25);
        let pieces = parts(&[&book], &plan, 1000);
        assert_eq!(pieces, parts(&[&book], &plan, 77));
        assert_eq!(pieces.iter().map(|(_, text)| text.len()).sum::<usize>(), book.len());
        assert!(pieces.len() > 3);
    }

    #[test]
    fn few_documents_or_one_giant_go_by_stretches() {
        let giant = "a line of a novel\n".repeat(5000);
        let mut texts: Vec<String> = (0..30).map(|i| format!("note {i}")).collect();
        texts.insert(3, giant);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let plan = Plan::new(&survey(&texts), 0.1);
        assert_eq!(plan.split, TextSplit::Blocks);
        let pieces = parts(&texts, &plan, 500);
        assert!(pieces.iter().any(|(heldout, _)| *heldout));
        let lines: Vec<&str> = pieces.iter().flat_map(|(_, text)| text.lines()).collect();
        assert_eq!(lines, texts.iter().flat_map(|text| text.lines()).collect::<Vec<_>>());
    }
}
