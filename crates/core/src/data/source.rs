//! Where pictures come from: what the user typed → a [`Source`] → a [`Scan`] that lists every picture without decoding it.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{archive, emoji, folder, idx};
use crate::{Error, Result};

/// No single file or archive entry is read beyond this, whatever its header claims.
pub(super) const MAX_FILE_BYTES: u64 = 256 << 20;

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

impl Source {
    /// Understands what the user typed: `emoji:animals`, a folder, a `.zip`, an IDX file, or a `metadata.csv`/`.jsonl`
    /// (which stands for its folder).
    pub fn parse(text: &str) -> Result<Source> {
        if let Some(group) = text.strip_prefix("emoji:").or_else(|| (text == "emoji").then_some("")) {
            emoji::validate(group)?;
            return Ok(Source::Emoji(group.to_string()));
        }
        let path = Path::new(text);
        let metadata = std::fs::metadata(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::input(format!("there is no file or folder {}", display_name(text)))
                .hint("give a folder of pictures, a .zip, an IDX file, or emoji:animals for the built-in pictures"),
            _ => Error::io("read", path, &e),
        })?;
        if metadata.is_dir() {
            return Ok(Source::Folder(path.to_path_buf()));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if name == "metadata.csv" || name == "metadata.jsonl" {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            return Ok(Source::Folder(parent.unwrap_or(Path::new(".")).to_path_buf()));
        }
        let mut start = [0; 4];
        let got =
            File::open(path).and_then(|mut file| file.read(&mut start)).map_err(|e| Error::io("read", path, &e))?;
        let start = &start[..got];
        if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") || name.ends_with(".zip") {
            return Ok(Source::Zip(path.to_path_buf()));
        }
        if start == [0, 0, 8, 1] || name.contains("idx1-ubyte") {
            return Err(Error::input(format!("{} holds labels, not pictures", display_name(text)))
                .hint("give the images file, …-images-idx3-ubyte; the labels beside it are found by themselves"));
        }
        if start == [0, 0, 8, 3] || name.contains("idx3-ubyte") {
            return Ok(Source::Idx { images: path.to_path_buf(), labels: idx::labels_beside(path) });
        }
        let shown = display_name(text);
        Err(if super::listing::kind(&name).is_picture() {
            Error::input(format!("{shown} is a single picture")).hint("give the folder that holds your pictures")
        } else {
            Error::input(format!("{shown} is not a source of pictures")).hint(
                "give a folder, a .zip, an IDX file (…-images-idx3-ubyte[.gz]) or emoji:animals; unpack other archives",
            )
        })
    }
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
    /// Where the bytes come from.
    pub(super) origin: Origin,
}

/// Where the bytes of an [`Item`] come from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// A file.
    File(PathBuf),
    /// An entry of the archive, by index.
    Entry(usize),
    /// A picture of the IDX file, by index.
    Row(usize),
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
}

impl Reject {
    pub(super) fn new(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { name: name.into(), reason: reason.into() }
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
    /// How many files are not pictures.
    pub ignored: usize,
    /// Things the user should know, one sentence each.
    pub notes: Vec<String>,
    pub(super) backing: Backing,
}

/// What reading an item needs besides the item.
#[derive(Debug)]
pub(super) enum Backing {
    /// Nothing: files and built-in bytes.
    None,
    /// Open readers of one archive.
    Zip(archive::Pool),
    /// The whole IDX file.
    Idx(idx::Pictures),
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

/// Lists the pictures of a source. Opens only what names, labels and captions need.
pub fn scan(source: &Source) -> Result<Scan> {
    let mut scan = match source {
        Source::Folder(path) => folder::scan(path)?,
        Source::Zip(path) => archive::scan(path)?,
        Source::Idx { images, labels } => idx::scan(images, labels.as_deref())?,
        Source::Emoji(group) => emoji::scan(group)?,
    };
    scan.source = source.clone();
    Ok(scan)
}

impl Scan {
    /// Reads the bytes of one item, or says in a few words why that is impossible.
    pub(super) fn read(&self, item: &Item) -> Result<Raw<'_>, String> {
        match (&item.origin, &self.backing) {
            (Origin::File(path), _) => read_file(path).map(|bytes| Raw::File(bytes.into())),
            (Origin::Builtin(bytes), _) => Ok(Raw::File((*bytes).into())),
            (Origin::Entry(index), Backing::Zip(pool)) => pool.read(*index).map(|bytes| Raw::File(bytes.into())),
            (Origin::Row(index), Backing::Idx(pictures)) => Ok(pictures.raw(*index)),
            _ => unreachable!("an item is read through the scan that listed it"),
        }
    }

    /// The error for a source with nothing to use, naming the most common reasons.
    pub fn nothing_usable(&self, rejects: &[Reject]) -> Error {
        let source = &self.source;
        if rejects.is_empty() {
            let others = match self.ignored {
                0 => String::new(),
                1 => " (1 other file)".to_string(),
                n => format!(" ({n} other files)"),
            };
            return Error::input(format!("there are no pictures in {source}{others}"))
                .hint("pictures are png, jpg, gif, webp, bmp, tiff, pnm, qoi and tga files, in sub-folders too");
        }
        let mut reasons = std::collections::BTreeMap::<&str, usize>::new();
        for reject in rejects {
            *reasons.entry(&reject.reason).or_default() += 1;
        }
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        let most: Vec<String> = reasons.iter().take(3).map(|(reason, count)| format!("{count} × {reason}")).collect();
        let files =
            if rejects.len() == 1 { "the one file".into() } else { format!("none of the {} files", rejects.len()) };
        let cannot = if rejects.len() == 1 { "cannot" } else { "can" };
        Error::input(format!("{files} in {source} {cannot} be used: {}", most.join("; ")))
            .hint("run `maliang data check` on it to see every file, then convert or copy the pictures again")
    }
}

/// Reads a file of bounded size.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|e| io_reason(&e))?;
    let size = file.metadata().map_err(|e| io_reason(&e))?.len();
    read_bounded(file, size)
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
