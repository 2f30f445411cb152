//! Requests to the system about the process's memory. Nothing depends on whether they are granted.

/// Asks the allocator not to give freed memory back to the system.
///
/// Every training step frees and allocates the same tens of megabytes. glibc returns such memory at once and gets it back
/// page by page, each zeroed by the kernel: a tenth of the processor time of a step. The setting is the process's own, and
/// where another allocator is in use nothing happens.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::ffi::c_int;
        unsafe extern "C" {
            fn mallopt(parameter: c_int, value: c_int) -> c_int;
        }
        // From malloc.h: how much may lie free before it is given back, and from which size on a block is mapped on its own.
        const M_TRIM_THRESHOLD: c_int = -1;
        const M_MMAP_THRESHOLD: c_int = -3;
        // SAFETY: glibc's `mallopt` has this signature, takes any value, locks the allocator itself, and says 0 to a value
        // that it refuses, which leaves the setting as it was.
        unsafe {
            mallopt(M_TRIM_THRESHOLD, c_int::MAX);
            // Older versions accept 32 MB at most.
            mallopt(M_MMAP_THRESHOLD, 32 << 20);
            mallopt(M_MMAP_THRESHOLD, 1 << 30);
        }
    }
}

/// Asks for huge pages where `buffer` spans some: buffers of many megabytes that are read in many places at once otherwise
/// spend their time on looking up pages.
pub(crate) fn prefer_huge_pages<T>(buffer: &mut [T]) {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        use std::ffi::{c_int, c_void};
        unsafe extern "C" {
            fn madvise(address: *mut c_void, length: usize, advice: c_int) -> c_int;
        }
        const PAGE: usize = 2 << 20;
        // From sys/mman.h.
        const MADV_HUGEPAGE: c_int = 14;
        let start = buffer.as_mut_ptr().cast::<u8>();
        let before = start.align_offset(PAGE);
        let length = size_of_val(buffer).saturating_sub(before) / PAGE * PAGE;
        if length > 0 {
            // SAFETY: the range lies inside of the buffer; the advice changes nothing but how it is mapped.
            unsafe { madvise(start.add(before).cast(), length, MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = buffer;
}
