//! Maliang: train, judge and generate with generative models of your own pictures and texts.
//!
//! The library never prints, parses flags or opens sockets: it reports through typed events and errors.
#![deny(missing_docs)]

pub mod data;
pub mod device;
pub mod error;
pub mod explain;
pub mod families;
pub mod features;
pub mod files;
pub mod generate;
pub mod judge;
pub mod makes;
mod matrix;
pub mod music;
pub mod nn;
pub mod picture;
pub mod pretrained;
pub mod provenance;
pub mod report;
pub mod rng;
pub mod run;
#[cfg(test)]
mod tests;
pub mod train;
pub mod weights;

pub use error::{Error, ErrorKind, Result};
pub use maliang_kernels::workload;

/// Version of Maliang.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
