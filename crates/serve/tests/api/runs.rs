//! `/v1/runs`.

use crate::support::{Answer, Place, ask, get, post};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use maliang_serve::{Keys, Server, Settings, app};
use serde_json::{Value, json};
use std::io::Write;
use tower::ServiceExt;

/// A run of pictures as training leaves it, without a checkpoint.
fn run(place: &Place) {
    let run = place.path("models").join("cats");
    std::fs::create_dir_all(run.join("samples")).unwrap();
    std::fs::write(
        run.join("run.toml"),
        "seed = 3\n[data]\nsource = \"/pictures/cats.zip\"\n[model]\nfamily = \"dcgan\"\n",
    )
    .unwrap();
    let log = [
        json!({"event": "look", "step": 0, "seconds": 0.0}),
        json!({"event": "note", "text": "the discriminator won", "step": 2}),
        json!({"event": "step", "step": 4, "seconds": 1.5}),
    ];
    let lines: String = log.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(run.join("metrics.jsonl"), lines + "{\"event\": \"st").unwrap();
    std::fs::write(run.join("samples").join("00000004.png"), b"a picture").unwrap();
}

#[tokio::test]
async fn runs_are_listed_described_and_looked_into() {
    let place = Place::new();
    run(&place);
    let server = place.server();
    let list = get(&server, "/v1/runs").await.json();
    assert_eq!(list["data"].as_array().unwrap().len(), 1, "model files are no runs: {list}");
    let cats = get(&server, "/v1/runs/cats").await.json();
    assert_eq!((&cats["step"], &cats["seconds"], &cats["samples"]), (&json!(4), &json!(1.5), &json!([4])));
    assert_eq!(cats["settings"]["model"]["family"], "dcgan");
    assert_eq!(cats["settings"]["data"]["source"], "cats.zip", "and not where it lies");
    assert_eq!((&cats["notes"], &cats["report"]), (&json!(["the discriminator won"]), &json!(false)));
    assert_eq!(cats["training"], true);
    let sample = get(&server, "/v1/runs/cats/samples/4").await;
    assert_eq!(
        (sample.headers["content-type"].as_bytes(), sample.body.as_slice()),
        (&b"image/png"[..], &b"a picture"[..])
    );
    for missing in ["/v1/runs/dogs", "/v1/runs/cats/samples/5", "/v1/runs/cats/samples/..", "/v1/runs/cats/report"] {
        get(&server, missing).await.problem(404);
    }
    std::fs::write(place.path("models").join("cats").join("report.html"), "<p>cats").unwrap();
    let report = get(&server, "/v1/runs/cats/report").await;
    assert_eq!(report.text(), "<p>cats");
    assert_eq!(get(&server, "/v1/runs/cats").await.json()["training"], false, "the report is the last thing");
    assert!(report.headers["content-security-policy"].to_str().unwrap().contains("sandbox"));
}

/// The first `count` events behind `last`, as (number, data).
async fn events(app: &Router, last: Option<&str>, count: usize) -> Vec<(String, Value)> {
    let mut request = Request::get("/v1/runs/cats/events").header("host", "localhost");
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (mut body, mut text) = (response.into_body(), String::new());
    while text.matches("\n\n").count() < count {
        let frame = body.frame().await.expect("it goes on").unwrap();
        text += std::str::from_utf8(&frame.into_data().unwrap()).unwrap();
    }
    let field = |event: &str, name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let parse = |event: &str| (field(event, "id: "), serde_json::from_str(&field(event, "data: ")).unwrap());
    text.split("\n\n").filter(|event| event.contains("data: ")).map(parse).collect()
}

#[tokio::test]
async fn a_log_is_followed_and_taken_up_again() {
    let place = Place::new();
    run(&place);
    let server = place.server();
    let app = app(&server);
    let all = events(&app, None, 3).await;
    assert_eq!(all.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
    assert_eq!(all[1].1["text"], "the discriminator won");
    assert_eq!(events(&app, Some("2"), 1).await, all[2..]);
    // A line that is being written comes when it is whole.
    let path = place.path("models").join("cats").join("metrics.jsonl");
    let writer = tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let mut log = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        log.write_all(b"ep\", \"step\": 6}\n").unwrap();
    });
    let next = events(&app, Some("3"), 1).await;
    assert_eq!((next[0].0.as_str(), &next[0].1["step"]), ("4", &json!(6)));
    writer.await.unwrap();
    let bad = Request::get("/v1/runs/cats/events").header("last-event-id", "x").body(Body::empty()).unwrap();
    let answer: Answer = ask(&app, bad).await;
    assert_eq!(answer.problem(400)["param"], "last-event-id");
}

#[tokio::test]
async fn what_judging_and_explaining_left_is_shown() {
    let place = Place::new();
    run(&place);
    let server = place.server();
    let paths = ["scores", "card", "explanation"].map(|name| format!("/v1/runs/cats/{name}"));
    for path in &paths {
        get(&server, path).await.problem(404);
    }
    let cats = place.path("models").join("cats");
    std::fs::create_dir(cats.join("explain")).unwrap();
    let scores = json!({"scores": [{"name": "kid_a_n5", "value": 0.5, "floor": 0.1}]});
    for (name, text) in
        [("scores.json", scores.to_string().as_str()), ("card.md", "# cats"), ("explain/explain.html", "<p>cats")]
    {
        std::fs::write(cats.join(name), text).unwrap();
    }
    assert_eq!(get(&server, &paths[0]).await.json(), scores);
    assert_eq!(get(&server, &paths[1]).await.text(), "# cats");
    let page = get(&server, &paths[2]).await;
    assert_eq!(page.text(), "<p>cats");
    assert!(page.headers["content-security-policy"].to_str().unwrap().contains("sandbox"));
    let cats = get(&server, "/v1/runs/cats").await.json();
    assert_eq!(cats["judged"], json!({"name": "kid_a_n5", "value": 0.5, "beside": 0.1}));
    assert_eq!(cats["explained"], true);
}

#[tokio::test]
async fn a_run_is_deleted_and_comes_back() {
    let place = Place::new();
    run(&place);
    let runs = place.path("models");
    let delete = |server: &std::sync::Arc<maliang_serve::Server>, id: &str| {
        let (app, id) = (app(server), id.to_owned());
        async move { ask(&app, Request::delete(format!("/v1/runs/{id}")).body(Body::empty()).unwrap()).await }
    };
    // A server that does not train only looks.
    delete(&place.server(), "cats").await.problem(403);
    let server = Server::new(Settings { trainer: Some("false".into()), ..place.settings() }, Keys::default()).unwrap();
    let lock = maliang::run::dir::RunDir::new(runs.join("cats")).lock().unwrap();
    delete(&server, "cats").await.problem(409);
    drop(lock);
    assert_eq!(delete(&server, "cats").await.json()["deleted"], true);
    assert!(!runs.join("cats").exists());
    get(&server, "/v1/runs/cats").await.problem(404);
    delete(&server, "cats").await.problem(404);
    let restore = |id: &str| {
        let (server, path) = (server.clone(), format!("/v1/runs/{id}/restore"));
        async move { post(&server, &path, &json!({})).await }
    };
    assert_eq!(restore("cats").await.json()["step"], 4);
    assert!(runs.join("cats").join("run.toml").exists());
    restore("cats").await.problem(404);
    for strange in ["..", "%2e%2e%2f%2e%2e", "pictures", ".deleted"] {
        assert!([404, 409].contains(&restore(strange).await.status.as_u16()), "{strange}");
    }
}
