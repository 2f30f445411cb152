//! From the bytes of a file to 8-bit pixels, or a reason in a few words why not.
//!
//! The rules, each held by a golden test:
//! - The content decides about the format, not the file name (only TGA, which has no signature, goes by its name).
//! - Animated GIF, WebP and APNG: the first frame (APNG: its still image). TIFF: the first page.
//! - EXIF orientation is applied. Colour profiles are ignored; CMYK goes to RGB by the decoder's plain formula.
//! - Palettes are expanded. 16 bits become 8 by `(v + 128) / 257`; floats are clamped to 0..1 first.
//! - Transparency is composited by [`super::resize`], on a colour that the user states.
//! - A picture over 16384 pixels a side, over 100 megapixels, or over 512 MiB of pixels is refused from its header. A
//!   JPEG without its end marker is truncated and refused, although decoders would fill the rest with grey.

use std::io::Cursor;

use image::{
    ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, metadata::Orientation,
};

use crate::provenance::recipe::Recipe;
use crate::provenance::{container, xmp};

use super::gate;
use super::quiet;
use super::source::Raw;

const MAX_SIDE: u32 = 16_384;
const MAX_PIXELS: u64 = 100_000_000;
const MAX_DECODED_BYTES: u64 = 512 << 20;

/// What a picture file is, before anything is made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Info {
    /// Size as it is meant to be seen, in pixels.
    pub width: usize,
    /// Size as it is meant to be seen, in pixels.
    pub height: usize,
    /// The file format by content: `png`, `jpeg`, …, `idx`.
    pub format: &'static str,
    /// How the file stores pixels: `RGB`, `grey 16-bit`, `palette`, `CMYK`, …
    pub mode: String,
    /// Has more than one frame.
    pub animated: bool,
    /// An EXIF orientation had to be applied.
    pub rotated: bool,
}

/// Decodes a picture to L8, La8, Rgb8 or Rgba8. `name` is only used for its extension, and only for TGA.
pub(super) fn decode(raw: &Raw<'_>, name: &str) -> Result<(DynamicImage, Info), String> {
    match raw {
        Raw::Grey { pixels, width, height } => {
            let image = image::GrayImage::from_raw(*width as u32, *height as u32, pixels.to_vec());
            let image = image.ok_or("not enough pixels")?;
            let (width, height) = (*width, *height);
            let info = Info { width, height, format: "idx", mode: "grey".into(), animated: false, rotated: false };
            Ok((DynamicImage::ImageLuma8(image), info))
        }
        Raw::File(bytes) => quiet::catch(|| decode_file(bytes, name))
            .unwrap_or_else(|panic| Err(format!("damaged: its decoder failed ({})", short(&panic)))),
    }
}

/// Does a file that begins like this hold a picture, in a format that is decoded?
pub(super) fn is_picture(start: &[u8]) -> bool {
    image::guess_format(start).is_ok_and(|format| format_name(format) != "?")
}

/// Does the file carry the label of a picture that this program has made?
pub(super) fn is_own(raw: &Raw<'_>) -> bool {
    let Raw::File(bytes) = raw else { return false };
    let packet = container::xmp(&mut Cursor::new(bytes)).ok().flatten();
    packet.is_some_and(|packet| matches!(xmp::read::<Recipe>(&packet), Ok(Some(label)) if label.recipe.is_some()))
}

fn decode_file(bytes: &[u8], name: &str) -> Result<(DynamicImage, Info), String> {
    let format = format_of(bytes, name)?;
    let jpeg = (format == ImageFormat::Jpeg).then(|| jpeg_facts(bytes));
    if jpeg.is_some_and(|facts| !facts.complete) {
        return Err("truncated: the file ends too early".into());
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|e| image_reason(&e))?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err("it has no pixels".into());
    }
    if width > MAX_SIDE || height > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(too_large(width, height));
    }
    if decoder.total_bytes() > MAX_DECODED_BYTES {
        return Err(format!("too large: {width}×{height} at {} bytes a pixel", decoder.color_type().bytes_per_pixel()));
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mode = mode(bytes, format, decoder.color_type(), jpeg);

    // The decoded picture, and about as much again for turning and compositing it.
    let _room = gate::enter(decoder.total_bytes() * 3);
    let image = DynamicImage::from_decoder(decoder).map_err(|e| image_reason(&e))?;
    let mut image = to_8_bits(image);
    image.apply_orientation(orientation);
    let info = Info {
        width: image.width() as usize,
        height: image.height() as usize,
        format: format_name(format),
        mode,
        animated: is_animated(bytes, format),
        rotated: orientation != Orientation::NoTransforms,
    };
    Ok((image, info))
}

/// The format by content.
fn format_of(bytes: &[u8], name: &str) -> Result<ImageFormat, String> {
    if bytes.is_empty() {
        return Err("empty: the file has no bytes".into());
    }
    let by_content = image::guess_format(bytes).ok();
    if let Some(format) = by_content.filter(|&format| format_name(format) != "?") {
        return Ok(format);
    }
    if bytes.len() > 11 && &bytes[4..8] == b"ftyp" && [&b"heic"[..], b"heix", b"mif1", b"avif"].contains(&&bytes[8..12])
    {
        return Err("HEIC or AVIF content is not supported: convert it to PNG or JPEG".into());
    }
    if by_content.is_some() {
        return Err("a picture format that is not supported: convert it to PNG or JPEG".into());
    }
    if name.to_lowercase().ends_with(".tga") {
        return Ok(ImageFormat::Tga);
    }
    let start = &bytes[..bytes.len().min(512)];
    let printable = |&byte: &u8| byte >= 0x20 || matches!(byte, b'\n' | b'\r' | b'\t');
    let is_text = start.iter().all(printable);
    Err(if is_text { "not a picture: it holds text" } else { "not a picture: unknown content" }.into())
}

/// The formats that are decoded; others are `?`.
fn format_name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Png => "png",
        ImageFormat::Jpeg => "jpeg",
        ImageFormat::Gif => "gif",
        ImageFormat::WebP => "webp",
        ImageFormat::Bmp => "bmp",
        ImageFormat::Tiff => "tiff",
        ImageFormat::Pnm => "pnm",
        ImageFormat::Qoi => "qoi",
        ImageFormat::Tga => "tga",
        _ => "?",
    }
}

/// How the file stores its pixels. Decoders expand palettes and convert CMYK before they say so, hence the looks into the
/// bytes.
fn mode(bytes: &[u8], format: ImageFormat, color: ColorType, jpeg: Option<JpegFacts>) -> String {
    let has_alpha = color.has_alpha();
    // PNG: the colour type is byte 25, in IHDR, and 3 means palette.
    let palette = format == ImageFormat::Gif || format == ImageFormat::Png && bytes.get(25) == Some(&3);
    let name = match color {
        _ if palette => {
            if has_alpha {
                "palette + alpha"
            } else {
                "palette"
            }
        }
        _ if jpeg.is_some_and(|facts| facts.components == 4) => "CMYK",
        ColorType::L8 => "grey",
        ColorType::La8 => "grey + alpha",
        ColorType::Rgb8 => "RGB",
        ColorType::Rgba8 => "RGBA",
        ColorType::L16 => "grey 16-bit",
        ColorType::La16 => "grey + alpha 16-bit",
        ColorType::Rgb16 => "RGB 16-bit",
        ColorType::Rgba16 => "RGBA 16-bit",
        ColorType::Rgb32F => "RGB float",
        ColorType::Rgba32F => "RGBA float",
        _ => "other",
    };
    name.into()
}

/// Any colour type to its 8-bit twin.
fn to_8_bits(image: DynamicImage) -> DynamicImage {
    fn bytes(values: Vec<u16>) -> Vec<u8> {
        // 257 = 65535 / 255, so this rounds to the nearest.
        values.into_iter().map(|v| ((u32::from(v) + 128) / 257) as u8).collect()
    }
    let (width, height) = (image.width(), image.height());
    let whole = "as many pixels as before";
    match image {
        DynamicImage::ImageLuma16(p) => {
            image::GrayImage::from_raw(width, height, bytes(p.into_raw())).expect(whole).into()
        }
        DynamicImage::ImageLumaA16(p) => {
            image::GrayAlphaImage::from_raw(width, height, bytes(p.into_raw())).expect(whole).into()
        }
        DynamicImage::ImageRgb16(p) => {
            image::RgbImage::from_raw(width, height, bytes(p.into_raw())).expect(whole).into()
        }
        DynamicImage::ImageRgba16(p) => {
            image::RgbaImage::from_raw(width, height, bytes(p.into_raw())).expect(whole).into()
        }
        image @ DynamicImage::ImageRgb32F(_) => image.to_rgb8().into(),
        image @ DynamicImage::ImageRgba32F(_) => image.to_rgba8().into(),
        image => image,
    }
}

/// More than one frame?
fn is_animated(bytes: &[u8], format: ImageFormat) -> bool {
    match format {
        ImageFormat::Gif => {
            let mut options = gif::DecodeOptions::new();
            options.skip_frame_decoding(true);
            let Ok(mut decoder) = options.read_info(bytes) else { return false };
            (0..2).all(|_| matches!(decoder.next_frame_info(), Ok(Some(_))))
        }
        ImageFormat::WebP => {
            image::codecs::webp::WebPDecoder::new(Cursor::new(bytes)).is_ok_and(|decoder| decoder.has_animation())
        }
        // The animation control chunk has to come before the pixels.
        ImageFormat::Png => bytes[..bytes.len().min(4096)].windows(4).any(|chunk| chunk == b"acTL"),
        _ => false,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct JpegFacts {
    /// Colour components of the frame: 1 grey, 3 colour, 4 CMYK.
    components: u8,
    /// An end-of-image marker follows the pixels.
    complete: bool,
}

/// Walks the marker segments of a JPEG (ITU T.81, annex B) to the first scan. From there on `FF D9` can only be the end:
/// inside compressed data an `FF` byte is always followed by `00` or a restart marker.
fn jpeg_facts(bytes: &[u8]) -> JpegFacts {
    let mut facts = JpegFacts { components: 0, complete: false };
    let mut at = 2;
    while let Some(&[0xff, marker]) = bytes.get(at..at + 2) {
        if matches!(marker, 0xff | 0x01 | 0xd0..=0xd8) {
            at += if marker == 0xff { 1 } else { 2 }; // fill bytes, and markers without a length
            continue;
        }
        let Some(&[high, low]) = bytes.get(at + 2..at + 4) else { break };
        let length = usize::from(u16::from_be_bytes([high, low]));
        // SOF0..SOF15 without DHT (C4), JPG (C8) and DAC (CC): length, precision, height, width, components.
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            facts.components = bytes.get(at + 9).copied().unwrap_or(0);
        }
        at += 2 + length;
        if marker == 0xda {
            let rest = bytes.get(at..).unwrap_or_default();
            facts.complete = rest.windows(2).any(|pair| pair == [0xff, 0xd9]);
            break;
        }
    }
    facts
}

fn too_large(width: u32, height: u32) -> String {
    format!("too large: {width}×{height} pixels (up to {} megapixels and {MAX_SIDE} a side)", MAX_PIXELS / 1_000_000)
}

/// A decoder's error as a short reason.
fn image_reason(error: &ImageError) -> String {
    let text = error.to_string();
    match error {
        ImageError::Limits(_) => {
            format!("too large: more than {MAX_SIDE} pixels a side or {} MiB of pixels", MAX_DECODED_BYTES >> 20)
        }
        ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            "truncated: the file ends too early".into()
        }
        _ if ["eof", "end of file", "unexpected end", "truncated", "missing data", "not have enough data"]
            .iter()
            .any(|s| text.to_lowercase().contains(s)) =>
        {
            "truncated: the file ends too early".into()
        }
        ImageError::Unsupported(_) => format!("not supported: {}", short(&text)),
        // "Format error decoding Png: what is wrong" → "what is wrong"
        _ => format!("damaged: {}", short(text.split_once(": ").map_or(&*text, |(_, what)| what))),
    }
}

/// The first line of a message, at most 100 characters.
fn short(text: &str) -> String {
    super::display_name(text.lines().next().unwrap_or_default()).chars().take(100).collect()
}
