//! The description says what the server does.

use crate::support::{Place, ask, get};
use axum::body::Body;
use axum::http::Request;
use maliang_serve::app;
use serde_json::{Value, json};

/// Every schema that is referred to exists.
fn check_references(value: &Value, all: &Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                let pointer = reference.strip_prefix('#').expect("a reference inside the file");
                assert!(all.pointer(pointer).is_some(), "{reference} does not exist");
            }
            map.values().for_each(|value| check_references(value, all));
        }
        Value::Array(list) => list.iter().for_each(|value| check_references(value, all)),
        _ => {}
    }
}

#[tokio::test]
async fn every_path_of_the_description_is_answered_as_described() {
    let place = Place::new();
    let server = place.server();
    let description = get(&server, "/openapi.json").await.json();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"), "{}", description["openapi"]);
    assert_eq!(description["info"]["version"], maliang::VERSION);
    check_references(&description, &description);
    // Generated clients name their types by it.
    assert!(description["components"]["schemas"]["Judged"].is_object());
    let mut seen = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let body = match path.as_str() {
                "/v1/images/generations" => json!({"model": "pictures"}).to_string(),
                "/v1/completions" => json!({"model": "text", "max_tokens": 2}).to_string(),
                "/v1/chat/completions" => {
                    json!({"model": "text", "max_tokens": 2, "messages": [{"role": "user", "content": "a"}]})
                        .to_string()
                }
                _ => String::new(),
            };
            if path.starts_with("/v1/runs/") {
                // Their own test answers these: here is no run.
                assert!(operation["responses"]["404"].is_object(), "{path}");
                continue;
            }
            let uri = path.replace("{id}", "pictures");
            let request = Request::builder().method(method.to_uppercase().as_str()).uri(&uri).body(Body::from(body));
            let answer = ask(&app(&server), request.unwrap()).await;
            let status = answer.status.as_u16().to_string();
            let described = &operation["responses"][&status];
            assert!(described.is_object(), "{method} {path} answers {status}, which is not described");
            let kind = answer.headers["content-type"].to_str().unwrap().split(';').next().unwrap().to_owned();
            assert!(described["content"][&kind].is_object(), "{method} {path} answers {kind}: {described}");
            if kind == "application/json" {
                let schema = resolved_schema(&description, &described["content"][&kind]["schema"]);
                let answer: Value = serde_json::from_slice(&answer.body).unwrap();
                for field in schema["required"].as_array().into_iter().flatten() {
                    assert!(answer.get(field.as_str().unwrap()).is_some(), "{path}: {field} is missing");
                }
                for field in answer.as_object().unwrap().keys() {
                    assert!(schema["properties"].get(field).is_some(), "{path}: {field} is not described");
                }
            }
            seen += 1;
        }
    }
    assert!(seen >= 10);
}

/// The schema itself, where it is referred to by name.
fn resolved_schema<'a>(all: &'a Value, schema: &'a Value) -> &'a Value {
    schema["$ref"].as_str().map_or(schema, |reference| all.pointer(&reference[1..]).unwrap())
}
