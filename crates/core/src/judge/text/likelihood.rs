//! How well a model predicts text that it was not trained on: bits per byte and perplexity, beside those of an n-gram model.
//!
//! Bits per byte, `Σ −log₂ P(token) / bytes of the text`, can be compared between tokenizers and with a compressor; perplexity per
//! token, `exp(mean −ln P)`, only with models of the same tokens. The ends of documents are predicted too, and count in the
//! sum although they have no bytes.
//!
//! Every token is predicted from at least half a context: windows of the model's context overlap by half, and of each but the first
//! only the second half is scored.

use serde::{Deserialize, Serialize};

use super::ngram::{MOST_TOKENS, Ngram, ORDER};
use crate::data::text::{Corpus, Tokenizer};
use crate::judge::draw::resample;
use crate::judge::estimate::Estimate;
use crate::judge::{OnStage, REPLICATES};

/// The nats of each target given the tokens up to its own: tokens, targets (both `[batch × time]`, row by row), batch.
pub type Nats<'a> = &'a dyn Fn(&[u32], &[u32], usize) -> Vec<f32>;

/// Windows that are scored together.
const BATCH: usize = 16;
/// Parts that the bootstrap draws from: from so many on the documents themselves, else stretches of the stream.
const ENOUGH_PARTS: usize = 30;
const STRETCHES: usize = 64;
/// With fewer tokens there is no interval.
pub(super) const FEWEST_TOKENS: usize = 2 * STRETCHES;

/// What was found on held-out text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heldout {
    /// Held-out tokens that were predicted.
    pub tokens: usize,
    /// UTF-8 bytes behind them.
    pub bytes: u64,
    /// Tokens of context that the model had at most.
    pub context: usize,
    /// Bits per byte of the model; the interval over documents (or stretches).
    pub bits_per_byte: Estimate,
    /// Perplexity per token of the model.
    pub perplexity: Estimate,
    /// The order of the n-gram model and the training tokens that it learned from.
    pub ngram_order: usize,
    /// See above.
    pub ngram_tokens: usize,
    /// Bits per byte of the n-gram model.
    pub ngram_bits_per_byte: f64,
    /// Perplexity per token of the n-gram model.
    pub ngram_perplexity: f64,
    /// By how many bits per byte the model is better, the interval over the same draws.
    pub gain: Estimate,
}

/// Scores `most` tokens of the held-out stream at most, evenly spread stretches of it if there are more. Nothing if there is no
/// held-out text.
pub(super) fn heldout(
    nats: Nats,
    corpus: &Corpus,
    context: usize,
    most: usize,
    seed: u64,
    on_stage: OnStage,
) -> Option<Heldout> {
    let stretches = stretches(corpus.heldout_len(), most);
    let tokens: usize = stretches.iter().map(|&(_, length)| length).sum();
    if tokens == 0 {
        return None;
    }
    on_stage("n-grams", 0, 1);
    let (ngram, ngram_tokens) = learn(corpus);
    let (mut model, mut baseline, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    for (start, length) in stretches {
        let stream = corpus.heldout(start, length);
        let before = if start == 0 { Tokenizer::END } else { corpus.heldout(start - 1, 1)[0] };
        baseline.extend(ngram.nats(&stream, before));
        let done = model.len();
        model.extend(predict(nats, &stream, before, context, &|more| on_stage("held-out text", done + more, tokens)));
        targets.extend(stream);
    }
    let parts = parts(&targets, &model, &baseline, corpus.tokenizer());
    Some(summary(&parts, tokens, context, ngram_tokens, seed))
}

/// Start and length of stretches that cover `total` or are spread over it.
fn stretches(total: usize, most: usize) -> Vec<(usize, usize)> {
    let count = if total <= most { 1 } else { 8 };
    let length = total.min(most) / count;
    (0..count).map(|i| (i * total / count, length)).filter(|&(_, length)| length > 0).collect()
}

/// The baseline and how many tokens it has seen.
fn learn(corpus: &Corpus) -> (Ngram, usize) {
    let stretches = stretches(corpus.train_len(), MOST_TOKENS);
    let stream: Vec<u32> = stretches.into_iter().flat_map(|(start, length)| corpus.train(start, length)).collect();
    (Ngram::learn(&stream, corpus.tokenizer().vocabulary()), stream.len())
}

/// The nats of each token of a stream, `before` coming before the first.
fn predict(nats: Nats, stream: &[u32], before: u32, context: usize, on_done: &dyn Fn(usize)) -> Vec<f32> {
    let all = [&[before], stream].concat();
    let (window, step) = (context.min(stream.len()), (context / 2).max(1));
    // Starts of windows; the last one ends with the stream.
    let mut starts: Vec<usize> = (0..=stream.len() - window).step_by(step).collect();
    if starts.last().is_some_and(|&last| last + window < stream.len()) {
        starts.push(stream.len() - window);
    }
    let mut scored = Vec::with_capacity(stream.len());
    for starts in starts.chunks(BATCH) {
        let rows = |shift: usize| -> Vec<u32> {
            starts.iter().flat_map(|&start| &all[start + shift..][..window]).copied().collect()
        };
        let found = nats(&rows(0), &rows(1), starts.len());
        for (&start, row) in starts.iter().zip(found.chunks(window)) {
            // What is scored already stays as it is.
            scored.extend_from_slice(&row[scored.len() - start..]);
        }
        on_done(scored.len());
    }
    scored
}

/// Sums over a document or a stretch.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    tokens: f64,
    bytes: f64,
    model: f64,
    baseline: f64,
}

fn parts(targets: &[u32], model: &[f32], baseline: &[f32], tokenizer: &Tokenizer) -> Vec<Part> {
    let documents = targets.iter().filter(|&&token| token == Tokenizer::END).count();
    let length = targets.len().div_ceil(STRETCHES).max(1);
    let mut parts = vec![Part::default()];
    for (at, &token) in targets.iter().enumerate() {
        let part = parts.last_mut().expect("there is one");
        part.tokens += 1.0;
        part.bytes += tokenizer.bytes(token).len() as f64;
        part.model += f64::from(model[at]);
        part.baseline += f64::from(baseline[at]);
        let ends = if documents >= ENOUGH_PARTS { token == Tokenizer::END } else { (at + 1) % length == 0 };
        if ends && at + 1 < targets.len() {
            parts.push(Part::default());
        }
    }
    parts
}

fn summary(parts: &[Part], tokens: usize, context: usize, ngram_tokens: usize, seed: u64) -> Heldout {
    // Bits per byte of both, and nats per token of the model, with these weights.
    let scores = |weights: &dyn Fn(usize) -> f64| {
        let sum = |pick: fn(&Part) -> f64| -> f64 { (0..parts.len()).map(|i| weights(i) * pick(&parts[i])).sum() };
        let bits = sum(|part| part.bytes).max(1.0) * std::f64::consts::LN_2;
        let (model, baseline) = (sum(|part| part.model), sum(|part| part.baseline));
        let tokens = sum(|part| part.tokens).max(1.0);
        [model / bits, baseline / bits, (model / tokens).exp(), (baseline / tokens).exp()]
    };
    let [bits_per_byte, ngram_bits_per_byte, perplexity, ngram_perplexity] = scores(&|_| 1.0);
    let draws: Vec<[f64; 4]> = (0..REPLICATES as u64)
        .map(|replicate| {
            let weights = resample(parts.len(), seed, "heldout-bootstrap", replicate);
            scores(&|part| f64::from(weights[part]))
        })
        .collect();
    let interval = |value: f64, pick: fn(&[f64; 4]) -> f64| match tokens < FEWEST_TOKENS {
        true => Estimate { value, low: value, high: value },
        false => Estimate::percentile(value, draws.iter().map(pick).collect()),
    };
    Heldout {
        tokens,
        bytes: parts.iter().map(|part| part.bytes as u64).sum(),
        context,
        bits_per_byte: interval(bits_per_byte, |draw| draw[0]),
        perplexity: interval(perplexity, |draw| draw[2]),
        ngram_order: ORDER,
        ngram_tokens,
        ngram_bits_per_byte,
        ngram_perplexity,
        gain: interval(ngram_bits_per_byte - bits_per_byte, |draw| draw[1] - draw[0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn every_token_is_scored_once_with_half_a_context() {
        for (length, context) in [(1, 8), (7, 8), (8, 8), (9, 8), (30, 8), (31, 8), (200, 8), (5, 1), (40, 3)] {
            let stream: Vec<u32> = (1..=length).collect();
            let calls = RefCell::new(0);
            // A model that gives the number of the target as its nats, and whose inputs must be one behind.
            let nats = |tokens: &[u32], targets: &[u32], batch: usize| {
                *calls.borrow_mut() += 1;
                assert!(batch <= BATCH && tokens.len() == targets.len() && tokens.len() / batch <= context);
                assert!(tokens.iter().zip(targets).all(|(&token, &target)| token + 1 == target));
                targets.iter().map(|&target| target as f32).collect()
            };
            let found = predict(&nats, &stream, 0, context, &|_| ());
            assert_eq!(found, stream.iter().map(|&token| token as f32).collect::<Vec<_>>(), "{length} {context}");
            assert!(*calls.borrow() > 0);
        }
    }

    #[test]
    fn stretches_are_spread() {
        assert_eq!(stretches(100, 1000), [(0, 100)]);
        assert_eq!(stretches(1600, 80).len(), 8);
        assert_eq!(stretches(1600, 80)[7], (1400, 10));
        assert!(stretches(0, 80).is_empty());
    }

    #[test]
    fn numbers_of_a_coin() {
        // Each token one byte and ln 2 nats under the model, 2 ln 2 under the baseline: one bit and two bits a byte.
        let part = Part { tokens: 10.0, bytes: 10.0, model: 10.0 * 2f64.ln(), baseline: 20.0 * 2f64.ln() };
        let found = summary(&[part; 40], 400, 8, 1, 7);
        assert!((found.bits_per_byte.value - 1.0).abs() < 1e-12 && (found.ngram_bits_per_byte - 2.0).abs() < 1e-12);
        assert!((found.perplexity.value - 2.0).abs() < 1e-12 && (found.ngram_perplexity - 4.0).abs() < 1e-12);
        assert!((found.gain.low - 1.0).abs() < 1e-9 && (found.gain.high - 1.0).abs() < 1e-9 && found.bytes == 400);
        // Half the parts twice as hard: an interval around the mean.
        let hard = Part { model: 20.0 * 2f64.ln(), ..part };
        let parts: Vec<Part> = (0..40).map(|i| if i % 2 == 0 { part } else { hard }).collect();
        let found = summary(&parts, 400, 8, 1, 7).bits_per_byte;
        assert!(
            (found.value - 1.5).abs() < 1e-12 && found.low < 1.45 && found.high > 1.55 && found.low > 1.2,
            "{found:?}"
        );
    }
}
