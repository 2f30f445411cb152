//! Faults 20 and 21: whose requests are answered.

use crate::support::{Answer, Place, ask, get};
use axum::body::Body;
use axum::http::Request;
use maliang_serve::{Keys, Scope, Server, Settings, app};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

async fn with(server: &Arc<Server>, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if method == "POST" { r#"{"model": "pictures"}"# } else { "" };
    ask(&app(server), request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn keys_are_asked_for_and_have_scopes() {
    let place = Place::new();
    let mut keys = Keys::open(&place.path("keys.toml")).unwrap();
    let reader = keys.add("reader", &[Scope::Read]).unwrap();
    let maker = keys.add("maker", &[Scope::Read, Scope::Generate]).unwrap();
    let server = Server::new(place.settings(), keys).unwrap();
    let bearer = |key: &str| format!("Bearer {key}");
    let (reader, maker) = (bearer(&reader), bearer(&maker));
    for key in [&[] as &[(&str, &str)], &[("authorization", "Bearer nonsense")], &[("authorization", "Basic eDp5")]] {
        assert_eq!(with(&server, "GET", "/v1/models", key).await.problem(401)["code"], "invalid_api_key");
        with(&server, "GET", "/metrics", key).await.problem(401);
    }
    with(&server, "GET", "/v1/models", &[("authorization", &reader)]).await.json();
    let path = "/v1/images/generations";
    assert_eq!(with(&server, "POST", path, &[("authorization", &reader)]).await.problem(403)["code"], "scope");
    with(&server, "POST", path, &[("authorization", &maker)]).await.json();
    // What changes runs is training's.
    for (method, path) in [("DELETE", "/v1/runs/a"), ("POST", "/v1/runs/a/restore"), ("POST", "/v1/jobs")] {
        assert_eq!(with(&server, method, path, &[("authorization", &maker)]).await.problem(403)["code"], "scope");
    }
    for path in ["/healthz", "/readyz", "/version", "/openapi.json"] {
        assert_eq!(get(&server, path).await.status, 200);
    }
}

#[tokio::test]
async fn a_public_server_needs_a_key() {
    let place = Place::new();
    let settings = Settings { bind: IpAddr::V4(Ipv4Addr::UNSPECIFIED), ..place.settings() };
    let error = Server::new(settings.clone(), Keys::default()).err().expect("it is refused");
    assert!(error.message.contains("no key") && error.hint.unwrap().contains("maliang keys add"));
    let mut keys = Keys::open(&place.path("keys.toml")).unwrap();
    keys.add("a", &[Scope::Read]).unwrap();
    assert!(Server::new(settings, keys).is_ok());
}

#[tokio::test]
async fn foreign_hosts_and_origins_are_refused() {
    let place = Place::new();
    let settings = Settings {
        hosts: vec!["studio.local".into()],
        origins: vec!["https://example.org".into()],
        ..place.settings()
    };
    let server = Server::new(settings, Keys::default()).unwrap();
    for host in ["localhost:8017", "127.0.0.1", "[::1]:8017", "Studio.Local:80"] {
        assert_eq!(with(&server, "GET", "/v1/models", &[("host", host)]).await.status, 200, "{host}");
    }
    for host in ["evil.example", "192.168.1.2", "localhost.evil.example"] {
        assert_eq!(with(&server, "GET", "/v1/models", &[("host", host)]).await.problem(403)["code"], "host");
    }
    // A user before the host, two hosts, no host: RFC 9110, 7.2.
    for host in ["127.0.0.1:80@evil.example", "a@localhost", "localhost/x", "localhost:8017:1", ""] {
        assert_eq!(
            with(&server, "GET", "/v1/models", &[("host", host)]).await.problem(400)["code"],
            "bad_host",
            "{host}"
        );
    }
    let two = [("host", "localhost"), ("host", "127.0.0.1")];
    assert_eq!(with(&server, "GET", "/v1/models", &two).await.problem(400)["code"], "bad_host");
    let asked = with(&server, "GET", "http://evil.example/v1/models", &[("host", "localhost")]).await;
    assert_eq!(asked.problem(400)["code"], "bad_host");
    assert_eq!(with(&server, "GET", "http://localhost/v1/models", &[("host", "localhost")]).await.status, 200);
    // A picture or a link on a page of another site.
    let foreign =
        |mode: &'static str| [("host", "localhost"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", mode)];
    assert_eq!(with(&server, "GET", "/v1/data/a.zip/check", &foreign("no-cors")).await.problem(403)["code"], "origin");
    assert_eq!(with(&server, "GET", "/v1/models", &foreign("navigate")).await.status, 200);
    let origin = |origin: &'static str| [("host", "localhost:8017"), ("origin", origin)];
    for own in ["http://localhost:8017", "https://example.org"] {
        assert_eq!(with(&server, "GET", "/v1/models", &origin(own)).await.status, 200, "{own}");
    }
    for foreign in ["http://evil.example", "null", "http://localhost:9"] {
        let answer = with(&server, "GET", "/v1/models", &origin(foreign)).await;
        assert_eq!(answer.problem(403)["code"], "origin");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
    let answer = with(&server, "GET", "/v1/models", &origin("https://example.org")).await;
    assert_eq!(answer.headers["access-control-allow-origin"], "https://example.org");
}

#[tokio::test]
async fn names_of_models_are_never_paths() {
    let place = Place::new();
    let server = place.server();
    for id in
        ["..%2f..%2fetc%2fpasswd", "%2e%2e", "%2fetc%2fpasswd", "models%2fpictures", "pictures.safetensors", "%00"]
    {
        let answer = get(&server, &format!("/v1/models/{id}")).await;
        assert_eq!(answer.problem(404)["code"], "model_not_found", "{id}");
    }
    get(&server, "/v1/models/../../etc/passwd").await.problem(404);
    let absolute = place.model("pictures").display().to_string();
    for id in ["../../etc/passwd", absolute.as_str(), "http://127.0.0.1:1/a.png", "file:///etc/passwd"] {
        let body = serde_json::json!({"model": id});
        let answer = crate::support::post(&server, "/v1/images/generations", &body).await;
        assert_eq!(answer.status, 404);
        assert!(!answer.text().contains("root:"));
    }
}

#[tokio::test]
async fn the_page_comes_without_a_key_and_runs_nothing_foreign() {
    let place = Place::new();
    let mut keys = Keys::open(&place.path("keys.toml")).unwrap();
    keys.add("a", &[Scope::Read]).unwrap();
    let server = Server::new(place.settings(), keys).unwrap();
    for (path, kind) in [("/", "text/html"), ("/studio/app.js", "text/javascript"), ("/studio/style.css", "text/css")] {
        let answer = get(&server, path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.headers["content-type"].to_str().unwrap().starts_with(kind));
        assert!(answer.headers["content-security-policy"].to_str().unwrap().contains("default-src 'self'"));
    }
    assert_eq!(get(&server, "/studio").await.status, 308);
    get(&server, "/studio/none.js").await.problem(404);
}

/// A browser's new tab sends no key: pages of a run come by a signed link, and nothing else does.
#[tokio::test]
async fn pages_come_by_signed_links() {
    let place = Place::new();
    let mut keys = Keys::open(&place.path("keys.toml")).unwrap();
    let bearer = format!("Bearer {}", keys.add("a", &[Scope::Read]).unwrap());
    let run = place.path("models").join("猫 1");
    std::fs::create_dir_all(run.join("samples")).unwrap();
    std::fs::write(run.join("run.toml"), "").unwrap();
    std::fs::write(run.join("report.html"), "<p>cats").unwrap();
    let server = Server::new(place.settings(), keys).unwrap();
    let shown = with(&server, "GET", "/v1/runs/%E7%8C%AB%201", &[("authorization", &bearer)]).await.json();
    let link = shown["pages"]["report"].as_str().unwrap();
    assert!(shown["pages"].get("explanation").is_none(), "there is none");
    assert_eq!(get(&server, link).await.text(), "<p>cats");
    let (path, signature) = link.split_once('?').unwrap();
    for other in [path.to_owned(), format!("{path}?signature=00"), format!("/v1/models?{signature}")] {
        get(&server, &other).await.problem(401);
    }
    with(&server, "DELETE", &link.replace("/report", ""), &[]).await.problem(401);
}

/// What a client makes up is not counted under names of its own.
#[tokio::test]
async fn made_up_methods_are_one() {
    let server = Place::new().server();
    for i in 0..3 {
        with(&server, &format!("MADEUP{i}"), "/v1/models", &[]).await;
    }
    let metrics = get(&server, "/metrics").await.text();
    assert!(metrics.contains("method=\"other\"") && !metrics.contains("MADEUP"), "{metrics}");
}

/// Clients such as OpenAI's send headers of their own, which a browser asks for first.
#[tokio::test]
async fn pages_of_allowed_origins_may_send_their_headers() {
    let place = Place::new();
    let settings = Settings { origins: vec!["https://example.org".into()], ..place.settings() };
    let server = Server::new(settings, Keys::default()).unwrap();
    let asked = [
        ("host", "localhost:8017"),
        ("origin", "https://example.org"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,x-stainless-os"),
    ];
    let answer = with(&server, "OPTIONS", "/v1/completions", &asked).await;
    assert!(answer.headers["access-control-allow-headers"].to_str().unwrap().contains("x-stainless-os"));
}
