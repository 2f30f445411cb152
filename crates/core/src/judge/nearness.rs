//! How near pictures come to the training pictures, and whether that is nearer than new pictures may.

use super::products::Search;
use crate::features::Features;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A copy is nearer to one training picture than this share of its mean distance to the nearest 50 (Carlini 2023,
/// "Extracting training data from diffusion models", §4.2: α = 0.5, n = 50). A blurred or average picture is near to many
/// and so is none.
const COPY: f64 = 0.5;
/// Neighbours that say what distances are usual around a picture: 50, but a tenth of a small set, so that they remain its
/// surroundings, and 5 at least.
const TYPICAL: std::ops::RangeInclusive<usize> = 5..=50;
/// Training vectors that are searched at once.
const BLOCK: usize = 2048;
/// One-sided 1 % point of the normal distribution: from there on more copies than among held-out pictures are no chance.
const MORE_COPIES: f64 = 2.33;
/// Copies beyond those of held-out pictures that nobody should shrug at, as a share: with too few held-out pictures to call them no
/// chance there is no verdict.
const WORRYING: f64 = 0.01;
/// C_T below this is not chance (Meehan 2020 speaks of −3 as strong evidence); together with an AuthPct that is this many
/// points below that of held-out pictures.
const CLOSER: f64 = -3.0;
const LESS_AUTHENTIC: f64 = 10.0;

/// The training pictures in a space of vectors, given block by block so that they need not be in memory.
pub struct Training<'a> {
    /// How many.
    pub count: usize,
    /// The vectors of a range of them.
    pub vectors: &'a dyn Fn(Range<usize>) -> Features,
}

/// Where a picture lies relative to the training pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// The nearest training picture.
    pub nearest: usize,
    /// Distance to it.
    pub distance: f64,
    /// Mean distance to the nearest 50: a tenth of a smaller set, 5 at least.
    pub typical: f64,
    /// Distance from the nearest training picture to its own nearest.
    pub own: f64,
}

impl Match {
    /// Distance relative to what is usual there: 0 is the same picture, about 1 a picture like many.
    pub fn ratio(&self) -> f64 {
        if self.typical > 0.0 { self.distance / self.typical } else { 0.0 }
    }

    /// See [`Measures::copies`].
    pub fn is_copy(&self) -> bool {
        self.ratio() <= COPY
    }
}

/// The match of each of `queries`.
///
/// # Panics
/// If there are fewer than two training pictures.
pub fn matches(training: &Training, queries: &Features) -> Vec<Match> {
    assert!(training.count >= 2, "a training picture needs another to compare its distance with");
    let search = |queries: &Features, k: usize, own: Option<Vec<usize>>| {
        let mut search = Search::new(queries, k, own);
        for first in (0..training.count).step_by(BLOCK) {
            search.add(&(training.vectors)(first..(first + BLOCK).min(training.count)), first);
        }
        search.finish()
    };
    let usual = (training.count / 10).clamp(*TYPICAL.start(), *TYPICAL.end());
    let found = search(queries, usual, None);
    let mut nearest: Vec<usize> = found.iter().map(|near| near[0].index).collect();
    nearest.sort_unstable();
    nearest.dedup();
    let mut matched = Features::new(queries.dimensions());
    nearest.iter().for_each(|&i| matched.push((training.vectors)(i..i + 1).row(0)));
    let own = search(&matched, 1, Some(nearest.clone()));
    let one = |near: Vec<super::Neighbour>| {
        let place = nearest.binary_search(&near[0].index).expect("it is among the matched");
        Match {
            nearest: near[0].index,
            distance: near[0].distance,
            typical: near.iter().map(|n| n.distance).sum::<f64>() / near.len() as f64,
            own: own[place][0].distance,
        }
    };
    found.into_iter().map(one).collect()
}

/// What matches of a set of pictures say together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// Pictures that are a training picture again: at most half as far from it as is usual there.
    pub copies: usize,
    /// Pictures that were looked at.
    pub of: usize,
    /// AuthPct (Alaa 2022): percentage of pictures that are farther from their nearest training picture than that is from its
    /// own nearest.
    pub auth_pct: f64,
    /// C_T (Meehan 2020, with one cell): the standardised Mann–Whitney U of distances to the nearest training picture, against
    /// those of held-out pictures. Far below 0: nearer than new pictures are. `None` without others to compare with.
    pub c_t: Option<f64>,
}

/// Measures a set of pictures against `heldout` ones.
pub fn measures(set: &[Match], heldout: &[Match]) -> Measures {
    let count = |is: fn(&Match) -> bool| set.iter().filter(|m| is(m)).count();
    let authentic = count(|m| m.distance > m.own) as f64;
    let distances = |set: &[Match]| set.iter().map(|m| m.distance).collect::<Vec<f64>>();
    Measures {
        copies: count(Match::is_copy),
        of: set.len(),
        auth_pct: 100.0 * authentic / set.len().max(1) as f64,
        c_t: (!heldout.is_empty()).then(|| mann_whitney(&distances(set), &distances(heldout))),
    }
}

/// The standardised Mann–Whitney U: far below 0 where `q` is mostly smaller than `p`.
///
/// `(U − mn/2) / √(mn(m + n + 1)/12)` with U = number of pairs in which `q` is larger, ties counting half.
fn mann_whitney(q: &[f64], p: &[f64]) -> f64 {
    let mut sorted = p.to_vec();
    sorted.sort_by(f64::total_cmp);
    let smaller = |v: f64| (sorted.partition_point(|p| *p < v) + sorted.partition_point(|p| *p <= v)) as f64 / 2.0;
    let (m, n) = (q.len() as f64, p.len() as f64);
    let u: f64 = q.iter().map(|&v| smaller(v)).sum();
    (u - m * n / 2.0) / (m * n * (m + n + 1.0) / 12.0).sqrt()
}

/// What the measures amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing that held-out pictures do not show, too.
    Clean,
    /// Nearer to the training pictures than held-out pictures are, but to no single one.
    Close,
    /// More repeated training pictures than chance allows.
    Copies,
}

/// Judges the measures of one space by those of held-out pictures in it, if there are any. `None` where there are more copies than
/// among these, but too few of these to say that it is not chance.
pub fn verdict(set: &Measures, heldout: Option<&Measures>) -> Option<Verdict> {
    let share = |m: &Measures| m.copies as f64 / m.of.max(1) as f64;
    let more = share(set) - heldout.map_or(0.0, share) > WORRYING && set.copies >= 2;
    let copies = match heldout {
        None => more,
        Some(heldout) => {
            // Two proportions, pooled.
            let (n, m) = (set.of.max(1) as f64, heldout.of.max(1) as f64);
            let pooled = (set.copies + heldout.copies) as f64 / (n + m);
            let error = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
            share(set) - share(heldout) > MORE_COPIES * error
        }
    };
    if copies && set.copies >= 2 {
        return Some(Verdict::Copies);
    }
    if more {
        return None;
    }
    let less_authentic = heldout.is_some_and(|heldout| set.auth_pct < heldout.auth_pct - LESS_AUTHENTIC);
    Some(if set.c_t.is_some_and(|z| z < CLOSER) && less_authentic { Verdict::Close } else { Verdict::Clean })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng;
    use serde_json::Value;

    fn in_memory(set: &Features) -> impl Fn(Range<usize>) -> Features + '_ {
        |range| set.select(range)
    }

    #[test]
    fn auth_pct_and_c_t_of_the_papers() {
        let golden: Vec<Value> = serde_json::from_str(include_str!("../../tests/golden/judge.json")).unwrap();
        for case in golden {
            let set = |name: &str| {
                let values = case[name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
                Features::from_values(case["d"].as_u64().unwrap() as usize, values)
            };
            let train = set("real");
            let vectors = in_memory(&train);
            let training = Training { count: train.count(), vectors: &vectors };
            let (fake, heldout) = (matches(&training, &set("fake")), matches(&training, &set("heldout")));
            let found = measures(&fake, &heldout);
            let close = |found: f64, key: &str| (found - case[key].as_f64().unwrap()).abs() < 1e-6;
            assert!(close(found.auth_pct, "auth_pct") && close(found.c_t.unwrap(), "c_t"), "{found:?}");
        }
    }

    /// Vectors around a few centres, as pictures are.
    fn pictures(seed: u64, count: usize) -> Features {
        let mut set = Features::new(24);
        for i in 0..count {
            let centre = rng::normal(&mut rng::stream(7, "centre", i as u64 % 9), 24);
            let own = rng::normal(&mut rng::stream(seed, "picture", i as u64), 24);
            set.push(&centre.iter().zip(&own).map(|(c, v)| 2.0 * c + v).collect::<Vec<f32>>());
        }
        set
    }

    #[test]
    fn new_pictures_pass_copies_fail_and_blur_is_not_called_copying() {
        for (count, heldout_count, made) in [(300, 60, 200), (20, 6, 30), (3000, 300, 100)] {
            let train = pictures(1, count);
            let vectors = in_memory(&train);
            let training = Training { count, vectors: &vectors };
            let heldout = matches(&training, &pictures(2, heldout_count));
            let reference = measures(&heldout, &[]);
            let judge = |set: &Features| {
                let found = measures(&matches(&training, set), &heldout);
                (verdict(&found, Some(&reference)), found)
            };
            let (new, found) = judge(&pictures(3, made));
            // Six held-out pictures may be too few to tell.
            assert!(new == Some(Verdict::Clean) || count < 100 && new.is_none(), "{found:?} {reference:?}");
            let noise = rng::normal(&mut rng::stream(5, "noise", 0), made * 24);
            let rows: Vec<Vec<f32>> = (0..made)
                .map(|i| train.row(i * 7 % count).iter().zip(&noise[i * 24..]).map(|(v, e)| v + 0.1 * e).collect())
                .collect();
            let (copies, found) = judge(&Features::from_rows(&rows));
            assert_eq!(copies, Some(Verdict::Copies), "{found:?}");
            assert!(found.auth_pct < 5.0);
            let centres: Vec<Vec<f32>> = (0..made)
                .map(|i| rng::normal(&mut rng::stream(7, "centre", i as u64 % 9), 24).iter().map(|c| 2.0 * c).collect())
                .collect();
            let (blur, found) = judge(&Features::from_rows(&centres));
            // Between two pictures of a kind there is no telling an average from a copy.
            assert!(count < 100 || blur != Some(Verdict::Copies), "{found:?}");
        }
    }

    #[test]
    fn without_heldout_pictures_copies_are_found_all_the_same() {
        let train = pictures(1, 50);
        let vectors = in_memory(&train);
        let training = Training { count: 50, vectors: &vectors };
        let found = measures(&matches(&training, &train), &[]);
        assert_eq!((found.copies, found.c_t, verdict(&found, None)), (50, None, Some(Verdict::Copies)));
    }

    /// Ten held-out pictures cannot tell 20 % of copies from chance: that is not a verdict, least of all a good one. A hundred can.
    #[test]
    fn copies_are_not_waved_through_for_want_of_heldout_pictures() {
        let of = |copies, of| Measures { copies, of, auth_pct: 50.0, c_t: Some(0.0) };
        let judge = |copies, heldout| verdict(&of(copies, 2000), Some(&heldout));
        assert_eq!(judge(400, of(0, 10)), None);
        assert_eq!(judge(400, of(0, 100)), Some(Verdict::Copies));
        assert_eq!(judge(19, of(0, 10)), Some(Verdict::Clean), "below a hundredth");
        assert_eq!(judge(400, of(20, 100)), Some(Verdict::Clean), "as many as held-out pictures");
        assert_eq!(verdict(&of(400, 2000), None), Some(Verdict::Copies));
    }
}
