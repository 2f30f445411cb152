//! Where a file comes from and what it is: model weights in one file, the AI-generated label and the recipe in every
//! picture.

pub mod bundle;
pub mod card;
pub(crate) mod container;
pub mod label;
pub mod weights;
pub mod xmp;
