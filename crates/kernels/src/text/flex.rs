//! The CPU kernels of the operations on text: from Burn's flex tensors to slices and back.

use super::attention::{self, AttentionShape};
use super::lstm::{self, LstmShape};
use super::ops::{TextOps, Tokens};
use super::rotary::Rotary;
use super::{cross_entropy, dropout, embedding, plain, rms_norm, swiglu};
use crate::conv::{self, ConvShape};
use crate::flex::{dims, or_default_body, owned, slices, tensor};
use crate::gemm::Bf16Pair;
use crate::options::Precision;
use burn::backend::Flex;
use burn_flex::FlexTensor;
use std::marker::PhantomData;
use std::sync::Arc;

/// Checked here because a number beyond the table would be looked up in another row.
fn check_tokens(tokens: &[u32], vocabulary: usize) {
    let largest = tokens.iter().max().map_or(0, |&token| token as usize);
    assert!(largest < vocabulary, "token {largest} of a vocabulary of {vocabulary}");
}

fn attention_shape(qkv: [usize; 3], heads: usize, rotary: &Rotary) -> AttentionShape {
    let [batch, time, triple] = qkv;
    let shape = AttentionShape { batch, time, heads, width: rotary.head_width() };
    assert_eq!(triple, 3 * heads * shape.width, "attention over {heads} heads of {} numbers", shape.width);
    assert!(time <= rotary.positions(), "{time} positions, but angles for {}", rotary.positions());
    shape
}

fn lstm_shape(h: [usize; 3], w: [usize; 2]) -> LstmShape {
    let [batch, time, width] = h;
    assert!(width > 0 && time > 0 && w == [width, 4 * width], "a recurrent weight {w:?} for a width of {width}");
    LstmShape { batch, time, width }
}

fn is_bf16(precision: Precision) -> bool {
    precision.here() == Precision::Bf16
}

impl TextOps for Flex {
    fn embedding_rows(table: FlexTensor, tokens: Tokens) -> FlexTensor {
        or_default_body!(embedding_rows(table, tokens));
        let [vocabulary, width] = dims(&table);
        check_tokens(&tokens, vocabulary);
        slices!([table] tensor(embedding::rows(table, &tokens, width), [tokens.len(), width]))
    }

    fn embedding_table_grad(gy: FlexTensor, tokens: Tokens, vocabulary: usize) -> FlexTensor {
        or_default_body!(embedding_table_grad(gy, tokens, vocabulary));
        let [_, width] = dims(&gy);
        slices!([gy] tensor(embedding::backward(gy, &tokens, vocabulary, width), [vocabulary, width]))
    }

    fn rms_norm_rows(x: FlexTensor, gamma: FlexTensor, epsilon: f32) -> FlexTensor {
        or_default_body!(rms_norm_rows(x, gamma, epsilon));
        let shape = dims::<2>(&x);
        slices!([x, gamma] tensor(rms_norm::forward(x, gamma, epsilon), shape))
    }

    fn rms_norm_backward(x: FlexTensor, gy: FlexTensor, gamma: FlexTensor, epsilon: f32) -> (FlexTensor, FlexTensor) {
        or_default_body!(rms_norm_backward(x, gy, gamma, epsilon));
        let shape = dims::<2>(&x);
        slices!([x, gy, gamma] {
            let (gx, g_gamma) = rms_norm::backward(x, gy, gamma, epsilon);
            (tensor(gx, shape), tensor(g_gamma, [shape[1]]))
        })
    }

    fn swiglu_rows(x: FlexTensor) -> FlexTensor {
        or_default_body!(swiglu_rows(x));
        let [rows, both] = dims(&x);
        slices!([x] tensor(swiglu::forward(x, both / 2), [rows, both / 2]))
    }

    fn swiglu_backward(x: FlexTensor, gy: FlexTensor) -> FlexTensor {
        or_default_body!(swiglu_backward(x, gy));
        let shape = dims::<2>(&x);
        slices!([x, gy] tensor(swiglu::backward(x, gy, shape[1] / 2), shape))
    }

    fn dropout_rows(x: FlexTensor, probability: f32, seed: u64) -> FlexTensor {
        or_default_body!(dropout_rows(x, probability, seed));
        let mut x = owned(x);
        dropout::apply(x.storage_mut(), probability, seed);
        x
    }

    fn cross_entropy_rows(logits: FlexTensor, targets: Tokens) -> (FlexTensor, FlexTensor, FlexTensor) {
        or_default_body!(cross_entropy_rows(logits, targets));
        let [rows, classes] = dims(&logits);
        assert_eq!(rows, targets.len(), "one target a row of logits");
        check_tokens(&targets, classes);
        slices!([logits] {
            let (mean, nats, log_sum) = cross_entropy::forward(logits, &targets, classes);
            (tensor(vec![mean], [1]), tensor(nats, [rows]), tensor(log_sum, [rows]))
        })
    }

    fn cross_entropy_backward(logits: FlexTensor, log_sum: FlexTensor, gy: FlexTensor, targets: Tokens) -> FlexTensor {
        or_default_body!(cross_entropy_backward(logits, log_sum, gy, targets));
        let [rows, classes] = dims(&logits);
        let mut logits = owned(logits);
        slices!([log_sum, gy] {
            cross_entropy::backward(logits.storage_mut(), log_sum, &targets, classes, gy[0] / rows as f32);
        });
        logits
    }

    fn causal_attention(qkv: FlexTensor, heads: usize, rotary: Arc<Rotary>) -> (FlexTensor, FlexTensor) {
        or_default_body!(causal_attention(qkv, heads, rotary));
        let s = attention_shape(dims(&qkv), heads, &rotary);
        slices!([qkv] {
            let (y, log_sum) = attention::forward(qkv, &s, &rotary);
            (tensor(y, [s.batch, s.time, heads * s.width]), tensor(log_sum, [s.batch, heads, s.time]))
        })
    }

    fn causal_attention_backward(
        qkv: FlexTensor,
        y: FlexTensor,
        gy: FlexTensor,
        log_sum: FlexTensor,
        heads: usize,
        rotary: Arc<Rotary>,
    ) -> FlexTensor {
        or_default_body!(causal_attention_backward(qkv, y, gy, log_sum, heads, rotary));
        let shape = dims::<3>(&qkv);
        let s = attention_shape(shape, heads, &rotary);
        slices!([qkv, y, gy, log_sum] tensor(attention::backward(qkv, y, gy, log_sum, &s, &rotary), shape))
    }

    fn lstm_sequence(
        x: FlexTensor,
        bias: FlexTensor,
        w: FlexTensor,
        precision: Precision,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        or_default_body!(lstm_sequence(x, bias, w, precision));
        let [batch, time, gates] = dims(&x);
        let s = lstm_shape([batch, time, gates / 4], dims(&w));
        let mut x = owned(x);
        let (h, c) = slices!([bias, w] {
            let gates = x.storage_mut();
            if is_bf16(precision) {
                lstm::forward(gates, bias, w, &s, PhantomData::<Bf16Pair>)
            } else {
                lstm::forward(gates, bias, w, &s, PhantomData::<f32>)
            }
        });
        let shape = [batch, time, s.width];
        (tensor(h, shape), tensor(c, shape), x)
    }

    fn lstm_backward(
        h: FlexTensor,
        c: FlexTensor,
        gates: FlexTensor,
        gh: FlexTensor,
        w: FlexTensor,
        precision: Precision,
    ) -> (FlexTensor, FlexTensor) {
        or_default_body!(lstm_backward(h, c, gates, gh, w, precision));
        let s = lstm_shape(dims(&h), dims(&w));
        let mut gates = owned(gates);
        let gw = slices!([h, c, gh, w] {
            let sums = gates.storage_mut();
            if is_bf16(precision) {
                lstm::backward(c, sums, gh, w, &s, PhantomData::<Bf16Pair>);
            } else {
                lstm::backward(c, sums, gh, w, &s, PhantomData::<f32>);
            }
            let product = ConvShape::product(s.batch * s.time, s.width, 4 * s.width);
            conv::weight_grad(&lstm::previous(h, &s), sums, &product, precision)
        });
        (gates, tensor(gw, [s.width, 4 * s.width]))
    }
}
