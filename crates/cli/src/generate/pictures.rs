//! `maliang generate`: pictures, one file each, and walks from picture to picture.

use super::flags::stations;
use super::job::{DELAY, GIF_SIDE, Job, STRENGTH};
use crate::args::Format;
use crate::terminal::print;
use maliang::Result;
use maliang::generate::grid::{enlarge, grid};
use maliang::generate::latent::{SEEDED, closed_path};
use maliang::generate::picture::{write_gif, write_png};
use maliang::picture::Picture;

/// Pictures in the grid beside single files, at most.
const GRID: usize = 144;

impl Job<'_> {
    /// One file a picture, and a grid of the first ones.
    pub fn pictures(&self) -> Result<()> {
        let number = self.args.number.unwrap_or(64);
        let prefix = self.prefix();
        let mut shown = Vec::new();
        let moved = self.args.direction.map(|k| format!("moved {} along direction {k}", self.strength(STRENGTH)));
        for start in (0..number).step_by(64) {
            let (pictures, points) = self.make(start, 64.min(number - start));
            for (i, (picture, z)) in pictures.into_iter().zip(points).enumerate() {
                let index = start + i;
                let class = self.named(self.class_of(index as u64));
                let path = self.directory.join(format!("{prefix}-{index:04}.png"));
                let words = moved.as_ref().map_or(SEEDED.into(), |moved| format!("{SEEDED}, {moved}"));
                let mut provenance = self.provenance(index as u64, class, &words);
                provenance.recipe.z = z;
                write_png(&path, &self.finished(&picture), &provenance)?;
                if shown.len() < GRID {
                    shown.push(picture);
                }
            }
        }
        print(format!("{}", self.directory.join(format!("{prefix}-0000.png")).display()))?;
        if number > 1 {
            let last = self.directory.join(format!("{prefix}-{:04}.png", number - 1));
            let path = self.directory.join(format!("{prefix}-grid.png"));
            let sheet = grid(&shown, 0, Some(&format!("seed {}", self.args.seed)));
            let moved = moved.map_or(String::new(), |moved| format!(", {moved}"));
            let words = format!("grid of numbers 0 to {}{moved}", shown.len() - 1);
            write_png(&path, &sheet, &self.provenance(0, self.class, &words))?;
            print(format!("… {}", last.display()))?;
            print(format!("{}", path.display()))?;
        }
        Ok(())
    }

    /// A walk from picture to picture and back to the first.
    pub fn interpolate(&self, between: usize) -> Result<()> {
        let stations = stations(self.args);
        let frames = stations * between;
        let anchors: Vec<_> =
            (0..stations as u64).map(|i| self.sampler.latent(self.args.seed, i, self.truncation())).collect();
        let path = closed_path(&anchors, between);
        // Without --class the walk stays in the first class: jumps between classes would not be smooth.
        let class = self.class.unwrap_or(0);
        let pictures = self.sampler.pictures(&path, &vec![class; path.len()]);
        let words = format!("slerp through numbers 0 to {} and back, {between} frames each", stations - 1);
        let named = self.named(class);
        let provenance = self.provenance(0, named, &words);
        let prefix = self.prefix();
        if self.args.format == Some(Format::Png) {
            for (i, picture) in pictures.iter().enumerate() {
                let path = self.directory.join(format!("{prefix}-walk-{i:04}.png"));
                let own = self.provenance(i as u64, named, &format!("frame {i} of {words}"));
                write_png(&path, &self.finished(picture), &own)?;
            }
            let name = |i: usize| self.directory.join(format!("{prefix}-walk-{i:04}.png"));
            return print(format!("{}\n… {}", name(0).display(), name(frames - 1).display()));
        }
        let path = self.directory.join(format!("{prefix}-walk.gif"));
        let frames: Vec<Picture> = pictures.iter().map(|picture| self.finished(&enlarge(picture, GIF_SIDE))).collect();
        write_gif(&path, &frames, DELAY, &provenance)?;
        print(format!("{}", path.display()))
    }
}
