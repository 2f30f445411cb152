//! The network against torchvision's convolutions, with weights by formula: `tests/golden/inception.py`.

use super::*;
use crate::device;
use crate::weights::HostTensor;
use burn::tensor::TensorData;
use std::collections::BTreeMap;

const GOLDEN: &str = include_str!("../../../tests/golden/inception.json");

#[derive(serde::Deserialize)]
struct Golden {
    /// How many tensors of floats there are.
    tensors: usize,
    /// Those that are not vectors.
    shapes: BTreeMap<String, Vec<usize>>,
    /// Every 64th feature of the pictures of 40×27 and of 320×301.
    features: [Vec<f32>; 2],
}

fn golden() -> Golden {
    serde_json::from_str(GOLDEN).unwrap()
}

/// As the script makes them; `number` is the place of `name` in the order of all names.
fn by_formula(number: usize, name: &str, shape: &[usize]) -> HostTensor {
    let count: usize = shape.iter().product();
    let mix = |i: usize| {
        let x = (i as u32).wrapping_mul(2_654_435_761).wrapping_add(number as u32 * 40_503 + 1);
        let x = (x ^ (x >> 15)).wrapping_mul(2_246_822_519);
        f64::from(x ^ (x >> 13)) / f64::from(1u32 << 31) - 1.0
    };
    let data = if shape.len() == 4 {
        let scale = (6.0 / (shape[1] * shape[2] * shape[3]) as f64).sqrt();
        (0..count).map(|i| (mix(i) * scale) as f32).collect()
    } else {
        let middle = if name.ends_with("weight") || name.ends_with("running_var") { 1.0 } else { 0.0 };
        (0..count).map(|i| (middle + 0.3 * (i as f64 * 0.37 + number as f64).sin()) as f32).collect()
    };
    HostTensor { shape: shape.to_vec(), data }
}

/// All weights, under the names of torchvision.
pub(in crate::pretrained) fn weights_by_formula() -> Weights {
    let golden = golden();
    let mut shapes = golden.shapes.clone();
    for (name, shape) in golden.shapes {
        match name.strip_suffix(".conv.weight") {
            Some(layer) => shapes.extend(
                ["weight", "bias", "running_mean", "running_var"].map(|p| (format!("{layer}.bn.{p}"), vec![shape[0]])),
            ),
            None => _ = shapes.insert("fc.bias".into(), vec![shape[0]]),
        }
    }
    assert_eq!(shapes.len(), golden.tensors);
    let tensor = |(number, (name, shape)): (usize, (String, Vec<usize>))| {
        let tensor = by_formula(number, &name, &shape);
        (name, tensor)
    };
    shapes.into_iter().enumerate().map(tensor).collect()
}

/// Rings and waves of all lengths, another mixture in each channel.
fn picture(height: usize, width: usize) -> Tensor<4> {
    let byte = |i: usize| {
        let (y, x, c) = (i / 3 / width, i / 3 % width, i % 3);
        ((x * x * (c + 1) + y * y * (3 - c) + x * y) / 16 % 256) as f32
    };
    let values: Vec<f32> = (0..height * width * 3).map(|i| byte(i) / 127.5 - 1.0).collect();
    Tensor::from_data(TensorData::new(values, [1, height, width, 3]), &device::cpu())
}

#[test]
fn features_are_those_of_pytorch_whatever_stands_beside_a_picture() {
    let mut weights = weights_by_formula();
    let mut known = recognise(&mut weights).unwrap().expect("torchvision's names are known");
    assert!(weights.is_empty(), "every tensor is used");
    let network = Inception::new(&mut known, false, &device::cpu()).unwrap();
    let left: Vec<_> = known.keys().collect();
    assert_eq!(left, ["fc.bias", "fc.weight"]);
    let [small, large] = golden().features;
    for (picture, golden) in [(picture(40, 27), small), (picture(320, 301), large)] {
        let found = network.extract(picture.clone()).concat();
        assert_eq!((found.len(), golden.len()), (FEATURES, FEATURES / 64));
        let largest = golden.iter().fold(0.0f32, |a, b| a.max(b.abs()));
        assert!(largest > 1.0);
        for (found, golden) in found.iter().step_by(64).zip(&golden) {
            assert!((found - golden).abs() < 2e-5 * largest, "{found} {golden}");
        }
        let beside = network.extract(Tensor::cat(vec![picture.clone().neg(), picture], 0));
        assert!(beside[1] == found, "the same bits beside another picture");
    }
}

#[test]
fn grey_is_three_equal_colours() {
    let network = Inception::new(&mut weights_by_formula(), true, &device::cpu()).unwrap();
    assert_eq!(network.name(), "inception");
    let grey = picture(16, 16).slice([0..1, 0..16, 0..16, 0..1]);
    assert!(network.extract(grey.clone()) == network.extract(grey.repeat_dim(3, 3)));
}

#[test]
fn what_does_not_fit_is_named() {
    assert!(recognise(&mut Weights::new()).unwrap().is_none());
    let zeros = |shape: &[usize]| HostTensor { shape: shape.to_vec(), data: vec![0.0; shape.iter().product()] };
    let first = || ("Conv2d_1a_3x3.conv.weight".to_owned(), zeros(&[32, 3, 3, 3]));
    let refused = |more: &[(&str, &[usize])], words: &str| {
        let more = more.iter().map(|(name, shape)| ((*name).to_owned(), zeros(shape)));
        let error = recognise(&mut more.chain([first()]).collect()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    // torchvision's own weights.
    refused(&[("fc.weight", &[1000, 2048])], "\"fc.weight\" has shape [1000, 2048]");
    let classifier: [(&str, &[usize]); 2] = [("fc.weight", &[1008, 2048]), ("fc.bias", &[1008])];
    refused(&classifier, "\"Conv2d_1a_3x3.bn.weight\" is missing");
}

#[test]
fn a_file_is_known_by_its_checksum() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("file");
    std::fs::write(&path, "abc").unwrap();
    // FIPS 180-2, appendix B.1.
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert!(has_checksum(&path, (3, abc)).unwrap());
    assert!(!has_checksum(&path, (4, abc)).unwrap());
    std::fs::write(&path, "abd").unwrap();
    assert!(!has_checksum(&path, (3, abc)).unwrap() && !is_published(&path).unwrap());
    assert!(is_published(&place.path().join("nowhere")).is_err());
}
