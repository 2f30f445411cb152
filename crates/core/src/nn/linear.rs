//! The fully connected layer.

use super::{Init, Module, Param, join};
use burn::tensor::Tensor;

/// `y = x · W` without bias; `W [n_in, n_out]`.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Param,
}

impl Linear {
    /// A layer from `n_in` to `n_out` numbers.
    pub fn new(n_in: usize, n_out: usize, init: Init) -> Self {
        Self { weight: Param::new(&[n_in, n_out], init) }
    }

    /// The matrix W.
    pub(crate) fn weight(&self) -> Tensor<2> {
        self.weight.get()
    }

    /// `[batch, n_in]` → `[batch, n_out]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        maliang_kernels::linear(x, self.weight.get(), self.weight.precision())
    }

    /// The same for many rows, as the tokens of a batch are: multiplied where they lie.
    pub fn forward_rows(&self, x: Tensor<2>) -> Tensor<2> {
        maliang_kernels::text::product(x, self.weight.get(), self.weight.precision())
    }
}

impl Module for Linear {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        into.push((join(path, "weight"), &mut self.weight));
    }
}
