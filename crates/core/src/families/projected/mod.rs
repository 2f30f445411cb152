//! Projected GAN (Sauer 2021): the generator of [`fastgan`](super::fastgan) against heads on frozen features.

pub mod discriminator;

use super::blocks::stack::StackConfig;
use super::choice::{self, Chosen, Facts, Listed, Question, Suits};
use super::family::{About, Family, Shape};
use super::fastgan::FastganConfig;
use super::fastgan::net::{Generator, cost};
use super::gan::choices;
use super::gan::players::GanModel;
use super::gan::settings::{self, GanConfig, GanLoss};
use super::gan::step::{GanTrainer, Sizes, critic};
use super::model::{Critic, Model};
use super::settings::{Settings, Tables};
use super::trainer::{Ingredients, Trainer, no_features};
use crate::makes::Makes;
use crate::pretrained::{EfficientNetLite0, looking_size};
use crate::weights::Weights;
use crate::{Result, device};
use burn::tensor::Device;
use discriminator::Discriminator;
use serde::{Deserialize, Serialize};

/// The sizes of the generator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProjectedConfig(pub FastganConfig);

/// Through frozen features a generator learns from each picture, and more of them show more: lab L-16.
const ENOUGH: f64 = 200_000.0;
/// From so many pictures on there is a head that sees pixels: it helps with 6,000 of them and harms with 144, lab L-51.
const ENOUGH_FOR_PIXELS: usize = 1000;

/// Pictures a second that two cores show in training; lab L-31. The frozen network and its heads cost what they cost, whatever
/// the picture's size; the head of pixels costs by the pixel.
fn speed(stack: &StackConfig) -> f64 {
    let beyond_64 = (stack.width * stack.height) as f64 / (64.0 * 64.0) - 1.0;
    1.0 / (3.0 * cost(stack)[0] / 60e9 + 3e-3 + 1e-3 * beyond_64)
}

impl ProjectedConfig {
    /// The discriminator without values.
    fn discriminator(
        &self,
        settings: &Settings,
        features: Option<EfficientNetLite0>,
        device: &Device,
    ) -> Result<Discriminator> {
        let gan: GanConfig = settings.tables.get()?;
        let FastganConfig { stack, classes, .. } = &self.0;
        let features = features.ok_or_else(no_features)?.with_precision(settings.train.precision);
        let size = looking_size(stack.height, stack.width, gan.feature_size);
        let discriminator = Discriminator::new(features, size, classes.len(), settings.seed, device);
        Ok(match gan.pixel_head {
            true => discriminator.with_pixel_head(stack.channels, classes.len()),
            false => discriminator,
        })
    }
}

impl Family for ProjectedConfig {
    fn about(&self) -> &'static About {
        &Self::ABOUT
    }

    fn shape(&self) -> Shape<'_> {
        self.0.shape()
    }

    fn sizes(&self) -> String {
        self.0.sizes()
    }

    fn validate(&self) -> Result<()> {
        self.0.validate_as(Self::ABOUT.name)
    }

    fn check(&self, tables: &Tables) -> Result<()> {
        self.0.check(tables)
    }

    fn idle(&self, tables: &Tables, _table: &str, setting: &str) -> Option<&'static str> {
        settings::idle(&tables.get().ok()?, setting).filter(|_| !["feature_size", "pixel_head"].contains(&setting))
    }

    fn training(&self, tables: &Tables) -> Result<String> {
        self.0.training(tables)
    }

    fn player(&self) -> &'static str {
        "generator"
    }

    fn rival(&self) -> (&'static str, &'static str) {
        ("fastgan", "the same generator, against a discriminator that sees the pixels")
    }

    fn model(&self) -> Box<dyn Model> {
        Box::new(GanModel(Generator::new(&self.0)))
    }

    fn trainer(&self, given: Ingredients) -> Result<Box<dyn Trainer>> {
        let discriminator = self.discriminator(&given.settings, given.features, given.device)?;
        let sizes = Sizes { z_dim: self.0.z_dim, classes: self.0.classes.len() };
        Ok(Box::new(GanTrainer::new(given.settings, sizes, Generator::new(&self.0), discriminator, given.device)?))
    }

    fn critic(
        &self,
        settings: &Settings,
        state: &mut Weights,
        features: Option<EfficientNetLite0>,
    ) -> Result<Option<Box<dyn Critic>>> {
        critic(self.discriminator(settings, features, &device::cpu())?, state).map(Some)
    }

    /// The discriminator was trained on random mixtures of features, which the seed draws.
    fn seeded(&self) -> Option<&'static str> {
        Some("discriminator.")
    }
}

impl Listed for ProjectedConfig {
    const ABOUT: About = About {
        makes: Makes::Pictures,
        name: "projected",
        summary: "fastgan's generator against features of photographs: the best in little time; needs weights",
        losses: settings::LOSSES,
        tables: &["gan"],
        needs_features: true,
        has_critic: true,
        has_styles: true,
    };

    fn suits(facts: &Facts) -> Option<Suits> {
        let why = "coloured pictures are learned fastest through the features of EfficientNet-Lite0";
        (facts.features && facts.features_help()).then(|| Suits { rank: 2, why: why.into() })
    }

    fn choose(question: &Question) -> Result<Chosen<Self>> {
        let Question { data, report, given, .. } = question;
        let stack = |base| StackConfig { height: data.height, width: data.width, channels: data.channels, base };
        let base = question.budget.width(ENOUGH, |base| speed(&stack(base)));
        let mut gan = GanConfig { loss: GanLoss::Hinge, ..GanConfig::default() };
        let augment = choices::augment_without_colour(&mut gan);
        gan.pixel_head = match given.sets("gan", "pixel_head") {
            true => given.get::<GanConfig>()?.pixel_head,
            false => report.distinct >= ENOUGH_FOR_PIXELS,
        };
        // A head that sees pixels sees patterns of two of them, and the filter has marks of its own: lab L-54.
        let smooth = !gan.pixel_head;
        Ok(Chosen {
            model: Self(FastganConfig { z_dim: 256, classes: question.classes.clone(), smooth, stack: stack(base) }),
            tables: Tables::of(&gan),
            // Sauer 2021, Appendix: 2e-4, β 0 and 0.99, and the hinge loss.
            lr: 2e-4,
            betas: (0.0, 0.99),
            ema_half_life: choices::LONG_EMA,
            // It gains next to nothing: lab L-52.
            bf16: false,
            reasons: vec![choice::width(base), augment],
        })
    }
}
