//! `/v1/models`, and the families that models are of.

use crate::support::{Place, get, post};
use maliang::families::{self, About};
use serde_json::{Value, json};

#[tokio::test]
async fn a_model_is_taken_along_as_it_is() {
    let place = Place::new();
    let server = place.server();
    for name in ["pictures", "text"] {
        let answer = get(&server, &format!("/v1/models/{name}/file")).await;
        assert_eq!(answer.status, 200);
        assert!(answer.body == std::fs::read(place.model(name)).unwrap(), "{name} is another file");
        assert_eq!(answer.headers["content-length"], answer.body.len().to_string());
        let disposition = answer.headers["content-disposition"].to_str().unwrap();
        assert!(disposition.contains(&format!("\"{name}.safetensors\"")), "{disposition}");
    }
    get(&server, "/v1/models/none/file").await.problem(404);
}

#[tokio::test]
async fn families_are_those_of_the_list() {
    let place = Place::new();
    let server = place.server();
    let version = get(&server, "/version").await.json();
    let card = |about: &About| json!({"name": about.name, "makes": about.makes.name(), "summary": about.summary});
    assert_eq!(version["families"], Value::Array(families::all().map(card).collect()));
    let error = post(&server, "/v1/jobs", &json!({"source": "emoji:food", "model": "none"})).await.problem(400);
    assert_eq!(error["param"], "model");
    for about in families::all() {
        assert!(error["message"].as_str().unwrap().contains(about.name), "{error}");
    }
}
