//! The judgement of a writer on a page, and what of it lies on disk: `scores.json`; and in `judged/` the generated pieces, each
//! with its label, and `record.json` with what is not a score.

use super::{DIRECTORY, outdated, record_in, scores_in, write};
use crate::data::text::TextManifest;
use crate::judge::text::TextJudgement;
use crate::report::{Report, Table};
use crate::run::checkpoint;
use crate::run::dir::RunDir;
use crate::run::model_file::TextInfo;
use crate::{Error, Result, files};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The generated pieces, a line of labelled JSON each.
const PIECES: &str = "pieces.jsonl";
/// Passages on the page, at most.
const PASSAGES: usize = 8;

/// A judgement of text, and what is kept beside it.
#[derive(Debug)]
pub struct TextJudgementFiles {
    /// What was found.
    pub judgement: TextJudgement,
    /// What else is known, where it was kept.
    pub record: Option<TextRecord>,
}

/// The circumstances of a judgement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextRecord {
    /// What the model file says of itself.
    pub model: TextInfo,
    /// The corpus, in outline.
    pub data: TextManifest,
    /// The machine that judged, in words.
    pub machine: String,
    /// What took how many seconds.
    pub times: Vec<(String, f64)>,
}

impl TextJudgementFiles {
    /// Writes everything into `directory`, the scores last. `pieces` are the generated ones, a labelled line each.
    ///
    /// # Errors
    /// The disk refused.
    pub fn save(&self, directory: &Path, pieces: &[String]) -> Result<()> {
        let folder = directory.join(DIRECTORY);
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, &e))?;
        let lines: String = pieces.iter().map(|piece| format!("{}\n", piece.trim_end())).collect();
        files::write_bytes(&folder.join(PIECES), lines.as_bytes())?;
        let record = self.record.as_ref();
        let record = record.map(|record| TextRecord { data: record.data.outline(), ..record.clone() });
        write(directory, record.as_ref(), &self.judgement.to_json())
    }

    /// Reads what lies in `directory`; nothing where there are no scores. Circumstances that are missing or belong to other scores
    /// are left out.
    ///
    /// # Errors
    /// The scores are damaged, of pictures, or of another version.
    pub fn read(directory: &Path) -> Result<Option<Self>> {
        let Some(judgement) = scores_in::<TextJudgement>(directory)? else { return Ok(None) };
        let record = record_in::<TextRecord>(directory).filter(|record| {
            judgement.model.as_ref().is_some_and(|model| model.step == record.model.step)
                && judgement.data_fingerprint == record.data.fingerprint
        });
        Ok(Some(Self { judgement, record }))
    }

    /// Adds scores, variety and copying to `report`, and says when the scores are not those of the best model of `run`.
    pub(in crate::report) fn add_to(&self, report: &mut Report, run: &RunDir) {
        let judgement = &self.judgement;
        let headline = judgement.rows().into_iter().next();
        let beside = headline.map(|row| (row.name, format!("{} ({}: {})", row.value, row.whose, row.beside)));
        report.summary.extend(beside);
        let best = run.pointed("best").and_then(|best| checkpoint::counters(&best).ok());
        if let (Some(subject), Some(best)) = (&judgement.model, best) {
            let hash = best.files.get(checkpoint::MODEL_FILE).map_or("", String::as_str);
            report.notices.extend(outdated(subject, best.step, hash));
        }
        report.scores.extend([self.scores(), self.copying()]);
        report.scores.extend(self.passages());
    }

    /// The sheet of the judgement itself.
    pub(in crate::report) fn sheet(&self) -> Option<Table> {
        let record = self.record.as_ref()?;
        let mut rows = vec![
            vec!["generated".to_string(), format!("{} pieces of seed {}", self.judgement.pieces, self.judgement.seed)],
            vec!["how".into(), self.judgement.sampling.clone()],
            vec!["machine".into(), record.machine.clone()],
        ];
        rows.extend(record.times.iter().map(|(what, seconds)| vec![what.clone(), format!("{seconds:.1} s")]));
        Some(Table { name: "Judging".into(), rows, ..Table::default() })
    }

    fn scores(&self) -> Table {
        let judgement = &self.judgement;
        let rows =
            judgement.rows().into_iter().map(|row| vec![row.name, row.value, row.interval, row.beside, row.whose]);
        let of = judgement.model.as_ref().map(|model| format!("The model of step {}.", model.step));
        Table {
            name: "Scores".into(),
            text: of.into_iter().chain(judgement.prediction()).chain([judgement.variety.words.clone()]).collect(),
            head: ["score", "value", "95 % interval", "beside it", "of"].map(String::from).into(),
            rows: rows.collect(),
            notes: judgement.protocol(),
        }
    }

    fn copying(&self) -> Table {
        let judgement = &self.judgement;
        Table {
            name: "Copying".into(),
            text: vec![judgement.copying.words.clone(), format!("Controls: {}.", judgement.controls())],
            head: TextJudgement::COPYING_HEAD.map(String::from).into(),
            rows: judgement.copying_rows().into_iter().map(Vec::from).collect(),
            notes: vec![
                "A piece is copied if at least half of its windows are found. The longest span and the median over the pieces \
                 are in characters."
                    .into(),
            ],
        }
    }

    fn passages(&self) -> Option<Table> {
        let row = |passage: &crate::judge::text::Passage| {
            vec![passage.length.to_string(), format!("piece {}", passage.piece), passage.text.clone()]
        };
        let rows: Vec<Vec<String>> = self.judgement.copying.passages.iter().take(PASSAGES).map(row).collect();
        (!rows.is_empty()).then(|| Table {
            name: "Longest passages".into(),
            text: vec![
                "The longest span of each piece that is also in the training text, word for word. Short spans are equal by \
                 chance."
                    .into(),
            ],
            head: ["characters", "in", "passage (AI生成, as in the training text)"].map(String::from).into(),
            rows,
            notes: Vec::new(),
        })
    }
}
