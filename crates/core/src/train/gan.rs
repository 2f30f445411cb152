//! Training a DCGAN (Goodfellow 2014; Radford 2015), moving both players at once.

use super::config::{GanLoss, RunConfig};
use super::optim::{Adam, Average, average_beta};
use super::{Losses, STANDING_BATCHES, StepInput, Trainer, augment, losses, pictures_tensor};
use crate::data::Batch;
use crate::models::{self, DcganConfig, Discriminator, Generator, PictureModel};
use crate::nn::{self, Mode, Module, Statistics, host};
use crate::provenance::weights::Weights;
use crate::{Result, rng};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use maliang_kernels::Reuse;

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
        generator.set_precision(config.train.precision);
        discriminator.set_precision(config.train.precision);
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

    /// The discriminator's loss on one real and one generated batch, and its gradients. What is computed from `fake` (augmented
    /// already) is remembered in `reuse`. `draw` numbers the random draws.
    fn discriminator_gradients(
        &self,
        reuse: &Reuse,
        real: Batch,
        fake: Tensor<4>,
        fake_labels: &[usize],
        draw: u64,
        seed: u64,
    ) -> (f32, Gradients) {
        let (x, labels) = pictures_tensor(real, &self.config.data, &self.device);
        let x = self.augment(x, seed, "augment/real", draw);
        let on_fake = reuse.remember(|| self.discriminator.forward(fake, self.one_hot(fake_labels, &self.device)));
        let on_real = reuse.share(|| self.discriminator.forward(x, self.one_hot(&labels, &self.device)));
        let objective = losses::discriminator(self.config.gan.loss, on_real, on_fake);
        (host(objective.clone().inner())[0], reuse.share(|| objective.backward()))
    }

    /// The generator's loss against the frozen discriminator, and its gradients. `fake` is what the discriminator has seen.
    fn generator_gradients(&self, reuse: &Reuse, fake: Tensor<4>, labels: &[usize]) -> (f32, Gradients) {
        let frozen = self.discriminator.frozen();
        let logits = reuse.recall(|| frozen.forward(fake, self.one_hot(labels, &self.device)));
        let objective = losses::generator(self.config.gan.loss, logits);
        (host(objective.clone().inner())[0], reuse.share(|| objective.backward()))
    }

    /// Moves the discriminator.
    fn update_discriminator(&mut self, gradients: Gradients, lr: f32) {
        self.adam_d.step(&mut self.discriminator, None, gradients, &self.config.train, lr);
        if self.config.gan.loss == GanLoss::Wasserstein {
            let clip = self.config.gan.clip;
            for (_, param) in self.discriminator.parameters() {
                if param.is_trained() {
                    let value = param.take().clamp(-clip, clip);
                    param.set(Tensor::from_inner(value));
                }
            }
        }
    }

    /// Moves the generator; the average follows with decay `beta`.
    fn update_generator(&mut self, gradients: Gradients, lr: f32, beta: f32) {
        let average = Average { model: &mut self.average, beta };
        self.adam_g.step(&mut self.generator, Some(average), gradients, &self.config.train, lr);
    }

    /// One step of both players on number `draw` of the random draws.
    fn both(&mut self, real: Batch, seed: u64, draw: u64, lr: f32, beta: f32) -> (f32, f32) {
        let batch = self.config.train.batch;
        let (z, labels) = self.latent(seed, "latent", draw, batch, &self.device);
        let fake = self.generator.forward(z, self.one_hot(&labels, &self.device), Mode::Train); // [B, H, W, C] in [-1, 1]
        let fake = self.augment(fake, seed, "augment/fake", draw);
        // Both gradients are taken at the same weights, so that D(G(z)) is computed once.
        let reuse = Reuse::default();
        let (d_loss, d_gradients) =
            self.discriminator_gradients(&reuse, real, fake.clone().detach(), &labels, draw, seed);
        let (g_loss, g_gradients) = self.generator_gradients(&reuse, fake, &labels);
        drop(reuse);
        self.update_discriminator(d_gradients, lr);
        self.update_generator(g_gradients, lr, beta);
        (d_loss, g_loss)
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
            // No gradient goes back to the generator here, so none is prepared for.
            let fake = self.generator.frozen().forward(z, self.one_hot(&labels, &self.device), Mode::Train);
            let next = if k + 1 < critic_steps { draw + 1 } else { step * critic_steps };
            let fake = self.augment(fake, seed, "augment/fake", draw);
            let real = loader.batch_before(draw, next);
            let (_, gradients) = self.discriminator_gradients(&Reuse::default(), real, fake, &labels, draw, seed);
            self.update_discriminator(gradients, lr);
        }
        let draw = step * critic_steps;
        let next = (step + 1) * critic_steps + u64::from(critic_steps > 1);
        let real = loader.batch_before(draw, next); // [B, H, W, C] in [-1, 1]
        let beta = average_beta(&self.config.train, (step + 1) * batch as u64);
        let (d_loss, g_loss) = self.both(real, seed, draw, lr, beta);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataConfig;
    use crate::models::{ModelConfig, StackConfig};
    use crate::train::config::{GanConfig, TrainConfig, VaeTraining};
    use burn::backend::{BackendTensor, DispatchTensorKind};

    fn trainer(loss: GanLoss) -> GanTrainer {
        let stack = StackConfig { height: 16, width: 16, channels: 3, base: 4 };
        let model = DcganConfig { z_dim: 8, classes: Vec::new(), stack };
        let data = DataConfig { width: 16, height: 16, ..DataConfig::default() };
        let train: TrainConfig = toml::from_str(
            "batch = 4\nsteps = 9\nminutes = 0.0\nlr = 1e-3\nbeta_1 = 0.5\nbeta_2 = 0.999\nepsilon = 1e-8\n\
             ema_half_life = 100.0\nflip = false\nlook_every = 1",
        )
        .unwrap();
        let gan = GanConfig { loss, ..GanConfig::default() };
        let config = RunConfig {
            seed: 1,
            data,
            model: ModelConfig::Dcgan(model.clone()),
            train,
            gan,
            vae: VaeTraining::default(),
        };
        GanTrainer::new(&config, &model, Device::flex())
    }

    fn real(seed: u64) -> Batch {
        let images = rng::normal(&mut rng::stream(seed, "test", 0), 4 * 16 * 16 * 3);
        Batch { images, labels: Vec::new(), size: 4 }
    }

    fn both_steps(gan: &mut GanTrainer, draw: u64) {
        gan.both(real(draw), 1, draw, 1e-3, 0.5);
    }

    /// Where the numbers of all that an update changes lie in memory.
    fn addresses(gan: &mut GanTrainer) -> Vec<(String, *const f32)> {
        let address = |tensor: Tensor<1>| {
            let DispatchTensorKind::Flex(BackendTensor::Float(flex)) = tensor.inner().into_dispatch().kind else {
                panic!("a tensor on the CPU")
            };
            flex.as_slice::<f32>().unwrap().as_ptr()
        };
        let mut found = Vec::new();
        for (of, params) in [
            ("generator", gan.generator.parameters()),
            ("discriminator", gan.discriminator.parameters()),
            ("average", gan.average.parameters()),
        ] {
            found.extend(params.into_iter().map(|(name, p)| (format!("{of} {name}"), address(p.flat()))));
        }
        for (of, adam) in [("generator", &gan.adam_g), ("discriminator", &gan.adam_d)] {
            for (name, (m, v)) in adam.moments() {
                found.push((format!("{of} m {name}"), address(m.clone())));
                found.push((format!("{of} v {name}"), address(v.clone())));
            }
        }
        found
    }

    /// Nothing holds on to a weight between steps, so updates need no new memory.
    #[test]
    fn updates_happen_in_place() {
        for loss in [GanLoss::NonSaturating, GanLoss::Wasserstein] {
            let mut gan = trainer(loss);
            both_steps(&mut gan, 0);
            let before = addresses(&mut gan);
            both_steps(&mut gan, 1);
            both_steps(&mut gan, 2);
            assert_eq!(addresses(&mut gan), before);
        }
    }

    #[test]
    fn gradients_reach_the_player_that_learns_and_nobody_else() {
        let mut gan = trainer(GanLoss::NonSaturating);
        let (z, _) = gan.latent(1, "latent", 0, 4, &gan.device.clone());
        let fake = gan.generator.forward(z, None, Mode::Train);
        let (x, _) = pictures_tensor(real(0), &gan.config.data, &gan.device);
        assert!(!x.is_tracked() && !fake.clone().detach().is_tracked() && fake.is_tracked());

        let (on_real, on_fake) =
            (gan.discriminator.forward(x, None), gan.discriminator.forward(fake.clone().detach(), None));
        let gradients = losses::discriminator(GanLoss::NonSaturating, on_real, on_fake).backward();
        let known = |params: Vec<(String, &mut nn::Param)>, gradients: &burn::tensor::Gradients| {
            let trained = params.into_iter().filter(|(_, p)| p.is_trained());
            trained.map(|(_, p)| p.flat().grad(gradients).is_some()).collect::<Vec<_>>()
        };
        assert!(known(gan.discriminator.parameters(), &gradients).into_iter().all(|found| found));
        assert!(!known(gan.generator.parameters(), &gradients).into_iter().any(|found| found));

        let mut frozen = gan.discriminator.frozen();
        for (name, param) in frozen.parameters() {
            assert!(!param.flat().is_tracked(), "{name} wants a gradient");
        }
        let gradients = losses::generator(GanLoss::NonSaturating, frozen.forward(fake, None)).backward();
        assert!(known(gan.generator.parameters(), &gradients).into_iter().all(|found| found));
        assert!(!known(frozen.parameters(), &gradients).into_iter().any(|found| found));
        assert!(!known(gan.discriminator.parameters(), &gradients).into_iter().any(|found| found));
    }
}
