//! CPU kernels and the Burn backend extension of Maliang.
//!
//! Operations on sequences of tokens are in [`text`].
//!
//! Each operation exists three times: a default body composed of Burn operations ([`KernelOps`]; what other backends
//! run, and the oracle of the tests), a fast kernel for Burn's CPU backend, and a hand-written backward pass.
//! Activations are NHWC (`[batch, height, width, channel]`), convolution weights `[kh, kw, c_in, c_out]`.
//! Shapes that do not fit panic: callers check them where they enter the program.
//!
//! All `unsafe` of the project is here, but for the one call in the core that maps caches into memory; every block says why it is
//! sound.

mod activation;
mod augment;
mod autodiff;
mod conv;
mod flex;
mod gate;
mod gemm;
mod memory;
mod norm;
mod ops;
mod optim;
mod options;
mod plain;
mod pool;
mod resize;
mod reuse;
mod simd;
mod tensors;
#[cfg(test)]
mod tests;
pub mod text;
pub mod workload;

pub use activation::Activation;
pub use augment::AUGMENT_PARAMETERS;
pub use flex::with_default_bodies;
pub use memory::keep_freed_memory;
pub use ops::KernelOps;
pub use optim::AdamStep;
pub use options::{Conv2dOptions, DepthwiseOptions, Precision};
pub use resize::Filter;
pub use reuse::Reuse;
pub use tensors::Tensors;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

/// Convolution: `y[b, oh, ow, o] = Σ_(i, j, c) x[b, oh·s + i − p, ow·s + j − p, c] · w[i, j, c, o]`.
///
/// # Shapes
/// `x [batch, height, width, c_in]`, `w [kh, kw, c_in, c_out]` →
/// `[batch, ⌊(height + 2p − kh)/s⌋ + 1, ⌊(width + 2p − kw)/s⌋ + 1, c_out]`.
pub fn conv2d(x: Tensor<4>, w: Tensor<4>, options: Conv2dOptions) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as KernelOps>::conv2d_nhwc(x.into_dispatch(), w.into_dispatch(), options))
}

/// Convolution, bias per output channel and activation: `y = f(conv2d(x, w) + bias)`.
///
/// # Shapes
/// As [`conv2d`], `bias [c_out]`.
pub fn conv2d_bias(
    x: Tensor<4>,
    w: Tensor<4>,
    bias: Tensor<1>,
    options: Conv2dOptions,
    activation: Activation,
) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as KernelOps>::conv2d_bias(
        x.into_dispatch(),
        w.into_dispatch(),
        bias.into_dispatch(),
        options,
        activation,
    ))
}

/// Linear layer: `y = x · w`.
///
/// # Shapes
/// `x [batch, n_in]`, `w [n_in, n_out]` → `[batch, n_out]`.
pub fn linear(x: Tensor<2>, w: Tensor<2>, precision: Precision) -> Tensor<2> {
    let ([batch, n_in], [_, n_out]) = (x.dims(), w.dims());
    let options = Conv2dOptions { stride: 1, padding: 0, precision };
    conv2d(x.reshape([batch, 1, 1, n_in]), w.reshape([1, 1, n_in, n_out]), options).reshape([batch, n_out])
}

/// Transposed convolution: the adjoint of the [`conv2d`] that maps pictures of `size` and `w.dims()[2]` channels to the
/// size and channels of `x`. `size` must be one that this convolution really maps there, so odd sizes need no separate
/// output padding.
///
/// # Shapes
/// `x [batch, h, w, c_out]`, `w [kh, kw, c_in, c_out]`, `size [height, width]` → `[batch, height, width, c_in]`.
pub fn conv_transpose2d(x: Tensor<4>, w: Tensor<4>, size: [usize; 2], options: Conv2dOptions) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as KernelOps>::conv2d_input_grad(
        x.into_dispatch(),
        w.into_dispatch(),
        size,
        options,
    ))
}

/// Depthwise convolution: `y[b, oh, ow, c] = Σ_(i, j) x[b, oh·s + i − top, ow·s + j − left, c] · w[i, j, c]`.
///
/// # Shapes
/// `x [batch, height, width, channels]`, `w [kh, kw, channels]` → `[batch, out_height, out_width, channels]` with the
/// size that [`DepthwiseOptions::output_size`] says.
pub fn depthwise_conv2d(x: Tensor<4>, w: Tensor<3>, options: DepthwiseOptions) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as KernelOps>::depthwise_nhwc(x.into_dispatch(), w.into_dispatch(), options))
}

/// Resizes pictures, rows and columns one after the other; the centres of the corner pixels' areas stay where they are
/// (`align_corners = false`). Differentiable in the pictures.
///
/// # Shapes
/// `x [batch, height, width, channels]`, `size [height, width]` → `[batch, size[0], size[1], channels]`.
pub fn resize(x: Tensor<4>, size: [usize; 2], filter: Filter) -> Tensor<4> {
    let [_, height, width, _] = x.dims();
    if size == [height, width] {
        return x;
    }
    Tensor::from_dispatch(<Dispatch as KernelOps>::resize_pictures(x.into_dispatch(), size, filter))
}

/// Batch normalisation with the statistics of this batch (Ioffe & Szegedy 2015), then an activation:
/// `y = f(γ (x − mean) / √(variance + ε) + β)` per channel. Returns y, the mean and the biased variance.
///
/// # Shapes
/// `x [.., channels]`, `gamma`, `beta`, mean, variance `[channels]`.
pub fn batch_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f32,
    activation: Activation,
) -> (Tensor<D>, Tensor<1>, Tensor<1>) {
    let shape = x.dims();
    let (y, mean, variance) = <Dispatch as KernelOps>::batch_norm_rows(
        rows(x).into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        epsilon,
        activation,
    );
    (Tensor::<2>::from_dispatch(y).reshape(shape), Tensor::from_dispatch(mean), Tensor::from_dispatch(variance))
}

/// Per-channel affine map and activation: `y = f(x · scale + shift)`.
///
/// # Shapes
/// `x [.., channels]`, `scale`, `shift` `[channels]`.
pub fn affine<const D: usize>(x: Tensor<D>, scale: Tensor<1>, shift: Tensor<1>, activation: Activation) -> Tensor<D> {
    let shape = x.dims();
    let y = <Dispatch as KernelOps>::affine_rows(
        rows(x).into_dispatch(),
        scale.into_dispatch(),
        shift.into_dispatch(),
        activation,
    );
    Tensor::<2>::from_dispatch(y).reshape(shape)
}

/// A bias per channel and an activation: `y = f(x + bias)`. Written over `x` where nothing else holds it.
///
/// # Shapes
/// `x [.., channels]`, `bias [channels]`.
pub fn bias<const D: usize>(x: Tensor<D>, bias: Tensor<1>, activation: Activation) -> Tensor<D> {
    let shape = x.dims();
    let y = <Dispatch as KernelOps>::bias_rows(rows(x).into_dispatch(), bias.into_dispatch(), activation);
    Tensor::<2>::from_dispatch(y).reshape(shape)
}

/// Gated linear unit (Dauphin 2017): `y = a · σ(b)`, a the first half of the channels of x and b the second.
///
/// # Shapes
/// `x [.., 2 · channels]` → `[.., channels]`.
pub fn glu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let mut shape = x.dims();
    assert!(shape[D - 1].is_multiple_of(2), "a gated linear unit takes an even number of channels");
    shape[D - 1] /= 2;
    Tensor::<2>::from_dispatch(<Dispatch as KernelOps>::glu_rows(rows(x).into_dispatch())).reshape(shape)
}

/// Scales each channel of each picture by a number of its own: `y[b, h, w, c] = x[b, h, w, c] · s[b, c]`, the second half of
/// squeeze and excitation (Hu 2018).
///
/// # Shapes
/// `x [batch, height, width, channels]`, `s [batch, channels]` → as `x`.
pub fn excite(x: Tensor<4>, s: Tensor<2>) -> Tensor<4> {
    let shape = x.dims();
    let [batch, height, width, channels] = shape;
    assert_eq!(s.dims(), [batch, channels], "one number a channel of a picture");
    let x = x.reshape([batch, height * width, channels]);
    let y = <Dispatch as KernelOps>::excite_pictures(x.into_dispatch(), s.into_dispatch());
    Tensor::<3>::from_dispatch(y).reshape(shape)
}

/// The mean of each 2×2 square of pixels; an odd last row or column is left out.
///
/// # Shapes
/// `x [batch, height, width, channels]`, both sides at least 2 → `[batch, ⌊height / 2⌋, ⌊width / 2⌋, channels]`.
pub fn average_pool(x: Tensor<4>) -> Tensor<4> {
    let [_, height, width, _] = x.dims();
    assert!(height >= 2 && width >= 2, "a picture of {height}x{width} has no squares to average");
    Tensor::from_dispatch(<Dispatch as KernelOps>::average_pool_nhwc(x.into_dispatch()))
}

/// DiffAugment (Zhao 2020): per picture brightness, saturation, contrast, translation and cutout as `plans` says
/// ([`AUGMENT_PARAMETERS`] numbers a picture: brightness, saturation, contrast, dy, dx, cutout top, left, bottom, right;
/// the last six whole pixels). Differentiable in the pictures.
///
/// # Shapes
/// `x [batch, height, width, channels]`, `plans` of `batch · AUGMENT_PARAMETERS` numbers → as `x`.
pub fn augment(x: Tensor<4>, plans: Vec<f32>) -> Tensor<4> {
    assert_eq!(plans.len(), x.dims()[0] * AUGMENT_PARAMETERS, "one augmentation plan a picture");
    Tensor::from_dispatch(<Dispatch as KernelOps>::augment_pictures(x.into_dispatch(), plans))
}

/// What an optimiser step changes: flat tensors, the same number in every list.
#[derive(Debug, Default)]
pub struct AdamState {
    /// The weights p.
    pub values: Vec<Tensor<1>>,
    /// First moments m of the gradients.
    pub first: Vec<Tensor<1>>,
    /// Second moments v.
    pub second: Vec<Tensor<1>>,
    /// Moving averages of the weights; empty where none are kept.
    pub averages: Vec<Tensor<1>>,
}

/// One step of AdamW with gradient clipping and moving average, on all weights of a network at once.
///
/// With `c = min(1, clip_norm / ‖g‖)`, the norm taken over all gradients together (Pascanu 2013, Algorithm 1):
/// `g ← c g`, `m ← β₁ m + (1 − β₁) g`, `v ← β₂ v + (1 − β₂) g²`, `m̂ = m / (1 − β₁ᵗ)`, `v̂ = v / (1 − β₂ᵗ)`
/// (Kingma & Ba 2015, Algorithm 1), `p ← p − lr · (m̂ / (√v̂ + ε) + decay · p)` (Loshchilov & Hutter 2019, Algorithm 2, the
/// schedule multiplier within lr), `average ← β average + (1 − β) p`.
///
/// Tensors that nothing else holds are changed in place: hand over the last handle.
pub fn adam(state: AdamState, gradients: Vec<Tensor<1>>, step: AdamStep) -> AdamState {
    let AdamState { values, first, second, averages } = state;
    assert!(averages.is_empty() || averages.len() == values.len(), "one average a tensor, or none");
    if values.is_empty() {
        return AdamState::default();
    }
    let (values, first, second, averages) = <Dispatch as KernelOps>::adam_update(
        values.into(),
        gradients.into(),
        first.into(),
        second.into(),
        averages.into(),
        step,
    );
    AdamState { values: values.into(), first: first.into(), second: second.into(), averages: averages.into() }
}

pub(crate) fn rows<const D: usize>(x: Tensor<D>) -> Tensor<2> {
    let channels = x.dims()[D - 1];
    let count = x.shape().num_elements() / channels.max(1);
    x.reshape([count, channels])
}
