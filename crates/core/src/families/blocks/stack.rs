//! The two convolutional stacks that DCGAN and VAE share: numbers up to a picture, a picture down to features.

use super::residual::ResidualBlock;
use super::{GAMMA_INIT, WEIGHT_INIT};
use crate::families::family::{FINEST, Frame, Shape, Takes, check_size};
use crate::families::settings::check_ranges;
use crate::nn::{
    BatchNorm, Bias, Conv2d, Conv2dBias, ConvTranspose2d, Linear, Mode, Module, Param, SpectralConv2d, UpConv2d, join,
};
use crate::{Error, Result};
use burn::tensor::Tensor;
use maliang_kernels::{Activation, Conv2dOptions, Precision};
use serde::{Deserialize, Serialize};

/// Kernel 4, stride 2, padding 1: halves a height or width, rounding down.
const KERNEL: usize = 4;
pub(crate) const HALVE: Conv2dOptions = Conv2dOptions { stride: 2, padding: 1, precision: Precision::F32 };

/// Size and widths of a convolutional stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackConfig {
    /// Picture height in pixels.
    pub height: usize,
    /// Picture width in pixels.
    pub width: usize,
    /// 1 grey, 3 colour.
    pub channels: usize,
    /// Channels at half the picture's size; they double with every further halving, up to eight times this.
    pub base: usize,
}

impl StackConfig {
    /// Pictures a second that two cores show in training of networks of two such stacks; lab L-07 and L-31. A step passes about ten times
    /// through either (three forward, seven gradients).
    pub fn speed(&self) -> f64 {
        140e9 / (self.cost().0 * 10.0)
    }

    /// Checks the sizes of a model of this stack, from a latent vector and one of these classes, if there are any.
    ///
    /// # Errors
    /// One sentence naming the value that is out of range.
    pub fn validate(&self, z_dim: usize, classes: &[String]) -> Result<()> {
        let Self { height, width, channels, base } = *self;
        check_ranges(&[("model.z_dim", z_dim as f64, 1.0, 4096.0)])?;
        check_size(width, height)?;
        check_ranges(&[("model.stack.base", base as f64, 4.0, 512.0)])?;
        if channels != 1 && channels != 3 {
            let may_be = "must be 1 (grey) or 3 (colour)";
            return Err(Error::input(format!("model.stack.channels is {channels}, but {may_be}")));
        }
        if classes.len() > 10_000 {
            return Err(Error::input(format!("{} classes are too many: at most 10000", classes.len())));
        }
        Ok(())
    }

    /// The sizes of such a model as people read them.
    pub fn words(&self, z_dim: usize) -> String {
        format!("z {z_dim}, base {}", self.base)
    }

    /// Has a picture room for what FastGAN excites, and for a network of photographs?
    pub fn is_fine(&self) -> bool {
        self.width.min(self.height) >= FINEST
    }

    /// The shape of a model of this stack, from a latent vector and one of these classes, if there are any.
    pub fn shape<'a>(&self, z_dim: usize, classes: &'a [String]) -> Shape<'a> {
        let frame = Frame { height: self.height, width: self.width, channels: self.channels };
        let takes = if classes.is_empty() { Takes::Nothing } else { Takes::Classes(classes) };
        Shape { frame, noise: z_dim, takes }
    }

    /// Picture sizes (height, width) from the whole picture down by halves, until the longer side is below 8 or the
    /// shorter one would fall below 2. 64×64 gives 64, 32, 16, 8, 4.
    pub fn sizes(&self) -> Vec<[usize; 2]> {
        let mut sizes = vec![[self.height, self.width]];
        let mut size = [self.height, self.width];
        while size[0].max(size[1]) >= 8 && size[0].min(size[1]) >= 4 {
            size = size.map(|s| s / 2);
            sizes.push(size);
        }
        sizes
    }

    /// Channels at each of [`sizes`](Self::sizes).
    fn channels_at(&self, level: usize) -> usize {
        if level == 0 { self.channels } else { self.base * (1 << (level - 1).min(3)) }
    }

    /// Numbers in the features at the bottom of the stack.
    pub fn features(&self) -> usize {
        let sizes = self.sizes();
        let [h, w] = sizes[sizes.len() - 1];
        h * w * self.channels_at(sizes.len() - 1)
    }

    /// Multiply–adds of one picture through the residual blocks of an [`Upsampler`].
    pub fn block_cost(&self) -> f64 {
        let levels = self.sizes().into_iter().enumerate().rev().skip(1);
        levels
            .filter(|(level, _)| *level > 0)
            .map(|(level, [h, w])| ResidualBlock::cost(self.channels_at(level)) * (h * w) as f64)
            .sum()
    }

    /// Multiply–adds of one picture through either stack, and parameters of either, for estimates.
    pub fn cost(&self) -> (f64, f64) {
        let sizes = self.sizes();
        (1..sizes.len()).fold((0.0, 0.0), |(work, parameters), level| {
            let weights = (KERNEL * KERNEL * self.channels_at(level - 1) * self.channels_at(level)) as f64;
            (work + weights * (sizes[level][0] * sizes[level][1]) as f64, parameters + weights)
        })
    }
}

/// How an [`Upsampler`] doubles a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Upsampling {
    /// Transposed convolutions with a 4×4 kernel (Radford 2015).
    #[default]
    Transposed,
    /// Nearest-neighbour doubling and a 3×3 convolution, which leaves no checkerboard (Odena 2016), and a residual block
    /// behind each but the last.
    Residual,
}

/// What an [`Upsampler`] ends in.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// Numbers a pixel.
    pub channels: usize,
    /// What they go through.
    pub activation: Activation,
}

/// `n_in` numbers → picture: linear, then convolutions that double the size, batch norm and ReLU between them, a bias and an
/// activation at the end (Radford 2015).
#[derive(Debug, Clone)]
pub struct Upsampler {
    project: Linear,
    norm: BatchNorm,
    stages: Vec<Stage>,
    last: Up,
    bias: Bias,
    activation: Activation,
    base: [usize; 3],
}

/// Doubles a map.
#[derive(Debug, Clone)]
struct Stage {
    up: Up,
    norm: BatchNorm,
    block: Option<ResidualBlock>,
}

impl Stage {
    fn norms(&mut self) -> impl Iterator<Item = &mut BatchNorm> {
        std::iter::once(&mut self.norm).chain(self.block.iter_mut().flat_map(ResidualBlock::norms))
    }
}

#[derive(Debug, Clone)]
enum Up {
    Transposed(ConvTranspose2d),
    Nearest(UpConv2d),
}

impl Up {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Transposed(conv) => conv.forward(x),
            Self::Nearest(conv) => conv.forward(x),
        }
    }
}

impl Module for Up {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        match self {
            Self::Transposed(conv) => conv.collect(path, into),
            Self::Nearest(conv) => conv.collect(path, into),
        }
    }
}

impl Upsampler {
    /// Transposed convolutions to pictures of `config`'s size in [-1, 1], by tanh.
    pub fn new(config: &StackConfig, n_in: usize) -> Self {
        let output = Output { channels: config.channels, activation: Activation::Tanh };
        Self::with(config, n_in, Upsampling::Transposed, output)
    }

    /// A stack to maps of `config`'s size that end in `output`.
    pub fn with(config: &StackConfig, n_in: usize, upsampling: Upsampling, output: Output) -> Self {
        let sizes = config.sizes();
        let bottom = sizes.len() - 1;
        let up = |level: usize, c_out: usize| {
            let (c_in, size) = (config.channels_at(level + 1), sizes[level]);
            match upsampling {
                Upsampling::Transposed => {
                    Up::Transposed(ConvTranspose2d::new(c_in, c_out, KERNEL, size, HALVE, WEIGHT_INIT))
                }
                Upsampling::Residual => Up::Nearest(UpConv2d::new(c_in, c_out, size, WEIGHT_INIT)),
            }
        };
        let norm = |level: usize| BatchNorm::new(config.channels_at(level), GAMMA_INIT, Activation::Relu);
        let stage = |level: usize| Stage {
            up: up(level, config.channels_at(level)),
            norm: norm(level),
            block: (upsampling == Upsampling::Residual).then(|| ResidualBlock::new(config.channels_at(level))),
        };
        Self {
            project: Linear::new(n_in, config.features(), WEIGHT_INIT),
            norm: norm(bottom),
            stages: (1..bottom).rev().map(stage).collect(),
            last: up(0, output.channels),
            bias: Bias::new(output.channels),
            activation: output.activation,
            base: [sizes[bottom][0], sizes[bottom][1], config.channels_at(bottom)],
        }
    }

    /// `[batch, n_in]` → `[batch, height, width, channels]`.
    pub fn forward(&self, z: Tensor<2>, mode: Mode) -> Tensor<4> {
        let [batch, _] = z.dims();
        let [h, w, c] = self.base;
        let mut x = self.norm.forward(self.project.forward(z).reshape([batch, h, w, c]), mode);
        for Stage { up, norm, block } in &self.stages {
            x = norm.forward(up.forward(x), mode);
            if let Some(block) = block {
                x = block.forward(x, mode);
            }
        }
        self.bias.forward(self.last.forward(x), self.activation)
    }

    /// See [`first_map`].
    pub(crate) fn first_map(&self) -> Tensor<2> {
        first_map(&self.project, &self.norm)
    }

    /// Its batch norms in the order in which `forward` passes them.
    pub fn norms(&mut self) -> Vec<&mut BatchNorm> {
        std::iter::once(&mut self.norm).chain(self.stages.iter_mut().flat_map(Stage::norms)).collect()
    }
}

/// The linear part of what a stack does first, `A [n_in, n_out]`: the projection, each of its outputs times the standing scale of
/// its channel in the batch norm behind it.
pub(crate) fn first_map(project: &Linear, norm: &BatchNorm) -> Tensor<2> {
    let (weight, scale) = (project.weight(), norm.standing_scale());
    let ([n_in, n_out], [channels]) = (weight.dims(), scale.dims());
    (weight.reshape([n_in, n_out / channels, channels]) * scale.reshape([1, 1, channels])).reshape([n_in, n_out])
}

impl Module for Upsampler {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        self.project.collect(&join(path, "project"), into);
        self.norm.collect(&join(path, "norm"), into);
        for (i, Stage { up, norm, block }) in self.stages.iter_mut().enumerate() {
            up.collect(&join(path, &format!("stages.{i}.conv")), into);
            norm.collect(&join(path, &format!("stages.{i}.norm")), into);
            if let Some(block) = block {
                block.collect(&join(path, &format!("stages.{i}.block")), into);
            }
        }
        self.last.collect(&join(path, "last"), into);
        self.bias.collect(&join(path, "last"), into);
    }
}

/// Picture → features: convolutions that halve the size, LeakyReLU 0.2, batch norm on all but the first (Radford 2015).
#[derive(Debug, Clone)]
pub struct Downsampler {
    first: Conv2dBias,
    stages: Vec<(Conv2d, BatchNorm)>,
}

/// Slope of LeakyReLU in discriminators (Radford 2015).
pub(crate) const LEAK: Activation = Activation::LeakyRelu(0.2);

impl Downsampler {
    /// A stack for pictures of `config`'s size.
    pub fn new(config: &StackConfig) -> Self {
        let down = |level: usize| {
            let (c_in, c_out) = (config.channels_at(level - 1), config.channels_at(level));
            Conv2d::new(c_in, c_out, KERNEL, HALVE, WEIGHT_INIT)
        };
        let norm = |level: usize| BatchNorm::new(config.channels_at(level), GAMMA_INIT, LEAK);
        Self {
            first: Conv2dBias::new(down(1), config.channels_at(1), LEAK),
            stages: (2..config.sizes().len()).map(|level| (down(level), norm(level))).collect(),
        }
    }

    /// `[batch, height, width, channels]` → `[batch, features]`.
    pub fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<2> {
        let mut x = self.first.forward(x);
        for (conv, norm) in &self.stages {
            x = norm.forward(conv.forward(x), mode);
        }
        x.flatten(1, 3)
    }

    /// Its batch norms in the order in which `forward` passes them.
    pub fn norms(&mut self) -> Vec<&mut BatchNorm> {
        self.stages.iter_mut().map(|(_, norm)| norm).collect()
    }
}

impl Module for Downsampler {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        self.first.collect(&join(path, "first"), into);
        for (i, (conv, norm)) in self.stages.iter_mut().enumerate() {
            conv.collect(&join(path, &format!("stages.{i}.conv")), into);
            norm.collect(&join(path, &format!("stages.{i}.norm")), into);
        }
    }
}

/// Picture → features: convolutions that halve the size, each spectrally normalised, a bias and LeakyReLU 0.2 (Miyato 2018, with
/// the sizes of [`Downsampler`]).
#[derive(Debug, Clone)]
pub struct SpectralDownsampler {
    stages: Vec<(SpectralConv2d, Bias)>,
}

impl SpectralDownsampler {
    /// A stack for pictures of `config`'s size.
    pub fn new(config: &StackConfig) -> Self {
        let stage = |level: usize| {
            let (c_in, c_out) = (config.channels_at(level - 1), config.channels_at(level));
            (SpectralConv2d::new(c_in, c_out, KERNEL, HALVE, WEIGHT_INIT), Bias::new(c_out))
        };
        Self { stages: (1..config.sizes().len()).map(stage).collect() }
    }

    /// `[batch, height, width, channels]` → `[batch, features]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        self.stages.iter().fold(x, |x, (conv, bias)| conv.forward_bias(x, bias, LEAK)).flatten(1, 3)
    }

    /// Its convolutions.
    pub fn convolutions(&mut self) -> impl Iterator<Item = &mut SpectralConv2d> {
        self.stages.iter_mut().map(|(conv, _)| conv)
    }
}

impl Module for SpectralDownsampler {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        for (i, (conv, bias)) in self.stages.iter_mut().enumerate() {
            let path = join(path, &format!("stages.{i}"));
            conv.collect(&path, into);
            bias.collect(&path, into);
        }
    }
}
