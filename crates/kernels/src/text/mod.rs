//! Operations on sequences of tokens: what transformers and recurrent networks are made of.
//!
//! Activations are `[batch, time, width]` or rows of them; products with weights `[n_in, n_out]` are [`product`].

mod attention;
mod autodiff;
mod cross_entropy;
mod dropout;
mod embedding;
mod flex;
mod lstm;
mod ops;
mod plain;
mod rms_norm;
mod rotary;
pub mod step;
mod swiglu;
#[cfg(test)]
mod tests;

pub use ops::{TextOps, Tokens};
pub use rotary::Rotary;

use crate::{Conv2dOptions, Precision, conv_transpose2d, conv2d, rows};
use burn::backend::Dispatch;
use burn::tensor::Tensor;
use std::sync::{Arc, Mutex};

/// Runs `f`, which calls many kernels, on one of the threads that they run on: there a kernel shares its work with the other threads
/// at once, where a thread from outside hands all of it over, sleeps, and has to be woken. A step of a small model is hundreds of
/// kernels.
pub fn among_workers<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    /// One at a time: a thread that waits for the rest of a kernel takes up other work meanwhile, and should that be a second `f`,
    /// the first could hold a lock that the second wants.
    static INSIDE: Mutex<()> = Mutex::new(());
    match (rayon::current_thread_index(), INSIDE.try_lock()) {
        (None, Ok(_one)) => rayon::scope(|_| f()),
        _ => f(),
    }
}

/// A product of many rows: `y = x · w`.
///
/// # Shapes
/// `x [rows, n_in]`, `w [n_in, n_out]` → `[rows, n_out]`.
pub fn product(x: Tensor<2>, w: Tensor<2>, precision: Precision) -> Tensor<2> {
    let ([count, n_in], [_, n_out]) = (x.dims(), w.dims());
    // Rows are the pixels of a picture, so that they are multiplied where they lie.
    conv2d(x.reshape([1, count, 1, n_in]), w.reshape([1, 1, n_in, n_out]), one(precision)).reshape([count, n_out])
}

/// A product with a transposed matrix: `y = x · wᵀ`, the logits of a head that shares its weight with the embedding (Press &
/// Wolf 2017).
///
/// # Shapes
/// `x [rows, n_in]`, `w [n_out, n_in]` → `[rows, n_out]`.
pub fn product_transposed(x: Tensor<2>, w: Tensor<2>, precision: Precision) -> Tensor<2> {
    let ([count, n_in], [n_out, _]) = (x.dims(), w.dims());
    let w = w.reshape([1, 1, n_out, n_in]);
    conv_transpose2d(x.reshape([1, count, 1, n_in]), w, [count, 1], one(precision)).reshape([count, n_out])
}

fn one(precision: Precision) -> Conv2dOptions {
    Conv2dOptions { stride: 1, padding: 0, precision }
}

/// Rows of a table: `y[i] = table[tokens[i]]`. Every token must be below the number of rows.
///
/// # Shapes
/// `table [vocabulary, width]` → `[tokens, width]`.
pub fn embedding(table: Tensor<2>, tokens: Tokens) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as TextOps>::embedding_rows(table.into_dispatch(), tokens))
}

/// Root mean square normalisation (Zhang & Sennrich 2019): `y = γ x / √(mean(x²) + ε)` over the last dimension.
///
/// # Shapes
/// `x [.., width]`, `gamma [width]` → as `x`.
pub fn rms_norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, epsilon: f32) -> Tensor<D> {
    let shape = x.dims();
    let y = <Dispatch as TextOps>::rms_norm_rows(rows(x).into_dispatch(), gamma.into_dispatch(), epsilon);
    Tensor::<2>::from_dispatch(y).reshape(shape)
}

/// The gate of a feed-forward layer (Shazeer 2020, SwiGLU): `y = a σ(a) b`, a the first half of the last dimension of x and b
/// the second.
///
/// # Shapes
/// `x [.., 2 · width]` → `[.., width]`.
pub fn swiglu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let mut shape = x.dims();
    assert!(shape[D - 1].is_multiple_of(2), "a gate takes an even number of channels");
    shape[D - 1] /= 2;
    Tensor::<2>::from_dispatch(<Dispatch as TextOps>::swiglu_rows(rows(x).into_dispatch())).reshape(shape)
}

/// Inverted dropout (Srivastava 2014): each number becomes zero with this probability, and is divided by 1 − probability
/// otherwise. Which ones is a function of the seed and their place. Written over `x` where nothing else holds it.
///
/// # Shapes
/// Any.
pub fn dropout<const D: usize>(x: Tensor<D>, probability: f32, seed: u64) -> Tensor<D> {
    assert!((0.0..1.0).contains(&probability), "a dropout of {probability} leaves nothing");
    if probability == 0.0 {
        return x;
    }
    let shape = x.dims();
    let y = <Dispatch as TextOps>::dropout_rows(rows(x).into_dispatch(), probability, seed);
    Tensor::<2>::from_dispatch(y).reshape(shape)
}

/// Mean softmax cross-entropy in nats: `mean_i(ln Σ_j e^(logits[i, j]) − logits[i, targets[i]])`. Hand over the last handle of the
/// logits: their gradient is then written in their place.
///
/// # Shapes
/// `logits [rows, classes]`, one target a row → `[1]`.
pub fn cross_entropy(logits: Tensor<2>, targets: Tokens) -> Tensor<1> {
    let (mean, ..) = <Dispatch as TextOps>::cross_entropy_rows(logits.into_dispatch(), targets);
    Tensor::from_dispatch(mean)
}

/// The nats of each target, as [`cross_entropy`] averages them; not differentiable.
///
/// # Shapes
/// `logits [rows, classes]`, one target a row → `[rows]`.
pub fn nats(logits: Tensor<2>, targets: Tokens) -> Tensor<1> {
    let (_, nats, _) = <Dispatch as TextOps>::cross_entropy_rows(logits.into_dispatch(), targets);
    Tensor::from_dispatch(nats)
}

/// Causal multi-head attention (Vaswani 2017, §3.2) with rotary positions (Su 2021): per head, with q and k turned by the angles
/// of their positions, `y_t = Σ_(s ≤ t) softmax_s(q_t · k_s / √head_width) v_s`.
///
/// # Shapes
/// `qkv [batch, time, 3 · width]`, q, k and v side by side, each of `heads` heads side by side → `[batch, time, width]`. `rotary` has
/// angles for `width / heads` numbers and at least `time` positions.
pub fn causal_attention(qkv: Tensor<3>, heads: usize, rotary: Arc<Rotary>) -> Tensor<3> {
    let (y, _) = <Dispatch as TextOps>::causal_attention(qkv.into_dispatch(), heads, rotary);
    Tensor::from_dispatch(y)
}

/// The recurrent part of a long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers 2000) over whole
/// sequences, from states that are zero. With a = x_t + bias + h_{t−1} · w, its quarters before the input, forget, cell and
/// output gates: `i, f, o = σ(a)`, `g = tanh(a)`, `c_t = f c_{t−1} + i g`, `h_t = o tanh(c_t)`.
///
/// `x` are the inputs already multiplied by their weight, all steps in one product. The gates are written over it where nothing
/// else holds it.
///
/// # Shapes
/// `x [batch, time, 4 · width]`, `bias [4 · width]`, `w [width, 4 · width]` → h `[batch, time, width]`.
pub fn lstm(x: Tensor<3>, bias: Tensor<1>, w: Tensor<2>, precision: Precision) -> Tensor<3> {
    let (x, bias, w) = (x.into_dispatch(), bias.into_dispatch(), w.into_dispatch());
    let (h, ..) = <Dispatch as TextOps>::lstm_sequence(x, bias, w, precision);
    Tensor::from_dispatch(h)
}
