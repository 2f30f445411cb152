//! DCGAN (Radford, Metz, Chintala 2015).

pub mod net;

use super::blocks::stack::StackConfig;
use super::choice::{self, Chosen, Facts, Listed, Question, Suits};
use super::family::{About, Family, Shape};
use super::gan::choices;
use super::gan::players::GanModel;
use super::gan::settings::{self, GanConfig, GanLoss, Normalisation};
use super::gan::step::{GanTrainer, Sizes, critic};
use super::model::{Critic, Model};
use super::settings::{Settings, Tables};
use super::trainer::{Ingredients, Trainer};
use crate::Result;
use crate::makes::Makes;
use crate::pretrained::EfficientNetLite0;
use crate::weights::Weights;
use net::{Discriminator, Generator};
use serde::{Deserialize, Serialize};

/// The networks' sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DcganConfig {
    /// Length of the latent vector z ~ N(0, 1).
    pub z_dim: usize,
    /// Names of the classes; empty for an unconditional model.
    pub classes: Vec<String>,
    /// The convolutional stacks.
    pub stack: StackConfig,
}

/// γ of R1 for pictures of up to [`R1_PIXELS`]; it grows with the pixels, as the gradient's length does (Karras 2020, ADA, Appendix C).
/// Far less than the 10 of Mescheder 2018: what short runs can spare. Lab L-40.
const R1: f32 = 0.03;
const R1_PIXELS: f32 = 64.0 * 64.0;
/// Up to this side DCGAN learns at higher rates, and at still higher ones where there are many pictures: lab L-41.
const SMALL_SIDE: usize = 32;
const MANY: usize = 10_000;

impl Family for DcganConfig {
    fn about(&self) -> &'static About {
        &Self::ABOUT
    }

    fn shape(&self) -> Shape<'_> {
        self.stack.shape(self.z_dim, &self.classes)
    }

    fn sizes(&self) -> String {
        self.stack.words(self.z_dim)
    }

    fn validate(&self) -> Result<()> {
        self.stack.validate(self.z_dim, &self.classes)
    }

    fn check(&self, tables: &Tables) -> Result<()> {
        tables.get::<GanConfig>()?.validate()
    }

    fn idle(&self, tables: &Tables, _table: &str, setting: &str) -> Option<&'static str> {
        settings::idle(&tables.get().ok()?, setting).filter(|_| setting != "normalisation")
    }

    fn training(&self, tables: &Tables) -> Result<String> {
        Ok(settings::line(&tables.get()?))
    }

    fn player(&self) -> &'static str {
        "generator"
    }

    fn rival(&self) -> (&'static str, &'static str) {
        match self.stack.is_fine() {
            true => ("fastgan", "made for few pictures (Liu 2021), and slower a step"),
            false => ("vae", "blurred, but steady: it cannot collapse"),
        }
    }

    fn model(&self) -> Box<dyn Model> {
        Box::new(GanModel(Generator::new(self)))
    }

    fn trainer(&self, given: Ingredients) -> Result<Box<dyn Trainer>> {
        let normalisation = given.settings.tables.get::<GanConfig>()?.normalisation;
        let sizes = Sizes { z_dim: self.z_dim, classes: self.classes.len() };
        let players = (Generator::new(self), Discriminator::new(self, normalisation));
        Ok(Box::new(GanTrainer::new(given.settings, sizes, players.0, players.1, given.device)?))
    }

    fn critic(
        &self,
        settings: &Settings,
        state: &mut Weights,
        _features: Option<EfficientNetLite0>,
    ) -> Result<Option<Box<dyn Critic>>> {
        let normalisation: Normalisation = settings.tables.get::<GanConfig>()?.normalisation;
        critic(Discriminator::new(self, normalisation), state).map(Some)
    }
}

impl Listed for DcganConfig {
    const ABOUT: About = About {
        makes: Makes::Pictures,
        name: "dcgan",
        summary: "sharp from a few hundred examples on, the fastest to train",
        losses: settings::LOSSES,
        tables: &["gan"],
        needs_features: false,
        has_critic: true,
        has_styles: false,
    };

    fn suits(facts: &Facts) -> Option<Suits> {
        let missed = "; these pictures would profit from `maliang weights get efficientnet-lite0`";
        let why = "sharper pictures than a VAE, and there are enough to learn from";
        Some(Suits { rank: 1, why: format!("{why}{}", if facts.features_help() { missed } else { "" }) })
    }

    fn choose(question: &Question) -> Result<Chosen<Self>> {
        let Question { data, report, .. } = question;
        let stack = |base| StackConfig { height: data.height, width: data.width, channels: data.channels, base };
        let base = question.budget.width(choice::ENOUGH, |base| stack(base).speed());
        let stack = stack(base);
        let mut gan = GanConfig::default();
        let augment = choices::augment(&mut gan, question, stack.speed())?;
        // Wasserstein's critic is held by clipping or by a penalty of its own.
        if question.given.get::<GanConfig>()?.loss != GanLoss::Wasserstein {
            gan.r1 = R1 * ((data.width * data.height) as f32 / R1_PIXELS).max(1.0);
        }
        let lr = match report.distinct {
            _ if data.width.max(data.height) > SMALL_SIDE => 2e-4,
            ..MANY => 5e-4,
            _ => 1e-3,
        };
        Ok(Chosen {
            model: Self { z_dim: 100, classes: question.classes.clone(), stack },
            tables: Tables::of(&gan),
            lr,
            // Radford 2015, §3: β₁ 0.5, and 2e-4 for pictures of 64 pixels.
            betas: (0.5, 0.999),
            ema_half_life: choices::LONG_EMA,
            // Compared for DCGAN only: lab L-06 and L-52.
            bf16: true,
            reasons: vec![choice::width(base), augment],
        })
    }
}
