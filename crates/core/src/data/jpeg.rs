//! JPEG (ITU T.81): what its headers say, the files that the usual decoder gets wrong, and those that lack nothing but their end.
//!
//! The decoder of the `image` crate is right for what cameras and programs write. It is wrong, without an error, where a channel of
//! colour is sampled more finely than brightness, and where channels that are sampled at different heights come in scans of their
//! own. Such files are told by their headers and go to another decoder; both were compared with libjpeg's over all combinations of
//! samplings and scans (`tests/jpegs.rs`).

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use jpeg_decoder::{ColorTransform, Decoder, PixelFormat};

/// What the headers of a JPEG say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Colour components of the frame: 1 grey, 3 colour, 4 CMYK.
    pub components: u8,
    /// An end-of-image marker follows the pixels.
    pub complete: bool,
    /// The usual decoder may get its pixels wrong.
    pub unusual: bool,
    /// The transform that Adobe's marker names: 0 none, 1 YCbCr, 2 YCCK.
    adobe: Option<u8>,
    /// Every coefficient of every component has come in full precision.
    all_scans: bool,
}

/// Walks the marker segments of a JPEG (ITU T.81, annex B). Inside compressed data an `FF` byte is always followed by `00` or a
/// restart marker, so `FF D9` behind the first scan can only be the end.
pub(super) fn facts(bytes: &[u8]) -> Facts {
    let mut facts = Facts::default();
    let mut components: Vec<Component> = Vec::new();
    let (mut progressive, mut scans, mut at) = (false, 0, 2);
    while let Some(&[0xff, marker]) = bytes.get(at..at + 2) {
        if matches!(marker, 0xff | 0x01 | 0xd0..=0xd8) {
            at += if marker == 0xff { 1 } else { 2 }; // fill bytes, and markers without a length
            continue;
        }
        let Some(&[high, low]) = bytes.get(at + 2..at + 4) else { break };
        let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
        let body = bytes.get(at + 4..end).unwrap_or_default();
        at = end;
        match marker {
            // SOF0..SOF15 without DHT (C4), JPG (C8) and DAC (CC): precision, height, width, components.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                progressive = matches!(marker, 0xc2 | 0xc6 | 0xca | 0xce);
                let (count, rest) = body.get(5..).and_then(<[u8]>::split_first).unwrap_or((&0, &[]));
                facts.components = *count;
                components = rest.chunks_exact(3).take(usize::from(*count)).map(Component::new).collect();
            }
            0xee if body.starts_with(b"Adobe") => facts.adobe = body.get(11).copied(),
            0xda => {
                if scans == 0 {
                    let rest = bytes.get(at..).unwrap_or_default();
                    facts.complete = rest.windows(2).any(|pair| pair == [0xff, 0xd9]);
                    let apart = body.first().is_some_and(|&inside| inside < facts.components);
                    facts.unusual = is_unusual(&components, apart && !progressive);
                }
                scans += 1;
                note_scan(&mut components, body, progressive);
                let rest = bytes.get(at..).unwrap_or_default();
                let next =
                    rest.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff));
                let Some(next) = next else { break };
                at += next;
            }
            0xd9 => break,
            _ => {}
        }
    }
    facts.all_scans = !components.is_empty() && components.iter().all(|component| component.known == u64::MAX);
    facts
}

/// One colour channel.
struct Component {
    id: u8,
    /// Samples in a block of the frame, across and down.
    factors: (u8, u8),
    /// A bit for each of the 64 coefficients that has come in full precision.
    known: u64,
}

impl Component {
    fn new(spec: &[u8]) -> Self {
        Self { id: spec[0], factors: (spec[1] >> 4, spec[1] & 15), known: 0 }
    }
}

/// Is this none of the layouts in which the usual decoder was found right? `apart`: the channels come in scans of their own.
fn is_unusual(components: &[Component], apart: bool) -> bool {
    let Some((first, rest)) = components.split_first() else { return false };
    let usual = |i: usize, other: &Component| {
        // Black may be sampled as finely as brightness.
        other.factors == (1, 1) || i == 2 && other.factors == first.factors
    };
    let plain = rest.iter().enumerate().all(|(i, other)| usual(i, other));
    let tall = components.iter().any(|component| component.factors.1 > 1);
    !rest.is_empty() && (!plain || apart && tall)
}

/// Takes note of the coefficients that a scan brings.
fn note_scan(components: &mut [Component], body: &[u8], progressive: bool) {
    let Some((&count, rest)) = body.split_first() else { return };
    let count = usize::from(count);
    let Some(&[first, last, precision]) = rest.get(2 * count..2 * count + 3) else { return };
    // A scan that is not the last of its coefficients leaves lower bits for a later one.
    if progressive && precision & 15 != 0 || first > last || last > 63 {
        return;
    }
    let brought = if progressive { (u64::MAX >> (63 - (last - first))) << first } else { u64::MAX };
    for selector in rest[..2 * count].chunks_exact(2) {
        components.iter_mut().filter(|component| component.id == selector[0]).for_each(|c| c.known |= brought);
    }
}

/// The file with the end marker that it lacks, if it lacks nothing else: then the pixels do not depend on what would come next.
pub(super) fn with_end(bytes: &[u8], facts: Facts, decode: impl Fn(&[u8]) -> Option<DynamicImage>) -> Option<Vec<u8>> {
    if !facts.all_scans {
        return None;
    }
    let bytes = bytes.strip_suffix(b"\xff").unwrap_or(bytes);
    let followed_by = |filler: u8| [bytes, &[filler; 64], b"\xff\xd9"].concat();
    let [zeros, ones] = [0x00, 0x7e].map(|filler| decode(&followed_by(filler)));
    (zeros? == ones?).then(|| [bytes, b"\xff\xd9"].concat())
}

/// Decodes an unusual file. At most `limit` bytes of pixels are made.
pub(super) fn decode(bytes: &[u8], facts: Facts, limit: usize) -> Result<(DynamicImage, Orientation), String> {
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_max_decoding_buffer_size(limit);
    match (facts.components, facts.adobe) {
        (3, Some(0)) => decoder.set_color_transform(ColorTransform::RGB),
        (3, Some(_)) => decoder.set_color_transform(ColorTransform::YCbCr),
        (4, Some(2)) => decoder.set_color_transform(ColorTransform::YCCK),
        (4, _) => decoder.set_color_transform(ColorTransform::CMYK),
        _ => {}
    }
    let pixels = decoder.decode().map_err(|error| format!("damaged: {}", super::decode::short(&error.to_string())))?;
    let info = decoder.info().ok_or("damaged: it has no frame")?;
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    let image = match info.pixel_format {
        PixelFormat::L8 => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        PixelFormat::RGB24 => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
        PixelFormat::CMYK32 => RgbImage::from_raw(width, height, from_inks(&pixels, facts)).map(DynamicImage::from),
        PixelFormat::L16 => return Err("not supported: 16-bit JPEG; save it as PNG".into()),
    };
    let orientation = decoder.exif_data().and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
    Ok((image.ok_or("damaged: not enough pixels")?, orientation))
}

/// RGB of cyan, magenta, yellow and black, by the plain formula. Only Adobe stores inks inverted, which the decoder takes for granted.
fn from_inks(pixels: &[u8], facts: Facts) -> Vec<u8> {
    let light = |ink: u8| u32::from(if facts.adobe.is_some() { 255 - ink } else { ink });
    let pixel = |&[c, m, y, k]: &[u8; 4]| [c, m, y].map(|ink| ((light(ink) * light(k) + 127) / 255) as u8);
    pixels.as_chunks::<4>().0.iter().flat_map(pixel).collect()
}
