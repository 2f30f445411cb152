//! Maliang: train, judge and generate with generative models of your own pictures.
//!
//! The library never prints, parses flags or opens sockets: it reports through typed events and errors.
#![deny(missing_docs)]

pub mod error;
pub mod rng;

pub use error::{Error, ErrorKind, Result};
