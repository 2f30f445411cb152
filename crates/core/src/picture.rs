//! A picture in memory.

use crate::error::{Error, ErrorKind, Result};

/// A grey or RGB picture with 8 bits a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1 (grey) or 3 (RGB).
    pub channels: usize,
    /// `[height, width, channels]`, row by row.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// A picture of one colour.
    pub fn filled(width: usize, height: usize, channels: usize, level: u8) -> Self {
        Self { width, height, channels, pixels: vec![level; width * height * channels] }
    }

    /// The colours row by row; grey as equal red, green and blue.
    pub fn rgb(&self) -> impl Iterator<Item = [u8; 3]> {
        let channels = self.channels.max(1);
        self.pixels.chunks_exact(channels).map(|pixel| if let [r, g, b] = *pixel { [r, g, b] } else { [pixel[0]; 3] })
    }

    /// Refuses sizes and channels that no picture has.
    pub(crate) fn check(&self) -> Result<()> {
        let Self { width, height, channels, pixels } = self;
        let count = width.checked_mul(*height).and_then(|count| count.checked_mul(*channels));
        if *width == 0 || *height == 0 || ![1, 3].contains(channels) || count != Some(pixels.len()) {
            let bytes = pixels.len();
            let message = format!("a picture of {width}x{height}x{channels} cannot have {bytes} bytes");
            return Err(Error::new(ErrorKind::Internal, message));
        }
        Ok(())
    }
}
