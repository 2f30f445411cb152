//! `maliang judge`: what it prints and what it leaves.

use crate::support::{NARROW, Place};
use maliang::generate::picture::{encode_real_png, read_label};
use maliang::picture::Picture;
use serde_json::Value;
use std::path::Path;

#[test]
fn a_run_is_judged_and_leaves_scores_report_and_card() {
    let place = Place::new();
    place.train("r", 5, "");
    let answer = place.ok("judge r -n 40 --seed 3");
    for line in answer.out.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for word in
        ["kid_randomconv_n40", "fd_randomconv_n40", "coverage_randomconv_n40_k5", "floor", "copycat", "r/card.md"]
    {
        assert!(answer.out.contains(word), "{word} in\n{}", answer.out);
    }

    let scores: Value = serde_json::from_slice(&place.bytes("r/scores.json")).unwrap();
    let names: Vec<&str> = scores["scores"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    let expected = ["kid", "fd", "fd_inf", "precision", "recall", "density", "coverage"];
    assert_eq!(names.len(), expected.len());
    for (name, metric) in names.iter().zip(expected) {
        assert!(name.starts_with(&format!("{metric}_randomconv_n40")), "{name}");
    }
    assert!(scores["scores"][0]["value"].is_f64() && scores["scores"][0]["floor"].is_f64());
    assert!(scores["scores"][0]["low"].as_f64() <= scores["scores"][0]["high"].as_f64());
    assert_eq!((&scores["n"], &scores["seed"]), (&40.into(), &3.into()));
    assert_eq!(scores["copying"]["copycat_fails"], true);
    let best = place.path(place.pointed("r", "best").join("model.safetensors"));
    let hash = maliang::files::blake3_file(&best).unwrap();
    assert_eq!(scores["model"]["blake3"], hash.as_str());

    let card = String::from_utf8(place.bytes("r/card.md")).unwrap();
    let front = card.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")).unwrap().0;
    let label = front.lines().find_map(|line| line.strip_prefix("AIGC: '")).unwrap().strip_suffix('\'').unwrap();
    let label: Value = serde_json::from_str(label).unwrap();
    assert_eq!((&label["Label"], &label["ProduceID"]), (&"1".into(), &format!("{hash}-3-0").into()));
    assert!(front.contains("# license: to be filled in") && card.matches("to be filled in by a person").count() > 5);

    let report = String::from_utf8(place.bytes("r/report.html")).unwrap();
    for word in
        ["kid_randomconv_n40", "Nearest pairs", "Copying", "Settings", "AI生成", "(to be filled in by a person)"]
    {
        assert!(report.contains(word), "{word}");
    }
    assert_eq!(report.matches("alt=\"Generated\"").count(), 20);
    let folder = place.path("").display().to_string();
    assert!(!report.contains(&folder) && !card.contains(&folder), "paths of this machine stay out");
    place.no_leftovers("r");

    // Training that goes on keeps the scores on its page, and says when they have become old.
    place.ok("train r --steps 12");
    let later = String::from_utf8(place.bytes("r/report.html")).unwrap();
    for word in ["kid_randomconv_n40", "Nearest pairs", "Losses", "step 12", "consent of the people"] {
        assert!(later.contains(word), "{word}");
    }
    assert_eq!(later.matches("alt=\"Generated\"").count(), 20);
    let unchanged = place.pointed("r", "best") == Path::new("r/checkpoints/00000005");
    assert_eq!(later.contains("scores below are of an older model"), !unchanged);
    assert!(!report.contains("scores below"), "fresh scores need no warning");
    // Pictures of another judgement are not shown with these scores, and damaged scores are said to be damaged.
    std::fs::rename(place.path("r/judged/00-generated.png"), place.path("r/judged/01-generated.png")).unwrap();
    std::fs::copy(place.path("r/judged/02-generated.png"), place.path("r/judged/00-generated.png")).unwrap();
    place.ok("train r --steps 12");
    assert_eq!(String::from_utf8(place.bytes("r/report.html")).unwrap().matches("alt=\"Generated\"").count(), 0);
    std::fs::write(place.path("r/scores.json"), "{").unwrap();
    place.ok("train r --steps 12");
    assert!(String::from_utf8(place.bytes("r/report.html")).unwrap().contains("scores.json cannot be read"));
}

#[test]
fn judging_again_gives_the_same_scores() {
    let place = Place::new();
    place.train("r", 5, "");
    place.ok("judge r -n 40 --seed 3");
    // From kept features, as JSON.
    let before = place.bytes("r/scores.json");
    let again = place.ok("judge r -n 40 --seed 3 --json");
    assert_eq!(again.out.trim().as_bytes(), before);
    assert_eq!(place.bytes("r/scores.json"), before);
}

/// The importance-sampled bound is never above the negative ELBO of the same samples.
#[test]
fn a_vae_is_judged_by_its_likelihood() {
    let place = Place::new();
    for kind in ["mse", "bce", "logistic", "logistic-mixture"] {
        place.train(kind, 3, &format!("--model vae --set vae.reconstruction={kind}"));
        let answer = place.ok(&format!("judge {kind} -n 10"));
        assert!(answer.out.lines().all(|line| line.chars().count() <= 80), "{}", answer.out);
        let scores: Value = serde_json::from_slice(&place.bytes(format!("{kind}/scores.json"))).unwrap();
        let [elbo, sampled] = &scores["likelihoods"].as_array().unwrap()[..] else { panic!("{scores}") };
        for (found, metric) in [(elbo, "nelbo_nats"), (sampled, "nll_is64_nats")] {
            let name = found["name"].as_str().unwrap();
            assert!(name.starts_with(&format!("{metric}_{kind}_heldout_n")) && answer.out.contains(name), "{name}");
            assert!(
                found["low"].as_f64() <= found["value"].as_f64() && found["value"].as_f64() <= found["high"].as_f64()
            );
        }
        assert!(sampled["value"].as_f64() <= elbo["value"].as_f64(), "{kind}");
    }
    // Pictures that it does not know: all of them.
    place.pictures("few", 5, png::ColorType::Rgb);
    place.ok("judge mse -n 10 --data few -o there").says("not the pictures");
    assert!(String::from_utf8(place.bytes("there/scores.json")).unwrap().contains("nll_is64_nats_mse_given_n5"));
    place.train("gan", 1, "--model dcgan");
    place.ok("judge gan -n 10");
    assert!(!String::from_utf8(place.bytes("gan/scores.json")).unwrap().contains("likelihoods"));
}

#[test]
fn a_model_file_is_judged_with_pictures_that_are_named() {
    let place = Place::new();
    place.train("r", 2, "--model vae");
    std::fs::copy(place.path(place.pointed("r", "best").join("model.safetensors")), place.path("mine.safetensors"))
        .unwrap();
    place.refused(2, "judge mine.safetensors -n 10", &["mine.safetensors", "--data"]);
    place.ok("judge mine.safetensors -n 10 --data emoji:animals -o out").says("not the pictures");
    for name in ["scores.json", "report.html", "card.md"] {
        assert!(place.path("out").join(name).is_file(), "{name}");
    }
    let card = String::from_utf8(place.bytes("out/card.md")).unwrap();
    assert!(card.contains("other pictures than it was trained on"), "{card}");
    // A checkpoint knows its run, but leaves the run's own scores alone.
    let checkpoint = place.pointed("r", "last");
    place.ok(&format!("judge {} -n 10 -o there", checkpoint.display()));
    assert!(place.path("there/scores.json").is_file() && !place.path("r/scores.json").exists());
}

/// Pictures of another program: what cannot be read is left out and said, and repeats are not left out.
#[test]
fn pictures_of_another_program_are_judged() {
    let place = Place::new();
    place.pictures("real", 40, png::ColorType::Rgb);
    place.pictures("made", 20, png::ColorType::Rgb);
    std::fs::write(place.path("made/broken.png"), "no picture").unwrap();
    place.refused(2, "judge made", &["holds no trained model", "--data"]);
    let answer = place.ok("judge made --data real -o out");
    answer.says("1 file of made cannot be used");
    assert!(answer.out.contains("made: 20 pictures") && answer.out.contains("kid_randomconv_n20"), "{}", answer.out);
    assert!(answer.out.lines().all(|line| line.chars().count() <= 80), "{}", answer.out);
    let scores: Value = serde_json::from_slice(&place.bytes("out/scores.json")).unwrap();
    let given = serde_json::json!({ "pictures": "made", "real": "real" });
    assert_eq!((&scores["model"], &scores["given"]), (&Value::Null, &given));
    let name = scores["copying"]["pairs"][0]["generated_name"].as_str().unwrap();
    assert!(place.path("made").join(name).is_file(), "{name}");
    let report = String::from_utf8(place.bytes("out/report.html")).unwrap();
    assert!(report.contains("Pictures of made") && report.contains(name) && report.contains("Compared with real, 40"));
    assert_eq!(report.matches("alt=\"Generated\"").count(), 20);
    assert!(!place.path("out/card.md").exists() && !report.contains(&place.path("").display().to_string()));

    // The same picture of the training set twenty times.
    std::fs::create_dir(place.path("copied")).unwrap();
    for i in 0..20 {
        std::fs::copy(place.path("real/000.png"), place.path(format!("copied/{i:02}.png"))).unwrap();
    }
    let copied = place.ok("judge copied -n 30 --data real -o out");
    copied.says("has 20 pictures that can be used");
    let scores: Value = serde_json::from_slice(&place.bytes("out/scores.json")).unwrap();
    assert_eq!(scores["generated"], 20);
    assert_eq!(scores["collapse"]["duplicates"], 1.0, "{}", scores["collapse"]);
}

/// With few real pictures the scores are those of as many made ones, which stand for all of them, whatever their names.
#[test]
fn names_do_not_decide_which_pictures_are_scored() {
    let place = Place::new();
    place.pictures("real", 20, png::ColorType::Rgb);
    place.pictures("b", 20, png::ColorType::Rgb);
    place.pictures("real/c", 20, png::ColorType::Rgb);
    // Half of them one picture twenty times, first by name; the other half twenty pictures.
    std::fs::create_dir_all(place.path("made/a")).unwrap();
    for i in 0..20 {
        std::fs::copy(place.path("b/000.png"), place.path(format!("made/a/{i:02}.png"))).unwrap();
    }
    std::fs::rename(place.path("b"), place.path("made/b")).unwrap();
    place.ok("judge made --data real -o out");
    let scores: Value = serde_json::from_slice(&place.bytes("out/scores.json")).unwrap();
    assert_eq!((&scores["n"], &scores["generated"]), (&20.into(), &40.into()));
    let repeated = scores["collapse"]["duplicates"].as_f64().unwrap();
    assert!((0.2..0.8).contains(&repeated), "{repeated}");
}

/// Labels of what made a picture go along with it, and what is too large for any extractor is scaled down.
#[test]
fn given_pictures_keep_their_labels() {
    let place = Place::new();
    place.train("r", 2, "");
    place.ok("generate r -n 12 -o made");
    for file in std::fs::read_dir(place.path("made")).unwrap() {
        let path = file.unwrap().path();
        if path.to_string_lossy().ends_with("-grid.png") {
            std::fs::remove_file(path).unwrap();
        }
    }
    place.ok("judge made --data emoji:food -o out");
    let made = std::fs::read_dir(place.path("made")).unwrap().next().unwrap().unwrap().path();
    let hash = read_label(&made).unwrap().unwrap().recipe.unwrap().model_hash;
    let kept = read_label(&place.path("out/judged/00-generated.png")).unwrap().expect("a label").recipe.unwrap();
    assert_eq!(kept.model_hash, hash);
    assert_eq!(read_label(&place.path("out/judged/00-real.png")).unwrap(), None);

    std::fs::create_dir(place.path("large")).unwrap();
    for i in 0..10u8 {
        let picture = Picture::filled(600, 300, 3, i * 20);
        std::fs::write(place.path(format!("large/{i}.png")), encode_real_png(&picture).unwrap()).unwrap();
    }
    place.ok("judge large --data emoji:food -o out").says("judged at 256x128");
}

/// What is not a folder of pictures, and places where a report would be taken for pictures or for that of a run.
#[test]
fn given_pictures_that_cannot_be_judged_are_refused() {
    let place = Place::new();
    place.pictures("real", 12, png::ColorType::Rgb);
    place.pictures("made", 12, png::ColorType::Rgb);
    place.pictures("few", 5, png::ColorType::Rgb);
    place.train("runs/r", 1, "");
    place.refused(2, "judge few --data real -o out", &["5 pictures of few", "at least 10"]);
    place.refused(2, "judge runs --data real -o out", &["runs"]);
    place.refused(2, "judge made --data real -o runs/r", &["runs/r", "-o"]);
    for (command, folder) in [
        ("judge made --data real -o made/new/report", "made"),
        ("judge made --data real -o real", "real"),
        ("judge made --data .", "."),
    ] {
        place.refused(2, command, &[&format!("among the pictures of {folder}"), "-o"]);
    }
    assert!(!place.path("out").exists() && !place.path("made/new").exists() && !place.path("scores.json").exists());
    assert!(!place.path("runs/r/scores.json").exists());
}

#[test]
fn what_cannot_be_judged_is_refused() {
    let place = Place::new();
    place.train("r", 1, "");
    place.refused(2, "judge r -n 9", &["9", "10"]);
    place.refused(2, "judge r --features resnet50", &["resnet50", "randomconv"]);
    place.refused(2, "judge nowhere", &["nowhere"]);
    place.pictures("few", 3, png::ColorType::Rgb);
    place.refused(2, "judge r -n 10 --data few", &["3 real pictures", "at least 4"]);
    assert!(!place.path("r/scores.json").exists());
}

#[test]
fn grey_and_wide_pictures_are_judged() {
    let place = Place::new();
    place.pictures("grey", 30, png::ColorType::Grayscale);
    place.ok(&format!("train {} {NARROW} --size 24x16 --steps 2 --out r", place.path("grey").display()));
    let answer = place.ok("judge r -n 12");
    assert!(answer.out.contains("kid_randomconv_n12"), "{}", answer.out);
    for name in ["r/report.html", "r/card.md", "r/scores.json"] {
        let text = String::from_utf8(place.bytes(name)).unwrap();
        assert!(!text.contains(&place.path("").display().to_string()), "{name} tells where the pictures lie");
    }
}
