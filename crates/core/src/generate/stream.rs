//! From tokens' bytes to text that may be shown at once: whole characters only, and nothing that could still turn out to be
//! the beginning of a stop string.

/// Turns the bytes of tokens into text piece by piece.
///
/// A token may end inside a character (byte-level BPE): its bytes are held back until the character is whole. Bytes that can
/// never become a character turn into one U+FFFD for each maximal part of an invalid sequence, as [`String::from_utf8_lossy`]
/// writes them. Text that may be the beginning of a stop string is held back until it cannot.
#[derive(Debug, Clone, Default)]
pub(crate) struct TextStream {
    stop: Vec<String>,
    /// Bytes of a character that is not whole yet.
    bytes: Vec<u8>,
    /// Whole characters that may begin a stop string.
    held: String,
}

/// What a stream has to show after a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Text that is settled.
    pub text: String,
    /// Which of the stop strings was found; nothing of it or behind it is shown.
    pub stopped: Option<usize>,
}

impl TextStream {
    /// `stop` must hold no empty string.
    pub fn new(stop: Vec<String>) -> Self {
        Self { stop, ..Self::default() }
    }

    /// Takes the bytes of the next token.
    pub fn push(&mut self, bytes: &[u8]) -> Shown {
        self.bytes.extend_from_slice(bytes);
        self.decode();
        // The one that is complete first, however the text is cut into tokens; of two that end together the longer one.
        let places = self
            .stop
            .iter()
            .enumerate()
            .filter_map(|(i, stop)| self.held.find(stop).map(|at| (at + stop.len(), at, i)));
        if let Some((_, at, i)) = places.min() {
            self.held.truncate(at);
            self.bytes.clear();
            return Shown { text: std::mem::take(&mut self.held), stopped: Some(i) };
        }
        let held = self.stop.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - held);
        Shown { text: std::mem::replace(&mut self.held, rest), stopped: None }
    }

    /// The text that was held back, now that no more tokens follow. Bytes of an unfinished character become U+FFFD where the
    /// document has `ended`, because nothing can complete them; where it was only cut off they stay.
    pub fn flush(&mut self, ended: bool) -> String {
        if ended && !self.bytes.is_empty() {
            self.bytes.clear();
            self.held.push(char::REPLACEMENT_CHARACTER);
        }
        std::mem::take(&mut self.held)
    }

    /// Moves whole characters from `bytes` to `held`.
    fn decode(&mut self) {
        let mut used = 0;
        let mut chunks = self.bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.held.push_str(chunk.valid());
            used += chunk.valid().len();
            let invalid = chunk.invalid();
            let unfinished =
                chunks.peek().is_none() && std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none());
            if !invalid.is_empty() && !unfinished {
                self.held.push(char::REPLACEMENT_CHARACTER);
                used += invalid.len();
            }
        }
        self.bytes.drain(..used);
    }
}

/// Bytes at the end of `text` that are the beginning of `stop`, at most all of it but one character.
fn overlap(text: &str, stop: &str) -> usize {
    let longest = text.len().min(stop.len() - 1);
    (1..=longest)
        .rev()
        .find(|&n| text.as_bytes().ends_with(&stop.as_bytes()[..n]) && stop.is_char_boundary(n))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(stop: &[&str]) -> TextStream {
        TextStream::new(stop.iter().map(|s| s.to_string()).collect())
    }

    #[test]
    fn characters_come_whole() {
        let mut stream = stream(&[]);
        let horse = "马🐎".as_bytes();
        let shown: Vec<String> = horse.iter().map(|byte| stream.push(&[*byte]).text).collect();
        assert_eq!(shown, ["", "", "马", "", "", "", "🐎"]);
    }

    #[test]
    fn what_cannot_become_a_character_is_replaced_at_once() {
        let mut stream = stream(&[]);
        assert_eq!(stream.push(b"a\xff").text, "a\u{fffd}", "no character begins so");
        assert_eq!(stream.push(b"\xe9\xa9").text, "", "马 without its last byte");
        assert_eq!(stream.push(b"x").text, "\u{fffd}x");
        assert_eq!(stream.push(b"\xe9").text, "");
        let mut cut = stream.clone();
        assert_eq!(stream.flush(true), "\u{fffd}", "the document has ended");
        assert_eq!(cut.flush(false), "", "it was cut off");
        assert_eq!(cut.push(b"\xa9\xac").text, "马", "and goes on");
    }

    #[test]
    fn stop_strings_are_found_across_tokens() {
        let mut stream = stream(&["\n\n", "END"]);
        assert_eq!(stream.push(b"one\n"), Shown { text: "one".into(), stopped: None });
        assert_eq!(stream.push(b"two E"), Shown { text: "\ntwo ".into(), stopped: None });
        assert_eq!(stream.push(b"N"), Shown { text: "".into(), stopped: None });
        assert_eq!(stream.push(b"tE"), Shown { text: "ENt".into(), stopped: None });
        assert_eq!(stream.push(b"ND\n\n"), Shown { text: "".into(), stopped: Some(1) });
    }

    #[test]
    fn the_stop_string_that_is_complete_first_counts() {
        let mut stream = stream(&["lazy", "dog", "quick brown"]);
        let shown = stream.push("the quick brown fox and the lazy dog".as_bytes());
        assert_eq!(shown, Shown { text: "the ".into(), stopped: Some(2) });
        assert_eq!(self::stream(&["bc", "abcd", "abc"]).push(b"abcd"), Shown { text: "".into(), stopped: Some(2) });
        let mut stream = self::stream(&["。"]);
        assert_eq!(stream.push("月。".as_bytes()).text, "月");
        assert_eq!(overlap("aab", "aabaab"), 3);
        assert_eq!(overlap("ab", "ab"), 0, "the whole would have been found");
    }

    proptest! {
        /// However the bytes are cut into tokens, the text is what decoding them at once gives, up to the first stop string.
        #[test]
        fn cuts_do_not_matter(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'a'), Just(b'b'), Just(0xe9), Just(0xa9), Just(0xac)], 0..60),
            cuts in prop::collection::vec(1usize..5, 0..60),
            stop in prop::collection::vec("[ab马]{1,3}", 0..3),
        ) {
            let mut stream = TextStream::new(stop.clone());
            let (mut rest, mut text, mut stopped) = (&bytes[..], String::new(), false);
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (token, left) = rest.split_at(cut.min(rest.len()));
                rest = left;
                let shown = stream.push(token);
                text += &shown.text;
                if shown.stopped.is_some() {
                    stopped = true;
                    break;
                }
            }
            if !stopped {
                text += &stream.flush(true);
            }
            let whole = String::from_utf8_lossy(&bytes);
                let places = stop.iter().filter_map(|s| whole.find(s.as_str()).map(|at| (at + s.len(), at)));
            let end = places.min().map(|(_, at)| at);
            prop_assert_eq!(&text, &whole[..end.unwrap_or(whole.len())]);
            prop_assert_eq!(stopped, end.is_some());
        }
    }
}
