//! All inner products of two sets of vectors, in strips: the one expensive part of every metric here.

use crate::device;
use crate::features::{Features, squared_distance};
use crate::nn::host;
use burn::tensor::{Tensor, TensorData};
use maliang_kernels::{Precision, linear};
use rayon::prelude::*;

/// Vectors of the first set that are multiplied at once.
const STRIP: usize = 256;
/// Vectors of the second set that are searched at once.
const BLOCK: usize = 2048;
/// Candidates beyond the wanted neighbours: their distances are computed again without cancellation.
const SPARE: usize = 4;

/// `a · b` of row-major matrices `[n, k]` and `[k, m]`, on the processor.
pub(crate) fn product(a: Vec<f32>, b: Tensor<2>) -> Vec<f32> {
    let k = b.dims()[0];
    let rows = a.len() / k;
    let a = Tensor::<2>::from_data(TensorData::new(a, [rows, k]), &device::cpu());
    host(linear(a, b, Precision::F32))
}

/// A set as the right side of products: `[dimensions, count]`.
fn transposed(set: &Features) -> Tensor<2> {
    let (n, d) = (set.count(), set.dimensions());
    let mut values = vec![0.0; n * d];
    values.par_chunks_exact_mut(n).enumerate().for_each(|(i, column)| {
        column.iter_mut().zip(set.rows()).for_each(|(out, row)| *out = row[i]);
    });
    Tensor::from_data(TensorData::new(values, [d, n]), &device::cpu())
}

/// Calls `visit` with the number of a first row and the products `[rows, b.count()]` of the rows from there with all of `b`;
/// strips come in order.
pub(crate) fn strips(a: &Features, b: &Features, mut visit: impl FnMut(usize, Vec<f32>)) {
    if a.count() == 0 || b.count() == 0 {
        return;
    }
    let right = transposed(b);
    for (i, strip) in a.values().chunks(STRIP * a.dimensions()).enumerate() {
        visit(i * STRIP, product(strip.to_vec(), right.clone()));
    }
}

/// Squared length of each vector.
pub(crate) fn squares(set: &Features) -> Vec<f64> {
    set.rows().map(|row| row.iter().map(|&v| f64::from(v).powi(2)).sum()).collect()
}

/// A vector that is near another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Its number in its set.
    pub index: usize,
    /// Euclidean distance.
    pub distance: f64,
}

/// The nearest vectors to each of `queries`, found block by block, so that the set that is searched need not be in memory.
/// Candidates are found by products in f32; the distances that are reported are computed from differences.
#[derive(Debug)]
pub struct Search<'a> {
    queries: &'a Features,
    squares: Vec<f64>,
    k: usize,
    /// For each query, the number it has itself in the searched set: not its own neighbour.
    own: Option<Vec<usize>>,
    found: Vec<Vec<Neighbour>>,
}

impl<'a> Search<'a> {
    /// A search for the `k` nearest of each query. `own` gives the number of each query in the searched set, if it is part
    /// of it.
    pub fn new(queries: &'a Features, k: usize, own: Option<Vec<usize>>) -> Self {
        Self { queries, squares: squares(queries), k, own, found: vec![Vec::new(); queries.count()] }
    }

    /// Searches `block`, whose first vector has number `offset`.
    pub fn add(&mut self, block: &Features, offset: usize) {
        let right = squares(block);
        let (queries, k, own, lengths) = (self.queries, self.k, &self.own, &self.squares);
        let found = &mut self.found;
        strips(queries, block, |first, products| {
            let rows = products.par_chunks_exact(block.count()).zip(&mut found[first..]).enumerate();
            rows.for_each(|(i, (products, found))| {
                let query = first + i;
                let skipped = own.as_ref().map(|own| own[query]);
                let near = |j: usize| lengths[query] + right[j] - 2.0 * f64::from(products[j]);
                let others = (0..block.count()).filter(|&j| skipped != Some(offset + j));
                for j in smallest(others, near, k + SPARE) {
                    let distance = squared_distance(queries.row(query), block.row(j)).sqrt();
                    found.push(Neighbour { index: offset + j, distance });
                }
                found.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.index.cmp(&b.index)));
                found.truncate(k);
            });
        });
    }

    /// For each query its neighbours, nearest first; fewer than `k` where there were not so many.
    pub fn finish(self) -> Vec<Vec<Neighbour>> {
        self.found
    }
}

/// The `count` numbers with the smallest keys, in no particular order.
fn smallest(numbers: impl Iterator<Item = usize>, key: impl Fn(usize) -> f64, count: usize) -> Vec<usize> {
    let mut best: Vec<(f64, usize)> = Vec::with_capacity(count + 1);
    for i in numbers {
        let key = key(i);
        if best.len() == count && best.last().is_some_and(|worst| worst.0 <= key) {
            continue;
        }
        let place = best.partition_point(|other| other.0 <= key);
        best.insert(place, (key, i));
        best.truncate(count);
    }
    best.into_iter().map(|(_, i)| i).collect()
}

/// The `k` nearest of `among` for each of `queries`; where both are the same set, `same`, none is its own neighbour.
pub fn nearest(queries: &Features, among: &Features, k: usize, same: bool) -> Vec<Vec<Neighbour>> {
    let mut search = Search::new(queries, k, same.then(|| (0..queries.count()).collect()));
    for first in (0..among.count()).step_by(BLOCK) {
        search.add(&among.select(first..(first + BLOCK).min(among.count())), first);
    }
    search.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng;

    fn cloud(seed: u64, count: usize, d: usize) -> Features {
        Features::from_values(d, rng::normal(&mut rng::stream(seed, "cloud", 0), count * d))
    }

    /// Against the plain search, with vectors far from the origin so that products cancel.
    #[test]
    fn neighbours_are_those_of_the_plain_search() {
        for (n, m, d, k) in [(1, 1, 3, 1), (7, 40, 5, 3), (300, 2100, 12, 6)] {
            let shifted = |set: Features| Features::from_values(d, set.values().iter().map(|v| v + 30.0).collect());
            let (queries, among) = (shifted(cloud(1, n, d)), shifted(cloud(2, m, d)));
            let found = nearest(&queries, &among, k, false);
            for (query, found) in queries.rows().zip(&found) {
                let mut all: Vec<f64> = among.rows().map(|row| squared_distance(query, row).sqrt()).collect();
                all.sort_by(f64::total_cmp);
                let distances: Vec<f64> = found.iter().map(|n| n.distance).collect();
                assert_eq!(distances, all[..k.min(m)]);
            }
        }
    }

    #[test]
    fn nothing_is_its_own_neighbour_but_a_double_is() {
        let mut set = cloud(1, 9, 4);
        let copy = set.row(2).to_vec();
        set.push(&copy);
        let found = nearest(&set, &set, 2, true);
        assert!(found.iter().enumerate().all(|(i, near)| near.iter().all(|n| n.index != i)));
        assert_eq!(found[2][0], Neighbour { index: 9, distance: 0.0 });
    }
}
