//! One value computed ahead, on a thread of its own.

use std::panic::resume_unwind;
use std::sync::Mutex;
use std::thread::{Builder, JoinHandle};

/// At most one value in the making, known by its key. Dropping this waits for it, so no thread outlives its owner.
pub(super) struct Ahead<K, T>(Mutex<Option<(K, JoinHandle<T>)>>);

impl<K, T> Default for Ahead<K, T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<K: PartialEq, T: Send + 'static> Ahead<K, T> {
    /// Begins the value of `key`, in place of another one that was begun and never taken.
    pub fn start(&self, key: K, make: impl FnOnce() -> T + Send + 'static) {
        let mut slot = self.lock();
        if slot.as_ref().is_some_and(|(begun, _)| *begun == key) {
            return;
        }
        if let Some((_, other)) = slot.take() {
            // Nobody asked for its value, so nobody is told if it failed.
            let _ = other.join();
        }
        // Where no thread can be had, whoever asks for the value makes it.
        *slot = Builder::new().name("ahead".into()).spawn(make).ok().map(|thread| (key, thread));
    }

    /// The value of `key` if it was begun; another one stays where it is.
    ///
    /// # Panics
    /// As the making of the value did.
    pub fn take(&self, key: K) -> Option<T> {
        let (_, thread) = self.lock().take_if(|(begun, _)| *begun == key)?;
        Some(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

impl<K, T> Ahead<K, T> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(K, JoinHandle<T>)>> {
        // A poisoned lock only means that another thread panicked: the slot itself is always whole.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl<K, T> Drop for Ahead<K, T> {
    fn drop(&mut self) {
        if let Some((_, thread)) = self.lock().take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn holds_one_value_for_whoever_knows_its_key() {
        let ahead = Ahead::default();
        assert_eq!(ahead.take(1), None);
        ahead.start(1, || "one");
        assert_eq!(ahead.take(2), None);
        ahead.start(1, || unreachable!("it was begun before"));
        assert_eq!(ahead.take(1), Some("one"));
        assert_eq!(ahead.take(1), None);
        ahead.start(1, || "one");
        ahead.start(2, || "two");
        assert_eq!((ahead.take(1), ahead.take(2)), (None, Some("two")));
    }

    #[test]
    fn waits_for_its_thread_when_dropped() {
        let done = Arc::new(AtomicU32::new(0));
        let (ahead, counter) = (Ahead::default(), done.clone());
        ahead.start(0, move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            counter.fetch_add(1, Ordering::SeqCst);
        });
        drop(ahead);
        assert_eq!((done.load(Ordering::SeqCst), Arc::strong_count(&done)), (1, 1));
    }

    #[test]
    fn a_panic_reaches_whoever_asks() {
        let ahead: Ahead<u8, u8> = Ahead::default();
        ahead.start(0, || panic!("no pictures today"));
        let panic = catch_unwind(AssertUnwindSafe(|| ahead.take(0))).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"no pictures today"));
        ahead.start(1, || 7);
        assert_eq!(ahead.take(1), Some(7), "and is forgotten after that");
    }
}
