//! The backend extension: the operations that backends may override, with default bodies from `plain.rs`.

use crate::activation::Activation;
use crate::optim::AdamStep;
use crate::options::{Conv2dOptions, DepthwiseOptions};
use crate::plain;
use crate::resize::Filter;
use crate::tensors::Tensors;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};

/// Operations of Maliang on Burn's backends. Tensors are NHWC, weights `[kh, kw, c_in, c_out]`; the norm operations see
/// `[rows, channels]`. Use the functions of the crate root, which take `Tensor`s.
#[backend_extension(Flex, Cube: cfg(feature = "vulkan"), Autodiff)]
pub trait KernelOps: Backend {
    /// See [`conv2d`](crate::conv2d).
    fn conv2d_nhwc(x: FloatTensor<Self>, w: FloatTensor<Self>, options: Conv2dOptions) -> FloatTensor<Self> {
        plain::conv2d_nhwc::<Self>(x, w, options)
    }

    /// See [`conv2d_bias`](crate::conv2d_bias).
    fn conv2d_bias(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: Conv2dOptions,
        activation: Activation,
    ) -> FloatTensor<Self> {
        plain::conv2d_bias::<Self>(x, w, bias, options, activation)
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

    /// See [`depthwise_conv2d`](crate::depthwise_conv2d).
    fn depthwise_nhwc(x: FloatTensor<Self>, w: FloatTensor<Self>, options: DepthwiseOptions) -> FloatTensor<Self> {
        plain::depthwise_nhwc::<Self>(x, w, options)
    }

    /// Gradient of `depthwise_nhwc` with respect to its input, whose height and width are `size`.
    fn depthwise_input_grad(
        gy: FloatTensor<Self>,
        w: FloatTensor<Self>,
        size: [usize; 2],
        options: DepthwiseOptions,
    ) -> FloatTensor<Self> {
        plain::depthwise_input_grad::<Self>(gy, w, size, options)
    }

    /// Gradient of `depthwise_nhwc` with respect to its weight, whose height and width are `kernel`.
    fn depthwise_weight_grad(
        x: FloatTensor<Self>,
        gy: FloatTensor<Self>,
        kernel: [usize; 2],
        options: DepthwiseOptions,
    ) -> FloatTensor<Self> {
        plain::depthwise_weight_grad::<Self>(x, gy, kernel, options)
    }

    /// See [`resize`](crate::resize).
    fn resize_pictures(x: FloatTensor<Self>, size: [usize; 2], filter: Filter) -> FloatTensor<Self> {
        plain::resize_pictures::<Self>(x, size, filter)
    }

    /// Gradient of `resize_pictures` with respect to the pictures, whose height and width were `size`.
    fn resize_backward(gy: FloatTensor<Self>, size: [usize; 2], filter: Filter) -> FloatTensor<Self> {
        plain::resize_backward::<Self>(gy, size, filter)
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

    /// Gradients (x, γ, β) of `batch_norm_rows`, from its inputs, output gradient and batch statistics.
    #[allow(clippy::too_many_arguments)]
    fn batch_norm_backward(
        x: FloatTensor<Self>,
        gy: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f32,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        plain::batch_norm_backward::<Self>(x, gy, gamma, beta, mean, variance, epsilon, activation)
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

    /// See [`bias`](crate::bias).
    fn bias_rows(x: FloatTensor<Self>, bias: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        plain::bias_rows::<Self>(x, bias, activation)
    }

    /// Gradient before an activation from the one after it and the activation's output: `gy · f′(y)`.
    fn activation_backward(y: FloatTensor<Self>, gy: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        plain::activation_backward::<Self>(y, gy, activation)
    }

    /// Sums over all rows: the gradient of a bias. `[rows, channels]` → `[channels]`.
    fn channel_sums(x: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::channel_sums::<Self>(x)
    }

    /// See [`augment`](crate::augment). `plans` holds [`AUGMENT_PARAMETERS`](crate::AUGMENT_PARAMETERS) numbers a picture.
    fn augment_pictures(x: FloatTensor<Self>, plans: Vec<f32>) -> FloatTensor<Self> {
        plain::augment_pictures::<Self>(x, plans)
    }

    /// Gradient of `augment_pictures` with respect to the pictures.
    fn augment_backward(gy: FloatTensor<Self>, plans: Vec<f32>) -> FloatTensor<Self> {
        plain::augment_backward::<Self>(gy, plans)
    }

    /// See [`glu`](crate::glu).
    fn glu_rows(x: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::glu_rows::<Self>(x)
    }

    /// Gradient of `glu_rows`, from its input.
    fn glu_backward(x: FloatTensor<Self>, gy: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::glu_backward::<Self>(x, gy)
    }

    /// See [`excite`](crate::excite). `x [batch, pixels, channels]`, `s [batch, channels]`.
    fn excite_pictures(x: FloatTensor<Self>, s: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::excite_pictures::<Self>(x, s)
    }

    /// Gradients (x, s) of `excite_pictures`, from its inputs.
    fn excite_backward(
        x: FloatTensor<Self>,
        s: FloatTensor<Self>,
        gy: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        plain::excite_backward::<Self>(x, s, gy)
    }

    /// See [`average_pool`](crate::average_pool).
    fn average_pool_nhwc(x: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::average_pool_nhwc::<Self>(x)
    }

    /// Gradient of `average_pool_nhwc` with respect to its input, whose height and width are `size`.
    fn average_pool_backward(gy: FloatTensor<Self>, size: [usize; 2]) -> FloatTensor<Self> {
        plain::average_pool_backward::<Self>(gy, size)
    }

    /// See [`adam`](crate::adam). `averages` is empty, or as long as `values`. Returns the new values, first moments,
    /// second moments and averages.
    #[allow(clippy::type_complexity)]
    fn adam_update(
        #[extension_type] values: Tensors<Self>,
        #[extension_type] gradients: Tensors<Self>,
        #[extension_type] first: Tensors<Self>,
        #[extension_type] second: Tensors<Self>,
        #[extension_type] averages: Tensors<Self>,
        step: AdamStep,
    ) -> (Tensors<Self>, Tensors<Self>, Tensors<Self>, Tensors<Self>) {
        plain::adam_update::<Self>(values, gradients, first, second, averages, step)
    }
}

/// GPUs run the default bodies.
#[cfg(feature = "vulkan")]
impl KernelOps for burn::backend::Cube {}
