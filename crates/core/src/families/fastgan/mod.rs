//! FastGAN (Liu 2021): made for few pictures.

pub mod discriminator;
pub mod net;

use super::blocks::stack::StackConfig;
use super::choice::{self, Chosen, Listed, Question};
use super::family::{About, FINEST, Family, Shape};
use super::gan::choices;
use super::gan::players::GanModel;
use super::gan::settings::{self, GanConfig, GanLoss};
use super::gan::step::{GanTrainer, Sizes, critic};
use super::model::{Critic, Model};
use super::settings::{Settings, Tables};
use super::trainer::{Ingredients, Trainer};
use crate::makes::Makes;
use crate::pretrained::EfficientNetLite0;
use crate::weights::Weights;
use crate::{Error, Result};
use discriminator::Discriminator;
use net::Generator;
use serde::{Deserialize, Serialize};

/// The networks' sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FastganConfig {
    /// Length of the latent vector z ~ N(0, 1).
    pub z_dim: usize,
    /// Names of the classes; empty for an unconditional model.
    pub classes: Vec<String>,
    /// Is the picture passed through a [1 2 1] filter, along both axes, before it is squashed to [-1, 1]? A discriminator that
    /// looks through a network whose first convolution has a stride of two cannot see a pattern of two pixels, so that nothing
    /// else keeps the generator from leaving one, unless the discriminator has a head that sees pixels.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub smooth: bool,
    /// Picture size and widths: `base` channels at half the picture's size, half as many at the whole.
    pub stack: StackConfig,
}

impl FastganConfig {
    /// As [`Family::validate`], for a family called `name`.
    pub(super) fn validate_as(&self, name: &str) -> Result<()> {
        self.stack.validate(self.z_dim, &self.classes)?;
        if !self.stack.is_fine() {
            let StackConfig { width, height, .. } = self.stack;
            return Err(Error::input(format!(
                "{name} needs sides of at least {FINEST} pixels, but the size is {width}x{height}"
            ))
            .hint(format!("--size {FINEST}, or --model dcgan for smaller pictures")));
        }
        Ok(())
    }
}

/// Pictures a second that two cores show in training; lab L-52. A generator of small channels runs further below the peak. It
/// passes three times, its discriminator eight.
fn speed(stack: &StackConfig) -> f64 {
    let [generator, discriminator] = net::cost(stack);
    60e9 / (3.0 * generator + 8.0 * discriminator)
}

impl Family for FastganConfig {
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
        self.validate_as(Self::ABOUT.name)
    }

    fn check(&self, tables: &Tables) -> Result<()> {
        tables.get::<GanConfig>()?.validate()
    }

    fn idle(&self, tables: &Tables, _table: &str, setting: &str) -> Option<&'static str> {
        settings::idle(&tables.get().ok()?, setting).filter(|_| setting != "drawing")
    }

    fn training(&self, tables: &Tables) -> Result<String> {
        Ok(settings::line(&tables.get()?))
    }

    fn player(&self) -> &'static str {
        "generator"
    }

    fn rival(&self) -> (&'static str, &'static str) {
        ("dcgan", "sharper than a VAE, and faster a step")
    }

    fn model(&self) -> Box<dyn Model> {
        Box::new(GanModel(Generator::new(self)))
    }

    fn trainer(&self, given: Ingredients) -> Result<Box<dyn Trainer>> {
        let sizes = Sizes { z_dim: self.z_dim, classes: self.classes.len() };
        let players = (Generator::new(self), Discriminator::new(self));
        Ok(Box::new(GanTrainer::new(given.settings, sizes, players.0, players.1, given.device)?))
    }

    fn critic(
        &self,
        _settings: &Settings,
        state: &mut Weights,
        _features: Option<EfficientNetLite0>,
    ) -> Result<Option<Box<dyn Critic>>> {
        critic(Discriminator::new(self), state).map(Some)
    }
}

impl Listed for FastganConfig {
    const ABOUT: About = About {
        makes: Makes::Pictures,
        name: "fastgan",
        summary: "for a hundred examples and more; slower steps; from 32 pixels a side on",
        losses: settings::LOSSES,
        tables: &["gan"],
        needs_features: false,
        has_critic: true,
        has_styles: true,
    };

    fn choose(question: &Question) -> Result<Chosen<Self>> {
        let data = question.data;
        let stack = |base| StackConfig { height: data.height, width: data.width, channels: data.channels, base };
        let base = question.budget.width(choice::ENOUGH, |base| speed(&stack(base)));
        let stack = stack(base);
        let mut gan = GanConfig { loss: GanLoss::Hinge, ..GanConfig::default() };
        let augment = choices::augment(&mut gan, question, speed(&stack))?;
        Ok(Chosen {
            model: Self { z_dim: 256, classes: question.classes.clone(), smooth: false, stack },
            tables: Tables::of(&gan),
            // Liu 2021, §4: 2e-4, β₁ 0.5, and the hinge loss.
            lr: 2e-4,
            betas: (0.5, 0.999),
            ema_half_life: choice::EMA,
            bf16: false,
            reasons: vec![choice::width(base), augment],
        })
    }
}
