//! Every operation of the extension composed of plain Burn operations: what backends without a kernel of ours run, and
//! the oracle that the tests compare the kernels with.

use crate::activation::Activation;
use crate::augment::AUGMENT_PARAMETERS;
use crate::optim::AdamStep;
use crate::options::{Conv2dOptions, DepthwiseOptions};
use crate::resize::{Filter, matrix};
use crate::tensors::Tensors;
use burn::backend::ops::{ConvOptions, ConvTransposeOptions};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{FloatDType, Shape, Slice, TensorData};

pub(crate) fn conv2d_nhwc<B: Backend>(x: FloatTensor<B>, w: FloatTensor<B>, options: Conv2dOptions) -> FloatTensor<B> {
    let y = B::conv2d(to_nchw::<B>(x), weight_to_burn::<B>(w), None, options.burn());
    to_nhwc::<B>(y)
}
pub(crate) fn conv2d_bias<B: Backend>(
    x: FloatTensor<B>,
    w: FloatTensor<B>,
    bias: FloatTensor<B>,
    options: Conv2dOptions,
    activation: Activation,
) -> FloatTensor<B> {
    let y = conv2d_nhwc::<B>(x, w, options);
    let bias = B::float_reshape(bias, Shape::new([1, 1, 1, y.shape()[3]]));
    activate::<B>(B::float_add(y, bias), activation)
}
pub(crate) fn conv2d_input_grad<B: Backend>(
    gy: FloatTensor<B>,
    w: FloatTensor<B>,
    size: [usize; 2],
    options: Conv2dOptions,
) -> FloatTensor<B> {
    let (out, kernel) = (gy.shape(), w.shape());
    let reach = |axis: usize| (out[axis + 1] - 1) * options.stride + kernel[axis];
    let padding_out = [0, 1].map(|axis| size[axis] + 2 * options.padding - reach(axis));
    // The remainder of the stride, always less than it: rows and columns that no kernel position covered.
    let transposed = ConvTransposeOptions::new([options.stride; 2], [options.padding; 2], padding_out, [1, 1], 1);
    let gx = B::conv_transpose2d(to_nchw::<B>(gy), weight_to_burn::<B>(w), None, transposed);
    to_nhwc::<B>(gx)
}
pub(crate) fn conv2d_weight_grad<B: Backend>(
    x: FloatTensor<B>,
    gy: FloatTensor<B>,
    kernel: [usize; 2],
    options: Conv2dOptions,
) -> FloatTensor<B> {
    let shape = Shape::new([gy.shape()[3], x.shape()[3], kernel[0], kernel[1]]);
    let w = B::float_zeros(shape, &x.device(), FloatDType::F32);
    let gw = B::conv2d_weight_backward(to_nchw::<B>(x), w, to_nchw::<B>(gy), options.burn());
    B::float_permute(gw, &[2, 3, 1, 0])
}
pub(crate) fn depthwise_nhwc<B: Backend>(
    x: FloatTensor<B>,
    w: FloatTensor<B>,
    options: DepthwiseOptions,
) -> FloatTensor<B> {
    let groups = w.shape()[2];
    let convolution = ConvOptions::new([options.stride; 2], [0; 2], [1, 1], groups);
    let y = B::conv2d(to_nchw::<B>(pad::<B>(x, options)), depthwise_to_burn::<B>(w), None, convolution);
    to_nhwc::<B>(y)
}
pub(crate) fn depthwise_input_grad<B: Backend>(
    gy: FloatTensor<B>,
    w: FloatTensor<B>,
    size: [usize; 2],
    options: DepthwiseOptions,
) -> FloatTensor<B> {
    let (out, kernel) = (gy.shape(), w.shape());
    let padded = padded_size(size, options);
    let left_over = [0, 1].map(|axis| padded[axis] - ((out[axis + 1] - 1) * options.stride + kernel[axis]));
    let transposed = ConvTransposeOptions::new([options.stride; 2], [0; 2], left_over, [1, 1], kernel[2]);
    let gx = B::conv_transpose2d(to_nchw::<B>(gy), depthwise_to_burn::<B>(w), None, transposed);
    let (top, left) = (options.vertical[0], options.horizontal[0]);
    cut::<B>(to_nhwc::<B>(gx), [0..out[0], top..top + size[0], left..left + size[1], 0..kernel[2]])
}
pub(crate) fn depthwise_weight_grad<B: Backend>(
    x: FloatTensor<B>,
    gy: FloatTensor<B>,
    kernel: [usize; 2],
    options: DepthwiseOptions,
) -> FloatTensor<B> {
    let (out, x) = (gy.shape(), pad::<B>(x, options));
    let tap = |i: usize, j: usize| {
        let rows =
            Slice::new(i as isize, Some((i + (out[1] - 1) * options.stride + 1) as isize), options.stride as isize);
        let columns =
            Slice::new(j as isize, Some((j + (out[2] - 1) * options.stride + 1) as isize), options.stride as isize);
        let seen = B::float_slice(x.clone(), &[Slice::from(0..out[0]), rows, columns, Slice::from(0..out[3])]);
        let products = B::float_mul(seen, gy.clone());
        B::float_reshape((0..3).fold(products, |sum, axis| B::float_sum_dim(sum, axis)), Shape::new([1, out[3]]))
    };
    let taps = (0..kernel[0]).flat_map(|i| (0..kernel[1]).map(move |j| (i, j))).map(|(i, j)| tap(i, j));
    B::float_reshape(B::float_cat(taps.collect(), 0), Shape::new([kernel[0], kernel[1], out[3]]))
}
pub(crate) fn resize_pictures<B: Backend>(x: FloatTensor<B>, size: [usize; 2], filter: Filter) -> FloatTensor<B> {
    let from = x.shape();
    let axes = [0, 1].map(|axis| (matrix(from[axis + 1], size[axis], filter), [size[axis], from[axis + 1]]));
    mix::<B>(x, axes)
}
pub(crate) fn resize_backward<B: Backend>(gy: FloatTensor<B>, size: [usize; 2], filter: Filter) -> FloatTensor<B> {
    let from = gy.shape();
    let axes = [0, 1].map(|axis| {
        let (rows, columns) = (from[axis + 1], size[axis]);
        let forward = matrix(columns, rows, filter);
        let transposed = (0..columns).flat_map(|c| forward.iter().skip(c).step_by(columns).copied().take(rows));
        (transposed.collect(), [columns, rows])
    });
    mix::<B>(gy, axes)
}
pub(crate) fn batch_norm_rows<B: Backend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    epsilon: f32,
    activation: Activation,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let mean = B::float_mean_dim(x.clone(), 0);
    let centred = B::float_sub(x, mean.clone());
    let variance = B::float_mean_dim(B::float_mul(centred.clone(), centred.clone()), 0);
    let sigma = B::float_sqrt(B::float_add_scalar(variance.clone(), epsilon.into()));
    let normal = B::float_div(centred, sigma);
    let linear = B::float_add(B::float_mul(normal, row::<B>(gamma)), row::<B>(beta));
    (activate::<B>(linear, activation), flat::<B>(mean), flat::<B>(variance))
}
#[allow(clippy::too_many_arguments)]
pub(crate) fn batch_norm_backward<B: Backend>(
    x: FloatTensor<B>,
    gy: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    mean: FloatTensor<B>,
    variance: FloatTensor<B>,
    epsilon: f32,
    activation: Activation,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let n = x.shape()[0] as f32;
    let inverse = B::float_recip(B::float_sqrt(B::float_add_scalar(row::<B>(variance), epsilon.into())));
    let normal = B::float_mul(B::float_sub(x, row::<B>(mean)), inverse.clone());
    let linear = B::float_add(B::float_mul(normal.clone(), row::<B>(gamma.clone())), row::<B>(beta));
    let g = B::float_mul(gy, derivative::<B>(activate::<B>(linear, activation), activation));
    let g_beta = B::float_sum_dim(g.clone(), 0);
    let g_gamma = B::float_sum_dim(B::float_mul(g.clone(), normal.clone()), 0);
    let spread = B::float_div_scalar(B::float_mul(normal, g_gamma.clone()), n.into());
    let centred = B::float_sub(g, B::float_div_scalar(g_beta.clone(), n.into()));
    let gx = B::float_mul(B::float_sub(centred, spread), B::float_mul(row::<B>(gamma), inverse));
    (gx, flat::<B>(g_gamma), flat::<B>(g_beta))
}
pub(crate) fn affine_rows<B: Backend>(
    x: FloatTensor<B>,
    scale: FloatTensor<B>,
    shift: FloatTensor<B>,
    activation: Activation,
) -> FloatTensor<B> {
    let linear = B::float_add(B::float_mul(x, row::<B>(scale)), row::<B>(shift));
    activate::<B>(linear, activation)
}
pub(crate) fn affine_backward<B: Backend>(
    x: FloatTensor<B>,
    y: FloatTensor<B>,
    gy: FloatTensor<B>,
    scale: FloatTensor<B>,
    activation: Activation,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let g = B::float_mul(gy, derivative::<B>(y, activation));
    let g_scale = B::float_sum_dim(B::float_mul(g.clone(), x), 0);
    let g_shift = B::float_sum_dim(g.clone(), 0);
    (B::float_mul(g, row::<B>(scale)), flat::<B>(g_scale), flat::<B>(g_shift))
}
pub(crate) fn bias_rows<B: Backend>(x: FloatTensor<B>, bias: FloatTensor<B>, activation: Activation) -> FloatTensor<B> {
    activate::<B>(B::float_add(x, row::<B>(bias)), activation)
}
pub(crate) fn activation_backward<B: Backend>(
    y: FloatTensor<B>,
    gy: FloatTensor<B>,
    activation: Activation,
) -> FloatTensor<B> {
    B::float_mul(gy, derivative::<B>(y, activation))
}
pub(crate) fn channel_sums<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    flat::<B>(B::float_sum_dim(x, 0))
}
pub(crate) fn augment_pictures<B: Backend>(x: FloatTensor<B>, plans: Vec<f32>) -> FloatTensor<B> {
    let pictures = plans.chunks(AUGMENT_PARAMETERS).enumerate().map(|(b, plan)| {
        let one = B::float_add_scalar(picture::<B>(x.clone(), b), plan[0].into());
        move_and_cut::<B>(recolour::<B>(one, plan), plan, false)
    });
    B::float_cat(pictures.collect(), 0)
}
pub(crate) fn augment_backward<B: Backend>(gy: FloatTensor<B>, plans: Vec<f32>) -> FloatTensor<B> {
    let pictures = plans
        .chunks(AUGMENT_PARAMETERS)
        .enumerate()
        .map(|(b, plan)| recolour::<B>(move_and_cut::<B>(picture::<B>(gy.clone(), b), plan, true), plan));
    B::float_cat(pictures.collect(), 0)
}
pub(crate) fn glu_rows<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let [a, b] = halves::<B>(x);
    B::float_mul(a, activate::<B>(b, Activation::Sigmoid))
}
pub(crate) fn glu_backward<B: Backend>(x: FloatTensor<B>, gy: FloatTensor<B>) -> FloatTensor<B> {
    let [a, b] = halves::<B>(x);
    let gate = activate::<B>(b, Activation::Sigmoid);
    let ga = B::float_mul(gy.clone(), gate.clone());
    let gb = B::float_mul(B::float_mul(gy, a), derivative::<B>(gate, Activation::Sigmoid));
    B::float_cat(vec![ga, gb], 1)
}
pub(crate) fn excite_pictures<B: Backend>(x: FloatTensor<B>, s: FloatTensor<B>) -> FloatTensor<B> {
    let shape = x.shape();
    B::float_mul(x, B::float_reshape(s, Shape::new([shape[0], 1, shape[2]])))
}
pub(crate) fn excite_backward<B: Backend>(
    x: FloatTensor<B>,
    s: FloatTensor<B>,
    gy: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let shape = s.shape();
    let gs = B::float_sum_dim(B::float_mul(gy.clone(), x), 1);
    (excite_pictures::<B>(gy, s), B::float_reshape(gs, shape))
}
pub(crate) fn average_pool_nhwc<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let shape = x.shape();
    let (oh, ow) = (shape[1] / 2, shape[2] / 2);
    let even = cut::<B>(x, [0..shape[0], 0..2 * oh, 0..2 * ow, 0..shape[3]]);
    let squares = B::float_reshape(even, Shape::new([shape[0], oh, 2, ow, 2, shape[3]]));
    let mean = B::float_mean_dim(B::float_mean_dim(squares, 2), 4);
    B::float_reshape(mean, Shape::new([shape[0], oh, ow, shape[3]]))
}
pub(crate) fn average_pool_backward<B: Backend>(gy: FloatTensor<B>, size: [usize; 2]) -> FloatTensor<B> {
    let [b, oh, ow, c] = gy.shape().dims();
    let squares = B::float_reshape(B::float_mul_scalar(gy, 0.25f32.into()), Shape::new([b, oh, 1, ow, 1, c]));
    let squares = B::float_expand(squares, Shape::new([b, oh, 2, ow, 2, c]));
    let even = B::float_reshape(squares, Shape::new([b, 2 * oh, 2 * ow, c]));
    let zeros = B::float_zeros(Shape::new([b, size[0], size[1], c]), &even.device(), FloatDType::F32);
    B::float_slice_assign(zeros, &[0..b, 0..2 * oh, 0..2 * ow, 0..c].map(Slice::from), even)
}
#[allow(clippy::type_complexity)]
pub(crate) fn adam_update<B: Backend>(
    values: Tensors<B>,
    gradients: Tensors<B>,
    first: Tensors<B>,
    second: Tensors<B>,
    averages: Tensors<B>,
    step: AdamStep,
) -> (Tensors<B>, Tensors<B>, Tensors<B>, Tensors<B>) {
    let (c1, c2) = step.corrections();
    let blend = |old, beta: f32, new| {
        B::float_add(B::float_mul_scalar(old, beta.into()), B::float_mul_scalar(new, (1.0 - beta).into()))
    };
    let gradients = if step.clip_norm > 0.0 { clip_norm::<B>(gradients.0, step.clip_norm) } else { gradients.0 };
    let (mut new_values, mut new_first, mut new_second) = (Vec::new(), Vec::new(), Vec::new());
    for (i, (((p, g), m), v)) in values.0.into_iter().zip(gradients).zip(first.0).zip(second.0).enumerate() {
        let m = blend(m, step.beta_1, g.clone());
        let v = blend(v, step.beta_2, B::float_mul(g.clone(), g));
        let root = B::float_sqrt(B::float_div_scalar(v.clone(), c2.into()));
        let direction =
            B::float_div(B::float_div_scalar(m.clone(), c1.into()), B::float_add_scalar(root, step.epsilon.into()));
        let decayed = B::float_mul_scalar(p, (1.0 - step.lr * step.decay_of(i)).into());
        new_values.push(B::float_sub(decayed, B::float_mul_scalar(direction, step.lr.into())));
        new_first.push(m);
        new_second.push(v);
    }
    let averages =
        averages.0.into_iter().zip(&new_values).map(|(average, p)| blend(average, step.ema_beta, p.clone())).collect();
    (Tensors(new_values), Tensors(new_first), Tensors(new_second), Tensors(averages))
}

/// `g · limit / max(‖g‖, limit)`, the norm taken over all tensors.
fn clip_norm<B: Backend>(gradients: Vec<FloatTensor<B>>, limit: f32) -> Vec<FloatTensor<B>> {
    let squares = gradients.iter().map(|g| B::float_sum(B::float_mul(g.clone(), g.clone())));
    let Some(square) = squares.reduce(B::float_add) else { return gradients };
    let norm = B::float_clamp_min(B::float_sqrt(square), limit.into());
    let factor = B::float_mul_scalar(B::float_recip(norm), limit.into());
    gradients.into_iter().map(|g| B::float_mul(g, factor.clone())).collect()
}
fn to_nchw<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_permute(x, &[0, 3, 1, 2])
}

fn to_nhwc<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_permute(x, &[0, 2, 3, 1])
}

/// `[kh, kw, c_in, c_out]` → Burn's `[c_out, c_in, kh, kw]`.
fn weight_to_burn<B: Backend>(w: FloatTensor<B>) -> FloatTensor<B> {
    B::float_permute(w, &[3, 2, 0, 1])
}

/// `[kh, kw, channels]` → Burn's `[channels, 1, kh, kw]` of a convolution in as many groups.
fn depthwise_to_burn<B: Backend>(w: FloatTensor<B>) -> FloatTensor<B> {
    let [kh, kw, channels] = w.shape().dims();
    B::float_permute(B::float_reshape(w, Shape::new([kh, kw, channels, 1])), &[2, 3, 0, 1])
}

fn padded_size(size: [usize; 2], options: DepthwiseOptions) -> [usize; 2] {
    let padding = [options.vertical, options.horizontal];
    [0, 1].map(|axis| size[axis] + padding[axis][0] + padding[axis][1])
}

/// Pictures with the zeros around them.
fn pad<B: Backend>(x: FloatTensor<B>, options: DepthwiseOptions) -> FloatTensor<B> {
    let [batch, height, width, channels] = x.shape().dims();
    let padded = padded_size([height, width], options);
    let zeros = B::float_zeros(Shape::new([batch, padded[0], padded[1], channels]), &x.device(), FloatDType::F32);
    let (top, left) = (options.vertical[0], options.horizontal[0]);
    B::float_slice_assign(zeros, &[0..batch, top..top + height, left..left + width, 0..channels].map(Slice::from), x)
}

/// Multiplies rows and columns of pictures by matrices `[to, from]`.
fn mix<B: Backend>(x: FloatTensor<B>, axes: [(Vec<f32>, [usize; 2]); 2]) -> FloatTensor<B> {
    let device = x.device();
    axes.into_iter().enumerate().fold(x, |x, (axis, (values, [to, from]))| {
        let m = B::float_from_data(TensorData::new(values, [1, 1, to, from]), &device);
        // The axis comes last but one.
        let order: [usize; 4] = if axis == 0 { [0, 2, 1, 3] } else { [0, 1, 2, 3] };
        B::float_permute(B::float_matmul(m, B::float_permute(x, &order)), &order)
    })
}

pub(crate) fn row<B: Backend>(v: FloatTensor<B>) -> FloatTensor<B> {
    let channels = v.shape().num_elements();
    B::float_reshape(v, Shape::new([1, channels]))
}

pub(crate) fn flat<B: Backend>(v: FloatTensor<B>) -> FloatTensor<B> {
    let channels = v.shape().num_elements();
    B::float_reshape(v, Shape::new([channels]))
}

pub(crate) fn activate<B: Backend>(x: FloatTensor<B>, activation: Activation) -> FloatTensor<B> {
    match activation {
        Activation::Identity => x,
        Activation::Relu => B::float_clamp_min(x, 0.0f32.into()),
        Activation::Relu6 => B::float_clamp(x, 0.0f32.into(), 6.0f32.into()),
        Activation::LeakyRelu(slope) => B::float_add(
            B::float_clamp_min(x.clone(), 0.0f32.into()),
            B::float_mul_scalar(B::float_clamp_max(x, 0.0f32.into()), slope.into()),
        ),
        Activation::Tanh => B::float_tanh(x),
        Activation::Sigmoid => B::float_recip(B::float_add_scalar(B::float_exp(B::float_neg(x)), 1.0f32.into())),
    }
}

/// f′ from the output of f.
pub(crate) fn derivative<B: Backend>(y: FloatTensor<B>, activation: Activation) -> FloatTensor<B> {
    let positive = |y| B::float_sign(B::float_clamp_min(y, 0.0f32.into()));
    let one_minus = |y| B::float_add_scalar(B::float_neg(y), 1.0f32.into());
    match activation {
        Activation::Identity => B::float_add_scalar(B::float_mul_scalar(y, 0.0f32.into()), 1.0f32.into()),
        Activation::Relu => positive(y),
        Activation::Relu6 => {
            let below = B::float_add_scalar(B::float_neg(y.clone()), 6.0f32.into());
            B::float_mul(positive(y), positive(below))
        }
        Activation::LeakyRelu(slope) => {
            B::float_add_scalar(B::float_mul_scalar(positive(y), (1.0 - slope).into()), slope.into())
        }
        Activation::Tanh => one_minus(B::float_mul(y.clone(), y)),
        Activation::Sigmoid => B::float_mul(y.clone(), one_minus(y)),
    }
}

fn cut<B: Backend>(x: FloatTensor<B>, ranges: [std::ops::Range<usize>; 4]) -> FloatTensor<B> {
    B::float_slice(x, &ranges.map(Slice::from))
}

/// The first and the second half of the channels of `[rows, 2 · channels]`.
pub(crate) fn halves<B: Backend>(x: FloatTensor<B>) -> [FloatTensor<B>; 2] {
    let [rows, both] = x.shape().dims();
    [0..both / 2, both / 2..both].map(|half| B::float_slice(x.clone(), &[0..rows, half].map(Slice::from)))
}

/// Picture `b` of a batch, as a batch of one.
fn picture<B: Backend>(x: FloatTensor<B>, b: usize) -> FloatTensor<B> {
    let shape = x.shape();
    cut::<B>(x, [b..b + 1, 0..shape[1], 0..shape[2], 0..shape[3]])
}

/// Saturation and contrast of one picture.
fn recolour<B: Backend>(x: FloatTensor<B>, plan: &[f32]) -> FloatTensor<B> {
    let towards = |x: FloatTensor<B>, mean: FloatTensor<B>, factor: f32| {
        B::float_add(B::float_mul_scalar(B::float_sub(x, mean.clone()), factor.into()), mean)
    };
    let x = towards(x.clone(), B::float_mean_dim(x, 3), plan[1]);
    let mean = (1..4).fold(x.clone(), |mean, axis| B::float_mean_dim(mean, axis));
    towards(x, mean, plan[2])
}

/// Translation and cutout of one picture, or their adjoint.
fn move_and_cut<B: Backend>(x: FloatTensor<B>, plan: &[f32], adjoint: bool) -> FloatTensor<B> {
    let shape = x.shape();
    let size = [shape[1] as isize, shape[2] as isize];
    let zeros = || B::float_zeros(shape.clone(), &x.device(), FloatDType::F32);
    let erase = |x: FloatTensor<B>| {
        let rows = plan[5].max(0.0) as usize..(plan[7] as usize).min(shape[1]);
        let columns = plan[6].max(0.0) as usize..(plan[8] as usize).min(shape[2]);
        if rows.is_empty() || columns.is_empty() {
            return x;
        }
        let ranges = [0..1, rows, columns, 0..shape[3]];
        let hole = cut::<B>(zeros(), ranges.clone());
        B::float_slice_assign(x, &ranges.map(Slice::from), hole)
    };
    let shift = |x: FloatTensor<B>, d: [isize; 2]| {
        if d[0].abs() >= size[0] || d[1].abs() >= size[1] {
            return zeros();
        }
        let side = |axis: usize, d: isize| d.max(0) as usize..(size[axis] + d.min(0)) as usize;
        let from = [0..1, side(0, -d[0]), side(1, -d[1]), 0..shape[3]];
        let to = [0..1, side(0, d[0]), side(1, d[1]), 0..shape[3]];
        B::float_slice_assign(zeros(), &to.map(Slice::from), cut::<B>(x, from))
    };
    let d = [plan[3] as isize, plan[4] as isize];
    if adjoint { shift(erase(x.clone()), d.map(|d| -d)) } else { erase(shift(x.clone(), d)) }
}
