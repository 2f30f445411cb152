//! A convolution with the batch norm after it, as frozen networks have them. With its standing statistics batch norm is a
//! per-channel affine map: its scale is multiplied into the convolution's weight, its shift stays as a bias.

use crate::Result;
use crate::nn::{host, vector};
use crate::weights::{self, HostTensor, Weights, WeightsError};
use burn::tensor::{Device, Tensor, TensorData};
use maliang_kernels::{Activation, Conv2dOptions, conv2d_bias};

/// Under the variances of batch norm: TensorFlow's number, which the networks here were trained with.
const EPSILON: f32 = 1e-3;

/// The parts of a batch norm's name.
pub(super) const NORM: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

/// A convolution's weight with D dimensions, and what is added per channel after it.
#[derive(Debug, Clone)]
pub(super) struct Layer<const D: usize> {
    pub weight: Tensor<D>,
    pub shift: Tensor<1>,
}

impl<const D: usize> Layer<D> {
    /// The layer for pictures that are tracked by autodiff, or not.
    pub(super) fn like(&self, x: &Tensor<4>) -> (Tensor<D>, Tensor<1>) {
        let (weight, shift) = (self.weight.clone(), self.shift.clone());
        if x.is_autodiff() { (weight.autodiff(), shift.autodiff()) } else { (weight, shift) }
    }
}

impl Layer<4> {
    /// Takes the weight `{conv}.weight` of `shape` `[c_out, c_in, kh, kw]` and the batch norm `{norm}.…` out of `weights`.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub(super) fn take(
        weights: &mut Weights,
        [conv, norm]: [&str; 2],
        shape: [usize; 4],
        device: &Device,
    ) -> Result<Self> {
        let (w, shift) = folded(weights, [conv, norm], shape)?;
        let w = Tensor::<4>::from_data(TensorData::new(w.data, shape), device);
        Ok(Self { weight: settled(w.permute([2, 3, 1, 0])), shift: vector(shift, device) })
    }

    pub(super) fn forward(&self, x: Tensor<4>, options: Conv2dOptions, activation: Activation) -> Tensor<4> {
        let (weight, shift) = self.like(&x);
        conv2d_bias(x, weight, shift, options, activation)
    }
}

impl Layer<3> {
    /// The same for a depthwise convolution of `shape` `[channels, 1, kh, kw]`.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub(super) fn take(
        weights: &mut Weights,
        [conv, norm]: [&str; 2],
        shape: [usize; 4],
        device: &Device,
    ) -> Result<Self> {
        let (w, shift) = folded(weights, [conv, norm], shape)?;
        let w = Tensor::<3>::from_data(TensorData::new(w.data, [shape[0], shape[2], shape[3]]), device);
        Ok(Self { weight: settled(w.permute([1, 2, 0])), shift: vector(shift, device) })
    }
}

/// Moves a convolution's weight and the parts of its batch norm from `theirs` to `ours`, which has other names for them.
pub(super) fn rename(
    (theirs, [conv, norm]): (&mut Weights, [&str; 2]),
    (ours, [our_conv, our_norm]): (&mut Weights, [&str; 2]),
    shape: [usize; 4],
) -> Result<(), WeightsError> {
    ours.insert(format!("{our_conv}.weight"), weights::take(theirs, &format!("{conv}.weight"), &shape)?);
    for part in NORM {
        ours.insert(format!("{our_norm}.{part}"), weights::take(theirs, &format!("{norm}.{part}"), &shape[..1])?);
    }
    Ok(())
}

/// A convolution's weight times the scale of its batch norm, and the shift.
fn folded(weights: &mut Weights, [conv, norm]: [&str; 2], shape: [usize; 4]) -> Result<(HostTensor, Vec<f32>)> {
    let mut w = weights::take(weights, &format!("{conv}.weight"), &shape)?;
    let mut part = |part: &str| weights::take(weights, &format!("{norm}.{part}"), &shape[..1]);
    let [gamma, beta, mean, variance] =
        [part(NORM[0])?, part(NORM[1])?, part(NORM[2])?, part(NORM[3])?].map(|t| t.data);
    let scale: Vec<f32> = gamma.iter().zip(&variance).map(|(g, v)| g / (v + EPSILON).sqrt()).collect();
    let shift = beta.iter().zip(&mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
    let taps = shape[1..].iter().product();
    for (w, scale) in w.data.chunks_exact_mut(taps).zip(&scale) {
        w.iter_mut().for_each(|w| *w *= scale);
    }
    Ok((w, shift))
}

/// The tensor in the order of its own dimensions, so that no convolution has to bring it there again.
fn settled<const D: usize>(w: Tensor<D>) -> Tensor<D> {
    let (device, shape) = (w.device(), w.dims());
    Tensor::from_data(TensorData::new(host(w), shape), &device)
}
