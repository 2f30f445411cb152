//! A convolutional variational auto-encoder (Kingma & Welling 2014), optionally conditional on a label (Sohn 2015).

pub mod adversary;
pub mod bounds;
pub mod logistic;
pub mod losses;
pub mod net;
pub mod prior;
pub mod settings;
pub mod step;

use super::blocks::stack::{StackConfig, Upsampling};
use super::choice::{self, Chosen, Facts, Listed, Question, Suits};
use super::family::{About, Family, Shape};
use super::gan::settings::{GanConfig, GanLoss};
use super::model::Model;
use super::settings::{Tables, check_ranges, named};
use super::trainer::{Ingredients, Trainer};
use crate::makes::Makes;
use crate::{Error, Result};
use logistic::LogisticMixture;
use net::{Vae, VaeModel};
use serde::{Deserialize, Serialize};
use settings::{Reconstruction, VaeTraining};
use step::VaeTrainer;

/// The networks' sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaeConfig {
    /// Length of the latent vector z.
    pub z_dim: usize,
    /// Names of the classes; empty for an unconditional model.
    pub classes: Vec<String>,
    /// How the decoder doubles its maps: `transposed` or `residual`.
    #[serde(default)]
    pub decoder: Upsampling,
    /// Logistics a pixel of the decoder's distribution (see [`LogisticMixture`]); 0: the decoder gives the picture itself.
    #[serde(default)]
    pub components: usize,
    /// The convolutional stacks.
    pub stack: StackConfig,
}

/// With fewer pictures a discriminator soon knows every one of them.
const FEW_FOR_A_GAN: usize = 64;
/// Logistics a pixel of a mixture: half of Salimans 2017, §3, whose ten cost a VAE's small decoder more than they tell.
const MIXTURE: usize = 5;

impl VaeConfig {
    /// The mixture that the decoder describes pictures by, where it is one.
    pub fn mixture(&self) -> Option<LogisticMixture> {
        (self.components > 0).then(|| LogisticMixture::new(self.components, self.stack.channels))
    }
}

impl Family for VaeConfig {
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
        self.stack.validate(self.z_dim, &self.classes)?;
        check_ranges(&[("model.components", self.components as f64, 0.0, 32.0)])
    }

    /// A decoder whose output is what the likelihood takes, and a discriminator that has what its loss needs.
    fn check(&self, tables: &Tables) -> Result<()> {
        let (vae, gan): (VaeTraining, GanConfig) = (tables.get()?, tables.get()?);
        vae.validate()?;
        let mixture = vae.reconstruction == Reconstruction::LogisticMixture;
        if mixture != (self.components > 0) {
            let components = self.components;
            return Err(Error::input(format!(
                "vae.reconstruction is {}, but model.components is {components}",
                vae.reconstruction.name()
            ))
            .hint("logistic-mixture needs at least one component (--set model.components=5), all others need 0"));
        }
        if vae.adversarial > 0.0 && gan.loss == GanLoss::Wasserstein {
            return Err(Error::input(
                "vae.adversarial and gan.loss wasserstein cannot be combined: its critic needs a penalty",
            )
            .hint("leave gan.loss out, or use hinge"));
        }
        Ok(())
    }

    fn idle(&self, tables: &Tables, table: &str, setting: &str) -> Option<&'static str> {
        let vae: VaeTraining = tables.get().ok()?;
        match (table, setting) {
            ("gan", "loss") if vae.adversarial == 0.0 => Some("vae.adversarial is 0, so there is no discriminator"),
            ("gan", "loss") => None,
            ("gan", _) => Some("a vae reads only gan.loss, for the discriminator of vae.adversarial"),
            ("vae", "kl_warmup") if vae.beta == 0.0 => Some("vae.beta is 0"),
            ("vae", "free_bits") if vae.beta == 0.0 => Some("vae.beta is 0"),
            _ => None,
        }
    }

    fn training(&self, tables: &Tables) -> Result<String> {
        let vae: VaeTraining = tables.get()?;
        Ok(format!("likelihood {}, beta {}", named(&vae.reconstruction), vae.beta))
    }

    fn player(&self) -> &'static str {
        "vae"
    }

    fn rival(&self) -> (&'static str, &'static str) {
        match self.stack.is_fine() {
            true => ("fastgan", "made for few pictures (Liu 2021), and slower a step"),
            false => ("dcgan", "sharper than a VAE, if it does not memorise the pictures"),
        }
    }

    fn model(&self) -> Box<dyn Model> {
        Box::new(VaeModel { vae: Vae::new(self), z_dim: self.z_dim })
    }

    fn trainer(&self, given: Ingredients) -> Result<Box<dyn Trainer>> {
        Ok(Box::new(VaeTrainer::new(given.settings, self, given.loader.clone(), given.device)?))
    }
}

impl Listed for VaeConfig {
    const ABOUT: About = About {
        makes: Makes::Pictures,
        name: "vae",
        summary: "blurred, but steady: for few pictures, for likelihoods, and to encode given pictures",
        losses: "Nats a picture: both parts of the negative ELBO. They fall while the model learns.",
        tables: &["vae", "gan"],
        needs_features: false,
        has_critic: false,
        has_styles: false,
    };

    fn suits(facts: &Facts) -> Option<Suits> {
        let distinct = facts.report.distinct;
        let why = || format!("{distinct} pictures are too few for a GAN, which would memorise them");
        (distinct < FEW_FOR_A_GAN).then(|| Suits { rank: 3, why: why() })
    }

    fn choose(question: &Question) -> Result<Chosen<Self>> {
        let data = question.data;
        let stack = |base| StackConfig { height: data.height, width: data.width, channels: data.channels, base };
        let base = question.budget.width(choice::ENOUGH, |base| stack(base).speed());
        let mixture = question.given.get::<VaeTraining>()?.reconstruction == Reconstruction::LogisticMixture;
        let mut tables = Tables::of(&VaeTraining::default());
        // What a discriminator beside it minimises, where there is one.
        tables.set(&GanConfig::default());
        Ok(Chosen {
            model: Self {
                z_dim: 64,
                classes: question.classes.clone(),
                decoder: Upsampling::Transposed,
                components: if mixture { MIXTURE } else { 0 },
                stack: stack(base),
            },
            tables,
            // Kingma & Ba's defaults suit a single player.
            lr: 1e-3,
            betas: (0.9, 0.999),
            ema_half_life: choice::EMA,
            bf16: false,
            reasons: vec![choice::width(base)],
        })
    }
}
