//! A judgement of text as people read it: rows of a table, and sentences.

use super::likelihood::FEWEST_TOKENS;
use super::variety::REPEATED;
use super::{Spans, TextJudgement};
use crate::judge::{Measure, REPLICATES, ScoreName, Side, number};

/// One line of the table of scores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextRow {
    /// Its protocol name.
    pub name: String,
    /// The score.
    pub value: String,
    /// Its 95 % interval, or nothing.
    pub interval: String,
    /// What stands beside it.
    pub beside: String,
    /// Whose that is: the n-gram model's, or held-out text's.
    pub whose: String,
}

impl TextJudgement {
    /// The scores in their order.
    pub fn rows(&self) -> Vec<TextRow> {
        let mut rows = Vec::new();
        if let Some(found) = &self.heldout {
            let gram = format!("{}-gram model", found.ngram_order);
            for (measure, e, beside) in [
                (Measure::BitsPerByte, found.bits_per_byte, found.ngram_bits_per_byte),
                (Measure::Perplexity, found.perplexity, found.ngram_perplexity),
            ] {
                let name = ScoreName::Prediction { side: Side::Heldout, measure, n: Some(found.tokens) };
                rows.push(TextRow {
                    name: name.to_string(),
                    value: number(e.value),
                    interval: format!("{} to {}", number(e.low), number(e.high)),
                    beside: number(beside),
                    whose: gram.clone(),
                });
            }
        }
        let (found, other) = (&self.variety.generated, self.variety.heldout.as_ref());
        let mut plain = |name: ScoreName, value: f64, beside: Option<f64>| {
            let beside = beside.map_or(String::new(), number);
            let whose = if beside.is_empty() { "" } else { "held-out text" };
            rows.push(TextRow {
                name: name.to_string(),
                value: number(value),
                interval: String::new(),
                beside,
                whose: whose.into(),
            });
        };
        for n in 1..=found.distinct.len() {
            let units = self.variety.units;
            plain(ScoreName::Distinct { n, units }, found.distinct[n - 1], other.map(|m| m.distinct[n - 1]));
        }
        plain(ScoreName::Repetition { n: REPEATED }, found.repetition, other.map(|m| m.repetition));
        plain(ScoreName::DuplicatePieces, found.duplicates, other.map(|m| m.duplicates));
        rows
    }

    /// The heads of [`copying_rows`](Self::copying_rows).
    pub const COPYING_HEAD: [&str; 5] = ["", "windows found", "copied pieces", "longest", "median"];

    /// One line a set of pieces: whose, windows found, pieces copied by half, longest span, median of the longest spans.
    pub fn copying_rows(&self) -> Vec<[String; 5]> {
        let copying = &self.copying;
        let line = |name: &str, spans: &Spans| {
            [
                name.to_string(),
                format!("{:.1} %", 100.0 * spans.share()),
                format!("{} of {}", spans.copied, spans.pieces),
                spans.longest.to_string(),
                spans.typical.to_string(),
            ]
        };
        let heldout = copying.heldout.as_ref().map(|spans| line("held-out", spans));
        let sets = [Some(line("generated", &copying.generated)), heldout, Some(line("copycat", &copying.copycat))];
        sets.into_iter().flatten().collect()
    }

    /// Whether the controls of the copying report came out as they must.
    pub fn controls(&self) -> String {
        let heldout = match self.copying.heldout_passes {
            Some(true) => "held-out text passes",
            Some(false) => "held-out text does not pass",
            None => "there is too little held-out text to check this with",
        };
        let copycat = if self.copying.copycat_fails { "is caught" } else { "is not caught" };
        format!("{heldout}; a copycat (training text with small edits) {copycat}")
    }

    /// How well it predicts, in a sentence; nothing without held-out text.
    pub fn prediction(&self) -> Option<String> {
        let found = self.heldout.as_ref()?;
        let gain = found.gain;
        let (bits, baseline) = (number(found.bits_per_byte.value), number(found.ngram_bits_per_byte));
        let beside =
            format!("{bits} bits per byte of held-out text; a {}-gram model needs {baseline}", found.ngram_order);
        Some(if found.tokens < FEWEST_TOKENS {
            format!("Too little held-out text to say whether it is better than counting: {beside}.")
        } else if gain.low > 0.0 {
            format!("Better than the 5-gram model: {beside}.")
        } else if gain.high < 0.0 {
            format!("Not yet better than counting: {beside}. Train longer, or a smaller model.")
        } else {
            format!("No better than counting, as far as this text can tell: {beside}.")
        })
    }

    /// What the table needs to be read rightly, a sentence a paragraph.
    pub fn protocol(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(found) = &self.heldout {
            lines.push(format!(
                "{} held-out tokens ({} bytes), each predicted from {} to {} tokens before it. Bits per byte can be compared \
                 between tokenizers, perplexity per token cannot. The {}-gram model (Witten–Bell) has learned from {} training \
                 tokens. Intervals of 95 % by the bootstrap over documents, or stretches of text: {REPLICATES} resamplings.",
                found.tokens,
                found.bytes,
                (found.context / 2).max(1),
                found.context,
                found.ngram_order,
                found.ngram_tokens
            ));
        }
        lines.push(format!(
            "distinct_n: different n-grams of words (single characters in Chinese) over all, of {} words; repetition_4: the share of \
             4-grams that a piece has said before. Beside both stands as much held-out text.",
            self.variety.units
        ));
        lines.push(format!(
            "A window of {} characters is found if it stands in one training document, white space aside. Of windows of 50 \
             characters {:.1} % are.",
            self.copying.window,
            100.0 * self.copying.at_50.share()
        ));
        lines
    }
}
