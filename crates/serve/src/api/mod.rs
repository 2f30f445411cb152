//! The handlers, by what they are about.

pub mod chat;
pub mod completions;
pub mod data;
pub mod images;
pub mod jobs;
pub mod latent;
pub mod models;
pub mod music;
mod neutral;
pub mod runs;
pub mod system;
pub mod text;

use crate::problem::{Answer, Problem};
use crate::shelf::{Entry, Model, Painter};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use maliang::generate::writer::Author;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// A body of JSON. Unlike axum's own, a field that cannot be read is named in the answer.
#[derive(Debug)]
pub struct Fields<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Fields<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        let bytes = Bytes::from_request(request, state).await.map_err(|error: BytesRejection| {
            if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
                return Problem::too_large(crate::settings::BODY);
            }
            Problem::request("body", "the body did not arrive completely, or not in time")
        })?;
        read(&bytes).map(Self)
    }
}

/// JSON as `T`, or which field is at fault. The parser refuses what is nested deeper than 128.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> Answer<T> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.trim_ascii_start().first().is_some_and(|&byte| byte != b'{') {
        return Err(Problem::request("json", "the body is not a JSON object"));
    }
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let said: Result<neutral::Said, _> = serde_path_to_error::deserialize(&mut parser);
    let value = said.and_then(|said| serde_path_to_error::deserialize(said.0)).map_err(|error| {
        let (path, inner) = (error.path().to_string(), error.into_inner());
        if !inner.is_data() {
            return Problem::request("json", format!("the body is not JSON: {inner}"));
        }
        let message = in_words(&inner.to_string());
        // An unknown or missing field is not part of the path yet: it stands in the message.
        let named = message.split('`').nth(1).filter(|_| message.contains("field `")).map(str::to_owned);
        match named.or(Some(path).filter(|path| path != ".")) {
            Some(field) => Problem::field(&field, message),
            None => Problem::request("json", message),
        }
    })?;
    parser.end().map_err(|_| Problem::request("json", "the body has more text after its JSON object"))?;
    Ok(value)
}

/// What serde says, without names of Rust and without the place in the line.
fn in_words(message: &str) -> String {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    [("i64", "a whole number"), ("u64", "a whole number from 0 up"), ("f32", "a number"), ("f64", "a number")]
        .into_iter()
        .fold(message.to_owned(), |message, (rust, words)| message.replace(rust, words))
}

/// A model of pictures; `param` is the field that named it.
fn painter(entry: &Entry, model: Model, param: &str) -> Answer<Arc<Painter>> {
    match model {
        Model::Pictures(painter) => Ok(painter),
        Model::Text(_) => Err(Problem::field(param, format!("{} is a model of text; use /v1/completions", entry.id))),
    }
}

/// Refuses a model without a latent space for what needs one; `param` is the field that asks for that.
fn needs_latent(entry: &Entry, painter: &Painter, param: &str, what: &str) -> Answer<()> {
    if painter.sampler.has_latent() {
        return Ok(());
    }
    Err(Problem::field(param, format!("{} has no latent space, which {what} needs", entry.id)))
}

/// A model of text.
fn author(entry: &Entry, model: Model) -> Answer<Arc<Author>> {
    match model {
        Model::Text(author) => Ok(author),
        Model::Pictures(_) => {
            Err(Problem::field("model", format!("{} is a model of pictures; use /v1/images/generations", entry.id)))
        }
    }
}

/// `value`, or `default` where there is none, if it lies between `least` and `most`.
fn within<T: PartialOrd + std::fmt::Display + Copy>(
    param: &str,
    value: Option<T>,
    default: T,
    least: T,
    most: T,
) -> Answer<T> {
    let value = value.unwrap_or(default);
    if value >= least && value <= most {
        return Ok(value);
    }
    Err(Problem::field(param, format!("{param} {value} is out of range: {least} to {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        n: Option<i64>,
        name: String,
    }

    fn problem(text: &str) -> serde_json::Value {
        serde_json::to_value(read::<Body>(text.as_bytes()).unwrap_err()).unwrap()["error"].clone()
    }

    #[test]
    fn the_field_at_fault_is_named() {
        for (text, param) in [
            (r#"{"name": "a", "n": 1.5}"#, "n"),
            (r#"{"name": "a", "n": "1"}"#, "n"),
            (r#"{"name": 3}"#, "name"),
            (r#"{"n": 1}"#, "name"),
            (r#"{"name": "a", "m": 1}"#, "m"),
        ] {
            assert_eq!(problem(text)["param"], param, "{text}");
        }
        let message = problem(r#"{"name": "a", "n": "1"}"#)["message"].as_str().unwrap().to_owned();
        assert!(
            message.contains("a whole number") && !message.contains("i64") && !message.contains("line"),
            "{message}"
        );
    }

    #[test]
    fn what_is_no_json_is_refused_without_a_field() {
        for text in ["", "{", "[1]", &"[".repeat(100_000), r#"{"name": "a"} x"#, "\u{0}"] {
            assert!(problem(text)["param"].is_null(), "{}", &text[..text.len().min(20)]);
        }
        let body: Body = read(br#"{"name": "a", "n": 2}"#).unwrap();
        assert_eq!((body.n, body.name.as_str()), (Some(2), "a"));
    }
}
