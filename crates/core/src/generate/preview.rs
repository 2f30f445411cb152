//! Picture files made small for a page: JPEG in the place of large PNG, with the label of the original.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageEncoder, ImageFormat, ImageReader, Limits};

use crate::error::{Error, ErrorKind, Result};
use crate::provenance::container::{self, JPEG_NAMESPACE};

/// Quality as libjpeg counts it: a grid of photographs takes a sixth of its PNG, and the eye has to look for the difference.
const QUALITY: u8 = 70;
/// Files up to this many bytes stay as they are: pictures of 64×64 pixels keep every pixel.
const SMALL: usize = 24_000;
/// The longest side that is decoded.
const MAX_SIDE: u32 = 16_384;

/// The picture file `bytes`, called `name`; as JPEG where it is a PNG that this makes smaller. Its XMP packet, and with it its
/// label, goes along and is read back.
///
/// # Errors
/// A PNG that is damaged.
pub(crate) fn preview(bytes: Vec<u8>, name: &str) -> Result<Vec<u8>> {
    if bytes.len() <= SMALL || !bytes.starts_with(b"\x89PNG") {
        return Ok(bytes);
    }
    let damaged = |reason: &dyn std::fmt::Display| Error::corrupt(format!("cannot read the picture {name}: {reason}"));
    let packet = container::xmp(&mut Cursor::new(&bytes)).map_err(|e| damaged(&e))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    let mut reader = ImageReader::with_format(Cursor::new(&bytes), ImageFormat::Png);
    reader.limits(limits);
    let jpeg = encode(reader.decode().map_err(|e| damaged(&e))?)?;
    let jpeg = match &packet {
        None => Some(jpeg),
        Some(packet) => with_packet(jpeg, packet),
    };
    let Some(jpeg) = jpeg.filter(|jpeg| jpeg.len() < bytes.len()) else { return Ok(bytes) };
    if container::xmp(&mut Cursor::new(&jpeg)).ok() != Some(packet) {
        return Err(Error::new(ErrorKind::Internal, format!("the label of {name} could not be read back")));
    }
    Ok(jpeg)
}

/// As JPEG, grey where the picture is.
fn encode(picture: DynamicImage) -> Result<Vec<u8>> {
    let picture = match picture {
        grey @ DynamicImage::ImageLuma8(_) => grey,
        other => DynamicImage::ImageRgb8(other.into_rgb8()),
    };
    let mut jpeg = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
    let written = encoder.write_image(picture.as_bytes(), picture.width(), picture.height(), picture.color().into());
    written.map_err(|e| Error::new(ErrorKind::Internal, format!("cannot encode a JPEG: {e}")))?;
    Ok(jpeg)
}

/// `jpeg` with an XMP packet behind the JFIF segment, which has to stay the first. None for a packet that is too long for a
/// segment.
fn with_packet(mut jpeg: Vec<u8>, packet: &str) -> Option<Vec<u8>> {
    let length = u16::try_from(2 + JPEG_NAMESPACE.len() + packet.len()).ok()?;
    let [0xff, 0xd8, 0xff, 0xe0, high, low, ..] = jpeg[..] else { return None };
    let at = 4 + usize::from(u16::from_be_bytes([high, low]));
    let segment = [&[0xff, 0xe1], &length.to_be_bytes()[..], JPEG_NAMESPACE, packet.as_bytes()].concat();
    jpeg.splice(at..at, segment);
    Some(jpeg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::picture::{encode_png, encode_real_png, label_of};
    use crate::picture::Picture;
    use crate::provenance::label::sample;
    use std::path::Path;

    /// Colours that run into each other, with grain, so that PNG is large.
    fn picture(channels: usize) -> Picture {
        let (width, height) = (300, 250);
        let grain = |i: usize| (i.wrapping_mul(i).wrapping_mul(0x9E37_79B9) >> 20) % 16;
        let level = |i: usize| (i / channels % width / 2 + grain(i) + i % channels * 30) as u8;
        Picture { width, height, channels, pixels: (0..width * height * channels).map(level).collect() }
    }

    fn label(bytes: &[u8]) -> Option<crate::provenance::label::ReadLabel> {
        label_of(&mut Cursor::new(bytes), Path::new("x")).unwrap()
    }

    #[test]
    fn a_large_png_becomes_a_jpeg_with_the_same_label() {
        for channels in [1, 3] {
            let original = picture(channels);
            let png = encode_png(&original, &sample()).unwrap();
            let small = preview(png.clone(), "x.png").unwrap();
            assert!(small.starts_with(b"\xff\xd8\xff\xe0") && small.len() * 2 < png.len(), "{}", small.len());
            assert!(label(&small).unwrap().matches(&sample()));
            assert_eq!(preview(png, "x.png").unwrap(), small, "equal input gives equal bytes");

            let decoded = image::load_from_memory(&small).unwrap();
            assert_eq!((decoded.width(), decoded.height()), (300, 250));
            assert_eq!(usize::from(decoded.color().channel_count()), channels);
            let error = decoded.as_bytes().iter().zip(&original.pixels).map(|(&a, &b)| f64::from(a.abs_diff(b)));
            let mean = error.sum::<f64>() / original.pixels.len() as f64;
            assert!(mean < 16.0, "mean error {mean}");
        }
    }

    #[test]
    fn real_pictures_get_no_label_and_small_ones_stay() {
        let real = preview(encode_real_png(&picture(3)).unwrap(), "x.png").unwrap();
        assert!(real.starts_with(b"\xff\xd8") && label(&real).is_none());
        let flat = encode_png(&Picture::filled(500, 500, 3, 9), &sample()).unwrap();
        assert_eq!(preview(flat.clone(), "x.png").unwrap(), flat);
        assert_eq!(preview(b"GIF89a".to_vec(), "x.gif").unwrap(), b"GIF89a");
    }

    #[test]
    fn damage_is_an_error_that_names_the_file() {
        let png = encode_png(&picture(3), &sample()).unwrap();
        let cut = png[..png.len() / 2].to_vec();
        assert!(preview(cut, "x.png").unwrap_err().message.contains("x.png"));
        let jpeg = preview(png, "x.png").unwrap();
        for length in 0..jpeg.len() {
            assert!(label_of(&mut Cursor::new(&jpeg[..length]), Path::new("x")).is_err(), "cut at {length}");
        }
    }
}
