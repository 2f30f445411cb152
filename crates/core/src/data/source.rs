//! A place with pictures, and the list of what it holds; [`scan`](super::scan) makes the one of the other.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::kept::{Room, Slot};
use crate::{Error, Result};

/// Called with (done, total) as work goes on, from several threads.
pub type OnProgress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// No single file or archive entry is read beyond this, whatever its header claims.
pub(super) const MAX_FILE_BYTES: u64 = 256 << 20;

/// Extensions of files that hold text, but are not read as such.
pub(super) const OTHER_TEXT: [&str; 9] = ["csv", "tsv", "json", "html", "htm", "srt", "vtt", "doc", "docx"];
/// Extensions of other files that are named.
pub(super) const KINDS: usize = 4;

/// A place with pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A folder, read recursively.
    Folder(PathBuf),
    /// A `.zip` archive, read like a folder.
    Zip(PathBuf),
    /// An IDX file of grey pictures (MNIST, Fashion-MNIST), plain or gzipped, and the labels file beside it.
    Idx {
        /// The `…-images-idx3-ubyte[.gz]` file.
        images: PathBuf,
        /// The `…-labels-idx1-ubyte[.gz]` file, if there is one.
        labels: Option<PathBuf>,
    },
    /// A group of the built-in emoji.
    Emoji(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Folder(path) | Source::Zip(path) | Source::Idx { images: path, .. } => {
                f.write_str(&display_name(&path.to_string_lossy()))
            }
            Source::Emoji(group) => write!(f, "emoji:{group}"),
        }
    }
}

/// One picture of a source, not yet read.
#[derive(Debug, Clone)]
pub struct Item {
    /// Name inside the source, `/` between folders; bytes that are not UTF-8 show as `�`.
    pub name: String,
    /// The class, if the source gives one.
    pub label: Option<String>,
    /// The caption, if the source gives one.
    pub caption: Option<String>,
    /// Size of the file in bytes, as the file system or archive states it.
    pub bytes: u64,
    /// Changes when the file changes: modification time and permissions, a CRC, or a hash.
    pub(super) stamp: u64,
    /// Where the bytes are.
    pub(super) place: Place,
    /// What a check has decoded of it.
    pub(super) kept: Slot,
}

/// Where the bytes of an [`Item`] are.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// A file.
    File(PathBuf),
    /// Number so many of what the scan's [`Backing`] holds.
    Inside(usize),
    /// Built into the binary.
    Builtin(&'static [u8]),
}

/// A file that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reject {
    /// Name inside the source.
    pub name: String,
    /// Why, in a few words.
    pub reason: String,
    /// It is a line of metadata, and no file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub line: bool,
}

impl Reject {
    pub(super) fn new(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { name: name.into(), reason: reason.into(), line: false }
    }

    /// A line of metadata that cannot be used.
    pub(super) fn line(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { line: true, ..Self::new(name, reason) }
    }
}

/// Everything a source holds, listed but not decoded. Sorted by name: the same source gives the same list.
#[derive(Debug)]
pub struct Scan {
    /// The source that was listed.
    pub source: Source,
    /// The pictures, sorted by name.
    pub items: Vec<Item>,
    /// What is already known to be unusable.
    pub rejects: Vec<Reject>,
    /// How many files are not pictures,
    pub ignored: usize,
    /// and the extensions of some, in lower case.
    pub(super) kinds: Vec<String>,
    /// Things the user should know, one sentence each.
    pub notes: Vec<String>,
    /// What reading an item needs besides the item.
    pub(super) backing: Option<Box<dyn Backing>>,
    /// How much of what it decodes a check may keep.
    pub(super) room: Room,
    /// Are pictures that this program has made pictures of it, too?
    pub(super) own_too: bool,
}

/// One file that holds many pictures, open for reading: an archive, an IDX file.
pub(super) trait Backing: std::fmt::Debug + Send + Sync {
    /// The bytes of picture `index`, or in a few words why they cannot be read.
    fn read(&self, index: usize) -> Result<Raw<'_>, String>;
}

/// The bytes of an item.
pub(super) enum Raw<'a> {
    /// An encoded picture file.
    File(Cow<'a, [u8]>),
    /// Plain grey pixels.
    Grey { pixels: &'a [u8], width: usize, height: usize },
}

impl Raw<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Raw::File(bytes) => bytes,
            Raw::Grey { pixels, .. } => pixels,
        }
    }
}

impl Scan {
    /// Takes pictures that this program has made for pictures like others. Without this call they are refused: a model that is
    /// trained on what models made gets worse with every round.
    pub fn with_generated(self) -> Self {
        Self { own_too: true, ..self }
    }

    /// Reads the bytes of one item, or says in a few words why that is impossible.
    pub(super) fn read(&self, item: &Item) -> Result<Raw<'_>, String> {
        match (&item.place, &self.backing) {
            (Place::File(path), _) => read_file(path).map(|bytes| Raw::File(bytes.into())),
            (Place::Builtin(bytes), _) => Ok(Raw::File((*bytes).into())),
            (Place::Inside(index), Some(backing)) => backing.read(*index),
            (Place::Inside(_), None) => unreachable!("an item is read through the scan that listed it"),
        }
    }

    /// The error for a source with nothing to use, naming the most common reasons.
    pub fn nothing_usable(&self, rejects: &[Reject]) -> Error {
        let source = &self.source;
        let rejects: Vec<&Reject> = rejects.iter().filter(|reject| !reject.line).collect();
        if rejects.is_empty() {
            let others = match self.ignored {
                0 => String::new(),
                1 => format!(" (1 other file: {})", self.kinds.join(", ")),
                n => format!(" ({n} other files: {})", self.kinds.join(", ")),
            };
            let holds = |kinds: &[&str]| self.kinds.iter().any(|kind| kinds.contains(&kind.as_str()));
            let hint = if holds(&["zip", "rar", "7z", "tar", "gz", "tgz"]) {
                "unpack the archives in it, and give the folder"
            } else if holds(&["txt", "md", "jsonl", "abc"]) {
                "to learn from texts, unpack it and give the folder, in which there must be no pictures"
            } else if holds(&OTHER_TEXT) {
                "text is read from .txt, .md, .jsonl and .abc files: save it as one of these"
            } else {
                "pictures are png, jpg, gif, webp, bmp, tiff, pnm, qoi and tga files, in sub-folders too"
            };
            return Error::input(format!("there are no pictures in {source}{others}")).hint(hint);
        }
        let mut reasons = std::collections::BTreeMap::<&str, usize>::new();
        for reject in &rejects {
            *reasons.entry(&reject.reason).or_default() += 1;
        }
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        let most: Vec<String> = reasons.iter().take(3).map(|(reason, count)| format!("{count} × {reason}")).collect();
        let files =
            if rejects.len() == 1 { "the one file".into() } else { format!("none of the {} files", rejects.len()) };
        let cannot = if rejects.len() == 1 { "cannot" } else { "can" };
        Error::input(format!("{files} in {source} {cannot} be used: {}", most.join("; ")))
            .hint("convert or copy the pictures again")
    }
}

/// Reads a file of bounded size.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|e| io_reason(&e))?;
    let size = file.metadata().map_err(|e| io_reason(&e))?.len();
    // Files that the system makes while they are read say that they are empty, and some never end.
    if size == 0 { Ok(Vec::new()) } else { read_bounded(file, size) }
}

/// Reads to the end, never more than [`MAX_FILE_BYTES`], trusting `expected` only as a first capacity.
pub(super) fn read_bounded(reader: impl Read, expected: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(expected.min(8 << 20) as usize);
    reader.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|e| io_reason(&e))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("too large: more than {} MiB", MAX_FILE_BYTES >> 20));
    }
    Ok(bytes)
}

/// An operating-system error as a short reason.
pub(super) fn io_reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "gone: the file is no longer there".into(),
        std::io::ErrorKind::PermissionDenied => "unreadable: permission denied".into(),
        _ => format!("unreadable: {error}"),
    }
}

/// A name made safe for one line of a terminal: control characters (newlines, escapes) and the invisible marks that
/// reverse the direction of text are written as `\n`, `\u{1b}` and so on.
pub fn display_name(name: &str) -> String {
    let odd = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(name.len());
    for c in name.chars() {
        if odd(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// The last part of a source as typed: enough to recognise it, nothing about the machine.
pub fn source_name(source: &str) -> String {
    if source.starts_with("emoji:") {
        return source.to_string();
    }
    if source == "-" {
        return "stdin".into();
    }
    let absolute = std::path::absolute(source).unwrap_or_else(|_| source.into());
    absolute.file_name().map_or_else(|| "data".into(), |name| name.to_string_lossy().into_owned())
}
