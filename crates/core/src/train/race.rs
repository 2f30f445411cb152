//! A race: two candidates train for a tenth of the budget each, and the one whose pictures score better goes on.
//!
//! `RUN/race.toml` holds both candidates and, once it is known, the result. `RUN/race/FAMILY/` are runs like any other, so an
//! interrupted race goes on where it was. The winner's files then move up into `RUN`, its `run.toml` last: until that is
//! there, `RUN` is a race and not yet a run. The loser stays where it is.

use super::look::Looker;
use super::observer::{Event, Observer};
use super::run::Run;
use crate::data::Dataset;
use crate::features::Extractor;
use crate::generate::sampler::Sampler;
use crate::judge::ScoreName;
use crate::pretrained::EfficientNetLite0;
use crate::run::checkpoint;
use crate::run::config::RunConfig;
use crate::run::dir::{Lock, RunDir};
use crate::{Error, ErrorKind, Result, device, files};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FILE: &str = "race.toml";
/// Each candidate gets the budget divided by this.
const SHARE: u64 = 10;

/// The plan of a race, and its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    /// The result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<Finish>,
    /// The candidates with the whole budget.
    candidates: Vec<RunConfig>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Finish {
    /// Number of the winner.
    winner: usize,
    /// The name of the score.
    score: ScoreName,
    /// The score of each: lower is better.
    values: Vec<f64>,
}

/// A race in the directory of the run that it is to become.
#[derive(Debug)]
pub struct Race {
    dir: RunDir,
    plan: Plan,
    _lock: Lock,
}

impl Race {
    /// Does `path` hold a race that has not become a run yet?
    pub fn is_race(path: &Path) -> bool {
        path.join(FILE).is_file() && !RunDir::is_run(path)
    }

    /// Prepares a race in `dir`, which must not hold a run yet.
    ///
    /// # Errors
    /// A setting out of range, another trainer, a place that cannot be written to.
    pub fn create(dir: RunDir, candidates: [RunConfig; 2], data: &Dataset) -> Result<Self> {
        candidates.iter().try_for_each(RunConfig::validate)?;
        dir.vacant()?;
        std::fs::create_dir_all(dir.root()).map_err(|e| Error::io("create", dir.root(), &e))?;
        let lock = dir.lock()?;
        let manifest = serde_json::to_vec_pretty(data.manifest()).expect("a manifest is plain data");
        files::write_bytes(&dir.file("data.json"), &manifest)?;
        dir.note_source(&candidates[0].data.source)?;
        let race = Self { dir, plan: Plan { result: None, candidates: candidates.into() }, _lock: lock };
        race.write()?;
        Ok(race)
    }

    /// Goes on with the race in `dir`.
    ///
    /// # Errors
    /// Another trainer, or a plan that cannot be read.
    pub fn open(dir: RunDir) -> Result<Self> {
        let lock = dir.lock()?;
        let path = dir.file(FILE);
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path, &e))?;
        let mut plan: Plan = toml::from_str(&text).map_err(|e| Error::toml(&path, &text, &e))?;
        let opened = plan.candidates.into_iter().map(RunConfig::opened).collect::<Result<_>>();
        plan.candidates = opened.map_err(|error| error.of_file(&path))?;
        if plan.candidates.len() != 2 || plan.result.as_ref().is_some_and(|r| r.winner > 1 || r.values.len() != 2) {
            return Err(Error::corrupt(format!("{} is not the plan of a race", path.display())));
        }
        Ok(Self { dir, plan, _lock: lock })
    }

    /// The directory.
    pub fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// The candidates, each with the whole budget.
    pub fn candidates(&self) -> &[RunConfig] {
        &self.plan.candidates
    }

    /// Trains what is still to be trained, compares, and makes the directory the winner's run, which
    /// [`Run::resume`] then goes on with. Both are scored by the same KID through `judge`, against the same pictures. Returns
    /// false when `observer` asked to stop before that.
    ///
    /// # Errors
    /// As [`Run::train`].
    pub fn run(
        mut self,
        data: &Arc<Dataset>,
        cache: &Path,
        eyes: Option<&EfficientNetLite0>,
        judge: Box<dyn Extractor>,
        observer: &mut dyn Observer,
    ) -> Result<bool> {
        if self.plan.result.is_none() {
            for i in 0..self.plan.candidates.len() {
                if !self.train(i, data, cache, eyes, observer)? {
                    return Ok(false);
                }
            }
            self.plan.result = Some(self.compare(data, judge)?);
            self.write()?;
        }
        let words = self.promote()?;
        observer.event(&Event::Note(words));
        Ok(true)
    }

    fn train(
        &self,
        i: usize,
        data: &Arc<Dataset>,
        cache: &Path,
        eyes: Option<&EfficientNetLite0>,
        observer: &mut dyn Observer,
    ) -> Result<bool> {
        let mut config = self.plan.candidates[i].clone();
        config.train.minutes /= SHARE as f64;
        config.train.steps = config.train.steps.div_ceil(SHARE);
        config.train.patience = 0;
        let root = self.leg(i);
        let family = config.model.family();
        observer.event(&Event::Note(format!("race: {family} trains for a tenth of the budget")));
        let eyes = eyes.filter(|_| config.needs_features()).cloned();
        let run = if RunDir::is_run(&root) {
            Run::resume(RunDir::new(&root), cache, |_| ())?
        } else {
            Run::create(RunDir::new(&root), config, data.clone())?
        };
        match run.looking_through(eyes).train(observer) {
            // It is judged by the last good checkpoint that it has.
            Err(error) if error.kind == ErrorKind::Diverged => {
                observer.event(&Event::Note(format!("race: {family} gives up: {error}")));
                Ok(true)
            }
            outcome => Ok(outcome?.finished),
        }
    }

    /// The run of candidate `i`.
    fn leg(&self, i: usize) -> PathBuf {
        self.dir.file("race").join(self.plan.candidates[i].model.family())
    }

    fn compare(&self, data: &Dataset, judge: Box<dyn Extractor>) -> Result<Finish> {
        let looker = Looker::new(&self.plan.candidates[0], data, judge, &device::cpu());
        let looks = (0..self.plan.candidates.len()).map(|i| {
            let (sampler, _) = Sampler::open(&self.leg(i))?;
            let (name, value) = looker.look(&sampler).scores.remove(0);
            // What could not be scored loses; TOML has no infinities for it.
            Ok((name, if value.is_finite() { value } else { f64::MAX }))
        });
        let looks: Vec<(ScoreName, f64)> = looks.collect::<Result<_>>()?;
        // Where they are level the first one goes on: it was the first choice.
        let winner = usize::from(looks[1].1 < looks[0].1);
        let values = looks.iter().map(|(_, value)| *value).collect();
        Ok(Finish { winner, score: looks[0].0.clone(), values })
    }

    /// Moves the winner's files up and says how it went. May be cut off anywhere and done again.
    fn promote(&self) -> Result<String> {
        let Finish { winner, score, values } = self.plan.result.as_ref().expect("the race is decided");
        let names: Vec<&str> = self.plan.candidates.iter().map(|c| c.model.family()).collect();
        let words = format!(
            "race: {} {:.4}, {} {:.4} ({score}, lower is better): {} goes on",
            names[0], values[0], names[1], values[1], names[*winner]
        );
        let leg = self.leg(*winner);
        for entry in std::fs::read_dir(&leg).into_iter().flatten().flatten() {
            let (from, name) = (entry.path(), entry.file_name());
            if name != "lock" && name != "run.toml" {
                std::fs::rename(&from, self.dir.root().join(&name)).map_err(|e| Error::io("move", &from, &e))?;
            }
        }
        if !self.dir.metrics().iter().any(|line| line.get("text").is_some_and(|text| text == words.as_str())) {
            let step = checkpoint::list(&self.dir.checkpoints()).first().map_or(0, |(step, _)| *step);
            self.dir.open_log()?.write(json!({"event": "note", "step": step, "text": words}))?;
        }
        let mut config = self.plan.candidates[*winner].clone();
        // The loser has had its share.
        config.train.minutes -= config.train.minutes / SHARE as f64;
        config.train.steps -= config.train.steps / SHARE;
        self.dir.write_config(&config)?;
        std::fs::remove_dir_all(&leg).map_err(|e| Error::io("remove", &leg, &e))?;
        Ok(words)
    }

    fn write(&self) -> Result<()> {
        let text = toml::to_string(&self.plan).expect("a plan is plain data");
        files::write_bytes(&self.dir.file(FILE), text.as_bytes())
    }
}
