//! `generate --from`: pictures that the user gives, found in the model, rebuilt and varied, or walked between.

use super::flags::between;
use super::job::{DELAY, GIF_SIDE, Job};
use crate::judge::clock::Clock;
use crate::judge::place::run_of;
use crate::terminal::{print, weights_store};
use maliang::data;
use maliang::explain::named;
use maliang::generate::grid::{enlarge, grid};
use maliang::generate::inversion::{self, Found, Method, Request};
use maliang::generate::latent::closed_path;
use maliang::generate::picture::{write_gif, write_png};
use maliang::picture::Picture;
use maliang::provenance::recipe::Recipe;
use maliang::run::dir::RunDir;
use maliang::{Error, Result};
use std::path::Path;

/// Variations where -n does not say, and at most: they share a grid.
const VARIATIONS: usize = 8;
const MOST: usize = 140;
/// How far they go where --strength does not say: the latent vector's own numbers have a deviation of 1.
const STRENGTH: f32 = 0.5;

/// A picture that the user gave, and where it lies in the model.
struct Given {
    /// The beginning of the names of its files.
    name: String,
    picture: Picture,
    found: Found,
}

impl Job<'_> {
    /// Finds each picture; then a grid of variations of each, or a walk through all.
    pub fn given(&self) -> Result<()> {
        let number = self.args.number.unwrap_or(VARIATIONS);
        if number > MOST {
            return Err(Error::input(format!("-n {number} variations are too many for a grid: at most {MOST}")));
        }
        let run = run_of(&self.args.model).as_ref().map(RunDir::config).transpose()?;
        let config = inversion::prepared_as(&self.sampler, run);
        let pictures = self.args.from.iter().map(|path| inversion::read(path, &config)).collect::<Result<Vec<_>>>()?;
        self.create_directory()?;
        let found = self.args.from.iter().zip(pictures).enumerate();
        let found = found.map(|(i, (path, picture))| self.find(i, path, picture)).collect::<Result<Vec<_>>>()?;
        match between(self.args) {
            Some(between) => self.walk(&found, between),
            None => found.iter().try_for_each(|given| self.vary(given, number)),
        }
    }

    /// The latent vector of a picture: from its label where the picture is this model's own, else encoded or searched for.
    fn find(&self, i: usize, path: &Path, (picture, recipe): (Picture, Option<Recipe>)) -> Result<Given> {
        let stem = path.file_stem().map_or_else(|| "picture".into(), |stem| stem.to_string_lossy().into_owned());
        let clean: String = stem.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        let number = if self.args.from.len() > 1 { format!("-{}", i + 1) } else { String::new() };
        let name = format!("{}{number}-{clean}-from", self.prefix());
        let shown = data::display_name(&path.display().to_string());
        let own = recipe.and_then(|recipe| inversion::from_label(&self.sampler, &picture, &recipe));
        let found = match own.filter(|found| self.class.is_none_or(|class| class == found.class)) {
            Some(found) => found,
            None => self.search(&picture)?,
        };
        match found.method {
            Method::Label => tell!("{shown}: made by this model; its label gives the exact latent vector"),
            Method::Encoder => {
                tell!("{shown}: encoded; the rebuilt picture differs by {:.1} of 255 levels", found.levels);
            }
            Method::Search { steps, before, after } => tell!(
                "{shown}: searched for in {steps} steps (distance {before:.4} → {after:.4}); the rebuilt picture differs by {:.1} \
                 of 255 levels",
                found.levels
            ),
        }
        Ok(Given { name, picture, found })
    }

    fn search(&self, picture: &Picture) -> Result<Found> {
        // An encoder needs no search, and so no feature network.
        let features =
            if self.sampler.encodes() { None } else { weights_store().efficientnet_lite0(&maliang::device::cpu())? };
        let request = Request { class: self.class, seed: self.args.seed, eyes: features.as_ref() };
        let clock = Clock::start();
        let found = inversion::invert(&self.sampler, picture, &request, &|done, all| clock.at("searching", done, all));
        clock.stop();
        Ok(found)
    }

    /// The rebuilt picture and `number` variations of it, one file each, and a grid that begins with the given one.
    fn vary(&self, given: &Given, number: usize) -> Result<()> {
        let Given { name, picture, found } = given;
        let strength = self.strength(STRENGTH);
        let class = self.named(found.class);
        let points = inversion::around(&self.sampler, &found.z, strength, self.args.seed, number);
        let variations = self.sampler.decoded(&points, &vec![found.class; number]);
        let mut cells = vec![named(picture, "given"), named(&found.picture, "rebuilt")];
        cells.extend(variations.iter().map(|variation| named(variation, "variation")));

        let made = std::iter::once((&found.picture, &found.z)).chain(variations.iter().zip(&points));
        for (i, (picture, z)) in made.enumerate() {
            let mut words = found.words();
            if i > 0 {
                words += &format!(", plus {strength} times N(0, 1) of seed and number {}", i - 1);
            }
            let mut provenance = self.provenance(i as u64, class, &words);
            provenance.recipe.z = Some(z.clone());
            write_png(&self.directory.join(format!("{name}-{i:04}.png")), &self.finished(picture), &provenance)?;
        }
        let path = |end: &str| self.directory.join(format!("{name}-{end}.png")).display().to_string();
        let mut provenance = self.provenance(0, class, &format!("grid: {}, {number} variations", found.words()));
        provenance.recipe.z = Some(found.z.clone());
        let sheet = grid(&cells, 0, Some("all but the given picture"));
        write_png(&self.directory.join(format!("{name}-grid.png")), &sheet, &provenance)?;
        print(path("0000"))?;
        print(format!("… {}", path(&format!("{number:04}"))))?;
        print(path("grid"))
    }

    /// A walk from picture to picture and back to the first.
    fn walk(&self, given: &[Given], between: usize) -> Result<()> {
        let anchors: Vec<Vec<f32>> = given.iter().map(|given| given.found.z.clone()).collect();
        let path = closed_path(&anchors, between);
        // Jumps between classes would not be smooth.
        let class = given[0].found.class;
        if given.iter().any(|given| given.found.class != class) {
            let name = &self.sampler.info.config.classes()[class];
            tell!("note: the pictures are of different classes; the walk stays in \"{name}\" (--class chooses)");
        }
        let pictures = self.sampler.decoded(&path, &vec![class; path.len()]);
        let frames: Vec<Picture> = pictures.iter().map(|picture| self.finished(&enlarge(picture, GIF_SIDE))).collect();
        let words =
            format!("slerp through the projections of {} given pictures and back, {between} frames each", given.len());
        let mut provenance = self.provenance(0, self.named(class), &words);
        // All stations, one after the other.
        provenance.recipe.z = Some(anchors.concat());
        let path = self.directory.join(format!("{}-from-walk.gif", self.prefix()));
        write_gif(&path, &frames, DELAY, &provenance)?;
        print(path.display().to_string())
    }
}
