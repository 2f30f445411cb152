//! Faults 18 and 19: requests that nobody should send.

use crate::support::{Place, ask, get, post, post_bytes};
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use maliang_serve::app;
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const PATH: &str = "/v1/images/generations";

#[tokio::test]
async fn numbers_and_sizes_out_of_range_name_their_field() {
    let place = Place::new();
    let server = place.server();
    for n in [json!(0), json!(-1), json!(1e9), json!(1.5), json!("1"), json!(65), json!(1u64 << 63), json!([1])] {
        let error = post(&server, PATH, &json!({"model": "pictures", "n": n})).await.problem(400);
        assert_eq!(error["param"], "n", "{error}");
    }
    let long = "9".repeat(100_000);
    for size in ["0x5", "1000000x1000000", "axb", "", "16x17", long.as_str()] {
        let error = post(&server, PATH, &json!({"model": "pictures", "size": size})).await.problem(400);
        assert_eq!(error["param"], "size");
        assert!(error["message"].as_str().unwrap().len() < 200);
    }
    for (field, value) in [
        ("truncation", json!(-1)),
        ("truncation", json!(1e30)),
        ("seed", json!(-2)),
        ("seed", json!(1.5)),
        ("output_format", json!("webp")),
        ("response_format", json!("file")),
        ("class", json!("bird")),
        ("quality", json!("perfect")),
        ("model", json!("text")),
        ("model", json!(3)),
    ] {
        let mut body = json!({"model": "pictures"});
        body[field] = value;
        assert_eq!(post(&server, PATH, &body).await.problem(400)["param"], field);
    }
    assert_eq!(post(&server, PATH, &json!({})).await.problem(400)["param"], "model");
    assert_eq!(post(&server, PATH, &json!({"model": "none"})).await.problem(404)["param"], "model");
}

#[tokio::test]
async fn bodies_are_bounded() {
    let place = Place::new();
    let server = place.server();
    post_bytes(&server, PATH, vec![b' '; 2 << 20]).await.problem(413);
    // A gigabyte in chunks: only what is needed to say no is taken.
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let chunks = tokio_stream::iter((0..16_384).map(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok::<_, Infallible>(Bytes::from_static(&[b'['; 65_536]))
    }));
    post_bytes(&server, PATH, Body::from_stream(chunks)).await.problem(413);
    assert!(taken.load(Ordering::SeqCst) < 32, "{taken:?} chunks were taken");
}

#[tokio::test]
async fn what_is_no_json_is_refused() {
    let place = Place::new();
    let server = place.server();
    let deep = format!("{{\"latent\":{}", "[".repeat(500_000));
    for body in ["", "{", "null", "--boundary\r\nContent-Disposition: form-data\r\n\r\n", "\u{1f}\u{8b}", &deep] {
        assert_eq!(post_bytes(&server, PATH, body.to_owned()).await.problem(400)["type"], "invalid_request_error");
    }
    let zipped = Request::post(PATH).header("content-encoding", "gzip").body(Body::from(vec![0x1f, 0x8b, 8])).unwrap();
    assert_eq!(ask(&app(&server), zipped).await.problem(400)["code"], "content_encoding");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_said() {
    let place = Place::new();
    let server = place.server();
    assert_eq!(get(&server, "/v2").await.problem(404)["code"], "unknown_path");
    let delete = Request::delete("/v1/models").body(Body::empty()).unwrap();
    assert_eq!(ask(&app(&server), delete).await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(get(&server, PATH).await.problem(405)["code"], "method_not_allowed");
}
