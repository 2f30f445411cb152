//! How a server is set up: a file, the environment and flags, the later over the earlier.

use crate::keys::Keys;
use maliang::pretrained::Store;
use maliang::run::dir::RunDir;
use maliang::{Error, Result};
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The address to listen at. Anything but this machine itself needs a key.
    pub bind: IpAddr,
    /// The port; 0 lets the system choose.
    pub port: u16,
    /// Directories of runs, single runs, and model files.
    pub models: Vec<PathBuf>,
    /// The program that trains, which is this one; without it the server does not.
    #[serde(skip)]
    pub trainer: Option<PathBuf>,
    /// Weights of feature networks, which find given pictures in models.
    #[serde(skip)]
    pub weights: Option<Store>,
    /// Directories whose folders and files can be trained on.
    pub data: Vec<PathBuf>,
    /// Where files that clients send are kept; they can be trained on, too [uploads/ beside the runs].
    pub uploads: Option<PathBuf>,
    /// Bytes of a file that a client sends, at most.
    pub upload: u64,
    /// Bytes of all files that clients have sent, at most.
    pub uploaded: u64,
    /// The address under which clients reach this server, as `https://pictures.example.org`, for the links that it gives [as the
    /// client calls it].
    pub public: Option<String>,
    /// Requests that are in work or wait for it, at most; more are refused with 429.
    pub capacity: usize,
    /// Connections, at most, half of them from one address; more wait to be accepted.
    pub connections: usize,
    /// Bytes of memory that loaded models may take together.
    pub memory: u64,
    /// Names that clients may call this server by, beside `localhost` and addresses of this machine.
    pub hosts: Vec<String>,
    /// Pages of other origins that may call this server, as `https://example.org`.
    pub origins: Vec<String>,
    /// How lines of the log are written.
    pub log: Log,
    /// Seconds after which a client is cut off that has not sent its request's head, or stops in the middle of a body; three times
    /// as many for one that does not read its answer.
    pub patience: u64,
    /// Seconds that requests in work have to finish when the server is asked to stop.
    pub drain: u64,
    /// Who answers for what is generated: 27 characters of registration, see GB 45438.
    pub producer: Option<String>,
}

/// How lines of the log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Log {
    /// For people.
    Text,
    /// One object a line.
    Json,
    /// No log.
    Off,
}

/// Bytes of a request's body.
pub(crate) const BODY: usize = 1 << 20;
/// Most that `capacity` can be: each request in work may hold a thread.
const MOST_CAPACITY: usize = 256;

impl Default for Settings {
    fn default() -> Self {
        Self {
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8017,
            models: vec![PathBuf::from("runs")],
            trainer: None,
            weights: None,
            data: Vec::new(),
            uploads: None,
            upload: 4_000_000_000,
            uploaded: 20_000_000_000,
            public: None,
            capacity: 32,
            connections: 1024,
            memory: 2_000_000_000,
            hosts: Vec::new(),
            origins: Vec::new(),
            log: Log::Text,
            patience: 10,
            drain: 20,
            producer: None,
        }
    }
}

impl Settings {
    /// Settings as the file at `path` says, with defaults for the rest.
    ///
    /// # Errors
    /// It cannot be read, or says what does not exist.
    pub fn read(path: &Path) -> Result<Self> {
        let text = maliang::files::read_settings(path)?;
        toml::from_str(&text).map_err(|e| Error::toml(path, &text, &e))
    }

    /// Refuses what cannot be done, and what would leave the door open.
    ///
    /// # Errors
    /// Names the setting, what it is and what it may be.
    pub fn check(&self, keys: &Keys) -> Result<()> {
        if !(1..=MOST_CAPACITY).contains(&self.capacity) {
            return Err(Error::input(format!("capacity {} is out of range: 1 to {MOST_CAPACITY}", self.capacity)));
        }
        if !(1..=100_000).contains(&self.connections) {
            return Err(Error::input(format!("connections {} is out of range: 1 to 100000", self.connections)));
        }
        if !self.bind.is_loopback() && keys.is_empty() {
            return Err(Error::input(format!(
                "{} can be reached from other machines, and there is no key: anyone could use this server",
                self.bind
            ))
            .hint("make a key with `maliang keys add NAME`, or leave --bind out to serve this machine only"));
        }
        if let Some(origin) = self.origins.iter().find(|origin| !origin.contains("://") || origin.ends_with('/')) {
            return Err(Error::input(format!("\"{origin}\" is not an origin"))
                .hint("an origin is scheme, host and perhaps port: https://example.org"));
        }
        let is_address = |public: &&String| {
            let rest = public.strip_prefix("https://").or(public.strip_prefix("http://"));
            rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['?', '#', ' ']) && !rest.ends_with('/'))
        };
        if let Some(public) = self.public.as_ref().filter(|public| !is_address(public)) {
            return Err(Error::input(format!("\"{public}\" is not an address of a server"))
                .hint("give it as https://pictures.example.org, without a slash at its end"));
        }
        Ok(())
    }

    /// Where runs are made: in the first directory of runs.
    pub(crate) fn runs(&self) -> PathBuf {
        let directory = |place: &&PathBuf| !place.is_file() && !RunDir::is_run(place);
        self.models.iter().find(directory).cloned().unwrap_or_else(|| PathBuf::from("runs"))
    }

    /// Where files that clients send are kept.
    pub(crate) fn uploads(&self) -> PathBuf {
        self.uploads.clone().unwrap_or_else(|| self.runs().join("uploads"))
    }

    /// How long a client is waited for.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.patience.max(1))
    }

    /// Where to listen.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.bind, self.port)
    }
}
