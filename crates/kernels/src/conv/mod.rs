//! Convolution in NHWC on slices: forward, input gradient (= transposed convolution) and weight gradient.
//!
//! Layouts: activations `[batch, height, width, channel]`, weights `[kh, kw, c_in, c_out]`. Six ways, chosen by shape:
//!
//! * [`winograd`]: minimal filtering (Winograd 1980; Lavin & Gray 2016) for kernels that are 2 or 3 taps wide in each phase
//!   of the stride: 3×3 with stride 1, 4×4 with stride 2. 1.8 to 2.25 times fewer multiplications;
//! * [`fold`]: forward and weight gradient of strided convolutions of a few channels, as convolutions over blocks of pixels;
//! * [`scatter`]: the input gradient towards a few channels, where a product of few columns would waste the vectors;
//! * [`dense`]: kernels that cover the whole picture, and linear layers, by one matrix product;
//! * [`pointwise`]: 1×1 kernels, by one product of all pixels;
//! * [`direct`]: everything else, by unrolled tiles.
//!
//! Depthwise convolutions are an operation of their own, in [`depthwise`].
//!
//! The work is cut by the problem and never by the number of threads, and every sum has a fixed order.

mod dense;
pub(crate) mod depthwise;
mod direct;
mod fold;
mod pointwise;
mod scatter;
mod winograd;

use crate::activation::Activation;
use crate::gemm::{Bf16Pair, Packed};
use crate::norm;
use crate::options::Precision;
use std::mem::MaybeUninit;

/// Sizes of one convolution `[batch, height, width, c_in] → [batch, out_height, out_width, c_out]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConvShape {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub c_in: usize,
    pub out_height: usize,
    pub out_width: usize,
    pub c_out: usize,
    pub kernel: [usize; 2],
    pub stride: usize,
    pub padding: usize,
}

impl ConvShape {
    /// The product of `[rows, n_in]` with `[n_in, n_out]`: a convolution of the rows as pixels.
    pub fn product(rows: usize, n_in: usize, n_out: usize) -> Self {
        Self {
            batch: 1,
            height: rows,
            width: 1,
            c_in: n_in,
            out_height: rows,
            out_width: 1,
            c_out: n_out,
            kernel: [1, 1],
            stride: 1,
            padding: 0,
        }
    }

    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    fn inputs(&self) -> usize {
        self.batch * self.height * self.width * self.c_in
    }

    fn outputs(&self) -> usize {
        self.batch * self.out_height * self.out_width * self.c_out
    }

    fn weights(&self) -> usize {
        self.taps() * self.c_in * self.c_out
    }
}

/// What is done to pixels that are finished, while they are in the cache: a bias per channel, then an activation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Finish<'a> {
    pub bias: &'a [f32],
    pub activation: Activation,
}

impl Finish<'_> {
    /// Finishes whole pixels.
    ///
    /// # Safety
    /// All numbers of `pixels` have been written.
    unsafe fn apply(finish: Option<Self>, pixels: &mut [MaybeUninit<f32>]) {
        if let Some(Self { bias, activation }) = finish {
            // SAFETY: by the contract of this function.
            norm::bias_pixels(unsafe { pixels.assume_init_mut() }, bias, activation);
        }
    }
}

/// Calls `$function` for the packed format of `$precision` on this processor, by Winograd where the shape allows it.
macro_rules! choose {
    ($shape:expr, $precision:expr, $function:ident, $otherwise:path, ($($argument:expr),*) $(, ($more:expr))?) => {
        match ($precision.here() == Precision::Bf16, winograd::size($shape, $precision.here())) {
            (false, Some(3)) => winograd::$function::<f32, 3>($($argument),*),
            (false, Some(4)) => winograd::$function::<f32, 4>($($argument),*),
            (false, Some(_)) => winograd::$function::<f32, 5>($($argument),*),
            (false, None) => $otherwise($($argument),* $(, $more)?, pack::<f32>()),
            (true, Some(3)) => winograd::$function::<Bf16Pair, 3>($($argument),*),
            (true, Some(4)) => winograd::$function::<Bf16Pair, 4>($($argument),*),
            (true, Some(_)) => winograd::$function::<Bf16Pair, 5>($($argument),*),
            (true, None) => $otherwise($($argument),* $(, $more)?, pack::<Bf16Pair>()),
        }
    };
}

/// Names a packed format in an argument.
fn pack<T: Packed>() -> std::marker::PhantomData<T> {
    std::marker::PhantomData
}

/// `y[b, oh, ow, :] = Σ_(i, j) x[b, oh·s + i − p, ow·s + j − p, :] · w[i, j, :, :]`, then what `finish` says.
pub(crate) fn forward(x: &[f32], w: &[f32], s: &ConvShape, precision: Precision, finish: Option<Finish>) -> Vec<f32> {
    check(x, s.inputs(), w, s.weights());
    if dense::suits(s) {
        return choose!(s, precision, forward, dense::forward, (x, w, s, finish));
    }
    if pointwise::suits(s) {
        return choose!(s, precision, forward, pointwise::forward, (x, w, s, finish));
    }
    if let Some(folded) = fold::shape(s) {
        return choose!(s, precision, forward, fold::forward, (x, w, s, finish), (&folded));
    }
    choose!(s, precision, forward, direct::forward, (x, w, s, finish))
}

/// `gx[b, h, w, :] = Σ gy[b, oh, ow, :] · w[i, j, :, :]ᵀ` over all `oh·s + i − p = h`, `ow·s + j − p = w`.
pub(crate) fn input_grad(gy: &[f32], w: &[f32], s: &ConvShape, precision: Precision) -> Vec<f32> {
    check(gy, s.outputs(), w, s.weights());
    if dense::suits(s) {
        return choose!(s, precision, input_grad, dense::input_grad, (gy, w, s));
    }
    if pointwise::suits(s) {
        return choose!(s, precision, input_grad, pointwise::input_grad, (gy, w, s));
    }
    if scatter::suits(s) {
        return choose!(s, precision, input_grad, scatter::input_grad, (gy, w, s));
    }
    choose!(s, precision, input_grad, direct::input_grad, (gy, w, s))
}

/// `gw[i, j, :, :] = Σ_(b, oh, ow) x[b, oh·s + i − p, ow·s + j − p, :]ᵀ · gy[b, oh, ow, :]`.
pub(crate) fn weight_grad(x: &[f32], gy: &[f32], s: &ConvShape, precision: Precision) -> Vec<f32> {
    check(x, s.inputs(), gy, s.outputs());
    if dense::suits(s) {
        return choose!(s, precision, weight_grad, dense::weight_grad, (x, gy, s));
    }
    if let Some(folded) = fold::shape(s) {
        return choose!(s, precision, weight_grad, fold::weight_grad, (x, gy, s), (&folded));
    }
    choose!(s, precision, weight_grad, direct::weight_grad, (x, gy, s))
}

fn check(a: &[f32], a_len: usize, b: &[f32], b_len: usize) {
    assert!(a.len() == a_len && b.len() == b_len, "a convolution's tensors have other sizes than its shape says");
}

/// Floats of transformed or unrolled tiles that are alive at once: they stay in the third-level cache.
const CHUNK_FLOATS: usize = 1024 * 1024;

/// Floats between rows of packed operands on top of their length, so that rows do not fall on the same cache set.
const ROW_GAP: usize = 16;
