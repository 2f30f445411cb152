//! The card of a model that writes.

use super::{EMPTY, Front, heading, item, plain, put};
use crate::data::text::TextManifest;
use crate::judge::text::TextJudgement;
use crate::provenance::label::Provenance;
use crate::provenance::recipe::TextRecipe;
use crate::run::config::text::TextRunConfig;
use crate::run::model_file::TextInfo;

/// What a card of a writer is made from.
pub struct TextCard<'a> {
    /// What the model file says of itself.
    pub info: &'a TextInfo,
    /// The label of what the model writes.
    pub provenance: &'a Provenance<TextRecipe>,
    /// What was measured.
    pub judgement: &'a TextJudgement,
    /// The corpus.
    pub manifest: &'a TextManifest,
    /// The settings of the run, where there is one.
    pub config: Option<&'a TextRunConfig>,
    /// Seconds of training, where they are known.
    pub seconds: Option<f64>,
    /// The machine that trained, in words; the one that judged where that is not known.
    pub machine: &'a str,
}

impl TextCard<'_> {
    /// The card as Markdown with YAML front matter.
    pub fn markdown(&self) -> String {
        let mut out = self.front_matter();
        self.about(&mut out);
        self.training(&mut out);
        self.evaluation(&mut out);
        out
    }

    fn front_matter(&self) -> String {
        let rows = self.judgement.rows();
        Front {
            task: "text-generation",
            tag: "text-generation",
            modality: "text",
            family: self.info.config.family(),
            name: &self.info.name,
            data: &self.info.data,
            aigc: &self.provenance.aigc_json(),
        }
        .matter(rows.iter().map(|row| (row.name.to_string(), row.value.to_string())))
    }

    fn about(&self, out: &mut String) {
        let info = self.info;
        put(out, format_args!("\n# {}\n\n", plain(&info.name)));
        put(
            out,
            format_args!(
                "A model that writes ({}), trained on text of its owner with Maliang {}. Everything that it writes is \
                 AI-generated (AI生成) and carries that label.\n",
                info.config.family(),
                info.version
            ),
        );
        heading(out, "Model details");
        for name in ["Developed by", "Licence", "Contact"] {
            item(out, name, EMPTY);
        }
        let (family, parameters) = (info.config.family(), info.config.parameters());
        item(out, "Model type", &format!("{family}, {parameters} parameters"));
        let (vocabulary, context) = (info.config.vocabulary(), info.config.context());
        item(out, "Tokens", &format!("{vocabulary} in the vocabulary, windows of {context}"));
        item(out, "File", &format!("`model.safetensors`, BLAKE3 `{}`", self.provenance.recipe.model_hash));
        heading(out, "Uses");
        for name in ["Intended use", "Out-of-scope use", "Who may be affected"] {
            item(out, name, EMPTY);
        }
        out.push_str("\n```\nmaliang generate model.safetensors --prompt \"…\" --seed 7\n```\n");
        heading(out, "Bias, risks, limitations");
        put(
            out,
            format_args!(
                "{EMPTY}\n\nIt imitates the style of its corpus and knows no facts.\n\nWhat the measurements say:\n\n"
            ),
        );
        let judgement = self.judgement;
        let said =
            [Some(judgement.copying.words.clone()), judgement.prediction(), Some(judgement.variety.words.clone())];
        said.iter().flatten().for_each(|words| put(out, format_args!("- {}\n", plain(words))));
    }

    fn training(&self, out: &mut String) {
        let (info, c) = (self.info, &self.manifest.counts);
        heading(out, "Training data");
        item(out, "Source", &plain(&info.data));
        item(
            out,
            "Text trained on",
            &format!("{} documents, {} bytes, {} tokens", info.data_documents, info.data_bytes, info.data_tokens),
        );
        item(out, "Held out", &format!("{} bytes, {} tokens", c.heldout_bytes, c.heldout_tokens));
        item(out, "Left out", &format!("{} unusable, {} exact duplicates", c.rejected, c.duplicates));
        self.manifest.notes.iter().for_each(|note| item(out, "Note", &plain(note)));
        item(out, "Fingerprint", &format!("`{}`", info.data_fingerprint));
        item(out, "Origin, licence, consent of the people written about", EMPTY);
        heading(out, "Training");
        item(out, "Steps", &info.step.to_string());
        item(out, "Tokens read", &format!("{}, repeats counted", info.tokens_seen));
        item(out, "Seed", &info.seed.to_string());
        if let Some(seconds) = self.seconds {
            item(out, "Time", &format!("{:.1} minutes, for the whole run", seconds / 60.0));
        }
        if let Some(config) = self.config {
            let t = &config.train;
            item(out, "Batch", &format!("{} windows, {} times a step", t.batch, config.text.accumulate));
            item(out, "AdamW", &format!("rate {:e}, β {} and {}, decay {}", t.lr, t.beta_1, t.beta_2, t.weight_decay));
        }
        item(out, "Machine", &plain(self.machine));
        item(out, "Energy", EMPTY);
    }

    fn evaluation(&self, out: &mut String) {
        let judgement = self.judgement;
        heading(out, "Evaluation");
        out.push_str("| score | value | 95 % interval | beside it | of |\n|---|---|---|---|---|\n");
        for row in judgement.rows() {
            put(
                out,
                format_args!(
                    "| `{}` | {} | {} | {} | {} |\n",
                    row.name, row.value, row.interval, row.beside, row.whose
                ),
            );
        }
        judgement.protocol().iter().for_each(|line| put(out, format_args!("\n{}\n", plain(line))));
        heading(out, "Copying");
        put(out, format_args!("{}\n\nControls: {}.\n\n", plain(&judgement.copying.words), judgement.controls()));
        put(out, format_args!("| {} |\n|---|---|---|---|---|\n", TextJudgement::COPYING_HEAD.join(" | ")));
        for cells in judgement.copying_rows() {
            put(out, format_args!("| {} |\n", cells.join(" | ")));
        }
    }
}
