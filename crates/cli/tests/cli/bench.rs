//! The shape of what `bench` says, never the speed: that belongs to the machine.

use crate::support::Place;
use serde_json::Value;
use std::collections::BTreeSet;

/// The answer of `bench --json` for these entries.
#[track_caller]
fn measured(place: &Place, only: &str) -> Value {
    let out = place.ok(&format!("bench --json --seconds 0.01 --only {only}")).out;
    assert_eq!(out.lines().count(), 1, "one object, on one line: {out}");
    serde_json::from_str(&out).expect("stdout is JSON")
}

/// Every result, and that it has a name, exactly these keys beside it, and positive numbers.
#[track_caller]
fn has(answer: &Value, names: &str, keys: &[&str]) -> Vec<Value> {
    let wanted: BTreeSet<&str> = keys.iter().copied().chain(["name"]).collect();
    let results = answer["results"].as_array().expect("results");
    let named = |row: &&Value| row["name"].as_str().expect("a name").starts_with(names);
    let found: Vec<Value> = results.iter().filter(named).cloned().collect();
    assert!(!found.is_empty(), "no {names} in {answer}");
    for row in &found {
        let row = row.as_object().unwrap();
        assert_eq!(row.keys().map(String::as_str).collect::<BTreeSet<_>>(), wanted);
        for (key, value) in row.iter().filter(|(key, _)| !["name", "precision"].contains(&key.as_str())) {
            // Memory is not told everywhere.
            let unknown = key == "peak_memory_bytes" && cfg!(not(target_os = "linux")) && value.is_null();
            assert!(unknown || value.as_f64().is_some_and(|v| v > 0.0), "{key} in {row:?}");
        }
    }
    found
}

#[test]
fn the_machine_and_its_operations() {
    let place = Place::new();
    let answer = measured(&place, "gemm,ops");
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&answer), ["machine", "results", "version"]);
    assert_eq!(keys(&answer["machine"]), ["memory_bytes", "processor", "threads", "vectors"]);
    assert_eq!(answer["version"], env!("CARGO_PKG_VERSION"));
    let threads = answer["machine"]["threads"].as_u64().expect("a number of threads");

    let peaks = has(&answer, "gemm", &["threads", "gigaflops"]);
    let of: Vec<_> = peaks.iter().map(|row| row["threads"].as_u64().unwrap()).collect();
    assert_eq!(of, if threads > 1 { vec![1, threads] } else { vec![1] });
    let convolutions = has(&answer, "conv/", &["precision", "gigaflops", "share_of_peak"]);
    assert_eq!(convolutions.len(), 6 * 3 + 1);
    assert_eq!(convolutions[18]["name"], "conv/sum");
    let names = ["batch_norm/forward", "batch_norm/backward", "adam"];
    assert!(names.iter().all(|name| has(&answer, name, &["gigabytes_per_second"]).len() == 1));
    assert_eq!(answer["results"].as_array().unwrap().len(), of.len() + 19 + 3);
}

#[test]
fn training_generating_and_starting() {
    let place = Place::new();
    let training = ["precision", "batch", "images_per_second", "ms_per_step", "peak_memory_bytes"];
    let row = &has(&measured(&place, "vae-64"), "vae-64", &training)[0];
    assert_eq!((&row["precision"], &row["batch"]), (&"f32".into(), &64.into()));
    let (rate, step) = (row["images_per_second"].as_f64().unwrap(), row["ms_per_step"].as_f64().unwrap());
    assert!((rate * step / 64e3 - 1.0).abs() < 0.01, "the two say the same: {row}");

    let answer = measured(&place, "cold-start,generate");
    assert_eq!(has(&answer, "generate", &["precision", "batch", "images_per_second"])[0]["batch"], 64);
    has(&answer, "cold-start", &["seconds"]);
}

#[test]
fn text_models_and_their_operations() {
    let place = Place::new();
    let training = ["precision", "batch", "tokens_per_second", "ms_per_step", "peak_memory_bytes"];
    let answer = measured(&place, "gpt-small,write");
    has(&answer, "write", &["tokens_per_second"]);
    let row = &has(&answer, "gpt-small", &training)[0];
    assert_eq!((&row["precision"], &row["batch"]), (&"f32".into(), &12.into()));
    let (rate, step) = (row["tokens_per_second"].as_f64().unwrap(), row["ms_per_step"].as_f64().unwrap());
    assert!((rate * step / (12.0 * 64e3) - 1.0).abs() < 0.01, "the two say the same: {row}");

    let answer = measured(&place, "text-ops");
    assert_eq!(has(&answer, "product/", &["precision", "gigaflops", "share_of_peak"]).len(), 4 * 3 + 1);
    assert_eq!(has(&answer, "attention/", &["precision", "gigaflops", "share_of_peak"]).len(), 2);
    has(&answer, "cross_entropy", &["gigabytes_per_second"]);
}

#[test]
fn memory_is_that_of_the_training_alone() {
    let answer = measured(&Place::new(), "memory,dcgan-64");
    let training = &answer["results"][0];
    assert_eq!(training["name"], "dcgan-64");
    assert_eq!(has(&answer, "memory", &["peak_memory_bytes"])[0]["peak_memory_bytes"], training["peak_memory_bytes"]);
}

#[test]
fn the_table_and_the_file() {
    let place = Place::new();
    let answer = place.ok("bench --seconds 0.01 --only ops,cold-start --output speed.json");
    let lines: Vec<&str> = answer.out.lines().collect();
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{}", answer.out);
    for word in ["threads", "conv/3x64/forward f32", "% of the peak", "GB/s", "cold-start"] {
        assert!(answer.out.contains(word), "{word} in {}", answer.out);
    }
    let file: Value = serde_json::from_slice(&place.bytes("speed.json")).unwrap();
    assert_eq!(file["results"].as_array().unwrap().len(), 19 + 3 + 1);
    assert_eq!(answer.err, "", "progress is for terminals");
}

#[test]
fn what_cannot_be_measured() {
    let place = Place::new();
    let names =
        ["gemm", "ops", "conv", "text-ops", "dcgan-64", "vae-64", "gpt-small", "gpt", "lstm", "generate", "write"];
    place.refused(2, "bench --only gemm,speed", &[&["\"speed\""], &names[..]].concat());
    place.refused(2, "bench --only gemm --seconds 0", &["--seconds 0"]);
    place.refused(2, "bench --only gemm --seconds nan", &["--seconds"]);
    assert_eq!(place.run("bench --precision f8").code, Some(2));
}
