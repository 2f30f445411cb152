//! Repeating and the two ways to sum up.

use std::time::Instant;

/// Fewer repeats have no median worth the name.
const LEAST: usize = 3;

/// Seconds of each of several repeats of `body` that fill about `budget` seconds. One goes before them and does not count:
/// it pays for allocating and for cold caches.
pub fn repeats(budget: f64, mut body: impl FnMut()) -> Vec<f64> {
    body();
    let start = Instant::now();
    let mut seconds = Vec::new();
    while seconds.len() < LEAST || start.elapsed().as_secs_f64() < budget {
        let one = Instant::now();
        body();
        seconds.push(one.elapsed().as_secs_f64());
    }
    seconds
}

/// The shortest: what the machine can do when nothing disturbs it.
pub fn best(seconds: &[f64]) -> f64 {
    seconds.iter().copied().fold(f64::INFINITY, f64::min)
}

/// The middle one: what is usual.
pub fn median(seconds: &[f64]) -> f64 {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { (sorted[middle - 1] + sorted[middle]) / 2.0 } else { sorted[middle] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goes_before() {
        let mut runs = 0;
        let seconds = repeats(0.0, || runs += 1);
        assert_eq!((runs, seconds.len()), (LEAST + 1, LEAST));
    }

    #[test]
    fn middle_and_shortest() {
        assert_eq!((median(&[3.0, 1.0, 2.0]), best(&[3.0, 1.0, 2.0])), (2.0, 1.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), 3.0);
    }
}
