//! The default bodies: they take every size that the kernels take, they can stand in for the kernels, and a GPU runs them.

use super::*;
use crate::with_default_bodies;
use std::collections::BTreeSet;

/// All combinations of small sizes: every remainder that a stride can leave over, kernels that are not square, kernels as
/// large as the padded picture, strides larger than the kernel.
#[test]
fn convolutions_of_every_remainder_match_the_kernels() {
    let mut remainders = BTreeSet::new();
    for (kernel, options, size) in small_convolutions() {
        remainders.insert((options.stride, (size[0] + 2 * options.padding - kernel[0]) % options.stride));
        let (x, w) = (flex(1, [2, size[0], size[1], 3]), flex(2, [kernel[0], kernel[1], 3, 2]));
        let y = Flex::conv2d_nhwc(x.clone(), w.clone(), options);
        let gy = flex(3, y.layout().shape().dims::<4>());
        let name = format!("{size:?} {kernel:?} {options:?}");
        assert_close(&name, y, plain::conv2d_nhwc::<Flex>(x.clone(), w.clone(), options), 1e-5);
        assert_close(
            &format!("weight gradient of {name}"),
            Flex::conv2d_weight_grad(x.clone(), gy.clone(), kernel, options),
            plain::conv2d_weight_grad::<Flex>(x, gy.clone(), kernel, options),
            1e-5,
        );
        assert_close(
            &format!("input gradient of {name}"),
            Flex::conv2d_input_grad(gy.clone(), w.clone(), size, options),
            plain::conv2d_input_grad::<Flex>(gy, w, size, options),
            1e-5,
        );
    }
    assert_eq!(remainders.len(), 1 + 2 + 3 + 4, "every remainder of every stride");
}

/// (kernel, options, height and width of the picture).
fn small_convolutions() -> Vec<([usize; 2], Conv2dOptions, [usize; 2])> {
    let mut all = Vec::new();
    for stride in 1..5 {
        for kernel in [[1, 1], [2, 3], [3, 3], [4, 4], [5, 2]] {
            for padding in 0..kernel[0].min(kernel[1]) {
                let fits = |axis: usize| move |&size: &usize| size + 2 * padding >= kernel[axis];
                for height in (1..9).filter(fits(0)) {
                    for width in [1, 4, 7].into_iter().filter(fits(1)) {
                        all.push((
                            kernel,
                            Conv2dOptions { stride, padding, precision: Precision::F32 },
                            [height, width],
                        ));
                    }
                }
            }
        }
    }
    all
}

#[test]
fn default_bodies_stand_in_for_the_kernels_where_they_are_asked_for() {
    // Batch norm, whose kernel and default body round differently because their formulas differ.
    let run = || {
        let device = Device::flex().autodiff();
        let on_device = |seed, count| Tensor::<1>::from_data(TensorData::new(numbers(seed, count), [count]), &device);
        let (x, gamma) = (on_device(1, 4000).reshape([500, 8]), on_device(2, 8).require_grad());
        let (y, ..) = crate::batch_norm(x, gamma.clone(), on_device(3, 8), 1e-5, Activation::Tanh);
        let gradients = y.clone().powi_scalar(2).sum().backward();
        let gradient = gamma.grad(&gradients).expect("a gradient");
        (
            y.into_data().try_into_vec::<f32>().expect("f32 values"),
            gradient.into_data().try_into_vec::<f32>().expect("f32 values"),
        )
    };
    let (kernel, plain) = (run(), with_default_bodies(run));
    assert!(kernel.0 != plain.0, "another output");
    assert!(kernel.1 != plain.1, "another gradient");
    assert!(run() == kernel, "only inside");
    with_default_bodies(|| {
        with_default_bodies(|| ());
        assert!(run() == plain, "after a nested call");
        assert!(std::thread::scope(|scope| scope.spawn(run).join().unwrap()) == kernel, "only on this thread");
    });
    assert!(std::panic::catch_unwind(|| with_default_bodies(|| panic!("a test"))).is_err());
    assert!(run() == kernel, "after a panic");
}

/// Every operation and every gradient on a Vulkan device as on the processor. Needs a Vulkan driver; Debian's and Ubuntu's
/// `mesa-vulkan-drivers` has one in software:
///
/// ```text
/// cargo test --workspace --features vulkan -- --ignored vulkan
/// ```
#[cfg(feature = "vulkan")]
#[test]
#[ignore = "needs a Vulkan driver"]
fn vulkan_agrees_with_the_kernels() {
    use burn::tensor::wgpu::WgpuBackend;
    let vulkan = Device::wgpu_options().graphics_api(WgpuBackend::Vulkan).init().expect("a Vulkan driver");
    let compare = |name: &str, shapes: &[Vec<usize>], f: &dyn Fn(&[Tensor<1>]) -> Tensor<1>| {
        let [cpu, gpu] =
            [Device::flex(), vulkan.clone()].map(|device| output_and_gradients(shapes, f, &device.autodiff()));
        for (part, (cpu, gpu)) in cpu.into_iter().zip(gpu).enumerate() {
            assert_eq!(cpu.len(), gpu.len(), "{name}: sizes");
            for (i, (cpu, gpu)) in cpu.into_iter().zip(gpu).enumerate() {
                assert!((cpu - gpu).abs() <= 1e-4 * (1.0 + cpu.abs()), "{name}, part {part}[{i}]: {cpu}, vulkan {gpu}");
            }
        }
    };
    for (kernel, options, size) in small_convolutions().into_iter().step_by(7) {
        let name = format!("{size:?} {kernel:?} {options:?}");
        let (x, w) = ([2, size[0], size[1], 3], [kernel[0], kernel[1], 3, 2]);
        let small = [2, options.output_size(size[0], kernel[0]), options.output_size(size[1], kernel[1]), 2];
        compare(&format!("conv2d {name}"), &[x.to_vec(), w.to_vec()], &|v| {
            all(crate::conv2d(v[0].clone().reshape(x), v[1].clone().reshape(w), options))
        });
        compare(&format!("conv_transpose2d {name}"), &[small.to_vec(), w.to_vec()], &|v| {
            all(crate::conv_transpose2d(v[0].clone().reshape(small), v[1].clone().reshape(w), size, options))
        });
    }
    let shape = [2, 3, 4, 5];
    let channels = || vec![5];
    let activations =
        [Activation::Identity, Activation::Relu, Activation::LeakyRelu(0.2), Activation::Tanh, Activation::Sigmoid];
    for activation in activations {
        compare(&format!("batch_norm {activation:?}"), &[shape.to_vec(), channels(), channels()], &|v| {
            let (y, mean, variance) =
                crate::batch_norm(v[0].clone().reshape(shape), v[1].clone(), v[2].clone(), 1e-5, activation);
            Tensor::cat(vec![all(y), mean, variance], 0)
        });
        compare(&format!("affine {activation:?}"), &[shape.to_vec(), channels(), channels()], &|v| {
            all(crate::affine(v[0].clone().reshape(shape), v[1].clone(), v[2].clone(), activation))
        });
    }
    for seed in 1..5 {
        compare("augment", &[vec![3, 6, 5, 3]], &|v| {
            all(crate::augment(v[0].clone().reshape([3, 6, 5, 3]), plans(seed, 3, 6, 5)))
        });
    }
    let step = AdamStep {
        lr: 0.01,
        beta_1: 0.5,
        beta_2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.01,
        decayed: 1,
        clip_norm: 0.5,
        ema_beta: 0.9,
        step: 3,
    };
    let [cpu, gpu] = [Device::flex(), vulkan].map(|device| {
        let of = |seed| Tensor::<1>::from_data(TensorData::new(numbers(seed, 100), [100]), &device);
        let (values, first) = (vec![of(1)], vec![of(3)]);
        let state = AdamState { values, first, second: vec![of(4).abs()], averages: vec![of(5)] };
        let AdamState { values, first, second, averages } = crate::adam(state, vec![of(2)], step);
        Tensor::cat([values, first, second, averages].concat(), 0)
            .into_data()
            .try_into_vec::<f32>()
            .expect("f32 values")
    });
    for (i, (cpu, gpu)) in cpu.into_iter().zip(gpu).enumerate() {
        assert!((cpu - gpu).abs() <= 1e-5 * (1.0 + cpu.abs()), "adam [{i}]: {cpu}, vulkan {gpu}");
    }
}

/// `f` of inputs with fixed numbers, and the gradient of a weighted sum of it in every input.
#[cfg(feature = "vulkan")]
fn output_and_gradients(
    shapes: &[Vec<usize>],
    f: &dyn Fn(&[Tensor<1>]) -> Tensor<1>,
    device: &Device,
) -> Vec<Vec<f32>> {
    let on_device = |values: Vec<f32>| {
        let count = values.len();
        Tensor::<1>::from_data(TensorData::new(values, [count]), device)
    };
    let inputs: Vec<_> = shapes
        .iter()
        .enumerate()
        .map(|(i, shape)| on_device(numbers(40 + i as u64, shape.iter().product())).require_grad())
        .collect();
    let y = f(&inputs);
    let gradients = (y.clone() * on_device(numbers(77, y.dims()[0]))).sum().backward();
    let gradient = |input: &Tensor<1>| input.grad(&gradients).expect("a gradient");
    let host = |tensor: Tensor<1>| tensor.into_data().try_into_vec::<f32>().expect("f32 values");
    std::iter::once(host(y.inner())).chain(inputs.iter().map(|input| host(gradient(input)))).collect()
}
