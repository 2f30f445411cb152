//! The two players of a GAN, and a generator as a trained model.

use crate::Result;
use crate::families::model::{Condition, Critic, How, Latent, Model, Styles, weights_of};
use crate::nn::{self, BatchNorm, Mode, Module};
use crate::weights::Weights;
use burn::tensor::{Device, Tensor};
use std::fmt::Debug;

/// z → picture.
pub trait Generator: Module + Debug + Send + Sync + 'static {
    /// z `[batch, z_dim]`, labels one-hot `[batch, classes]` → `[batch, height, width, channels]` in [-1, 1].
    fn forward(&self, z: Tensor<2>, labels: Option<Tensor<2>>, mode: Mode) -> Tensor<4>;

    /// The matrix `[n_in, n_out]` of its first step, batch norm included; the first rows belong to z. See `blocks/stack.rs`.
    fn first_map(&self) -> Tensor<2>;

    /// Its batch norms in forward order.
    fn norms(&mut self) -> Vec<&mut BatchNorm>;

    /// Its styles, if it has such.
    fn styles(&self) -> Option<&dyn Styles> {
        None
    }
}

/// Picture → logits of "real".
pub trait Discriminator: Module + Debug + Send + 'static {
    /// What has to happen once before each of its steps: spectral normalisation follows its singular vectors, and normalises
    /// once for all passes of the step.
    fn prepare(&mut self) {}

    /// What has to happen before its weights change: nothing that [`prepare`](Self::prepare) made is valid any more.
    fn release(&mut self) {}

    /// What it judges of pictures `[batch, height, width, channels]`: the pictures, or maps of features that nobody trains.
    fn look(&self, x: Tensor<4>) -> Vec<Tensor<4>> {
        vec![x]
    }

    /// What [`look`](Self::look) gave, labels one-hot `[batch, classes]` → the logits of each head, a head giving every picture
    /// the same number of them, one after another: `[batch · parts]`.
    fn judge(&self, seen: Vec<Tensor<4>>, labels: Option<Tensor<2>>) -> Vec<Tensor<1>>;

    /// Pictures and labels → the logits of each head.
    fn heads(&self, x: Tensor<4>, labels: Option<Tensor<2>>) -> Vec<Tensor<1>> {
        self.judge(self.look(x), labels)
    }

    /// As [`heads`](Self::heads), of those heads only that see the pixels themselves, where some see through another network.
    fn pixel_heads(&self, x: Tensor<4>, labels: Option<Tensor<2>>) -> Vec<Tensor<1>> {
        self.heads(x, labels)
    }

    /// As [`judge`](Self::judge) on what was seen of real pictures, and the loss of a task that the family learns on them besides.
    /// `choice` is a random number that the task may use.
    fn judge_real(
        &self,
        seen: Vec<Tensor<4>>,
        labels: Option<Tensor<2>>,
        _choice: usize,
    ) -> (Vec<Tensor<1>>, Option<Tensor<1>>) {
        (self.judge(seen, labels), None)
    }
}

/// A generator as a trained model: its noise is its latent space.
#[derive(Debug, Clone)]
pub struct GanModel<G>(pub G);

impl<G: Generator> Model for GanModel<G> {
    fn load(&mut self, weights: &mut Weights, device: &Device) -> Result<()> {
        nn::load(&mut self.0, weights, "", device)
    }

    fn weights(&self) -> Weights {
        weights_of(&self.0)
    }

    fn make(&self, noise: Tensor<2>, condition: &Condition, _how: How) -> Tensor<4> {
        self.decode(noise, condition)
    }

    fn latent(&self) -> Option<&dyn Latent> {
        Some(self)
    }

    fn styles(&self) -> Option<&dyn Styles> {
        self.0.styles()
    }

    fn boxed_clone(&self) -> Box<dyn Model> {
        Box::new(self.clone())
    }
}

impl<G: Generator> Latent for GanModel<G> {
    fn point(&self, noise: Tensor<2>) -> Tensor<2> {
        noise
    }

    fn decode(&self, z: Tensor<2>, condition: &Condition) -> Tensor<4> {
        self.0.forward(z, condition.classes(), Mode::Eval)
    }

    fn first_map(&self) -> Option<Tensor<2>> {
        Some(self.0.first_map())
    }

    fn constant(&self) -> Box<dyn Latent> {
        Box::new(Self(self.0.constant()))
    }
}

/// A discriminator as a critic.
#[derive(Debug)]
pub struct Judge<D>(pub D);

impl<D: Discriminator> Critic for Judge<D> {
    /// The mean of the picture's logits of a head, added up over the heads.
    fn opinions(&self, x: Tensor<4>, condition: &Condition) -> Tensor<1> {
        let batch = x.dims()[0];
        let mean = |logits: Tensor<1>| {
            let parts = logits.dims()[0] / batch;
            logits.reshape([batch, parts]).mean_dim(1).flatten(0, 1)
        };
        let heads = self.0.heads(x, condition.classes()).into_iter().map(mean);
        heads.reduce(|a, b| a + b).expect("a discriminator has at least one head")
    }
}
