//! JPEGs against libjpeg's pixels (`tests/golden/jpegs.py`), and JPEGs that lack their end.

use std::io::Read;

use super::*;
use crate::data::source::Raw;

const ALL: &[u8] = include_bytes!("../../../tests/golden/jpegs.gz");
const PIXELS: usize = 24 * 20 * 3;

/// Name, file and pixels of each.
fn all() -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(ALL).read_to_end(&mut bytes).unwrap();
    let (mut rest, mut found) = (&bytes[..], Vec::new());
    while let Some((&length, after)) = rest.split_first() {
        let (name, after) = after.split_at(length.into());
        let (size, after) = after.split_first_chunk().unwrap();
        let (file, after) = after.split_at(u32::from_le_bytes(*size) as usize);
        let (pixels, after) = after.split_at(PIXELS);
        found.push((String::from_utf8(name.to_vec()).unwrap(), file.to_vec(), pixels.to_vec()));
        rest = after;
    }
    found
}

fn decoded(bytes: &[u8]) -> Result<Vec<u8>, String> {
    decode::decode(&Raw::File(bytes.into()), "a.jpg").map(|(image, _)| image.to_rgb8().into_raw())
}

#[test]
fn every_sampling_in_every_scan_gives_libjpegs_pixels() {
    let all = all();
    assert!(all.len() > 45, "{}", all.len());
    for (name, file, wanted) in all {
        let found = decoded(&file).unwrap_or_else(|reason| panic!("{name}: {reason}"));
        let furthest = found.iter().zip(&wanted).map(|(a, b)| a.abs_diff(*b)).max();
        // Decoders may round differently.
        assert!(found.len() == wanted.len() && furthest <= Some(4), "{name}: {furthest:?}");
    }
}

#[test]
fn what_lacks_only_its_end_is_used_and_what_lacks_pixels_is_not() {
    for (name, file, wanted) in all() {
        let whole = file.strip_suffix(b"\xff\xd9").expect("libjpeg writes the end");
        for end in [whole.to_vec(), [whole, b"\xff"].concat()] {
            assert_eq!(decoded(&end), decoded(&file), "{name}");
        }
        assert_eq!(wanted.len(), PIXELS);
        for cut in [6, 20, whole.len() / 2] {
            let reason = decoded(&whole[..whole.len() - cut]).expect_err(&name);
            assert!(reason.contains("truncated"), "{name} without {cut} bytes: {reason}");
        }
    }
}
