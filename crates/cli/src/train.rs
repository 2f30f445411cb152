//! `maliang train`: from pictures or text, or from a run that is to go on.

mod text;

use crate::args::{DeviceArg, FitArg, TrainArgs};
use crate::race;
use crate::terminal::{self, Progress, cache_dir, duration, free_directory, print, weights_store};
use maliang::data::text::is_text;
use maliang::data::{self, CheckReport, Dataset, Scan, Source};
use maliang::device::ComputeDevice;
use maliang::families::family::no_features;
use maliang::families::settings::TrainConfig;
use maliang::families::settings::named;
use maliang::pretrained::{EFFICIENTNET_LITE0, EfficientNetLite0};
use maliang::run::config::RunConfig;
use maliang::run::dir::RunDir;
use maliang::train::observer::Outcome;
use maliang::train::run::Run;
use maliang::train::{self, Choice, Donor, Race, Request};
use maliang::{Error, Result, report};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::{Table, Value};

/// Trains as the arguments say and prints where the result is.
pub fn run(args: &TrainArgs) -> Result<()> {
    terminal::catch_interrupts()?;
    terminal::once_free(|| train(args))
}

fn train(args: &TrainArgs) -> Result<()> {
    let settings = settings(args)?;
    let named = |part: &str| settings.get(part).and_then(|d| d.get("source")).and_then(Value::as_str);
    let Some(source) = args.source.as_deref().or(named("data")).or(named("corpus")).map(String::from) else {
        return Err(Error::input("there is nothing to train on").hint(
            "give a folder of pictures or a text, for example `maliang train PHOTOS/` or `maliang train poems.txt`, or \
             emoji:animals to try it without any",
        ));
    };
    if args.race && args.init.is_some() {
        return Err(Error::input("--race and --init exclude each other: two families cannot begin with one model")
            .hint("leave one of them out"));
    }
    let begun = |path: &Path| RunDir::is_run(path) || Race::is_race(path);
    if args.dry_run && [Some(Path::new(&source)), args.out.as_deref()].into_iter().flatten().any(begun) {
        return Err(Error::input("this is a run already: what it was trained with is in its run.toml")
            .hint("--dry-run is for data that a new run could be trained on"));
    }
    if begun(Path::new(&source)) {
        return resume(PathBuf::from(source), args);
    }
    if let Some(out) = args.out.as_ref().filter(|out| begun(out)) {
        let before = race::source_in(out)?;
        if before == source {
            return resume(out.clone(), args);
        }
        return Err(Error::input(format!("{} holds a run on {before}", out.display()))
            .hint("choose another directory with --out"));
    }
    let out = args.out.clone().unwrap_or_else(|| free_directory(Path::new("runs"), &source_name(&source)));
    if is_text(&source) {
        return text::start(&source, RunDir::new(out), settings, args);
    }
    let (scan, checked) = look_at(&source)?;
    let size = args.size.as_deref().map(parse_size).transpose()?;
    let request = Request {
        source: source.clone(),
        family: args.model.clone(),
        size,
        settings,
        features: weights_store().has(EFFICIENTNET_LITE0),
    };
    if args.race {
        return race::start(RunDir::new(out), &request, &checked, &scan);
    }
    let choice = train::choose(&request, &checked)?;
    if args.dry_run {
        announce(&choice, None);
        return print(choice.config.to_toml().trim_end());
    }
    start(RunDir::new(out), &choice, &scan, args.init.as_deref()).map(|_| ())
}

/// Scans and checks a source in which at least one picture can be used, and keeps up to `kept` bytes of what was decoded for the
/// data set that is opened of it.
pub fn scan_and_check(source: &Source, kept: u64) -> Result<(Scan, CheckReport)> {
    let scan = data::scan(source)?.keeping(kept);
    let checked = data::check(&scan, &|_, _| ())?;
    if checked.usable == 0 {
        return Err(scan.nothing_usable(&checked.rejects));
    }
    Ok((scan, checked))
}

/// Scans and checks a source, with progress, and says on stderr what was found.
pub fn look_at(source: &str) -> Result<(Scan, CheckReport)> {
    let (scan, checked) = scan_and_check(&Source::parse(source)?, data::KEPT_BYTES)?;
    train::enough_pictures(checked.distinct)?;
    let mut found = format!("{}: {} pictures", source, checked.usable);
    for (count, what) in [
        (checked.labels.len(), "classes"),
        (checked.rejects.len(), "rejected"),
        (checked.usable - checked.distinct, "exact duplicates"),
    ] {
        if count > 0 {
            found += &format!(", {count} {what}");
        }
    }
    eprintln!("{found}");
    for reject in checked.rejects.iter().take(5) {
        eprintln!("  left out {}: {}", data::display_name(&reject.name), reject.reason);
    }
    if checked.rejects.len() > 5 {
        eprintln!("  … and {} more: `maliang data check {source}`", checked.rejects.len() - 5);
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
    let eyes = eyes(&config)?;
    let dataset = Arc::new(Dataset::open(&config.data, scan, &cache_dir(), &|_, _| ())?);
    let adopted = donor.map(|donor| donor.adopt(&config, &dataset, eyes.clone())).transpose()?;
    let mut run = Run::create(dir, config, dataset)?.looking_through(eyes);
    if let Some(adopted) = adopted {
        eprintln!("  {}", terminal::wrap(&format!("init      {}", adopted.words()), 2, 12));
        run = run.beginning_with(&adopted)?;
    }
    train_and_report(run)
}

/// What was chosen, its value and why, a line each on stderr.
fn reasons<'a>(all: impl Iterator<Item = &'a (String, String, String)>) {
    for (what, value, why) in all {
        eprintln!("  {what:<9} {value:<12} {}", terminal::wrap(why, 25, 25));
    }
}

/// Says on stderr what was chosen, and why, and where the run lies if there is to be one.
pub fn announce(choice: &Choice, dir: Option<&RunDir>) {
    reasons(choice.reasons.iter());
    let frame = choice.config.model.frame();
    eprintln!("{} {}x{}{}", choice.config.model.family(), frame.width, frame.height, place(dir));
    // What was chosen can be read.
    let line = choice.config.line().unwrap_or_default();
    eprintln!("  {}", terminal::wrap(&line, 2, 2));
}

/// Where a run lies, and where its settings are.
fn place(dir: Option<&RunDir>) -> String {
    let Some(root) = dir.map(|dir| dir.root().display()) else { return String::new() };
    format!(" → {root} (every setting: {root}/run.toml)")
}

fn open_donor(path: &Path) -> Result<Donor> {
    let (donor, warnings) = Donor::open(path)?;
    for warning in warnings {
        eprintln!("note: {warning}; beginning with another checkpoint");
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

fn resume(path: PathBuf, args: &TrainArgs) -> Result<()> {
    if args.config.is_some()
        || !args.set.is_empty()
        || args.model.is_some()
        || args.size.is_some()
        || args.fit.is_some()
        || args.precision.is_some()
        || args.init.is_some()
    {
        return Err(Error::input(format!("{} is a run already, and its settings are fixed", path.display())).hint(
            "only --minutes, --steps, --patience and --device may change when going on; other settings need a new run",
        ));
    }
    if Race::is_race(&path) {
        return race::resume(RunDir::new(path), args);
    }
    let dir = RunDir::new(path);
    if dir.is_text() {
        return text::resume(dir, args);
    }
    let run = Run::resume(dir, &cache_dir(), |config| adjust(&mut config.train, args))?;
    let eyes = eyes(run.config())?;
    train_and_report(run.looking_through(eyes)).map(|_| ())
}

/// What may change when a run goes on.
fn adjust(train: &mut TrainConfig, args: &TrainArgs) {
    if let Some(patience) = args.patience {
        train.patience = patience as usize;
    }
    if args.steps.is_some() || args.minutes.is_some() {
        train.steps = args.steps.unwrap_or(0);
        train.minutes = args.minutes.unwrap_or(0.0);
    }
    if let Some(device) = args.device {
        train.device = device.into();
    }
}

/// What a projected GAN looks through, from the weights that the user has installed; other families need nothing.
pub fn eyes(config: &RunConfig) -> Result<Option<EfficientNetLite0>> {
    if !config.needs_features() {
        return Ok(None);
    }
    weights_store().efficientnet_lite0(&config.train.device.open()?)?.ok_or_else(no_features).map(Some)
}

/// Trains a run to its end, writes its report, and prints where everything is.
pub fn train_and_report(run: Run) -> Result<(Outcome, RunDir)> {
    let dir = run.dir().clone();
    if let Some(name) = run.config().train.device.name()? {
        eprintln!("  computing on {name}");
    }
    let mut progress = Progress::new();
    let outcome = run.train(&mut progress);
    progress.finish();
    let outcome = outcome?;
    conclude(&dir, &outcome, "-n 64 --seed 7")?;
    Ok((outcome, dir))
}

/// Writes the report of a run, and prints where everything is and how `maliang generate` may be tried.
fn conclude(dir: &RunDir, outcome: &Outcome, generate: &str) -> Result<()> {
    report::write(&dir.file("report.html"), &report::of_run(dir)?)?;
    let root = dir.root().display();
    if outcome.finished {
        let best = outcome.best.as_ref().map_or(String::new(), |b| format!(", best at step {}", b.step));
        let early = if outcome.stopped_early { ", stopped early: the score has stopped improving" } else { "" };
        eprintln!("{} steps in {}{best}{early}", outcome.step, duration(outcome.seconds));
        if outcome.stopped_early {
            eprintln!("  `maliang train {root} --patience 0` goes on to the end of its budget, --minutes N to another");
        }
        print(format!("{root}"))?;
        eprintln!("next: maliang generate {root} {generate}");
    } else {
        print(format!("{root}"))?;
        eprintln!("saved at step {}; `maliang train {root}` goes on from there", outcome.step);
    }
    Ok(())
}

impl From<DeviceArg> for ComputeDevice {
    fn from(device: DeviceArg) -> Self {
        match device {
            DeviceArg::Cpu => Self::Cpu,
            DeviceArg::Vulkan => Self::Vulkan,
        }
    }
}

/// Everything set by recipe, flags and `--set`, the later winning, as in `run.toml`.
fn settings(args: &TrainArgs) -> Result<Table> {
    let mut table = match &args.config {
        None => Table::new(),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, &e))?;
            let mut recipe: Table = text.parse().map_err(|e| Error::toml(path, &text, &e))?;
            // What a recipe promises is `maliang recipe`'s business.
            recipe.remove("claim");
            recipe
        }
    };
    // A budget on the command line replaces the recipe's, whichever of the two it names.
    if args.minutes.is_some() || args.steps.is_some() {
        let steps = args.steps.unwrap_or(0).min(i64::MAX as u64) as i64;
        train::set(&mut table, "train.steps", Value::Integer(steps));
        train::set(&mut table, "train.minutes", Value::Float(args.minutes.unwrap_or(0.0)));
    }
    if let Some(seed) = args.seed {
        let seed = i64::try_from(seed)
            .map_err(|_| Error::input(format!("the seed {seed} is too large: at most {}", i64::MAX)))?;
        train::set(&mut table, "seed", Value::Integer(seed));
    }
    if let Some(patience) = args.patience {
        train::set(&mut table, "train.patience", Value::Integer(patience.into()));
    }
    if let Some(precision) = args.precision {
        train::set(&mut table, "train.precision", Value::String(precision.name().into()));
    }
    if let Some(device) = args.device {
        train::set(&mut table, "train.device", Value::String(named(&ComputeDevice::from(device))));
    }
    if let Some(fit) = args.fit {
        let name = match fit {
            FitArg::Crop => "crop",
            FitArg::Pad => "pad",
            FitArg::Stretch => "stretch",
        };
        train::set(&mut table, "data.fit", Value::String(name.into()));
    }
    for pair in &args.set {
        let Some((key, text)) = pair.split_once('=') else {
            return Err(Error::input(format!("--set {pair} has no \"=\"")).hint("write it as --set train.lr=1e-4"));
        };
        // What is not a TOML value is a word: --set gan.loss=hinge needs no quotes.
        let value = format!("v = {text}").parse::<Table>().ok().and_then(|mut t| t.remove("v"));
        train::set(&mut table, key.trim(), value.unwrap_or_else(|| Value::String(text.to_string())));
    }
    Ok(table)
}

/// `64` or `96x64` (width x height).
pub fn parse_size(text: &str) -> Result<(usize, usize)> {
    let (width, height) = text.split_once(['x', 'X', '×']).unwrap_or((text, text));
    match (width.trim().parse(), height.trim().parse()) {
        (Ok(width), Ok(height)) => Ok((width, height)),
        _ => Err(Error::input(format!("--size {text} is not a size")).hint("write it as --size 64 or --size 96x64")),
    }
}

/// A directory name for runs on `source`.
pub fn source_name(source: &str) -> String {
    if source == "-" {
        return "stdin".into();
    }
    let path = std::path::absolute(source).unwrap_or_else(|_| source.into());
    let stem = match source.strip_prefix("emoji:") {
        Some(group) => format!("emoji-{group}"),
        None => path.file_stem().map_or_else(|| "pictures".into(), |s| s.to_string_lossy().into_owned()),
    };
    let clean: String = stem.chars().map(|c| if c.is_alphanumeric() || "-_".contains(c) { c } else { '-' }).collect();
    clean.trim_matches('-').chars().take(40).collect()
}
