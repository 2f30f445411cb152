//! Against `tests/golden/judge.json`, which `judge.py` computes from the papers in 64 bits.

use super::*;
use crate::data::{DataConfig, Dataset, Source, scan};
use crate::features::Features;
use rand::Rng;
use serde_json::Value;

fn set(case: &Value, name: &str) -> Features {
    let values = case[name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
    Features::from_values(case["d"].as_u64().unwrap() as usize, values)
}

fn golden() -> Vec<Value> {
    serde_json::from_str(include_str!("../../tests/golden/judge.json")).unwrap()
}

#[track_caller]
fn close(found: f64, expected: &Value, what: &str) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{what}: {found}, not {expected}");
}

#[test]
fn kid_and_frechet_distance_of_the_papers() {
    for case in golden() {
        let (real, fake) = (set(&case, "real"), set(&case, "fake"));
        close(kid(&real, &fake), &case["kid"], "kid");
        close(frechet(&real, &fake), &case["frechet"], "frechet");
    }
}

#[test]
fn precision_recall_density_coverage_of_the_papers() {
    for case in golden() {
        let found = prdc(&set(&case, "real"), &set(&case, "fake"), 5);
        let Prdc { precision, recall, density, coverage } = found;
        for (name, found) in
            [("precision", precision), ("recall", recall), ("density", density), ("coverage", coverage)]
        {
            close(found.value, &case["prdc"][name], name);
        }
    }
}

/// A store without weights.
fn nowhere() -> Store {
    Store::new("nowhere")
}

#[test]
fn an_unknown_extractor_is_named() {
    let missing = extractor("effnetlite0", &nowhere()).err().unwrap();
    assert!(missing.message.contains("not installed"), "{}", missing.message);
    let error = extractor("resnet50", &nowhere()).err().unwrap();
    assert!(error.message.contains("resnet50") && error.hint.unwrap().contains("randomconv"));
    assert_eq!(extractor("randomconv", &nowhere()).unwrap().len(), RandomFeatures::LENGTH);
}

/// Built-in pictures, and a folder for what is kept of them.
fn food(directory: &std::path::Path, side: usize) -> Dataset {
    let config = DataConfig { source: "emoji:food".into(), width: side, height: side, ..DataConfig::default() };
    let found = scan(&Source::parse(&config.source).unwrap()).unwrap();
    Dataset::open(&config, &found, directory, &|_, _| ()).unwrap()
}

fn judged(data: &Dataset, cache: &std::path::Path, n: usize, make: impl Fn(usize) -> Vec<u8>) -> Judgement {
    let extractor = extractor("randomconv", &nowhere()).unwrap();
    let make = |range: std::ops::Range<usize>| range.map(&make).collect();
    judge(&make, data, &*extractor, &Options { n, seed: 1 }, cache, &|_, _, _| ()).unwrap()
}

fn value(judgement: &Judgement, metric: Metric) -> f64 {
    judgement.score(metric).unwrap_or_else(|| panic!("{metric:?} in {:?}", judgement.scores)).value
}

fn noise(i: usize, len: usize) -> Vec<u8> {
    let mut stream = crate::rng::stream(5, "noise", i as u64);
    (0..len).map(|_| stream.next_u32() as u8).collect()
}

#[test]
fn the_judge_knows_new_pictures_noise_copies_and_collapse() {
    let directory = tempfile::tempdir().unwrap();
    let data = food(directory.path(), 32);
    let all = data.train_len() + data.heldout_len();
    let n = all / 2;
    let cache = directory.path();

    // The floor's own pictures: every score is the floor.
    let order = super::draw::permutation(all, 0, "judge-real");
    let same = judged(&data, cache, n, |i| data.any(order[n + i]).to_vec());
    assert_eq!(same.n, n);
    for score in &same.scores {
        assert!((score.value - score.floor).abs() < 1e-9, "{score:?}");
        let (low, high) = (score.low.unwrap_or(score.value), score.high.unwrap_or(score.value));
        assert!(low <= score.value && score.value <= high, "{score:?}");
    }
    assert!(same.collapse.words.starts_with("No collapse"), "{:?}", same.collapse);

    let terrible = judged(&data, cache, n, |i| noise(i, data.any(0).len()));
    assert!(value(&terrible, Metric::Kid) > 100.0 * value(&same, Metric::Kid).abs().max(0.1), "{:?}", terrible.scores);
    assert!(value(&terrible, Metric::Fd) > 5.0 * value(&same, Metric::Fd), "{:?}", terrible.scores);
    assert!(value(&terrible, Metric::Precision) < 0.05 && value(&terrible, Metric::Coverage) < 0.05);
    assert_eq!(terrible.copying.verdict, Some(Verdict::Clean), "noise copies nothing: {:?}", terrible.copying);

    // Training pictures a little brighter.
    let brighter = |i: usize| data.train(i % data.train_len()).iter().map(|v| v.saturating_add(6)).collect();
    let copycat = judged(&data, cache, n, brighter);
    assert_eq!(copycat.copying.verdict, Some(Verdict::Copies), "{:?}", copycat.copying);
    assert_eq!(copycat.copying.heldout_passes, Some(true));
    assert!(copycat.copying.copycat_fails && copycat.copying.words.starts_with("It copies"));
    assert_eq!(copycat.copying.pairs.len(), 20);
    let pair = &copycat.copying.pairs[0];
    assert_eq!(pair.training, pair.generated % data.train_len(), "the picture that was copied is named");
    assert_eq!(pair.name, data.train_entry(pair.training).name);

    let collapsed = judged(&data, cache, n, |i| data.train(i % 2).to_vec());
    assert!(collapsed.collapse.words.starts_with("It has collapsed"), "{:?}", collapsed.collapse);
    assert_eq!(collapsed.collapse.duplicates, 1.0);
}

#[test]
fn dropping_half_the_kinds_costs_recall() {
    let directory = tempfile::tempdir().unwrap();
    let data = food(directory.path(), 32);
    let all = data.train_len() + data.heldout_len();
    let n = all / 2;
    let order = super::draw::permutation(all, 0, "judge-real");
    let level = |i: usize| data.any(i).iter().map(|&v| u64::from(v)).sum::<u64>();
    let mut bright = order[n..2 * n].to_vec();
    bright.sort_by_key(|&i| std::cmp::Reverse(level(i)));
    let whole = judged(&data, directory.path(), n, |i| data.any(order[n + i]).to_vec());
    let half = judged(&data, directory.path(), n, |i| data.any(bright[i % (n / 3)]).to_vec());
    assert!(value(&half, Metric::Recall) < 0.7 * value(&whole, Metric::Recall), "{:?} {:?}", half.scores, whole.scores);
    assert!(value(&half, Metric::Coverage) < 0.7 * value(&whole, Metric::Coverage));
    assert!(value(&half, Metric::Precision) > 0.8 * value(&whole, Metric::Precision));
}

#[test]
fn ten_pictures_are_enough_and_features_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let data = food(directory.path(), 16);
    let first = judged(&data, directory.path(), 10, |i| noise(i, data.any(0).len()));
    assert_eq!((first.n, first.generated), (10, 10));
    assert!(
        first.scores.iter().all(|score| score.value.is_finite() && score.name.to_string().contains("_randomconv_n10"))
    );
    let kept: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "features"))
        .collect();
    assert_eq!(kept.len(), 3, "real, training and held-out pictures");
    let again = judged(&data, directory.path(), 10, |i| noise(i, data.any(0).len()));
    assert_eq!(first, again);
    // A damaged file is made anew.
    for path in &kept {
        std::fs::write(path, b"MALIANGF").unwrap();
    }
    assert_eq!(first, judged(&data, directory.path(), 10, |i| noise(i, data.any(0).len())));
    assert!(kept.iter().all(|path| std::fs::metadata(path).unwrap().len() > 100));

    let extractor = extractor("randomconv", &nowhere()).unwrap();
    let make = |range: std::ops::Range<usize>| range.map(|i| noise(i, data.any(0).len())).collect::<Vec<_>>();
    let few = judge(&make, &data, &*extractor, &Options { n: 9, seed: 1 }, directory.path(), &|_, _, _| ());
    assert!(few.unwrap_err().message.contains("10 to"));
}

#[test]
fn classes_come_in_the_proportions_of_the_data() {
    assert_eq!(super::proportional(&[5, 5, 5], 7), [0, 1, 2, 0, 1, 2, 0]);
    let classes = super::proportional(&[90, 10], 20);
    assert_eq!(classes.iter().filter(|&&class| class == 1).count(), 2, "{classes:?}");
    let first = &classes[..10];
    assert_eq!(first.iter().filter(|&&class| class == 1).count(), 1, "the first ones, too: {first:?}");
    assert!(super::proportional(&[], 3).iter().all(|&class| class == 0));
}
