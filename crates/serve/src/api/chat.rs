//! `/v1/chat/completions`, for clients that know nothing else.
//!
//! No model of ours was trained to chat. The template is stated and plain: the contents of all messages, a line break between
//! them, are one text, and what the model writes behind it is the answer.

use super::Fields;
use super::text::{Happening, TextLabel, Usage, begin, text_request};
use crate::problem::{Answer, Problem};
use crate::{Server, now};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use utoipa::ToSchema;

text_request! {
    /// What answer is wanted.
    ChatRequest {
        /// What was said: contents are joined by line breaks, and the text goes on behind the last one.
        messages: Vec<Message>,
        /// Tokens of an answer, 1 to 32768 [256].
        max_completion_tokens: Option<i64>,
        /// The older name of `max_completion_tokens`.
        max_tokens: Option<i64>,
    }
}

/// Something said.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Message {
    /// Who said it; the plain template does not show it to the model.
    #[serde(rename = "role")]
    _role: String,
    /// What.
    #[serde(default)]
    content: Option<Content>,
}

/// A text, or parts of one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a text or a list of text parts")]
pub enum Content {
    /// A text.
    Text(String),
    /// Parts of a text.
    Parts(Vec<TextPart>),
}

/// A part of a text.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TextPart {
    /// Always "text".
    #[serde(rename = "type")]
    _type: TextType,
    /// The text.
    text: String,
}

/// The kinds of parts: models of text read text.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TextType {
    /// Text.
    Text,
}

/// Answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChatCompletion {
    /// Name of this answer.
    id: String,
    /// Always "chat.completion".
    object: &'static str,
    /// Seconds since 1970.
    created: u64,
    /// The model.
    model: String,
    /// One an answer.
    choices: Vec<ChatChoice>,
    /// Tokens.
    usage: Usage,
    /// How messages became a text: always "plain".
    template: &'static str,
}

/// One answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChatChoice {
    /// Its number.
    index: usize,
    /// The answer.
    message: Reply,
    /// Always null.
    logprobs: Option<()>,
    /// "stop": the model ended it, or a stop text came; "length": it has as many tokens as were asked for.
    finish_reason: &'static str,
    /// Who made it, and how to make it again.
    label: TextLabel,
}

/// What the model says.
#[derive(Debug, Serialize, ToSchema)]
pub struct Reply {
    /// Always "assistant".
    role: &'static str,
    /// The text.
    content: String,
}

/// Let a conversation go on, as a plain text.
#[utoipa::path(post, path = "/v1/chat/completions", tag = "text", request_body = ChatRequest, responses(
    (status = 200, description = "The answers; with `stream` the same as server-sent events that end with [DONE]", body = ChatCompletion),
    (status = 400, description = "The request cannot be used; `param` names the field", body = Problem),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 404, description = "There is no such model", body = Problem),
    (status = 413, description = "The body is too large", body = Problem),
    (status = 429, description = "The server is full; Retry-After says when to try again", body = Problem),
))]
pub async fn complete(State(server): State<Arc<Server>>, Fields(mut request): Fields<ChatRequest>) -> Answer<Response> {
    // A message of a tool call has none.
    let content = |message: Message| match message.content? {
        Content::Text(text) => Some(text),
        Content::Parts(parts) => Some(parts.into_iter().map(|part| part.text).collect()),
    };
    let said: Vec<String> = std::mem::take(&mut request.messages).into_iter().filter_map(content).collect();
    if said.is_empty() {
        return Err(Problem::field("messages", "the list of messages is empty"));
    }
    let tokens = match (request.max_completion_tokens, request.max_tokens) {
        (None, older) => ("max_tokens", older),
        (newer, _) => ("max_completion_tokens", newer),
    };
    let options = request.options("messages", said.join("\n"), tokens);
    let mut writing = begin(&server, options).await?;
    let (id, created) = (format!("chatcmpl-{:016x}", rand::random::<u64>()), now());
    if request.stream {
        let usage = request.stream_options.unwrap_or_default().include_usage;
        let head = json!({"id": id, "object": "chat.completion.chunk", "created": created, "model": writing.model});
        return Ok(writing.stream(usage, head, |happening| match happening {
            Happening::Begin => json!({"delta": {"role": "assistant", "content": ""}}),
            Happening::Text(text) => json!({"delta": {"content": text}}),
            Happening::End => json!({"delta": {}}),
        }));
    }
    let (pieces, usage) = writing.all().await?;
    let choices = pieces.into_iter().zip(writing.labels).enumerate();
    let choices = choices.map(|(index, (piece, label))| ChatChoice {
        index,
        message: Reply { role: "assistant", content: piece.text },
        logprobs: None,
        finish_reason: piece.reason,
        label,
    });
    let (object, model, choices) = ("chat.completion", writing.model, choices.collect());
    Ok(Json(ChatCompletion { id, object, created, model, choices, usage, template: "plain" }).into_response())
}
