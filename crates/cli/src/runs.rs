//! `maliang runs` and `maliang show`: what is there, and how it went.

use crate::terminal::{bytes, duration, print};
use maliang::generate::sampler::Sampler;
use maliang::train::{RunDir, checkpoint};
use maliang::{Error, Result};
use serde_json::{Map, Value, json};
use std::path::Path;

/// One line a run.
pub fn list(directory: &Path) -> Result<()> {
    if !directory.is_dir() {
        return Err(Error::input(format!("there is no {}", directory.display()))
            .hint("`maliang train` makes runs/ where it is called; or name another directory"));
    }
    let entries = std::fs::read_dir(directory).map_err(|e| Error::io("read", directory, &e))?;
    let mut runs: Vec<_> = entries.flatten().map(|e| e.path()).filter(|path| RunDir::is_run(path)).collect();
    runs.sort();
    if runs.is_empty() {
        eprintln!("no runs in {}; `maliang demo` makes a first one", directory.display());
        return Ok(());
    }
    print(format!("{:<28} {:<16} {:>8} {:>8}  {}", "run", "model", "steps", "time", "best score"))?;
    for path in runs {
        let run = RunDir::new(&path);
        let name: String = run.name().chars().take(28).collect();
        match run.config() {
            Err(_) => print(format!("{name:<28} (its run.toml cannot be read)"))?,
            Ok(config) => {
                let last = last_look(&run);
                let stack = config.model.stack();
                let model = format!("{} {}x{}", config.model.family(), stack.width, stack.height);
                let step = last.as_ref().and_then(|l| l.get("step")).and_then(Value::as_u64).unwrap_or(0);
                let seconds = last.as_ref().and_then(|l| l.get("seconds")).and_then(Value::as_f64).unwrap_or(0.0);
                let best = best(&run).map_or("-".to_string(), |b| format!("{:.3}", b.score));
                print(format!("{name:<28} {model:<16} {step:>8} {:>8}  {best}", duration(seconds)))?;
            }
        }
    }
    Ok(())
}

/// What a run, checkpoint or model file is.
pub fn show(path: &Path, as_json: bool) -> Result<()> {
    if !RunDir::is_run(path) {
        let (sampler, _) = Sampler::open(path)?;
        return print(
            serde_json::to_string_pretty(&json!({"model": sampler.info, "blake3": sampler.hash})).unwrap_or_default(),
        );
    }
    let run = RunDir::new(path);
    let config = run.config()?;
    let (last, best) = (last_look(&run), best(&run));
    let samples = run.samples();
    if as_json {
        let text = json!({
            "name": run.name(), "config": config, "last_look": last, "best": best,
            "samples": samples.iter().map(|(_, path)| path).collect::<Vec<_>>(),
        });
        return print(serde_json::to_string_pretty(&text).unwrap_or_default());
    }
    let stack = config.model.stack();
    let row = |name: &str, value: String| print(format!("{name:<12} {value}"));
    row("run", run.name())?;
    row("data", config.data.source.clone())?;
    row("model", format!("{}, {}x{}, {} base channels", config.model.family(), stack.width, stack.height, stack.base))?;
    if !config.model.classes().is_empty() {
        row("classes", config.model.classes().join(", "))?;
    }
    let budget = match (config.train.steps, config.train.minutes) {
        (0, minutes) => format!("{minutes} minutes"),
        (steps, 0.0) => format!("{steps} steps"),
        (steps, minutes) => format!("{steps} steps or {minutes} minutes"),
    };
    row("budget", budget)?;
    if let Some(last) = &last {
        let get = |key: &str| last.get(key).and_then(Value::as_f64).unwrap_or(0.0);
        row("trained", format!("{} steps, {} pictures, {}", get("step"), get("images"), duration(get("seconds"))))?;
        for (name, value) in last.iter().filter(|(name, _)| name.starts_with("kid_") || name.starts_with("heldout_")) {
            row("score", format!("{name} {:.3}", value.as_f64().unwrap_or(f64::NAN)))?;
        }
    }
    if let Some(best) = best {
        row("best", format!("step {} with {:.3}", best.step, best.score))?;
    }
    for (step, directory) in checkpoint::list(&run.checkpoints()) {
        let model = directory.join(checkpoint::MODEL_FILE);
        let size = std::fs::metadata(&model).map_or(0, |m| m.len());
        row("checkpoint", format!("step {step}: {} ({})", model.display(), bytes(size)))?;
    }
    if let Some((step, path)) = samples.last() {
        row("samples", format!("{} grids, the last of step {step}: {}", samples.len(), path.display()))?;
    }
    for event in run.metrics().iter().filter(|e| e.get("event").and_then(Value::as_str) == Some("note")) {
        row("note", event.get("text").and_then(Value::as_str).unwrap_or_default().to_string())?;
    }
    Ok(())
}

fn last_look(run: &RunDir) -> Option<Map<String, Value>> {
    run.metrics().into_iter().rev().find(|e| e.get("event").and_then(Value::as_str) == Some("look"))
}

fn best(run: &RunDir) -> Option<checkpoint::Best> {
    checkpoint::counters(&run.pointed("last")?).ok()?.best
}
