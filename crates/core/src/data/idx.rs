//! IDX, the format of MNIST: a big-endian header, then unsigned bytes. <http://yann.lecun.com/exdb/mnist/>
//!
//! Images: magic 0x00000803, count, rows, columns, then `count * rows * columns` grey pixels.
//! Labels: magic 0x00000801, count, then `count` bytes.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::kept::{Room, Slot};
use super::source::{Backing, Item, Place, Raw, Scan, Source};
use crate::{Error, Result};

/// Largest IDX file, unpacked. MNIST takes 45 MiB.
const MAX_BYTES: u64 = 4 << 30;
/// More bytes than these must not come of so few that each stands for more than [`MOST_PACKED`]; MNIST packs to a fifth.
const SMALL: u64 = 64 << 20;
const MOST_PACKED: u64 = 100;
/// Largest side of one picture.
const MAX_SIDE: usize = 4096;

/// All pictures of one file.
#[derive(Debug)]
pub(super) struct Pictures {
    pixels: Vec<u8>,
    rows: usize,
    columns: usize,
}

impl Backing for Pictures {
    fn read(&self, index: usize) -> Result<Raw<'_>, String> {
        let size = self.rows * self.columns;
        let pixels = &self.pixels[index * size..(index + 1) * size];
        Ok(Raw::Grey { pixels, width: self.columns, height: self.rows })
    }
}

/// The labels file that belongs to an images file: `images` → `labels`, `idx3` → `idx1`, gzipped or not.
pub(super) fn labels_beside(images: &Path) -> Option<PathBuf> {
    let name = images.file_name()?.to_str()?;
    let labels = name.replace("images", "labels").replace("idx3", "idx1");
    if labels == name {
        return None;
    }
    let plain = labels.strip_suffix(".gz").unwrap_or(&labels);
    [labels.clone(), plain.to_string(), format!("{plain}.gz")]
        .into_iter()
        .map(|name| images.with_file_name(name))
        .find(|path| path.is_file())
}

pub(super) fn scan(images: &Path, labels: Option<&Path>) -> Result<Scan> {
    let ([count, rows, columns], pixels) = read::<3>(images, 0x803)?;
    if rows > MAX_SIDE || columns > MAX_SIDE {
        return Err(Error::input(format!("{} claims pictures of {columns}×{rows} pixels", images.display()))
            .hint(format!("IDX pictures up to {MAX_SIDE} pixels a side are read")));
    }
    let mut notes = Vec::new();
    let labels = match labels {
        None => None,
        Some(path) => {
            let ([label_count], labels) = read::<1>(path, 0x801)?;
            if label_count != count {
                return Err(Error::input(format!("{} has {label_count} labels for {count} pictures", path.display()))
                    .hint("download both files again, or take the labels file away to go without labels"));
            }
            Some(labels)
        }
    };
    if labels.is_none() {
        notes.push("no labels file beside the pictures: going on without labels".into());
    }
    let digest = blake3::hash(&pixels);
    let stamp = u64::from_le_bytes(digest.as_bytes()[..8].try_into().expect("8 bytes"));
    let digits = count.saturating_sub(1).to_string().len();
    let items = (0..count)
        .map(|index| Item {
            name: format!("{index:0digits$}"),
            label: labels.as_ref().map(|labels| labels[index].to_string()),
            caption: None,
            bytes: (rows * columns) as u64,
            stamp,
            place: Place::Inside(index),
            kept: Slot::default(),
        })
        .collect();
    Ok(Scan {
        source: Source::Emoji(String::new()),
        items,
        rejects: Vec::new(),
        ignored: 0,
        kinds: Vec::new(),
        notes,
        backing: Some(Box::new(Pictures { pixels, rows, columns })),
        room: Room::default(),
        own_too: false,
    })
}

/// Reads a file of `N` dimensions and checks the header against the bytes that are really there. Memory follows the bytes
/// that come, never what the header claims.
fn read<const N: usize>(path: &Path, magic: u32) -> Result<([usize; N], Vec<u8>)> {
    let bad = |what: String| {
        Error::input(format!("{} {what}", path.display()))
            .hint("download or copy it again; IDX files are described at yann.lecun.com")
    };
    let mut start = [0; 2];
    let file = File::open(path).map_err(|e| Error::io("read", path, &e))?;
    let mut reader = BufReader::new(file);
    let mut peek = std::io::BufRead::fill_buf(&mut reader).map_err(|e| Error::io("read", path, &e))?;
    let gzipped = peek.read(&mut start).is_ok() && start == [0x1f, 0x8b];
    let mut stream: Box<dyn Read> = if gzipped { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) };

    let mut number = [0; 4];
    let mut next = || stream.read_exact(&mut number).map(|()| u32::from_be_bytes(number));
    if next().map_err(|e| bad(format!("is not an IDX file: {e}")))? != magic {
        return Err(bad(format!("is not an IDX file of this kind (it should start with {magic:#010x})")));
    }
    let mut dimensions = [0; N];
    for dimension in &mut dimensions {
        *dimension = next().map_err(|_| bad("ends inside its header".into()))? as usize;
    }
    let total = dimensions.iter().try_fold(1u64, |product, &d| product.checked_mul(d as u64));
    let Some(total) = total.filter(|&total| total <= MAX_BYTES) else {
        return Err(bad(format!("claims {dimensions:?} bytes, more than {} GiB", MAX_BYTES >> 30)));
    };
    let packed = std::fs::metadata(path).map_or(u64::MAX, |metadata| metadata.len());
    if gzipped && total > SMALL && total / packed.max(1) > MOST_PACKED {
        return Err(bad(format!("unpacks to {total} bytes from {packed}, which no pictures do")));
    }
    if total == 0 {
        return Err(bad("holds nothing: one of its dimensions is 0".into()));
    }
    let mut bytes = Vec::new();
    stream.take(total + 1).read_to_end(&mut bytes).map_err(|e| bad(format!("is damaged: {e}")))?;
    if bytes.len() as u64 != total {
        let got = if bytes.len() as u64 > total { "more".to_string() } else { bytes.len().to_string() };
        return Err(bad(format!("should hold {total} bytes after its header but holds {got}")));
    }
    Ok((dimensions, bytes))
}
