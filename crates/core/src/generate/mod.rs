//! What comes out of a model: pictures, animations, grids and text, all of them labelled.

pub mod font;
pub mod grid;
pub mod inversion;
pub mod latent;
pub mod likelihoods;
pub mod locate;
pub mod palette;
pub mod picture;
pub(crate) mod preview;
pub mod sampler;
pub mod sampling;
pub(crate) mod stream;
pub mod text;
pub mod writer;
