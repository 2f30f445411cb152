//! Runs and models that the program made before its families became folders: they open, make the same bytes, and go on to the same
//! bytes. `tests/fixtures/before.py` made them.

use crate::support::Place;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::Cursor;
use std::path::Path;

const ZIP: &[u8] = include_bytes!("../fixtures/before.zip");

/// A place with all of it unpacked, and what is expected of it.
fn before() -> (Place, Value) {
    let place = Place::new();
    zip::ZipArchive::new(Cursor::new(ZIP)).unwrap().extract(place.path("")).unwrap();
    let expected = serde_json::from_slice(&place.bytes("expected.json")).unwrap();
    (place, expected)
}

/// What the processor multiplies with, as `before.py` tells it: other instructions round otherwise.
fn vectors() -> &'static str {
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    ["avx512f", "avx2"]
        .into_iter()
        .find(|name| flags.contains(&format!(" {name}")))
        .unwrap_or("other")
        .trim_end_matches('f')
}

#[track_caller]
fn same(found: &Path, expected: &Value, exactly: bool, what: &str) {
    let bytes = std::fs::read(found).unwrap_or_else(|error| panic!("{what}: {error}"));
    let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!exactly || expected == &Value::from(hash), "{what}: other bytes");
}

/// One family: `generate` from its model, and going on with its run.
fn goes_on(family: &str) {
    let (place, expected) = before();
    let exactly = vectors() == expected["vectors"];
    if !exactly {
        crate::lookup::skip("AVX-512, with which the fixture was made", "");
    }
    let expected = &expected["families"][family];
    let text = if ["gpt", "lstm"].contains(&family) { "--max-tokens 40" } else { "" };
    let run = format!("{family}/run");
    let is_run = place.path(&run).is_dir();
    let model = if is_run { run.clone() } else { format!("{family}/model.safetensors") };
    place.ok(&format!("generate {model} -n 3 --seed 7 -o made {text}"));
    for (name, hash) in expected["generated"].as_object().unwrap() {
        same(&place.path(format!("made/{name}")), hash, exactly, &format!("{family}: {name}"));
    }
    let end = expected["end"].as_u64().unwrap();
    if is_run {
        place.ok(&format!("train {run} --steps {end}"));
        let settings = String::from_utf8(place.bytes(format!("{run}/run.toml"))).unwrap();
        let others = ["[gan]", "[vae]"].into_iter().filter(|table| settings.contains(table)).count();
        assert_eq!(others, usize::from(text.is_empty()), "{family}: only the tables that it reads\n{settings}");
    } else {
        let Some(weights) = crate::lookup::real(crate::weights::WEIGHTS) else { return };
        place.ok(&format!("weights add {}", weights.display()));
        let words: Vec<&str> = expected["words"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        place.ok(&format!(
            "train discs --model {family} --out {run} --steps {end} --seed 3 --set train.look_every=2 --precision f32 {}",
            words.join(" ")
        ));
    }
    let last = place.path(format!("{run}/checkpoints/{end:08}"));
    let state = &expected["state"];
    same(&last.join("state.safetensors"), state, exactly, &format!("{family}: the state after {end} steps"));
    // A new run's model file names its data by when the pictures were written.
    same(&last.join("model.safetensors"), &expected["model"], exactly && is_run, &format!("{family}: the model"));
}

#[test]
fn a_dcgan_of_before() {
    goes_on("dcgan");
}

#[test]
fn a_fastgan_of_before() {
    goes_on("fastgan");
}

#[test]
fn a_projected_gan_of_before() {
    goes_on("projected");
}

#[test]
fn a_vae_of_before() {
    goes_on("vae");
}

#[test]
fn a_gpt_of_before() {
    goes_on("gpt");
}

#[test]
fn an_lstm_of_before() {
    goes_on("lstm");
}
