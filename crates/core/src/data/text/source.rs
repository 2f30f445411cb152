//! Where text comes from: what the user typed → [`TextScan`], which lists files without reading them.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::data::folder::{self, Listing};
use crate::data::listing;
use crate::data::source::{Place, io_reason};
use crate::data::{Reject, display_name};
use crate::makes::Makes;
use crate::provenance::label::ReadLabel;
use crate::provenance::recipe::TextRecipe;
use crate::provenance::text as label;
use crate::{Error, Result};

/// How a file holds text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// Plain text.
    Plain,
    /// Markdown: read as it stands, markup included. Blank lines are part of a document.
    Markdown,
    /// A JSON object a line, its text in the field `text`.
    JsonLines,
}

/// The label of a generated text ends before so many bytes.
const LABEL: u64 = 64 << 10;

/// A file with text, not yet read.
#[derive(Debug, Clone)]
pub struct TextFile {
    /// Name inside the source, `/` between folders.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// What it is.
    pub format: TextFormat,
    /// Changes when the file changes.
    pub(super) stamp: u64,
    pub(super) path: PathBuf,
}

/// Everything a source of text holds, listed but not read, in the order of the names.
#[derive(Debug)]
pub struct TextScan {
    /// The source as the user typed it.
    pub source: String,
    /// The files.
    pub files: Vec<TextFile>,
    /// What is already known to be unusable.
    pub rejects: Vec<Reject>,
    /// How many files are no text.
    pub ignored: usize,
    /// Things the user should know, one sentence each.
    pub notes: Vec<String>,
    /// What was piped in, on disk; removed with the scan.
    _spool: Option<NamedTempFile>,
}

/// The format of a file that is text by its name.
fn format(name: &str) -> Option<TextFormat> {
    let (_, extension) = name.rsplit_once('.')?;
    match extension.to_lowercase().as_str() {
        "txt" | "text" | "abc" => Some(TextFormat::Plain),
        "md" | "markdown" => Some(TextFormat::Markdown),
        "jsonl" | "ndjson" => Some(TextFormat::JsonLines),
        _ => None,
    }
}

/// What a source is of. Text: a `.txt`, `.md`, `.abc` or `.jsonl` file (but not the `metadata.jsonl` of pictures), whether it is
/// there or not; `-`, standard input; a folder with such files and without a single picture: `.txt` files beside pictures are
/// their captions. Everything else is of pictures.
pub fn makes(source: &str) -> Makes {
    if holds_text(source) { Makes::Text } else { Makes::Pictures }
}

fn holds_text(source: &str) -> bool {
    if source == "-" {
        return true;
    }
    let path = Path::new(source);
    if !path.is_dir() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        return format(&name).is_some() && listing::kind(&name) != listing::Kind::Metadata;
    }
    let Ok(Listing { found, .. }) = folder::list(path) else { return false };
    let kinds = || found.iter().map(|file| listing::kind(&file.name));
    kinds().all(|kind| !kind.is_picture() && kind != listing::Kind::Metadata)
        && found.iter().any(|file| format(&file.name).is_some())
}

/// Lists the text of a source: a file of any name, a folder (recursively), or `-` for what is piped in, which goes to a
/// temporary file first because it is read several times.
///
/// # Errors
/// There is no such file or folder, it holds no text, or nothing is piped in.
pub fn scan_text(source: &str) -> Result<TextScan> {
    if source == "-" {
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            return Err(Error::input("- reads text from standard input, but nothing is piped in")
                .hint("cat poems.txt | maliang train -, or name the file"));
        }
        return piped(stdin.lock());
    }
    let path = Path::new(source);
    let metadata = std::fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::input(format!("there is no file or folder {}", display_name(source)))
            .hint("give a .txt, .md or .jsonl file, a folder of them, or - for standard input"),
        _ => Error::io("read", path, &e),
    })?;
    let mut scan = TextScan {
        source: source.into(),
        files: Vec::new(),
        rejects: Vec::new(),
        ignored: 0,
        notes: Vec::new(),
        _spool: None,
    };
    if metadata.is_dir() {
        let listed = folder::list(path)?;
        (scan.rejects, scan.notes) = (listed.rejects, listed.notes);
        for file in listed.found {
            match (format(&file.name), file.place) {
                (Some(format), Place::File(path)) => {
                    let (name, bytes, stamp) = (file.name, file.bytes, file.stamp);
                    scan.files.push(TextFile { name, bytes, format, stamp, path });
                }
                _ => scan.ignored += 1,
            }
        }
        scan.files.sort_by(|a, b| a.name.cmp(&b.name));
    } else {
        File::open(path).map_err(|e| Error::io("read", path, &e))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let format = format(&name).unwrap_or(TextFormat::Plain);
        let (bytes, stamp) = (metadata.len(), folder::stamp(&metadata));
        scan.files.push(TextFile { name, bytes, format, stamp, path: path.to_path_buf() });
    }
    let (own, files) = std::mem::take(&mut scan.files).into_iter().partition(is_own);
    scan.files = files;
    let written = own
        .into_iter()
        .map(|file: TextFile| Reject::new(file.name, "written by Maliang: generated text is not trained on"));
    scan.rejects.extend(written);
    if scan.files.is_empty() && !scan.rejects.is_empty() {
        return Err(scan.nothing_usable(&scan.rejects));
    }
    if scan.files.is_empty() {
        return Err(Error::input(format!("there is no text in {}", display_name(source)))
            .hint("text is .txt, .md, .abc and .jsonl files, in sub-folders too"));
    }
    Ok(scan)
}

/// Does the file carry the label of a text that this program has written? It stands at the beginning.
fn is_own(file: &TextFile) -> bool {
    let mut start = Vec::new();
    let read = File::open(&file.path).and_then(|opened| opened.take(LABEL.min(file.bytes)).read_to_end(&mut start));
    let text = String::from_utf8_lossy(&start);
    let recipe = |label: Result<Option<ReadLabel<TextRecipe>>>| {
        label.is_ok_and(|label| label.is_some_and(|of| of.recipe.is_some()))
    };
    read.is_ok()
        && match file.format {
            TextFormat::Plain => label::read_plain(&text).is_some() || recipe(label::read_abc(&text)),
            TextFormat::Markdown => recipe(label::read_markdown(&text)),
            TextFormat::JsonLines => text.lines().next().is_some_and(|line| recipe(label::read_json(line))),
        }
}

/// Spools what is piped in to a temporary file; its content stands for its name and time.
pub(super) fn piped(mut reader: impl Read) -> Result<TextScan> {
    let fault = |e: &std::io::Error| Error::io("keep a copy of", "standard input", e);
    let mut spool = NamedTempFile::new().map_err(|e| fault(&e))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    let mut bytes = 0;
    loop {
        let got = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => got,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => {
                return Err(Error::input(format!("standard input cannot be read: {}", io_reason(&e))));
            }
        };
        hasher.update(&buffer[..got]);
        spool.as_file_mut().write_all(&buffer[..got]).map_err(|e| fault(&e))?;
        bytes += got as u64;
    }
    let hash = hasher.finalize();
    let stamp = u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("8 bytes"));
    let path = spool.path().to_path_buf();
    let file = TextFile { name: "standard input".into(), bytes, format: TextFormat::Plain, stamp, path };
    Ok(TextScan {
        source: "-".into(),
        files: vec![file],
        rejects: Vec::new(),
        ignored: 0,
        notes: Vec::new(),
        _spool: Some(spool),
    })
}

impl TextScan {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The error for a source with nothing to use.
    pub(super) fn nothing_usable(&self, rejects: &[Reject]) -> Error {
        let source = display_name(&self.source);
        match rejects {
            [] => Error::input(format!("{source} is empty: it holds no text but white space"))
                .hint("give text of at least a few pages"),
            [first, ..] => Error::input(format!("none of the text in {source} can be used: {}", first.reason))
                .hint("text is read from .txt, .md, .jsonl and .abc files in UTF-8"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
        for (name, text) in
            [("poems/a.txt", true), ("poems/more/b.MD", true), ("mixed/a.txt", true), ("none/c.rs", false)]
        {
            std::fs::create_dir_all(Path::new(&path(name)).parent().unwrap()).unwrap();
            std::fs::write(path(name), "x").unwrap();
            assert_eq!(holds_text(&path(name)), text, "{name}");
        }
        std::fs::write(path("mixed/a.png"), "x").unwrap();
        for (name, text) in [("poems", true), ("mixed", false), ("none", false), ("gone.txt", true), ("gone", false)] {
            assert_eq!(holds_text(&path(name)), text, "{name}");
        }
        assert!(holds_text("-") && !holds_text("metadata.jsonl") && !holds_text("emoji:animals"));
        assert_eq!(scan_text(&path("poems")).unwrap().files.len(), 2);
        assert!(scan_text(&path("none")).unwrap_err().message.contains("no text"));
        assert!(scan_text(&path("gone.txt")).unwrap_err().message.contains("gone.txt"));
    }

    #[test]
    fn piped_text_is_kept_on_disk_and_known_by_its_content() {
        let (a, b) = (piped(&b"one"[..]).unwrap(), piped(&b"two"[..]).unwrap());
        assert_eq!((a.bytes(), std::fs::read(&a.files[0].path).unwrap()), (3, b"one".to_vec()));
        assert_ne!(a.files[0].stamp, b.files[0].stamp);
        assert_eq!(a.files[0].stamp, piped(&b"one"[..]).unwrap().files[0].stamp);
        let path = a.files[0].path.clone();
        drop(a);
        assert!(!path.exists());
    }
}
