//! The copying report: are generated pictures training pictures again? Two controls always run: held-out pictures must pass, and not
//! repeat training pictures themselves, and a copycat that adds noise to training pictures must fail; otherwise there is no verdict.
//! Pixels are searched mirrored, too, because training may mirror pictures; features hardly change then.

use super::estimate::Estimate;
use super::nearness::{Match, Measures, Training, Verdict, matches, measures, verdict};
use crate::data::Twins;
use crate::features::Features;
use serde::{Deserialize, Serialize};

/// Pairs that are shown.
pub const WORST: usize = 20;
/// With fewer held-out pictures than this nothing can be compared with them.
pub const ENOUGH_HELDOUT: usize = 4;
/// Standard deviation of the copycat's noise, in levels of 255: seen as grain, if at all.
pub const COPYCAT_LEVELS: f32 = 8.0;
/// Held-out pictures that repeat a training picture, as a share that data may have; with more of them the split leaks, and nobody can tell
/// a model that copies from one that does not.
const LEAKS: f64 = 0.05;

/// The three sets that are looked at, in one space.
pub(super) struct Sets {
    pub generated: Features,
    pub heldout: Features,
    pub copycat: Features,
    /// Generated and held-out pictures mirrored, where that changes something.
    pub mirrored: Option<[Features; 2]>,
}

/// What was found in one space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Space {
    /// `pixels` (thumbnails of at most 32×32), or the name of the feature extractor.
    pub name: String,
    /// Training pictures that were searched.
    pub training: usize,
    /// The generated pictures.
    pub generated: Measures,
    /// The held-out pictures; `None` with fewer than four.
    pub heldout: Option<Measures>,
    /// The copycat.
    pub copycat: Measures,
}

/// A generated picture and its nearest training picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Number of the generated picture under the seed of the judgement.
    pub generated: usize,
    /// Its name, where it came from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated_name: Option<String>,
    /// Number of the training picture.
    pub training: usize,
    /// Its name inside the source.
    pub name: String,
    /// The space in which they are so near.
    pub space: String,
    /// Their distance, relative to what is usual there: 0.5 and below counts as a copy.
    pub ratio: f64,
}

/// The copying report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Copying {
    /// `None` where a control did not come out as it must: then the measures cannot tell.
    pub verdict: Option<Verdict>,
    /// The same in words.
    pub words: String,
    /// Do held-out pictures pass? `None` where there are too few to ask.
    pub heldout_passes: Option<bool>,
    /// Does the copycat fail?
    pub copycat_fails: bool,
    /// Pixel space, then feature space.
    pub spaces: Vec<Space>,
    /// Pictures that look the same within the data.
    pub twins: Twins,
    /// The 20 generated pictures that are nearest to a training picture, worst first.
    pub pairs: Vec<Pair>,
}

/// What one space says of each set; the matches are those of the generated pictures.
struct Found {
    space: Space,
    matches: Vec<Match>,
    generated: Option<Verdict>,
    /// Of held-out pictures, if there are enough.
    heldout: Option<Option<Verdict>>,
    copycat: Option<Verdict>,
}

fn in_space(name: &str, training: &Training, sets: &Sets) -> Found {
    // One search for all, because the training pictures are read anew for each.
    let (n, m) = (sets.generated.count(), sets.heldout.count());
    let mirrored = sets.mirrored.iter().flatten();
    let values = [&sets.generated, &sets.heldout, &sets.copycat].into_iter().chain(mirrored).map(Features::values);
    let values = values.collect::<Vec<_>>().concat();
    let mut all = matches(training, &Features::from_values(sets.generated.dimensions(), values));
    let mirrored = all.split_off(n + m + sets.copycat.count());
    for (one, mirrored) in all.iter_mut().zip(mirrored) {
        if mirrored.distance < one.distance {
            *one = mirrored;
        }
    }
    let copycat = all.split_off(n + m);
    let heldout = all.split_off(n);
    let reference = if heldout.len() < ENOUGH_HELDOUT { &[] } else { &heldout[..] };
    let of_heldout = (!reference.is_empty()).then(|| measures(reference, &[]));
    let judge = |set: &[Match]| {
        let found = measures(set, reference);
        (found, verdict(&found, of_heldout.as_ref()))
    };
    // Every other held-out picture as if it were generated, against the rest.
    let half = |first: usize| reference.iter().skip(first).step_by(2).copied().collect::<Vec<Match>>();
    let control = of_heldout.is_some().then(|| {
        let (as_generated, rest) = (half(0), half(1));
        verdict(&measures(&as_generated, &rest), Some(&measures(&rest, &[])))
    });
    let ((generated, of_generated), (copycat, of_copycat)) = (judge(&all), judge(&copycat));
    Found {
        space: Space { name: name.into(), training: training.count, generated, heldout: of_heldout, copycat },
        matches: all,
        generated: of_generated,
        heldout: control,
        copycat: of_copycat,
    }
}

/// Both spaces together. Being close in pixels without being a copy says only that pictures are smooth: a blurred picture
/// is near to everything.
fn together(pixels: Option<Verdict>, features: Option<Verdict>) -> Option<Verdict> {
    let copies = Some(Verdict::Copies);
    if pixels == copies { copies } else { features.filter(|found| pixels.is_some() || Some(*found) == copies) }
}

/// Do so many held-out pictures repeat a training picture that chance does not explain it?
fn leaks(space: &Space) -> bool {
    space.heldout.as_ref().is_some_and(|heldout| Estimate::share(heldout.copies, heldout.of).low > LEAKS)
}

/// Makes the report from the training pictures and the three sets in pixel space and in the space called `extractor`.
/// `name_of` names a training picture; `numbers` gives the training pictures that the vectors of feature space belong to.
pub(super) fn report(
    (pixels, pixel_sets): (&Training, &Sets),
    (features, feature_sets, numbers): (&Training, &Sets, &[usize]),
    extractor: &str,
    twins: Twins,
    name_of: &dyn Fn(usize) -> String,
) -> Copying {
    let by_pixels = in_space("pixels", pixels, pixel_sets);
    let by_features = in_space(extractor, features, feature_sets);
    let leaking = leaks(&by_pixels.space) || leaks(&by_features.space);
    // Halves of a few are too few to tell: that is not a failure.
    let passes = |(p, f)| !leaking && together(p, f).is_none_or(|found| found == Verdict::Clean);
    let heldout_passes = by_pixels.heldout.zip(by_features.heldout).map(passes);
    let copycat_fails = together(by_pixels.copycat, by_features.copycat).is_some_and(|found| found != Verdict::Clean);
    let controlled = heldout_passes != Some(false) && copycat_fails;
    let found = together(by_pixels.generated, by_features.generated);

    let mut pairs: Vec<Pair> = (0..by_pixels.matches.len())
        .map(|i| {
            let (pixel, feature) = (&by_pixels.matches[i], &by_features.matches[i]);
            let (space, training, ratio) = if feature.ratio() < pixel.ratio() {
                (extractor, numbers[feature.nearest], feature.ratio())
            } else {
                ("pixels", pixel.nearest, pixel.ratio())
            };
            Pair { generated: i, generated_name: None, training, name: name_of(training), space: space.into(), ratio }
        })
        .collect();
    pairs.sort_by(|a, b| a.ratio.total_cmp(&b.ratio).then(a.generated.cmp(&b.generated)));
    pairs.truncate(WORST);

    let mut copying = Copying {
        verdict: found.filter(|_| controlled),
        words: String::new(),
        heldout_passes,
        copycat_fails,
        spaces: vec![by_pixels.space, by_features.space],
        twins,
        pairs,
    };
    copying.words = words(&copying);
    copying
}

/// The verdict as a person would say it.
fn words(copying: &Copying) -> String {
    let copies = |m: &Measures| format!("{} of {}", m.copies, m.of);
    let most = copying.spaces.iter().max_by_key(|space| space.generated.copies).expect("there are two spaces");
    let beside = most.heldout.as_ref().map_or(String::new(), |h| format!(" (held-out pictures: {})", copies(h)));
    let count = format!("{} generated pictures repeat a training picture{beside}", copies(&most.generated));
    let unheld = if copying.heldout_passes.is_none() {
        " There are too few held-out pictures to compare with, so only near copies could be found."
    } else {
        ""
    };
    match copying.verdict {
        Some(Verdict::Clean) => format!("No sign of copying: {count}.{unheld}"),
        Some(Verdict::Close) => format!(
            "Closer to the training pictures than new pictures are, but to no single one: {count}. Smooth or few \
             kinds of pictures look like this, and so does a model that has memorised its pictures. Look at the \
             pairs."
        ),
        Some(Verdict::Copies) => format!(
            "It copies: {count}. Do not publish what must not be traced to its source; train shorter, on more pictures, \
             or with augmentation.{unheld}"
        ),
        None if !copying.copycat_fails => {
            "No verdict: training pictures with a little noise were not recognised as copies. The pictures are too \
             alike to tell."
                .into()
        }
        None if copying.heldout_passes == Some(false) => {
            "No verdict: held-out pictures themselves look like copies of training pictures. The data holds the same \
             pictures several times."
                .into()
        }
        None => format!(
            "No verdict: {count}, and there are too few held-out pictures to say whether that is chance. Look at the pairs."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_in_either_space_are_copies_and_doubt_is_doubt() {
        let [clean, close, copies] = [Verdict::Clean, Verdict::Close, Verdict::Copies].map(Some);
        for (pixels, features, both) in [
            (clean, clean, clean),
            (close, clean, clean),
            (clean, close, close),
            (copies, clean, copies),
            (copies, None, copies),
            (clean, copies, copies),
            (None, copies, copies),
            (None, clean, None),
            (clean, None, None),
        ] {
            assert_eq!(together(pixels, features), both, "{pixels:?} {features:?}");
        }
    }

    /// A split that leaks lets a model copy as much as its held-out pictures do: that control must fail.
    #[test]
    fn heldout_pictures_that_repeat_are_a_leak_unless_it_is_chance() {
        let space = |copies, of| {
            let measures = |copies| Measures { copies, of, auth_pct: 50.0, c_t: None };
            let (name, heldout) = ("pixels".into(), Some(measures(copies)));
            Space { name, training: 100, generated: measures(0), heldout, copycat: measures(0) }
        };
        assert!(leaks(&space(120, 200)) && leaks(&space(5, 20)));
        assert!(!leaks(&space(12, 200)) && !leaks(&space(1, 586)) && !leaks(&space(2, 13)));
    }
}
