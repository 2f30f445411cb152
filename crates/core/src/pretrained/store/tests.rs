use super::*;
use crate::features::Extractor;
use crate::pretrained::efficientnet::tests::{random_weights, real};
use crate::pretrained::efficientnet::{golden, recognise};
use crate::pretrained::inception::tests::weights_by_formula;
use crate::weights::HostTensor;

/// A randomly initialised timm model: names, shapes, and features with weights by formula (`tests/golden/efficientnet.py`).
const TIMM: &str = include_str!("../../../tests/golden/efficientnet_timm.json");

#[derive(serde::Deserialize)]
struct Timm {
    shapes: std::collections::BTreeMap<String, Vec<usize>>,
    features: Vec<f32>,
}

/// As the script makes them.
fn by_formula(number: usize, name: &str, shape: &[usize]) -> HostTensor {
    let (mean, deviation) = match name.rsplit('.').next() {
        Some("weight") if shape.len() == 4 => (0.0, (4.0 / (shape[1] * shape[2] * shape[3]) as f32).sqrt()),
        Some("weight" | "running_var") => (1.0, 0.3),
        _ => (0.0, 0.3),
    };
    let wave = |i: usize| (i as f64 * 0.37 + number as f64).sin() as f32;
    let data = (0..shape.iter().product()).map(|i| mean + deviation * wave(i)).collect();
    HostTensor { shape: shape.to_vec(), data }
}

#[test]
fn timm_names_every_tensor_and_computes_the_same() {
    let timm: Timm = serde_json::from_str(TIMM).unwrap();
    let tensor =
        |(number, (name, shape)): (usize, (&String, &Vec<usize>))| (name.clone(), by_formula(number, name, shape));
    let mut theirs: Weights = timm.shapes.iter().enumerate().map(tensor).collect();
    let count = theirs.len();
    let mut ours = recognise(&mut theirs).unwrap().expect("timm's names are known");
    assert_eq!(ours.len(), count, "every tensor of theirs is used");
    let network = EfficientNetLite0::new(&mut ours, &device::cpu()).unwrap();
    assert!(ours.is_empty() && !network.is_genuine());
    let features = network.extract(golden::picture());
    let largest = timm.features.iter().fold(0.0f32, |a, b| a.max(b.abs()));
    assert!(largest > 0.1);
    for (found, expected) in features[0].iter().step_by(32).zip(&timm.features) {
        assert!((found - expected).abs() < 1e-3 * largest, "{found} {expected}");
    }
}

#[test]
fn wrong_weights_are_refused_and_nothing_is_stored() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::new(place.path().join("weights"));
    let file = place.path().join("given");
    let refused = |weights: &Weights, words: &str| {
        weights::save(&file, weights, &Metadata::new()).unwrap();
        let error = store.add(&file).unwrap_err();
        assert!(error.message.contains(words) && error.message.contains("given"), "{error}");
    };
    refused(&random_weights(1), "not the features");
    let mut short = random_weights(1);
    short.remove("_bn1.running_var");
    refused(&short, "_bn1.running_var");
    refused(&Weights::new(), "no network");
    std::fs::write(&file, "GIF89a, no weights at all").unwrap();
    assert!(store.add(&file).unwrap_err().message.contains("neither"));
    assert!(store.list().is_empty() && !store.directory().exists());
    assert!(store.efficientnet_lite0(&device::cpu()).unwrap().is_none());
    assert!(store.inception(&device::cpu()).unwrap().is_none());
}

#[test]
fn inception_is_kept_and_says_that_its_numbers_were_not_checked() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::new(place.path().join("weights"));
    let file = place.path().join("given");
    let mut weights = weights_by_formula();
    weights::save(&file, &weights, &Metadata::new()).unwrap();
    let installed = store.add(&file).unwrap();
    assert_eq!((installed.name, installed.published), (INCEPTION, false));
    assert_eq!(store.list(), std::slice::from_ref(&installed));
    // Judging and training through EfficientNet want that one, and not any.
    assert!(store.has(INCEPTION) && !store.has(EFFICIENTNET_LITE0));
    assert_eq!(crate::judge::best_extractor(&store).unwrap().name(), "randomconv");
    assert_eq!(store.inception(&device::cpu()).unwrap().expect("installed").name(), "inception_unverified");
    assert_eq!(store.add(&installed.path).unwrap(), installed, "what was stored can be given again");

    // A file that only claims to be checked is not believed.
    let claim = Metadata::from([(PUBLISHED.into(), "true".into())]);
    weights::save(&file, &weights, &claim).unwrap();
    assert!(!store.add(&file).unwrap().published);
    weights::save(&installed.path, &weights, &claim).unwrap();
    assert_eq!(store.inception(&device::cpu()).unwrap().expect("installed").name(), "inception");

    weights.get_mut("Mixed_6b.branch7x7_2.conv.weight").unwrap().shape = vec![128, 128, 7, 1];
    weights::save(&file, &weights, &Metadata::new()).unwrap();
    let error = store.add(&file).unwrap_err();
    assert!(error.message.contains("given") && error.message.contains("[128, 128, 7, 1]"), "{error}");
    assert!(error.hint.unwrap().contains("torchvision"));
}

#[test]
fn real_weights_are_checked_stored_and_opened() {
    let Some(file) = real("efficientnet-lite0.safetensors") else { return };
    let place = tempfile::tempdir().unwrap();
    let store = Store::new(place.path().join("a").join("weights"));
    let installed = store.add(&file).unwrap();
    assert_eq!(store.list(), std::slice::from_ref(&installed));
    assert_eq!(installed.name, EFFICIENTNET_LITE0);
    assert!(store.efficientnet_lite0(&device::cpu()).unwrap().expect("installed").is_genuine());
    // What was stored can be given again.
    assert_eq!(Store::new(place.path().join("b")).add(&installed.path).unwrap().bytes, installed.bytes);
}
