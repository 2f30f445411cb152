//! Where a file comes from and what it is: model weights in one file, the AI-generated label and the recipe in every
//! picture, text and sound.

pub(crate) mod container;
pub mod label;
pub mod recipe;
pub mod sound;
pub mod text;
pub mod xmp;
