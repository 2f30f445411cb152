//! Has the held-out score stopped improving? Asked after every look, of all looks so far.

use crate::run::counters::Scored;

/// Looks of a window, at least, where nothing else is asked for: of the twenty looks of a usual run the verdict can come from the
/// nineteenth on.
pub const PATIENCE: usize = 8;

/// A score that has stopped improving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plateau {
    /// The step of the best look.
    pub best: u64,
    /// Looks of either of the two windows that were looked at.
    pub window: usize,
}

impl Plateau {
    /// What was seen, in one sentence.
    pub fn words(&self) -> String {
        let Self { best, window } = self;
        format!(
            "the score has stopped improving: the last {window} looks are no better than the {window} before them, and the best \
             is of step {best}"
        )
    }
}

/// The plateau that `looks` (oldest first) of a run of `whole` looks have reached, if they have.
///
/// A window is `patience` looks, or a seventh of the whole run, or a quarter of the looks so far: the largest of the three, so
/// that frequent looks do not make it hasty. The score still improves if the best look lies in the last window, or if the two
/// last windows together fall: if in more than half of all pairs of looks the later one is better (Mann 1945, Kendall 1938;
/// neither a lucky look nor a wild one decides). It has stopped when neither was so at any of the last `patience / 2` looks. On
/// scores that fall by a 40th a look and jump by 40 % that is wrong in less than one run of ten; on calmer or steeper ones hardly
/// ever.
pub fn plateau(looks: &[Scored], patience: usize, whole: usize) -> Option<Plateau> {
    let now = level(looks, patience, whole)?;
    let stands = (1..patience / 2).all(|k| level(&looks[..looks.len() - k], patience, whole).is_some());
    stands.then_some(now)
}

/// The same of the last two windows alone.
fn level(looks: &[Scored], patience: usize, whole: usize) -> Option<Plateau> {
    let window = patience.max(whole / 7).max(looks.len() / 4);
    if window == 0 || looks.len() < 2 * window {
        return None;
    }
    let best = looks.iter().min_by(|a, b| a.score.total_cmp(&b.score))?;
    let recent = &looks[looks.len() - 2 * window..];
    (best.step < recent[window].step && kendall(recent) >= 0).then_some(Plateau { best: best.step, window })
}

/// Kendall's S: pairs of looks of which the later one is worse, less those of which it is better.
fn kendall(looks: &[Scored]) -> i64 {
    let worse = |(i, early): (usize, &Scored)| {
        looks[i + 1..].iter().map(|late| late.score.total_cmp(&early.score) as i64).sum::<i64>()
    };
    looks.iter().enumerate().map(worse).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng;

    /// `count` looks of a score, a function of the look and of a standard normal number.
    fn looks(count: usize, seed: u64, score: impl Fn(f64, f64) -> f64) -> Vec<Scored> {
        let noise = rng::normal(&mut rng::stream(seed, "looks", 0), count);
        let look = |(i, &e): (usize, &f32)| Scored {
            step: 20 * (i as u64 + 1),
            score: score(i as f64, f64::from(e)),
            accuracy: None,
        };
        noise.iter().enumerate().map(look).collect()
    }

    /// The look, counted from 1, at which a run of these looks is first said to have stopped improving.
    fn first(all: &[Scored]) -> Option<usize> {
        (1..=all.len()).find(|&n| plateau(&all[..n], PATIENCE, all.len()).is_some())
    }

    /// Looks without a better one, at most: what decided before.
    fn longest_wait(all: &[Scored]) -> usize {
        let (mut best, mut waited, mut longest) = (f64::INFINITY, 0, 0);
        for look in all {
            (best, waited) = if look.score < best { (look.score, 0) } else { (best, waited + 1) };
            longest = longest.max(waited);
        }
        longest
    }

    #[test]
    fn a_falling_score_is_left_alone_however_much_its_looks_jump() {
        for (tau, jump, allowed) in [(20.0, 0.2, 0), (20.0, 0.4, 2), (40.0, 0.2, 2), (40.0, 0.4, 10)] {
            let runs = (0..100).map(|seed| looks(80, seed, |i, e| (-i / tau).exp() * (jump * e).exp()));
            let (wrong, before) = runs.fold((0, 0), |(wrong, before), all| {
                (wrong + usize::from(first(&all).is_some()), before + usize::from(longest_wait(&all) >= 8))
            });
            assert!(wrong <= allowed, "{tau} {jump}: {wrong} of 100");
            assert!(jump < 0.4 || before > 60, "waiting for a better look was wrong in {before} of 100");
        }
        assert_eq!(first(&looks(80, 0, |i, _| 1.0 / (i + 1.0))), None, "without noise");
    }

    #[test]
    fn a_level_or_rising_score_is_noticed() {
        for (name, worse) in [("level", 0.0), ("rising", 0.01)] {
            // Thirty looks of learning, then none.
            let score = |i: f64, e: f64| (-i.min(30.0) / 10.0).exp() + worse * (i - 30.0).max(0.0) + 0.02 * e;
            let mut found: Vec<usize> =
                (0..100).map(|seed| first(&looks(160, seed, score)).unwrap_or(usize::MAX)).collect();
            found.sort_unstable();
            assert!(found[0] > 40, "{name}: the first at {}", found[0]);
            assert!(found[50] <= 95 && found[80] <= 160, "{name}: half by {}, most by {}", found[50], found[80]);
        }
    }

    /// A lucky early look that is never reached again does not hide that all others get better, and a wild one does not either.
    #[test]
    fn single_looks_do_not_decide() {
        let falling = |i: f64| 2.0 - i / 50.0;
        assert_eq!(first(&looks(60, 1, |i, _| if i == 4.0 { 0.1 } else { falling(i) })), None);
        assert_eq!(first(&looks(60, 1, |i, _| if i % 7.0 == 3.0 { 600.0 } else { falling(i) })), None);
    }

    #[test]
    fn windows_grow_with_the_run() {
        let level = looks(96, 1, |_, _| 1.0);
        // Two windows, and the looks at which it must stand.
        for (patience, whole, at, window) in [(8, 0, 19, 8), (3, 0, 6, 3), (8, 96, 29, 13), (1, 0, 2, 1)] {
            let n = (1..=96).find(|&n| plateau(&level[..n], patience, whole).is_some());
            assert_eq!(n, Some(at), "{patience} of {whole}");
            assert_eq!(plateau(&level[..at], patience, whole), Some(Plateau { best: 20, window }));
        }
        assert_eq!(plateau(&level, 8, 0).unwrap().window, 24);
        assert_eq!(plateau(&level, 49, 0), None);
        assert_eq!(plateau(&[], 0, 0), None);
        let words = plateau(&level, 8, 0).unwrap().words();
        assert!(words.contains("last 24 looks") && words.contains("step 20"), "{words}");
    }
}
