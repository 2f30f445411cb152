//! `generate --neighbours`: pictures beside the training pictures that they resemble most.

use super::job::Job;
use crate::judge::clock::Clock;
use crate::judge::place::run_of;
use crate::terminal::{cache_dir, print, weights_store};
use maliang::explain::neighbour_sheet;
use maliang::generate::picture::write_png;
use maliang::judge::{best_extractor, neighbours};
use maliang::{Error, Result, train};

/// Pictures where -n does not say, and at most: they share a grid.
const PICTURES: usize = 8;
const MOST: usize = 64;
/// Neighbours of each, at most.
const MOST_NEIGHBOURS: usize = 12;

impl Job<'_> {
    /// A row a picture: the picture, then its `k` nearest training pictures.
    pub fn neighbours(&self, k: usize) -> Result<()> {
        let n = self.args.number.unwrap_or(PICTURES);
        if n > MOST {
            return Err(Error::input(format!("-n {n} pictures are too many for a grid: at most {MOST}")));
        }
        if !(1..=MOST_NEIGHBOURS).contains(&k) {
            return Err(Error::input(format!("--neighbours={k} is out of range: 1 to {MOST_NEIGHBOURS}")));
        }
        let Some(run) = run_of(&self.args.model) else {
            let model = self.args.model.display();
            return Err(Error::input(format!("{model} is not in a run, so its training pictures are not known"))
                .hint("give the run directory instead"));
        };
        let data = train::data_of(&run, &run.config()?, &cache_dir())?;
        let extractor = best_extractor(&weights_store())?;
        self.create_directory()?;
        let pictures = self.make(0, n).0;
        let clock = Clock::start();
        let on_progress = |done: usize, all: usize| clock.at("training pictures", done, all);
        let found = neighbours(&pictures, &data, &*extractor, k, &cache_dir(), &on_progress);
        clock.stop();
        let name = extractor.name();
        let words = format!("grid of numbers 0 to {}, each with its {k} nearest training pictures by {name}", n - 1);
        let path = self.directory.join(format!("{}-neighbours-grid.png", self.prefix()));
        let provenance = self.provenance(0, self.class, &words);
        write_png(&path, &neighbour_sheet(&pictures, &found, &data), &provenance)?;
        tell!("nearest by {name}: similar pictures need not have caused the generated one");
        print(path.display().to_string())
    }
}
