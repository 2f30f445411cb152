//! Adam over the named parameters of a model, and the moving average of its weights. All state is plain tensors by name.

use super::config::TrainConfig;
use crate::Result;
use crate::nn::{Module, host, join, vector};
use crate::provenance::weights::{self, HostTensor, Weights};
use burn::tensor::{Device, Gradients, Tensor};
use maliang_kernels::AdamStep;
use std::collections::BTreeMap;

/// Adam (Kingma & Ba 2015): both moments of every trained parameter, by name.
#[derive(Debug, Clone, Default)]
pub struct Adam {
    moments: BTreeMap<String, (Tensor<1>, Tensor<1>)>,
    /// Updates made so far.
    pub updates: u64,
}

impl Adam {
    /// One update of every trained parameter of `model` that `gradients` knows.
    pub fn step(&mut self, model: &mut impl Module, mut gradients: Gradients, config: &TrainConfig, lr: f32) {
        self.updates += 1;
        let step = AdamStep {
            lr,
            beta_1: config.beta_1,
            beta_2: config.beta_2,
            epsilon: config.epsilon,
            weight_decay: 0.0,
            step: self.updates,
        };
        for (name, param) in model.parameters() {
            if !param.is_trained() {
                continue;
            }
            let value = param.flat();
            let Some(gradient) = value.grad_remove(&mut gradients) else { continue };
            let device = value.device();
            let value = value.inner();
            let (m, v) = self.moments.remove(&name).unwrap_or_else(|| (value.zeros_like(), value.zeros_like()));
            let (value, m, v) = maliang_kernels::adam(value, gradient, m, v, step);
            self.moments.insert(name, (m, v));
            param.set(Tensor::from_inner(value).to_device(&device));
        }
    }

    /// Adds the moments to `state` under `prefix`.
    pub fn store(&self, state: &mut Weights, prefix: &str) {
        for (name, (m, v)) in &self.moments {
            for (kind, tensor) in [("m", m), ("v", v)] {
                let data = host(tensor.clone());
                state.insert(join(&join(prefix, kind), name), HostTensor { shape: vec![data.len()], data });
            }
        }
    }

    /// Takes the moments of `model`'s trained parameters out of `state`.
    ///
    /// # Errors
    /// One of a pair of moments is missing, or has another size.
    pub fn restore(
        &mut self,
        model: &mut impl Module,
        state: &mut Weights,
        prefix: &str,
        updates: u64,
        device: &Device,
    ) -> Result<()> {
        self.updates = updates;
        self.moments.clear();
        if updates == 0 {
            return Ok(());
        }
        for (name, param) in model.parameters() {
            let kept = |kind: &str| state.contains_key(&join(&join(prefix, kind), &name));
            // A parameter that no loss has reached yet (the scale of a likelihood not in use) has no moments.
            if param.is_trained() && (kept("m") || kept("v")) {
                let mut moment = |kind: &str| -> Result<Tensor<1>> {
                    let tensor = weights::take(state, &join(&join(prefix, kind), &name), &[param.len()])?;
                    Ok(vector(tensor.data, device))
                };
                let moments = (moment("m")?, moment("v")?);
                self.moments.insert(name, moments);
            }
        }
        Ok(())
    }
}

/// `average ← β · average + (1 − β) · model` with `β = ½^(batch / half-life)`. The half-life, in pictures, ramps up with
/// what has been seen (at most a twentieth of it, as in StyleGAN3's training loop), so that the first grids are not those
/// of the untrained start.
pub fn update_average(average: &mut impl Module, model: &impl Module, config: &TrainConfig, images_seen: u64) {
    let half_life = config.ema_half_life.min(images_seen as f64 * 0.05);
    let beta = if half_life > 0.0 { 0.5f64.powf(config.batch as f64 / half_life) as f32 } else { 0.0 };
    let mut model = model.inner();
    for ((_, average), (_, current)) in average.parameters().into_iter().zip(model.parameters()) {
        if average.is_trained() {
            average.set(average.flat() * beta + current.flat() * (1.0 - beta));
        }
    }
}
