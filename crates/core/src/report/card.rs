//! The model card, in the format of the Hugging Face hub (Mitchell 2019), from the run's own records. What only a person can
//! know stays visibly empty.

mod text;

pub use text::TextCard;

use crate::data::Manifest;
use crate::judge::{Judgement, Space, number};
use crate::provenance::label::Provenance;
use crate::run::config::RunConfig;
use crate::run::model_file::ModelInfo;
use std::fmt::Write;

/// Stands where only a person can know.
const EMPTY: &str = "_(to be filled in by a person)_";

/// What stands above a card, whatever the model makes.
struct Front<'a> {
    task: &'a str,
    tag: &'a str,
    modality: &'a str,
    family: &'a str,
    name: &'a str,
    data: &'a str,
    aigc: &'a str,
}

impl Front<'_> {
    /// What the hub reads, and the label of GB 45438-2025 as Markdown files carry it; `scores` by name.
    fn matter(&self, scores: impl Iterator<Item = (String, String)>) -> String {
        let Self { task, tag, modality, family, name, data, aigc } = self;
        let mut out =
            format!("---\nlibrary_name: maliang\npipeline_tag: {task}\ntags:\n- maliang\n- {family}\n- {tag}\n");
        out.push_str("# license: to be filled in by a person\n# datasets: to be filled in by a person\n");
        put(&mut out, format_args!("AIGC: {}\nmodel-index:\n- name: {}\n", quoted(aigc), quoted(name)));
        put(&mut out, format_args!("  results:\n  - task:\n      type: {task}\n"));
        put(
            &mut out,
            format_args!("    dataset:\n      name: {}\n      type: {modality}\n    metrics:\n", quoted(data)),
        );
        for (name, value) in scores {
            put(&mut out, format_args!("    - type: {name}\n      value: {value}\n"));
        }
        out.push_str("---\n");
        out
    }
}

/// The records that a card is made from.
#[derive(Debug)]
pub struct Card<'a> {
    /// What the model file says of itself.
    pub info: &'a ModelInfo,
    /// The label that its pictures carry.
    pub provenance: &'a Provenance,
    /// What the judge found.
    pub judgement: &'a Judgement,
    /// The data that it was judged with.
    pub manifest: &'a Manifest,
    /// The settings of the run, where there is one.
    pub config: Option<&'a RunConfig>,
    /// Seconds of training behind the newest state of the run, where they are known.
    pub seconds: Option<f64>,
    /// The machine that trained, in words; the one that judged where that is not known.
    pub machine: &'a str,
}

impl Card<'_> {
    /// The card as Markdown with YAML front matter.
    pub fn markdown(&self) -> String {
        let mut out = self.front_matter();
        self.about(&mut out);
        self.training(&mut out);
        self.evaluation(&mut out);
        out
    }

    fn front_matter(&self) -> String {
        let scores = self.judgement.scores.iter();
        Front {
            task: "unconditional-image-generation",
            tag: "image-generation",
            modality: "pictures",
            family: self.info.config.family(),
            name: &self.info.name,
            data: &self.info.data,
            aigc: &self.provenance.aigc_json(),
        }
        .matter(scores.map(|score| (score.name.to_string(), number(score.value))))
    }

    fn about(&self, out: &mut String) {
        let info = self.info;
        let stack = info.config.frame();
        put(out, format_args!("\n# {}\n\n", plain(&info.name)));
        put(
            out,
            format_args!(
                "A generator of {}×{} pictures ({}), trained with Maliang {}. Everything that it makes \
                 is AI-generated (AI生成) and carries that label in the file.\n",
                stack.width,
                stack.height,
                info.config.family(),
                info.version
            ),
        );
        heading(out, "Model details");
        item(out, "Developed by", EMPTY);
        item(out, "Licence", EMPTY);
        item(out, "Contact", EMPTY);
        item(out, "Model type", info.config.family());
        item(out, "File", &format!("`model.safetensors`, BLAKE3 `{}`", self.provenance.recipe.model_hash));
        if !info.config.classes().is_empty() {
            item(out, "Classes", &plain(&info.config.classes().join(", ")));
        }
        heading(out, "Uses");
        item(out, "Intended use", EMPTY);
        item(out, "Out-of-scope use", EMPTY);
        item(out, "Who may be affected", EMPTY);
        out.push_str("\n```\nmaliang generate model.safetensors -n 64 --seed 7\n```\n");
        heading(out, "Bias, risks, limitations");
        put(out, format_args!("{EMPTY}\n\nWhat the measurements say:\n\n"));
        put(out, format_args!("- {}\n", plain(&self.judgement.copying.words)));
        put(out, format_args!("- {}\n", plain(&self.judgement.collapse.words)));
    }

    fn training(&self, out: &mut String) {
        let (info, manifest) = (self.info, self.manifest);
        heading(out, "Training data");
        item(out, "Source", &plain(&info.data));
        item(out, "Pictures trained on", &info.data_pictures.to_string());
        if manifest.fingerprint == info.data_fingerprint {
            let c = &manifest.counts;
            item(out, "Held out", &c.heldout.to_string());
            item(out, "Left out", &format!("{} unusable, {} exact duplicates", c.rejected, c.duplicates));
        } else {
            item(out, "Note", "it was judged with other pictures than it was trained on");
        }
        item(out, "Fingerprint", &format!("`{}`", info.data_fingerprint));
        item(out, "Origin, licence, consent of the people shown", EMPTY);
        heading(out, "Training");
        item(out, "Steps", &info.step.to_string());
        item(out, "Pictures shown", &format!("{}, repeats counted", info.images_seen));
        item(out, "Seed", &info.seed.to_string());
        if let Some(seconds) = self.seconds {
            item(out, "Time", &format!("{:.1} minutes, for the whole run", seconds / 60.0));
        }
        if let Some(config) = self.config {
            if let Some(init) = &config.init {
                item(out, "Began with the weights of", &plain(init));
            }
            let t = &config.train;
            item(out, "Batch", &t.batch.to_string());
            item(out, "Adam", &format!("rate {:e}, β {} and {}", t.lr, t.beta_1, t.beta_2));
            item(out, "Mirrored", if t.flip == Some(true) { "half of the time" } else { "never" });
        }
        item(out, "Machine", &plain(self.machine));
        item(out, "Energy", EMPTY);
    }

    fn evaluation(&self, out: &mut String) {
        let judgement = self.judgement;
        heading(out, "Evaluation");
        out.push_str("| score | value | 95 % interval | floor (real against real) |\n|---|---|---|---|\n");
        for row in judgement.rows() {
            put(out, format_args!("| `{}` | {} | {} | {} |\n", row.name, row.value, row.interval, row.floor));
        }
        judgement.protocol().iter().for_each(|line| put(out, format_args!("\n{}\n", plain(line))));
        heading(out, "Copying");
        put(out, format_args!("{}\n\nControls: {}.\n\n", plain(&judgement.copying.words), judgement.controls()));
        put(out, format_args!("| space | {} |\n|---|---|---|---|---|\n", Space::HEAD.join(" | ")));
        for space in &judgement.copying.spaces {
            for cells in space.cells() {
                put(out, format_args!("| {} | {} |\n", space.name, cells.join(" | ")));
            }
        }
    }
}

fn put(out: &mut String, text: std::fmt::Arguments) {
    out.write_fmt(text).expect("writing to a string does not fail");
}

fn heading(out: &mut String, text: &str) {
    put(out, format_args!("\n## {text}\n\n"));
}

fn item(out: &mut String, name: &str, value: &str) {
    put(out, format_args!("- **{name}:** {value}\n"));
}

/// A YAML string in single quotes, on one line.
fn quoted(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("'{}'", line.replace('\'', "''"))
}

/// Text that Markdown shows as it is, on one line.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            _ if c.is_control() => out.push(' '),
            '<' => out.push_str("&lt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out() {
        assert_eq!(quoted("it's\n---\nx: y"), "'it''s --- x: y'");
        assert_eq!(plain("a|b <img> [x](y)\n# z"), "a\\|b &lt;img> \\[x\\](y) \\# z");
    }
}
