//! A recurrent network of text: long short-term memories (Hochreiter & Schmidhuber 1997, with the forget gate of Gers 2000) on top
//! of each other, as in Zaremba 2014, with one weight for embedding and head (Press & Wolf 2017).

use super::{Sizes, dropped};
use crate::nn::{Init, Linear, Module, Param, join};
use burn::tensor::Tensor;
use maliang_kernels::text::{self, Tokens};
use serde::{Deserialize, Serialize};

/// Deviation of the embedding: small logits at the start, and inputs that the gates notice.
const DEVIATION: f32 = 0.1;

/// The network's sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LstmConfig {
    /// Tokens that there are.
    pub vocabulary: usize,
    /// Tokens of a training window, which begins with empty states. What it writes may be longer.
    pub context: usize,
    /// Layers on top of each other.
    pub layers: usize,
    /// Numbers a token, and cells a layer.
    pub width: usize,
    /// Probability with which numbers are dropped in training, between the layers and not from step to step (Zaremba 2014).
    pub dropout: f32,
}

impl LstmConfig {
    /// The model of these sizes, and its learning rate.
    pub(super) fn choose(sizes: &Sizes) -> (Self, f32) {
        let Sizes { vocabulary, context, layers, width, dropout } = *sizes;
        (Self { vocabulary, context, layers, width, dropout }, 2e-3)
    }

    /// Numbers that are trained; stops at the largest number there is.
    pub fn parameters(&self) -> usize {
        let layer = self.width.saturating_mul(2).saturating_add(1).saturating_mul(self.width.saturating_mul(4));
        layer.saturating_mul(self.layers).saturating_add(self.vocabulary.saturating_mul(self.width))
    }
}

/// One layer; the gates stand in the order input, forget, cell, output.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub input: Linear,
    pub bias: Param,
    pub recurrent: Linear,
}

impl Layer {
    fn new(width: usize) -> Self {
        // The variance of PyTorch's uniform distribution within ±1/√width.
        let normal = Init::Normal(0.0, 1.0 / (3.0 * width as f32).sqrt());
        Self {
            input: Linear::new(width, 4 * width, normal),
            // A cell that remembers until it learns to forget (Gers 2000; Jozefowicz 2015).
            bias: Param::new(&[4 * width], Init::Part { value: 1.0, start: width, end: 2 * width }),
            recurrent: Linear::new(width, 4 * width, normal),
        }
    }
}

impl Module for Layer {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        self.input.collect(&join(path, "input"), into);
        into.push((join(path, "bias"), &mut self.bias));
        self.recurrent.collect(&join(path, "recurrent"), into);
    }
}

/// The network.
#[derive(Debug, Clone)]
pub struct Lstm {
    config: LstmConfig,
    /// The embedding, and transposed the head.
    pub(super) table: Param,
    pub(super) layers: Vec<Layer>,
}

impl Lstm {
    /// A network without values.
    pub fn new(config: &LstmConfig) -> Self {
        Self {
            table: Param::new(&[config.vocabulary, config.width], Init::Normal(0.0, DEVIATION)),
            layers: (0..config.layers).map(|_| Layer::new(config.width)).collect(),
            config: config.clone(),
        }
    }

    /// Its sizes.
    pub fn config(&self) -> &LstmConfig {
        &self.config
    }

    /// See [`TextModel`](super::TextModel).
    pub(super) fn logits(&self, tokens: &[u32], batch: usize, dropout: Option<u64>) -> Tensor<2> {
        let LstmConfig { width, dropout: p, .. } = self.config;
        let (rows, time) = (tokens.len(), tokens.len() / batch);
        let x = text::embedding(self.table.get(), Tokens::from(tokens));
        let mut x = dropped(x, p, dropout, 0); // [batch · time, width] from here on
        for (i, layer) in self.layers.iter().enumerate() {
            let sums = layer.input.forward_rows(x).reshape([batch, time, 4 * width]);
            let precision = layer.bias.precision();
            let h = text::lstm(sums, layer.bias.get(), layer.recurrent.weight(), precision);
            x = dropped(h.reshape([rows, width]), p, dropout, i + 1);
        }
        text::product_transposed(x, self.table.get(), self.table.precision())
    }
}

impl Module for Lstm {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        into.push((join(path, "embedding.weight"), &mut self.table));
        for (i, layer) in self.layers.iter_mut().enumerate() {
            layer.collect(&join(path, &format!("layers.{i}")), into);
        }
    }
}
