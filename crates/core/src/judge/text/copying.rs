//! The copying report for text: how much of what was generated stands word for word in the training text?
//!
//! A window of text is found if it stands in one training document exactly, but for the kind and amount of white space. How long
//! a window must be to mean something depends on the text: fifty characters are rarely the same by chance in English prose and more than
//! a whole poem in Chinese. So the window is the shortest length of a ladder that half of the held-out text rarely shows (at
//! most 1 % of its windows are in the training text), and two controls follow: the other half of the held-out text must pass, and
//! a copycat that pastes training text with small edits must fail. Otherwise there is no verdict.

use serde::{Deserialize, Serialize};

use super::automaton::{Automaton, Matcher};
use crate::data::text::Corpus;
use crate::judge::Verdict;
use crate::{Result, rng};
use rand::RngExt;

/// Windows that are tried, in characters.
const LADDER: [usize; 9] = [12, 16, 24, 32, 50, 75, 100, 150, 200];
/// The window of windows, where there is nothing to choose one by; always reported as well.
pub const STANDARD: usize = 50;
/// Held-out windows that may be in the training text for a window to be chosen.
const RARELY: f64 = 0.01;
/// With fewer windows a length has not been tried.
const FEWEST_WINDOWS: usize = 30;
/// More windows than this, and than so many times those of held-out text, are no chance.
const CLOSE: f64 = 0.02;
const TIMES: f64 = 3.0;
/// From this share of windows on, or of pieces that are copied by half, a model copies.
const COPIES: f64 = 0.25;
const COPIED_PIECES: f64 = 0.1;
const BY_HALF: f64 = 0.5;
/// The copycat changes one character in so many, and one in each piece at least.
const EDITS: usize = 100;
/// Characters of a set that are looked at, at most, and with fewer held-out pieces than this nothing can be compared.
const MOST_CHARACTERS: usize = 1 << 20;
const ENOUGH_PIECES: usize = 4;
/// Passages that are shown, and the characters of one that are.
const SHOWN: usize = 20;
const SHOWN_CHARACTERS: usize = 200;

/// What was found of one set of pieces.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spans {
    /// Pieces.
    pub pieces: usize,
    /// Windows in them.
    pub windows: usize,
    /// Windows that stand in the training text.
    pub found: usize,
    /// Pieces at least half of whose windows do.
    pub copied: usize,
    /// Characters of the longest span that stands in the training text.
    pub longest: usize,
    /// The median over the pieces of their longest spans.
    pub typical: usize,
}

impl Spans {
    /// Share of windows that stand in the training text.
    pub fn share(&self) -> f64 {
        self.found as f64 / self.windows.max(1) as f64
    }

    fn copied_share(&self) -> f64 {
        self.copied as f64 / self.pieces.max(1) as f64
    }
}

/// A span of a generated piece that stands in the training text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passage {
    /// Number of the piece.
    pub piece: usize,
    /// Its characters.
    pub length: usize,
    /// The first 200 of them.
    pub text: String,
}

/// The copying report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextCopying {
    /// Nothing where a control did not come out as it must.
    pub verdict: Option<Verdict>,
    /// The same in words.
    pub words: String,
    /// Characters of a window, chosen by the held-out text.
    pub window: usize,
    /// Does held-out text pass? Nothing where there is too little to ask.
    pub heldout_passes: Option<bool>,
    /// Does the copycat fail?
    pub copycat_fails: bool,
    /// The generated pieces.
    pub generated: Spans,
    /// Held-out text in pieces of the same length: the half that the window was not chosen by.
    pub heldout: Option<Spans>,
    /// Training text with small edits.
    pub copycat: Spans,
    /// The generated pieces in windows of 50 characters, for comparison.
    pub at_50: Spans,
    /// The longest spans, each piece once, longest first.
    pub passages: Vec<Passage>,
}

/// The characters of a piece, each run of white space as one space.
fn symbols(text: &str) -> Vec<u32> {
    let mut symbols = Vec::new();
    Folding::default().push(text, &mut |symbol| symbols.push(symbol));
    symbols
}

/// Folds white space of a text that comes in parts.
#[derive(Default)]
struct Folding {
    in_space: bool,
}

impl Folding {
    fn push(&mut self, text: &str, take: &mut dyn FnMut(u32)) {
        for c in text.chars() {
            let space = c.is_whitespace();
            if !space {
                take(u32::from(c));
            } else if !self.in_space {
                take(u32::from(' '));
            }
            self.in_space = space;
        }
    }
}

/// Makes the report of these generated pieces.
pub(super) fn report(generated: &[String], heldout: &[String], corpus: &Corpus, seed: u64) -> Result<TextCopying> {
    let mut sets = Sets::default();
    let generated: Vec<Vec<u32>> = generated.iter().map(|piece| symbols(piece)).collect();
    let length = (generated.iter().map(Vec::len).sum::<usize>() / generated.len().max(1)).max(1);
    let generated = sets.add(generated);
    // Held-out pieces as long as the generated ones, by turns for choosing and for the control.
    let pieces = heldout.iter().flat_map(|text| symbols(text).chunks(length).map(<[u32]>::to_vec).collect::<Vec<_>>());
    let (choosing, control): (Vec<_>, Vec<_>) = pieces.enumerate().partition(|(number, _)| number % 2 == 0);
    let strip = |numbered: Vec<(usize, Vec<u32>)>| numbered.into_iter().map(|(_, piece)| piece).collect::<Vec<_>>();
    let enough = control.len() >= ENOUGH_PIECES;
    let (choosing, control) = (sets.add(strip(choosing)), sets.add(strip(control)));
    let copycat = sets.add(copycat(corpus, generated.len(), length, seed)?);
    let lengths = sets.search(corpus)?;

    let fits = |&window: &usize| {
        let spans = measure(&choosing, &lengths, window);
        spans.windows >= FEWEST_WINDOWS && spans.share() <= RARELY
    };
    let chosen = if enough { LADDER.into_iter().find(fits) } else { Some(STANDARD) };
    let window = chosen.unwrap_or(LADDER[LADDER.len() - 1]);
    let spans = |set: &[Piece]| measure(set, &lengths, window);
    let reference = enough.then(|| spans(&choosing));
    let verdict = |set: &Spans| verdict(set, reference.as_ref());
    let (of_generated, of_copycat) = (spans(&generated), spans(&copycat));
    let of_control = enough.then(|| spans(&control));
    let heldout_passes = of_control.as_ref().map(|set| chosen.is_some() && verdict(set) == Verdict::Clean);
    let copycat_fails = verdict(&of_copycat) != Verdict::Clean;
    let controlled = heldout_passes != Some(false) && copycat_fails;
    let mut copying = TextCopying {
        verdict: controlled.then(|| verdict(&of_generated)),
        words: String::new(),
        window,
        heldout_passes,
        copycat_fails,
        generated: of_generated,
        heldout: of_control,
        copycat: of_copycat,
        at_50: measure(&generated, &lengths, STANDARD),
        passages: sets.passages(&generated, &lengths),
    };
    copying.words = words(&copying);
    Ok(copying)
}

/// Where a piece lies among the symbols of all sets.
type Piece = std::ops::Range<usize>;

/// All pieces that are looked for, one behind the other, each closed by a symbol of its own.
#[derive(Default)]
struct Sets {
    all: Vec<u32>,
    pieces: u32,
}

/// Symbols from here on are not characters.
const BEYOND_CHARACTERS: u32 = 0x11_0000;

impl Sets {
    fn add(&mut self, pieces: Vec<Vec<u32>>) -> Vec<Piece> {
        let mut left = MOST_CHARACTERS;
        let mut places = Vec::new();
        for piece in pieces {
            if piece.len() > left {
                break;
            }
            left -= piece.len();
            let start = self.all.len();
            self.all.extend(piece);
            places.push(start..self.all.len());
            self.all.push(BEYOND_CHARACTERS + self.pieces);
            self.pieces += 1;
        }
        places
    }

    /// For each place, the length of the longest span that ends there and stands in the training text.
    fn search(&self, corpus: &Corpus) -> Result<Vec<u32>> {
        let automaton = Automaton::new(&self.all);
        let mut matcher = Matcher::new(&automaton);
        let mut folding = Folding::default();
        corpus.for_each_training_text(&mut |text| match text {
            Some(text) => folding.push(text, &mut |symbol| matcher.push(symbol)),
            None => {
                matcher.part();
                folding = Folding::default();
            }
        });
        Ok(matcher.finish())
    }

    fn passages(&self, pieces: &[Piece], lengths: &[u32]) -> Vec<Passage> {
        let mut longest: Vec<(usize, usize, usize)> = pieces
            .iter()
            .enumerate()
            .filter_map(|(number, piece)| {
                let end = piece.clone().max_by_key(|&at| (lengths[at], std::cmp::Reverse(at)))?;
                Some((lengths[end] as usize, number, end))
            })
            .collect();
        longest.sort_by_key(|&(length, number, _)| (std::cmp::Reverse(length), number));
        longest.truncate(SHOWN);
        let text = |end: usize, length: usize| {
            let span = &self.all[end + 1 - length..=end];
            span.iter().take(SHOWN_CHARACTERS).filter_map(|&symbol| char::from_u32(symbol)).collect()
        };
        longest.into_iter().map(|(length, piece, end)| Passage { piece, length, text: text(end, length) }).collect()
    }
}

fn measure(pieces: &[Piece], lengths: &[u32], window: usize) -> Spans {
    let mut spans = Spans { pieces: pieces.len(), windows: 0, found: 0, copied: 0, longest: 0, typical: 0 };
    let mut longest: Vec<usize> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        // The windows that end at each place from the first full one.
        let ends = lengths.get(piece.start + window - 1..piece.end).unwrap_or_default();
        let found = ends.iter().filter(|&&length| length as usize >= window).count();
        spans.windows += ends.len();
        spans.found += found;
        spans.copied += usize::from(!ends.is_empty() && found as f64 >= BY_HALF * ends.len() as f64);
        longest.push(lengths[piece.clone()].iter().copied().max().unwrap_or(0) as usize);
    }
    longest.sort_unstable();
    spans.longest = longest.last().copied().unwrap_or(0);
    spans.typical = longest.get(longest.len() / 2).copied().unwrap_or(0);
    spans
}

fn verdict(set: &Spans, heldout: Option<&Spans>) -> Verdict {
    let share = heldout.map_or(0.0, Spans::share);
    let copied = heldout.map_or(0.0, Spans::copied_share);
    if set.share() <= CLOSE.max(TIMES * share) {
        Verdict::Clean
    } else if set.share() >= COPIES || set.copied_share() > COPIED_PIECES.max(TIMES * copied) {
        Verdict::Copies
    } else {
        Verdict::Close
    }
}

/// `count` pieces of `length` characters of the training text, one character in a hundred replaced by another of it.
fn copycat(corpus: &Corpus, count: usize, length: usize, seed: u64) -> Result<Vec<Vec<u32>>> {
    // Enough tokens for the characters, whatever a token is; of a piece that crosses a border the larger part is kept.
    let mut pieces = Vec::with_capacity(count);
    let tokens = (4 * length + 4).min(corpus.train_len());
    for number in 0..count {
        let mut rng = rng::stream(seed, "text-copycat", number as u64);
        let start = rng.random_range(0..=corpus.train_len() - tokens);
        let window = corpus.train(start, tokens);
        let documents = window.split(|&token| token == crate::data::text::Tokenizer::END);
        let longest = documents.max_by_key(|document| document.len()).unwrap_or_default();
        let text = corpus.tokenizer().decode(longest);
        let mut piece = symbols(text.trim_matches('\u{fffd}'));
        piece.truncate(length);
        if piece.is_empty() {
            continue;
        }
        for _ in 0..piece.len().div_ceil(EDITS) {
            let (at, from) = (rng.random_range(0..piece.len()), rng.random_range(0..piece.len()));
            piece[at] = piece[from];
        }
        pieces.push(piece);
    }
    Ok(pieces)
}

/// The verdict as a person would say it.
fn words(copying: &TextCopying) -> String {
    let TextCopying { window, generated, heldout, .. } = copying;
    let percent = |spans: &Spans| format!("{:.1} %", 100.0 * spans.share());
    let beside = heldout.as_ref().map_or(String::new(), |set| format!(" (held-out text: {})", percent(set)));
    let count = format!(
        "{} of the windows of {window} characters stand in the training text{beside}, the longest span has {} characters",
        percent(generated),
        generated.longest
    );
    let unheld = match copying.heldout_passes {
        None => " There is too little held-out text to compare with, so the window is the usual one.",
        Some(_) => "",
    };
    match copying.verdict {
        Some(Verdict::Clean) => format!("No sign of copying: {count}.{unheld}"),
        Some(Verdict::Close) => {
            format!("More of it stands in the training text than chance allows: {count}. Look at the passages.{unheld}")
        }
        Some(Verdict::Copies) => format!(
            "It copies: {count}. Do not publish what must not be traced to its source; train shorter, a smaller model, on more \
             text, or with dropout.{unheld}"
        ),
        None if !copying.copycat_fails => {
            "No verdict: training text with small edits was not recognised as copied. The pieces are too short to tell."
                .into()
        }
        None => {
            "No verdict: held-out text itself stands in the training text. The data holds the same passages several \
                 times."
                .into()
        }
    }
}
