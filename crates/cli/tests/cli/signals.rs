//! Faults 8, 10, 16, 17: killed, interrupted, started twice.

use crate::support::{Place, TINY};
use std::time::Duration;

/// A run that does not end by itself.
const ENDLESS: u64 = 1_000_000;

fn endless(run: &str) -> String {
    format!("train emoji:food {TINY} --steps {ENDLESS} --out {run}")
}

/// The step of the newest checkpoint.
fn step(place: &Place, run: &str) -> u64 {
    place.pointed(run, "last").file_name().unwrap().to_str().unwrap().parse().unwrap()
}

/// Trains `run` a little further, and a twin to the same step in one go: nothing may tell them apart.
#[track_caller]
fn ends_like_an_uninterrupted_run(place: &Place, run: &str) {
    let goal = step(place, run) + 7;
    place.ok(&format!("train {run} --steps {goal}"));
    // The twin looks rarely: looking must not change what is learnt either.
    place.twin(run, goal, "--set train.look_every=1000000");
    assert_eq!((step(place, run), step(place, "twin")), (goal, goal));
    assert!(place.weights(run) == place.weights("twin"), "the weights differ from those of an uninterrupted run");
    place.no_leftovers(run);
}

#[test]
fn killed_at_any_instant() {
    let place = Place::new();
    place.train("r", 5, ""); // from here on there is something to resume
    let (mut kills, mut random, mut before) = (0, 1u64, 5);
    while kills < 24 {
        let running = place.start(&format!("train r --steps {ENDLESS}"));
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(5 + (random >> 33) % 200));
        assert!(running.kill(), "it ended by itself");
        kills += 1;
        let now = step(&place, "r");
        assert!(now >= before, "a kill lost a checkpoint: {before} → {now}");
        before = now;
    }
    assert!(before > 5, "training went on between the kills");
    ends_like_an_uninterrupted_run(&place, "r");
}

/// Killed while it starts: the same command starts it again, or goes on.
#[test]
fn killed_at_the_start() {
    let place = Place::new();
    place.train("warm", 1, "");
    for delay in (0..60).step_by(4) {
        let running = place.start(&endless("r"));
        std::thread::sleep(Duration::from_millis(delay));
        running.kill();
    }
    // Whatever was left, this goes on with it.
    let arguments = if place.path("r/run.toml").is_file() {
        "train r --steps 9".into()
    } else {
        endless("r").replace("1000000", "9")
    };
    place.ok(&arguments);
    ends_like_an_uninterrupted_run(&place, "r");
}

#[test]
fn a_signal_saves_and_says_how_to_go_on() {
    for signal in ["INT", "TERM"] {
        let place = Place::new();
        let mut running = place.start(&endless("r"));
        running.wait_for("step     10");
        running.signal(signal);
        let answer = running.end();
        assert_eq!((answer.code, answer.out.as_str()), (Some(0), "r\n"), "{signal}\n{}", answer.err);
        answer
            .says("saving and stopping")
            .says(&format!("saved at step {}", step(&place, "r")))
            .says("maliang train r");
        place.no_leftovers("r");
        ends_like_an_uninterrupted_run(&place, "r");
    }
}

/// A recipe that was stopped has judged nothing: what comes after `&&` must not run.
#[test]
fn a_stopped_recipe_is_no_success() {
    let place = Place::new();
    place.ok(&format!("train emoji:food {TINY} --steps 1 --out tiny"));
    let run = String::from_utf8(place.bytes("tiny/run.toml")).unwrap();
    let endless = run.replace("\nsteps = 1\n", &format!("\nsteps = {ENDLESS}\n"));
    std::fs::write(place.path("x.toml"), endless + "\n[claim]\nminutes = 9.0\n").unwrap();
    let mut running = place.start("recipe x.toml emoji:food --out r");
    running.wait_for("step     10");
    running.signal("INT");
    let answer = running.end();
    assert_eq!(answer.code, Some(130), "{}", answer.err);
    answer.says("saved at step").says("maliang recipe x.toml emoji:food --out r");
    assert!(!place.path("r/scores.json").exists());
}

#[test]
fn the_second_signal_is_immediate() {
    let place = Place::new();
    // One step of this takes long, so the first signal has not been answered when the second comes.
    let slow = "--size 256 --set model.stack.base=64 --set train.batch=24 --steps 60";
    let mut running = place.start(&format!("train emoji:food {slow} --model dcgan --out r"));
    running.wait_for("a look every");
    running.signal("INT");
    running.wait_for("saving and stopping");
    running.signal("INT");
    assert_eq!(running.end().code, Some(130));
}

#[test]
fn one_trainer_a_run() {
    let place = Place::new();
    let mut running = place.start(&endless("r"));
    running.wait_for("step      5");
    for arguments in ["train r".to_string(), "train r --steps 3".into(), "train emoji:food --out r".into()] {
        place.refused(2, &arguments, &["another process is training in r", "--out"]);
    }
    place.ok("generate r -n 1"); // reading is always possible
    assert!(running.kill());
    place.ok("train r --steps 1"); // the lock died with its holder
    ends_like_an_uninterrupted_run(&place, "r");
}
