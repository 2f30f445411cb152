//! The loop: steps, looks, checkpoints, resume. Everything that must not be wrong exists here once.

mod budget;
mod recovery;

use super::checkpoint::{self, Best, Counters};
use super::config::RunConfig;
use super::health::{self, Trouble};
use super::look::{self, Looker};
use super::plateau::{PATIENCE, Scored, plateau};
use super::run_dir::{Lock, Log, RunDir};
use super::{ACCURACY, Event, Losses, Observer, Outcome, Run, StepInput, Trainer, init, new_trainer};
use crate::data::{Dataset, Loader};
use crate::generate::sampler::Sampler;
use crate::judge::RandomFeatures;
use crate::models::{ModelConfig, PictureModel};
use crate::provenance::bundle::ModelInfo;
use crate::provenance::weights::Weights;
use crate::{ErrorKind, Result};
use budget::{Rate, estimate, progress, remaining_steps};
use burn::tensor::Device;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// A run in training.
pub(super) struct Session {
    dir: RunDir,
    config: RunConfig,
    dataset: Arc<Dataset>,
    device: Device,
    trainer: Box<dyn Trainer>,
    loader: Arc<Loader>,
    looker: Looker,
    counters: Counters,
    log: Log,
    /// Sum and number of the losses since the last line of the log.
    pending: (Vec<(&'static str, f64)>, u64),
    _lock: Lock,
}

impl Session {
    pub fn open(run: Run, observer: &mut dyn Observer) -> Result<Self> {
        let Run { dir, mut config, dataset, eyes, _lock } = run;
        let (found, warnings) = checkpoint::newest_whole(&dir.checkpoints());
        let counters = found.as_ref().map_or_else(Counters::start, |(_, counters, _)| counters.clone());
        // Trial steps and the VAE's statistics use the first attempt's order whatever the attempt; `restore` sets the run's own.
        let loader = loader(&config, &dataset, 0);
        let device = config.train.device.open()?;
        let mut trainer = new_trainer(&config, &loader, &device, eyes)?;
        let stopped = counters.stopped == Some(config.train.limits());
        // A run that has nothing left to do has nothing to try.
        if progress(&config.train, &counters) < 1.0 && !stopped {
            estimate(&mut config, &counters, trainer.as_mut(), &loader, observer);
        }
        dir.write_config(&config)?;
        if !config.train.precision.is_supported() {
            observer.event(&Event::Note("this processor has no bf16 instructions: training in f32".into()));
        }
        for warning in warnings {
            observer.event(&Event::Note(warning));
        }
        let mut session = Self {
            log: dir.open_log()?,
            looker: Looker::new(&config, &dataset, Box::new(RandomFeatures::new(&device)), &device),
            dir,
            device,
            config,
            dataset,
            trainer,
            loader,
            counters,
            pending: (Vec::new(), 0),
            _lock,
        };
        match found {
            Some((_, counters, state)) => {
                session.restore(counters, state)?;
                session.dir.forget_after(session.counters.step)?;
                session.log = session.dir.open_log()?;
                init::begun(&session.dir);
                observer.event(&Event::Resumed { step: session.counters.step });
                if !session.dir.sample(session.counters.step).is_file() {
                    session.draw_sample()?;
                }
            }
            None => {
                look::write_reals(&session.dir, &session.config, &session.dataset)?;
                if session.config.init.is_some() {
                    init::begin(&session.dir, session.trainer.as_mut())?;
                }
                session.look(observer)?;
                init::begun(&session.dir);
            }
        }
        if !session.budget_spent() && !stopped {
            // Not of a step: what a rollback forgets has been computed all the same.
            session.log.write(json!({
                "event": "session", "from": session.counters.step, "machine": observer.machine(), "version": crate::VERSION,
            }))?;
        }
        Ok(session)
    }

    pub fn train(mut self, observer: &mut dyn Observer) -> Result<Outcome> {
        let limits = self.config.train.limits();
        if self.counters.stopped.is_some_and(|under| under != limits) {
            // Asked to go on: what comes is judged by itself.
            self.counters.stopped = None;
            self.counters.looks.clear();
            self.counters.level = false;
        }
        let mut clock = observer.seconds();
        let mut rate = Rate::default();
        while !self.budget_spent() && self.counters.stopped.is_none() {
            if observer.stop() {
                match self.save() {
                    // Nothing of this state is worth keeping: the run stops at its last good checkpoint.
                    Err(error) if error.kind == ErrorKind::Diverged => {
                        self.roll_back(&health::broken_weights(self.counters.step), observer)?;
                    }
                    saved => saved?,
                }
                return Ok(self.outcome(false));
            }
            let losses = self.step();
            let now = observer.seconds();
            let took = now - std::mem::replace(&mut clock, now);
            self.counters.seconds += took;
            let limit = self.loss_limit();
            if let Some(trouble) = health::losses(self.counters.step, &losses, limit) {
                self.roll_back(&trouble, observer)?;
                continue;
            }
            self.note_losses(&losses)?;
            let rate = rate.update(self.config.train.batch, took);
            let seconds_per_step = self.config.train.batch as f64 / rate;
            observer.event(&Event::Step {
                step: self.counters.step,
                rate,
                progress: self.progress(),
                eta: remaining_steps(&self.config.train, &self.counters, seconds_per_step) as f64 * seconds_per_step,
                losses,
            });
            if self.look_is_due() {
                if let Some(trouble) = self.look(observer)? {
                    self.roll_back(&trouble, observer)?;
                }
                clock = self.charge(clock, observer);
            }
        }
        Ok(self.outcome(true))
    }

    /// Counts the time of a look as training time, so that `--minutes 10` means ten minutes.
    fn charge(&mut self, clock: f64, observer: &dyn Observer) -> f64 {
        let now = observer.seconds();
        self.counters.seconds += now - clock;
        now
    }

    fn step(&mut self) -> Losses {
        let input = StepInput {
            step: self.counters.step,
            seed: seed_of(&self.config, self.counters.attempt),
            lr: self.config.train.lr * self.counters.lr_scale,
            remedy: self.counters.remedy,
            loader: &self.loader,
        };
        let losses = self.trainer.step(&input);
        self.counters.step += 1;
        if let Some(&(_, share)) = losses.iter().find(|(name, share)| *name == ACCURACY && share.is_finite()) {
            let before = self.counters.accuracy.unwrap_or(f64::from(share));
            self.counters.accuracy = Some(before + 0.01 * (f64::from(share) - before));
        }
        losses
    }

    fn budget_spent(&self) -> bool {
        self.progress() >= 1.0
    }

    fn progress(&self) -> f64 {
        progress(&self.config.train, &self.counters)
    }

    /// Regularly, and at an eighth, a quarter and half of the first interval, so that the first minute shows something.
    fn look_is_due(&self) -> bool {
        let (step, every) = (self.counters.step, self.config.train.look_every.max(1));
        step.is_multiple_of(every) || [every / 8, every / 4, every / 2].contains(&step) || self.budget_spent()
    }

    /// A magnitude that no healthy loss reaches: logits in the thousands, or a thousand nats a number.
    fn loss_limit(&self) -> f32 {
        match self.config.model {
            ModelConfig::Vae(_) => 1e3 * self.config.data.row_bytes() as f32,
            _ => 1e4,
        }
    }

    /// Adds losses to the log, one line of means for every fortieth of the way to the next look.
    fn note_losses(&mut self, losses: &Losses) -> Result<()> {
        let (sums, count) = &mut self.pending;
        if sums.is_empty() {
            sums.extend(losses.iter().map(|&(name, _)| (name, 0.0)));
        }
        for ((_, sum), (_, value)) in sums.iter_mut().zip(losses) {
            *sum += f64::from(*value);
        }
        *count += 1;
        let every = (self.config.train.look_every / 40).max(1);
        if self.counters.step.is_multiple_of(every) {
            let (sums, count) = std::mem::take(&mut self.pending);
            let mut line = json!({
                "event": "step",
                "step": self.counters.step,
                "images": self.images(),
                "seconds": round(self.counters.seconds, 3),
            });
            for (name, sum) in sums {
                line[name] = json!(round(sum / count as f64, 6));
            }
            self.log.write(line)?;
        }
        Ok(())
    }

    fn images(&self) -> u64 {
        self.counters.step * self.config.train.batch as u64
    }

    fn info(&self) -> ModelInfo {
        let manifest = self.dataset.manifest();
        ModelInfo {
            format: ModelInfo::current_format(),
            name: look::model_name(&self.config),
            config: self.config.model.clone(),
            step: self.counters.step,
            images_seen: self.images(),
            seed: self.config.seed,
            data: look::source_name(&self.config.data.source),
            data_pictures: self.dataset.train_len(),
            data_fingerprint: manifest.fingerprint.clone(),
            version: crate::VERSION.to_string(),
        }
    }

    /// Scores the averaged model, saves a checkpoint, draws the grid. Returns the trouble it saw, if any; then nothing was saved.
    fn look(&mut self, observer: &mut dyn Observer) -> Result<Option<Trouble>> {
        let step = self.counters.step;
        let sampler = Sampler::in_training(self.trainer.model(), self.info(), self.device.clone());
        let looked = self.looker.look(&sampler);
        if let Some(trouble) = health::diversity(step, looked.diversity, self.counters.diversity) {
            return Ok(Some(trouble));
        }
        self.counters.diversity = self.counters.diversity.max(looked.diversity);
        let mut scores = looked.scores;
        if let Some(likelihood) = self.trainer.likelihood(sampler.model(), &self.dataset) {
            scores.insert(0, (format!("heldout_elbo_bits_{}", self.config.vae.reconstruction.name()), likelihood));
        }
        let score = scores[0].1;
        // The untrained start is never the best, whatever its score.
        let best = score.is_finite() && step > 0 && self.counters.best.as_ref().is_none_or(|b| score < b.score);
        if best {
            self.counters.best = Some(Best { step, score });
        }
        let level = self.weigh(score);
        if let Some(trouble) = health::domination(&self.counters.looks)
            && !self.budget_spent()
            && self.remedy(trouble.kind).is_some()
        {
            return Ok(Some(trouble));
        }
        match self.save_model(sampler.model()) {
            // The last update left weights that are no numbers; the losses would show it only at the next step.
            Err(error) if error.kind == ErrorKind::Diverged => return Ok(Some(health::broken_weights(step))),
            saved => saved?,
        }
        let sample = self.draw_sample()?;
        let mut line = json!({
            "event": "look", "step": step, "images": self.images(),
            "seconds": round(self.counters.seconds, 3), "best": best, "diversity": round(looked.diversity, 4),
        });
        for (name, value) in &scores {
            line[name.as_str()] = json!(round(*value, 6));
        }
        self.log.write(line)?;
        observer.event(&Event::Look { step, sample, scores, best });
        if let Some(words) = level {
            self.note(words, observer)?;
        }
        Ok(None)
    }

    /// Takes note of the score of this look. Where it has just stopped improving, says so, and stops training if it may.
    fn weigh(&mut self, score: f64) -> Option<String> {
        let Counters { step, accuracy, .. } = self.counters;
        if step == 0 || !score.is_finite() {
            return None;
        }
        let limits = self.config.train.limits();
        let patience = if limits.patience > 0 { limits.patience } else { PATIENCE };
        self.counters.looks.push(Scored { step, score, accuracy });
        let whole = (self.counters.looks.len() as f64 / self.progress()) as usize;
        let found = plateau(&self.counters.looks, patience, whole)?;
        if limits.patience > 0 && !self.budget_spent() {
            self.counters.stopped = Some(limits);
        }
        let said = std::mem::replace(&mut self.counters.level, true);
        (!said).then(|| found.words())
    }

    /// Saves without looking: what an interruption does.
    fn save(&mut self) -> Result<()> {
        let directory = checkpoint::directory(&self.dir.checkpoints(), self.counters.step);
        if checkpoint::verify(&directory).is_ok() {
            return Ok(());
        }
        let model = self.trainer.model();
        self.save_model(&model)
    }

    fn save_model(&mut self, model: &PictureModel) -> Result<()> {
        let step = self.counters.step;
        checkpoint::save(&self.dir.checkpoints(), &self.counters, &self.trainer.state(), model, &self.info())?;
        self.dir.point("last", step)?;
        let best = self.counters.best.as_ref().map(|best| best.step);
        self.dir.point("best", best.unwrap_or(step))?;
        checkpoint::tidy(&self.dir.checkpoints(), best);
        Ok(())
    }

    /// The grid of this step, from the checkpoint as it was saved.
    fn draw_sample(&self) -> Result<PathBuf> {
        let directory = checkpoint::directory(&self.dir.checkpoints(), self.counters.step);
        let (sampler, _) = Sampler::open(&directory)?;
        let path = self.dir.sample(self.counters.step);
        look::write_sample(&path, &sampler, &self.config, &self.dataset)?;
        Ok(path)
    }

    fn restore(&mut self, counters: Counters, state: Weights) -> Result<()> {
        self.trainer.restore(state, counters.step)?;
        self.loader = loader(&self.config, &self.dataset, counters.attempt);
        self.counters = counters;
        self.pending = Default::default();
        Ok(())
    }

    fn note(&mut self, text: String, observer: &mut dyn Observer) -> Result<()> {
        self.note_with(text, json!({}), observer)
    }

    /// A note, and in the log the numbers that belong to it.
    fn note_with(&mut self, text: String, mut line: Value, observer: &mut dyn Observer) -> Result<()> {
        line["event"] = json!("note");
        line["step"] = json!(self.counters.step);
        line["text"] = json!(text);
        self.log.write(line)?;
        observer.event(&Event::Note(text));
        Ok(())
    }

    fn outcome(self, finished: bool) -> Outcome {
        let Counters { step, seconds, best, stopped, .. } = self.counters;
        Outcome { step, seconds, best, finished, stopped_early: finished && stopped.is_some() }
    }
}

/// The seed of an attempt: after a rollback other pictures and latents are drawn.
fn seed_of(config: &RunConfig, attempt: u32) -> u64 {
    config.seed ^ (u64::from(attempt) << 48)
}

pub(super) fn loader(config: &RunConfig, dataset: &Arc<Dataset>, attempt: u32) -> Arc<Loader> {
    Arc::new(Loader::new(dataset.clone(), config.train.batch, config.train.flip, seed_of(config, attempt)))
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}
