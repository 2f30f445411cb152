//! The label of generated text.
//!
//! | form | where the label stands |
//! |---|---|
//! | plain text | a sentence in the first line, so that a text that is cut short carries it, too |
//! | Markdown | YAML front matter: `AIGC:` (GB 45438-2025), `DigitalSourceType:` (IPTC), `recipe:` (ours) |
//! | JSON | the fields `aigc`, `digital_source_type` and `recipe` of the object |
//! | ABC notation | three comment lines before the tune; no standard says where, and every ABC program skips comments |
//!
//! Everything but plain text holds the recipe in full; the sentence says it in words. Each function reads the label back from
//! what it made before it returns it.

use super::label::{Provenance, ReadLabel, TRAINED_ALGORITHMIC_MEDIA, VISIBLE_LABEL};
use super::recipe::TextRecipe;
use crate::error::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::Value;

/// What the three lines of a label are called in Markdown and ABC notation.
const NAMES: [&str; 3] = ["AIGC", "DigitalSourceType", "recipe"];

/// The sentence that plain text begins with: who made it, with what, and how to make it again.
pub fn sentence(provenance: &Provenance<TextRecipe>) -> String {
    let recipe = &provenance.recipe;
    let request = &recipe.request;
    let hash: String = recipe.model_hash.chars().take(12).collect();
    // A name with a line break in it must not end the sentence early.
    let model = recipe.model.replace(char::is_control, " ");
    let mut parts = vec![
        VISIBLE_LABEL.to_owned(),
        provenance.producer(),
        format!("model {model} {hash}").trim_end().to_owned(),
        format!("seed {} number {}", request.seed, recipe.index),
        format!("--max-tokens {} {}", request.max_tokens, request.sampling.flags()).trim_end().to_owned(),
    ];
    parts.extend(request.stop.iter().map(|stop| format!("--stop {}", line(stop))));
    match request.prompt.chars().count() {
        0 => {}
        1 => parts.push("the first character is the prompt".into()),
        n => parts.push(format!("the first {n} characters are the prompt")),
    }
    parts.join(" · ")
}

/// `text` as a plain text file: the sentence, an empty line, the text.
///
/// # Errors
/// The label could not be read back.
pub fn plain(text: &str, provenance: &Provenance<TextRecipe>) -> Result<String> {
    let sentence = sentence(provenance);
    let file = format!("{sentence}\n\n{}", ended(text));
    if read_plain(&file) == Some(&sentence) { Ok(file) } else { Err(unreadable()) }
}

/// The sentence that a plain text begins with, if it is labelled.
pub fn read_plain(file: &str) -> Option<&str> {
    file.lines().next().filter(|line| line.starts_with(VISIBLE_LABEL))
}

/// `text` as a Markdown file with YAML front matter.
///
/// # Errors
/// The label could not be read back.
pub fn markdown(text: &str, provenance: &Provenance<TextRecipe>) -> Result<String> {
    let [aigc, source, recipe] = values(provenance);
    let [a, s, r] = NAMES;
    let file = format!("---\n{a}: {aigc}\n{s}: {source}\n{r}: {recipe}\n---\n\n{}", ended(text));
    checked(file, read_markdown, provenance)
}

/// The label in the front matter of a Markdown file, as [`markdown`] writes it: each value in one line.
///
/// # Errors
/// A value is not what it must be.
pub fn read_markdown(file: &str) -> Result<Option<ReadLabel<TextRecipe>>> {
    let mut lines = file.lines();
    if lines.next() != Some("---") {
        return Ok(None);
    }
    let matter: Vec<&str> = lines.take_while(|line| *line != "---").collect();
    of_lines(&matter, "")
}

/// `text` as a file of ABC notation, labelled in comments.
///
/// # Errors
/// The label could not be read back.
pub fn abc(text: &str, provenance: &Provenance<TextRecipe>) -> Result<String> {
    let [aigc, source, recipe] = values(provenance);
    let [a, s, r] = NAMES;
    // An empty line ends a tune, so there is none between the comments and the first header.
    let file = format!("% {a}: {aigc}\n% {s}: {source}\n% {r}: {recipe}\n{}", ended(text.trim_start_matches('\n')));
    checked(file, read_abc, provenance)
}

/// The label in the leading comments of a file of ABC notation.
///
/// # Errors
/// A value is not what it must be.
pub fn read_abc(file: &str) -> Result<Option<ReadLabel<TextRecipe>>> {
    let comments: Vec<&str> = file.lines().take_while(|line| line.starts_with('%')).collect();
    of_lines(&comments, "% ")
}

/// `text` as one line of JSON: `text` (the prompt in it), `finish`, `tokens` (made), and the label.
///
/// # Errors
/// The label could not be read back.
pub fn json(text: &str, finish: &str, tokens: usize, provenance: &Provenance<TextRecipe>) -> Result<String> {
    let [aigc, source, recipe] = values(provenance);
    let (text, finish, source) = (line(text), line(finish), line(&source));
    let object = format!(
        r#"{{"text":{text},"finish":{finish},"tokens":{tokens},"aigc":{aigc},"digital_source_type":{source},"recipe":{recipe}}}"#
    );
    checked(object, read_json, provenance)
}

/// The label of an object that [`json`] wrote.
///
/// # Errors
/// It is no such object.
pub fn read_json(line: &str) -> Result<Option<ReadLabel<TextRecipe>>> {
    #[derive(Deserialize)]
    struct Fields {
        aigc: Value,
        digital_source_type: String,
        recipe: Value,
    }
    let fields: Fields = serde_json::from_str(line)
        .map_err(|error| Error::corrupt(format!("this is not the JSON of a generated text: {error}")))?;
    let (aigc, recipe) = (fields.aigc.to_string(), fields.recipe.to_string());
    ReadLabel::of(Some(&aigc), Some(fields.digital_source_type), Some(&recipe))
}

/// The values of [`NAMES`], each without line breaks.
fn values(provenance: &Provenance<TextRecipe>) -> [String; 3] {
    [printable(&provenance.aigc_json()), TRAINED_ALGORITHMIC_MEDIA.into(), printable(&provenance.recipe_json())]
}

/// JSON that may stand in YAML: JSON leaves characters as they are that YAML 1.2 (5.1) does not call printable, or reads as
/// line breaks (1.1).
fn printable(json: &str) -> String {
    let escaped = |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    json.chars().map(|c| if escaped(c) { format!("\\u{:04x}", c as u32) } else { c.into() }).collect()
}

/// A string as JSON.
fn line(text: &str) -> String {
    printable(&Value::from(text).to_string())
}

/// A file ends with a line break.
fn ended(text: &str) -> String {
    if text.ends_with('\n') { text.into() } else { format!("{text}\n") }
}

fn of_lines(lines: &[&str], prefix: &str) -> Result<Option<ReadLabel<TextRecipe>>> {
    let value = |name: &str| {
        lines.iter().find_map(|line| line.strip_prefix(prefix)?.strip_prefix(name)?.strip_prefix(':').map(str::trim))
    };
    let [aigc, source, recipe] = NAMES.map(value);
    ReadLabel::of(aigc, source.map(str::to_owned), recipe)
}

/// A label that cannot be read back means no text.
fn checked(
    file: String,
    read: fn(&str) -> Result<Option<ReadLabel<TextRecipe>>>,
    provenance: &Provenance<TextRecipe>,
) -> Result<String> {
    match read(&file)? {
        Some(label) if label.matches(provenance) => Ok(file),
        _ => Err(unreadable()),
    }
}

fn unreadable() -> Error {
    Error::new(ErrorKind::Internal, "the label could not be read back, so nothing was written")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provenance::label::{Label, sample_text};
    use proptest::prelude::*;

    /// A text that would like to be a label itself.
    const TEXT: &str = "---\nAIGC: {}\n% AIGC: {}\n---\n春眠不觉晓";

    #[test]
    fn the_sentence_says_who_and_how() {
        let mut provenance = sample_text();
        provenance.recipe.model = "poems".into();
        assert_eq!(
            sentence(&provenance),
            "AI生成 AI-generated · Maliang 0.1.0 · model poems 0123456789ab · seed 18446744073709551615 number 3 · \
             --max-tokens 200 --temperature 0.8 --top-p 0.95 · --stop \"\\n\\n\" · the first 19 characters are the prompt"
        );
        let file = plain(TEXT, &provenance).unwrap();
        assert_eq!(read_plain(&file), Some(&*sentence(&provenance)));
        assert!(file.ends_with(&format!("\n\n{TEXT}\n")));
        provenance.label = Label::registered("001191110000123456789ABC000").unwrap();
        assert!(plain(TEXT, &provenance).unwrap().contains(" · 001191110000123456789ABC000 · "));
        assert_eq!(read_plain(TEXT), None);
    }

    /// Every label is found by means that know nothing of ours.
    #[track_caller]
    fn independent(aigc: &str, source: &str, recipe: &str) {
        let label: Value = serde_json::from_str(aigc).unwrap();
        assert_eq!(label["Label"], "1");
        assert_eq!(label["ProduceID"], format!("{}-18446744073709551615-3", "0123456789abcdef".repeat(4)));
        assert_eq!(label.as_object().unwrap().len(), 7);
        assert_eq!(source, "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia");
        let recipe: Value = serde_json::from_str(recipe).unwrap();
        assert_eq!(recipe["request"]["prompt"], sample_text().recipe.request.prompt);
    }

    #[test]
    fn markdown_has_front_matter() {
        let file = markdown(TEXT, &sample_text()).unwrap();
        let (matter, text) = file.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap();
        let values: Vec<(&str, &str)> = matter.split('\n').map(|line| line.split_once(": ").unwrap()).collect();
        assert_eq!(values.iter().map(|value| value.0).collect::<Vec<_>>(), ["AIGC", "DigitalSourceType", "recipe"]);
        independent(values[0].1, values[1].1, values[2].1);
        assert!(matter.chars().all(|c| c == '\n' || c >= ' ' && !('\u{7f}'..='\u{9f}').contains(&c)), "{matter}");
        assert_eq!(text, format!("\n{TEXT}\n"));
        assert_eq!(read_markdown("# A title").unwrap(), None);
        assert_eq!(read_markdown("---\ntitle: x\n---\nAIGC: {}").unwrap(), None);
        assert!(read_markdown("---\nAIGC: nonsense\n---\n").is_err());
    }

    #[test]
    fn abc_has_comments() {
        let file = abc("\nX:1\nK:C\nCDEF|", &sample_text()).unwrap();
        let lines: Vec<&str> = file.lines().collect();
        let value = |i: usize| lines[i].split_once(": ").unwrap().1;
        independent(value(0), value(1), value(2));
        assert!(lines[..3].iter().all(|line| line.starts_with("% ")), "{file}");
        assert_eq!(lines[3..], ["X:1", "K:C", "CDEF|"], "no empty line, which would end the tune");
        assert_eq!(read_abc("X:1\nK:C\n% AIGC: {}").unwrap(), None);
    }

    #[test]
    fn json_has_fields() {
        let line = json(TEXT, "stop", 12, &sample_text()).unwrap();
        assert_eq!(line.lines().count(), 1);
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&object["text"], &object["finish"], &object["tokens"]), (&TEXT.into(), &"stop".into(), &12.into()));
        let source = object["digital_source_type"].as_str().unwrap();
        independent(&object["aigc"].to_string(), source, &object["recipe"].to_string());
        assert!(read_json("{}").is_err());
    }

    proptest! {
        #[test]
        fn any_text_model_and_prompt_survive(text in any::<String>(), model in any::<String>(), prompt in any::<String>()) {
            let mut provenance = sample_text();
            provenance.recipe.model = model;
            provenance.recipe.request.prompt = prompt;
            prop_assert!(plain(&text, &provenance).is_ok());
            prop_assert!(markdown(&text, &provenance).is_ok());
            prop_assert!(abc(&text, &provenance).is_ok());
            prop_assert!(json(&text, "end", 1, &provenance).is_ok());
        }
    }
}
