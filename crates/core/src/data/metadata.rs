//! `metadata.csv` and `metadata.jsonl` of the Hugging Face imagefolder convention: `file_name`, `label`, `text`.

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

/// Reads a metadata file. Rows that cannot be read become rejects; a file that is not metadata is the error.
pub(super) fn parse(name: &str, bytes: &[u8], rejects: &mut Vec<Reject>) -> Result<Vec<Row>, String> {
    if bytes.len() as u64 >= MAX_BYTES {
        return Err(format!("larger than {} MiB", MAX_BYTES >> 20));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let folder = name.rfind('/').map_or("", |slash| &name[..=slash]);
    if name.to_lowercase().ends_with(".csv") {
        parse_csv(name, folder, bytes, rejects)
    } else {
        Ok(parse_jsonl(name, folder, bytes, rejects))
    }
}

fn parse_csv(name: &str, folder: &str, bytes: &[u8], rejects: &mut Vec<Reject>) -> Result<Vec<Row>, String> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let headers = reader.byte_headers().map_err(|e| e.to_string())?.clone();
    let column =
        |wanted: &str| headers.iter().position(|header| header.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()));
    let file_name = column("file_name").ok_or("it has no column file_name")?;
    let (label, caption) = (column("label"), column("text").or_else(|| column("caption")));
    let mut rows = Vec::new();
    for record in reader.byte_records() {
        let record = match record {
            Ok(record) => record,
            Err(e) => {
                rejects.push(Reject::new(name, format!("a row cannot be read: {e}")));
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
            None => rejects.push(Reject::new(place, "the row has no file_name")),
        }
    }
    Ok(rows)
}

fn parse_jsonl(name: &str, folder: &str, bytes: &[u8], rejects: &mut Vec<Reject>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let place = format!("{} line {}", display_name(name), number + 1);
        let value: serde_json::Value = match serde_json::from_slice(line) {
            Ok(value) => value,
            Err(_) => {
                rejects.push(Reject::new(place, "the line is not valid JSON"));
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
            None => rejects.push(Reject::new(place, "the line has no file_name")),
        }
    }
    rows
}

/// Only ever compared with names that were listed, so `..` and absolute paths simply name nothing.
fn join(folder: &str, file: &str) -> String {
    let file = file.replace('\\', "/");
    format!("{folder}{}", file.strip_prefix("./").unwrap_or(&file))
}
