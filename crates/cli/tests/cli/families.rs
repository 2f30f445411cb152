//! Every family, loss, shape and kind of data runs a few steps.

use crate::support::{NARROW, Place, TINY};

/// Every number that training logged, except those that have no value yet.
#[track_caller]
fn losses_are_numbers(place: &Place, run: &str, names: &[&str]) {
    let steps: Vec<_> = place.metrics(run).into_iter().filter(|event| event["event"] == "step").collect();
    assert!(!steps.is_empty());
    for event in steps {
        for name in names {
            assert!(event[name].is_number(), "{name} in {event}");
        }
    }
}

#[test]
fn every_gan_loss() {
    let place = Place::new();
    for loss in ["non-saturating", "minimax", "least-squares", "hinge", "wasserstein", "relativistic-paired"] {
        let critic_steps = if loss == "wasserstein" { 3 } else { 1 };
        place.train(loss, 3, &format!("--model dcgan --set gan.loss={loss} --set gan.critic_steps={critic_steps}"));
        losses_are_numbers(&place, loss, &["d_loss", "g_loss"]);
        // Resuming takes the right number of updates of either player.
        place.ok(&format!("train {loss} --steps 6"));
        place.twin(loss, 6, "");
        assert!(place.weights(loss) == place.weights("twin"), "{loss}");
        std::fs::remove_dir_all(place.path("twin")).unwrap();
    }
}

#[test]
fn every_regulariser() {
    let place = Place::new();
    for (run, more) in [
        ("r3gan", "--set gan.loss=relativistic-paired --set gan.r1=1 --set gan.r2=1 --set gan.penalty_every=2"),
        ("wgan-gp", "--set gan.loss=wasserstein --set gan.gradient_penalty=10 --set gan.critic_steps=2"),
        ("ada", "--set gan.ada=0.6 --set gan.ada_pictures=100"),
    ] {
        place.train(run, 3, &format!("--model dcgan {more}"));
        losses_are_numbers(&place, run, &["d_loss", "g_loss"]);
        place.ok(&format!("train {run} --steps 6"));
        place.twin(run, 6, "");
        assert!(place.weights(run) == place.weights("twin"), "{run}");
        std::fs::remove_dir_all(place.path("twin")).unwrap();
    }
    for wrong in ["r1=-1", "penalty_every=0", "ada=1.5", "ada_pictures=0", "gradient_penalty=-2"] {
        let name = wrong.split('=').next().unwrap();
        place.refused(2, &format!("train emoji:food {TINY} --steps 1 --set gan.{wrong}"), &[name, "between"]);
    }
}

#[test]
fn fastgan_from_start_to_picture() {
    let place = Place::new();
    labelled(&place);
    let train = format!("train pets {NARROW} --size 40x32 --model fastgan --steps");
    place.ok(&format!("{train} 3 --out half"));
    losses_are_numbers(&place, "half", &["d_loss", "g_loss", "drawing"]);
    place.ok("train half --steps 6");
    place.ok(&format!("{train} 6 --out whole"));
    assert!(place.weights("half") == place.weights("whole"), "interrupted and uninterrupted runs are the same");
    place.ok("generate whole -n 2 --class fish");
    place.refused(2, &format!("train pets {TINY} --model fastgan --steps 1"), &["fastgan", "at least 32", "dcgan"]);
}

/// Nothing is created when there is nothing to look through.
/// Needs the weights of EfficientNet-Lite0 beside the test data.
#[test]
fn projected_from_start_to_picture() {
    let place = Place::new();
    labelled(&place);
    let train = format!("train pets {NARROW} --size 40x32 --set gan.feature_size=32 --model projected --steps");
    place.refused(2, &format!("{train} 1 --out half"), &["EfficientNet-Lite0", "weights get"]);
    assert!(!place.path("half").exists());
    let Some(weights) = crate::lookup::real(crate::weights::WEIGHTS) else { return };
    place.ok(&format!("weights add {}", weights.display()));
    place.ok(&format!("{train} 3 --out half"));
    losses_are_numbers(&place, "half", &["d_loss", "g_loss"]);
    place.ok("train half --steps 6");
    place.ok(&format!("{train} 6 --out whole"));
    assert!(place.weights("half") == place.weights("whole"), "interrupted and uninterrupted runs are the same");
    // A model needs no eyes to make pictures.
    std::fs::remove_dir_all(place.path("data")).unwrap();
    place.ok("generate whole -n 2 --class fish");
}

#[test]
fn every_reconstruction() {
    let place = Place::new();
    for kind in ["mse", "bce", "logistic"] {
        place.train(kind, 3, &format!("--model vae --set vae.reconstruction={kind}"));
        losses_are_numbers(&place, kind, &["reconstruction", "kl"]);
        let look = place.metrics(kind).pop().unwrap();
        assert!(look[format!("heldout_elbo_bits_{kind}")].is_number(), "{look}");
        place.ok(&format!("generate {kind} -n 2"));
        assert!(place.path(kind).join("generated/seed0-0001.png").is_file());
    }
}

/// Every way to build and train a VAE: it resumes bit for bit, makes pictures, and is judged by its likelihood.
#[test]
fn every_vae() {
    let place = Place::new();
    for (run, more, losses) in [
        ("residual", "--set model.decoder=residual", vec![]),
        ("mixture", "--set vae.reconstruction=logistic-mixture --set model.components=2", vec![]),
        ("adversarial", "--set vae.adversarial=0.01", vec!["d_loss", "g_loss"]),
        (
            "all",
            "--set model.decoder=residual --set vae.reconstruction=logistic-mixture --set vae.adversarial=0.01 --set \
             gan.loss=relativistic-paired",
            vec!["d_loss", "g_loss"],
        ),
    ] {
        place.train(run, 3, &format!("--model vae {more}"));
        losses_are_numbers(&place, run, &[vec!["reconstruction", "kl"], losses].concat());
        place.ok(&format!("train {run} --steps 6"));
        place.twin(run, 6, "");
        assert!(place.weights(run) == place.weights("twin"), "{run}");
        std::fs::remove_dir_all(place.path("twin")).unwrap();
        place.ok(&format!("generate {run} -n 2"));
    }
    place.refused(
        2,
        &format!("train emoji:food {TINY} --model vae --steps 1 --set model.components=3"),
        &["components"],
    );
}

#[test]
fn odd_sizes_and_grey() {
    let place = Place::new();
    for model in ["dcgan", "vae"] {
        for (size, channels) in [("16", 3), ("24x40", 3), ("17x31", 3), ("96x64", 1), ("16x128", 1)] {
            let run = format!("{model}-{size}");
            let shape = format!("--size {size} --set data.channels={channels} --set model.stack.channels={channels}");
            place.ok(&format!("train emoji:food {NARROW} {shape} --model {model} --steps 2 --out {run}"));
            place.ok(&format!("generate {run} -n 2 -o {run}/out"));
            let file =
                std::io::BufReader::new(std::fs::File::open(place.path(&run).join("out/seed0-0000.png")).unwrap());
            let reader = png::Decoder::new(file).read_info().unwrap();
            let (width, height) = size.split_once('x').unwrap_or((size, size));
            assert_eq!(reader.info().size(), (width.parse().unwrap(), height.parse().unwrap()));
            assert_eq!(reader.info().color_type.samples(), channels, "{run}");
        }
    }
}

#[test]
fn grey_pictures_make_a_grey_model() {
    let place = Place::new();
    place.pictures("grey", 30, png::ColorType::Grayscale);
    let answer = place.ok(&format!("train grey {TINY} --steps 2 --out r"));
    answer.says("every picture is grey").says("too few for a GAN");
    let config = String::from_utf8(place.bytes("r/run.toml")).unwrap();
    assert!(config.contains("channels = 1") && config.contains("\"vae\""), "{config}");
}

/// A folder with three labelled sub-folders, twenty pictures each.
fn labelled(place: &Place) {
    for class in ["cats", "a dog", "fish"] {
        place.pictures(&format!("pets/{class}"), 20, png::ColorType::Rgb);
    }
}

#[test]
fn classes_can_be_asked_for_by_name() {
    let place = Place::new();
    labelled(&place);
    for model in ["dcgan", "vae"] {
        place
            .ok(&format!("train pets {TINY} --model {model} --steps 5 --out {model}"))
            .says("every class has at least 20");
        place.ok(&format!("generate {model} -n 2 --class fish -o {model}/a"));
        place.ok(&format!("generate {model} -n 2 --class cats -o {model}/a"));
        let file = |name: &str| place.bytes(std::path::Path::new(model).join("a").join(name));
        assert_ne!(file("seed0-fish-0000.png"), file("seed0-cats-0000.png"), "{model}: the class matters");
        // Without --class each in turn: the second picture is of the second class.
        place.ok(&format!("generate {model} -n 3 -o {model}/all"));
        place.refused(2, &format!("generate {model} --class bird"), &["bird", "a dog, cats, fish"]);
        place.ok(&format!("train {model} --steps 7"));
    }
    assert!(!place.path("generated").exists());
    place.train("plain", 1, "");
    place.refused(2, "generate plain --class cats", &["without classes", "--class"]);
}

/// The classes of a recipe are those of the pictures it was written for.
#[test]
fn classes_that_the_pictures_do_not_have_are_refused() {
    let place = Place::new();
    labelled(&place);
    place.ok(&format!("train pets {TINY} --model dcgan --steps 1 --out r"));
    place.refused(2, "train emoji:food --config r/run.toml --out other", &["class"]);
    let fewer = "--set model.classes=[\"cats\"]";
    place.refused(2, &format!("train pets {TINY} --model dcgan --steps 1 --out other {fewer}"), &["class"]);
    assert!(!place.path("other").exists());
    // No classes is always possible.
    place.ok(&format!("train pets {TINY} --model dcgan --steps 1 --out other --set model.classes=[]"));
}

#[test]
fn few_pictures_are_enough() {
    let place = Place::new();
    for (folder, count) in [("two", 2), ("nine", 9)] {
        place.pictures(folder, count, png::ColorType::Rgb);
        for model in ["auto", "dcgan"] {
            let run = format!("{folder}-{model}");
            place.ok(&format!(
                "train {folder} --size 16 --set model.stack.base=4 --model {model} --steps 3 --out {run}"
            ));
            place.ok(&format!("generate {run} -n 1"));
        }
    }
}
