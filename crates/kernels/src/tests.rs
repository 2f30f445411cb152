//! Kernels against their plain composition over random shapes, gradients against finite differences, and the same bytes
//! for any number of threads.

use crate::ops::KernelOps;
use crate::options::{Conv2dOptions, Precision};
use crate::{AUGMENT_PARAMETERS, Activation, AdamState, AdamStep, Tensors, plain};
use burn::backend::{BackendTensor, DispatchTensorKind, Flex};
use burn::tensor::{Device, Tensor, TensorData};
use burn_flex::FlexTensor;
use proptest::prelude::*;

mod default_bodies;
mod depthwise;

/// Numbers in about [-1, 1] from a small generator of our own (xorshift), so that a failure names only its seed.
pub(crate) fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

pub(crate) fn flex<const D: usize>(seed: u64, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(numbers(seed, shape.iter().product()), shape))
}

pub(crate) fn values(tensor: FlexTensor) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("f32 values")
}

pub(crate) fn assert_close(name: &str, kernel: FlexTensor, plain: FlexTensor, tolerance: f32) {
    assert_eq!(kernel.layout().shape(), plain.layout().shape(), "{name}: shapes");
    for (i, (a, b)) in values(kernel).into_iter().zip(values(plain)).enumerate() {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{name}[{i}]: kernel {a}, plain {b}");
    }
}

/// Differences relative to the largest number of the oracle.
pub(crate) fn assert_close_to_largest(name: &str, kernel: FlexTensor, plain: FlexTensor, tolerance: f32) {
    assert_eq!(kernel.layout().shape(), plain.layout().shape(), "{name}: shapes");
    let (kernel, plain) = (values(kernel), values(plain));
    let largest = plain.iter().fold(1.0, |a: f32, b| a.max(b.abs()));
    for (i, (a, b)) in kernel.into_iter().zip(plain).enumerate() {
        assert!((a - b).abs() <= tolerance * largest, "{name}[{i}]: kernel {a}, plain {b}, largest {largest}");
    }
}

fn activations() -> impl Strategy<Value = Activation> {
    prop_oneof![
        Just(Activation::Identity),
        Just(Activation::Relu),
        Just(Activation::Relu6),
        Just(Activation::LeakyRelu(0.2)),
        Just(Activation::Tanh),
        Just(Activation::Sigmoid),
    ]
}

prop_compose! {
    /// (batch, height, width, c_in, c_out, kernel, options) whose kernel fits into the padded picture.
    fn convolutions()(
        batch in 1usize..4, height in 1usize..20, width in 1usize..20,
        // Few channels go other ways than those that fill vectors.
        c_in in prop_oneof![1usize..9, 16usize..36], c_out in prop_oneof![1usize..9, 16usize..36],
        kernel in prop_oneof![Just(1usize), Just(3), Just(4), Just(5)],
        stride in 1usize..4, padding in 0usize..3,
        covers in prop::bool::weighted(0.1), // the kernel is as large as the picture
    ) -> ([usize; 4], usize, usize, Conv2dOptions) {
        let padding = if covers { 0 } else { padding.min(kernel - 1) };
        let fit = |size: usize| if covers { kernel } else { size.max(kernel.saturating_sub(2 * padding)) };
        let options = Conv2dOptions { stride, padding, precision: Precision::F32 };
        ([batch, fit(height), fit(width), c_in], c_out, kernel, options)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn convolution_and_its_gradients_match_the_plain_composition(
        (input, c_out, kernel, options) in convolutions(), bf16 in any::<bool>(), seed in 1u64..1_000_000,
    ) {
        // bf16 has 8 bits: the error of a sum of n products grows as √n while |y| does too, so it is judged by the largest.
        let (precision, close) = if bf16 {
            (Precision::Bf16, assert_close_to_largest as fn(&str, FlexTensor, FlexTensor, f32))
        } else {
            (Precision::F32, assert_close as fn(&str, FlexTensor, FlexTensor, f32))
        };
        let tolerance = if bf16 { 0.03 } else { 1e-4 };
        let options = Conv2dOptions { precision, ..options };
        let output = [
            input[0], options.output_size(input[1], kernel), options.output_size(input[2], kernel), c_out,
        ];
        let (x, w, gy) = (flex(seed, input), flex(seed + 1, [kernel, kernel, input[3], c_out]), flex(seed + 2, output));
        close(
            "conv2d",
            Flex::conv2d_nhwc(x.clone(), w.clone(), options),
            plain::conv2d_nhwc::<Flex>(x.clone(), w.clone(), options),
            tolerance,
        );
        close(
            "weight gradient",
            Flex::conv2d_weight_grad(x.clone(), gy.clone(), [kernel; 2], options),
            plain::conv2d_weight_grad::<Flex>(x, gy.clone(), [kernel; 2], options),
            tolerance,
        );
        let size = [input[1], input[2]];
        close(
            "input gradient",
            Flex::conv2d_input_grad(gy.clone(), w.clone(), size, options),
            plain::conv2d_input_grad::<Flex>(gy, w, size, options),
            tolerance,
        );
    }

    #[test]
    fn batch_norm_and_affine_match_the_plain_composition(
        rows in 2usize..400, channels in 1usize..40, activation in activations(), seed in 1u64..1_000_000,
    ) {
        let (x, gy) = (flex(seed, [rows, channels]), flex(seed + 1, [rows, channels]));
        let (gamma, beta) = (flex(seed + 2, [channels]), flex(seed + 3, [channels]));
        let kernel = Flex::batch_norm_rows(x.clone(), gamma.clone(), beta.clone(), 1e-5, activation);
        let oracle = plain::batch_norm_rows::<Flex>(x.clone(), gamma.clone(), beta.clone(), 1e-5, activation);
        let (_, mean, variance) = kernel.clone();
        assert_close("batch norm", kernel.0, oracle.0, 2e-3);
        assert_close("mean", kernel.1, oracle.1, 1e-4);
        assert_close("variance", kernel.2, oracle.2, 1e-4);
        let backward = |f: fn(_, _, _, _, _, _, f32, Activation) -> (FlexTensor, FlexTensor, FlexTensor)| {
            f(x.clone(), gy.clone(), gamma.clone(), beta.clone(), mean.clone(), variance.clone(), 1e-5, activation)
        };
        let (kernel, oracle) = (backward(Flex::batch_norm_backward), backward(plain::batch_norm_backward::<Flex>));
        assert_close("gx", kernel.0, oracle.0, 2e-2);
        assert_close("g gamma", kernel.1, oracle.1, 2e-3);
        assert_close("g beta", kernel.2, oracle.2, 1e-3);

        let y = Flex::affine_rows(x.clone(), gamma.clone(), beta.clone(), activation);
        let oracle = plain::affine_rows::<Flex>(x.clone(), gamma.clone(), beta, activation);
        assert_close("affine", y.clone(), oracle, 1e-5);
        let kernel = Flex::affine_backward(x.clone(), y.clone(), gy.clone(), gamma.clone(), activation);
        let oracle = plain::affine_backward::<Flex>(x, y, gy, gamma, activation);
        assert_close("affine gx", kernel.0, oracle.0, 1e-4);
        assert_close("g scale", kernel.1, oracle.1, 1e-3);
        assert_close("g shift", kernel.2, oracle.2, 1e-3);
    }

    #[test]
    fn augment_and_its_adjoint_match_the_plain_composition(
        batch in 1usize..4, height in 1usize..12, width in 1usize..12, grey in any::<bool>(), seed in 1u64..1_000_000,
    ) {
        let shape = [batch, height, width, if grey { 1 } else { 3 }];
        let plans = plans(seed, batch, height, width);
        let x = flex(seed, shape);
        assert_close(
            "augment",
            Flex::augment_pictures(x.clone(), plans.clone()),
            plain::augment_pictures::<Flex>(x.clone(), plans.clone()),
            1e-5,
        );
        assert_close(
            "adjoint",
            Flex::augment_backward(x.clone(), plans.clone()),
            plain::augment_backward::<Flex>(x, plans),
            1e-5,
        );
    }

    #[test]
    fn bias_matches_the_plain_composition(
        rows in 1usize..400, channels in 1usize..40, activation in activations(), seed in 1u64..1_000_000,
    ) {
        let (x, gy, bias) = (flex(seed, [rows, channels]), flex(seed + 1, [rows, channels]), flex(seed + 2, [channels]));
        let y = Flex::bias_rows(x.clone(), bias.clone(), activation);
        assert_close("bias", y.clone(), plain::bias_rows::<Flex>(x, bias, activation), 1e-5);
        let oracle = plain::activation_backward::<Flex>(y.clone(), gy.clone(), activation);
        assert_close("bias gx", Flex::activation_backward(y, gy.clone(), activation), oracle, 1e-5);
        assert_close("bias gradient", Flex::channel_sums(gy.clone()), plain::channel_sums::<Flex>(gy), 1e-4);
    }

    #[test]
    fn gates_and_pooling_match_the_plain_composition(
        batch in 1usize..4, height in 2usize..14, width in 2usize..14, channels in 1usize..40, seed in 1u64..1_000_000,
    ) {
        let (x, gy) = (flex(seed, [batch * height, 2 * channels]), flex(seed + 1, [batch * height, channels]));
        assert_close("glu", Flex::glu_rows(x.clone()), plain::glu_rows::<Flex>(x.clone()), 1e-5);
        let oracle = plain::glu_backward::<Flex>(x.clone(), gy.clone());
        assert_close("glu gx", Flex::glu_backward(x, gy), oracle, 1e-5);

        let pictures = [batch, height * width, channels];
        let (x, s, gy) = (flex(seed, pictures), flex(seed + 1, [batch, channels]), flex(seed + 2, pictures));
        let oracle = plain::excite_pictures::<Flex>(x.clone(), s.clone());
        assert_close("excite", Flex::excite_pictures(x.clone(), s.clone()), oracle, 1e-6);
        let kernel = Flex::excite_backward(x.clone(), s.clone(), gy.clone());
        let oracle = plain::excite_backward::<Flex>(x, s, gy);
        assert_close("excite gx", kernel.0, oracle.0, 1e-6);
        assert_close("excite gs", kernel.1, oracle.1, 1e-4);

        let x = flex(seed, [batch, height, width, channels]);
        let y = Flex::average_pool_nhwc(x.clone());
        assert_close("average pool", y.clone(), plain::average_pool_nhwc::<Flex>(x), 1e-5);
        let oracle = plain::average_pool_backward::<Flex>(y.clone(), [height, width]);
        assert_close("average pool gx", Flex::average_pool_backward(y, [height, width]), oracle, 1e-6);
    }

    #[test]
    fn adam_matches_the_plain_composition(
        sizes in prop::collection::vec(prop_oneof![1usize..300, 16_000usize..50_000], 1..5), number in 1u64..500,
        weight_decay in prop_oneof![Just(0.0f32), Just(0.1)], clip_norm in prop_oneof![Just(0.0f32), 0.01f32..300.0],
        averaged in any::<bool>(), decayed in 0usize..6, seed in 1u64..1_000_000,
    ) {
        let step = AdamStep { weight_decay, decayed, clip_norm, step: number, ..ADAM };
        let state = || adam_tensors(seed, &sizes, averaged);
        let kernel = adam(Flex::adam_update, state(), step);
        let oracle = adam(plain::adam_update::<Flex>, state(), step);
        for (name, (kernel, oracle)) in ["p", "m", "v", "average"].into_iter().zip(kernel.into_iter().zip(oracle)) {
            prop_assert_eq!(kernel.0.len(), oracle.0.len());
            for (kernel, oracle) in kernel.0.into_iter().zip(oracle.0) {
                assert_close(name, kernel, oracle, 1e-4);
            }
        }
    }
}

const ADAM: AdamStep = AdamStep {
    lr: 0.01,
    beta_1: 0.5,
    beta_2: 0.999,
    epsilon: 1e-8,
    weight_decay: 0.1,
    decayed: usize::MAX,
    clip_norm: 1.0,
    ema_beta: 0.9,
    step: 3,
};

/// Values, gradients, both moments and averages of tensors of these sizes.
fn adam_tensors(seed: u64, sizes: &[usize], averaged: bool) -> [Tensors<Flex>; 5] {
    let list = |k: u64| Tensors(sizes.iter().zip(0..).map(|(&n, i)| flex(seed + 10 * k + i, [n])).collect());
    let squares = |n: usize, i| numbers(seed + 900 + i, n).iter().map(|v| v * v).collect::<Vec<f32>>();
    let second =
        sizes.iter().zip(0..).map(|(&n, i)| FlexTensor::from_data(TensorData::new(squares(n, i), [n]))).collect();
    [list(1), list(2), list(3), Tensors(second), if averaged { list(4) } else { Tensors(Vec::new()) }]
}

type List = Tensors<Flex>;
type Update = fn(List, List, List, List, List, AdamStep) -> (List, List, List, List);

fn adam(update: Update, [values, gradients, first, second, averages]: [List; 5], step: AdamStep) -> [List; 4] {
    let (values, first, second, averages) = update(values, gradients, first, second, averages, step);
    [values, first, second, averages]
}

/// Random plans with shifts and cutouts that may reach past the border.
fn plans(seed: u64, batch: usize, height: usize, width: usize) -> Vec<f32> {
    let random = numbers(seed + 9, batch * AUGMENT_PARAMETERS);
    let whole = |v: f32, size: usize| (v * size as f32).trunc();
    random
        .chunks(AUGMENT_PARAMETERS)
        .flat_map(|r| {
            let (top, left) = (whole(r[5], height), whole(r[6], width));
            let (bottom, right) = (top + whole(r[7].abs(), height), left + whole(r[8].abs(), width));
            [r[0], 1.0 + r[1], 1.0 + r[2], whole(r[3], height), whole(r[4], width), top, left, bottom, right]
        })
        .collect()
}

/// Compares ∂/∂input of `Σ f(inputs) · c` (c fixed) with central differences, at every element of every input.
pub(crate) fn check_gradients(name: &str, shapes: &[Vec<usize>], f: impl Fn(&[Tensor<1>]) -> Tensor<1>) {
    let device = Device::flex();
    let host: Vec<Vec<f32>> =
        shapes.iter().enumerate().map(|(i, s)| numbers(40 + i as u64, s.iter().product())).collect();
    let on = |values: &[Vec<f32>], device: &Device| -> Vec<Tensor<1>> {
        values.iter().map(|v| Tensor::from_data(TensorData::new(v.clone(), [v.len()]), device)).collect()
    };
    let loss = |inputs: &[Tensor<1>]| {
        let y = f(inputs);
        let weights = numbers(77, y.dims()[0]);
        let c = Tensor::<1>::from_data(TensorData::new(weights, y.dims()), &device);
        (y * c).sum()
    };
    let tracked: Vec<_> = on(&host, &device.clone().autodiff()).into_iter().map(Tensor::require_grad).collect();
    let gradients = loss(&tracked).backward();
    for (i, input) in tracked.iter().enumerate() {
        let analytic: Vec<f32> = input.grad(&gradients).expect("a gradient").into_data().try_into_vec().unwrap();
        for (j, &found) in analytic.iter().enumerate() {
            let at = |delta: f32| {
                let mut moved = host.clone();
                moved[i][j] += delta;
                f64::from(loss(&on(&moved, &device)).into_scalar::<f32>())
            };
            let numeric = ((at(1e-2) - at(-1e-2)) / 2e-2) as f32;
            assert!(
                (found - numeric).abs() < 2e-2 * (1.0 + numeric.abs()),
                "{name}: input {i}[{j}] gradient {found}, by differences {numeric}"
            );
        }
    }
}

fn all(tensor: Tensor<4>) -> Tensor<1> {
    tensor.flatten(0, 3)
}

#[test]
fn gradients_agree_with_finite_differences() {
    for (stride, kernel, padding) in [(1, 3, 1), (2, 4, 1), (1, 1, 0), (2, 5, 2)] {
        let options = Conv2dOptions { stride, padding, precision: Precision::F32 };
        let (x, w) = ([2, 7, 6, 3], [kernel, kernel, 3, 2]);
        check_gradients("conv2d", &[x.to_vec(), w.to_vec()], |v| {
            all(crate::conv2d(v[0].clone().reshape(x), v[1].clone().reshape(w), options))
        });
        let small = [2, options.output_size(7, kernel), options.output_size(6, kernel), 2];
        check_gradients("conv_transpose2d", &[small.to_vec(), w.to_vec()], |v| {
            all(crate::conv_transpose2d(v[0].clone().reshape(small), v[1].clone().reshape(w), [7, 6], options))
        });
    }
    let shape = [2, 3, 4, 2];
    let channels = || vec![2];
    // Piecewise-linear activations have no derivative at the kink; the smooth ones are compared everywhere.
    for activation in [Activation::Identity, Activation::Tanh, Activation::Sigmoid] {
        check_gradients("batch_norm", &[shape.to_vec(), channels(), channels()], |v| {
            all(crate::batch_norm(v[0].clone().reshape(shape), v[1].clone(), v[2].clone(), 1e-5, activation).0)
        });
    }
    for activation in [Activation::Identity, Activation::LeakyRelu(0.2), Activation::Tanh] {
        check_gradients("affine", &[vec![1, 2, 2, 2], channels(), channels()], |v| {
            all(crate::affine(v[0].clone().reshape([1, 2, 2, 2]), v[1].clone(), v[2].clone(), activation))
        });
    }
    for activation in [Activation::Identity, Activation::Tanh] {
        check_gradients("conv2d_bias", &[vec![1, 4, 4, 2], vec![4, 4, 2, 3], vec![3]], |v| {
            let (x, w) = (v[0].clone().reshape([1, 4, 4, 2]), v[1].clone().reshape([4, 4, 2, 3]));
            let options = Conv2dOptions { stride: 2, padding: 1, precision: Precision::F32 };
            all(crate::conv2d_bias(x, w, v[2].clone(), options, activation))
        });
    }
    for activation in [Activation::Identity, Activation::LeakyRelu(0.2), Activation::Tanh] {
        check_gradients("bias", &[vec![2, 2, 2, 2], channels()], |v| {
            all(crate::bias(v[0].clone().reshape([2, 2, 2, 2]), v[1].clone(), activation))
        });
    }
    check_gradients("glu", &[vec![3, 2, 2, 4]], |v| all(crate::glu(v[0].clone().reshape([3, 2, 2, 4]))));
    check_gradients("excite", &[vec![2, 3, 2, 4], vec![2, 4]], |v| {
        all(crate::excite(v[0].clone().reshape([2, 3, 2, 4]), v[1].clone().reshape([2, 4])))
    });
    check_gradients("average pool", &[vec![2, 5, 4, 3]], |v| {
        all(crate::average_pool(v[0].clone().reshape([2, 5, 4, 3])))
    });
    check_gradients("augment", &[vec![2, 4, 5, 3]], |v| {
        all(crate::augment(v[0].clone().reshape([2, 4, 5, 3]), plans(3, 2, 4, 5)))
    });
}

#[test]
fn untracked_parents_get_no_gradient_and_cost_nothing() {
    let device = Device::flex().autodiff();
    let options = Conv2dOptions { stride: 2, padding: 1, precision: Precision::F32 };
    let x = Tensor::<4>::ones([1, 8, 8, 3], &device).require_grad();
    let w = Tensor::<4>::ones([4, 4, 3, 2], &device);
    let gradients = crate::conv2d(x.clone(), w.clone(), options).sum().backward();
    assert!(x.grad(&gradients).is_some());
    assert!(w.grad(&gradients).is_none());

    let bias = Tensor::<1>::ones([3], &device);
    let gradients = crate::bias(x.clone(), bias.clone(), Activation::Tanh).sum().backward();
    assert!(x.grad(&gradients).is_some() && bias.grad(&gradients).is_none());
    let (x, bias) = (x.detach().set_require_grad(false), bias.require_grad());
    let gradients = crate::bias(x.clone(), bias.clone(), Activation::Tanh).sum().backward();
    assert!(x.grad(&gradients).is_none() && bias.grad(&gradients).is_some());
}

/// Where a tensor's numbers lie.
fn address<const D: usize>(tensor: &Tensor<D>) -> *const f32 {
    let inner = tensor.clone().inner().into_dispatch();
    let DispatchTensorKind::Flex(BackendTensor::Float(flex)) = inner.kind else { panic!("a tensor on the CPU") };
    flex.as_slice::<f32>().unwrap().as_ptr()
}

#[test]
fn adam_changes_tensors_in_place() {
    let vector = |seed| Tensor::<1>::from_data(TensorData::new(numbers(seed, 20_000), [20_000]), &Device::flex());
    let list = |seed| vec![vector(seed), vector(seed + 1)];
    let second = vec![vector(5).abs(), vector(6).abs()];
    let state = AdamState { values: list(1), first: list(3), second, averages: list(7) };
    let addresses = |s: &AdamState| {
        [&s.values, &s.first, &s.second, &s.averages].map(|list| list.iter().map(address).collect::<Vec<_>>())
    };
    let before = addresses(&state);
    let state = crate::adam(state, list(9), ADAM);
    assert_eq!(addresses(&state), before);
    // What someone else holds is left as it is.
    let held = state.values[0].clone();
    let numbers = held.clone().into_data();
    let state = crate::adam(state, list(11), ADAM);
    assert_eq!(held.into_data(), numbers);
    assert_ne!(addresses(&state)[0][0], before[0][0]);
    assert_eq!(addresses(&state)[0][1], before[0][1]);
}

#[test]
fn bias_writes_over_a_convolution() {
    let device = Device::flex().autodiff();
    let x = Tensor::<4>::ones([1, 8, 8, 3], &device);
    let w = Tensor::<4>::ones([4, 4, 3, 2], &device).require_grad();
    let convolved = crate::conv2d(x, w.clone(), Conv2dOptions { stride: 2, padding: 1, precision: Precision::F32 });
    let before = address(&convolved);
    let y = crate::bias(convolved, Tensor::ones([2], &device), Activation::LeakyRelu(0.2));
    assert_eq!(address(&y), before);
    assert!(w.grad(&y.sum().backward()).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_convolution_with_bias_matches_the_plain_composition(
        (input, c_out, kernel, options) in convolutions(), activation in activations(), seed in 1u64..1_000_000,
    ) {
        let (x, w, bias) = (flex(seed, input), flex(seed + 1, [kernel, kernel, input[3], c_out]), flex(seed + 2, [c_out]));
        let oracle = plain::conv2d_bias::<Flex>(x.clone(), w.clone(), bias.clone(), options, activation);
        assert_close("conv2d_bias", Flex::conv2d_bias(x, w, bias, options, activation), oracle, 1e-4);
    }
}

/// A layer of few channels and one of many, batch norm between them; several ways of convolution and all that is remembered.
fn small_network(x: Tensor<4>, [first, bias, second, gamma, beta]: &[Tensor<1>; 5]) -> Tensor<4> {
    let options = Conv2dOptions { stride: 2, padding: 1, precision: Precision::F32 };
    let x =
        crate::conv2d_bias(x, first.clone().reshape([4, 4, 3, 16]), bias.clone(), options, Activation::LeakyRelu(0.2));
    let x = crate::conv2d(x, second.clone().reshape([4, 4, 16, 16]), options);
    crate::batch_norm(x, gamma.clone(), beta.clone(), 1e-5, Activation::Relu).0
}

#[test]
fn what_is_reused_is_what_would_be_computed() {
    let device = Device::flex().autodiff();
    let vector = |seed, count| Tensor::<1>::from_data(TensorData::new(numbers(seed, count), [count]), &device);
    let weights =
        [vector(1, 768), vector(2, 16), vector(3, 4096), vector(4, 16), vector(7, 16)].map(|w| w.require_grad());
    let frozen = weights.clone().map(|w| w.detach().set_require_grad(false));
    let (fake, real) = (vector(5, 2 * 32 * 32 * 3), vector(6, 2 * 32 * 32 * 3).reshape([2, 32, 32, 3]));
    let pictures = || fake.clone().reshape([2, 32, 32, 3]);
    let values = |tensor: Tensor<1>| tensor.into_data().try_into_vec::<f32>().unwrap();

    let run = |reuse: Option<&crate::Reuse>| {
        let first = || small_network(pictures().detach(), &weights);
        let on_fake = reuse.map_or_else(first, |reuse| reuse.remember(first));
        let rest = || {
            let gradients =
                (on_fake.clone().sum() - small_network(real.clone(), &weights).powi_scalar(2).sum()).backward();
            weights.clone().map(|w| values(w.grad(&gradients).unwrap()))
        };
        let of_weights = reuse.map_or_else(rest, |reuse| reuse.share(rest));
        let x = fake.clone().detach().require_grad();
        // The same memory as before, in another graph.
        assert_eq!(address(&x), address(&fake));
        let again = || small_network(x.clone().reshape([2, 32, 32, 3]), &frozen);
        let y = reuse.map_or_else(again, |reuse| reuse.recall(again));
        let last = || values(x.grad(&y.clone().powi_scalar(3).sum().backward()).unwrap());
        let of_pictures = reuse.map_or_else(last, |reuse| reuse.share(last));
        (address(&on_fake) == address(&y), of_weights, of_pictures)
    };
    let reuse = crate::Reuse::default();
    let (recalled, of_weights, of_pictures) = run(Some(&reuse));
    let (computed, weights_again, pictures_again) = run(None);
    assert!(recalled && !computed, "the result itself comes back, and only where it was remembered");
    assert!(of_weights == weights_again && of_pictures == pictures_again);
    // Each result comes back once; a tensor of the same numbers elsewhere, or other options, bring nothing back.
    let (x, w) = (flex(1, [1, 8, 8, 3]), flex(2, [4, 4, 3, 2]));
    let options = Conv2dOptions { stride: 2, padding: 1, precision: Precision::F32 };
    let run = |x: &FlexTensor, options| Flex::conv2d_nhwc(x.clone(), w.clone(), options);
    let at = |y: &FlexTensor| y.as_slice::<f32>().unwrap().as_ptr();
    let known = reuse.remember(|| run(&x, options));
    let recall = |x: &FlexTensor, options| at(&reuse.recall(|| run(x, options))) == at(&known);
    assert!(!recall(&flex(1, [1, 8, 8, 3]), options));
    assert!(!recall(&x, Conv2dOptions { padding: 2, ..options }));
    assert!(recall(&x, options) && !recall(&x, options));
}

#[test]
fn a_broken_gradient_is_not_clipped_away() {
    for broken in [f32::NAN, f32::INFINITY] {
        let [p, mut gradients, first, second, averages] = adam_tensors(1, &[5, 7], true);
        gradients.0[1] = FlexTensor::from_data(TensorData::new(vec![broken; 7], [7]));
        let [after, ..] = adam(Flex::adam_update, [p, gradients, first, second, averages], ADAM);
        assert!(after.0.into_iter().flat_map(values).any(|v| v.is_nan()), "{broken}");
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let run = |threads: usize, precision: Precision| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let options = Conv2dOptions { stride: 2, padding: 1, precision };
            let (x, w) = (flex(1, [5, 33, 30, 16]), flex(2, [4, 4, 16, 24]));
            let y = Flex::conv2d_nhwc(x.clone(), w.clone(), options);
            let rows = flex(3, [5000, 24]);
            let (n, mean, variance) =
                Flex::batch_norm_rows(rows.clone(), flex(4, [24]), flex(5, [24]), 1e-5, Activation::LeakyRelu(0.2));
            let (gx, g_gamma, g_beta) = Flex::batch_norm_backward(
                rows,
                flex(6, [5000, 24]),
                flex(4, [24]),
                flex(5, [24]),
                mean,
                variance,
                1e-5,
                Activation::LeakyRelu(0.2),
            );
            let [updated, ..] = adam(Flex::adam_update, adam_tensors(7, &[100_000, 10, 40_000], true), ADAM);
            let mut all = updated.0;
            // A few channels go another way.
            let (few, w3) = (flex(9, [5, 33, 30, 3]), flex(10, [4, 4, 3, 24]));
            let y3 = Flex::conv2d_nhwc(few.clone(), w3.clone(), options);
            all.extend([
                Flex::conv2d_input_grad(y3.clone(), w3, [33, 30], options),
                Flex::conv2d_weight_grad(few, y3.clone(), [4, 4], options),
                y3,
            ]);
            all.extend([
                Flex::channel_sums(flex(8, [5000, 24])),
                Flex::glu_rows(flex(8, [5000, 24])),
                Flex::glu_backward(flex(8, [5000, 24]), flex(9, [5000, 12])),
                Flex::excite_backward(flex(8, [5, 1000, 24]), flex(9, [5, 24]), flex(10, [5, 1000, 24])).1,
                Flex::average_pool_nhwc(flex(8, [5, 31, 30, 24])),
                Flex::conv2d_input_grad(y.clone(), w, [33, 30], options),
                Flex::conv2d_weight_grad(x, y.clone(), [4, 4], options),
                y,
                n,
                gx,
                g_gamma,
                g_beta,
            ]);
            all.into_iter().map(values).collect::<Vec<_>>()
        })
    };
    for precision in [Precision::F32, Precision::Bf16] {
        let one = run(1, precision);
        for threads in [2, 5] {
            assert!(one == run(threads, precision), "{threads} threads gave other bytes than one");
        }
    }
}

#[test]
fn a_picture_gets_the_same_bytes_in_any_company() {
    let layers = [
        ([17, 16, 16], 4, 2, 1, 16),
        ([9, 11, 3], 4, 2, 1, 20),
        ([9, 12, 20], 4, 2, 1, 24),
        ([7, 7, 17], 3, 1, 1, 16),
        ([4, 4, 16], 4, 1, 0, 5),
    ];
    for ([height, width, c_in], kernel, stride, padding, c_out) in layers {
        for precision in [Precision::F32, Precision::Bf16] {
            let options = Conv2dOptions { stride, padding, precision };
            let w = flex(2, [kernel, kernel, c_in, c_out]);
            let forward = |batch| values(Flex::conv2d_nhwc(flex(1, [batch, height, width, c_in]), w.clone(), options));
            let (oh, ow) = (options.output_size(height, kernel), options.output_size(width, kernel));
            let back = |batch| {
                values(Flex::conv2d_input_grad(flex(3, [batch, oh, ow, c_out]), w.clone(), [height, width], options))
            };
            assert_eq!(forward(1), forward(13)[..oh * ow * c_out]);
            assert_eq!(back(1), back(13)[..height * width * c_in]);
        }
    }
}
