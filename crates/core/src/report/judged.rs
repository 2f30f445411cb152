//! The judgement's part of a report.

use super::{Pair, Report, Table};
use crate::data::Manifest;
use crate::judge::{Judgement, Space};
use crate::provenance::bundle::ModelInfo;
use crate::train::RunConfig;

/// What a report says of a judged model.
#[derive(Debug)]
pub struct Judged<'a> {
    /// What the model file says of itself.
    pub info: &'a ModelInfo,
    /// BLAKE3 of the model file.
    pub hash: &'a str,
    /// What was found.
    pub judgement: &'a Judgement,
    /// The pictures of `judgement.copying.pairs`.
    pub pairs: Vec<Pair>,
    /// The data that it was judged with.
    pub manifest: &'a Manifest,
    /// The settings of the run, where there is one.
    pub config: Option<&'a RunConfig>,
    /// The machine that judged, in words.
    pub machine: String,
    /// What took how many seconds.
    pub times: Vec<(String, f64)>,
}

impl Judged<'_> {
    /// Adds scores, copying, data, settings, machine and times to `report`.
    pub fn add_to(self, report: &mut Report) {
        report.scores.push(self.scores());
        report.scores.push(self.variety());
        report.scores.push(self.copying());
        report.sheets.push(self.data());
        report.sheets.extend(self.config.map(settings));
        report.sheets.push(self.judging());
        report.pairs = self.pairs;
    }

    fn scores(&self) -> Table {
        let rows = self.judgement.rows().into_iter().map(|row| vec![row.name, row.value, row.interval, row.floor]);
        Table {
            name: "Scores".into(),
            text: vec![format!(
                "The model of step {}, {} training pictures shown.",
                self.info.step, self.info.images_seen
            )],
            head: ["score", "value", "95 % interval", "floor (real against real)"].map(String::from).into(),
            rows: rows.collect(),
            notes: self.judgement.protocol(),
        }
    }

    fn variety(&self) -> Table {
        let c = &self.judgement.collapse;
        let row = |name: &str, value: f64, floor: f64| vec![name.into(), format!("{value:.3}"), format!("{floor:.3}")];
        Table {
            name: "Variety".into(),
            text: vec![c.words.clone()],
            head: ["measure", "generated", "other real pictures"].map(String::from).into(),
            rows: vec![
                row(
                    "diversity: distance between two pictures, relative to two real ones",
                    c.diversity,
                    c.diversity_floor,
                ),
                row("coverage: share of the real pictures that are reached", c.coverage, c.coverage_floor),
                row("duplicates: share of the pictures that another one repeats", c.duplicates, c.duplicates_floor),
            ],
            notes: Vec::new(),
        }
    }

    fn copying(&self) -> Table {
        let copying = &self.judgement.copying;
        let lines = |space: &Space| {
            let name = format!("{}, {} training pictures", space.name, space.training);
            space.cells().into_iter().map(move |cells| [vec![name.clone()], cells.to_vec()].concat())
        };
        Table {
            name: "Copying".into(),
            text: vec![copying.words.clone(), format!("Controls: {}.", self.judgement.controls())],
            head: [vec!["space".to_string()], Space::HEAD.map(String::from).to_vec()].concat(),
            rows: copying.spaces.iter().flat_map(lines).collect(),
            notes: vec![
                "Repeats are at most half as far from a training picture as is usual around it (Carlini 2023). AuthPct is \
                 the share of pictures farther from their nearest training picture than that is from its own nearest \
                 (Alaa 2022). C_T compares distances to the training pictures with those of held-out pictures (Meehan \
                 2020): far below 0 is nearer than new pictures are."
                    .into(),
            ],
        }
    }

    fn data(&self) -> Table {
        let (counts, twins, config) = (&self.manifest.counts, &self.judgement.copying.twins, &self.manifest.config);
        let bound = if twins.complete { "" } else { " at least" };
        let mut rows = vec![
            ("source", crate::train::source_name(&config.source)),
            ("pictures", format!("{} to train on, {} held out", counts.train, counts.heldout)),
            ("prepared as", format!("{}×{}, {}", config.width, config.height, colours(config.channels))),
            (
                "left out",
                format!(
                    "{} unusable, {} exact duplicates, {} other files",
                    counts.rejected, counts.duplicates, counts.ignored
                ),
            ),
            ("the same after preparing", format!("{} training pictures", twins.exact)),
            ("look the same", format!("{} pairs of training pictures{bound}", twins.near)),
            ("held out, but look like a training picture", format!("{}{bound}", twins.leaked)),
            ("fingerprint", self.manifest.fingerprint.clone()),
        ];
        if !self.manifest.labels.is_empty() {
            rows.push(("classes", self.manifest.labels.join(", ")));
        }
        if self.manifest.fingerprint != self.info.data_fingerprint {
            rows.push(("note", "not the pictures that the model was trained on, or prepared otherwise".into()));
        }
        rows.push(("licence, consent, origin", "(to be filled in by a person)".into()));
        named("Data", rows)
    }

    fn judging(&self) -> Table {
        let j = self.judgement;
        let total: f64 = self.times.iter().map(|(_, seconds)| seconds).sum();
        let parts: Vec<String> = self.times.iter().map(|(what, seconds)| format!("{what} {seconds:.1} s")).collect();
        named(
            "Judged",
            vec![
                ("model", format!("{}, BLAKE3 {}", self.info.name, self.hash)),
                ("generated pictures", format!("{} of seed {}", j.generated, j.seed)),
                ("machine", self.machine.clone()),
                ("time", format!("{total:.1} s: {}", parts.join(", "))),
                ("version", format!("Maliang {}", j.version)),
            ],
        )
    }
}

fn colours(channels: usize) -> &'static str {
    if channels == 1 { "grey" } else { "colour" }
}

fn named(name: &str, rows: Vec<(&str, String)>) -> Table {
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_string(), value]).collect();
    Table { name: name.into(), rows, ..Table::default() }
}

/// Every setting of the run, but for where the pictures lay.
fn settings(config: &RunConfig) -> Table {
    let mut rows = Vec::new();
    let mut flatten = vec![(String::new(), toml::Value::try_from(config).unwrap_or(toml::Value::Boolean(false)))];
    while let Some((path, value)) = flatten.pop() {
        match value {
            toml::Value::Table(table) => {
                let inner = |(key, value): (String, toml::Value)| {
                    (if path.is_empty() { key } else { format!("{path}.{key}") }, value)
                };
                flatten.extend(table.into_iter().rev().map(inner));
            }
            _ if path == "data.source" => rows.push(vec![path, crate::train::source_name(&config.data.source)]),
            value => rows.push(vec![path, value.to_string()]),
        }
    }
    Table { name: "Settings".into(), rows, ..Table::default() }
}
