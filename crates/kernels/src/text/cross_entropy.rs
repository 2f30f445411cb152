//! Softmax cross-entropy of rows of logits, forward and backward.

use crate::activation::exp;
use crate::simd::vectorised;
use rayon::prelude::*;

/// Rows of a task: about 64 KB of logits.
fn block_rows(classes: usize) -> usize {
    (16 * 1024 / classes.max(1)).max(1)
}

/// The largest of the numbers; what is not a number is found by the sum that follows.
#[inline(always)]
pub(super) fn largest(x: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let rest = x.len() / LANES * LANES;
    for x in x.chunks_exact(LANES) {
        for (lane, &x) in lanes.iter_mut().zip(x) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    x[rest..].iter().chain(&lanes).fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a })
}

/// `Σ e^(x − largest)`.
#[inline(always)]
fn sum_of_exponentials(x: &[f32], largest: f32) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [0.0f32; LANES];
    let rest = x.len() / LANES * LANES;
    for x in x.chunks_exact(LANES) {
        for (lane, &x) in lanes.iter_mut().zip(x) {
            *lane += exp(x - largest);
        }
    }
    let rest: f32 = x[rest..].iter().map(|&x| exp(x - largest)).sum();
    lanes.iter().sum::<f32>() + rest
}

/// For every row: the nats of its target, `ln Σ eˣ − x[target]`, and that logarithm; and the mean of the nats.
pub(super) fn forward(logits: &[f32], targets: &[u32], classes: usize) -> (f32, Vec<f32>, Vec<f32>) {
    let rows = block_rows(classes);
    let (mut nats, mut log_sum) = (vec![0.0f32; targets.len()], vec![0.0f32; targets.len()]);
    let blocks = nats.par_chunks_mut(rows).zip(log_sum.par_chunks_mut(rows));
    blocks.zip(logits.par_chunks(rows * classes).zip(targets.par_chunks(rows))).for_each(
        |((nats, log_sum), (logits, targets))| {
            vectorised(
                #[inline(always)]
                || {
                    let outputs = nats.iter_mut().zip(log_sum);
                    for ((nats, log_sum), (x, &target)) in outputs.zip(logits.chunks_exact(classes).zip(targets)) {
                        let largest = largest(x);
                        let log = sum_of_exponentials(x, largest).ln();
                        *log_sum = largest + log;
                        // In this order, because the difference to the largest is exact where the logits are large.
                        *nats = log + (largest - x[target as usize]);
                    }
                },
            );
        },
    );
    let mean = nats.iter().map(|&v| f64::from(v)).sum::<f64>() / nats.len() as f64;
    (mean as f32, nats, log_sum)
}

/// `logits ← (softmax(logits) − [j = target]) · scale`, row by row.
pub(super) fn backward(logits: &mut [f32], log_sum: &[f32], targets: &[u32], classes: usize, scale: f32) {
    let rows = block_rows(classes);
    let blocks = logits.par_chunks_mut(rows * classes).zip(log_sum.par_chunks(rows)).zip(targets.par_chunks(rows));
    blocks.for_each(|((logits, log_sum), targets)| {
        vectorised(
            #[inline(always)]
            || {
                for ((x, &log_sum), &target) in logits.chunks_exact_mut(classes).zip(log_sum).zip(targets) {
                    for x in x.iter_mut() {
                        *x = exp(*x - log_sum) * scale;
                    }
                    x[target as usize] -= scale;
                }
            },
        );
    });
}
