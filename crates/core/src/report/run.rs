//! The training's part of a report, from the files that the run left.

use super::sheets::minutes;
use super::{Curve, Report, Series};
use crate::Result;
use crate::families::trainer::ACCURACY;
use crate::judge::ScoreName;
use crate::run::config::RunConfig;
use crate::run::dir::RunDir;
use crate::run::log;
use serde_json::{Map, Value};

/// What was trained, its curves, and its grids over time.
///
/// # Errors
/// The run has no readable `run.toml`.
pub fn trained(dir: &RunDir) -> Result<Report> {
    let config = dir.config()?;
    let events = dir.metrics();
    let looks: Vec<&Map<String, Value>> = events.iter().filter(|e| is(e, "look")).collect();
    let steps: Vec<&Map<String, Value>> = events.iter().filter(|e| is(e, "step")).collect();
    let scores = looks.first().map_or(Vec::new(), |first| log::scores(first));
    let mut curves: Vec<Curve> = scores.iter().enumerate().map(|(i, name)| score_curve(name, i == 0, &looks)).collect();
    curves.push(Curve {
        name: "Losses".into(),
        x: "step".into(),
        series: loss_names(&steps).iter().map(|name| series(name, &steps)).collect(),
        note: config.model.about().losses.into(),
        ..Curve::default()
    });
    curves.push(Curve {
        name: "Discriminator's accuracy".into(),
        x: "step".into(),
        series: vec![series(ACCURACY, &steps)],
        note: "Share of real and generated pictures that it classifies correctly: one half is guessing; when it stays near \
               1, the generator learns nothing from it."
            .into(),
        ..Curve::default()
    });
    curves.push(Curve {
        name: "Diversity".into(),
        x: "step".into(),
        series: vec![series("diversity", &looks)],
        note: "Spread of the generated pictures relative to the real ones: 1 is as varied, near 0 is one picture only."
            .into(),
        ..Curve::default()
    });
    curves.retain(|curve| curve.series.iter().any(|s| !s.points.is_empty()));
    Ok(Report {
        title: dir.name(),
        subtitle: format!("{} trained on {}", config.model.family(), crate::data::source_name(&config.data.source)),
        summary: summary(dir, &config, &looks, &scores),
        curves,
        grids: grids(dir, &looks),
        reals: Some(dir.file("reals.png")).filter(|path| path.is_file()),
        animation: Some(dir.file("animation.gif")).filter(|path| path.is_file()),
        notes: note_texts(&events),
        ..Report::default()
    })
}

pub(super) fn is(event: &Map<String, Value>, kind: &str) -> bool {
    event.get("event").and_then(Value::as_str) == Some(kind)
}

/// The remarks of a run, oldest first.
pub(super) fn note_texts(events: &[Map<String, Value>]) -> Vec<String> {
    let text = |event: &Map<String, Value>| event.get("text").and_then(Value::as_str).map(String::from);
    events.iter().filter(|event| is(event, "note")).filter_map(text).collect()
}

pub(super) fn number(event: &Map<String, Value>, key: &str) -> Option<f64> {
    event.get(key).and_then(Value::as_f64)
}

fn loss_names(steps: &[&Map<String, Value>]) -> Vec<String> {
    let counters = ["event", "step", "images", "seconds", ACCURACY];
    steps.first().map_or(Vec::new(), |e| e.keys().filter(|k| !counters.contains(&k.as_str())).cloned().collect())
}

pub(super) fn series(name: &str, events: &[&Map<String, Value>]) -> Series {
    let points = events.iter().filter_map(|e| Some((number(e, "step")?, number(e, name)?))).collect();
    Series { name: name.to_string(), points }
}

fn score_curve(name: &ScoreName, decides: bool, looks: &[&Map<String, Value>]) -> Curve {
    let what = match name {
        ScoreName::Pictures { .. } => {
            "Distance between generated and real pictures (kernel inception distance on the built-in random features): \
             lower is better, 0 is as good as real."
        }
        ScoreName::ElboBits { .. } => "Bits a number of the held-out pictures (negative ELBO): lower is better.",
        _ => "Lower is better.",
    };
    let chosen = if decides { " The best checkpoint is the one with the lowest value." } else { "" };
    // The untrained model would flatten everything after it.
    let trained: Vec<_> = looks.iter().copied().filter(|e| number(e, "step") > Some(0.0)).collect();
    Curve {
        name: name.to_string(),
        x: "step".into(),
        log: name.wants_logarithmic_axis(),
        series: vec![series(&name.to_string(), &trained)],
        note: format!("{what}{chosen}"),
        ..Curve::default()
    }
}

fn summary(
    dir: &RunDir,
    config: &RunConfig,
    looks: &[&Map<String, Value>],
    scores: &[ScoreName],
) -> Vec<(String, String)> {
    let frame = config.model.frame();
    let mut rows = vec![
        ("Model".to_string(), format!("{}, {}×{}", config.model.family(), frame.width, frame.height)),
        ("Pictures".to_string(), pictures(dir)),
    ];
    if let Some(last) = looks.last() {
        let seconds = number(last, "seconds").unwrap_or(0.0);
        let images = number(last, "images").unwrap_or(0.0);
        rows.push((
            "Training".into(),
            format!("{:.0} steps, {images:.0} pictures shown", number(last, "step").unwrap_or(0.0)),
        ));
        rows.push(("Time".into(), minutes(seconds)));
    }
    if let (Some(best), Some(name)) = (best(looks), scores.first()) {
        let step = number(best, "step").unwrap_or(0.0);
        let score = log::score(best, name).unwrap_or(f64::NAN);
        rows.push((format!("Best {name}"), format!("{score:.3} at step {step:.0}")));
    }
    rows
}

/// The last look that was the best so far.
pub(super) fn best<'a>(looks: &[&'a Map<String, Value>]) -> Option<&'a Map<String, Value>> {
    looks.iter().rev().copied().find(|e| e.get("best").and_then(Value::as_bool) == Some(true))
}

/// How many pictures the manifest counts.
fn pictures(dir: &RunDir) -> String {
    dir.manifest().map_or("unknown".into(), |m| format!("{} and {} held out", m.counts.train, m.counts.heldout))
}

/// Its step.
pub(super) fn best_step(looks: &[&Map<String, Value>]) -> Option<u64> {
    best(looks)?.get("step")?.as_u64()
}

fn grids(dir: &RunDir, looks: &[&Map<String, Value>]) -> Vec<(String, std::path::PathBuf)> {
    let best = best_step(looks);
    let caption = |step: u64| format!("step {step}{}", if best == Some(step) { ", the best" } else { "" });
    dir.samples().into_iter().map(|(step, path)| (caption(step), path)).collect()
}
