//! DCGAN (Radford, Metz, Chintala 2015), for any size from 16 to 256 pixels a side and any aspect; conditional on a label by
//! concatenation in the generator (Mirza 2014) and projection in the discriminator (Miyato & Koyama 2018).

use super::DcganConfig;
use crate::families::blocks::WEIGHT_INIT;
use crate::families::blocks::labels::{class_layer, with_labels};
use crate::families::blocks::stack::{Downsampler, SpectralDownsampler, Upsampler};
use crate::families::gan::players;
use crate::families::gan::settings::Normalisation;
use crate::nn::{BatchNorm, Bias, Linear, Mode, Module, Param, SpectralConv2d, join};
use burn::tensor::Tensor;
use maliang_kernels::Activation;

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
}

impl players::Generator for Generator {
    fn forward(&self, z: Tensor<2>, labels: Option<Tensor<2>>, mode: Mode) -> Tensor<4> {
        self.up.forward(with_labels(z, labels), mode)
    }

    fn first_map(&self) -> Tensor<2> {
        self.up.first_map()
    }

    fn norms(&mut self) -> Vec<&mut BatchNorm> {
        self.up.norms()
    }
}

impl Module for Generator {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        self.up.collect(path, into);
    }
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
    fn spectral(&mut self) -> impl Iterator<Item = &mut SpectralConv2d> {
        let down = match &mut self.down {
            Down::Batch(_) => None,
            Down::Spectral(down) => Some(down.convolutions()),
        };
        down.into_iter().flatten()
    }
}

impl players::Discriminator for Discriminator {
    fn prepare(&mut self) {
        self.spectral().for_each(SpectralConv2d::prepare);
    }

    fn release(&mut self) {
        self.spectral().for_each(SpectralConv2d::release);
    }

    fn judge(&self, mut seen: Vec<Tensor<4>>, labels: Option<Tensor<2>>) -> Vec<Tensor<1>> {
        vec![self.forward(seen.remove(0), labels)]
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
