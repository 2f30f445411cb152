//! The CPU kernels behind the extension: from Burn's flex tensors to slices and back.

use crate::activation::Activation;
use crate::augment::{self, PictureShape};
use crate::conv::depthwise::{self, DepthwiseShape};
use crate::conv::{self, ConvShape, Finish};
use crate::gate;
use crate::norm;
use crate::ops::KernelOps;
use crate::optim::{self, AdamStep, Slot};
use crate::options::{Conv2dOptions, DepthwiseOptions};
use crate::plain;
use crate::pool;
use crate::resize::{self, Filter};
use crate::reuse::{self, Operation};
use crate::tensors::Tensors;
use burn::backend::Flex;
use burn::tensor::{DType, TensorData};
use burn_flex::FlexTensor;
use std::cell::Cell;

thread_local! {
    static DEFAULT_BODIES: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` with the default bodies in place of the CPU kernels, for what this thread computes. Slow: for tests and for
/// finding out whether a fault is a kernel's.
pub fn with_default_bodies<R>(f: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            DEFAULT_BODIES.set(self.0);
        }
    }
    let _restore = Restore(DEFAULT_BODIES.replace(true));
    f()
}

pub(crate) fn default_bodies() -> bool {
    DEFAULT_BODIES.get()
}

/// The first line of every kernel: hands over to the default body where [`with_default_bodies`] asks for it.
macro_rules! or_default_body {
    ($operation:ident($($argument:expr),+)) => {
        if $crate::flex::default_bodies() {
            return plain::$operation::<Flex>($($argument),+);
        }
    };
}
pub(crate) use or_default_body;

/// Runs `body` on the numbers of a tensor, without a copy when it lies contiguous in memory.
macro_rules! slices {
    ([$($name:ident),+] $body:expr) => {{
        $(let $name = $name.to_contiguous();)+
        $(let $name = $name.as_slice::<f32>().expect("a contiguous f32 tensor");)+
        $body
    }};
}
pub(crate) use slices;

pub(crate) fn tensor<const D: usize>(data: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(data, shape))
}

/// The tensor with storage that holds its own numbers and nothing else, so that `storage_mut` changes them in place where
/// nobody shares them. Takes the tensor: a second handle in the caller's hands would make every change a copy.
pub(crate) fn owned(tensor: FlexTensor) -> FlexTensor {
    let whole = tensor.layout().contiguous_offsets() == Some((0, tensor.bytes().len() / DType::F32.size()));
    if whole { tensor } else { tensor.to_contiguous() }
}

pub(crate) fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    tensor.layout().shape().dims()
}

fn conv_shape(input: [usize; 4], kernel: [usize; 2], output: [usize; 4], options: Conv2dOptions) -> ConvShape {
    let shape = ConvShape {
        batch: input[0],
        height: input[1],
        width: input[2],
        c_in: input[3],
        out_height: output[1],
        out_width: output[2],
        c_out: output[3],
        kernel,
        stride: options.stride,
        padding: options.padding,
    };
    assert_eq!(shape.out_height, options.output_size(shape.height, kernel[0]), "convolution heights do not fit");
    assert_eq!(shape.out_width, options.output_size(shape.width, kernel[1]), "convolution widths do not fit");
    assert_eq!(input[0], output[0], "convolution batches differ");
    shape
}

/// Convolution, then what `finish` says: a contiguous bias, and an activation.
fn convolve(
    x: FlexTensor,
    w: FlexTensor,
    finish: Option<(FlexTensor, Activation)>,
    options: Conv2dOptions,
) -> FlexTensor {
    let (input, [kh, kw, c_in, c_out]) = (dims::<4>(&x), dims(&w));
    let fits = finish.as_ref().is_none_or(|(bias, _)| dims(bias) == [c_out]);
    assert!(input[3] == c_in && fits, "convolution channels differ");
    let (height, width) = (options.output_size(input[1], kh), options.output_size(input[2], kw));
    let output = [input[0], height, width, c_out];
    let shape = conv_shape(input, [kh, kw], output, options);
    let w = w.to_contiguous();
    reuse::note_weights(&w);
    let operation = Operation::Conv2d(options, finish.as_ref().map(|(_, activation)| *activation));
    let inputs: Vec<&FlexTensor> = [&x, &w].into_iter().chain(finish.as_ref().map(|(bias, _)| bias)).collect();
    let [y] = reuse::outputs(operation, &inputs, || {
        let finish = finish.as_ref().map(|(bias, activation)| Finish {
            bias: bias.as_slice::<f32>().expect("a contiguous f32 tensor"),
            activation: *activation,
        });
        let (x, w) = (x.clone(), w.clone());
        slices!([x, w][tensor(conv::forward(x, w, &shape, options.precision, finish), output)])
    });
    y
}

fn depthwise_shape(
    input: [usize; 4],
    kernel: [usize; 2],
    output: [usize; 4],
    options: DepthwiseOptions,
) -> DepthwiseShape {
    let size = options.output_size([input[1], input[2]], kernel);
    assert_eq!(output, [input[0], size[0], size[1], input[3]], "a depthwise convolution's shapes do not fit");
    DepthwiseShape {
        batch: input[0],
        input: [input[1], input[2]],
        output: size,
        channels: input[3],
        kernel,
        stride: options.stride,
        before: [options.vertical[0], options.horizontal[0]],
    }
}

impl KernelOps for Flex {
    fn conv2d_nhwc(x: FlexTensor, w: FlexTensor, options: Conv2dOptions) -> FlexTensor {
        or_default_body!(conv2d_nhwc(x, w, options));
        convolve(x, w, None, options)
    }

    fn conv2d_bias(
        x: FlexTensor,
        w: FlexTensor,
        bias: FlexTensor,
        options: Conv2dOptions,
        activation: Activation,
    ) -> FlexTensor {
        or_default_body!(conv2d_bias(x, w, bias, options, activation));
        convolve(x, w, Some((bias.to_contiguous(), activation)), options)
    }

    fn conv2d_input_grad(gy: FlexTensor, w: FlexTensor, size: [usize; 2], options: Conv2dOptions) -> FlexTensor {
        or_default_body!(conv2d_input_grad(gy, w, size, options));
        let (output, [kh, kw, c_in, c_out]) = (dims::<4>(&gy), dims(&w));
        assert_eq!(output[3], c_out, "convolution channels differ");
        let input = [output[0], size[0], size[1], c_in];
        let shape = conv_shape(input, [kh, kw], output, options);
        slices!([gy, w] tensor(conv::input_grad(gy, w, &shape, options.precision), input))
    }

    fn conv2d_weight_grad(x: FlexTensor, gy: FlexTensor, kernel: [usize; 2], options: Conv2dOptions) -> FlexTensor {
        or_default_body!(conv2d_weight_grad(x, gy, kernel, options));
        let (input, output) = (dims::<4>(&x), dims::<4>(&gy));
        let shape = conv_shape(input, kernel, output, options);
        slices!([x, gy] tensor(conv::weight_grad(x, gy, &shape, options.precision), [kernel[0], kernel[1], input[3], output[3]]))
    }

    fn depthwise_nhwc(x: FlexTensor, w: FlexTensor, options: DepthwiseOptions) -> FlexTensor {
        or_default_body!(depthwise_nhwc(x, w, options));
        let (input, [kh, kw, channels]) = (dims::<4>(&x), dims(&w));
        assert_eq!(input[3], channels, "depthwise channels differ");
        let [height, width] = options.output_size([input[1], input[2]], [kh, kw]);
        let output = [input[0], height, width, channels];
        let shape = depthwise_shape(input, [kh, kw], output, options);
        let [y] = reuse::outputs(Operation::Depthwise(options), &[&x, &w], || {
            let (x, w) = (x.clone(), w.clone());
            slices!([x, w][tensor(depthwise::forward(x, w, &shape), output)])
        });
        y
    }

    fn depthwise_input_grad(gy: FlexTensor, w: FlexTensor, size: [usize; 2], options: DepthwiseOptions) -> FlexTensor {
        or_default_body!(depthwise_input_grad(gy, w, size, options));
        let (output, [kh, kw, channels]) = (dims::<4>(&gy), dims(&w));
        let input = [output[0], size[0], size[1], channels];
        let shape = depthwise_shape(input, [kh, kw], output, options);
        slices!([gy, w] tensor(depthwise::input_grad(gy, w, &shape), input))
    }

    fn depthwise_weight_grad(
        x: FlexTensor,
        gy: FlexTensor,
        kernel: [usize; 2],
        options: DepthwiseOptions,
    ) -> FlexTensor {
        or_default_body!(depthwise_weight_grad(x, gy, kernel, options));
        let (input, output) = (dims::<4>(&x), dims::<4>(&gy));
        let shape = depthwise_shape(input, kernel, output, options);
        slices!([x, gy] tensor(depthwise::weight_grad(x, gy, &shape), [kernel[0], kernel[1], input[3]]))
    }

    fn resize_pictures(x: FlexTensor, size: [usize; 2], filter: Filter) -> FlexTensor {
        or_default_body!(resize_pictures(x, size, filter));
        let from = dims::<4>(&x);
        let [y] = reuse::outputs(Operation::Resize(size, filter), &[&x], || {
            let x = x.clone();
            slices!([x][tensor(resize::forward(x, from, size, filter), [from[0], size[0], size[1], from[3]])])
        });
        y
    }

    fn resize_backward(gy: FlexTensor, size: [usize; 2], filter: Filter) -> FlexTensor {
        or_default_body!(resize_backward(gy, size, filter));
        let from = dims::<4>(&gy);
        slices!([gy] tensor(resize::backward(gy, from, size, filter), [from[0], size[0], size[1], from[3]]))
    }

    fn batch_norm_rows(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        epsilon: f32,
        activation: Activation,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        or_default_body!(batch_norm_rows(x, gamma, beta, epsilon, activation));
        let shape = dims::<2>(&x);
        let [y, mean, variance] =
            reuse::outputs(Operation::BatchNorm(epsilon, activation), &[&x, &gamma, &beta], || {
                let (x, gamma, beta) = (x.clone(), gamma.clone(), beta.clone());
                slices!([x, gamma, beta] {
                    let (mean, variance) = norm::mean_variance(x, shape[1]);
                    let (scale, shift) = norm::normalisation(gamma, beta, &mean, &variance, epsilon);
                    let y = norm::affine(x, &scale, &shift, activation);
                    [tensor(y, shape), tensor(mean, [shape[1]]), tensor(variance, [shape[1]])]
                })
            });
        (y, mean, variance)
    }

    fn batch_norm_backward(
        x: FlexTensor,
        gy: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        epsilon: f32,
        activation: Activation,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        or_default_body!(batch_norm_backward(x, gy, gamma, beta, mean, variance, epsilon, activation));
        let shape = dims::<2>(&x);
        slices!([x, gy, gamma, beta, mean, variance] {
            let (gx, g_gamma, g_beta) =
                norm::batch_norm_backward(x, gy, gamma, beta, mean, variance, epsilon, activation);
            (tensor(gx, shape), tensor(g_gamma, [shape[1]]), tensor(g_beta, [shape[1]]))
        })
    }

    fn affine_rows(x: FlexTensor, scale: FlexTensor, shift: FlexTensor, activation: Activation) -> FlexTensor {
        or_default_body!(affine_rows(x, scale, shift, activation));
        let shape = dims::<2>(&x);
        let [y] = reuse::outputs(Operation::Affine(activation), &[&x, &scale, &shift], || {
            let (x, scale, shift) = (x.clone(), scale.clone(), shift.clone());
            slices!([x, scale, shift][tensor(norm::affine(x, scale, shift, activation), shape)])
        });
        y
    }

    fn affine_backward(
        x: FlexTensor,
        y: FlexTensor,
        gy: FlexTensor,
        scale: FlexTensor,
        activation: Activation,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        or_default_body!(affine_backward(x, y, gy, scale, activation));
        let shape = dims::<2>(&x);
        slices!([x, y, gy, scale] {
            let (gx, g_scale, g_shift) = norm::affine_backward(x, y, gy, scale, activation);
            (tensor(gx, shape), tensor(g_scale, [shape[1]]), tensor(g_shift, [shape[1]]))
        })
    }

    fn bias_rows(x: FlexTensor, bias: FlexTensor, activation: Activation) -> FlexTensor {
        or_default_body!(bias_rows(x, bias, activation));
        let mut x = owned(x);
        slices!([bias] norm::bias(x.storage_mut(), bias, activation));
        x
    }

    fn activation_backward(y: FlexTensor, gy: FlexTensor, activation: Activation) -> FlexTensor {
        or_default_body!(activation_backward(y, gy, activation));
        if activation == Activation::Identity {
            return gy;
        }
        let mut gy = owned(gy);
        slices!([y] norm::activation_backward(y, gy.storage_mut(), activation));
        gy
    }

    fn channel_sums(x: FlexTensor) -> FlexTensor {
        or_default_body!(channel_sums(x));
        let [_, channels] = dims(&x);
        slices!([x] tensor(norm::channel_sums(x, channels), [channels]))
    }

    fn augment_pictures(x: FlexTensor, plans: Vec<f32>) -> FlexTensor {
        or_default_body!(augment_pictures(x, plans));
        let shape = dims::<4>(&x);
        let picture = PictureShape { height: shape[1], width: shape[2], channels: shape[3] };
        slices!([x] tensor(augment::augment(x, &plans, picture), shape))
    }

    fn augment_backward(gy: FlexTensor, plans: Vec<f32>) -> FlexTensor {
        or_default_body!(augment_backward(gy, plans));
        let shape = dims::<4>(&gy);
        let picture = PictureShape { height: shape[1], width: shape[2], channels: shape[3] };
        slices!([gy] tensor(augment::augment_backward(gy, &plans, picture), shape))
    }

    fn glu_rows(x: FlexTensor) -> FlexTensor {
        or_default_body!(glu_rows(x));
        let [rows, both] = dims(&x);
        let [y] = reuse::outputs(Operation::Glu, &[&x], || {
            let x = x.clone();
            slices!([x][tensor(gate::glu(x, both / 2), [rows, both / 2])])
        });
        y
    }

    fn glu_backward(x: FlexTensor, gy: FlexTensor) -> FlexTensor {
        or_default_body!(glu_backward(x, gy));
        let shape = dims::<2>(&x);
        slices!([x, gy] tensor(gate::glu_backward(x, gy, shape[1] / 2), shape))
    }

    fn excite_pictures(x: FlexTensor, s: FlexTensor) -> FlexTensor {
        or_default_body!(excite_pictures(x, s));
        let shape = dims::<3>(&x);
        let [y] = reuse::outputs(Operation::Excite, &[&x, &s], || {
            let (x, s) = (x.clone(), s.clone());
            slices!([x, s][tensor(gate::excite(x, s, shape[1], shape[2]), shape)])
        });
        y
    }

    fn excite_backward(x: FlexTensor, s: FlexTensor, gy: FlexTensor) -> (FlexTensor, FlexTensor) {
        or_default_body!(excite_backward(x, s, gy));
        let shape = dims::<3>(&x);
        slices!([x, s, gy] {
            let (gx, gs) = gate::excite_backward(x, s, gy, shape[1], shape[2]);
            (tensor(gx, shape), tensor(gs, [shape[0], shape[2]]))
        })
    }

    fn average_pool_nhwc(x: FlexTensor) -> FlexTensor {
        or_default_body!(average_pool_nhwc(x));
        let [batch, height, width, channels] = dims(&x);
        let picture = PictureShape { height, width, channels };
        let [y] = reuse::outputs(Operation::AveragePool, &[&x], || {
            let x = x.clone();
            slices!([x][tensor(pool::average(x, picture), [batch, height / 2, width / 2, channels])])
        });
        y
    }

    fn average_pool_backward(gy: FlexTensor, size: [usize; 2]) -> FlexTensor {
        or_default_body!(average_pool_backward(gy, size));
        let [batch, _, _, channels] = dims(&gy);
        let picture = PictureShape { height: size[0], width: size[1], channels };
        slices!([gy] tensor(pool::average_backward(gy, picture), [batch, size[0], size[1], channels]))
    }

    #[allow(clippy::type_complexity)]
    fn adam_update(
        values: Tensors<Self>,
        gradients: Tensors<Self>,
        first: Tensors<Self>,
        second: Tensors<Self>,
        averages: Tensors<Self>,
        step: AdamStep,
    ) -> (Tensors<Self>, Tensors<Self>, Tensors<Self>, Tensors<Self>) {
        or_default_body!(adam_update(values, gradients, first, second, averages, step));
        let own = |tensors: Tensors<Self>| tensors.0.into_iter().map(owned).collect::<Vec<_>>();
        let (mut values, mut first, mut second, mut averages) = (own(values), own(first), own(second), own(averages));
        let gradients = own(gradients);
        let average = averages.iter_mut().map(|t| t.storage_mut()).chain(std::iter::repeat_with(|| &mut [][..]));
        let slots = values.iter_mut().zip(&gradients).zip(first.iter_mut().zip(&mut second)).zip(average);
        let slots = slots.enumerate().map(|(i, (((value, gradient), (first, second)), average))| Slot {
            decay: step.decay_of(i),
            value: value.storage_mut(),
            gradient: gradient.storage(),
            first: first.storage_mut(),
            second: second.storage_mut(),
            average,
        });
        optim::adam(slots.collect(), &step);
        (Tensors(values), Tensors(first), Tensors(second), Tensors(averages))
    }
}
