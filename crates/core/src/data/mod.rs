//! From a folder of pictures to batches: source → scan → check → decode and resize → cache → loader. Text: [`text`].
//!
//! ```no_run
//! # fn main() -> maliang::Result<()> {
//! use maliang::data::{self, DataConfig, Dataset, Loader, Source};
//! let config = DataConfig { source: "emoji:animals".into(), ..DataConfig::default() };
//! let scan = data::scan(&Source::parse(&config.source)?)?;
//! let dataset = Dataset::open(&config, &scan, "cache".as_ref(), &|_, _| ())?;
//! let batch = Loader::new(dataset.into(), 16, true, 7).batch(0);
//! assert_eq!(batch.pictures.len(), 16 * 64 * 64 * 3);
//! assert!(batch.condition.captions.iter().all(Option::is_some)); // the name of each emoji
//! assert!(batch.condition.classes.is_empty()); // the group has no classes
//! # Ok(()) }
//! ```

mod ahead;
mod archive;
mod build;
mod cache;
mod check;
mod config;
mod dataset;
mod decode;
mod emoji;
mod encoding;
mod folder;
mod gate;
mod given;
mod idx;
mod jpeg;
mod kept;
mod left_out;
mod listing;
mod loader;
mod manifest;
mod metadata;
mod phash;
pub mod preprocess;
mod quiet;
pub(crate) mod resize;
mod scan;
mod source;
mod split;
mod synthetic;
#[cfg(test)]
pub(crate) mod tests;
pub mod text;
mod twins;

pub use build::fingerprint;
pub use check::{CheckReport, Checked, NearPair, SizeSummary, check, too_small};
pub use config::{DataConfig, Fit};
pub use dataset::Dataset;
pub use given::{read_packet, read_picture, read_pictures};
pub use kept::KEPT_BYTES;
pub use loader::{Batch, Conditions, Loader};
pub use manifest::{Counts, Duplicate, Entry, Manifest, Split};
pub use scan::scan;
pub use source::{Item, OnProgress, Reject, Scan, Source, display_name, source_name};
pub use twins::Twins;
