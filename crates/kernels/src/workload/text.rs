//! The operations of a training step of text: the products of a transformer of 6 layers and 384 numbers a token, its
//! attention over 256 tokens, and a recurrent layer of 256 cells over 128.

use super::{Workload, tensor};
use crate::text::{Rotary, TextOps, Tokens, causal_attention, cross_entropy, lstm, product, rms_norm, swiglu};
use crate::{Conv2dOptions, KernelOps, Precision, conv_transpose2d};
use burn::backend::Dispatch;
use burn::tensor::Tensor;
use std::hint::black_box;
use std::sync::Arc;

/// Sequences, tokens of each, numbers a token and heads of the transformer.
const BATCH: usize = 16;
const TIME: usize = 256;
const WIDTH: usize = 384;
const HEADS: usize = 6;
/// Sequences, tokens of each, and cells of the recurrent layer.
const SEQUENCES: usize = 32;
const STEPS: usize = 128;
const CELLS: usize = 256;

/// n_in and n_out of the transformer's weights: queries, keys and values; what attention gives back; into the gates and out.
const PRODUCTS: [[usize; 2]; 4] = [[WIDTH, 3 * WIDTH], [WIDTH, WIDTH], [WIDTH, 2048], [1024, WIDTH]];

/// Forward pass and both gradients of every product of a block. Their work is floating-point operations.
pub fn products(precision: Precision) -> impl Iterator<Item = Workload> {
    let options = Conv2dOptions { stride: 1, padding: 0, precision };
    PRODUCTS.into_iter().flat_map(move |[n_in, n_out]| {
        let rows = BATCH * TIME;
        let (x, w, gy) = (tensor([rows, n_in]), tensor([n_in, n_out]), tensor([rows, n_out]));
        let work = 2.0 * (rows * n_in * n_out) as f64;
        let name = |what: &str| format!("product/{n_in}x{n_out}/{what}");
        let (x1, w1) = (x.clone(), w.clone());
        let forward = Workload::new(name("forward"), work, move || {
            black_box(product(x1.clone(), w1.clone(), precision));
        });
        let pixels = move |x: Tensor<2>, channels| x.reshape([1, rows, 1, channels]);
        let gy1 = gy.clone();
        let input_gradient = Workload::new(name("input-gradient"), work, move || {
            let w = w.clone().reshape([1, 1, n_in, n_out]);
            black_box(conv_transpose2d(pixels(gy1.clone(), n_out), w, [rows, 1], options));
        });
        let weight_gradient = Workload::new(name("weight-gradient"), work, move || {
            let (x, gy) = (pixels(x.clone(), n_in).into_dispatch(), pixels(gy.clone(), n_out).into_dispatch());
            black_box(<Dispatch as KernelOps>::conv2d_weight_grad(x, gy, [1, 1], options));
        });
        [forward, input_gradient, weight_gradient]
    })
}

/// Attention and the recurrent layer, forward and backward. Their work is the floating-point operations of the products
/// inside; of attention those with the future do not count.
pub fn sequences(precision: Precision) -> [Workload; 4] {
    let rotary = Arc::new(Rotary::new(TIME, WIDTH / HEADS));
    let qkv = tensor([BATCH, TIME, 3 * WIDTH]);
    let work = 2.0 * (BATCH * TIME * (TIME + 1) * WIDTH) as f64;
    let (qkv1, rotary1) = (qkv.clone(), rotary.clone());
    let attention = Workload::new("attention/forward", work, move || {
        black_box(causal_attention(qkv1.clone(), HEADS, rotary1.clone()));
    });
    let (qkv, gy) = (qkv.into_dispatch(), tensor([BATCH, TIME, WIDTH]).into_dispatch());
    let (y, log_sum) = <Dispatch as TextOps>::causal_attention(qkv.clone(), HEADS, rotary.clone());
    let attention_backward = Workload::new("attention/backward", 2.5 * work, move || {
        let (qkv, y, gy, log_sum) = (qkv.clone(), y.clone(), gy.clone(), log_sum.clone());
        black_box(<Dispatch as TextOps>::causal_attention_backward(qkv, y, gy, log_sum, HEADS, rotary.clone()));
    });

    let (x, bias, w) = (tensor([SEQUENCES, STEPS, 4 * CELLS]), tensor([4 * CELLS]), tensor([CELLS, 4 * CELLS]));
    let work = 8.0 * (SEQUENCES * STEPS * CELLS * CELLS) as f64;
    let (x1, bias1, w1) = (x.clone(), bias.clone(), w.clone());
    let recurrent = Workload::new("lstm/forward", work, move || {
        black_box(lstm(x1.clone(), bias1.clone(), w1.clone(), precision));
    });
    let [x, bias, w] = [x.into_dispatch(), bias.into_dispatch(), w.into_dispatch()];
    let gh = tensor([SEQUENCES, STEPS, CELLS]).into_dispatch();
    let (h, c, gates) = <Dispatch as TextOps>::lstm_sequence(x, bias, w.clone(), precision);
    let recurrent_backward = Workload::new("lstm/backward", 2.0 * work, move || {
        let (h, c, gates, gh) = (h.clone(), c.clone(), gates.clone(), gh.clone());
        black_box(<Dispatch as TextOps>::lstm_backward(h, c, gates, gh, w.clone(), precision));
    });
    [attention, attention_backward, recurrent, recurrent_backward]
}

/// What moves memory rather than computes: norm and gate of the transformer, and the loss of 4,096 tokens of a vocabulary of 2,048. Work
/// is the bytes that must move.
pub fn rows() -> [Workload; 3] {
    const CLASSES: usize = 2048;
    let count = BATCH * TIME;
    let bytes = |numbers: usize| (numbers * size_of::<f32>()) as f64;
    let (x, gamma) = (tensor([count, WIDTH]), tensor([WIDTH]));
    let norm = Workload::new("rms_norm", bytes(2 * count * WIDTH), move || {
        black_box(rms_norm(x.clone(), gamma.clone(), 1e-5));
    });
    let x = tensor([count, 2048]);
    let gate = Workload::new("swiglu", bytes(3 * count * 1024), move || {
        black_box(swiglu(x.clone()));
    });
    let (logits, targets) =
        (tensor([count, CLASSES]), (0..count as u32).map(|i| i % CLASSES as u32).collect::<Tokens>());
    let loss = Workload::new("cross_entropy", bytes(count * CLASSES), move || {
        black_box(cross_entropy(logits.clone(), targets.clone()));
    });
    [norm, gate, loss]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_can_be_run_again() {
        let all = products(Precision::F32).chain(sequences(Precision::F32)).chain(rows());
        let names: Vec<String> = all
            .map(|mut workload| {
                workload.run();
                workload.run();
                workload.name
            })
            .collect();
        assert_eq!(names.len(), 12 + 4 + 3);
        assert_eq!(names[2], "product/384x1152/weight-gradient");
    }
}
