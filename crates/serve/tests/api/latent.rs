//! `/v1/images/interpolations` and `/v1/images/projections`.

use crate::support::{Place, get, pixels, png, post};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maliang::generate::picture::encode_real_png;
use maliang::generate::sampler::Sampler;
use maliang::picture::Picture;
use serde_json::json;

const WALK: &str = "/v1/images/interpolations";
const FIND: &str = "/v1/images/projections";

#[tokio::test]
async fn a_walk_begins_and_ends_where_it_is_told_to() {
    let place = Place::new();
    let server = place.server();
    let (sampler, _) = Sampler::open(&place.model("pictures")).unwrap();
    let anchors: Vec<Vec<f32>> = (0..3).map(|i| sampler.latent(1, i, 1.0)).collect();
    let body = json!({"model": "pictures", "through": anchors, "n": 5, "class": "dog", "with_latent": true});
    let answer = post(&server, WALK, &body).await.json();
    let images = answer["data"].as_array().unwrap();
    assert_eq!(images.len(), 5);
    let at = |i: usize| serde_json::from_value::<Vec<f32>>(images[i]["latent"].clone()).unwrap();
    for (frame, anchor) in [(0, 0), (2, 1), (4, 2)] {
        for (a, b) in at(frame).iter().zip(&anchors[anchor]) {
            assert!((a - b).abs() < 1e-5, "{a} is not {b}");
        }
    }
    assert_ne!(at(1), at(2));
    assert!(images.iter().all(|image| image["class"] == "dog"));
    // The same point gives the same picture, however it was asked for.
    let body = json!({"model": "pictures", "latent": [at(1)], "class": "dog"});
    let same = post(&server, "/v1/images/generations", &body).await.json();
    assert_eq!(pixels(&png(&same["data"][0])), pixels(&png(&images[1])));
    for (body, param) in [
        (json!({"model": "pictures", "through": [anchors[0]]}), "through"),
        (json!({"model": "pictures", "through": [[1.0], [2.0]]}), "through"),
        (json!({"model": "pictures", "through": anchors, "n": 1}), "n"),
        (json!({"model": "pictures", "through": anchors, "class": "cow"}), "class"),
        (json!({"model": "text", "through": anchors}), "model"),
    ] {
        assert_eq!(post(&server, WALK, &body).await.problem(400)["param"], param, "{body}");
    }
}

#[tokio::test]
async fn pictures_are_found_in_a_model() {
    let place = Place::new();
    let server = place.server();
    // One of its own: the label says where it lies.
    let made = json!({"model": "pictures", "seed": 5, "with_latent": true});
    let own = post(&server, "/v1/images/generations", &made).await.json()["data"][0].clone();
    let found = post(&server, FIND, &json!({"model": "pictures", "image": own["b64_json"]})).await.json();
    assert_eq!((&found["method"], &found["levels"]), (&json!("label"), &json!(0.0)));
    assert_eq!(found["image"]["latent"], own["latent"]);
    // A foreign one, of another size.
    let levels: Vec<u8> = (0..40 * 30).map(|i| (i * 7 % 256) as u8).collect();
    let foreign = Picture { width: 40, height: 30, channels: 1, pixels: levels };
    let file = BASE64_STANDARD.encode(encode_real_png(&foreign).unwrap());
    let body = json!({"model": "pictures", "image": file, "class": "cat"});
    let found = post(&server, FIND, &body).await.json();
    assert_eq!((&found["method"], &found["image"]["class"]), (&json!("search"), &json!("cat")));
    assert!(found["levels"].as_f64().unwrap() > 0.0);
    // What was found is that picture.
    let body = json!({"model": "pictures", "image": found["image"]["b64_json"]});
    let again = post(&server, FIND, &body).await.json();
    assert_eq!(again["image"]["latent"], found["image"]["latent"]);
    for (body, param) in [
        (json!({"model": "pictures", "image": "no base64!"}), "image"),
        (json!({"model": "pictures", "image": BASE64_STANDARD.encode("no picture")}), "image"),
        (json!({"model": "pictures", "image": file, "class": "cow"}), "class"),
        (json!({"model": "text", "image": file}), "model"),
    ] {
        assert_eq!(post(&server, FIND, &body).await.problem(400)["param"], param, "{body}");
    }
}

#[tokio::test]
async fn directions_are_unit_vectors_that_change_pictures() {
    let place = Place::new();
    let server = place.server();
    let found = get(&server, "/v1/models/pictures/directions").await.json();
    assert_eq!(found["order"], "eigenvalue");
    let list = found["data"].as_array().unwrap();
    assert_eq!(list.len(), 6, "as many as the latent vector has numbers");
    for direction in list {
        let vector: Vec<f64> = serde_json::from_value(direction["vector"].clone()).unwrap();
        let length: f64 = vector.iter().map(|v| v * v).sum();
        assert!((length - 1.0).abs() < 1e-4, "{length}");
        assert!(direction["effect"].as_f64().unwrap() > 0.0);
    }
    let weights: Vec<f64> = list.iter().map(|direction| direction["weight"].as_f64().unwrap()).collect();
    assert!(weights.is_sorted_by(|a, b| a >= b), "{weights:?}");
    assert_eq!(get(&server, "/v1/models/pictures/directions").await.json(), found);
    assert_eq!(get(&server, "/v1/models/text/directions").await.problem(400)["param"], "id");
}
