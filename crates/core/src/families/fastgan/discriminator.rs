//! FastGAN's discriminator: a residual stack, a map of logits, and two decoders that must be able to draw a real picture
//! from its features, so that the features keep what is in it (Liu 2021, §3.2).

use super::FastganConfig;
use super::net::{Excite, SAME, channels_at};
use crate::families::blocks::labels::{class_layer, with_class};
use crate::families::blocks::stack::{HALVE, LEAK, StackConfig};
use crate::families::blocks::{GAMMA_INIT, WEIGHT_INIT};
use crate::families::gan::players;
use crate::nn::{BatchNorm, Bias, Conv2d, ConvTranspose2d, Linear, Mode, Module, Param, UpConv2d, join};
use burn::tensor::Tensor;
use maliang_kernels::{Activation, Conv2dOptions, Precision, average_pool, glu};

/// Kernel 1 or a kernel that is applied inside the map only.
const INSIDE: Conv2dOptions = Conv2dOptions { stride: 1, padding: 0, precision: Precision::F32 };
/// Halvings between a map and the one it excites, at most.
const REACH: usize = 3;
/// Side of the last convolution's kernel: each logit judges a part of the picture.
const PATCH: usize = 4;

/// Picture → logits of "real".
#[derive(Debug, Clone)]
pub struct Discriminator {
    first: Conv2d,
    bias: Bias,
    /// The maps of levels 2, 3, …; the last one has a shorter side of 4 to 15 pixels.
    blocks: Vec<DownBlock>,
    head: Conv2d,
    head_norm: BatchNorm,
    logit: Conv2d,
    logit_bias: Bias,
    class: Option<Linear>,
    whole: Decoder,
    part: Decoder,
}

/// Halves a map: the mean of two convolutions and of a pooled 1×1 convolution.
#[derive(Debug, Clone)]
struct DownBlock {
    down: Conv2d,
    down_norm: BatchNorm,
    second: Conv2d,
    second_norm: BatchNorm,
    direct: Conv2d,
    direct_norm: BatchNorm,
    excite: Option<Excite>,
}

impl Discriminator {
    /// A discriminator without values.
    pub fn new(config: &FastganConfig) -> Self {
        let stack = &config.stack;
        let channels = |level| channels_at(stack, level);
        let last = last_level(stack);
        let reach = reach(last);
        let norm = |level| BatchNorm::new(channels(level), GAMMA_INIT, LEAK);
        let block = |level: usize| DownBlock {
            down: Conv2d::new(channels(level - 1), channels(level), 4, HALVE, WEIGHT_INIT),
            down_norm: norm(level),
            second: Conv2d::new(channels(level), channels(level), 3, SAME, WEIGHT_INIT),
            second_norm: norm(level),
            direct: Conv2d::new(channels(level - 1), channels(level), 1, INSIDE, WEIGHT_INIT),
            direct_norm: norm(level),
            excite: (level > reach).then(|| Excite::new(channels(level - reach), channels(level))),
        };
        let sizes = stack.sizes();
        let whole: Vec<_> = sizes[1..last].iter().rev().copied().collect();
        let part: Vec<_> = (1..last).map(|k| sizes[last].map(|side| side << k)).collect();
        Self {
            first: Conv2d::new(stack.channels, channels(1), 4, HALVE, WEIGHT_INIT),
            bias: Bias::new(channels(1)),
            blocks: (2..=last).map(block).collect(),
            head: Conv2d::new(channels(last), channels(last), 1, INSIDE, WEIGHT_INIT),
            head_norm: norm(last),
            logit: Conv2d::new(channels(last), 1, PATCH, INSIDE, WEIGHT_INIT),
            logit_bias: Bias::new(1),
            class: class_layer(config.classes.len(), channels(last)),
            whole: Decoder::new(channels(last), &whole, stack.channels),
            part: Decoder::new(channels(last - 1), &part, stack.channels),
        }
    }

    /// Pictures `[batch, height, width, channels]`, labels one-hot `[batch, classes]` → logits `[batch · parts]`, those of a
    /// picture together.
    pub fn forward(&self, x: Tensor<4>, labels: Option<Tensor<2>>) -> Tensor<1> {
        self.logits(self.maps(x).pop().expect("a last map"), labels)
    }

    /// As [`forward`](Self::forward), and the mean absolute error of drawing the picture, at half its size, and the quarter of
    /// it in `corner` (0 to 3), at full size or half, from the features.
    pub fn draw(&self, x: Tensor<4>, labels: Option<Tensor<2>>, corner: usize) -> (Tensor<1>, Tensor<1>) {
        let mut maps = self.maps(x.clone());
        let last = maps.pop().expect("a last map");
        let before = maps.pop().expect("a map before the last");
        let whole = self.whole.forward(last.clone());
        let [_, h, w, _] = last.dims();
        let part = self.part.forward(cut(before.clone(), corner, [h, w], 1));
        let level = maps.len() + 1;
        // The cut-out of the picture that lies under that of the map.
        let [_, bh, bw, _] = before.dims();
        let [batch, _, _, channels] = x.dims();
        let under = x.clone().slice([0..batch, 0..bh << level, 0..bw << level, 0..channels]);
        let under = cut(under, corner, [h, w], 1 << level);
        let error = |drawn: Tensor<4>, seen: Tensor<4>| (fit(seen, drawn.dims()) - drawn).abs().mean();
        (self.logits(last, labels), error(whole, x) + error(part, under))
    }

    /// The maps of levels 1, 2, …
    fn maps(&self, x: Tensor<4>) -> Vec<Tensor<4>> {
        let mut maps = vec![self.bias.forward(self.first.forward(x), LEAK)];
        let reach = reach(self.blocks.len() + 1);
        for (i, block) in self.blocks.iter().enumerate() {
            let mut x = block.forward(maps[i].clone());
            if let Some(excite) = &block.excite {
                x = excite.forward(&maps[i + 1 - reach], x);
            }
            maps.push(x);
        }
        maps
    }

    fn logits(&self, features: Tensor<4>, labels: Option<Tensor<2>>) -> Tensor<1> {
        let x = self.head_norm.forward(self.head.forward(features.clone()), Mode::Train);
        let x = self.logit_bias.forward(self.logit.forward(x), Activation::Identity);
        with_class(x.flatten(1, 3), self.class.as_ref(), labels, features)
    }
}

impl players::Discriminator for Discriminator {
    fn judge(&self, mut seen: Vec<Tensor<4>>, labels: Option<Tensor<2>>) -> Vec<Tensor<1>> {
        vec![self.forward(seen.remove(0), labels)]
    }

    fn judge_real(
        &self,
        mut seen: Vec<Tensor<4>>,
        labels: Option<Tensor<2>>,
        choice: usize,
    ) -> (Vec<Tensor<1>>, Option<Tensor<1>>) {
        let (logits, error) = self.draw(seen.remove(0), labels, choice % 4);
        (vec![logits], Some(error))
    }
}

impl DownBlock {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let direct = self.direct_norm.forward(self.direct.forward(average_pool(x.clone())), Mode::Train);
        let main = self.down_norm.forward(self.down.forward(x), Mode::Train);
        let main = self.second_norm.forward(self.second.forward(main), Mode::Train);
        (main + direct) * 0.5
    }
}

impl Module for Discriminator {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        self.first.collect(&join(path, "first"), into);
        self.bias.collect(&join(path, "first"), into);
        for (i, block) in self.blocks.iter_mut().enumerate() {
            let path = join(path, &format!("blocks.{i}"));
            block.down.collect(&join(&path, "down"), into);
            block.down_norm.collect(&join(&path, "down_norm"), into);
            block.second.collect(&join(&path, "second"), into);
            block.second_norm.collect(&join(&path, "second_norm"), into);
            block.direct.collect(&join(&path, "direct"), into);
            block.direct_norm.collect(&join(&path, "direct_norm"), into);
            if let Some(excite) = &mut block.excite {
                excite.collect(&join(&path, "excite"), into);
            }
        }
        self.head.collect(&join(path, "head"), into);
        self.head_norm.collect(&join(path, "head_norm"), into);
        self.logit.collect(&join(path, "logit"), into);
        self.logit_bias.collect(&join(path, "logit"), into);
        if let Some(class) = &mut self.class {
            class.collect(&join(path, "class"), into);
        }
        self.whole.collect(&join(path, "whole"), into);
        self.part.collect(&join(path, "part"), into);
    }
}

/// Features → a small picture.
#[derive(Debug, Clone)]
struct Decoder {
    stages: Vec<(UpConv2d, BatchNorm)>,
    last: ConvTranspose2d,
    bias: Bias,
}

impl Decoder {
    /// Through pictures of `sizes`, a quarter as wide as the features, and half as wide with every doubling.
    fn new(features: usize, sizes: &[[usize; 2]], channels: usize) -> Self {
        let width = |stage: usize| if stage == 0 { features } else { ((features / 2) >> stage).max(4) };
        let stage = |(i, &size): (usize, &[usize; 2])| {
            let up = UpConv2d::new(width(i), 2 * width(i + 1), size, WEIGHT_INIT);
            (up, BatchNorm::new(2 * width(i + 1), GAMMA_INIT, Activation::Identity))
        };
        let size = *sizes.last().expect("a picture to draw");
        Self {
            stages: sizes.iter().enumerate().map(stage).collect(),
            last: ConvTranspose2d::new(width(sizes.len()), channels, 3, size, SAME, WEIGHT_INIT),
            bias: Bias::new(channels),
        }
    }

    fn forward(&self, mut x: Tensor<4>) -> Tensor<4> {
        for (up, norm) in &self.stages {
            x = glu(norm.forward(up.forward(x), Mode::Train));
        }
        self.bias.forward(self.last.forward(x), Activation::Tanh)
    }
}

impl Module for Decoder {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        for (i, (up, norm)) in self.stages.iter_mut().enumerate() {
            up.collect(&join(path, &format!("stages.{i}.up")), into);
            norm.collect(&join(path, &format!("stages.{i}.norm")), into);
        }
        self.last.collect(&join(path, "last"), into);
        self.bias.collect(&join(path, "last"), into);
    }
}

/// The level of the last map, one above the stack's bottom: 8×8 for squares of powers of two.
fn last_level(stack: &StackConfig) -> usize {
    stack.sizes().len() - 2
}

/// Levels between a map and the one it excites, where `last` is the last level.
fn reach(last: usize) -> usize {
    REACH.min(last - 1).max(1)
}

/// The rectangle of `size · scale` in a corner: 0 top left, 1 top right, 2 bottom left, 3 bottom right.
fn cut(x: Tensor<4>, corner: usize, size: [usize; 2], scale: usize) -> Tensor<4> {
    let [batch, height, width, channels] = x.dims();
    let [h, w] = size.map(|side| side * scale);
    let (top, left) =
        (if corner / 2 == 0 { 0 } else { height - h }, if corner.is_multiple_of(2) { 0 } else { width - w });
    x.slice([0..batch, top..top + h, left..left + w, 0..channels])
}

/// Halves a picture until it has the height and width of `shape`.
fn fit(mut x: Tensor<4>, shape: [usize; 4]) -> Tensor<4> {
    while x.dims()[1] > shape[1] {
        x = average_pool(x);
    }
    assert_eq!(x.dims(), shape, "what is drawn has the size of a halved picture");
    x
}
