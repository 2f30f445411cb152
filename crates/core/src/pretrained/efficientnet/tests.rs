//! The network with random weights everywhere, and with the real ones against PyTorch where they are at hand.

use super::*;
use crate::nn::host;
use crate::weights::{self, HostTensor};
use crate::{device, rng};
use burn::tensor::TensorData;
use std::path::PathBuf;

/// Weights of every tensor, He-normal; batch norms as they may come out of training.
pub(in crate::pretrained) fn random_weights(seed: u64) -> Weights {
    let mut weights = Weights::new();
    for layer in convolutions() {
        let mut draw = |name: String, shape: &[usize], mean: f32, deviation: f32| {
            let values = rng::normal(&mut rng::stream(seed, &name, 0), shape.iter().product());
            let data = values.into_iter().map(|v| mean + deviation * v).collect();
            weights.insert(name, HostTensor { shape: shape.to_vec(), data });
        };
        let fan_in: usize = layer.shape[1..].iter().product();
        draw(format!("{}.weight", layer.name), &layer.shape, 0.0, (2.0 / fan_in as f32).sqrt());
        for (part, mean, deviation) in
            [("weight", 1.0, 0.1), ("bias", 0.5, 0.3), ("running_mean", 0.0, 0.3), ("running_var", 1.0, 0.1)]
        {
            draw(format!("{}.{part}", layer.norm), &layer.shape[..1], mean, deviation);
        }
    }
    weights
}

pub(crate) fn random_network(seed: u64) -> EfficientNetLite0 {
    EfficientNetLite0::new(&mut random_weights(seed), &device::cpu()).unwrap()
}

fn pictures(seed: u64, shape: [usize; 4]) -> Tensor<4> {
    let values = rng::normal(&mut rng::stream(seed, "pictures", 0), shape.iter().product());
    let values: Vec<f32> = values.into_iter().map(|v| (v * 0.5).clamp(-1.0, 1.0)).collect();
    Tensor::from_data(TensorData::new(values, shape), &device::cpu())
}

#[test]
fn the_network_has_its_published_size() {
    let convolutions = convolutions();
    assert_eq!(convolutions.len(), 1 + 15 * 3 + 2 + 1);
    let weights: usize = convolutions.iter().map(|c| c.shape.iter().product::<usize>() + 2 * c.shape[0]).sum();
    assert_eq!(weights + HEAD * 1000 + 1000, 4_652_008);
}

#[test]
fn taps_have_their_strides_and_channels() {
    let taps = random_network(1).taps(pictures(1, [2, 64, 96, 3]));
    assert_eq!(taps.map(|t| t.dims()), [[2, 16, 24, 24], [2, 8, 12, 40], [2, 4, 6, 112], [2, 2, 3, 320]]);
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let mut weights = random_weights(1);
    weights.remove("_blocks.3._bn1.bias");
    let error = EfficientNetLite0::new(&mut weights, &device::cpu()).unwrap_err();
    assert!(error.message.contains("_blocks.3._bn1.bias"), "{error}");
    let mut weights = random_weights(1);
    weights.get_mut("_conv_head.weight").unwrap().shape = vec![1280, 320];
    assert!(EfficientNetLite0::new(&mut weights, &device::cpu()).unwrap_err().message.contains("_conv_head.weight"));
}

/// The gradient of a weighted sum of all taps: as the default bodies compute it, and in a few directions as central
/// differences have it.
#[test]
fn gradients_reach_the_pictures() {
    let network = random_network(2);
    let shape = [1, 32, 32, 3];
    let x = pictures(3, shape);
    let weights = |i: u64, shape: [usize; 4]| pictures(10 + i, shape);
    let gradient = || {
        let tracked = x.clone().autodiff().require_grad();
        let taps = network.taps(tracked.clone()).into_iter().zip(0..);
        let parts = taps.map(|(tap, i)| (tap.clone() * weights(i, tap.dims()).autodiff()).mean());
        let gradients = parts.reduce(|a, b| a + b).unwrap().backward();
        host(tracked.grad(&gradients).expect("a gradient of the pictures"))
    };
    let found = gradient();
    let largest = found.iter().fold(0.0f32, |a, b| a.max(b.abs()));
    for (kernel, plain) in found.iter().zip(maliang_kernels::with_default_bodies(gradient)) {
        assert!((kernel - plain).abs() < 1e-3 * largest, "{kernel} {plain}, largest {largest}");
    }
    // In f64: f32 sums would be coarser than the differences.
    let loss = |x: Tensor<4>| -> f64 {
        let taps = network.taps(x).into_iter().zip(0..);
        let part = |(tap, i): (Tensor<4>, u64)| {
            let c = host(weights(i, tap.dims()));
            host(tap).iter().zip(&c).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() / c.len() as f64
        };
        taps.map(part).sum()
    };
    for seed in 20..23 {
        let direction = pictures(seed, shape);
        let analytic: f64 = found.iter().zip(host(direction.clone())).map(|(&a, b)| f64::from(a) * f64::from(b)).sum();
        let at = |step: f32| loss(x.clone() + direction.clone() * step);
        let numeric = (at(2e-4) - at(-2e-4)) / 4e-4;
        // Where a ReLU6 bends inside the step, the two differ.
        assert!((analytic - numeric).abs() < 0.05 * (0.02 + numeric.abs()), "{analytic} {numeric}");
    }
}

#[test]
fn bf16_stays_near_f32() {
    let (network, x) = (random_network(4), pictures(5, [1, 64, 64, 3]));
    let exact = host(network.forward(x.clone()));
    let rough = host(network.with_precision(Precision::Bf16).forward(x));
    let (mut error, mut size) = (0.0f32, 0.0f32);
    for (a, b) in exact.iter().zip(&rough) {
        (error, size) = (error + (a - b).powi(2), size + a * a);
    }
    assert!(error < 0.05f32.powi(2) * size, "{error} of {size}");
}

#[test]
fn extraction_takes_any_size_and_grey() {
    let network = random_network(6);
    let grey = pictures(7, [9, 20, 31, 1]);
    let features = network.extract(grey.clone());
    assert_eq!((features.len(), network.len(), features[0].len()), (9, HEAD, HEAD));
    let colour = network.extract(grey.slice([8..9, 0..20, 0..31, 0..1]).repeat_dim(3, 3));
    assert!(colour[0] == features[8], "a picture's features do not depend on the pictures beside it");
}

/// The real weights. Where there are none, the test is skipped.
#[track_caller]
pub(in crate::pretrained) fn real(name: &str) -> Option<PathBuf> {
    crate::data::tests::lookup::real(&format!("weights/{name}"))
}

#[test]
fn the_published_weights_are_genuine_and_others_not() {
    assert!(!random_network(8).is_genuine());
    let Some(file) = real("efficientnet-lite0.safetensors") else { return };
    let mut weights = weights::load_foreign(&file).unwrap();
    assert!(EfficientNetLite0::new(&mut weights.clone(), &device::cpu()).unwrap().is_genuine());
    weights.get_mut("_blocks.7._bn2.bias").unwrap().data.reverse();
    assert!(!EfficientNetLite0::new(&mut weights, &device::cpu()).unwrap().is_genuine());
}

#[test]
fn features_are_those_of_pytorch() {
    let (Some(file), Some(golden)) =
        (real("efficientnet-lite0.safetensors"), real("efficientnet-lite0.golden.safetensors"))
    else {
        return;
    };
    let network = EfficientNetLite0::new(&mut weights::load_foreign(&file).unwrap(), &device::cpu()).unwrap();
    let bytes = std::fs::read(golden).unwrap();
    let golden = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let images = golden.tensor("images_u8_nhwc").unwrap();
    let x: Vec<f32> = images.data().iter().map(|&v| f32::from(v) / 127.5 - 1.0).collect();
    let x = Tensor::<4>::from_data(TensorData::new(x, [8, SIDE, SIDE, 3]), &device::cpu());
    let features = network.extract(x).concat();
    let expected: Vec<f32> =
        golden.tensor("features").unwrap().data().as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    assert_eq!(features.len(), expected.len());
    let largest = expected.iter().fold(0.0f32, |a, b| a.max(b.abs()));
    let worst = features.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
    let (error, size) = features
        .iter()
        .zip(&expected)
        .fold((0.0f64, 0.0f64), |(e, s), (a, b)| (e + f64::from(a - b).powi(2), s + f64::from(*b).powi(2)));
    eprintln!("largest {largest}, worst difference {worst}, relative {}", (error / size).sqrt());
    assert!(worst < 1e-3 * largest && (error / size).sqrt() < 1e-3, "{worst} of {largest}");
}
