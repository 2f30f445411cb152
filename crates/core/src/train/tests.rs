//! Losses and optimiser against golden values, the choices, and the small rules.

mod choices;
mod losses;
mod optim;
mod trial;
