//! Writing text with a language model, token by token.
//!
//! A piece begins with the end-of-document token, as every document of the training data does, and the prompt; then tokens are
//! drawn one by one until the model ends the document, a stop string appears or the piece is long enough. Every draw comes
//! from the stream `text` of the seed and the number of the piece, so piece 3 of a seed is the same whether 4 or 400 are asked
//! for. The text comes out as it is made, in whole characters.

use super::sampling::Chooser;
use super::stream::TextStream;
use crate::data::text::Tokenizer;
use crate::error::Result;
use crate::families::text::Writer;
use crate::provenance::recipe::Request;
use crate::rng;
use rand_chacha::ChaCha8Rng;

/// What predicts the next token from those before.
pub trait Predictor {
    /// Forgets all tokens.
    fn reset(&mut self);
    /// Takes many tokens at once; the logits of the token behind the last of them, one a token of the vocabulary.
    fn prefill(&mut self, tokens: &[u32]) -> &[f32];
    /// Takes one more token; the logits of the one behind it.
    fn push(&mut self, token: u32) -> &[f32];
    /// The logits of before.
    fn logits(&self) -> &[f32];
    /// Has each of several take a token of its own, as [`push`](Self::push) of each would.
    fn push_each(predictors: &mut [&mut Self], tokens: &[u32]) {
        for (predictor, &token) in predictors.iter_mut().zip(tokens) {
            predictor.push(token);
        }
    }
}

impl Predictor for Writer {
    fn reset(&mut self) {
        Writer::reset(self);
    }

    fn prefill(&mut self, tokens: &[u32]) -> &[f32] {
        Writer::prefill(self, tokens)
    }

    fn push(&mut self, token: u32) -> &[f32] {
        Writer::push(self, token)
    }

    fn logits(&self) -> &[f32] {
        Writer::logits(self)
    }

    fn push_each(predictors: &mut [&mut Self], tokens: &[u32]) {
        Writer::push_each(predictors, tokens);
    }
}

/// What tokens stand for.
pub trait Vocabulary {
    /// The UTF-8 bytes of `token`; a token may begin or end inside a character.
    fn bytes(&self, token: u32) -> &[u8];
}

impl Vocabulary for Tokenizer {
    fn bytes(&self, token: u32) -> &[u8] {
        Tokenizer::bytes(self, token)
    }
}

/// Why a piece ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// The model ended the document.
    End,
    /// This stop string was about to appear.
    Stop(String),
    /// The piece has as many tokens as were asked for.
    Length,
}

impl Finish {
    /// As APIs name it: "end", "stop" or "length".
    pub fn name(&self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Stop(_) => "stop",
            Self::Length => "length",
        }
    }
}

/// A piece of text in the making.
#[derive(Debug)]
pub struct Generation<'a, P, V> {
    predictor: P,
    vocabulary: &'a V,
    prompt: Vec<u32>,
    chooser: Chooser,
    stream: TextStream,
    stop: Vec<String>,
    rng: ChaCha8Rng,
    /// The newest token, which the predictor has not taken yet.
    newest: Option<u32>,
    made: usize,
    most: usize,
    finish: Option<Finish>,
}

impl<'a, P: Predictor, V: Vocabulary> Generation<'a, P, V> {
    /// Piece number `index` of a request. `prompt` are the tokens of its prompt. Nothing is computed yet.
    ///
    /// # Errors
    /// See [`Request::check`].
    pub fn new(predictor: P, vocabulary: &'a V, prompt: &[u32], request: &Request, index: u64) -> Result<Self> {
        request.check()?;
        let mut chooser = Chooser::new(request.sampling);
        prompt.iter().for_each(|&token| chooser.saw(token));
        Ok(Self {
            predictor,
            vocabulary,
            prompt: [&[Tokenizer::END], prompt].concat(),
            chooser,
            stream: TextStream::new(request.stop.clone()),
            stop: request.stop.clone(),
            rng: rng::stream(request.seed, "text", index),
            newest: None,
            made: 0,
            most: request.max_tokens,
            finish: None,
        })
    }

    /// The next stretch of text, never empty, or nothing when the piece has ended.
    ///
    /// # Errors
    /// The model's predictions are not numbers.
    #[expect(clippy::should_implement_trait, reason = "an iterator of results would go on after an error")]
    pub fn next(&mut self) -> Result<Option<String>> {
        while self.finish.is_none() {
            let text = self.step()?;
            if !text.is_empty() {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// One token more of each piece that has not ended: the text that it settles, which may be none. Pieces get what
    /// [`next`](Self::next) of each would give; a model reads its weights once for all of its pieces.
    ///
    /// # Errors
    /// Of a piece, as [`next`](Self::next).
    pub fn step_each(pieces: &mut [&mut Self]) -> Vec<Result<String>> {
        let (mut predictors, mut tokens) = (Vec::new(), Vec::new());
        for piece in pieces.iter_mut() {
            if let Some(token) = piece.unread() {
                predictors.push(&mut piece.predictor);
                tokens.push(token);
            }
        }
        P::push_each(&mut predictors, &tokens);
        pieces.iter_mut().map(|piece| if piece.finish.is_none() { piece.settle() } else { Ok(String::new()) }).collect()
    }

    /// All that is left to come.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn rest(&mut self) -> Result<String> {
        let mut all = String::new();
        while let Some(text) = self.next()? {
            all += &text;
        }
        Ok(all)
    }

    /// Lets a piece that was cut off at its length go on for up to `tokens` more. Returns whether it can: a document that has
    /// ended cannot.
    pub fn extend(&mut self, tokens: usize) -> bool {
        if self.finish == Some(Finish::Length) {
            self.finish = None;
            self.most = self.made.saturating_add(tokens);
        }
        self.finish.is_none()
    }

    /// Why the piece ended, if it has.
    pub fn finish(&self) -> Option<&Finish> {
        self.finish.as_ref()
    }

    /// Tokens made so far, one that ended the document among them.
    pub fn tokens(&self) -> usize {
        self.made
    }

    /// Makes one token; the text that it settles.
    fn step(&mut self) -> Result<String> {
        if let Some(token) = self.unread() {
            self.predictor.push(token);
        }
        self.settle()
    }

    /// The token that the predictor must take before the next one is chosen, if one is wanted; at the beginning there is none, and it
    /// takes the prompt.
    fn unread(&mut self) -> Option<u32> {
        let wanted = self.finish.is_none() && self.made < self.most;
        if wanted && self.newest.is_none() {
            self.predictor.reset();
            self.predictor.prefill(&self.prompt);
        }
        self.newest.filter(|_| wanted)
    }

    /// Chooses a token by the newest logits; the text that it settles.
    fn settle(&mut self) -> Result<String> {
        if self.made >= self.most {
            self.finish = Some(Finish::Length);
            return Ok(self.stream.flush(false));
        }
        let token = self.chooser.choose(self.predictor.logits(), &mut self.rng)?;
        self.newest = Some(token);
        self.made += 1;
        if token == Tokenizer::END {
            self.finish = Some(Finish::End);
            return Ok(self.stream.flush(true));
        }
        self.chooser.saw(token);
        let shown = self.stream.push(self.vocabulary.bytes(token));
        self.finish = shown.stopped.map(|i| Finish::Stop(self.stop[i].clone()));
        Ok(shown.text)
    }
}

#[cfg(test)]
mod tests;
