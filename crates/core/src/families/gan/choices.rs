//! What GAN families choose alike.

use super::settings::{Augmentation, GanConfig};
use crate::Result;
use crate::families::choice::{Question, Reason};

/// Half-life, in pictures, of the average of generators that keep wandering about. Short runs are spared by the ramp-up
/// (`nn/optim.rs`). Lab L-43.
pub const LONG_EMA: f64 = 40_000.0;
/// Below this a discriminator has no time to memorise the pictures, and DiffAugment only slows it: lab L-02.
const FEW_EPOCHS: f64 = 60.0;

/// DiffAugment, or none where each picture is shown only a few times, at `speed` pictures a second.
///
/// # Errors
/// A setting of `[gan]` that does not exist or has another type.
pub fn augment(gan: &mut GanConfig, question: &Question, speed: f64) -> Result<Reason> {
    let epochs = question.budget.epochs(speed, question.report.distinct);
    Ok(if epochs < FEW_EPOCHS && question.given.get::<GanConfig>()?.ada == 0.0 {
        gan.augment.clear();
        let why = format!("each picture is shown only about {epochs:.0} times, too few to memorise it");
        ("augment", "none".into(), why)
    } else {
        let why = format!("each picture is shown about {epochs:.0} times: DiffAugment against memorising");
        ("augment", "all".into(), why)
    })
}

/// DiffAugment without its colours.
pub fn augment_without_colour(gan: &mut GanConfig) -> Reason {
    gan.augment.retain(|part| *part != Augmentation::Color);
    let why = "with frozen features, the changed colours of augmentation would remain in the pictures";
    ("augment", "no colour".into(), why.into())
}
