//! Training: one loop that is safe against crashes, and one `step` a family that reads like its paper.
//!
//! The loop is shared because what it guards — checkpoints, exact resume, rollback — must exist once.

mod choose;
pub mod health;
mod init;
mod look;
pub mod observer;
mod pictures;
mod plateau;
mod race;
pub mod run;
mod session;
mod subject;
#[cfg(test)]
mod tests;
pub mod text;
mod trial;

pub use choose::{Choice, Request, candidates, choose, set};
pub use init::{Adopted, Donor};
pub use maliang_kernels::Precision;
pub use observer::{Event, Observer, Outcome, Unit};
pub use plateau::{PATIENCE, Plateau, plateau};
pub use race::Race;
pub use run::{Run, data_of, enough_pictures};
pub use trial::Trial;
