//! From files to documents, as a stream: memory is bounded however large a file, a document or a line is.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use serde::Deserialize;

use super::clean::{self, Cleaner, Cleaning};
use super::config::Documents;
use super::shape::{self, Unit};
use super::source::{TextFile, TextFormat};
use super::unicode::Unicode;
use crate::Result;
use crate::data::source::io_reason;
use crate::data::{Reject, encoding};

/// Bytes read at one time.
const CHUNK: usize = 1 << 18;
/// Longest JSON line that is read.
const MAX_JSON_LINE: u64 = 64 << 20;
/// Longest run of white space that is kept inside a document.
const MAX_GAP: usize = 1 << 16;
/// Bad lines of a file that are named.
const NAMED_LINES: usize = 20;
/// In a folder with fewer files each may be a collection.
const FEW_FILES: usize = 16;

/// Is told of documents: text in pieces, then the end of it. A document has at least one character that is not white space.
pub(super) trait Visitor {
    fn text(&mut self, piece: &str) -> Result<()>;
    fn end(&mut self) -> Result<()>;
}

/// What a walk through a file found besides its documents.
pub(super) struct Walked {
    pub found: Cleaning,
    /// BLAKE3 of the file's bytes.
    pub hash: blake3::Hash,
    /// Lines of JSON that cannot be used: the first of them, and how many.
    pub bad_lines: Vec<Reject>,
    pub bad_count: usize,
}

/// Decides what ends a document of `file`, one of `count`.
pub(super) fn unit(file: &TextFile, count: usize, wanted: Documents) -> Result<Unit, String> {
    let alone = count < FEW_FILES;
    if wanted != Documents::Auto || file.format != TextFormat::Plain || !alone {
        return Ok(shape::unit(wanted, file.format, "", alone));
    }
    let mut start = Vec::new();
    let opened = File::open(&file.path).map_err(|e| io_reason(&e))?.take(file.bytes);
    Unicode::new(opened).take(shape::LOOK_AT as u64).read_to_end(&mut start).map_err(|e| io_reason(&e))?;
    Ok(shape::unit(wanted, file.format, &clean::clean(&start).0, alone))
}

/// Why a walk ended early.
pub(super) enum Stopped {
    /// The file cannot be used.
    Refused(String),
    /// The visitor failed.
    Failed(crate::Error),
}

impl From<crate::Error> for Stopped {
    fn from(error: crate::Error) -> Self {
        Self::Failed(error)
    }
}

/// Tells `visitor` of every document of `file`; `on_bytes` of every piece that was read.
pub(super) fn walk(
    file: &TextFile,
    unit: Unit,
    visitor: &mut dyn Visitor,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<Walked, Stopped> {
    let opened = File::open(&file.path).map_err(|e| Stopped::Refused(io_reason(&e)))?;
    // Files that the system makes while they are read say that they are empty, and some never end.
    let opened = opened.take(if file.bytes == 0 { 0 } else { u64::MAX });
    let reader = Unicode::new(Hashing { reader: opened, hasher: blake3::Hasher::new(), on_bytes });
    match unit {
        Unit::Line => json_lines(&file.name, BufReader::with_capacity(CHUNK, reader), visitor),
        _ => plain(reader, unit, visitor),
    }
}

fn plain(mut reader: Unicode<Hashing>, unit: Unit, visitor: &mut dyn Visitor) -> Result<Walked, Stopped> {
    let (mut cleaner, mut documents) = (Cleaner::default(), Splitter::new(unit));
    let (mut bytes, mut text) = (vec![0; CHUNK], String::new());
    loop {
        let got = read(&mut reader, &mut bytes).map_err(Stopped::Refused)?;
        text.clear();
        if got == 0 {
            cleaner.finish(&mut text);
        } else {
            cleaner.push(&bytes[..got], &mut text);
        }
        documents.push(&text, visitor)?;
        // A file of another kind is refused after its first piece and not after its last.
        if let Some(reason) = cleaner.found.refusal() {
            let advice = match cleaner.found.replaced {
                0 => encoding::advice_on_utf_16(&bytes[..got]).unwrap_or_default(),
                _ => encoding::advice(&bytes[..got]),
            };
            return Err(Stopped::Refused(reason + &advice));
        }
        if got == 0 {
            break;
        }
    }
    documents.finish(visitor)?;
    Ok(Walked {
        found: cleaner.found,
        hash: reader.into_inner().hasher.finalize(),
        bad_lines: Vec::new(),
        bad_count: 0,
    })
}

/// As much as there is, `buffer` at most: the refusal of a file must not depend on how a system cuts its reads.
fn read(reader: &mut impl Read, buffer: &mut [u8]) -> Result<usize, String> {
    let mut got = 0;
    while got < buffer.len() {
        match reader.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(io_reason(&e)),
        }
    }
    Ok(got)
}

#[derive(Deserialize)]
struct Record {
    text: Option<String>,
}

/// A JSON object a line. A line that is none, or whose `text` is not a string, costs itself.
fn json_lines(
    name: &str,
    mut reader: BufReader<Unicode<Hashing>>,
    visitor: &mut dyn Visitor,
) -> Result<Walked, Stopped> {
    let (mut found, mut bad_lines, mut bad_count) = (Cleaning::default(), Vec::new(), 0);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let got = (&mut reader).take(MAX_JSON_LINE).read_until(b'\n', &mut line);
        let got = got.map_err(|e| Stopped::Refused(io_reason(&e)))? as u64;
        if got == 0 {
            break;
        }
        let whole = line.last() == Some(&b'\n') || got < MAX_JSON_LINE;
        found.bytes += got;
        if !whole {
            found.bytes += skip_line(&mut reader).map_err(|e| Stopped::Refused(io_reason(&e)))?;
        }
        let read = if whole { record(&line) } else { Err(format!("longer than {} MiB", MAX_JSON_LINE >> 20)) };
        match read {
            Ok(None) => {}
            Ok(Some((text, cleaned))) => {
                found.add(&Cleaning { bytes: 0, ..cleaned });
                let mut document = Splitter::new(Unit::File);
                document.push(&text, visitor)?;
                document.finish(visitor)?;
            }
            Err(reason) => {
                bad_count += 1;
                if bad_lines.len() < NAMED_LINES {
                    bad_lines.push(Reject::new(format!("{name}:{number}"), reason));
                }
            }
        }
    }
    Ok(Walked { found, hash: reader.into_inner().into_inner().hasher.finalize(), bad_lines, bad_count })
}

/// The text of a line, or nothing if the line is blank.
fn record(line: &[u8]) -> Result<Option<(String, Cleaning)>, String> {
    let (json, as_read) = clean::clean(line);
    if json.trim().is_empty() {
        return Ok(None);
    }
    let record: Record =
        serde_json::from_str(&json).map_err(|e| format!("no JSON object with a field \"text\": {e}"))?;
    let text = record.text.ok_or("its field \"text\" is missing")?;
    // Once more: JSON can spell what the policy drops.
    let (text, mut found) = clean::clean(text.as_bytes());
    found.replaced += as_read.replaced;
    found.dropped += as_read.dropped;
    match found.refusal() {
        Some(reason) => Err(format!("{reason}; convert the file to UTF-8")),
        None => Ok(Some((text, found))),
    }
}

/// Reads to the end of the line in bounded memory; returns how much that was.
fn skip_line(reader: &mut impl BufRead) -> std::io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = reader.fill_buf()?;
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let length = end.map_or(buffer.len(), |at| at + 1);
        reader.consume(length);
        skipped += length as u64;
        if end.is_some() || length == 0 {
            return Ok(skipped);
        }
    }
}

/// Hashes what is read.
struct Hashing<'a> {
    reader: std::io::Take<File>,
    hasher: blake3::Hasher,
    on_bytes: &'a mut dyn FnMut(u64),
}

impl Read for Hashing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..got]);
        (self.on_bytes)(got as u64);
        Ok(got)
    }
}

/// Cuts clean text into documents. Blank lines before a document and white space after it belong to none.
struct Splitter {
    unit: Unit,
    /// White space since the last other character, and how many newlines are in it.
    gap: String,
    newlines: usize,
    open: bool,
}

impl Splitter {
    fn new(unit: Unit) -> Self {
        Self { unit, gap: String::new(), newlines: 0, open: false }
    }

    fn push(&mut self, mut text: &str, visitor: &mut dyn Visitor) -> Result<()> {
        while !text.is_empty() {
            let rest = text.trim_start();
            self.white(&text[..text.len() - rest.len()]);
            // To the end of the line, but for the white space before it.
            let line = rest.split('\n').next().unwrap_or_default().trim_end();
            if !line.is_empty() {
                self.solid(line, visitor)?;
            }
            text = &rest[line.len()..];
        }
        Ok(())
    }

    fn finish(&mut self, visitor: &mut dyn Visitor) -> Result<()> {
        if std::mem::take(&mut self.open) { visitor.end() } else { Ok(()) }
    }

    fn white(&mut self, space: &str) {
        self.newlines += space.bytes().filter(|&byte| byte == b'\n').count();
        // A longer run is cut: nobody means a MiB of blanks.
        let room = MAX_GAP.saturating_sub(self.gap.len());
        self.gap.push_str(&space[..space.floor_char_boundary(room)]);
    }

    fn solid(&mut self, text: &str, visitor: &mut dyn Visitor) -> Result<()> {
        if self.open && self.unit == Unit::Block && self.newlines >= 2 {
            visitor.end()?;
            self.open = false;
        }
        let gap = std::mem::take(&mut self.gap);
        // What stands before the first line is dropped, its own indentation kept.
        let start = if self.open { 0 } else { gap.rfind('\n').map_or(0, |at| at + 1) };
        if start < gap.len() {
            visitor.text(&gap[start..])?;
        }
        (self.newlines, self.open) = (0, true);
        visitor.text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[derive(Default)]
    struct Collected {
        documents: Vec<String>,
        current: String,
    }

    impl Visitor for Collected {
        fn text(&mut self, piece: &str) -> Result<()> {
            self.current.push_str(piece);
            Ok(())
        }

        fn end(&mut self) -> Result<()> {
            self.documents.push(std::mem::take(&mut self.current));
            Ok(())
        }
    }

    fn documents(unit: Unit, pieces: &[&str]) -> Vec<String> {
        let (mut splitter, mut collected) = (Splitter::new(unit), Collected::default());
        pieces.iter().for_each(|piece| splitter.push(piece, &mut collected).unwrap());
        splitter.finish(&mut collected).unwrap();
        assert_eq!(collected.current, "");
        collected.documents
    }

    #[test]
    fn blank_lines_part_documents() {
        let text = "\n \n　　春 眠 \n不覺曉\n\n \t\n處處\n聞啼鳥\n\n";
        assert_eq!(documents(Unit::Block, &[text]), ["　　春 眠 \n不覺曉", "處處\n聞啼鳥"]);
        assert_eq!(documents(Unit::File, &[text]), ["　　春 眠 \n不覺曉\n\n \t\n處處\n聞啼鳥"]);
        assert!(documents(Unit::Block, &[" \n\n"]).is_empty());
        // Cut anywhere, the same.
        for (at, _) in text.char_indices() {
            assert_eq!(documents(Unit::Block, &[&text[..at], &text[at..]]), documents(Unit::Block, &[text]));
        }
    }

    fn walk_bytes(name: &str, bytes: &[u8]) -> (Vec<String>, Result<Walked, String>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let scan = super::super::scan_text(path.to_str().unwrap()).unwrap();
        let (file, mut collected) = (&scan.files[0], Collected::default());
        let unit = unit(file, 1, Documents::Auto).unwrap();
        let walked = walk(file, unit, &mut collected, &mut |_| ());
        (collected.documents, walked.map_err(|e| if let Stopped::Refused(reason) = e { reason } else { panic!() }))
    }

    #[test]
    fn json_lines_cost_only_themselves() {
        let lines = b"{\"text\": \"one\\r\\ntwo\\u0000\", \"n\": [1]}\n\n[1]\n{\"text\": 7}\n{\"n\": 1}\n{\"text\": \" \"}\n{\"text\":\"\xe6\x98\xa5\xff\"}";
        let (documents, walked) = walk_bytes("a.jsonl", lines);
        let walked = walked.unwrap();
        assert_eq!(documents, ["one\ntwo", "春\u{fffd}"]);
        assert_eq!((walked.bad_count, walked.found.bytes), (3, lines.len() as u64));
        let places: Vec<&str> = walked.bad_lines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(places, ["a.jsonl:3", "a.jsonl:4", "a.jsonl:5"]);
        assert_eq!(walked.hash, blake3::hash(lines));
    }

    #[test]
    fn a_giant_line_of_json_is_skipped_whole() {
        let mut reader = BufReader::with_capacity(7, &b"xxxxxxxxxxxxxxxxxxxx\nrest"[..]);
        assert_eq!(skip_line(&mut reader).unwrap(), 21);
        assert_eq!(skip_line(&mut reader).unwrap(), 4);
        assert_eq!(skip_line(&mut reader).unwrap(), 0);
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let (_, walked) = walk_bytes("a.txt", &[0xb4, 0xba, b'\n'].repeat(100));
        assert!(walked.err().unwrap().contains("UTF-8"));
        let missing = TextFile {
            name: "x".into(),
            bytes: 0,
            format: TextFormat::Plain,
            stamp: 0,
            path: Path::new("/none").into(),
        };
        let walked = walk(&missing, Unit::File, &mut Collected::default(), &mut |_| ());
        assert!(matches!(walked, Err(Stopped::Refused(_))));
    }
}
