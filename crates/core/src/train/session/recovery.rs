//! The way back from trouble: to which checkpoint, with what changed, and how often.

use super::Session;
use crate::families::trainer::{Kind, Remedy};
use crate::run::checkpoint;
use crate::run::config::RunSettings;
use crate::run::counters::Counters;
use crate::train::health::{RETRIES, Trouble};
use crate::train::observer::Observer;
use crate::train::subject::Subject;
use crate::{Error, ErrorKind, Result};
use serde_json::json;

impl<S: Subject> Session<S> {
    /// What is changed next for this kind of trouble, besides the learning rate.
    pub(super) fn remedy(&self, kind: Kind) -> Option<(Remedy, &'static str)> {
        self.subject.remedy(self.counters.remedy, kind)
    }

    /// Back to a checkpoint from before the trouble, with something changed, or an error when the retries are used up.
    ///
    /// After divergence and collapse that is the newest trusted one, and the learning rate is halved and other pictures are
    /// drawn. A discriminator that dominates has broken nothing: training goes back to the best look, after which nothing
    /// was won, and its remedies are bounded by themselves.
    pub(super) fn roll_back(&mut self, trouble: &Trouble, observer: &mut dyn Observer) -> Result<()> {
        let words = &trouble.words;
        let checkpoints = self.dir.checkpoints();
        let Some((directory, mut counters, state)) = self.way_back(trouble.kind) else {
            return Err(Error::new(ErrorKind::Diverged, format!("{words}, and there is no checkpoint to go back to")));
        };
        let again = trouble.kind != Kind::Domination;
        // A rollback to the same place, cut off before the later checkpoints were gone, may know of more than this state.
        let attempt = self.counters.attempt.max(counters.attempt) + u32::from(again);
        let given_up = attempt > RETRIES;
        counters.best = counters.best.filter(|best| checkpoint::directory(&checkpoints, best.step).is_dir());
        let mut changed = Vec::new();
        if !given_up {
            counters.attempt = attempt;
            counters.lr_scale = self.counters.lr_scale.min(counters.lr_scale) * if again { 0.5 } else { 1.0 };
            counters.seconds = self.counters.seconds;
            counters.remedy = self.counters.remedy.and(counters.remedy);
            if again {
                changed.push(format!("learning rate halved to {:.2e}", self.config.train().lr * counters.lr_scale));
            }
            if counters.stopped.take().is_some() {
                // It was asked to go on from there: as at its beginning, what comes is judged by itself.
                counters.looks.clear();
                counters.level = false;
            }
            if let Some((remedy, said)) = self.remedy(trouble.kind) {
                counters.remedy = counters.remedy.and(remedy);
                changed.push(said.into());
            }
            // Written down before anything else, so that being killed does not give the retry back.
            checkpoint::rewrite(&directory, &counters)?;
        }
        self.point(&counters)?;
        checkpoint::forget_after(&checkpoints, counters.step)?;
        if given_up {
            return Err(Error::new(
                ErrorKind::Diverged,
                format!("{words}, and {RETRIES} retries from the last good checkpoint did not help"),
            )
            .hint(format!(
                "the last good checkpoint is kept; train again with a lower learning rate, for example --set train.lr={:e}",
                self.config.train().lr / 10.0
            )));
        }
        let retry = if again { format!(" (retry {attempt} of {RETRIES})") } else { String::new() };
        let note = format!("{words}: back to step {}, {}{retry}", counters.step, changed.join(", "));
        self.restore(counters, state)?;
        self.dir.forget_after(self.counters.step)?;
        self.log = self.dir.open_log()?;
        let Counters { lr_scale, remedy, .. } = self.counters;
        let numbers = json!({
            "trouble": trouble.kind.name(), "attempt": attempt, "lr_scale": lr_scale,
            "d_lr_scale": remedy.d_lr_scale, "augment": remedy.augment,
        });
        self.note_with(note, numbers, observer)
    }

    /// The checkpoint to go back to.
    fn way_back(&self, kind: Kind) -> Option<checkpoint::Found> {
        let checkpoints = self.dir.checkpoints();
        let best = self.counters.best.as_ref().filter(|_| kind == Kind::Domination).and_then(|best| {
            let directory = checkpoint::directory(&checkpoints, best.step);
            let (counters, state) = checkpoint::load(&directory).ok()?;
            Some((directory, counters, state))
        });
        best.or_else(|| checkpoint::trusted(&checkpoints, self.counters.step))
    }
}
