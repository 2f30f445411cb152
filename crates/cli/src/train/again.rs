//! The same command again: the run that is there goes on where the settings are its own; what differs is named.

use maliang::files::quoted;
use maliang::run::config::text::TextRunConfig;
use maliang::run::config::{RunConfig, shown};
use maliang::run::dir::RunDir;
use maliang::train::{Donor, Race};
use maliang::{Error, Result, makes::Makes};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;
use toml::{Table, Value};

/// What may change when a run goes on, and how; the rest is fixed.
const HINT: &str =
    "only --minutes, --steps, --patience and --device may change when going on; other settings need a new run";

/// Refuses settings that are not those of the run, or of the race, at `path`.
pub fn refuse_other_settings(path: &Path, given: &Table, init: Option<&Path>) -> Result<()> {
    let dir = RunDir::new(path);
    let began_with = init.map(|init| Donor::open(init).map(|(donor, _)| donor.record())).transpose()?;
    let (mut differences, own_init) = if !RunDir::is_run(path) {
        let race = Race::open(dir)?;
        let mut found = race.candidates().iter().map(|config| differences(config, given, understood));
        let (mut first, second) = (found.next().unwrap_or_default(), found.next().unwrap_or_default());
        // What only one of the candidates reads is no difference in the other.
        let name = |difference: &str| difference.split(" is ").next().unwrap_or_default().to_string();
        first.retain(|own| second.iter().any(|other| name(own) == name(other)));
        (first, None)
    } else if dir.makes() == Makes::Text {
        (differences::<TextRunConfig>(&dir.text_config()?, given, Some), None)
    } else {
        let config = dir.config()?;
        (differences::<RunConfig>(&config, given, understood), config.init)
    };
    if let Some(given) = began_with.filter(|given| own_init.as_ref() != Some(given)) {
        let own = own_init.unwrap_or_else(|| "nothing".into());
        differences.push(format!("it began with {own}, not with {given}"));
    }
    if differences.is_empty() {
        return Ok(());
    }
    let all = differences.join("; ");
    let what = if RunDir::is_run(path) { "a run already" } else { "a race that is not over" };
    let error = Error::input(format!("{} is {what}, and its settings are fixed: {all}", path.display()));
    Err(if RunDir::is_run(path) {
        error.hint(HINT)
    } else {
        error.hint(format!("`maliang train {}` goes on with it", quoted(path)))
    })
}

/// Settings as a run would keep them: without those that do nothing, if what is left is in order.
fn understood(config: RunConfig) -> Option<RunConfig> {
    config.validate().ok()?;
    let idle = config.model.unread_of(&config.tables, &config.tables);
    if idle.is_empty() { config.opened().ok() } else { None }
}

/// Each of the settings in `given` that has another value in `own`, in words. `understood` are settings as a run keeps them.
fn differences<T: Serialize + DeserializeOwned>(
    own: &T,
    given: &Table,
    understood: impl Fn(T) -> Option<T>,
) -> Vec<String> {
    let table = |config: &T| Table::try_from(config).unwrap_or_default();
    let own = table(own);
    let mut wanted = own.clone();
    leaves(given, "", &mut |path, value| maliang::train::set(&mut wanted, path, value.clone()));
    // A default that was repeated for a table of another family is in no run.
    if wanted.clone().try_into::<T>().ok().and_then(understood).is_some_and(|config| table(&config) == own) {
        return vec![];
    }
    // As the settings themselves would have it: 1 is 1.0 where a fraction is meant.
    let understood = wanted.clone().try_into::<T>().map_or(wanted, |config| table(&config));
    let mut found = vec![];
    leaves(given, "", &mut |path, value| {
        let (own, given) = (at(&own, path), at(&understood, path));
        // What the settings do not know is not in them after reading, either.
        if own != given || given.is_none() {
            let own = own.map_or("not set".into(), shown);
            found.push(format!("{path} is {own}, not {}", shown(given.unwrap_or(value))));
        }
    });
    found
}

/// Every value of a table that is no table itself, with its path.
fn leaves(table: &Table, prefix: &str, each: &mut impl FnMut(&str, &Value)) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(inner) => leaves(inner, &path, each),
            value => each(&path, value),
        }
    }
}

fn at<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        None => table.get(path),
        Some((first, rest)) => at(table.get(first)?.as_table()?, rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Serialize, Deserialize)]
    struct Settings {
        seed: u64,
        train: Train,
    }

    #[derive(Serialize, Deserialize)]
    struct Train {
        lr: f32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        flip: Option<bool>,
    }

    #[test]
    fn what_differs_is_named_and_equal_values_are_not() {
        let own = Settings { seed: 7, train: Train { lr: 2e-4, flip: None } };
        let found = |given: &str| differences(&own, &given.parse().unwrap(), |_| None);
        assert!(found("seed = 7\n[train]\nlr = 2e-4").is_empty());
        assert_eq!(found("seed = 8"), ["seed is 7, not 8"]);
        assert_eq!(
            found("train = { lr = 1, flip = true }"),
            ["train.flip is not set, not true", "train.lr is 0.0002, not 1"]
        );
        assert_eq!(found("train = { no = 1 }"), ["train.no is not set, not 1"]);
    }
}
