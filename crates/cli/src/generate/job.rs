//! What every way to generate pictures needs: the model, what is asked of it, where files go and what they are called.

use crate::args::GenerateArgs;
use maliang::explain::Direction;
use maliang::generate::grid::caption;
use maliang::generate::sampler::Sampler;
use maliang::picture::Picture;
use maliang::provenance::label::{Label, Provenance, VISIBLE_LABEL};
use maliang::run::dir::RunDir;
use maliang::{Error, Result};
use std::path::{Path, PathBuf};

/// How far pictures are moved along a direction where --strength does not say.
pub const STRENGTH: f32 = 2.0;
/// Animations are for looking at: small pictures are enlarged to this side.
pub const GIF_SIDE: usize = 128;
/// Hundredths of a second a frame.
pub const DELAY: u16 = 6;

pub struct Job<'a> {
    pub args: &'a GenerateArgs,
    pub label: Label,
    pub sampler: Sampler,
    pub class: Option<usize>,
    pub direction: Option<Direction>,
    pub directory: PathBuf,
}

impl Job<'_> {
    /// The beginning of every file name: what was asked for, so that different requests do not overwrite each other.
    pub fn prefix(&self) -> String {
        let class = self.args.class.as_ref().map_or(String::new(), |class| {
            let clean: String = class.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
            format!("-{clean}")
        });
        let truncation = if self.truncation() == 1.0 { String::new() } else { format!("-t{}", self.truncation()) };
        let moved = self.args.direction.map_or(String::new(), |k| format!("-d{k}{:+}", self.strength(STRENGTH)));
        format!("seed{}{class}{truncation}{moved}", self.args.seed)
    }

    pub fn create_directory(&self) -> Result<()> {
        std::fs::create_dir_all(&self.directory).map_err(|e| Error::io("create", &self.directory, &e))
    }

    pub fn truncation(&self) -> f32 {
        self.args.truncation.unwrap_or(1.0)
    }

    pub fn strength(&self, default: f32) -> f32 {
        self.args.strength.unwrap_or(default)
    }

    /// The class of picture `index`: the one asked for, else each in turn.
    pub fn class_of(&self, index: u64) -> usize {
        self.class.unwrap_or_else(|| self.sampler.class_of(index))
    }

    /// A class as recipes name it: not at all for an unconditional model.
    pub fn named(&self, class: usize) -> Option<usize> {
        (!self.sampler.info.config.classes().is_empty()).then_some(class)
    }

    /// Pictures from number `index` on, and the points they were moved to, if they were moved.
    pub fn make(&self, index: usize, count: usize) -> (Vec<Picture>, Vec<Option<Vec<f32>>>) {
        let numbers = index as u64..(index + count) as u64;
        let latents: Vec<_> =
            numbers.clone().map(|i| self.sampler.latent(self.args.seed, i, self.truncation())).collect();
        let classes: Vec<_> = numbers.map(|i| self.class_of(i)).collect();
        let Some(direction) = &self.direction else {
            return (self.sampler.pictures(&latents, &classes), vec![None; count]);
        };
        let strength = self.strength(STRENGTH);
        let z: Vec<_> = self.sampler.z(&latents).iter().map(|z| direction.moved(z, strength)).collect();
        (self.sampler.decoded(&z, &classes), z.into_iter().map(Some).collect())
    }

    pub fn provenance(&self, index: u64, class: Option<usize>, latent: &str) -> Provenance {
        self.sampler.provenance(&self.label, self.args.seed, index, class, self.truncation(), latent)
    }

    /// With the visible label, if asked for.
    pub fn finished(&self, picture: &Picture) -> Picture {
        if self.args.visible_label { caption(picture, VISIBLE_LABEL) } else { picture.clone() }
    }
}

/// `generated/` in a run directory; in the current directory for a checkpoint or a file.
pub fn default_directory(model: &Path) -> PathBuf {
    if RunDir::is_run(model) { model.join("generated") } else { PathBuf::from("generated") }
}
