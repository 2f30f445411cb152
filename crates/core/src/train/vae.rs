//! Training a VAE (Kingma & Welling 2014, Algorithm 1 with minibatches), KL warm-up and free bits.

use super::config::RunConfig;
use super::optim::{Adam, Average, average_beta};
use super::{Losses, STANDING_BATCHES, StepInput, Trainer, losses, pictures_tensor};
use crate::data::{Batch, Dataset, Loader, preprocess};
use crate::models::{self, PictureModel, Vae, VaeConfig};
use crate::nn::{self, Mode, Module, Statistics, host};
use crate::provenance::weights::Weights;
use crate::{Result, rng};
use burn::tensor::{Device, Tensor, TensorData};
use std::sync::Arc;

/// Batches over which the Gaussian of the latent space is fitted.
const PRIOR_BATCHES: u64 = 16;

/// The network, its optimiser, and the moving average of its weights.
#[derive(Clone)]
pub(super) struct VaeTrainer {
    config: RunConfig,
    model: VaeConfig,
    device: Device,
    vae: Vae,
    average: Vae,
    adam: Adam,
    /// Training pictures for the standing statistics.
    loader: Arc<Loader>,
}

/// −ELBO of one batch and its two parts, in nats a picture.
struct Elbo {
    reconstruction: Tensor<1>,
    /// Per latent dimension.
    kl: Tensor<1>,
}

impl VaeTrainer {
    /// An untrained network.
    pub fn new(config: &RunConfig, model: &VaeConfig, loader: Arc<Loader>, device: Device) -> Self {
        let device = device.autodiff();
        let mut vae = Vae::new(model);
        nn::initialise(&mut vae, config.seed, &device);
        vae.set_precision(config.train.precision);
        let average = vae.inner();
        Self { config: config.clone(), model: model.clone(), device, average, vae, adam: Adam::default(), loader }
    }

    fn elbo(&self, vae: &Vae, batch: Batch, noise: Vec<f32>, mode: Mode, device: &Device) -> Elbo {
        let (x, labels) = pictures_tensor(batch, &self.config.data, device);
        let labels = models::one_hot(&labels, self.model.classes.len(), device);
        let (mu, logvar) = vae.encode(x.clone(), labels.clone(), mode);
        let epsilon = Tensor::<2>::from_data(TensorData::new(noise, mu.dims()), device);
        let z = mu.clone() + (logvar.clone() * 0.5).exp() * epsilon; // the reparameterisation trick
        let y = vae.decode(z, labels, mode);
        let reconstruction = losses::reconstruction(self.config.vae.reconstruction, x, y, vae.log_scale());
        Elbo { reconstruction, kl: losses::kl(mu, logvar) }
    }

    fn noise(&self, seed: u64, name: &str, index: u64, count: usize) -> Vec<f32> {
        rng::normal(&mut rng::stream(seed, name, index), count * self.model.z_dim)
    }
}

impl Trainer for VaeTrainer {
    fn step(&mut self, input: &StepInput) -> Losses {
        let StepInput { step, seed, lr, loader } = *input;
        let batch = loader.batch_before(step, step + 1);
        let noise = self.noise(seed, "latent", step, batch.size);
        let Elbo { reconstruction, kl } = self.elbo(&self.vae, batch, noise, Mode::Train, &self.device);
        let settings = &self.config.vae;
        let warmup = ((step + 1) as f32 / settings.kl_warmup.max(1) as f32).min(1.0);
        // Below `free_bits` a dimension costs a constant, so nothing is gained by switching it off (Kingma 2016, §3.4).
        let charged = kl.clone().clamp_min(settings.free_bits).sum();
        let objective = reconstruction.clone() + charged * (settings.beta * warmup);
        let value = |t: Tensor<1>| host(t.inner())[0];
        let (reconstruction, kl) = (value(reconstruction), value(kl.sum()));
        let train = &self.config.train;
        let beta = average_beta(train, (step + 1) * train.batch as u64);
        let average = Average { model: &mut self.average, beta };
        self.adam.step(&mut self.vae, Some(average), objective.backward(), train, lr);
        vec![("reconstruction", reconstruction), ("kl", kl)]
    }

    fn model(&mut self) -> PictureModel {
        let device = self.device.clone().inner();
        let passes = (0..STANDING_BATCHES).map(|i| {
            let batch = self.loader.batch(i);
            let noise = self.noise(self.config.seed, "standing", i, batch.size);
            let statistics = Statistics::default();
            self.elbo(&self.average, batch, noise, Mode::Measure(&statistics), &device);
            statistics
        });
        let passes = passes.collect();
        let mut model = self.average.clone();
        models::set_standing_statistics(model.norms(), passes);
        let (mut means, mut logvars) = (Vec::new(), Vec::new());
        for i in 0..PRIOR_BATCHES {
            let (x, labels) = pictures_tensor(self.loader.batch(i), &self.config.data, &device);
            let labels = models::one_hot(&labels, self.model.classes.len(), &device);
            let (mu, logvar) = model.encode(x, labels, Mode::Eval);
            means.extend(host(mu));
            logvars.extend(host(logvar));
        }
        model.fit_prior(&means, &logvars);
        PictureModel::Vae(model)
    }

    /// −ELBO per number of the held-out pictures, in bits: an upper bound on the code length of unseen pictures under the
    /// model (exact for the logistic, up to a constant for the others), which is what a VAE is trained to lower.
    fn likelihood(&self, model: &PictureModel, data: &Dataset) -> Option<f64> {
        let PictureModel::Vae(vae) = model else { return None };
        let device = self.device.clone().inner();
        let count = data.heldout_len().min(512);
        if count < 2 {
            return None;
        }
        let (mut total, mut pictures) = (0.0, 0usize);
        for start in (0..count).step_by(64) {
            let range = start..(start + 64).min(count);
            let images = range.clone().flat_map(|i| preprocess::to_unit(data.heldout(i))).collect();
            let labels = range.clone().filter_map(|i| data.heldout_label(i)).collect();
            let batch = Batch { images, labels, size: range.len() };
            let noise = self.noise(self.config.seed, "heldout", start as u64, batch.size);
            let elbo = self.elbo(vae, batch, noise, Mode::Eval, &device);
            let nats = host(elbo.reconstruction)[0] + self.config.vae.beta * host(elbo.kl.sum())[0];
            total += f64::from(nats) * range.len() as f64;
            pictures += range.len();
        }
        let numbers = (data.width() * data.height() * data.channels()) as f64;
        Some(total / pictures as f64 / numbers / std::f64::consts::LN_2)
    }

    fn state(&self) -> Weights {
        let mut state = Weights::new();
        nn::store(&self.vae.inner(), &mut state, "vae");
        nn::store(&self.average, &mut state, "average");
        self.adam.store(&mut state, "adam");
        state
    }

    fn restore(&mut self, mut state: Weights, step: u64) -> Result<()> {
        let inner = self.device.clone().inner();
        nn::load(&mut self.vae, &mut state, "vae", &self.device)?;
        nn::load(&mut self.average, &mut state, "average", &inner)?;
        self.adam.restore(&mut self.vae, &mut state, "adam", step, &inner)
    }

    fn boxed_clone(&self) -> Box<dyn Trainer> {
        Box::new(self.clone())
    }
}
