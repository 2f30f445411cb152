//! What a look at a writer in training shows: held-out bits per byte, and the prompts continued.

use crate::data::text::{Corpus, Tokenizer};
use crate::families::text::{TextModel, Writer};
use crate::judge::{Measure, ScoreName, Side};
use crate::provenance::label::VISIBLE_LABEL;
use crate::run::checkpoint;
use crate::run::config::text::TextTraining;
use crate::run::model_file::{self, TextInfo};
use crate::{Result, files, rng};
use rand::RngExt;
use std::path::Path;

/// Tokens that a score is computed on, at most: a look stays about as long as ten steps of training.
const SCORED: usize = 16 * 1024;
/// Windows that go through the model at once.
const BATCH: usize = 16;
/// Seed of the continuations: their draws never change, so that looks can be compared.
const LOOK_SEED: u64 = 0;
/// Of the continuations: a little bolder than the most likely text, which repeats itself (Holtzman 2020), and calmer than the
/// model's own distribution.
const TEMPERATURE: f32 = 0.8;

/// Windows of held-out text, always the same, side by side without overlap and evenly spread where there are many.
pub(super) struct Windows {
    /// Held out, or trained on where nothing is held out.
    side: Side,
    time: usize,
    tokens: Vec<u32>,
    targets: Vec<u32>,
    /// UTF-8 bytes of all targets.
    bytes: u64,
}

impl Windows {
    /// Of windows that a model of this context can see.
    pub fn of(corpus: &Corpus, context: usize) -> Self {
        let heldout = corpus.heldout_len() >= 2;
        let (side, available) =
            if heldout { (Side::Heldout, corpus.heldout_len()) } else { (Side::Train, corpus.train_len()) };
        let time = context.min(available - 1);
        let whole = (available - 1) / time;
        let count = whole.min((SCORED / time).max(1));
        let (mut tokens, mut targets) = (Vec::new(), Vec::new());
        for i in 0..count {
            let start = i * whole / count * time;
            let window = if heldout { corpus.heldout(start, time + 1) } else { corpus.train(start, time + 1) };
            tokens.extend(&window[..time]);
            targets.extend(&window[1..]);
        }
        let bytes = targets.iter().map(|&token| corpus.tokenizer().bytes(token).len() as u64).sum();
        Self { side, time, tokens, targets, bytes }
    }

    /// Bits a byte of UTF-8, which models of any tokenizer can be compared by, and nats a token.
    ///
    /// The first tokens of a window are predicted from few before them, so both are a little higher than what the model can do
    /// with its whole context.
    pub fn scores(&self, model: &TextModel) -> Vec<(ScoreName, f64)> {
        let part = BATCH * self.time;
        let mut nats = 0.0;
        for (tokens, targets) in self.tokens.chunks(part).zip(self.targets.chunks(part)) {
            let found = model.nats(tokens, targets, tokens.len() / self.time);
            nats += found.iter().map(|&nats| f64::from(nats)).sum::<f64>();
        }
        let bits = nats / std::f64::consts::LN_2 / self.bytes.max(1) as f64;
        let loss = nats / self.targets.len() as f64;
        let name = |measure| ScoreName::Prediction { side: self.side, measure, n: None };
        vec![(name(Measure::BitsPerByte), bits), (name(Measure::Loss), loss)]
    }
}

/// Writes the continuations of the model of a checkpoint, below a sentence that says what they are.
pub(super) fn write_sample(directory: &Path, path: &Path, text: &TextTraining) -> Result<()> {
    let (model, tokenizer, info, _) = model_file::open_text(&directory.join(checkpoint::MODEL_FILE))?;
    let mut page = head(&info);
    let mut writer = model.writer();
    for (i, prompt) in text.prompts.iter().enumerate() {
        let written = continuation(&mut writer, &tokenizer, prompt, i as u64, text.sample_tokens);
        page += &format!("\n\n──── {} ────\n{prompt}{written}", i + 1);
    }
    page.push('\n');
    files::write_bytes(path, page.as_bytes())
}

/// The visible label of GB 45438-2025 for plain text, a sentence at the head, and where the text comes from.
fn head(info: &TextInfo) -> String {
    let TextInfo { name, step, version, .. } = info;
    format!(
        "{VISIBLE_LABEL}: this text was written by the model {name} after {step} steps of training, seed {LOOK_SEED}, \
         temperature {TEMPERATURE} (Maliang {version})."
    )
}

/// What the model writes after `prompt`, to the end of the document or to `most` tokens.
fn continuation(writer: &mut Writer, tokenizer: &Tokenizer, prompt: &str, number: u64, most: usize) -> String {
    writer.reset();
    let mut draws = rng::stream(LOOK_SEED, "sample", number);
    let mut begin = vec![Tokenizer::END];
    begin.extend(tokenizer.encode(prompt));
    let mut token = draw(writer.prefill(&begin), draws.random());
    let mut written = Vec::new();
    while token != Tokenizer::END && written.len() < most {
        written.push(token);
        token = draw(writer.push(token), draws.random());
    }
    tokenizer.decode(&written)
}

/// The token at `place`, from 0 to 1, of the cumulative distribution `softmax(logits / TEMPERATURE)`.
fn draw(logits: &[f32], place: f32) -> u32 {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights = || logits.iter().map(|logit| f64::from((logit - highest) / TEMPERATURE).exp());
    let goal = f64::from(place) * weights().sum::<f64>();
    let mut sum = 0.0;
    let found = weights().position(|weight| {
        sum += weight;
        sum > goal
    });
    found.unwrap_or(logits.len() - 1) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_distribution() {
        // Weights 1, e^(1/0.8) = 3.49, 0: the border lies at 0.223.
        let logits = [0.0, 1.0, f32::NEG_INFINITY];
        let found = [0.0, 0.222, 0.224, 0.999_999].map(|place| draw(&logits, place));
        assert_eq!(found, [0, 0, 1, 1]);
    }
}
