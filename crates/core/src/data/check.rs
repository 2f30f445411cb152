//! What is in a source, what is broken, doubled, too small: every file is decoded, nothing is written. What was decoded is kept
//! for the cache where the scan has room for it ([`Scan::keeping`]).

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};

use image::DynamicImage;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::kept::Decoded;
use super::manifest::{Duplicate, classes};
use super::phash::{self, Look};
use super::{Fit, OnProgress, Reject, Scan};
use crate::Result;

/// One picture that can be used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    /// Name inside the source.
    pub name: String,
    /// The class.
    pub label: Option<String>,
    /// The caption.
    pub caption: Option<String>,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Width in pixels, as it is meant to be seen.
    pub width: usize,
    /// Height in pixels, as it is meant to be seen.
    pub height: usize,
    /// File format by content: `png`, `jpeg`, …
    pub format: String,
    /// How the file stores pixels: `RGB`, `grey 16-bit`, `palette`, `CMYK`, …
    pub mode: String,
    /// Has more than one frame; the first is used.
    pub animated: bool,
    /// An EXIF orientation is applied.
    pub rotated: bool,
    /// Some pixel is not opaque.
    pub transparent: bool,
    /// Every visible pixel is grey.
    pub grey: bool,
    /// BLAKE3 of the file's bytes, hexadecimal.
    pub blake3: String,
    /// 64-bit difference hash, hexadecimal.
    pub dhash: String,
}

/// Two pictures that look alike although their files differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearPair {
    /// One picture.
    pub a: String,
    /// The other.
    pub b: String,
    /// In how many of 64 bits their difference hashes differ: 0 to 3.
    pub bits: u32,
}

/// Smallest, median and largest of a set of sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeSummary {
    /// Smallest.
    pub min: usize,
    /// The middle one (of two middle ones, the smaller).
    pub median: usize,
    /// Largest.
    pub max: usize,
}

impl SizeSummary {
    pub(super) fn of(values: impl Iterator<Item = usize>) -> Option<SizeSummary> {
        let mut values: Vec<usize> = values.collect();
        values.sort_unstable();
        Some(SizeSummary { min: *values.first()?, median: values[(values.len() - 1) / 2], max: *values.last()? })
    }
}

/// What [`check`] found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckReport {
    /// The source as text.
    pub source: String,
    /// How many pictures can be used, repeats included.
    pub usable: usize,
    /// How many of them have bytes of their own: what training will see.
    pub distinct: usize,
    /// Files that are not pictures.
    pub ignored: usize,
    /// Bytes of all usable files.
    pub total_bytes: u64,
    /// Widths in pixels; nothing if no picture is usable.
    pub width: Option<SizeSummary>,
    /// Heights in pixels.
    pub height: Option<SizeSummary>,
    /// The shorter sides in pixels.
    pub shorter_side: Option<SizeSummary>,
    /// The largest of 32, 64, 128, 256 for which at most a tenth of the pictures are [too small](super::too_small) (at least 32).
    pub suggested_size: usize,
    /// How training brings pictures of another shape to its size: pad where most are transparent (the border vanishes into the
    /// ground) or of an IDX set, else crop.
    pub suggested_fit: Fit,
    /// The ground to see through and to pad with, RGB: black for IDX sets (MNIST and its kin are white on black), else white.
    pub suggested_background: [u8; 3],
    /// How many of each file format.
    pub formats: BTreeMap<String, usize>,
    /// How many of each way of storing pixels.
    pub modes: BTreeMap<String, usize>,
    /// How many of each class, in the order of the classes; empty if the pictures are not all labelled.
    pub labels: Vec<(String, usize)>,
    /// Pictures with a caption.
    pub captions: usize,
    /// Pictures in which every visible pixel is grey.
    pub grey: usize,
    /// Pictures with transparency.
    pub transparent: usize,
    /// Pictures with more than one frame.
    pub animated: usize,
    /// Pictures turned by their EXIF orientation.
    pub rotated: usize,
    /// Things the user should know, one sentence each.
    pub notes: Vec<String>,
    /// Files that cannot be used, with the reason.
    pub rejects: Vec<Reject>,
    /// Files with exactly the same bytes.
    pub duplicates: Vec<Duplicate>,
    /// Pictures that look alike (see [`NearPair`]); exact duplicates are not repeated here.
    pub near_duplicates: Vec<NearPair>,
    /// False if there were too many candidates to compare all pairs.
    pub near_complete: bool,
    /// Every usable picture, sorted by name.
    pub items: Vec<Checked>,
}

impl CheckReport {
    /// Is every picture grey?
    pub fn is_grey(&self) -> bool {
        self.grey == self.usable
    }
}

/// Decodes every picture of a scan, in parallel. A source without a single usable picture gives a report too: see
/// [`CheckReport::usable`].
pub fn check(scan: &Scan, on_progress: OnProgress) -> Result<CheckReport> {
    let done = AtomicUsize::new(0);
    let results: Vec<Result<(Checked, Look), String>> = scan
        .items
        .par_iter()
        .map(|item| {
            let checked = check_item(scan, item);
            on_progress(done.fetch_add(1, Ordering::Relaxed) + 1, scan.items.len());
            checked
        })
        .collect();

    let mut rejects = scan.rejects.clone();
    let mut items = Vec::with_capacity(results.len());
    let mut looks = Vec::with_capacity(results.len());
    for (item, result) in scan.items.iter().zip(results) {
        match result {
            Ok((checked, look)) => {
                items.push(checked);
                looks.push(look);
            }
            Err(reason) => rejects.push(Reject::new(item.name.clone(), reason)),
        }
    }
    rejects.sort_by(|a, b| (&a.name, &a.reason).cmp(&(&b.name, &b.reason)));

    let (firsts, duplicates) = exact_duplicates(&items);
    let distinct_looks: Vec<&Look> = firsts.iter().map(|&index| &looks[index]).collect();
    let (pairs, near_complete) = phash::near_pairs(&distinct_looks);
    let near_duplicates = pairs
        .into_iter()
        .map(|(a, b, bits)| NearPair { a: items[firsts[a]].name.clone(), b: items[firsts[b]].name.clone(), bits })
        .collect();

    let count = |test: fn(&Checked) -> bool| items.iter().filter(|item| test(item)).count();
    let tally = |key: fn(&Checked) -> &str| {
        items.iter().fold(BTreeMap::<String, usize>::new(), |mut counts, item| {
            *counts.entry(key(item).to_string()).or_default() += 1;
            counts
        })
    };
    let by_label = tally(|item| item.label.as_deref().unwrap_or_default());
    let formats = tally(|item| &item.format);
    let idx = formats.contains_key("idx");
    let transparent = count(|item| item.transparent);
    // Of the pictures that training will see: a class with nothing but copies of another's is none.
    let labels = classes(firsts.iter().map(|&index| items[index].label.as_deref()));
    Ok(CheckReport {
        source: scan.source.to_string(),
        usable: items.len(),
        distinct: firsts.len(),
        ignored: scan.ignored,
        total_bytes: items.iter().map(|item| item.bytes).sum(),
        width: SizeSummary::of(items.iter().map(|item| item.width)),
        height: SizeSummary::of(items.iter().map(|item| item.height)),
        shorter_side: SizeSummary::of(items.iter().map(|item| item.width.min(item.height))),
        suggested_size: suggested_size(&items),
        suggested_fit: if idx || transparent * 2 > items.len() { Fit::Pad } else { Fit::Crop },
        suggested_background: if idx { [0; 3] } else { [255; 3] },
        formats,
        modes: tally(|item| &item.mode),
        labels: labels.into_iter().map(|label| (label.clone(), by_label[&label])).collect(),
        captions: count(|item| item.caption.is_some()),
        grey: count(|item| item.grey),
        transparent,
        animated: count(|item| item.animated),
        rotated: count(|item| item.rotated),
        notes: scan.notes.clone(),
        rejects,
        duplicates,
        near_duplicates,
        near_complete,
        items,
    })
}

fn check_item(scan: &Scan, item: &super::Item) -> Result<(Checked, Look), String> {
    let outcome = scan.decode(item);
    let facts = match &outcome {
        Ok(decoded) => facts(item, decoded),
        Err(reason) => Err(reason.clone()),
    };
    scan.keep(item, outcome);
    facts
}

fn facts(item: &super::Item, decoded: &Decoded) -> Result<(Checked, Look), String> {
    let Decoded { hash, bytes, image, info } = decoded;
    let look = Look::of(image)?;
    let checked = Checked {
        name: item.name.clone(),
        label: item.label.clone(),
        caption: item.caption.clone(),
        bytes: *bytes,
        width: info.width,
        height: info.height,
        format: info.format.into(),
        mode: info.mode.clone(),
        animated: info.animated,
        rotated: info.rotated,
        transparent: is_transparent(image),
        grey: is_grey(image),
        blake3: hash.to_hex().to_string(),
        dhash: format!("{:016x}", look.hash),
    };
    Ok((checked, look))
}

fn is_transparent(image: &DynamicImage) -> bool {
    match image {
        DynamicImage::ImageLumaA8(p) => p.as_raw().chunks_exact(2).any(|p| p[1] < 255),
        DynamicImage::ImageRgba8(p) => p.as_raw().chunks_exact(4).any(|p| p[3] < 255),
        _ => false,
    }
}

fn is_grey(image: &DynamicImage) -> bool {
    match image {
        DynamicImage::ImageRgb8(p) => p.as_raw().chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]),
        DynamicImage::ImageRgba8(p) => p.as_raw().chunks_exact(4).all(|p| p[3] == 0 || p[0] == p[1] && p[1] == p[2]),
        _ => true,
    }
}

/// The first of each set of equal files, and the sets with more than one.
fn exact_duplicates(items: &[Checked]) -> (Vec<usize>, Vec<Duplicate>) {
    let mut first_with: HashMap<&str, usize> = HashMap::new();
    let mut firsts = Vec::new();
    let mut dropped: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        match first_with.get(item.blake3.as_str()) {
            Some(&first) => dropped.entry(first).or_default().push(item.name.clone()),
            None => {
                first_with.insert(&item.blake3, index);
                firsts.push(index);
            }
        }
    }
    let groups = dropped.into_iter().map(|(kept, dropped)| Duplicate { kept: items[kept].name.clone(), dropped });
    (firsts, groups.collect())
}

fn suggested_size(items: &[Checked]) -> usize {
    let mut sides: Vec<usize> = items.iter().map(|item| item.width.min(item.height)).collect();
    sides.sort_unstable();
    let tenth = sides.get(sides.len() / 10).copied().unwrap_or(0);
    [256, 128, 64].into_iter().find(|&size| !too_small(tenth, size)).unwrap_or(32)
}

/// Would a picture whose shorter side is `side` have to be enlarged by more than a third to fill `size`?
pub fn too_small(side: usize, size: usize) -> bool {
    side * 4 < size * 3
}
