//! The cache file: `<fingerprint>.cache` holds a header and all pixels, `<fingerprint>.json` the [`Manifest`].
//!
//! Header, 128 bytes, little-endian: magic (8), version, width, height, channels (u32 each), rows (u64), BLAKE3 of the JSON
//! (32), BLAKE3 of the pixels (32), BLAKE3 of the header up to here (32). Then `rows` pictures, u8, HWC. Everything but the
//! pixels is checked on every open, so that opening takes no time however large the data is.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use tempfile::NamedTempFile;

use super::{DataConfig, Manifest};
use crate::{Error, Result};

pub(super) const HEADER_BYTES: usize = 128;
const MAGIC: &[u8; 8] = b"MALIANGD";
/// Part of the fingerprint: raise it when decoding, resizing or the file layout changes.
pub(super) const VERSION: u32 = 1;

pub(super) fn cache_path(dir: &Path, fingerprint: &str) -> PathBuf {
    dir.join(format!("{fingerprint}.cache"))
}

fn manifest_path(dir: &Path, fingerprint: &str) -> PathBuf {
    dir.join(format!("{fingerprint}.json"))
}

/// Writes rows as they come; nothing has its final name until [`CacheWriter::finish`].
pub(super) struct CacheWriter {
    file: NamedTempFile,
    path: PathBuf,
    pixels: blake3::Hasher,
    rows: u64,
}

impl CacheWriter {
    pub(super) fn create(dir: &Path, fingerprint: &str) -> Result<CacheWriter> {
        let path = cache_path(dir, fingerprint);
        let mut file = temporary(dir, fingerprint)?;
        file.as_file_mut().write_all(&[0; HEADER_BYTES]).map_err(|e| Error::io("write", &path, &e))?;
        Ok(CacheWriter { file, path, pixels: blake3::Hasher::new(), rows: 0 })
    }

    pub(super) fn push(&mut self, row: &[u8]) -> Result<()> {
        self.pixels.update(row);
        self.rows += 1;
        self.file.as_file_mut().write_all(row).map_err(|e| Error::io("write", &self.path, &e))
    }

    /// Writes the manifest and the header, makes both files durable, then gives them their names: manifest first, so that
    /// a cache with its name always has its manifest.
    pub(super) fn finish(mut self, dir: &Path, manifest: &Manifest) -> Result<()> {
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |e: std::io::Error| Error::io("write", &path, &e)
        };
        let json =
            serde_json::to_vec(manifest).map_err(|e| Error::corrupt(format!("the manifest cannot be written: {e}")))?;
        let json_path = manifest_path(dir, &manifest.fingerprint);
        let mut json_file = temporary(dir, &manifest.fingerprint)?;
        json_file.as_file_mut().write_all(&json).map_err(io(&json_path))?;
        json_file.as_file().sync_all().map_err(io(&json_path))?;

        let header = header(&manifest.config, self.rows, blake3::hash(&json), self.pixels.finalize());
        self.file.as_file_mut().seek(SeekFrom::Start(0)).map_err(io(&self.path))?;
        self.file.as_file_mut().write_all(&header).map_err(io(&self.path))?;
        self.file.as_file().sync_all().map_err(io(&self.path))?;

        json_file.persist(&json_path).map_err(|e| Error::io("create", &json_path, &e.error))?;
        self.file.persist(&self.path).map_err(|e| Error::io("create", &self.path, &e.error))?;
        if let Ok(dir) = File::open(dir) {
            dir.sync_all().ok(); // not every file system can; the files themselves are safe
        }
        Ok(())
    }
}

/// Temporary files carry the fingerprint, so that what a killed process left behind can be found and removed.
pub(super) fn temporary(dir: &Path, fingerprint: &str) -> Result<NamedTempFile> {
    let prefix = temporary_prefix(fingerprint);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".tmp");
    #[cfg(unix)] // the usual permissions instead of tempfile's private ones
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(dir).map_err(|e| Error::io("write in", dir, &e))
}

fn temporary_prefix(fingerprint: &str) -> String {
    format!(".{fingerprint}-")
}

/// Has `make` write the cache of this fingerprint, unless `is_there`. Two runs on the same new data: one does the work, the other
/// waits and then finds it done. Where locks are not supported both do it, which is only slower.
pub(super) fn make_once(
    dir: &Path,
    fingerprint: &str,
    is_there: impl Fn() -> bool,
    make: impl FnOnce() -> Result<()>,
) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, &e))?;
    let lock_path = dir.join(format!("{fingerprint}.lock"));
    let lock = File::create(&lock_path).map_err(|e| Error::io("create", &lock_path, &e))?;
    if lock.lock().is_ok() {
        if is_there() {
            return Ok(());
        }
        remove_leftovers(dir, fingerprint);
    }
    let result = make();
    std::fs::remove_file(&lock_path).ok();
    result
}

/// Removes what killed processes left behind. Only for who holds the lock of this fingerprint.
pub(super) fn remove_leftovers(dir: &Path, fingerprint: &str) {
    let prefix = temporary_prefix(fingerprint);
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(&prefix) && name.to_string_lossy().ends_with(".tmp") {
            std::fs::remove_file(entry.path()).ok();
        }
    }
}

pub(super) fn header(config: &DataConfig, rows: u64, json: blake3::Hash, pixels: blake3::Hash) -> [u8; HEADER_BYTES] {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend(MAGIC);
    for number in [VERSION, config.width as u32, config.height as u32, config.channels as u32] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(rows.to_le_bytes());
    bytes.extend(json.as_bytes());
    bytes.extend(pixels.as_bytes());
    let checksum = blake3::hash(&bytes);
    bytes.extend(checksum.as_bytes());
    bytes.try_into().expect("8 + 4 * 4 + 8 + 3 * 32 = 128 bytes")
}

/// Maps a cache after checking its header, its length, its manifest and its pixels.
pub(super) fn open(dir: &Path, fingerprint: &str) -> Result<(Mmap, Manifest)> {
    let path = cache_path(dir, fingerprint);
    let damaged = |what: &str| {
        Error::corrupt(format!("the data cache {} is damaged: {what}", path.display()))
            .hint("delete it and run the same command again: it is made anew from your pictures")
    };
    let missing = |e: std::io::Error, path: &Path| {
        Error::io("read", path, &e)
            .hint("the data cache is made from your pictures: give the source again to make it anew")
    };
    if fingerprint.is_empty() || !fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Error::corrupt(format!("{fingerprint:?} is not a fingerprint of a data set")));
    }
    let mut file = File::open(&path).map_err(|e| missing(e, &path))?;
    let mut start = [0; HEADER_BYTES];
    file.read_exact(&mut start).map_err(|_| damaged("it ends inside its header"))?;
    let (body, checksum) = start.split_at(HEADER_BYTES - 32);
    if &body[..8] != MAGIC || blake3::hash(body).as_bytes() != checksum {
        return Err(damaged("its header has a wrong checksum"));
    }

    let json_path = manifest_path(dir, fingerprint);
    let json = std::fs::read(&json_path).map_err(|e| missing(e, &json_path))?;
    if blake3::hash(&json).as_bytes() != &body[32..64] {
        return Err(damaged("its manifest has a wrong checksum"));
    }
    let manifest: Manifest =
        serde_json::from_slice(&json).map_err(|e| damaged(&format!("its manifest cannot be read: {e}")))?;

    let rows = u64::from_le_bytes(body[24..32].try_into().expect("8 bytes"));
    let expected =
        rows.checked_mul(manifest.config.row_bytes() as u64).and_then(|n| n.checked_add(HEADER_BYTES as u64));
    let length = file.metadata().map_err(|e| Error::io("read", &path, &e))?.len();
    let pixels = blake3::Hash::from_slice(&body[64..96]).expect("32 bytes");
    if expected != Some(length)
        || rows != manifest.pictures.len() as u64
        || manifest.fingerprint != fingerprint
        || header(&manifest.config, rows, blake3::hash(&json), pixels) != start
    {
        return Err(damaged("its size does not fit its manifest"));
    }
    let map = map(&file).map_err(|e| Error::io("map", &path, &e))?;
    if blake3::hash(&map[HEADER_BYTES..]) != pixels {
        return Err(damaged("its pixels have a wrong checksum"));
    }
    Ok((map, manifest))
}

/// Maps a file of the cache directory whose header was checked.
#[allow(unsafe_code)] // memory-mapping has no safe form: another process could change the file under us
pub(super) fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: a cache never changes once it has its name: it is written under another and renamed, and replaced only by
    // renaming, which leaves this mapping its old file. Bytes are read as u8, for which every value is valid.
    unsafe { Mmap::map(file) }
}
