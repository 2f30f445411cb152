//! Training a GAN (Goodfellow 2014), whichever family the players are of: both move at once.

use super::augment::{self, Adaptive};
use super::config::{Augmentation, GanLoss, RunConfig};
use super::optim::{Adam, Average, average_beta};
use super::regularise::{Penalty, penalty};
use super::{ACCURACY, Losses, STANDING_BATCHES, StepInput, Trainer, losses, no_eyes, pictures_tensor};
use crate::data::resize::luma;
use crate::data::{Batch, DataConfig, Fit, preprocess};
use crate::models::{self, Discriminator, Generator, ModelConfig, PictureModel, projected};
use crate::nn::{self, Mode, Module, Statistics, host};
use crate::pretrained::EfficientNetLite0;
use crate::weights::Weights;
use crate::{Result, device, rng};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use maliang_kernels::{Activation, Reuse};
use rand::RngExt;

/// Both players, their optimisers, and the moving average of the generator.
#[derive(Clone)]
pub(super) struct GanTrainer {
    config: RunConfig,
    device: Device,
    generator: Generator,
    discriminator: Discriminator,
    average: Generator,
    adam_g: Adam,
    adam_d: Adam,
    adaptive: Adaptive,
    /// Augment though the settings have none: a remedy.
    augmenting: bool,
    ground: Option<Ground>,
}

/// The colour around padded pictures, for what translation shifts in and cutout leaves: a hole of another colour would be
/// something that no picture has.
#[derive(Clone)]
struct Ground(Tensor<1>);

impl Ground {
    fn of(data: &DataConfig, device: &Device) -> Option<Self> {
        let bytes = if data.channels == 1 { vec![luma(data.background)] } else { data.background.to_vec() };
        let colour: Vec<f32> = bytes.into_iter().map(preprocess::unit).collect();
        (data.fit == Fit::Pad).then(|| Self(nn::vector(colour, device)))
    }

    /// Has a new generator begin with empty pictures: what it paints is painted on the ground. Networks that were trained on
    /// photographs hardly see which grey a plain ground has, so a generator that begins on another one is not told.
    fn prepare(&self, generator: &mut Generator) {
        let before_tanh =
            nn::host(self.0.clone().inner()).into_iter().map(|colour| (NEARLY * colour).atanh()).collect();
        let mut parameters = generator.parameters();
        let (_, bias) =
            parameters.iter_mut().find(|(name, _)| name.ends_with("last.bias")).expect("pictures have a bias");
        bias.set(nn::vector(before_tanh, &self.0.device()));
    }

    /// `change(x − colour) + colour`.
    fn under(&self, x: Tensor<4>, change: impl FnOnce(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
        let shift = |x, by| maliang_kernels::bias(x, by, Activation::Identity);
        shift(change(shift(x, -self.0.clone())), self.0.clone())
    }
}

/// How much of the ground a new generator's pictures have: at all of it the slope of tanh would be none.
const NEARLY: f32 = 0.95;

/// What a remedy augments with: all of DiffAugment.
const REMEDY: [Augmentation; 3] = [Augmentation::Color, Augmentation::Translation, Augmentation::Cutout];

/// Learning rates of the two players.
#[derive(Clone, Copy)]
struct Rates {
    generator: f32,
    discriminator: f32,
}

/// The discriminator of `config`'s family, without values.
fn discriminator(config: &RunConfig, device: &Device, eyes: Option<EfficientNetLite0>) -> Result<Discriminator> {
    let ModelConfig::Projected(model) = &config.model else {
        let discriminator = Discriminator::new(&config.model, config.gan.normalisation);
        return Ok(discriminator.expect("a GAN has a discriminator"));
    };
    let eyes = eyes.ok_or_else(no_eyes)?.with_precision(config.train.precision);
    let size = projected::size(model.stack.height, model.stack.width, config.gan.feature_size);
    let classes = model.classes.len();
    let discriminator = projected::Discriminator::new(eyes, size, classes, config.seed, device);
    Ok(Discriminator::Projected(match config.gan.pixel_head {
        true => discriminator.with_pixel_head(model.stack.channels, classes),
        false => discriminator,
    }))
}

/// The discriminator in `state`, on the processor and outside autodiff, out of a checkpoint of the run of `config`. `eyes` is what
/// a projected GAN looks through.
///
/// # Errors
/// A projected GAN without eyes; a tensor that is missing or has another shape.
///
/// # Panics
/// If `config` is not of a GAN family.
pub(crate) fn trained_discriminator(
    config: &RunConfig,
    state: &mut Weights,
    eyes: Option<EfficientNetLite0>,
) -> Result<Discriminator> {
    let device = device::cpu();
    let mut discriminator = discriminator(config, &device, eyes)?;
    nn::load(&mut discriminator, state, "discriminator", &device)?;
    Ok(discriminator)
}

/// Pictures, augmented, what the discriminator judges of them, and their labels.
struct Shown {
    x: Tensor<4>,
    seen: Vec<Tensor<4>>,
    labels: Option<Tensor<2>>,
}

impl Shown {
    /// The same, of which no gradient goes back.
    fn detached(&self) -> Self {
        let seen = self.seen.iter().map(|map| map.clone().detach()).collect();
        Self { x: self.x.clone().detach(), seen, labels: self.labels.clone() }
    }
}

/// What the discriminator leaves for both updates, for the generator's loss and for the log.
struct Judged {
    loss: f32,
    /// The loss of the task beside it, where the family has one.
    drawing: Option<f32>,
    real: Shown,
    /// Its logits on the real pictures.
    on_real: Vec<f32>,
    /// The share of pictures that it told rightly.
    accuracy: Option<f32>,
    gradients: Gradients,
}

impl GanTrainer {
    /// Untrained players.
    ///
    /// # Errors
    /// A projected GAN without eyes.
    ///
    /// # Panics
    /// If `config` is not of a GAN family.
    pub fn new(config: &RunConfig, device: Device, eyes: Option<EfficientNetLite0>) -> Result<Self> {
        let device = device.autodiff();
        let mut generator = Generator::new(&config.model).expect("a GAN has a generator");
        let mut discriminator = discriminator(config, &device.clone().inner(), eyes)?;
        nn::initialise(&mut generator, config.seed, &device);
        // Another seed, so that layers of the same name do not start alike in both players.
        nn::initialise(&mut discriminator, config.seed ^ 0xD15C, &device);
        let ground = Ground::of(&config.data, &device);
        if let Some(ground) = &ground {
            ground.prepare(&mut generator);
        }
        generator.set_precision(config.train.precision);
        discriminator.set_precision(config.train.precision);
        Ok(Self {
            config: config.clone(),
            average: generator.inner(),
            ground,
            device,
            generator,
            discriminator,
            adam_g: Adam::default(),
            adam_d: Adam::default(),
            adaptive: Adaptive::default(),
            augmenting: false,
        })
    }

    /// `count` latent vectors and labels, drawn on the host from the stream `name` at `index`.
    fn latent(&self, seed: u64, name: &str, index: u64, count: usize, device: &Device) -> (Tensor<2>, Vec<usize>) {
        let mut stream = rng::stream(seed, name, index);
        let z_dim = self.config.model.z_dim();
        let z = rng::normal(&mut stream, count * z_dim);
        let labels = rng::labels(&mut stream, count, self.config.model.classes().len());
        (Tensor::from_data(TensorData::new(z, [count, z_dim]), device), labels)
    }

    fn one_hot(&self, labels: &[usize], device: &Device) -> Option<Tensor<2>> {
        models::one_hot(labels, self.config.model.classes().len(), device)
    }

    /// Has the discriminator look at pictures.
    fn show(&self, x: Tensor<4>, labels: &[usize]) -> Shown {
        Shown { seen: self.discriminator.look(x.clone()), x, labels: self.one_hot(labels, &self.device) }
    }

    fn augment(&self, x: Tensor<4>, seed: u64, name: &str, index: u64) -> Tensor<4> {
        let [batch, height, width, _] = x.dims();
        let given = &self.config.gan.augment;
        let kinds = if given.is_empty() && self.augmenting { &REMEDY[..] } else { given };
        let p = self.adaptive.p(&self.config.gan);
        if kinds.is_empty() || p == 0.0 {
            return x;
        }
        let mut stream = rng::stream(seed, name, index);
        let plans = augment::plans(kinds, p, batch, height, width, &mut stream);
        let change = |x| maliang_kernels::augment(x, plans);
        match &self.ground {
            Some(ground) => ground.under(x, change),
            None => change(x),
        }
    }

    /// The discriminator's loss on one real and one generated batch, and its gradients. `draw` numbers the random draws. What is
    /// computed from `fake` is remembered in `reuse`, and what is computed from real pictures where the generator's loss
    /// compares with it.
    fn discriminator_gradients(&mut self, reuse: &Reuse, real: Batch, fake: &Shown, seed: u64, draw: u64) -> Judged {
        let (x, labels) = pictures_tensor(real, &self.config.data, &self.device);
        let real = self.show(self.augment(x, seed, "augment/real", draw), &labels);
        self.discriminator.prepare();
        let gan = &self.config.gan;
        let choice = rng::stream(seed, "drawing", draw).random_range(0..usize::MAX);
        // Nothing that the discriminator learns goes back to the generator.
        let fake = fake.detached();
        let on_fake = reuse.remember(|| self.discriminator.judge(fake.seen.clone(), fake.labels.clone()));
        let forward_real = || self.discriminator.judge_real(real.seen.clone(), real.labels.clone(), choice);
        let (on_real, drawing) =
            if gan.loss.compares() { reuse.remember(forward_real) } else { reuse.share(forward_real) };
        let logits = |heads: &[Tensor<1>]| host(Tensor::cat(heads.to_vec(), 0).inner());
        let real_logits = logits(&on_real);
        let accuracy = losses::accuracy(gan.loss, &real_logits, &logits(&on_fake));
        let heads = on_real.into_iter().zip(on_fake).map(|(real, fake)| losses::discriminator(gan.loss, real, fake));
        let mut objective = heads.reduce(|a, b| a + b).expect("a discriminator has at least one head");
        let loss = host(objective.clone().inner())[0];
        let drawing_value = drawing.as_ref().map(|drawing| host(drawing.clone().inner())[0]);
        if let Some(drawing) = drawing {
            objective = objective + drawing * gan.drawing;
        }
        if let Some(penalties) = self.penalties(&real, &fake, seed, draw) {
            objective = objective + penalties;
        }
        let gradients = reuse.share(|| objective.backward());
        Judged { loss, drawing: drawing_value, real, on_real: real_logits, accuracy, gradients }
    }

    /// Moves the discriminator, and the strength of augmentation by what it thought of real pictures.
    fn update_discriminator(&mut self, gradients: Gradients, on_real: &[f32], draw: u64, lr: f32) {
        let gan = &self.config.gan;
        self.discriminator.release();
        self.adam_d.step(&mut self.discriminator, None, gradients, &self.config.train, lr);
        if gan.loss == GanLoss::Wasserstein && gan.gradient_penalty == 0.0 {
            let clip = gan.clip;
            for (_, param) in self.discriminator.parameters() {
                if param.is_trained() {
                    let value = param.take().clamp(-clip, clip);
                    param.set(Tensor::from_inner(value));
                }
            }
        }
        self.adaptive.observe(gan, on_real, self.config.train.batch, draw);
    }

    /// The penalties on the discriminator's gradient that are due at this draw.
    fn penalties(&self, real: &Shown, fake: &Shown, seed: u64, draw: u64) -> Option<Tensor<1>> {
        let gan = &self.config.gan;
        if !draw.is_multiple_of(gan.penalty_every as u64) {
            return None;
        }
        let of = |kind: Penalty, (pictures, labels): (Tensor<4>, &Option<Tensor<2>>)| {
            let sum = |discriminator: &Discriminator, x: Tensor<4>| {
                let batch = x.dims()[0] as f32;
                // A critic is held by its slope, all of it; R1 and R2 hold what sees pixels too well.
                let heads = match kind {
                    Penalty::One(_) => discriminator.forward(x, labels.clone()),
                    Penalty::Zero(_) => discriminator.with_own_eyes(x, labels.clone()),
                };
                // The opinion of a picture is the mean of its parts, added up over the heads.
                let opinions = heads.into_iter().map(|logits| logits.mean() * batch);
                opinions.reduce(|a, b| a + b).expect("at least one head")
            };
            let frozen = self.discriminator.frozen();
            penalty(kind, |x| sum(&self.discriminator, x), |x| sum(&frozen, x), pictures)
        };
        let between = || -> (Tensor<4>, &Option<Tensor<2>>) {
            let batch = real.x.dims()[0];
            let mut stream = rng::stream(seed, "penalty", draw);
            let share: Vec<f32> = (0..batch).map(|_| stream.random()).collect();
            let share = Tensor::<1>::from_data(TensorData::new(share, [batch]), &self.device).reshape([batch, 1, 1, 1]);
            (real.x.clone() * share.clone() + fake.x.clone() * (-share + 1.0), &real.labels)
        };
        let all = [
            (gan.r1 > 0.0).then(|| of(Penalty::Zero(gan.r1), (real.x.clone(), &real.labels))),
            (gan.r2 > 0.0).then(|| of(Penalty::Zero(gan.r2), (fake.x.clone(), &fake.labels))),
            (gan.gradient_penalty > 0.0).then(|| of(Penalty::One(gan.gradient_penalty), between())),
        ];
        let sum = all.into_iter().flatten().flatten().reduce(|a, b| a + b);
        sum.map(|sum| sum * gan.penalty_every as f32)
    }

    /// The generator's loss against the frozen discriminator, and its gradients. `fake` is what the discriminator has seen; `real`
    /// is what a loss that compares compares with.
    fn generator_gradients(&self, reuse: &Reuse, fake: Shown, real: Shown) -> (f32, Gradients) {
        let loss = self.config.gan.loss;
        let judge = self.discriminator.frozen();
        let on_fake = reuse.recall(|| judge.judge(fake.seen, fake.labels));
        let on_real = loss.compares().then(|| reuse.recall(|| judge.judge(real.seen, real.labels)));
        let mut on_real = on_real.unwrap_or_default().into_iter();
        let heads = on_fake.into_iter().map(|fake| losses::generator(loss, fake, on_real.next()));
        let objective = heads.reduce(|a, b| a + b).expect("a discriminator has at least one head");
        (host(objective.clone().inner())[0], reuse.share(|| objective.backward()))
    }

    /// One step of both players on number `draw` of the random draws; the average follows the generator with decay `beta`.
    fn both(&mut self, real: Batch, seed: u64, draw: u64, rates: Rates, beta: f32) -> Losses {
        let (z, labels) = self.latent(seed, "latent", draw, self.config.train.batch, &self.device);
        let fake = self.generator.forward(z, self.one_hot(&labels, &self.device), Mode::Train); // [B, H, W, C] in [-1, 1]
        let fake = self.show(self.augment(fake, seed, "augment/fake", draw), &labels);
        // Both gradients are taken at the same weights, so that D(G(z)) is computed once.
        let reuse = Reuse::default();
        let judged = self.discriminator_gradients(&reuse, real, &fake, seed, draw);
        let (g_loss, g_gradients) = self.generator_gradients(&reuse, fake, judged.real);
        drop(reuse);
        self.update_discriminator(judged.gradients, &judged.on_real, draw, rates.discriminator);
        let average = Average { model: &mut self.average, beta };
        self.adam_g.step(&mut self.generator, Some(average), g_gradients, &self.config.train, rates.generator);
        let drawing = judged.drawing.map(|error| ("drawing", error));
        let accuracy = judged.accuracy.map(|share| (ACCURACY, share));
        [("d_loss", judged.loss), ("g_loss", g_loss)].into_iter().chain(drawing).chain(accuracy).collect()
    }
}

impl Trainer for GanTrainer {
    fn step(&mut self, input: &StepInput) -> Losses {
        let StepInput { step, seed, lr, remedy, loader } = *input;
        let discriminator = lr * self.config.gan.discriminator_rate * remedy.d_lr_scale;
        let rates = Rates { generator: lr, discriminator };
        self.augmenting = remedy.augment;
        let (batch, critic_steps) = (self.config.train.batch, self.config.gan.critic_steps as u64);
        // Extra discriminator steps (Wasserstein) see pictures of their own.
        for k in 1..critic_steps {
            let draw = step * critic_steps + k;
            let (z, labels) = self.latent(seed, "latent", draw, batch, &self.device);
            // No gradient goes back to the generator here, so none is prepared for.
            let fake = self.generator.frozen().forward(z, self.one_hot(&labels, &self.device), Mode::Train);
            let next = if k + 1 < critic_steps { draw + 1 } else { step * critic_steps };
            let fake = self.show(self.augment(fake, seed, "augment/fake", draw), &labels);
            let real = loader.batch_before(draw, next);
            let judged = self.discriminator_gradients(&Reuse::default(), real, &fake, seed, draw);
            self.update_discriminator(judged.gradients, &judged.on_real, draw, rates.discriminator);
        }
        let draw = step * critic_steps;
        let next = (step + 1) * critic_steps + u64::from(critic_steps > 1);
        let real = loader.batch_before(draw, next); // [B, H, W, C] in [-1, 1]
        let beta = average_beta(&self.config.train, (step + 1) * batch as u64);
        self.both(real, seed, draw, rates, beta)
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
        PictureModel::Gan(model)
    }

    fn state(&self) -> Weights {
        let mut state = Weights::new();
        nn::store(&self.generator.inner(), &mut state, "generator");
        nn::store(&self.discriminator.inner(), &mut state, "discriminator");
        nn::store(&self.average, &mut state, "average");
        self.adam_g.store(&mut state, "adam_g");
        self.adam_d.store(&mut state, "adam_d");
        self.adaptive.store(&self.config.gan, &mut state);
        state
    }

    fn restore(&mut self, mut state: Weights, step: u64) -> Result<()> {
        let inner = self.device.clone().inner();
        nn::load(&mut self.generator, &mut state, "generator", &self.device)?;
        nn::load(&mut self.discriminator, &mut state, "discriminator", &self.device)?;
        nn::load(&mut self.average, &mut state, "average", &inner)?;
        self.adaptive.restore(&self.config.gan, &mut state)?;
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
    use crate::models::{DcganConfig, StackConfig};
    use crate::train::config::{GanConfig, TrainConfig, VaeTraining};
    use burn::backend::{BackendTensor, DispatchTensorKind};

    fn trainer(loss: GanLoss) -> GanTrainer {
        trainer_on(DataConfig { width: 16, height: 16, ..DataConfig::default() }, loss)
    }

    fn trainer_on(data: DataConfig, loss: GanLoss) -> GanTrainer {
        let stack = StackConfig { height: 16, width: 16, channels: 3, base: 4 };
        let model = DcganConfig { z_dim: 8, classes: Vec::new(), stack };
        let train: TrainConfig = toml::from_str(
            "batch = 4\nsteps = 9\nminutes = 0.0\nlr = 1e-3\nbeta_1 = 0.5\nbeta_2 = 0.999\nepsilon = 1e-8\n\
             ema_half_life = 100.0\nflip = false\nlook_every = 1",
        )
        .unwrap();
        let gan = GanConfig { loss, ..GanConfig::default() };
        let vae = VaeTraining::default();
        let config = RunConfig { seed: 1, init: None, data, model: ModelConfig::Dcgan(model), train, gan, vae };
        GanTrainer::new(&config, Device::flex(), None).unwrap()
    }

    fn real(seed: u64) -> Batch {
        let images = rng::normal(&mut rng::stream(seed, "test", 0), 4 * 16 * 16 * 3);
        Batch { images, labels: Vec::new(), size: 4 }
    }

    fn both_steps(gan: &mut GanTrainer, draw: u64) {
        gan.both(real(draw), 1, draw, Rates { generator: 1e-3, discriminator: 1e-3 }, 0.5);
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

    /// What is shifted in and cut out has the colour around padded pictures; photographs, which have none, get grey.
    #[test]
    fn holes_have_the_colour_of_the_ground() {
        let background = [255, 0, 102];
        let colour = background.map(preprocess::unit);
        for fit in [Fit::Pad, Fit::Crop] {
            let gan = trainer_on(
                DataConfig { width: 16, height: 16, fit, background, ..DataConfig::default() },
                GanLoss::NonSaturating,
            );
            let ground = Tensor::<1>::from_floats(colour, &gan.device).reshape([1, 1, 1, 3]).repeat(&[4, 16, 16, 1]);
            let mut holes = 0;
            // Colour is changed too, and by one amount all over a picture: what is no ground is a hole.
            for draw in 0..8 {
                let changed = host(gan.augment(ground.clone(), 1, "test", draw).inner());
                for picture in changed.chunks_exact(16 * 16 * 3) {
                    holes += picture.chunks_exact(3).filter(|pixel| pixel.iter().all(|v| v.abs() < 1e-6)).count();
                }
            }
            assert_eq!(holes == 0, fit == Fit::Pad, "{holes} holes");
        }
    }

    /// A new generator's pictures are the ground around padded ones; of photographs, which have none, they are grey.
    #[test]
    fn a_generator_begins_with_empty_pictures() {
        let background = [255, 0, 102];
        for fit in [Fit::Pad, Fit::Crop] {
            let data = DataConfig { width: 16, height: 16, fit, background, ..DataConfig::default() };
            let mut gan = trainer_on(data, GanLoss::NonSaturating);
            let PictureModel::Gan(model) = gan.model() else { panic!("a GAN") };
            let z = Tensor::zeros([1, 8], &Device::flex());
            let pixels = host(model.forward(z, None, Mode::Eval));
            for pixel in pixels.chunks_exact(3) {
                for (value, byte) in pixel.iter().zip(background) {
                    let expected = if fit == Fit::Pad { 0.95 * preprocess::unit(byte) } else { 0.0 };
                    assert!((value - expected).abs() < 0.05, "{value} is not {expected}");
                }
            }
        }
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

        let (on_real, on_fake) = (
            gan.discriminator.forward(x, None).remove(0),
            gan.discriminator.forward(fake.clone().detach(), None).remove(0),
        );
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
        let gradients =
            losses::generator(GanLoss::NonSaturating, frozen.forward(fake, None).remove(0), None).backward();
        assert!(known(gan.generator.parameters(), &gradients).into_iter().all(|found| found));
        assert!(!known(frozen.parameters(), &gradients).into_iter().any(|found| found));
        assert!(!known(gan.discriminator.parameters(), &gradients).into_iter().any(|found| found));
    }
}
