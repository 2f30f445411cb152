//! Operations at the sizes of a real training step, ready to be timed: the layers of PyTorch's DCGAN example for 64×64
//! pictures. Nothing here reads a clock; whoever times a [`Workload`] brings it.

pub mod text;

use crate::{
    Activation, AdamState, AdamStep, Conv2dOptions, KernelOps, Precision, adam, batch_norm, conv_transpose2d, conv2d,
};
use burn::backend::Dispatch;
use burn::tensor::{Device, Tensor, TensorData};
use gemm::Parallelism;
use std::hint::black_box;

/// One operation with its tensors.
pub struct Workload {
    /// For example `conv/64x128/weight-gradient`.
    pub name: String,
    /// What one run does. For [`gemm`](fn@gemm) and [`convolutions`] floating-point operations, two a multiply–add of the direct
    /// form: taps on the padding count, tricks do not. For [`streams`] the bytes that must move: every input read once
    /// and every output written once.
    pub work: f64,
    body: Box<dyn FnMut()>,
}

impl Workload {
    fn new(name: impl Into<String>, work: f64, body: impl FnMut() + 'static) -> Self {
        Self { name: name.into(), work, body: Box::new(body) }
    }

    /// Does it once.
    pub fn run(&mut self) {
        (self.body)();
    }
}

/// Threads that the operations use.
pub fn threads() -> usize {
    rayon::current_num_threads()
}

/// A square f32 product of `side` by the crate `gemm`, on one thread or on all: the yardstick of every share of a peak.
/// It stands apart from the kernels, so that it stays the same when they change.
pub fn gemm(side: usize, all_threads: bool) -> Workload {
    let parallelism = if all_threads { Parallelism::Rayon(0) } else { Parallelism::None };
    let (a, b) = (numbers(side * side), numbers(side * side));
    let mut c = vec![0.0f32; side * side];
    let stride = side as isize;
    Workload::new("gemm", 2.0 * (side as f64).powi(3), move || {
        let (c, a, b) = (black_box(c.as_mut_ptr()), black_box(a.as_ptr()), black_box(b.as_ptr()));
        // SAFETY: all three matrices are column-major with `side` columns of `side` floats, which is the length of the
        // three vectors; `c` is borrowed mutably and so does not alias `a` or `b`.
        unsafe {
            gemm::gemm(
                side,
                side,
                side,
                c,
                stride,
                1,
                false,
                a,
                stride,
                1,
                b,
                stride,
                1,
                0.0,
                1.0,
                false,
                false,
                false,
                parallelism,
            );
        }
    })
}

/// One layer in the terms of the convolution that maps `[batch, size, size, c_in]` to `c_out` channels.
struct Layer {
    c_in: usize,
    c_out: usize,
    size: usize,
    options: Conv2dOptions,
    /// A layer of the generator: its forward pass is the input gradient of that convolution, and the other way round.
    transposed: bool,
}

const KERNEL: usize = 4;
const HALVE: Conv2dOptions = Conv2dOptions { stride: 2, padding: 1, precision: Precision::F32 };
const WHOLE: Conv2dOptions = Conv2dOptions { stride: 1, padding: 0, precision: Precision::F32 };

/// The discriminator, and the generator's first layer; its others have the sizes of the discriminator's.
const LAYERS: [Layer; 6] = [
    Layer { c_in: 3, c_out: 64, size: 64, options: HALVE, transposed: false },
    Layer { c_in: 64, c_out: 128, size: 32, options: HALVE, transposed: false },
    Layer { c_in: 128, c_out: 256, size: 16, options: HALVE, transposed: false },
    Layer { c_in: 256, c_out: 512, size: 8, options: HALVE, transposed: false },
    Layer { c_in: 512, c_out: 1, size: 4, options: WHOLE, transposed: false },
    Layer { c_in: 512, c_out: 100, size: 4, options: WHOLE, transposed: true },
];

/// Forward pass and both gradients of every layer, made one after another as they are asked for.
pub fn convolutions(batch: usize, precision: Precision) -> impl Iterator<Item = Workload> {
    LAYERS.iter().flat_map(move |layer| {
        let &Layer { c_in, c_out, size, options, transposed } = layer;
        let options = Conv2dOptions { precision, ..options };
        let out = options.output_size(size, KERNEL);
        let x = tensor([batch, size, size, c_in]);
        let w = tensor([KERNEL, KERNEL, c_in, c_out]);
        let gy = tensor([batch, out, out, c_out]);
        let work = 2.0 * (batch * out * out * c_out * KERNEL * KERNEL * c_in) as f64;
        let (name, down, up) = if transposed {
            (format!("conv/{c_out}x{c_in}"), "input-gradient", "forward")
        } else {
            (format!("conv/{c_in}x{c_out}"), "forward", "input-gradient")
        };
        let (x1, w1) = (x.clone(), w.clone());
        let convolution = Workload::new(format!("{name}/{down}"), work, move || {
            black_box(conv2d(x1.clone(), w1.clone(), options));
        });
        let gy1 = gy.clone();
        let input_gradient = Workload::new(format!("{name}/{up}"), work, move || {
            black_box(conv_transpose2d(gy1.clone(), w.clone(), [size, size], options));
        });
        let weight_gradient = Workload::new(format!("{name}/weight-gradient"), work, move || {
            let (x, gy) = (x.clone().into_dispatch(), gy.clone().into_dispatch());
            black_box(<Dispatch as KernelOps>::conv2d_weight_grad(x, gy, [KERNEL; 2], options));
        });
        let [first, second] = if transposed { [input_gradient, convolution] } else { [convolution, input_gradient] };
        [first, second, weight_gradient]
    })
}

/// Batch norm with ReLU on the generator's largest normalised layer, forward and backward, and Adam on the weights of the
/// largest convolution: what moves memory rather than computes.
pub fn streams(batch: usize) -> [Workload; 3] {
    const CHANNELS: usize = 64;
    const EPSILON: f32 = 1e-5;
    const RELU: Activation = Activation::Relu;
    let pixels = batch * 32 * 32;
    let bytes = |tensors: usize, numbers: usize| (tensors * numbers * size_of::<f32>()) as f64;

    let (x, gamma, beta) = (tensor([pixels, CHANNELS]), tensor([CHANNELS]), tensor([CHANNELS]));
    let (_, mean, variance) = batch_norm(x.clone(), gamma.clone(), beta.clone(), EPSILON, RELU);
    let (x1, gamma1, beta1) = (x.clone(), gamma.clone(), beta.clone());
    let forward = Workload::new("batch_norm/forward", bytes(2, pixels * CHANNELS), move || {
        black_box(batch_norm(x1.clone(), gamma1.clone(), beta1.clone(), EPSILON, RELU));
    });
    let [x, gy] = [x, tensor([pixels, CHANNELS])].map(Tensor::into_dispatch);
    let [gamma, beta, mean, variance] = [gamma, beta, mean, variance].map(Tensor::into_dispatch);
    let backward = Workload::new("batch_norm/backward", bytes(3, pixels * CHANNELS), move || {
        let (x, gy, gamma, beta) = (x.clone(), gy.clone(), gamma.clone(), beta.clone());
        let (mean, variance) = (mean.clone(), variance.clone());
        black_box(<Dispatch as KernelOps>::batch_norm_backward(x, gy, gamma, beta, mean, variance, EPSILON, RELU));
    });

    let weights = KERNEL * KERNEL * 256 * 512;
    let step = AdamStep {
        lr: 2e-4,
        beta_1: 0.5,
        beta_2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.0,
        decayed: usize::MAX,
        clip_norm: 0.0,
        ema_beta: 0.999,
        step: 1,
    };
    let gradient = tensor([weights]);
    let zeros = || vec![gradient.zeros_like()];
    let mut state = AdamState { values: vec![tensor([weights])], first: zeros(), second: zeros(), averages: zeros() };
    let update = Workload::new("adam", bytes(9, weights), move || {
        state = black_box(adam(std::mem::take(&mut state), vec![gradient.clone()], step));
    });
    [forward, backward, update]
}

/// Numbers in [-1, 1) without a pattern that a processor could profit from (Knuth's multiplicative hashing).
fn numbers(count: usize) -> Vec<f32> {
    (0..count as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1u32 << 23) as f32 - 1.0).collect()
}

fn tensor<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(numbers(shape.iter().product()), shape), &Device::flex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_are_those_of_the_dcgan() {
        let mut flops = 0.0;
        let mut names = Vec::new();
        for mut workload in convolutions(1, Precision::F32) {
            workload.run();
            flops += workload.work;
            names.push(workload.name);
        }
        assert_eq!(names.len(), 18);
        assert_eq!(names[0], "conv/3x64/forward");
        assert_eq!(
            names[15..],
            ["forward", "input-gradient", "weight-gradient"].map(|op| format!("conv/100x512/{op}"))
        );
        // 104.6 million multiply–adds a picture, three times.
        assert!((flops / 6.0 / 104.6e6 - 1.0).abs() < 1e-3, "{flops}");
    }

    #[test]
    fn workloads_can_be_run_again() {
        for mut workload in streams(1).into_iter().chain([gemm(16, false), gemm(16, true)]) {
            workload.run();
            workload.run();
        }
    }
}
