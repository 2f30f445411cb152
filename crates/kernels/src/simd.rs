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

/// Σ a · b, in as many partial sums as the widest registers want, and the same number everywhere. Inline it into
/// [`vectorised`].
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 32;
    let mut sums = [0.0f32; LANES];
    let (whole, rest) = (a.chunks_exact(LANES).zip(b.chunks_exact(LANES)), a.len() / LANES * LANES);
    for (a, b) in whole {
        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    for ((sum, &a), &b) in sums.iter_mut().zip(&a[rest..]).zip(&b[rest..]) {
        *sum += a * b;
    }
    // Halves onto halves: the additions of a vector instruction.
    for half in [16, 8, 4, 2, 1] {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
    }
    sums[0]
}

/// One cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([u32; 16]);

/// Memory aligned to a cache line, contents unspecified. Each thread keeps what it has given back, so a training step
/// allocates none after the first.
#[derive(Debug)]
pub(crate) struct Scratch(Vec<Line>);

thread_local!(static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) });

impl Scratch {
    /// Memory for `count` elements of 4 bytes: the smallest free buffer that is large enough.
    pub fn take(count: usize) -> Self {
        let lines = count.div_ceil(16);
        let mut buffer = FREE.with_borrow_mut(|free| {
            let enough = free.iter().enumerate().filter(|(_, b)| b.len() >= lines).min_by_key(|(_, b)| b.len());
            let at = enough.map(|(i, _)| i).or_else(|| free.len().checked_sub(1));
            at.map(|i| free.swap_remove(i)).unwrap_or_default()
        });
        if buffer.len() < lines {
            buffer = vec![Line([0; 16]); lines];
            crate::memory::prefer_huge_pages(&mut buffer);
        }
        Self(buffer)
    }

    /// The first `count` elements.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn elements<T: Packed>(&mut self, count: usize) -> &mut [T] {
        const { assert!(size_of::<T>() == 4 && align_of::<T>() <= 64) };
        assert!(count <= self.0.len() * 16, "scratch memory of another size");
        // SAFETY: the buffer holds at least `count` initialised 4-byte words at an alignment of 64; `T` is f32 or a wrapper of
        // u32 (the only implementors of `Packed`), for which every bit pattern is a value.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast::<T>(), count) }
    }

    /// Keeps the memory for the next taker on this thread.
    pub fn give_back(self) {
        FREE.with_borrow_mut(|free| free.push(self.0));
    }
}

/// Lends `count` elements of scratch memory to `body`.
pub(crate) fn with_scratch<T: Packed, R>(count: usize, body: impl FnOnce(&mut [T]) -> R) -> R {
    // Nested calls and calls from stolen tasks take buffers of their own.
    let mut scratch = Scratch::take(count);
    let result = body(scratch.elements(count));
    scratch.give_back();
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
