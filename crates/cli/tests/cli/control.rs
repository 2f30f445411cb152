//! Training that is steered: early stop, beginning with another model, races, recipes that claim something.

use crate::support::{NARROW, Place, TINY};
use maliang::weights;
use std::path::Path;

#[test]
fn a_run_that_stops_early_says_so_and_goes_on_when_asked() {
    let place = Place::new();
    let level =
        format!("train emoji:food {TINY} --steps 60 --patience 3 --set train.lr=0 --set train.ema_half_life=0 --out r");
    place.ok(&level).says("note: the score has stopped improving").says("20 steps in").says("train r --patience 0");
    let before = place.files("r");
    place.ok("train r").says("stopped early");
    assert!(place.files("r") == before, "nothing was touched");
    place.ok("train r --patience 0").says("60 steps in");
    assert_eq!(place.pointed("r", "last"), Path::new("r/checkpoints/00000060"));
    let notes = place.metrics("r").into_iter().filter(|event| event["event"] == "note").count();
    assert_eq!(notes, 1);
}

/// The numbers of the model in a checkpoint, without what is measured.
fn model(place: &Place, run: &str) -> Vec<(String, weights::HostTensor)> {
    let (all, _) = weights::load(&place.path(place.pointed(run, "last").join("model.safetensors"))).unwrap();
    all.into_iter().filter(|(name, _)| !name.contains("mean") && !name.contains("variance")).collect()
}

#[test]
fn a_run_begins_with_the_weights_of_another() {
    let place = Place::new();
    place.train("a", 6, "--model dcgan");
    let last = place.pointed("a", "last");
    // With a learning rate of 0 what was taken over stays.
    let still = format!("train emoji:animals {TINY} --model dcgan --steps 1 --set train.lr=0");
    place.ok(&format!("{still} --init {} --out b", last.display())).says("tensors taken over").says("init");
    assert_eq!(model(&place, "a"), model(&place, "b"));
    let both = |run: &str| weights::load(&place.path(place.pointed(run, "last").join("state.safetensors"))).unwrap().0;
    let (a, b) = (both("a"), both("b"));
    let players = |name: &&String| name.starts_with("discriminator.");
    assert!(a.keys().filter(players).count() > 3);
    a.keys().filter(players).for_each(|name| assert_eq!(a[name], b[name], "{name}"));
    // A model file knows no discriminator.
    std::fs::copy(place.path(last.join("model.safetensors")), place.path("mine.safetensors")).unwrap();
    place.ok(&format!("{still} --init mine.safetensors --out c")).says("fresh: discriminator.");
    assert_eq!(model(&place, "a"), model(&place, "c"));
    assert!(!place.path("c/init.safetensors").exists());
    // It is written down by name and hash, and neither the model nor its place is needed any more.
    let config = String::from_utf8(place.bytes("c/run.toml")).unwrap();
    let hash = maliang::files::blake3_file(&place.path("mine.safetensors")).unwrap();
    assert!(config.contains(&format!("init = \"emoji-food-dcgan-16x16 {hash}\"")), "{config}");
    assert!(!config.contains("mine"), "{config}");
    place.refused(2, "train --config c/run.toml --out d", &["emoji-food-dcgan-16x16", "--init"]);
    place.refused(2, "train --config c/run.toml --init b --out d", &["emoji-food-dcgan-16x16", "emoji-animals"]);
    place.ok("train --config c/run.toml --init mine.safetensors --out d");
    assert!(place.weights("c") == place.weights("d"));
    std::fs::remove_file(place.path("mine.safetensors")).unwrap();
    place.ok("train c --steps 3");
    place.ok("judge c -n 10");
    assert!(String::from_utf8(place.bytes("c/card.md")).unwrap().contains("Began with the weights of"));
}

#[test]
fn classes_of_others_begin_fresh() {
    let place = Place::new();
    for class in ["pets/cats", "pets/dogs", "birds/owls", "birds/jays"] {
        place.pictures(class, 20, png::ColorType::Rgb);
    }
    let train = |what: &str| format!("train {what} {TINY} --model dcgan --steps 2");
    place.ok(&format!("{} --out pets-run", train("pets")));
    place
        .ok(&format!("{} --out r --init pets-run", train("birds")))
        .says("without their classes:")
        .says("generator.project.weight;")
        .says("fresh: discriminator.class.weight");
    place.ok(&format!("{} --out s --init pets-run", train("pets")));
}

#[test]
fn what_cannot_be_begun_with_is_refused() {
    let place = Place::new();
    place.train("a", 2, "--model vae");
    let train = |more: &str| format!("train emoji:food {TINY} --model dcgan --steps 1 --out r {more}");
    place.refused(2, &train("--init a"), &["is a vae", "dcgan", "--model vae"]);
    place.refused(2, &train("--init nowhere"), &["nowhere", "--init"]);
    std::fs::write(place.path("text.safetensors"), "not a model").unwrap();
    place.refused(1, &train("--init text.safetensors"), &["text.safetensors"]);
    place.train("b", 2, "--model dcgan");
    place.refused(2, &train("--init b --set model.stack.base=8"), &["other shapes", "model.stack.base"]);
    place.refused(2, &train("--init b --race"), &["--race", "--init"]);
    place.refused(2, "train b --init a", &["settings are fixed"]);
    assert!(!place.path("r").exists());
    // A damaged checkpoint is passed over, and a run without a whole one is refused.
    for directory in std::fs::read_dir(place.path("b/checkpoints")).unwrap() {
        crate::support::flip_bit(&directory.unwrap().path().join("model.safetensors"));
    }
    place.refused(1, &train("--init b"), &["no usable model in b", "checksum"]);
}

fn race(steps: u64, out: &str) -> String {
    format!("train emoji:food --race --size 16 {NARROW} --steps {steps} --out {out}")
}

#[test]
fn the_better_of_two_goes_on() {
    let place = Place::new();
    let answer = place.ok(&race(60, "r"));
    assert_eq!(answer.out, "r\n");
    answer.says("race: dcgan trains for a tenth").says("race: vae trains for a tenth").says("kid_randomconv_all_n131");
    let plan: toml::Table = String::from_utf8(place.bytes("r/race.toml")).unwrap().parse().unwrap();
    let winner = plan["result"]["winner"].as_integer().unwrap() as usize;
    let values: Vec<f64> = plan["result"]["values"].as_array().unwrap().iter().map(|v| v.as_float().unwrap()).collect();
    assert!(values[winner] <= values[1 - winner], "{values:?}");
    let names = ["dcgan", "vae"];
    let config: toml::Table = String::from_utf8(place.bytes("r/run.toml")).unwrap().parse().unwrap();
    assert_eq!(config["model"]["family"].as_str(), Some(names[winner]));
    // The winner's six steps were not thrown away, the loser's are still there.
    assert_eq!(place.pointed("r", "last"), Path::new("r/checkpoints/00000054"));
    assert!(place.path("r/samples/00000005.png").is_file());
    assert!(!place.path("r/race").join(names[winner]).exists());
    place.ok(&format!("generate r/race/{} -n 1", names[1 - winner]));
    let note = place.metrics("r").into_iter().find(|event| event["event"] == "note").unwrap();
    assert!(note["step"] == 6 && note["text"].as_str().unwrap().contains("goes on"), "{note}");
    // The rest is a run like any other.
    place.ok("train r --steps 60");
    place.refused(2, &format!("{} --model vae", race(60, "x")), &["named already"]);
    assert!(!place.path("x").exists());
}

#[cfg(unix)]
#[test]
fn a_race_that_was_killed_goes_on() {
    let place = Place::new();
    for (i, moment) in ["race: dcgan trains", "race: vae trains", "goes on"].into_iter().enumerate() {
        let run = format!("r{i}");
        let mut running = place.start(&race(400, &run));
        running.wait_for(moment);
        running.wait_for("step ");
        running.kill();
        if i == 0 {
            place.refused(2, &format!("train {run} --steps 9"), &["race", "train.steps is 400, not 9"]);
        }
        place.ok(&format!("train {run}"));
        assert_eq!(place.pointed(&run, "last"), Path::new(&run).join("checkpoints/00000360"));
    }
    place.ok(&race(400, "whole"));
    for run in ["r0", "r1", "r2"] {
        assert!(place.weights(run) == place.weights("whole"), "{run}");
        place.no_leftovers(run);
    }
}

fn recipe(place: &Place, name: &str, claim: &str) {
    let text = format!(
        "seed = 1\n[data]\nsource = \"emoji:food\"\nwidth = 16\nheight = 16\n[model]\nfamily = \"dcgan\"\n\
         [model.stack]\nwidth = 16\nheight = 16\nbase = 4\n[train]\nbatch = 8\nsteps = 6\n{claim}"
    );
    std::fs::write(place.path(name), text).unwrap();
}

#[test]
fn a_recipe_keeps_its_claims_or_fails() {
    let place = Place::new();
    let easy = "minutes = 60\npasses = [\"copying\"]\nat_most = { kid_randomconv_n20 = 1e9 }\n";
    recipe(&place, "kept.toml", &format!("[claim]\ndata = \"emoji:food\"\nmachine = \"any\"\n{easy}"));
    let answer = place.ok("recipe kept.toml --out r");
    answer.says("claimed on: any");
    for word in ["kid_randomconv_n20", "minutes", "copying", "at most 60.0", "kept"] {
        assert!(answer.out.contains(word), "{word} in\n{}", answer.out);
    }
    assert!(!answer.out.contains("missed") && place.path("r/scores.json").is_file());

    recipe(&place, "missed.toml", "[claim]\nat_most = { kid_randomconv_n20 = -9.0, fd_randomconv_n20 = 1e9 }\n");
    let answer = place.run("recipe missed.toml --out r");
    assert_eq!(answer.code, Some(4), "{}", answer.err);
    let error = answer.err.lines().filter(|line| line.starts_with("error: ")).collect::<Vec<_>>();
    assert_eq!(error.len(), 1);
    for word in ["missed.toml", "1 of 2", "kid_randomconv_n20", "-9"] {
        assert!(error[0].contains(word), "{word}: {error:?}");
    }
    assert!(answer.out.contains("missed"));
    // Training by a recipe does not mind what it claims.
    place.ok("train --config missed.toml --out plain");
    assert!(place.weights("plain") == place.weights("r"));
}

#[test]
fn a_claim_that_cannot_be_checked_is_refused() {
    let place = Place::new();
    for (claim, words) in [
        ("", &["no [claim]", "train --config"][..]),
        ("[claim]\ndata = \"emoji:food\"\n", &["claim is empty"]),
        ("[claim]\nat_mots = { kid_randomconv_n20 = 1 }\n", &["at_mots", "at_most"]),
        ("[claim]\nat_most = { fid_n20 = 1 }\n", &["fid_n20", "name of a score"]),
        ("[claim]\nat_most = { kid_resnet50_n20 = 1 }\n", &["resnet50"]),
        ("[claim]\nat_most = { kid_effnetlite0_n20 = 1 }\n", &["not installed", "weights get"]),
    ] {
        recipe(&place, "x.toml", claim);
        place.refused(2, "recipe x.toml --out r", words);
    }
    assert!(!place.path("r").exists(), "nothing is trained for it");
    place.refused(1, "recipe none.toml", &["none.toml"]);
    // A score of more pictures than there are.
    recipe(&place, "x.toml", "[claim]\nat_most = { kid_randomconv_n5000 = 1 }\n");
    let answer = place.run("recipe x.toml --out r");
    assert_eq!(answer.code, Some(2));
    answer.says("there is no score \"kid_randomconv_n5000\"").says("kid_randomconv_n");
}

/// `--dry-run` says what training would choose, and is itself a recipe for it.
#[test]
fn what_would_be_chosen_is_a_recipe() {
    let place = Place::new();
    let answer = place.ok("train emoji:food --minutes 3 --size 16 --dry-run");
    answer.says("width").says("batch");
    assert!(!place.path("runs").exists(), "nothing was trained");
    std::fs::write(place.path("recipe.toml"), &answer.out).unwrap();
    place.ok("train --config recipe.toml --steps 2 --out r");
    let run = String::from_utf8(place.bytes("r/run.toml")).unwrap();
    let lines = |text: &str| text.lines().filter(|l| !l.starts_with("steps") && !l.starts_with("minutes")).count();
    assert_eq!(lines(&run), lines(&answer.out));
    let poems: String = (0..60).map(|i| format!("the moon of night {i}\n\n")).collect();
    std::fs::write(place.path("poems.txt"), poems).unwrap();
    let text = place.ok("train poems.txt --minutes 1 --dry-run");
    assert!(text.out.contains("[corpus]"), "{}", text.out);
    place.refused(2, "train r --dry-run", &["run already"]);
    place.refused(2, "train emoji:food --out r --dry-run", &["run already"]);
}
