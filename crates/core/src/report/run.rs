//! The report of a run, from the files that the run left.

use super::{Curve, Report, Series};
use crate::Result;
use crate::train::{RunConfig, RunDir};
use serde_json::{Map, Value};

/// Grids shown, at most: first, last and evenly between.
const GRIDS: usize = 12;

/// What was trained, its curves, its grids over time, and what the other files are.
///
/// # Errors
/// The run has no readable `run.toml`.
pub fn of_run(dir: &RunDir) -> Result<Report> {
    let config = dir.config()?;
    let events = dir.metrics();
    let looks: Vec<&Map<String, Value>> = events.iter().filter(|e| is(e, "look")).collect();
    let steps: Vec<&Map<String, Value>> = events.iter().filter(|e| is(e, "step")).collect();
    let scores = score_names(&looks);
    let mut curves: Vec<Curve> = scores.iter().enumerate().map(|(i, name)| score_curve(name, i == 0, &looks)).collect();
    curves.push(Curve {
        name: "Losses".into(),
        x: "step".into(),
        series: loss_names(&steps).iter().map(|name| series(name, &steps)).collect(),
        note: match config.model.family() {
            "vae" => "Nats a picture: both parts of the negative ELBO. Falling is learning.".into(),
            _ => "The balance of the two players, not the quality of the pictures: level is good, \
                  a discriminator loss near zero means that the generator is losing."
                .into(),
        },
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
        subtitle: format!("{} trained on {}", config.model.family(), crate::train::source_name(&config.data.source)),
        summary: summary(dir, &config, &looks, &scores),
        curves,
        grids: grids(dir),
        animation: Some(dir.file("animation.gif")).filter(|path| path.is_file()),
        files: files(dir),
        notes: events.iter().filter(|e| is(e, "note")).filter_map(|e| text(e, "text")).collect(),
        ..Report::default()
    })
}

fn is(event: &Map<String, Value>, kind: &str) -> bool {
    event.get("event").and_then(Value::as_str) == Some(kind)
}

fn text(event: &Map<String, Value>, key: &str) -> Option<String> {
    event.get(key).and_then(Value::as_str).map(String::from)
}

fn number(event: &Map<String, Value>, key: &str) -> Option<f64> {
    event.get(key).and_then(Value::as_f64)
}

/// Everything in a look that is neither a counter nor the diversity is a score; the deciding one comes first.
fn score_names(looks: &[&Map<String, Value>]) -> Vec<String> {
    let Some(first) = looks.first() else { return Vec::new() };
    let mut names: Vec<String> =
        first.keys().filter(|k| k.starts_with("kid_") || k.starts_with("heldout_")).cloned().collect();
    names.sort_by_key(|name| !name.starts_with("heldout_"));
    names
}

fn loss_names(steps: &[&Map<String, Value>]) -> Vec<String> {
    let counters = ["event", "step", "images", "seconds"];
    steps.first().map_or(Vec::new(), |e| e.keys().filter(|k| !counters.contains(&k.as_str())).cloned().collect())
}

fn series(name: &str, events: &[&Map<String, Value>]) -> Series {
    let points = events.iter().filter_map(|e| Some((number(e, "step")?, number(e, name)?))).collect();
    Series { name: name.to_string(), points }
}

fn score_curve(name: &str, decides: bool, looks: &[&Map<String, Value>]) -> Curve {
    let what = if name.starts_with("kid_") {
        "Distance between generated and real pictures (kernel inception distance on the built-in random features): \
         lower is better, 0 is as good as real."
    } else {
        "Bits a number of the held-out pictures (negative ELBO): lower is better."
    };
    let chosen = if decides { " The best checkpoint is the one with the lowest value." } else { "" };
    // The untrained model would flatten everything after it.
    let trained: Vec<_> = looks.iter().copied().filter(|e| number(e, "step") > Some(0.0)).collect();
    Curve {
        name: name.to_string(),
        x: "step".into(),
        log: name.starts_with("kid_"),
        series: vec![series(name, &trained)],
        note: format!("{what}{chosen}"),
        ..Curve::default()
    }
}

fn summary(
    dir: &RunDir,
    config: &RunConfig,
    looks: &[&Map<String, Value>],
    scores: &[String],
) -> Vec<(String, String)> {
    let stack = config.model.stack();
    let mut rows = vec![
        ("Model".to_string(), format!("{}, {}×{}", config.model.family(), stack.width, stack.height)),
        ("Pictures".to_string(), pictures(dir)),
    ];
    if let Some(last) = looks.last() {
        let seconds = number(last, "seconds").unwrap_or(0.0);
        let images = number(last, "images").unwrap_or(0.0);
        rows.push((
            "Training".into(),
            format!("{:.0} steps, {images:.0} pictures shown", number(last, "step").unwrap_or(0.0)),
        ));
        rows.push(("Time".into(), format!("{:.0} min {:02.0} s", (seconds / 60.0).floor(), seconds % 60.0)));
    }
    let best = looks.iter().rev().find(|e| e.get("best").and_then(Value::as_bool) == Some(true));
    if let (Some(best), Some(name)) = (best, scores.first()) {
        let step = number(best, "step").unwrap_or(0.0);
        rows.push(("Best".into(), format!("{name} {:.3} at step {step:.0}", number(best, name).unwrap_or(f64::NAN))));
    }
    if !config.model.classes().is_empty() {
        rows.push(("Classes".into(), config.model.classes().join(", ")));
    }
    rows.push(("Version".into(), format!("Maliang {}", crate::VERSION)));
    rows
}

/// How many pictures the manifest counts.
fn pictures(dir: &RunDir) -> String {
    let manifest = std::fs::read_to_string(dir.file("data.json")).ok();
    let counts = manifest.and_then(|text| serde_json::from_str::<crate::data::Manifest>(&text).ok()).map(|m| m.counts);
    counts.map_or("unknown".into(), |c| {
        let mut text = format!("{} to train on, {} held out", c.train, c.heldout);
        for (count, what) in [(c.rejected, "rejected"), (c.duplicates, "duplicates left out")] {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
        text
    })
}

fn grids(dir: &RunDir) -> Vec<(String, std::path::PathBuf)> {
    let samples = dir.samples();
    let count = samples.len().min(GRIDS);
    let reals = Some(("real pictures".to_string(), dir.file("reals.png"))).filter(|(_, path)| path.is_file());
    let chosen = (0..count).map(|i| samples[i * (samples.len() - 1) / (count - 1).max(1)].clone());
    reals.into_iter().chain(chosen.map(|(step, path)| (format!("step {step}"), path))).collect()
}

fn files(dir: &RunDir) -> Vec<(String, String)> {
    let known = [
        ("run.toml", "every setting; `maliang train --config run.toml` repeats the run"),
        ("data.json", "every picture with its hash, the split, what was rejected and why"),
        ("metrics.jsonl", "losses and scores, one line an event"),
        ("samples", "grids of the same seeds at every look"),
        ("checkpoints", "the best and the newest states; model.safetensors in each is usable alone"),
        ("animation.gif", "a walk through the latent space"),
        ("reals.png", "training pictures as the model sees them"),
        ("scores.json", "scores, collapse and copying, as `maliang judge` found them"),
        ("card.md", "the model card; a person fills in what only a person can know"),
    ];
    known
        .iter()
        .filter(|(name, _)| dir.file(name).exists())
        .map(|(name, meaning)| (name.to_string(), meaning.to_string()))
        .collect()
}
