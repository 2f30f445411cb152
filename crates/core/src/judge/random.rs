//! A feature extractor that needs no download: a convolutional network with fixed random weights (Naeem 2020, §3.3, found
//! such an embedding to be a sound fallback where an ImageNet network does not fit or is not at hand).

use crate::features::{Extractor, Scaling};
use crate::nn::host;
use crate::rng;
use burn::tensor::{Device, Tensor, TensorData};
use maliang_kernels::{Activation, Conv2dOptions, Precision};

/// Output channels of the four layers.
const CHANNELS: [usize; 4] = [32, 64, 128, 128];
/// Halves a height or width, rounding up.
const OPTIONS: Conv2dOptions = Conv2dOptions { stride: 2, padding: 1, precision: Precision::F32 };
/// The one seed of the embedding: part of the protocol, never of a run.
const SEED: u64 = 2020;

/// Four 3×3 stride-2 convolutions with ReLU; the features are the means and standard deviations over each layer's pixels.
pub struct RandomFeatures {
    /// The first layer for grey and for colour pictures.
    first: [Tensor<4>; 2],
    rest: Vec<Tensor<4>>,
}

impl RandomFeatures {
    /// Length of a feature vector.
    pub const LENGTH: usize = 2 * (CHANNELS[0] + CHANNELS[1] + CHANNELS[2] + CHANNELS[3]);

    /// The extractor for pictures that lie on `device`. Weights are He-normal: √(2 / (9 · c_in)).
    pub fn new(device: &Device) -> Self {
        let layer = |i: usize, c_in: usize| {
            let deviation = (2.0 / (9 * c_in) as f32).sqrt();
            let count = 9 * c_in * CHANNELS[i];
            let values = rng::normal(&mut rng::stream(SEED, "random-features", i as u64), count);
            let values = values.into_iter().map(|v| v * deviation).collect::<Vec<f32>>();
            Tensor::from_data(TensorData::new(values, [3, 3, c_in, CHANNELS[i]]), device)
        };
        Self { first: [layer(0, 1), layer(0, 3)], rest: (1..4).map(|i| layer(i, CHANNELS[i - 1])).collect() }
    }
}

impl Extractor for RandomFeatures {
    fn name(&self) -> String {
        "randomconv".into()
    }

    fn len(&self) -> usize {
        Self::LENGTH
    }

    /// Nobody trained these features: their scales are accidents of the draw.
    fn scaling(&self) -> Scaling {
        Scaling::Standardised
    }

    fn extract(&self, pictures: Tensor<4>) -> Vec<Vec<f32>> {
        let [batch, _, _, channels] = pictures.dims();
        let mut x = pictures;
        let mut features = Vec::new();
        for layer in std::iter::once(&self.first[usize::from(channels == 3)]).chain(&self.rest) {
            let channels = layer.dims()[3];
            let device = layer.device();
            x = maliang_kernels::conv2d(x, layer.clone(), OPTIONS);
            x = maliang_kernels::affine(
                x,
                Tensor::ones([channels], &device),
                Tensor::zeros([channels], &device),
                Activation::Relu,
            );
            let [_, h, w, _] = x.dims();
            let flat = x.clone().reshape([batch, h * w, channels]);
            let mean = flat.clone().mean_dim(1);
            let deviation = (flat - mean.clone()).powi_scalar(2).mean_dim(1).sqrt();
            features.push(mean.reshape([batch, channels]));
            features.push(deviation.reshape([batch, channels]));
        }
        let all = host(Tensor::cat(features, 1));
        all.chunks_exact(Self::LENGTH).map(<[f32]>::to_vec).collect()
    }
}
