//! What is chosen where the user said nothing, and the small rules of the loop.

use crate::data::{CheckReport, Fit, Source, check, scan};
use crate::families::ModelConfig;
use crate::families::gan::augment::plans;
use crate::families::gan::settings::{Augmentation, GanConfig, GanLoss};
use crate::rng;
use crate::run::config::RunConfig;
use crate::train::{Choice, Request, candidates, choose, set};
use maliang_kernels::{AUGMENT_PARAMETERS, Precision};
use std::sync::LazyLock;
use toml::{Table, Value};

/// What `data check` says about the built-in food.
static FOOD: LazyLock<CheckReport> =
    LazyLock::new(|| check(&scan(&Source::parse("emoji:food").unwrap()).unwrap(), &|_, _| ()).unwrap());

fn chosen(report: &CheckReport, settings: &[(&str, Value)]) -> Choice {
    let mut table = Table::new();
    for (path, value) in settings {
        set(&mut table, path, value.clone());
    }
    choose(&Request { source: "emoji:food".into(), settings: table, ..Request::default() }, report).unwrap()
}

fn gan(config: &RunConfig) -> GanConfig {
    config.tables.get().unwrap()
}

fn said<'a>(choice: &'a Choice, what: &str) -> Option<&'a str> {
    choice.reasons.iter().find(|(name, _, _)| name == what).map(|(_, value, _)| value.as_str())
}

#[test]
fn colour_and_grey() {
    let grey = CheckReport { grey: FOOD.usable, ..FOOD.clone() };
    assert_eq!(chosen(&grey, &[]).config.data.channels, 1);
    assert_eq!(chosen(&grey, &[]).config.model.frame().channels, 1);
    let nearly = CheckReport { grey: FOOD.usable - 1, ..FOOD.clone() };
    assert_eq!(chosen(&nearly, &[]).config.data.channels, 3);
}

#[test]
fn few_pictures_get_a_vae_and_a_small_batch() {
    let of = |distinct| {
        let choice = chosen(&CheckReport { distinct, ..FOOD.clone() }, &[]);
        (choice.config.model.family(), choice.config.train.batch)
    };
    assert_eq!(of(1000).0, "dcgan");
    assert_eq!(of(10).0, "vae");
    for distinct in 2..200 {
        let (_, batch) = of(distinct);
        assert!((2..=64).contains(&batch) && batch <= distinct, "{distinct} pictures, batch {batch}");
    }
    let asked = chosen(&CheckReport { distinct: 10, ..FOOD.clone() }, &[("model.family", "dcgan".into())]);
    assert_eq!(asked.config.model.family(), "dcgan", "what is asked for is done");
}

/// Coloured pictures are looked at through a trained network where there is one; grey and tiny ones are not.
#[test]
fn coloured_pictures_take_the_projected_gan_where_its_eyes_are_installed() {
    let photographs = CheckReport { distinct: 1000, suggested_fit: Fit::Crop, ..FOOD.clone() };
    let of = |report: &CheckReport, eyes: bool, size: (usize, usize)| {
        let request = Request { source: "pictures".into(), size: Some(size), features: eyes, ..Request::default() };
        choose(&request, report).unwrap()
    };
    let choice = of(&photographs, true, (64, 64));
    let train = &choice.config.train;
    assert_eq!((choice.config.model.family(), train.beta_1, train.beta_2), ("projected", 0.0, 0.99));
    assert!(gan(&choice.config).loss == GanLoss::Hinge && gan(&choice.config).augment.len() == 2);
    let cut_outs = CheckReport { suggested_fit: Fit::Pad, ..photographs.clone() };
    let choice = of(&cut_outs, true, (64, 64));
    assert_eq!((choice.config.model.family(), choice.config.data.fit), ("projected", Fit::Pad));
    // Either a discriminator that sees pixels, or a generator that cannot make patterns of two.
    let few = CheckReport { distinct: 144, ..cut_outs };
    for (choice, sees) in [(of(&few, true, (64, 64)), false), (choice, true)] {
        let ModelConfig::Projected(model) = &choice.config.model else { panic!("{:?}", choice.config.model) };
        assert_eq!((gan(&choice.config).pixel_head, model.0.smooth), (sees, !sees));
    }
    let emoji = Request { source: "emoji:food".into(), features: true, ..Request::default() };
    let emoji = choose(&emoji, &photographs).unwrap().config;
    assert_eq!((emoji.model.family(), emoji.data.width), ("dcgan", 32), "flat graphics");
    let without = of(&photographs, false, (64, 64));
    assert_eq!(without.config.model.family(), "dcgan");
    assert!(without.reasons.iter().any(|(what, _, why)| what == "model" && why.contains("weights get")));
    for (report, size) in
        [(CheckReport { grey: FOOD.usable, ..photographs.clone() }, (64, 64)), (photographs.clone(), (16, 16))]
    {
        let choice = of(&report, true, size);
        assert_eq!(choice.config.model.family(), "dcgan");
        assert!(choice.reasons.iter().all(|(_, _, why)| !why.contains("weights get")));
    }
}

#[test]
fn classes_need_enough_pictures_each() {
    let with = |counts: &[usize]| {
        let labels = counts.iter().enumerate().map(|(i, &count)| (format!("class {i}"), count)).collect();
        chosen(&CheckReport { labels, ..FOOD.clone() }, &[]).config.model.classes().len()
    };
    assert_eq!(with(&[]), 0);
    assert_eq!(with(&[500]), 0, "one class is none");
    assert_eq!(with(&[50, 50, 40]), 3);
    assert_eq!(with(&[500, 2]), 0);
    assert_eq!(with(&[50; 101]), 0);
}

#[test]
fn fit_and_ground_are_those_of_the_check() {
    for (fit, ground) in [(Fit::Pad, [255; 3]), (Fit::Crop, [0; 3])] {
        let report = CheckReport { suggested_fit: fit, suggested_background: ground, ..FOOD.clone() };
        let data = chosen(&report, &[]).config.data;
        assert_eq!((data.fit, data.background), (fit, ground));
    }
}

#[test]
fn idx_sets_are_not_mirrored_and_lie_on_black() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("train-images-idx3-ubyte");
    let mut bytes = vec![0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 28, 0, 0, 0, 28];
    bytes.extend((0..3 * 28 * 28).map(|i| (i % 251) as u8));
    std::fs::write(&path, bytes).unwrap();
    let source = path.to_str().unwrap().to_string();
    let report = check(&scan(&Source::parse(&source).unwrap()).unwrap(), &|_, _| ()).unwrap();
    let config = choose(&Request { source, ..Request::default() }, &report).unwrap().config;
    assert_eq!(config.train.flip, Some(false));
    assert_eq!((config.data.fit, config.data.background, config.data.channels), (Fit::Pad, [0; 3], 1));
}

#[test]
fn the_user_decides_and_no_reason_contradicts() {
    let free = chosen(&FOOD, &[]);
    assert!(said(&free, "budget").is_some() && said(&free, "size").is_some());
    let settings: &[(&str, Value)] = &[
        ("train.steps", 7.into()),
        ("data.width", 32.into()),
        ("data.height", 48.into()),
        ("model.stack.base", 8.into()),
        ("train.batch", 4.into()),
        ("data.fit", "stretch".into()),
        ("seed", 5.into()),
    ];
    let settings: Vec<_> = settings.to_vec();
    let report = CheckReport { distinct: 12, ..FOOD.clone() };
    let choice = chosen(
        &report,
        &[&settings[..], &[("model.stack.width", 32.into()), ("model.stack.height", 48.into())]].concat(),
    );
    let config = &choice.config;
    assert_eq!((config.train.steps, config.train.minutes, config.train.batch, config.seed), (7, 0.0, 4, 5));
    assert_eq!((config.data.width, config.data.height, config.model.sizes()), (32, 48, "z 64, base 8".into()));
    for what in ["budget", "size", "width", "batch", "fit"] {
        assert_eq!(said(&choice, what), None, "{what}");
    }
}

/// DCGAN's discriminator is held by R1, the more the more pixels there are; a Wasserstein critic is held otherwise.
#[test]
fn small_pictures_learn_faster_under_a_small_penalty() {
    let of = |side: usize, distinct: usize, loss: &[(&str, Value)]| {
        let sides = [("data.width", Value::from(side as i64)), ("data.height", Value::from(side as i64))];
        let report = CheckReport { distinct, ..FOOD.clone() };
        let config = chosen(&report, &[&sides[..], &[("model.family", "dcgan".into())], loss].concat()).config;
        (config.train.lr, gan(&config).r1)
    };
    let wasserstein = [("gan.loss", "wasserstein".into())];
    assert_eq!((of(32, 100, &[]), of(32, 60_000, &[])), ((5e-4, 0.03), (1e-3, 0.03)));
    assert_eq!((of(64, 60_000, &[]), of(128, 100, &[])), ((2e-4, 0.03), (2e-4, 0.12)));
    assert_eq!(of(32, 100, &wasserstein).1, 0.0);
    assert_eq!(of(32, 100, &[("gan.r1", 0.5.into())]).1, 0.5);
}

/// Time is worth bf16 to a DCGAN where the processor has it; steps are counted by those who want the same digits everywhere.
#[test]
fn minutes_are_spent_in_the_fastest_precision() {
    let fastest = if Precision::Bf16.is_supported() { Precision::Bf16 } else { Precision::F32 };
    for (settings, expected, is_said) in [
        (vec![("train.minutes", 5.into())], fastest, fastest == Precision::Bf16),
        (vec![("train.steps", 5.into())], Precision::F32, false),
        (vec![("train.minutes", 5.into()), ("train.precision", "f32".into())], Precision::F32, false),
        (vec![("train.minutes", 5.into()), ("model.family", "projected".into())], Precision::F32, false),
    ] {
        let choice = chosen(&FOOD, &settings);
        assert_eq!((choice.config.train.precision, said(&choice, "precision").is_some()), (expected, is_said));
    }
}

/// A mixture needs a decoder that describes one, and nothing else does.
#[test]
fn likelihoods_and_decoders_go_together() {
    let components = |settings: &[(&str, Value)]| {
        let choice = chosen(&FOOD, &[&[("model.family", "vae".into())], settings].concat());
        let ModelConfig::Vae(model) = choice.config.model else { unreachable!() };
        model.components
    };
    let mixture = ("vae.reconstruction", Value::from("logistic-mixture"));
    assert_eq!((components(&[]), components(std::slice::from_ref(&mixture))), (0, 5));
    assert_eq!(components(&[mixture.clone(), ("model.components", 2.into())]), 2);
    let refused = |settings: &[(&str, Value)]| {
        let mut table = Table::new();
        settings.iter().for_each(|(path, value)| set(&mut table, path, value.clone()));
        set(&mut table, "model.family", "vae".into());
        choose(&Request { source: "emoji:food".into(), settings: table, ..Request::default() }, &FOOD).unwrap_err()
    };
    for (settings, word) in [
        (vec![mixture.clone(), ("model.components", 0.into())], "model.components"),
        (vec![("model.components", 3.into())], "model.components"),
        (vec![mixture, ("model.components", 33.into())], "between 0 and 32"),
        (vec![("vae.adversarial", 0.1.into()), ("gan.loss", "wasserstein".into())], "wasserstein"),
        (vec![("vae.adversarial", (-1.0).into())], "vae.adversarial"),
        (vec![("model.decoder", "cubic".into())], "cubic"),
    ] {
        let error = refused(&settings);
        assert!(error.message.contains(word), "{word}: {}", error.message);
    }
}

#[test]
fn plans_of_augmentation_stay_in_their_ranges() {
    use Augmentation::{Color, Cutout, Translation};
    for (height, width) in [(16, 16), (17, 31), (64, 96), (256, 16)] {
        let rng = || rng::stream(1, "test", 0);
        let all = plans(&[Color, Translation, Cutout], 1.0, 500, height, width, &mut rng());
        assert_eq!(all.len(), 500 * AUGMENT_PARAMETERS);
        let mut extremes = [(f32::MAX, f32::MIN); AUGMENT_PARAMETERS];
        for plan in all.chunks_exact(AUGMENT_PARAMETERS) {
            for (extreme, &value) in extremes.iter_mut().zip(plan) {
                *extreme = (extreme.0.min(value), extreme.1.max(value));
            }
            let &[brightness, saturation, contrast, dy, dx, top, left, bottom, right] = plan else { unreachable!() };
            assert!((-0.5..=0.5).contains(&brightness));
            assert!((0.0..=2.0).contains(&saturation) && (0.5..=1.5).contains(&contrast));
            for (shift, side) in [(dy, height), (dx, width)] {
                assert!(shift.fract() == 0.0 && shift.abs() <= (side as f32 / 8.0 + 0.5), "{shift} of {side}");
            }
            for (start, end, side) in [(top, bottom, height), (left, right, width)] {
                assert!(0.0 <= start && start <= end && end <= side as f32 && end - start <= side as f32 / 2.0);
            }
        }
        let cut = extremes[7];
        assert!(extremes[0].0 < -0.4 && extremes[0].1 > 0.4 && cut.1 == height as f32, "the ranges are used");
        // Nothing asked for changes nothing.
        for plan in plans(&[], 1.0, 3, height, width, &mut rng()).chunks_exact(AUGMENT_PARAMETERS) {
            assert_eq!(plan, [0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        }
    }
}

#[test]
fn names_tell_nothing_of_the_machine() {
    assert_eq!(crate::data::source_name("emoji:food"), "emoji:food");
    assert_eq!(crate::data::source_name("/somewhere/Pictures/our cats/"), "our cats");
    assert_eq!(crate::data::source_name("photos.zip"), "photos.zip");
}

/// A race has two families: what one of them reads is not a mistake, what neither reads is.
#[test]
fn a_race_takes_the_settings_of_both_candidates() {
    let race = |settings: &[(&str, Value)]| {
        let mut table = Table::new();
        settings.iter().for_each(|(path, value)| set(&mut table, path, value.clone()));
        let request =
            Request { source: "emoji:food".into(), size: Some((16, 16)), settings: table, ..Request::default() };
        candidates(&request, &FOOD)
    };
    let [first, second] = race(&[("gan.r1", 0.5.into()), ("vae.beta", 2.0.into())]).unwrap();
    assert_eq!((first.config.model.family(), second.config.model.family()), ("dcgan", "vae"));
    assert_eq!((gan(&first.config).r1, first.config.tables.names().collect::<Vec<_>>()), (0.5, vec!["gan"]));
    assert_eq!(second.config.tables.names().collect::<Vec<_>>(), ["vae"]);
    let error = race(&[("gan.drawing", 2.0.into())]).unwrap_err();
    assert!(error.message.contains("gan.drawing"), "{error}");
}

/// What only repeats a default changes nothing, however it is written.
#[test]
fn a_default_may_be_repeated() {
    for (setting, value, is_default) in [
        ("gan.r1", Value::from(0), true),
        ("gan.r1", Value::from(0.0), true),
        ("gan.r1", Value::from(1), false),
        ("gan.ada_pictures", Value::from(100_000), true),
        ("gan.augment", Value::Array(Vec::new()), false),
    ] {
        let mut table = Table::new();
        set(&mut table, setting, value.clone());
        let request =
            Request { source: "emoji:food".into(), family: Some("vae".into()), settings: table, ..Request::default() };
        assert_eq!(choose(&request, &FOOD).is_ok(), is_default, "{setting} = {value}");
    }
}
