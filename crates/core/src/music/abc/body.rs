//! The music of a tune: characters become items with their pitches and lengths.

mod notes;

use super::super::{Problem, Ticks, WHOLE};
use super::key::Key;
use super::{fields, harmony};

/// More endings than this a repeat does not have.
pub(super) const MOST_PASSES: u8 = 8;
/// Voices of a tune, at most.
const MOST_VOICES: usize = 16;
/// Signs for ornaments, bowing and layout that change nothing that is heard here (ABC 2.1, 4.14 and 6.1.2): some are defined by
/// the standard, the others by the collections that use them.
const SILENT: &str = " \t`~.uvTHLMOPRSUVJKkn)\\y$*";

/// What stands in the music, in the order of writing.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    /// Notes that begin together, or a rest where there are none.
    Sound(Sound),
    Bar(Bar),
    /// What follows is played on these passes of the repeat.
    Ending(Vec<u8>),
    /// The accompaniment from here on, in MIDI keys; silence where there are none.
    Harmony(Vec<u8>),
    /// Quarter notes a minute from here on.
    Tempo(f64),
    Meter(Option<(u32, u32)>),
    /// A part begins.
    Part(char),
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Sound {
    /// MIDI keys.
    pub pitches: Vec<u8>,
    pub length: Ticks,
    /// Tied to the next one.
    pub tie: bool,
    /// MIDI keys of the grace notes before it.
    pub graces: Vec<u8>,
}

/// A bar line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bar {
    /// `:|`
    pub end: bool,
    /// `|:`
    pub start: bool,
    /// `||`, `|]` or `[|`
    pub double: bool,
}

/// One voice, and what holds in it at the place that has been read.
#[derive(Debug, Clone)]
struct Voice {
    name: String,
    items: Vec<Item>,
    key: Key,
    meter: Option<(u32, u32)>,
    /// Length of a note that is written without one.
    unit: Ticks,
    /// By letter, what an accidental in this bar says.
    bar: [Option<i8>; 7],
    /// Letter, octave and raising of notes that a tie holds.
    tied: Vec<(usize, i32, i8)>,
    graces: Vec<u8>,
    /// What a broken rhythm does to the next note: numerator and denominator.
    broken: Option<(u64, u64)>,
    /// Notes left of a tuplet, and what it does to each: numerator and denominator.
    tuplet: Option<(u32, u64, u64)>,
}

/// Reads the music of a tune line by line.
pub(super) struct Body {
    voices: Vec<Voice>,
    current: usize,
    problems: Vec<Problem>,
    characters: Vec<char>,
    at: usize,
    line: usize,
}

impl Body {
    pub fn new(key: Key, meter: Option<(u32, u32)>, unit: Ticks, problems: Vec<Problem>) -> Self {
        let voice = Voice {
            name: String::new(),
            items: Vec::new(),
            key,
            meter,
            unit,
            bar: [None; 7],
            tied: Vec::new(),
            graces: Vec::new(),
            broken: None,
            tuplet: None,
        };
        Self { voices: vec![voice], current: 0, problems, characters: Vec::new(), at: 0, line: 0 }
    }

    /// The voices that have anything to play, and what could not be read.
    pub fn finish(self) -> (Vec<Vec<Item>>, Vec<Problem>) {
        (self.voices.into_iter().map(|voice| voice.items).filter(|items| !items.is_empty()).collect(), self.problems)
    }

    /// A field within the music, in a line of its own or in brackets.
    pub fn field(&mut self, line: usize, column: usize, letter: char, value: &str) {
        let voice = &mut self.voices[self.current];
        let outcome = match letter {
            'K' => Key::parse(value).map(|key| (voice.key, voice.bar) = (key, [None; 7])),
            'L' => fields::note_length(value).map(|unit| voice.unit = unit),
            'M' => fields::meter(value).map(|meter| {
                voice.meter = meter;
                voice.items.push(Item::Meter(meter));
            }),
            'Q' => fields::tempo(value, voice.unit).map(|tempo| voice.items.extend(tempo.map(Item::Tempo))),
            'P' => {
                voice.items.extend(value.chars().next().map(Item::Part));
                Ok(())
            }
            'V' => self.voice(value),
            _ => Ok(()), // words for people
        };
        if let Err(what) = outcome {
            self.problems.push(Problem { line, column, what: format!("{what}; left out") });
        }
    }

    /// Goes on with the voice that `V:` names. The first name is that of the voice that is there already, if it is empty.
    fn voice(&mut self, value: &str) -> Result<(), String> {
        let name = value.split_whitespace().next().unwrap_or_default();
        let nameless = |voice: &Voice| voice.name.is_empty() && voice.items.is_empty();
        if let Some(known) = self.voices.iter().position(|voice| voice.name == name || nameless(voice)) {
            self.current = known;
        } else if self.voices.len() == MOST_VOICES {
            return Err(format!("more than {MOST_VOICES} voices"));
        } else {
            let first = &self.voices[0];
            let (key, meter, unit) = (first.key, first.meter, first.unit);
            let fresh = Self::new(key, meter, unit, Vec::new()).voices;
            self.voices.extend(fresh);
            self.current = self.voices.len() - 1;
        }
        self.voices[self.current].name = name.to_owned();
        Ok(())
    }

    /// A line of music.
    pub fn line(&mut self, number: usize, line: &str) {
        self.characters = line.chars().collect();
        (self.at, self.line) = (0, number);
        while let Some(c) = self.peek(0) {
            match c {
                'a'..='g' | 'A'..='G' | '^' | '_' | '=' => self.note(),
                'z' | 'x' | 'Z' | 'X' => self.rest(c),
                '|' | ':' => self.bar(),
                '[' => self.bracket(),
                '{' => self.graces(),
                '(' => self.tuplet(),
                '>' | '<' => self.broken(c),
                '-' => self.tie(),
                '"' => self.quoted(),
                '!' => self.decoration(),
                '&' => self.overlay(),
                ']' => self.at += 1, // `|]` is read with its bar; alone it hides a bar line (4.8)
                _ if SILENT.contains(c) => self.at += 1,
                _ => self.unreadable(),
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.at + ahead).copied()
    }

    fn take(&mut self, c: char) -> bool {
        let found = self.peek(0) == Some(c);
        self.at += usize::from(found);
        found
    }

    /// Everything to the next `end`, which is passed over; `None`, and nothing read, where the line has none.
    fn until(&mut self, end: char) -> Option<String> {
        let length = self.characters[self.at..].iter().position(|&c| c == end)?;
        let text = self.characters[self.at..self.at + length].iter().collect();
        self.at += length + 1;
        Some(text)
    }

    fn now(&mut self) -> &mut Voice {
        &mut self.voices[self.current]
    }

    fn problem(&mut self, at: usize, what: impl Into<String>) {
        self.problems.push(Problem { line: self.line, column: at + 1, what: what.into() });
    }

    /// Characters that mean nothing, as one problem.
    fn unreadable(&mut self) {
        let from = self.at;
        let readable = |c: char| c.is_ascii_alphabetic() || SILENT.contains(c) || "^_=|:[]{}(<>-\"!&".contains(c);
        self.at += 1;
        while self.peek(0).is_some_and(|c| !readable(c)) {
            self.at += 1;
        }
        let text: String = self.characters[from..self.at].iter().take(20).collect();
        self.problem(from, format!("\"{text}\" has no meaning here; left out"));
    }

    /// A bar line and the ending that may follow it.
    fn bar(&mut self) {
        let from = self.at;
        while self.peek(0).is_some_and(|c| matches!(c, '|' | ':' | ']'))
            || (self.peek(0) == Some('[') && matches!(self.peek(1), Some('|' | ']')))
        {
            self.at += 1;
        }
        let sign: String = self.characters[from..self.at].iter().collect();
        let lines = sign.matches('|').count();
        if lines == 0 && sign != "::" && sign != "[]" {
            return self.problem(from, format!("\"{sign}\" is not a bar line; left out"));
        }
        let bar = Bar {
            end: sign.starts_with(':'),
            start: sign.ends_with(':'),
            double: lines > 1 || sign.contains(']') || sign.contains('['),
        };
        if self.now().broken.take().is_some() {
            self.problem(from, "a broken rhythm without a second note");
        }
        let voice = self.now();
        voice.bar = [None; 7];
        voice.items.push(Item::Bar(bar));
        if self.peek(0).is_some_and(|c| c.is_ascii_digit()) {
            self.ending();
        }
    }

    /// `1`, `1,3` or `1-3`.
    fn ending(&mut self) {
        let from = self.at;
        let mut numbers: Vec<u8> = Vec::new();
        let mut range = false;
        while let Some(digit) = self.peek(0).and_then(|c| c.to_digit(10)) {
            let first = if range { numbers.last().map_or(1, |last| last + 1) } else { digit as u8 };
            numbers.extend(first..=digit as u8);
            self.at += 1;
            range = self.peek(0) == Some('-');
            if matches!(self.peek(0), Some(',' | '-')) && self.peek(1).is_some_and(|c| c.is_ascii_digit()) {
                self.at += 1;
            } else {
                break;
            }
        }
        if numbers.iter().any(|number| !(1..=MOST_PASSES).contains(number)) || numbers.is_empty() {
            return self.problem(from, format!("an ending must be one of 1 to {}; left out", MOST_PASSES));
        }
        self.now().items.push(Item::Ending(numbers));
    }

    /// A chord, a field, an ending or a bar line.
    fn bracket(&mut self) {
        let from = self.at;
        match (self.peek(1), self.peek(2)) {
            (Some('|' | ']'), _) => self.bar(),
            (Some(c), _) if c.is_ascii_digit() => {
                self.at += 1;
                self.ending();
            }
            (Some(c), Some(':')) if c.is_ascii_alphabetic() => {
                self.at += 3;
                match self.until(']') {
                    Some(value) => self.field(self.line, from + 1, c, value.trim()),
                    None => self.problem(from, "a field without its closing bracket; left out"),
                }
            }
            _ => self.chord(),
        }
    }

    /// A chord symbol or a remark.
    fn quoted(&mut self) {
        let from = self.at;
        self.at += 1;
        match self.until('"') {
            Some(text) => self.now().items.extend(harmony::chord(&text).map(Item::Harmony)),
            None => {
                self.at = self.characters.len();
                self.problem(from, "a quotation without its end; the rest of the line is left out");
            }
        }
    }

    /// `!trill!`, or a lone `!`, which was a line break once.
    fn decoration(&mut self) {
        let from = self.at;
        self.at += 1;
        let name = self.characters[self.at..].iter().position(|&c| c == '!');
        if let Some(length) = name.filter(|&n| n <= 24 && !self.characters[self.at..self.at + n].contains(&'|')) {
            let name: String = self.characters[self.at..self.at + length].iter().collect();
            self.at += length + 1;
            // `!D.C.!`, `!D.S.alcoda!` and their kin (4.14); `!segno!`, `!coda!` and `!fine!` say where they lead.
            if name.starts_with("D.C.") || name.starts_with("D.S.") {
                self.problem(from, format!("the jump !{name}! is not played"));
            }
        }
    }

    /// `&`: a second line over the same bar.
    fn overlay(&mut self) {
        self.problem(self.at, "a second line over the same bar (&) is not played");
        while self.peek(0).is_some_and(|c| c != '|') {
            self.at += 1;
        }
    }
}

/// A whole bar of a metre; of four quarters where there is none.
fn whole_bar(meter: Option<(u32, u32)>) -> Ticks {
    meter.map_or(WHOLE, fields::bar)
}
