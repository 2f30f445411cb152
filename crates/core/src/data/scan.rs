//! What the user typed → a [`Source`] → a [`Scan`]: the one place that knows every kind of source.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::source::{Scan, Source, display_name};
use super::{archive, emoji, folder, idx};
use crate::{Error, Result};

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
