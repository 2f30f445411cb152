//! What lies on disk of a run, and the files that models are: below generation and training, which both read it.

pub mod checkpoint;
pub mod config;
pub mod counters;
pub mod dir;
pub mod log;
pub mod model_file;
