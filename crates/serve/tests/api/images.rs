//! `/v1/images/generations`.

use crate::support::{Answer, Place, get, pixels, png, post, post_bytes};
use maliang::generate::picture::read_label;
use maliang::generate::sampler::Sampler;
use maliang_serve::{Keys, Server, Settings};
use serde_json::{Value, json};

const PATH: &str = "/v1/images/generations";

#[tokio::test]
async fn pictures_are_those_of_the_command_line_and_labelled() {
    let place = Place::new();
    let server = place.server();
    let body = json!({"model": "pictures", "n": 3, "seed": 7, "size": "16x16", "truncation": 0.5});
    let answer = post(&server, PATH, &body).await.json();
    let (sampler, _) = Sampler::open(&place.model("pictures")).unwrap();
    assert_eq!(answer["model_hash"], sampler.hash);
    assert_eq!((&answer["size"], &answer["output_format"]), (&json!("16x16"), &json!("png")));
    for (index, image) in answer["data"].as_array().unwrap().iter().enumerate() {
        let file = png(image);
        let index = index as u64;
        let expected = &sampler.pictures(&[sampler.latent(7, index, 0.5)], &[sampler.class_of(index)])[0];
        assert_eq!(pixels(&file), expected.pixels);
        let path = place.path("a.png");
        std::fs::write(&path, &file).unwrap();
        let recipe = read_label(&path).unwrap().expect("a label").recipe.expect("a recipe");
        assert_eq!((recipe.seed, recipe.index, recipe.truncation), (7, index, 0.5));
        assert_eq!(recipe.class.as_deref(), Some(["cat", "dog", "cat"][index as usize]));
        assert_eq!(image["class"], recipe.class.unwrap());
    }
}

#[tokio::test]
async fn the_prompt_is_a_class_or_nothing() {
    let place = Place::new();
    let server = place.server();
    let classes = |answer: Answer| -> Vec<String> {
        let data = answer.json()["data"].clone();
        data.as_array().unwrap().iter().map(|image| image["class"].as_str().unwrap().to_owned()).collect()
    };
    let ask = |body: Value| {
        let server = server.clone();
        async move { post(&server, PATH, &body).await }
    };
    assert_eq!(classes(ask(json!({"model": "pictures", "n": 2, "prompt": "Dog"})).await), ["dog", "dog"]);
    assert_eq!(classes(ask(json!({"model": "pictures", "n": 2, "prompt": ""})).await), ["cat", "dog"]);
    assert_eq!(classes(ask(json!({"model": "pictures", "class": "cat"})).await), ["cat"]);
    let error = ask(json!({"model": "pictures", "prompt": "a red car"})).await.problem(400);
    assert_eq!(error["param"], "prompt");
    assert!(error["message"].as_str().unwrap().contains("cat, dog"), "{error}");
    assert_eq!(
        ask(json!({"model": "pictures", "prompt": "cat", "class": "dog"})).await.problem(400)["param"],
        "prompt"
    );
}

#[tokio::test]
async fn links_give_the_same_bytes_and_cannot_be_made_up() {
    let place = Place::new();
    let server = place.server();
    let mut body = json!({"model": "pictures", "n": 2, "seed": 3, "class": "dog", "response_format": "url"});
    let links = post(&server, PATH, &body).await.json();
    body["response_format"] = json!("b64_json");
    let files = post(&server, PATH, &body).await.json();
    let url = links["data"][1]["url"].as_str().unwrap();
    let path = url.strip_prefix("http://localhost").unwrap();
    let answer = get(&server, path).await;
    assert_eq!(answer.headers["content-type"], "image/png");
    assert_eq!(answer.body, png(&files["data"][1]));
    get(&server, &path.replace("index=1", "index=0")).await.problem(400);
    get(&server, path.split("&signature").next().unwrap()).await.problem(400);
    get(&server, "/v1/images/made").await.problem(400);
    place.pictures("pictures", 1);
    get(&server, path).await.problem(410);
}

#[tokio::test]
async fn links_have_the_public_address() {
    let place = Place::new();
    let settings = Settings { public: Some("https://pictures.example.org/made".into()), ..place.settings() };
    let server = Server::new(settings, Keys::default()).unwrap();
    let links = post(&server, PATH, &json!({"model": "pictures", "response_format": "url"})).await.json();
    assert!(links["data"][0]["url"].as_str().unwrap().starts_with("https://pictures.example.org/made/v1/images/made?"));
    for bad in ["pictures.example.org", "https://a/", "https://", "ftp://a"] {
        let settings = Settings { public: Some(bad.into()), ..place.settings() };
        assert!(Server::new(settings, Keys::default()).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn what_says_nothing_is_tolerated_and_what_cannot_be_done_is_named() {
    let place = Place::new();
    let server = place.server();
    let plain = json!({"model": "pictures", "seed": 3});
    let wanted = post(&server, PATH, &plain).await.json()["data"].clone();
    for (field, value) in [
        ("n", json!(1.0)),
        ("n", json!(null)),
        ("size", json!(null)),
        ("response_format", json!(null)),
        ("with_latent", json!(null)),
        ("quality", json!("hd")),
        ("style", json!("vivid")),
        ("background", json!("auto")),
        ("prompt", json!(null)),
    ] {
        let mut body = plain.clone();
        body[field] = value;
        assert_eq!(post(&server, PATH, &body).await.json()["data"], wanted, "{body}");
    }
    let random = post(&server, PATH, &json!({"model": "pictures", "seed": -1})).await.json();
    assert!(random["data"][0]["seed"].is_u64());
    for (field, value) in [
        ("quality", json!("perfect")),
        ("background", json!("transparent")),
        ("n", json!(1.5)),
        ("colour", json!(null)),
    ] {
        let mut body = plain.clone();
        body[field] = value;
        if field == "colour" {
            // Not set is as if left out, whatever it is.
            assert_eq!(post(&server, PATH, &body).await.status, 200);
        } else {
            assert_eq!(post(&server, PATH, &body).await.problem(400)["param"], field);
        }
    }
    assert_eq!(
        post_bytes(&server, PATH, br#"{"model": "pictures", "n": 1, "n": 2}"#.to_vec()).await.problem(400)["param"],
        "n"
    );
    assert_eq!(post_bytes(&server, PATH, b"\xef\xbb\xbf{\"model\": \"pictures\"}".to_vec()).await.status, 200);
    for path in ["/v1/images/generations/", "//v1/images/generations", "/v1//images/generations"] {
        assert_eq!(post(&server, path, &plain).await.status, 200, "{path}");
    }
    assert_eq!(get(&server, "/v1/models/pictures/?x=1").await.status, 200);
}

#[tokio::test]
async fn points_of_the_latent_space_can_be_given() {
    let place = Place::new();
    let server = place.server();
    let z = vec![0.5; 6];
    let answer = post(&server, PATH, &json!({"model": "pictures", "latent": [z], "class": "dog"})).await.json();
    let (sampler, _) = Sampler::open(&place.model("pictures")).unwrap();
    let path = place.path("z.png");
    std::fs::write(&path, png(&answer["data"][0])).unwrap();
    let recipe = read_label(&path).unwrap().unwrap().recipe.unwrap();
    assert_eq!(recipe.z, Some(vec![0.5; 6]));
    assert!(answer["data"][0].get("seed").is_none());
    // The point of a picture of a seed makes the same picture.
    let seeded = post(&server, PATH, &json!({"model": "pictures", "seed": 5, "with_latent": true})).await.json();
    let point = &seeded["data"][0]["latent"];
    let again = post(&server, PATH, &json!({"model": "pictures", "latent": [point], "class": "cat"})).await.json();
    assert_eq!(pixels(&png(&again["data"][0])), pixels(&png(&seeded["data"][0])));
    assert_eq!(sampler.decoded(&[vec![0.5; 6]], &[1]).len(), 1);
    for latent in [json!([[0.5]]), json!([]), json!([[0.0, 0.0, 0.0, 0.0, 0.0, 1e9]]), json!("z")] {
        let error = post(&server, PATH, &json!({"model": "pictures", "latent": latent})).await.problem(400);
        assert!(error["param"].as_str().unwrap().starts_with("latent"), "{error}");
    }
}
