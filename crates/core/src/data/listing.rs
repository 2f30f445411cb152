//! From a plain list of files to pictures with labels and captions: the same rules for folders and archives.
//!
//! Labels, in this order: the `label` column of a `metadata.csv` or `metadata.jsonl` (Hugging Face imagefolder); else the
//! first level of sub-folders, if no picture lies above that level and at least two of its folders hold pictures. Folders
//! that wrap everything (`archive/…`) do not count as a level, nor does a level of parts of one set: `train`, `test_set`, `val2017`
//! and the like, or folders that all hold the same sub-folders.
//! Names are compared in Unicode's composed form (NFC): file systems and programs differ in it.
//! Captions: the `text` column of the metadata, else the first line of a `.txt` beside the picture with the same stem.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use unicode_normalization::UnicodeNormalization;

use super::decode;
use super::kept::{Room, Slot};
use super::metadata::{self, Row};
use super::source::{Backing, Item, KINDS, Place, Reject, Scan, Source, display_name};
use crate::Result;

/// A file of the source, of any kind.
pub(super) struct Found {
    pub name: String,
    pub bytes: u64,
    pub stamp: u64,
    pub place: Place,
}

/// What a file is, by its name alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Picture,
    /// A picture in a format that is not decoded here, with its name.
    Foreign(&'static str),
    Metadata,
    Text,
    Other,
}

impl Kind {
    pub(super) fn is_picture(self) -> bool {
        matches!(self, Kind::Picture | Kind::Foreign(_))
    }
}

/// A level of folders with only these names is a split, not a set of classes; see [`is_split`].
const SPLIT_NAMES: [&str; 9] = ["train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"];
/// The same beside one of those.
const SPLIT_EXTRAS: [&str; 4] = ["unlabeled", "unlabelled", "extra", "unsup"];
/// Enough of a file to tell its format by.
const START: u64 = 32;
/// Longest first line of a caption file that is looked at, in bytes.
const MAX_CAPTION: u64 = 64 << 10;

pub(super) fn kind(name: &str) -> Kind {
    let last = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    if last == "metadata.csv" || last == "metadata.jsonl" {
        return Kind::Metadata;
    }
    match last.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "png" | "apng" | "jpg" | "jpeg" | "jpe" | "jfif" | "gif" | "webp" | "bmp" | "dib" | "tif" | "tiff" | "pnm"
        | "pbm" | "pgm" | "ppm" | "pam" | "qoi" | "tga" => Kind::Picture,
        "heic" | "heif" => Kind::Foreign("HEIC"),
        "avif" => Kind::Foreign("AVIF"),
        "jxl" => Kind::Foreign("JPEG XL"),
        "jp2" | "j2k" => Kind::Foreign("JPEG 2000"),
        "svg" => Kind::Foreign("SVG"),
        "psd" => Kind::Foreign("Photoshop"),
        "cr2" | "cr3" | "nef" | "arw" | "dng" | "orf" | "rw2" | "raf" => Kind::Foreign("camera raw"),
        "txt" => Kind::Text,
        _ => Kind::Other,
    }
}

/// Sorts, labels and captions the files of a source. `read` gives the bytes of one file up to a limit.
pub(super) fn sort_out(
    mut found: Vec<Found>,
    mut rejects: Vec<Reject>,
    mut notes: Vec<String>,
    backing: Option<Box<dyn Backing>>,
    read: impl Fn(&Place, u64) -> Result<Vec<u8>, String>,
) -> Result<Scan> {
    for file in &mut found {
        composed(&mut file.name);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let mut items: Vec<Item> = Vec::new();
    let mut texts: HashMap<String, Found> = HashMap::new(); // by name without `.txt`
    let mut metadata_files = Vec::new();
    let mut ignored = 0;
    let mut tables = Vec::new();
    let mut kinds = Vec::new();
    for file in found {
        let by_name = kind(&file.name);
        // Many pictures of the web have no extension or a strange one.
        let odd = by_name == Kind::Other
            && file.bytes > 0
            && read(&file.place, START).is_ok_and(|start| decode::is_picture(&start));
        match if odd { Kind::Picture } else { by_name } {
            Kind::Picture => items.push(Item {
                name: file.name,
                label: None,
                caption: None,
                bytes: file.bytes,
                stamp: file.stamp,
                place: file.place,
                kept: Slot::default(),
            }),
            Kind::Foreign(format) => {
                rejects
                    .push(Reject::new(file.name, format!("{format} is not supported; {}", decode::way_round(format))));
            }
            Kind::Metadata => metadata_files.push(file),
            Kind::Text => {
                texts.insert(stem(&file.name).to_string(), file);
            }
            Kind::Other => {
                if file.name.to_lowercase().ends_with(".parquet") {
                    tables.push(file.name.clone());
                }
                ignored += 1;
                note_kind(&mut kinds, &file.name);
            }
        }
    }

    for item in &mut items {
        let Some(text) = texts.remove(stem(&item.name)) else { continue };
        match read(&text.place, MAX_CAPTION) {
            Ok(bytes) => item.caption = first_line(&bytes),
            Err(reason) => notes.push(format!("the caption {} was skipped: {reason}", display_name(&text.name))),
        }
    }
    ignored += texts.len();
    texts.values().for_each(|text| note_kind(&mut kinds, &text.name));

    if let Some(table) = tables.first() {
        notes.push(format!(
            "{} is not read: classes and captions come from a metadata.csv beside it, which Python writes by \
             pandas.read_parquet(\"{}\").to_csv(\"metadata.csv\", index=False)",
            display_name(table),
            display_name(table)
        ));
    }
    let mut rows = Vec::new();
    for file in &metadata_files {
        let parsed = read(&file.place, metadata::MAX_BYTES)
            .and_then(|bytes| metadata::parse(&file.name, &bytes, &mut rejects, &mut notes));
        match parsed {
            Ok(mut more) => {
                for row in &mut more {
                    composed(&mut row.file_name);
                    row.label.as_mut().map(composed);
                }
                rows.extend(more);
            }
            Err(reason) => notes.push(format!("{} was skipped: {reason}", display_name(&file.name))),
        }
    }
    if rows.iter().any(|row| row.label.is_some()) {
        // The metadata decides about labels for the whole source.
    } else {
        notes.extend(label_by_folder(&mut items));
    }
    notes.extend(apply(&mut items, rows, &mut rejects));
    notes.extend(nearly_equal(&items));

    let unlabelled = items.iter().filter(|item| item.label.is_none()).count();
    if unlabelled > 0 && unlabelled < items.len() {
        notes.push(format!("{unlabelled} of {} pictures have no label, so labels are not used", items.len()));
    }
    rejects.sort_by(|a, b| (&a.name, &a.reason).cmp(&(&b.name, &b.reason)));
    Ok(Scan {
        source: Source::Emoji(String::new()),
        items,
        rejects,
        ignored,
        kinds,
        notes,
        backing,
        room: Room::default(),
        own_too: false,
    })
}

/// Writes the metadata rows into the items; a row that names nothing is a reject.
/// Says so where none of them names a picture.
fn apply(items: &mut [Item], rows: Vec<Row>, rejects: &mut Vec<Reject>) -> Option<String> {
    let first = rows.first()?.file_name.clone();
    let mut matched = false;
    let by_name: HashMap<String, usize> = items.iter().enumerate().map(|(i, item)| (item.name.clone(), i)).collect();
    let known_bad: HashSet<String> = rejects.iter().map(|reject| reject.name.clone()).collect();
    for row in rows {
        match by_name.get(&row.file_name) {
            Some(&index) => {
                matched = true;
                let item = &mut items[index];
                item.label = row.label.or(item.label.take());
                item.caption = row.caption.or(item.caption.take());
            }
            None if known_bad.contains(&row.file_name) => {}
            None => rejects.push(Reject::line(row.file_name, format!("named in {} but not there", row.place))),
        }
    }
    let example = items.first().filter(|_| !matched)?;
    Some(format!(
        "no row of the metadata names a picture that is there: the first names {}, where {} would be one",
        display_name(&first),
        display_name(&example.name)
    ))
}

/// Adds the extension of a file to those that are named.
fn note_kind(kinds: &mut Vec<String>, name: &str) {
    let last = name.rsplit('/').next().unwrap_or(name);
    let kind = last.rsplit_once('.').map_or("", |(_, extension)| extension).to_lowercase();
    if kinds.len() < KINDS && (1..=8).contains(&kind.len()) && kind.is_ascii() && !kinds.contains(&kind) {
        kinds.push(kind);
    }
}

/// Brings a name into Unicode's composed form.
fn composed(name: &mut String) {
    if !unicode_normalization::is_nfc(name) {
        *name = name.nfc().collect();
    }
}

/// Labels from the first level of sub-folders, by the rule at the head of this file. Says which level was taken for parts of one
/// set where the names alone do not.
fn label_by_folder(items: &mut [Item]) -> Option<String> {
    let folders: Vec<Vec<String>> = items
        .iter()
        .map(|item| {
            let mut parts: Vec<String> = item.name.split('/').map(String::from).collect();
            parts.pop();
            parts
        })
        .collect();
    let mut note = None;
    let mut level = 0;
    let labels: Vec<&str> = loop {
        // `None`: a picture lies above this level.
        let Some(labels) = folders.iter().map(|parts| parts.get(level).map(String::as_str)).collect::<Option<Vec<_>>>()
        else {
            return note;
        };
        let mut inside: BTreeMap<&str, BTreeSet<Option<&str>>> = BTreeMap::new();
        for (label, parts) in labels.iter().zip(&folders) {
            inside.entry(label).or_default().insert(parts.get(level + 1).map(String::as_str));
        }
        let Some(first) = inside.values().next() else { return note };
        let wraps = inside.len() < 2;
        let splits = is_split(inside.keys());
        let inner: Vec<&str> = first.iter().copied().flatten().collect();
        let same_inside = inner.len() > 1
            && inside.values().all(|folders| folders == first)
            // Classes with parts of a set, or with pictures and their masks, in each.
            && !first.contains(&None) && !is_split(inner.iter()) && !inner.iter().all(|name| is_kind_of_file(name));
        if !wraps && !splits && !same_inside {
            break labels;
        }
        if !wraps {
            let names: Vec<String> = inside.keys().take(3).map(|name| display_name(name)).collect();
            let more = if inside.len() > 3 { ", …" } else { "" };
            note =
                Some(format!("the folders {}{more} are taken for parts of one set, not for classes", names.join(", ")));
        }
        level += 1;
    };
    let labels: Vec<String> = labels.into_iter().map(String::from).collect();
    for (item, label) in items.iter_mut().zip(labels) {
        item.label = Some(label);
    }
    note
}

/// Are these the names of parts of one set: `train` and `test`, also as `training_set`, `train2017`, `Test-Images`?
fn is_split<'a>(names: impl Iterator<Item = &'a &'a str>) -> bool {
    let mut any = false;
    let part = |name: &&str| {
        let lower = name.to_lowercase();
        let bare = |c: char| !c.is_alphabetic();
        let mut word = lower.trim_matches(bare);
        for affix in ["set", "images", "image", "img", "imgs", "data", "split"] {
            word = word.strip_suffix(affix).unwrap_or(word).trim_end_matches(bare);
        }
        let split = SPLIT_NAMES.contains(&word);
        any |= split;
        split || SPLIT_EXTRAS.contains(&word)
    };
    let mut names = names;
    names.all(part) && any
}

/// Does the name of a folder say what kind of files it holds, and not what they show?
fn is_kind_of_file(name: &str) -> bool {
    let word = name.to_lowercase();
    let kinds =
        ["image", "mask", "label", "annotation", "img", "photo", "picture", "thumbnail", "depth", "segmentation"];
    kinds.contains(&word.strip_suffix('s').unwrap_or(&word))
}

/// Points out classes whose names differ only in capitals or spaces: a person who wrote them may have meant one.
fn nearly_equal(items: &[Item]) -> Option<String> {
    let labels: BTreeSet<&str> = items.iter().filter_map(|item| item.label.as_deref()).collect();
    let mut alike: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for label in labels {
        let plain = label.to_lowercase().split(|c: char| c.is_whitespace() || c == '_' || c == '-').collect();
        alike.entry(plain).or_default().push(format!("\"{}\"", display_name(label)));
    }
    let alike: Vec<String> =
        alike.into_values().filter(|names| names.len() > 1).map(|names| names.join(" and ")).take(3).collect();
    (!alike.is_empty()).then(|| {
        format!("the classes {} differ only in capitals, spaces or dashes; they are kept apart", alike.join(", "))
    })
}

/// A name without its extension, folders kept.
fn stem(name: &str) -> &str {
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[start..].rfind('.') {
        Some(dot) => &name[..start + dot],
        None => name,
    }
}

fn first_line(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let line = text.trim_start_matches('\u{feff}').lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_string())
}
