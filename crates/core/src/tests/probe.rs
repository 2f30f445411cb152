//! A family that exists in tests only, as far from the others as the interface allows: its noise is as large as its pictures, it
//! makes them in several steps, it is asked for with captions, and it reads no table of its own. One file, and one line in the list.

use crate::families::choice::{Chosen, Listed, Question};
use crate::families::family::{About, Family, Frame, Shape, Takes, check_size};
use crate::families::model::{Condition, How, Model, weights_of};
use crate::families::settings::{Settings, Tables, check_ranges};
use crate::families::trainer::{Ingredients, Kind, Losses, Remedy, StepInput, Tolerance, Trainer, pictures_tensor};
use crate::makes::Makes;
use crate::nn::optim::{Adam, Average};
use crate::nn::{self, Init, Module, Param, host, join};
use crate::weights::Weights;
use crate::{Error, Result};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Its sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeConfig {
    /// Rows.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// Steps from noise to a picture.
    pub steps: usize,
}

impl Family for ProbeConfig {
    fn about(&self) -> &'static About {
        &Self::ABOUT
    }

    fn shape(&self) -> Shape<'_> {
        let frame = Frame { height: self.height, width: self.width, channels: self.channels };
        Shape { frame, noise: self.height * self.width * self.channels, takes: Takes::Captions }
    }

    fn sizes(&self) -> String {
        format!("{} steps", self.steps)
    }

    fn validate(&self) -> Result<()> {
        check_size(self.width, self.height)?;
        check_ranges(&[("model.steps", self.steps as f64, 1.0, 100.0)])
    }

    fn check(&self, _tables: &Tables) -> Result<()> {
        Ok(())
    }

    fn training(&self, _tables: &Tables) -> Result<String> {
        Ok("squared error".into())
    }

    fn player(&self) -> &'static str {
        "net"
    }

    fn rival(&self) -> (&'static str, &'static str) {
        ("dcgan", "it learns more than a colour")
    }

    fn model(&self) -> Box<dyn Model> {
        Box::new(Painter { net: Net::new(self.channels), config: self.clone() })
    }

    fn trainer(&self, given: Ingredients) -> Result<Box<dyn Trainer>> {
        let device = given.device.clone().autodiff();
        let mut net = Net::new(self.channels);
        nn::initialise(&mut net, given.settings.seed, &device);
        let average = net.inner();
        Ok(Box::new(ProbeTrainer {
            settings: given.settings,
            config: self.clone(),
            device,
            net,
            average,
            adam: Adam::default(),
        }))
    }
}

impl Listed for ProbeConfig {
    const ABOUT: About = About {
        makes: Makes::Pictures,
        name: "probe",
        summary: "the mean colour of the pictures: for tests",
        losses: "Squared error. Falling is learning.",
        tables: &[],
        needs_features: false,
        has_critic: false,
        has_styles: false,
    };

    fn choose(question: &Question) -> Result<Chosen<Self>> {
        let data = question.data;
        Ok(Chosen {
            model: Self { height: data.height, width: data.width, channels: data.channels, steps: 3 },
            tables: Tables::default(),
            lr: 0.05,
            betas: (0.9, 0.999),
            ema_half_life: 100.0,
            bf16: false,
            reasons: Vec::new(),
        })
    }
}

/// The colour that pictures have, and how much of it a caption adds.
#[derive(Debug, Clone)]
struct Net {
    colour: Param,
    caption: Param,
}

impl Net {
    fn new(channels: usize) -> Self {
        Self {
            colour: Param::new(&[channels], Init::Normal(0.0, 0.5)),
            caption: Param::new(&[channels], Init::Constant(0.1)),
        }
    }

    /// Of pictures with captions of these lengths, `[batch, 1, 1, channels]`.
    fn colours(&self, lengths: &[f32], device: &Device) -> Tensor<4> {
        let (batch, channels) = (lengths.len(), self.colour.len());
        let lengths = Tensor::<1>::from_floats(lengths, device).reshape([batch, 1, 1, 1]);
        let row = |param: &Param| param.get::<1>().reshape([1, 1, 1, channels]);
        (row(&self.colour).repeat_dim(0, batch) + lengths * row(&self.caption)).tanh()
    }
}

impl Module for Net {
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>) {
        into.push((join(path, "colour"), &mut self.colour));
        into.push((join(path, "caption"), &mut self.caption));
    }
}

/// Tens of letters.
fn length(caption: &str) -> f32 {
    caption.chars().count() as f32 / 10.0
}

#[derive(Debug, Clone)]
struct Painter {
    net: Net,
    config: ProbeConfig,
}

impl Model for Painter {
    fn load(&mut self, weights: &mut Weights, device: &Device) -> Result<()> {
        nn::load(&mut self.net, weights, "", device)
    }

    fn weights(&self) -> Weights {
        weights_of(&self.net)
    }

    /// Halfway from where it is to the colour, `steps` times.
    fn make(&self, noise: Tensor<2>, condition: &Condition, how: How) -> Tensor<4> {
        let ProbeConfig { height, width, channels, steps } = self.config;
        let (batch, device) = (noise.dims()[0], noise.device());
        let lengths = match condition {
            Condition::Captions(captions) => captions.iter().map(|caption| length(caption)).collect(),
            Condition::Nothing | Condition::Classes(_) | Condition::Pictures(_) => vec![0.0; batch],
        };
        let colours = self.net.colours(&lengths, &device);
        let mut x = noise.reshape([batch, height, width, channels]);
        for step in 0..steps {
            if step > 0 {
                (how.between)();
            }
            x = (x + colours.clone()) * 0.5;
        }
        x.clamp(-1.0, 1.0)
    }

    fn boxed_clone(&self) -> Box<dyn Model> {
        Box::new(self.clone())
    }
}

#[derive(Clone)]
struct ProbeTrainer {
    settings: Settings,
    config: ProbeConfig,
    device: Device,
    net: Net,
    average: Net,
    adam: Adam,
}

impl Trainer for ProbeTrainer {
    fn step(&mut self, input: &StepInput) -> Losses {
        let batch = input.loader.batch(input.step);
        let caption = |i: usize| batch.condition.captions.get(i)?.as_deref();
        let lengths: Vec<f32> = (0..batch.size).map(|i| caption(i).map_or(0.0, length)).collect();
        let (x, _) = pictures_tensor(batch, &self.settings.data, &self.device);
        let loss = (x - self.net.colours(&lengths, &self.device)).powi_scalar(2).mean();
        let value = host(loss.clone().inner())[0];
        let train = &self.settings.train;
        let beta = train.average_beta((input.step + 1) * train.batch as u64);
        let average = Average { model: &mut self.average, beta };
        // A schedule that knows how far the run is.
        let lr = input.lr * (1.0 - 0.9 * input.progress as f32);
        self.adam.step(&mut self.net, Some(average), loss.backward(), &train.adam(), lr);
        vec![("squared_error", value)]
    }

    fn model(&mut self) -> Box<dyn Model> {
        Box::new(Painter { net: self.average.clone(), config: self.config.clone() })
    }

    fn state(&self) -> Weights {
        let mut state = Weights::new();
        nn::store(&self.net.inner(), &mut state, "net");
        nn::store(&self.average, &mut state, "average");
        self.adam.store(&mut state, "adam");
        state
    }

    fn restore(&mut self, mut state: Weights, step: u64) -> Result<()> {
        let inner = self.device.clone().inner();
        nn::load(&mut self.net, &mut state, "net", &self.device)?;
        nn::load(&mut self.average, &mut state, "average", &inner)?;
        self.adam.restore(&mut self.net, &mut state, "adam", step, &inner)?;
        match state.keys().next() {
            Some(name) => Err(Error::corrupt(format!("nobody knows {name}"))),
            None => Ok(()),
        }
    }

    fn boxed_clone(&self) -> Box<dyn Trainer> {
        Box::new(self.clone())
    }

    fn loss_limit(&self) -> f32 {
        1e3
    }

    fn tolerance(&self, _noise: f64) -> Tolerance {
        Tolerance::NONE
    }

    fn remedy(&self, _now: Remedy, _kind: Kind) -> Option<(Remedy, &'static str)> {
        None
    }
}
