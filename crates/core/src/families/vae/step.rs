//! Training a VAE (Kingma & Welling 2014, Algorithm 1 with minibatches), KL warm-up and free bits; a discriminator beside it where
//! one is asked for.

use super::VaeConfig;
use super::adversary::Adversary;
use super::losses;
use super::net::{Vae, VaeModel};
use super::prior;
use super::settings::VaeTraining;
use crate::data::{Batch, Dataset, Loader, preprocess};
use crate::families::model::{Model, one_hot};
use crate::families::settings::Settings;
use crate::families::trainer::{
    Kind, Losses, Remedy, STANDING_BATCHES, StepInput, Tolerance, Trainer, pictures_tensor, set_standing_statistics,
};
use crate::judge::ScoreName;
use crate::nn::optim::{Adam, Average};
use crate::nn::{self, Mode, Module, Statistics, host};
use crate::rng::evenly;
use crate::weights::Weights;
use crate::{Result, rng};
use burn::tensor::{Device, Tensor, TensorData};
use maliang_kernels::Reuse;
use std::any::Any;
use std::sync::Arc;

/// Batches over which the density of the latent space is fitted.
const PRIOR_BATCHES: u64 = 16;

/// The network, its optimiser, and the moving average of its weights.
#[derive(Clone)]
pub struct VaeTrainer {
    settings: Settings,
    training: VaeTraining,
    model: VaeConfig,
    device: Device,
    vae: Vae,
    average: Vae,
    adam: Adam,
    adversary: Option<Adversary>,
    /// Training pictures for the standing statistics.
    loader: Arc<Loader>,
}

/// −ELBO of one batch and its two parts, in nats a picture.
struct Elbo {
    reconstruction: Tensor<1>,
    /// The pictures and what they became.
    x: Tensor<4>,
    decoded: Tensor<4>,
    labels: Option<Tensor<2>>,
    /// Per latent dimension.
    kl: Tensor<1>,
}

impl VaeTrainer {
    /// An untrained network.
    ///
    /// # Errors
    /// A setting of `[vae]` or `[gan]` that does not exist or has another type.
    pub fn new(settings: Settings, model: &VaeConfig, loader: Arc<Loader>, device: &Device) -> Result<Self> {
        let device = device.clone().autodiff();
        let training: VaeTraining = settings.tables.get()?;
        let mut vae = Vae::new(model);
        nn::initialise(&mut vae, settings.seed, &device);
        vae.set_precision(settings.train.precision);
        let average = vae.inner();
        let adversary = match training.adversarial > 0.0 {
            true => Some(Adversary::new(&settings, model, &device)?),
            false => None,
        };
        let adam = Adam::default();
        Ok(Self { settings, training, model: model.clone(), device, average, vae, adam, adversary, loader })
    }

    fn elbo(&self, vae: &Vae, batch: Batch, noise: Vec<f32>, mode: Mode, device: &Device) -> Elbo {
        let (x, condition) = pictures_tensor(batch, &self.settings.data, device);
        let labels = one_hot(&condition.classes, self.model.classes.len(), device);
        let (mu, logvar) = vae.encode(x.clone(), labels.clone(), mode);
        let epsilon = Tensor::<2>::from_data(TensorData::new(noise, mu.dims()), device);
        let z = mu.clone() + (logvar.clone() * 0.5).exp() * epsilon; // the reparameterisation trick
        let decoded = vae.decode(z, labels.clone(), mode);
        let kind = self.training.reconstruction;
        let reconstruction = losses::reconstruction(kind, x.clone(), decoded.clone(), vae.log_scale());
        Elbo { reconstruction, x, decoded, labels, kl: losses::kl(mu, logvar) }
    }

    fn noise(&self, seed: u64, name: &str, index: u64, count: usize) -> Vec<f32> {
        rng::normal(&mut rng::stream(seed, name, index), count * self.model.z_dim)
    }
}

impl Trainer for VaeTrainer {
    fn step(&mut self, input: &StepInput) -> Losses {
        let StepInput { step, seed, lr, loader, .. } = *input;
        let batch = loader.batch_before(step, step + 1);
        let noise = self.noise(seed, "latent", step, batch.size);
        let Elbo { reconstruction, kl, x, decoded, labels } =
            self.elbo(&self.vae, batch, noise, Mode::Train, &self.device);
        let settings = &self.training;
        let warmup = ((step + 1) as f32 / settings.kl_warmup.max(1) as f32).min(1.0);
        // Below `free_bits` a dimension costs a constant, so nothing is gained by switching it off (Kingma 2016, §3.4).
        let charged = kl.clone().clamp_min(settings.free_bits).sum();
        let mut objective = reconstruction.clone() + charged * (settings.beta * warmup);
        let value = |t: Tensor<1>| host(t.inner())[0];
        let mut found = vec![("reconstruction", value(reconstruction)), ("kl", value(kl.sum()))];
        let reuse = Reuse::default();
        let numbers = self.settings.data.row_bytes() as f32;
        let judged = self.adversary.as_ref().map(|adversary| {
            let judged = adversary.judge(&reuse, x, self.vae.picture(decoded), labels);
            objective = objective.clone() + judged.g_loss.clone() * (settings.adversarial * numbers);
            found.extend([("d_loss", judged.d_loss), ("g_loss", value(judged.g_loss.clone()))]);
            judged
        });
        let gradients = reuse.share(|| objective.backward());
        drop(reuse);
        let train = &self.settings.train;
        if let (Some(adversary), Some(judged)) = (&mut self.adversary, judged) {
            adversary.update(judged, train, lr);
        }
        let beta = train.average_beta((step + 1) * train.batch as u64);
        let average = Average { model: &mut self.average, beta };
        self.adam.step(&mut self.vae, Some(average), gradients, &train.adam(), lr);
        found
    }

    fn model(&mut self) -> Box<dyn Model> {
        let device = self.device.clone().inner();
        let passes = (0..STANDING_BATCHES).map(|i| {
            let batch = self.loader.batch(i);
            let noise = self.noise(self.settings.seed, "standing", i, batch.size);
            let statistics = Statistics::default();
            self.elbo(&self.average, batch, noise, Mode::Measure(&statistics), &device);
            statistics
        });
        let passes = passes.collect();
        let mut model = self.average.clone();
        set_standing_statistics(model.norms(), passes);
        let (mut means, mut logvars, mut pictures) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..PRIOR_BATCHES {
            let (x, condition) = pictures_tensor(self.loader.batch(i), &self.settings.data, &device);
            let labels = one_hot(&condition.classes, self.model.classes.len(), &device);
            let (mu, logvar) = model.encode(x, labels, Mode::Eval);
            means.extend(host(mu));
            logvars.extend(host(logvar));
            pictures.extend(self.loader.indices(i));
        }
        model.fit_prior(&means, &logvars, &pictures);
        Box::new(VaeModel { vae: model, z_dim: self.model.z_dim })
    }

    /// −ELBO per number of the held-out pictures, in bits: an upper bound on the code length of unseen pictures under the
    /// model (exact for the logistic, up to a constant for the others; that of mse takes the best variance of each batch).
    fn score(&self, model: &dyn Model, data: &Dataset) -> Option<(ScoreName, f64)> {
        let model: &dyn Any = model;
        let VaeModel { vae, .. } = model.downcast_ref().expect("the model that this trainer made");
        let device = self.device.clone().inner();
        let numbers = evenly(data.heldout_len(), 512);
        if numbers.len() < 2 {
            return None;
        }
        let mut total = 0.0;
        for (i, part) in numbers.chunks(64).enumerate() {
            let pictures = part.iter().flat_map(|&i| preprocess::to_unit(data.heldout(i))).collect();
            let batch = Batch { pictures, condition: data.heldout_conditions(part), size: part.len() };
            let noise = self.noise(self.settings.seed, "heldout", 64 * i as u64, batch.size);
            let elbo = self.elbo(vae, batch, noise, Mode::Eval, &device);
            // Whatever β training weighs the second term with: it is a bound for 1 only.
            let nats = host(elbo.reconstruction)[0] + host(elbo.kl.sum())[0];
            total += f64::from(nats) * part.len() as f64;
        }
        let of_each = (data.width() * data.height() * data.channels()) as f64;
        let name = ScoreName::ElboBits { likelihood: self.training.reconstruction.name().into() };
        Some((name, total / numbers.len() as f64 / of_each / std::f64::consts::LN_2))
    }

    fn state(&self) -> Weights {
        let mut state = Weights::new();
        nn::store(&self.vae.inner(), &mut state, "vae");
        nn::store(&self.average, &mut state, "average");
        self.adam.store(&mut state, "adam");
        if let Some(adversary) = &self.adversary {
            adversary.store(&mut state);
        }
        state
    }

    fn restore(&mut self, mut state: Weights, step: u64) -> Result<()> {
        let inner = self.device.clone().inner();
        for prefix in ["vae", "average"] {
            prior::complete(&mut state, prefix, self.model.z_dim);
        }
        if let Some(adversary) = &mut self.adversary {
            adversary.restore(&mut state, step, &self.device)?;
        }
        nn::load(&mut self.vae, &mut state, "vae", &self.device)?;
        nn::load(&mut self.average, &mut state, "average", &inner)?;
        self.adam.restore(&mut self.vae, &mut state, "adam", step, &inner)
    }

    fn boxed_clone(&self) -> Box<dyn Trainer> {
        Box::new(self.clone())
    }

    /// A thousand nats a number.
    fn loss_limit(&self) -> f32 {
        1e3 * self.settings.data.row_bytes() as f32
    }

    /// It is scored on the same held-out pictures each time.
    fn tolerance(&self, _noise: f64) -> Tolerance {
        Tolerance::NONE
    }

    fn remedy(&self, _now: Remedy, _kind: Kind) -> Option<(Remedy, &'static str)> {
        None
    }
}
