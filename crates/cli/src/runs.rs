//! `maliang runs` and `maliang show`: which runs there are, and what one of them holds.

use crate::terminal::print;
use crate::units::{bytes, count, duration};
use maliang::families::settings::TrainConfig;
use maliang::generate::sampler::Sampler;
use maliang::makes::Makes;
use maliang::run::checkpoint;
use maliang::run::counters::Best;
use maliang::run::dir::RunDir;
use maliang::run::log;
use maliang::run::model_file;
use maliang::train::observer::Unit;
use maliang::{Error, Result};
use serde_json::{Map, Value, json};
use std::path::Path;

/// One line a run.
pub fn list(directory: &Path) -> Result<()> {
    if !directory.is_dir() {
        return Err(Error::input(format!("there is no {}", directory.display()))
            .hint("`maliang train` makes runs/ in the current directory; or name another directory"));
    }
    let entries = std::fs::read_dir(directory).map_err(|e| Error::io("read", directory, &e))?;
    let mut runs: Vec<_> = entries.flatten().map(|e| e.path()).filter(|path| RunDir::is_run(path)).collect();
    runs.sort();
    if runs.is_empty() {
        tell!("no runs in {}; `maliang demo` trains a first one", directory.display());
        return Ok(());
    }
    print(format!("{:<28} {:<16} {:>8} {:>8}  {}", "run", "model", "steps", "time", "best score"))?;
    for path in runs {
        let run = RunDir::new(&path);
        let name: String = run.name().chars().take(28).collect();
        match Settings::of(&run) {
            Err(_) => print(format!("{name:<28} (its run.toml cannot be read)"))?,
            Ok(Settings { model, .. }) => {
                let last = last_look(&run);
                let step = last.as_ref().and_then(|l| l.get("step")).and_then(Value::as_u64).unwrap_or(0);
                let seconds = last.as_ref().and_then(|l| l.get("seconds")).and_then(Value::as_f64).unwrap_or(0.0);
                let best = best(&run).map_or("-".to_string(), |b| format!("{:.3}", b.score));
                print(format!("{name:<28} {model:<16} {step:>8} {:>8}  {best}", duration(seconds)))?;
            }
        }
    }
    Ok(())
}

/// Of a run's settings, on pictures or on text, what is shown.
struct Settings {
    /// Family and size, in a word or two.
    model: String,
    /// Name and value, one a line.
    rows: Vec<(&'static str, String)>,
    train: TrainConfig,
    unit: Unit,
    all: Value,
}

impl Settings {
    fn of(run: &RunDir) -> Result<Self> {
        match run.makes() {
            Makes::Pictures => Self::of_pictures(run),
            Makes::Text => Self::of_text(run),
        }
    }

    fn of_text(run: &RunDir) -> Result<Self> {
        let config = run.text_config()?;
        let (family, parameters) = (config.model.family(), count(config.model.parameters()));
        let (context, vocabulary) = (config.model.context(), config.model.vocabulary());
        let rows = vec![
            ("data", config.corpus.source.clone()),
            ("model", format!("{family}, {parameters} parameters, context {context}, vocabulary {vocabulary}")),
        ];
        let model = format!("{family} {parameters}");
        Ok(Self {
            model,
            rows,
            unit: Unit::Tokens,
            all: serde_json::to_value(&config).expect("settings are plain data"),
            train: config.train,
        })
    }

    fn of_pictures(run: &RunDir) -> Result<Self> {
        let config = run.config()?;
        let (family, frame) = (config.model.family(), config.model.frame());
        let size = format!("{}x{}", frame.width, frame.height);
        let mut rows = vec![
            ("data", config.data.source.clone()),
            ("model", format!("{family}, {size}, {}", config.model.sizes())),
        ];
        if !config.model.classes().is_empty() {
            rows.push(("classes", config.model.classes().join(", ")));
        }
        let model = format!("{family} {size}");
        Ok(Self {
            model,
            rows,
            unit: Unit::Pictures,
            all: serde_json::to_value(&config).expect("settings are plain data"),
            train: config.train,
        })
    }
}

/// What a model file says of itself.
fn show_file(path: &Path) -> Result<()> {
    let file = if path.is_dir() { path.join(checkpoint::MODEL_FILE) } else { path.to_path_buf() };
    // What is not a file is opened as one of pictures, which says what is wrong with it.
    let text = match if file.is_file() { model_file::makes(&file)? } else { Makes::Pictures } {
        Makes::Text => {
            let (_, _, info, hash) = model_file::open_text(&file)?;
            json!({"model": info, "blake3": hash})
        }
        Makes::Pictures => {
            let (sampler, _) = Sampler::open(path)?;
            json!({"model": sampler.info, "blake3": sampler.hash})
        }
    };
    print(serde_json::to_string_pretty(&text).unwrap_or_default())
}

/// Settings, scores and files of a run; what a checkpoint or model file says of itself.
pub fn show(path: &Path, as_json: bool) -> Result<()> {
    if !RunDir::is_run(path) {
        return show_file(path);
    }
    let run = RunDir::new(path);
    let Settings { rows, train, unit, all, .. } = Settings::of(&run)?;
    let (last, best) = (last_look(&run), best(&run));
    let samples = run.samples();
    if as_json {
        let text = json!({
            "name": run.name(), "config": all, "last_look": last, "best": best,
            "samples": samples.iter().map(|(_, path)| path).collect::<Vec<_>>(),
        });
        return print(serde_json::to_string_pretty(&text).unwrap_or_default());
    }
    let row = |name: &str, value: String| print(format!("{name:<12} {value}"));
    row("run", run.name())?;
    for (name, value) in rows {
        row(name, value)?;
    }
    let budget = match (train.steps, train.minutes) {
        (0, minutes) => format!("{minutes} minutes"),
        (steps, 0.0) => format!("{steps} steps"),
        (steps, minutes) => format!("{steps} steps or {minutes} minutes"),
    };
    row("budget", budget)?;
    if let Some(last) = &last {
        let get = |key: &str| last.get(key).and_then(Value::as_f64).unwrap_or(0.0);
        row(
            "trained",
            format!("{} steps, {} {}, {}", get("step"), get(unit.key()), unit.name(), duration(get("seconds"))),
        )?;
        for name in log::scores(last) {
            row("score", format!("{name} {:.3}", log::score(last, &name).unwrap_or(f64::NAN)))?;
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
        let what = if unit == Unit::Tokens { "texts" } else { "grids" };
        row("samples", format!("{} {what}, the last of step {step}: {}", samples.len(), path.display()))?;
    }
    for event in run.metrics().iter().filter(|e| e.get("event").and_then(Value::as_str) == Some("note")) {
        row("note", event.get("text").and_then(Value::as_str).unwrap_or_default().to_string())?;
    }
    Ok(())
}

fn last_look(run: &RunDir) -> Option<Map<String, Value>> {
    run.metrics().into_iter().rev().find(|e| e.get("event").and_then(Value::as_str) == Some("look"))
}

fn best(run: &RunDir) -> Option<Best> {
    checkpoint::counters(&run.pointed("last")?).ok()?.best
}
