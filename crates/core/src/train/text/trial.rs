//! Training steps of a text model alone, on tokens of nothing: what a step costs.

use crate::Result;
use crate::families::text::{TextModel, TextModelConfig, Writer};
use crate::nn::{self, Module};
use crate::rng;
use burn::tensor::{Device, Tensor};
use maliang_kernels::text::among_workers;
use maliang_kernels::{AdamState, AdamStep, Precision, adam, keep_freed_memory};
use rand::RngExt;

/// A model in training on random tokens.
///
/// ```no_run
/// # use maliang::families::text::{GptConfig, TextModelConfig};
/// # fn measure() -> maliang::Result<()> {
/// let gpt = GptConfig { vocabulary: 65, context: 64, layers: 4, heads: 4, width: 128, dropout: 0.0 };
/// let mut trial = maliang::train::text::trial::TextTrial::new(&TextModelConfig::Gpt(gpt), 12, maliang::train::Precision::F32)?;
/// trial.step(); // the first also pays for allocating
/// let start = std::time::Instant::now();
/// trial.step();
/// println!("{:.0} tokens/s", trial.tokens() as f64 / start.elapsed().as_secs_f64());
/// # Ok(()) }
/// ```
pub struct TextTrial {
    model: TextModel,
    first: Vec<Tensor<1>>,
    second: Vec<Tensor<1>>,
    batch: usize,
    tokens: Vec<u32>,
    targets: Vec<u32>,
    step: u64,
}

impl TextTrial {
    /// An untrained model of `config`, and `batch` windows of its context.
    ///
    /// # Errors
    /// A setting out of range.
    pub fn new(config: &TextModelConfig, batch: usize, precision: Precision) -> Result<Self> {
        config.validate()?;
        keep_freed_memory();
        let mut model = TextModel::new(config);
        nn::initialise(&mut model, 0, &Device::flex().autodiff());
        model.set_precision(precision);
        let zeros = |model: &mut TextModel| {
            model.parameters().into_iter().map(|(_, param)| param.flat().inner().zeros_like()).collect::<Vec<_>>()
        };
        let (first, second) = (zeros(&mut model), zeros(&mut model));
        let mut stream = rng::stream(0, "trial/tokens", 0);
        let mut draw = || -> Vec<u32> {
            let vocabulary = config.vocabulary() as u32;
            (0..batch * config.context()).map(|_| stream.random_range(0..vocabulary)).collect()
        };
        let (tokens, targets) = (draw(), draw());
        Ok(Self { model, first, second, batch, tokens, targets, step: 0 })
    }

    /// Tokens of a step.
    pub fn tokens(&self) -> usize {
        self.tokens.len()
    }

    /// One step of AdamW with clipping; the loss before it, in nats a token.
    pub fn step(&mut self) -> f32 {
        among_workers(|| self.step_here())
    }

    fn step_here(&mut self) -> f32 {
        self.step += 1;
        let loss = self.model.loss(&self.tokens, &self.targets, self.batch, Some(self.step));
        let value = nn::host(loss.clone().inner())[0];
        let mut gradients = loss.backward();
        let mut slopes = Vec::new();
        for (_, param) in self.model.parameters() {
            slopes.push(param.flat().grad_remove(&mut gradients).expect("every parameter takes part"));
        }
        let state = AdamState {
            values: self.model.parameters().into_iter().map(|(_, param)| param.take()).collect(),
            first: std::mem::take(&mut self.first),
            second: std::mem::take(&mut self.second),
            averages: Vec::new(),
        };
        let step = AdamStep {
            lr: 1e-3,
            beta_1: 0.9,
            beta_2: 0.99,
            epsilon: 1e-8,
            weight_decay: 0.1,
            decayed: usize::MAX,
            clip_norm: 1.0,
            ema_beta: 0.0,
            step: self.step,
        };
        let AdamState { values, first, second, .. } = adam(state, slopes, step);
        (self.first, self.second) = (first, second);
        for ((_, param), value) in self.model.parameters().into_iter().zip(values) {
            param.set(Tensor::from_inner(value));
        }
        value
    }

    /// A writer with the model as it is now.
    pub fn writer(&self) -> Writer {
        self.model.writer()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families::text::{GptConfig, LstmConfig};

    #[test]
    fn random_tokens_can_be_learnt_by_heart() {
        let gpt = GptConfig { vocabulary: 9, context: 8, layers: 1, heads: 2, width: 32, dropout: 0.0 };
        let lstm = LstmConfig { vocabulary: 9, context: 8, layers: 1, width: 32, dropout: 0.0 };
        for config in [TextModelConfig::Gpt(gpt), TextModelConfig::Lstm(lstm)] {
            let mut trial = TextTrial::new(&config, 2, Precision::F32).unwrap();
            assert_eq!(trial.tokens(), 16);
            let before = trial.step();
            let after = (0..300).map(|_| trial.step()).last().unwrap();
            assert!(after < 0.3 * before, "{}: {before} {after}", config.family());
            assert_eq!(trial.writer().push(3).len(), 9);
        }
    }
}
