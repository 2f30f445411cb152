//! `maliang train`: from pictures or text, or from a run that is to go on.

pub mod again;
pub mod begin;
mod text;

use crate::args::{DeviceArg, FitArg, TrainArgs};
use crate::race;
use crate::terminal::{self, print};
use begin::{announce, is_begun, look_at, start};
use maliang::data::KEPT_BYTES;
use maliang::data::text::makes;
use maliang::device::ComputeDevice;
use maliang::families::settings::TrainConfig;
use maliang::families::settings::named;
use maliang::makes::Makes;
use maliang::run::dir::RunDir;
use maliang::train::{self, Race, Request};
use maliang::{Error, Result};
use std::path::{Path, PathBuf};
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
        return Err(Error::input(
            "--race and --init cannot be combined: two families cannot begin with the weights of one model",
        )
        .hint("leave one of them out"));
    }
    if args.dry_run && [Some(Path::new(&source)), args.out.as_deref()].into_iter().flatten().any(is_begun) {
        return Err(Error::input("this is a run already, and its settings are in its run.toml")
            .hint("--dry-run is for data that a new run could be trained on"));
    }
    if is_begun(Path::new(&source)) {
        return resume(PathBuf::from(source), settings, args);
    }
    if let Some(out) = args.out.as_ref().filter(|out| is_begun(out)) {
        begin::refuse_other_source(out, &source)?;
        return resume(out.clone(), settings, args);
    }
    let out = args.out.clone().unwrap_or_else(|| begin::run_directory(&source));
    match makes(&source) {
        Makes::Text => text::start(&source, RunDir::new(out), settings, args),
        Makes::Pictures => start_pictures(source, out, settings, args),
    }
}

/// Starts a new run on the pictures at `source`, or a race, and trains it.
fn start_pictures(source: String, out: PathBuf, settings: Table, args: &TrainArgs) -> Result<()> {
    let (scan, checked) = look_at(&source, if args.dry_run { 0 } else { KEPT_BYTES })?;
    let size = args.size.as_deref().map(parse_size).transpose()?;
    let request = Request { family: args.model.clone(), size, ..begin::request(source, settings) };
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

/// Goes on with the run or the race at `path`, if the `settings` that are given with it are its own.
fn resume(path: PathBuf, mut settings: Table, args: &TrainArgs) -> Result<()> {
    if let Some(family) = args.model.as_ref().filter(|family| *family != "auto") {
        train::set(&mut settings, "model.family", Value::String(family.clone()));
    }
    if let Some((width, height)) = args.size.as_deref().map(parse_size).transpose()? {
        train::set(&mut settings, "data.width", Value::Integer(width as i64));
        train::set(&mut settings, "data.height", Value::Integer(height as i64));
    }
    for part in ["data", "corpus"] {
        forget(&mut settings, part, "source");
    }
    // What may change is changed below; of a race that is not over nothing may.
    for (given, names) in [
        (args.steps.is_some() || args.minutes.is_some(), &["steps", "minutes"][..]),
        (args.patience.is_some(), &["patience"]),
        (args.device.is_some(), &["device"]),
    ] {
        let may_change = given && !Race::is_race(&path);
        names.iter().filter(|_| may_change).for_each(|name| forget(&mut settings, "train", name));
    }
    again::refuse_other_settings(&path, &settings, args.init.as_deref())?;
    if Race::is_race(&path) {
        return race::resume(RunDir::new(path));
    }
    let dir = RunDir::new(path);
    match dir.makes() {
        Makes::Text => text::go_on(dir, |train| adjust(train, args)),
        Makes::Pictures => begin::go_on(dir, |train| adjust(train, args)).map(|_| ()),
    }
}

fn forget(settings: &mut Table, part: &str, name: &str) {
    if let Some(part) = settings.get_mut(part).and_then(Value::as_table_mut) {
        part.remove(name);
    }
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
            let text = maliang::files::read_settings(path)?;
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
