//! What a model has learned, shown: directions of its latent space, what a discriminator looks at, and the training pictures
//! that its own pictures resemble.

mod directions;
mod figures;
mod saliency;
#[cfg(test)]
mod tests;

pub use directions::{Direction, Directions, Order, directions, sefa};
pub use figures::{Figure, direction_figures, named, neighbour_sheet, saliency_figure};
pub use saliency::{Critic, saliency};

/// The directory of a run that holds what was explained.
pub const DIRECTORY: &str = "explain";
/// In it, the file of directions.
pub const DIRECTIONS: &str = "directions.safetensors";
/// In it, the page.
pub const PAGE: &str = "explain.html";
