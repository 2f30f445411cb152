//! What repeats a picture or a text: the part of a label that a program reads.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// More tokens than this in one piece are surely a slip of the keyboard.
pub const MOST_TOKENS: usize = 10_000_000;

/// Stop strings, at most, and bytes of one, at most: the text is searched for each of them after every token.
const MOST_STOPS: (usize, usize) = (16, 1000);

/// What repeats a picture, byte for byte, on the machine that made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Name of the model.
    pub model: String,
    /// BLAKE3 of the model file, in hexadecimal.
    pub model_hash: String,
    /// Seed of the random streams.
    pub seed: u64,
    /// Number of the picture under this seed.
    pub index: u64,
    /// How the latent was chosen, in words that the generator understands.
    pub latent: String,
    /// The class asked for, if any.
    pub class: Option<String>,
    /// Truncation ψ; 1 is none.
    pub truncation: f32,
    /// The latent vector itself, where seed and number do not give it: a picture that was given, or one beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub z: Option<Vec<f32>>,
    /// Version of Maliang.
    pub version: String,
}

/// What repeats a text, or music that was written as text, token for token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextRecipe {
    /// Name of the model.
    pub model: String,
    /// BLAKE3 of the model file, in hexadecimal.
    pub model_hash: String,
    /// Number of the piece under its seed.
    pub index: u64,
    /// Prompt, sampling, length, stop strings and seed.
    pub request: Request,
    /// Version of Maliang.
    pub version: String,
}

/// What every recipe has, whatever it repeats.
pub trait Origin: Serialize {
    /// The content id: model hash, seed and index.
    fn content_id(&self) -> String;
    /// Version of Maliang that made it.
    fn version(&self) -> &str;
}

impl Origin for Recipe {
    fn content_id(&self) -> String {
        format!("{}-{}-{}", self.model_hash, self.seed, self.index)
    }

    fn version(&self) -> &str {
        &self.version
    }
}

impl Origin for TextRecipe {
    fn content_id(&self) -> String {
        format!("{}-{}-{}", self.model_hash, self.request.seed, self.index)
    }

    fn version(&self) -> &str {
        &self.version
    }
}

/// What a piece of text is asked to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What the text begins with; may be empty.
    pub prompt: String,
    /// How each token is chosen.
    pub sampling: Sampling,
    /// Tokens made, at most; those of the prompt are not counted.
    pub max_tokens: usize,
    /// The text ends before the first of these; it is not part of the text.
    pub stop: Vec<String>,
    /// Seed of the random stream.
    pub seed: u64,
}

impl Request {
    /// Refuses what cannot be done.
    ///
    /// # Errors
    /// Names the setting, what it is and what it may be.
    pub fn check(&self) -> Result<()> {
        self.sampling.check()?;
        if !(1..=MOST_TOKENS).contains(&self.max_tokens) {
            return Err(Error::input(format!("max-tokens {} is out of range: 1 to {MOST_TOKENS}", self.max_tokens)));
        }
        let (most, longest) = MOST_STOPS;
        if self.stop.len() > most {
            return Err(Error::input(format!("{} stop strings are too many: at most {most}", self.stop.len())));
        }
        if self.stop.iter().any(|stop| stop.is_empty() || stop.len() > longest) {
            return Err(Error::input(format!("a stop string must have 1 to {longest} bytes"))
                .hint("leave it out to let the model end by itself"));
        }
        Ok(())
    }
}

/// How the next token is chosen. The default draws from the model's own distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// T: below 1 more typical, above 1 more surprising, 0 always the likeliest token.
    pub temperature: f32,
    /// Only this many most likely tokens; 0 means no limit.
    pub top_k: usize,
    /// Only the likeliest tokens that together have this probability; 1 means no limit.
    pub top_p: f32,
    /// Only tokens at least this many times as likely as the likeliest; 0 means no limit.
    pub min_p: f32,
    /// Divides the positive logits of tokens that the text already has and multiplies their negative ones; 1 is none.
    ///
    /// Keskar et al. divide logits of either sign, which makes repeating a token with a negative logit likelier; multiplying
    /// those is what later programs do.
    pub repetition_penalty: f32,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0 }
    }
}

impl Sampling {
    /// Refuses settings that mean nothing.
    ///
    /// # Errors
    /// Names the setting, what it is and what it may be.
    pub fn check(&self) -> Result<()> {
        let range = |name: &str, value: f32, ok: bool, may_be: &str, hint: &str| {
            if ok { Ok(()) } else { Err(Error::input(format!("{name} {value} is out of range: {may_be}")).hint(hint)) }
        };
        let Self { temperature, top_p, min_p, repetition_penalty, .. } = *self;
        range(
            "temperature",
            temperature,
            (0.0..=100.0).contains(&temperature),
            "0 to 100",
            "0.7 to 1 is a good start",
        )?;
        range("top-p", top_p, top_p > 0.0 && top_p <= 1.0, "above 0, at most 1", "0.9 leaves out the unlikely tail")?;
        range("min-p", min_p, (0.0..=1.0).contains(&min_p), "0 to 1", "0.05 to 0.1 is a good start")?;
        let penalty = (0.1..=10.0).contains(&repetition_penalty);
        range("repetition penalty", repetition_penalty, penalty, "0.1 to 10", "1.1 to 1.3 is a good start")
    }

    /// The settings that differ from the defaults, as flags of the command line; empty where none does.
    pub fn flags(&self) -> String {
        let d = Self::default();
        let flags = [
            (self.temperature != d.temperature, format!("--temperature {}", self.temperature)),
            (self.top_k != d.top_k, format!("--top-k {}", self.top_k)),
            (self.top_p != d.top_p, format!("--top-p {}", self.top_p)),
            (self.min_p != d.min_p, format!("--min-p {}", self.min_p)),
            (
                self.repetition_penalty != d.repetition_penalty,
                format!("--repetition-penalty {}", self.repetition_penalty),
            ),
        ];
        flags.into_iter().filter_map(|(given, flag)| given.then_some(flag)).collect::<Vec<_>>().join(" ")
    }
}
