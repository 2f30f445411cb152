//! The loop: steps, looks, checkpoints, resume. Everything that must not be wrong exists here once.

mod budget;
mod recovery;

use super::health::{self, Trouble};
use super::init;
use super::observer::{Event, Observer, Outcome};
use super::plateau::{PATIENCE, plateau};
use super::subject::{Looked, Moment, Subject};
use crate::families::trainer::{ACCURACY, Losses};
use crate::run::checkpoint;
use crate::run::config::RunSettings;
use crate::run::counters::Scored;
use crate::run::counters::{Best, Counters};
use crate::run::dir::{Lock, Log, RunDir};
use crate::weights::Weights;
use crate::{Error, ErrorKind, Result};
use budget::{Rate, estimate, progress, remaining_steps};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// A run in training, of pictures or of text.
pub(super) struct Session<S: Subject> {
    dir: RunDir,
    config: S::Config,
    subject: S,
    counters: Counters,
    log: Log,
    /// Sum and number of the losses since the last line of the log.
    pending: (Vec<(&'static str, f64)>, u64),
    _lock: Lock,
}

impl<S: Subject> Session<S> {
    /// Opens a run of `config` in `dir`, whose lock is held: at its newest whole checkpoint, or at step 0.
    pub fn open(
        dir: RunDir,
        mut config: S::Config,
        subject: S,
        lock: Lock,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        let checkpoints = dir.checkpoints();
        let (found, warnings) = checkpoint::newest_whole(&checkpoints);
        if found.is_none() && !warnings.is_empty() {
            // To begin anew would overwrite what may still be saved.
            let damaged =
                Error::corrupt(format!("no checkpoint in {} is whole: {}", checkpoints.display(), warnings.join("; ")));
            return Err(damaged.hint("put one back from a copy, or move the run away and train anew"));
        }
        let counters = found.as_ref().map_or_else(Counters::start, |(_, counters, _)| counters.clone());
        let stopped = counters.stopped == Some(config.train().limits());
        // A run that has nothing left to do has nothing to try.
        if progress(config.train(), &counters) < 1.0 && !stopped {
            estimate(&mut config, &counters, &subject, observer);
        }
        dir.write_settings(&config.to_toml())?;
        if !config.train().precision.is_supported() {
            observer.event(&Event::Note("this processor has no bf16 instructions: training in f32".into()));
        }
        for warning in warnings {
            observer.event(&Event::Note(format!("{warning}; trying the checkpoint before it")));
        }
        let log = dir.open_log()?;
        let pending = (Vec::new(), 0);
        let mut session = Self { dir, config, subject, counters, log, pending, _lock: lock };
        match found {
            Some((_, counters, state)) => {
                session.restore(counters, state)?;
                let step = session.counters.step;
                for aside in checkpoint::set_aside_after(&checkpoints, step)? {
                    observer.event(&Event::Note(format!("what is damaged is kept as {}", aside.display())));
                }
                session.point(&session.counters)?;
                session.dir.forget_after(step)?;
                session.log = session.dir.open_log()?;
                init::begun(&session.dir);
                observer.event(&Event::Resumed { step: session.counters.step });
                if !session.sample_path().is_file() {
                    session.write_sample()?;
                }
            }
            None => {
                session.subject.begin(&session.dir)?;
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
        let limits = self.config.train().limits();
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
            let limit = self.subject.loss_limit();
            if let Some(trouble) = health::losses(self.counters.step, &losses, limit) {
                self.roll_back(&trouble, observer)?;
                continue;
            }
            self.note_losses(&losses)?;
            let rate = rate.update(self.subject.a_step(), took);
            let seconds_per_step = self.subject.a_step() as f64 / rate;
            observer.event(&Event::Step {
                step: self.counters.step,
                rate,
                unit: S::UNIT,
                progress: self.progress(),
                eta: remaining_steps(self.config.train(), &self.counters, seconds_per_step) as f64 * seconds_per_step,
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
        let moment = Moment {
            step: self.counters.step,
            seed: self.seed(),
            lr: self.config.train().lr * self.counters.lr_scale,
            remedy: self.counters.remedy,
            progress: self.progress(),
        };
        let losses = self.subject.step(&moment);
        self.counters.step += 1;
        if let Some(&(_, share)) = losses.iter().find(|(name, share)| *name == ACCURACY && share.is_finite()) {
            let before = self.counters.accuracy.unwrap_or(f64::from(share));
            self.counters.accuracy = Some(before + 0.01 * (f64::from(share) - before));
        }
        losses
    }

    /// The seed of this attempt: after a rollback other examples and noise are drawn.
    fn seed(&self) -> u64 {
        self.config.seed() ^ (u64::from(self.counters.attempt) << 48)
    }

    fn budget_spent(&self) -> bool {
        self.progress() >= 1.0
    }

    fn progress(&self) -> f64 {
        progress(self.config.train(), &self.counters)
    }

    /// Regularly, and at an eighth, a quarter and half of the first interval, so that the first minute shows something.
    fn look_is_due(&self) -> bool {
        let (step, every) = (self.counters.step, self.config.train().look_every.max(1));
        step.is_multiple_of(every) || [every / 8, every / 4, every / 2].contains(&step) || self.budget_spent()
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
        let every = (self.config.train().look_every / 40).max(1);
        if self.counters.step.is_multiple_of(every) {
            let (sums, count) = std::mem::take(&mut self.pending);
            let mut line = json!({
                "event": "step",
                "step": self.counters.step,
                (S::UNIT.key()): self.shown(),
                "seconds": round(self.counters.seconds, 3),
            });
            for (name, sum) in sums {
                line[name] = json!(round(sum / count as f64, 6));
            }
            self.log.write(line)?;
        }
        Ok(())
    }

    /// Pictures shown or tokens read so far, repeats counted.
    fn shown(&self) -> u64 {
        self.counters.step * self.subject.a_step()
    }

    /// Scores the averaged model, saves a checkpoint, writes the sample. Returns the trouble it saw, if any; then nothing was saved.
    fn look(&mut self, observer: &mut dyn Observer) -> Result<Option<Trouble>> {
        let step = self.counters.step;
        let model = self.subject.model(step);
        let Looked { scores, diversity } = self.subject.look(&model);
        if let Some(diversity) = diversity {
            if let Some(trouble) = health::diversity(step, diversity, self.counters.diversity) {
                return Ok(Some(trouble));
            }
            self.counters.diversity = self.counters.diversity.max(diversity);
        }
        let score = scores[0].1;
        // The untrained start is never the best, whatever its score.
        let best = score.is_finite() && step > 0 && {
            let (found, own) = Best::after(self.counters.best.as_ref(), step, score, self.subject.tolerance());
            self.counters.best = Some(found);
            own
        };
        let level = self.weigh(score);
        if let Some(trouble) = health::domination(&self.counters.looks)
            && !self.budget_spent()
            && self.remedy(trouble.kind).is_some()
        {
            return Ok(Some(trouble));
        }
        match self.save_model(&model) {
            // The last update left weights that are not numbers; the losses would show it only at the next step.
            Err(error) if error.kind == ErrorKind::Diverged => return Ok(Some(health::broken_weights(step))),
            saved => saved?,
        }
        let mut line = json!({
            "event": "look", "step": step, (S::UNIT.key()): self.shown(),
            "seconds": round(self.counters.seconds, 3), "best": best,
        });
        if let Some(diversity) = diversity {
            line["diversity"] = json!(round(diversity, 4));
        }
        for (name, value) in &scores {
            line[name.to_string()] = json!(round(*value, 6));
        }
        self.log.write(line)?;
        // Last, because a run that goes on can draw it again, but not say it again.
        let sample = self.write_sample()?;
        let alike = best && self.counters.best.as_ref().is_some_and(|best| best.lowest.is_some());
        observer.event(&Event::Look { step, sample, scores, best, alike });
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
        let limits = self.config.train().limits();
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
        let model = self.subject.model(self.counters.step);
        self.save_model(&model)
    }

    fn save_model(&mut self, model: &S::Model) -> Result<()> {
        let write_model = |path: &Path| self.subject.write_model(path, model);
        checkpoint::save(&self.dir.checkpoints(), &self.counters, &self.subject.state(), write_model)?;
        self.point(&self.counters)?;
        checkpoint::tidy(&self.dir.checkpoints(), self.counters.best.as_ref().map(|best| best.step));
        Ok(())
    }

    /// Points `last` at the checkpoint of `counters`, and `best` at the best one, if that is there.
    fn point(&self, counters: &Counters) -> Result<()> {
        self.dir.point("last", counters.step)?;
        let best = counters.best.as_ref().map(|best| best.step);
        let there = |step: &u64| checkpoint::directory(&self.dir.checkpoints(), *step).is_dir();
        self.dir.point("best", best.filter(there).unwrap_or(counters.step))
    }

    /// Where the sample of this step lies.
    fn sample_path(&self) -> PathBuf {
        self.dir.sample(self.counters.step, S::SAMPLES)
    }

    /// The sample of this step, from the checkpoint as it was saved.
    fn write_sample(&self) -> Result<PathBuf> {
        let path = self.sample_path();
        let directory = checkpoint::directory(&self.dir.checkpoints(), self.counters.step);
        self.subject.write_sample(&directory, &path)?;
        Ok(path)
    }

    fn restore(&mut self, counters: Counters, state: Weights) -> Result<()> {
        self.counters = counters;
        self.pending = Default::default();
        let seed = self.seed();
        self.subject.restore(state, self.counters.step, seed)
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

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}
