//! Scores of generated pictures. A metric knows no model family, and its name says its protocol.

mod features;
mod kid;

pub use features::RandomFeatures;
pub use kid::kid;
