//! Music that was written as text: ABC notation becomes notes, notes become MIDI and sound.
//!
//! ```text
//! abc  tunes(text) -> Vec<Tune>     reads the notation; what cannot be played is listed in Tune::problems, with its place
//! midi encode(tune)                 a Standard MIDI File
//! synth samples(tune) + wav         a plucked tone of our own, 44.1 kHz mono
//! ```

pub mod abc;
pub mod midi;
pub mod synth;

/// Musical time: parts of a whole note. 40,320 = 2⁷·3²·5·7, so that notes down to 1/128 and tuplets of 3, 5, 6, 7 and 9 of them
/// have whole lengths.
pub type Ticks = u64;

/// A whole note.
pub const WHOLE: Ticks = 40_320;

/// Quarter notes a minute where a tune does not say.
pub const DEFAULT_TEMPO: f64 = 120.0;

/// One tune, ready to be played: repeats are written out, ties joined.
#[derive(Debug, Clone, PartialEq)]
pub struct Tune {
    /// Reference number (`X:`), as written.
    pub number: String,
    /// Title (`T:`); empty where there is none.
    pub title: String,
    /// Beats in a bar and the note that is one beat; `None` for free metre.
    pub meter: Option<(u32, u32)>,
    /// Sharps of the key signature, negative for flats.
    pub sharps: i8,
    /// Is it a minor key?
    pub minor: bool,
    /// The tempo from these places on, in quarter notes a minute; the first place is 0.
    pub tempo: Vec<(Ticks, f64)>,
    /// The notes, by beginning and pitch.
    pub notes: Vec<Note>,
    /// Notes of the chord symbols, to be played softly.
    pub chords: Vec<Note>,
    /// Where the last bar ends.
    pub length: Ticks,
    /// Bars as written, without repeats.
    pub bars: usize,
    /// Bars as written that are longer or shorter than the metre wants, those at the edge of a section left out: upbeats and the
    /// bars they complete are short by right.
    pub uneven: usize,
    /// What could not be read or played, by place.
    pub problems: Vec<Problem>,
}

/// One note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// When it begins.
    pub start: Ticks,
    /// MIDI key number: 60 is middle C.
    pub pitch: u8,
    /// How long it sounds; at least 1.
    pub length: Ticks,
}

/// Something in the notation that was left out or played otherwise than written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the text, from 1.
    pub line: usize,
    /// Character in the line, from 1.
    pub column: usize,
    /// What it is, and what was done about it.
    pub what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, character {}: {}", self.line, self.column, self.what)
    }
}

impl Tune {
    /// Seconds from the beginning to `time`, by the tempo. For many times, [`clock`](Self::clock) is faster.
    pub fn seconds(&self, time: Ticks) -> f64 {
        self.clock().seconds(time)
    }

    /// From time in the tune to seconds.
    pub fn clock(&self) -> Clock {
        let mut seconds = 0.0;
        let pieces = self.tempo.iter().enumerate().map(|(i, &(from, tempo))| {
            let piece = (from, tempo, seconds);
            seconds += self.tempo.get(i + 1).map_or(0.0, |next| Clock::of(next.0.saturating_sub(from), tempo));
            piece
        });
        Clock(pieces.collect())
    }
}

/// From time in a tune to seconds; see [`Tune::clock`].
#[derive(Debug, Clone, PartialEq)]
pub struct Clock(Vec<(Ticks, f64, f64)>);

impl Clock {
    /// Seconds from the beginning to `time`.
    pub fn seconds(&self, time: Ticks) -> f64 {
        let piece = self.0.partition_point(|&(from, ..)| from <= time).saturating_sub(1);
        self.0.get(piece).map_or(0.0, |&(from, tempo, before)| before + Self::of(time.saturating_sub(from), tempo))
    }

    /// Seconds of `ticks` at one tempo, in quarter notes a minute.
    fn of(ticks: Ticks, tempo: f64) -> f64 {
        ticks as f64 / (WHOLE / 4) as f64 * 60.0 / tempo
    }
}
