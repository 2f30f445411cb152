//! The baseline: a 5-gram model with Witten–Bell smoothing, so that bits per byte mean something.
//!
//! `P(w|h) = (c(h, w) + t(h) · P(w|h′)) / (c(h) + t(h))`, where c counts occurrences in the training stream, t(h) is the number of
//! different tokens seen after h, and h′ is h without its oldest token; below the empty context stands 1/V (Witten & Bell 1991, their
//! method C; Bell, Cleary & Witten 1990).
//!
//! Counts are looked up, not stored: all 5-grams of the stream, packed into 128 bits each, lie in one sorted array, in which
//! those that begin with h are a range. 16 bytes a token, 8 million tokens at most.

use std::collections::HashMap;
use std::ops::Range;

use rayon::prelude::*;

/// Tokens of an n-gram.
pub const ORDER: usize = 5;
/// Bits of a token: 5 · 24 fit 128.
const BITS: usize = 24;
/// Tokens that are learned from, at most.
pub(super) const MOST_TOKENS: usize = 8 << 20;

/// The model.
#[derive(Debug)]
pub struct Ngram {
    /// Sorted.
    grams: Vec<u128>,
    vocabulary: usize,
}

impl Ngram {
    /// Learned from a stream of tokens below `vocabulary`, itself below 2²⁴.
    pub fn learn(stream: &[u32], vocabulary: usize) -> Self {
        let mut grams: Vec<u128> = stream.par_windows(ORDER).map(|gram| pack(gram) << shift(ORDER)).collect();
        grams.par_sort_unstable();
        Self { grams, vocabulary }
    }

    /// −ln P of each token of `stream` after those before it; `before` comes before the first.
    pub fn nats(&self, stream: &[u32], before: u32) -> Vec<f32> {
        let all = [&[before], stream].concat();
        let parts: Vec<usize> = (1..all.len()).step_by(PART).collect();
        let nats = |&first: &usize| {
            let mut seen = HashMap::new();
            let end = (first + PART).min(all.len());
            let one =
                |at: usize| -self.probability(&all[at.saturating_sub(ORDER - 1)..at], all[at], &mut seen).ln() as f32;
            (first..end).map(one).collect::<Vec<f32>>()
        };
        parts.par_iter().flat_map_iter(nats).collect()
    }

    /// P(`token` | `context`), the newest token of the context last. `seen` keeps c and t of contexts that were met.
    fn probability(&self, context: &[u32], token: u32, seen: &mut Seen) -> f64 {
        let mut p = 1.0 / self.vocabulary as f64;
        for length in 0..=context.len().min(ORDER - 1) {
            let history = &context[context.len() - length..];
            let (range, types) = seen.entry((length, pack(history))).or_insert_with(|| self.history(history)).clone();
            if range.is_empty() {
                break;
            }
            let together = self.range(range.clone(), &[history, &[token]].concat()).len() as f64;
            let types = f64::from(types);
            p = (together + types * p) / (range.len() as f64 + types);
        }
        p
    }

    /// Where the n-grams that begin with `history` lie, and how many different tokens follow it.
    fn history(&self, history: &[u32]) -> (Range<usize>, u32) {
        let range = self.range(0..self.grams.len(), history);
        let (mut at, mut types) = (range.start, 0);
        let shift = shift(history.len() + 1);
        while at < range.end {
            let token = self.grams[at] >> shift;
            at += self.grams[at..range.end].partition_point(|gram| gram >> shift == token);
            types += 1;
        }
        (range, types)
    }

    /// The part of `within` that begins with `prefix`.
    fn range(&self, within: Range<usize>, prefix: &[u32]) -> Range<usize> {
        if prefix.is_empty() {
            return within;
        }
        let (key, shift) = (pack(prefix), shift(prefix.len()));
        let grams = &self.grams[within.clone()];
        let start = grams.partition_point(|gram| gram >> shift < key);
        let length = grams[start..].partition_point(|gram| gram >> shift == key);
        within.start + start..within.start + start + length
    }
}

/// Tokens that are scored as one.
const PART: usize = 4096;

/// c(h) as a range, and t(h), by length and packed history.
type Seen = HashMap<(usize, u128), (Range<usize>, u32)>;

/// The tokens in one number, the first highest.
fn pack(tokens: &[u32]) -> u128 {
    tokens.iter().fold(0, |packed, &token| packed << BITS | u128::from(token))
}

/// Bits below the first `length` tokens of a packed n-gram.
fn shift(length: usize) -> usize {
    BITS * (ORDER - length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng;
    use rand::RngExt;

    /// The formula with counts of every context in turn, from the 5-grams of the stream as the model sees them.
    fn plainly(stream: &[u32], vocabulary: usize, context: &[u32], token: u32) -> f64 {
        let mut p = 1.0 / vocabulary as f64;
        for length in 0..=context.len().min(ORDER - 1) {
            let history = &context[context.len() - length..];
            let grams = || stream.windows(ORDER).filter(|gram| gram.starts_with(history));
            let types: std::collections::BTreeSet<u32> = grams().map(|gram| gram[length]).collect();
            if types.is_empty() {
                break;
            }
            let together = grams().filter(|gram| gram[length] == token).count() as f64;
            p = (together + types.len() as f64 * p) / (grams().count() as f64 + types.len() as f64);
        }
        p
    }

    #[test]
    fn as_the_formula_says_and_everything_sums_to_one() {
        let mut rng = rng::stream(3, "ngram", 0);
        let stream: Vec<u32> = (0..300).map(|_| rng.random_range(0..7u32).min(rng.random_range(0..7))).collect();
        let model = Ngram::learn(&stream, 9);
        for at in (0..290).step_by(7) {
            let context = &stream[at..at + at % 6];
            let p = |token| model.probability(context, token, &mut HashMap::new());
            assert!(((0..9).map(p).sum::<f64>() - 1.0).abs() < 1e-12);
            for token in 0..9 {
                assert!((p(token) - plainly(&stream, 9, context, token)).abs() < 1e-12, "{context:?} {token}");
            }
        }
        let nats = model.nats(&stream, 0);
        let third = plainly(&stream, 9, &[0, stream[0], stream[1]], stream[2]);
        assert!((f64::from(nats[2]) + third.ln()).abs() < 1e-6 && nats.len() == 300);
    }

    #[test]
    fn by_hand() {
        // Two 5-grams, 1 2 1 2 1 and 2 1 2 1 3: c() = 2, t() = 2, so P(1) = (1 + 2/4) / 4; after 1 came 2, once:
        // P(2|1) = (1 + 1 · P(2)) / 2.
        let model = Ngram::learn(&[1, 2, 1, 2, 1, 3], 4);
        let p = |context: &[u32], token| model.probability(context, token, &mut HashMap::new());
        assert_eq!((p(&[], 1), p(&[], 3)), (0.375, 0.125));
        assert_eq!(p(&[1], 2), (1.0 + 0.375) / 2.0);
        assert_eq!(p(&[3], 1), 0.375, "an unseen context says nothing");
        assert_eq!(Ngram::learn(&[1, 2], 4).nats(&[3], 0), [4f32.ln()], "nothing learned: 1/V");
    }
}
