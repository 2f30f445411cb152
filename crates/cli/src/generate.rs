//! `maliang generate`: pictures, a grid, or a looping animation from a trained model; pictures given by the user, rebuilt and
//! varied; tables of mixed styles; the neighbours of pictures. For models of text see [`text`].

mod flags;
mod given;
mod job;
mod mix;
mod neighbours;
mod pictures;
pub(crate) mod text;

use crate::args::GenerateArgs;
use flags::{Abilities, between, check};
use job::{Job, default_directory};
use maliang::explain::{Direction, Directions};
use maliang::generate::locate::makes;
use maliang::generate::sampler::Sampler;
use maliang::makes::Makes;
use maliang::{Error, Result};
use std::path::Path;

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
        tell!("note: {warning}; using another checkpoint");
    }
    let abilities = Abilities { latent: sampler.has_latent(), styles: sampler.mixes() };
    abilities.check(args, sampler.info.config.family())?;
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
