//! The one error type of the library: what happened, where, and what to try.

use std::path::Path;

/// What kind of failure an [`Error`] is. The command line turns it into an exit code, a server into a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The user's data, flag or configuration cannot be used as given.
    Input,
    /// The operating system refused: missing file, no permission, disk full.
    Io,
    /// A file of ours is damaged: wrong checksum, impossible header, wrong shapes.
    Corrupt,
    /// Another process is using the run directory.
    Locked,
    /// Training diverged or collapsed and the bounded retries are used up.
    Diverged,
    /// A bug in Maliang.
    Internal,
}

/// An error with one clear sentence, and where it helps a second one that says what to try.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind of failure this is.
    pub kind: ErrorKind,
    /// What happened and where, in one sentence without a final full stop.
    pub message: String,
    /// What to try, in one sentence.
    pub hint: Option<String>,
}

/// Result with the library's [`struct@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of any kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// The user's data, flag or configuration cannot be used as given.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Input, message)
    }

    /// A file of ours is damaged.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// The operating system refused `action` ("read", "create", …) on `path`.
    pub fn io(action: &str, path: impl AsRef<Path>, source: &std::io::Error) -> Self {
        let path = path.as_ref().display();
        let error = Self::new(ErrorKind::Io, format!("cannot {action} {path}: {source}"));
        match source.kind() {
            std::io::ErrorKind::StorageFull => {
                error.hint("the disk is full: free some space and run the same command again")
            }
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                error.hint("choose a place you may write to, or change its permissions")
            }
            _ => error,
        }
    }

    /// The user's file `path` with this `text` is not the TOML that is wanted.
    pub fn toml(path: impl AsRef<Path>, text: &str, source: &toml::de::Error) -> Self {
        let place = source.span().map_or(String::new(), |span| {
            let line = text.bytes().take(span.start).filter(|&byte| byte == b'\n').count() + 1;
            format!(", line {line}")
        });
        let message = source.message().replace('\n', ", ");
        Self::input(format!("{} cannot be used{place}: {message}", path.as_ref().display()))
    }

    /// The same, said of what is in the file `path`.
    pub fn of_file(mut self, path: impl AsRef<Path>) -> Self {
        self.message = format!("{} cannot be used: {}", path.as_ref().display(), self.message);
        self
    }

    /// Adds the sentence that says what to try.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
