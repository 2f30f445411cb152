//! The judgement's part of a report, and what of it lies on disk: `scores.json`; and in `judged/` the pictures of the nearest
//! pairs, and `record.json` with what is not a score.

mod text;

pub use text::{TextJudgementFiles, TextRecord};

use super::{Pair, Report, Table};
use crate::data::Manifest;
use crate::generate::picture::read_label;
use crate::judge::{self, JudgedModel, Judgement, Space};
use crate::run::checkpoint;
use crate::run::dir::RunDir;
use crate::run::model_file::ModelInfo;
use crate::{Error, Result, data, files};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const SCORES: &str = "scores.json";
const DIRECTORY: &str = "judged";
const RECORD: &str = "record.json";

/// A judgement of pictures, and what is kept beside it.
#[derive(Debug)]
pub struct JudgementFiles {
    /// What was found.
    pub judgement: Judgement,
    /// What else is known, where it was kept.
    pub record: Option<Record>,
    /// The pictures of `judgement.copying.pairs` as PNG, generated and real; fewer where they were not kept.
    pub pairs: Vec<[Vec<u8>; 2]>,
}

/// The circumstances of a judgement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// What the model file says of itself.
    pub model: ModelInfo,
    /// The data that it was judged with, in outline.
    pub data: Manifest,
    /// The machine that judged, in words.
    pub machine: String,
    /// What took how many seconds.
    pub times: Vec<(String, f64)>,
}

/// The files of pair `i`: the generated picture, and the real one.
fn pair_files(directory: &Path, i: usize) -> [PathBuf; 2] {
    ["generated", "real"].map(|side| directory.join(DIRECTORY).join(format!("{i:02}-{side}.png")))
}

impl JudgementFiles {
    /// Writes everything into `directory`, the scores last.
    ///
    /// # Errors
    /// The disk refused.
    pub fn save(&self, directory: &Path) -> Result<()> {
        let folder = directory.join(DIRECTORY);
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, &e))?;
        for (i, pair) in self.pairs.iter().enumerate() {
            // The generated one first: the label of a model's picture tells to which scores the pair belongs.
            for (path, png) in pair_files(directory, i).iter().zip(pair) {
                files::write_bytes(path, png)?;
            }
        }
        let record = self.record.as_ref();
        let record = record.map(|record| Record { data: record.data.outline(), ..record.clone() });
        write(directory, record.as_ref(), &self.judgement.to_json())
    }

    /// Reads what lies in `directory`; nothing where there are no scores. Of pictures and circumstances that are missing, or that
    /// a model has left which has other scores, nothing is shown.
    ///
    /// # Errors
    /// The scores are damaged, or of another version.
    pub fn read(directory: &Path) -> Result<Option<Self>> {
        let Some(judgement) = scores_in::<Judgement>(directory)? else { return Ok(None) };
        let record = record_in::<Record>(directory).filter(|record| {
            judgement.model.as_ref().is_some_and(|model| model.step == record.model.step)
                && judgement.data_fingerprint == record.data.fingerprint
        });
        let pairs = (0..judgement.copying.pairs.len()).map_while(|i| pair(directory, &judgement, i)).collect();
        Ok(Some(Self { judgement, record, pairs }))
    }

    /// Adds scores, variety, copying and pairs to `report`, and says when the scores are not those of the best model of `run`.
    pub(super) fn add_to(&self, report: &mut Report, run: Option<&RunDir>) {
        if report.title.is_empty() {
            let model = self.judgement.model.as_ref().map(|model| model.name.clone());
            let given = || self.judgement.given.as_ref().map(|given| format!("Pictures of {}", given.pictures));
            report.title = model.or_else(given).unwrap_or_else(|| "A model".into());
            if let Some(Record { model, .. }) = &self.record {
                report.subtitle = format!("{} trained on {}", model.config.family(), model.data);
            }
        }
        let headline = self.judgement.rows().into_iter().next();
        report.summary.extend(headline.map(|row| (row.name, format!("{} (floor {})", row.value, row.floor))));
        let best = run.and_then(|run| checkpoint::counters(&run.pointed("best")?).ok());
        if let (Some(subject), Some(best)) = (&self.judgement.model, best) {
            let hash = best.files.get(checkpoint::MODEL_FILE).map_or("", String::as_str);
            report.notices.extend(outdated(subject, best.step, hash));
        }
        report.scores.extend([self.scores(), self.variety(), self.copying()]);
        let nearest = self.judgement.copying.pairs.iter();
        report.pairs =
            nearest.zip(&self.pairs).map(|(found, [generated, real])| self.pair(found, generated, real)).collect();
    }

    fn pair(&self, found: &judge::Pair, generated: &[u8], real: &[u8]) -> Pair {
        let (name, percent) = (data::display_name(&found.name), found.ratio * 100.0);
        let generated_one = match &found.generated_name {
            Some(name) => data::display_name(name),
            None => format!("number {} of seed {}", found.generated, self.judgement.seed),
        };
        let caption = format!("{generated_one}; {name}; {percent:.0} % of the usual distance ({})", found.space);
        Pair { generated: generated.to_vec(), real: real.to_vec(), caption }
    }

    fn scores(&self) -> Table {
        let judgement = &self.judgement;
        let rows = judgement.rows().into_iter().map(|row| vec![row.name, row.value, row.interval, row.floor]);
        let of = judgement.model.as_ref().map(|model| match &self.record {
            Some(record) => {
                format!("The model of step {}, {} training pictures shown.", model.step, record.model.images_seen)
            }
            None => format!("The model of step {}.", model.step),
        });
        let given = judgement.given.as_ref().map(|given| {
            let [train, heldout] = judgement.data_pictures;
            format!(
                "Compared with {}, {} pictures. The training data of the judged pictures is not known: {heldout} real ones are \
                 held out for comparison, and may have been training data, too.",
                given.real,
                train + heldout
            )
        });
        let other = self.record.as_ref().filter(|record| record.data.fingerprint != record.model.data_fingerprint);
        let other = other.map(|Record { data, .. }| {
            let (name, counts) = (&data.config.source, &data.counts);
            let pictures = counts.train + counts.heldout;
            format!("Judged with {name}, {pictures} pictures, which are not those that the model was trained on.")
        });
        Table {
            name: "Scores".into(),
            text: of.into_iter().chain(other).chain(given).collect(),
            head: ["score", "value", "95 % interval", "floor (real against real)"].map(String::from).into(),
            rows: rows.collect(),
            notes: judgement.protocol(),
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
                 2020): far below 0 means nearer to them than new pictures are."
                    .into(),
            ],
        }
    }
}

/// The pictures of pair `i`, if they are there and the generated one is labelled as the one that was judged.
fn pair(directory: &Path, judgement: &Judgement, i: usize) -> Option<[Vec<u8>; 2]> {
    let [generated, real] = pair_files(directory, i);
    // What came from elsewhere has no label by which it could be known.
    let judged = match &judgement.model {
        Some(JudgedModel { blake3, .. }) => {
            let (recipe, number) = (read_label(&generated).ok()??.recipe?, judgement.copying.pairs[i].generated as u64);
            (&recipe.model_hash, recipe.seed, recipe.index) == (blake3, judgement.seed, number)
        }
        None => judgement.copying.pairs[i].generated_name.is_some(),
    };
    Some([std::fs::read(generated).ok()?, std::fs::read(real).ok()?]).filter(|_| judged)
}

/// What to say when the judged model is not the best one of its run, which has `step` and `blake3`.
fn outdated(judged: &JudgedModel, step: u64, blake3: &str) -> Option<String> {
    if judged.blake3 == blake3 {
        return None;
    }
    Some(match judged.step.cmp(&step) {
        std::cmp::Ordering::Less => format!(
            "The scores below are of an older model, that of step {}; the best one is now that of step {step}. \
             `maliang judge` scores it.",
            judged.step
        ),
        std::cmp::Ordering::Equal => format!(
            "The scores below are of an earlier model of step {step}, which has been trained anew since. \
             `maliang judge` scores the best one."
        ),
        std::cmp::Ordering::Greater => {
            format!("The scores below are of the model of step {}; the best one is that of step {step}.", judged.step)
        }
    })
}

/// Writes `record.json`, if there is a record, and then the scores; the folder of the record is there.
fn write(directory: &Path, record: Option<&impl Serialize>, scores: &str) -> Result<()> {
    if let Some(record) = record {
        let text = serde_json::to_string_pretty(record).expect("a record is plain data");
        files::write_bytes(&directory.join(DIRECTORY).join(RECORD), text.as_bytes())?;
    }
    files::write_bytes(&directory.join(SCORES), scores.as_bytes())
}

/// The scores in `directory`, if there are any.
fn scores_in<T: DeserializeOwned>(directory: &Path) -> Result<Option<T>> {
    let path = directory.join(SCORES);
    let Ok(text) = std::fs::read(&path) else { return Ok(None) };
    let scores = serde_json::from_slice(&text);
    scores.map(Some).map_err(|e| Error::corrupt(format!("{} cannot be read: {e}", path.display())))
}

/// The record in `directory`, if there is one that can be read.
fn record_in<T: DeserializeOwned>(directory: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(directory.join(DIRECTORY).join(RECORD)).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_another_model_are_called_so() {
        let subject = |step| JudgedModel { name: "m".into(), blake3: "a".into(), step };
        assert_eq!(outdated(&subject(5), 5, "a"), None);
        let older = outdated(&subject(5), 9, "b").unwrap();
        assert!(older.contains("older") && older.contains("step 5") && older.contains("step 9"), "{older}");
        assert!(outdated(&subject(5), 5, "b").unwrap().contains("trained anew"));
        assert!(!outdated(&subject(9), 5, "b").unwrap().contains("older"));
    }

    #[test]
    fn damaged_scores_are_an_error_and_none_are_none() {
        let directory = tempfile::tempdir().unwrap();
        assert!(JudgementFiles::read(directory.path()).unwrap().is_none());
        std::fs::write(directory.path().join(SCORES), "{\"format\":").unwrap();
        assert!(JudgementFiles::read(directory.path()).unwrap_err().message.contains(SCORES));
    }
}
