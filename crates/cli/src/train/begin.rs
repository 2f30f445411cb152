//! From settings to a trained run and its report: what new runs, resumed runs, races, recipes and the demo share.

use crate::terminal::{self, Progress, cache_dir, free_directory, print, weights_store};
use crate::units::{counted, duration};
use maliang::data::{self, CheckReport, Dataset, Scan, Source};
use maliang::device::ComputeDevice;
use maliang::families::settings::TrainConfig;
use maliang::families::trainer::no_features;
use maliang::files::quoted;
use maliang::makes::Makes;
use maliang::pretrained::{EFFICIENTNET_LITE0, EfficientNetLite0};
use maliang::run::config::RunConfig;
use maliang::run::dir::RunDir;
use maliang::train::observer::Outcome;
use maliang::train::run::Run;
use maliang::train::{self, Choice, Donor, Race, Request};
use maliang::{Error, Result, report};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::Table;

/// What run directories of `source` are called: the stem of its name, with `-` for what is not a letter, digit, `-` or `_`.
pub fn run_name(source: &str) -> String {
    if source == "-" {
        return "stdin".into();
    }
    let path = std::path::absolute(source).unwrap_or_else(|_| source.into());
    let stem = match source.strip_prefix("emoji:") {
        Some(group) => format!("emoji-{group}"),
        None => path.file_stem().map_or_else(|| "pictures".into(), |s| s.to_string_lossy().into_owned()),
    };
    let clean: String = stem.chars().map(|c| if c.is_alphanumeric() || "-_".contains(c) { c } else { '-' }).collect();
    let name: String = clean.trim_matches('-').chars().take(40).collect();
    if name.is_empty() { "run".into() } else { name }
}

/// The next free directory for a run on `source`.
pub fn run_directory(source: &str) -> PathBuf {
    free_directory(Path::new("runs"), &run_name(source))
}

/// Is there a run or a race in `path`?
pub fn is_begun(path: &Path) -> bool {
    RunDir::is_run(path) || Race::is_race(path)
}

/// The source of the run or the race in `path`.
fn source_in(path: &Path) -> Result<String> {
    let dir = RunDir::new(path);
    if !RunDir::is_run(path) {
        return Ok(Race::open(dir)?.candidates()[0].data.source.clone());
    }
    match dir.makes() {
        Makes::Pictures => Ok(dir.config()?.data.source),
        Makes::Text => Ok(dir.text_config()?.corpus.source),
    }
}

/// Refuses to go on in `out`, which is begun, with another source than its own.
pub fn refuse_other_source(out: &Path, source: &str) -> Result<()> {
    let before = source_in(out)?;
    let place = |source: &str| std::fs::canonicalize(source).ok();
    if before == source || place(source).is_some_and(|given| Some(given) == place(&RunDir::new(out).source(&before))) {
        return Ok(());
    }
    Err(Error::input(format!("{} holds a run on {before}", out.display())).hint("choose another directory with --out"))
}

/// What a user asks for who gives pictures and settings, and chooses neither family nor size.
pub fn request(source: String, settings: Table) -> Request {
    let features = weights_store().has(EFFICIENTNET_LITE0);
    Request { source, family: None, size: None, settings, features }
}

/// Scans and checks a source in which at least one picture can be used, and keeps up to `kept` bytes of what was decoded for the
/// data set that is opened of it.
pub fn scan_and_check(source: &Source, kept: u64) -> Result<(Scan, CheckReport)> {
    checked(data::scan(source)?.keeping(kept))
}

/// What is in a scan in which at least one picture can be used.
pub fn checked(scan: Scan) -> Result<(Scan, CheckReport)> {
    let checked = data::check(&scan, &|_, _| ())?;
    if checked.usable == 0 {
        return Err(scan.nothing_usable(&checked.rejects));
    }
    Ok((scan, checked))
}

/// As [`scan_and_check`], and says on stderr what was found.
pub fn look_at(source: &str, kept: u64) -> Result<(Scan, CheckReport)> {
    let (scan, checked) = scan_and_check(&Source::parse(source)?, kept)?;
    train::enough_pictures(checked.distinct)?;
    let mut found = format!("{}: {}", data::display_name(source), counted(checked.usable, "picture"));
    if !checked.labels.is_empty() {
        found += &format!(", {}", counted(checked.labels.len(), "class"));
    }
    let lines = checked.rejects.iter().filter(|reject| reject.line).count();
    for (count, noun) in [
        (checked.rejects.len() - lines, "rejected file"),
        (lines, "unusable line"),
        (checked.usable - checked.distinct, "exact duplicate"),
    ] {
        if count > 0 {
            found += &format!(", {}", counted(count, noun));
        }
    }
    tell!("{found}");
    for note in &checked.notes {
        tell!("  {}", terminal::wrap(note, 2, 2));
    }
    for reject in checked.rejects.iter().take(5) {
        tell!("  left out {}: {}", data::display_name(&reject.name), reject.reason);
    }
    if checked.rejects.len() > 5 {
        let source = quoted(source);
        tell!("  … and {} more: `maliang data check {source}`", checked.rejects.len() - 5);
    }
    Ok((scan, checked))
}

/// Starts a new run, with the weights of the model at `init` if there is one, trains it, writes its report, and prints where
/// everything is.
pub fn start(dir: RunDir, choice: &Choice, scan: &Scan, init: Option<&Path>) -> Result<(Outcome, RunDir)> {
    announce(choice, Some(&dir));
    let mut config = choice.config.clone();
    let donor = init.map(open_donor).transpose()?;
    agree(&mut config, donor.as_ref())?;
    let features = features(&config)?;
    let dataset = Arc::new(Dataset::open(&config.data, scan, &cache_dir(), &|_, _| ())?);
    let adopted = donor.map(|donor| donor.adopt(&config, &dataset, features.clone())).transpose()?;
    let mut run = Run::create(dir, config, dataset)?.looking_through(features);
    if let Some(adopted) = adopted {
        tell!("  {}", terminal::wrap(&format!("init      {}", adopted.words()), 2, 12));
        run = run.beginning_with(&adopted)?;
    }
    train_and_report(run)
}

/// Goes on with the run on pictures in `dir`, with what `adjust` changes in its settings.
pub fn go_on(dir: RunDir, adjust: impl FnOnce(&mut TrainConfig)) -> Result<(Outcome, RunDir)> {
    let run = Run::resume(dir, &cache_dir(), |config| adjust(&mut config.train))?;
    let features = features(run.config())?;
    train_and_report(run.looking_through(features))
}

/// What was chosen, its value and why, a line each on stderr.
pub fn reasons<'a>(all: impl Iterator<Item = &'a (String, String, String)>) {
    for (what, value, why) in all {
        tell!("  {what:<9} {value:<12} {}", terminal::wrap(why, 25, 25));
    }
}

/// Says on stderr what was chosen, and why, and where the run lies if there is to be one.
pub fn announce(choice: &Choice, dir: Option<&RunDir>) {
    reasons(choice.reasons.iter());
    let frame = choice.config.model.frame();
    tell!("{} {}x{}{}", choice.config.model.family(), frame.width, frame.height, place(dir));
    // What was chosen can be read.
    let line = choice.config.line().unwrap_or_default();
    tell!("  {}", terminal::wrap(&line, 2, 2));
}

/// Where a run lies, and where its settings are.
pub fn place(dir: Option<&RunDir>) -> String {
    let Some(root) = dir.map(|dir| dir.root().display()) else { return String::new() };
    format!(" → {root} (every setting: {root}/run.toml)")
}

fn open_donor(path: &Path) -> Result<Donor> {
    let (donor, warnings) = Donor::open(path)?;
    for warning in warnings {
        tell!("note: {warning}; beginning with another checkpoint");
    }
    Ok(donor)
}

/// Settings and `--init` name the same weights, and the settings say which.
fn agree(config: &mut RunConfig, donor: Option<&Donor>) -> Result<()> {
    match (&config.init, donor.map(Donor::record)) {
        (Some(named), None) => {
            return Err(Error::input(format!("these settings begin with the weights of {named}"))
                .hint("give that model with --init, or begin fresh without the line init = … in the settings"));
        }
        (Some(named), Some(given)) if *named != given => {
            return Err(Error::input(format!(
                "these settings begin with the weights of {named}, but --init is {given}"
            ))
            .hint("give the model that is named, or take the line init = … out of the settings"));
        }
        (_, given) => config.init = given,
    }
    Ok(())
}

/// The feature network that the family of this run trains with, from the weights that the user has installed; other families need
/// none.
pub fn features(config: &RunConfig) -> Result<Option<EfficientNetLite0>> {
    if !config.needs_features() {
        return Ok(None);
    }
    weights_store().efficientnet_lite0(&config.train.device.open()?)?.ok_or_else(no_features).map(Some)
}

/// Trains a run to its end, writes its report, and prints where everything is.
pub fn train_and_report(run: Run) -> Result<(Outcome, RunDir)> {
    let (dir, device) = (run.dir().clone(), run.config().train.device);
    let outcome = to_its_end(&dir, device, |progress| run.train(progress), "-n 64 --seed 7")?;
    Ok((outcome, dir))
}

/// Trains what is in `dir` on `device`, writes its report, and prints where everything is and how `maliang generate` may be tried.
pub fn to_its_end(
    dir: &RunDir,
    device: ComputeDevice,
    train: impl FnOnce(&mut Progress) -> Result<Outcome>,
    generate: &str,
) -> Result<Outcome> {
    if let Some(name) = device.name()? {
        tell!("  computing on {name}");
    }
    let mut progress = Progress::new(dir.makes());
    let outcome = train(&mut progress);
    progress.finish();
    let outcome = outcome?;
    report::write(&dir.file("report.html"), &report::of_run(dir)?)?;
    let (root, again) = (dir.root().display(), quoted(dir.root()));
    if outcome.finished {
        let generate = format!("maliang generate {again} {generate}");
        let best = outcome.best.as_ref().map_or(String::new(), |b| format!(", best at step {}", b.step));
        let early = if outcome.stopped_early { ", stopped early: the score has stopped improving" } else { "" };
        tell!("{} steps in {}{best}{early}", outcome.step, duration(outcome.seconds));
        if outcome.stopped_early {
            tell!("  `maliang train {again} --patience 0` goes on to the end of its budget, --minutes N to another");
        }
        print(format!("{root}"))?;
        // The score of training compares looks of one run; whether they are good is another question.
        tell!("look at {root}/report.html, or at runs and pictures in a browser: maliang serve");
        tell!("next: {generate}");
        tell!("      maliang judge {again}");
    } else {
        print(format!("{root}"))?;
        tell!("saved at step {}; `maliang train {again}` goes on from there", outcome.step);
    }
    Ok(outcome)
}
