//! How long a run takes and how much of it is left.

use crate::families::settings::TrainConfig;
use crate::run::config::RunSettings;
use crate::run::counters::Counters;
use crate::train::observer::{Event, Observer};
use crate::train::subject::{Moment, Subject};

/// Times a few trial steps on a copy, reports what the run will take, and fills in the interval between looks.
pub fn estimate<S: Subject>(config: &mut S::Config, done: &Counters, subject: &S, observer: &mut dyn Observer) {
    let mut trial = subject.trial();
    let (seed, lr) = (config.seed(), config.train().lr);
    let mut timed = |step| {
        let start = observer.seconds();
        trial(&Moment { step, seed, lr, remedy: done.remedy, progress: 0.0 });
        observer.seconds() - start
    };
    timed(0); // the first step also pays for allocating
    let seconds_per_step = timed(1).min(timed(2)).max(1e-4);
    let steps = remaining_steps(config.train(), done, seconds_per_step);
    if config.train().look_every == 0 {
        // Twenty looks a run; but a look takes a second or two, so not more than one in ten seconds, and at least one in ten
        // minutes, which is what a crash may cost.
        let every = (steps as f64 / 20.0).max(10.0 / seconds_per_step).min(600.0 / seconds_per_step);
        config.train_mut().look_every = nice(every);
    }
    observer.event(&Event::Estimate {
        seconds_per_step,
        steps,
        seconds: steps as f64 * seconds_per_step,
        memory: observer.memory(),
        look_every: config.train().look_every,
    });
}

/// Share of the budget that is spent.
pub fn progress(config: &TrainConfig, counters: &Counters) -> f64 {
    let by_steps = if config.steps > 0 { counters.step as f64 / config.steps as f64 } else { 0.0 };
    let by_time = if config.minutes > 0.0 { counters.seconds / (config.minutes * 60.0) } else { 0.0 };
    by_steps.max(by_time)
}

/// Steps until the budget is spent.
pub fn remaining_steps(config: &TrainConfig, counters: &Counters, seconds_per_step: f64) -> u64 {
    let by_steps = if config.steps > 0 { config.steps.saturating_sub(counters.step) } else { u64::MAX };
    let seconds = config.minutes * 60.0 - counters.seconds;
    let by_time =
        if config.minutes > 0.0 { (seconds.max(0.0) / seconds_per_step.max(1e-6)).ceil() as u64 } else { u64::MAX };
    by_steps.min(by_time)
}

/// The round number (1, 2 or 5 times a power of ten) at or below `value`, at least 1.
pub fn nice(value: f64) -> u64 {
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

/// Units a second, smoothed over about ten steps.
#[derive(Default)]
pub struct Rate(Option<f64>);

impl Rate {
    /// After a step of this many units.
    pub fn update(&mut self, units: u64, seconds: f64) -> f64 {
        let now = units as f64 / seconds.max(1e-9);
        let smooth = self.0.map_or(now, |before| before * 0.9 + now * 0.1);
        self.0 = Some(smooth);
        smooth
    }
}
