//! Golden pixels of every documented conversion (fault 4), and the refusals (faults 1 and 3).

use std::borrow::Cow;

use image::{Frame, GrayImage, ImageBuffer, Luma, RgbaImage};

use super::super::decode::{self, Info};
use super::super::source::Raw;
use super::*;

fn decode(bytes: &[u8]) -> Result<(DynamicImage, Info), String> {
    decode::decode(&Raw::File(Cow::Borrowed(bytes)), "x.png")
}

#[test]
fn sixteen_bits_round_to_eight() {
    let values: Vec<u16> = vec![0, 128, 129, 257, 385, 386, 32768, 65535];
    let image = ImageBuffer::<Luma<u16>, _>::from_raw(8, 1, values).unwrap();
    let (image, info) = decode(&encode(&image.into(), ImageFormat::Png)).unwrap();
    assert_eq!(
        (image.as_luma8().unwrap().as_raw().as_slice(), info.mode.as_str()),
        (&[0, 0, 1, 1, 1, 2, 128, 255][..], "grey 16-bit")
    );

    let image = ImageBuffer::<image::Rgba<u16>, _>::from_raw(1, 1, vec![65535, 257 * 7, 0, 257 * 128]).unwrap();
    let (image, info) = decode(&encode(&image.into(), ImageFormat::Png)).unwrap();
    assert_eq!(
        (image.as_rgba8().unwrap().as_raw().as_slice(), info.mode.as_str()),
        (&[255, 7, 0, 128][..], "RGBA 16-bit")
    );
}

#[test]
fn palette_with_alpha() {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 3, 1);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Two);
    encoder.set_palette(vec![255, 0, 0, 0, 255, 0, 0, 0, 255]);
    encoder.set_trns(vec![255, 128, 0]);
    encoder.write_header().unwrap().write_image_data(&[0b0001_1000]).unwrap();
    let (image, info) = decode(&bytes).unwrap();
    assert_eq!(info.mode, "palette + alpha");
    assert_eq!(image.as_rgba8().unwrap().as_raw(), &[255, 0, 0, 255, 0, 255, 0, 128, 0, 0, 255, 0]);
    let on_white = DataConfig { width: 3, height: 1, ..DataConfig::default() };
    assert_eq!(resize::fit(&image, &on_white).unwrap(), [255, 0, 0, 127, 255, 127, 255, 255, 255]);
}

#[test]
fn grey_with_alpha() {
    let image = image::GrayAlphaImage::from_raw(2, 1, vec![200, 128, 10, 255]).unwrap();
    let (image, info) = decode(&encode(&image.into(), ImageFormat::Png)).unwrap();
    assert_eq!(
        (image.as_luma_alpha8().unwrap().as_raw().as_slice(), info.mode.as_str()),
        (&[200, 128, 10, 255][..], "grey + alpha")
    );
}

/// A JPEG with an EXIF orientation: an APP1 segment with one big-endian TIFF entry, tag 0x0112.
fn oriented_jpeg(orientation: u8) -> Vec<u8> {
    // 16×8: left half black, right half white. One MCU each at 4:4:4, so the halves stay exact.
    let image = GrayImage::from_fn(16, 8, |x, _| Luma([if x < 8 { 0 } else { 255 }]));
    let jpeg = encode(&image.into(), ImageFormat::Jpeg);
    let mut tiff = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    tiff.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut bytes = jpeg[..2].to_vec();
    bytes.extend([0xff, 0xe1]);
    bytes.extend((tiff.len() as u16 + 2).to_be_bytes());
    bytes.extend(&tiff);
    bytes.extend(&jpeg[2..]);
    bytes
}

#[test]
fn bits_of_sensors_are_recognised_by_the_range_that_is_used() {
    for (values, bytes, mode) in [
        (vec![0, 2048, 4095, 16], &[0, 128, 255, 1][..], "grey 16-bit, 12 of them used"),
        (vec![0, 512, 1023, 4], &[0, 128, 255, 1], "grey 16-bit, 10 of them used"),
        (vec![0, 2048, 4096, 257], &[0, 8, 16, 1], "grey 16-bit"),
        (vec![0, 9, 255, 257 / 2], &[0, 0, 1, 0], "grey 16-bit"),
    ] {
        let image = ImageBuffer::<Luma<u16>, _>::from_raw(4, 1, values).unwrap();
        let (image, info) = decode(&encode(&image.into(), ImageFormat::Png)).unwrap();
        assert_eq!((image.to_luma8().as_raw().as_slice(), info.mode.as_str()), (bytes, mode));
    }
}

#[test]
fn formats_that_are_not_read_name_a_way_round() {
    // 32-bit integers, which the decoder of TIFF reads and pictures do not hold.
    let mut tiff = b"II*\0\x08\0\0\0\x0a\0".to_vec();
    for (tag, value) in
        [(256u16, 1u32), (257, 1), (258, 32), (259, 1), (262, 1), (273, 200), (277, 1), (278, 1), (279, 4), (339, 2)]
    {
        tiff.extend([&tag.to_le_bytes()[..], &[3, 0, 1, 0, 0, 0], &value.to_le_bytes()].concat());
    }
    tiff.resize(300, 0);
    let reason = decode(&tiff).unwrap_err();
    assert!(reason.contains("mogrify -format png *.tiff") && !reason.contains("ecoder"), "{reason}");
    let phone = |brand: &[u8]| decode(&[b"\0\0\0\x18ftyp", brand, b"\0\0\0\0mif1heic"].concat()).unwrap_err();
    assert!(phone(b"heic").contains("heif-convert") && phone(b"avif").contains("avifdec"));
}

#[test]
fn exif_orientation_is_applied() {
    // Corners (top left, top right, bottom left) as seen, for each of the eight orientations.
    let seen = |orientation| {
        let (image, info) = decode(&oriented_jpeg(orientation)).unwrap();
        let grey = image.to_luma8();
        let (w, h) = grey.dimensions();
        assert_eq!((info.width as u32, info.height as u32), (w, h));
        assert_eq!(info.rotated, orientation != 1);
        (w, h, [(0, 0), (w - 1, 0), (0, h - 1)].map(|(x, y)| grey.get_pixel(x, y)[0] > 127))
    };
    assert_eq!(seen(1), (16, 8, [false, true, false]));
    assert_eq!(seen(2), (16, 8, [true, false, true]));
    assert_eq!(seen(3), (16, 8, [true, false, true]));
    assert_eq!(seen(4), (16, 8, [false, true, false]));
    assert_eq!(seen(5), (8, 16, [false, false, true]));
    assert_eq!(seen(6), (8, 16, [false, false, true]));
    assert_eq!(seen(7), (8, 16, [true, true, false]));
    assert_eq!(seen(8), (8, 16, [true, true, false]));
}

#[test]
fn first_frame_of_animations() {
    let mut gif = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut gif);
    for color in [[255, 0, 0, 255], [0, 0, 255, 255]] {
        encoder.encode_frame(Frame::new(RgbaImage::from_pixel(4, 4, image::Rgba(color)))).unwrap();
    }
    drop(encoder);
    for bytes in [gif, files::bytes(files::RED_BLUE_APNG), files::bytes(files::RED_BLUE_WEBP)] {
        let (image, info) = decode(&bytes).unwrap();
        assert!(info.animated, "{info:?}");
        assert!(image.to_rgb8().pixels().all(|pixel| pixel.0 == [255, 0, 0]), "{info:?}");
    }
    let (_, info) = decode(&png(1, 8, 8)).unwrap();
    assert!(!info.animated);
}

#[test]
fn cmyk_becomes_rgb() {
    let (image, info) = decode(&files::bytes(files::CMYK_JPEG)).unwrap();
    assert_eq!(info.mode, "CMYK");
    let rgb = image.to_rgb8();
    // Pillow says (255, 127, 0) and (0, 191, 191).
    let close = |x, wanted: [u8; 3]| rgb.get_pixel(x, 4).0.iter().zip(wanted).all(|(&a, b)| a.abs_diff(b) <= 2);
    assert!(close(0, [255, 127, 0]) && close(7, [0, 191, 191]), "{:?} {:?}", rgb.get_pixel(0, 4), rgb.get_pixel(7, 4));
}

#[test]
fn truncated_files_are_refused_in_every_format() {
    let image: DynamicImage = image::load_from_memory(&png(3, 40, 30)).unwrap();
    let formats = [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::Gif,
        ImageFormat::WebP,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
        ImageFormat::Pnm,
        ImageFormat::Qoi,
    ];
    for format in formats {
        let bytes = encode(&image, format);
        assert!(decode(&bytes).is_ok(), "{format:?}");
        for share in [0.3, 0.6, 0.9] {
            let cut = &bytes[..(bytes.len() as f64 * share) as usize];
            let reason = decode(cut).expect_err(&format!("{format:?} cut to {share}"));
            assert!(reason.contains("truncated") || reason.contains("damaged"), "{format:?} at {share}: {reason}");
        }
    }
    // A thumbnail's own end marker does not make a JPEG whole.
    let whole = oriented_jpeg(1);
    let mut with_thumbnail = whole[..2].to_vec();
    with_thumbnail.extend([0xff, 0xe2, 0, 6, 0xff, 0xd9, 0xff, 0xd9]);
    with_thumbnail.extend(&whole[2..whole.len() - 6]);
    assert!(decode(&with_thumbnail).unwrap_err().contains("truncated"));
}

#[test]
fn any_damage_is_a_reason_and_never_a_panic() {
    let image: DynamicImage = image::load_from_memory(&png(3, 20, 15)).unwrap();
    let formats =
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP, ImageFormat::Tiff, ImageFormat::Bmp];
    for format in formats {
        let whole = encode(&image, format);
        for at in 0..whole.len().min(300) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            if let Err(reason) = decode(&bytes) {
                assert!(!reason.is_empty() && !reason.contains('\n') && reason.len() < 300, "{reason}");
            }
        }
    }
}

/// A PNG of a few hundred bytes that claims any size.
fn claiming_png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = width.to_be_bytes().to_vec();
    header.extend(height.to_be_bytes());
    header.extend([8, 6, 0, 0, 0]);
    for (kind, body) in [(b"IHDR", header), (b"IDAT", vec![0x78, 0x9c, 0x63, 0, 0]), (b"IEND", vec![])] {
        let mut crc = flate2::Crc::new();
        crc.update(kind);
        crc.update(&body);
        bytes.extend((body.len() as u32).to_be_bytes());
        bytes.extend(kind);
        bytes.extend(body);
        bytes.extend(crc.sum().to_be_bytes());
    }
    bytes
}

#[test]
fn impossible_sizes_are_refused_from_the_header() {
    // 60000×60000 RGBA would be 14.4 GB; 16000×16000 is within the sides but not within the pixels.
    for (width, height) in [(60_000, 60_000), (16_000, 16_000), (u32::MAX, 1), (1, 20_000)] {
        let reason = decode(&claiming_png(width, height)).unwrap_err();
        assert!(reason.contains("too large") || reason.contains("damaged"), "{width}×{height}: {reason}");
    }
    assert!(decode(&claiming_png(60_000, 60_000)).unwrap_err().contains("too large"));
    let reason = decode(&claiming_png(100, 100)).unwrap_err();
    assert!(reason.starts_with("damaged") && !reason.contains("Format error"), "{reason}");
}

#[test]
fn content_decides() {
    let jpeg = oriented_jpeg(1);
    assert_eq!(decode(&jpeg).unwrap().1.format, "jpeg"); // although the name says .png
    assert_eq!(decode(b"").unwrap_err(), "empty: the file has no bytes");
    assert_eq!(decode(b"I am a poem,\nnot a picture").unwrap_err(), "not a picture: it holds text");
    assert_eq!(decode(&[7; 99]).unwrap_err(), "not a picture: unknown content");
    assert!(decode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").unwrap_err().contains("HEIC"));
}
