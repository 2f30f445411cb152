//! DCGAN (Radford, Metz, Chintala 2015), for any size from 16 to 256 pixels a side and any aspect; conditional on a label by
//! concatenation in the generator (Mirza 2014) and projection in the discriminator (Miyato & Koyama 2018).

use super::stack::{Downsampler, SpectralDownsampler, StackConfig, Upsampler, WEIGHT_INIT};
use crate::nn::{BatchNorm, Bias, Linear, Mode, Module, Param, SpectralConv2d, join};
use burn::tensor::Tensor;
use maliang_kernels::Activation;
use serde::{Deserialize, Serialize};

/// The networks' sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DcganConfig {
    /// Length of the latent vector z ~ N(0, 1).
    pub z_dim: usize,
    /// Names of the classes; empty for an unconditional model.
    pub classes: Vec<String>,
    /// The convolutional stacks.
    pub stack: StackConfig,
}

/// z → picture.
#[derive(Debug, Clone)]
pub struct Generator {
    up: Upsampler,
}

impl Generator {
    /// A generator without values.
    pub fn new(config: &DcganConfig) -> Self {
        Self { up: Upsampler::new(&config.stack, config.z_dim + config.classes.len()) }
    }

    /// z `[batch, z_dim]`, labels one-hot `[batch, classes]` → `[batch, height, width, channels]` in [-1, 1].
    pub fn forward(&self, z: Tensor<2>, labels: Option<Tensor<2>>, mode: Mode) -> Tensor<4> {
        self.up.forward(with_labels(z, labels), mode)
    }

    /// See [`first_map`](super::stack::first_map).
    pub(crate) fn first_map(&self) -> Tensor<2> {
        self.up.first_map()
    }

    /// Its batch norms in forward order.
    pub fn norms(&mut self) -> Vec<&mut BatchNorm> {
        self.up.norms()
    }
}

impl Module for Generator {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        self.up.collect(path, into);
    }
}

/// What holds a DCGAN's discriminator in check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalisation {
    /// Batch norm behind all convolutions but the first (Radford 2015).
    #[default]
    Batch,
    /// Every convolution divided by its largest singular value (Miyato 2018): no picture's logit depends on another's.
    Spectral,
}

/// Picture → logit of "real".
#[derive(Debug, Clone)]
pub struct Discriminator {
    down: Down,
    logit: Linear,
    bias: Bias,
    class: Option<Linear>,
}

#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one discriminator is held at a time, never a list of them")]
enum Down {
    Batch(Downsampler),
    Spectral(SpectralDownsampler),
}

impl Discriminator {
    /// A discriminator without values.
    pub fn new(config: &DcganConfig, normalisation: Normalisation) -> Self {
        let features = config.stack.features();
        Self {
            down: match normalisation {
                Normalisation::Batch => Down::Batch(Downsampler::new(&config.stack)),
                Normalisation::Spectral => Down::Spectral(SpectralDownsampler::new(&config.stack)),
            },
            logit: Linear::new(features, 1, WEIGHT_INIT),
            bias: Bias::new(1),
            class: class_layer(config.classes.len(), features),
        }
    }

    /// Pictures `[batch, height, width, channels]`, labels one-hot `[batch, classes]` → logits `[batch]`.
    pub fn forward(&self, x: Tensor<4>, labels: Option<Tensor<2>>) -> Tensor<1> {
        let features = match &self.down {
            Down::Batch(down) => down.forward(x, Mode::Train),
            Down::Spectral(down) => down.forward(x),
        };
        let mut logits = self.bias.forward(self.logit.forward(features.clone()), Activation::Identity);
        if let (Some(class), Some(labels)) = (&self.class, labels) {
            logits = logits + (class.forward(labels) * features).sum_dim(1);
        }
        logits.flatten(0, 1)
    }

    /// Its spectrally normalised convolutions.
    pub(crate) fn spectral(&mut self) -> impl Iterator<Item = &mut SpectralConv2d> {
        let down = match &mut self.down {
            Down::Batch(_) => None,
            Down::Spectral(down) => Some(down.convolutions()),
        };
        down.into_iter().flatten()
    }
}

impl Module for Discriminator {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        match &mut self.down {
            Down::Batch(down) => down.collect(path, into),
            Down::Spectral(down) => down.collect(path, into),
        }
        self.logit.collect(&join(path, "logit"), into);
        self.bias.collect(&join(path, "logit"), into);
        if let Some(class) = &mut self.class {
            class.collect(&join(path, "class"), into);
        }
    }
}

/// What projects a one-hot label onto features (Miyato & Koyama 2018); none without classes.
pub(crate) fn class_layer(classes: usize, features: usize) -> Option<Linear> {
    (classes > 0).then(|| Linear::new(classes, features, WEIGHT_INIT))
}

/// Adds what a class says of a picture, `class(label) · mean of its features`, to each of the picture's logits: logits `[batch,
/// parts]`, features `[batch, height, width, channels]` → `[batch · parts]`.
pub(crate) fn with_class(
    logits: Tensor<2>,
    class: Option<&Linear>,
    labels: Option<Tensor<2>>,
    features: Tensor<4>,
) -> Tensor<1> {
    let (Some(class), Some(labels)) = (class, labels) else { return logits.flatten(0, 1) };
    let [batch, h, w, c] = features.dims();
    let mean = features.reshape([batch, h * w, c]).mean_dim(1).reshape([batch, c]);
    (logits + (class.forward(labels) * mean).sum_dim(1)).flatten(0, 1)
}

/// Appends one-hot labels to latent vectors or features.
pub(crate) fn with_labels(x: Tensor<2>, labels: Option<Tensor<2>>) -> Tensor<2> {
    match labels {
        Some(labels) => Tensor::cat(vec![x, labels], 1),
        None => x,
    }
}
