//! Scores of generated pictures; those of text are in [`text`]. A metric knows no model family, and its name says its protocol.

mod claim;
mod collapse;
mod copying;
mod draw;
mod estimate;
mod feature_cache;
mod frechet;
mod judgement;
mod kid;
mod likelihood;
mod nearness;
mod neighbours;
mod pixels;
mod prdc;
mod products;
mod random;
mod score_name;
mod table;
#[cfg(test)]
mod tests;
pub mod text;

pub use claim::{Checked, Claim, Pass, Protocol};

pub use collapse::{Collapse, diversity, duplicate_rate};
pub use copying::{Copying, Pair, Space};
pub use draw::permutation;
pub use estimate::Estimate;
pub use frechet::{extrapolated, frechet, frechet_interval};
pub use judgement::{Better, FEWEST, Given, JudgedModel, Judgement, OnStage, Options, Score, judge, proportional};
pub use kid::{REPLICATES, kid, kid_interval, kid_noise};
pub use likelihood::{Bounds, Likelihood};
pub use nearness::{Match, Measures, Training, Verdict, matches, measures, verdict};
pub use neighbours::neighbours;
pub use pixels::Pixels;
pub use prdc::{Prdc, prdc};
pub use products::{Neighbour, Search, nearest};
pub use random::RandomFeatures;
pub use score_name::{Bound, Measure, Metric, ScoreName, Side};
pub use table::{Row, number};

use crate::features::Extractor;
use crate::pretrained::{EFFICIENTNET_LITE0, Store};
use crate::{Error, Result, device};

/// EfficientNet-Lite0 where its weights are in `store`, else the extractor that needs none.
///
/// # Errors
/// Weights that are damaged.
pub fn best_extractor(store: &Store) -> Result<Box<dyn Extractor>> {
    extractor(if store.has(EFFICIENTNET_LITE0) { "effnetlite0" } else { "randomconv" }, store)
}

/// The extractor called `name`, as in a metric's name; a trained one from the weights in `store`.
///
/// # Errors
/// There is none of that name.
pub fn extractor(name: &str, store: &Store) -> Result<Box<dyn Extractor>> {
    match name {
        "randomconv" => Ok(Box::new(RandomFeatures::new(&device::cpu()))),
        "effnetlite0" => match store.efficientnet_lite0(&device::cpu())? {
            Some(network) => Ok(Box::new(network)),
            None => Err(Error::input("the weights of EfficientNet-Lite0 are not installed")
                .hint("maliang weights get efficientnet-lite0, or judge with --features randomconv")),
        },
        "inception" => match store.inception(&device::cpu())? {
            Some(network) => Ok(Box::new(network)),
            None => Err(Error::input("the weights of FID's Inception network are not installed")
                .hint("maliang weights get inception says where they are; or judge with --features randomconv")),
        },
        _ => Err(Error::input(format!("there is no feature extractor \"{name}\"")).hint(
            "there are: randomconv (built in, needs no download), effnetlite0 and inception (maliang weights get … says how)",
        )),
    }
}
