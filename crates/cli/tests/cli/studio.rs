//! The studio in a headless browser, as people use it.

use crate::lookup::skip;
use crate::serve::{Served, knows};
use crate::support::Place;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Is there a browser, and what drives it? The test is skipped if not.
#[track_caller]
fn browser() -> bool {
    let find = "require('module').createRequire((process.env.MALIANG_TEST_NODE_MODULES ?? '.') + '/a.js').resolve('playwright-core')";
    let chromium = std::env::var_os("MALIANG_TEST_CHROMIUM").unwrap_or_else(|| "/usr/bin/chromium".into());
    if !Path::new(&chromium).exists() {
        skip("Chromium", "run .ci/run, or install it and let MALIANG_TEST_CHROMIUM name the program");
        return false;
    }
    if !knows(Command::new("node"), &["-e", find]) {
        let remedy = "run .ci/run, or npm install playwright-core and let MALIANG_TEST_NODE_MODULES name the folder of node_modules";
        skip("the package playwright-core of Node", remedy);
        return false;
    }
    true
}

/// Starts a walk through the studio; what it downloads and looks like goes to the directory.
fn walk(served: &Served, script: &str, arguments: &[&Path]) -> (Child, PathBuf) {
    let directory = served.place.path("browser");
    std::fs::create_dir(&directory).unwrap();
    let script = format!("{}/tests/clients/{script}", env!("CARGO_MANIFEST_DIR"));
    let url = format!("http://{}/", served.address);
    let mut node = Command::new("node");
    node.args([&script, &url]).arg(&directory).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    (node.spawn().expect("node starts"), directory)
}

/// What the walk saw, at its end.
fn seen(walk: Child, place: &Place) -> Value {
    let output = walk.wait_with_output().unwrap();
    if let Some(keep) = std::env::var_os("MALIANG_TEST_SCREENSHOTS") {
        std::fs::create_dir_all(&keep).unwrap();
        for (path, bytes) in place.files("browser") {
            std::fs::write(Path::new(&keep).join(path.file_name().unwrap()), bytes).unwrap();
        }
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_studio_works_in_a_browser() {
    if !browser() {
        return;
    }
    let served = Served::new("--log off");
    let more = served.place.path("more.txt");
    // So much that the fastest machine is still training when the walk comes to stop it.
    let verse =
        |i: usize| format!("the moon of night {} over river {}, seen from hill {}\n", i % 97, i % 89, i * i % 83);
    std::fs::write(&more, (0..20_000).map(verse).collect::<String>()).unwrap();
    let (walk, directory) = walk(&served, "studio.mjs", &[&more]);
    let seen = seen(walk, &served.place);
    assert_eq!(seen["errors"], json!([]));
    assert_eq!(seen["runs"], json!(["pictures", "poems"]));
    assert_eq!((&seen["slider moves"], &seen["at first"]), (&true.into(), &24.into()));
    assert_eq!((&seen["variations"], &seen["walk"]), (&12.into(), &16.into()));
    assert!(seen["checked"].as_str().unwrap().contains("Documents"), "{}", seen["checked"]);
    assert_eq!(seen["after training"], json!(["more-1", "pictures", "poems"]));
    assert_eq!(seen["recipe"], seen["restored recipe"]);
    for piece in seen["pieces"].as_array().unwrap() {
        assert!(piece.as_str().unwrap().starts_with("the moon"), "{piece}");
    }
    assert!(seen["label"].as_str().unwrap().contains("AI-generated"));
    assert_eq!((&seen["chinese"], &seen["chinese stays"]), (&"写作".into(), &"写作".into()));
    assert!(seen["overflow"].as_i64().unwrap() <= 0, "the page is wider than a phone");
    assert_eq!(seen["skip"], "skip");
    assert!(seen["loose pictures"].as_str().unwrap().contains('2'), "{}", seen["loose pictures"]);
    assert!(seen["documented"].as_array().unwrap().len() > 30, "{}", seen["documented"]);
    assert!(seen["request fields"].as_array().unwrap().contains(&"truncation".into()), "{}", seen["request fields"]);
    assert!(seen["docs overflow"].as_i64().unwrap() <= 0, "the API's page is wider than a phone");
    let label = maliang::generate::picture::read_label(&directory.join("downloaded.png")).unwrap().expect("a label");
    let recipe = label.recipe.expect("a recipe");
    assert_eq!((recipe.seed, recipe.index), (7, 2));
}

/// From pictures to a labelled picture, with the server started anew in the middle of training.
#[test]
#[cfg(unix)]
fn pictures_become_a_model_in_a_browser() {
    if !browser() {
        return;
    }
    let place = Place::new();
    std::fs::create_dir(place.path("runs")).unwrap();
    place.pictures("drawn", 80, png::ColorType::Rgb);
    let mut served = Served::at(place, "--log off");
    let (mut walk, directory) = walk(&served, "walk.mjs", &[&served.place.path("drawn")]);
    let wanted = directory.join("restart");
    while !wanted.exists() && walk.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    if wanted.exists() {
        let Served { place, running, address } = served;
        running.signal("TERM");
        assert_eq!(running.end().code, Some(0));
        let port = address.rsplit_once(':').unwrap().1;
        served = Served::at(place, &format!("--log off --port {port}"));
        std::fs::remove_file(&wanted).unwrap();
    }
    let seen = seen(walk, &served.place);
    println!("a picture follows its slider within {} ms", seen["milliseconds to move"]);
    assert_eq!(seen["errors"], json!([]));
    assert!(seen["plan"].as_str().unwrap().contains("80 pictures"), "{}", seen["plan"]);
    assert_eq!(
        seen["ways from nothing"],
        json!(["Use your own pictures or texts", "Train on built-in pictures, 5 minutes"])
    );
    for held in ["looks grow", "point comes back", "deleted", "restored"] {
        assert_eq!(seen[held], true, "{held}");
    }
    assert_eq!((&seen["variations"], &seen["walk"], &seen["directions"]), (&12.into(), &16.into(), &6.into()));
    assert!(seen["judged"].as_str().unwrap().contains("drawn-1"), "{}", seen["judged"]);
    assert!(seen["one step"].as_str().unwrap().starts_with("1 "), "{}", seen["one step"]);
    assert!(!seen["lab says"].as_str().unwrap().is_empty() && !seen["vae says"].as_str().unwrap().is_empty());
    let label = maliang::generate::picture::read_label(&directory.join("moved.png")).unwrap().expect("a label");
    assert!(label.recipe.expect("a recipe").z.is_some(), "a point, and no seed");
    served.place.ok("generate browser/model.safetensors -n 2 --out taken");
}
