//! Making a cache: decode in parallel, write in order, in chunks, so that memory does not grow with the data.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::cache::{self, CacheWriter};
use super::decode::Info;
use super::kept::Decoded;
use super::manifest::{Counts, Duplicate, Entry, Manifest, Split, classes};
use super::{DataConfig, Item, OnProgress, Reject, Scan, resize, split};
use crate::Result;

/// Pictures decoded at one time.
const CHUNK: usize = 256;
/// Bytes of resized pictures held at one time.
const CHUNK_BYTES: usize = 128 << 20;

/// Names the data set that `config` makes of `scan`: BLAKE3 over the settings (but not how the source was spelt) and over the
/// name, size, time or checksum, label and caption of every picture, as 32 hexadecimal digits.
pub fn fingerprint(config: &DataConfig, scan: &Scan) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes()); // lengths keep neighbours apart
        hasher.update(bytes);
    };
    add(&cache::VERSION.to_le_bytes());
    let settings = DataConfig { source: String::new(), ..config.clone() };
    add(&serde_json::to_vec(&settings).unwrap_or_default());
    for item in &scan.items {
        add(item.name.as_bytes());
        add(&item.bytes.to_le_bytes());
        add(&item.stamp.to_le_bytes());
        for text in [&item.label, &item.caption] {
            add(text.as_deref().map_or(&[0][..], str::as_bytes));
        }
    }
    for reject in &scan.rejects {
        add(reject.name.as_bytes());
        add(reject.reason.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_string()
}

/// Decodes everything that a check has not kept, and writes the cache. A file that fails costs only itself.
pub(super) fn build(
    config: &DataConfig,
    scan: &Scan,
    dir: &Path,
    fingerprint: &str,
    on_progress: OnProgress,
) -> Result<()> {
    let is_there = || cache::open(dir, fingerprint).is_ok();
    cache::make_once(dir, fingerprint, is_there, || decode_all(config, scan, dir, fingerprint, on_progress))
}

fn decode_all(config: &DataConfig, scan: &Scan, dir: &Path, fingerprint: &str, on_progress: OnProgress) -> Result<()> {
    let mut writer = CacheWriter::create(dir, fingerprint)?;
    let mut pictures: Vec<Entry> = Vec::new();
    let mut hashes: Vec<[u8; 32]> = Vec::new();
    let mut first_with: HashMap<blake3::Hash, usize> = HashMap::new();
    let mut dropped: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut rejects = scan.rejects.clone();
    let done = AtomicUsize::new(0);
    let chunk = (CHUNK_BYTES / config.row_bytes()).clamp(1, CHUNK);
    for items in scan.items.chunks(chunk) {
        let rows: Vec<Result<Row, String>> = items
            .par_iter()
            .map(|item| {
                let row = make_row(config, scan, item);
                on_progress(done.fetch_add(1, Ordering::Relaxed) + 1, scan.items.len());
                row
            })
            .collect();
        for (item, row) in items.iter().zip(rows) {
            match row {
                Err(reason) => rejects.push(Reject::new(item.name.clone(), reason)),
                Ok(row) => match first_with.get(&row.hash) {
                    Some(&first) => dropped.entry(first).or_default().push(item.name.clone()),
                    None => {
                        first_with.insert(row.hash, pictures.len());
                        hashes.push(*row.hash.as_bytes());
                        writer.push(&row.pixels)?;
                        pictures.push(entry(item, &row));
                    }
                },
            }
        }
    }
    if pictures.is_empty() {
        return Err(scan.nothing_usable(&rejects));
    }
    for (picture, out) in pictures.iter_mut().zip(split::heldout(&hashes, config.holdout)) {
        picture.split = if out { Split::Heldout } else { Split::Train };
    }
    rejects.sort_by(|a, b| (&a.name, &a.reason).cmp(&(&b.name, &b.reason)));
    let heldout = pictures.iter().filter(|picture| picture.split == Split::Heldout).count();
    let manifest = Manifest {
        fingerprint: fingerprint.to_string(),
        config: config.clone(),
        counts: Counts {
            train: pictures.len() - heldout,
            heldout,
            rejected: rejects.len(),
            duplicates: dropped.values().map(Vec::len).sum(),
            ignored: scan.ignored,
        },
        labels: classes(pictures.iter().map(|picture| picture.label.as_deref())),
        notes: scan.notes.clone(),
        rejects,
        duplicates: dropped
            .into_iter()
            .map(|(kept, dropped)| Duplicate { kept: pictures[kept].name.clone(), dropped })
            .collect(),
        pictures,
    };
    writer.finish(dir, &manifest)
}

/// One picture, ready to be written.
struct Row {
    hash: blake3::Hash,
    bytes: u64,
    info: Info,
    pixels: Vec<u8>,
}

fn make_row(config: &DataConfig, scan: &Scan, item: &Item) -> Result<Row, String> {
    let Decoded { hash, bytes, image, info } = *scan.decode(item)?;
    Ok(Row { hash, bytes, info, pixels: resize::fit(&image, config)? })
}

fn entry(item: &Item, row: &Row) -> Entry {
    Entry {
        name: item.name.clone(),
        blake3: row.hash.to_hex().to_string(),
        bytes: row.bytes,
        width: row.info.width,
        height: row.info.height,
        mode: row.info.mode.clone(),
        label: item.label.clone(),
        caption: item.caption.clone(),
        split: Split::Train,
    }
}
