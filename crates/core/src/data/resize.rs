//! From decoded pixels to one row of the data set: composite, resize, fit, channels.
//!
//! Order and rules: transparency is composited on the background first (so that invisible colours never bleed in), in the
//! file's own gamma, `(c * a + b * (255 - a)) / 255` rounded. Then Lanczos3, also in the file's gamma. Then channels: grey is
//! repeated to RGB; RGB becomes grey by Rec. 601 luma, `0.299 R + 0.587 G + 0.114 B`.

use std::borrow::Cow;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{DynamicImage, RgbaImage};

use super::{DataConfig, Fit};

/// Plain pixels without transparency, 1 or 3 bytes each.
struct Flat<'a> {
    pixels: Cow<'a, [u8]>,
    width: usize,
    height: usize,
    channels: usize,
}

/// Makes `height * width * channels` bytes (HWC) of a decoded picture. The reason of a failure is a few words.
pub(super) fn fit(image: &DynamicImage, config: &DataConfig) -> Result<Vec<u8>, String> {
    let flat = composite(image, config.background);
    let (width, height) = (config.width, config.height);
    let fitted = match config.fit {
        Fit::Stretch => resize(flat, width, height, false)?,
        Fit::Crop => resize(flat, width, height, true)?,
        Fit::Pad => {
            let scale = (width as f64 / flat.width as f64).min(height as f64 / flat.height as f64);
            let inner_width = ((flat.width as f64 * scale).round() as usize).clamp(1, width);
            let inner_height = ((flat.height as f64 * scale).round() as usize).clamp(1, height);
            pad(resize(flat, inner_width, inner_height, false)?, width, height, config.background)
        }
    };
    Ok(to_channels(fitted, config.channels).pixels.into_owned())
}

/// Rec. 601 luma, rounded.
pub(crate) fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) + 500) / 1000) as u8
}

fn is_grey([r, g, b]: [u8; 3]) -> bool {
    r == g && g == b
}

fn composite(image: &DynamicImage, background: [u8; 3]) -> Flat<'_> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let over =
        |c: u8, b: u8, a: u8| ((u32::from(c) * u32::from(a) + u32::from(b) * (255 - u32::from(a)) + 127) / 255) as u8;
    let over_ground = |rgba: &RgbaImage| {
        rgba.as_raw().chunks_exact(4).flat_map(|p| [0, 1, 2].map(|c| over(p[c], background[c], p[3]))).collect()
    };
    let (pixels, channels) = match image {
        DynamicImage::ImageLuma8(grey) => (Cow::Borrowed(grey.as_raw().as_slice()), 1),
        DynamicImage::ImageLumaA8(grey) if is_grey(background) => {
            (grey.as_raw().chunks_exact(2).map(|p| over(p[0], background[0], p[1])).collect(), 1)
        }
        DynamicImage::ImageRgb8(rgb) => (Cow::Borrowed(rgb.as_raw().as_slice()), 3),
        DynamicImage::ImageRgba8(rgba) => (over_ground(rgba), 3),
        image => (over_ground(&image.to_rgba8()), 3),
    };
    Flat { pixels, width, height, channels }
}

/// Lanczos3 to exactly `width` × `height`; with `crop`, of the largest centred part that has this shape.
fn resize(flat: Flat<'_>, width: usize, height: usize, crop: bool) -> Result<Flat<'_>, String> {
    if (flat.width, flat.height) == (width, height) {
        return Ok(flat);
    }
    let kind = if flat.channels == 1 { PixelType::U8 } else { PixelType::U8x3 };
    let source = ImageRef::new(flat.width as u32, flat.height as u32, &flat.pixels, kind).map_err(|e| e.to_string())?;
    let mut target = Image::new(width as u32, height as u32, kind);
    let mut options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3)).use_alpha(false);
    if crop {
        options = options.fit_into_destination(Some((0.5, 0.5)));
    }
    Resizer::new().resize(&source, &mut target, &options).map_err(|e| format!("cannot be resized: {e}"))?;
    Ok(Flat { pixels: target.into_vec().into(), width, height, channels: flat.channels })
}

/// Centres on a canvas of the background colour.
fn pad(flat: Flat<'_>, width: usize, height: usize, background: [u8; 3]) -> Flat<'_> {
    if (flat.width, flat.height) == (width, height) {
        return flat;
    }
    let flat = if is_grey(background) { flat } else { to_channels(flat, 3) };
    let channels = flat.channels;
    let mut pixels: Vec<u8> = background[..channels].iter().copied().cycle().take(width * height * channels).collect();
    let (left, top) = ((width - flat.width) / 2, (height - flat.height) / 2);
    for (y, line) in flat.pixels.chunks_exact(flat.width * channels).enumerate() {
        let start = ((top + y) * width + left) * channels;
        pixels[start..start + line.len()].copy_from_slice(line);
    }
    Flat { pixels: pixels.into(), width, height, channels }
}

fn to_channels(flat: Flat<'_>, channels: usize) -> Flat<'_> {
    let pixels = match (flat.channels, channels) {
        (1, 3) => flat.pixels.iter().flat_map(|&v| [v; 3]).collect(),
        (3, 1) => flat.pixels.chunks_exact(3).map(|p| luma([p[0], p[1], p[2]])).collect(),
        _ => return flat,
    };
    Flat { pixels, channels, ..flat }
}

/// A small grey version for fingerprints: composited on white, stretched.
pub(super) fn grey_thumbnail(image: &DynamicImage, width: usize, height: usize) -> Result<Vec<u8>, String> {
    let flat = to_channels(composite(image, [255; 3]), 1);
    Ok(resize(flat, width, height, false)?.pixels.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(width: usize, height: usize, channels: usize, fit: Fit, background: [u8; 3]) -> DataConfig {
        DataConfig { source: String::new(), width, height, channels, fit, background, holdout: 0.0 }
    }

    fn grey(width: u32, height: u32, pixels: &[u8]) -> DynamicImage {
        image::GrayImage::from_raw(width, height, pixels.to_vec()).unwrap().into()
    }

    #[test]
    fn same_size_is_untouched() {
        let pixels: Vec<u8> = (0..64).map(|i| i * 3).collect();
        for fit in [Fit::Crop, Fit::Pad, Fit::Stretch] {
            assert_eq!(super::fit(&grey(8, 8, &pixels), &config(8, 8, 1, fit, [9; 3])).unwrap(), pixels);
        }
    }

    #[test]
    fn alpha_goes_over_the_background() {
        let image = DynamicImage::from(
            image::RgbaImage::from_raw(3, 1, vec![200, 100, 0, 255, 200, 100, 0, 0, 200, 100, 0, 128]).unwrap(),
        );
        let row = super::fit(&image, &config(3, 1, 3, Fit::Crop, [10, 20, 30])).unwrap();
        assert_eq!(row, [200, 100, 0, 10, 20, 30, 105, 60, 15]);
        let image = DynamicImage::from(image::GrayAlphaImage::from_raw(2, 1, vec![200, 128, 9, 0]).unwrap());
        assert_eq!(super::fit(&image, &config(2, 1, 1, Fit::Crop, [0; 3])).unwrap(), [100, 0]);
        assert_eq!(super::fit(&image, &config(2, 1, 3, Fit::Crop, [0, 0, 255])).unwrap(), [100, 100, 227, 0, 0, 255]);
    }

    #[test]
    fn channels_convert_by_rec_601() {
        let image = DynamicImage::from(image::RgbImage::from_raw(3, 1, vec![255, 0, 0, 0, 255, 0, 0, 0, 255]).unwrap());
        assert_eq!(super::fit(&image, &config(3, 1, 1, Fit::Crop, [0; 3])).unwrap(), [76, 150, 29]);
        assert_eq!(super::fit(&grey(1, 1, &[7]), &config(1, 1, 3, Fit::Crop, [0; 3])).unwrap(), [7, 7, 7]);
    }

    #[test]
    fn crop_keeps_the_middle_pad_keeps_all_stretch_keeps_the_ends() {
        // 6×2: dark left third, middle third grey, right third bright.
        let wide = grey(6, 2, &[0, 0, 100, 100, 200, 200, 0, 0, 100, 100, 200, 200]);
        assert_eq!(super::fit(&wide, &config(2, 2, 1, Fit::Crop, [9; 3])).unwrap(), [100; 4]);
        let padded = super::fit(&wide, &config(6, 6, 1, Fit::Pad, [9; 3])).unwrap();
        assert_eq!(padded[..12], [9; 12]);
        assert_eq!(padded[12..18], [0, 0, 100, 100, 200, 200]);
        assert_eq!(padded[24..], [9; 12]);
        let stretched = super::fit(&wide, &config(6, 4, 1, Fit::Stretch, [9; 3])).unwrap();
        assert_eq!(stretched[..6], [0, 0, 100, 100, 200, 200]);
        // A coloured background makes a grey picture a colour picture.
        let on_red = super::fit(&grey(1, 2, &[50, 50]), &config(2, 2, 3, Fit::Pad, [255, 0, 0])).unwrap();
        assert_eq!(on_red, [50, 50, 50, 255, 0, 0, 50, 50, 50, 255, 0, 0]);
        // Extreme shapes neither vanish nor fail.
        for fit in [Fit::Crop, Fit::Pad, Fit::Stretch] {
            let line = grey(3000, 1, &[77; 3000]);
            assert_eq!(super::fit(&line, &config(8, 8, 1, fit, [77; 3])).unwrap(), [77; 64]);
        }
    }
}
