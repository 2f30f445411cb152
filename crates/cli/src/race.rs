//! `maliang train --race`: two candidates for a tenth of the budget each, then the better one.

use crate::args::TrainArgs;
use crate::terminal::{Progress, cache_dir, print, weights_store};
use crate::train::{announce, eyes, train_and_report};
use maliang::data::{CheckReport, Dataset, Scan};
use maliang::makes::Makes;
use maliang::run::dir::RunDir;
use maliang::train::run::Run;
use maliang::train::{self, Race, Request};
use maliang::{Error, Result, judge};
use std::path::Path;
use std::sync::Arc;

/// The source of the run or the race in `path`.
pub fn source_in(path: &Path) -> Result<String> {
    let dir = RunDir::new(path);
    if !RunDir::is_run(path) {
        return Ok(Race::open(dir)?.candidates()[0].data.source.clone());
    }
    match dir.makes() {
        Makes::Pictures => Ok(dir.config()?.data.source),
        Makes::Text => Ok(dir.text_config()?.corpus.source),
    }
}

/// Starts a race in `dir` and goes on with its winner.
pub fn start(dir: RunDir, request: &Request, checked: &CheckReport, scan: &Scan) -> Result<()> {
    let candidates = train::candidates(request, checked)?;
    candidates.iter().for_each(|choice| announce(choice, Some(&dir)));
    let configs = candidates.map(|choice| choice.config);
    // What cannot be looked through is said before anything is there.
    configs.iter().try_for_each(|config| eyes(config).map(|_| ()))?;
    let data = Dataset::open(&configs[0].data, scan, &cache_dir(), &|_, _| ())?;
    let race = Race::create(dir, configs, &data)?;
    run(race, data)
}

/// Goes on with the race in `dir`.
pub fn resume(dir: RunDir, args: &TrainArgs) -> Result<()> {
    if args.minutes.is_some() || args.steps.is_some() || args.patience.is_some() || args.device.is_some() {
        return Err(Error::input(format!(
            "{} is a race, and its budget is fixed until it is over",
            dir.root().display()
        ))
        .hint(format!("`maliang train {}` goes on with it", dir.root().display())));
    }
    let race = Race::open(dir)?;
    let data = train::data_of(race.dir(), &race.candidates()[0], &cache_dir())?;
    run(race, data)
}

fn run(race: Race, data: Dataset) -> Result<()> {
    let (dir, candidates) = (race.dir().clone(), race.candidates().to_vec());
    let seeing = candidates.iter().find(|config| config.needs_features());
    let through = seeing.map(eyes).transpose()?.flatten();
    // Who trained through a network would be flattered by it.
    let store = weights_store();
    let judge = if seeing.is_some() { judge::extractor("randomconv", &store) } else { judge::best_extractor(&store) }?;
    let mut progress = Progress::new();
    let decided = race.run(&Arc::new(data), &cache_dir(), through.as_ref(), judge, &mut progress);
    progress.finish();
    if !decided? {
        print(format!("{}", dir.root().display()))?;
        eprintln!("saved in the middle of the race; `maliang train {}` goes on from there", dir.root().display());
        return Ok(());
    }
    let run = Run::resume(dir, &cache_dir(), |_| ())?;
    let through = eyes(run.config())?;
    train_and_report(run.looking_through(through)).map(|_| ())
}
