//! Helpers of every kernel: wide vector instructions where the processor has them, and memory that is reused.

use crate::gemm::Packed;
use std::cell::RefCell;
use std::mem::MaybeUninit;

/// Runs `body` compiled for the widest vector instructions of this processor. `body` must be inlined to profit.
#[inline(always)]
pub(crate) fn vectorised<R>(body: impl FnOnce() -> R) -> R {
    struct Body<F>(F);
    impl<R, F: FnOnce() -> R> pulp::WithSimd for Body<F> {
        type Output = R;
        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, _simd: S) -> R {
            (self.0)()
        }
    }
    pulp::Arch::new().dispatch(Body(body))
}

/// One cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u32; 16]);

/// Lends `count` elements of scratch memory (contents unspecified) to `body`, aligned to a cache line. Each thread keeps
/// what it has lent, so a training step allocates none after the first.
pub(crate) fn with_scratch<T: Packed, R>(count: usize, body: impl FnOnce(&mut [T]) -> R) -> R {
    thread_local!(static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) });
    const { assert!(size_of::<T>() == 4 && align_of::<T>() <= 64) };
    let lines = count.div_ceil(16);
    // Nested calls and calls from stolen tasks take buffers of their own, each the smallest that is large enough.
    let mut buffer = FREE.with_borrow_mut(|free| {
        let enough =
            free.iter().enumerate().filter(|(_, buffer)| buffer.len() >= lines).min_by_key(|(_, buffer)| buffer.len());
        let at = enough.map(|(i, _)| i).or_else(|| free.len().checked_sub(1));
        at.map(|i| free.swap_remove(i)).unwrap_or_default()
    });
    if buffer.len() < lines {
        buffer = vec![Line([0; 16]); lines];
        crate::memory::prefer_huge_pages(&mut buffer);
    }
    // SAFETY: the buffer holds at least `count` initialised 4-byte words at an alignment of 64; `T` is f32 or a wrapper of
    // u32 (the only implementors of `Packed`), for which every bit pattern is a value.
    let result = body(unsafe { std::slice::from_raw_parts_mut(buffer.as_mut_ptr().cast::<T>(), count) });
    FREE.with_borrow_mut(|free| free.push(buffer));
    result
}

/// A new vector of `len` floats that `write` fills completely. Saves writing zeros first.
pub(crate) fn filled(len: usize, write: impl FnOnce(&mut [MaybeUninit<f32>])) -> Vec<f32> {
    let mut out: Vec<f32> = Vec::with_capacity(len);
    let spare = &mut out.spare_capacity_mut()[..len];
    // What a kernel forgets to write shows up as a NaN in every test of it.
    #[cfg(debug_assertions)]
    spare.fill(MaybeUninit::new(f32::NAN));
    write(spare);
    // SAFETY: `len` elements fit, and every `write` in this crate assigns all of them (each kernel's tests compare all
    // values, and in debug builds the memory starts as NaN).
    unsafe { out.set_len(len) };
    out
}
