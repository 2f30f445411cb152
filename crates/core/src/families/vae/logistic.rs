//! The discretised logistic (Kingma 2016, Appendix C) and mixtures of it (Salimans 2017, PixelCNN++): true likelihoods of 8-bit
//! pictures.

use burn::tensor::activation::{log_sigmoid, log_softmax, softmax};
use burn::tensor::{Int, Tensor};

/// Half of one grey level, 2/255, in a picture of [-1, 1].
const HALF_LEVEL: f32 = 1.0 / 255.0;

/// ln of the mass that a logistic of this centre and scale gives to the grey level x:
/// `ln[σ((x − c + ½δ)/s) − σ((x − c − ½δ)/s)]`, δ = 2/255, the outermost levels open to ±∞.
///
/// With a and b for the two arguments it is computed as `ln σ(a) + ln σ(−b) + ln(1 − e^(b − a))`, which is the same and has no
/// difference of nearly equal numbers: far from the centre, too, there is a gradient. ln s is held between −7 and 2, where the
/// mass of a level is still a number in 32 bits.
///
/// # Shapes
/// The three are broadcast to one shape, `[batch, height, width, ..]`.
pub fn log_mass(x: Tensor<4>, centre: Tensor<4>, log_scale: Tensor<4>) -> Tensor<4> {
    let inverse = (-log_scale.clamp(-7.0, 2.0)).exp();
    let distance = x.clone() - centre;
    let above = (distance.clone() + HALF_LEVEL) * inverse.clone();
    let below = (distance - HALF_LEVEL) * inverse.clone();
    let brightest = x.clone().greater_equal_elem(1.0 - HALF_LEVEL).float();
    let darkest = x.lower_equal_elem(HALF_LEVEL - 1.0).float();
    let open_above = -brightest + 1.0;
    let open_below = -darkest + 1.0;
    let width = (-(inverse * (-2.0 * HALF_LEVEL)).exp() + 1.0).log();
    log_sigmoid(above) * open_above.clone()
        + log_sigmoid(-below) * open_below.clone()
        + width * (open_above * open_below)
}

/// K logistics a pixel, weighted; in colour the centre of green depends linearly on red, that of blue on red and green
/// (Salimans 2017, Equation 3).
///
/// What a decoder gives for a pixel: K logits of the weights, K centres and K ln scales a channel, and in colour three times K
/// coefficients, which go through tanh. Centres start evenly over [-1, 1] and ln scales at −2 where the decoder gives zeros, so
/// that components are not alike at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogisticMixture {
    components: usize,
    channels: usize,
}

impl LogisticMixture {
    /// `components` logistics for pixels of 1 or 3 `channels`.
    pub fn new(components: usize, channels: usize) -> Self {
        Self { components, channels }
    }

    /// Numbers a pixel.
    pub fn parameters(self) -> usize {
        let coefficients = if self.channels == 3 { 3 } else { 0 };
        self.components * (1 + 2 * self.channels + coefficients)
    }

    /// Part number `i` of the parameters: `[batch, height, width, components]`.
    fn part(self, parameters: &Tensor<4>, i: usize) -> Tensor<4> {
        parameters.clone().narrow(3, i * self.components, self.components)
    }

    fn centre(self, parameters: &Tensor<4>, channel: usize) -> Tensor<4> {
        let k = self.components as f32;
        let places = Tensor::<1, Int>::arange(0..self.components as i64, &parameters.device()).float();
        let places = (places * 2.0 + 1.0) / k - 1.0;
        self.part(parameters, 1 + channel) + places.reshape([1, 1, 1, self.components])
    }

    fn log_scale(self, parameters: &Tensor<4>, channel: usize) -> Tensor<4> {
        self.part(parameters, 1 + self.channels + channel) - 2.0
    }

    /// The centre of `channel` where the channels before it are `before`.
    fn coupled(self, parameters: &Tensor<4>, channel: usize, before: &[Tensor<4>]) -> Tensor<4> {
        // Coefficient 0 is red in green, 1 red in blue, 2 green in blue.
        let first = 1 + 2 * self.channels + channel.saturating_sub(1);
        before.iter().enumerate().fold(self.centre(parameters, channel), |centre, (i, value)| {
            centre + self.part(parameters, first + i).tanh() * value.clone()
        })
    }

    /// ln p of each pixel: pictures in [-1, 1] and parameters `[batch, height, width, ..]` → `[batch, height, width, 1]`.
    pub fn log_likelihood(self, x: Tensor<4>, parameters: Tensor<4>) -> Tensor<4> {
        let channels: Vec<Tensor<4>> = (0..self.channels).map(|c| x.clone().narrow(3, c, 1)).collect();
        let mut joint = log_softmax(self.part(&parameters, 0), 3);
        for c in 0..self.channels {
            let centre = self.coupled(&parameters, c, &channels[..c]);
            joint = joint + log_mass(channels[c].clone(), centre, self.log_scale(&parameters, c));
        }
        let most = joint.clone().detach().max_dim(3);
        (joint - most.clone()).exp().sum_dim(3).log() + most
    }

    /// The picture in [-1, 1] that parameters `[batch, height, width, ..]` describe: the weighted mean of the components'
    /// centres, each held within the range, a channel's centre taken where the channels before it are at theirs.
    pub fn mean(self, parameters: Tensor<4>) -> Tensor<4> {
        let weights = softmax(self.part(&parameters, 0), 3);
        let mut centres: Vec<Tensor<4>> = Vec::with_capacity(self.channels);
        for c in 0..self.channels {
            let centre = self.coupled(&parameters, c, &centres).clamp(-1.0, 1.0);
            centres.push(centre);
        }
        let means = centres.into_iter().map(|centre| (centre * weights.clone()).sum_dim(3)).collect();
        // The weights add up to one but for rounding.
        Tensor::cat(means, 3).clamp(-1.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::preprocess::unit;
    use crate::nn::host;
    use crate::rng;
    use burn::tensor::{Device, TensorData};

    fn tensor(values: Vec<f32>, shape: [usize; 4], device: &Device) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    fn parameters(mixture: LogisticMixture, pixels: usize, seed: u64, spread: f32) -> Vec<f32> {
        let noise = rng::normal(&mut rng::stream(seed, "test", 0), pixels * mixture.parameters());
        noise.into_iter().map(|v| v * spread).collect()
    }

    /// Over all 256 levels of grey.
    #[test]
    fn grey_is_a_distribution() {
        let device = Device::flex();
        for (components, spread) in [(1, 0.5), (3, 1.0), (5, 3.0)] {
            let mixture = LogisticMixture::new(components, 1);
            let p = parameters(mixture, 1, 1, spread);
            let p = tensor(p, [1, 1, 1, mixture.parameters()], &device).expand([256, 1, 1, mixture.parameters()]);
            let x = tensor((0..=255).map(unit).collect(), [256, 1, 1, 1], &device);
            let each = host(mixture.log_likelihood(x, p));
            let total: f64 = each.iter().map(|&v| f64::from(v).exp()).sum();
            assert!((total - 1.0).abs() < 1e-4, "{components}: {total}");
        }
    }

    /// Each channel of colour is a distribution over its 256 levels given those before it, so the joint sums to one. The sum over
    /// blue of the joint does not depend on the coefficients of blue, that over green and blue not on green's.
    #[test]
    fn colour_is_a_distribution() {
        let device = Device::flex();
        let mixture = LogisticMixture::new(2, 3);
        let count = mixture.parameters();
        let p = tensor(parameters(mixture, 1, 2, 1.0), [1, 1, 1, count], &device);
        // All of blue, and every fifth level of red and green times 5 would be no sum: red and green run over all levels in turn.
        let joint = |red: Vec<u8>| {
            let mut total = 0.0f64;
            for r in red {
                let pixels: Vec<f32> =
                    (0..=255u8).flat_map(|g| (0..=255u8).flat_map(move |b| [r, g, b])).map(unit).collect();
                let x = tensor(pixels, [256, 256, 1, 3], &device);
                let each = host(mixture.log_likelihood(x, p.clone().expand([256, 256, 1, count])));
                total += each.iter().map(|&v| f64::from(v).exp()).sum::<f64>();
            }
            total
        };
        // The mass of red alone, from the grey mixture with red's parameters.
        let grey = LogisticMixture::new(2, 1);
        let part = |i: usize| p.clone().narrow(3, i * 2, 2);
        let red = Tensor::cat(vec![part(0), part(1), part(4)], 3);
        for level in [0u8, 90, 131, 255] {
            let x = tensor(vec![unit(level)], [1, 1, 1, 1], &device);
            let alone = f64::from(host(grey.log_likelihood(x, red.clone()))[0]).exp();
            let summed = joint(vec![level]);
            assert!((summed - alone).abs() < 1e-4 * (1.0 + alone), "{level}: {summed}, not {alone}");
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let device = Device::flex().autodiff();
        for channels in [1, 3] {
            let mixture = LogisticMixture::new(3, channels);
            let count = mixture.parameters();
            let levels = [0u8, 255, 17, 128, 200, 64];
            let x = tensor(levels[..2 * channels].iter().map(|&v| unit(v)).collect(), [1, 2, 1, channels], &device);
            let start = parameters(mixture, 2, 3, 0.5);
            let loss = |values: Vec<f32>| tensor(values, [1, 2, 1, count], &device).require_grad();
            let leaf = loss(start.clone());
            let gradients = mixture.log_likelihood(x.clone(), leaf.clone()).sum().backward();
            let gradient = host(leaf.grad(&gradients).unwrap());
            for i in 0..start.len() {
                let at = |delta: f32| {
                    let mut moved = start.clone();
                    moved[i] += delta;
                    let each = host(mixture.log_likelihood(x.clone(), loss(moved)).inner());
                    each.iter().map(|&v| f64::from(v)).sum::<f64>()
                };
                let numeric = (at(2e-3) - at(-2e-3)) / 4e-3;
                let near = (f64::from(gradient[i]) - numeric).abs() < 1e-2 * (1.0 + numeric.abs());
                assert!(near, "{channels} channels, {i}: {} {numeric}", gradient[i]);
            }
        }
    }

    /// What is far from every component still has a likelihood and pulls.
    #[test]
    fn far_away_there_is_a_gradient() {
        let device = Device::flex().autodiff();
        let mixture = LogisticMixture::new(1, 1);
        // Centre 0 − 1, the smallest scale, a white pixel.
        let p = tensor(vec![0.0, -1.0, -9.0], [1, 1, 1, 3], &device).require_grad();
        let value = mixture.log_likelihood(tensor(vec![unit(250)], [1, 1, 1, 1], &device), p.clone());
        assert!(host(value.clone().inner())[0].is_finite());
        let gradient = host(p.grad(&value.sum().backward()).unwrap());
        assert!(gradient.iter().all(|v| v.is_finite()) && gradient[1] > 100.0, "{gradient:?}");
    }

    /// Where all components are narrow, the mean of the discretised distribution is the picture.
    #[test]
    fn the_mean_is_that_of_the_levels() {
        let device = Device::flex();
        let mixture = LogisticMixture::new(3, 1);
        let mut p = parameters(mixture, 1, 5, 0.3);
        p[6..].iter_mut().for_each(|scale| *scale -= 2.5);
        let p = tensor(p, [1, 1, 1, 9], &device);
        let picture = host(mixture.mean(p.clone()))[0];
        let x = tensor((0..=255).map(unit).collect(), [256, 1, 1, 1], &device);
        let each = host(mixture.log_likelihood(x, p.expand([256, 1, 1, 9])));
        let mean: f32 = each.iter().enumerate().map(|(level, v)| v.exp() * unit(level as u8)).sum();
        assert!((mean - picture).abs() < 0.01, "{mean} {picture}");
    }
}
