//! Depthwise convolution and resizing against their plain composition, and their gradients.

use super::*;
use crate::{DepthwiseOptions, Filter};

prop_compose! {
    /// (input, kernel, options) whose kernel fits into the padded picture.
    fn convolutions()(
        batch in 1usize..3, height in 1usize..20, width in 1usize..20,
        // Whole vectors, vectors and a rest, no vector at all.
        channels in prop_oneof![1usize..9, 16usize..36],
        kernel in [prop_oneof![Just(3usize), Just(5), 1usize..6], prop_oneof![Just(3usize), Just(5), 1usize..6]],
        stride in 1usize..4, before in [0usize..4, 0usize..4], after in [0usize..4, 0usize..4],
    ) -> ([usize; 4], [usize; 2], DepthwiseOptions) {
        let sides = |axis: usize| [before[axis].min(kernel[axis] - 1), after[axis].min(kernel[axis] - 1)];
        let options = DepthwiseOptions { stride, vertical: sides(0), horizontal: sides(1) };
        let fit = |size: usize, axis: usize| size.max(kernel[axis].saturating_sub(sides(axis).iter().sum()).max(1));
        ([batch, fit(height, 0), fit(width, 1), channels], kernel, options)
    }
}

fn filters() -> impl Strategy<Value = Filter> {
    prop_oneof![Just(Filter::Bilinear), Just(Filter::Triangle), Just(Filter::Bicubic)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn depthwise_convolution_and_its_gradients_match_the_plain_composition(
        (input, kernel, options) in convolutions(), seed in 1u64..1_000_000,
    ) {
        let [height, width] = options.output_size([input[1], input[2]], kernel);
        let x = flex(seed, input);
        let w = flex(seed + 1, [kernel[0], kernel[1], input[3]]);
        let gy = flex(seed + 2, [input[0], height, width, input[3]]);
        assert_close(
            "depthwise",
            Flex::depthwise_nhwc(x.clone(), w.clone(), options),
            plain::depthwise_nhwc::<Flex>(x.clone(), w.clone(), options),
            1e-5,
        );
        assert_close(
            "weight gradient",
            Flex::depthwise_weight_grad(x.clone(), gy.clone(), kernel, options),
            plain::depthwise_weight_grad::<Flex>(x, gy.clone(), kernel, options),
            1e-4,
        );
        let size = [input[1], input[2]];
        assert_close(
            "input gradient",
            Flex::depthwise_input_grad(gy.clone(), w.clone(), size, options),
            plain::depthwise_input_grad::<Flex>(gy, w, size, options),
            1e-5,
        );
    }

    #[test]
    fn resizing_and_its_adjoint_match_the_plain_composition(
        from in [1usize..14, 1usize..14], size in [1usize..14, 1usize..14], channels in 1usize..5, filter in filters(),
        seed in 1u64..1_000_000,
    ) {
        let x = flex(seed, [2, from[0], from[1], channels]);
        assert_close(
            "resize",
            Flex::resize_pictures(x.clone(), size, filter),
            plain::resize_pictures::<Flex>(x, size, filter),
            1e-5,
        );
        let gy = flex(seed, [2, size[0], size[1], channels]);
        assert_close(
            "adjoint",
            Flex::resize_backward(gy.clone(), from, filter),
            plain::resize_backward::<Flex>(gy, from, filter),
            1e-5,
        );
    }
}

#[test]
fn same_pads_like_tensorflow() {
    let pads = |size, kernel, stride| DepthwiseOptions::same([size, size + 1], kernel, stride);
    let even = pads(224, 3, 2);
    assert_eq!((even.vertical, even.horizontal), ([0, 1], [1, 1]));
    assert_eq!(even.output_size([224, 225], [3, 3]), [112, 113]);
    assert_eq!(pads(56, 5, 2).vertical, [1, 2]);
    assert_eq!(pads(7, 5, 1).vertical, [2, 2]);
    assert_eq!(pads(1, 5, 2).vertical, [2, 2]);
}

#[test]
fn gradients_agree_with_finite_differences() {
    for (stride, kernel, size) in [(1, 3, [5, 4]), (2, 3, [6, 5]), (1, 5, [4, 3]), (2, 5, [6, 4])] {
        let options = DepthwiseOptions::same(size, kernel, stride);
        let (x, w) = ([2, size[0], size[1], 3], [kernel, kernel, 3]);
        check_gradients("depthwise", &[x.to_vec(), w.to_vec()], |v| {
            all(crate::depthwise_conv2d(v[0].clone().reshape(x), v[1].clone().reshape(w), options))
        });
    }
    for filter in [Filter::Bilinear, Filter::Triangle, Filter::Bicubic] {
        for size in [[7, 9], [3, 2]] {
            check_gradients("resize", &[vec![2, 5, 4, 3]], |v| {
                all(crate::resize(v[0].clone().reshape([2, 5, 4, 3]), size, filter))
            });
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let options = DepthwiseOptions::same([33, 30], 5, 2);
            let (x, w) = (flex(1, [5, 33, 30, 40]), flex(2, [5, 5, 40]));
            let y = Flex::depthwise_nhwc(x.clone(), w.clone(), options);
            [
                Flex::depthwise_input_grad(y.clone(), w, [33, 30], options),
                Flex::depthwise_weight_grad(x.clone(), y.clone(), [5, 5], options),
                Flex::resize_pictures(x, [40, 20], Filter::Bicubic),
                y,
            ]
            .map(values)
        })
    };
    let one = run(1);
    for threads in [2, 5] {
        assert!(one == run(threads), "{threads} threads gave other bytes than one");
    }
}

#[test]
fn a_picture_gets_the_same_bytes_in_any_company() {
    for (size, stride) in [([17, 16], 1), ([9, 11], 2), ([2, 2], 1), ([4, 4], 2)] {
        let options = DepthwiseOptions::same(size, 5, stride);
        let w = flex(2, [5, 5, 40]);
        let forward = |batch| values(Flex::depthwise_nhwc(flex(1, [batch, size[0], size[1], 40]), w.clone(), options));
        let one = forward(1);
        assert_eq!(one, forward(13)[..one.len()]);
    }
}

/// A row of pixels as Pillow 13 resizes it, and for `Bilinear` PyTorch 2.15 with `align_corners=False`; made by
/// `tests/golden/resize.py`.
#[test]
fn resizes_like_pillow_and_pytorch() {
    let x = Tensor::<4>::from_data(TensorData::new(RAMP.to_vec(), [1, 1, 7, 1]), &Device::flex());
    for (filter, to, expected) in RESIZED {
        let y: Vec<f32> = crate::resize(x.clone(), [1, to], filter).into_data().try_into_vec().unwrap();
        for (y, expected) in y.iter().zip(expected) {
            assert!((y - expected).abs() < 1e-5, "{filter:?} to {to}: {y} {expected}");
        }
    }
}

const RAMP: [f32; 7] = [1.0, -2.0, 3.0, 0.5, -1.0, 4.0, 2.0];

const RESIZED: [(Filter, usize, &[f32]); 6] = [
    (
        Filter::Triangle,
        11,
        &[1.0, -0.363636, -1.545455, 1.636364, 2.090909, 0.5, -0.454545, 0.363636, 3.545455, 2.909091, 2.0],
    ),
    (Filter::Triangle, 4, &[-0.190476, 1.3, 0.42, 2.714286]),
    (
        Filter::Bicubic,
        11,
        &[1.210938, -0.5095, -1.817806, 1.960932, 2.601052, 0.5, -0.975207, 0.084147, 3.783997, 3.0943, 1.859375],
    ),
    (Filter::Bicubic, 4, &[-0.30269, 1.302019, 0.344352, 2.892331]),
    (
        Filter::Bilinear,
        11,
        &[1.0, -0.363636, -1.545455, 1.636364, 2.090909, 0.5, -0.454545, 0.363635, 3.545455, 2.909091, 2.0],
    ),
    (Filter::Bilinear, 4, &[-0.125, 2.6875, -0.8125, 2.75]),
];
