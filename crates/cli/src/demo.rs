//! `maliang demo`: the whole way on built-in pictures, in about two minutes.

use crate::args::DemoArgs;
use crate::terminal::{self, free_directory, print};
use crate::train::begin::{look_at, start};
use maliang::data::KEPT_BYTES;
use maliang::generate::grid::grid;
use maliang::generate::latent::closed_path;
use maliang::generate::picture::write_gif;
use maliang::generate::sampler::Sampler;
use maliang::picture::Picture;
use maliang::provenance::label::Label;
use maliang::run::dir::RunDir;
use maliang::train::{self, Request, set};
use maliang::{Error, Result, report};
use std::path::Path;
use toml::{Table, Value};

/// The built-in pictures that show best in two minutes: one kind of thing, in one place, in few colours.
const SOURCE: &str = "emoji:faces";
/// Side of the pictures.
const SIDE: usize = 32;
/// Pictures that walk side by side in the animation, in rows of four.
const WALKERS: usize = 8;

/// Trains, animates, reports, and prints where everything is and what to try next.
pub fn run(args: &DemoArgs) -> Result<()> {
    if !(args.minutes > 0.0 && args.minutes <= 1e6) {
        return Err(Error::input(format!("--minutes {} is not a time", args.minutes)).hint("for example --minutes 2"));
    }
    terminal::catch_interrupts()?;
    let (scan, checked) = look_at(SOURCE, KEPT_BYTES)?;
    let mut settings = Table::new();
    set(&mut settings, "train.minutes", Value::Float(args.minutes));
    let request = Request {
        source: SOURCE.into(),
        family: Some("dcgan".into()),
        size: Some((SIDE, SIDE)),
        settings,
        features: false,
    };
    let choice = train::choose(&request, &checked)?;
    let out = args.out.clone().unwrap_or_else(|| free_directory(Path::new("runs"), "demo"));
    let (outcome, dir) = start(RunDir::new(out), &choice, &scan, None)?;
    if !outcome.finished {
        return Ok(());
    }
    animate(&dir)?;
    report::write(&dir.file("report.html"), &report::of_run(&dir)?)?;
    let root = dir.root().display();
    let last = dir.samples().pop().map(|(_, path)| path.display().to_string()).unwrap_or_default();
    print(format!("pictures    {last}"))?;
    print(format!("animation   {}", dir.file("animation.gif").display()))?;
    print(format!("report      {}   (open it in a browser)", dir.file("report.html").display()))?;
    print(format!(
        "\nnext, try:\n  maliang generate {root} -n 64 --seed 7\n  maliang generate {root} --interpolate 8\n  \
         maliang train YOUR-PICTURES/"
    ))
}

/// Writes `animation.gif`: several pictures that walk through the latent space side by side.
fn animate(dir: &RunDir) -> Result<()> {
    let (sampler, _) = Sampler::open(dir.root())?;
    let walks: Vec<Vec<Picture>> = (0..WALKERS as u64)
        .map(|walker| {
            let anchors: Vec<_> = (0..4).map(|i| sampler.latent(walker, i, 0.9)).collect();
            let path = closed_path(&anchors, 8);
            sampler.pictures(&path, &vec![0; path.len()])
        })
        .collect();
    let frames: Vec<Picture> = (0..walks[0].len())
        .map(|i| grid(&walks.iter().map(|walk| walk[i].clone()).collect::<Vec<_>>(), WALKERS / 2, None))
        .collect();
    let words = format!("{WALKERS} walks of seeds 0 to {}, slerp through numbers 0 to 3, 8 frames each", WALKERS - 1);
    let provenance = sampler.provenance(&Label::default(), 0, 0, None, 0.9, &words);
    write_gif(&dir.file("animation.gif"), &frames, 8, &provenance)
}
