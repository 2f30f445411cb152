//! The whole judgement of a generator: scores with intervals and floors, collapse, copying.
//!
//! The protocol. Of all pictures of a data set, in an order drawn with a fixed seed, the first n are the real side and the
//! next n, which are different ones, take the place of the generated pictures for the floor: what a perfect generator of the
//! same size would get. With fewer than 2n pictures n is half of what there is. The copying report looks at all generated
//! pictures and at the split of the run: training pictures to be copied, held-out ones to compare with.

use super::collapse::{Collapse, diversity, duplicate_rate};
use super::copying::{self, COPYCAT_LEVELS, Copying, Sets};
use super::draw::permutation;
use super::estimate::Estimate;
use super::feature_cache;
use super::likelihood::Likelihood;
use super::nearness::Training;
use super::pixels::Pixels;
use super::score_name::{Metric, ScoreName};
use super::{extrapolated, frechet, frechet_interval, kid, kid_interval, prdc};
use crate::data::Dataset;
use crate::features::{Extractor, Features, Scaling, Standard};
use crate::rng::evenly;
use crate::{Error, Result, rng};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::Path;

/// Version of `scores.json`.
const FORMAT: u32 = 1;
/// Neighbours that make a ball in precision, recall, density and coverage (Naeem 2020).
pub const K: usize = 5;
/// Seed of the draw of real pictures: part of the protocol, never of a run.
const REAL_SEED: u64 = 0;
/// Generated pictures, at least.
pub const FEWEST: usize = 10;
/// Generated pictures, at least and at most.
const NUMBERS: std::ops::RangeInclusive<usize> = FEWEST..=100_000;
/// Real pictures, at least: two for each side.
const FEWEST_REAL: usize = 4;
/// Training pictures whose features are searched for copies, at most; pixels are searched in all of them.
const MOST_TRAINING: usize = 10_000;
/// Held-out pictures, and pictures of the copycat, at most.
const MOST_HELDOUT: usize = 2_000;
const MOST_COPYCAT: usize = 500;
/// Generated pictures that are in memory at once.
const BATCH: usize = 64;

/// What to judge with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Generated pictures, from 10 up.
    pub n: usize,
    /// Seed of the generated pictures and of the bootstrap.
    pub seed: u64,
}

/// Which end of a score is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// The smaller the better.
    Lower,
    /// The larger the better.
    Higher,
}

/// One score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// Its protocol: metric, extractor, pictures a side.
    pub name: ScoreName,
    /// The score.
    pub value: f64,
    /// Lower end of its 95 % interval, where there is one.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// What as many other real pictures get in the place of the generated ones.
    pub floor: f64,
    /// Which end is good.
    pub better: Better,
}

/// The model that was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgedModel {
    /// Its name.
    pub name: String,
    /// BLAKE3 of its file.
    pub blake3: String,
    /// Training steps behind it.
    pub step: u64,
}

/// Pictures of unknown origin that were judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// Their folder or file.
    pub pictures: String,
    /// Where the real pictures lie that they were compared with.
    pub real: String,
}

/// Everything that was found, as it stands in `scores.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    /// Version of this record.
    pub format: u32,
    /// The model; nothing where the pictures came from elsewhere.
    pub model: Option<JudgedModel>,
    /// What was judged instead, where the pictures came from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<Given>,
    /// The feature extractor.
    pub extractor: String,
    /// What is done to its features.
    pub scaling: Scaling,
    /// Pictures a side in the scores.
    pub n: usize,
    /// Generated pictures in the copying report.
    pub generated: usize,
    /// Seed of the generated pictures.
    pub seed: u64,
    /// Fingerprint of the real pictures.
    pub data_fingerprint: String,
    /// Real pictures: trained on, held out.
    pub data_pictures: [usize; 2],
    /// The scores.
    pub scores: Vec<Score>,
    /// What a model with a likelihood says of pictures that it was not trained on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub likelihoods: Vec<Likelihood>,
    /// Mode collapse.
    pub collapse: Collapse,
    /// Copying.
    pub copying: Copying,
    /// Version of Maliang that judged.
    pub version: String,
}

impl Judgement {
    /// Says with the verdict on copying that the real pictures are not those that the pictures were learned from.
    #[must_use]
    pub fn of_other_data(mut self) -> Self {
        self.copying.words += " This is about the real pictures that were given here; what the generator was trained on was not searched.";
        self
    }

    /// As the text of `scores.json`.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a judgement is plain data")
    }

    /// The score of `metric`.
    pub fn score(&self, metric: Metric) -> Option<&Score> {
        self.scores.iter().find(|score| score.name.metric() == Some(metric))
    }
}

/// The classes of `count` pictures in the proportions of `pictures`, the pictures of each class: at every point the class that lags most.
/// Where all have the same number, each in turn.
pub fn proportional(pictures: &[usize], count: usize) -> Vec<usize> {
    let all = pictures.iter().sum::<usize>().max(1) as i64;
    let mut made = vec![0i64; pictures.len()];
    let next = |i: usize| {
        let lag = |&class: &usize| pictures[class] as i64 * (i as i64 + 1) - made[class] * all;
        let class = (0..pictures.len()).rev().max_by_key(lag).unwrap_or(0);
        if let Some(made) = made.get_mut(class) {
            *made += 1;
        }
        class
    };
    (0..count).map(next).collect()
}

/// Told what is being done, how much of it is done, and how much there is.
pub type OnStage<'a> = &'a dyn Fn(&str, usize, usize);

/// Judges the pictures that `make` gives by their numbers (u8, `[height, width, channels]` of `data`), batch by batch: what
/// stays in memory are vectors. The first n of them stand for all in the scores, so their order must not depend on what they
/// show. Features of real pictures are kept in `cache`.
///
/// # Errors
/// `options.n` out of range, or fewer than four real pictures, two of them for training.
pub fn judge(
    make: &dyn Fn(Range<usize>) -> Vec<Vec<u8>>,
    data: &Dataset,
    extractor: &dyn Extractor,
    options: &Options,
    cache: &Path,
    on_stage: OnStage,
) -> Result<Judgement> {
    if !NUMBERS.contains(&options.n) {
        let (least, most) = (NUMBERS.start(), NUMBERS.end());
        return Err(Error::input(format!("{} generated pictures are out of range: {least} to {most}", options.n)));
    }
    let all = data.train_len() + data.heldout_len();
    if all < FEWEST_REAL || data.train_len() < 2 {
        return Err(Error::input(format!("{all} real pictures are too few to judge with: at least {FEWEST_REAL}"))
            .hint("give more of the same kind with --data"));
    }
    let n = options.n.min(all / 2);
    let order = permutation(all, REAL_SEED, "judge-real");
    let real = feature_cache::of_real(extractor, data, &order[..2 * n], cache, &|done| {
        on_stage("real pictures", done, 2 * n);
    });
    let pixels = Pixels::new(data.height(), data.width(), data.channels());
    let (generated, generated_pixels) = embed(make, options.n, data, extractor, &pixels, on_stage);

    let parts = [real.select(0..n), real.select(n..2 * n), generated.select(0..n)];
    drop(real);
    let (side, others) = extractor.scaling().apply(&parts[0], &[&parts[1], &parts[2]]);
    let (floor, fake) = (&others[0], &others[1]);
    let name = |metric: Metric| ScoreName::Pictures {
        metric,
        extractor: extractor.name(),
        side: None,
        n,
        k: metric.counts_neighbours().then_some(K),
    };
    let scores = scores(&side, fake, floor, &name, options.seed, on_stage);

    on_stage("collapse", 0, 1);
    let real_pixels = vectors(&pixels, &order[..n].iter().map(|&i| data.any(i)).collect::<Vec<_>>());
    let coverage = scores.iter().find(|score| score.name.metric() == Some(Metric::Coverage)).expect("it is a score");
    let collapse = Collapse {
        diversity: diversity(&side, fake),
        diversity_floor: diversity(&side, floor),
        duplicates: duplicate_rate(&pixels, &generated_pixels.select(0..n)),
        duplicates_floor: duplicate_rate(&pixels, &real_pixels),
        coverage: coverage.value,
        coverage_floor: coverage.floor,
        words: String::new(),
    };
    let copying = copying_report(data, extractor, &pixels, generated, generated_pixels, cache, on_stage);
    Ok(Judgement {
        format: FORMAT,
        model: None,
        given: None,
        extractor: extractor.name(),
        scaling: extractor.scaling(),
        n,
        generated: options.n,
        seed: options.seed,
        data_fingerprint: data.fingerprint().to_string(),
        data_pictures: [data.train_len(), data.heldout_len()],
        scores,
        likelihoods: Vec::new(),
        collapse: collapse.describe(),
        copying,
        version: crate::VERSION.to_string(),
    })
}

/// Features and pixel vectors of the generated pictures. They are taken from bytes, as real pictures are: what is judged is
/// what a file would hold.
fn embed(
    make: &dyn Fn(Range<usize>) -> Vec<Vec<u8>>,
    count: usize,
    data: &Dataset,
    extractor: &dyn Extractor,
    pixels: &Pixels,
    on_stage: OnStage,
) -> (Features, Features) {
    let (mut features, mut thumbnails) = (Features::new(extractor.len()), Features::new(pixels.dimensions()));
    for first in (0..count).step_by(BATCH) {
        let made = make(first..(first + BATCH).min(count));
        let made: Vec<&[u8]> = made.iter().map(Vec::as_slice).collect();
        extend(&mut features, extractor, data, &made);
        vectors(pixels, &made).rows().for_each(|row| thumbnails.push(row));
        on_stage("generated pictures", thumbnails.count(), count);
    }
    (features, thumbnails)
}

fn extend(features: &mut Features, extractor: &dyn Extractor, data: &Dataset, pictures: &[&[u8]]) {
    let shape = [data.height(), data.width(), data.channels()];
    for part in pictures.chunks(feature_cache::BATCH) {
        extractor.extract(feature_cache::tensor(part, shape)).iter().for_each(|row| features.push(row));
    }
}

fn vectors(pixels: &Pixels, pictures: &[&[u8]]) -> Features {
    let rows: Vec<Vec<f32>> = pictures.par_iter().map(|picture| pixels.vector(picture)).collect();
    Features::from_values(pixels.dimensions(), rows.concat())
}

/// Each metric on `fake` and on `floor`.
fn scores(
    real: &Features,
    fake: &Features,
    floor: &Features,
    name: &dyn Fn(Metric) -> ScoreName,
    seed: u64,
    on_stage: OnStage,
) -> Vec<Score> {
    let score = |metric: Metric, e: Estimate, floor: f64| {
        let end = |v: f64| Some(v).filter(|v| v.is_finite());
        Score { name: name(metric), value: e.value, low: end(e.low), high: end(e.high), floor, better: metric.better() }
    };
    on_stage("kid", 0, 1);
    let mut all = vec![score(Metric::Kid, kid_interval(real, fake, seed), kid(real, floor))];
    on_stage("fréchet distance", 0, 1);
    let (fd, fd_floor) = (frechet_interval(real, fake), frechet(real, floor));
    let limit = extrapolated(real, fake, fd.value).zip(extrapolated(real, floor, fd_floor));
    all.push(score(Metric::Fd, fd, fd_floor));
    if let Some((value, floor)) = limit {
        // Without an interval.
        all.push(score(Metric::FdInf, Estimate { value, low: f64::NAN, high: f64::NAN }, floor));
    }
    on_stage("neighbours", 0, 1);
    let (found, at_best) = (prdc(real, fake, K), prdc(real, floor, K));
    for (metric, found, at_best) in [
        (Metric::Precision, found.precision, at_best.precision),
        (Metric::Recall, found.recall, at_best.recall),
        (Metric::Density, found.density, at_best.density),
        (Metric::Coverage, found.coverage, at_best.coverage),
    ] {
        all.push(score(metric, found, at_best.value));
    }
    all
}

fn copying_report(
    data: &Dataset,
    extractor: &dyn Extractor,
    pixels: &Pixels,
    generated: Features,
    generated_pixels: Features,
    cache: &Path,
    on_stage: OnStage,
) -> Copying {
    let train = data.train_len();
    let numbers = evenly(train, MOST_TRAINING);
    let heldout: Vec<usize> = evenly(data.heldout_len(), MOST_HELDOUT).into_iter().map(|i| train + i).collect();
    let embed = |what: &str, numbers: &[usize]| {
        feature_cache::of_real(extractor, data, numbers, cache, &|done| on_stage(what, done, numbers.len()))
    };
    let training_features = embed("training pictures", &numbers);
    let heldout_features = embed("held-out pictures", &heldout);
    let copycat: Vec<Vec<u8>> = evenly(train, MOST_COPYCAT.min(generated.count()))
        .into_iter()
        .map(|i| {
            let noise = rng::normal(&mut rng::stream(REAL_SEED, "copycat", i as u64), data.train(i).len());
            // `as u8` saturates at both ends.
            data.train(i).iter().zip(noise).map(|(&v, e)| (f32::from(v) + COPYCAT_LEVELS * e).round() as u8).collect()
        })
        .collect();
    let copycat: Vec<&[u8]> = copycat.iter().map(Vec::as_slice).collect();
    let mut copycat_features = Features::new(extractor.len());
    extend(&mut copycat_features, extractor, data, &copycat);

    on_stage("copying", 0, 1);
    let others = [&generated, &heldout_features, &copycat_features];
    let (training_features, sets) = match extractor.scaling() {
        Scaling::Raw => (training_features, others.map(Clone::clone)),
        Scaling::Standardised => {
            let standard = Standard::of(&training_features);
            (standard.apply(&training_features), others.map(|set| standard.apply(set)))
        }
    };
    let [generated, heldout_features, copycat_features] = sets;
    let feature_sets = Sets { generated, heldout: heldout_features, copycat: copycat_features, mirrored: None };
    let heldout_pixels = vectors(pixels, &heldout.iter().map(|&i| data.any(i)).collect::<Vec<_>>());
    let pixel_sets = Sets {
        mirrored: Some([&generated_pixels, &heldout_pixels].map(|set| pixels.mirrored(set))),
        generated: generated_pixels,
        heldout: heldout_pixels,
        copycat: vectors(pixels, &copycat),
    };
    let of_features = |range: Range<usize>| training_features.select(range);
    let of_pixels = |range: Range<usize>| vectors(pixels, &range.map(|i| data.train(i)).collect::<Vec<_>>());
    copying::report(
        (&Training { count: train, vectors: &of_pixels }, &pixel_sets),
        (&Training { count: numbers.len(), vectors: &of_features }, &feature_sets, &numbers),
        &extractor.name(),
        data.twins(),
        &|i| data.train_entry(i).name.clone(),
    )
}
