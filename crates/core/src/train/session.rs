//! The loop: steps, looks, checkpoints, resume, rollback. Everything that must not be wrong exists here once.

use super::checkpoint::{self, Best, Counters};
use super::config::{RunConfig, TrainConfig};
use super::look::{self, Looker};
use super::run_dir::{Lock, Log, RunDir};
use super::{Event, Losses, Observer, Outcome, Run, StepInput, Trainer, health, new_trainer};
use crate::data::{Dataset, Loader};
use crate::generate::sampler::Sampler;
use crate::models::{ModelConfig, PictureModel};
use crate::provenance::bundle::ModelInfo;
use crate::provenance::weights::Weights;
use crate::{Error, ErrorKind, Result};
use burn::tensor::Device;
use serde_json::json;
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
    looks_without_gain: u32,
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
        // A run that has nothing left to do has nothing to try.
        if progress(&config.train, &counters) < 1.0 {
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
            looker: Looker::new(&config, &dataset, &device),
            dir,
            device,
            config,
            dataset,
            trainer,
            loader,
            counters,
            pending: (Vec::new(), 0),
            looks_without_gain: 0,
            _lock,
        };
        match found {
            Some((_, counters, state)) => {
                session.restore(counters, state)?;
                session.dir.forget_after(session.counters.step)?;
                session.log = session.dir.open_log()?;
                observer.event(&Event::Resumed { step: session.counters.step });
                if !session.dir.sample(session.counters.step).is_file() {
                    session.draw_sample()?;
                }
            }
            None => {
                look::write_reals(&session.dir, &session.config, &session.dataset)?;
                session.look(observer)?;
            }
        }
        if !session.budget_spent() {
            // Not of a step: what a rollback forgets has been computed all the same.
            session.log.write(json!({
                "event": "session", "from": session.counters.step, "machine": observer.machine(), "version": crate::VERSION,
            }))?;
        }
        Ok(session)
    }

    pub fn train(mut self, observer: &mut dyn Observer) -> Result<Outcome> {
        let mut clock = observer.seconds();
        let mut rate = Rate::default();
        while !self.budget_spent() {
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
            loader: &self.loader,
        };
        let losses = self.trainer.step(&input);
        self.counters.step += 1;
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
    fn look(&mut self, observer: &mut dyn Observer) -> Result<Option<String>> {
        let step = self.counters.step;
        let sampler = Sampler::in_training(self.trainer.model(), self.info(), self.device.clone());
        let looked = self.looker.look(&sampler);
        if let Some(trouble) = health::diversity(step, looked.diversity, self.counters.diversity) {
            return Ok(Some(trouble));
        }
        self.counters.diversity = self.counters.diversity.max(looked.diversity);
        let mut scores = looked.scores;
        if let Some(likelihood) = self.trainer.likelihood(sampler.model(), &self.dataset) {
            scores.insert(0, (format!("heldout_elbo_bits_{}", look::reconstruction_name(&self.config)), likelihood));
        }
        let score = scores[0].1;
        // The untrained start is never the best, whatever its score.
        let best = score.is_finite() && step > 0 && self.counters.best.as_ref().is_none_or(|b| score < b.score);
        if best {
            self.counters.best = Some(Best { step, score });
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
        self.looks_without_gain = if best { 0 } else { self.looks_without_gain + 1 };
        if self.looks_without_gain == 8 {
            let best = self.counters.best.as_ref().map_or(0, |b| b.step);
            self.note(format!("the score has not improved since step {best}: more training may not help"), observer)?;
        }
        Ok(None)
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
        look::write_sample(&path, &sampler, &self.config)?;
        Ok(path)
    }

    fn restore(&mut self, counters: Counters, state: Weights) -> Result<()> {
        self.trainer.restore(state, counters.step)?;
        self.loader = loader(&self.config, &self.dataset, counters.attempt);
        self.counters = counters;
        self.pending = Default::default();
        Ok(())
    }

    /// Back to the newest trusted checkpoint with half the learning rate and other random draws, or an error when the
    /// retries are used up.
    fn roll_back(&mut self, trouble: &str, observer: &mut dyn Observer) -> Result<()> {
        let checkpoints = self.dir.checkpoints();
        let Some((directory, mut counters, state)) = checkpoint::trusted(&checkpoints, self.counters.step) else {
            return Err(Error::new(
                ErrorKind::Diverged,
                format!("{trouble}, and there is no checkpoint to go back to"),
            ));
        };
        // A rollback to the same place, cut off before the later checkpoints were gone, may know of more than this state.
        let attempt = self.counters.attempt.max(counters.attempt) + 1;
        let given_up = attempt > health::RETRIES;
        counters.best = counters.best.filter(|best| checkpoint::directory(&checkpoints, best.step).is_dir());
        if !given_up {
            counters.attempt = attempt;
            counters.lr_scale = 0.5 * self.counters.lr_scale.min(counters.lr_scale);
            counters.seconds = self.counters.seconds;
            // Written down before anything else, so that being killed does not give the retry back.
            checkpoint::rewrite(&directory, &counters)?;
        }
        self.dir.point("last", counters.step)?;
        self.dir.point("best", counters.best.as_ref().map_or(counters.step, |best| best.step))?;
        checkpoint::forget_after(&checkpoints, counters.step)?;
        if given_up {
            return Err(Error::new(
                ErrorKind::Diverged,
                format!("{trouble}, and {} retries from the last good checkpoint did not help", health::RETRIES),
            )
            .hint(format!(
                "the last good checkpoint is kept; try a lower learning rate, for example --set train.lr={:e}",
                self.config.train.lr / 10.0
            )));
        }
        let note = format!(
            "{trouble}: back to step {}, learning rate halved to {:.2e} (retry {attempt} of {})",
            counters.step,
            self.config.train.lr * counters.lr_scale,
            health::RETRIES
        );
        self.restore(counters, state)?;
        self.dir.forget_after(self.counters.step)?;
        self.log = self.dir.open_log()?;
        self.note(note, observer)
    }

    fn note(&mut self, text: String, observer: &mut dyn Observer) -> Result<()> {
        self.log.write(json!({"event": "note", "step": self.counters.step, "text": text}))?;
        observer.event(&Event::Note(text));
        Ok(())
    }

    fn outcome(self, finished: bool) -> Outcome {
        Outcome { step: self.counters.step, seconds: self.counters.seconds, best: self.counters.best, finished }
    }
}

/// The seed of an attempt: after a rollback other pictures and latents are drawn.
fn seed_of(config: &RunConfig, attempt: u32) -> u64 {
    config.seed ^ (u64::from(attempt) << 48)
}

pub(super) fn loader(config: &RunConfig, dataset: &Arc<Dataset>, attempt: u32) -> Arc<Loader> {
    Arc::new(Loader::new(dataset.clone(), config.train.batch, config.train.flip, seed_of(config, attempt)))
}

/// Times a few trial steps on a copy, reports what the run will take, and fills in the interval between looks.
fn estimate(
    config: &mut RunConfig,
    done: &Counters,
    trainer: &mut dyn Trainer,
    loader: &Loader,
    observer: &mut dyn Observer,
) {
    let mut trial = trainer.boxed_clone();
    let mut timed = |step| {
        let start = observer.seconds();
        trial.step(&StepInput { step, seed: config.seed, lr: config.train.lr, loader });
        observer.seconds() - start
    };
    timed(0); // the first step also pays for allocating
    let seconds_per_step = timed(1).min(timed(2)).max(1e-4);
    let steps = remaining_steps(&config.train, done, seconds_per_step);
    if config.train.look_every == 0 {
        // Twenty looks a run; but a look takes a second or two, so not more than one in ten seconds, and at least one in ten
        // minutes, which is what a crash may cost.
        let every = (steps as f64 / 20.0).max(10.0 / seconds_per_step).min(600.0 / seconds_per_step);
        config.train.look_every = nice(every);
    }
    observer.event(&Event::Estimate {
        seconds_per_step,
        steps,
        seconds: steps as f64 * seconds_per_step,
        memory: observer.memory(),
        look_every: config.train.look_every,
    });
}

/// Share of the budget that is spent.
fn progress(config: &TrainConfig, counters: &Counters) -> f64 {
    let by_steps = if config.steps > 0 { counters.step as f64 / config.steps as f64 } else { 0.0 };
    let by_time = if config.minutes > 0.0 { counters.seconds / (config.minutes * 60.0) } else { 0.0 };
    by_steps.max(by_time)
}

/// Steps until the budget is spent.
fn remaining_steps(config: &TrainConfig, counters: &Counters, seconds_per_step: f64) -> u64 {
    let by_steps = if config.steps > 0 { config.steps.saturating_sub(counters.step) } else { u64::MAX };
    let seconds = config.minutes * 60.0 - counters.seconds;
    let by_time =
        if config.minutes > 0.0 { (seconds.max(0.0) / seconds_per_step.max(1e-6)).ceil() as u64 } else { u64::MAX };
    by_steps.min(by_time)
}

/// The round number (1, 2 or 5 times a power of ten) at or below `value`, at least 1.
fn nice(value: f64) -> u64 {
    let power = 10f64.powf(value.max(1.0).log10().floor());
    let digit = value / power;
    let round = if digit >= 5.0 {
        5.0
    } else if digit >= 2.0 {
        2.0
    } else {
        1.0
    };
    (round * power) as u64
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

/// Pictures a second, smoothed over about ten steps.
#[derive(Default)]
struct Rate(Option<f64>);

impl Rate {
    fn update(&mut self, pictures: usize, seconds: f64) -> f64 {
        let now = pictures as f64 / seconds.max(1e-9);
        let smooth = self.0.map_or(now, |before| before * 0.9 + now * 0.1);
        self.0 = Some(smooth);
        smooth
    }
}
