//! Is training still well? Every finding is one sentence that says what was seen, and has a remedy that is bounded.

use super::plateau::plateau;
use crate::families::trainer::Kind;
use crate::families::trainer::Losses;
use crate::run::counters::Scored;

/// How often a run is rolled back after divergence or collapse before it gives up.
pub const RETRIES: u32 = 3;

/// Generated pictures that differ this little, relative to real ones, are one picture.
const COLLAPSED: f64 = 0.05;
/// Collapse is a fall: it can only come after the pictures differed at least this much.
const HEALTHY: f64 = 0.3;
/// A discriminator that tells this share rightly is sure: the mean sign of its logits is then 0.95, where adaptive
/// augmentation steers for 0.6 (Karras 2020, ADA, §3.1).
const SURE: f64 = 0.975;
/// Looks of the windows in which a sure discriminator must have gone without a better score.
const DOMINATED_LOOKS: usize = 5;

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What it is.
    pub kind: Kind,
    /// What was seen, in one sentence.
    pub words: String,
}

impl Trouble {
    /// Divergence, in these words.
    pub fn divergence(words: impl Into<String>) -> Self {
        Self { kind: Kind::Divergence, words: words.into() }
    }
}

/// Looks at the losses of a step; `limit` is a magnitude that no healthy loss of the family reaches.
pub fn losses(step: u64, losses: &Losses, limit: f32) -> Option<Trouble> {
    losses.iter().find_map(|&(name, value)| {
        if !value.is_finite() {
            Some(Trouble::divergence(format!("{name} stopped being a number at step {step}")))
        } else if value.abs() > limit {
            Some(Trouble::divergence(format!("{name} exploded to {value:.3e} at step {step}")))
        } else {
            None
        }
    })
}

/// What to say of weights that cannot be saved because they are not all finite.
pub fn broken_weights(step: u64) -> Trouble {
    Trouble::divergence(format!("a weight stopped being a number at step {step}"))
}

/// Looks at how much generated pictures differ, relative to real ones, now and at the best look so far.
pub fn diversity(step: u64, now: f64, best: f64) -> Option<Trouble> {
    (best >= HEALTHY && now < COLLAPSED).then(|| {
        let words = format!("the generated pictures became nearly the same at step {step} (mode collapse: their spread fell from {:.0} % of the real pictures' to {:.0} %)", best * 100.0, now * 100.0);
        Trouble { kind: Kind::Collapse, words }
    })
}

/// Looks for a discriminator that has told nearly everything rightly in a whole window of looks in which the score did not
/// improve. Either alone is not trouble: a sure discriminator may still teach.
pub fn domination(looks: &[Scored]) -> Option<Trouble> {
    let found = plateau(looks, DOMINATED_LOOKS, 0)?;
    let last = &looks[looks.len() - found.window..];
    let lowest = last.iter().map(|look| look.accuracy.unwrap_or(0.0)).min_by(f64::total_cmp)?;
    (lowest > SURE).then(|| {
        let words = format!(
            "the discriminator has classified at least {:.1} % of the pictures correctly since step {} and the score has not \
             improved since step {}: the generator learns nothing from it",
            (lowest * 1000.0).floor() / 10.0,
            last[0].step,
            found.best
        );
        Trouble { kind: Kind::Domination, words }
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
        let says = |name, value| losses(3, &vec![(name, value)], 1e4).map(|trouble| trouble.words);
        assert_eq!((says("d_loss", 0.7), says("g_loss", 2.0)), (None, None));
        assert!(says("d_loss", f32::NAN).unwrap().contains("d_loss stopped being a number at step 3"));
        assert!(says("g_loss", -2e4).unwrap().contains("exploded"));
    }

    #[test]
    fn collapse_is_a_fall_not_a_beginning() {
        assert!(diversity(10, 0.01, 0.02).is_none(), "an untrained generator makes grey pictures");
        assert_eq!(diversity(10, 0.01, 0.8).unwrap().kind, Kind::Collapse);
        assert!(diversity(10, 0.5, 0.8).is_none());
    }

    #[test]
    fn domination_is_a_sure_discriminator_and_a_score_that_stays() {
        let looks = |falls: f64, accuracy: Option<f64>| -> Vec<Scored> {
            (1..=13).map(|i| Scored { step: 10 * i, score: 1.0 - falls * i as f64, accuracy }).collect()
        };
        let found = domination(&looks(0.0, Some(0.99))).unwrap();
        assert_eq!(found.kind, Kind::Domination);
        for word in ["99.0 %", "since step 90", "since step 10"] {
            assert!(found.words.contains(word), "{word}: {}", found.words);
        }
        assert_eq!(domination(&looks(0.01, Some(0.99))), None, "it still learns");
        assert_eq!(domination(&looks(0.0, Some(0.9))), None, "it is not sure");
        assert_eq!(domination(&looks(0.0, None)), None, "there is no discriminator");
        assert_eq!(domination(&looks(0.0, Some(0.99))[..9]), None, "it is too early to say");
    }

    #[test]
    fn spread_of_equal_pictures_is_zero() {
        assert_eq!(spread(&[vec![1, 2, 3], vec![1, 2, 3]]), 0.0);
        assert_eq!(spread(&[vec![0, 0], vec![10, 20]]), 7.5);
    }
}
