//! Training a DCGAN (Goodfellow 2014, Algorithm 1; Radford 2015), alternating the two players.

use super::config::{GanLoss, RunConfig};
use super::optim::{Adam, update_average};
use super::{Losses, STANDING_BATCHES, StepInput, Trainer, augment, losses, pictures_tensor};
use crate::data::Batch;
use crate::models::{self, DcganConfig, Discriminator, Generator, PictureModel};
use crate::nn::{self, Mode, Module, Statistics, host};
use crate::provenance::weights::Weights;
use crate::{Result, rng};
use burn::tensor::{Device, Tensor, TensorData};

/// Both players, their optimisers, and the moving average of the generator.
#[derive(Clone)]
pub(super) struct GanTrainer {
    config: RunConfig,
    model: DcganConfig,
    device: Device,
    generator: Generator,
    discriminator: Discriminator,
    average: Generator,
    adam_g: Adam,
    adam_d: Adam,
}

impl GanTrainer {
    /// Untrained players.
    pub fn new(config: &RunConfig, model: &DcganConfig, device: Device) -> Self {
        let device = device.autodiff();
        let (mut generator, mut discriminator) = (Generator::new(model), Discriminator::new(model));
        nn::initialise(&mut generator, config.seed, &device);
        // Another seed, so that layers of the same name do not start alike in both players.
        nn::initialise(&mut discriminator, config.seed ^ 0xD15C, &device);
        Self {
            config: config.clone(),
            model: model.clone(),
            average: generator.inner(),
            device,
            generator,
            discriminator,
            adam_g: Adam::default(),
            adam_d: Adam::default(),
        }
    }

    /// `count` latent vectors and labels, drawn on the host from the stream `name` at `index`.
    fn latent(&self, seed: u64, name: &str, index: u64, count: usize, device: &Device) -> (Tensor<2>, Vec<usize>) {
        let mut stream = rng::stream(seed, name, index);
        let z = rng::normal(&mut stream, count * self.model.z_dim);
        let labels = rng::labels(&mut stream, count, self.model.classes.len());
        (Tensor::from_data(TensorData::new(z, [count, self.model.z_dim]), device), labels)
    }

    fn one_hot(&self, labels: &[usize], device: &Device) -> Option<Tensor<2>> {
        models::one_hot(labels, self.model.classes.len(), device)
    }

    fn augment(&self, x: Tensor<4>, seed: u64, name: &str, index: u64) -> Tensor<4> {
        let [batch, height, width, _] = x.dims();
        let kinds = &self.config.gan.augment;
        if kinds.is_empty() {
            return x;
        }
        maliang_kernels::augment(x, augment::plans(kinds, batch, height, width, &mut rng::stream(seed, name, index)))
    }

    /// Lowers the discriminator's loss on one real and one generated batch. `draw` numbers the random draws.
    fn discriminator_step(
        &mut self,
        real: &Batch,
        fake: Tensor<4>,
        fake_labels: &[usize],
        seed: u64,
        draw: u64,
        lr: f32,
    ) -> f32 {
        let loss = self.config.gan.loss;
        let x = self.augment(pictures_tensor(real, &self.config.data, &self.device), seed, "augment/real", draw);
        let fake = self.augment(fake, seed, "augment/fake", draw);
        let on_real = self.discriminator.forward(x, self.one_hot(&real.labels, &self.device));
        let on_fake = self.discriminator.forward(fake, self.one_hot(fake_labels, &self.device));
        let objective = losses::discriminator(loss, on_real, on_fake);
        let value = host(objective.clone().inner())[0];
        self.adam_d.step(&mut self.discriminator, objective.backward(), &self.config.train, lr);
        if loss == GanLoss::Wasserstein {
            let clip = self.config.gan.clip;
            for (_, param) in self.discriminator.parameters() {
                if param.is_trained() {
                    param.set(param.flat().clamp(-clip, clip));
                }
            }
        }
        value
    }

    /// Lowers the generator's loss against the frozen discriminator.
    fn generator_step(&mut self, fake: Tensor<4>, labels: &[usize], seed: u64, draw: u64, lr: f32) -> f32 {
        let fake = self.augment(fake, seed, "augment/generator", draw);
        let logits = self.discriminator.frozen().forward(fake, self.one_hot(labels, &self.device));
        let objective = losses::generator(self.config.gan.loss, logits);
        let value = host(objective.clone().inner())[0];
        self.adam_g.step(&mut self.generator, objective.backward(), &self.config.train, lr);
        value
    }
}

impl Trainer for GanTrainer {
    fn step(&mut self, input: &StepInput) -> Losses {
        let StepInput { step, seed, lr, loader } = *input;
        let (batch, critic_steps) = (self.config.train.batch, self.config.gan.critic_steps as u64);
        // Extra discriminator steps (Wasserstein) see pictures of their own.
        for k in 1..critic_steps {
            let draw = step * critic_steps + k;
            let (z, labels) = self.latent(seed, "latent", draw, batch, &self.device);
            let fake = self.generator.forward(z, self.one_hot(&labels, &self.device), Mode::Train).detach();
            self.discriminator_step(&loader.batch(draw), fake, &labels, seed, draw, lr);
        }
        let draw = step * critic_steps;
        let real = loader.batch(draw); // [B, H, W, C] in [-1, 1]
        let (z, labels) = self.latent(seed, "latent", draw, batch, &self.device);
        let fake = self.generator.forward(z, self.one_hot(&labels, &self.device), Mode::Train); // used by both players
        let d_loss = self.discriminator_step(&real, fake.clone().detach(), &labels, seed, draw, lr);
        let g_loss = self.generator_step(fake, &labels, seed, draw, lr);
        let seen = (step + 1) * batch as u64;
        update_average(&mut self.average, &self.generator, &self.config.train, seen);
        vec![("d_loss", d_loss), ("g_loss", g_loss)]
    }

    fn model(&mut self) -> PictureModel {
        let device = self.device.clone().inner();
        let passes = (0..STANDING_BATCHES).map(|i| {
            let (z, labels) = self.latent(self.config.seed, "standing", i, self.config.train.batch, &device);
            let statistics = Statistics::default();
            self.average.forward(z, self.one_hot(&labels, &device), Mode::Measure(&statistics));
            statistics
        });
        let passes = passes.collect();
        let mut model = self.average.clone();
        models::set_standing_statistics(model.norms(), passes);
        PictureModel::Dcgan(model)
    }

    fn state(&self) -> Weights {
        let mut state = Weights::new();
        nn::store(&self.generator.inner(), &mut state, "generator");
        nn::store(&self.discriminator.inner(), &mut state, "discriminator");
        nn::store(&self.average, &mut state, "average");
        self.adam_g.store(&mut state, "adam_g");
        self.adam_d.store(&mut state, "adam_d");
        state
    }

    fn restore(&mut self, mut state: Weights, step: u64) -> Result<()> {
        let inner = self.device.clone().inner();
        nn::load(&mut self.generator, &mut state, "generator", &self.device)?;
        nn::load(&mut self.discriminator, &mut state, "discriminator", &self.device)?;
        nn::load(&mut self.average, &mut state, "average", &inner)?;
        let critic_steps = self.config.gan.critic_steps as u64;
        self.adam_g.restore(&mut self.generator, &mut state, "adam_g", step, &inner)?;
        self.adam_d.restore(&mut self.discriminator, &mut state, "adam_d", step * critic_steps, &inner)
    }

    fn boxed_clone(&self) -> Box<dyn Trainer> {
        Box::new(self.clone())
    }
}
