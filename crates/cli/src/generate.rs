//! `maliang generate`: pictures, a grid, or a looping animation from a trained model; pictures given by the user, rebuilt and
//! varied; tables of mixed styles; the neighbours of pictures. For models of text see [`text`].

mod given;
mod mix;
mod neighbours;
pub(crate) mod text;

use crate::args::{Format, GenerateArgs};
use crate::terminal::print;
use maliang::explain::{Direction, Directions};
use maliang::generate::grid::{caption, enlarge, grid};
use maliang::generate::latent::{SEEDED, closed_path};
use maliang::generate::locate::makes;
use maliang::generate::picture::{write_gif, write_png};
use maliang::generate::sampler::Sampler;
use maliang::makes::Makes;
use maliang::picture::Picture;
use maliang::provenance::label::{Label, Provenance, VISIBLE_LABEL};
use maliang::run::dir::RunDir;
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
/// How far pictures are moved along a direction where --strength does not say.
const STRENGTH: f32 = 2.0;
/// Farther than this no model was ever trained.
const FARTHEST: f32 = 20.0;
/// Hundredths of a second a frame.
const DELAY: u16 = 6;

/// Writes what the arguments ask for and prints the files.
pub fn run(args: &GenerateArgs) -> Result<()> {
    // A model that cannot be read is opened as one of pictures, which says what is wrong with it.
    match makes(&args.model).unwrap_or(Makes::Pictures) {
        Makes::Text => text::run(args),
        Makes::Pictures => run_pictures(args),
    }
}

fn run_pictures(args: &GenerateArgs) -> Result<()> {
    text::refuse_flags(args)?;
    check(args)?;
    let label = args.producer.label()?;
    let (sampler, warnings) = Sampler::open(&args.model)?;
    for warning in warnings {
        eprintln!("note: {warning}; using another checkpoint");
    }
    if args.mix && !sampler.mixes() {
        return Err(Error::input(format!("{} has no styles to mix", sampler.info.config.family()))
            .hint("train with --model fastgan or projected, whose early maps excite the later ones"));
    }
    let class = args.class.as_deref().map(|name| sampler.class(name)).transpose()?;
    let directory = args.output.clone().unwrap_or_else(|| default_directory(&args.model));
    let direction = args.direction.map(|k| direction(&args.model, &sampler, k)).transpose()?;
    let job = Job { args, label, sampler, class, direction, directory };
    if !args.from.is_empty() {
        return job.given();
    }
    if let Some(k) = args.neighbours {
        return job.neighbours(k);
    }
    if args.mix {
        return job.mix();
    }
    job.create_directory()?;
    match between(args) {
        Some(between) => job.interpolate(between),
        None => job.pictures(),
    }
}

fn check(args: &GenerateArgs) -> Result<()> {
    let number = args.number.unwrap_or(1);
    if !(1..=MOST).contains(&number) {
        return Err(Error::input(format!("-n {number} is out of range: 1 to {MOST}")));
    }
    let truncation = args.truncation.unwrap_or(1.0);
    if !(0.0..=4.0).contains(&truncation) {
        return Err(
            Error::input(format!("--truncation {truncation} is out of range: 0 to 4")).hint("0.7 is a good start")
        );
    }
    combinations(args)?;
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

/// Refuses flags that contradict each other, and those that would do nothing.
fn combinations(args: &GenerateArgs) -> Result<()> {
    let moving = between(args).is_some();
    let ways: Vec<&str> = [
        (!args.from.is_empty(), "--from"),
        (args.mix, "--mix"),
        (args.neighbours.is_some(), "--neighbours"),
        (args.direction.is_some(), "--direction"),
    ]
    .into_iter()
    .filter_map(|(given, name)| given.then_some(name))
    .collect();
    if let [one, another, ..] = ways[..] {
        return Err(Error::input(format!("{one} and {another} cannot be combined")).hint("ask for one at a time"));
    }
    let refuse = |what: &str, hint: &str| Err(Error::input(what).hint(hint));
    match ways.first() {
        Some(&"--from") if moving && args.from.len() < 2 => {
            refuse("a walk from a given picture needs another one to go to", "give --from twice or more")
        }
        Some(&"--from") if moving && args.format == Some(Format::Png) => {
            refuse("a walk between given pictures is an animation", "leave --format out")
        }
        Some(&"--from") if moving && (args.number.is_some() || args.strength.is_some()) => {
            refuse("a walk between given pictures visits these and no others", "leave -n and --strength out")
        }
        Some(&"--from") if args.truncation.is_some_and(|truncation| truncation != 1.0) => {
            refuse("--truncation does not change a given picture", "--strength says how far its variations go")
        }
        Some(&way) if moving && way != "--from" => {
            Err(Error::input(format!("{way} makes no animation")).hint("leave --interpolate and --format gif out"))
        }
        Some(&("--from" | "--direction")) => match args.strength {
            Some(strength) if strength.is_nan() || strength.abs() > FARTHEST => {
                Err(Error::input(format!("--strength {strength} is out of range: -{FARTHEST} to {FARTHEST}"))
                    .hint("0.3 to 1 varies a given picture, 1 to 3 moves along a direction"))
            }
            _ => Ok(()),
        },
        _ if args.strength.is_some() => {
            refuse("--strength needs --from or --direction", "it says how far pictures are varied or moved")
        }
        _ => Ok(()),
    }
}

/// Direction `k` of a model, as `maliang explain` found it.
fn direction(model: &Path, sampler: &Sampler, k: usize) -> Result<Direction> {
    let path = crate::explain::default_directory(model).join(maliang::explain::DIRECTIONS);
    let mut list = Directions::load(&path, sampler)?.list;
    if k >= list.len() {
        let message = format!("there is no direction {k}: the model has 0 to {}", list.len().saturating_sub(1));
        return Err(Error::input(message).hint("look at them in explain.html"));
    }
    Ok(list.swap_remove(k))
}

/// Frames from one picture of a walk to the next, where a walk is asked for.
fn between(args: &GenerateArgs) -> Option<usize> {
    args.interpolate.or_else(|| (args.format == Some(Format::Gif)).then_some(BETWEEN))
}

/// How many pictures a walk visits.
fn stations(args: &GenerateArgs) -> usize {
    if args.from.is_empty() { args.number.unwrap_or(8).max(2) } else { args.from.len() }
}

struct Job<'a> {
    args: &'a GenerateArgs,
    label: Label,
    sampler: Sampler,
    class: Option<usize>,
    direction: Option<Direction>,
    directory: PathBuf,
}

impl Job<'_> {
    /// The beginning of every file name: what was asked for, so that different requests do not overwrite each other.
    fn prefix(&self) -> String {
        let class = self.args.class.as_ref().map_or(String::new(), |class| {
            let clean: String = class.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
            format!("-{clean}")
        });
        let truncation = if self.truncation() == 1.0 { String::new() } else { format!("-t{}", self.truncation()) };
        let moved = self.args.direction.map_or(String::new(), |k| format!("-d{k}{:+}", self.strength(STRENGTH)));
        format!("seed{}{class}{truncation}{moved}", self.args.seed)
    }

    fn create_directory(&self) -> Result<()> {
        std::fs::create_dir_all(&self.directory).map_err(|e| Error::io("create", &self.directory, &e))
    }

    fn truncation(&self) -> f32 {
        self.args.truncation.unwrap_or(1.0)
    }

    fn strength(&self, default: f32) -> f32 {
        self.args.strength.unwrap_or(default)
    }

    /// The class of picture `index`: the one asked for, else each in turn.
    fn class_of(&self, index: u64) -> usize {
        self.class.unwrap_or_else(|| self.sampler.class_of(index))
    }

    /// A class as recipes name it: not at all for an unconditional model.
    fn named(&self, class: usize) -> Option<usize> {
        (!self.sampler.info.config.classes().is_empty()).then_some(class)
    }

    /// Pictures from number `index` on, and the points they were moved to, if they were moved.
    fn make(&self, index: usize, count: usize) -> (Vec<Picture>, Vec<Option<Vec<f32>>>) {
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

    fn provenance(&self, index: u64, class: Option<usize>, latent: &str) -> Provenance {
        self.sampler.provenance(&self.label, self.args.seed, index, class, self.truncation(), latent)
    }

    /// One file a picture, and a grid of the first ones.
    fn pictures(&self) -> Result<()> {
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
    fn interpolate(&self, between: usize) -> Result<()> {
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

    /// With the visible label, if asked for.
    fn finished(&self, picture: &Picture) -> Picture {
        if self.args.visible_label { caption(picture, VISIBLE_LABEL) } else { picture.clone() }
    }
}

/// `generated/` in a run directory; in the current directory for a checkpoint or a file.
fn default_directory(model: &Path) -> PathBuf {
    if RunDir::is_run(model) { model.join("generated") } else { PathBuf::from("generated") }
}
