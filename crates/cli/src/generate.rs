//! `maliang generate`: pictures, a grid, or a looping animation from a trained model.

use crate::args::{Format, GenerateArgs};
use crate::terminal::print;
use maliang::generate::grid::{caption, enlarge, grid};
use maliang::generate::latent::closed_path;
use maliang::generate::picture::{Picture, write_gif, write_png};
use maliang::generate::sampler::Sampler;
use maliang::provenance::label::{Label, VISIBLE_LABEL};
use maliang::train::RunDir;
use maliang::{Error, Result};
use std::path::{Path, PathBuf};

/// More pictures than this in one call are surely a slip of the keyboard.
const MOST: usize = 100_000;
/// Frames of an animation, at most: it is held in memory.
const MOST_FRAMES: usize = 5_000;
/// Pictures in the grid beside single files, at most.
const GRID: usize = 144;
/// Animations are for looking at: small pictures are enlarged to this side.
const GIF_SIDE: usize = 128;
/// Frames from one picture to the next where --interpolate does not say.
const BETWEEN: usize = 12;
/// Hundredths of a second a frame.
const DELAY: u16 = 6;

/// Writes what the arguments ask for and prints the files.
pub fn run(args: &GenerateArgs) -> Result<()> {
    check(args)?;
    let label = args.producer.as_deref().map_or(Ok(Label::default()), Label::registered)?;
    let (sampler, warnings) = Sampler::open(&args.model)?;
    for warning in warnings {
        eprintln!("note: {warning}; using another checkpoint");
    }
    let class = args.class.as_deref().map(|name| sampler.class(name)).transpose()?;
    let directory = args.output.clone().unwrap_or_else(|| default_directory(&args.model));
    std::fs::create_dir_all(&directory).map_err(|e| Error::io("create", &directory, &e))?;
    let job = Job { args, label, sampler, class, directory };
    match args.interpolate {
        Some(between) => job.interpolate(between),
        None if args.format == Some(Format::Gif) => job.interpolate(BETWEEN),
        None => job.pictures(),
    }
}

fn check(args: &GenerateArgs) -> Result<()> {
    let number = args.number.unwrap_or(1);
    if !(1..=MOST).contains(&number) {
        return Err(Error::input(format!("-n {number} is out of range: 1 to {MOST}")));
    }
    if !(0.0..=4.0).contains(&args.truncation) {
        return Err(Error::input(format!("--truncation {} is out of range: 0 to 4", args.truncation))
            .hint("0.7 is a good start"));
    }
    if args.interpolate == Some(0) {
        return Err(
            Error::input("--interpolate 0 has no frames").hint("8 to 16 frames between two pictures look smooth")
        );
    }
    if args.interpolate.is_some() || args.format == Some(Format::Gif) {
        let frames = stations(args).saturating_mul(args.interpolate.unwrap_or(BETWEEN));
        if frames > MOST_FRAMES {
            return Err(Error::input(format!("an animation of {frames} frames is too long: at most {MOST_FRAMES}"))
                .hint("ask for fewer pictures with -n, or fewer frames between them with --interpolate"));
        }
    }
    Ok(())
}

/// How many pictures a walk visits.
fn stations(args: &GenerateArgs) -> usize {
    args.number.unwrap_or(8).max(2)
}

struct Job<'a> {
    args: &'a GenerateArgs,
    label: Label,
    sampler: Sampler,
    class: Option<usize>,
    directory: PathBuf,
}

impl Job<'_> {
    /// The beginning of every file name: what was asked for, so that different requests do not overwrite each other.
    fn prefix(&self) -> String {
        let class = self.args.class.as_ref().map_or(String::new(), |class| {
            let clean: String = class.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
            format!("-{clean}")
        });
        let truncation =
            if self.args.truncation == 1.0 { String::new() } else { format!("-t{}", self.args.truncation) };
        format!("seed{}{class}{truncation}", self.args.seed)
    }

    fn make(&self, index: usize, count: usize) -> Vec<Picture> {
        let numbers = index as u64..(index + count) as u64;
        let latents: Vec<_> =
            numbers.clone().map(|i| self.sampler.latent(self.args.seed, i, self.args.truncation)).collect();
        let classes: Vec<_> = numbers.map(|i| self.class.unwrap_or_else(|| self.sampler.class_of(i))).collect();
        self.sampler.pictures(&latents, &classes)
    }

    fn provenance(&self, index: u64, class: Option<usize>, latent: &str) -> maliang::provenance::label::Provenance {
        self.sampler.provenance(&self.label, self.args.seed, index, class, self.args.truncation, latent)
    }

    /// One file a picture, and a grid of the first ones.
    fn pictures(&self) -> Result<()> {
        let number = self.args.number.unwrap_or(64);
        let prefix = self.prefix();
        let mut shown = Vec::new();
        for start in (0..number).step_by(64) {
            for (i, picture) in self.make(start, 64.min(number - start)).into_iter().enumerate() {
                let index = start + i;
                let class = self.class.or_else(|| {
                    (!self.sampler.info.config.classes().is_empty()).then(|| self.sampler.class_of(index as u64))
                });
                let path = self.directory.join(format!("{prefix}-{index:04}.png"));
                let provenance = self.provenance(index as u64, class, "z ~ N(0, 1) of seed and index");
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
            let words = format!("grid of numbers 0 to {}", shown.len() - 1);
            write_png(&path, &sheet, &self.provenance(0, self.class, &words))?;
            print(format!("… {}", last.display()))?;
            print(format!("{}", path.display()))?;
        }
        Ok(())
    }

    /// A walk from picture to picture and back to the first.
    fn interpolate(&self, between: usize) -> Result<()> {
        let stations = stations(self.args);
        let frames = stations * between;
        let anchors: Vec<_> =
            (0..stations as u64).map(|i| self.sampler.latent(self.args.seed, i, self.args.truncation)).collect();
        let path = closed_path(&anchors, between);
        // Without --class the walk stays in the first class: jumps between classes would not be smooth.
        let class = self.class.unwrap_or(0);
        let pictures = self.sampler.pictures(&path, &vec![class; path.len()]);
        let words = format!("slerp through numbers 0 to {} and back, {between} frames each", stations - 1);
        let named = (!self.sampler.info.config.classes().is_empty()).then_some(class);
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

    /// With the visible label, if asked for.
    fn finished(&self, picture: &Picture) -> Picture {
        if self.args.visible_label { caption(picture, VISIBLE_LABEL) } else { picture.clone() }
    }
}

/// `generated/` in a run directory; in the current directory for a checkpoint or a file.
fn default_directory(model: &Path) -> PathBuf {
    if RunDir::is_run(model) { model.join("generated") } else { PathBuf::from("generated") }
}
