//! Training a GAN (Goodfellow 2014), whichever family the players are of: both move at once.

use super::augment::{self, Adaptive};
use super::losses;
use super::penalties::{Penalty, penalty};
use super::players::{Discriminator, GanModel, Generator, Judge};
use super::settings::{Augmentation, GanConfig, GanLoss};
use crate::data::resize::luma;
use crate::data::{Batch, DataConfig, Fit, preprocess};
use crate::families::model::{Critic, Model, one_hot};
use crate::families::settings::Settings;
use crate::families::trainer::{
    ACCURACY, Kind, Losses, Remedy, STANDING_BATCHES, StepInput, Tolerance, Trainer, pictures_tensor,
    set_standing_statistics,
};
use crate::nn::optim::{Adam, Average};
use crate::nn::{self, Mode, Statistics, host};
use crate::weights::Weights;
use crate::{Result, device, rng};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use maliang_kernels::{Activation, Reuse};
use rand::RngExt;

/// Both players, their optimisers, and the moving average of the generator.
#[derive(Clone)]
pub struct GanTrainer<G, D> {
    settings: Settings,
    gan: GanConfig,
    sizes: Sizes,
    device: Device,
    generator: G,
    discriminator: D,
    average: G,
    adam_g: Adam,
    adam_d: Adam,
    adaptive: Adaptive,
    /// Augment though the settings have none: a remedy.
    augmenting: bool,
    ground: Option<Ground>,
}

/// What a trainer must know of its model.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Length of the latent vector.
    pub z_dim: usize,
    /// Classes; 0 for an unconditional model.
    pub classes: usize,
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
    fn prepare(&self, generator: &mut impl Generator) {
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

/// The discriminator's learning rate is halved no further than to this part of it.
const LEAST_D_LR: f32 = 0.25;

/// What a remedy augments with: all of DiffAugment.
const REMEDY: [Augmentation; 3] = [Augmentation::Color, Augmentation::Translation, Augmentation::Cutout];

/// Learning rates of the two players.
#[derive(Clone, Copy)]
struct Rates {
    generator: f32,
    discriminator: f32,
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
struct DiscriminatorPass {
    loss: f32,
    /// The loss of the task beside it, where the family has one.
    drawing: Option<f32>,
    real: Shown,
    /// Its logits on the real pictures.
    on_real: Vec<f32>,
    /// The share of pictures that it classified correctly.
    accuracy: Option<f32>,
    gradients: Gradients,
}

impl<G: Generator, D: Discriminator> GanTrainer<G, D> {
    /// Untrained players, which come without values.
    ///
    /// # Errors
    /// A setting of `[gan]` that does not exist or has another type.
    pub fn new(
        settings: Settings,
        sizes: Sizes,
        mut generator: G,
        mut discriminator: D,
        device: &Device,
    ) -> Result<Self> {
        let device = device.clone().autodiff();
        nn::initialise(&mut generator, settings.seed, &device);
        // Another seed, so that layers of the same name do not start alike in both players.
        nn::initialise(&mut discriminator, settings.seed ^ 0xD15C, &device);
        let ground = Ground::of(&settings.data, &device);
        if let Some(ground) = &ground {
            ground.prepare(&mut generator);
        }
        generator.set_precision(settings.train.precision);
        discriminator.set_precision(settings.train.precision);
        Ok(Self {
            gan: settings.tables.get()?,
            settings,
            sizes,
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
        let z_dim = self.sizes.z_dim;
        let z = rng::normal(&mut stream, count * z_dim);
        let labels = rng::labels(&mut stream, count, self.sizes.classes);
        (Tensor::from_data(TensorData::new(z, [count, z_dim]), device), labels)
    }

    fn one_hot(&self, labels: &[usize], device: &Device) -> Option<Tensor<2>> {
        one_hot(labels, self.sizes.classes, device)
    }

    /// Has the discriminator look at pictures.
    fn show(&self, x: Tensor<4>, labels: &[usize]) -> Shown {
        Shown { seen: self.discriminator.look(x.clone()), x, labels: self.one_hot(labels, &self.device) }
    }

    fn augment(&self, x: Tensor<4>, seed: u64, name: &str, index: u64) -> Tensor<4> {
        let [batch, height, width, _] = x.dims();
        let given = &self.gan.augment;
        let kinds = if given.is_empty() && self.augmenting { &REMEDY[..] } else { given };
        let p = self.adaptive.p(&self.gan);
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
    fn discriminator_gradients(
        &mut self,
        reuse: &Reuse,
        real: Batch,
        fake: &Shown,
        seed: u64,
        draw: u64,
    ) -> DiscriminatorPass {
        let (x, condition) = pictures_tensor(real, &self.settings.data, &self.device);
        let real = self.show(self.augment(x, seed, "augment/real", draw), &condition.classes);
        self.discriminator.prepare();
        let gan = &self.gan;
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
        DiscriminatorPass { loss, drawing: drawing_value, real, on_real: real_logits, accuracy, gradients }
    }

    /// Moves the discriminator, and the strength of augmentation by what it thought of real pictures.
    fn update_discriminator(&mut self, gradients: Gradients, on_real: &[f32], draw: u64, lr: f32) {
        let gan = &self.gan;
        self.discriminator.release();
        self.adam_d.step(&mut self.discriminator, None, gradients, &self.settings.train.adam(), lr);
        if gan.loss == GanLoss::Wasserstein && gan.gradient_penalty == 0.0 {
            let clip = gan.clip;
            for (_, param) in self.discriminator.parameters() {
                if param.is_trained() {
                    let value = param.take().clamp(-clip, clip);
                    param.set(Tensor::from_inner(value));
                }
            }
        }
        self.adaptive.observe(gan, on_real, self.settings.train.batch, draw);
    }

    /// The penalties on the discriminator's gradient that are due at this draw.
    fn penalties(&self, real: &Shown, fake: &Shown, seed: u64, draw: u64) -> Option<Tensor<1>> {
        let gan = &self.gan;
        if !draw.is_multiple_of(gan.penalty_every as u64) {
            return None;
        }
        let of = |kind: Penalty, (pictures, labels): (Tensor<4>, &Option<Tensor<2>>)| {
            let sum = |discriminator: &D, x: Tensor<4>| {
                let batch = x.dims()[0] as f32;
                // A critic is held by its slope, all of it; R1 and R2 hold what sees pixels too well.
                let heads = match kind {
                    Penalty::One(_) => discriminator.heads(x, labels.clone()),
                    Penalty::Zero(_) => discriminator.pixel_heads(x, labels.clone()),
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
        let loss = self.gan.loss;
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
        let (z, labels) = self.latent(seed, "latent", draw, self.settings.train.batch, &self.device);
        let fake = self.generator.forward(z, self.one_hot(&labels, &self.device), Mode::Train); // [B, H, W, C] in [-1, 1]
        let fake = self.show(self.augment(fake, seed, "augment/fake", draw), &labels);
        // Both gradients are taken at the same weights, so that D(G(z)) is computed once.
        let reuse = Reuse::default();
        let judged = self.discriminator_gradients(&reuse, real, &fake, seed, draw);
        let (g_loss, g_gradients) = self.generator_gradients(&reuse, fake, judged.real);
        drop(reuse);
        self.update_discriminator(judged.gradients, &judged.on_real, draw, rates.discriminator);
        let average = Average { model: &mut self.average, beta };
        self.adam_g.step(&mut self.generator, Some(average), g_gradients, &self.settings.train.adam(), rates.generator);
        let drawing = judged.drawing.map(|error| ("drawing", error));
        let accuracy = judged.accuracy.map(|share| (ACCURACY, share));
        [("d_loss", judged.loss), ("g_loss", g_loss)].into_iter().chain(drawing).chain(accuracy).collect()
    }
}

impl<G: Generator, D: Discriminator> Trainer for GanTrainer<G, D> {
    fn step(&mut self, input: &StepInput) -> Losses {
        let StepInput { step, seed, lr, remedy, loader, .. } = *input;
        let discriminator = lr * self.gan.discriminator_rate * remedy.d_lr_scale;
        let rates = Rates { generator: lr, discriminator };
        self.augmenting = remedy.augment;
        let (batch, critic_steps) = (self.settings.train.batch, self.gan.critic_steps as u64);
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
        let beta = self.settings.train.average_beta((step + 1) * batch as u64);
        self.both(real, seed, draw, rates, beta)
    }

    fn model(&mut self) -> Box<dyn Model> {
        let device = self.device.clone().inner();
        let passes = (0..STANDING_BATCHES).map(|i| {
            let (z, labels) = self.latent(self.settings.seed, "standing", i, self.settings.train.batch, &device);
            let statistics = Statistics::default();
            self.average.forward(z, self.one_hot(&labels, &device), Mode::Measure(&statistics));
            statistics
        });
        let passes = passes.collect();
        let mut model = self.average.clone();
        set_standing_statistics(model.norms(), passes);
        Box::new(GanModel(model))
    }

    fn state(&self) -> Weights {
        let mut state = Weights::new();
        nn::store(&self.generator.inner(), &mut state, "generator");
        nn::store(&self.discriminator.inner(), &mut state, "discriminator");
        nn::store(&self.average, &mut state, "average");
        self.adam_g.store(&mut state, "adam_g");
        self.adam_d.store(&mut state, "adam_d");
        self.adaptive.store(&self.gan, &mut state);
        state
    }

    fn restore(&mut self, mut state: Weights, step: u64) -> Result<()> {
        let inner = self.device.clone().inner();
        nn::load(&mut self.generator, &mut state, "generator", &self.device)?;
        nn::load(&mut self.discriminator, &mut state, "discriminator", &self.device)?;
        nn::load(&mut self.average, &mut state, "average", &inner)?;
        self.adaptive.restore(&self.gan, &mut state)?;
        let critic_steps = self.gan.critic_steps as u64;
        self.adam_g.restore(&mut self.generator, &mut state, "adam_g", step, &inner)?;
        self.adam_d.restore(&mut self.discriminator, &mut state, "adam_d", step * critic_steps, &inner)
    }

    fn boxed_clone(&self) -> Box<dyn Trainer> {
        Box::new(self.clone())
    }

    /// Logits in the thousands.
    fn loss_limit(&self) -> f32 {
        1e4
    }

    /// The KID of a few hundred pictures: lab L-34 and L-53.
    fn tolerance(&self, noise: f64) -> Tolerance {
        Tolerance { share: 0.05, least: noise }
    }

    fn remedy(&self, now: Remedy, kind: Kind) -> Option<(Remedy, &'static str)> {
        next_remedy(self.gan.augment.is_empty(), now, kind)
    }
}

/// What is changed next. `plain` says that the settings have no augmentation.
///
/// Collapse: DiffAugment where there was none (Zhao 2020, §4: it delays collapse on small sets). Domination: the same, and
/// then the discriminator's rate is halved, twice at most (Heusel 2017: the players need rates of their own).
fn next_remedy(plain: bool, now: Remedy, kind: Kind) -> Option<(Remedy, &'static str)> {
    match kind {
        Kind::Collapse | Kind::Domination if plain && !now.augment => {
            Some((Remedy { augment: true, ..now }, "DiffAugment switched on"))
        }
        Kind::Domination if now.d_lr_scale > LEAST_D_LR => {
            let d_lr_scale = now.d_lr_scale * 0.5;
            Some((Remedy { d_lr_scale, ..now }, "the discriminator's learning rate halved"))
        }
        Kind::Divergence | Kind::Collapse | Kind::Domination => None,
    }
}

/// A discriminator out of a training state, on the processor and outside autodiff.
///
/// # Errors
/// A tensor that is missing or has another shape.
pub fn critic<D: Discriminator>(mut discriminator: D, state: &mut Weights) -> Result<Box<dyn Critic>> {
    nn::load(&mut discriminator, state, "discriminator", &device::cpu())?;
    Ok(Box::new(Judge(discriminator.constant())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Conditions;
    use crate::families::blocks::stack::StackConfig;
    use crate::families::dcgan::DcganConfig;
    use crate::families::dcgan::net::{Discriminator as Critic, Generator as Painter};
    use crate::families::model::{Condition, How};
    use crate::families::settings::{Tables, TrainConfig};
    use crate::nn::Module;
    use burn::backend::{BackendTensor, DispatchTensorKind};

    fn trainer(loss: GanLoss) -> GanTrainer<Painter, Critic> {
        trainer_on(DataConfig { width: 16, height: 16, ..DataConfig::default() }, loss)
    }

    fn trainer_on(data: DataConfig, loss: GanLoss) -> GanTrainer<Painter, Critic> {
        let stack = StackConfig { height: 16, width: 16, channels: 3, base: 4 };
        let model = DcganConfig { z_dim: 8, classes: Vec::new(), stack };
        let train: TrainConfig = toml::from_str(
            "batch = 4\nsteps = 9\nminutes = 0.0\nlr = 1e-3\nbeta_1 = 0.5\nbeta_2 = 0.999\nepsilon = 1e-8\n\
             ema_half_life = 100.0\nflip = false\nlook_every = 1",
        )
        .unwrap();
        let gan = GanConfig { loss, ..GanConfig::default() };
        let (normalisation, tables) = (gan.normalisation, Tables::of(&gan));
        let players = (Painter::new(&model), Critic::new(&model, normalisation));
        let sizes = Sizes { z_dim: 8, classes: 0 };
        let settings = Settings { seed: 1, data, train, tables };
        GanTrainer::new(settings, sizes, players.0, players.1, &Device::flex()).unwrap()
    }

    fn real(seed: u64) -> Batch {
        let pictures = rng::normal(&mut rng::stream(seed, "test", 0), 4 * 16 * 16 * 3);
        Batch { pictures, condition: Conditions::default(), size: 4 }
    }

    fn both_steps(gan: &mut GanTrainer<Painter, Critic>, draw: u64) {
        gan.both(real(draw), 1, draw, Rates { generator: 1e-3, discriminator: 1e-3 }, 0.5);
    }

    /// Where the numbers of all that an update changes lie in memory.
    fn addresses(gan: &mut GanTrainer<Painter, Critic>) -> Vec<(String, *const f32)> {
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
            // Colour is changed too, and by one amount all over a picture: what is not ground is a hole.
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
            let model = gan.model();
            let z = Tensor::zeros([1, 8], &Device::flex());
            let pixels = host(model.make(z, &Condition::Nothing, How::default()));
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
        let (x, _) = pictures_tensor(real(0), &gan.settings.data, &gan.device);
        assert!(!x.is_tracked() && !fake.clone().detach().is_tracked() && fake.is_tracked());

        let (on_real, on_fake) = (
            gan.discriminator.heads(x, None).remove(0),
            gan.discriminator.heads(fake.clone().detach(), None).remove(0),
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
        let gradients = losses::generator(GanLoss::NonSaturating, frozen.heads(fake, None).remove(0), None).backward();
        assert!(known(gan.generator.parameters(), &gradients).into_iter().all(|found| found));
        assert!(!known(frozen.parameters(), &gradients).into_iter().any(|found| found));
        assert!(!known(gan.discriminator.parameters(), &gradients).into_iter().any(|found| found));
    }

    #[test]
    fn remedies_come_in_order_and_end() {
        let walk = |kind, plain| {
            let (mut now, mut said) = (Remedy::default(), Vec::new());
            while let Some((next, words)) = next_remedy(plain, now, kind) {
                said.push(words);
                now = next;
                assert!(said.len() < 9, "they end");
            }
            (now, said.len())
        };
        assert_eq!(walk(Kind::Domination, true), (Remedy { augment: true, d_lr_scale: 0.25 }, 3));
        assert_eq!(walk(Kind::Domination, false), (Remedy { augment: false, d_lr_scale: 0.25 }, 2));
        assert_eq!(walk(Kind::Collapse, true), (Remedy { augment: true, d_lr_scale: 1.0 }, 1));
        for (kind, plain) in [(Kind::Collapse, false), (Kind::Divergence, true)] {
            assert_eq!(walk(kind, plain), (Remedy::default(), 0), "{kind:?} {plain:?}");
        }
    }
}
