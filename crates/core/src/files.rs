//! Writing files so that a crash, a full disk or a power cut leaves either the old file or the new one, never a part.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// How the name of a file that is still being written ends; it begins with a dot.
const PARTIAL: &str = ".partial";

/// Writes `path` through `write` so that readers see the old file or the whole new one.
///
/// The bytes go to a temporary name in the same directory, are flushed and synced to the disk, and take the name
/// `path` in one rename; then the directory is synced, so that the rename itself survives a power cut.
///
/// # Errors
/// Whatever the operating system or `write` refuses, naming `path`. The earlier file is untouched and the partial
/// one removed.
pub fn write_atomic(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<()> {
    let directory = parent(path);
    let attempt = || -> io::Result<()> {
        let name = path.file_name().ok_or(io::Error::from(io::ErrorKind::InvalidInput))?.to_string_lossy();
        let (file, temporary) = partial_in(directory, &name)?.into_parts(); // removed on drop unless persisted
        let mut writer = BufWriter::new(file);
        write(&mut writer)?;
        let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        drop(file);
        temporary.persist(path)?;
        sync_directory(directory)
    };
    attempt().map_err(|source| Error::io("write", path, &source))
}

/// Writes all of `bytes` to `path`, atomically.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic(path, |writer| writer.write_all(bytes))
}

/// The text of a file of settings that a user names: at most a megabyte, whatever it is that is read.
///
/// # Errors
/// It cannot be read, is larger, or is not UTF-8.
pub fn read_settings(path: &Path) -> Result<String> {
    const MOST: u64 = 1 << 20;
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST + 1).read_to_end(&mut bytes));
    read.map_err(|source| Error::io("read", path, &source))?;
    if bytes.len() as u64 > MOST {
        return Err(Error::input(format!("{} is too large for settings", path.display()))
            .hint("give a file of settings (TOML)"));
    }
    String::from_utf8(bytes)
        .map_err(|_| Error::io("read", path, &io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8")))
}

/// A path as a shell reads it, for commands that the program prints.
pub fn quoted(path: impl AsRef<Path>) -> String {
    let text = path.as_ref().to_string_lossy();
    // No flag.
    let text = if text.starts_with('-') { format!("./{text}") } else { text.into_owned() };
    let plain = |c: char| c.is_alphanumeric() || "/._-:+,@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    if text.contains(char::is_control) {
        let escaped = |c: char| match c {
            '\\' | '\'' => format!("\\{c}"),
            c if c.is_ascii_control() => format!("\\x{:02x}", u32::from(c)),
            c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
            c => c.into(),
        };
        let escaped: String = text.chars().map(escaped).collect();
        return format!("$'{escaped}'");
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// BLAKE3 of the file's bytes, as 64 hexadecimal digits.
pub fn blake3_file(path: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    File::open(path)
        .and_then(|file| hasher.update_reader(file).map(|_| ()))
        .map_err(|source| Error::io("read", path, &source))?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Removes what killed writers left in `directory`: files that [`write_atomic`] had begun. Returns how many.
///
/// Only for a directory that no other process writes to at the moment (a run directory whose lock is held).
pub fn remove_partials(directory: &Path) -> Result<usize> {
    let mut removed = 0;
    for entry in std::fs::read_dir(directory).map_err(|source| Error::io("list", directory, &source))? {
        let entry = entry.map_err(|source| Error::io("list", directory, &source))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.ends_with(PARTIAL) {
            std::fs::remove_file(entry.path()).map_err(|source| Error::io("remove", entry.path(), &source))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// The directory of `path`; `.` for a bare file name, whose parent is the empty path.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    }
}

/// A new file `.name.RANDOM.partial`, with the permissions an ordinary file gets (tempfile's own default is 0600).
fn partial_in(directory: &Path, name: &str) -> io::Result<tempfile::NamedTempFile> {
    let prefix = format!(".{name}.");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(PARTIAL);
    #[cfg(unix)]
    let permissions = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666); // less the umask
    #[cfg(unix)]
    builder.permissions(permissions);
    builder.tempfile_in(directory)
}

#[cfg(unix)]
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Elsewhere a directory cannot be opened as a file; NTFS journals the rename itself.
#[cfg(not(unix))]
pub(crate) fn sync_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_as_shells_read_them() {
        for (path, word) in [
            ("runs/photos-1", "runs/photos-1"),
            ("照片/a b", "'照片/a b'"),
            ("it's", r"'it'\''s'"),
            ("-dash", "./-dash"),
            ("$HOME", "'$HOME'"),
            ("a\u{1b}'\\\u{85}", r"$'a\x1b\'\\\u0085'"),
        ] {
            assert_eq!(quoted(path), word);
        }
    }

    #[test]
    fn settings_are_read_up_to_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        std::fs::write(&path, "seed = 1").unwrap();
        assert_eq!(read_settings(&path).unwrap(), "seed = 1");
        std::fs::write(&path, [0xff]).unwrap();
        assert!(read_settings(&path).unwrap_err().message.contains("UTF-8"));
        if Path::new("/dev/zero").exists() {
            assert!(read_settings(Path::new("/dev/zero")).unwrap_err().message.contains("too large"));
        }
    }
    use crate::error::ErrorKind;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn writes_and_replaces() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.bin");
        write_bytes(&path, b"old").unwrap();
        write_bytes(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(names(directory.path()), ["a.bin"]);
    }

    /// The disk fills after half the bytes are out, past the writer's buffer.
    #[test]
    fn a_full_disk_keeps_the_old_file_and_leaves_no_partial() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.safetensors");
        write_bytes(&path, b"precious").unwrap();
        let error = write_atomic(&path, |writer| {
            writer.write_all(&[0; 100_000])?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        })
        .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Io);
        assert!(error.message.contains("model.safetensors"), "{error}");
        assert!(error.hint.unwrap().contains("disk is full"));
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        assert_eq!(names(directory.path()), ["model.safetensors"]);
    }

    #[test]
    fn a_missing_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = write_bytes(&directory.path().join("nowhere").join("a.bin"), b"x").unwrap_err();
        assert!(error.message.contains("nowhere"), "{error}");
        assert!(write_bytes(Path::new("/"), b"x").is_err());
        assert!(write_bytes(directory.path(), b"x").is_err(), "a directory is not replaced by a file");
    }

    #[cfg(unix)]
    #[test]
    fn files_get_ordinary_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let (ours, plain) = (directory.path().join("ours"), directory.path().join("plain"));
        write_bytes(&ours, b"x").unwrap();
        std::fs::write(&plain, b"x").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }

    #[test]
    fn partials_of_a_killed_writer_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        write_bytes(&directory.path().join("kept"), b"x").unwrap();
        let (_, left) = partial_in(directory.path(), "model").unwrap().keep().unwrap();
        assert!(left.exists());
        assert_eq!(remove_partials(directory.path()).unwrap(), 1);
        assert_eq!(names(directory.path()), ["kept"]);
    }

    #[test]
    fn hash_of_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("empty");
        write_bytes(&path, b"").unwrap();
        // The BLAKE3 test vector of the empty input.
        let expected = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(blake3_file(&path).unwrap(), expected);
        assert!(blake3_file(&directory.path().join("none")).is_err());
    }
}
