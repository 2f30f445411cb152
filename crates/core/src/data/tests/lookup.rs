//! What tests need that the repository does not hold: real data, programs, rights. A test that lacks it is skipped.
//!
//! Real data lies in `MALIANG_TEST_DATA`, or in `../shared/data` beside the workspace. A skip appends the line
//! `test<TAB>reason` to the file that `MALIANG_TEST_SKIPS` names. With `CI=true` it is a failure, but for what
//! [`UNAVOIDABLE`] lists. The tests of the command line include this file, too.

use std::io::Write;
use std::path::{Path, PathBuf};

/// What a fresh machine may truly lack, and why.
const UNAVOIDABLE: [(&str, &str); 2] = [
    ("the right to mount a file system", "containers withhold it, even from root, and no package brings it"),
    (
        "AVX-512, with which the fixture was made",
        "other vector instructions round otherwise, so bytes are not compared",
    ),
];

/// A real data set or file. Where there is none, the test is skipped.
#[track_caller]
pub(crate) fn real(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let path = std::env::var_os("MALIANG_TEST_DATA").map_or_else(beside, PathBuf::from).join(name);
    if !path.exists() {
        let remedy = format!("looked for {}; MALIANG_TEST_DATA may name another folder of all data", path.display());
        skip(&format!("the real data {name}"), &remedy);
        return None;
    }
    Some(path)
}

/// Records that the running test is skipped, wholly or from here on, because `lacking` is missing.
#[track_caller]
pub(crate) fn skip(lacking: &str, remedy: &str) {
    let thread = std::thread::current();
    let test = thread.name().expect("the thread of a test is named after it");
    let listed = UNAVOIDABLE.iter().find(|(what, _)| *what == lacking);
    let reason = format!("lacks {lacking}: {}", listed.map_or(remedy, |(_, why)| why));
    let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(listed.is_some() || !ci, "with CI=true no test may be skipped, and this one {reason}");
    eprintln!("SKIPPED: {reason}");
    if let Some(list) = std::env::var_os("MALIANG_TEST_SKIPS") {
        let list = std::fs::OpenOptions::new().create(true).append(true).open(list);
        // One write, so that tests of many threads and processes do not mix their lines.
        list.unwrap().write_all(format!("{test}\t{reason}\n").as_bytes()).unwrap();
    }
}
