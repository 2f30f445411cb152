//! Which models there are.

use crate::support::{Place, get, post};
use maliang_serve::{Keys, Server};
use serde_json::json;

#[tokio::test]
async fn models_are_listed_and_described() {
    let place = Place::new();
    let server = place.server();
    let list = get(&server, "/v1/models").await.json();
    let names: Vec<_> = list["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert_eq!((names, &list["object"]), (vec!["pictures", "text"], &json!("list")));
    let model = get(&server, "/v1/models/pictures").await.json();
    assert_eq!(model["details"]["size"], "16x16");
    assert_eq!(model["details"]["classes"], json!(["cat", "dog"]));
    assert_eq!(model["details"]["latent"], 6);
    assert_eq!((&model["object"], &model["owned_by"]), (&json!("model"), &json!("maliang")));
    assert_eq!(get(&server, "/v1/models/text").await.json()["details"]["context"], 16);
    get(&server, "/v1/models/none").await.problem(404);
    // A model that came a moment after the list was made is found at once.
    place.pictures("late", 3);
    assert_eq!(get(&server, "/v1/models/late").await.json()["id"], "late");
}

#[tokio::test]
async fn a_replaced_file_serves_only_when_it_is_whole() {
    let place = Place::new();
    let server = place.server();
    let body = json!({"model": "pictures", "seed": 1});
    let hash = |answer: crate::support::Answer| answer.json()["model_hash"].as_str().unwrap().to_owned();
    let first = hash(post(&server, "/v1/images/generations", &body).await);
    let whole = std::fs::read(place.model("pictures")).unwrap();
    std::fs::write(place.model("pictures"), &whole[..whole.len() / 2]).unwrap();
    assert_eq!(hash(post(&server, "/v1/images/generations", &body).await), first);
    place.pictures("pictures", 9);
    assert_ne!(hash(post(&server, "/v1/images/generations", &body).await), first);
}

#[tokio::test]
async fn models_make_room_for_each_other() {
    let place = Place::new();
    place.pictures("other", 2);
    let size = std::fs::metadata(place.model("pictures")).unwrap().len();
    let settings = maliang_serve::Settings { memory: size * 3, ..place.settings() };
    let server = Server::new(settings, Keys::default()).unwrap();
    for model in ["pictures", "other", "pictures"] {
        post(&server, "/v1/images/generations", &json!({"model": model})).await.json();
        assert_eq!(server.shelf.count(), 1);
    }
}
