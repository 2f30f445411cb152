//! Where the real data sets are: `MALIANG_TEST_DATA`, or `../shared/data` beside the workspace.

use std::path::{Path, PathBuf};

/// A real data set or file, or a clear word that its test was skipped.
pub(crate) fn real(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let path = std::env::var_os("MALIANG_TEST_DATA").map_or_else(beside, PathBuf::from).join(name);
    if !path.exists() {
        eprintln!("SKIPPED: there is no {name} here; set MALIANG_TEST_DATA to the folder that holds it");
        return None;
    }
    Some(path)
}
