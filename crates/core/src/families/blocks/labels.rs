//! How a class enters a network.

use super::WEIGHT_INIT;
use crate::nn::Linear;
use burn::tensor::Tensor;

/// What projects a one-hot label onto features (Miyato & Koyama 2018); none without classes.
pub(crate) fn class_layer(classes: usize, features: usize) -> Option<Linear> {
    (classes > 0).then(|| Linear::new(classes, features, WEIGHT_INIT))
}

/// Adds what a class says of a picture, `class(label) · mean of its features`, to each of the picture's logits: logits `[batch,
/// parts]`, features `[batch, height, width, channels]` → `[batch · parts]`.
pub(crate) fn with_class(
    logits: Tensor<2>,
    class: Option<&Linear>,
    labels: Option<Tensor<2>>,
    features: Tensor<4>,
) -> Tensor<1> {
    let (Some(class), Some(labels)) = (class, labels) else { return logits.flatten(0, 1) };
    let [batch, h, w, c] = features.dims();
    let mean = features.reshape([batch, h * w, c]).mean_dim(1).reshape([batch, c]);
    (logits + (class.forward(labels) * mean).sum_dim(1)).flatten(0, 1)
}

/// Appends one-hot labels to latent vectors or features.
pub(crate) fn with_labels(x: Tensor<2>, labels: Option<Tensor<2>>) -> Tensor<2> {
    match labels {
        Some(labels) => Tensor::cat(vec![x, labels], 1),
        None => x,
    }
}
