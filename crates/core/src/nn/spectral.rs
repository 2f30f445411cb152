//! Spectral normalisation.

use super::conv::options;
use super::{Bias, Init, Module, Param, join};
use burn::tensor::Tensor;
use maliang_kernels::{Activation, Conv2dOptions};

/// Keeps the division finite where a vector is zero.
const EPSILON: f32 = 1e-12;

/// Convolution without bias whose weight is divided by its largest singular value (Miyato 2018), the weight seen as a matrix
/// `W [kh · kw · c_in, c_out]`.
///
/// The singular vectors are followed by one power iteration a step of the discriminator (his Algorithm 1), in
/// [`prepare`](Self::prepare); `u` is saved with the weights, so that training resumes exactly. σ = vᵀ W u is differentiated
/// through W, the vectors being constant (his Equation 10).
#[derive(Debug, Clone)]
pub struct SpectralConv2d {
    weight: Param,
    /// The right singular vector `[c_out]`.
    u: Param,
    options: Conv2dOptions,
    /// W / σ of this step: one tensor for all its passes, so that what was computed with it is found again.
    normalised: Option<Tensor<4>>,
}

impl SpectralConv2d {
    /// A square kernel.
    pub fn new(c_in: usize, c_out: usize, kernel: usize, options: Conv2dOptions, init: Init) -> Self {
        let u = Param { trained: false, ..Param::new(&[c_out], Init::Normal(0.0, 1.0)) };
        Self { weight: Param::new(&[kernel, kernel, c_in, c_out], init), u, options, normalised: None }
    }

    /// `f(x ∗ W / σ + bias)`, `[batch, height, width, c_in]` → `[batch, out_height, out_width, c_out]`.
    pub fn forward_bias(&self, x: Tensor<4>, bias: &Bias, activation: Activation) -> Tensor<4> {
        let options = options(self.options, &self.weight);
        maliang_kernels::conv2d_bias(x, self.normalised(), bias.bias.get(), options, activation)
    }

    /// As [`forward_bias`](Self::forward_bias), without bias and activation.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        maliang_kernels::conv2d(x, self.normalised(), options(self.options, &self.weight))
    }

    /// Before a step: moves `u` towards the singular vector of the largest singular value, `u ← Wᵀ W u / ‖Wᵀ W u‖`, and
    /// normalises the weight for all passes of the step.
    pub fn prepare(&mut self) {
        let w = self.matrix(self.weight.flat().detach().set_require_grad(false));
        let next = unit(w.clone().transpose().matmul(w.matmul(self.u())));
        self.u.set(next.flatten(0, 1));
        self.normalised = Some(self.normalise());
    }

    /// After a step: the weight may change.
    pub fn release(&mut self) {
        self.normalised = None;
    }

    fn normalised(&self) -> Tensor<4> {
        match &self.normalised {
            None => self.normalise(),
            Some(w) if self.weight.flat().is_tracked() => w.clone(),
            // Of a frozen copy no gradient goes back to the weight.
            Some(w) => w.clone().detach().set_require_grad(false),
        }
    }

    fn normalise(&self) -> Tensor<4> {
        let (w, u) = (self.matrix(self.weight.flat()), self.u());
        let v = unit(w.clone().detach().matmul(u.clone()));
        let sigma = (v * w.matmul(u)).sum() + EPSILON;
        self.weight.get::<4>() / sigma.reshape([1, 1, 1, 1])
    }

    fn matrix(&self, weight: Tensor<1>) -> Tensor<2> {
        let c_out = self.u.len();
        weight.reshape([self.weight.len() / c_out, c_out])
    }

    /// `[c_out, 1]` of length one.
    fn u(&self) -> Tensor<2> {
        unit(self.u.get::<1>().unsqueeze_dim(1))
    }
}

impl Module for SpectralConv2d {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        into.push((join(path, "weight"), &mut self.weight));
        into.push((join(path, "u"), &mut self.u));
    }
}

fn unit(v: Tensor<2>) -> Tensor<2> {
    let length = v.clone().powi_scalar(2).sum().sqrt() + EPSILON;
    v / length.unsqueeze::<2>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{self, host, vector};
    use burn::tensor::Device;
    use maliang_kernels::Precision;

    const ONE: Conv2dOptions = Conv2dOptions { stride: 1, padding: 0, precision: Precision::F32 };

    /// A 1×1 convolution with the singular values 3, 2 and 0.5 in rotated axes.
    fn layer(device: &Device) -> SpectralConv2d {
        let mut conv = SpectralConv2d::new(3, 3, 1, ONE, Init::Constant(0.0));
        nn::initialise(&mut conv, 1, device);
        let (c, s) = (0.8, 0.6);
        // diag(3, 2, ½) times a rotation of the first two axes.
        conv.weight.set(vector(vec![3.0 * c, -3.0 * s, 0.0, 2.0 * s, 2.0 * c, 0.0, 0.0, 0.0, 0.5], device));
        conv
    }

    #[test]
    fn the_largest_singular_value_becomes_one() {
        let device = Device::flex();
        let mut conv = layer(&device);
        (0..40).for_each(|_| conv.prepare());
        // The left singular vectors are the axes.
        for (axis, expected) in [(0, 1.0), (1, 2.0 / 3.0), (2, 0.5 / 3.0)] {
            let mut x = vec![0.0; 3];
            x[axis] = 1.0;
            let y = host(conv.forward(vector(x, &device).reshape([1, 1, 1, 3])));
            let length = y.iter().map(|v| v * v).sum::<f32>().sqrt();
            assert!((length - expected).abs() < 1e-4, "axis {axis}: {length}");
        }
    }

    /// The normalised weight does not change with the length of the weight, so its gradient is orthogonal to the weight; and
    /// it agrees with finite differences of the exactly normalised weight.
    #[test]
    fn gradients_go_through_the_singular_value() {
        let device = Device::flex().autodiff();
        let mut conv = layer(&device);
        (0..60).for_each(|_| conv.prepare());
        conv.release();
        let x = vector(vec![0.3, -1.2, 0.7, 1.1, 0.4, -0.5], &device).reshape([2, 1, 1, 3]);
        let loss = |conv: &SpectralConv2d| conv.forward(x.clone()).powi_scalar(2).sum();
        let gradient = host(conv.weight.flat().grad(&loss(&conv).backward()).unwrap());
        let weight = host(conv.weight.flat().inner());
        let dot: f32 = gradient.iter().zip(&weight).map(|(g, w)| g * w).sum();
        assert!(dot.abs() < 1e-4, "{dot}");
        for i in 0..9 {
            let at = |delta: f32| {
                let mut moved = weight.clone();
                moved[i] += delta;
                let mut conv = conv.clone();
                conv.weight.set(vector(moved, &device));
                (0..60).for_each(|_| conv.prepare());
                f64::from(host(loss(&conv).inner())[0])
            };
            let numeric = ((at(1e-2) - at(-1e-2)) / 2e-2) as f32;
            assert!((gradient[i] - numeric).abs() < 1e-2 * (1.0 + numeric.abs()), "{i}: {} {numeric}", gradient[i]);
        }
        // The singular vector is a statistic: kept, and not trained.
        let names: Vec<_> = conv.parameters().iter().map(|(name, p)| (name.clone(), p.is_trained())).collect();
        assert_eq!(names, [("weight".to_string(), true), ("u".to_string(), false)]);
    }
    /// Two passes through one normalised weight give the values and the gradient of two that normalise for themselves; a frozen
    /// copy gives the values, and its input a gradient.
    #[test]
    fn a_weight_is_normalised_once_for_all_passes() {
        let device = Device::flex().autodiff();
        let mut conv = layer(&device);
        let bias = {
            let mut bias = Bias::new(3);
            nn::initialise(&mut bias, 1, &device);
            bias
        };
        conv.prepare();
        let picture =
            |seed: f32| vector((0..12).map(|i| (i as f32 * seed).sin()).collect(), &device).reshape([4, 1, 1, 3]);
        let loss = |conv: &SpectralConv2d| {
            let passes = [0.7, 1.9].map(|seed| conv.forward_bias(picture(seed), &bias, Activation::Tanh));
            passes.map(|y| y.powi_scalar(2).sum()).into_iter().reduce(|a, b| a + b).unwrap()
        };
        let gradient = |conv: &SpectralConv2d| host(conv.weight.flat().grad(&loss(conv).backward()).unwrap());
        let mut alone = conv.clone();
        alone.release();
        assert_eq!(host(loss(&conv)), host(loss(&alone)));
        for (shared, own) in gradient(&conv).into_iter().zip(gradient(&alone)) {
            assert!((shared - own).abs() < 1e-5 * (1.0 + own.abs()), "{shared} {own}");
        }
        conv.prepare();
        let x = picture(0.3).require_grad();
        let frozen = conv.frozen().forward(x.clone());
        assert_eq!(host(frozen.clone()), host(conv.forward(picture(0.3))));
        let gradients = frozen.powi_scalar(2).sum().backward();
        assert!(x.grad(&gradients).is_some() && conv.weight.flat().grad(&gradients).is_none());
    }
}
