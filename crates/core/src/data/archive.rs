//! Listing and reading a `.zip`. Nothing is unpacked to disk; names inside are names only, never paths.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use zip::ZipArchive;
use zip::result::ZipError;

use super::listing::{self, Found, Kind};
use super::source::{Backing, Place, Raw, Reject, Scan, io_reason, read_bounded};
use crate::{Error, Result};

type Archive = ZipArchive<BufReader<File>>;

/// Open readers of one archive, one for each thread that reads at the same time.
#[derive(Debug)]
pub(super) struct Pool {
    path: PathBuf,
    readers: Mutex<Vec<Archive>>,
}

impl Pool {
    /// Reads one entry. The size it declares is not trusted.
    fn read_up_to(&self, index: usize, limit: u64) -> Result<Vec<u8>, String> {
        let pooled = self.readers.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop();
        let mut archive = match pooled {
            Some(archive) => archive,
            None => open(&self.path).map_err(|e| zip_reason(&e))?,
        };
        let result = archive.by_index(index).map_err(|e| zip_reason(&e)).and_then(|entry| {
            let size = entry.size();
            read_bounded(std::io::Read::take(entry, limit), size.min(limit))
        });
        self.readers.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(archive);
        result
    }
}

impl Backing for Pool {
    fn read(&self, index: usize) -> Result<Raw<'_>, String> {
        self.read_up_to(index, u64::MAX).map(|bytes| Raw::File(bytes.into()))
    }
}

fn open(path: &Path) -> Result<Archive, ZipError> {
    ZipArchive::new(BufReader::new(File::open(path)?))
}

pub(super) fn scan(path: &Path) -> Result<Scan> {
    let archive = open(path).map_err(|e| match e {
        ZipError::Io(e) if e.kind() != std::io::ErrorKind::UnexpectedEof => Error::io("read", path, &e),
        e => Error::input(format!("{} is not a readable zip archive: {}", path.display(), zip_reason(&e)))
            .hint("copy or download it again, or unpack it and give the folder"),
    })?;
    let metadata = archive.metadata();
    let mut found = Vec::new();
    let mut rejects = Vec::new();
    for index in 0..metadata.len() {
        let Ok(entry) = metadata.entry(index) else { continue };
        if entry.is_dir() {
            continue;
        }
        let name = match entry.name() {
            Ok(name) => name.into_owned(),
            Err(_) => String::from_utf8_lossy(entry.name_raw()).into_owned(),
        };
        let name = name.replace('\\', "/").trim_start_matches('/').to_string();
        if is_hidden(&name) {
            continue;
        }
        let is_picture = matches!(listing::kind(&name), Kind::Picture);
        if is_picture && entry.encrypted() {
            rejects.push(Reject::new(name, "encrypted: unpack the archive with its password first"));
        } else if is_picture && entry.is_symlink() {
            rejects.push(Reject::new(name, "a link inside an archive"));
        } else {
            let stamp = u64::from(entry.crc32());
            found.push(Found { name, bytes: entry.size(), stamp, place: Place::Inside(index) });
        }
    }
    let pool = Pool { path: path.to_path_buf(), readers: Mutex::new(vec![archive]) };
    let mut scan = listing::sort_out(found, rejects, Vec::new(), None, |place, limit| match place {
        Place::Inside(index) => pool.read_up_to(*index, limit),
        _ => unreachable!("an archive holds entries"),
    })?;
    scan.backing = Some(Box::new(pool));
    Ok(scan)
}

/// Dot files, and the shadow folder that macOS adds.
fn is_hidden(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with('.') && part != "." && part != ".." || part == "__MACOSX")
}

fn zip_reason(error: &ZipError) -> String {
    match error {
        ZipError::Io(e) => io_reason(e),
        ZipError::UnsupportedArchive(_) => "its compression is not supported: pack it again with deflate".into(),
        e => e.to_string(),
    }
}
