//! What a page shows: everything that lies in its directory.

use super::judged::{JudgementFiles, TextJudgementFiles};
use super::{Report, explained, run, sheets, text};
use crate::makes::Makes;
use crate::run::dir::RunDir;
use crate::train::observer::Unit;
use crate::{Result, explain};
use std::path::Path;

const CARD: &str = "card.md";
/// What a page says of scores that are damaged.
const UNREADABLE: &str = "scores.json cannot be read, so the scores are left out; `maliang judge` writes it anew.";

/// The page of a run, from the files that training and judging have left in its directory.
///
/// # Errors
/// The run has no readable `run.toml`.
pub fn of_run(run: &RunDir) -> Result<Report> {
    compose(run.root(), Some(run))
}

/// The page of `directory`: how `run` was trained, where there is one, and the judgement that lies in `directory`, which need
/// not be that of the run.
///
/// # Errors
/// The run has no readable `run.toml`.
pub fn compose(directory: &Path, run: Option<&RunDir>) -> Result<Report> {
    match run.map(|run| (run, run.makes())) {
        Some((run, Makes::Text)) => compose_text(directory, run),
        Some((_, Makes::Pictures)) | None => compose_pictures(directory, run),
    }
}

fn compose_pictures(directory: &Path, run: Option<&RunDir>) -> Result<Report> {
    let mut report = run.map(run::trained).transpose()?.unwrap_or_default();
    let judged = JudgementFiles::read(directory).unwrap_or_else(|_| {
        report.notices.push(UNREADABLE.into());
        None
    });
    if let Some(judged) = &judged {
        judged.add_to(&mut report, run);
    }
    let of_judgement = || judged.as_ref().and_then(|judged| Some(judged.record.as_ref()?.data.clone()));
    if let Some(manifest) = run.and_then(RunDir::manifest).or_else(of_judgement) {
        report.sheets.push(sheets::data(&manifest, judged.as_ref()));
    }
    if let Some(run) = run {
        let config = run.config()?;
        report.sheets.push(sheets::settings(&config));
        report.sheets.push(sheets::training(&config.train, run, Unit::Pictures));
    }
    report.sheets.extend(judged.as_ref().and_then(sheets::judging));
    report.explained = explained::read(&directory.join(explain::DIRECTORY))
        .and_then(|explained| explained::sections(&explained, &directory.join(explain::DIRECTORY)))
        .unwrap_or_else(|_| {
            report.notices.push("explain/ cannot be read, so it is left out; `maliang explain` writes it anew.".into());
            String::new()
        });
    report.files = files(directory);
    // A card that lies there is of another judgement, of a model.
    if judged.is_some_and(|judged| judged.judgement.model.is_none()) {
        report.files.retain(|(name, _)| name != CARD);
    }
    Ok(report)
}

/// The page of a run on text.
fn compose_text(directory: &Path, run: &RunDir) -> Result<Report> {
    let mut report = text::trained(run)?;
    let judged = TextJudgementFiles::read(directory).unwrap_or_else(|_| {
        report.notices.push(UNREADABLE.into());
        None
    });
    if let Some(judged) = &judged {
        judged.add_to(&mut report, run);
    }
    report.sheets.extend(text::sheets(run)?);
    report.sheets.extend(judged.as_ref().and_then(TextJudgementFiles::sheet));
    report.files = files(directory);
    Ok(report)
}

fn files(directory: &Path) -> Vec<(String, String)> {
    let known = [
        ("run.toml", "every setting; `maliang train --config run.toml` repeats the run"),
        ("data.json", "every picture or file of text with its hash, the split, what was rejected and why"),
        ("metrics.jsonl", "losses and scores, one line an event"),
        ("samples", "grids or texts of the same seeds at every look, all of them and in full"),
        ("checkpoints", "the best and the newest states; model.safetensors in each is usable alone"),
        ("animation.gif", "a walk through the latent space"),
        ("reals.png", "training pictures as the model sees them"),
        ("scores.json", "scores, variety and copying, as `maliang judge` found them"),
        ("judged", "the nearest pairs as pictures, or the pieces of text that were judged"),
        (
            explain::DIRECTORY,
            "directions of the latent space, what the discriminator looks at, nearest training pictures",
        ),
        (CARD, "the model card; a person fills in what only a person can know"),
    ];
    let there = known.iter().filter(|(name, _)| directory.join(name).exists());
    there.map(|(name, meaning)| (name.to_string(), meaning.to_string())).collect()
}
