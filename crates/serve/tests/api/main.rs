//! The server in memory, with models of random weights.

mod faults;
mod guard;
mod images;
mod load;
mod openapi;
mod runs;
mod shelf;
mod support;
mod text;
