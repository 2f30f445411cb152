//! Inception v3 (Szegedy 2016) as FID sees through it: the network of TensorFlow's graph of 2015-12-05 (Heusel 2017), in the
//! form and under the names of the PyTorch package `pytorch-fid`. 21.8 million weights without the classifier, 5.7 billion
//! multiply–adds for a picture.
//!
//! It differs from the Inception v3 of the torchvision package in its weights, in averages that leave out the zeros around a
//! map, and in a maximum in place of the last average.

use super::in_batches;
use super::layer::{Layer, rename};
use crate::features::Extractor;
use crate::weights::{self, Weights, WeightsError};
use crate::{Error, Result};
use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor};
use maliang_kernels::{Activation, Conv2dOptions, Filter, Precision};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::Path;

/// Height and width of what the network sees.
const SIDE: usize = 299;
/// Pictures that are judged at once: their largest activations take some 70 MB.
const BATCH: usize = 8;
/// Length of the features: the channels of the last block.
const FEATURES: usize = 2048;
/// Classes of the classifier, whose weights tell this network from torchvision's with its 1000; features do not need it.
const CLASSES: usize = 1008;
/// Bytes and SHA-256 of the file that `pytorch-fid` publishes, `pt_inception-2015-12-05-6726825d.pth`.
const PUBLISHED: (u64, &str) = (95_628_359, "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2");

/// What stands before the convolutions of a branch.
#[derive(Debug, Clone, Copy)]
enum Pool {
    /// The mean of 3×3 pixels, of those that are inside the map.
    Average,
    /// The largest of 3×3 pixels.
    Max,
    /// The largest of 3×3 pixels, at every other pixel.
    Halve,
}

/// A convolution, followed by batch norm and ReLU.
#[derive(Debug, Clone, Copy)]
struct Shape {
    name: &'static str,
    kernel: [usize; 2],
    c_out: usize,
    stride: usize,
    /// Are there zeros around the map, so that it keeps its size?
    padded: bool,
}

/// With stride 1 and a map that keeps its size.
const fn conv(name: &'static str, kernel: [usize; 2], c_out: usize) -> Shape {
    Shape { name, kernel, c_out, stride: 1, padded: true }
}

/// 3×3, inside the map only.
const fn inside(name: &'static str, stride: usize, c_out: usize) -> Shape {
    Shape { name, kernel: [3, 3], c_out, stride, padded: false }
}

/// One way through a block: a pooling, convolutions one after the other, and where it forks, convolutions side by side.
#[derive(Debug, Clone)]
struct Branch<C> {
    pool: Option<Pool>,
    chain: Vec<C>,
    fork: Vec<C>,
}

/// The branches of a block all see its input; their outputs stand one after the other in its channels.
#[derive(Debug, Clone)]
struct Block<C> {
    /// Before the names of its convolutions.
    name: &'static str,
    branches: Vec<Branch<C>>,
}

fn chain(convs: &[Shape]) -> Branch<Shape> {
    Branch { pool: None, chain: convs.to_vec(), fork: Vec::new() }
}

fn pooled(pool: Pool, convs: &[Shape]) -> Branch<Shape> {
    Branch { pool: Some(pool), ..chain(convs) }
}

fn forked(convs: &[Shape], fork: [Shape; 2]) -> Branch<Shape> {
    Branch { fork: fork.to_vec(), ..chain(convs) }
}

/// Maps of 35×35 (Szegedy 2016, figure 5; the two 3×3 of one branch are one 5×5 here).
fn block_a(name: &'static str, pool: usize) -> Block<Shape> {
    let double = [conv("branch3x3dbl_1", [1, 1], 64), conv("branch3x3dbl_2", [3, 3], 96)];
    let branches = vec![
        chain(&[conv("branch1x1", [1, 1], 64)]),
        chain(&[conv("branch5x5_1", [1, 1], 48), conv("branch5x5_2", [5, 5], 64)]),
        chain(&[double[0], double[1], conv("branch3x3dbl_3", [3, 3], 96)]),
        pooled(Pool::Average, &[conv("branch_pool", [1, 1], pool)]),
    ];
    Block { name, branches }
}

/// From 35×35 to 17×17 (figure 10).
fn block_b(name: &'static str) -> Block<Shape> {
    let double = [conv("branch3x3dbl_1", [1, 1], 64), conv("branch3x3dbl_2", [3, 3], 96)];
    let branches = vec![
        chain(&[inside("branch3x3", 2, 384)]),
        chain(&[double[0], double[1], inside("branch3x3dbl_3", 2, 96)]),
        pooled(Pool::Halve, &[]),
    ];
    Block { name, branches }
}

/// Maps of 17×17, with a 7×7 as a row and a column (figure 6); `c` channels between them.
fn block_c(name: &'static str, c: usize) -> Block<Shape> {
    let branches = vec![
        chain(&[conv("branch1x1", [1, 1], 192)]),
        chain(&[conv("branch7x7_1", [1, 1], c), conv("branch7x7_2", [1, 7], c), conv("branch7x7_3", [7, 1], 192)]),
        chain(&[
            conv("branch7x7dbl_1", [1, 1], c),
            conv("branch7x7dbl_2", [7, 1], c),
            conv("branch7x7dbl_3", [1, 7], c),
            conv("branch7x7dbl_4", [7, 1], c),
            conv("branch7x7dbl_5", [1, 7], 192),
        ]),
        pooled(Pool::Average, &[conv("branch_pool", [1, 1], 192)]),
    ];
    Block { name, branches }
}

/// From 17×17 to 8×8.
fn block_d(name: &'static str) -> Block<Shape> {
    let branches = vec![
        chain(&[conv("branch3x3_1", [1, 1], 192), inside("branch3x3_2", 2, 320)]),
        chain(&[
            conv("branch7x7x3_1", [1, 1], 192),
            conv("branch7x7x3_2", [1, 7], 192),
            conv("branch7x7x3_3", [7, 1], 192),
            inside("branch7x7x3_4", 2, 192),
        ]),
        pooled(Pool::Halve, &[]),
    ];
    Block { name, branches }
}

/// Maps of 8×8, with rows and columns side by side (figure 7).
fn block_e(name: &'static str, pool: Pool) -> Block<Shape> {
    let branches = vec![
        chain(&[conv("branch1x1", [1, 1], 320)]),
        forked(
            &[conv("branch3x3_1", [1, 1], 384)],
            [conv("branch3x3_2a", [1, 3], 384), conv("branch3x3_2b", [3, 1], 384)],
        ),
        forked(
            &[conv("branch3x3dbl_1", [1, 1], 448), conv("branch3x3dbl_2", [3, 3], 384)],
            [conv("branch3x3dbl_3a", [1, 3], 384), conv("branch3x3dbl_3b", [3, 1], 384)],
        ),
        pooled(pool, &[conv("branch_pool", [1, 1], 192)]),
    ];
    Block { name, branches }
}

/// The whole network, from three colours to [`FEATURES`] channels.
fn plan() -> Vec<Block<Shape>> {
    let stem = |branch| Block { name: "", branches: vec![branch] };
    vec![
        stem(chain(&[
            inside("Conv2d_1a_3x3", 2, 32),
            inside("Conv2d_2a_3x3", 1, 32),
            conv("Conv2d_2b_3x3", [3, 3], 64),
        ])),
        stem(pooled(Pool::Halve, &[conv("Conv2d_3b_1x1", [1, 1], 80), inside("Conv2d_4a_3x3", 1, 192)])),
        stem(pooled(Pool::Halve, &[])),
        block_a("Mixed_5b.", 32),
        block_a("Mixed_5c.", 64),
        block_a("Mixed_5d.", 64),
        block_b("Mixed_6a."),
        block_c("Mixed_6b.", 128),
        block_c("Mixed_6c.", 160),
        block_c("Mixed_6d.", 160),
        block_c("Mixed_6e.", 192),
        block_d("Mixed_7a."),
        block_e("Mixed_7b.", Pool::Average),
        block_e("Mixed_7c.", Pool::Max),
    ]
}

/// The [`plan`] with what `make` gives for each convolution: its full name, its shape, and the shape `[c_out, c_in, kh, kw]` of
/// its weight.
fn build<C, E>(mut make: impl FnMut(&str, Shape, [usize; 4]) -> Result<C, E>) -> Result<Vec<Block<C>>, E> {
    let mut channels = 3;
    let mut blocks = Vec::new();
    for Block { name, branches } in plan() {
        let mut one = |shape: Shape, c_in: usize| {
            make(&format!("{name}{}", shape.name), shape, [shape.c_out, c_in, shape.kernel[0], shape.kernel[1]])
        };
        let mut built = Vec::new();
        let mut out = 0;
        for Branch { pool, chain, fork } in branches {
            let mut c = channels;
            let mut made = Vec::new();
            for shape in chain {
                made.push(one(shape, c)?);
                c = shape.c_out;
            }
            out += if fork.is_empty() { c } else { fork.iter().map(|shape| shape.c_out).sum() };
            let fork = fork.into_iter().map(|shape| one(shape, c)).collect::<Result<_, E>>()?;
            built.push(Branch { pool, chain: made, fork });
        }
        blocks.push(Block { name, branches: built });
        channels = out;
    }
    Ok(blocks)
}

/// A convolution with its batch norm and ReLU, and how it is laid over a map.
#[derive(Debug, Clone)]
struct Convolution {
    layer: Layer<4>,
    options: Conv2dOptions,
    /// Rows above and below, and columns left and right, of zeros that are there before the convolution sees the map.
    around: [usize; 2],
}

impl Convolution {
    /// Kernels pad both axes alike, which 1×7 and 7×1 do not.
    fn new(layer: Layer<4>, Shape { kernel, stride, padded, .. }: Shape) -> Self {
        let zeros = if padded { kernel.map(|k| k / 2) } else { [0, 0] };
        let (padding, around) = if zeros[0] == zeros[1] { (zeros[0], [0, 0]) } else { (0, zeros) };
        Self { layer, options: Conv2dOptions { stride, padding, precision: Precision::F32 }, around }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = if self.around == [0, 0] { x } else { surrounded(x, self.around) };
        self.layer.forward(x, self.options, Activation::Relu)
    }
}

/// `x` with so many rows of zeros above and below, and columns left and right.
fn surrounded(x: Tensor<4>, [rows, columns]: [usize; 2]) -> Tensor<4> {
    let [batch, height, width, channels] = x.dims();
    let zeros = Tensor::zeros([batch, height + 2 * rows, width + 2 * columns, channels], &x.device());
    zeros.slice_assign([0..batch, rows..rows + height, columns..columns + width, 0..channels], x)
}

impl Pool {
    fn forward(self, x: Tensor<4>) -> Tensor<4> {
        let x = x.permute([0, 3, 1, 2]); // Burn pools NCHW
        let max = MaxPoolOptions::new([3, 3]);
        let y = match self {
            Self::Average => {
                let options = AvgPoolOptions::new([3, 3]).with_stride([1, 1]).with_padding([1, 1]);
                avg_pool2d(x, options.with_count_include_pad(false))
            }
            Self::Max => max_pool2d(x, max.with_stride([1, 1]).with_padding([1, 1])),
            Self::Halve => max_pool2d(x, max.with_stride([2, 2])),
        };
        y.permute([0, 2, 3, 1])
    }
}

impl Branch<Convolution> {
    fn forward(&self, x: Tensor<4>) -> Vec<Tensor<4>> {
        let x = self.pool.map_or(x.clone(), |pool| pool.forward(x));
        let x = self.chain.iter().fold(x, |x, conv| conv.forward(x));
        if self.fork.is_empty() { vec![x] } else { self.fork.iter().map(|conv| conv.forward(x.clone())).collect() }
    }
}

/// The network without its classifier, frozen. Pictures are `[batch, height, width, 3]` in [-1, 1], at least 75 pixels a side.
#[derive(Debug, Clone)]
pub struct Inception {
    blocks: Vec<Block<Convolution>>,
    published: bool,
}

impl Inception {
    /// The network with these weights, under the names of `pytorch-fid`; what else is in `weights` stays there. `published`:
    /// are they known to be those of FID?
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn new(weights: &mut Weights, published: bool, device: &Device) -> Result<Self> {
        let blocks = build(|name, shape, weight| {
            let parts = parts(name);
            let layer = Layer::<4>::take(weights, [&parts[0], &parts[1]], weight, device)?;
            Ok::<_, Error>(Convolution::new(layer, shape))
        })?;
        Ok(Self { blocks, published })
    }

    /// Pooled features `[batch, 2048]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.blocks.iter().fold(x, |x, block| {
            Tensor::cat(block.branches.iter().flat_map(|branch| branch.forward(x.clone())).collect(), 3)
        });
        let [batch, height, width, channels] = x.dims();
        x.reshape([batch, height * width, channels]).mean_dim(1).reshape([batch, channels])
    }
}

impl Extractor for Inception {
    /// The name of FID's network only for what is known to be it.
    fn name(&self) -> String {
        if self.published { "inception" } else { "inception_unverified" }.into()
    }

    fn len(&self) -> usize {
        FEATURES
    }

    /// Pictures of another size are resized as `pytorch-fid` does it: between the two nearest pixels.
    fn extract(&self, pictures: Tensor<4>) -> Vec<Vec<f32>> {
        in_batches(pictures, BATCH, SIDE, Filter::Bilinear, |x| self.forward(x))
    }
}

/// The names of a convolution and of its batch norm.
fn parts(name: &str) -> [String; 2] {
    [format!("{name}.conv"), format!("{name}.bn")]
}

/// Takes the network out of `weights`, classifier included; nothing where they are of another network.
///
/// # Errors
/// A tensor that is missing or has another shape.
pub(super) fn recognise(weights: &mut Weights) -> Result<Option<Weights>, WeightsError> {
    if !weights.contains_key("Conv2d_1a_3x3.conv.weight") {
        return Ok(None);
    }
    let mut known = Weights::new();
    let classifier = [("fc.weight", &[CLASSES, FEATURES][..]), ("fc.bias", &[CLASSES])];
    for (name, shape) in classifier {
        known.insert(name.into(), weights::take(weights, name, shape)?);
    }
    build(|name, _, shape| {
        let parts = parts(name);
        let names = [parts[0].as_str(), &parts[1]];
        rename((weights, names), (&mut known, names), shape)
    })?;
    Ok(Some(known))
}

/// Is this file, byte for byte, the one that `pytorch-fid` publishes?
pub(super) fn is_published(file: &Path) -> std::io::Result<bool> {
    has_checksum(file, PUBLISHED)
}

/// Has the file this length and SHA-256?
fn has_checksum(file: &Path, (length, sha256): (u64, &str)) -> std::io::Result<bool> {
    let mut file = File::open(file)?;
    if file.metadata()?.len() != length {
        return Ok(false);
    }
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut hash)?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>() == sha256)
}

#[cfg(test)]
pub(super) mod tests;
