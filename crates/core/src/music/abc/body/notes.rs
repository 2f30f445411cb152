//! Notes, rests, chords, and what makes them longer or shorter.

use super::super::fields::{self, length};
use super::super::key::{SEMITONES, letter};
use super::{Body, Item, Sound, whole_bar};

/// Digits of a number, at most.
const DIGITS: usize = 4;

impl Body {
    /// A note with its accidental, octave and length.
    pub(super) fn note(&mut self) {
        let from = self.at;
        let Some(pitch) = self.pitch() else { return self.problem(from, "an accidental without a note; left out") };
        let Some((n, d)) = self.factor(from) else { return };
        self.now().tied.clear();
        self.sound(from, pitch.0.into_iter().collect(), n, d);
        if self.take('-') {
            self.hold(vec![pitch.1]);
        }
    }

    /// `[CEG]2`: notes that begin together; the first one's length counts (4.17).
    pub(super) fn chord(&mut self) {
        let from = self.at;
        self.at += 1;
        let (mut pitches, mut written, mut first, mut tied) = (Vec::new(), Vec::new(), None, false);
        loop {
            match self.peek(0) {
                Some(']') => break self.at += 1,
                Some('a'..='g' | 'A'..='G' | '^' | '_' | '=') => {
                    let at = self.at;
                    let Some(pitch) = self.pitch() else {
                        return self.problem(at, "an accidental without a note; the chord is left out");
                    };
                    let Some(factor) = self.factor(at) else { return };
                    first.get_or_insert(factor);
                    pitches.extend(pitch.0);
                    written.push(pitch.1);
                    tied |= self.take('-');
                }
                Some(' ' | '.' | '~' | 'u' | 'v' | 'T' | '(' | ')' | '!') => self.at += 1,
                _ => return self.problem(from, "a chord without its closing bracket; what is in it is left out"),
            }
        }
        let (Some((n, d)), Some((outer_n, outer_d))) = (first, self.factor(from)) else {
            return self.problem(from, "a chord without notes; left out");
        };
        pitches.sort_unstable();
        pitches.dedup();
        self.now().tied.clear();
        self.sound(from, pitches, n * outer_n, d * outer_d);
        if self.take('-') || tied {
            self.hold(written);
        }
    }

    /// `z` and `x` rest for a length, `Z` and `X` for whole bars.
    pub(super) fn rest(&mut self, c: char) {
        let from = self.at;
        self.at += 1;
        let Some((n, d)) = self.factor(from) else { return };
        self.now().tied.clear();
        if c.is_ascii_lowercase() {
            return self.sound(from, Vec::new(), n, d);
        }
        match length(whole_bar(self.now().meter), n, d) {
            Some(length) => self.now().items.push(Item::Sound(Sound { length, ..Sound::default() })),
            None => self.problem(from, "a rest of impossible length; left out"),
        }
    }

    /// `{…}`: grace notes, whatever their lengths.
    pub(super) fn graces(&mut self) {
        let from = self.at;
        self.at += 1;
        let mut graces = Vec::new();
        loop {
            match self.peek(0) {
                Some('}') => break self.at += 1,
                Some('a'..='g' | 'A'..='G' | '^' | '_' | '=') => {
                    let Some(pitch) = self.pitch() else { break self.problem(from, "a grace note without a letter") };
                    graces.extend(pitch.0);
                    if self.factor(from).is_none() {
                        break;
                    }
                }
                Some(c) if SILENT_IN_GRACES.contains(c) => self.at += 1,
                _ => break self.problem(from, "grace notes without their end"),
            }
        }
        self.now().graces.extend(graces);
    }

    /// `(3abc`, `(p:q:r`: p notes in the time of q, for the next r notes (4.13). Other parentheses are slurs.
    pub(super) fn tuplet(&mut self) {
        let from = self.at;
        self.at += 1;
        let Some(p) = self.number() else { return };
        let compound = self.now().meter.is_some_and(|(beats, _)| beats > 3 && beats % 3 == 0);
        let usual = match p {
            2 | 4 | 8 => 3,
            3 | 6 => 2,
            _ if compound => 3,
            _ => 2,
        };
        let mut parts = [None; 2];
        for part in &mut parts {
            if !self.take(':') {
                break;
            }
            *part = self.number();
        }
        let (q, r) = (parts[0].unwrap_or(usual), parts[1].unwrap_or(p));
        if !(2..=9).contains(&p) || !(1..=9).contains(&q) || !(1..=32).contains(&r) {
            return self.problem(from, "a tuplet of impossible size; its notes are played as written");
        }
        self.now().tuplet = Some((r as u32, q, p));
    }

    /// `a>b`: the first is longer by half, the second half as long; each further sign halves again (4.4).
    pub(super) fn broken(&mut self, sign: char) {
        let from = self.at;
        while self.take(sign) {}
        let count = (self.at - from) as u32;
        let voice = self.now();
        match voice.items.last_mut() {
            Some(Item::Sound(sound)) if count <= 3 => {
                let short = 1 << count;
                let (first, second) = if sign == '>' { (2 * short - 1, 1) } else { (1, 2 * short - 1) };
                sound.length = (sound.length * first / short).max(1);
                voice.broken = Some((second, short));
            }
            _ => self.problem(from, "a broken rhythm without a note before it; left out"),
        }
    }

    /// `-` apart from its note.
    pub(super) fn tie(&mut self) {
        self.at += 1;
        if let Some(Item::Sound(sound)) = self.now().items.last_mut() {
            sound.tie = !sound.pitches.is_empty();
        }
    }

    /// The newest sound is tied to the next; `written` are its letters, octaves and raisings.
    fn hold(&mut self, written: Vec<(usize, i32, i8)>) {
        let voice = self.now();
        if let Some(Item::Sound(sound)) = voice.items.last_mut() {
            sound.tie = true;
            voice.tied = written;
        }
    }

    /// Appends a sound of n / d units, under the broken rhythm and the tuplet that hold.
    fn sound(&mut self, from: usize, pitches: Vec<u8>, n: u64, d: u64) {
        let voice = self.now();
        let (broken_n, broken_d) = voice.broken.take().unwrap_or((1, 1));
        let (tuplet_n, tuplet_d) = match &mut voice.tuplet {
            Some((left, n, d)) => {
                *left -= 1;
                let factor = (*n, *d);
                if *left == 0 {
                    voice.tuplet = None;
                }
                factor
            }
            None => (1, 1),
        };
        match length(voice.unit, n * broken_n * tuplet_n, d * broken_d * tuplet_d) {
            Some(length) => {
                let graces = std::mem::take(&mut voice.graces);
                voice.items.push(Item::Sound(Sound { pitches, length, tie: false, graces }));
            }
            None => self.problem(from, "a note of impossible length; left out"),
        }
    }

    /// A note's MIDI key, if it has one, and its letter, octave and raising. `None` where no letter follows.
    fn pitch(&mut self) -> Option<(Option<u8>, (usize, i32, i8))> {
        let from = self.at;
        let mut accidental = None;
        while let Some(sign @ ('^' | '_' | '=')) = self.peek(0) {
            let by: i8 = match sign {
                '^' => 1,
                '_' => -1,
                _ => 0,
            };
            accidental = Some((accidental.unwrap_or(0) + by).clamp(-2, 2));
            self.at += 1;
        }
        let name = self.peek(0).filter(|c| matches!(c, 'a'..='g' | 'A'..='G'))?;
        self.at += 1;
        let letter = letter(name)?;
        let mut octave = i32::from(name.is_ascii_lowercase());
        loop {
            match self.peek(0) {
                Some('\'') => octave += 1,
                Some(',') => octave -= 1,
                _ => break,
            }
            self.at += 1;
        }
        let voice = self.now();
        let tied = voice.tied.iter().find(|(l, o, _)| (*l, *o) == (letter, octave)).map(|(.., raised)| *raised);
        let raised = match accidental {
            Some(raised) => {
                voice.bar[letter] = Some(raised);
                raised
            }
            None => tied.or(voice.bar[letter]).unwrap_or(voice.key.raised[letter]),
        };
        let key = 60 + 12 * octave + i32::from(SEMITONES[letter]) + i32::from(raised);
        let key = u8::try_from(key).ok().filter(|key| *key < 128);
        if key.is_none() {
            self.problem(from, "a note that is too high or too low; a rest is played");
        }
        Some((key, (letter, octave, raised)))
    }

    /// `3`, `/2`, `3/2`, `/`, `//`: a length in units. `None`, and a problem, where it is impossible.
    fn factor(&mut self, from: usize) -> Option<(u64, u64)> {
        let n = self.number().unwrap_or(1);
        let mut d = 1;
        while self.take('/') {
            d *= self.number().unwrap_or(2);
            if d > 1024 {
                break;
            }
        }
        // Also the digits that were too many to read.
        if n == 0 || d == 0 || n > 64 * fields::LONGEST || d > 1024 {
            self.problem(from, "a note of impossible length; left out");
            return None;
        }
        Some((n, d))
    }

    /// A whole number, if one stands here; 0 for one of more than [`DIGITS`] digits, which nothing here may be.
    fn number(&mut self) -> Option<u64> {
        let digits = self.characters[self.at..].iter().take_while(|c| c.is_ascii_digit()).count();
        let text: String = self.characters[self.at..self.at + digits].iter().collect();
        self.at += digits;
        match digits {
            0 => None,
            1..=DIGITS => text.parse().ok(),
            _ => Some(0),
        }
    }
}

/// What may stand between grace notes.
const SILENT_IN_GRACES: &str = " /().~><-uvTMH";
