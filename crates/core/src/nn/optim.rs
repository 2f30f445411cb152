//! AdamW over the named parameters of a model, and the moving average of its weights. All state is plain tensors by name.

use crate::Result;
use crate::nn::{Module, Param, host, join, vector};
use crate::weights::{self, HostTensor, Weights};
use burn::tensor::{Device, Gradients, Tensor};
use maliang_kernels::{AdamState, AdamStep};
use std::collections::BTreeMap;

/// What AdamW reads of a run's settings.
#[derive(Debug, Clone, Copy)]
pub struct AdamSettings {
    /// Decay of the first moment.
    pub beta_1: f32,
    /// Decay of the second moment.
    pub beta_2: f32,
    /// ε.
    pub epsilon: f32,
    /// Decoupled weight decay; 0 is Adam.
    pub weight_decay: f32,
    /// Longest gradient of all tensors together; 0 means no limit.
    pub clip_norm: f32,
}

/// AdamW (Kingma & Ba 2015; Loshchilov & Hutter 2019): both moments of every trained parameter, by name.
#[derive(Debug, Clone, Default)]
pub struct Adam {
    moments: BTreeMap<String, (Tensor<1>, Tensor<1>)>,
    /// Updates made so far.
    pub updates: u64,
}

/// A moving average that follows the updates of a model.
pub struct Average<'a, M> {
    /// The averaged model.
    pub model: &'a mut M,
    /// `average ← β · average + (1 − β) · model` after an update.
    pub beta: f32,
}

impl Adam {
    /// One update of every trained parameter of `model` that `gradients` knows, and of its average. A parameter that no
    /// loss reaches stays as it is, and so does its average. All of them decay.
    pub fn step<M: Module>(
        &mut self,
        model: &mut M,
        average: Option<Average<M>>,
        mut gradients: Gradients,
        config: &AdamSettings,
        lr: f32,
    ) {
        let slope = |_: &str, param: &Param| param.flat().grad_remove(&mut gradients);
        self.update(model, average, slope, |_| true, config, lr);
    }

    /// The same with the gradients that `slope` gives by name and parameter, of which those for which `decays` decay.
    pub fn update<M: Module>(
        &mut self,
        model: &mut M,
        average: Option<Average<M>>,
        mut slope: impl FnMut(&str, &Param) -> Option<Tensor<1>>,
        decays: impl Fn(&Param) -> bool,
        config: &AdamSettings,
        lr: f32,
    ) {
        self.updates += 1;
        let ema_beta = average.as_ref().map_or(0.0, |average| average.beta);
        let mut averages = average.map(|average| average.model.parameters().into_iter());
        let mut reached = Vec::new();
        for (name, param) in model.parameters() {
            let average = averages.as_mut().and_then(Iterator::next).map(|(_, average)| average);
            if let Some(slope) = param.is_trained().then(|| slope(&name, param)).flatten() {
                reached.push((name, param, average, slope));
            }
        }
        // Those that decay come first; where all do, the order stays as it is.
        reached.sort_by_key(|(_, param, ..)| !decays(param));
        let decayed = reached.iter().filter(|(_, param, ..)| decays(param)).count();
        let (mut state, mut slopes) = (AdamState::default(), Vec::new());
        // Every tensor leaves its holder, so that the step can change it in place.
        let mut holders = Vec::new();
        for (name, param, mut average, slope) in reached {
            let value = param.take();
            let (m, v) = self.moments.remove(&name).unwrap_or_else(|| (value.zeros_like(), value.zeros_like()));
            state.values.push(value);
            state.first.push(m);
            state.second.push(v);
            state.averages.extend(average.as_mut().map(|average| average.take()));
            slopes.push(slope);
            holders.push((name, param, average));
        }
        let step = AdamStep {
            lr,
            beta_1: config.beta_1,
            beta_2: config.beta_2,
            epsilon: config.epsilon,
            weight_decay: config.weight_decay,
            decayed,
            clip_norm: config.clip_norm,
            ema_beta,
            step: self.updates,
        };
        let AdamState { values, first, second, averages } = maliang_kernels::adam(state, slopes, step);
        let (mut moments, mut averages) = (first.into_iter().zip(second), averages.into_iter());
        for ((name, param, average), value) in holders.into_iter().zip(values) {
            param.set(Tensor::from_inner(value));
            self.moments.insert(name, moments.next().expect("moments of every tensor"));
            if let Some(average) = average {
                average.set(averages.next().expect("an average of every tensor"));
            }
        }
    }

    /// Both moments by name.
    #[cfg(test)]
    pub(crate) fn moments(&self) -> impl Iterator<Item = (&String, &(Tensor<1>, Tensor<1>))> {
        self.moments.iter()
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

/// The β of a moving average after one more batch, `½^(batch / half-life)`. The half-life, in pictures, ramps up with what
/// has been seen (at most a twentieth of it, as in StyleGAN3's training loop), so that the first grids are not those of
/// the untrained start.
pub fn average_beta(half_life: f64, batch: usize, images_seen: u64) -> f32 {
    let half_life = half_life.min(images_seen as f64 * 0.05);
    if half_life > 0.0 { 0.5f64.powf(batch as f64 / half_life) as f32 } else { 0.0 }
}
