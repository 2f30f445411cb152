//! `maliang recipe`: a run file that is a claim. Trains as it says, judges as it says, and fails where it promised too much.

use crate::args::{JudgeArgs, Producer, RecipeArgs, TrainArgs};
use crate::bench::machine::Machine;
use crate::terminal::{self, free_directory, print};
use crate::{judge, train};
use maliang::data::text::makes;
use maliang::judge::{Checked, Claim, Judgement};
use maliang::makes::Makes;
use maliang::run::checkpoint;
use maliang::run::dir::RunDir;
use maliang::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use toml::{Table, Value};

/// A claim was missed.
const MISSED: u8 = 4;

/// Trains, judges, prints a table of the claims; the exit code says whether all are kept. Who stops it has no answer yet, so that is
/// no success.
pub fn run(args: &RecipeArgs) -> Result<ExitCode> {
    let (claim, settings) = read(&args.recipe)?;
    let protocols = claim.protocols()?;
    let named = settings.get("data").and_then(|data| data.get("source")).and_then(Value::as_str);
    let Some(source) = args.source.as_deref().or(named).or(claim.data.as_deref()) else {
        return Err(Error::input(format!("{} does not say which pictures it is for", args.recipe.display()))
            .hint("name them: maliang recipe RECIPE PICTURES/"));
    };
    if makes(source) != Makes::Pictures {
        return Err(Error::input("recipes are for pictures so far, but this source is text")
            .hint("`maliang train SOURCE --config FILE` trains on text by settings in a file"));
    }
    for protocol in &protocols {
        // A judge that is not installed is missed before hours of training.
        maliang::judge::extractor(&protocol.extractor, &terminal::weights_store())?;
    }
    if claim.data.as_deref().is_some_and(|data| train::begin::source_name(data) != train::begin::source_name(source)) {
        eprintln!("note: the recipe claims this of {}", claim.data.as_deref().unwrap_or_default());
    }
    if let Some(machine) = &claim.machine {
        eprintln!("claimed on: {machine}\n      here: {}", Machine::here().line());
    }
    let out = args.out.clone().unwrap_or_else(|| free_directory(Path::new("runs"), &train::begin::source_name(source)));
    // A run that is there already keeps its settings.
    let config = (!RunDir::is_run(&out)).then(|| args.recipe.clone());
    train::run(&TrainArgs { source: Some(source.into()), out: Some(out.clone()), config, ..TrainArgs::default() })?;
    let run = RunDir::new(&out);
    if terminal::interrupted() {
        eprintln!("`maliang recipe {} {source} --out {}` goes on, too", args.recipe.display(), out.display());
        return Ok(ExitCode::from(terminal::INTERRUPTED));
    }
    let judgements = protocols.into_iter().map(|protocol| judged(&out, protocol.extractor, protocol.n, claim.seed));
    let judgements = judgements.collect::<Result<Vec<Judgement>>>()?;
    let last = run.pointed("last").ok_or_else(|| Error::corrupt(format!("{} has no checkpoint", out.display())))?;
    let minutes = checkpoint::counters(&last)?.seconds / 60.0;
    let checked = claim.check(&judgements, minutes)?;
    print(table(&checked))?;
    let missed: Vec<&Checked> = checked.iter().filter(|check| !check.kept).collect();
    let Some(first) = missed.first() else { return Ok(ExitCode::SUCCESS) };
    eprintln!(
        "error: {} missed {} of {} claims: {} is {}, claimed was {}",
        args.recipe.display(),
        missed.len(),
        checked.len(),
        first.name,
        first.found,
        first.claimed
    );
    Ok(ExitCode::from(MISSED))
}

/// The claim of a recipe, and the rest of it.
fn read(path: &PathBuf) -> Result<(Claim, Table)> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, &e))?;
    let mut settings: Table = text.parse().map_err(|e| Error::toml(path, &text, &e))?;
    let Some(claim) = settings.remove("claim") else {
        return Err(Error::input(format!("{} has no [claim] table", path.display()))
            .hint("`maliang train --config` trains by a recipe that claims nothing"));
    };
    let claim = claim.try_into().map_err(|error: toml::de::Error| {
        let said = error.to_string().trim_end().replace('\n', " ");
        Error::input(format!("the claim of {} cannot be used: {said}", path.display()))
            .hint("it may have: data, machine, minutes, seed, at_most, at_least, passes")
    })?;
    Ok((claim, settings))
}

/// The judgement of the run in `out`, which is left there as `maliang judge` leaves it.
fn judged(out: &Path, features: String, number: usize, seed: u64) -> Result<Judgement> {
    let model = out.to_path_buf();
    judge::run(&JudgeArgs {
        model,
        number: Some(number),
        features: Some(features),
        data: None,
        seed,
        json: false,
        output: None,
        producer: Producer::default(),
    })?;
    let path = out.join("scores.json");
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path, &e))?;
    serde_json::from_str(&text).map_err(|e| Error::corrupt(format!("{} cannot be read: {e}", path.display())))
}

/// What was claimed, what was found, and the verdict.
fn table(checked: &[Checked]) -> String {
    let width = |cell: fn(&Checked) -> &String, least: usize| {
        checked.iter().map(|check| cell(check).chars().count()).max().unwrap_or(0).max(least)
    };
    let (a, b, c) = (width(|r| &r.name, 5), width(|r| &r.claimed, 7), width(|r| &r.found, 5));
    let line = |name: &str, claimed: &str, found: &str, verdict: &str| {
        format!("{name:<a$}  {claimed:>b$}  {found:>c$}  {verdict}")
    };
    let mut lines = vec![String::new(), line("claim", "claimed", "found", "verdict")];
    let verdict = |check: &Checked| if check.kept { "kept" } else { "missed" };
    lines.extend(checked.iter().map(|check| line(&check.name, &check.claimed, &check.found, verdict(check))));
    lines.join("\n")
}
