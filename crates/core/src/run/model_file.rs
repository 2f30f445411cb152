//! The single-file model: weights, config and provenance in one `.safetensors`, usable without the run and the data.

mod text;

pub use text::{TextInfo, open_text, save_text};

use crate::families::{Model, ModelConfig};
use crate::makes::Makes;
use crate::weights::{self, Metadata, Weights};
use crate::{Error, Result, files};
use burn::tensor::Device;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The key of the description in the file's metadata.
const KEY: &str = "maliang";
/// Version of the description.
const FORMAT: u32 = 1;

/// What a model file says about itself. It holds nothing of the machine it was made on: no paths and no times, so that
/// the same training gives the same bytes and sharing a model does not tell where the data lay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelInfo {
    /// Version of this description.
    pub format: u32,
    /// Name of the run.
    pub name: String,
    /// Family and sizes.
    pub config: ModelConfig,
    /// Training steps made.
    pub step: u64,
    /// Training pictures shown, repeats counted.
    pub images_seen: u64,
    /// Seed of the run.
    pub seed: u64,
    /// Name of the data source: the last part of its path.
    pub data: String,
    /// Different pictures trained on.
    pub data_pictures: usize,
    /// Fingerprint of the prepared data.
    pub data_fingerprint: String,
    /// Version of Maliang that trained it.
    pub version: String,
}

impl ModelInfo {
    /// The format that this version writes.
    pub fn current_format() -> u32 {
        FORMAT
    }
}

/// Writes the model file, atomically. The same model and description give the same bytes.
///
/// # Errors
/// The disk refused, or a weight is not a finite number.
pub fn save(path: &Path, model: &dyn Model, info: &ModelInfo) -> Result<()> {
    save_described(path, &model.weights(), Metadata::new(), KEY, info)
}

/// Reads a model file: the model on `device`, its description, and the BLAKE3 of the file.
///
/// # Errors
/// The file is missing, damaged, a text model, not a model of ours, or its tensors are not those of its config.
pub fn open(path: &Path, device: &Device) -> Result<(Box<dyn Model>, ModelInfo, String)> {
    let hash = files::blake3_file(path)?;
    let (tensors, metadata) = weights::load(path)?;
    let info: ModelInfo = description(path, &metadata, KEY, FORMAT)?;
    let in_file = |error: Error| Error { message: format!("{}: {}", path.display(), error.message), ..error };
    let model = info.config.load(tensors, device).map_err(in_file)?;
    Ok((model, info, hash))
}

/// What the model in the file at `path` makes. Only its header is read.
///
/// # Errors
/// The file is missing, damaged, or not a model of ours.
pub fn makes(path: &Path) -> Result<Makes> {
    let metadata = weights::load_metadata(path)?;
    match (metadata.contains_key(KEY), metadata.contains_key(text::KEY)) {
        (true, _) => Ok(Makes::Pictures),
        (false, true) => Ok(Makes::Text),
        (false, false) => Err(foreign(path)),
    }
}

fn save_described(
    path: &Path,
    weights: &Weights,
    mut metadata: Metadata,
    key: &str,
    info: &impl Serialize,
) -> Result<()> {
    metadata.insert(key.to_string(), serde_json::to_string(info).expect("a description is plain data"));
    weights::save(path, weights, &metadata)
}

/// The description under `key`.
fn description<T: DeserializeOwned>(path: &Path, metadata: &Metadata, key: &str, current: u32) -> Result<T> {
    let named = |message: String| Error::corrupt(format!("{}: {message}", path.display()));
    let Some(json) = metadata.get(key) else {
        return Err(match key {
            KEY if metadata.contains_key(text::KEY) => {
                Error::input(format!("{} is a model that writes text, not one that makes pictures", path.display()))
                    .hint("`maliang generate MODEL --prompt \"…\"` writes with it")
            }
            text::KEY if metadata.contains_key(KEY) => {
                Error::input(format!("{} is a model that makes pictures, not one that writes text", path.display()))
                    .hint("`maliang generate MODEL -n 64` makes pictures with it")
            }
            _ => foreign(path),
        });
    };
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    match serde_json::from_str::<Version>(json) {
        Ok(Version { format }) if format == current => {}
        Ok(Version { format }) => {
            return Err(named(format!("the model file has format {format}, this program reads {current}"))
                .hint("use the version of Maliang that wrote it, or a newer one"));
        }
        Err(error) => return Err(named(format!("the model's description cannot be read: {error}"))),
    }
    serde_json::from_str(json).map_err(|error| named(format!("the model's description cannot be read: {error}")))
}

fn foreign(path: &Path) -> Error {
    Error::corrupt(format!("{}: a safetensors file, but not a Maliang model (it has no description)", path.display()))
        .hint("give a run directory, a checkpoint directory, or a model.safetensors written by `maliang train`")
}
