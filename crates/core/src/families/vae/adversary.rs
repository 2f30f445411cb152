//! A discriminator beside a VAE (Larsen 2016, VAE-GAN).

use super::VaeConfig;
use crate::Result;
use crate::families::dcgan::DcganConfig;
use crate::families::dcgan::net::Discriminator;
use crate::families::gan::losses;
use crate::families::gan::settings::{GanConfig, GanLoss, Normalisation};
use crate::families::settings::{Settings, TrainConfig};
use crate::nn::optim::{Adam, AdamSettings};
use crate::nn::{self, Module, host};
use crate::weights::Weights;
use burn::tensor::{Device, Gradients, Tensor};
use maliang_kernels::Reuse;

/// The discriminator's learning rate as a part of the VAE's: 2e-4 (Radford 2015, §3) where that is 1e-3.
const LR_PART: f32 = 0.2;
/// Radford 2015, §3.
const BETA_1: f32 = 0.5;

/// DCGAN's discriminator, which tells pictures from their reconstructions, and its optimiser.
///
/// What differs from Larsen 2016: the likelihood stays that of the pixels and is not taken on the discriminator's features, so
/// that the ELBO keeps its meaning; reconstructions alone are judged, not decoded noise, and the encoder learns from the
/// discriminator, too (both as in VQGAN, Esser 2021), which spares a second pass through the decoder.
#[derive(Debug, Clone)]
pub struct Adversary {
    discriminator: Discriminator,
    adam: Adam,
    loss: GanLoss,
}

/// What the discriminator leaves for both updates.
pub struct AdversaryPass {
    /// Its loss.
    pub d_loss: f32,
    /// The decoder's loss, on the tape of the reconstructions.
    pub g_loss: Tensor<1>,
    gradients: Gradients,
}

impl Adversary {
    /// An untrained one.
    ///
    /// # Errors
    /// A setting of `[gan]` that does not exist or has another type.
    pub fn new(settings: &Settings, model: &VaeConfig, device: &Device) -> Result<Self> {
        let VaeConfig { z_dim, classes, stack, .. } = model.clone();
        let network = DcganConfig { z_dim, classes, stack };
        let mut discriminator = Discriminator::new(&network, Normalisation::Batch);
        nn::initialise(&mut discriminator, settings.seed ^ 0xD15C, device);
        discriminator.set_precision(settings.train.precision);
        let loss = settings.tables.get::<GanConfig>()?.loss;
        Ok(Self { discriminator, adam: Adam::default(), loss })
    }

    /// Judges pictures and their reconstructions `[batch, height, width, channels]` with labels one-hot. Both losses are those of
    /// [`losses`], at the same weights of the discriminator; the reconstructions are looked at once for both, in `reuse`.
    pub fn judge(
        &self,
        reuse: &Reuse,
        x: Tensor<4>,
        reconstructed: Tensor<4>,
        labels: Option<Tensor<2>>,
    ) -> AdversaryPass {
        let detached = reconstructed.clone().detach();
        let on_fake = reuse.remember(|| self.discriminator.forward(detached, labels.clone()));
        let on_real = reuse.remember(|| self.discriminator.forward(x.clone(), labels.clone()));
        let objective = losses::discriminator(self.loss, on_real, on_fake);
        let d_loss = host(objective.clone().inner())[0];
        let gradients = reuse.share(|| objective.backward());
        let frozen = self.discriminator.frozen();
        let on_fake = reuse.recall(|| frozen.forward(reconstructed, labels.clone()));
        let on_real = self.loss.compares().then(|| reuse.recall(|| frozen.forward(x, labels)));
        AdversaryPass { d_loss, g_loss: losses::generator(self.loss, on_fake, on_real), gradients }
    }

    /// Moves the discriminator.
    pub fn update(&mut self, judged: AdversaryPass, config: &TrainConfig, lr: f32) {
        let config = AdamSettings { beta_1: BETA_1, ..config.adam() };
        self.adam.step(&mut self.discriminator, None, judged.gradients, &config, lr * LR_PART);
    }

    /// Adds what resuming needs.
    pub fn store(&self, state: &mut Weights) {
        nn::store(&self.discriminator.inner(), state, "discriminator");
        self.adam.store(state, "adam_d");
    }

    /// Back to `state`, saved after `step` steps.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn restore(&mut self, state: &mut Weights, step: u64, device: &Device) -> Result<()> {
        nn::load(&mut self.discriminator, state, "discriminator", device)?;
        self.adam.restore(&mut self.discriminator, state, "adam_d", step, &device.clone().inner())
    }
}
