//! Which pictures are held out: decided by their content, so it never changes when files are added or renamed.

/// Below this many pictures the share of hashes under a threshold is too coarse to leave to chance.
const SMALL: usize = 20;
/// Below this many pictures none is forced out of training.
const TINY: usize = 8;

/// Marks the held-out pictures, given the BLAKE3 hash of each file's bytes (no repeats).
///
/// A picture is held out iff the first 8 bytes of the BLAKE3 of its hash, read as a fraction of 2^64, are below `holdout`. On
/// top of that, with 8 pictures or more at least one is held out (below 20: at least `round(n * holdout)`), by raising the
/// threshold as far as needed; and one is always left for training.
pub fn heldout(hashes: &[[u8; 32]], holdout: f64) -> Vec<bool> {
    let mut out = vec![false; hashes.len()];
    if holdout <= 0.0 || hashes.is_empty() {
        return out;
    }
    let fractions: Vec<f64> = hashes.iter().map(fraction).collect();
    let mut order: Vec<usize> = (0..hashes.len()).collect();
    order.sort_by(|&a, &b| fractions[a].total_cmp(&fractions[b]).then(hashes[a].cmp(&hashes[b])));

    let by_threshold = fractions.iter().filter(|&&fraction| fraction < holdout).count();
    let at_least = match hashes.len() {
        n if n < TINY => 0,
        n if n < SMALL => ((n as f64 * holdout).round() as usize).max(1),
        _ => 1,
    };
    let count = by_threshold.max(at_least).min(hashes.len() - 1);
    for &index in &order[..count] {
        out[index] = true;
    }
    out
}

/// A hash as a number in [0, 1). Hashed once more so that the split does not follow any other use of the file's hash.
fn fraction(hash: &[u8; 32]) -> f64 {
    let again = blake3::hash(hash);
    let first = u64::from_le_bytes(again.as_bytes()[..8].try_into().expect("8 bytes"));
    first as f64 / 2f64.powi(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(n: usize) -> Vec<[u8; 32]> {
        (0..n).map(|i| *blake3::hash(&i.to_le_bytes()).as_bytes()).collect()
    }

    #[test]
    fn share_is_close_and_stable_when_files_are_added() {
        let few = heldout(&hashes(1000), 0.1);
        let many = heldout(&hashes(3000), 0.1);
        assert_eq!(few, many[..1000]);
        let share = many.iter().filter(|&&out| out).count() as f64 / 3000.0;
        assert!((share - 0.1).abs() < 0.02, "{share}");
    }

    #[test]
    fn small_sets() {
        for n in 0..40 {
            for holdout in [0.0, 0.05, 0.1, 0.5] {
                let out = heldout(&hashes(n), holdout).iter().filter(|&&out| out).count();
                assert!(n == 0 || out < n, "training is never empty");
                if holdout > 0.0 && n >= 8 {
                    assert!(out >= 1);
                }
                if holdout == 0.0 {
                    assert_eq!(out, 0);
                }
                if (8..20).contains(&n) {
                    assert!(out >= (n as f64 * holdout).round() as usize);
                }
            }
        }
    }
}
