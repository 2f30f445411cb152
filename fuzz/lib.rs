//! What the targets share: the reader of a source takes a path, so the bytes go to a file that is written anew each time.

use std::path::PathBuf;
use std::sync::LazyLock;

use tempfile::TempDir;

static PLACE: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().expect("a directory for temporary files"));

/// A file of this name inside a directory of this process's own, with `bytes` in it.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = PLACE.path().join(name);
    std::fs::create_dir_all(path.parent().expect("a file in a directory")).expect("a writable directory");
    std::fs::write(&path, bytes).expect("a writable file");
    path
}

/// Everything that `maliang data check` does with pictures at `path`.
pub fn check_pictures(path: &std::path::Path) {
    let source = path.to_str().expect("a temporary directory with a name in UTF-8");
    let Ok(scan) = maliang::data::Source::parse(source).and_then(|source| maliang::data::scan(&source)) else { return };
    let _ = maliang::data::check(&scan, &|_, _| ());
}
