//! What a client is told when something is wrong: OpenAI's error body and a status.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maliang::{Error, ErrorKind};
use serde::Serialize;
use utoipa::ToSchema;

/// Result of a handler.
pub type Answer<T> = Result<T, Problem>;

/// The body of every answer that is not a success.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// What is wrong.
    error: Detail,
    #[serde(skip)]
    status: StatusCode,
    #[serde(skip)]
    retry_after: Option<u32>,
}

/// The four keys that clients of OpenAI's API read.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Detail {
    /// What is wrong, and what to try, in plain words.
    message: String,
    /// The kind of problem: `invalid_request_error`, `authentication_error`, `rate_limit_error`, `server_error`, …
    r#type: &'static str,
    /// The field of the request that is at fault, if it is one.
    param: Option<String>,
    /// A word for programs.
    code: Option<&'static str>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        let error = Detail { message: message.into(), r#type: kind, param: None, code: Some(code) };
        Self { error, status, retry_after: None }
    }

    /// A field of the request cannot be as it is.
    pub fn field(param: &str, message: impl Into<String>) -> Self {
        let mut problem = Self::request("invalid_value", message);
        problem.error.param = Some(param.to_owned());
        problem
    }

    /// The request cannot be used, and no single field is at fault.
    pub fn request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", code, message)
    }

    /// The server has no such model.
    pub fn no_model(id: &str) -> Self {
        let id: String = id.chars().take(100).collect();
        let message = format!("there is no model \"{}\"; GET /v1/models lists the models", id.escape_debug());
        let mut problem = Self::new(StatusCode::NOT_FOUND, "invalid_request_error", "model_not_found", message);
        problem.error.param = Some("model".into());
        problem
    }

    /// The server has no such job.
    pub fn no_job(id: i64) -> Self {
        let message = format!("there is no job {id}; GET /v1/jobs lists the jobs");
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", "job_not_found", message)
    }

    /// It cannot be done as things are.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "invalid_request_error", "conflict", message)
    }

    /// The server has no such run.
    pub fn no_run(id: &str) -> Self {
        let id: String = id.chars().take(100).collect();
        let message = format!("there is no run \"{}\"; GET /v1/runs lists the runs", id.escape_debug());
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", "run_not_found", message)
    }

    /// There is nothing at this path.
    pub fn nothing_here() -> Self {
        let message = "there is nothing at this path; /openapi.json lists the paths";
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", "unknown_path", message)
    }

    /// The path does not take this method.
    pub fn method() -> Self {
        let message = "this path does not accept this method; /openapi.json lists the methods of each path";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", "method_not_allowed", message)
    }

    /// The body is larger than the server takes.
    pub fn too_large(most: usize) -> Self {
        let message = format!("the body is too large: at most {most} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", "body_too_large", message)
    }

    /// The disk of the server is full, or cannot be written to.
    pub fn not_stored() -> Self {
        let message = "the server could not store the file; its log says why";
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "server_error", "disk", message)
    }

    /// As many bytes are kept as may be.
    pub fn uploads_full(most: u64) -> Self {
        let message =
            format!("the server keeps {most} bytes of files that were sent, which is its limit; delete some first");
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "invalid_request_error", "uploads_full", message)
    }

    /// No key, or a wrong one.
    pub fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "authentication_error", "invalid_api_key", message)
    }

    /// The key, the host or the origin may not do this.
    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "permission_error", code, message)
    }

    /// As many requests as the server admits are in work.
    pub fn busy(capacity: usize) -> Self {
        Self::too_many(format!("the server works on {capacity} requests, which is its limit; try again in a moment"))
    }

    /// As many jobs wait as the queue takes.
    pub fn many_jobs(limit: i64) -> Self {
        Self::too_many(format!("{limit} jobs wait, which is the limit; try again when some of them have ended"))
    }

    fn too_many(message: String) -> Self {
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "too_many_requests", message);
        problem.retry_after = Some(1);
        problem
    }

    /// The server is about to stop.
    pub fn stopping() -> Self {
        let mut problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "server_error",
            "stopping",
            "the server is stopping: it finishes what it has begun and accepts nothing new",
        );
        problem.retry_after = Some(5);
        problem
    }

    /// What was promised by a link is no longer there.
    pub fn gone(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "invalid_request_error", "gone", message)
    }

    /// A bug.
    pub fn bug() -> Self {
        let message = "this is a bug in Maliang; please report the request and the server's log";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "internal", message)
    }

    /// Names the field that an error of the library is about.
    pub fn of(error: Error, param: &str) -> Self {
        let mut problem = Self::from(error);
        if problem.status == StatusCode::BAD_REQUEST {
            problem.error.param = Some(param.to_owned());
        }
        problem
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        // Hints of the library speak of the command line, which a client does not have; what it does not know either
        // are paths of the server, so only what is about the request itself is told in full.
        match error.kind {
            ErrorKind::Input => Self::request("invalid_value", error.message),
            _ => {
                tracing::error!(error = error.message, hint = error.hint, "a model cannot be used");
                let message = "the model's files cannot be used; the server's log says why";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "model_unusable", message)
            }
        }
    }
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        tracing::error!(%error, "the queue of jobs cannot be used");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "queue",
            "the queue of jobs cannot be used; the server's log says why",
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, retry_after) = (self.status, self.retry_after);
        let mut response = (status, Json(self)).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
