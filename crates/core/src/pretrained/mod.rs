//! Networks that others have trained, as judges and as eyes of a discriminator: frozen, and loaded from files that the user
//! has installed.

mod efficientnet;
mod foreign;
mod inception;
mod layer;
mod pickle;
mod store;
mod torch_file;

#[cfg(test)]
pub(crate) use efficientnet::tests::random_network;
pub use efficientnet::{EfficientNetLite0, looking_size};
pub use foreign::read_weights;
pub use inception::Inception;
pub use store::{EFFICIENTNET_LITE0, INCEPTION, Installed, Store};

use crate::nn::host;
use burn::tensor::Tensor;
use maliang_kernels::Filter;

/// The features of pictures `[count, height, width, 1 or 3]` in [-1, 1], `batch` of them at a time, resized to a square of
/// `side` pixels (what a filter throws over the range is cut off) and grey as three equal colours.
fn in_batches(
    pictures: Tensor<4>,
    batch: usize,
    side: usize,
    filter: Filter,
    forward: impl Fn(Tensor<4>) -> Tensor<2>,
) -> Vec<Vec<f32>> {
    let pictures = if pictures.is_autodiff() { pictures.inner() } else { pictures };
    let mut rows = Vec::with_capacity(pictures.dims()[0]);
    for pictures in pictures.split(batch, 0) {
        let x = maliang_kernels::resize(pictures, [side; 2], filter).clamp(-1.0, 1.0);
        let x = if x.dims()[3] == 1 { x.repeat_dim(3, 3) } else { x };
        let features = forward(x);
        let length = features.dims()[1];
        rows.extend(host(features).chunks_exact(length).map(<[f32]>::to_vec));
    }
    rows
}
