//! `maliang explain`, and pictures moved along its directions.

use crate::given::json;
use crate::support::{NARROW, Place};

#[test]
fn a_gan_is_explained_and_its_directions_move_pictures() {
    let place = Place::new();
    place.train("r", 5, "--model dcgan");
    place.refused(2, "generate r --direction 0 -n 1 -o out", &["directions", "maliang explain"]);
    let answer = place.ok("explain r");
    let expected: Vec<String> = std::iter::once("directions.safetensors".to_string())
        .chain((0..6).map(|k| format!("direction-{k}.png")))
        .chain(["saliency.png".into(), "neighbours.png".into(), "explain.html".into()])
        .map(|name| format!("r/explain/{name}"))
        .collect();
    assert_eq!(answer.out.lines().collect::<Vec<_>>(), expected);
    for path in &expected {
        assert!(place.path(path).is_file(), "{path}");
        if path.ends_with(".png") {
            let label = maliang::generate::picture::read_label(&place.path(path)).unwrap();
            assert_eq!(label.and_then(|label| label.label).as_deref(), Some("1"), "{path}");
        }
    }
    let page = String::from_utf8(place.bytes("r/explain/explain.html")).unwrap();
    for word in ["Directions", "What the discriminator looks at", "Nearest training pictures", "not causal", "AI生成"]
    {
        assert!(page.contains(word), "{word}");
    }
    assert_eq!(page.matches("<img src=\"data:image/").count(), 8);
    assert!(!page.contains(&place.path("").display().to_string()), "paths of this machine stay out");
    place.no_leftovers("r");

    let before = place.files("r/explain");
    let found = json(&place, "explain r --json");
    assert_eq!(place.files("r/explain"), before, "the same again");
    assert_eq!(found["directions"]["order"], "eigenvalue");
    let weights: Vec<f64> =
        found["directions"]["list"].as_array().unwrap().iter().map(|d| d["weight"].as_f64().unwrap()).collect();
    assert!(weights.len() == 16 && weights.windows(2).all(|pair| pair[0] >= pair[1]), "{weights:?}");
    assert_eq!(found["neighbours"]["nearest"].as_array().unwrap().len(), 8);
    assert_eq!(found["files"].as_array().unwrap().len(), expected.len());

    let answer = place.ok("generate r --direction 3 --strength -1.5 -n 2 -o out");
    assert_eq!(answer.out.lines().next(), Some("out/seed0-d3-1.5-0000.png"));
    place.ok("generate r -n 2 -o out");
    assert_ne!(place.bytes("out/seed0-d3-1.5-0000.png"), place.bytes("out/seed0-0000.png"));
    // What was moved is found again by its label.
    place.ok("generate r --from out/seed0-d3-1.5-0001.png -n 1 -o again").says("exact latent vector");
    place.refused(2, "generate r --direction 16 -o no", &["no direction 16", "0 to 15"]);
    place.refused(2, "generate r --direction 0 --interpolate 3 -o no", &["--direction", "animation"]);

    // Another model has other directions.
    place.train("s", 5, "--model dcgan --seed 9");
    std::fs::create_dir(place.path("s/explain")).unwrap();
    std::fs::copy(place.path("r/explain/directions.safetensors"), place.path("s/explain/directions.safetensors"))
        .unwrap();
    place.refused(2, "generate s --direction 0 -o no", &["another model", "maliang explain"]);
    assert!(!place.path("no").exists());
}

#[test]
fn a_vae_is_explained_with_and_without_its_pictures() {
    let place = Place::new();
    place.pictures("mine", 30, png::ColorType::Rgb);
    place.ok(&format!("train mine {} --model vae --steps 5 --out r", crate::support::TINY));
    let found = json(&place, "explain r --json");
    assert_eq!(found["directions"]["order"], "kl");
    assert!(found["saliency"]["missing"].as_str().unwrap().contains("vae has no discriminator"));
    place.ok("generate r --direction 0 -n 1 -o out");

    std::fs::remove_dir_all(place.path("mine")).unwrap();
    std::fs::remove_dir_all(place.path("cache")).unwrap();
    let answer = place.ok("explain r --seed 2 -o without");
    answer.says("note: nearest training pictures: Not shown").says("no discriminator");
    let page = String::from_utf8(place.bytes("without/explain.html")).unwrap();
    assert!(page.contains("could not be measured"), "it says what it could not do");
    assert!(!place.path("without/neighbours.png").exists());
}

#[test]
fn every_gan_family_is_explained_and_a_model_file_as_far_as_it_goes() {
    let place = Place::new();
    for class in ["cats", "fish"] {
        place.pictures(&format!("pets/{class}"), 20, png::ColorType::Rgb);
    }
    place.ok(&format!("train pets {NARROW} --size 40x32 --model fastgan --steps 3 --out r"));
    place.ok("explain r");
    assert!(place.path("r/explain/saliency.png").is_file());
    std::fs::copy(place.path(place.pointed("r", "best").join("model.safetensors")), place.path("mine.safetensors"))
        .unwrap();
    let answer = place.ok("explain mine.safetensors");
    answer.says("holds the generator only").says("not in the directory of its run");
    assert!(place.path("explain/direction-5.png").is_file() && !place.path("explain/saliency.png").exists());
    place.ok("generate mine.safetensors --direction 1 -n 1 -o out");
    place.refused(2, "explain nowhere", &["nowhere"]);
    if let Some(weights) = crate::lookup::real(crate::weights::WEIGHTS) {
        place.ok(&format!("weights add {}", weights.display()));
        let train = "--size 40x32 --set gan.feature_size=32 --model projected --steps 2 --out p";
        place.ok(&format!("train pets {NARROW} {train}"));
        place.ok("explain p");
        assert!(place.path("p/explain/saliency.png").is_file());
        place.ok("generate p --from pets/cats/001.png -n 1 -o out").says("searched for");
        place.ok("generate p --mix -n 2 -o out");
    }
}
