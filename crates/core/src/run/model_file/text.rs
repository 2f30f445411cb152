//! The single-file model of text: weights, config, tokenizer and provenance in one `.safetensors`.

use super::{description, save_described};
use crate::data::text::Tokenizer;
use crate::families::text::{TextModel, TextModelConfig};
use crate::weights::{self, Metadata};
use crate::{Error, Result, device, files};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The key of the description in the file's metadata: another one than that of picture models.
pub(super) const KEY: &str = "maliang-text";
/// The key of the tokenizer.
const TOKENIZER: &str = "tokenizer";
/// Version of the description.
pub(super) const FORMAT: u32 = 1;

/// What a text model's file says about itself. As a picture model's it holds nothing of the machine it was made on; of the
/// corpus it holds what the tokenizer has learned, which is its characters or its frequent words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextInfo {
    /// Version of this description.
    pub format: u32,
    /// Name of the model: its data and family.
    pub name: String,
    /// Family and sizes.
    pub config: TextModelConfig,
    /// Training steps made.
    pub step: u64,
    /// Training tokens read, repeats counted.
    pub tokens_seen: u64,
    /// Seed of the run.
    pub seed: u64,
    /// Name of the data source: the last part of its path.
    pub data: String,
    /// Documents of the corpus.
    pub data_documents: usize,
    /// Tokens trained on.
    pub data_tokens: usize,
    /// UTF-8 bytes trained on.
    pub data_bytes: u64,
    /// Fingerprint of the prepared corpus.
    pub data_fingerprint: String,
    /// Version of Maliang that trained it.
    pub version: String,
}

impl TextInfo {
    /// The format that this version writes.
    pub fn current_format() -> u32 {
        FORMAT
    }
}

/// Writes the model file of text, atomically. The same model, tokenizer and description give the same bytes.
///
/// # Errors
/// The disk refused, or a weight is not a finite number.
pub fn save_text(path: &Path, model: &TextModel, tokenizer: &Tokenizer, info: &TextInfo) -> Result<()> {
    let metadata = Metadata::from([(TOKENIZER.to_string(), tokenizer.to_json())]);
    save_described(path, &model.weights(), metadata, KEY, info)
}

/// Reads a model file of text: the model on the processor, its tokenizer, its description, and the BLAKE3 of the file.
///
/// # Errors
/// The file is missing, damaged, a picture model, not a model of ours, its tensors are not those of its config, or its tokenizer
/// has another vocabulary.
pub fn open_text(path: &Path) -> Result<(TextModel, Tokenizer, TextInfo, String)> {
    let hash = files::blake3_file(path)?;
    let (tensors, metadata) = weights::load(path)?;
    let info: TextInfo = description(path, &metadata, KEY, FORMAT)?;
    let in_file = |error: Error| Error { message: format!("{}: {}", path.display(), error.message), ..error };
    let tokenizer = metadata.get(TOKENIZER).ok_or_else(|| Error::corrupt("the model has no tokenizer"));
    let tokenizer = tokenizer.and_then(|json| Tokenizer::from_json(json)).map_err(in_file)?;
    info.config.validate().map_err(in_file)?;
    if tokenizer.vocabulary() != info.config.vocabulary() {
        let (knows, predicts) = (tokenizer.vocabulary(), info.config.vocabulary());
        let message = format!("its tokenizer knows {knows} tokens, but its model predicts {predicts}");
        return Err(in_file(Error::corrupt(message)));
    }
    let model = TextModel::load(&info.config, tensors, &device::cpu()).map_err(in_file)?;
    Ok((model, tokenizer, info, hash))
}
