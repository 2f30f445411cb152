//! What a discriminator looks at: the gradient of its opinion in the pixels (Simonyan 2014, "Deep Inside Convolutional Networks",
//! §3).

use crate::Result;
use crate::families::{self, Condition};
use crate::nn::host;
use crate::pretrained::EfficientNetLite0;
use crate::run::checkpoint;
use crate::run::config::RunConfig;
use crate::run::dir::RunDir;
use burn::tensor::Tensor;
use std::path::PathBuf;

/// A discriminator as training left it, with the checkpoint that it comes from.
#[derive(Debug)]
pub struct Critic {
    judge: Box<dyn families::Critic>,
    classes: usize,
    /// Pictures of a batch: its batch norm measures on them.
    pub batch: usize,
    /// Its checkpoint.
    pub checkpoint: PathBuf,
}

impl Critic {
    /// The discriminator of the newest whole checkpoint of a run; nothing where the family has none, or no checkpoint
    /// holds one. `features` is what a
    /// projected GAN looks through.
    ///
    /// # Errors
    /// A projected GAN without features, or a state that is not of this run.
    pub fn of_run(run: &RunDir, config: &RunConfig, features: Option<EfficientNetLite0>) -> Result<Option<Self>> {
        if !config.model.about().has_critic {
            return Ok(None);
        }
        let Some((checkpoint, _, mut state)) = checkpoint::newest_whole(&run.checkpoints()).0 else { return Ok(None) };
        let Some(judge) = config.model.critic(&config.settings(), &mut state, features)? else { return Ok(None) };
        let (classes, batch) = (config.model.classes().len(), config.train.batch);
        Ok(Some(Self { judge, classes, batch, checkpoint }))
    }

    /// Heat of each pixel of the first `shown` of the pictures `x [batch, height, width, channels]`: `Σ_channels |∂D(xᵢ)/∂xᵢ|`.
    pub fn heat(&self, x: Tensor<4>, classes: &[usize], shown: usize) -> Vec<Vec<f32>> {
        let condition = Condition::of_classes(classes, self.classes, &x.device()).autodiff();
        saliency(x, shown, |x| self.judge.opinions(x, &condition))
    }
}

/// `Σ_channels |∂D(xᵢ)/∂xᵢ|` of each pixel of the first `shown` pictures, `[height · width]` each. `judge` gives the opinion of
/// each picture, `[batch]`; what a picture does to the opinion of its neighbours, by way of batch norm, is left out: hence a
/// backward pass a picture.
pub fn saliency(x: Tensor<4>, shown: usize, judge: impl Fn(Tensor<4>) -> Tensor<1>) -> Vec<Vec<f32>> {
    let [batch, height, width, channels] = x.dims();
    let of = |i: usize| {
        let leaf = Tensor::<4>::from_inner(x.clone()).require_grad();
        let gradients = judge(leaf.clone()).narrow(0, i, 1).sum().backward();
        let Some(gradient) = leaf.grad(&gradients) else { return vec![0.0; height * width] };
        let own = host(gradient.slice([i..i + 1, 0..height, 0..width, 0..channels]));
        own.chunks_exact(channels).map(|pixel| pixel.iter().map(|v| v.abs()).sum()).collect()
    };
    (0..shown.min(batch)).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{device, rng};
    use burn::tensor::TensorData;

    /// D(x) = Σ w x: the heat is Σ_channels |w|, whatever the picture. An opinion that depends on the neighbours, too, is
    /// differentiated in the picture itself.
    #[test]
    fn the_saliency_of_a_linear_discriminator() {
        let (h, w, c) = (3, 4, 2);
        let numbers = |name: &str, count: usize| rng::normal(&mut rng::stream(1, name, 0), count);
        let x = Tensor::<4>::from_data(TensorData::new(numbers("x", 3 * h * w * c), [3, h, w, c]), &device::cpu());
        let weight = numbers("w", h * w * c);
        let tensor = Tensor::<4>::from_data(TensorData::new(weight.clone(), [1, h, w, c]), &device::cpu()).autodiff();
        let linear = |x: Tensor<4>| (x * tensor.clone()).reshape([3, h * w * c]).sum_dim(1).flatten::<1>(0, 1);
        let expected: Vec<f32> = weight.chunks(c).map(|pixel| pixel.iter().map(|v| v.abs()).sum()).collect();
        let near = |found: &[f32], factor: f32| found.iter().zip(&expected).all(|(a, b)| (a - b * factor).abs() < 1e-5);
        let found = saliency(x.clone(), 2, linear);
        assert!(found.len() == 2 && found.iter().all(|heat| near(heat, 1.0)), "{found:?}");
        let found = saliency(x, 9, |x| linear(x.clone()) + linear(x).mean() * 30.0);
        assert!(found.len() == 3 && found.iter().all(|heat| near(heat, 11.0)), "{found:?}");
    }
}
