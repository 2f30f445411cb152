//! `maliang judge`: scores of a model, or of pictures that another program has made.

pub mod clock;
mod found;
pub mod model;
mod pictures;
pub mod place;
mod text;

use crate::args::JudgeArgs;
use maliang::Result;
use maliang::generate::locate::makes;
use maliang::makes::Makes;
use model::{Asked, PICTURES};

/// The extractor of features where the arguments do not say.
const FEATURES: &str = "randomconv";

/// Judges a model, prints a table, and writes `scores.json`, `report.html` and `card.md`.
pub fn run(args: &JudgeArgs) -> Result<()> {
    // A model that cannot be read is opened as one of pictures, which says what is wrong with it.
    match makes(&args.model).unwrap_or(Makes::Pictures) {
        Makes::Text => text::run(args),
        Makes::Pictures => run_pictures(args),
    }
}

fn run_pictures(args: &JudgeArgs) -> Result<()> {
    let features = args.features.as_deref().unwrap_or(FEATURES);
    let found = match pictures::instead_of_a_model(&args.model) {
        Some(source) => pictures::judge(&source, features, args)?,
        None => model::judge(&Asked {
            model: &args.model,
            number: args.number.unwrap_or(PICTURES),
            features,
            data: args.data.as_deref(),
            seed: args.seed,
            label: args.producer.label()?,
            output: args.output.as_deref(),
        })?,
    };
    found.print(args.json)
}
