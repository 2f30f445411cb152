//! An allocator that keeps large blocks for reuse.
//!
//! A training step takes and returns the same hundreds of megabytes of activations again and again. The system's allocator
//! gives such blocks back to the kernel each time, which then has to clear every page anew.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Blocks from this size on are kept.
const LARGE: usize = 128 * 1024;
/// Large blocks begin at a multiple of this, and from this size on they are whole numbers of it: the kernel can then map
/// them by huge pages.
const HUGE_PAGE: usize = 2 * 1024 * 1024;
/// Most blocks that are kept.
const SLOTS: usize = 1024;

/// The system's allocator, except that large blocks are kept when they are returned and lent again for requests of
/// (nearly) the same size. It never holds more than the program has held at once at its peak: when it would, the blocks
/// that have waited longest go back to the system. Meant for programs:
///
/// ```
/// #[global_allocator]
/// static MEMORY: maliang_kernels::Recycling = maliang_kernels::Recycling::new();
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Recycling {
    kept: Mutex<Kept>,
}

/// Blocks that wait, oldest first, and how much memory is where.
#[derive(Debug)]
struct Kept {
    blocks: [(usize, usize); SLOTS],
    count: usize,
    /// Bytes that wait, that the program holds, and the most that it has held.
    waiting: usize,
    held: usize,
    peak: usize,
}

impl Kept {
    /// Takes out block `i`.
    fn remove(&mut self, i: usize) -> (usize, usize) {
        let (address, size) = self.blocks[i];
        self.blocks.copy_within(i + 1..self.count, i);
        self.count -= 1;
        self.waiting -= size;
        (address, size)
    }

    /// Returns the oldest blocks to the system until no more than the peak is in use.
    fn trim(&mut self) {
        while self.count > 0 && (self.held + self.waiting > self.peak || self.count == SLOTS) {
            let (address, size) = self.remove(0);
            // SAFETY: a block that waits came from `System` with this layout, and nobody else knows it.
            unsafe { System.dealloc(std::ptr::with_exposed_provenance_mut(address), block(size)) };
        }
    }
}

impl Recycling {
    /// An allocator that keeps nothing yet.
    #[allow(clippy::new_without_default)] // a static needs a constant
    pub const fn new() -> Self {
        let kept = Kept { blocks: [(0, 0); SLOTS], count: 0, waiting: 0, held: 0, peak: 0 };
        Self { kept: Mutex::new(kept) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics while the lock is held; and an allocator must not.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block of `size` bytes (a size of [`rounded`]).
    fn take(&self, size: usize, zeroed: bool) -> *mut u8 {
        let mut kept = self.kept();
        kept.held += size;
        let waiting = (0..kept.count).rev().find(|&i| kept.blocks[i].1 == size);
        if let Some(i) = waiting {
            let (address, _) = kept.remove(i);
            drop(kept);
            let found = std::ptr::with_exposed_provenance_mut::<u8>(address);
            if zeroed {
                // SAFETY: the block has `size` bytes and nobody else knows it.
                unsafe { found.write_bytes(0, size) };
            }
            return found;
        }
        kept.peak = kept.peak.max(kept.held);
        kept.trim();
        drop(kept);
        // SAFETY: the size is not zero.
        let fresh = unsafe { if zeroed { System.alloc_zeroed(block(size)) } else { System.alloc(block(size)) } };
        if fresh.is_null() {
            self.kept().held -= size;
        } else {
            advise(fresh, size);
        }
        fresh
    }

    fn give_back(&self, address: *mut u8, size: usize) {
        let mut kept = self.kept();
        kept.held -= size;
        let at = kept.count;
        kept.blocks[at] = (address.expose_provenance(), size);
        kept.count += 1;
        kept.waiting += size;
        kept.trim();
    }
}

/// The size of the block for a request: one of eight steps between powers of two, from [`HUGE_PAGE`] on whole pages.
fn rounded(size: usize) -> usize {
    let step = (size.next_power_of_two() / 16).max(1);
    let size = size.next_multiple_of(step);
    if size >= HUGE_PAGE { size.next_multiple_of(HUGE_PAGE) } else { size }
}

/// The layout of a block of a size of [`rounded`].
fn block(size: usize) -> Layout {
    let align = if size >= HUGE_PAGE { HUGE_PAGE } else { 64 };
    // SAFETY: the alignment is a power of two; sizes come from valid layouts, which end 2 MiB and an eighth before isize::MAX
    // or fail in `large` below.
    unsafe { Layout::from_size_align_unchecked(size, align) }
}

/// Is it a request that this allocator looks after?
fn large(layout: Layout) -> bool {
    (LARGE..=isize::MAX as usize / 2).contains(&layout.size()) && layout.align() <= 64
}

/// Asks for huge pages, which make hundreds of page faults one.
fn advise(address: *mut u8, size: usize) {
    #[cfg(all(target_os = "linux", not(miri)))]
    if size >= HUGE_PAGE {
        // SAFETY: the range was just allocated; the advice changes nothing but how it is mapped, and may be refused.
        unsafe { libc::madvise(address.cast(), size, libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = (address, size);
}

// SAFETY: every block comes from `System` with at least the size and the alignment that were asked for, is lent to one owner
// at a time, and `large` and `rounded` give the same answers when it is returned, because they see the same layout.
unsafe impl GlobalAlloc for Recycling {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if large(layout) {
            return self.take(rounded(layout.size()), false);
        }
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if large(layout) {
            return self.take(rounded(layout.size()), true);
        }
        // SAFETY: the caller's contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        if large(layout) {
            return self.give_back(address, rounded(layout.size()));
        }
        // SAFETY: the caller's contract; the block came from `System`.
        unsafe { System.dealloc(address, layout) }
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises a valid new size.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        if large(layout) && large(new) && rounded(layout.size()) == rounded(new_size) {
            return address; // the block is large enough as it is
        }
        if !large(layout) && !large(new) {
            // SAFETY: the caller's contract; the block came from `System`.
            return unsafe { System.realloc(address, layout, new_size) };
        }
        // SAFETY: both blocks are valid for the smaller of the two sizes and do not overlap.
        unsafe {
            let moved = self.alloc(new);
            if !moved.is_null() {
                std::ptr::copy_nonoverlapping(address, moved, layout.size().min(new_size));
                self.dealloc(address, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 4).unwrap()
    }

    #[test]
    fn a_returned_block_is_lent_again_and_zeroed_on_request() {
        let memory = Recycling::new();
        // SAFETY: each block is used within its size and returned once with its layout.
        unsafe {
            for size in [LARGE, 3 * LARGE + 5, 5 * HUGE_PAGE + 1] {
                let first = memory.alloc(layout(size));
                first.write_bytes(7, size);
                memory.dealloc(first, layout(size));
                let second = memory.alloc_zeroed(layout(size));
                assert_eq!(first, second);
                assert!((0..size).step_by(997).all(|i| *second.add(i) == 0));
                memory.dealloc(second, layout(size));
            }
            assert_eq!(memory.kept().held, 0);
        }
    }

    #[test]
    fn never_holds_more_than_the_program_did() {
        let memory = Recycling::new();
        // SAFETY: as above.
        unsafe {
            for size in (1..40).map(|i| i * LARGE) {
                let block = memory.alloc(layout(size));
                assert!(!block.is_null());
                memory.dealloc(block, layout(size));
                let kept = memory.kept();
                assert!(kept.held + kept.waiting <= kept.peak, "{size}");
                assert!(kept.peak <= rounded(size));
            }
            let many: Vec<_> = (0..SLOTS + 10).map(|_| memory.alloc(layout(LARGE))).collect();
            many.into_iter().for_each(|block| memory.dealloc(block, layout(LARGE)));
            assert!(memory.kept().count < SLOTS);
        }
    }

    #[test]
    fn growing_and_shrinking_keep_the_contents() {
        let memory = Recycling::new();
        // SAFETY: as above.
        unsafe {
            let mut size = 1000;
            let mut block = memory.alloc(layout(size));
            block.write_bytes(42, size);
            for new in [LARGE - 1, LARGE, LARGE + 1, HUGE_PAGE, 3 * HUGE_PAGE, LARGE, 2000] {
                block = memory.realloc(block, layout(size), new);
                size = new;
                assert!((0..1000).all(|i| *block.add(i) == 42), "{new}");
            }
            memory.dealloc(block, layout(size));
        }
    }
}
