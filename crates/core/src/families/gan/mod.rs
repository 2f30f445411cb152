//! What all GAN families share: the players' traits, one step of training, losses, penalties and settings.

pub mod augment;
pub mod choices;
pub mod losses;
pub mod penalties;
pub mod players;
pub mod settings;
pub mod step;
