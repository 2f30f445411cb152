//! The hand-written backward passes of the operations on text, made of extension operations themselves.

use super::ops::{TextOps, Tokens};
use super::rotary::Rotary;
use crate::autodiff::record;
use crate::options::Precision;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, TensorMetadata};
use burn::tensor::Shape;
use std::sync::Arc;

#[derive(Debug)]
struct Embedding;

impl<B: Backend + TextOps> Backward<B, 1> for Embedding {
    type State = (Tokens, usize);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gy = grads.consume::<B>(&ops.node);
        let (tokens, vocabulary) = ops.state;
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::embedding_table_grad(gy, tokens, vocabulary));
        }
    }
}

#[derive(Debug)]
struct RmsNorm;

impl<B: Backend + TextOps> Backward<B, 2> for RmsNorm {
    type State = (FloatTensor<B>, FloatTensor<B>, f32);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gy = grads.consume::<B>(&ops.node);
        let (x, gamma, epsilon) = ops.state;
        let (gx, g_gamma) = B::rms_norm_backward(x, gy, gamma, epsilon);
        let [parent_x, parent_gamma] = ops.parents;
        if let Some(node) = parent_x {
            grads.register::<B>(node.id, gx);
        }
        if let Some(node) = parent_gamma {
            grads.register::<B>(node.id, g_gamma);
        }
    }
}

#[derive(Debug)]
struct SwiGlu;

impl<B: Backend + TextOps> Backward<B, 1> for SwiGlu {
    /// The input.
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gy = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::swiglu_backward(ops.state, gy));
        }
    }
}

#[derive(Debug)]
struct Dropout;

impl<B: Backend + TextOps> Backward<B, 1> for Dropout {
    /// Probability and seed.
    type State = (f32, u64);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gy = grads.consume::<B>(&ops.node);
        let (probability, seed) = ops.state;
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::dropout_rows(gy, probability, seed));
        }
    }
}

#[derive(Debug)]
struct CrossEntropy;

impl<B: Backend + TextOps> Backward<B, 1> for CrossEntropy {
    /// The logits, and the logarithms of their sums.
    type State = (FloatTensor<B>, FloatTensor<B>, Tokens);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gy = grads.consume::<B>(&ops.node);
        let (logits, log_sum, targets) = ops.state;
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::cross_entropy_backward(logits, log_sum, gy, targets));
        }
    }
}

#[derive(Debug)]
struct CausalAttention;

impl<B: Backend + TextOps> Backward<B, 1> for CausalAttention {
    /// Input, output, and the logarithms of the sums.
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, usize, Arc<Rotary>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gy = grads.consume::<B>(&ops.node);
        let (qkv, y, log_sum, heads, rotary) = ops.state;
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::causal_attention_backward(qkv, y, gy, log_sum, heads, rotary));
        }
    }
}

#[derive(Debug)]
struct Lstm;

impl<B: Backend + TextOps> Backward<B, 3> for Lstm {
    /// h, c, gates and the recurrent weight.
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, Precision);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gh = grads.consume::<B>(&ops.node);
        let (h, c, gates, w, precision) = ops.state;
        let (gx, gw) = B::lstm_backward(h, c, gates, gh, w, precision);
        let [parent_x, parent_bias, parent_w] = ops.parents;
        if let Some(node) = parent_bias {
            let shape = gx.shape();
            let rows = Shape::from([shape[0] * shape[1], shape[2]]);
            grads.register::<B>(node.id, B::channel_sums(B::float_reshape(gx.clone(), rows)));
        }
        if let Some(node) = parent_x {
            grads.register::<B>(node.id, gx);
        }
        if let Some(node) = parent_w {
            grads.register::<B>(node.id, gw);
        }
    }
}

impl<B: Backend + TextOps, C: CheckpointStrategy> TextOps for Autodiff<B, C> {
    fn embedding_rows(table: FloatTensor<Self>, tokens: Tokens) -> FloatTensor<Self> {
        let node = table.node();
        let table = table.into_primitive();
        let vocabulary = table.shape()[0];
        record!(Embedding, [node], B::embedding_rows(table, tokens.clone()), (tokens, vocabulary))
    }

    fn rms_norm_rows(x: FloatTensor<Self>, gamma: FloatTensor<Self>, epsilon: f32) -> FloatTensor<Self> {
        let (node_x, node_gamma) = (x.node(), gamma.node());
        let (x, gamma) = (x.into_primitive(), gamma.into_primitive());
        let y = B::rms_norm_rows(x.clone(), gamma.clone(), epsilon);
        record!(RmsNorm, [node_x, node_gamma], y, (x, gamma, epsilon))
    }

    fn swiglu_rows(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let node = x.node();
        let x = x.into_primitive();
        record!(SwiGlu, [node], B::swiglu_rows(x.clone()), x)
    }

    fn dropout_rows(x: FloatTensor<Self>, probability: f32, seed: u64) -> FloatTensor<Self> {
        let node = x.node();
        record!(Dropout, [node], B::dropout_rows(x.into_primitive(), probability, seed), (probability, seed))
    }

    fn cross_entropy_rows(
        logits: FloatTensor<Self>,
        targets: Tokens,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let node = logits.node();
        let logits = logits.into_primitive();
        let (mean, nats, log_sum) = B::cross_entropy_rows(logits.clone(), targets.clone());
        let mean = record!(CrossEntropy, [node], mean, (logits, log_sum.clone(), targets));
        (mean, Self::FloatTensorPrimitive::new(nats), Self::FloatTensorPrimitive::new(log_sum))
    }

    fn causal_attention(
        qkv: FloatTensor<Self>,
        heads: usize,
        rotary: Arc<Rotary>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let node = qkv.node();
        let qkv = qkv.into_primitive();
        let (y, log_sum) = B::causal_attention(qkv.clone(), heads, rotary.clone());
        let state = (qkv, y.clone(), log_sum.clone(), heads, rotary);
        (record!(CausalAttention, [node], y, state), Self::FloatTensorPrimitive::new(log_sum))
    }

    fn lstm_sequence(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        w: FloatTensor<Self>,
        precision: Precision,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (node_x, node_bias, node_w) = (x.node(), bias.node(), w.node());
        let w = w.into_primitive();
        // The input is not kept, so the backend may write the gates over it.
        let (h, c, gates) = B::lstm_sequence(x.into_primitive(), bias.into_primitive(), w.clone(), precision);
        let state = (h.clone(), c.clone(), gates.clone(), w, precision);
        let h = record!(Lstm, [node_x, node_bias, node_w], h, state);
        (h, Self::FloatTensorPrimitive::new(c), Self::FloatTensorPrimitive::new(gates))
    }
}
