//! Chooses what the user left open, from the data and the budget, and says why in one line each.

use super::plateau::PATIENCE;
use crate::data::{CheckReport, DataConfig, Fit, Source};
use crate::device::ComputeDevice;
use crate::families::choice::{Budget, Facts, Question};
use crate::families::family::check_size;
use crate::families::settings::{self, SETTINGS, Tables, TrainConfig};
use crate::families::{self, Unread};
use crate::run::config::RunConfig;
use crate::{Error, Result};
use maliang_kernels::Precision;
use toml::{Table, Value};

/// What the user asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The data source as typed.
    pub source: String,
    /// Family by name; `auto` or nothing lets the data decide.
    pub family: Option<String>,
    /// Width and height.
    pub size: Option<(usize, usize)>,
    /// Settings as in `run.toml`, any part of it: from a recipe and from `--set`.
    pub settings: Table,
    /// Are the weights of EfficientNet-Lite0 installed?
    pub features: bool,
}

/// A complete configuration, and why it is so.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The configuration.
    pub config: RunConfig,
    /// One line a decision: (what, value, reason).
    pub reasons: Vec<(String, String, String)>,
}

/// Where the user names no budget.
const DEFAULT_MINUTES: f64 = 10.0;
/// Below this 64×64 pictures show more than 128×128 ones, which cost four times as much.
const MINUTES_FOR_128: f64 = 120.0;
/// Below this 32×32 emoji show more animals that can be named than 64×64 ones: lab L-53.
const MINUTES_FOR_EMOJI_64: f64 = 60.0;
/// From here on a budget affords the batch of 64 of the papers.
const LONG_MINUTES: f64 = 60.0;
/// A class needs this many pictures before it is worth telling apart.
const ENOUGH_PER_CLASS: usize = 20;

/// The two families that are most likely to do best, for a race: what [`choose`] chooses, and the runner-up.
///
/// # Errors
/// As [`choose`], or a family that is named already.
pub fn candidates(request: &Request, report: &CheckReport) -> Result<[Choice; 2]> {
    let named = request.family.clone().or_else(|| text(lookup(&request.settings, "model.family")));
    if named.as_deref().is_some_and(|family| family != "auto") {
        return Err(Error::input(
            "a race is between the two families that fit the pictures best, but one is named already",
        )
        .hint("leave --model out (or model.family, in a recipe), or --race"));
    }
    let (first, mut unread) = fill(request, report)?;
    let (family, why) = first.config.model.rival();
    let request = Request { family: Some(family.into()), ..request.clone() };
    let (mut second, others) = fill(&request, report)?;
    // A setting of one of the two is no mistake.
    unread.retain(|setting| others.iter().any(|other| other.name == setting.name));
    refuse(unread)?;
    second.reasons = vec![("or".into(), family.into(), why.into())];
    Ok([first, second])
}

fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(String::from)
}

/// Fills in everything that `request` leaves open.
///
/// # Errors
/// An unknown setting or family, a value out of range, or a setting that would do nothing.
pub fn choose(request: &Request, report: &CheckReport) -> Result<Choice> {
    let (choice, unread) = fill(request, report)?;
    refuse(unread)?;
    Ok(choice)
}

fn refuse(unread: Vec<Unread>) -> Result<()> {
    unread.into_iter().next().map_or(Ok(()), |setting| Err(setting.refused()))
}

/// As [`choose`], and which settings would do nothing.
fn fill(request: &Request, report: &CheckReport) -> Result<(Choice, Vec<Unread>)> {
    let mut reasons = Vec::new();
    let mut say = |what: &str, value: String, why: &str| reasons.push((what.to_string(), value, why.to_string()));
    let given = |path: &str| lookup(&request.settings, path);
    let number = |path: &str| given(path).and_then(|v| v.as_float().or_else(|| v.as_integer().map(|i| i as f64)));

    let (minutes, steps) = budget(&request.settings, &mut say);

    let source = Source::parse(&request.source);
    let idx = matches!(source, Ok(Source::Idx { .. }));
    let emoji = matches!(source, Ok(Source::Emoji(_)));
    let (width, height) = match (request.size, number("data.width"), number("data.height")) {
        (Some(size), _, _) => size,
        (None, Some(width), Some(height)) => (width as usize, height as usize),
        _ => {
            let (side, why) = size_for(report, emoji, minutes);
            say("size", format!("{side}x{side}"), &why);
            (side, side)
        }
    };
    check_size(width, height)?;

    let channels = match number("data.channels") {
        Some(channels) => channels as usize,
        None if report.is_grey() => {
            say("channels", "1".into(), "every picture is grey");
            1
        }
        None => 3,
    };
    let (fit, background) = (report.suggested_fit, report.suggested_background);
    match fit {
        Fit::Pad if idx => say("fit", "pad".into(), "small drawings: nothing is cut off"),
        Fit::Pad => say("fit", "pad".into(), "cut-outs: nothing is cut off"),
        _ => say("fit", "crop".into(), "photographs: fills the square, edges are lost"),
    }
    let holdout = if report.distinct < 8 { 0.0 } else { 0.1 };
    let data = DataConfig { source: request.source.clone(), width, height, channels, fit, background, holdout };
    // Before anything is computed from them.
    data.validate()?;

    let named = request.family.clone().or_else(|| text(given("model.family")));
    let family = match named {
        Some(family) if family != "auto" => family,
        _ => {
            let plain = !idx && !emoji;
            let facts = Facts { report, data: &data, photographic: plain, features: request.features };
            let (family, why) = families::best_for(&facts);
            say("model", family.into(), &why);
            family.into()
        }
    };

    let smallest = report.labels.iter().map(|(_, count)| *count).min().unwrap_or(0);
    let classes: Vec<String> = if (2..=100).contains(&report.labels.len()) && smallest >= ENOUGH_PER_CLASS {
        say(
            "classes",
            report.labels.len().to_string(),
            &format!("every class has at least {smallest} pictures; --class picks one later"),
        );
        report.labels.iter().map(|(name, _)| name.clone()).collect()
    } else {
        Vec::new()
    };

    // Many small steps teach more than few large ones while pictures are scarce: lab L-02 and L-12.
    let usual = if minutes > 0.0 && minutes < LONG_MINUTES { 32 } else { 64 };
    let batch = usual.min(report.distinct.max(2).next_power_of_two() / 2).max(2);
    if batch < usual {
        say("batch", batch.to_string(), "a small set: a batch is at most its size");
    }
    let flip = !idx;
    if !flip {
        say("flip", "off".into(), "digits and letters must not be mirrored");
    }

    let given_tables = own_tables(&request.settings)?;
    let budget = Budget { minutes, steps, batch };
    let question = Question { report, data: &data, classes, budget, given: &given_tables };
    let chosen = families::choose(&family, &question)?;
    reasons.extend(chosen.reasons.iter().map(|(what, value, why)| (what.to_string(), value.clone(), why.clone())));
    // Step-limited runs stay in f32 so that they can be repeated on another machine. Time-limited runs use bf16, where it reaches
    // about the same scores, because they get more steps.
    let precision = if steps == 0 && chosen.bf16 && Precision::Bf16.is_supported() {
        let why = "this processor multiplies them faster, at about the same scores; --precision f32 for all digits";
        reasons.push(("precision".into(), "bf16".into(), why.into()));
        Precision::Bf16
    } else {
        Precision::F32
    };
    let train = TrainConfig {
        device: ComputeDevice::default(),
        batch,
        steps,
        minutes,
        lr: chosen.lr,
        beta_1: chosen.betas.0,
        beta_2: chosen.betas.1,
        epsilon: 1e-8,
        weight_decay: 0.0,
        clip_norm: 0.0,
        ema_half_life: chosen.ema_half_life,
        flip: Some(flip),
        precision,
        look_every: 0,
        // A step-limited run makes all of its steps; a time-limited run stops where more of them are of no use.
        patience: if steps > 0 { 0 } else { PATIENCE },
    };
    let chosen = RunConfig { seed: 0, init: None, data, model: chosen.model, train, tables: chosen.tables };

    let mut table = Table::try_from(&chosen).expect("a configuration is plain data");
    overlay(&mut table, &request.settings);
    // What the command line names directly wins over a recipe.
    if let Some((width, height)) = request.size {
        // Only a recipe can have other sizes of the stack by now.
        let stack = lookup(&table, "model.stack").map(|_| "model.stack");
        for part in ["data"].into_iter().chain(stack) {
            set(&mut table, &format!("{part}.width"), Value::Integer(width as i64));
            set(&mut table, &format!("{part}.height"), Value::Integer(height as i64));
        }
    }
    set(&mut table, "data.source", Value::String(request.source.clone()));
    set(&mut table, "model.family", Value::String(family));
    let mut config: RunConfig = table.try_into().map_err(unusable)?;
    config.validate()?;
    let unread = config.model.unread_of(&given_tables, &config.tables);
    // An empty table is a mistake, too.
    config.model.refuse_unknown(&given_tables)?;
    config.model.retain_read(&mut config.tables);
    // A reason for something that the user then set would be wrong.
    let set_by_user = |what: &str| match what {
        "width" => given("model.stack.base").is_some(),
        "fit" => given("data.fit").is_some(),
        "batch" => given("train.batch").is_some(),
        "flip" => given("train.flip").is_some(),
        "precision" => given("train.precision").is_some(),
        "augment" => given("gan.augment").is_some(),
        "classes" => given("model.classes").is_some(),
        _ => false,
    };
    reasons.retain(|(what, _, _)| !set_by_user(what));
    Ok((Choice { config, reasons }, unread))
}

/// Minutes and steps that may be used, 0 for no limit; at least one of the two is one.
pub(super) fn budget(settings: &Table, say: &mut impl FnMut(&str, String, &str)) -> (f64, u64) {
    let number =
        |path: &str| lookup(settings, path).and_then(|v| v.as_float().or_else(|| v.as_integer().map(|i| i as f64)));
    // As TOML can write it; whether it makes sense is said later.
    let steps = number("train.steps").map_or(0, |steps| steps.clamp(0.0, 1e18) as u64);
    match number("train.minutes") {
        None if steps == 0 => {
            say("budget", format!("{DEFAULT_MINUTES:.0} minutes"), "neither --minutes nor --steps was given");
            (DEFAULT_MINUTES, 0)
        }
        minutes => (minutes.unwrap_or(0.0), steps),
    }
}

/// What to say of settings that do not exist or have another type.
pub(super) fn unusable(error: toml::de::Error) -> Error {
    settings::unusable("a setting", &error)
}

/// A square size that the pictures can fill and the budget can afford, and why.
fn size_for(report: &CheckReport, emoji: bool, minutes: f64) -> (usize, String) {
    if emoji && minutes < MINUTES_FOR_EMOJI_64 {
        return (32, format!("clearer than 64x64 within {MINUTES_FOR_EMOJI_64:.0} minutes on a plain CPU"));
    }
    let fitting = report.suggested_size.min(128);
    if fitting == 128 && minutes < MINUTES_FOR_128 {
        return (64, format!("sharper than 128x128 within {MINUTES_FOR_128:.0} minutes on a plain CPU"));
    }
    let why = if fitting == 32 { "many of the pictures are small" } else { "nine pictures in ten are large enough" };
    (fitting, why.into())
}

/// The tables of `settings` that belong to families.
///
/// # Errors
/// A setting that is in no table.
fn own_tables(settings: &Table) -> Result<Tables> {
    let common = ["seed", "init", "data", "model", "train"];
    let own = settings.iter().filter(|(name, _)| !common.contains(&name.as_str()));
    let table = |(name, value): (&String, &Value)| match value {
        Value::Table(table) => Ok((name.clone(), table.clone())),
        _ => Err(Error::input(format!("there is no setting \"{name}\"")).hint(SETTINGS)),
    };
    own.map(table).collect()
}

pub(super) fn lookup<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
    match (table.get(first)?, rest) {
        (value, None) => Some(value),
        (Value::Table(inner), Some(rest)) => lookup(inner, rest),
        _ => None,
    }
}

/// Sets `path` in `table`, creating the tables on the way.
pub fn set(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            table.insert(path.to_string(), value);
        }
        Some((first, rest)) => {
            let inner = table.entry(first.to_string()).or_insert_with(|| Value::Table(Table::new()));
            if !inner.is_table() {
                *inner = Value::Table(Table::new());
            }
            if let Value::Table(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

/// Lays `over` onto `table`, table by table.
pub(super) fn overlay(table: &mut Table, over: &Table) {
    for (key, value) in over {
        match (table.get_mut(key), value) {
            (Some(Value::Table(inner)), Value::Table(over)) => overlay(inner, over),
            _ => {
                table.insert(key.clone(), value.clone());
            }
        }
    }
}
