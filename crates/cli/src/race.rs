//! `maliang train --race`: two candidates for a tenth of the budget each, then the better one.

use crate::terminal::{Progress, cache_dir, print, weights_store};
use crate::train::begin::{announce, features, go_on};
use maliang::data::{CheckReport, Dataset, Scan};
use maliang::files::quoted;
use maliang::makes::Makes;
use maliang::run::dir::RunDir;
use maliang::train::{self, Race, Request};
use maliang::{Result, judge};
use std::sync::Arc;

/// Starts a race in `dir` and goes on with its winner.
pub fn start(dir: RunDir, request: &Request, checked: &CheckReport, scan: &Scan) -> Result<()> {
    let candidates = train::candidates(request, checked)?;
    candidates.iter().for_each(|choice| announce(choice, Some(&dir)));
    let configs = candidates.map(|choice| choice.config);
    // A feature network that is not installed is reported before anything is written.
    configs.iter().try_for_each(|config| features(config).map(|_| ()))?;
    let data = Dataset::open(&configs[0].data, scan, &cache_dir(), &|_, _| ())?;
    let race = Race::create(dir, configs, &data)?;
    run(race, data)
}

/// Goes on with the race in `dir`.
pub fn resume(dir: RunDir) -> Result<()> {
    let race = Race::open(dir)?;
    let data = train::data_of(race.dir(), &race.candidates()[0], &cache_dir())?;
    run(race, data)
}

fn run(race: Race, data: Dataset) -> Result<()> {
    let (dir, candidates) = (race.dir().clone(), race.candidates().to_vec());
    let seeing = candidates.iter().find(|config| config.needs_features());
    let through = seeing.map(features).transpose()?.flatten();
    // A network that a model was trained with would judge it too well.
    let store = weights_store();
    let judge = if seeing.is_some() { judge::extractor("randomconv", &store) } else { judge::best_extractor(&store) }?;
    let mut progress = Progress::new(Makes::Pictures);
    let decided = race.run(&Arc::new(data), &cache_dir(), through.as_ref(), judge, &mut progress);
    progress.finish();
    if !decided? {
        print(format!("{}", dir.root().display()))?;
        tell!("saved in the middle of the race; `maliang train {}` goes on from there", quoted(dir.root()));
        return Ok(());
    }
    go_on(dir, |_| ()).map(|_| ())
}
