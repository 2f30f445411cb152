//! `maliang recipe`: trains with the settings of a recipe, judges the run, and fails where a claim of the recipe is missed.

use crate::args::RecipeArgs;
use crate::bench::machine::Machine;
use crate::judge::model::{self, Asked};
use crate::terminal::{self, print};
use crate::train::{again, begin};
use maliang::data::KEPT_BYTES;
use maliang::data::text::makes;
use maliang::files::quoted;
use maliang::judge::{Checked, Claim, Judgement, Protocol};
use maliang::makes::Makes;
use maliang::provenance::label::Label;
use maliang::run::dir::RunDir;
use maliang::train::observer::Outcome;
use maliang::{Error, Result, train};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use toml::{Table, Value};

/// A claim was missed.
const MISSED: u8 = 4;

/// Trains, judges, prints a table of the claims; the exit code says whether all are kept. A recipe that was stopped has judged nothing,
/// so it does not succeed.
pub fn run(args: &RecipeArgs) -> Result<ExitCode> {
    let (claim, settings) = read(&args.recipe)?;
    let protocols = claim.protocols()?;
    let named = settings.get("data").and_then(|data| data.get("source")).and_then(Value::as_str);
    let Some(source) = args.source.as_deref().or(named).or(claim.data.as_deref()) else {
        return Err(Error::input(format!("{} does not name its pictures", args.recipe.display()))
            .hint("name them: maliang recipe RECIPE PICTURES/"));
    };
    if makes(source) != Makes::Pictures {
        return Err(Error::input("recipes are for pictures so far, but this source is text")
            .hint("`maliang train SOURCE --config FILE` trains on text by settings in a file"));
    }
    for protocol in &protocols {
        // Weights that are not installed are reported before hours of training.
        maliang::judge::extractor(&protocol.extractor, &terminal::weights_store())?;
    }
    if claim.data.as_deref().is_some_and(|data| begin::run_name(data) != begin::run_name(source)) {
        tell!("note: the recipe claims this of {}", claim.data.as_deref().unwrap_or_default());
    }
    if let Some(machine) = &claim.machine {
        tell!("claimed on: {machine}\n      here: {}", Machine::here().line());
    }
    let out = args.out.clone().unwrap_or_else(|| begin::run_directory(source));
    terminal::catch_interrupts()?;
    let (outcome, _) = terminal::once_free(|| trained(source, &out, &settings))?;
    // Ctrl-C during the last step counts, too.
    if !outcome.finished || terminal::interrupted() {
        tell!(
            "`maliang recipe {} {} --out {}` resumes this recipe",
            quoted(&args.recipe),
            quoted(source),
            quoted(&out)
        );
        return Ok(ExitCode::from(terminal::INTERRUPTED));
    }
    let judgements = protocols.iter().map(|protocol| judged(&out, protocol, claim.seed));
    let judgements = judgements.collect::<Result<Vec<Judgement>>>()?;
    let checked = claim.check(&judgements, outcome.seconds / 60.0)?;
    print(table(&checked))?;
    let missed: Vec<&Checked> = checked.iter().filter(|check| !check.kept).collect();
    let Some(first) = missed.first() else { return Ok(ExitCode::SUCCESS) };
    tell!(
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
    let text = maliang::files::read_settings(path)?;
    let mut settings: Table = text.parse().map_err(|e| Error::toml(path, &text, &e))?;
    let Some(claim) = settings.remove("claim") else {
        return Err(Error::input(format!("{} has no [claim] table", path.display()))
            .hint("use `maliang train --config` for a recipe without claims"));
    };
    let claim = claim.try_into().map_err(|error: toml::de::Error| {
        let said = error.to_string().trim_end().replace('\n', " ");
        Error::input(format!("the claim of {} cannot be used: {said}", path.display()))
            .hint("it may have: data, machine, minutes, seed, at_most, at_least, passes")
    })?;
    Ok((claim, settings))
}

/// Trains on `source` in `out` with the settings of a recipe. A run that is there already goes on with its own.
fn trained(source: &str, out: &Path, settings: &Table) -> Result<(Outcome, RunDir)> {
    if begin::is_begun(Path::new(source)) {
        return Err(Error::input(format!("{source} is a run, and a recipe trains a new one"))
            .hint("give the pictures of the recipe; `maliang judge RUN` judges a run that is there"));
    }
    if begin::is_begun(out) {
        begin::refuse_other_source(out, source)?;
        // A race that is not decided takes no settings.
        return if RunDir::is_run(out) {
            let mut settings = settings.clone();
            settings.get_mut("data").and_then(Value::as_table_mut).map(|data| data.remove("source"));
            again::refuse_other_settings(out, &settings, None)?;
            begin::go_on(RunDir::new(out), |_| ())
        } else {
            Err(Error::input(format!("{} is a race that is not over", out.display()))
                .hint(format!("`maliang train {}` goes on with it", quoted(out))))
        };
    }
    let (scan, checked) = begin::look_at(source, KEPT_BYTES)?;
    let choice = train::choose(&begin::request(source.to_owned(), settings.clone()), &checked)?;
    begin::start(RunDir::new(out), &choice, &scan, None)
}

/// The judgement of the run in `out`, which is left there as `maliang judge` leaves it.
fn judged(out: &Path, protocol: &Protocol, seed: u64) -> Result<Judgement> {
    let Protocol { extractor: features, n: number } = protocol;
    let label = Label::default();
    let found = model::judge(&Asked { model: out, number: *number, features, data: None, seed, label, output: None })?;
    found.print(false)?;
    Ok(found.judgement)
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
