//! Rows of a table, and the sums that are their gradient.

use crate::simd::{filled, vectorised};
use rayon::prelude::*;

/// Rows of a task.
const ROWS: usize = 64;

/// `y[i] = table[tokens[i]]`, rows of `width` numbers.
pub(super) fn rows(table: &[f32], tokens: &[u32], width: usize) -> Vec<f32> {
    filled(tokens.len() * width, |y| {
        y.par_chunks_mut((ROWS * width).max(1)).zip(tokens.par_chunks(ROWS)).for_each(|(y, tokens)| {
            for (y, &token) in y.chunks_exact_mut(width).zip(tokens) {
                y.write_copy_of_slice(&table[token as usize * width..][..width]);
            }
        });
    })
}

/// Gradient of the table: row v is the sum of all `gy[i]` with `tokens[i] = v`, in rising order of i.
pub(super) fn backward(gy: &[f32], tokens: &[u32], vocabulary: usize, width: usize) -> Vec<f32> {
    // The places of each token, by counting: those of token v are places[starts[v]..starts[v + 1]].
    let mut starts = vec![0usize; vocabulary + 1];
    for &token in tokens {
        starts[token as usize + 1] += 1;
    }
    for v in 0..vocabulary {
        starts[v + 1] += starts[v];
    }
    let mut next = starts.clone();
    let mut places = vec![0u32; tokens.len()];
    for (i, &token) in tokens.iter().enumerate() {
        let slot = &mut next[token as usize];
        places[*slot] = i as u32;
        *slot += 1;
    }
    let mut table = vec![0.0f32; vocabulary * width];
    table.par_chunks_mut(width.max(1)).enumerate().for_each(|(v, row)| {
        let places = &places[starts[v]..starts[v + 1]];
        vectorised(
            #[inline(always)]
            || {
                for &i in places {
                    for (sum, &g) in row.iter_mut().zip(&gy[i as usize * width..][..width]) {
                        *sum += g;
                    }
                }
            },
        );
    });
    table
}
