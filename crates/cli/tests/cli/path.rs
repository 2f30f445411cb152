//! The whole way: train, look, generate, list.

use crate::support::{Answer, NARROW, Place, TINY};
use std::path::Path;

#[test]
fn training_leaves_a_whole_run() {
    let place = Place::new();
    let answer = place.train("r", 12, "");
    assert_eq!(answer.out, "r\n", "stdout is the run directory and nothing else");
    for name in ["run.toml", "data.json", "metrics.jsonl", "reals.png", "samples/00000000.png", "samples/00000012.png"]
    {
        assert!(place.path("r").join(name).is_file(), "{name}");
    }
    for name in ["report.html", "best", "last"] {
        assert!(!place.bytes(Path::new("r").join(name)).is_empty(), "{name}");
    }
    assert_eq!(place.pointed("r", "last"), Path::new("r/checkpoints/00000012"));
    assert!(place.path(place.pointed("r", "best")).is_dir());
    place.no_leftovers("r");
    let looks = place.metrics("r").into_iter().filter(|event| event["event"] == "look").count();
    assert_eq!(looks, 6, "at 0, 1, 2, 5, 10 and 12");
}

#[test]
fn the_same_seed_gives_the_same_pictures() {
    let place = Place::new();
    place.train("r", 12, "");
    let answer = place.ok("generate r -n 3 --seed 7 -o a");
    assert_eq!(answer.out, "a/seed7-0000.png\n… a/seed7-0002.png\na/seed7-grid.png\n");
    place.ok("generate r -n 3 --seed 7 -o b");
    place.ok("generate r -n 1 --seed 7 -o one");
    let file = |directory: &str, name: &str| place.bytes(Path::new(directory).join(name));
    for name in ["seed7-0000.png", "seed7-0001.png", "seed7-0002.png", "seed7-grid.png"] {
        assert_eq!(file("a", name), file("b", name), "{name}");
    }
    assert_eq!(
        file("a", "seed7-0000.png"),
        file("one", "seed7-0000.png"),
        "a picture does not depend on its neighbours"
    );
    assert_ne!(file("a", "seed7-0000.png"), file("a", "seed7-0001.png"));
    place.ok("generate r -n 1 --seed 8 -o b");
    assert_ne!(file("a", "seed7-0000.png"), file("b", "seed8-0000.png"));

    // A request larger than one forward pass gives the same first pictures.
    place.ok("generate r -n 40 --seed 7 -o many");
    assert_eq!(file("a", "seed7-0002.png"), file("many", "seed7-0002.png"));

    // The checkpoint, and its model file alone after the run is gone, are the same model.
    let best = place.pointed("r", "best");
    place.ok(&format!("generate {} -n 3 --seed 7 -o checkpoint", best.display()));
    assert_eq!(file("a", "seed7-0002.png"), file("checkpoint", "seed7-0002.png"));
    std::fs::create_dir(place.path("elsewhere")).unwrap();
    std::fs::copy(place.path(best.join("model.safetensors")), place.path("elsewhere/mine.safetensors")).unwrap();
    std::fs::remove_dir_all(place.path("r")).unwrap();
    std::fs::remove_dir_all(place.path("cache")).unwrap();
    place.ok("generate elsewhere/mine.safetensors -n 3 --seed 7 -o alone");
    assert_eq!(file("a", "seed7-0002.png"), file("alone", "seed7-0002.png"));
}

#[test]
fn truncation_and_the_visible_label_change_the_picture_and_its_name() {
    let place = Place::new();
    place.train("r", 12, "");
    place.ok("generate r -n 1 -o plain");
    place.ok("generate r -n 1 -o plain --truncation 0.5");
    place.ok("generate r -n 1 -o visible --visible-label");
    let size = |name: &str| {
        let file = std::io::BufReader::new(std::fs::File::open(place.path(name)).unwrap());
        png::Decoder::new(file).read_info().unwrap().info().size()
    };
    assert_eq!(size("plain/seed0-0000.png"), (16, 16));
    assert_ne!(place.bytes("plain/seed0-0000.png"), place.bytes("plain/seed0-t0.5-0000.png"));
    let (width, height) = size("visible/seed0-0000.png");
    assert!(height > 16 && width >= 16, "a band was added: {width}x{height}");
    // Truncation 0 is the one average picture, whatever the number.
    place.ok("generate r -n 2 -o zero --truncation 0");
    let pixels = |name: &str| {
        let file = std::io::BufReader::new(std::fs::File::open(place.path(name)).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        pixels
    };
    assert_eq!(pixels("zero/seed0-t0-0000.png"), pixels("zero/seed0-t0-0001.png"));
}

#[test]
fn interpolation_loops() {
    let place = Place::new();
    place.train("r", 5, "");
    let answer = place.ok("generate r --interpolate 4 -n 3 -o a");
    assert_eq!(answer.out, "a/seed0-walk.gif\n");
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(std::io::Cursor::new(place.bytes("a/seed0-walk.gif"))).unwrap();
    assert!(matches!(decoder.repeat(), gif::Repeat::Infinite));
    let mut frames = Vec::new();
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        frames.push(frame.buffer.to_vec());
    }
    assert_eq!(frames.len(), 12, "4 frames from each of 3 stations to the next and back to the first");
    assert_ne!(frames[0], frames[4]);

    place.ok("generate r --interpolate 4 -n 3 -o a --format png");
    assert!(place.path("a/seed0-walk-0011.png").is_file() && !place.path("a/seed0-walk-0012.png").exists());
    place.ok("generate r --format gif -n 2 -o b");
    assert!(place.path("b/seed0-walk.gif").is_file());
}

#[test]
fn runs_are_listed_and_shown() {
    let place = Place::new();
    place.train("runs/one", 12, "");
    place.train("runs/two", 5, "--model vae");
    let list = place.ok("runs").out;
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 3, "{list}");
    assert!(lines[1].starts_with("one") && lines[1].contains("dcgan 16x16") && lines[1].contains(" 12 "), "{list}");
    assert!(lines[2].starts_with("two") && lines[2].contains("vae 16x16"), "{list}");
    assert_eq!(place.ok("runs runs/one/samples").out, "", "no runs is not an error");

    let shown = place.ok("show runs/one").out;
    for word in ["emoji:food", "12 steps", "kid_", "checkpoints"] {
        assert!(shown.contains(word), "{word} in {shown}");
    }
    let json: serde_json::Value = serde_json::from_str(&place.ok("show runs/one --json").out).unwrap();
    assert_eq!((&json["last_look"]["step"], &json["config"]["data"]["width"]), (&12.into(), &16.into()));
    let model = place.ok("show runs/one/checkpoints/00000012").out;
    let model: serde_json::Value = serde_json::from_str(&model).unwrap();
    assert_eq!(model["model"]["step"], 12);
}

#[test]
fn a_model_file_says_nothing_about_the_machine() {
    let place = Place::new();
    place.pictures("holiday", 12, png::ColorType::Rgb);
    let source = place.path("holiday");
    place.ok(&format!("train {} {TINY} --model dcgan --steps 2 --out r", source.display()));
    let model = place.bytes(place.pointed("r", "last").join("model.safetensors"));
    let folder = place.path("").display().to_string();
    assert!(!model.windows(folder.len()).any(|window| window == folder.as_bytes()));
    assert!(model.windows(7).any(|window| window == b"holiday"));
}

#[test]
fn the_doctor_is_content() {
    let answer = Place::new().ok("doctor");
    for word in ["processor", "memory", "cache", "self-test"] {
        assert!(answer.out.contains(word), "{}", answer.out);
    }
}

#[test]
fn data_check_says_whether_there_is_something_to_train_on() {
    let place = Place::new();
    place.pictures("good", 5, png::ColorType::Rgb);
    std::fs::write(place.path("good/text.png"), "not a picture").unwrap();
    let answer = place.ok("data check good");
    assert!(answer.out.contains("5 usable") && answer.out.contains("text.png"), "{}", answer.out);
    let json: serde_json::Value = serde_json::from_str(&place.ok("data check good --json").out).unwrap();
    assert_eq!((&json["usable"], json["rejects"].as_array().unwrap().len()), (&5.into(), 1));
    std::fs::create_dir(place.path("bad")).unwrap();
    std::fs::write(place.path("bad/text.png"), "not a picture").unwrap();
    assert_eq!(place.run("data check bad").code, Some(2));
}

#[test]
fn a_finished_run_stays_as_it_is_and_can_go_on() {
    let place = Place::new();
    place.train("r", 12, "");
    let before = place.files("r");
    let answer = place.ok("train r");
    assert_eq!(answer.out, "r\n");
    for (path, bytes) in place.files("r") {
        assert_eq!(before.get(&path), Some(&bytes), "{} changed", path.display());
    }
    place.ok("train r --steps 20");
    assert_eq!(place.pointed("r", "last"), Path::new("r/checkpoints/00000020"));
    place.twin("r", 20, "");
    assert!(place.weights("r") == place.weights("twin"), "going on is the same as not having stopped");
    // Named by what it was trained on, with the run as --out, it is the same run.
    place.ok("train emoji:food --out r --steps 21");
    assert_eq!(place.pointed("r", "last"), Path::new("r/checkpoints/00000021"));
}

#[test]
fn the_run_file_repeats_the_run() {
    let place = Place::new();
    place.train("r", 7, "--seed 3 --model vae");
    place.ok("train --config r/run.toml --out again");
    assert!(place.weights("r") == place.weights("again"));
    assert_eq!(place.bytes("r/run.toml"), place.bytes("again/run.toml"));
    place.ok("train --config r/run.toml --out other --seed 4");
    assert!(place.weights("r") != place.weights("other"));
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let place = Place::new();
    for (model, more) in [("dcgan", ""), ("vae", "--set vae.reconstruction=logistic")] {
        for threads in ["1", "2"] {
            let arguments =
                format!("train emoji:food {NARROW} --size 32 --model {model} {more} --steps 6 --out {model}-{threads}");
            let answer = Answer::of(place.command(&arguments).env("RAYON_NUM_THREADS", threads));
            assert_eq!(answer.code, Some(0), "{}", answer.err);
        }
        let one = place.weights(&format!("{model}-1"));
        assert!(one == place.weights(&format!("{model}-2")), "{model} differs between 1 and 2 threads");
    }
}
