//! Listing a folder: recursive, links followed, never hanging on a loop.

use std::collections::HashSet;
use std::fs::Metadata;
use std::path::Path;

use walkdir::WalkDir;

use super::left_out::LeftOut;
use super::listing::{self, Found};
use super::source::{Place, Reject, Scan, io_reason, read_bounded};
use crate::{Error, Result};

pub(super) fn scan(root: &Path) -> Result<Scan> {
    let Listing { found, rejects, notes } = list(root)?;
    listing::sort_out(found, rejects, notes, None, |place, limit| match place {
        Place::File(path) => {
            let file = std::fs::File::open(path).map_err(|e| io_reason(&e))?;
            if file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
                return Ok(Vec::new());
            }
            read_bounded(std::io::Read::take(file, limit), limit)
        }
        _ => unreachable!("a folder holds files"),
    })
}

/// The files of a folder, whatever they are, in the order of their names.
pub(super) struct Listing {
    pub found: Vec<Found>,
    pub rejects: Vec<Reject>,
    pub notes: Vec<String>,
}

/// Lists every file below `root` that is not hidden.
pub(super) fn list(root: &Path) -> Result<Listing> {
    std::fs::read_dir(root).map_err(|e| Error::io("read", root, &e))?;
    let mut found = Vec::new();
    let mut rejects = Vec::new();
    let mut not_utf8 = 0;
    // A folder reached through links is read through one of them only: links to one another would otherwise multiply
    // without end, although none of them is a loop.
    let mut linked = HashSet::new();
    let mut linked_again = 0;
    let mut left_out = LeftOut::default();
    let walk = WalkDir::new(root).follow_links(true).sort_by_file_name().into_iter().filter_entry(|entry| {
        if entry.depth() == 0 {
            return true;
        }
        let name = name_of(root, entry.path()).0;
        if left_out.takes(&name) || entry.file_type().is_dir() && left_out.takes_folder(&name, entry.path()) {
            return false;
        }
        if entry.path_is_symlink()
            && entry.file_type().is_dir()
            && let Ok(target) = entry.path().canonicalize()
        {
            let first = linked.insert(target);
            linked_again += usize::from(!first);
            return first;
        }
        true
    });
    for entry in walk {
        match entry {
            Ok(entry) if entry.file_type().is_file() => {
                let (name, lossy) = name_of(root, entry.path());
                not_utf8 += usize::from(lossy);
                match entry.metadata() {
                    Ok(metadata) => found.push(Found {
                        name,
                        bytes: metadata.len(),
                        stamp: stamp(&metadata),
                        place: Place::File(entry.path().to_path_buf()),
                    }),
                    Err(e) => rejects.push(Reject::new(name, e.io_error().map_or_else(|| e.to_string(), io_reason))),
                }
            }
            Ok(_) => {} // a folder, or a pipe or device that must not be opened
            Err(e) => {
                let name = e.path().map_or_else(String::new, |path| name_of(root, path).0);
                if name.rsplit('/').next().is_some_and(|last| last.starts_with('.')) {
                    continue;
                }
                rejects.push(Reject::new(name, walk_reason(&e)));
            }
        }
    }
    let mut notes = Vec::from_iter(left_out.note());
    if not_utf8 > 0 {
        notes.push(format!("{not_utf8} file names are not valid UTF-8 and are shown with �"));
    }
    if linked_again > 0 {
        notes.push(format!("{linked_again} links lead to folders already read through another link and were skipped"));
    }
    Ok(Listing { found, rejects, notes })
}

/// The name below `root` with `/` between folders, and whether it had to be made valid UTF-8.
fn name_of(root: &Path, path: &Path) -> (String, bool) {
    let relative = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = relative.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    (parts.join("/"), relative.to_str().is_none())
}

/// Modification time and permissions in one number: a file that became readable is a changed file.
pub(super) fn stamp(metadata: &Metadata) -> u64 {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let nanoseconds = modified.map_or(0, |since| since.as_nanos() as u64);
    #[cfg(unix)]
    let mode = u64::from(std::os::unix::fs::MetadataExt::mode(metadata));
    #[cfg(not(unix))]
    let mode = u64::from(metadata.permissions().readonly());
    nanoseconds ^ (mode << 48)
}

fn walk_reason(error: &walkdir::Error) -> String {
    if error.loop_ancestor().is_some() {
        return "a link that leads back to a folder above it (loop)".into();
    }
    let path_is_link = error.path().is_some_and(|path| path.symlink_metadata().is_ok_and(|m| m.is_symlink()));
    match error.io_error() {
        Some(e) if e.kind() == std::io::ErrorKind::NotFound && path_is_link => {
            "a link to a file that is not there".into()
        }
        Some(e) => io_reason(e),
        None => error.to_string(),
    }
}
