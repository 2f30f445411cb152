//! What comes out of a model: pictures, animations and grids, all of them labelled.

pub mod font;
pub mod grid;
pub mod inversion;
pub mod latent;
pub mod palette;
pub mod picture;
pub(crate) mod preview;
pub mod sampler;
