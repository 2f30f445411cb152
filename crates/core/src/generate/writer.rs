//! A trained model of text, opened and ready to write.

use super::locate;
use super::text::Generation;
use crate::data::text::Tokenizer;
use crate::families::text::{TextModel, Writer};
use crate::provenance::label::{Label, Provenance};
use crate::provenance::recipe::Request;
use crate::provenance::recipe::TextRecipe;
use crate::run::model_file::{self, TextInfo};
use crate::{Error, Result};
use std::path::Path;

/// Unknown characters that a message names.
const NAMED: usize = 10;

/// A model that writes.
#[derive(Debug, Clone)]
pub struct Author {
    /// What the model file says about itself.
    pub info: TextInfo,
    /// BLAKE3 of the model file.
    pub hash: String,
    tokenizer: Tokenizer,
    /// Has read nothing; its clones share the packed weights.
    writer: Writer,
}

/// A piece of text that an [`Author`] is writing.
pub type Piece<'a> = Generation<'a, Writer, Tokenizer>;

impl Author {
    /// Opens a run directory (its best checkpoint, else its newest whole one), a checkpoint directory, or a model file. Also returns
    /// a sentence for each damaged checkpoint that was passed over.
    ///
    /// # Errors
    /// Nothing usable is there, or it is a model of pictures.
    pub fn open(path: &Path) -> Result<(Self, Vec<String>)> {
        Self::open_with_model(path).map(|(author, _, warnings)| (author, warnings))
    }

    /// As [`open`](Self::open), and the model itself, which can say how likely a text is.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with_model(path: &Path) -> Result<(Self, TextModel, Vec<String>)> {
        let ((author, model), warnings) = locate::first(path, |file| {
            let (model, tokenizer, info, hash) = model_file::open_text(file)?;
            let writer = model.writer();
            Ok(((Self { info, hash: hash.clone(), tokenizer, writer }, model), hash))
        })?;
        Ok((author, model, warnings))
    }

    /// A model in memory, as training looks at it: it has no file yet, so its hash is empty.
    pub fn of(model: &TextModel, tokenizer: Tokenizer, info: TextInfo) -> Self {
        Self { info, hash: String::new(), tokenizer, writer: model.writer() }
    }

    /// From text to tokens and back.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The tokens of a prompt.
    ///
    /// # Errors
    /// It has characters that the model has never seen.
    pub fn tokens(&self, prompt: &str) -> Result<Vec<u32>> {
        let unknown = self.tokenizer.unknown(prompt);
        if !unknown.is_empty() {
            let more = if unknown.len() > NAMED { " and others" } else { "" };
            let named: String = unknown.into_iter().take(NAMED).collect();
            return Err(Error::input(format!(
                "the model has never seen these characters of the prompt: {}{more}",
                named.escape_debug()
            ))
            .hint("use characters of its training text"));
        }
        Ok(self.tokenizer.encode(prompt))
    }

    /// Begins piece number `index` of `request`; nothing is computed yet. The prompt is not part of what the piece will give.
    ///
    /// # Errors
    /// See [`Request::check`]; and a prompt with characters that the model has never seen.
    pub fn begin(&self, request: &Request, index: u64) -> Result<Piece<'_>> {
        self.begin_with(&self.tokens(&request.prompt)?, request, index)
    }

    /// As [`begin`](Self::begin), where the [tokens](Self::tokens) of the request's prompt are known already.
    ///
    /// # Errors
    /// See [`Request::check`].
    pub fn begin_with(&self, prompt: &[u32], request: &Request, index: u64) -> Result<Piece<'_>> {
        Generation::new(self.writer.clone(), &self.tokenizer, prompt, request, index)
    }

    /// The provenance of piece `index` of `request`.
    pub fn provenance(&self, label: &Label, request: &Request, index: u64) -> Provenance<TextRecipe> {
        let recipe = TextRecipe {
            model: self.info.name.clone(),
            model_hash: self.hash.clone(),
            index,
            request: request.clone(),
            version: crate::VERSION.to_string(),
        };
        Provenance { label: label.clone(), recipe }
    }
}
