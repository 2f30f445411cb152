//! From the bytes of a file to 8-bit pixels, or a reason in a few words why not.
//!
//! The rules, each held by a golden test:
//! - The content decides about the format, not the file name (only TGA, which has no signature, goes by its name).
//! - Animated GIF, WebP and APNG: the first frame (APNG: its still image). TIFF: the first page.
//! - EXIF orientation is applied. Colour profiles are ignored; CMYK goes to RGB by the decoder's plain formula.
//! - Palettes are expanded. 16 bits become 8 by `(v + 128) / 257`, 10 and 12 bits that are stored in 16 likewise; floats are
//!   clamped to 0..1 first.
//! - Transparency is composited by [`super::resize`], on a colour that the user states.
//! - A picture over 16384 pixels a side, over 100 megapixels, or over 512 MiB of pixels is refused from its header. A
//!   JPEG whose pixels are not all there is refused, although decoders would fill the rest with grey.

use std::io::Cursor;

use image::{
    ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, metadata::Orientation,
};

use crate::provenance::recipe::Recipe;
use crate::provenance::{container, xmp};

use super::gate;
use super::jpeg;
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
    match image::guess_format(start) {
        // Two letters are also the beginning of many a text.
        Ok(ImageFormat::Bmp) => start.get(6..10) == Some(&[0; 4]),
        Ok(ImageFormat::Pnm) => start.get(2).is_some_and(u8::is_ascii_whitespace),
        format => format.is_ok_and(|format| format_name(format) != "?"),
    }
}

/// Does the file carry the label of a picture that this program has made?
pub(super) fn is_own(raw: &Raw<'_>) -> bool {
    let Raw::File(bytes) = raw else { return false };
    let packet = container::xmp(&mut Cursor::new(bytes)).ok().flatten();
    packet.is_some_and(|packet| matches!(xmp::read::<Recipe>(&packet), Ok(Some(label)) if label.recipe.is_some()))
}

fn decode_file(bytes: &[u8], name: &str) -> Result<(DynamicImage, Info), String> {
    let format = format_of(bytes, name)?;
    let jpeg = (format == ImageFormat::Jpeg).then(|| jpeg::facts(bytes));
    if let Some(facts) = jpeg.filter(|facts| !facts.complete) {
        let pixels = |bytes: &[u8]| decode_as(bytes, format, Some(facts)).ok().map(|(image, _)| image);
        let whole = jpeg::with_end(bytes, facts, pixels).ok_or("truncated: the file ends too early")?;
        return decode_as(&whole, format, Some(facts));
    }
    decode_as(bytes, format, jpeg)
}

/// Decodes a file of this format.
fn decode_as(bytes: &[u8], format: ImageFormat, jpeg: Option<jpeg::Facts>) -> Result<(DynamicImage, Info), String> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let reason = |error: &ImageError| image_reason(error, format);
    let mut decoder = reader.into_decoder().map_err(|e| reason(&e))?;
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
    let color = decoder.color_type();
    // The decoded picture, and about as much again for turning and compositing it.
    let _room = gate::enter(decoder.total_bytes() * 3);
    let (image, orientation) = match jpeg.filter(|facts| facts.unusual) {
        Some(facts) => jpeg::decode(bytes, facts, MAX_DECODED_BYTES as usize)?,
        None => {
            let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
            (DynamicImage::from_decoder(decoder).map_err(|e| reason(&e))?, orientation)
        }
    };
    let (mut image, bits) = to_8_bits(image);
    let mode = mode(bytes, format, color, jpeg) + &bits.map_or(String::new(), |bits| format!(", {bits} of them used"));
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
    if let Some(format) = foreign(bytes) {
        return Err(format!("{format} is not supported; {}", way_round(format)));
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

/// The formats of phones (ISO 23008-12), by the brand that the file begins with.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    let brand = bytes.get(4..12)?.strip_prefix(b"ftyp")?;
    match brand {
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1" => Some("HEIC"),
        b"avif" | b"avis" => Some("AVIF"),
        _ => None,
    }
}

/// How a folder of pictures in a format that is not decoded becomes one that can be used.
pub(super) fn way_round(format: &str) -> String {
    match format {
        "HEIC" => "convert the folder: for f in *.heic; do heif-convert \"$f\" \"${f%.*}.jpg\"; done (Debian's libheif-examples)".into(),
        "AVIF" => "convert the folder: for f in *.avif; do avifdec \"$f\" \"${f%.*}.png\"; done (Debian's libavif-bin)".into(),
        _ => "convert it to PNG or JPEG".into(),
    }
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
fn mode(bytes: &[u8], format: ImageFormat, color: ColorType, jpeg: Option<jpeg::Facts>) -> String {
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

/// Any colour type to its 8-bit twin. Sensors have 10 or 12 bits, which many programs store in 16 as they are: where no value needs
/// more, these bits are the range, and their number is returned.
fn to_8_bits(image: DynamicImage) -> (DynamicImage, Option<u32>) {
    let used = |values: &[u16]| match values.iter().max() {
        // Less than 8 bits: a picture that is really black.
        Some(256..=1023) => Some(10),
        Some(1024..=4095) => Some(12),
        _ => None,
    };
    let bytes = |values: Vec<u16>| -> (Vec<u8>, Option<u32>) {
        let bits = used(&values);
        let most = (1u32 << bits.unwrap_or(16)) - 1;
        (values.into_iter().map(|v| ((u32::from(v) * 255 + most / 2) / most) as u8).collect(), bits)
    };
    let (width, height) = (image.width(), image.height());
    let whole = "as many pixels as before";
    match image {
        DynamicImage::ImageLuma16(p) => {
            let (bytes, bits) = bytes(p.into_raw());
            (image::GrayImage::from_raw(width, height, bytes).expect(whole).into(), bits)
        }
        DynamicImage::ImageRgb16(p) => {
            let (bytes, bits) = bytes(p.into_raw());
            (image::RgbImage::from_raw(width, height, bytes).expect(whole).into(), bits)
        }
        // Transparency is stored in all bits.
        DynamicImage::ImageLumaA16(_) => (image.to_luma_alpha8().into(), None),
        DynamicImage::ImageRgba16(_) => (image.to_rgba8().into(), None),
        DynamicImage::ImageRgb32F(_) => (image.to_rgb8().into(), None),
        DynamicImage::ImageRgba32F(_) => (image.to_rgba8().into(), None),
        image => (image, None),
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

fn too_large(width: u32, height: u32) -> String {
    format!("too large: {width}×{height} pixels (up to {} megapixels and {MAX_SIDE} a side)", MAX_PIXELS / 1_000_000)
}

/// A decoder's error as a short reason.
fn image_reason(error: &ImageError, format: ImageFormat) -> String {
    let text = error.to_string();
    match error {
        ImageError::Limits(_) => {
            format!("too large: more than {MAX_SIDE} pixels a side or {} MiB of pixels", MAX_DECODED_BYTES >> 20)
        }
        ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            "truncated: the file ends too early".into()
        }
        _ if text.contains("assertion") => "damaged: its decoder failed".into(),
        _ if ["eof", "end of file", "unexpected end", "truncated", "missing data", "not have enough data"]
            .iter()
            .any(|s| text.to_lowercase().contains(s)) =>
        {
            "truncated: the file ends too early".into()
        }
        // What the decoder says is for programmers.
        ImageError::Unsupported(_) => {
            let name = format_name(format);
            format!("this kind of {name} is not supported; save it as PNG, for example: mogrify -format png *.{name}")
        }
        // "Format error decoding Png: what is wrong" → "what is wrong"
        _ => format!("damaged: {}", short(text.split_once(": ").map_or(&*text, |(_, what)| what))),
    }
}

/// The first line of a message, at most 100 characters.
pub(super) fn short(text: &str) -> String {
    super::display_name(text.lines().next().unwrap_or_default()).chars().take(100).collect()
}
