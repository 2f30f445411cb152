//! What belongs to the record: data, settings, machine and time.

use super::Table;
use super::judged::JudgementFiles;
use crate::data::Manifest;
use crate::families::settings::TrainConfig;
use crate::run::config::{RunConfig, shown};
use crate::run::dir::RunDir;
use crate::train::observer::Unit;
use serde_json::Value;

/// Where only a person can know.
pub const EMPTY: &str = "(to be filled in by a person)";

/// The data sheet; with what a judgement of the same pictures found among them.
pub fn data(manifest: &Manifest, judged: Option<&JudgementFiles>) -> Table {
    let (counts, config) = (&manifest.counts, &manifest.config);
    let colours = if config.channels == 1 { "grey" } else { "colour" };
    let left_out =
        format!("{} unusable, {} exact duplicates, {} other files", counts.rejected, counts.duplicates, counts.ignored);
    let mut rows = vec![
        ("source", crate::data::source_name(&config.source)),
        ("pictures", format!("{} to train on, {} held out", counts.train, counts.heldout)),
        ("prepared as", format!("{}×{}, {colours}", config.width, config.height)),
        ("left out", left_out),
    ];
    if let Some(judged) = judged.filter(|judged| judged.judgement.data_fingerprint == manifest.fingerprint) {
        let twins = &judged.judgement.copying.twins;
        let bound = if twins.complete { "" } else { " at least" };
        rows.extend([
            ("the same after preparing", format!("{} training pictures", twins.exact)),
            ("look the same", format!("{} pairs of training pictures{bound}", twins.near)),
            ("held out, but look like a training picture", format!("{}{bound}", twins.leaked)),
        ]);
    }
    if !manifest.labels.is_empty() {
        rows.push(("classes", manifest.labels.join(", ")));
    }
    rows.extend([
        ("fingerprint", manifest.fingerprint.clone()),
        ("origin and licence", EMPTY.into()),
        ("consent of the people shown", EMPTY.into()),
    ]);
    named("Data", rows)
}

/// Every setting of the run, but for where the pictures lay.
pub fn settings(config: &RunConfig) -> Table {
    let source = crate::data::source_name(&config.data.source);
    let settings = toml::Value::try_from(config).unwrap_or(toml::Value::Boolean(false));
    all_settings(settings, ("data.source", &source))
}

/// Every one of `settings`; the one that says where the data lay, by its path, in these words.
pub fn all_settings(settings: toml::Value, (source, words): (&str, &str)) -> Table {
    let mut rows = Vec::new();
    let mut flatten = vec![(String::new(), settings)];
    while let Some((path, value)) = flatten.pop() {
        match value {
            toml::Value::Table(table) => {
                let inner = |(key, value): (String, toml::Value)| {
                    (if path.is_empty() { key } else { format!("{path}.{key}") }, value)
                };
                flatten.extend(table.into_iter().rev().map(inner));
            }
            _ if path == source => rows.push(vec![path, words.to_string()]),
            value => rows.push(vec![path, shown(&value)]),
        }
    }
    Table { name: "Settings".into(), rows, ..Table::default() }
}

/// What trained for how long.
pub fn training(config: &TrainConfig, run: &RunDir, unit: Unit) -> Table {
    let machines = run.machines();
    let machine = if machines.is_empty() { "not recorded".into() } else { machines.join("; ") };
    let mut rows = vec![
        ("machine", machine),
        ("device", word(&config.device)),
        ("precision of products", word(&config.precision)),
    ];
    let events = run.metrics();
    let last = events.iter().rev().find(|e| e.get("event").and_then(Value::as_str) == Some("look"));
    let number = |name: &str| last.and_then(|e| e.get(name)?.as_f64()).unwrap_or(0.0);
    let (seconds, shown) = (number("seconds"), number(unit.key()));
    if seconds > 0.0 {
        let rate = shown / seconds;
        rows.push(("time", format!("{}, looks included: {rate:.1} {} a second", minutes(seconds), unit.name())));
    }
    rows.extend([("energy", EMPTY.into()), ("version", format!("Maliang {}", crate::VERSION))]);
    named("Training", rows)
}

/// What judged for how long; nothing where that was not recorded.
pub fn judging(judged: &JudgementFiles) -> Option<Table> {
    let (j, record) = (&judged.judgement, judged.record.as_ref()?);
    let total: f64 = record.times.iter().map(|(_, seconds)| seconds).sum();
    let parts: Vec<String> = record.times.iter().map(|(what, seconds)| format!("{what} {seconds:.1} s")).collect();
    let hash = j.model.as_ref().map_or("", |model| &model.blake3);
    let rows = vec![
        ("model", format!("{}, BLAKE3 {hash}", record.model.name)),
        ("generated pictures", format!("{} of seed {}", j.generated, j.seed)),
        ("machine", record.machine.clone()),
        ("time", format!("{total:.1} s: {}", parts.join(", "))),
        ("version", format!("Maliang {}", j.version)),
    ];
    Some(named("Judged", rows))
}

/// `14 min 05 s`.
pub fn minutes(seconds: f64) -> String {
    format!("{:.0} min {:02.0} s", (seconds / 60.0).floor(), (seconds % 60.0).floor())
}

/// A setting as it is spelt in `run.toml`, without quotes.
fn word(setting: &impl serde::Serialize) -> String {
    serde_json::to_string(setting).unwrap_or_default().replace('"', "")
}

fn named(name: &str, rows: Vec<(&str, String)>) -> Table {
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_string(), value]).collect();
    Table { name: name.into(), rows, ..Table::default() }
}
