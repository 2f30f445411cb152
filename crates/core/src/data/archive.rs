//! Listing and reading a `.zip`. Nothing is unpacked to disk; names inside are names only, never paths.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use zip::ZipArchive;
use zip::result::ZipError;

use super::encoding::{self, Legacy};
use super::left_out::LeftOut;
use super::listing::{self, Found, Kind};
use super::source::{Backing, Place, Raw, Reject, Scan, display_name, io_reason, read_bounded};
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
    let raw: Vec<Vec<u8>> = (0..metadata.len())
        .map(|index| metadata.entry(index).map_or_else(|_| Vec::new(), |entry| entry.name_raw().to_vec()))
        .collect();
    refuse_overlaps(
        path,
        (0..metadata.len()).filter_map(|index| {
            let entry = metadata.entry(index).ok()?;
            Some((entry.header_start(), entry.compressed_size()))
        }),
    )?;
    let (names, mut notes) = names(&raw);
    let mut found = Vec::new();
    let mut rejects = Vec::new();
    let mut left_out = LeftOut::default();
    let runs = left_out.runs_among(&names);
    for (index, name) in names.into_iter().enumerate() {
        let Ok(entry) = metadata.entry(index) else { continue };
        if entry.is_dir() {
            continue;
        }
        let name = name.replace('\\', "/").trim_start_matches('/').to_string();
        if left_out.takes(&name) || runs.iter().any(|folder| name.starts_with(folder)) {
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
    notes.extend(left_out.note());
    let pool = Pool { path: path.to_path_buf(), readers: Mutex::new(vec![archive]) };
    let mut scan = listing::sort_out(found, rejects, notes, None, |place, limit| match place {
        Place::Inside(index) => pool.read_up_to(*index, limit),
        _ => unreachable!("an archive holds entries"),
    })?;
    scan.backing = Some(Box::new(pool));
    Ok(scan)
}

/// Refuses an archive whose entries share bytes: a few of them can stand for more pictures than a machine can unpack in a day
/// (Fifield 2019, A better zip bomb).
fn refuse_overlaps(path: &Path, entries: impl Iterator<Item = (u64, u64)>) -> Result<()> {
    let mut places: Vec<(u64, u64)> = entries.filter(|&(_, bytes)| bytes > 0).collect();
    places.sort_unstable();
    // Two entries of the directory may name one and the same file.
    places.dedup();
    match places.array_windows().find(|[(start, bytes), (next, _)]| start.saturating_add(*bytes) > *next) {
        None => Ok(()),
        Some(_) => Err(Error::input(format!("{} is refused: its entries overlap", path.display()))
            .hint("it is damaged or made to do harm; pack the pictures anew")),
    }
}

/// The names in an archive as text, and what to say about them. Programs that do not write UTF-8 write the encoding of their
/// system and do not say which: it is recognised by all names together.
fn names(raw: &[Vec<u8>]) -> (Vec<String>, Vec<String>) {
    let utf_8 = |name: &[u8]| std::str::from_utf8(name).ok().map(String::from);
    let read = |name: &[u8], encoding: Option<&Legacy>| {
        // One name that is not UTF-8 and the others are none either, although one may look like it by chance.
        let read = encoding.filter(|_| !name.is_ascii()).and_then(|of| of.decode(name));
        // Different names stay different.
        read.or_else(|| utf_8(name)).unwrap_or_else(|| name.escape_ascii().to_string())
    };
    let Some(first) = raw.iter().find(|name| utf_8(name).is_none()) else {
        return (raw.iter().map(|name| read(name, None)).collect(), vec![]);
    };
    let strange: Vec<&[u8]> = raw.iter().map(Vec::as_slice).filter(|name| !name.is_ascii()).collect();
    let likely = encoding::of_names(&strange);
    let reading = |of: &Legacy| Some(format!("{} ({})", of.name(), display_name(&of.decode(first)?)));
    let mut readings = likely.iter().filter_map(reading);
    let all = format!("{} names in the archive are not UTF-8", strange.len());
    let note = match (readings.next(), readings.next()) {
        (None, _) => format!("{all}, and in no encoding that is known here; they are shown by their bytes"),
        (Some(best), None) => {
            format!("{all}; they were read as {best}; if that is wrong, unpack it and give the folder")
        }
        (Some(best), Some(next)) => {
            format!(
                "{all}; they were read as {best}; if that is wrong, for example {next}, unpack it and give the folder"
            )
        }
    };
    (raw.iter().map(|name| read(name, likely.first())).collect(), vec![note])
}

fn zip_reason(error: &ZipError) -> String {
    match error {
        ZipError::Io(e) => io_reason(e),
        ZipError::UnsupportedArchive(_) => "its compression is not supported: pack it again with deflate".into(),
        e => e.to_string(),
    }
}
