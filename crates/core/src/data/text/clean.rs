//! The UTF-8 policy: whatever bytes a file holds, what comes out is clean text, and what was changed is counted. (A file that
//! begins with the mark of UTF-16 or UTF-32 was brought to UTF-8 before, by [`super::unicode`].)
//!
//! - Bytes that are no UTF-8: each maximal part of an invalid sequence becomes one U+FFFD (as the Unicode standard, chapter 3.9,
//!   and WHATWG recommend). A file in which they are more than 1 % of the characters so far is refused: it is in another
//!   encoding. (Looked at every 256 KiB.)
//! - Control characters (U+0000–U+001F, U+007F–U+009F) but newline and tab are dropped; more than 1 % and the file is refused: it is
//!   no text.
//! - CR LF and a lone CR become LF. A byte-order mark at the start is dropped.
//! - Nothing else is touched. In particular there is no Unicode normalisation: `é` as one character and as two are different
//!   text, as they are in the source.

use serde::{Deserialize, Serialize};

/// Where something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Line, from 1.
    pub line: u64,
    /// Byte of the file, from 0.
    pub byte: u64,
}

/// What cleaning met and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cleaning {
    /// Bytes read.
    pub bytes: u64,
    /// Characters kept.
    pub characters: u64,
    /// Lines: newlines, and a last line without one.
    pub lines: u64,
    /// Characters of the longest line.
    pub longest_line: u64,
    /// Invalid sequences, each replaced by U+FFFD.
    pub replaced: u64,
    /// Where the first of them was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_replaced: Option<Place>,
    /// Control characters dropped.
    pub dropped: u64,
    /// CR LF and CR made LF.
    pub line_ends: u64,
}

impl Cleaning {
    /// The largest share of characters that may be invalid, and the largest that may be control characters.
    pub const TOLERATED: f64 = 0.01;

    /// Why the file must be refused, if it must.
    pub fn refusal(&self) -> Option<String> {
        let most = ((self.characters as f64 * Self::TOLERATED) as u64).max(1);
        if self.replaced > most {
            let place = self.first_replaced.map_or(String::new(), |p| format!(", the first in line {}", p.line));
            return Some(format!("not UTF-8: {} invalid sequences{place}", self.replaced));
        }
        (self.dropped > most)
            .then(|| format!("no text, or UTF-16 without its mark: {} control characters", self.dropped))
    }

    /// Adds what was found in another file; places and line lengths are kept apart.
    pub(super) fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.characters += other.characters;
        self.lines += other.lines;
        self.longest_line = self.longest_line.max(other.longest_line);
        self.replaced += other.replaced;
        self.dropped += other.dropped;
        self.line_ends += other.line_ends;
    }
}

/// Cleans a file as it comes, in pieces of any size: the result does not depend on where they are cut.
#[derive(Debug, Default)]
pub(super) struct Cleaner {
    pub found: Cleaning,
    /// The beginning of a character whose rest is in the next piece.
    unfinished: Vec<u8>,
    after_cr: bool,
    begun: bool,
    /// Characters of the current line.
    line: u64,
}

impl Cleaner {
    /// Cleans `bytes` and adds the text to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut String) {
        let joined;
        let bytes = if self.unfinished.is_empty() {
            bytes
        } else {
            joined = [&std::mem::take(&mut self.unfinished), bytes].concat();
            &joined
        };
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.valid(chunk.valid(), out);
            let invalid = chunk.invalid();
            // `error_len` of nothing, and nothing behind it: it may still become a character.
            let unfinished = || std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none());
            if chunks.peek().is_none() && unfinished() {
                self.unfinished = invalid.to_vec();
            } else if !invalid.is_empty() {
                self.replace(invalid.len(), out);
            }
        }
    }

    /// The file has ended.
    pub fn finish(&mut self, out: &mut String) {
        let left = std::mem::take(&mut self.unfinished).len();
        if left > 0 {
            self.replace(left, out);
        }
        if self.line > 0 {
            self.end_line(0);
        }
    }

    fn replace(&mut self, length: usize, out: &mut String) {
        let place = Place { line: self.found.lines + 1, byte: self.found.bytes };
        self.found.first_replaced.get_or_insert(place);
        self.found.replaced += 1;
        self.found.bytes += length as u64;
        self.keep("\u{fffd}", out);
    }

    /// Text that needs no change but for single characters.
    fn valid(&mut self, mut text: &str, out: &mut String) {
        if text.is_empty() {
            return;
        }
        self.found.bytes += text.len() as u64;
        if !self.begun {
            self.begun = true;
            text = text.strip_prefix('\u{feff}').unwrap_or(text);
        }
        while let Some(at) = text.find(|c: char| c.is_control() && c != '\t') {
            let (before, rest) = text.split_at(at);
            self.keep(before, out);
            let mut chars = rest.chars();
            let odd = chars.next();
            text = chars.as_str();
            match odd {
                Some('\n') if self.after_cr => self.after_cr = false,
                Some('\n') => self.end_line_in(out),
                Some('\r') => {
                    self.end_line_in(out);
                    self.found.line_ends += 1;
                    self.after_cr = true;
                }
                _ => self.found.dropped += 1,
            }
        }
        self.keep(text, out);
    }

    fn keep(&mut self, text: &str, out: &mut String) {
        if !text.is_empty() {
            let characters = text.chars().count() as u64;
            self.found.characters += characters;
            self.line += characters;
            self.after_cr = false;
            self.begun = true;
            out.push_str(text);
        }
    }

    fn end_line_in(&mut self, out: &mut String) {
        out.push('\n');
        self.after_cr = false;
        self.end_line(1);
    }

    fn end_line(&mut self, newline: u64) {
        self.found.characters += newline;
        self.found.lines += 1;
        self.found.longest_line = self.found.longest_line.max(std::mem::take(&mut self.line));
    }
}

/// A prompt as the text that models learn from is cleaned: line ends are LF, control characters are dropped.
pub fn cleaned(prompt: &str) -> String {
    clean(prompt.as_bytes()).0
}

/// Cleans a whole text.
pub(super) fn clean(bytes: &[u8]) -> (String, Cleaning) {
    let (mut cleaner, mut out) = (Cleaner::default(), String::with_capacity(bytes.len()));
    cleaner.push(bytes, &mut out);
    cleaner.finish(&mut out);
    (out, cleaner.found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_policy() {
        let (text, found) = clean(b"\xef\xbb\xbfa\0b\r\nc\rd\n\r\n\te\x1a\xc2\x85\n");
        assert_eq!(text, "ab\nc\nd\n\n\te\n");
        assert_eq!((found.dropped, found.line_ends, found.replaced, found.lines), (3, 3, 0, 5));
        // A cut character, a byte that begins none, an overlong form (two bytes that begin nothing), half a character at the end.
        let (text, found) = clean(b"1\n\xe6\x98x\xff\xc0\xaf\xe6\x98");
        assert_eq!(text, "1\n\u{fffd}x\u{fffd}\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!((found.replaced, found.first_replaced), (5, Some(Place { line: 2, byte: 2 })));
        assert!(found.refusal().unwrap().contains("line 2"));
        // Not normalised: one character stays one, two stay two.
        assert_eq!(clean("é e\u{301}".as_bytes()).0, "é e\u{301}");
        assert_eq!(clean(b"").1, Cleaning::default());
    }

    #[test]
    fn a_few_faults_are_tolerated_many_are_not() {
        let mut bytes = "春眠不覺曉".repeat(200).into_bytes();
        bytes.insert(3, 0xff);
        bytes.push(0);
        assert_eq!(clean(&bytes).1.refusal(), None);
        // 春 in GB18030
        assert!(clean(&b"\xb4\xba\n".repeat(9)).1.refusal().unwrap().contains("UTF-8"));
        assert!(clean(&[b"text\n".as_slice(), &[0; 9]].concat()).1.refusal().unwrap().contains("no text"));
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(bytes in proptest::collection::vec(prop_oneof![
            any::<u8>(), Just(b'\r'), Just(b'\n'), Just(0xef), Just(0xbb), Just(0xbf), Just(0xe6), Just(0x98), Just(0xa5)
        ], 0..60), cut in 0usize..60, again in 0usize..60) {
            let (first, second) = (cut.min(bytes.len()), again.min(bytes.len()));
            let (first, second) = (first.min(second), first.max(second));
            let (mut cleaner, mut out) = (Cleaner::default(), String::new());
            for piece in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                cleaner.push(piece, &mut out);
            }
            cleaner.finish(&mut out);
            prop_assert_eq!((out.clone(), cleaner.found), clean(&bytes));
            prop_assert_eq!(cleaner.found.bytes, bytes.len() as u64);
            prop_assert_eq!(cleaner.found.characters, out.chars().count() as u64);
        }
    }
}
