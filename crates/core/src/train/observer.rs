//! What training reports while it runs, and to whom.

use crate::families::trainer::Losses;
use crate::judge::ScoreName;
use crate::run::counters::Best;
use std::path::PathBuf;

/// What training is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Pictures shown.
    Pictures,
    /// Tokens read.
    Tokens,
}

impl Unit {
    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pictures => "pictures",
            Self::Tokens => "tokens",
        }
    }

    /// As `metrics.jsonl` has it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Pictures => "images",
            Self::Tokens => "tokens",
        }
    }
}

/// What training reports while it runs.
#[derive(Debug, Clone)]
pub enum Event {
    /// The run goes on from a checkpoint.
    Resumed {
        /// Steps completed.
        step: u64,
    },
    /// What the trial steps measured.
    Estimate {
        /// Seconds a step.
        seconds_per_step: f64,
        /// Steps until the end.
        steps: u64,
        /// Seconds until the end.
        seconds: f64,
        /// Highest memory use of the process so far, in bytes.
        memory: Option<u64>,
        /// Steps between looks.
        look_every: u64,
    },
    /// A step is done.
    Step {
        /// Steps completed.
        step: u64,
        /// Pictures or tokens a second, over the last steps.
        rate: f64,
        /// Which of the two.
        unit: Unit,
        /// Share of the run that is done.
        progress: f64,
        /// Seconds until the end.
        eta: f64,
        /// Losses of this step.
        losses: Losses,
    },
    /// The model was scored and saved, and a sample of it written.
    Look {
        /// Steps completed.
        step: u64,
        /// A grid of pictures, or texts.
        sample: PathBuf,
        /// Scores under their protocol names, lower is better; the first decides which checkpoint is best.
        scores: Vec<(ScoreName, f64)>,
        /// Is this the best look so far?
        best: bool,
        /// Was another one better, but by so little that it may be chance? Of looks that are about as good, the last one is best.
        alike: bool,
    },
    /// Something the user should know, in one sentence.
    Note(String),
}

/// Who listens to training. The library has no clock of its own: the listener brings it.
pub trait Observer {
    /// Something happened.
    fn event(&mut self, event: &Event);
    /// Should training save and stop?
    fn stop(&self) -> bool {
        false
    }
    /// Seconds on a clock that only goes forward.
    fn seconds(&self) -> f64;
    /// Highest memory use of this process so far, in bytes, where it is known.
    fn memory(&self) -> Option<u64> {
        None
    }
    /// What computes, in words, for the record.
    fn machine(&self) -> Option<String> {
        None
    }
}

/// How training ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Steps completed.
    pub step: u64,
    /// Seconds of training, all sessions together.
    pub seconds: f64,
    /// The best look.
    pub best: Option<Best>,
    /// Did it reach the end of its budget (true), or was it asked to stop (false)?
    pub finished: bool,
    /// Did it end before its budget, because the score had stopped improving?
    pub stopped_early: bool,
}
