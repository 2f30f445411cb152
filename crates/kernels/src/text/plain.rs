//! Every operation on text composed of plain Burn operations: what backends without a kernel of ours run, and the oracle that
//! the tests compare the kernels with.

use super::dropout;
use super::ops::Tokens;
use super::rotary::Rotary;
use crate::Activation;
use crate::options::Precision;
use crate::plain::{activate, derivative, flat, halves, row};
use burn::backend::tensor::{Device, FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{FloatDType, IndexingUpdateOp, Shape, Slice, TensorData};
use std::ops::Range;
use std::sync::Arc;

pub(crate) fn embedding_rows<B: Backend>(table: FloatTensor<B>, tokens: Tokens) -> FloatTensor<B> {
    let indices = indices::<B>(&tokens, &table.device());
    B::float_select(table, 0, indices)
}
pub(crate) fn embedding_table_grad<B: Backend>(
    gy: FloatTensor<B>,
    tokens: Tokens,
    vocabulary: usize,
) -> FloatTensor<B> {
    let device = gy.device();
    let table = B::float_zeros(Shape::new([vocabulary, gy.shape()[1]]), &device, FloatDType::F32);
    B::float_select_assign(table, 0, indices::<B>(&tokens, &device), gy, IndexingUpdateOp::Add)
}
pub(crate) fn rms_norm_rows<B: Backend>(x: FloatTensor<B>, gamma: FloatTensor<B>, epsilon: f32) -> FloatTensor<B> {
    let inverse = inverse_rms::<B>(x.clone(), epsilon);
    B::float_mul(B::float_mul(x, inverse), row::<B>(gamma))
}
pub(crate) fn rms_norm_backward<B: Backend>(
    x: FloatTensor<B>,
    gy: FloatTensor<B>,
    gamma: FloatTensor<B>,
    epsilon: f32,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let inverse = inverse_rms::<B>(x.clone(), epsilon);
    let normal = B::float_mul(x, inverse.clone());
    let g_gamma = flat::<B>(B::float_sum_dim(B::float_mul(gy.clone(), normal.clone()), 0));
    let g = B::float_mul(gy, row::<B>(gamma));
    let mean = B::float_mean_dim(B::float_mul(g.clone(), normal.clone()), 1);
    (B::float_mul(B::float_sub(g, B::float_mul(normal, mean)), inverse), g_gamma)
}
pub(crate) fn swiglu_rows<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let [a, b] = halves::<B>(x);
    B::float_mul(B::float_mul(a.clone(), activate::<B>(a, Activation::Sigmoid)), b)
}
pub(crate) fn swiglu_backward<B: Backend>(x: FloatTensor<B>, gy: FloatTensor<B>) -> FloatTensor<B> {
    let [a, b] = halves::<B>(x);
    let s = activate::<B>(a.clone(), Activation::Sigmoid);
    let silu = B::float_mul(a.clone(), s.clone());
    // (a σ(a))′ = σ(a) + a σ′(a)
    let slope = B::float_add(s.clone(), B::float_mul(a, derivative::<B>(s, Activation::Sigmoid)));
    let ga = B::float_mul(B::float_mul(gy.clone(), b), slope);
    B::float_cat(vec![ga, B::float_mul(gy, silu)], 1)
}
pub(crate) fn dropout_rows<B: Backend>(x: FloatTensor<B>, probability: f32, seed: u64) -> FloatTensor<B> {
    let (keys, kept) = (dropout::keys(seed), 1.0 / (1.0 - probability));
    let mask: Vec<f32> = (0..x.shape().num_elements()).map(|i| dropout::factor(i, probability, keys, kept)).collect();
    let mask = B::float_from_data(TensorData::new(mask, x.shape()), &x.device());
    B::float_mul(x, mask)
}
pub(crate) fn cross_entropy_rows<B: Backend>(
    logits: FloatTensor<B>,
    targets: Tokens,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let largest = B::float_max_dim(logits.clone(), 1);
    let sum = B::float_sum_dim(B::float_exp(B::float_sub(logits.clone(), largest.clone())), 1);
    let log_sum = B::float_add(B::float_log(sum), largest);
    let of_target = B::float_gather(1, logits.clone(), column::<B>(&targets, &logits.device()));
    let nats = B::float_sub(log_sum.clone(), of_target);
    (flat::<B>(B::float_mean_dim(nats.clone(), 0)), flat::<B>(nats), flat::<B>(log_sum))
}
pub(crate) fn cross_entropy_backward<B: Backend>(
    logits: FloatTensor<B>,
    log_sum: FloatTensor<B>,
    gy: FloatTensor<B>,
    targets: Tokens,
) -> FloatTensor<B> {
    let (rows, device) = (targets.len(), logits.device());
    let p = B::float_exp(B::float_sub(logits, B::float_reshape(log_sum, Shape::new([rows, 1]))));
    let minus = B::float_from_data(TensorData::new(vec![-1.0f32; rows], [rows, 1]), &device);
    let g = B::float_scatter(1, p, column::<B>(&targets, &device), minus, IndexingUpdateOp::Add);
    let scale = B::float_div_scalar(B::float_reshape(gy, Shape::new([1, 1])), (rows as f32).into());
    B::float_mul(g, scale)
}
pub(crate) fn causal_attention<B: Backend>(
    qkv: FloatTensor<B>,
    heads: usize,
    rotary: Arc<Rotary>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let [batch, time, _] = qkv.shape().dims();
    let [q, k, v] = heads_of::<B>(qkv, heads, &rotary);
    let scores = masked::<B>(B::float_matmul(q, transpose::<B>(k)));
    let largest = B::float_max_dim(scores.clone(), 3);
    let weights = B::float_exp(B::float_sub(scores, largest.clone()));
    let sum = B::float_sum_dim(weights.clone(), 3);
    let y = B::float_matmul(B::float_div(weights, sum.clone()), v);
    let log_sum = B::float_add(B::float_log(sum), largest);
    (merge::<B>(y), B::float_reshape(log_sum, Shape::new([batch, heads, time])))
}
pub(crate) fn causal_attention_backward<B: Backend>(
    qkv: FloatTensor<B>,
    y: FloatTensor<B>,
    gy: FloatTensor<B>,
    log_sum: FloatTensor<B>,
    heads: usize,
    rotary: Arc<Rotary>,
) -> FloatTensor<B> {
    let [batch, time, triple] = qkv.shape().dims();
    let width = triple / 3 / heads;
    let [q, k, v] = heads_of::<B>(qkv, heads, &rotary);
    let scores = masked::<B>(B::float_matmul(q.clone(), transpose::<B>(k.clone())));
    let log_sum = B::float_reshape(log_sum, Shape::new([batch, heads, time, 1]));
    let p = B::float_exp(B::float_sub(scores, log_sum));
    let split = |x| B::float_permute(B::float_reshape(x, Shape::new([batch, time, heads, width])), &[0, 2, 1, 3]);
    let (y, gy) = (split(y), split(gy));
    let mean = B::float_sum_dim(B::float_mul(gy.clone(), y), 3);
    let dp = B::float_matmul(gy.clone(), transpose::<B>(v));
    let ds = B::float_mul(p.clone(), B::float_sub(dp, mean));
    let gv = B::float_matmul(transpose::<B>(p), gy);
    let gq = turn::<B>(B::float_matmul(ds.clone(), k), &rotary, scale_of(width), -1.0);
    let gk = turn::<B>(B::float_matmul(transpose::<B>(ds), q), &rotary, 1.0, -1.0);
    B::float_cat([gq, gk, gv].map(merge::<B>).into(), 2)
}
pub(crate) fn lstm_sequence<B: Backend>(
    x: FloatTensor<B>,
    bias: FloatTensor<B>,
    w: FloatTensor<B>,
    _: Precision,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let [batch, time, gates] = x.shape().dims();
    let width = gates / 4;
    let zeros = || B::float_zeros(Shape::new([batch, width]), &x.device(), FloatDType::F32);
    let (mut h, mut c) = (zeros(), zeros());
    let (mut all_h, mut all_c, mut all_gates) = (Vec::new(), Vec::new(), Vec::new());
    for t in 0..time {
        let sums = B::float_add(step::<B>(&x, t), B::float_matmul(h, w.clone()));
        let sums = B::float_add(sums, row::<B>(bias.clone()));
        let gate = |index: usize, f| activate::<B>(columns::<B>(&sums, index * width..(index + 1) * width), f);
        let [i, f, o] = [0, 1, 3].map(|index| gate(index, Activation::Sigmoid));
        let g = gate(2, Activation::Tanh);
        c = B::float_add(B::float_mul(f.clone(), c), B::float_mul(i.clone(), g.clone()));
        h = B::float_mul(o.clone(), B::float_tanh(c.clone()));
        all_h.push(h.clone());
        all_c.push(c.clone());
        all_gates.push(B::float_cat(vec![i, f, g, o], 1));
    }
    (stack::<B>(all_h), stack::<B>(all_c), stack::<B>(all_gates))
}
pub(crate) fn lstm_backward<B: Backend>(
    h: FloatTensor<B>,
    c: FloatTensor<B>,
    gates: FloatTensor<B>,
    gh: FloatTensor<B>,
    w: FloatTensor<B>,
    _: Precision,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let [batch, time, width] = h.shape().dims();
    let zeros = || B::float_zeros(Shape::new([batch, width]), &h.device(), FloatDType::F32);
    let before = |states: &FloatTensor<B>, t: usize| if t > 0 { step::<B>(states, t - 1) } else { zeros() };
    let (mut dh, mut dc) = (zeros(), zeros());
    let mut gw = B::float_zeros(w.shape(), &h.device(), FloatDType::F32);
    let mut all = Vec::new();
    for t in (0..time).rev() {
        let gates = step::<B>(&gates, t);
        let [i, f, g, o] = [0, 1, 2, 3].map(|index| columns::<B>(&gates, index * width..(index + 1) * width));
        dh = B::float_add(dh, step::<B>(&gh, t));
        let tanh = B::float_tanh(step::<B>(&c, t));
        let through =
            B::float_mul(B::float_mul(dh.clone(), o.clone()), derivative::<B>(tanh.clone(), Activation::Tanh));
        dc = B::float_add(dc, through);
        let before_gate = |d, y, activation| B::float_mul(d, derivative::<B>(y, activation));
        let sums = vec![
            before_gate(B::float_mul(dc.clone(), g.clone()), i.clone(), Activation::Sigmoid),
            before_gate(B::float_mul(dc.clone(), before(&c, t)), f.clone(), Activation::Sigmoid),
            before_gate(B::float_mul(dc.clone(), i), g, Activation::Tanh),
            before_gate(B::float_mul(dh, tanh), o, Activation::Sigmoid),
        ];
        let sums = B::float_cat(sums, 1);
        dc = B::float_mul(dc, f);
        dh = B::float_matmul(sums.clone(), transpose_2d::<B>(w.clone()));
        gw = B::float_add(gw, B::float_matmul(transpose_2d::<B>(before(&h, t)), sums.clone()));
        all.push(sums);
    }
    all.reverse();
    (stack::<B>(all), gw)
}

fn indices<B: Backend>(tokens: &[u32], device: &Device<B>) -> IntTensor<B> {
    let numbers: Vec<i32> = tokens.iter().map(|&token| token as i32).collect();
    B::int_from_data(TensorData::new(numbers, [tokens.len()]), device)
}

fn column<B: Backend>(tokens: &[u32], device: &Device<B>) -> IntTensor<B> {
    B::int_reshape(indices::<B>(tokens, device), Shape::new([tokens.len(), 1]))
}

fn inverse_rms<B: Backend>(x: FloatTensor<B>, epsilon: f32) -> FloatTensor<B> {
    let mean = B::float_mean_dim(B::float_mul(x.clone(), x), 1);
    B::float_recip(B::float_sqrt(B::float_add_scalar(mean, epsilon.into())))
}

fn scale_of(width: usize) -> f32 {
    1.0 / (width as f32).sqrt()
}

/// q, turned and scaled, k, turned, and v, each `[batch, heads, time, width]`.
fn heads_of<B: Backend>(qkv: FloatTensor<B>, heads: usize, rotary: &Rotary) -> [FloatTensor<B>; 3] {
    let [batch, time, triple] = qkv.shape().dims();
    let width = triple / 3 / heads;
    let parts = B::float_reshape(qkv, Shape::new([batch, time, 3, heads, width]));
    let part = |index: usize| {
        let ranges = [0..batch, 0..time, index..index + 1, 0..heads, 0..width];
        let part = B::float_slice(parts.clone(), &ranges.map(Slice::from));
        B::float_permute(B::float_reshape(part, Shape::new([batch, time, heads, width])), &[0, 2, 1, 3])
    };
    [turn::<B>(part(0), rotary, scale_of(width), 1.0), turn::<B>(part(1), rotary, 1.0, 1.0), part(2)]
}

/// `[batch, heads, time, width]` turned by the angles of its positions, in this direction, and scaled.
fn turn<B: Backend>(x: FloatTensor<B>, rotary: &Rotary, scale: f32, direction: f32) -> FloatTensor<B> {
    let [batch, heads, time, width] = x.shape().dims();
    let half = width / 2;
    let [a, b] = [0..half, half..width]
        .map(|part| B::float_slice(x.clone(), &[0..batch, 0..heads, 0..time, part].map(Slice::from)));
    let (cos, sin) = rotary.tables();
    let angles = |table: &[f32], factor: f32| {
        let values: Vec<f32> = table[..time * half].iter().map(|v| v * factor).collect();
        B::float_from_data(TensorData::new(values, [1, 1, time, half]), &x.device())
    };
    let (cos, sin) = (angles(cos, scale), angles(sin, scale * direction));
    let first = B::float_sub(B::float_mul(a.clone(), cos.clone()), B::float_mul(b.clone(), sin.clone()));
    let second = B::float_add(B::float_mul(b, cos), B::float_mul(a, sin));
    B::float_cat(vec![first, second], 3)
}

/// Scores `[.., time, time]` with minus infinity where a query would see the future.
fn masked<B: Backend>(scores: FloatTensor<B>) -> FloatTensor<B> {
    let time = scores.shape()[3];
    let mask: Vec<f32> = (0..time * time).map(|i| if i % time > i / time { f32::NEG_INFINITY } else { 0.0 }).collect();
    let mask = B::float_from_data(TensorData::new(mask, [1, 1, time, time]), &scores.device());
    B::float_add(scores, mask)
}

fn transpose<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_permute(x, &[0, 1, 3, 2])
}

fn transpose_2d<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_permute(x, &[1, 0])
}

/// `[batch, heads, time, width]` → `[batch, time, heads · width]`.
fn merge<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let [batch, heads, time, width] = x.shape().dims();
    B::float_reshape(B::float_permute(x, &[0, 2, 1, 3]), Shape::new([batch, time, heads * width]))
}

/// Step `t` of `[batch, time, width]`.
fn step<B: Backend>(x: &FloatTensor<B>, t: usize) -> FloatTensor<B> {
    let [batch, _, width] = x.shape().dims();
    let step = B::float_slice(x.clone(), &[0..batch, t..t + 1, 0..width].map(Slice::from));
    B::float_reshape(step, Shape::new([batch, width]))
}

fn columns<B: Backend>(x: &FloatTensor<B>, part: Range<usize>) -> FloatTensor<B> {
    let rows = x.shape()[0];
    B::float_slice(x.clone(), &[0..rows, part].map(Slice::from))
}

/// Steps `[batch, width]` → `[batch, time, width]`.
fn stack<B: Backend>(steps: Vec<FloatTensor<B>>) -> FloatTensor<B> {
    let [batch, width] = steps[0].shape().dims();
    let single = |step| B::float_reshape(step, Shape::new([batch, 1, width]));
    B::float_cat(steps.into_iter().map(single).collect(), 1)
}
