//! One palette for a whole animation: the same colour gets the same entry in every frame, so still parts do not flicker.

use std::collections::{BTreeSet, HashMap};

use crate::picture::Picture;

/// At most 256 colours, and the entry of each colour met so far.
pub struct Palette {
    colors: Vec<[u8; 3]>,
    entries: HashMap<[u8; 3], u8>,
}

impl Palette {
    /// The colours themselves if all frames together have at most 256, else 256 chosen by NeuQuant (Dekker 1994) from
    /// pixels spread evenly over all frames.
    pub fn of(frames: &[Picture]) -> Self {
        let mut distinct = BTreeSet::new();
        for color in frames.iter().flat_map(Picture::rgb) {
            distinct.insert(color);
            if distinct.len() > 256 {
                return Self::quantized(frames);
            }
        }
        let colors: Vec<[u8; 3]> = distinct.into_iter().collect();
        let entries = colors.iter().enumerate().map(|(entry, &color)| (color, entry as u8)).collect();
        Self { colors, entries }
    }

    fn quantized(frames: &[Picture]) -> Self {
        let total: usize = frames.iter().map(|frame| frame.width * frame.height).sum();
        let count = total.min(u16::MAX.into()); // 65,535 samples: more change nothing visible
        let mut wanted = (0..count).map(|i| i * total / count).peekable();
        let mut samples = Vec::with_capacity(count * 3);
        for (index, color) in frames.iter().flat_map(Picture::rgb).enumerate() {
            if wanted.next_if_eq(&index).is_some() {
                samples.extend(color);
            }
        }
        let sampled = gif::Frame::from_rgb_speed(count as u16, 1, &samples, 1);
        let colors = sampled.palette.unwrap_or_default().as_chunks().0.to_vec();
        Self { colors, entries: HashMap::new() }
    }

    /// The colours, `[r, g, b, r, …]`.
    pub fn bytes(&self) -> Vec<u8> {
        self.colors.concat()
    }

    /// The entry nearest to `color` by squared distance; the first of equals.
    pub fn entry(&mut self, color: [u8; 3]) -> u8 {
        *self.entries.entry(color).or_insert_with(|| {
            let distance = |of: &[u8; 3]| -> u32 {
                of.iter().zip(color).map(|(&a, b)| u32::from(a.abs_diff(b))).map(|d| d * d).sum()
            };
            let nearest = self.colors.iter().enumerate().min_by_key(|(_, of)| distance(of));
            nearest.map_or(0, |(entry, _)| entry as u8)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(width: usize, shift: usize) -> Picture {
        let pixels = (0..width * 64).flat_map(|i| [i % width, i / width * 4, shift].map(|v| (v % 256) as u8)).collect();
        Picture { width, height: 64, channels: 3, pixels }
    }

    #[test]
    fn few_colours_are_kept_exactly() {
        let grey = Picture { width: 16, height: 16, channels: 1, pixels: (0..=255).collect() };
        let mut palette = Palette::of(&[grey.clone(), grey]);
        assert_eq!(palette.bytes().len(), 768);
        for value in 0..=255 {
            assert_eq!(palette.entry([value; 3]), value);
        }
    }

    #[test]
    fn many_colours_are_quantized_closely() {
        let frames: Vec<Picture> = (0..8).map(|i| gradient(256, i * 30)).collect();
        let mut palette = Palette::of(&frames);
        let colors = palette.colors.clone();
        assert_eq!(colors.len(), 256);
        let (mut error, mut count) = (0.0, 0.0);
        for color in frames.iter().flat_map(Picture::rgb) {
            let nearest = colors[usize::from(palette.entry(color))];
            error += (0..3).map(|c| f64::from(nearest[c].abs_diff(color[c])).powi(2)).sum::<f64>();
            count += 3.0;
        }
        let rms = f64::sqrt(error / count);
        assert!(rms < 16.0, "a full colour cube cut to 256 entries: rms {rms}");
        assert_eq!(Palette::of(&frames).bytes(), palette.bytes());
    }
}
