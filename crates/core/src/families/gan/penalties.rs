//! Penalties on the discriminator's gradient with respect to its pictures, by first derivatives alone.
//!
//! Burn differentiates once. What training needs of a penalty is its gradient in the weights θ, and that is a derivative along a
//! direction: with f(X) the sum of the critic's opinions of a batch and g = ∇f(X),
//!
//! `∇θ Σ φ(‖gᵢ‖) = ∇θ ⟨V, ∇f(X)⟩`, where `Vᵢ = φ′(‖gᵢ‖) gᵢ / ‖gᵢ‖` is held constant,
//!
//! and `⟨V, ∇f(X)⟩ = [f(X + εV) − f(X − εV)] / 2ε + O(ε²)`: one backward pass for V, and two forward passes whose gradient in
//! θ is taken as always. It holds for any network, batch norm included, because V moves all pictures at once.

use crate::nn::host;
use burn::tensor::Tensor;

/// A penalty φ of a gradient's length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Penalty {
    /// `γ/2 · ‖g‖²`: R1 on real pictures, R2 on generated ones (Mescheder 2018, Equations 9 and 10).
    Zero(f32),
    /// `λ · (‖g‖ − 1)²` (Gulrajani 2017, Equation 3).
    One(f32),
}

/// How far the pictures are moved, a number of them: half a grey level, root mean square, where the gradient is longest.
const STEP: f32 = 1.0 / 255.0;

/// A number whose gradient in the critic's weights is that of the mean penalty over the pictures `x [batch, ..]`; its value
/// means nothing. None where no picture has a gradient.
///
/// `critic` is the sum of the critic's opinions of all pictures, with weights that are tracked; `frozen` the same critic with
/// weights that are not.
pub fn penalty(
    kind: Penalty,
    critic: impl Fn(Tensor<4>) -> Tensor<1>,
    frozen: impl Fn(Tensor<4>) -> Tensor<1>,
    x: Tensor<4>,
) -> Option<Tensor<1>> {
    let x = x.detach();
    let leaf = x.clone().require_grad();
    let g = leaf.grad(&frozen(leaf.clone()).backward())?;
    let [batch, height, width, channels] = g.dims();
    let numbers = height * width * channels;
    let length = g.clone().reshape([batch, numbers]).powi_scalar(2).sum_dim(1).sqrt(); // ‖gᵢ‖, [batch, 1]
    let slope = match kind {
        Penalty::Zero(gamma) => length.ones_like() * gamma,
        Penalty::One(lambda) => (-(length.clone() + 1e-12).recip() + 1.0) * (2.0 * lambda),
    };
    let longest = host((slope.clone() * length).abs().max())[0];
    if longest == 0.0 {
        return None;
    }
    let direction = g * slope.reshape([batch, 1, 1, 1]) / longest;
    let epsilon = STEP * (numbers as f32).sqrt();
    let moved = Tensor::from_inner(direction * epsilon);
    let difference = critic(x.clone() + moved.clone()) - critic(x - moved);
    Some(difference * (longest / (2.0 * epsilon * batch as f32)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{self, BatchNorm, Conv2d, Init, Mode, Module, vector};
    use crate::rng;
    use burn::tensor::{Device, TensorData};
    use maliang_kernels::{Activation, Conv2dOptions, Precision};

    fn pictures(device: &Device) -> Tensor<4> {
        let numbers = rng::normal(&mut rng::stream(5, "x", 0), 3 * 6 * 6 * 2);
        Tensor::from_data(TensorData::new(numbers, [3, 6, 6, 2]), device)
    }

    /// f(x) = θ/2 · Σ w x²: ∇f = θ w x, so the mean of γ/2 ‖∇f‖² has the slope γ θ/n · Σ (w x)² in θ, and the mean of
    /// λ(‖∇f‖ − 1)² the slope 2λ/n · Σᵢ (θ sᵢ − 1) sᵢ with sᵢ = ‖w xᵢ‖.
    #[test]
    fn an_analytic_critic() {
        let device = Device::flex().autodiff();
        let x = pictures(&device);
        let w = vector((0..72).map(|i| 0.2 + i as f32 / 50.0).collect(), &device).reshape([1, 6, 6, 2]);
        let theta = vector(vec![0.7], &device).require_grad();
        let critic = |theta: Tensor<1>| {
            let w = w.clone();
            move |x: Tensor<4>| (x.powi_scalar(2) * w.clone()).sum() * theta.clone() * 0.5
        };
        let s: Vec<f32> = host((x.clone() * w.clone()).reshape([3, 72]).powi_scalar(2).sum_dim(1).sqrt().inner());
        let zero = 5.0 * 0.7 / 3.0 * s.iter().map(|s| s * s).sum::<f32>();
        let one = 2.0 * 5.0 / 3.0 * s.iter().map(|s| (0.7 * s - 1.0) * s).sum::<f32>();
        for (kind, expected) in [(Penalty::Zero(5.0), zero), (Penalty::One(5.0), one)] {
            let value = penalty(kind, critic(theta.clone()), critic(theta.clone().detach()), x.clone()).unwrap();
            let slope = host(theta.grad(&value.backward()).unwrap())[0];
            assert!((slope - expected).abs() < 2e-3 * expected.abs(), "{kind:?}: {slope}, not {expected}");
        }
        let constant = |x: Tensor<4>| (x * 0.0).sum();
        assert!(penalty(Penalty::Zero(1.0), constant, constant, x).is_none());
    }

    #[derive(Debug, Clone)]
    struct Network {
        first: Conv2d,
        norm: BatchNorm,
        second: Conv2d,
    }

    impl Module for Network {
        fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut nn::Param)>) {
            self.first.collect(&format!("{path}first"), into);
            self.norm.collect(&format!("{path}norm"), into);
            self.second.collect(&format!("{path}second"), into);
        }
    }

    impl Network {
        fn sum(&self, x: Tensor<4>) -> Tensor<1> {
            let x = self.norm.forward(self.first.forward(x), Mode::Train);
            self.second.forward(x).tanh().sum()
        }

        /// The mean penalty, from the exact input gradient.
        fn value(&self, kind: Penalty, x: &Tensor<4>) -> f64 {
            let leaf = x.clone().require_grad();
            let g = leaf.grad(&self.frozen().sum(leaf.clone()).backward()).unwrap();
            let lengths = host(g.reshape([3, 72]).powi_scalar(2).sum_dim(1).sqrt());
            let of = |length: &f32| match kind {
                Penalty::Zero(gamma) => f64::from(gamma * length * length) / 2.0,
                Penalty::One(lambda) => f64::from(lambda * (length - 1.0).powi(2)),
            };
            lengths.iter().map(of).sum::<f64>() / 3.0
        }
    }

    /// Against central differences, in the weights, of the penalty itself; batch norm makes every picture depend on the others.
    #[test]
    fn a_network_with_batch_norm() {
        let device = Device::flex().autodiff();
        let options = Conv2dOptions { stride: 1, padding: 1, precision: Precision::F32 };
        let init = Init::Normal(0.0, 0.3);
        let mut network = Network {
            first: Conv2d::new(2, 4, 3, options, init),
            norm: BatchNorm::new(4, Init::Normal(1.0, 0.1), Activation::Tanh),
            second: Conv2d::new(4, 1, 3, options, init),
        };
        nn::initialise(&mut network, 8, &device);
        let x = pictures(&device);
        for kind in [Penalty::Zero(2.0), Penalty::One(3.0)] {
            let frozen = network.frozen();
            let value = penalty(kind, |x| network.sum(x), |x| frozen.sum(x), x.clone()).unwrap();
            let gradients = value.backward();
            let names: Vec<_> = network.parameters().into_iter().filter(|(_, p)| p.is_trained()).collect();
            let found: Vec<(String, Vec<f32>)> =
                names.into_iter().filter_map(|(name, p)| Some((name, host(p.flat().grad(&gradients)?)))).collect();
            assert!(found.len() >= 3, "both convolutions and γ at least");
            for (name, analytic) in found {
                let largest = analytic.iter().fold(0.0, |a: f32, v| a.max(v.abs()));
                for i in (0..analytic.len()).step_by(5) {
                    let at = |delta: f32| {
                        let mut moved = network.clone();
                        let mut parameters = moved.parameters();
                        let (_, param) = parameters.iter_mut().find(|(n, _)| *n == name).unwrap();
                        let mut values = host(param.flat().inner());
                        values[i] += delta;
                        param.set(vector(values, &device));
                        moved.value(kind, &x)
                    };
                    let numeric = ((at(5e-3) - at(-5e-3)) / 1e-2) as f32;
                    let apart = (analytic[i] - numeric).abs();
                    assert!(apart < 0.02 * largest + 0.02, "{kind:?} {name}[{i}]: {}, not {numeric}", analytic[i]);
                }
            }
        }
    }
}
