//! The text kernels against their plain composition, gradients against finite differences, the same bytes for any number of
//! threads.

use super::*;
use crate::tests::{assert_close, assert_close_to_largest, check_gradients, flex, numbers, values};
use burn::backend::Flex;
use burn::tensor::TensorData;
use burn_flex::FlexTensor;
use proptest::prelude::*;

/// `count` tokens below `vocabulary`, some of them often.
fn tokens(seed: u64, count: usize, vocabulary: usize) -> Tokens {
    numbers(seed + 500, count).iter().map(|v| ((v * v * vocabulary as f32) as u32).min(vocabulary as u32 - 1)).collect()
}

/// Larger numbers than [`flex`] has.
fn scaled<const D: usize>(seed: u64, shape: [usize; D], factor: f32) -> FlexTensor {
    let values: Vec<f32> = numbers(seed, shape.iter().product()).iter().map(|v| v * factor).collect();
    FlexTensor::from_data(TensorData::new(values, shape))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn embedding_matches_the_plain_composition(
        count in 1usize..300, vocabulary in 1usize..50, width in 1usize..70, seed in 1u64..1_000_000,
    ) {
        let (table, gy, tokens) = (flex(seed, [vocabulary, width]), flex(seed + 1, [count, width]), tokens(seed, count, vocabulary));
        let oracle = plain::embedding_rows::<Flex>(table.clone(), tokens.clone());
        assert_close("embedding", Flex::embedding_rows(table, tokens.clone()), oracle, 0.0);
        let oracle = plain::embedding_table_grad::<Flex>(gy.clone(), tokens.clone(), vocabulary);
        assert_close("embedding gradient", Flex::embedding_table_grad(gy, tokens, vocabulary), oracle, 1e-5);
    }

    #[test]
    fn rows_match_the_plain_composition(
        rows in 1usize..300, width in 1usize..100, probability in 0.05f32..0.9, seed in 1u64..1_000_000,
    ) {
        let (x, gy, gamma) = (scaled(seed, [rows, width], 3.0), flex(seed + 1, [rows, width]), flex(seed + 2, [width]));
        let oracle = plain::rms_norm_rows::<Flex>(x.clone(), gamma.clone(), 1e-5);
        assert_close("rms norm", Flex::rms_norm_rows(x.clone(), gamma.clone(), 1e-5), oracle, 1e-5);
        let oracle = plain::rms_norm_backward::<Flex>(x.clone(), gy.clone(), gamma.clone(), 1e-5);
        let kernel = Flex::rms_norm_backward(x.clone(), gy.clone(), gamma, 1e-5);
        assert_close_to_largest("rms norm gx", kernel.0, oracle.0, 1e-4);
        assert_close_to_largest("g gamma", kernel.1, oracle.1, 1e-4);

        let oracle = plain::dropout_rows::<Flex>(x.clone(), probability, seed);
        assert_close("dropout", Flex::dropout_rows(x, probability, seed), oracle, 0.0);

        let x = scaled(seed, [rows, 2 * width], 8.0);
        let oracle = plain::swiglu_rows::<Flex>(x.clone());
        assert_close("swiglu", Flex::swiglu_rows(x.clone()), oracle, 1e-5);
        let oracle = plain::swiglu_backward::<Flex>(x.clone(), gy.clone());
        assert_close("swiglu gx", Flex::swiglu_backward(x, gy), oracle, 1e-5);
    }

    #[test]
    fn cross_entropy_matches_the_plain_composition(
        rows in 1usize..300, classes in 1usize..200, factor in prop_oneof![Just(1.0f32), Just(30.0)], seed in 1u64..1_000_000,
    ) {
        let (logits, targets) = (scaled(seed, [rows, classes], factor), tokens(seed, rows, classes));
        let kernel = Flex::cross_entropy_rows(logits.clone(), targets.clone());
        let oracle = plain::cross_entropy_rows::<Flex>(logits.clone(), targets.clone());
        let log_sum = kernel.2.clone();
        assert_close("mean", kernel.0, oracle.0, 1e-5);
        assert_close("nats", kernel.1, oracle.1, 1e-5);
        assert_close("log sum", kernel.2, oracle.2, 1e-5);
        let gy = flex(seed + 1, [1]);
        let oracle = plain::cross_entropy_backward::<Flex>(logits.clone(), log_sum.clone(), gy.clone(), targets.clone());
        assert_close("logits gradient", Flex::cross_entropy_backward(logits, log_sum, gy, targets), oracle, 1e-6);
    }

    #[test]
    fn attention_matches_the_plain_composition(
        batch in 1usize..4, time in 1usize..100, heads in 1usize..4, half in prop_oneof![1usize..9, Just(16), Just(24), Just(32)],
        factor in prop_oneof![Just(1.0f32), Just(8.0)], seed in 1u64..1_000_000,
    ) {
        let (width, rotary) = (2 * half, Arc::new(Rotary::new(time + 3, 2 * half)));
        let qkv = scaled(seed, [batch, time, 3 * heads * width], factor);
        let gy = flex(seed + 1, [batch, time, heads * width]);
        let (y, log_sum) = Flex::causal_attention(qkv.clone(), heads, rotary.clone());
        let oracle = plain::causal_attention::<Flex>(qkv.clone(), heads, rotary.clone());
        assert_close("attention", y.clone(), oracle.0, 1e-4 * factor);
        assert_close("log sum", log_sum.clone(), oracle.1, 1e-5);
        let backward = |f: fn(_, _, _, _, _, _) -> FlexTensor| {
            f(qkv.clone(), y.clone(), gy.clone(), log_sum.clone(), heads, rotary.clone())
        };
        let (kernel, oracle) = (
            backward(Flex::causal_attention_backward), backward(plain::causal_attention_backward::<Flex>),
        );
        assert_close_to_largest("attention gradient", kernel, oracle, 1e-4 * factor);
    }

    #[test]
    fn lstm_matches_the_plain_composition(
        batch in prop_oneof![1usize..20, 31usize..36], time in 1usize..8, width in 1usize..40, bf16 in any::<bool>(),
        seed in 1u64..1_000_000,
    ) {
        let (precision, tolerance) = if bf16 { (Precision::Bf16, 0.03) } else { (Precision::F32, 1e-4) };
        let (x, bias) = (scaled(seed, [batch, time, 4 * width], 3.0), flex(seed + 1, [4 * width]));
        let (w, gh) = (flex(seed + 2, [width, 4 * width]), flex(seed + 3, [batch, time, width]));
        let (h, c, gates) = Flex::lstm_sequence(x.clone(), bias.clone(), w.clone(), precision);
        let oracle = plain::lstm_sequence::<Flex>(x, bias, w.clone(), precision);
        assert_close_to_largest("h", h.clone(), oracle.0, tolerance);
        assert_close_to_largest("c", c.clone(), oracle.1, tolerance);
        assert_close_to_largest("gates", gates.clone(), oracle.2, tolerance);
        let backward = |f: fn(_, _, _, _, _, _) -> (FlexTensor, FlexTensor)| {
            f(h.clone(), c.clone(), gates.clone(), gh.clone(), w.clone(), precision)
        };
        let (kernel, oracle) = (backward(Flex::lstm_backward), backward(plain::lstm_backward::<Flex>));
        assert_close_to_largest("lstm gx", kernel.0, oracle.0, tolerance);
        assert_close_to_largest("lstm gw", kernel.1, oracle.1, tolerance);
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    let tokens: Tokens = [0u32, 2, 2, 1, 4].into();
    check_gradients("embedding", &[vec![5, 3]], |v| {
        embedding(v[0].clone().reshape([5, 3]), tokens.clone()).flatten(0, 1)
    });
    check_gradients("rms norm", &[vec![4, 6], vec![6]], |v| {
        rms_norm(v[0].clone().reshape([4, 6]), v[1].clone(), 1e-5).flatten(0, 1)
    });
    check_gradients("swiglu", &[vec![4, 6]], |v| swiglu(v[0].clone().reshape([2, 2, 6])).flatten(0, 2));
    check_gradients("dropout", &[vec![4, 6]], |v| dropout(v[0].clone().reshape([4, 6]), 0.4, 3).flatten(0, 1));
    check_gradients("cross entropy", &[vec![5, 7]], |v| {
        cross_entropy(v[0].clone().reshape([5, 7]) * 3.0, tokens.clone())
    });
    let rotary = Arc::new(Rotary::new(5, 4));
    check_gradients("attention", &[vec![2, 5, 24]], |v| {
        causal_attention(v[0].clone().reshape([2, 5, 24]), 2, rotary.clone()).flatten(0, 2)
    });
    check_gradients("lstm", &[vec![2, 3, 12], vec![12], vec![3, 12]], |v| {
        let (x, w) = (v[0].clone().reshape([2, 3, 12]), v[2].clone().reshape([3, 12]));
        lstm(x, v[1].clone(), w, Precision::F32).flatten(0, 2)
    });
    check_gradients("product", &[vec![5, 3], vec![3, 4]], |v| {
        product(v[0].clone().reshape([5, 3]), v[1].clone().reshape([3, 4]), Precision::F32).flatten(0, 1)
    });
    check_gradients("transposed product", &[vec![5, 3], vec![4, 3]], |v| {
        product_transposed(v[0].clone().reshape([5, 3]), v[1].clone().reshape([4, 3]), Precision::F32).flatten(0, 1)
    });
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let run = |threads: usize, precision: Precision| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (x, gy) = (flex(1, [3000, 48]), flex(2, [3000, 48]));
            let (tokens, rotary) = (tokens(3, 3000, 48), Arc::new(Rotary::new(70, 16)));
            let (gx, g_gamma) = Flex::rms_norm_backward(x.clone(), gy.clone(), flex(4, [48]), 1e-5);
            let (mean, _, log_sum) = Flex::cross_entropy_rows(x.clone(), tokens.clone());
            let qkv = flex(5, [3, 70, 3 * 48]);
            let (y, log) = Flex::causal_attention(qkv.clone(), 3, rotary.clone());
            let g_qkv = Flex::causal_attention_backward(qkv, y.clone(), flex(6, [3, 70, 48]), log, 3, rotary);
            let (w, sequences) = (flex(8, [40, 160]), flex(7, [37, 9, 160]));
            let (h, c, gates) = Flex::lstm_sequence(sequences, flex(9, [160]), w.clone(), precision);
            let (g_x, g_w) = Flex::lstm_backward(h.clone(), c, gates, flex(10, [37, 9, 40]), w, precision);
            let all = [
                Flex::embedding_table_grad(gy, tokens.clone(), 48),
                Flex::dropout_rows(x.clone(), 0.3, 5),
                Flex::swiglu_rows(x.clone()),
                Flex::cross_entropy_backward(x, log_sum, flex(11, [1]), tokens),
                gx,
                g_gamma,
                mean,
                y,
                g_qkv,
                h,
                g_x,
                g_w,
            ];
            all.map(values)
        })
    };
    for precision in [Precision::F32, Precision::Bf16] {
        let one = run(1, precision);
        for threads in [2, 5] {
            assert!(one == run(threads, precision), "{threads} threads gave other bytes than one");
        }
    }
}

#[test]
fn a_position_does_not_see_what_follows_it() {
    let rotary = Arc::new(Rotary::new(50, 8));
    let mut numbers = numbers(1, 50 * 48);
    let y = |numbers: &[f32]| {
        let qkv = FlexTensor::from_data(TensorData::new(numbers.to_vec(), [1, 50, 48]));
        values(Flex::causal_attention(qkv, 2, rotary.clone()).0)
    };
    let before = y(&numbers);
    numbers[40 * 48..].fill(1e30);
    assert_eq!(before[..40 * 16], y(&numbers)[..40 * 16]);
}

#[test]
fn logits_and_gates_give_way_to_their_gradients() {
    let at = |tensor: &FlexTensor| tensor.as_slice::<f32>().unwrap().as_ptr();
    let (logits, targets) = (flex(1, [100, 20]), tokens(2, 100, 20));
    let before = at(&logits);
    let (_, _, log_sum) = Flex::cross_entropy_rows(logits.clone(), targets.clone());
    assert_eq!(at(&Flex::cross_entropy_backward(logits, log_sum, flex(3, [1]), targets)), before);

    let (sums, w) = (flex(4, [2, 3, 16]), flex(6, [4, 16]));
    let before = at(&sums);
    let (h, c, gates) = Flex::lstm_sequence(sums, flex(5, [16]), w.clone(), Precision::F32);
    assert_eq!(at(&gates), before);
    assert_eq!(at(&Flex::lstm_backward(h, c, gates, flex(7, [2, 3, 4]), w, Precision::F32).0), before);
    // What someone else holds is left as it is.
    let held = flex(4, [2, 3, 16]);
    Flex::lstm_sequence(held.clone(), flex(5, [16]), flex(6, [4, 16]), Precision::F32);
    assert_eq!(values(held), values(flex(4, [2, 3, 16])));
}

#[test]
#[should_panic(expected = "token 5 of a vocabulary of 5")]
fn a_token_beyond_the_vocabulary_is_no_row() {
    Flex::embedding_rows(flex(1, [5, 2]), [1u32, 5].into());
}

#[test]
fn what_is_not_a_number_stays_visible() {
    let mut logits = numbers(1, 40);
    logits[17] = f32::NAN;
    let logits = FlexTensor::from_data(TensorData::new(logits, [4, 10]));
    let (mean, nats, _) = Flex::cross_entropy_rows(logits, [1u32, 2, 3, 4].into());
    assert!(values(mean)[0].is_nan());
    assert_eq!(values(nats).iter().map(|v| v.is_nan()).collect::<Vec<_>>(), [false, true, false, false]);
}

#[test]
fn workers_run_what_they_are_given_also_from_inside_and_side_by_side() {
    let worker = || rayon::current_thread_index().is_some();
    assert_eq!(super::among_workers(|| super::among_workers(|| 7)), 7);
    // Another test may be inside; then a call runs where it is.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert!(pool.install(|| super::among_workers(worker)));
    let both =
        std::thread::scope(|s| [1, 2].map(|i| s.spawn(move || super::among_workers(|| i))).map(|t| t.join().unwrap()));
    assert_eq!(both, [1, 2]);
}
