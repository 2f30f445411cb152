//! One step on text: random windows of the corpus, the mean cross-entropy of the next token, AdamW.

use super::look::{Windows, write_sample};
use crate::data::source_name;
use crate::data::text::Corpus;
use crate::families::text::TextModel;
use crate::families::trainer::Losses;
use crate::families::trainer::Tolerance;
use crate::families::trainer::{Kind, Remedy};
use crate::nn::optim::{Adam, Average};
use crate::nn::{self, Module, Param, host};
use crate::run::config::text::TextRunConfig;
use crate::run::dir::RunDir;
use crate::run::model_file::{self, TextInfo};
use crate::train::observer::Unit;
use crate::train::subject::{Looked, Moment, Subject};
use crate::weights::Weights;
use crate::{Result, rng};
use burn::tensor::{Device, Tensor};
use maliang_kernels::text::among_workers;
use rand::{Rng, RngExt};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A writer in training.
pub(in super::super) struct Texts {
    config: TextRunConfig,
    corpus: Arc<Corpus>,
    windows: Windows,
    writer: Trained,
}

/// The network, its optimiser, and the moving average of its weights where one is kept.
#[derive(Clone)]
struct Trained {
    device: Device,
    model: TextModel,
    average: Option<TextModel>,
    adam: Adam,
}

/// Weight decay pulls matrices towards zero, the embedding among them because it is the output's matrix, too (as in nanoGPT);
/// gains and biases have a size of their own and nothing to regularise.
fn decays(param: &Param) -> bool {
    param.shape().len() > 1
}

impl Trained {
    /// An untrained network.
    fn new(config: &TextRunConfig) -> Result<Self> {
        let device = config.train.device.open()?.autodiff();
        let mut model = TextModel::new(&config.model);
        nn::initialise(&mut model, config.seed, &device);
        model.set_precision(config.train.precision);
        let average = (config.train.ema_half_life > 0.0).then(|| model.inner());
        Ok(Self { device, model, average, adam: Adam::default() })
    }

    fn step(&mut self, config: &TextRunConfig, corpus: &Corpus, moment: &Moment) -> Losses {
        among_workers(|| self.step_here(config, corpus, moment))
    }

    fn step_here(&mut self, config: &TextRunConfig, corpus: &Corpus, moment: &Moment) -> Losses {
        let Moment { step, seed, .. } = *moment;
        let parts = config.text.accumulate as u64;
        let (mut loss, mut sums) = (0.0, BTreeMap::<String, Tensor<1>>::new());
        for part in step * parts..(step + 1) * parts {
            let (tokens, targets) = batch(corpus, config, seed, part);
            let dropout = rng::stream(seed, "dropout", part).next_u64();
            let mean = self.model.loss(&tokens, &targets, config.train.batch, Some(dropout)) / parts as f32;
            loss += host(mean.clone().inner())[0];
            let mut gradients = mean.backward();
            for (name, param) in self.model.parameters() {
                let Some(slope) = param.flat().grad_remove(&mut gradients) else { continue };
                let sum = match sums.remove(&name) {
                    Some(sum) => sum + slope,
                    None => slope,
                };
                sums.insert(name, sum);
            }
        }
        let lr = moment.lr * config.text.lr_scale(moment.progress) as f32;
        let windows = (step + 1) * parts * config.train.batch as u64;
        let beta = config.train.average_beta(windows);
        let average = self.average.as_mut().map(|model| Average { model, beta });
        self.adam.update(&mut self.model, average, |name, _| sums.remove(name), decays, &config.train.adam(), lr);
        let bits = f64::from(loss) / std::f64::consts::LN_2;
        let bytes = corpus.train_bytes() as f64 / corpus.train_len().max(1) as f64;
        vec![("loss", loss), ("bits_per_byte", (bits / bytes.max(f64::MIN_POSITIVE)) as f32)]
    }

    /// What is looked at and saved.
    fn model(&self) -> TextModel {
        self.average.clone().unwrap_or_else(|| self.model.inner())
    }

    fn state(&self) -> Weights {
        let mut state = Weights::new();
        nn::store(&self.model.inner(), &mut state, "model");
        if let Some(average) = &self.average {
            nn::store(average, &mut state, "average");
        }
        self.adam.store(&mut state, "adam");
        state
    }

    fn restore(&mut self, mut state: Weights, step: u64) -> Result<()> {
        let inner = self.device.clone().inner();
        nn::load(&mut self.model, &mut state, "model", &self.device)?;
        if let Some(average) = &mut self.average {
            nn::load(average, &mut state, "average", &inner)?;
        }
        self.adam.restore(&mut self.model, &mut state, "adam", step, &inner)
    }
}

/// Batch number `number`: windows at random places of the training stream, and what follows each of their tokens.
///
/// A pure function of seed and number. Places are drawn with replacement, each equally likely: a window may begin in the middle
/// of a document and reach into the next one, and the model learns from the token between them where a document begins.
fn batch(corpus: &Corpus, config: &TextRunConfig, seed: u64, number: u64) -> (Vec<u32>, Vec<u32>) {
    let time = config.model.context();
    let mut places = rng::stream(seed, "windows", number);
    let last = corpus.train_len() - time - 1;
    let (mut tokens, mut targets) = (Vec::new(), Vec::new());
    for _ in 0..config.train.batch {
        let window = corpus.train(places.random_range(0..=last), time + 1);
        tokens.extend(&window[..time]);
        targets.extend(&window[1..]);
    }
    (tokens, targets)
}

impl Texts {
    /// An untrained writer of `config`, whose context fits into the corpus.
    ///
    /// # Errors
    /// A device that is not there.
    pub fn new(config: &TextRunConfig, corpus: Arc<Corpus>) -> Result<Self> {
        let windows = Windows::of(&corpus, config.model.context());
        Ok(Self { writer: Trained::new(config)?, config: config.clone(), corpus, windows })
    }

    fn info(&self, step: u64) -> TextInfo {
        let manifest = source_name(&self.config.corpus.source);
        TextInfo {
            format: TextInfo::current_format(),
            name: format!("{}-{}", manifest.replace([':', ' '], "-"), self.config.model.family()),
            config: self.config.model.clone(),
            step,
            tokens_seen: step * self.a_step(),
            seed: self.config.seed,
            data: manifest,
            data_documents: self.corpus.documents(),
            data_tokens: self.corpus.train_len(),
            data_bytes: self.corpus.train_bytes(),
            data_fingerprint: self.corpus.fingerprint().to_string(),
            version: crate::VERSION.to_string(),
        }
    }
}

impl Subject for Texts {
    type Config = TextRunConfig;
    type Model = (TextModel, TextInfo);
    const UNIT: Unit = Unit::Tokens;
    const SAMPLES: &'static str = "txt";

    fn a_step(&self) -> u64 {
        self.config.tokens_a_step()
    }

    fn step(&mut self, moment: &Moment) -> Losses {
        self.writer.step(&self.config, &self.corpus, moment)
    }

    fn trial(&self) -> Box<dyn FnMut(&Moment) + '_> {
        let mut writer = self.writer.clone();
        Box::new(move |moment| {
            writer.step(&self.config, &self.corpus, moment);
        })
    }

    fn state(&self) -> Weights {
        self.writer.state()
    }

    fn restore(&mut self, state: Weights, step: u64, _seed: u64) -> Result<()> {
        self.writer.restore(state, step)
    }

    fn begin(&mut self, _dir: &RunDir) -> Result<()> {
        Ok(())
    }

    fn model(&mut self, step: u64) -> Self::Model {
        (self.writer.model(), self.info(step))
    }

    fn look(&mut self, (model, _): &Self::Model) -> Looked {
        Looked { scores: self.windows.scores(model), diversity: None }
    }

    fn write_model(&self, path: &Path, (model, info): &Self::Model) -> Result<()> {
        model_file::save_text(path, model, self.corpus.tokenizer(), info)
    }

    fn write_sample(&self, checkpoint: &Path, path: &Path) -> Result<()> {
        write_sample(checkpoint, path, &self.config.text)
    }

    /// A model that knows nothing has ln(vocabulary) nats, 12 at most; thousands are not a loss any more.
    fn loss_limit(&self) -> f32 {
        1e3
    }

    fn tolerance(&self) -> Tolerance {
        // Every look reads the same held-out text.
        Tolerance::NONE
    }

    fn remedy(&self, _now: Remedy, _kind: Kind) -> Option<(Remedy, &'static str)> {
        None
    }
}
