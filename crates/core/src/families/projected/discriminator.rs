//! The discriminator of Projected GANs (Sauer 2021, "Projected GANs Converge Faster"): small heads on the features of a frozen
//! EfficientNet-Lite0. The generator is that of [`fastgan`](crate::families::fastgan).
//!
//! The features at strides 4, 8, 16 and 32 are mixed by random projections that are never trained: across channels by 1×1
//! convolutions, and across scales from the coarsest map down, each doubled, convolved with 3×3 taps and added to the next finer
//! one (§3.2). Each mixed map has a head of its own.
//!
//! A network that was trained on photographs begins by halving them, and what is finer than four pixels comes out of that as
//! something coarser (aliasing), so that a grain of two or three pixels passes for the texture of a fur. So one more head, which
//! is not part of the paper, sees the pixels themselves.
//!
//! What else differs from the paper: the maps keep their own resolution instead of being doubled once more, and doubling is
//! nearest-neighbour, because together with the convolution that is one transposed convolution.

use crate::families::blocks::labels::{class_layer, with_class};
use crate::families::blocks::stack::{HALVE, LEAK};
use crate::families::blocks::{GAMMA_INIT, WEIGHT_INIT};
use crate::families::gan::players;
use crate::nn::{self, BatchNorm, Bias, Linear, Mode, Module, Param, SpectralConv2d, join};
use crate::pretrained::EfficientNetLite0;
use crate::rng;
use burn::tensor::{Device, Tensor, TensorData};
use maliang_kernels::{Activation, Conv2dOptions, Filter, Precision, conv_transpose2d, conv2d, resize};

/// Channels of the features, from the finest map to the coarsest.
const TAPS: [usize; 4] = [24, 40, 112, 320];
/// Channels of the mixed maps.
const MIXED: [usize; 4] = [64, 64, 128, 256];
/// Channels of the heads after each halving, and of their last map.
const HEADS: [&[usize]; 4] = [&[64, 128, 128], &[128, 128], &[128], &[128]];
/// Channels of the head of pixels, as [`HEADS`].
const PIXEL_HEAD: &[usize] = &[24, 48, 96, 96];

const KEEP: Conv2dOptions = Conv2dOptions { stride: 1, padding: 1, precision: Precision::F32 };
const POINT: Conv2dOptions = Conv2dOptions { stride: 1, padding: 0, precision: Precision::F32 };

/// Picture → logits of "real", one head a scale.
#[derive(Debug, Clone)]
pub struct Discriminator {
    eyes: EfficientNetLite0,
    /// Height and width at which pictures are looked at.
    size: [usize; 2],
    /// 1×1 kernels, one a scale.
    across_channels: Vec<Tensor<4>>,
    /// 4×4 kernels of doubling and convolution, from each but the finest scale to the next finer.
    across_scales: Vec<Tensor<4>>,
    /// One a scale, and that of pixels, if it has one.
    heads: Vec<Head>,
}

/// One map → a map of logits.
#[derive(Debug, Clone)]
struct Head {
    first: SpectralConv2d,
    bias: Bias,
    rest: Vec<(SpectralConv2d, BatchNorm)>,
    logit: SpectralConv2d,
    logit_bias: Bias,
    class: Option<Linear>,
}

impl Discriminator {
    /// Heads without values for `classes` classes, and the random projections of `seed`. Pictures are looked at with
    /// `size` (height, width), see [`looking_size`](crate::pretrained::looking_size).
    pub fn new(eyes: EfficientNetLite0, size: [usize; 2], classes: usize, seed: u64, device: &Device) -> Self {
        // A deviation of 1/√fan-in: a projection keeps the size of what it mixes.
        let random = |name: String, shape: [usize; 4], fan_in: usize| {
            let deviation = (1.0 / fan_in as f32).sqrt();
            let values = rng::normal(&mut rng::stream(seed, &name, 0), shape.iter().product());
            let values: Vec<f32> = values.into_iter().map(|v| v * deviation).collect();
            Tensor::<4>::from_data(TensorData::new(values, shape), device)
        };
        let across_channels =
            (0..4).map(|i| random(format!("mix/channels/{i}"), [1, 1, TAPS[i], MIXED[i]], TAPS[i])).collect();
        let across_scales = (0..3).map(|i| {
            let taps = random(format!("mix/scales/{i}"), [3, 3, MIXED[i], MIXED[i + 1]], 9 * MIXED[i + 1]);
            nn::spread(taps)
        });
        let across_scales = across_scales.collect();
        let heads = (0..4).map(|i| Head::new(MIXED[i], HEADS[i], classes)).collect();
        Self { eyes, size, across_channels, across_scales, heads }
    }

    /// With a head that sees pixels of `channels` channels.
    pub fn with_pixel_head(mut self, channels: usize, classes: usize) -> Self {
        self.heads.push(Head::new(channels, PIXEL_HEAD, classes));
        self
    }

    /// Has it a head that sees pixels?
    pub fn has_pixel_head(&self) -> bool {
        self.heads.len() > TAPS.len()
    }

    /// The logits of the head that sees pixels, which must be there.
    fn judge_pixels(&self, x: Tensor<4>, labels: Option<Tensor<2>>) -> Tensor<1> {
        self.heads[TAPS.len()].forward(x, labels)
    }
}

impl players::Discriminator for Discriminator {
    fn prepare(&mut self) {
        self.heads.iter_mut().flat_map(Head::convolutions).for_each(SpectralConv2d::prepare);
    }

    fn release(&mut self) {
        self.heads.iter_mut().flat_map(Head::convolutions).for_each(SpectralConv2d::release);
    }

    /// The mixed maps of pictures, from the finest to the coarsest, and their pixels for a head that sees them.
    fn look(&self, x: Tensor<4>) -> Vec<Tensor<4>> {
        let [_, height, width, channels] = x.dims();
        let pixels = self.has_pixel_head().then(|| x.clone());
        let x = if [height, width] == self.size { x } else { resize(x, self.size, Filter::Triangle) };
        let x = if channels == 1 { x.repeat_dim(3, 3) } else { x };
        let in_its_precision = |options| Conv2dOptions { precision: self.eyes.precision(), ..options };
        let mut maps: Vec<Tensor<4>> = Vec::new();
        for (i, tap) in self.eyes.taps(x).into_iter().enumerate().rev() {
            let [_, h, w, _] = tap.dims();
            let mut map = conv2d(tap.clone(), like(&self.across_channels[i], &tap), in_its_precision(POINT));
            if let Some(coarser) = maps.last() {
                let kernel = like(&self.across_scales[i], coarser);
                map = map + conv_transpose2d(coarser.clone(), kernel, [h, w], in_its_precision(HALVE));
            }
            maps.push(map);
        }
        maps.reverse();
        maps.into_iter().chain(pixels).collect()
    }

    fn judge(&self, maps: Vec<Tensor<4>>, labels: Option<Tensor<2>>) -> Vec<Tensor<1>> {
        self.heads.iter().zip(maps).map(|(head, map)| head.forward(map, labels.clone())).collect()
    }

    fn pixel_heads(&self, x: Tensor<4>, labels: Option<Tensor<2>>) -> Vec<Tensor<1>> {
        match self.has_pixel_head() {
            true => vec![self.judge_pixels(x, labels)],
            false => self.heads(x, labels),
        }
    }
}

impl Head {
    fn new(c_in: usize, channels: &[usize], classes: usize) -> Self {
        // All convolutions but the last one, which keeps the size, halve it.
        let conv = |i: usize| {
            let c_in = if i == 0 { c_in } else { channels[i - 1] };
            let keeps = i + 1 == channels.len();
            let (kernel, options) = if keeps { (3, KEEP) } else { (4, HALVE) };
            SpectralConv2d::new(c_in, channels[i], kernel, options, WEIGHT_INIT)
        };
        let last = channels[channels.len() - 1];
        Self {
            first: conv(0),
            bias: Bias::new(channels[0]),
            rest: (1..channels.len()).map(|i| (conv(i), BatchNorm::new(channels[i], GAMMA_INIT, LEAK))).collect(),
            logit: SpectralConv2d::new(last, 1, 3, KEEP, WEIGHT_INIT),
            logit_bias: Bias::new(1),
            class: class_layer(classes, last),
        }
    }

    fn convolutions(&mut self) -> impl Iterator<Item = &mut SpectralConv2d> {
        let Self { first, rest, logit, .. } = self;
        [first, logit].into_iter().chain(rest.iter_mut().map(|(conv, _)| conv))
    }

    fn forward(&self, x: Tensor<4>, labels: Option<Tensor<2>>) -> Tensor<1> {
        let mut x = self.first.forward_bias(x, &self.bias, LEAK);
        for (conv, norm) in &self.rest {
            x = norm.forward(conv.forward(x), Mode::Train);
        }
        let logits = self.logit.forward_bias(x.clone(), &self.logit_bias, Activation::Identity);
        with_class(logits.flatten(1, 3), self.class.as_ref(), labels, x)
    }
}

impl Module for Discriminator {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        for (i, head) in self.heads.iter_mut().enumerate() {
            let path = join(path, &format!("heads.{i}"));
            head.first.collect(&join(&path, "first"), into);
            head.bias.collect(&join(&path, "first"), into);
            for (k, (conv, norm)) in head.rest.iter_mut().enumerate() {
                conv.collect(&join(&path, &format!("rest.{k}.conv")), into);
                norm.collect(&join(&path, &format!("rest.{k}.norm")), into);
            }
            head.logit.collect(&join(&path, "logit"), into);
            head.logit_bias.collect(&join(&path, "logit"), into);
            if let Some(class) = &mut head.class {
                class.collect(&join(&path, "class"), into);
            }
        }
    }
}

/// A constant for use with `x`: on the same side of autodiff.
fn like(constant: &Tensor<4>, x: &Tensor<4>) -> Tensor<4> {
    if x.is_autodiff() { constant.clone().autodiff() } else { constant.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families::gan::players::Discriminator as _;
    use crate::nn::{host, initialise};
    use crate::pretrained::{looking_size, random_network};

    fn discriminator(size: [usize; 2], classes: usize, seed: u64) -> Discriminator {
        let device = Device::flex();
        let mut discriminator = Discriminator::new(random_network(1), size, classes, seed, &device);
        initialise(&mut discriminator, 2, &device);
        discriminator
    }

    fn pictures(shape: [usize; 4]) -> Tensor<4> {
        let values = rng::normal(&mut rng::stream(3, "x", 0), shape.iter().product());
        Tensor::<4>::from_data(TensorData::new(values, shape), &Device::flex()).clamp(-1.0, 1.0)
    }

    #[test]
    fn sizes_are_the_nearest_multiples_of_32() {
        assert_eq!(looking_size(64, 64, 64), [64, 64]);
        assert_eq!(looking_size(64, 96, 96), [64, 96]);
        assert_eq!(looking_size(256, 32, 64), [64, 32], "never below one");
        assert_eq!(looking_size(100, 40, 128), [128, 64]);
    }

    #[test]
    fn every_scale_has_a_head() {
        for (x, size) in [([2, 64, 64, 3], [64, 64]), ([2, 40, 100, 3], [32, 64]), ([2, 33, 32, 1], [64, 64])] {
            let heads = discriminator(size, 0, 1).heads(pictures(x), None);
            // Strides 4, 8, 16, 32, and halvings of the first two maps.
            let parts = |stride: usize| 2 * size[0] / stride * size[1] / stride;
            assert_eq!(
                heads.iter().map(|h| h.dims()[0]).collect::<Vec<_>>(),
                [parts(16), parts(16), parts(16), parts(32)],
                "{x:?} {size:?}"
            );
        }
    }

    /// The head of pixels judges pictures of any size and colours, and its gradient reaches them.
    #[test]
    fn a_head_sees_pixels() {
        let device = Device::flex().autodiff();
        for (shape, parts) in [([2, 64, 64, 3], 8 * 8), ([2, 45, 70, 1], 5 * 8)] {
            let mut seeing = discriminator([64, 64], 0, 1).with_pixel_head(shape[3], 0);
            initialise(&mut seeing, 2, &device);
            let x = pictures(shape).autodiff().require_grad();
            let mut logits = seeing.heads(x.clone(), None);
            assert_eq!(logits.len(), 5);
            let of_pixels = logits.pop().unwrap();
            assert_eq!(of_pixels.dims(), [2 * parts], "{shape:?}");
            assert_eq!(host(seeing.judge_pixels(x.clone(), None)), host(of_pixels.clone()));
            let gradients = of_pixels.mean().backward();
            let of_x = host(x.grad(&gradients).unwrap());
            assert!(of_x.iter().filter(|v| **v != 0.0).count() > of_x.len() / 2);
        }
    }

    /// What the network looks with, the mixing does, too.
    #[test]
    fn bf16_stays_near_f32() {
        let device = Device::flex();
        let maps = |precision: Precision| -> Vec<Vec<f32>> {
            let eyes = random_network(1).with_precision(precision);
            let discriminator = Discriminator::new(eyes, [64, 64], 0, 1, &device);
            discriminator.look(pictures([2, 64, 64, 3])).into_iter().map(host).collect()
        };
        for (exact, rough) in maps(Precision::F32).into_iter().zip(maps(Precision::Bf16)) {
            assert_eq!(exact != rough, Precision::Bf16.is_supported());
            let largest = exact.iter().fold(0.0f32, |largest, v| largest.max(v.abs()));
            let error = exact.iter().zip(&rough).fold(0.0f32, |worst, (a, b)| worst.max((a - b).abs()));
            assert!(error < 0.03 * largest, "{error} of {largest}");
        }
    }

    /// The random projections are functions of the seed and no parameters; labels and pictures matter to every head.
    #[test]
    fn what_matters() {
        let x = pictures([2, 64, 64, 3]);
        let judged = |seed: u64, label: usize, x: &Tensor<4>| -> Vec<Vec<f32>> {
            let labels = crate::families::one_hot(&[label; 2], 3, &Device::flex());
            discriminator([64, 64], 3, seed).heads(x.clone(), labels).into_iter().map(host).collect()
        };
        let first = judged(1, 0, &x);
        assert_eq!(judged(1, 0, &x), first);
        for other in [judged(2, 0, &x), judged(1, 2, &x), judged(1, 0, &x.clone().flip([2]))] {
            assert!(first.iter().zip(&other).all(|(a, b)| a != b));
        }
        let names: Vec<_> = discriminator([64, 64], 0, 1).parameters().into_iter().map(|(name, _)| name).collect();
        assert!(names.iter().all(|name| name.starts_with("heads.")), "{names:?}");
    }

    /// The generator learns through the frozen network; the heads do, too, and follow their singular vectors.
    #[test]
    fn gradients_reach_pictures_and_heads() {
        let device = Device::flex().autodiff();
        let mut discriminator = discriminator([64, 64], 0, 1);
        initialise(&mut discriminator, 2, &device);
        let before = host(discriminator.heads[0].first.clone().parameters()[1].1.flat());
        discriminator.prepare();
        assert_ne!(host(discriminator.heads[0].first.clone().parameters()[1].1.flat()), before);
        let x = pictures([2, 64, 64, 3]).autodiff().require_grad();
        let loss = discriminator.heads(x.clone(), None).into_iter().map(|logits| logits.mean());
        let gradients = loss.reduce(|a, b| a + b).unwrap().backward();
        let of_x = host(x.grad(&gradients).unwrap());
        assert!(of_x.iter().all(|v| v.is_finite()) && of_x.iter().filter(|v| **v != 0.0).count() > of_x.len() / 2);
        for (name, param) in discriminator.parameters() {
            assert_eq!(param.flat().grad(&gradients).is_some(), param.is_trained(), "{name}");
        }
    }
}
