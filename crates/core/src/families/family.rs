//! What a family of picture models is: its sizes, what is said of it, what it builds.
//!
//! Nobody outside of a family's folder asks which family it is. Who wants an encoder asks the model for [`Code`](super::Code), who
//! wants to know what a loss means asks [`About`].

use super::model::{Critic, Model};
use super::settings::{Settings, Tables};
use super::trainer::{Ingredients, Trainer};
use crate::makes::Makes;
use crate::pretrained::EfficientNetLite0;
use crate::weights::Weights;
use crate::{Error, Result};
use std::fmt::Debug;

/// What is said of a family wherever families are listed: help, reports, the server.
#[derive(Debug)]
pub struct About {
    /// What it makes.
    pub makes: Makes,
    /// Its name in `--model` and in `run.toml`.
    pub name: &'static str,
    /// One line of help.
    pub summary: &'static str,
    /// What its losses mean, for the curve in a report.
    pub losses: &'static str,
    /// The tables of `run.toml` that it reads, besides those that all families read.
    pub tables: &'static [&'static str],
    /// Does its training look through EfficientNet-Lite0, whose weights the user installs?
    pub needs_features: bool,
    /// Has it a network that tells real pictures from generated ones?
    pub has_critic: bool,
    /// Has its model [`Styles`](super::Styles), which mix?
    pub has_styles: bool,
}

/// What goes into a model and what comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape<'a> {
    /// The shape of what it makes.
    pub frame: Frame,
    /// Length of the noise vector that a picture is made from.
    pub noise: usize,
    /// What it can be asked for.
    pub takes: Takes<'a>,
}

/// The shape of what a model makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Rows.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// 1 (grey) or 3 (RGB).
    pub channels: usize,
}

/// What a model can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes<'a> {
    /// Nothing: it makes what it has learned.
    Nothing,
    /// One of these classes.
    Classes(&'a [String]),
    /// Words.
    Captions,
    /// Another picture.
    Pictures,
}

/// The sizes of a model, as `[model]` of `run.toml` and a model file have them: everything that is needed to build it.
pub trait Family: Debug + Send + Sync {
    /// What is said of the family.
    fn about(&self) -> &'static About;
    /// What goes in and what comes out.
    fn shape(&self) -> Shape<'_>;
    /// Its sizes as people read them, for one line.
    fn sizes(&self) -> String;
    /// Checks every number before anything is allocated from it.
    ///
    /// # Errors
    /// One sentence naming the value that is out of range.
    fn validate(&self) -> Result<()>;
    /// Checks the family's own tables.
    ///
    /// # Errors
    /// One sentence naming the setting that is out of range, or that does not go with another.
    fn check(&self, tables: &Tables) -> Result<()>;
    /// Does a setting of a table that the family reads do anything, the other settings being these? If not, the reason, which
    /// goes on from "because".
    fn idle(&self, _tables: &Tables, _table: &str, _setting: &str) -> Option<&'static str> {
        None
    }
    /// Its settings of training that people ask about, as one line.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    fn training(&self, tables: &Tables) -> Result<String>;
    /// The part of its training state that makes the pictures.
    fn player(&self) -> &'static str;
    /// The other family in a race that this one is the first choice of, and why.
    fn rival(&self) -> (&'static str, &'static str);
    /// The model without values.
    fn model(&self) -> Box<dyn Model>;
    /// An untrained model in training.
    ///
    /// # Errors
    /// As [`check`](Self::check), and features that are needed and not there.
    fn trainer(&self, given: Ingredients) -> Result<Box<dyn Trainer>>;
    /// The network that tells real pictures from generated ones, out of a training state, on the processor and outside autodiff;
    /// nothing for a family that has none.
    ///
    /// # Errors
    /// As [`trainer`](Self::trainer); a tensor that is missing or has another shape.
    fn critic(
        &self,
        _settings: &Settings,
        _state: &mut Weights,
        _features: Option<EfficientNetLite0>,
    ) -> Result<Option<Box<dyn Critic>>> {
        Ok(None)
    }
    /// Are the tensors of a training state whose names begin with this of use only to a run of the same seed?
    fn seeded(&self) -> Option<&'static str> {
        None
    }

    /// The shape of what it makes.
    fn frame(&self) -> Frame {
        self.shape().frame
    }

    /// Length of the noise vector that a picture is made from.
    fn noise(&self) -> usize {
        self.shape().noise
    }

    /// The family's name.
    fn family(&self) -> &'static str {
        self.about().name
    }

    /// The classes it can be asked for; empty when it takes none.
    fn classes(&self) -> &[String] {
        match self.shape().takes {
            Takes::Classes(names) => names,
            Takes::Nothing | Takes::Captions | Takes::Pictures => &[],
        }
    }
}

/// Smaller pictures have too little to see for a network of photographs, and no level to excite for FastGAN.
pub const FINEST: usize = 32;

/// Smallest and largest picture side that the convolutional families take.
pub const SIDES: std::ops::RangeInclusive<usize> = 16..=256;

/// Checks a picture size.
///
/// # Errors
/// A side outside [`SIDES`].
pub fn check_size(width: usize, height: usize) -> Result<()> {
    if SIDES.contains(&width) && SIDES.contains(&height) {
        return Ok(());
    }
    let (low, high) = (SIDES.start(), SIDES.end());
    Err(Error::input(format!("the picture size {width}x{height} is out of range: both sides must be {low} to {high}"))
        .hint("for example --size 64, or --size 96x64 (width x height)"))
}
