//! The tables of settings in docs/guide.md are made from the code: from the doc comments and the defaults of the structs that read them.
//! `MALIANG_WRITE_DOCS=1 cargo test --workspace --test settings_in_the_guide` writes them anew.

use maliang::data::DataConfig;
use maliang::data::text::CorpusConfig;
use maliang::families::gan::settings::GanConfig;
use maliang::families::vae::settings::VaeTraining;
use maliang::families::{FAMILIES, text};
use maliang::run::config::text::TextTraining;
use serde::Serialize;
use std::path::Path;
use toml::{Table, Value};

const BEGIN: &str = "<!-- settings: begin (made by the test settings_in_the_guide) -->\n";
const END: &str = "<!-- settings: end -->";

/// A table of `run.toml`: its heading, the source and the name of its struct, and its defaults where it has such.
struct Section {
    heading: String,
    source: &'static str,
    name: &'static str,
    defaults: Option<Table>,
}

fn section(heading: impl Into<String>, source: &'static str, name: &'static str) -> Section {
    Section { heading: heading.into(), source, name, defaults: None }
}

impl Section {
    fn with(self, defaults: &impl Serialize) -> Self {
        Self { defaults: Some(Table::try_from(defaults).unwrap()), ..self }
    }

    fn markdown(&self) -> String {
        let rows: String = fields(self.source, self.name).iter().map(|field| self.row(field)).collect();
        let Self { heading, defaults, .. } = self;
        let default = if defaults.is_some() { "default" } else { "" };
        match defaults {
            Some(_) => format!("#### {heading}\n\n| setting | {default} | what it is |\n|---|---|---|\n{rows}\n"),
            None => format!("#### {heading}\n\n| setting | what it is |\n|---|---|\n{rows}\n"),
        }
    }

    fn row(&self, (name, doc): &(String, String)) -> String {
        match &self.defaults {
            Some(defaults) => {
                let value = defaults.get(name).map_or(String::new(), |value| format!("`{}`", shown(value)));
                format!("| `{name}` | {value} | {doc} |\n")
            }
            None => format!("| `{name}` | {doc} |\n"),
        }
    }
}

/// A value as `run.toml` has it; an f32 without the digits that an f64 adds.
fn shown(value: &Value) -> String {
    match value {
        Value::Float(float) => format!("{:?}", (*float as f32)),
        other => other.to_string(),
    }
}

/// Name and doc comment of each public field of a struct, in the order of the source.
fn fields(source: &str, name: &str) -> Vec<(String, String)> {
    let start = source.find(&format!("pub struct {name} {{")).unwrap_or_else(|| panic!("there is no struct {name}"));
    let body = &source[start..];
    let body = &body[..body.find("\n}").unwrap()];
    let (mut found, mut doc) = (Vec::new(), Vec::new());
    for line in body.lines().skip(1).map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            doc.push(text.trim());
        } else if let Some(field) = line.strip_prefix("pub ") {
            let name = field.split(':').next().unwrap();
            found.push((name.to_string(), plain(&doc.join(" "))));
            doc.clear();
        }
    }
    assert!(found.iter().all(|(_, doc)| !doc.is_empty()), "{name}: every setting says what it is");
    found
}

/// A doc comment without links into the code, and without what would end a cell of a table.
fn plain(doc: &str) -> String {
    let (mut text, mut rest) = (String::new(), doc);
    while let Some((before, link)) = rest.split_once("[`") {
        let (name, after) = link.split_once("`]").expect("a link to code ends");
        text += &format!("{before}`{name}`");
        rest = match after.strip_prefix('(') {
            Some(target) => target.split_once(')').expect("a link ends").1,
            None => after,
        };
    }
    (text + rest).replace('|', "\\|")
}

fn sections() -> Vec<Section> {
    let readers = |table: &str| {
        let names: Vec<&str> =
            FAMILIES.iter().filter(|about| about.tables.contains(&table)).map(|about| about.name).collect();
        names.join(", ")
    };
    let own = |table: &str| format!("`[{table}]`, read by {}", readers(table));
    let of_text: Vec<&str> = text::FAMILIES.iter().map(|about| about.name).collect();
    vec![
        section("`[data]`, pictures", include_str!("../src/data/config.rs"), "DataConfig").with(&DataConfig::default()),
        section("`[corpus]`, text", include_str!("../src/data/text/config.rs"), "CorpusConfig")
            .with(&CorpusConfig::default()),
        section("`[train]`, all families", include_str!("../src/families/settings.rs"), "TrainConfig"),
        section("`[model]` of dcgan", include_str!("../src/families/dcgan/mod.rs"), "DcganConfig"),
        section("`[model]` of fastgan and projected", include_str!("../src/families/fastgan/mod.rs"), "FastganConfig"),
        section("`[model]` of vae", include_str!("../src/families/vae/mod.rs"), "VaeConfig"),
        section("`[model.stack]` of these four", include_str!("../src/families/blocks/stack.rs"), "StackConfig"),
        section("`[model]` of gpt", include_str!("../src/families/text/gpt.rs"), "GptConfig"),
        section("`[model]` of lstm", include_str!("../src/families/text/lstm.rs"), "LstmConfig"),
        section(own("gan"), include_str!("../src/families/gan/settings.rs"), "GanConfig").with(&GanConfig::default()),
        section(own("vae"), include_str!("../src/families/vae/settings.rs"), "VaeTraining")
            .with(&VaeTraining::default()),
        section(
            format!("`[text]`, read by {}", of_text.join(", ")),
            include_str!("../src/run/config/text.rs"),
            "TextTraining",
        )
        .with(&TextTraining::default()),
    ]
}

#[test]
fn settings_in_the_guide() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide.md");
    let guide = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = guide.split_once(BEGIN).expect("docs/guide.md has the mark where the settings begin");
    let (_, after) = rest.split_once(END).expect("docs/guide.md has the mark where the settings end");
    let tables: String = sections().iter().map(Section::markdown).collect();
    let made = format!("{before}{BEGIN}\n{tables}{END}{after}");
    if std::env::var_os("MALIANG_WRITE_DOCS").is_some() {
        std::fs::write(&path, made).unwrap();
        return;
    }
    assert!(
        guide == made,
        "the settings in docs/guide.md are not those of the code: run this test with MALIANG_WRITE_DOCS=1"
    );
}
