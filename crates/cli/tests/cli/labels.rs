//! The label of generated files, read back with nothing of ours: raw chunks and plain text search.

use crate::support::{Place, TINY};
use serde_json::Value;
use std::path::{Path, PathBuf};

const SOURCE_TYPE: &str = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia";

/// The XMP packet of a PNG: the text of its iTXt chunk of that name.
fn png_packet(path: &Path) -> Option<String> {
    let mut reader =
        png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap())).read_info().unwrap();
    reader.finish().unwrap();
    let chunks = reader.info().utf8_text.clone();
    let packet = chunks.iter().find(|chunk| chunk.keyword == "XML:com.adobe.xmp")?;
    Some(packet.get_text().unwrap())
}

/// The XMP packet of a GIF: what stands between its application identifier and the magic trailer (XMP specification 3,
/// 1.1.2).
fn gif_packet(path: &Path) -> Option<String> {
    let bytes = std::fs::read(path).unwrap();
    let find = |what: &[u8], from: usize| bytes[from..].windows(what.len()).position(|w| w == what).map(|at| at + from);
    let start = find(b"\x21\xff\x0bXMP DataXMP", 0)? + 14;
    let end = find(&[1, 0xff, 0xfe, 0xfd], start)?;
    // The trailer counts down to zero and ends the block, so that a reader that knows nothing of XMP skips it.
    assert!((0..256).all(|i| bytes[end + 1 + i] == (255 - i) as u8) && bytes[end + 257] == 0);
    Some(String::from_utf8(bytes[start..end].to_vec()).unwrap())
}

/// The text of an element or attribute of the packet.
fn value(packet: &str, name: &str) -> String {
    let element = packet.split_once(&format!("<{name}>")).map(|(_, rest)| rest.split_once("</").unwrap().0);
    let attribute = || packet.split_once(&format!("{name}=\"")).map(|(_, rest)| rest.split_once('"').unwrap().0);
    let text = element.or_else(attribute).unwrap_or_else(|| panic!("{name} in {packet}"));
    unescape(text)
}

fn unescape(xml: &str) -> String {
    xml.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&apos;", "'").replace("&amp;", "&")
}

/// Checks everything that a label must say, and returns the label and the recipe.
#[track_caller]
fn check(path: &Path, hash: &str, seed: u64) -> (Value, Value) {
    let gif = path.extension().is_some_and(|e| e == "gif");
    let packet = if gif { gif_packet(path) } else { png_packet(path) };
    let packet = packet.unwrap_or_else(|| panic!("{} has no label", path.display()));
    assert!(packet.contains("http://www.tc260.org.cn/ns/AIGC/1.0/"));
    assert_eq!(value(&packet, "Iptc4xmpExt:DigitalSourceType"), SOURCE_TYPE);
    let label: Value = serde_json::from_str(&value(&packet, "TC260:AIGC")).unwrap();
    let keys: Vec<&str> = label.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected =
        ["Label", "ContentProducer", "ProduceID", "ReservedCode1", "ContentPropagator", "PropagateID", "ReservedCode2"];
    expected.sort_unstable(); // serde_json sorts the keys it reads
    assert_eq!(keys, expected);
    assert_eq!(label["Label"], "1");
    let start = packet.find("{&quot;model&quot;").unwrap_or_else(|| panic!("a recipe in {packet}"));
    let text = &packet[start..start + packet[start..].find(['<', '"']).unwrap()];
    let recipe: Value = serde_json::from_str(&unescape(text)).unwrap();
    assert_eq!(recipe["model_hash"], hash, "{}", path.display());
    assert_eq!(recipe["seed"], seed);
    let id = format!("{hash}-{seed}-{}", recipe["index"]);
    assert_eq!(label["ProduceID"], id.as_str());
    (label, recipe)
}

/// BLAKE3 of the model that `generate` uses for a run.
fn hash(place: &Place, run: &str) -> String {
    let model = place.path(place.pointed(run, "best").join("model.safetensors"));
    maliang::files::blake3_file(&model).unwrap()
}

#[test]
fn every_generated_file_is_labelled() {
    let place = Place::new();
    place.train("r", 5, "");
    let hash = hash(&place, "r");
    place.ok("generate r -n 2 --seed 9 --truncation 0.5 -o a");
    place.ok("generate r -n 2 --seed 9 --visible-label -o a");
    place.ok("generate r -n 2 --seed 9 --interpolate 2 -o a");
    place.ok("generate r -n 2 --seed 9 --interpolate 2 -o a --format png");
    let mut files: Vec<PathBuf> = place.files("a").into_keys().collect();
    files.sort();
    assert_eq!(files.len(), 3 + 3 + 1 + 4, "{files:?}");
    for path in &files {
        let (label, recipe) = check(path, &hash, 9);
        assert!(label["ContentProducer"].as_str().unwrap().starts_with("Maliang "), "never an invented code");
        let truncated = path.to_str().unwrap().contains("-t0.5");
        assert_eq!(recipe["truncation"], if truncated { 0.5 } else { 1.0 });
    }
    let (_, second) = check(&place.path("a/seed9-0001.png"), &hash, 9);
    assert_eq!((&second["index"], &second["class"]), (&1.into(), &Value::Null));
}

#[test]
fn grids_of_training_are_labelled_and_real_pictures_are_not() {
    let place = Place::new();
    place.train("r", 5, "");
    for step in ["00000000", "00000005"] {
        let packet = png_packet(&place.path(format!("r/samples/{step}.png"))).expect("a label");
        assert!(packet.contains(SOURCE_TYPE) && packet.contains("TC260:AIGC"));
    }
    let last = place.path("r/checkpoints/00000005/model.safetensors");
    check(&place.path("r/samples/00000005.png"), &maliang::files::blake3_file(&last).unwrap(), 0);
    assert_eq!(png_packet(&place.path("r/reals.png")), None, "photographs must not be called AI-generated");
}

#[test]
fn the_class_and_the_producer_are_in_the_label() {
    let place = Place::new();
    for class in ["<cats> & \"dogs\"", "fish"] {
        place.pictures(&format!("pets/{class}"), 20, png::ColorType::Rgb);
    }
    place.ok(&format!("train pets {TINY} --model dcgan --steps 1 --out r"));
    let hash = hash(&place, "r");
    let code = "1234567890ABCDEFGHIJabcdefg";
    place.ok(&format!("generate r -n 1 --class fish --producer {code} -o a"));
    let (label, recipe) = check(&place.path("a/seed0-fish-0000.png"), &hash, 0);
    assert_eq!((&label["ContentProducer"], &recipe["class"]), (&code.into(), &"fish".into()));
    for bad in ["123", "1234567890ABCDEFGHIJabcdef!", "1234567890ABCDEFGHIJabcdefgh"] {
        place.refused(2, &format!("generate r -n 1 --producer {bad} -o b"), &["27", bad]);
    }
    assert!(!place.path("b").exists());
    place.ok("generate r -n 2 -o c");
    let names: Vec<_> =
        (0..2).map(|i| check(&place.path(format!("c/seed0-000{i}.png")), &hash, 0).1["class"].clone()).collect();
    assert_eq!(names, ["<cats> & \"dogs\"", "fish"], "each class in turn");
}
