//! The token cache: `<fingerprint>.tokens` holds a header and all tokens, `<fingerprint>.tokens.json` the manifest and the
//! tokenizer.
//!
//! Header, 128 bytes, little-endian: magic (8), version, bytes a token (u32 each), training tokens, held-out tokens (u64 each),
//! BLAKE3 of the JSON (32), BLAKE3 of the tokens (32), BLAKE3 of the header up to here (32). Then the training tokens, then the
//! held-out ones, u16 up to a vocabulary of 65,536 and u32 above. Everything but the tokens is checked on every open.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::plan::Part;
use super::{TextManifest, Tokenizer};
use crate::data::cache;
use crate::{Error, Result};

pub(super) const HEADER_BYTES: usize = 128;
const MAGIC: &[u8; 8] = b"MALIANGT";
/// Part of the fingerprint: raise it when cleaning, splitting, tokenizing or the file layout changes.
pub(super) const VERSION: u32 = 1;
const HINT: &str = "delete it and run the same command again: it is made anew from your text";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Beside {
    manifest: TextManifest,
    tokenizer: serde_json::Value,
}

fn paths(dir: &Path, fingerprint: &str) -> [PathBuf; 2] {
    [dir.join(format!("{fingerprint}.tokens")), dir.join(format!("{fingerprint}.tokens.json"))]
}

/// Bytes of a token.
fn width(vocabulary: usize) -> usize {
    if vocabulary <= 1 << 16 { 2 } else { 4 }
}

/// Writes tokens as they come; nothing has its final name until [`TokenWriter::finish`].
pub(super) struct TokenWriter {
    path: PathBuf,
    width: usize,
    /// Header and training tokens.
    train: BufWriter<NamedTempFile>,
    /// Held-out tokens, which follow them in the end.
    heldout: BufWriter<NamedTempFile>,
    pub train_tokens: u64,
    pub heldout_tokens: u64,
}

impl TokenWriter {
    pub fn create(dir: &Path, fingerprint: &str, vocabulary: usize) -> Result<Self> {
        let [path, _] = paths(dir, fingerprint);
        let mut train = BufWriter::new(cache::temporary(dir, fingerprint)?);
        train.write_all(&[0; HEADER_BYTES]).map_err(|e| Error::io("write", &path, &e))?;
        let heldout = BufWriter::new(cache::temporary(dir, fingerprint)?);
        Ok(Self { path, width: width(vocabulary), train, heldout, train_tokens: 0, heldout_tokens: 0 })
    }

    pub fn push(&mut self, part: Part, tokens: &[u32]) -> Result<()> {
        let (file, count) = match part {
            Part::Train => (&mut self.train, &mut self.train_tokens),
            Part::Heldout => (&mut self.heldout, &mut self.heldout_tokens),
            Part::Dropped => return Ok(()),
        };
        *count += tokens.len() as u64;
        for token in tokens {
            file.write_all(&token.to_le_bytes()[..self.width]).map_err(|e| Error::io("write", &self.path, &e))?;
        }
        Ok(())
    }

    /// Joins the streams, writes JSON and header, makes both files durable, then gives them their names, JSON first.
    pub fn finish(self, dir: &Path, manifest: &TextManifest, tokenizer: &Tokenizer) -> Result<()> {
        let [path, json_path] = paths(dir, &manifest.fingerprint);
        let io = |e: std::io::Error| Error::io("write", &path, &e);
        let tokenizer = serde_json::from_str(&tokenizer.to_json()).expect("it was written as JSON");
        let beside = Beside { manifest: manifest.clone(), tokenizer };
        let json = serde_json::to_vec(&beside).expect("a manifest is plain data");
        let mut json_file = cache::temporary(dir, &manifest.fingerprint)?;
        let write_json = |file: &mut NamedTempFile| -> std::io::Result<()> {
            file.write_all(&json)?;
            file.as_file().sync_all()
        };
        write_json(&mut json_file).map_err(|e| Error::io("write", &json_path, &e))?;

        let write = || -> std::io::Result<NamedTempFile> {
            let mut file = self.train.into_inner().map_err(std::io::IntoInnerError::into_error)?;
            let mut heldout = self.heldout.into_inner().map_err(std::io::IntoInnerError::into_error)?;
            heldout.seek(SeekFrom::Start(0))?;
            std::io::copy(&mut heldout, &mut file)?;
            file.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(&mut file)?;
            let counts = [self.train_tokens, self.heldout_tokens];
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&header(self.width as u32, counts, blake3::hash(&json), hasher.finalize()))?;
            file.as_file().sync_all()?;
            Ok(file)
        };
        let file = write().map_err(io)?;
        json_file.persist(&json_path).map_err(|e| Error::io("create", &json_path, &e.error))?;
        file.persist(&path).map_err(|e| Error::io("create", &path, &e.error))?;
        crate::files::sync_directory(dir).ok(); // not every file system can; the files themselves are safe
        Ok(())
    }
}

fn header(width: u32, tokens: [u64; 2], json: blake3::Hash, body: blake3::Hash) -> [u8; HEADER_BYTES] {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(width.to_le_bytes());
    tokens.iter().for_each(|count| bytes.extend(count.to_le_bytes()));
    bytes.extend(json.as_bytes());
    bytes.extend(body.as_bytes());
    let checksum = blake3::hash(&bytes);
    bytes.extend(checksum.as_bytes());
    bytes.try_into().expect("8 + 2 * 4 + 2 * 8 + 3 * 32 = 128 bytes")
}

/// Tokens on disk.
#[derive(Debug)]
pub(super) struct Tokens {
    map: Mmap,
    width: usize,
    pub train: usize,
    pub heldout: usize,
}

/// Maps a cache after checking its header, its length, its manifest, its tokenizer and its tokens.
pub(super) fn open(dir: &Path, fingerprint: &str) -> Result<(Tokens, TextManifest, Tokenizer)> {
    if fingerprint.is_empty() || !fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Error::corrupt(format!("{fingerprint:?} is not a fingerprint of a corpus")));
    }
    let [path, json_path] = paths(dir, fingerprint);
    let damaged =
        |what: &str| Error::corrupt(format!("the token cache {} is damaged: {what}", path.display())).hint(HINT);
    let missing = |e: &std::io::Error, path: &Path| {
        Error::io("read", path, e).hint("the tokens are made from your text: give the source again to make them anew")
    };
    let mut file = File::open(&path).map_err(|e| missing(&e, &path))?;
    let mut start = [0; HEADER_BYTES];
    file.read_exact(&mut start).map_err(|_| damaged("it ends inside its header"))?;
    let number = |at: usize| u64::from_le_bytes(start[at..at + 8].try_into().expect("8 bytes"));
    let json = std::fs::read(&json_path).map_err(|e| missing(&e, &json_path))?;
    let body = blake3::Hash::from_slice(&start[64..96]).expect("32 bytes");
    let (counts, json_hash) = ([number(16), number(24)], blake3::hash(&json));
    let width = [2u32, 4].into_iter().find(|&width| header(width, counts, json_hash, body) == start);
    let Some(width) = width else {
        return Err(damaged("its header or its manifest has a wrong checksum"));
    };
    let beside: Beside =
        serde_json::from_slice(&json).map_err(|e| damaged(&format!("its manifest cannot be read: {e}")))?;
    let tokenizer = Tokenizer::from_json(&beside.tokenizer.to_string())?;
    let manifest = beside.manifest;
    let length = file.metadata().map_err(|e| Error::io("read", &path, &e))?.len();
    let tokens = counts[0].checked_add(counts[1]).and_then(|all| all.checked_mul(u64::from(width)));
    if tokens.and_then(|bytes| bytes.checked_add(HEADER_BYTES as u64)) != Some(length)
        || manifest.fingerprint != fingerprint
        || counts != [manifest.counts.train_tokens as u64, manifest.counts.heldout_tokens as u64]
        || self::width(tokenizer.vocabulary()) != width as usize
    {
        return Err(damaged("its size does not fit its manifest"));
    }
    let map = cache::map(&file).map_err(|e| Error::io("map", &path, &e))?;
    if blake3::hash(&map[HEADER_BYTES..]) != body {
        return Err(damaged("its tokens have a wrong checksum"));
    }
    let [train, heldout] = counts.map(|count| count as usize);
    Ok((Tokens { map, width: width as usize, train, heldout }, manifest, tokenizer))
}

impl Tokens {
    /// `length` tokens from number `first` of the whole, training tokens first. Panics beyond the end.
    pub fn read(&self, first: usize, length: usize) -> Vec<u32> {
        let bytes = &self.map[HEADER_BYTES + first * self.width..][..length * self.width];
        let token = |bytes: &[u8]| bytes.iter().rev().fold(0, |token, &byte| token << 8 | u32::from(byte));
        bytes.chunks_exact(self.width).map(token).collect()
    }
}
