//! The backend extension: the operations that backends may override, with default bodies from `plain.rs`.

use crate::activation::Activation;
use crate::optim::AdamStep;
use crate::plain;
use burn::backend::ops::ConvOptions;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};

/// Stride and zero padding of a convolution, the same on both axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dOptions {
    /// Step between neighbouring output pixels, in input pixels; at least 1.
    pub stride: usize,
    /// Rows and columns of zeros around the input.
    pub padding: usize,
}

impl Conv2dOptions {
    /// Output height or width for an input of `size` and a kernel of `kernel`: `⌊(size + 2p − kernel) / s⌋ + 1`.
    ///
    /// # Panics
    /// If the kernel does not fit into the padded input.
    pub fn output_size(&self, size: usize, kernel: usize) -> usize {
        assert!(size + 2 * self.padding >= kernel, "a kernel of {kernel} does not fit into {size} pixels");
        (size + 2 * self.padding - kernel) / self.stride + 1
    }

    pub(crate) fn burn(&self) -> ConvOptions<2> {
        ConvOptions::new([self.stride; 2], [self.padding; 2], [1, 1], 1)
    }
}

/// Operations of Maliang on Burn's backends. Tensors are NHWC, weights `[kh, kw, c_in, c_out]`; the norm operations see
/// `[rows, channels]`. Use the functions of the crate root, which take `Tensor`s.
#[backend_extension(Flex, Cube: cfg(feature = "vulkan"), Autodiff)]
pub trait KernelOps: Backend {
    /// See [`conv2d`](crate::conv2d).
    fn conv2d_nhwc(x: FloatTensor<Self>, w: FloatTensor<Self>, options: Conv2dOptions) -> FloatTensor<Self> {
        plain::conv2d_nhwc::<Self>(x, w, options)
    }

    /// Gradient of `conv2d_nhwc` with respect to its input, whose height and width are `size`. This is transposed
    /// convolution: see [`conv_transpose2d`](crate::conv_transpose2d).
    fn conv2d_input_grad(
        gy: FloatTensor<Self>,
        w: FloatTensor<Self>,
        size: [usize; 2],
        options: Conv2dOptions,
    ) -> FloatTensor<Self> {
        plain::conv2d_input_grad::<Self>(gy, w, size, options)
    }

    /// Gradient of `conv2d_nhwc` with respect to its weight, whose height and width are `kernel`.
    fn conv2d_weight_grad(
        x: FloatTensor<Self>,
        gy: FloatTensor<Self>,
        kernel: [usize; 2],
        options: Conv2dOptions,
    ) -> FloatTensor<Self> {
        plain::conv2d_weight_grad::<Self>(x, gy, kernel, options)
    }

    /// See [`batch_norm`](crate::batch_norm). Returns (y, mean `[channels]`, biased variance `[channels]`).
    fn batch_norm_rows(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        plain::batch_norm_rows::<Self>(x, gamma, beta, epsilon, activation)
    }

    /// Gradients (x, γ, β) of `batch_norm_rows`, from its input, output, output gradient and batch statistics.
    #[allow(clippy::too_many_arguments)]
    fn batch_norm_backward(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gy: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f32,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        plain::batch_norm_backward::<Self>(x, y, gy, gamma, mean, variance, epsilon, activation)
    }

    /// See [`affine`](crate::affine).
    fn affine_rows(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        plain::affine_rows::<Self>(x, scale, shift, activation)
    }

    /// Gradients (x, scale, shift) of `affine_rows`.
    fn affine_backward(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gy: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        plain::affine_backward::<Self>(x, y, gy, scale, activation)
    }

    /// See [`augment`](crate::augment). `plans` holds [`AUGMENT_PARAMETERS`](crate::AUGMENT_PARAMETERS) numbers a picture.
    fn augment_pictures(x: FloatTensor<Self>, plans: Vec<f32>) -> FloatTensor<Self> {
        plain::augment_pictures::<Self>(x, plans)
    }

    /// Gradient of `augment_pictures` with respect to the pictures.
    fn augment_backward(gy: FloatTensor<Self>, plans: Vec<f32>) -> FloatTensor<Self> {
        plain::augment_backward::<Self>(gy, plans)
    }

    /// See [`adam`](crate::adam). Returns the new (parameter, first moment, second moment).
    fn adam_update(
        p: FloatTensor<Self>,
        g: FloatTensor<Self>,
        m: FloatTensor<Self>,
        v: FloatTensor<Self>,
        step: AdamStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        plain::adam_update::<Self>(p, g, m, v, step)
    }
}

/// GPUs run the default bodies.
#[cfg(feature = "vulkan")]
impl KernelOps for burn::backend::Cube {}
