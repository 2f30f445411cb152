//! Pictures that a check has decoded, kept for the cache: so that `maliang train` decodes a new file once.
//!
//! [`check`](super::check) has to decode every file before anybody knows at what size it is wanted, and the resize of the cache
//! has to start from the same pixels. So what is kept is the decoded picture as it is, up to a number of bytes, and nothing that
//! was scaled. A picture that does not fit any more is decoded again for the cache: that is slower, and gives the same bytes.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use image::DynamicImage;

use super::decode::{self, Info};
use super::{Item, Scan};

/// How many bytes of decoded pictures a command keeps between its check and its cache: 256 MiB hold 20,000 pictures of 64×64 pixels, or
/// 80 of a megapixel. They are given back to the allocator before training begins, and count in the highest memory use.
pub const KEPT_BYTES: u64 = 256 << 20;

/// A file that was read and decoded.
pub(super) struct Decoded {
    /// BLAKE3 of the file's bytes.
    pub hash: blake3::Hash,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// L8, La8, Rgb8 or Rgba8.
    pub image: DynamicImage,
    pub info: Info,
}

/// What came of one file: a picture, or in a few words why there is none.
pub(super) type Outcome = Result<Box<Decoded>, String>;

/// What is kept of one [`Item`]. It stays with the item, wherever that is moved in its list; a clone keeps nothing.
#[derive(Default)]
pub(super) struct Slot(Mutex<Option<Outcome>>);

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Option<Outcome>> {
        // A poisoned lock only means that another thread panicked: the slot itself is always whole.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Clone for Slot {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.lock().is_some() { "Slot(full)" } else { "Slot(empty)" })
    }
}

/// How many more bytes of pixels and of reasons may be kept.
#[derive(Debug, Default)]
pub(super) struct Room(AtomicU64);

impl Room {
    /// Takes `bytes`, if there are so many.
    fn enter(&self, bytes: u64) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    fn leave(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

fn size(outcome: &Outcome) -> u64 {
    match outcome {
        Ok(decoded) => decoded.image.as_bytes().len() as u64,
        Err(reason) => reason.len() as u64,
    }
}

impl Scan {
    /// Has a [`check`](super::check) of this scan keep up to `bytes` of decoded pictures, as [`KEPT_BYTES`], until a
    /// [`Dataset`](super::Dataset) is opened of it, which then need not decode them again. The data set is the same with any
    /// number of bytes; without this call nothing is kept.
    pub fn keeping(self, bytes: u64) -> Self {
        Self { room: Room(bytes.into()), ..self }
    }

    /// What was kept of an item, which is then kept no more; else reads and decodes it.
    pub(super) fn decode(&self, item: &Item) -> Outcome {
        if let Some(outcome) = item.kept.lock().take() {
            self.room.leave(size(&outcome));
            return outcome;
        }
        let raw = self.read(item)?;
        if !self.own_too && decode::is_own(&raw) {
            return Err("made by Maliang: generated pictures are not trained on".into());
        }
        let hash = blake3::hash(raw.bytes());
        let (image, info) = decode::decode(&raw, &item.name)?;
        if (info.width, info.height) == (1, 1) {
            return Err("a single pixel, as web pages use to count visitors".into());
        }
        Ok(Box::new(Decoded { hash, bytes: raw.bytes().len() as u64, image, info }))
    }

    /// Keeps what came of an item for the next [`decode`](Self::decode), if there is room for it.
    pub(super) fn keep(&self, item: &Item, outcome: Outcome) {
        if self.room.enter(size(&outcome))
            && let Some(before) = item.kept.lock().replace(outcome)
        {
            self.room.leave(size(&before));
        }
    }

    /// Keeps nothing any more.
    pub(super) fn forget(&self) {
        for item in &self.items {
            if let Some(outcome) = item.kept.lock().take() {
                self.room.leave(size(&outcome));
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// How many bytes are kept.
    pub fn kept(scan: &Scan) -> u64 {
        scan.items.iter().filter_map(|item| item.kept.lock().as_ref().map(size)).sum()
    }

    #[test]
    fn what_is_kept_is_counted_and_given_back() {
        let scan = super::super::scan(&super::super::Source::Emoji("food".into())).unwrap().keeping(100_000);
        let (first, second) = (&scan.items[0], &scan.items[1]);
        let size = 72 * 72 * 4;
        scan.keep(first, scan.decode(first));
        scan.keep(second, Err("no reason".into()));
        assert_eq!((kept(&scan), scan.room.0.load(Ordering::Relaxed)), (size + 9, 100_000 - size - 9));
        // Kept a second time, it takes the place of the first; a clone has nothing.
        scan.keep(first, first.clone().kept.lock().take().unwrap_or(Err("none".into())));
        assert_eq!((kept(&scan), scan.room.0.load(Ordering::Relaxed)), (4 + 9, 100_000 - 4 - 9));
        assert_eq!(scan.decode(second).map(|_| ()), Err("no reason".into()));
        assert_eq!(kept(&scan), 4);
        assert!(scan.decode(second).is_ok(), "the second time from its bytes");
        scan.forget();
        assert_eq!((kept(&scan), scan.room.0.load(Ordering::Relaxed)), (0, 100_000));
        let full = scan.keeping(size - 1);
        full.keep(&full.items[0], full.decode(&full.items[0]));
        assert_eq!(kept(&full), 0);
    }
}
