//! What operations are asked for besides their tensors: precision, stride and padding.

use crate::gemm::Bf16Pair;
use burn::backend::ops::ConvOptions;
use serde::{Deserialize, Serialize};

/// The numbers that products are computed with. Tensors are f32 in any case, and so are all sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 24 bits of mantissa.
    #[default]
    F32,
    /// Operands of products rounded to 8 bits of mantissa, where the processor has instructions for them (AVX-512 BF16) and
    /// the operation a kernel that uses them; F32 elsewhere.
    Bf16,
}

impl Precision {
    /// Does this processor have instructions for it?
    pub fn is_supported(self) -> bool {
        self == Self::F32 || Bf16Pair::supported()
    }

    /// What is computed with on this processor.
    pub(crate) fn here(self) -> Self {
        if self.is_supported() { self } else { Self::F32 }
    }
}

/// Stride, zero padding (the same on both axes) and precision of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dOptions {
    /// Step between neighbouring output pixels, in input pixels; at least 1.
    pub stride: usize,
    /// Rows and columns of zeros around the input.
    pub padding: usize,
    /// What the products are computed with, forward and backward.
    pub precision: Precision,
}

impl Conv2dOptions {
    /// Output height or width for an input of `size` and a kernel of `kernel`: `⌊(size + 2p − kernel) / s⌋ + 1`.
    ///
    /// # Panics
    /// If the kernel does not fit into the padded input.
    pub fn output_size(&self, size: usize, kernel: usize) -> usize {
        assert!(size + 2 * self.padding >= kernel, "a kernel of {kernel} does not fit into {size} pixels");
        (size + 2 * self.padding - kernel) / self.stride + 1
    }

    pub(crate) fn burn(&self) -> ConvOptions<2> {
        ConvOptions::new([self.stride; 2], [self.padding; 2], [1, 1], 1)
    }
}

/// Stride and zero padding of a depthwise convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DepthwiseOptions {
    /// Step between neighbouring output pixels, in input pixels; at least 1.
    pub stride: usize,
    /// Rows of zeros above and below the input.
    pub vertical: [usize; 2],
    /// Columns of zeros left and right of the input.
    pub horizontal: [usize; 2],
}

impl DepthwiseOptions {
    /// TensorFlow's padding "SAME" for pictures of `size` (height, width) and a square kernel: `⌈size / stride⌉` output
    /// pixels, and where the number of zeros is odd, the odd one comes last.
    pub fn same(size: [usize; 2], kernel: usize, stride: usize) -> Self {
        let [vertical, horizontal] = size.map(|size| {
            let covered = (size.div_ceil(stride).max(1) - 1) * stride + kernel;
            let zeros = covered.saturating_sub(size);
            [zeros / 2, zeros - zeros / 2]
        });
        Self { stride, vertical, horizontal }
    }

    /// Output height and width for an input of `size` and a kernel of `kernel`.
    ///
    /// # Panics
    /// If the kernel does not fit into the padded input.
    pub fn output_size(&self, size: [usize; 2], kernel: [usize; 2]) -> [usize; 2] {
        let padding = [self.vertical, self.horizontal];
        [0, 1].map(|axis| {
            let padded = size[axis] + padding[axis][0] + padding[axis][1];
            assert!(padded >= kernel[axis], "a kernel of {kernel:?} does not fit into {size:?} pixels");
            (padded - kernel[axis]) / self.stride + 1
        })
    }
}
