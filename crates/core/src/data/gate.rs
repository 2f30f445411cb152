//! Keeps many large pictures from being decoded at the same time: memory stays bounded on machines with many cores.

use std::sync::{Condvar, Mutex, MutexGuard};

/// Bytes of pixels in work at one time, over all threads.
const CAPACITY: u64 = 2 << 30;

static USED: Mutex<u64> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

/// Room that is given back when dropped.
pub(super) struct Room(u64);

/// Waits until `bytes` are free. A picture larger than everything goes alone. Who holds room must not ask for more.
pub(super) fn enter(bytes: u64) -> Room {
    let bytes = bytes.min(CAPACITY);
    let mut used = lock();
    while *used + bytes > CAPACITY {
        used = FREED.wait(used).unwrap_or_else(|poisoned| poisoned.into_inner());
    }
    *used += bytes;
    Room(bytes)
}

impl Drop for Room {
    fn drop(&mut self) {
        *lock() -= self.0;
        FREED.notify_all();
    }
}

fn lock() -> MutexGuard<'static, u64> {
    USED.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
