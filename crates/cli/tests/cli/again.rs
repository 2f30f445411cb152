//! The same command again, another working directory, and an end of whoever reads what the program says.

use crate::support::{Answer, Place, TINY};
use std::path::Path;
use std::process::Stdio;

#[test]
fn the_same_command_goes_on_and_other_settings_are_named() {
    let place = Place::new();
    let command =
        |more: &str| format!("train emoji:food {TINY} --model dcgan --seed 3 --set gan.r1=0.1 --out r {more}");
    let mut running = place.start(&command("--steps 1000000"));
    running.wait_for("step      5");
    assert!(running.kill());
    place.ok(&command("--steps 20")).says("going on from step");
    place.ok(&command("--steps 20"));
    std::fs::write(place.path("pets.toml"), "seed = 3\n[train]\nsteps = 20\nlr = 2e-4\n").unwrap();
    for (more, differs) in [
        ("--set train.batch=16", "train.batch is 8, not 16"),
        ("--set gan.r2=0.5", "gan.r2 is 0, not 0.5"),
        ("--set vae.beta=0.5", "vae.beta is not set, not 0.5"),
    ] {
        place.refused(2, &command(&format!("--steps 20 {more}")), &["r is a run already", differs]);
    }
    place.refused(2, "train emoji:food --out r --model vae --size 32", &["model.family is dcgan", "data.width is 16"]);
    place.refused(2, "train emoji:food --out r --set train.steps=9", &["train.steps is 20, not 9"]);
    // A default that is repeated for a table that the family does not read changes nothing, the first time and the second.
    place.ok(&command("--steps 20 --set vae.beta=1"));
    std::fs::write(place.path("claim.toml"), "[train]\nbatch = 16\nsteps = 20\n[claim]\nminutes = 9.0\n").unwrap();
    place.refused(2, "recipe claim.toml emoji:food --out r", &["train.batch is 8, not 16"]);
    place.refused(2, "train emoji:food --out r --init r", &["it began with nothing"]);
}

#[test]
fn a_text_run_and_a_race_go_on_by_the_same_command() {
    let place = Place::new();
    std::fs::write(place.path("poems.txt"), "a line that is repeated, with other ends: one, two\n\n".repeat(60))
        .unwrap();
    let text = "train poems.txt --steps 4 --set model.layers=1 --set model.width=32 --set model.context=16 --out t";
    place.ok(text);
    place.ok(text);
    place.refused(2, &text.replace("width=32", "width=64"), &["model.width is 32, not 64"]);
    let race = |steps: u32| format!("train emoji:food --race {TINY} --set gan.r1=0 --steps {steps} --out race");
    let mut running = place.start(&race(200_000));
    running.wait_for("race: dcgan trains");
    running.wait_for("a look every");
    assert!(running.kill());
    place.refused(2, &race(30), &["train.steps is 200000, not 30"]);
    // It goes on by the same command.
    let mut running = place.start(&race(200_000));
    running.wait_for("race: ");
    assert!(running.kill());
}

#[test]
fn a_run_finds_its_data_from_another_directory() {
    let place = Place::new();
    place.pictures("photos", 6, png::ColorType::Rgb);
    std::fs::write(place.path("poems.txt"), "another line\nand one more, of other words\n\n".repeat(60)).unwrap();
    place.ok(&format!("train photos {TINY} --steps 5 --out r"));
    place.ok("train poems.txt --steps 3 --set model.layers=1 --set model.width=32 --set model.context=16 --out t");
    std::fs::remove_dir_all(place.path("cache")).unwrap();
    std::fs::create_dir(place.path("elsewhere")).unwrap();
    for (run, steps) in [("r", 9), ("t", 6)] {
        let mut command = place.command(&format!("train ../{run} --steps {steps}"));
        let answer = Answer::of(command.current_dir(place.path("elsewhere")));
        assert_eq!(answer.code, Some(0), "{}", answer.err);
    }
    // The same pictures under an absolute name are the same source.
    place.ok(&format!("train {} --steps 10 --out r", place.path("photos").display()));
    // Where both are gone, the message names what the user gave.
    std::fs::remove_dir_all(place.path("cache")).unwrap();
    std::fs::remove_dir_all(place.path("photos")).unwrap();
    place.refused(2, "train r --steps 12", &["there is no file or folder photos"]);
}

fn last_step(place: &Place) -> u64 {
    place.pointed("r", "last").file_name().unwrap().to_str().unwrap().parse().unwrap()
}

/// Whoever reads stderr may go away, and a disk that it goes to may be full: the training ends as it would have.
#[cfg(unix)]
#[test]
fn training_goes_on_where_nobody_reads() {
    let train = format!("train emoji:food {TINY} --steps 30 --out r");
    let place = Place::new();
    let mut command = place.command(&train);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!((child.wait().unwrap().code(), last_step(&place)), (Some(0), 30));
    if Path::new("/dev/full").exists() {
        let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
        let place = Place::new();
        assert_eq!(place.command(&train).stdout(Stdio::null()).stderr(full()).status().unwrap().code(), Some(0));
        assert_eq!(last_step(&place), 30);
        // A result that cannot be written is an error, of which the run knows nothing.
        let answer = Answer::of(place.command("train r --steps 40").stdout(full()).stderr(Stdio::piped()));
        assert_eq!((answer.code, last_step(&place)), (Some(1), 40), "{}", answer.err);
        answer.says("standard output");
    }
}

#[cfg(unix)]
#[test]
fn a_closed_terminal_saves() {
    let place = Place::new();
    let mut running = place.start(&format!("train emoji:food {TINY} --steps 1000000 --out r"));
    running.wait_for("step     10");
    assert_eq!(running.hang_up(), Some(0));
    let saved = last_step(&place);
    place.ok(&format!("train r --steps {}", saved + 1)).says(&format!("going on from step {saved}"));
}

/// Names come from files of others: none of them may reach a terminal as a command.
#[cfg(unix)]
#[test]
fn names_cannot_command_the_terminal() {
    let place = Place::new();
    let evil = "a\u{1b}[31mb";
    for class in [evil, "c"] {
        place.pictures(&format!("{evil}/{class}"), 22, png::ColorType::Rgb);
    }
    std::fs::write(place.path(evil).join(format!("{evil}.png")), "no picture").unwrap();
    std::fs::rename(place.path(evil).join(format!("{evil}.png")), place.path(evil).join(format!("{evil}/{evil}.png")))
        .unwrap();
    let run = |arguments: &[&str]| {
        let answer = Answer::of(place.command("").args(arguments));
        assert!(
            !answer.out.contains('\u{1b}') && !answer.err.contains('\u{1b}'),
            "{arguments:?}\n{}{}",
            answer.out,
            answer.err
        );
        answer
    };
    let tiny: Vec<&str> = TINY.split_whitespace().collect();
    let out = format!("runs/{evil}");
    assert_eq!(run(&[&["train", evil, "--steps", "2", "--out", &out], &tiny[..]].concat()).code, Some(0));
    run(&["data", "check", evil]);
    run(&[&["train", evil, "--dry-run"], &tiny[..]].concat());
    run(&["runs"]);
    run(&["show", &out]);
    assert!(run(&["generate", &out, "--class", "z"]).err.contains("it knows"));
    run(&["generate", &out, "-n", "1", "--class", evil]);
    run(&["judge", &out, "-n", "20"]);
    run(&["explain", &out]);
    run(&["train", &out, "--set", &format!("{evil}=1")]);
    run(&["train", evil, "--model", evil]);
    run(&["generate", evil]);
}

/// Before there is anything to save, the first signal ends the program.
#[cfg(unix)]
#[test]
fn what_is_only_looking_at_its_data_stops_at_once() {
    let place = Place::new();
    for signal in ["INT", "TERM", "HUP"] {
        let mut command = place.command("train - --steps 5 --out r");
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, &b"some words\n\n".repeat(10_000)).unwrap();
        let status = std::process::Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(status.success());
        assert_eq!(child.wait().unwrap().code(), Some(130), "{signal}");
        drop(input);
    }
    assert!(!place.path("r").exists());
}
