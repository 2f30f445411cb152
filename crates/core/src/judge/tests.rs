//! Against `tests/golden/judge.json`, which `judge.py` computes from the papers in 64 bits.

use super::*;
use serde_json::Value;

fn set(case: &Value, name: &str) -> Features {
    let values = case[name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
    Features::from_values(case["d"].as_u64().unwrap() as usize, values)
}

fn golden() -> Vec<Value> {
    serde_json::from_str(include_str!("../../tests/golden/judge.json")).unwrap()
}

#[track_caller]
fn close(found: f64, expected: &Value, what: &str) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{what}: {found}, not {expected}");
}

#[test]
fn kid_and_frechet_distance_of_the_papers() {
    for case in golden() {
        let (real, fake) = (set(&case, "real"), set(&case, "fake"));
        close(kid(&real, &fake), &case["kid"], "kid");
        close(frechet(&real, &fake), &case["frechet"], "frechet");
    }
}

#[test]
fn precision_recall_density_coverage_of_the_papers() {
    for case in golden() {
        let found = prdc(&set(&case, "real"), &set(&case, "fake"), 5);
        let Prdc { precision, recall, density, coverage } = found;
        for (name, found) in
            [("precision", precision), ("recall", recall), ("density", density), ("coverage", coverage)]
        {
            close(found.value, &case["prdc"][name], name);
        }
    }
}

#[test]
fn an_unknown_extractor_is_named() {
    let error = extractor("resnet50").err().unwrap();
    assert!(error.message.contains("resnet50") && error.hint.unwrap().contains("randomconv"));
    assert_eq!(extractor("randomconv").unwrap().len(), RandomFeatures::LENGTH);
}
