//! What operators ask a server.

use crate::Server;
use crate::problem::{Answer, Problem};
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use maliang::families::{self, About};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Which server this is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Version {
    /// Always "maliang".
    name: &'static str,
    /// Its version.
    version: &'static str,
    /// The families of models that this version knows; those that make pictures come first.
    families: Vec<FamilyCard>,
}

/// A family of models.
#[derive(Debug, Serialize, ToSchema)]
pub struct FamilyCard {
    /// What `model` of a job takes.
    name: &'static str,
    /// What its models make: "pictures" or "text".
    makes: &'static str,
    /// What it is good for, in one line of English.
    summary: &'static str,
}

/// The process is alive.
#[utoipa::path(get, path = "/healthz", tag = "system", responses((status = 200, description = "Alive", body = String)))]
pub async fn healthz() -> &'static str {
    "ok"
}

/// The server takes requests.
#[utoipa::path(get, path = "/readyz", tag = "system", responses(
    (status = 200, description = "Ready", body = String),
    (status = 503, description = "About to stop", body = Problem),
))]
pub async fn readyz(State(server): State<Arc<Server>>) -> Answer<&'static str> {
    if server.work.closed() { Err(Problem::stopping()) } else { Ok("ready") }
}

/// Name and version, and the families of models that it knows.
#[utoipa::path(get, path = "/version", tag = "system", responses((status = 200, description = "The version", body = Version)))]
pub async fn version() -> Json<Version> {
    let card = |about: &About| FamilyCard { name: about.name, makes: about.makes.name(), summary: about.summary };
    Json(Version { name: "maliang", version: maliang::VERSION, families: families::all().map(card).collect() })
}

/// Counters for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "system", responses(
    (status = 200, description = "In the text format of OpenMetrics", body = String, content_type = "application/openmetrics-text"),
    (status = 401, description = "No key, or a wrong one", body = Problem),
))]
pub async fn metrics(State(server): State<Arc<Server>>) -> impl IntoResponse {
    let metrics = &server.metrics;
    metrics.running.set(server.work.running() as i64);
    metrics.models.set(server.shelf.count() as i64);
    metrics.memory.set(memory().unwrap_or(0) as i64);
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], metrics.text())
}

/// Bytes of memory of this process.
fn memory() -> Option<u64> {
    let own = sysinfo::get_current_pid().ok()?;
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_processes(sysinfo::ProcessesToUpdate::Some(&[own]), false);
    Some(system.process(own)?.memory())
}
