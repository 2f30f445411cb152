//! Keys: who may do what.
//!
//! A key is 256 random bits. The file keeps its BLAKE3 and never the key; a hash made for passwords would add nothing, because
//! nobody can guess 256 bits. What a client sends is hashed and compared with every key in constant time.

use crate::lock;
use maliang::files::write_bytes;
use maliang::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

/// What every key of ours begins with, so that one that was leaked can be recognised.
const PREFIX: &str = "ml-";
/// Keys, at most: each request is compared with all of them.
const MOST: usize = 1000;
/// A server looks at the file again after this time.
const FRESH: Duration = Duration::from_secs(1);

/// What a key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// See models and runs.
    Read,
    /// Make pictures and text.
    Generate,
    /// Train, and send files to train on.
    Train,
}

impl Scope {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Generate => "generate",
            Self::Train => "train",
        }
    }
}

/// One key, as the file has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Whose it is; shown in lists and in the log.
    pub name: String,
    /// What it is good for.
    pub scopes: Vec<Scope>,
    /// BLAKE3 of the key, in hexadecimal.
    hash: String,
}

/// All keys of a server.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    path: PathBuf,
    list: Vec<Key>,
}

/// The keys of a server that runs: those that the file has now, so that a key which was removed is good for nothing from the next
/// second on.
///
/// A server that had keys once asks for one ever after, whatever becomes of the file.
pub struct CurrentKeys(Mutex<Current>);

struct Current {
    keys: Keys,
    asked_for: bool,
    /// When the file was last written, and looked at.
    written: Option<SystemTime>,
    seen: Instant,
}

impl CurrentKeys {
    /// `keys`, and what becomes of them.
    pub fn new(keys: Keys) -> Self {
        let (asked_for, written) = (!keys.is_empty(), keys.written());
        Self(Mutex::new(Current { keys, asked_for, written, seen: Instant::now() }))
    }

    /// Must a client send one?
    pub fn asked_for(&self) -> bool {
        let mut current = lock(&self.0);
        current.refresh();
        current.asked_for
    }

    /// See [`Keys::find`].
    pub fn find(&self, secret: &str) -> Option<Key> {
        let mut current = lock(&self.0);
        current.refresh();
        current.keys.find(secret).cloned()
    }
}

impl Current {
    fn refresh(&mut self) {
        if self.seen.elapsed() < FRESH {
            return;
        }
        self.seen = Instant::now();
        let written = self.keys.written();
        if written == self.written {
            return;
        }
        match Keys::open(&self.keys.path) {
            Ok(keys) => {
                tracing::info!(keys = keys.list.len(), "the keys have changed");
                self.asked_for |= !keys.is_empty();
                (self.keys, self.written) = (keys, written);
            }
            Err(error) => tracing::error!(
                error = error.message,
                "the file of keys cannot be read; the keys that were read before stay valid"
            ),
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    key: Vec<Key>,
}

impl Keys {
    /// The keys in the file at `path`; none if there is no file.
    ///
    /// # Errors
    /// The file cannot be read, or is not one of keys.
    pub fn open(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Error::io("read", path, &error)),
        };
        let File { key: list } = toml::from_str(&text).map_err(|e| Error::toml(path, &text, &e))?;
        if let Some(key) = list.iter().find(|key| blake3::Hash::from_hex(&key.hash).is_err()) {
            return Err(Error::corrupt(format!("the key \"{}\" in {} is damaged", key.name, path.display()))
                .hint("remove it with `maliang keys remove`, and make a new one"));
        }
        Ok(Self { path: path.to_owned(), list })
    }

    /// Makes a key called `name`, writes its hash to the file, and returns the key itself, for the only time.
    ///
    /// # Errors
    /// The name is taken or cannot be one, or the disk refused.
    pub fn add(&mut self, name: &str, scopes: &[Scope]) -> Result<String> {
        if name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
            return Err(Error::input("a key needs a name of 1 to 100 characters"));
        }
        if self.list.iter().any(|key| key.name == name) {
            return Err(Error::input(format!("there is a key \"{name}\" already"))
                .hint("take another name, or remove that one with `maliang keys remove`"));
        }
        if self.list.len() >= MOST {
            return Err(Error::input(format!("there are {MOST} keys already, which is the limit"))
                .hint("remove some with `maliang keys remove`"));
        }
        // The thread's generator is cryptographically secure and seeded by the system.
        let key = format!("{PREFIX}{}", blake3::Hash::from_bytes(rand::random()).to_hex());
        let hash = blake3::hash(key.as_bytes()).to_hex().to_string();
        self.list.push(Key { name: name.to_owned(), scopes: scopes.to_vec(), hash });
        self.write()?;
        Ok(key)
    }

    /// Forgets the key called `name`.
    ///
    /// # Errors
    /// There is none, or the disk refused.
    pub fn remove(&mut self, name: &str) -> Result<()> {
        let before = self.list.len();
        self.list.retain(|key| key.name != name);
        if self.list.len() == before {
            return Err(Error::input(format!("there is no key \"{name}\"")).hint("`maliang keys list` shows them"));
        }
        self.write()
    }

    /// All of them.
    pub fn list(&self) -> &[Key] {
        &self.list
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The key that `secret` is. The time it takes does not depend on which key it is, or how nearly.
    pub fn find(&self, secret: &str) -> Option<&Key> {
        let hash = blake3::hash(secret.as_bytes());
        let mut found = None;
        for key in &self.list {
            // `blake3::Hash` compares in constant time.
            if blake3::Hash::from_hex(&key.hash).is_ok_and(|own| own == hash) {
                found = Some(key);
            }
        }
        found
    }

    /// When the file was last written; nothing where there is none.
    fn written(&self) -> Option<SystemTime> {
        std::fs::metadata(&self.path).and_then(|metadata| metadata.modified()).ok()
    }

    fn write(&self) -> Result<()> {
        if let Some(directory) = self.path.parent() {
            std::fs::create_dir_all(directory).map_err(|e| Error::io("create", directory, &e))?;
        }
        let text = toml::to_string(&File { key: self.list.clone() }).expect("keys are plain data");
        write_bytes(&self.path, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_again_and_never_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data").join("keys.toml");
        let mut keys = Keys::open(&path).unwrap();
        assert!(keys.is_empty());
        let anna = keys.add("Anna", &[Scope::Read]).unwrap();
        let shop = keys.add("shop", &[Scope::Read, Scope::Generate]).unwrap();
        let keys = Keys::open(&path).unwrap();
        assert_eq!(keys.find(&anna).unwrap().name, "Anna");
        assert_eq!(keys.find(&shop).unwrap().scopes, [Scope::Read, Scope::Generate]);
        assert!(keys.find("ml-").is_none() && keys.find("").is_none());
        let file = std::fs::read_to_string(&path).unwrap();
        assert!(!file.contains(&anna) && !file.contains(anna.trim_start_matches(PREFIX)), "{file}");
    }

    #[test]
    fn names_are_unique_and_can_be_removed() {
        let directory = tempfile::tempdir().unwrap();
        let mut keys = Keys::open(&directory.path().join("keys.toml")).unwrap();
        let key = keys.add("a", &[Scope::Read]).unwrap();
        assert!(keys.add("a", &[Scope::Read]).is_err() && keys.add("", &[]).is_err());
        keys.remove("a").unwrap();
        assert!(keys.find(&key).is_none() && keys.remove("a").is_err());
    }

    #[test]
    fn a_damaged_file_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.toml");
        std::fs::write(&path, "[[key]]\nname = \"a\"\nscopes = [\"read\"]\nhash = \"12\"\n").unwrap();
        assert!(Keys::open(&path).unwrap_err().message.contains("damaged"));
        std::fs::write(&path, "[[key]]\nname = \"a\"\nscopes = [\"fly\"]\nhash = \"12\"\n").unwrap();
        assert!(Keys::open(&path).unwrap_err().message.contains("line 3"));
    }
}
