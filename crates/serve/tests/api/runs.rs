//! `/v1/runs`.

use crate::support::{Answer, Place, ask, get};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use maliang_serve::app;
use serde_json::{Value, json};
use std::io::Write;
use tower::ServiceExt;

/// A run of pictures as training leaves it, without a checkpoint.
fn run(place: &Place) {
    let run = place.path("models").join("cats");
    std::fs::create_dir_all(run.join("samples")).unwrap();
    std::fs::write(run.join("run.toml"), "seed = 3\n[model]\nfamily = \"dcgan\"\n").unwrap();
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
