//! The server in memory, with models of random weights.

mod faults;
mod guard;
mod images;
mod latent;
mod load;
mod models;
mod music;
mod openapi;
mod runs;
mod shelf;
mod steps;
mod support;
mod text;
