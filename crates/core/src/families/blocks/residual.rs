//! A residual block with half of the channels inside.

use super::{GAMMA_INIT, WEIGHT_INIT};
use crate::nn::{BatchNorm, Conv2d, Init, Mode, Module, Param, join};
use burn::tensor::Tensor;
use maliang_kernels::{Activation, Conv2dOptions, Precision};

/// Kernel 3, padding 1: keeps height and width.
const SAME: Conv2dOptions = Conv2dOptions { stride: 1, padding: 1, precision: Precision::F32 };
/// Kernel 1.
const POINT: Conv2dOptions = Conv2dOptions { stride: 1, padding: 0, precision: Precision::F32 };

/// `x + BN(1×1 conv(ReLU(BN(3×3 conv(x)))))`: the block of VQ-VAE's decoder (van den Oord 2017, §4.1) with batch norm (He 2016)
/// and half of the channels inside. The γ of the last batch norm starts at zero, so that a block begins as the identity
/// (Goyal 2017, §5.1).
#[derive(Debug, Clone)]
pub struct ResidualBlock {
    reduce: Conv2d,
    reduce_norm: BatchNorm,
    expand: Conv2d,
    expand_norm: BatchNorm,
}

impl ResidualBlock {
    /// A block that keeps size and channels, of which there are at least two.
    pub fn new(channels: usize) -> Self {
        let inside = channels / 2;
        Self {
            reduce: Conv2d::new(channels, inside, 3, SAME, WEIGHT_INIT),
            reduce_norm: BatchNorm::new(inside, GAMMA_INIT, Activation::Relu),
            expand: Conv2d::new(inside, channels, 1, POINT, WEIGHT_INIT),
            expand_norm: BatchNorm::new(channels, Init::Constant(0.0), Activation::Identity),
        }
    }

    /// Multiply–adds a pixel.
    pub fn cost(channels: usize) -> f64 {
        (10 * channels * (channels / 2)) as f64
    }

    /// `[batch, height, width, channels]` → the same shape.
    pub fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        let inside = self.reduce_norm.forward(self.reduce.forward(x.clone()), mode);
        x + self.expand_norm.forward(self.expand.forward(inside), mode)
    }

    /// Its batch norms in forward order.
    pub fn norms(&mut self) -> [&mut BatchNorm; 2] {
        [&mut self.reduce_norm, &mut self.expand_norm]
    }
}

impl Module for ResidualBlock {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        self.reduce.collect(&join(path, "reduce"), into);
        self.reduce_norm.collect(&join(path, "reduce_norm"), into);
        self.expand.collect(&join(path, "expand"), into);
        self.expand_norm.collect(&join(path, "expand_norm"), into);
    }
}
