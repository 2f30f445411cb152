//! Models of text: sequences of tokens, each predicted from those before it. A model knows no tokenizer: its tokens are
//! numbers below its vocabulary.

mod gpt;
mod lstm;
#[cfg(test)]
mod tests;
mod writer;

pub use gpt::{Gpt, GptConfig};
pub use lstm::{Lstm, LstmConfig};
pub use writer::Writer;

use crate::families::family::About;
use crate::makes::Makes;
use crate::nn::{self, Module, Param, host};
use crate::weights::{self, Weights};
use crate::{Error, Result};
use burn::tensor::{Device, Tensor};
use maliang_kernels::text::{self, Tokens};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// Parameters that a model may have: 8 GB of them.
const MOST_PARAMETERS: usize = 2_000_000_000;

/// Which family, and its sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "lowercase")]
pub enum TextModelConfig {
    /// See [`GptConfig`].
    Gpt(GptConfig),
    /// See [`LstmConfig`].
    Lstm(LstmConfig),
}

/// What is said of each family that makes text.
pub const FAMILIES: &[About] = &[
    About {
        makes: Makes::Text,
        name: "gpt",
        summary: "a transformer: the best where a minute budget shows it the text a few times",
        losses: "Nats a token of the training text: the mean cross-entropy.",
        tables: &["text"],
        needs_features: false,
        has_critic: false,
        has_styles: false,
    },
    About {
        makes: Makes::Text,
        name: "lstm",
        summary: "a recurrent network: small, and steady on short texts",
        losses: "Nats a token of the training text: the mean cross-entropy.",
        tables: &["text"],
        needs_features: false,
        has_critic: false,
        has_styles: false,
    },
];

/// What a family of text is built by.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Tokens that there are.
    pub vocabulary: usize,
    /// Tokens of a training window.
    pub context: usize,
    /// Layers.
    pub layers: usize,
    /// Numbers a token.
    pub width: usize,
    /// Probability of dropout.
    pub dropout: f32,
}

/// Layers that a family has whatever the budget, where it is so.
pub fn usual_layers(name: &str) -> Option<usize> {
    (name == "lstm").then_some(2)
}

/// The model of the family called `name`, and its learning rate; nothing where there is none of that name.
pub(crate) fn choose(name: &str, sizes: &Sizes) -> Option<(TextModelConfig, f32)> {
    match name {
        "gpt" => Some(GptConfig::choose(sizes)).map(|(config, lr)| (TextModelConfig::Gpt(config), lr)),
        "lstm" => Some(LstmConfig::choose(sizes)).map(|(config, lr)| (TextModelConfig::Lstm(config), lr)),
        _ => None,
    }
}

impl TextModelConfig {
    /// The family's name.
    pub fn family(&self) -> &'static str {
        match self {
            Self::Gpt(_) => "gpt",
            Self::Lstm(_) => "lstm",
        }
    }

    /// Tokens that there are.
    pub fn vocabulary(&self) -> usize {
        match self {
            Self::Gpt(c) => c.vocabulary,
            Self::Lstm(c) => c.vocabulary,
        }
    }

    /// Tokens of a training window; for a GPT also the most that it can see.
    pub fn context(&self) -> usize {
        match self {
            Self::Gpt(c) => c.context,
            Self::Lstm(c) => c.context,
        }
    }

    /// Numbers that are trained. Sizes may be anything here, so the sum may stop at its largest value.
    pub fn parameters(&self) -> usize {
        match self {
            Self::Gpt(c) => c.parameters(),
            Self::Lstm(c) => c.parameters(),
        }
    }

    /// Checks every number before anything is allocated from it.
    ///
    /// # Errors
    /// One sentence naming the value that is out of range.
    pub fn validate(&self) -> Result<()> {
        let range = |name: &str, value: usize, allowed: RangeInclusive<usize>| {
            if allowed.contains(&value) {
                return Ok(());
            }
            let (low, high) = (allowed.start(), allowed.end());
            Err(Error::input(format!("model.{name} is {value}, but must be between {low} and {high}")))
        };
        range("vocabulary", self.vocabulary(), 2..=1 << 20)?;
        range("context", self.context(), 1..=16_384)?;
        let (layers, width, dropout) = match self {
            Self::Gpt(c) => (c.layers, c.width, c.dropout),
            Self::Lstm(c) => (c.layers, c.width, c.dropout),
        };
        range("layers", layers, 1..=96)?;
        range("width", width, 2..=8192)?;
        if let Self::Gpt(c) = self {
            range("heads", c.heads, 1..=128)?;
            if !width.is_multiple_of(2 * c.heads) {
                return Err(Error::input(format!(
                    "model.width {width} cannot be shared among {} heads: each takes an even number",
                    c.heads
                ))
                .hint(format!("for example --set model.width={}", width.next_multiple_of(2 * c.heads))));
            }
        }
        if !(0.0..=0.9).contains(&dropout) {
            return Err(Error::input(format!("model.dropout is {dropout}, but must be between 0 and 0.9")));
        }
        let parameters = self.parameters();
        if parameters > MOST_PARAMETERS {
            return Err(Error::input(format!(
                "the model would have {parameters} parameters, but at most {MOST_PARAMETERS} are possible"
            ))
            .hint("a smaller model.width or fewer model.layers"));
        }
        Ok(())
    }
}

/// A model of text of any family.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one network is held at a time, never a list of them")]
pub enum TextModel {
    /// A transformer.
    Gpt(Gpt),
    /// A recurrent network.
    Lstm(Lstm),
}

impl TextModel {
    /// The model of `config`, without values: [`nn::initialise`] or [`nn::load`] gives it some.
    ///
    /// # Panics
    /// If the config is not [valid](TextModelConfig::validate).
    pub fn new(config: &TextModelConfig) -> Self {
        match config {
            TextModelConfig::Gpt(config) => Self::Gpt(Gpt::new(config)),
            TextModelConfig::Lstm(config) => Self::Lstm(Lstm::new(config)),
        }
    }

    /// Builds the model of `config` with the values in `weights`.
    ///
    /// # Errors
    /// A config out of range; a missing, surplus or misshapen tensor.
    pub fn load(config: &TextModelConfig, mut weights: Weights, device: &Device) -> Result<Self> {
        config.validate()?;
        let mut model = Self::new(config);
        nn::load(&mut model, &mut weights, "", device)?;
        weights::expect_empty(&weights)?;
        Ok(model)
    }

    /// The values by name.
    pub fn weights(&self) -> Weights {
        let mut weights = Weights::new();
        nn::store(self, &mut weights, "");
        weights
    }

    /// The logits of the token after each of `tokens`, `batch` sequences one after the other: `[tokens, vocabulary]`. `dropout` is
    /// the seed of this pass's masks; none, no dropout.
    fn logits(&self, tokens: &[u32], batch: usize, dropout: Option<u64>) -> Tensor<2> {
        assert!(batch > 0 && tokens.len().is_multiple_of(batch), "{} tokens in {batch} sequences", tokens.len());
        match self {
            Self::Gpt(gpt) => gpt.logits(tokens, batch, dropout),
            Self::Lstm(lstm) => lstm.logits(tokens, batch, dropout),
        }
    }

    /// Mean cross-entropy in nats, `[1]`: `tokens` are `batch` sequences of the same length one after the other, `targets` the
    /// token that follows each of them. `dropout` is the seed of this step's masks; none, no dropout.
    ///
    /// # Panics
    /// If the lengths do not fit, a sequence is longer than a GPT's context, or a token is beyond the vocabulary.
    pub fn loss(&self, tokens: &[u32], targets: &[u32], batch: usize, dropout: Option<u64>) -> Tensor<1> {
        text::cross_entropy(self.logits(tokens, batch, dropout), Tokens::from(targets))
    }

    /// The nats of each target, in full precision and without dropout or gradient. Shapes and panics as
    /// [`loss`](Self::loss).
    pub fn nats(&self, tokens: &[u32], targets: &[u32], batch: usize) -> Vec<f32> {
        host(text::nats(self.inner().logits(tokens, batch, None), Tokens::from(targets)))
    }

    /// Starts writing: packs the weights once; clones of the [`Writer`] share them.
    pub fn writer(&self) -> Writer {
        Writer::new(self)
    }
}

impl Module for TextModel {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        match self {
            Self::Gpt(gpt) => gpt.collect(path, into),
            Self::Lstm(lstm) => lstm.collect(path, into),
        }
    }
}

/// The seed of the masks at one place of a network, from the seed of the pass.
fn seed_at(seed: Option<u64>, place: usize) -> Option<u64> {
    // The golden ratio keeps places apart (Steele 2014); the kernel mixes the bits.
    seed.map(|seed| seed ^ (place as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// Dropout where a pass has a seed.
fn dropped<const D: usize>(x: Tensor<D>, probability: f32, seed: Option<u64>, place: usize) -> Tensor<D> {
    match seed_at(seed, place) {
        Some(seed) => text::dropout(x, probability, seed),
        None => x,
    }
}
