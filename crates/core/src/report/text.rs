//! The training's part of a report on text, from the files that the run left.

use super::run::{best, best_step, is, note_texts, number, series};
use super::sheets::{self, minutes};
use super::{Curve, Report, Table};
use crate::Result;
use crate::data::text::TextManifest;
use crate::judge::{Measure, ScoreName, Side};
use crate::run::config::text::TextRunConfig;
use crate::run::dir::RunDir;
use crate::run::log;
use crate::train::observer::Unit;
use serde_json::{Map, Value};

/// Samples on the page, at most, evenly spread over the run.
const SHOWN: usize = 12;

/// What was trained, its curves, and its samples over time.
///
/// # Errors
/// The run has no readable `run.toml`.
pub fn trained(dir: &RunDir) -> Result<Report> {
    let config = dir.text_config()?;
    let events = dir.metrics();
    let looks: Vec<&Map<String, Value>> = events.iter().filter(|e| is(e, "look")).collect();
    let steps: Vec<&Map<String, Value>> = events.iter().filter(|e| is(e, "step")).collect();
    let side = side(&looks);
    let name = |measure| ScoreName::Prediction { side, measure, n: None };
    let score = name(Measure::BitsPerByte);
    // The untrained model would flatten everything after it.
    let later: Vec<_> = looks.iter().copied().filter(|e| number(e, "step") > Some(0.0)).collect();
    let mut curves = vec![
        Curve {
            name: "Bits per byte".into(),
            x: "step".into(),
            series: vec![series(&score.to_string(), &later), series("bits_per_byte", &steps)],
            note: "Bits that a byte of UTF-8 costs under the model: lower is better, and any two models of the same text can \
                   be compared by it. Where the curve of held-out text turns up while that of the training batches falls on, \
                   the model begins to memorise the text. The best checkpoint is the one with the lowest held-out value."
                .into(),
            ..Curve::default()
        },
        Curve {
            name: "Loss".into(),
            unit: "nats a token".into(),
            x: "step".into(),
            series: vec![series(&name(Measure::Loss).to_string(), &later), series("loss", &steps)],
            note: "The mean cross-entropy of the next token, with dropout on the training batches and without it on held-out \
                   text."
                .into(),
            ..Curve::default()
        },
    ];
    curves.retain(|curve| curve.series.iter().any(|s| !s.points.is_empty()));
    Ok(Report {
        title: dir.name(),
        subtitle: format!("{} trained on {}", config.model.family(), crate::data::source_name(&config.corpus.source)),
        summary: summary(&config, &looks, &score),
        curves,
        texts: samples(dir, &looks),
        notes: note_texts(&events),
        ..Report::default()
    })
}

/// The text that the looks score: held out, or trained on where nothing is.
fn side(looks: &[&Map<String, Value>]) -> Side {
    let side = |name| match name {
        ScoreName::Prediction { side, measure: Measure::BitsPerByte, n: None } => Some(side),
        _ => None,
    };
    looks.first().and_then(|first| log::scores(first).into_iter().find_map(side)).unwrap_or(Side::Heldout)
}

fn summary(config: &TextRunConfig, looks: &[&Map<String, Value>], score: &ScoreName) -> Vec<(String, String)> {
    let mut rows =
        vec![("Model".to_string(), format!("{}, {} parameters", config.model.family(), config.model.parameters()))];
    if let Some(last) = looks.last() {
        let get = |key: &str| number(last, key).unwrap_or(0.0);
        rows.push(("Training".into(), format!("{:.0} steps, {:.0} tokens read", get("step"), get("tokens"))));
        rows.push(("Time".into(), minutes(get("seconds"))));
    }
    if let Some(best) = best(looks) {
        let (value, step) = (log::score(best, score), number(best, "step"));
        let [value, step] = [value, step].map(|number| number.unwrap_or(f64::NAN));
        rows.push((format!("Best {score}"), format!("{value:.3} at step {step:.0}")));
    }
    rows
}

fn samples(dir: &RunDir, looks: &[&Map<String, Value>]) -> Vec<(String, String)> {
    let all = dir.samples();
    let count = all.len().min(SHOWN);
    // The first and the last are among them.
    let chosen = (0..count).map(|i| &all[if count > 1 { i * (all.len() - 1) / (count - 1) } else { 0 }]);
    let best_step = best_step(looks);
    chosen
        .filter_map(|(step, path)| {
            let best = if best_step == Some(*step) { ", the best" } else { "" };
            Some((format!("step {step}{best}"), std::fs::read_to_string(path).ok()?))
        })
        .collect()
}

/// The data sheet, where there is a manifest.
fn data(manifest: &TextManifest) -> Table {
    let c = &manifest.counts;
    let rows = [
        ("source", crate::data::source_name(&manifest.config.source)),
        ("documents", format!("{}", c.documents)),
        ("text", format!("{} bytes to train on, {} held out", c.train_bytes, c.heldout_bytes)),
        (
            "tokens",
            format!(
                "{} to train on, {} held out, of a vocabulary of {}",
                c.train_tokens, c.heldout_tokens, c.vocabulary
            ),
        ),
        ("left out", format!("{} unusable, {} repeats, {} other files", c.rejected, c.duplicates, c.ignored)),
        ("fingerprint", manifest.fingerprint.clone()),
        ("origin and licence", sheets::EMPTY.into()),
        ("consent of the people written about", sheets::EMPTY.into()),
    ];
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_string(), value]).collect();
    Table { name: "Data".into(), rows, notes: manifest.notes.clone(), ..Table::default() }
}

/// Data, settings, and what trained for how long.
///
/// # Errors
/// The run has no readable `run.toml`.
pub fn sheets(dir: &RunDir) -> Result<Vec<Table>> {
    let config = dir.text_config()?;
    let source = crate::data::source_name(&config.corpus.source);
    let settings = toml::Value::try_from(&config).unwrap_or(toml::Value::Boolean(false));
    let mut sheets: Vec<Table> = dir.text_manifest().iter().map(data).collect();
    sheets.push(sheets::all_settings(settings, ("corpus.source", &source)));
    sheets.push(sheets::training(&config.train, dir, Unit::Tokens));
    Ok(sheets)
}
