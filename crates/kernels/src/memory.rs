//! Memory that the process keeps for its next step.

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
