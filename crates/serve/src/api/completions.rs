//! `/v1/completions`: a text goes on.

use super::Fields;
use super::text::{Happening, TextLabel, Texts, Usage, begin, text_request};
use crate::problem::{Answer, Problem};
use crate::{Server, now};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use utoipa::ToSchema;

text_request! {
    /// What text is wanted.
    CompletionRequest {
        /// What the text begins with; one prompt a request ["" begins a new document].
        prompt: Option<Texts>,
        /// Tokens of a piece, 1 to 32768 [256].
        max_tokens: Option<i64>,
        /// The prompt as part of the text [false].
        echo: Option<bool>,
    }
}

/// Texts.
#[derive(Debug, Serialize, ToSchema)]
pub struct Completion {
    /// Name of this answer.
    id: String,
    /// Always "text_completion".
    object: &'static str,
    /// Seconds since 1970.
    created: u64,
    /// The model.
    model: String,
    /// One a piece.
    choices: Vec<Choice>,
    /// Tokens.
    usage: Usage,
}

/// One piece.
#[derive(Debug, Serialize, ToSchema)]
pub struct Choice {
    /// What was written.
    text: String,
    /// Its number.
    index: usize,
    /// Always null.
    logprobs: Option<()>,
    /// "stop": the model ended it, or a stop text came; "length": it has as many tokens as were asked for.
    finish_reason: &'static str,
    /// Who made it, and how to make it again.
    label: TextLabel,
}

/// Let a text go on.
#[utoipa::path(post, path = "/v1/completions", tag = "text", request_body = CompletionRequest, responses(
    (status = 200, description = "The texts; with `stream` the same as server-sent events that end with [DONE]", body = Completion),
    (status = 400, description = "The request cannot be used; `param` names the field", body = Problem),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 404, description = "There is no such model", body = Problem),
    (status = 413, description = "The body is too large", body = Problem),
    (status = 429, description = "The server is full; Retry-After says when to try again", body = Problem),
))]
pub async fn complete(
    State(server): State<Arc<Server>>,
    Fields(mut request): Fields<CompletionRequest>,
) -> Answer<Response> {
    let mut prompts = request.prompt.take().map_or_else(Vec::new, Texts::all);
    if prompts.len() > 1 {
        return Err(Problem::field("prompt", "only one prompt a request is supported; n makes several texts of it"));
    }
    let options = request.options("prompt", prompts.pop().unwrap_or_default(), ("max_tokens", request.max_tokens));
    let mut writing = begin(&server, options).await?;
    let (id, created) = (format!("cmpl-{:016x}", rand::random::<u64>()), now());
    let echo = if request.echo == Some(true) { writing.prompt.clone() } else { String::new() };
    if request.stream {
        let usage = request.stream_options.unwrap_or_default().include_usage;
        let head = json!({"id": id, "object": "text_completion", "created": created, "model": writing.model});
        return Ok(writing.stream(usage, head, move |happening| match happening {
            Happening::Begin => json!({"text": echo}),
            Happening::Text(text) => json!({"text": text}),
            Happening::End => json!({"text": ""}),
        }));
    }
    let (pieces, usage) = writing.all().await?;
    let choices = pieces.into_iter().zip(writing.labels).enumerate();
    let choices = choices.map(|(index, (piece, label))| Choice {
        text: format!("{echo}{}", piece.text),
        index,
        logprobs: None,
        finish_reason: piece.reason,
        label,
    });
    let (object, model) = ("text_completion", writing.model);
    Ok(Json(Completion { id, object, created, model, choices: choices.collect(), usage }).into_response())
}
