//! What a document is, where the user has not said: decided by looking at the first MiB of a file.
//!
//! A file that is made of blocks between blank lines is a collection (poems, tunes, records) or one text in paragraphs. In a
//! paragraph of wrapped prose the last line ends anywhere, so that it is about half as long as the others; in verse it is not.
//! Measured, last line to inner lines: a novel 0.54, a play 0.77, Chinese poems 0.98 and 1.02, tunes 1.8.

use super::config::Documents;
use super::source::TextFormat;

/// With fewer blocks a file is one text.
const FEWEST_BLOCKS: usize = 16;
/// From this share of last to inner lines the blocks are not paragraphs.
const RAGGED: f64 = 0.85;
/// Bytes that are looked at.
pub(super) const LOOK_AT: usize = 1 << 20;

/// What ends a document of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// The end of the file.
    File,
    /// A blank line.
    Block,
    /// The end of a JSON line.
    Line,
}

/// The unit of a file of `format` that begins with `text`. `alone`: whether it makes up the source with few others.
pub(super) fn unit(wanted: Documents, format: TextFormat, text: &str, alone: bool) -> Unit {
    match (format, wanted) {
        (TextFormat::JsonLines, _) => Unit::Line,
        (_, Documents::File) => Unit::File,
        (_, Documents::BlankLines) => Unit::Block,
        (TextFormat::Plain, Documents::Auto) if alone && is_collection(text) => Unit::Block,
        (_, Documents::Auto) => Unit::File,
    }
}

/// Do the blocks of this text stand for themselves?
fn is_collection(text: &str) -> bool {
    let mut blocks: Vec<Vec<&str>> = vec![Vec::new()];
    for line in text.lines() {
        if !line.trim().is_empty() {
            blocks.last_mut().expect("there is one").push(line.trim_end());
        } else if blocks.last().is_some_and(|block| !block.is_empty()) {
            blocks.push(Vec::new());
        }
    }
    blocks.retain(|block| !block.is_empty());
    let tunes = blocks.iter().filter(|block| block[0].starts_with("X:")).count();
    if blocks.len() < FEWEST_BLOCKS || tunes * 2 >= blocks.len() {
        return tunes > 1;
    }
    // The first line may be a title, so three lines are needed to compare any.
    let long: Vec<&Vec<&str>> = blocks.iter().filter(|block| block.len() >= 3).collect();
    if long.len() * 2 < blocks.len() {
        return false;
    }
    let mean = |lines: &mut dyn Iterator<Item = &&str>| {
        let (sum, n) = lines.fold((0, 0), |(sum, n), line| (sum + line.chars().count(), n + 1));
        f64::from(u32::try_from(sum).unwrap_or(u32::MAX)) / f64::from(n)
    };
    let last = mean(&mut long.iter().filter_map(|block| block.last()));
    let inner = mean(&mut long.iter().flat_map(|block| &block[1..block.len() - 1]));
    last >= RAGGED * inner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verse_is_a_collection_and_prose_is_not() {
        let poem = "登鸛雀樓\n白日依山盡，黃河入海流。\n欲窮千里目，更上一層樓。\n\n";
        assert!(is_collection(&poem.repeat(20)) && !is_collection(&poem.repeat(15)));
        let paragraph = "Alice was beginning to get very tired of sitting by her sister\non the bank, and of \
                         having nothing to do:  once or twice she had\npeeped into the book.\n\n";
        assert!(!is_collection(&paragraph.repeat(50)));
        assert!(!is_collection(&"One paragraph, one long line.\n\n".repeat(50)));
        assert!(is_collection("X: 1\nK: G\nabc\n\nX: 2\nK: D\ndef\n"));
        assert!(!is_collection("") && !is_collection(&"a line\n".repeat(99)));
    }

    #[test]
    fn formats_and_wishes() {
        let poems = "題\n白日依山盡，\n黃河入海流。\n\n".repeat(20);
        let unit = |wanted, format, alone| unit(wanted, format, &poems, alone);
        assert_eq!(unit(Documents::Auto, TextFormat::Plain, true), Unit::Block);
        assert_eq!(unit(Documents::Auto, TextFormat::Plain, false), Unit::File);
        assert_eq!(unit(Documents::Auto, TextFormat::Markdown, true), Unit::File);
        assert_eq!(unit(Documents::BlankLines, TextFormat::Markdown, false), Unit::Block);
        assert_eq!(unit(Documents::File, TextFormat::Plain, true), Unit::File);
        assert_eq!(unit(Documents::File, TextFormat::JsonLines, true), Unit::Line);
    }
}
