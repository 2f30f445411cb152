//! The settings that decide what the pictures of a run look like.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How a picture of another shape is brought to the size of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Scale to cover, then keep the centre: no border, edges are lost.
    Crop,
    /// Scale to fit, then centre on the background: nothing is lost.
    Pad,
    /// Scale both sides on their own: nothing is lost, shapes are distorted.
    Stretch,
}

/// The `[data]` part of a run file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Where the pictures are, as the user typed it; see [`super::Source::parse`].
    pub source: String,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// 1 (grey) or 3 (RGB).
    pub channels: usize,
    /// What to do with pictures of another shape: `crop`, `pad` or `stretch`.
    pub fit: Fit,
    /// Colour under transparent pictures and around padded ones, RGB.
    pub background: [u8; 3],
    /// Share of the pictures kept out of training for judging, 0 to 0.5.
    pub holdout: f64,
}

impl Default for DataConfig {
    /// 64×64 RGB, cropped, on white, a tenth held out; no source.
    fn default() -> Self {
        Self {
            source: String::new(),
            width: 64,
            height: 64,
            channels: 3,
            fit: Fit::Crop,
            background: [255; 3],
            holdout: 0.1,
        }
    }
}

/// Largest side of a training picture.
const MAX_SIDE: usize = 4096;

impl DataConfig {
    /// Bytes of one picture.
    pub fn row_bytes(&self) -> usize {
        self.width * self.height * self.channels
    }

    /// An error that names the first setting out of range.
    pub fn validate(&self) -> Result<()> {
        for (name, side) in [("width", self.width), ("height", self.height)] {
            if !(1..=MAX_SIDE).contains(&side) {
                return Err(Error::input(format!("data.{name} is {side}, but must be 1 to {MAX_SIDE}"))
                    .hint("for example --size 64"));
            }
        }
        if self.channels != 1 && self.channels != 3 {
            let may_be = "must be 1 (grey) or 3 (colour)";
            return Err(Error::input(format!("data.channels is {}, but {may_be}", self.channels)).hint("for example 3"));
        }
        if !(0.0..=0.5).contains(&self.holdout) {
            return Err(Error::input(format!("data.holdout is {}, but must be a share from 0 to 0.5", self.holdout))
                .hint("for example 0.1"));
        }
        Ok(())
    }
}
