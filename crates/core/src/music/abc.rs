//! ABC notation (the standard 2.1, abcnotation.com/wiki/abc:standard:v2.1): the part of it that collections of single tunes use
//! and that models write after them.
//!
//! Read and played: the headers X T M L Q K, P for the order of parts and V for voices; notes with accidentals, octaves and lengths, rests, bars, repeats
//! with first and further endings, ties, tuplets, broken rhythm, chords, grace notes, keys with modes and explicit accidentals,
//! changes of K M L Q within a tune, and chord symbols, which become a soft accompaniment. Read and not heard: slurs, ornaments,
//! annotations, lyrics, remarks, layout. Everything else is left out and listed in
//! [`Tune::problems`] with its place: a tune without problems is played wholly as written.
//!
//! An accidental holds for its letter in all octaves to the end of the bar (standard 11.3, `propagate-accidentals pitch`).

mod body;
mod fields;
mod harmony;
mod key;
mod play;
mod repeats;

use super::{Problem, Tune, WHOLE};
use body::{Body, Item};
use key::Key;

/// Parts of a tune in the order of playing, at most.
const MOST_PARTS: usize = 100;

/// What a text of ABC notation holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Book {
    /// The tunes, in their order.
    pub tunes: Vec<Tune>,
    /// Text that belongs to no tune.
    pub problems: Vec<Problem>,
}

/// Reads the tunes of `text`. A tune ends at an empty line or where the next one begins; it needs a number (`X:`) or a key (`K:`).
///
/// Never fails: a text without any music is a book without tunes.
pub fn read(text: &str) -> Book {
    let mut book = Book::default();
    let mut block: Vec<(usize, &str)> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() || (line.starts_with("X:") && block.iter().any(|(_, line)| !line.starts_with('%'))) {
            finish(&mut block, &mut book);
        }
        if !line.is_empty() {
            block.push((i + 1, line));
        }
    }
    finish(&mut block, &mut book);
    book
}

/// A paragraph is a tune, a stretch of comments, or something else.
fn finish(block: &mut Vec<(usize, &str)>, book: &mut Book) {
    let lines = std::mem::take(block);
    let Some(&(line, first)) = lines.iter().find(|(_, line)| !line.starts_with('%')) else { return };
    if lines.iter().any(|(_, line)| line.starts_with("X:") || line.starts_with("K:")) {
        book.tunes.push(tune(&lines));
    } else {
        let start: String = first.chars().take(20).collect();
        let what = format!("text that belongs to no tune, from \"{start}\" to the next empty line; left out");
        book.problems.push(Problem { line, column: 1, what });
    }
}

/// A field line's letter and its value. `c:|` is music, `N::` a slip.
fn field(line: &str) -> Option<(char, &str)> {
    let mut characters = line.chars();
    let letter = characters.next().filter(|c| c.is_ascii_alphabetic() || *c == '+')?;
    let value = characters.as_str().strip_prefix(':')?;
    let music = value.starts_with(['|', ':']) && key::letter(letter).is_some();
    (!music).then(|| (letter, uncommented(value).trim_start_matches(':').trim()))
}

/// Without the comment.
fn uncommented(line: &str) -> &str {
    let bytes = line.as_bytes();
    let at = (0..bytes.len()).find(|&i| bytes[i] == b'%' && (i == 0 || bytes[i - 1] != b'\\'));
    &line[..at.unwrap_or(line.len())]
}

/// Headers of a tune, before its music.
struct Header {
    number: String,
    title: String,
    meter: Option<(u32, u32)>,
    unit: Option<super::Ticks>,
    /// `Q:` and its line: what it means may depend on `L:`, which may come later.
    tempo: Option<(usize, String)>,
    /// `P:` and its line: the parts in the order of playing.
    parts: Option<(usize, Vec<char>)>,
    problems: Vec<Problem>,
}

fn tune(lines: &[(usize, &str)]) -> Tune {
    let mut header = Header {
        number: String::new(),
        title: String::new(),
        meter: None,
        unit: None,
        tempo: None,
        parts: None,
        problems: Vec::new(),
    };
    let mut key = None;
    let mut used = lines.len();
    for (i, &(number, line)) in lines.iter().enumerate() {
        if line.starts_with('%') {
            continue;
        }
        let Some((letter, value)) = field(line) else {
            // A header follows: this was to be one, too.
            if lines.get(i + 1).is_some_and(|(_, next)| field(next).is_some()) {
                header.problem(number, "a line among the headers that is not a header; left out".into());
                continue;
            }
            header.problem(number, "the music begins before the key (K:); played in C".into());
            used = i;
            break;
        };
        if letter == 'K' {
            key = Some(Key::parse(value).unwrap_or_else(|what| {
                header.problem(number, format!("{what}; played in C"));
                Key::C
            }));
            used = i + 1;
            break;
        }
        header.field(number, letter, value);
    }
    let unit = header.unit.unwrap_or_else(|| fields::default_length(header.meter));
    let key = key.unwrap_or(Key::C);
    let mut tempo = None;
    if let Some((line, text)) = header.tempo.take() {
        match fields::tempo(&text, unit) {
            Ok(quarters) => tempo = quarters,
            Err(what) => header.problem(line, format!("{what}; left out")),
        }
    }
    let mut body = Body::new(key, header.meter, unit, header.problems);
    for &(number, line) in &lines[used..] {
        match field(line) {
            Some((letter, value)) => body.field(number, 1, letter, value),
            None => body.line(number, uncommented(line)),
        }
    }
    let (voices, mut problems) = body.finish();
    let mut parts = Vec::new();
    if let Some((line, order)) = header.parts {
        let there = |part: &char| voices.iter().all(|items| items.contains(&Item::Part(*part)));
        match order.iter().find(|part| !there(part)) {
            None => parts = order,
            Some(missing) => {
                let what = format!("there is no part {missing}; the parts are played as they are written");
                problems.push(Problem { line, column: 1, what });
            }
        }
    }
    let played = play::perform(&voices, &parts, header.meter, tempo);
    if played.notes.is_empty() {
        problems.push(Problem { line: lines[0].0, column: 1, what: "the tune has no notes".into() });
    }
    Tune {
        number: header.number,
        title: header.title,
        meter: header.meter,
        sharps: key.sharps,
        minor: key.minor,
        tempo: played.tempo,
        notes: played.notes,
        chords: played.chords,
        length: played.length,
        bars: played.bars,
        uneven: played.uneven,
        problems,
    }
}

impl Header {
    fn problem(&mut self, line: usize, what: String) {
        self.problems.push(Problem { line, column: 1, what });
    }

    fn field(&mut self, line: usize, letter: char, value: &str) {
        match letter {
            'X' => self.number = value.into(),
            'T' if self.title.is_empty() => self.title = value.into(),
            'M' => match fields::meter(value) {
                Ok(meter) => self.meter = meter,
                Err(what) => self.problem(line, format!("{what}; played without one")),
            },
            'L' => match fields::note_length(value) {
                Ok(unit) => self.unit = Some(unit),
                Err(what) => self.problem(line, format!("{what}; the usual one is taken")),
            },
            'Q' => self.tempo = Some((line, value.into())),
            'P' => match parts(value) {
                Some(order) => self.parts = Some((line, order)),
                None => self.problem(
                    line,
                    "an order of parts that is not supported; they are played as they are written".into(),
                ),
            },
            _ => {} // words for people
        }
    }
}

/// `ABA` or `A2B`; a single name is none, and `None` what is too long or has brackets.
fn parts(value: &str) -> Option<Vec<char>> {
    let mut order: Vec<char> = Vec::new();
    for c in value.chars() {
        match (c, order.last()) {
            ('A'..='Z', _) => order.push(c),
            ('1'..='9', Some(&last)) => order.extend(std::iter::repeat_n(last, c as usize - '1' as usize)),
            ('.' | ' ', _) => {}
            _ => return if value.contains(['(', ')']) { None } else { Some(Vec::new()) },
        }
    }
    (order.len() <= MOST_PARTS).then_some(if order.len() > 1 { order } else { Vec::new() })
}

/// What is played at middle tempo lasts at least this long; shorter is an accident of rounding.
const SHORTEST: super::Ticks = WHOLE / 1024;

#[cfg(test)]
mod tests;
