//! The backend extension of the operations on text, with default bodies from `plain.rs`.

use super::plain;
use super::rotary::Rotary;
use crate::ops::KernelOps;
use crate::options::Precision;
use burn::backend::backend_extension;
use burn::backend::tensor::FloatTensor;
use std::sync::Arc;

/// Numbers of tokens, shared so that a backward pass can keep them for nothing.
pub type Tokens = Arc<[u32]>;

/// Operations on sequences, beside [`KernelOps`]. Use the functions of [`text`](crate::text), which take `Tensor`s.
#[backend_extension(Flex, Cube: cfg(feature = "vulkan"), Autodiff)]
pub trait TextOps: KernelOps {
    /// See [`embedding`](fn@crate::text::embedding).
    fn embedding_rows(table: FloatTensor<Self>, tokens: Tokens) -> FloatTensor<Self> {
        plain::embedding_rows::<Self>(table, tokens)
    }

    /// Gradient of `embedding_rows` with respect to the table of `vocabulary` rows.
    fn embedding_table_grad(gy: FloatTensor<Self>, tokens: Tokens, vocabulary: usize) -> FloatTensor<Self> {
        plain::embedding_table_grad::<Self>(gy, tokens, vocabulary)
    }

    /// See [`rms_norm`](fn@crate::text::rms_norm).
    fn rms_norm_rows(x: FloatTensor<Self>, gamma: FloatTensor<Self>, epsilon: f32) -> FloatTensor<Self> {
        plain::rms_norm_rows::<Self>(x, gamma, epsilon)
    }

    /// Gradients (x, γ) of `rms_norm_rows`, from its inputs.
    fn rms_norm_backward(
        x: FloatTensor<Self>,
        gy: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        plain::rms_norm_backward::<Self>(x, gy, gamma, epsilon)
    }

    /// See [`swiglu`](fn@crate::text::swiglu).
    fn swiglu_rows(x: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::swiglu_rows::<Self>(x)
    }

    /// Gradient of `swiglu_rows`, from its input.
    fn swiglu_backward(x: FloatTensor<Self>, gy: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::swiglu_backward::<Self>(x, gy)
    }

    /// See [`dropout`](fn@crate::text::dropout). It is its own gradient.
    fn dropout_rows(x: FloatTensor<Self>, probability: f32, seed: u64) -> FloatTensor<Self> {
        plain::dropout_rows::<Self>(x, probability, seed)
    }

    /// See [`cross_entropy`](fn@crate::text::cross_entropy). Returns the mean `[1]`, the nats of each row `[rows]` and the
    /// logarithm of each row's sum of exponentials `[rows]`; only the mean can be differentiated.
    fn cross_entropy_rows(
        logits: FloatTensor<Self>,
        targets: Tokens,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        plain::cross_entropy_rows::<Self>(logits, targets)
    }

    /// Gradient of the mean of `cross_entropy_rows`, whose own gradient is `gy` `[1]`. Written over the logits where nothing
    /// else holds them.
    fn cross_entropy_backward(
        logits: FloatTensor<Self>,
        log_sum: FloatTensor<Self>,
        gy: FloatTensor<Self>,
        targets: Tokens,
    ) -> FloatTensor<Self> {
        plain::cross_entropy_backward::<Self>(logits, log_sum, gy, targets)
    }

    /// See [`causal_attention`](fn@crate::text::causal_attention). Returns y, and of each row of scores the logarithm of its
    /// sum of exponentials, `[batch, heads, time]`.
    fn causal_attention(
        qkv: FloatTensor<Self>,
        heads: usize,
        rotary: Arc<Rotary>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        plain::causal_attention::<Self>(qkv, heads, rotary)
    }

    /// Gradient of `causal_attention`, from its input and outputs.
    fn causal_attention_backward(
        qkv: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gy: FloatTensor<Self>,
        log_sum: FloatTensor<Self>,
        heads: usize,
        rotary: Arc<Rotary>,
    ) -> FloatTensor<Self> {
        plain::causal_attention_backward::<Self>(qkv, y, gy, log_sum, heads, rotary)
    }

    /// See [`lstm`](fn@crate::text::lstm). Returns (h, c, gates after their activations `[batch, time, 4 · width]`); only h can be
    /// differentiated. The gates are written over `x` where nothing else holds it.
    fn lstm_sequence(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        w: FloatTensor<Self>,
        precision: Precision,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        plain::lstm_sequence::<Self>(x, bias, w, precision)
    }

    /// Gradients (x, w) of `lstm_sequence`, from its outputs and its recurrent weight; that of the bias is the sum of the
    /// first over all rows. Written over the gates where nothing else holds them.
    fn lstm_backward(
        h: FloatTensor<Self>,
        c: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        gh: FloatTensor<Self>,
        w: FloatTensor<Self>,
        precision: Precision,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        plain::lstm_backward::<Self>(h, c, gates, gh, w, precision)
    }
}

/// GPUs run the default bodies.
#[cfg(feature = "vulkan")]
impl TextOps for burn::backend::Cube {}
