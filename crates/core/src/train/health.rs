//! Is training still well? Every finding is one sentence that says what was seen.

use super::Losses;

/// How often a run is rolled back before it gives up.
pub const RETRIES: u32 = 3;

/// Generated pictures that differ this little, relative to real ones, are one picture.
const COLLAPSED: f64 = 0.05;
/// Collapse is a fall: it can only come after the pictures differed at least this much.
const HEALTHY: f64 = 0.3;

/// Looks at the losses of a step; `limit` is a magnitude that no healthy loss of the family reaches.
pub fn losses(step: u64, losses: &Losses, limit: f32) -> Option<String> {
    losses.iter().find_map(|&(name, value)| {
        if !value.is_finite() {
            Some(format!("{name} stopped being a number at step {step}"))
        } else if value.abs() > limit {
            Some(format!("{name} exploded to {value:.3e} at step {step}"))
        } else {
            None
        }
    })
}

/// What to say of weights that cannot be saved because they are not all finite.
pub fn broken_weights(step: u64) -> String {
    format!("a weight stopped being a number at step {step}")
}

/// Looks at how much generated pictures differ, relative to real ones, now and at the best look so far.
pub fn diversity(step: u64, now: f64, best: f64) -> Option<String> {
    (best >= HEALTHY && now < COLLAPSED).then(|| {
        format!("the generated pictures became nearly the same at step {step} (mode collapse: their spread fell from {:.0} % of the real pictures' to {:.0} %)", best * 100.0, now * 100.0)
    })
}

/// Mean over all numbers of a picture of their standard deviation over `pictures`.
pub fn spread(pictures: &[Vec<u8>]) -> f64 {
    let Some(first) = pictures.first() else { return 0.0 };
    let n = pictures.len() as f64;
    let total: f64 = (0..first.len())
        .map(|i| {
            let mean = pictures.iter().map(|p| f64::from(p[i])).sum::<f64>() / n;
            (pictures.iter().map(|p| (f64::from(p[i]) - mean).powi(2)).sum::<f64>() / n).sqrt()
        })
        .sum();
    total / first.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_what_is_not_a_number_and_what_explodes() {
        assert!(losses(3, &vec![("d_loss", 0.7), ("g_loss", 2.0)], 1e4).is_none());
        assert!(
            losses(3, &vec![("d_loss", f32::NAN)], 1e4).unwrap().contains("d_loss stopped being a number at step 3")
        );
        assert!(losses(3, &vec![("g_loss", -2e4)], 1e4).unwrap().contains("exploded"));
    }

    #[test]
    fn collapse_is_a_fall_not_a_beginning() {
        assert!(diversity(10, 0.01, 0.02).is_none(), "an untrained generator makes grey pictures");
        assert!(diversity(10, 0.01, 0.8).is_some());
        assert!(diversity(10, 0.5, 0.8).is_none());
    }

    #[test]
    fn spread_of_equal_pictures_is_zero() {
        assert_eq!(spread(&[vec![1, 2, 3], vec![1, 2, 3]]), 0.0);
        assert_eq!(spread(&[vec![0, 0], vec![10, 20]]), 7.5);
    }
}
