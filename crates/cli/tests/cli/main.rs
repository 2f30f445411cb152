//! The program as its users meet it: every test runs the real binary in a directory of its own.

mod again;
mod before;
mod bench;
mod control;
mod damage;
mod devices;
mod explain;
mod families;
mod given;
mod input;
mod jobs;
mod judge;
mod labels;
#[path = "../../../core/src/data/tests/lookup.rs"]
mod lookup;
mod path;
mod serve;
#[cfg(unix)]
mod signals;
#[cfg(target_os = "linux")]
mod storage;
mod studio;
mod support;
mod texts;
mod weights;
mod writing;
