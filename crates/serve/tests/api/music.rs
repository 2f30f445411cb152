//! `/v1/music`.

use crate::support::{Place, get, post};
use serde_json::{Value, json};

const TUNE: &str = "X:1\nK:C\nCDEF GABc|\n";

/// What the server wrote of a prompt: the recipe of its label.
async fn recipe(server: &std::sync::Arc<maliang_serve::Server>, model: &str, prompt: &str) -> Value {
    let body = json!({"model": model, "prompt": prompt, "max_tokens": 3, "seed": 2});
    post(server, "/v1/completions", &body).await.json()["choices"][0]["label"]["recipe"].clone()
}

#[tokio::test]
async fn a_tune_is_played_with_its_label() {
    let place = Place::new();
    place.text_of("tunes", "X:1KCDEFGABc| \n");
    let server = place.server();
    let recipe = recipe(&server, "tunes", TUNE).await;
    let body = json!({"model": "tunes", "recipe": recipe});
    let answer = post(&server, "/v1/music", &body).await;
    assert_eq!((answer.status.as_u16(), answer.headers["content-type"].to_str().unwrap()), (200, "audio/wav"));
    let label = maliang::provenance::sound::read_wav(&answer.body).unwrap().expect("a label");
    assert_eq!(serde_json::to_value(label.recipe.expect("a recipe")).unwrap(), recipe);
    let body = json!({"model": "tunes", "recipe": recipe, "format": "midi"});
    let answer = post(&server, "/v1/music", &body).await;
    assert_eq!(answer.headers["content-type"], "audio/midi");
    assert!(answer.body.starts_with(b"MThd"));
}

#[tokio::test]
async fn what_is_no_tune_of_this_server_is_refused() {
    let place = Place::new();
    let server = place.server();
    let recipe = recipe(&server, "text", "abc").await;
    let ask = |change: &dyn Fn(&mut Value)| {
        let mut body = json!({"model": "text", "recipe": recipe});
        change(&mut body);
        let server = server.clone();
        async move { post(&server, "/v1/music", &body).await }
    };
    let error = ask(&|_| ()).await.problem(400);
    assert!(error["message"].as_str().unwrap().contains("no notes"), "{error}");
    ask(&|body| body["recipe"]["model_hash"] = json!("0".repeat(64))).await.problem(410);
    ask(&|body| body["model"] = json!("pictures")).await.problem(410);
    for change in [
        |body: &mut Value| body["recipe"]["request"]["max_tokens"] = json!(1_000_000),
        |body: &mut Value| body["recipe"]["request"]["prompt"] = json!("a".repeat(20_000)),
        |body: &mut Value| body["recipe"]["request"]["sampling"]["top_p"] = json!(-1.0),
        |body: &mut Value| body["recipe"]["index"] = json!(u64::MAX),
        |body: &mut Value| body["recipe"] = json!(3),
    ] {
        ask(&change).await.problem(400);
    }
    assert_eq!(get(&server, "/healthz").await.status, 200);
}
