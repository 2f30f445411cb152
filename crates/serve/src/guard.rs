//! What every request goes through: a number of its own, the right host and origin, a key, the log and the counters.

use crate::Server;
use crate::keys::Scope;
use crate::metrics::{Route, RouteLabels};
use crate::problem::Problem;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The header that names a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A request's own name for itself may be this long.
const LONGEST_ID: usize = 128;
/// Paths that need no key: they tell nothing that is worth one.
const OPEN: [&str; 4] = ["/healthz", "/readyz", "/version", "/openapi.json"];
/// The page asks for a key itself.
const PAGE: &str = "/studio";
/// A path whose query is signed instead.
const SIGNED: &str = "/v1/images/made";

/// Checks a request, answers it, and notes what became of it.
pub async fn guard(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(request.headers());
    let method = known(request.method());
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let (who, mut response) = match allow(&server, &request) {
        Ok(who) => (who, in_our_words(next.run(request).await)),
        Err(problem) => (None, problem.into_response()),
    };
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    // A page of another origin must not guess at what an answer is.
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let status = response.status().as_u16();
    let seconds = began.elapsed().as_secs_f64();
    tracing::info!(request = id, %method, path, status, ms = (seconds * 1e3).round() as u64, key = who, "answered");
    let labels = RouteLabels { route: route.clone(), method: method.to_owned(), status };
    server.metrics.requests.get_or_create(&labels).inc();
    server.metrics.seconds.get_or_create(&Route { route }).observe(seconds);
    response
}

/// What the parts around our handlers refuse, as clients can read it.
fn in_our_words(response: Response) -> Response {
    let plain =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if response.status().is_client_error() && plain {
        return Problem::request("bad_path", "the path or what follows it cannot be read").into_response();
    }
    response
}

/// The name of a method, for the log and for what is counted: clients may invent others, of any length and number.
fn known(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"];
    known.into_iter().find(|name| method.as_str() == *name).unwrap_or("other")
}

/// A panic is our bug: one sentence for the client.
pub fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response<Body> {
    Problem::bug().into_response()
}

/// The client's own name for the request if it is a sensible one, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let own = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    if let Some(own) = own.filter(|id| (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()))
    {
        return own.to_owned();
    }
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("req-{:016x}-{}", rand::random::<u64>(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The name of the key that was used, if keys are in use.
fn allow(server: &Server, request: &Request) -> Result<Option<String>, Problem> {
    let headers = request.headers();
    let host = host(server, request)?;
    origin(server, request, &host)?;
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::request("content_encoding", "the body is compressed; send it without compression"));
    }
    let path = request.uri().path();
    let page = path == "/" || path == "/docs" || path.starts_with(PAGE);
    if !server.keys.asked_for() || page || OPEN.contains(&path) || path == SIGNED || request.method() == Method::OPTIONS
    {
        return Ok(None);
    }
    let signed = request.uri().query().and_then(|query| query.strip_prefix("signature="));
    if request.method() == Method::GET && signed.is_some_and(|signature| server.signed_path(path, signature)) {
        return Ok(None);
    }
    let secret = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, secret)| secret.trim())
        .ok_or_else(|| Problem::unauthorized("this server requires a key; send it as \"Authorization: Bearer KEY\""))?;
    let key = server.keys.find(secret).ok_or_else(|| Problem::unauthorized("this server does not know this key"))?;
    let trains = ["/v1/jobs", "/v1/data", "/v1/runs"].iter().any(|own| path.starts_with(own));
    // Looking at data is work.
    let looks = path.starts_with("/v1/data/") && path.ends_with("/check");
    let needed = match (request.method().is_safe() && !looks, trains) {
        (true, _) => Scope::Read,
        (false, false) => Scope::Generate,
        (false, true) => Scope::Train,
    };
    if !key.scopes.contains(&needed) {
        let message = format!("this request needs a key with the scope \"{}\"", needed.name());
        return Err(Problem::forbidden("scope", message));
    }
    Ok(Some(key.name))
}

/// The host that the client calls the server by, without its port. A page that made a name of its own point to this machine
/// (DNS rebinding) is found out by that name.
fn host(server: &Server, request: &Request) -> Result<String, Problem> {
    // The form in which a proxy is asked names a host in the path, too. It must be the same one.
    let asked = request.uri().authority().map(|authority| authority.as_str().to_ascii_lowercase());
    let mut sent = request.headers().get_all(header::HOST).into_iter();
    let (first, second) = (sent.next(), sent.next());
    let sent = first.map(|value| value.to_str().unwrap_or_default().to_ascii_lowercase());
    let wrong = || Problem::request("bad_host", "the Host header is not a host and a port");
    let sent = match (sent, asked) {
        (None, None) => return Err(Problem::request("no_host", "the request has no Host header")),
        (Some(sent), Some(asked)) if sent != asked => return Err(wrong()),
        (Some(sent), _) | (None, Some(sent)) => sent,
    };
    // RFC 9110, 7.2: a host and a port, and no user before them.
    let authority =
        sent.parse::<Authority>().ok().filter(|_| second.is_none() && !sent.contains('@')).ok_or_else(wrong)?;
    let name = authority.host().to_owned();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let own = match address {
        // Where other machines may come in, they come by an address or by a name that was set.
        Ok(address) => address.is_loopback() || !server.settings.bind.is_loopback(),
        Err(_) => name == "localhost" || server.settings.hosts.iter().any(|host| host.eq_ignore_ascii_case(&name)),
    };
    if own {
        return Ok(sent);
    }
    Err(Problem::forbidden(
        "host",
        "this server does not answer to this host name; whoever runs it can add names with --host",
    ))
}

/// A page of another origin may call only where that origin was set.
fn origin(server: &Server, request: &Request, host: &str) -> Result<(), Problem> {
    let headers = request.headers();
    let Some(origin) = headers.get(header::ORIGIN) else {
        // Browsers send no origin with a picture or a link, but say that another site asks. Such a page must not start work; it may
        // show what was made for whoever has the link.
        let says = |name, value: &str| headers.get(name).is_some_and(|found: &HeaderValue| found == value);
        let path = request.uri().path();
        let foreign = says("sec-fetch-site", "cross-site") && !says("sec-fetch-mode", "navigate");
        if foreign && path.starts_with("/v1/") && path != SIGNED {
            return Err(foreign_origin());
        }
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or_default();
    let same = origin.split_once("://").is_some_and(|(_, own)| own.eq_ignore_ascii_case(host));
    if same || server.settings.origins.iter().any(|own| own.eq_ignore_ascii_case(origin)) {
        return Ok(());
    }
    Err(foreign_origin())
}

fn foreign_origin() -> Problem {
    Problem::forbidden(
        "origin",
        "pages of this origin may not use this server; whoever runs it can allow origins with --origin",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sensible_names_of_requests_are_taken_over() {
        let with = |id: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(id).unwrap());
            request_id(&headers)
        };
        assert_eq!(with("a-1"), "a-1");
        assert_ne!(with("a b"), "a b");
        assert_ne!(with(&"a".repeat(200)), "a".repeat(200));
        assert_ne!(with("x y"), with("x y"));
    }
}
