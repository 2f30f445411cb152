//! Convolutions in NHWC.

use super::{Init, Module, Param, join};
use burn::tensor::Tensor;
use maliang_kernels::{Activation, Conv2dOptions};

/// Convolution without bias; weights `[kh, kw, c_in, c_out]`.
#[derive(Debug, Clone)]
pub struct Conv2d {
    weight: Param,
    options: Conv2dOptions,
}

impl Conv2d {
    /// A square kernel.
    pub fn new(c_in: usize, c_out: usize, kernel: usize, options: Conv2dOptions, init: Init) -> Self {
        Self { weight: Param::new(&[kernel, kernel, c_in, c_out], init), options }
    }

    /// `[batch, height, width, c_in]` → `[batch, out_height, out_width, c_out]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        maliang_kernels::conv2d(x, self.weight.get(), options(self.options, &self.weight))
    }
}

/// Convolution, bias and activation in one; see [`Conv2d`].
#[derive(Debug, Clone)]
pub struct Conv2dBias {
    conv: Conv2d,
    bias: Bias,
    activation: Activation,
}

impl Conv2dBias {
    /// A bias that starts at zero.
    pub fn new(conv: Conv2d, c_out: usize, activation: Activation) -> Self {
        Self { conv, bias: Bias::new(c_out), activation }
    }

    /// `[batch, height, width, c_in]` → `[batch, out_height, out_width, c_out]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let Conv2d { weight, options: o } = &self.conv;
        maliang_kernels::conv2d_bias(x, weight.get(), self.bias.bias.get(), options(*o, weight), self.activation)
    }
}

impl Module for Conv2dBias {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        self.conv.collect(path, into);
        self.bias.collect(path, into);
    }
}

impl Module for Conv2d {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        into.push((join(path, "weight"), &mut self.weight));
    }
}

/// Transposed convolution without bias: the adjoint of the [`Conv2d`] that maps `size` back to the input's size. Its
/// weight has that convolution's shape `[kh, kw, c_out, c_in]`.
#[derive(Debug, Clone)]
pub struct ConvTranspose2d {
    weight: Param,
    size: [usize; 2],
    options: Conv2dOptions,
}

impl ConvTranspose2d {
    /// A square kernel, producing pictures of `size` (height, width).
    pub fn new(c_in: usize, c_out: usize, kernel: usize, size: [usize; 2], options: Conv2dOptions, init: Init) -> Self {
        Self { weight: Param::new(&[kernel, kernel, c_out, c_in], init), size, options }
    }

    /// `[batch, height, width, c_in]` → `[batch, size[0], size[1], c_out]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        maliang_kernels::conv_transpose2d(x, self.weight.get(), self.size, options(self.options, &self.weight))
    }
}

impl Module for ConvTranspose2d {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        into.push((join(path, "weight"), &mut self.weight));
    }
}

/// The options of a layer, in the precision of its weight.
pub(super) fn options(options: Conv2dOptions, weight: &Param) -> Conv2dOptions {
    Conv2dOptions { precision: weight.precision(), ..options }
}

/// A bias per channel and an activation, in one pass.
#[derive(Debug, Clone)]
pub struct Bias {
    pub(super) bias: Param,
}

impl Bias {
    /// Starts at zero.
    pub fn new(channels: usize) -> Self {
        Self { bias: Param::new(&[channels], Init::Constant(0.0)) }
    }

    /// `f(x + bias)`, any shape `[.., channels]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>, activation: Activation) -> Tensor<D> {
        maliang_kernels::bias(x, self.bias.get(), activation)
    }
}

impl Module for Bias {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        into.push((join(path, "bias"), &mut self.bias));
    }
}
