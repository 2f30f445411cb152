//! FastGAN (Liu 2021, "Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis"): a light
//! generator with skip-layer excitation, and a discriminator that must also be able to draw what it sees.
//!
//! What differs from the paper: no noise is injected, so that a picture is a function of its latent vector alone; pictures
//! are reconstructed by absolute error instead of a perceptual loss, which would need another network's weights; the
//! discriminator halves its input at once, has no second track at low resolution, and no spectral norm, batch norm being
//! behind all convolutions but the first and the last; a label is appended to z and projected in the discriminator.

use super::FastganConfig;
use crate::families::blocks::labels::with_labels;
use crate::families::blocks::stack::{StackConfig, first_map};
use crate::families::blocks::{GAMMA_INIT, WEIGHT_INIT};
use crate::families::gan::players;
use crate::families::model::{Condition, Styles};
use crate::nn::{BatchNorm, Bias, Conv2d, ConvTranspose2d, Linear, Mode, Module, Param, UpConv2d, join};
use burn::tensor::{Tensor, TensorData, activation::silu, module::adaptive_avg_pool2d};
use maliang_kernels::{
    Activation, Conv2dOptions, DepthwiseOptions, Precision, average_pool, depthwise_conv2d, excite, glu,
};

/// Kernel 3, padding 1: keeps height and width.
pub(super) const SAME: Conv2dOptions = Conv2dOptions { stride: 1, padding: 1, precision: Precision::F32 };
/// Side to which a map is averaged before it excites another.
const SQUEEZED: usize = 4;
/// Halvings between a map and the one it excites in the generator: 4×4 excites 64×64.
const REACH: usize = 4;

/// Channels at the level `level` of [`StackConfig::sizes`].
pub(super) fn channels_at(stack: &StackConfig, level: usize) -> usize {
    if level == 0 { stack.base / 2 } else { stack.base << (level - 1).min(3) }
}

/// Multiply–adds of one picture through the generator and through the discriminator, for estimates.
pub fn cost(stack: &StackConfig) -> [f64; 2] {
    let sizes = stack.sizes();
    let (bottom, pixels) = (sizes.len() - 1, |level: usize| (sizes[level][0] * sizes[level][1]) as f64);
    let channels = |level| channels_at(stack, level) as f64;
    let generator = (0..bottom).map(|level| {
        let second = if has_second(bottom, level) { 18.0 * channels(level).powi(2) } else { 0.0 };
        (8.0 * channels(level) * channels(level + 1) + second) * pixels(level)
    });
    let discriminator = (2..bottom)
        .map(|level| (16.0 * channels(level) * channels(level - 1) + 9.0 * channels(level).powi(2)) * pixels(level));
    [generator.sum(), discriminator.sum::<f64>() + 16.0 * 3.0 * channels(1) * pixels(1)]
}

/// Does the block that makes `level` have a second convolution? Every other one from the bottom up.
fn has_second(bottom: usize, level: usize) -> bool {
    (bottom - level) % 2 == 1
}

/// z → picture.
#[derive(Debug, Clone)]
pub struct Generator {
    project: Linear,
    norm: BatchNorm,
    /// Height, width and channels of the first map.
    base: [usize; 3],
    blocks: Vec<UpBlock>,
    last: ConvTranspose2d,
    smooth: bool,
    bias: Bias,
}

/// Doubles a picture: upsampling convolution, batch norm, gated linear unit; at every other level another convolution.
#[derive(Debug, Clone)]
struct UpBlock {
    up: UpConv2d,
    norm: BatchNorm,
    second: Option<(Conv2d, BatchNorm)>,
    /// How an earlier map scales this one's channels.
    excite: Option<Excite>,
}

impl Generator {
    /// A generator without values.
    pub fn new(config: &FastganConfig) -> Self {
        let stack = &config.stack;
        let sizes = stack.sizes();
        let bottom = sizes.len() - 1;
        let (channels, reach) = (|level| channels_at(stack, level), REACH.min(bottom));
        let norm = |level| BatchNorm::new(2 * channels(level), GAMMA_INIT, Activation::Identity);
        let block = |level: usize| UpBlock {
            up: UpConv2d::new(channels(level + 1), 2 * channels(level), sizes[level], WEIGHT_INIT),
            norm: norm(level),
            second: has_second(bottom, level)
                .then(|| (Conv2d::new(channels(level), 2 * channels(level), 3, SAME, WEIGHT_INIT), norm(level))),
            excite: (level + reach <= bottom).then(|| Excite::new(channels(level + reach), channels(level))),
        };
        let base = [sizes[bottom][0], sizes[bottom][1], channels(bottom)];
        Self {
            project: Linear::new(config.z_dim + config.classes.len(), 2 * base.iter().product::<usize>(), WEIGHT_INIT),
            norm: norm(bottom),
            base,
            blocks: (0..bottom).rev().map(block).collect(),
            // A transposed convolution of stride 1 is a convolution, and towards three channels the faster one.
            last: ConvTranspose2d::new(channels(0), stack.channels, 3, sizes[0], SAME, WEIGHT_INIT),
            smooth: config.smooth,
            bias: Bias::new(stack.channels),
        }
    }

    /// The maps from the first to the one of the picture's size; excited by those of `style`, else by their own.
    fn maps(&self, z: Tensor<2>, labels: Option<Tensor<2>>, style: Option<&[Tensor<4>]>, mode: Mode) -> Vec<Tensor<4>> {
        let [batch, _] = z.dims();
        let [h, w, c] = self.base;
        let x = self.project.forward(with_labels(z, labels)).reshape([batch, h, w, 2 * c]);
        let mut maps = vec![glu(self.norm.forward(x, mode))];
        for (i, block) in self.blocks.iter().enumerate() {
            let mut x = block.forward(maps[i].clone(), mode);
            if let Some(excite) = &block.excite {
                let reach = REACH.min(self.blocks.len());
                x = excite.forward(&style.unwrap_or(&maps)[i + 1 - reach], x);
            }
            maps.push(x);
        }
        maps
    }

    fn picture(&self, mut maps: Vec<Tensor<4>>) -> Tensor<4> {
        let x = self.last.forward(maps.pop().expect("a map of the picture's size"));
        self.bias.forward(if self.smooth { smooth(x) } else { x }, Activation::Tanh)
    }
}

impl players::Generator for Generator {
    fn forward(&self, z: Tensor<2>, labels: Option<Tensor<2>>, mode: Mode) -> Tensor<4> {
        self.picture(self.maps(z, labels, None, mode))
    }

    fn first_map(&self) -> Tensor<2> {
        first_map(&self.project, &self.norm)
    }

    fn norms(&mut self) -> Vec<&mut BatchNorm> {
        let blocks = self
            .blocks
            .iter_mut()
            .flat_map(|block| std::iter::once(&mut block.norm).chain(block.second.as_mut().map(|(_, norm)| norm)));
        std::iter::once(&mut self.norm).chain(blocks).collect()
    }

    fn styles(&self) -> Option<&dyn Styles> {
        Some(self)
    }
}

impl Styles for Generator {
    /// Style mixing (Liu 2021, §3.1): pictures of `content` whose channels are excited by the early maps of `style`, each of the
    /// two with its labels. What is where comes from the first, colours and textures from the second.
    fn mix(&self, content: (Tensor<2>, &Condition), style: (Tensor<2>, &Condition)) -> Tensor<4> {
        let style = self.maps(style.0, style.1.classes(), None, Mode::Eval);
        self.picture(self.maps(content.0, content.1.classes(), Some(&style), Mode::Eval))
    }
}

impl UpBlock {
    fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        let x = glu(self.norm.forward(self.up.forward(x), mode));
        match &self.second {
            Some((conv, norm)) => glu(norm.forward(conv.forward(x), mode)),
            None => x,
        }
    }
}

impl Module for Generator {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        self.project.collect(&join(path, "project"), into);
        self.norm.collect(&join(path, "norm"), into);
        for (i, block) in self.blocks.iter_mut().enumerate() {
            let path = join(path, &format!("blocks.{i}"));
            block.up.collect(&join(&path, "up"), into);
            block.norm.collect(&join(&path, "norm"), into);
            if let Some((conv, norm)) = &mut block.second {
                conv.collect(&join(&path, "second"), into);
                norm.collect(&join(&path, "second_norm"), into);
            }
            if let Some(excite) = &mut block.excite {
                excite.collect(&join(&path, "excite"), into);
            }
        }
        self.last.collect(&join(path, "last"), into);
        self.bias.collect(&join(path, "last"), into);
    }
}

/// Each channel through the filter [1 2 1] / 4 along both axes, which takes away what changes from pixel to pixel and nothing of
/// what stays. Beyond the edge there is nothing: the mean is that of the pixels there are.
fn smooth(x: Tensor<4>) -> Tensor<4> {
    let [_, height, width, channels] = x.dims();
    let device = x.device();
    let filter = |shape: [usize; 3]| {
        let taps: Vec<f32> = [1.0, 2.0, 1.0].into_iter().flat_map(|tap| vec![tap / 4.0; shape[2]]).collect();
        Tensor::<3>::from_data(TensorData::new(taps, shape), &device)
    };
    let along = |size: usize, axis: usize| {
        let inside = |i: usize| if size > 1 && (i == 0 || i + 1 == size) { 4.0 / 3.0 } else { 1.0 };
        let shape = if axis == 0 { [1, size, 1, 1] } else { [1, 1, size, 1] };
        Tensor::<4>::from_data(TensorData::new((0..size).map(inside).collect::<Vec<f32>>(), shape), &device)
    };
    let options = |vertical, horizontal| DepthwiseOptions { stride: 1, vertical, horizontal };
    let x = depthwise_conv2d(x, filter([3, 1, channels]), options([1, 1], [0, 0]));
    let x = depthwise_conv2d(x, filter([1, 3, channels]), options([0, 0], [1, 1]));
    x * (along(height, 0) * along(width, 1))
}

/// Skip-layer excitation (Liu 2021, Equation 1): a map of one resolution, averaged to 4×4, decides how strongly each channel of
/// another speaks.
#[derive(Debug, Clone)]
pub(super) struct Excite {
    squeeze: Linear,
    gate: Linear,
}

impl Excite {
    pub(super) fn new(c_from: usize, c_to: usize) -> Self {
        Self {
            squeeze: Linear::new(SQUEEZED * SQUEEZED * c_from, c_to, WEIGHT_INIT),
            gate: Linear::new(c_to, c_to, WEIGHT_INIT),
        }
    }

    pub(super) fn forward(&self, from: &Tensor<4>, to: Tensor<4>) -> Tensor<4> {
        let squeezed = squeeze(from.clone()).flatten(1, 3);
        let gate = self.gate.forward(silu(self.squeeze.forward(squeezed)));
        excite(to, burn::tensor::activation::sigmoid(gate))
    }
}

impl Module for Excite {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        self.squeeze.collect(&join(path, "squeeze"), into);
        self.gate.collect(&join(path, "gate"), into);
    }
}

/// Averages a map to 4×4.
fn squeeze(mut x: Tensor<4>) -> Tensor<4> {
    let sides = |x: &Tensor<4>| [x.dims()[1], x.dims()[2]];
    while sides(&x).iter().all(|&side| side >= 2 * SQUEEZED) {
        x = average_pool(x);
    }
    if sides(&x) == [SQUEEZED; 2] {
        return x;
    }
    adaptive_avg_pool2d(x.permute([0, 3, 1, 2]), [SQUEEZED; 2]).permute([0, 2, 3, 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::host;
    use burn::tensor::Device;

    /// What is level stays, up to the edges; what changes from pixel to pixel goes.
    #[test]
    fn smoothing_takes_away_patterns_of_two_pixels() {
        let device = Device::flex();
        let picture = |f: fn(usize, usize) -> f32| {
            let values = (0..6 * 8).map(|i| f(i / 8, i % 8)).collect::<Vec<f32>>();
            host(smooth(Tensor::from_data(TensorData::new(values, [1, 6, 8, 1]), &device)))
        };
        assert!(picture(|_, _| 0.75).iter().all(|v| (v - 0.75).abs() < 1e-6));
        let inside = |values: Vec<f32>| {
            (1..5).flat_map(|y| (1..7).map(move |x| y * 8 + x)).map(|i| values[i]).collect::<Vec<_>>()
        };
        for pattern in [|_, x| sign_of(x), |y, _| sign_of(y), |y, x| sign_of(x + y)] as [fn(usize, usize) -> f32; 3] {
            assert!(inside(picture(pattern)).iter().all(|v| v.abs() < 1e-6));
        }
        let slope = inside(picture(|y, x| y as f32 + 2.0 * x as f32));
        assert!(slope.iter().zip([3.0, 5.0, 7.0]).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-5), "{slope:?}");
    }

    fn sign_of(i: usize) -> f32 {
        if i.is_multiple_of(2) { 1.0 } else { -1.0 }
    }
}
