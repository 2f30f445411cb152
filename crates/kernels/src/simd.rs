//! Two helpers of every kernel: wide vector instructions where the processor has them, and scratch memory that is reused.

use std::cell::RefCell;

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

/// Lends `count` floats of this thread's scratch memory (contents unspecified) to `body`.
pub(crate) fn with_scratch<R>(count: usize, body: impl FnOnce(&mut [f32]) -> R) -> R {
    thread_local!(static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) });
    SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut scratch) => {
            if scratch.len() < count {
                scratch.resize(count, 0.0);
            }
            body(&mut scratch[..count])
        }
        // Only when a kernel is entered from inside another one on the same thread.
        Err(_) => body(&mut vec![0.0; count]),
    })
}
