//! The first reading: every document is counted and hashed, every file accepted or refused.

use std::collections::HashSet;

use super::clean::Cleaning;
use super::config::Documents;
use super::shape::Unit;
use super::walk::{self, Stopped, Visitor};
use super::{TextFile, TextScan};
use crate::data::Reject;
use crate::{Error, Result};

/// Bytes and total bytes read so far.
pub(super) type OnBytes<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// A document, as far as it stays in memory: 40 bytes, whatever its length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document {
    /// BLAKE3 of its text.
    pub hash: [u8; 32],
    /// Bytes of its text.
    pub bytes: u64,
}

/// A file that can be used.
#[derive(Debug)]
pub(super) struct Surveyed {
    pub file: TextFile,
    pub unit: Unit,
    pub hash: blake3::Hash,
    pub found: Cleaning,
    pub documents: usize,
}

/// What a source holds.
#[derive(Debug)]
pub(super) struct Survey {
    pub files: Vec<Surveyed>,
    /// All documents in the order of the files.
    pub documents: Vec<Document>,
    /// Whole files, and the first bad lines of `.jsonl` files.
    pub rejects: Vec<Reject>,
    /// How many lines are bad, named or not.
    pub bad_lines: usize,
    pub found: Cleaning,
}

/// Takes what the survey does not need itself: every piece of text of a file, then whether the file can be used.
pub(super) trait Extra {
    fn text(&mut self, piece: &str);
    fn end_file(&mut self, usable: bool);
}

impl Extra for () {
    fn text(&mut self, _: &str) {}
    fn end_file(&mut self, _: bool) {}
}

/// Reads everything once.
pub(super) fn survey(scan: &TextScan, wanted: Documents, extra: &mut dyn Extra, on_bytes: OnBytes) -> Result<Survey> {
    let mut all = Survey {
        files: Vec::new(),
        documents: Vec::new(),
        rejects: scan.rejects.clone(),
        bad_lines: 0,
        found: Cleaning::default(),
    };
    let (mut done, total) = (0, scan.bytes());
    for file in &scan.files {
        let before = all.documents.len();
        let mut visitor =
            Measure { documents: &mut all.documents, hasher: blake3::Hasher::new(), bytes: 0, extra: &mut *extra };
        let walked = match walk::unit(file, scan.files.len(), wanted) {
            Err(reason) => Err(Stopped::Refused(reason)),
            Ok(unit) => walk::walk(file, unit, &mut visitor, &mut |bytes| {
                done += bytes;
                on_bytes(done, total);
            })
            .map(|walked| (unit, walked)),
        };
        extra.end_file(walked.is_ok());
        match walked {
            Err(Stopped::Failed(error)) => return Err(error),
            Err(Stopped::Refused(reason)) => {
                all.documents.truncate(before);
                all.rejects.push(Reject::new(file.name.clone(), reason));
            }
            Ok((unit, walked)) => {
                all.bad_lines += walked.bad_count;
                all.rejects.extend(walked.bad_lines);
                all.found.add(&walked.found);
                let documents = all.documents.len() - before;
                let (hash, found) = (walked.hash, walked.found);
                all.files.push(Surveyed { file: file.clone(), unit, hash, found, documents });
            }
        }
    }
    if all.documents.is_empty() {
        return Err(scan.nothing_usable(&all.rejects));
    }
    Ok(all)
}

impl Survey {
    /// Marks the documents that repeat an earlier one.
    pub fn repeats(&self) -> Vec<bool> {
        let mut seen = HashSet::new();
        self.documents.iter().map(|document| !seen.insert(document.hash)).collect()
    }

    /// Reads every usable file again for `visitor`.
    ///
    /// # Errors
    /// A file is not what it was when it was surveyed.
    pub fn again(&self, visitor: &mut dyn Visitor, on_bytes: &mut dyn FnMut(u64)) -> Result<()> {
        for Surveyed { file, unit, hash, .. } in &self.files {
            let changed = |what: &str| {
                Error::input(format!("{} {what} while it was being read", file.name)).hint("run the same command again")
            };
            match walk::walk(file, *unit, visitor, on_bytes) {
                Ok(walked) if walked.hash == *hash => {}
                Ok(_) => return Err(changed("changed")),
                Err(Stopped::Failed(error)) => return Err(error),
                Err(Stopped::Refused(reason)) => return Err(changed(&format!("became unusable ({reason})"))),
            }
        }
        Ok(())
    }
}

struct Measure<'a> {
    documents: &'a mut Vec<Document>,
    hasher: blake3::Hasher,
    bytes: u64,
    extra: &'a mut dyn Extra,
}

impl Visitor for Measure<'_> {
    fn text(&mut self, piece: &str) -> Result<()> {
        self.hasher.update(piece.as_bytes());
        self.bytes += piece.len() as u64;
        self.extra.text(piece);
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let hash = *self.hasher.finalize().as_bytes();
        self.documents.push(Document { hash, bytes: std::mem::take(&mut self.bytes) });
        self.hasher.reset();
        Ok(())
    }
}
