//! Faults 7, 9, 13, 15: files lost or damaged between two sessions, and training that diverges.

use crate::support::{Place, TINY, copy_directory, flip_bit};
use std::path::Path;

const FILES: [&str; 3] = ["model.safetensors", "state.safetensors", "state.json"];

/// A run of 12 steps with checkpoints at 10 and 12, and an uninterrupted twin of 20.
fn run_and_twin() -> Place {
    let place = Place::new();
    place.train("r", 12, "");
    place.twin("r", 20, "");
    place
}

/// Goes on with the copy `run` to step 20; it must fall back to step 10 with a warning and end like the twin.
#[track_caller]
fn falls_back(place: &Place, run: &str, file: &str) {
    let answer = place.ok(&format!("train {run} --steps 20"));
    answer.says("note: ").says(file).says("going on from step 10");
    assert!(place.weights(run) == place.weights("twin"), "{run}");
    place.no_leftovers(run);
    for checkpoint in std::fs::read_dir(place.path(run).join("checkpoints")).unwrap() {
        let checkpoint = checkpoint.unwrap().path();
        if checkpoint.extension().is_some_and(|extension| extension == "damaged") {
            answer.says(checkpoint.file_name().unwrap().to_str().unwrap());
            continue;
        }
        place.ok(&format!("generate {} -n 1 -o out", checkpoint.display()));
    }
}

#[test]
fn one_flipped_bit_in_any_file_of_a_checkpoint() {
    let place = run_and_twin();
    for file in FILES {
        copy_directory(&place.path("r"), &place.path(file));
        flip_bit(&place.path(file).join("checkpoints/00000012").join(file));
        falls_back(&place, file, file);
    }
}

#[test]
fn a_missing_or_cut_off_file_of_a_checkpoint() {
    let place = run_and_twin();
    for file in FILES {
        for (what, damage) in [
            ("missing", (|path| std::fs::remove_file(path).unwrap()) as fn(&Path)),
            ("empty", |path| std::fs::write(path, "").unwrap()),
        ] {
            let run = format!("{what}-{file}");
            copy_directory(&place.path("r"), &place.path(&run));
            damage(&place.path(&run).join("checkpoints/00000012").join(file));
            falls_back(&place, &run, file);
        }
    }
}

#[test]
fn unfinished_checkpoints_and_stale_pointers() {
    let place = run_and_twin();
    // As if killed between the phases of the checkpoint at 15.
    let unfinished = place.path("r/checkpoints/.unfinished-00000015");
    copy_directory(&place.path("r/checkpoints/00000012"), &unfinished);
    std::fs::remove_file(unfinished.join("state.json")).unwrap();
    std::fs::write(place.path("r/.run.toml.a1b2c3.partial"), "seed").unwrap();
    std::fs::write(place.path("r/samples/.00000015.png.a1b2c3.partial"), "x").unwrap();
    // The pointers were not moved yet, or point at what was lost since.
    for (pointer, text) in [("last", "00000099\n"), ("best", "nonsense")] {
        std::fs::write(place.path("r").join(pointer), text).unwrap();
    }
    place.ok("generate r -n 1");
    place.ok("show r");
    place.ok("train r --steps 20").says("going on from step 12");
    assert!(place.weights("r") == place.weights("twin"));
    place.no_leftovers("r");
}

#[test]
fn every_checkpoint_damaged_is_said() {
    let place = Place::new();
    place.train("r", 12, "");
    for checkpoint in std::fs::read_dir(place.path("r/checkpoints")).unwrap() {
        flip_bit(&checkpoint.unwrap().path().join("model.safetensors"));
    }
    let best = place.pointed("r", "best");
    place.refused(1, "generate r -n 1 -o out", &["no usable model in r"]);
    place.refused(1, &format!("generate {} -n 1 -o out", best.display()), &["no usable model", "damaged"]);
    assert!(!place.path("out").exists());
    // Beginning anew would overwrite what may still be saved.
    let before = place.files("r");
    place.refused(1, "train r --steps 20", &["no checkpoint in r/checkpoints is whole", "damaged", "copy"]);
    let new: Vec<_> = place.files("r").into_iter().filter(|(path, bytes)| before.get(path) != Some(bytes)).collect();
    assert!(
        new.iter().all(|(path, _)| path.ends_with("lock") || path.ends_with("run.toml")),
        "{:?}",
        new.iter().map(|n| &n.0)
    );
}

/// The newest two are damaged, and an older one has to do: what is saved from there on counts, and not what is damaged.
#[test]
fn two_damaged_checkpoints_do_not_push_out_new_ones() {
    let place = Place::new();
    place.train("r", 30, "");
    place.twin("r", 60, "");
    let mut all: Vec<_> = std::fs::read_dir(place.path("r/checkpoints")).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    assert!(all.len() >= 3, "{all:?}");
    all.iter().rev().take(2).for_each(|path| flip_bit(&path.join("state.safetensors")));
    place.ok("train r --steps 60");
    assert!(place.weights("r") == place.weights("twin"));
    assert_eq!(place.metrics("r").last().unwrap()["step"], 60);
}

/// One bad byte in the log costs its line, not the log.
#[test]
fn a_damaged_line_of_the_log_is_one_line() {
    let place = Place::new();
    place.train("r", 12, "");
    let mut log = place.bytes("r/metrics.jsonl");
    let lines = place.metrics("r").len();
    log[3] = 0xff;
    std::fs::write(place.path("r/metrics.jsonl"), log).unwrap();
    place.ok("train r --steps 12");
    assert_eq!(place.metrics("r").len(), lines - 1);
}

/// What was changed by hand in a run's settings, or left by another run, is refused in a sentence.
#[test]
fn settings_that_do_not_fit_the_run_are_refused() {
    let place = Place::new();
    place.train("r", 3, "");
    let text = String::from_utf8(place.bytes("r/run.toml")).unwrap();
    let write = |text: &str| std::fs::write(place.path("r/run.toml"), text).unwrap();
    write(&text.replace("width = 16", "width = 24").replace("height = 16", "height = 24"));
    place.refused(2, "train r --steps 6", &["[data]", "run.toml"]);
    write(&text);
    for (huge, word) in [("--steps 18446744073709551615", "train.steps"), ("--set train.steps=1e19", "setting")] {
        place.refused(2, &format!("train emoji:food {TINY} --out s {huge}"), &[word]);
    }
    place.refused(
        2,
        &format!("train emoji:food {TINY} --steps 1 --out s --set data.channels=1e19"),
        &["data.channels"],
    );
    std::fs::remove_file(place.path("r/run.toml")).unwrap();
    place.refused(2, &format!("train emoji:food {TINY} --steps 9 --out r"), &["checkpoints of another run", "--out"]);
}

/// The flipped bit of a weight is still a number: only the checksum can tell.
#[test]
fn generate_passes_over_a_damaged_checkpoint() {
    let place = Place::new();
    place.train("r", 12, "");
    let best = place.pointed("r", "best");
    for file in ["model.safetensors", "state.json"] {
        copy_directory(&place.path("r"), &place.path(file));
        flip_bit(&place.path(file).join(best.strip_prefix("r").unwrap()).join(file));
        place.ok(&format!("generate {file} -n 1")).says("note: ").says("using another checkpoint");
        assert!(place.path(file).join("generated/seed0-0000.png").is_file());
    }
}

#[test]
fn pictures_that_change_or_go_while_the_cache_is_there_do_no_harm() {
    let place = Place::new();
    place.pictures("mine", 20, png::ColorType::Rgb);
    let train = format!("train mine {TINY} --model dcgan");
    place.ok(&format!("{train} --steps 12 --out r"));
    place.twin("r", 20, "");
    std::fs::remove_file(place.path("mine/003.png")).unwrap();
    place.ok("train r --steps 15");
    std::fs::remove_dir_all(place.path("mine")).unwrap();
    place.ok("train r --steps 20");
    assert!(place.weights("r") == place.weights("twin"));

    // Without cache and pictures there is nothing to go on with.
    std::fs::remove_dir_all(place.path("cache")).unwrap();
    let before = place.files("r");
    place.refused(2, "train r --steps 25", &["mine"]);
    assert!(place.files("r") == before, "nothing was touched");
    place.ok("generate r -n 1 -o out");

    // Pictures that were only written again are the same ones.
    place.pictures("mine", 20, png::ColorType::Rgb);
    place.ok("train r --steps 25");
    std::fs::remove_dir_all(place.path("cache")).unwrap();

    // Other pictures under the old name are not mistaken for them.
    place.pictures("mine", 19, png::ColorType::Grayscale);
    place.refused(2, "train r --steps 30", &["mine", "have changed", "cache is gone"]);
}

/// The cache is made anew from unchanged pictures.
#[test]
fn a_lost_or_damaged_cache_is_no_loss() {
    let place = Place::new();
    place.train("r", 12, "");
    place.twin("r", 20, "");
    std::fs::remove_dir_all(place.path("cache")).unwrap();
    place.ok("train r --steps 15");
    for (path, bytes) in place.files("cache") {
        std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }
    place.ok("train r --steps 20");
    assert!(place.weights("r") == place.weights("twin"));
}

#[test]
fn a_learning_rate_that_explodes() {
    for (model, more) in [("dcgan", ""), ("vae", ""), ("dcgan", "--set train.look_every=1")] {
        let place = Place::new();
        let arguments =
            format!("train emoji:food {TINY} --model {model} --set train.lr=1e3 {more} --steps 200 --out r");
        let answer = place.run(&arguments);
        answer.refused(3, &["3 retries", "last good checkpoint", "train.lr=1e2"], &arguments);
        let notes =
            answer.err.lines().filter(|line| line.starts_with("note: ") && line.contains("learning rate halved"));
        assert_eq!(notes.count(), 3, "{}", answer.err);
        let logged = place.metrics("r").into_iter().filter(|event| event["event"] == "note").count();
        assert_eq!(logged, 3, "each rollback is in the log");
        place.ok("generate r -n 1 -o out");
        place.no_leftovers("r");
    }
}
