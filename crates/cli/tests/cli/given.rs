//! `maliang generate`: given pictures, mixed styles, neighbours.

use crate::support::{NARROW, Place};
use serde_json::Value;
use std::path::Path;

/// The recipe in a picture's label.
fn recipe(path: &Path) -> maliang::provenance::recipe::Recipe {
    maliang::generate::picture::read_label(path).unwrap().expect("a label").recipe.expect("a recipe")
}

/// Trains one network of each family that takes tiny pictures.
fn trained() -> Place {
    let place = Place::new();
    place.train("gan", 5, "--model dcgan");
    place.train("vae", 5, "--model vae");
    place
}

#[test]
fn an_own_picture_is_found_by_its_label() {
    let place = trained();
    for run in ["gan", "vae"] {
        place.ok(&format!("generate {run} -n 3 --seed 4 --truncation 0.8 -o {run}/made"));
        let made = format!("{run}/made/seed4-t0.8-0002.png");
        let answer = place.ok(&format!("generate {run} --from {made} -n 2 -o {run}/out"));
        answer.says("its label gives the exact latent vector");
        let file = |end: &str| format!("{run}/out/seed0-seed4-t0-8-0002-from-{end}.png");
        assert_eq!(answer.out, format!("{}\n… {}\n{}\n", file("0000"), file("0002"), file("grid")));
        let pixels = |path: &str| {
            let mut reader = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(place.path(path)).unwrap()))
                .read_info()
                .unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            reader.next_frame(&mut pixels).unwrap();
            pixels
        };
        assert_eq!(pixels(&file("0000")), pixels(&made), "the same picture again");
        assert_ne!(pixels(&file("0001")), pixels(&file("0002")));

        // A variation carries its latent vector and is found by it.
        let first = recipe(&place.path(file("0001")));
        let again = place.ok(&format!("generate {run} --from {} -n 1 --strength 0.1 -o {run}/again", file("0001")));
        again.says("exact latent vector");
        let name = "seed0-seed0-seed4-t0-8-0002-from-0001-from-0000.png";
        assert_eq!(recipe(&place.path(run).join("again").join(name)).z, first.z);
        assert!(first.z.is_some() && first.latent.contains("plus 0.5 times"), "{first:?}");

        // It is not a picture of another model.
        let other = if run == "gan" { "vae" } else { "gan" };
        let answer = place.ok(&format!("generate {other} --from {made} -n 1 -o other"));
        assert!(!answer.err.contains("exact"), "{}", answer.err);
    }
}

#[test]
fn any_picture_is_rebuilt_and_varied() {
    let place = trained();
    place.pictures("mine", 2, png::ColorType::Rgb);
    let answer = place.ok("generate gan --from mine/000.png -n 3 --strength 0.2 -o a");
    answer.says("searched for in 200 steps").says("levels");
    place.ok("generate gan --from mine/000.png -n 3 --strength 0.2 -o b");
    let names = ["0000", "0001", "0002", "0003", "grid"].map(|end| format!("seed0-000-from-{end}.png"));
    assert_eq!(place.files("a").len(), names.len());
    for name in &names {
        assert_eq!(place.bytes(Path::new("a").join(name)), place.bytes(Path::new("b").join(name)), "{name}");
    }
    let grid = recipe(&place.path("a/seed0-000-from-grid.png"));
    assert!(grid.latent.contains("projection of a given picture, 200 steps"), "{grid:?}");
    assert_eq!(grid.z, recipe(&place.path("a/seed0-000-from-0000.png")).z, "the grid says what was found");

    // Two: each by itself, or a walk between them.
    let answer = place.ok("generate vae --from mine/000.png --from mine/001.png -n 1 -o c");
    answer.says("encoded");
    assert_eq!(answer.out.lines().count(), 6);
    assert!(place.path("c/seed0-1-000-from-grid.png").is_file() && place.path("c/seed0-2-001-from-grid.png").is_file());
    let answer = place.ok("generate vae --from mine/000.png --from mine/001.png --interpolate 4 -o c");
    assert_eq!(answer.out, "c/seed0-from-walk.gif\n");
    let walk = recipe(&place.path("c/seed0-from-walk.gif"));
    assert!(walk.latent.contains("2 given pictures"), "{walk:?}");
}

#[test]
fn a_given_picture_of_a_conditional_model_gets_a_class() {
    let place = Place::new();
    for class in ["cats", "fish"] {
        place.pictures(&format!("pets/{class}"), 20, png::ColorType::Rgb);
    }
    for model in ["dcgan", "vae"] {
        place.ok(&format!("train pets {} --model {model} --steps 3 --out {model}", crate::support::TINY));
        place.ok(&format!("generate {model} --from pets/fish/003.png -n 1 -o {model}/any"));
        let found = recipe(&place.path(model).join("any/seed0-003-from-0000.png")).class.unwrap();
        assert!(["cats", "fish"].contains(&found.as_str()), "{found}");
        place.ok(&format!("generate {model} --from pets/fish/003.png --class cats -n 1 -o {model}/cats"));
        let name = "cats/seed0-cats-003-from-0001.png";
        assert_eq!(recipe(&place.path(model).join(name)).class.as_deref(), Some("cats"));
    }
}

#[test]
fn what_is_given_must_be_a_picture() {
    let place = trained();
    place.pictures("mine", 1, png::ColorType::Rgb);
    std::fs::write(place.path("text.png"), "hello").unwrap();
    let cut = place.bytes("mine/000.png");
    std::fs::write(place.path("cut.png"), &cut[..cut.len() / 2]).unwrap();
    for (arguments, words) in [
        ("--from none.png", &["none.png", "no picture"][..]),
        ("--from mine", &["mine", "no picture"]),
        ("--from text.png", &["text.png", "not a picture"]),
        ("--from cut.png", &["cut.png"]),
        ("--from mine/000.png --interpolate 4", &["another", "--from"]),
        ("--from mine/000.png --format gif", &["another", "--from"]),
        ("--from mine/000.png --from mine/000.png --interpolate 2 -n 3", &["-n", "--strength"]),
        ("--from mine/000.png --truncation 0.5", &["--truncation", "--strength"]),
        ("--from mine/000.png --strength 99", &["--strength 99", "range"]),
        ("--from mine/000.png --strength nan", &["--strength", "range"]),
        ("--from mine/000.png -n 500", &["-n 500", "140"]),
        ("--from mine/000.png --mix", &["--from", "--mix"]),
        ("--neighbours --mix", &["--neighbours", "--mix"]),
        ("--strength 1", &["--strength", "--from", "--direction"]),
        ("--neighbours --interpolate 3", &["--neighbours", "animation"]),
        ("--neighbours=0", &["--neighbours=0", "range"]),
        ("--mix", &["dcgan has no styles to mix", "fastgan"]),
    ] {
        place.refused(2, &format!("generate gan {arguments} -o out"), words);
    }
    place.refused(2, "generate vae --mix -o out", &["vae has no styles to mix"]);
    assert!(!place.path("out").exists());
}

#[test]
fn styles_are_mixed() {
    let place = Place::new();
    place.ok(&format!("train emoji:food {NARROW} --size 32 --model fastgan --steps 3 --out r"));
    let answer = place.ok("generate r --mix -n 3 --seed 2 -o a");
    assert_eq!(answer.out, "a/seed2-mix-grid.png\n");
    let made = recipe(&place.path("a/seed2-mix-grid.png"));
    assert!(made.latent.contains("content of numbers 0 to 2, style of numbers 3 to 5"), "{made:?}");
    place.refused(2, "generate r --mix -n 17", &["-n 17", "16"]);
}

#[test]
fn neighbours_are_training_pictures() {
    let place = trained();
    let answer = place.ok("generate gan --neighbours=2 -n 3 -o a");
    assert_eq!(answer.out, "a/seed0-neighbours-grid.png\n");
    answer.says("need not have caused");
    let made = recipe(&place.path("a/seed0-neighbours-grid.png"));
    assert!(made.latent.contains("2 nearest training pictures by randomconv"), "{made:?}");
    place.ok("generate gan --neighbours -n 1 -o b");
    assert!(recipe(&place.path("b/seed0-neighbours-grid.png")).latent.contains("its 5 nearest"));
    let model = place.pointed("gan", "best").join("model.safetensors");
    std::fs::copy(place.path(model), place.path("mine.safetensors")).unwrap();
    place.refused(2, "generate mine.safetensors --neighbours", &["mine.safetensors", "run directory"]);
}

/// JSON of one command, from stdout.
pub fn json(place: &Place, arguments: &str) -> Value {
    serde_json::from_str(&place.ok(arguments).out).expect("JSON")
}
