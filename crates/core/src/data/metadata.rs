//! `metadata.csv` and `metadata.jsonl` of the Hugging Face imagefolder convention: `file_name`, `label`, `text`.

use std::borrow::Cow;

use super::encoding::{self, Mark};
use super::source::{Reject, display_name};

/// Largest metadata file that is read.
pub(super) const MAX_BYTES: u64 = 128 << 20;

/// One row: a picture and what is said about it.
pub(super) struct Row {
    /// Name inside the source: the row's `file_name` below the folder of the metadata file.
    pub file_name: String,
    pub label: Option<String>,
    /// From the column `text`, or else `caption`.
    pub caption: Option<String>,
    /// The file and line it stands in, for messages.
    pub place: String,
}

/// Reads a metadata file. Rows that cannot be read become rejects; a file that is not metadata is the error. What was guessed
/// about it is noted.
pub(super) fn parse(
    name: &str,
    bytes: &[u8],
    rejects: &mut Vec<Reject>,
    notes: &mut Vec<String>,
) -> Result<Vec<Row>, String> {
    if bytes.len() as u64 >= MAX_BYTES {
        return Err(format!("larger than {} MiB", MAX_BYTES >> 20));
    }
    let text = text(name, bytes, notes);
    let folder = name.rfind('/').map_or("", |slash| &name[..=slash]);
    if name.to_lowercase().ends_with(".csv") {
        parse_csv(name, folder, &text, rejects)
    } else {
        Ok(parse_jsonl(name, folder, &text, rejects))
    }
}

/// The text of a metadata file: spreadsheets write UTF-16 or the encoding of their system, too.
fn text<'a>(name: &str, bytes: &'a [u8], notes: &mut Vec<String>) -> Cow<'a, str> {
    if let Some((mark, length)) = Mark::of(bytes) {
        return mark.decode(&bytes[length..]);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.into();
    }
    let guess =
        encoding::likely(bytes).into_iter().find_map(|encoding| Some((encoding.name(), encoding.decode(bytes)?)));
    let shown = display_name(name);
    let (encoding, text): (&str, Cow<'_, str>) = match guess {
        Some((encoding, text)) => (encoding, Cow::Owned(text)),
        // Different bytes stay different.
        None => (
            "no known encoding",
            Cow::Owned(
                bytes
                    .utf8_chunks()
                    .map(|chunk| format!("{}{}", chunk.valid(), chunk.invalid().escape_ascii()))
                    .collect(),
            ),
        ),
    };
    let example = text
        .lines()
        .find(|line| !line.is_ascii())
        .map_or(String::new(), |line| format!(", for example \"{}\"", display_name(line.trim())));
    notes.push(format!("{shown} is not UTF-8; it was read as {encoding}{example}; if that is wrong, save it as UTF-8"));
    text
}

fn parse_csv(name: &str, folder: &str, text: &str, rejects: &mut Vec<Reject>) -> Result<Vec<Row>, String> {
    let open = |delimiter| csv::ReaderBuilder::new().flexible(true).delimiter(delimiter).from_reader(text.as_bytes());
    let position = |headers: &csv::ByteRecord, wanted: &str| {
        headers.iter().position(|header| header.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
    };
    // Spreadsheets separate by what the language of the system does not use in numbers.
    let mut first = None;
    let found = [b',', b';', b'\t', b'|'].into_iter().find_map(|delimiter| {
        let mut reader = open(delimiter);
        let headers = reader.byte_headers().map_err(|e| first = Some(e.to_string())).ok()?.clone();
        let file_name = position(&headers, "file_name")?;
        Some((reader, headers, file_name))
    });
    let Some((mut reader, headers, file_name)) = found else {
        return Err(first.unwrap_or_else(|| "it has no column file_name".into()));
    };
    let column = |wanted| position(&headers, wanted);
    let (label, caption) = (column("label"), column("text").or_else(|| column("caption")));
    let mut rows = Vec::new();
    for record in reader.byte_records() {
        let record = match record {
            Ok(record) => record,
            Err(e) => {
                rejects.push(Reject::line(name, format!("a row cannot be read: {e}")));
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        let field = |index: Option<usize>| {
            let text = String::from_utf8_lossy(record.get(index?)?).trim().to_string();
            (!text.is_empty()).then_some(text)
        };
        let place = format!("{} line {line}", display_name(name));
        match field(Some(file_name)) {
            Some(file) => {
                rows.push(Row { file_name: join(folder, &file), label: field(label), caption: field(caption), place })
            }
            None => rejects.push(Reject::line(place, "the row has no file_name")),
        }
    }
    Ok(rows)
}

fn parse_jsonl(name: &str, folder: &str, text: &str, rejects: &mut Vec<Reject>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, line) in text.split('\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let place = format!("{} line {}", display_name(name), number + 1);
        let value: serde_json::Value = match serde_json::from_str(line) {
            Ok(value) => value,
            Err(error) => {
                // Python writes NaN where JSON has no such number.
                let why = if line.contains("NaN") || line.contains("Infinity") {
                    " (NaN and Infinity are no JSON)"
                } else {
                    ""
                };
                rejects.push(Reject::line(
                    place,
                    format!("the line is not valid JSON{why}, at column {}", error.column()),
                ));
                continue;
            }
        };
        let field = |key: &str| match value.get(key)? {
            serde_json::Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_string()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            serde_json::Value::Bool(flag) => Some(flag.to_string()),
            _ => None,
        };
        match field("file_name") {
            Some(file) => rows.push(Row {
                file_name: join(folder, &file),
                label: field("label"),
                caption: field("text").or_else(|| field("caption")),
                place,
            }),
            None => rejects.push(Reject::line(place, "the line has no file_name")),
        }
    }
    rows
}

/// Only ever compared with names that were listed, so `..` and absolute paths simply name nothing.
fn join(folder: &str, file: &str) -> String {
    let file = file.replace('\\', "/");
    format!("{folder}{}", file.strip_prefix("./").unwrap_or(&file))
}
