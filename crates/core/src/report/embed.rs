//! Pictures inside the page, as `data:` addresses, and how many of them the page can hold.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::generate::preview::preview;

/// Grids on a page, at most: a step of the slider shows a change.
const GRIDS: usize = 24;
/// Bytes of all grids on a page: with everything else a page stays below 3 MB, which a mail can carry.
const FILM: usize = 1_500_000;
/// A file of more bytes is named and not shown.
const LARGEST: usize = 1_000_000;

/// First, last and evenly between: as many of the grids as fit onto a page, as caption, file and address.
pub fn film(grids: &[(String, PathBuf)]) -> Vec<(&str, &Path, Result<String>)> {
    // All are about as large; one may be damaged.
    let size = grids.iter().rev().find_map(|(_, path)| Some(preview(read(path).ok()?, &name(path)).ok()?.len()));
    let size = size.unwrap_or(LARGEST);
    let count = (FILM / size.max(1)).clamp(2, GRIDS).min(grids.len());
    let chosen = (0..count).map(|i| &grids[i * (grids.len() - 1) / (count - 1).max(1)]);
    chosen.map(|(caption, path)| (caption.as_str(), path.as_path(), file_uri(path))).collect()
}

/// The picture at `path` as a `data:` URI.
pub fn file_uri(path: &Path) -> Result<String> {
    uri(read(path)?, &name(path))
}

/// As [`file_uri`], or nothing where the file is too large for a page.
pub fn moderate_uri(path: &Path) -> Result<Option<String>> {
    let bytes = read(path)?;
    if bytes.len() > LARGEST { Ok(None) } else { uri(bytes, &name(path)).map(Some) }
}

/// The picture file `bytes`, called `name`, as a `data:` URI. Large PNG is embedded as JPEG, with its label.
pub fn uri(bytes: Vec<u8>, name: &str) -> Result<String> {
    let bytes = preview(bytes, name)?;
    let kind = match bytes[..] {
        [0x89, b'P', b'N', b'G', ..] => "png",
        [b'G', b'I', b'F', b'8', ..] => "gif",
        [0xff, 0xd8, 0xff, ..] => "jpeg",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "webp",
        _ => return Err(Error::corrupt(format!("{name} is not a picture that a page can show"))),
    };
    Ok(format!("data:image/{kind};base64,{}", base64(&bytes)))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| Error::io("read", path, &source))
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

/// Base64 with padding (RFC 4648).
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, i| bits << 8 | usize::from(*group.get(i).unwrap_or(&0)));
        for i in 0..4 {
            let digit = char::from(ALPHABET[bits >> (18 - 6 * i) & 63]);
            text.push(if i <= group.len() { digit } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::picture::encode_png;
    use crate::picture::Picture;
    use crate::provenance::label::sample;

    #[test]
    fn base64_of_the_rfc() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (text, encoded) in vectors {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    /// 400 grids that share one file of noise, the worst case for any encoder.
    #[test]
    fn a_film_is_bounded_and_spread_evenly() {
        let directory = tempfile::tempdir().unwrap();
        let film_of = |side: usize, count: usize| {
            let pixels = (0..side * side * 3)
                .map(|i: usize| (i.wrapping_mul(i).wrapping_mul(0x9E37_79B9) >> 20) as u8)
                .collect();
            let path = directory.path().join(format!("{side}.png"));
            let picture = Picture { width: side, height: side, channels: 3, pixels };
            std::fs::write(&path, encode_png(&picture, &sample()).unwrap()).unwrap();
            let grids: Vec<_> = (0..count).map(|i| (i.to_string(), path.clone())).collect();
            let film = film(&grids);
            let captions: Vec<usize> = film.iter().map(|(caption, ..)| caption.parse().unwrap()).collect();
            (captions, film.iter().map(|(.., uri)| uri.as_ref().unwrap().len()).sum::<usize>())
        };
        let (captions, _) = film_of(20, 400);
        assert_eq!((captions.len(), captions[0], captions[GRIDS - 1]), (GRIDS, 0, 399));
        assert!(captions.windows(2).all(|pair| (17..=18).contains(&(pair[1] - pair[0]))), "{captions:?}");
        let (captions, bytes) = film_of(400, 400);
        assert!(captions.len() < GRIDS && captions.len() > 2, "{captions:?}");
        assert!((captions[0], captions[captions.len() - 1]) == (0, 399) && bytes < FILM * 3 / 2, "{bytes}");
        assert_eq!(film_of(20, 1).0, [0]);
        assert_eq!(film_of(20, 2).0, [0, 1]);
        assert_eq!(film_of(20, 0).0, [0; 0]);
    }
}
