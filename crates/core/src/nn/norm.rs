//! Batch normalisation with standing statistics.

use super::{Init, Module, Param, join};
use burn::tensor::Tensor;
use maliang_kernels::Activation;
use std::cell::RefCell;

/// Ioffe & Szegedy's ε as every framework ships it.
const EPSILON: f32 = 1e-5;

/// Means and variances seen by the batch norms of one forward pass, in the order of the layers.
pub type Statistics = RefCell<Vec<(Tensor<1>, Tensor<1>)>>;

/// What batch norm normalises with.
///
/// Training keeps no running statistics: they would belong to the raw weights, while the weights that are kept are a moving
/// average. Instead the averaged model's own statistics are measured over a few batches whenever it is looked at or saved
/// ("standing statistics", Brock 2019, BigGAN, §4), so nothing has to be carried in the training state.
#[derive(Clone, Copy)]
pub enum Mode<'a> {
    /// With the statistics of this batch.
    Train,
    /// As `Train`, and writes the statistics down.
    Measure(&'a Statistics),
    /// With the standing statistics, so that a picture does not depend on its neighbours in the batch.
    Eval,
}

/// Batch norm and activation.
#[derive(Debug, Clone)]
pub struct BatchNorm {
    gamma: Param,
    beta: Param,
    mean: Param,
    variance: Param,
    activation: Activation,
}

impl BatchNorm {
    /// γ starts as `gamma` says, β at zero.
    pub fn new(channels: usize, gamma: Init, activation: Activation) -> Self {
        Self {
            gamma: Param::new(&[channels], gamma),
            beta: Param::new(&[channels], Init::Constant(0.0)),
            mean: Param::statistic(&[channels], 0.0),
            variance: Param::statistic(&[channels], 1.0),
            activation,
        }
    }

    /// Any shape `[.., channels]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>, mode: Mode) -> Tensor<D> {
        let (gamma, beta) = (self.gamma.get::<1>(), self.beta.get::<1>());
        if let Mode::Eval = mode {
            let scale = self.standing_scale();
            let shift = beta - self.mean.get::<1>() * scale.clone();
            return maliang_kernels::affine(x, scale, shift, self.activation);
        }
        let (y, mean, variance) = maliang_kernels::batch_norm(x, gamma, beta, EPSILON, self.activation);
        if let Mode::Measure(statistics) = mode {
            statistics.borrow_mut().push((mean, variance));
        }
        y
    }

    /// What each channel is multiplied by in [`Mode::Eval`]: `γ / √(variance + ε)`, `[channels]`.
    pub(crate) fn standing_scale(&self) -> Tensor<1> {
        self.gamma.get::<1>() / (self.variance.get::<1>() + EPSILON).sqrt()
    }

    /// Sets the standing statistics to the average over several measured passes.
    pub(crate) fn set_statistics(&mut self, passes: &[(Tensor<1>, Tensor<1>)]) {
        let average = |pick: fn(&(Tensor<1>, Tensor<1>)) -> Tensor<1>| {
            let sum = passes.iter().map(pick).reduce(|a, b| a + b).expect("at least one measured pass");
            sum / passes.len() as f32
        };
        self.mean.set(average(|p| p.0.clone()));
        self.variance.set(average(|p| p.1.clone()));
    }
}

impl Module for BatchNorm {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        into.push((join(path, "gamma"), &mut self.gamma));
        into.push((join(path, "beta"), &mut self.beta));
        into.push((join(path, "mean"), &mut self.mean));
        into.push((join(path, "variance"), &mut self.variance));
    }
}
