//! A few features of one picture as PyTorch computes them from the published weights, so that wrong ones are noticed.

use super::{EfficientNetLite0, SIDE};
use crate::features::Extractor;
use burn::tensor::{Tensor, TensorData};

/// Every 32nd feature of [`picture`], made by `tests/golden/efficientnet.py check`.
const FEATURES: [f32; 40] = [
    0.069908, 0.0, 0.016066, 0.006126, 0.0, 0.0, 0.0, 0.0, 0.0, 0.025694, 0.0, 0.0, 0.258222, 0.0, 0.226865, 0.476183,
    0.273505, 0.0, 1.201358, 0.0, 0.0, 0.0, 0.273895, 0.471477, 0.013272, 0.642164, 2.126642, 0.154265, 0.048641, 0.0,
    0.0, 0.0, 0.0, 0.653633, 0.0, 0.0, 0.0, 0.907177, 0.0, 0.0,
];
/// Rounding stays a thousand times below it, other weights far above it.
const TOLERANCE: f32 = 0.02;

/// Rings and waves of all lengths, another mixture in each channel.
pub(in crate::pretrained) fn picture() -> Tensor<4> {
    let byte = |i: usize| {
        let (y, x, c) = (i / 3 / SIDE, i / 3 % SIDE, i % 3);
        ((x * x * (c + 1) + y * y * (3 - c) + x * y) / 64 % 256) as f32
    };
    let values: Vec<f32> = (0..SIDE * SIDE * 3).map(|i| byte(i) / 127.5 - 1.0).collect();
    Tensor::from_data(TensorData::new(values, [1, SIDE, SIDE, 3]), &crate::device::cpu())
}

/// Does the network give the picture its features?
pub(super) fn agrees(network: &EfficientNetLite0) -> bool {
    let features = &network.extract(picture())[0];
    features.iter().step_by(32).zip(&FEATURES).all(|(found, expected)| (found - expected).abs() <= TOLERANCE)
}
