//! Features of real pictures, kept by content: judging the next model on the same data starts at once.
//!
//! `<key>.features` lies beside the data cache: magic (8), version and dimensions (u32 each), count (u64), BLAKE3 of the
//! numbers (32), then the numbers, f32, all little-endian. The key is the BLAKE3 of the data set's fingerprint, the
//! extractor's name and what it makes of a test picture, and the numbers of the pictures.

use crate::data::{Dataset, preprocess};
use crate::features::{Extractor, Features};
use crate::{device, files, rng};
use burn::tensor::{Tensor, TensorData};
use rand::Rng;
use std::path::Path;

/// Pictures that go through an extractor at once.
pub(super) const BATCH: usize = 32;
const MAGIC: &[u8; 8] = b"MALIANGF";
/// Raise it when the layout or the way pictures reach an extractor changes.
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 56;

/// Pictures of one size as a tensor `[count, height, width, channels]` in [-1, 1].
pub(super) fn tensor(pictures: &[&[u8]], shape: [usize; 3]) -> Tensor<4> {
    let values: Vec<f32> = pictures.iter().flat_map(|picture| preprocess::to_unit(picture)).collect();
    let data = TensorData::new(values, [pictures.len(), shape[0], shape[1], shape[2]]);
    Tensor::from_data(data, &device::cpu())
}

/// The features of the pictures `numbers` of `data` (see [`Dataset::any`]), from `cache` or extracted and kept there;
/// `on_progress` is told how many are done.
pub(super) fn of_real(
    extractor: &dyn Extractor,
    data: &Dataset,
    numbers: &[usize],
    cache: &Path,
    on_progress: &dyn Fn(usize),
) -> Features {
    let path = cache.join(format!("{}.features", key(extractor, data, numbers)));
    if let Some(found) = std::fs::read(&path).ok().and_then(|bytes| decode(&bytes))
        && (found.count(), found.dimensions()) == (numbers.len(), extractor.len())
    {
        on_progress(numbers.len());
        return found;
    }
    let shape = [data.height(), data.width(), data.channels()];
    let mut features = Features::new(extractor.len());
    for part in numbers.chunks(BATCH) {
        let pictures: Vec<&[u8]> = part.iter().map(|&i| data.any(i)).collect();
        extractor.extract(tensor(&pictures, shape)).iter().for_each(|row| features.push(row));
        on_progress(features.count());
    }
    // A cache that cannot be written costs time at the next judgement, nothing else.
    let _ = files::write_bytes(&path, &encode(&features));
    features
}

/// Names these pictures through this extractor. Its answer to a test picture stands for its weights.
fn key(extractor: &dyn Extractor, data: &Dataset, numbers: &[usize]) -> String {
    let mut stream = rng::stream(0, "features-test-picture", 0);
    let test: Vec<u8> = (0..32 * 32 * data.channels()).map(|_| stream.next_u32() as u8).collect();
    let answer = extractor.extract(tensor(&[&test], [32, 32, data.channels()]));
    let mut hasher = blake3::Hasher::new();
    hasher.update(&VERSION.to_le_bytes());
    for text in [data.fingerprint(), &extractor.name()] {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    answer.concat().iter().for_each(|v| {
        hasher.update(&v.to_le_bytes());
    });
    numbers.iter().for_each(|&i| {
        hasher.update(&(i as u64).to_le_bytes());
    });
    hasher.finalize().to_hex()[..32].to_string()
}

fn encode(features: &Features) -> Vec<u8> {
    let body: Vec<u8> = features.values().iter().flat_map(|v| v.to_le_bytes()).collect();
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((features.dimensions() as u32).to_le_bytes());
    bytes.extend((features.count() as u64).to_le_bytes());
    bytes.extend(blake3::hash(&body).as_bytes());
    bytes.extend(body);
    bytes
}

/// Nothing where the file is not whole.
fn decode(bytes: &[u8]) -> Option<Features> {
    let (header, body) = bytes.split_at_checked(HEADER_BYTES)?;
    let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("4 bytes"));
    let dimensions = number(12) as usize;
    let count = u64::from_le_bytes(header[16..24].try_into().expect("8 bytes"));
    let expected = (dimensions as u64).checked_mul(count)?.checked_mul(4)?;
    let whole = &header[..8] == MAGIC && number(8) == VERSION && dimensions > 0 && expected == body.len() as u64;
    if !whole || blake3::hash(body).as_bytes() != &header[24..56] {
        return None;
    }
    let values = body.chunks_exact(4).map(|v| f32::from_le_bytes(v.try_into().expect("4 bytes"))).collect();
    Some(Features::from_values(dimensions, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_comes_back_and_what_is_damaged_does_not() {
        let features = Features::from_values(3, vec![1.5, -0.0, f32::MIN_POSITIVE, 4.0, 5.0, 6.0]);
        let bytes = encode(&features);
        assert_eq!(decode(&bytes), Some(features));
        for place in [0, 9, 13, 20, 30, HEADER_BYTES, bytes.len() - 1] {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            assert_eq!(decode(&damaged), None, "byte {place}");
        }
        assert_eq!(decode(&bytes[..bytes.len() - 4]), None);
        assert_eq!(decode(&[]), None);
    }
}
