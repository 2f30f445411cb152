//! A decoder-only transformer (Radford 2019, GPT-2) as small ones are built today: root mean square norms before each layer, rotary
//! positions, a gated feed-forward layer, no biases, and one weight for embedding and head.

use super::{Sizes, dropped};
use crate::nn::{Init, Linear, Module, Param, join};
use burn::tensor::Tensor;
use maliang_kernels::text::{self, Rotary, Tokens};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// As LLaMA's.
pub(super) const EPSILON: f32 = 1e-5;

/// GPT-2's deviation of all weights.
const DEVIATION: f32 = 0.02;

/// The network's sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GptConfig {
    /// Tokens that there are.
    pub vocabulary: usize,
    /// Tokens that it can see at once.
    pub context: usize,
    /// Blocks of attention and feed-forward layer.
    pub layers: usize,
    /// Heads of attention a block; they share the width.
    pub heads: usize,
    /// Numbers a token.
    pub width: usize,
    /// Probability with which numbers are dropped in training, after the embedding and at the end of every layer.
    pub dropout: f32,
}

impl GptConfig {
    /// The model of these sizes, and its learning rate: 1e-3 as nanoGPT has it for networks of this kind; the wider, the slower.
    pub(super) fn choose(sizes: &Sizes) -> (Self, f32) {
        let Sizes { vocabulary, context, layers, width, dropout } = *sizes;
        let lr = (1e-3 * 256.0 / width as f32).clamp(3e-4, 1e-3);
        (Self { vocabulary, context, layers, heads: heads(width), width, dropout }, lr)
    }

    /// Numbers in the middle of a feed-forward layer: 8/3 of the width, so that its three matrices have the size of the
    /// two of an ungated one (Shazeer 2020), rounded up to whole vectors.
    pub fn hidden(&self) -> usize {
        self.width.saturating_mul(8).div_ceil(3).next_multiple_of(32)
    }

    /// Numbers that are trained; stops at the largest number there is.
    pub fn parameters(&self) -> usize {
        let (attention, feed) = (self.width.saturating_mul(4), self.hidden().saturating_mul(3));
        let block = attention.saturating_add(feed).saturating_add(2).saturating_mul(self.width);
        let table = self.vocabulary.saturating_add(1).saturating_mul(self.width);
        block.saturating_mul(self.layers).saturating_add(table)
    }
}

/// `x ← x + W_o attention(W_qkv norm(x))`, then `x ← x + W_down swiglu(W_up norm(x))`.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub norm_attention: Param,
    pub qkv: Linear,
    pub attention_out: Linear,
    pub norm_feed: Param,
    pub up: Linear,
    pub down: Linear,
}

impl Block {
    fn new(config: &GptConfig) -> Self {
        let (width, hidden) = (config.width, config.hidden());
        let normal = Init::Normal(0.0, DEVIATION);
        // Each layer adds to the stream; this keeps the deviation of the sum (Radford 2019, §2.3).
        let residual = Init::Normal(0.0, DEVIATION / (2.0 * config.layers as f32).sqrt());
        Self {
            norm_attention: Param::new(&[width], Init::Constant(1.0)),
            qkv: Linear::new(width, 3 * width, normal),
            attention_out: Linear::new(width, width, residual),
            norm_feed: Param::new(&[width], Init::Constant(1.0)),
            up: Linear::new(width, 2 * hidden, normal),
            down: Linear::new(hidden, width, residual),
        }
    }
}

impl Module for Block {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        into.push((join(path, "norm_attention.weight"), &mut self.norm_attention));
        self.qkv.collect(&join(path, "qkv"), into);
        self.attention_out.collect(&join(path, "attention_out"), into);
        into.push((join(path, "norm_feed.weight"), &mut self.norm_feed));
        self.up.collect(&join(path, "up"), into);
        self.down.collect(&join(path, "down"), into);
    }
}

/// The network.
#[derive(Debug, Clone)]
pub struct Gpt {
    config: GptConfig,
    /// The embedding, and transposed the head.
    pub(super) table: Param,
    pub(super) blocks: Vec<Block>,
    pub(super) norm: Param,
    pub(super) rotary: Arc<Rotary>,
}

impl Gpt {
    /// A network without values.
    pub fn new(config: &GptConfig) -> Self {
        Self {
            table: Param::new(&[config.vocabulary, config.width], Init::Normal(0.0, DEVIATION)),
            blocks: (0..config.layers).map(|_| Block::new(config)).collect(),
            norm: Param::new(&[config.width], Init::Constant(1.0)),
            rotary: Arc::new(Rotary::new(config.context, config.width / config.heads)),
            config: config.clone(),
        }
    }

    /// Its sizes.
    pub fn config(&self) -> &GptConfig {
        &self.config
    }

    /// See [`TextModel`](super::TextModel).
    pub(super) fn logits(&self, tokens: &[u32], batch: usize, dropout: Option<u64>) -> Tensor<2> {
        let GptConfig { heads, width, dropout: p, .. } = self.config;
        let (rows, time) = (tokens.len(), tokens.len() / batch);
        let x = text::embedding(self.table.get(), Tokens::from(tokens));
        let mut x = dropped(x, p, dropout, 0); // [batch · time, width] from here on
        for (i, block) in self.blocks.iter().enumerate() {
            let qkv = block.qkv.forward_rows(text::rms_norm(x.clone(), block.norm_attention.get(), EPSILON));
            let y = text::causal_attention(qkv.reshape([batch, time, 3 * width]), heads, self.rotary.clone());
            x = x + dropped(block.attention_out.forward_rows(y.reshape([rows, width])), p, dropout, 2 * i + 1);
            let up = block.up.forward_rows(text::rms_norm(x.clone(), block.norm_feed.get(), EPSILON));
            x = x + dropped(block.down.forward_rows(text::swiglu(up)), p, dropout, 2 * i + 2);
        }
        let x = text::rms_norm(x, self.norm.get(), EPSILON);
        text::product_transposed(x, self.table.get(), self.table.precision())
    }
}

impl Module for Gpt {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        into.push((join(path, "embedding.weight"), &mut self.table));
        for (i, block) in self.blocks.iter_mut().enumerate() {
            block.collect(&join(path, &format!("blocks.{i}")), into);
        }
        into.push((join(path, "norm.weight"), &mut self.norm));
    }
}

/// Heads of a network: 32 wide in small ones, 64 from 256 on (nanoGPT), or a little wider where the width asks for it. Rotary
/// embedding turns pairs, so a head's width is even.
pub(super) fn heads(width: usize) -> usize {
    let wanted = width / if width >= 256 { 64 } else { 32 };
    (1..=wanted).rev().find(|&heads| width.is_multiple_of(2 * heads)).unwrap_or(1)
}
