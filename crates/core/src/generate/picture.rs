//! A picture in memory, and the labelled PNG and GIF files it becomes.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Seek};
use std::path::Path;

use super::palette::Palette;
use crate::error::{Error, ErrorKind, Result};
use crate::files::write_bytes;
use crate::picture::Picture;
use crate::provenance::container;
use crate::provenance::label::{Provenance, ReadLabel};
use crate::provenance::xmp;

/// Keyword of the iTXt chunk that carries XMP.
const XMP_KEYWORD: &str = "XML:com.adobe.xmp";

/// Writes `picture` to `path` as PNG with its label, atomically. Equal input gives equal bytes.
///
/// # Errors
/// The label could not be read back from the encoded bytes, or the disk refused: then there is no new file.
pub fn write_png(path: &Path, picture: &Picture, provenance: &Provenance) -> Result<()> {
    write_bytes(path, &encode_png(picture, provenance)?)
}

/// Writes `frames` to `path` as a GIF that loops for ever, each shown for `delay` hundredths of a second, with its
/// label, atomically. Equal input gives equal bytes.
///
/// # Errors
/// As [`write_png`]; and frames of different sizes, none at all, or larger than 65,535 pixels a side.
pub fn write_gif(path: &Path, frames: &[Picture], delay: u16, provenance: &Provenance) -> Result<()> {
    write_bytes(path, &encode_gif(frames, delay, provenance)?)
}

/// Writes a sheet of real pictures to `path` as PNG, atomically and without a label: nothing in it was generated.
///
/// # Errors
/// The disk refused.
pub(crate) fn write_real_png(path: &Path, picture: &Picture) -> Result<()> {
    write_bytes(path, &encode_real_png(picture)?)
}

/// A real picture as PNG, without a label: nothing in it was generated.
///
/// # Errors
/// It has no pixels.
pub fn encode_real_png(picture: &Picture) -> Result<Vec<u8>> {
    png_bytes(picture, None)
}

/// What somebody else has made, as PNG with the XMP packet of its file: whatever labels it had, it keeps.
///
/// # Errors
/// As [`encode_real_png`].
pub fn encode_given_png(picture: &Picture, packet: Option<String>) -> Result<Vec<u8>> {
    png_bytes(picture, packet)
}

/// The bytes of [`write_png`].
pub fn encode_png(picture: &Picture, provenance: &Provenance) -> Result<Vec<u8>> {
    let bytes = png_bytes(picture, Some(xmp::merge(None, provenance)?))?;
    check_label(&bytes, provenance)?;
    Ok(bytes)
}

/// A PNG, with an XMP packet if there is one.
fn png_bytes(picture: &Picture, packet: Option<String>) -> Result<Vec<u8>> {
    picture.check()?;
    let mut bytes = vec![];
    let encode = || -> Result<(), png::EncodingError> {
        let (width, height) = (u32::try_from(picture.width), u32::try_from(picture.height));
        let mut encoder = png::Encoder::new(&mut bytes, width.unwrap_or(u32::MAX), height.unwrap_or(u32::MAX));
        encoder.set_color(if picture.channels == 1 { png::ColorType::Grayscale } else { png::ColorType::Rgb });
        encoder.set_depth(png::BitDepth::Eight);
        if let Some(packet) = packet {
            encoder.add_itxt_chunk(XMP_KEYWORD.into(), packet)?;
        }
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&picture.pixels)?;
        writer.finish()
    };
    encode().map_err(|error| Error::new(ErrorKind::Internal, format!("cannot encode a PNG: {error}")))?;
    Ok(bytes)
}

/// The bytes of [`write_gif`].
pub fn encode_gif(frames: &[Picture], delay: u16, provenance: &Provenance) -> Result<Vec<u8>> {
    let Some(first) = frames.first() else { return Err(Error::input("an animation needs at least one picture")) };
    for frame in frames {
        frame.check()?;
        if (frame.width, frame.height) != (first.width, first.height) {
            return Err(Error::input("the pictures of an animation must have one size"));
        }
    }
    let (Ok(width), Ok(height)) = (u16::try_from(first.width), u16::try_from(first.height)) else {
        return Err(Error::input(format!("{}x{} is too large for a GIF", first.width, first.height)));
    };
    let packet = xmp::merge(None, provenance)?;
    let mut palette = Palette::of(frames);
    let mut encode = || -> Result<Vec<u8>, gif::EncodingError> {
        let mut encoder = gif::Encoder::new(vec![], width, height, &palette.bytes())?;
        encoder.set_repeat(gif::Repeat::Infinite)?;
        // The crate writes extensions in blocks; XMP stands outside them, behind its own trailer.
        let out = encoder.get_mut();
        out.extend([0x21, 0xff, container::GIF_IDENTIFIER.len() as u8]);
        out.extend(container::GIF_IDENTIFIER);
        out.extend(packet.as_bytes());
        out.extend(container::gif_trailer());
        for frame in frames {
            let buffer: Vec<u8> = frame.rgb().map(|color| palette.entry(color)).collect();
            encoder.write_frame(&gif::Frame { width, height, delay, buffer: buffer.into(), ..Default::default() })?;
        }
        encoder.into_inner()
    };
    let bytes = encode().map_err(|error| Error::new(ErrorKind::Internal, format!("cannot encode a GIF: {error}")))?;
    check_label(&bytes, provenance)?;
    Ok(bytes)
}

/// A label that cannot be read back from the finished bytes means no file.
fn check_label(bytes: &[u8], provenance: &Provenance) -> Result<()> {
    match label_of(&mut Cursor::new(bytes), Path::new("the new picture"))? {
        Some(label) if label.matches(provenance) => Ok(()),
        _ => Err(Error::new(ErrorKind::Internal, "the label could not be read back, so no file was written")),
    }
}

/// The label of a PNG, GIF, JPEG or WebP file, or `None` where it carries none. The picture itself is not decoded.
///
/// # Errors
/// The file cannot be read, is damaged, or is neither PNG nor GIF nor JPEG nor WebP.
pub fn read_label(path: &Path) -> Result<Option<ReadLabel>> {
    let file = File::open(path).map_err(|source| Error::io("read", path, &source))?;
    label_of(&mut BufReader::new(file), path)
}

pub(super) fn label_of(file: &mut (impl BufRead + Seek), path: &Path) -> Result<Option<ReadLabel>> {
    let damaged = |reason: &str| Error::corrupt(format!("cannot read the label of {}: {reason}", path.display()));
    let packet = container::xmp(file).map_err(|source| match source.kind() {
        std::io::ErrorKind::UnexpectedEof => damaged("it is cut off"),
        std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput => damaged(&source.to_string()),
        _ => Error::io("read", path, &source),
    })?;
    let Some(packet) = packet else { return Ok(None) };
    xmp::read(&packet).map_err(|error| damaged(&error.message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provenance::label::{Label, TRAINED_ALGORITHMIC_MEDIA, sample};
    use proptest::prelude::*;

    fn picture(channels: usize) -> Picture {
        let (width, height) = (20, 12);
        let pixels = (0..width * height * channels).map(|i| (i * 7 % 256) as u8).collect();
        Picture { width, height, channels, pixels }
    }

    /// A still left half and a moving right half, with more than 256 colours in all.
    fn frames() -> Vec<Picture> {
        let frame = |shift: usize| {
            let pixel =
                |x: usize, y: usize| if x < 20 { [y * 5, x * 9, 77] } else { [x * 6 + shift * 9, y * 8, shift * 20] };
            let pixels = (0..40 * 30).flat_map(|i| pixel(i % 40, i / 40)).map(|v| (v % 256) as u8).collect();
            Picture { width: 40, height: 30, channels: 3, pixels }
        };
        (0..10).map(frame).collect()
    }

    #[test]
    fn png_round_trip() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.png");
        for channels in [1, 3] {
            let picture = picture(channels);
            write_png(&path, &picture, &sample()).unwrap();
            assert!(read_label(&path).unwrap().unwrap().matches(&sample()));

            let mut reader = png::Decoder::new(BufReader::new(File::open(&path).unwrap())).read_info().unwrap();
            let text = reader.info().utf8_text[0].clone(); // known before the image data
            assert_eq!((text.keyword.as_str(), text.compressed), (XMP_KEYWORD, false));
            assert!(text.get_text().unwrap().contains(TRAINED_ALGORITHMIC_MEDIA));
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut pixels).unwrap();
            assert_eq!((info.width, info.height, pixels), (20, 12, picture.pixels));
        }
    }

    #[test]
    fn gif_round_trip() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.gif");
        let provenance = Provenance { label: Label::registered(&"7".repeat(27)).unwrap(), ..sample() };
        let frames = frames();
        write_gif(&path, &frames, 8, &provenance).unwrap();
        let label = read_label(&path).unwrap().unwrap();
        assert!(label.matches(&provenance));
        assert!(!label.matches(&sample()));

        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        let mut decoder = options.read_info(File::open(&path).unwrap()).unwrap();
        assert_eq!(decoder.xmp_metadata().unwrap(), xmp::merge(None, &provenance).unwrap().as_bytes());
        assert_eq!(decoder.repeat(), gif::Repeat::Infinite);
        let mut decoded = vec![];
        while let Some(frame) = decoder.read_next_frame().unwrap() {
            assert_eq!((frame.delay, frame.palette.is_none()), (8, true));
            decoded.push(frame.buffer.to_vec());
        }
        assert_eq!(decoded.len(), frames.len());
        for frame in &decoded {
            for (row, first) in frame.chunks(40 * 4).zip(decoded[0].chunks(40 * 4)) {
                assert_eq!(row[..80], first[..80], "the still half does not flicker");
            }
        }
    }

    #[test]
    fn a_grey_animation_is_exact() {
        let frames = [picture(1), Picture::filled(20, 12, 1, 200)];
        let bytes = encode_gif(&frames, 10, &sample()).unwrap();
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        let mut decoder = options.read_info(&bytes[..]).unwrap();
        for frame in &frames {
            let decoded = decoder.read_next_frame().unwrap().unwrap().buffer.to_vec();
            assert!(frame.pixels.iter().zip(decoded.chunks(4)).all(|(&grey, rgba)| *rgba == [grey, grey, grey, 255]));
        }
    }

    #[test]
    fn same_input_same_bytes() {
        assert_eq!(encode_png(&picture(3), &sample()).unwrap(), encode_png(&picture(3), &sample()).unwrap());
        assert_eq!(encode_gif(&frames(), 4, &sample()).unwrap(), encode_gif(&frames(), 4, &sample()).unwrap());
    }

    #[test]
    fn impossible_pictures_are_refused() {
        let mut short = picture(3);
        short.pixels.pop();
        let empty = Picture { width: 0, height: 4, channels: 3, pixels: vec![] };
        let alpha = Picture::filled(2, 2, 4, 0);
        for bad in [&short, &empty, &alpha] {
            assert!(encode_png(bad, &sample()).is_err());
            assert!(encode_gif(std::slice::from_ref(bad), 4, &sample()).is_err());
        }
        assert!(encode_gif(&[], 4, &sample()).is_err());
        assert!(encode_gif(&[picture(3), Picture::filled(3, 3, 3, 0)], 4, &sample()).is_err());
        assert!(encode_gif(&[Picture::filled(65_536, 1, 1, 0)], 4, &sample()).is_err());
    }

    #[test]
    fn pictures_of_others_have_no_label() {
        let mut plain = vec![];
        let mut writer = png::Encoder::new(&mut plain, 1, 1).write_header().unwrap();
        writer.write_image_data(&[0]).unwrap();
        writer.finish().unwrap();
        let mut encoder = gif::Encoder::new(vec![], 1, 1, &[0, 0, 0]).unwrap();
        encoder.write_frame(&gif::Frame { width: 1, height: 1, buffer: vec![0].into(), ..Default::default() }).unwrap();
        for bytes in [plain, encoder.into_inner().unwrap()] {
            assert_eq!(label_of(&mut Cursor::new(&bytes), Path::new("x")).unwrap(), None);
        }
    }

    #[test]
    fn compressed_xmp_is_read_and_bounded() {
        let with = |text: String| {
            let mut bytes = vec![];
            let mut writer = png::Encoder::new(&mut bytes, 1, 1).write_header().unwrap();
            let mut chunk = png::text_metadata::ITXtChunk::new(XMP_KEYWORD, text);
            chunk.compress_text().unwrap();
            writer.write_text_chunk(&chunk).unwrap();
            writer.write_image_data(&[0]).unwrap();
            writer.finish().unwrap();
            label_of(&mut Cursor::new(bytes), Path::new("x"))
        };
        assert!(with(xmp::merge(None, &sample()).unwrap()).unwrap().unwrap().matches(&sample()));
        let bomb = with(" ".repeat(xmp::MAX_PACKET * 4)).unwrap_err();
        assert!(bomb.message.contains("too long"), "{bomb}");
    }

    #[test]
    fn damaged_files_are_errors() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.png");
        let (png, gif) = (encode_png(&picture(3), &sample()).unwrap(), encode_gif(&frames(), 4, &sample()).unwrap());
        let packet = png.windows(4).position(|bytes| bytes == b"iTXt").unwrap() + 100;
        let mut flipped = png.clone();
        flipped[packet] ^= 1;
        let huge = [&png[..33], &[0xff; 20]].concat();
        for bytes in
            [b"", &b"GIF89a"[..], b"text", &png[..png.len() / 2], &gif[..gif.len() - 1], &png[..9], &flipped, &huge]
        {
            std::fs::write(&path, bytes).unwrap();
            let error = read_label(&path).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Corrupt);
            assert!(error.message.contains("x.png"), "{error}");
        }
        assert_eq!(read_label(&directory.path().join("none")).unwrap_err().kind, ErrorKind::Io);
        for bytes in [&png, &gif] {
            for length in 0..bytes.len() {
                let label = label_of(&mut Cursor::new(&bytes[..length]), Path::new("x"));
                assert!(label.is_err(), "cut at {length}");
            }
        }
    }

    #[test]
    fn a_label_that_is_not_the_one_asked_for_is_noticed() {
        let png = encode_png(&picture(3), &sample()).unwrap();
        let mut other = sample();
        other.recipe.seed = 8;
        assert!(check_label(&png, &sample()).is_ok());
        assert!(check_label(&png, &other).is_err());
        assert!(check_label(&png[..png.len() - 3], &sample()).is_err());
        let mut impossible = sample();
        impossible.recipe.truncation = f32::NAN; // JSON has no NaN: the recipe would not read back
        assert!(encode_png(&picture(3), &impossible).is_err());
        assert!(encode_gif(&frames(), 4, &impossible).is_err());
    }

    #[test]
    fn a_refused_write_leaves_the_old_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.png");
        write_png(&path, &picture(3), &sample()).unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(write_png(&path, &Picture::filled(2, 2, 4, 0), &sample()).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    proptest! {
        #[test]
        fn damage_never_panics(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5), animated in any::<bool>()) {
            let encoded = if animated { encode_gif(&[picture(1)], 4, &sample()) } else { encode_png(&picture(1), &sample()) };
            let mut bytes = encoded.unwrap();
            for (index, value) in flips {
                let index = index.index(bytes.len());
                bytes[index] = value;
            }
            let _ = label_of(&mut Cursor::new(bytes), Path::new("x"));
        }
    }
}
