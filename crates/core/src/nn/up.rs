//! Upsampling convolution.

use super::{Init, Module, Param, join};
use burn::tensor::{Tensor, TensorData};
use maliang_kernels::{Conv2dOptions, Precision};

/// Nearest-neighbour upsampling by two, then a 3×3 convolution with zero padding and without bias.
///
/// Both are linear, so together they are one transposed convolution with a 4×4 kernel and stride 2 whose taps are sums of the
/// nine: along an axis `w₄[t] = w₃[t] + w₃[t − 1]`, the picture's doubling being a transposed convolution with ones. That is 16
/// products instead of 36 for each pixel of the small picture, and none of the large picture is written twice. An odd size gets
/// one row or column more, which the convolution reaches past the doubled picture.
#[derive(Debug, Clone)]
pub struct UpConv2d {
    /// `[3, 3, c_out, c_in]`, as the weight of a transposed convolution.
    weight: Param,
    size: [usize; 2],
    options: Conv2dOptions,
}

impl UpConv2d {
    /// A layer that makes pictures of `size` (height, width) from those of half the size, rounded down.
    pub fn new(c_in: usize, c_out: usize, size: [usize; 2], init: Init) -> Self {
        let options = Conv2dOptions { stride: 2, padding: 1, precision: Precision::F32 };
        Self { weight: Param::new(&[3, 3, c_out, c_in], init), size, options }
    }

    /// `[batch, ⌊size[0] / 2⌋, ⌊size[1] / 2⌋, c_in]` → `[batch, size[0], size[1], c_out]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let options = Conv2dOptions { precision: self.weight.precision(), ..self.options };
        maliang_kernels::conv_transpose2d(x, spread(self.weight.get()), self.size, options)
    }
}

impl Module for UpConv2d {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        into.push((join(path, "weight"), &mut self.weight));
    }
}

/// The 4×4 kernel `[4, 4, a, b]` of a 3×3 kernel `[3, 3, a, b]` after doubling.
pub(crate) fn spread(w: Tensor<4>) -> Tensor<4> {
    let [_, _, a, b] = w.dims();
    // One product with a matrix of zeros and ones, [16, 9].
    let reaches = |t: usize, k: usize| t == k || t == k + 1;
    let sums = (0..16 * 9).map(|i| (i / 9, i % 9));
    let sums = sums.map(|(to, from)| f32::from(reaches(to / 4, from / 3) && reaches(to % 4, from % 3)));
    let sums = Tensor::<2>::from_data(TensorData::new(sums.collect::<Vec<f32>>(), [16, 9]), &w.device());
    sums.matmul(w.reshape([9, a * b])).reshape([4, 4, a, b])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{self, host};
    use crate::rng;
    use burn::tensor::Device;

    /// Against doubling written out and the transposed convolution with the nine taps.
    #[test]
    fn it_is_doubling_and_a_convolution() {
        let device = Device::flex();
        let (h, w, c_in, c_out) = (5, 6, 20, 18);
        let mut up = UpConv2d::new(c_in, c_out, [2 * h, 2 * w], Init::Normal(0.0, 1.0));
        nn::initialise(&mut up, 4, &device);
        let x = rng::normal(&mut rng::stream(1, "x", 0), 2 * h * w * c_in);
        let x = Tensor::<4>::from_data(TensorData::new(x, [2, h, w, c_in]), &device);
        let doubled = x.clone().reshape([2, h, 1, w, 1, c_in]).expand([2, h, 2, w, 2, c_in]);
        let doubled = doubled.reshape([2, 2 * h, 2 * w, c_in]);
        let options = Conv2dOptions { stride: 1, padding: 1, precision: Precision::F32 };
        let expected = maliang_kernels::conv_transpose2d(doubled, up.weight.get(), [2 * h, 2 * w], options);
        let apart = host((up.forward(x.clone()) - expected.clone()).abs().max())[0];
        assert!(apart < 1e-3, "{apart}");
        // A larger odd size begins like the even one.
        up.size = [2 * h + 1, 2 * w + 1];
        let odd = up.forward(x);
        assert_eq!(odd.dims(), [2, 2 * h + 1, 2 * w + 1, c_out]);
        let inside = odd.slice([0..2, 0..2 * h, 0..2 * w, 0..c_out]);
        assert!(host((inside - expected).abs().max())[0] < 1e-3);
    }
}
