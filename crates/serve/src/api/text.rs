//! What `/v1/completions` and `/v1/chat/completions` share: the fields of a request, and the writing itself.

use super::{author, within};
use crate::Server;
use crate::metrics::ModelLabels;
use crate::problem::{Answer, Problem};
use crate::work::Part;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use maliang::generate::text::Finish;
use maliang::provenance::label::TRAINED_ALGORITHMIC_MEDIA;
use maliang::provenance::recipe::{self, Sampling};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use utoipa::ToSchema;

/// Tokens of a piece.
pub(super) const MOST_TOKENS: i64 = 32_768;
/// Tokens of a piece where a request does not say.
const TOKENS: i64 = 256;
/// Pieces of a request.
const MOST: i64 = 8;
/// A reader that takes nothing for this long has left without a word.
const STALLED: Duration = Duration::from_secs(30);
/// Characters of a prompt.
pub(super) const LONGEST: usize = 16_384;

/// One text, or several.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub enum Texts {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Texts {
    /// All of them.
    pub fn all(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

/// What a stream may have beside text.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamOptions {
    /// One more event before the end that counts tokens.
    #[serde(default)]
    pub include_usage: bool,
}

/// A struct of a request with the fields that every request for text has.
macro_rules! text_request {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// Name of the model.
            model: String,
            $($(#[$field_doc])* $field: $type,)*
            /// Pieces, 1 to 8 [1].
            n: Option<i64>,
            /// Below 1 more typical, above 1 more surprising, 0 always the likeliest token [1].
            temperature: Option<f32>,
            /// Choose among the likeliest tokens that together have this probability [1].
            top_p: Option<f32>,
            /// Choose among this many likeliest tokens; 0 means no limit [0].
            top_k: Option<i64>,
            /// Choose among tokens at least this many times as likely as the likeliest [0].
            min_p: Option<f32>,
            /// Above 1: tokens that the text already has become less likely [1].
            repetition_penalty: Option<f32>,
            /// Not supported; only 0 is accepted.
            frequency_penalty: Option<f32>,
            /// Not supported; only 0 is accepted.
            presence_penalty: Option<f32>,
            /// The piece ends before the first of these.
            stop: Option<crate::api::text::Texts>,
            /// The same seed gives the same text [a random one].
            seed: Option<u64>,
            /// Events as the text is written, instead of one answer [false].
            #[serde(default)]
            stream: bool,
            /// What a stream may have beside text.
            #[serde(default)]
            stream_options: Option<crate::api::text::StreamOptions>,
            /// The client's user; ignored.
            #[serde(rename = "user")]
            _user: Option<String>,
        }

        impl $name {
            /// What is common to requests for text; the rest is the caller's.
            /// `param` is the field that holds the prompt.
            fn options(
                &mut self,
                param: &'static str,
                prompt: String,
                max_tokens: (&'static str, Option<i64>),
            ) -> crate::api::text::Options {
                crate::api::text::Options {
                    param,
                    prompt: maliang::data::text::cleaned(&prompt),
                    max_tokens,
                    model: std::mem::take(&mut self.model),
                    n: self.n,
                    temperature: self.temperature,
                    top_p: self.top_p,
                    top_k: self.top_k,
                    min_p: self.min_p,
                    repetition_penalty: self.repetition_penalty,
                    penalties: [
                        ("frequency_penalty", self.frequency_penalty),
                        ("presence_penalty", self.presence_penalty),
                    ],
                    stop: self.stop.take().map_or_else(Vec::new, crate::api::text::Texts::all),
                    seed: self.seed,
                }
            }
        }
    };
}
pub(crate) use text_request;

/// What is common to requests for text.
#[derive(Debug)]
pub struct Options {
    /// The name of the field that holds the prompt.
    pub(super) param: &'static str,
    pub(super) prompt: String,
    /// The name and value of the field that limits tokens.
    pub(super) max_tokens: (&'static str, Option<i64>),
    pub(super) model: String,
    pub(super) n: Option<i64>,
    pub(super) temperature: Option<f32>,
    pub(super) top_p: Option<f32>,
    pub(super) top_k: Option<i64>,
    pub(super) min_p: Option<f32>,
    pub(super) repetition_penalty: Option<f32>,
    pub(super) penalties: [(&'static str, Option<f32>); 2],
    pub(super) stop: Vec<String>,
    pub(super) seed: Option<u64>,
}

impl Options {
    /// The request, if it can be done, and how many pieces are wanted.
    fn checked(self) -> Answer<(String, recipe::Request, usize)> {
        let n = within("n", self.n, 1, 1, MOST)? as usize;
        let (name, tokens) = self.max_tokens;
        let max_tokens = within(name, tokens, TOKENS, 1, MOST_TOKENS)? as usize;
        if let Some((name, _)) = self.penalties.iter().find(|(_, value)| value.is_some_and(|value| value != 0.0)) {
            return Err(Problem::field(
                name,
                format!("{name} is not supported; repetition_penalty has a similar effect"),
            ));
        }
        if self.prompt.chars().count() > LONGEST {
            return Err(Problem::field(self.param, format!("the prompt is too long: at most {LONGEST} characters")));
        }
        let d = Sampling::default();
        let sampling = Sampling {
            temperature: within("temperature", self.temperature, d.temperature, 0.0, 10.0)?,
            top_k: within("top_k", self.top_k, 0, 0, i64::from(u32::MAX))? as usize,
            top_p: within("top_p", self.top_p, d.top_p, f32::MIN_POSITIVE, 1.0)?,
            min_p: within("min_p", self.min_p, d.min_p, 0.0, 1.0)?,
            repetition_penalty: within("repetition_penalty", self.repetition_penalty, 1.0, 1.0, 10.0)?,
        };
        let seed = self.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
        let request = recipe::Request { prompt: self.prompt, sampling, max_tokens, stop: self.stop, seed };
        request.check().map_err(|error| Problem::of(error, "stop"))?;
        Ok((self.model, request, n))
    }
}

/// The label of one piece, as GB 45438 and IPTC want it, and how to write the piece again.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TextLabel {
    /// The implicit label of GB 45438-2025.
    aigc: Value,
    /// IPTC's word for what a trained model made.
    digital_source_type: &'static str,
    /// What repeats the text.
    recipe: Value,
}

/// Tokens of a request.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
pub struct Usage {
    /// Of the prompt.
    pub prompt_tokens: usize,
    /// Written, of all pieces.
    pub completion_tokens: usize,
    /// Both.
    pub total_tokens: usize,
}

/// OpenAI's word for why a piece ended.
pub fn reason(finish: &Finish) -> &'static str {
    if *finish == Finish::Length { "length" } else { "stop" }
}

/// Writing that was begun.
pub struct Writing {
    /// The model's name.
    pub model: String,
    /// One a piece.
    pub labels: Vec<TextLabel>,
    /// What the pieces begin with.
    pub prompt: String,
    prompt_tokens: usize,
    parts: mpsc::Receiver<Part>,
    place: OwnedSemaphorePermit,
    server: Arc<Server>,
}

/// A piece that is whole.
#[derive(Debug, Default)]
pub struct Whole {
    /// What was written behind the prompt.
    pub text: String,
    /// Why it ended.
    pub reason: &'static str,
}

/// Begins to write.
///
/// # Errors
/// The request cannot be used, or the server is full.
pub async fn begin(server: &Arc<Server>, options: Options) -> Answer<Writing> {
    let param = options.param;
    let (id, request, n) = options.checked()?;
    let place = server.work.admit()?;
    let (entry, model) = server.model(&id).await?;
    let author = author(&entry, model)?;
    // What the model has never seen is said before anything is written: a stream has no status to change.
    let tokens = author.tokens(&request.prompt).map_err(|error| Problem::of(error, param))?;
    let prompt_tokens = tokens.len();
    let label = |index: u64| {
        let provenance = author.provenance(&server.label, &request, index);
        let value = |json: String| serde_json::from_str(&json).unwrap_or(Value::Null);
        TextLabel {
            aigc: value(provenance.aigc_json()),
            digital_source_type: TRAINED_ALGORITHMIC_MEDIA,
            recipe: value(provenance.recipe_json()),
        }
    };
    let labels = (0..n as u64).map(label).collect();
    let prompt = request.prompt.clone();
    let parts = server.work.text(author, tokens, request, 0..n as u64);
    Ok(Writing { model: entry.id, labels, prompt, prompt_tokens, parts, place, server: Arc::clone(server) })
}

impl Writing {
    fn usage(&self, completion_tokens: usize) -> Usage {
        let labels = ModelLabels { model: self.model.clone() };
        self.server.metrics.tokens.get_or_create(&labels).inc_by(completion_tokens as u64);
        let prompt_tokens = self.prompt_tokens;
        Usage { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
    }

    /// Waits until all pieces are whole.
    ///
    /// # Errors
    /// The model failed.
    pub async fn all(&mut self) -> Answer<(Vec<Whole>, Usage)> {
        let mut pieces: Vec<Whole> = self.labels.iter().map(|_| Whole::default()).collect();
        let mut written = 0;
        while let Some(part) = self.parts.recv().await {
            match part {
                Part::Text { choice, text } => pieces[choice].text += &text,
                Part::End { choice, finish, tokens } => {
                    pieces[choice].reason = reason(&finish);
                    written += tokens;
                }
                Part::Failed(problem) => return Err(problem),
            }
        }
        // The writer's end was not heard of: it fell over.
        if pieces.iter().any(|piece| piece.reason.is_empty()) {
            return Err(Problem::bug());
        }
        Ok((pieces, self.usage(written)))
    }

    /// The pieces as events: `head`, and one choice of a piece, whose text `says` puts into the endpoint's own fields. The first and the
    /// last event of a piece have its label. At the end comes `[DONE]`, before it the count of tokens if it is wanted.
    pub fn stream(
        mut self,
        usage: bool,
        head: Value,
        says: impl Fn(Happening) -> Value + Send + Sync + 'static,
    ) -> Response {
        let (events, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            let data = |value: &Value| Ok::<_, Infallible>(Event::default().data(value.to_string()));
            let event = |choice: usize, happening: Happening, reason: Option<&str>| {
                let (mut event, mut own) = (head.clone(), says(happening));
                own["index"] = json!(choice);
                own["logprobs"] = Value::Null;
                own["finish_reason"] = json!(reason);
                event["choices"] = json!([own]);
                event
            };
            let (mut written, mut open) = (0, self.labels.len());
            for (choice, label) in self.labels.iter().enumerate() {
                let mut begin = event(choice, Happening::Begin, None);
                begin["choices"][0]["label"] = json!(label);
                if events.send_timeout(data(&begin), STALLED).await.is_err() {
                    return;
                }
            }
            loop {
                // A client that leaves while nothing is said is noticed here, and the writer by its closed channel.
                let part = tokio::select! {
                    part = self.parts.recv() => part,
                    () = events.closed() => return,
                };
                let value = match part {
                    None if open == 0 => break,
                    // The writer's end was not heard of: it fell over.
                    None => {
                        let problem = serde_json::to_value(Problem::bug()).unwrap_or_default();
                        let _ = events.send_timeout(data(&problem), STALLED).await;
                        return;
                    }
                    Some(Part::Text { choice, text }) => event(choice, Happening::Text(text), None),
                    Some(Part::End { choice, finish, tokens }) => {
                        (written, open) = (written + tokens, open.saturating_sub(1));
                        let mut end = event(choice, Happening::End, Some(reason(&finish)));
                        end["choices"][0]["label"] = json!(self.labels.get(choice));
                        end
                    }
                    Some(Part::Failed(problem)) => {
                        open = 0;
                        serde_json::to_value(problem).unwrap_or_default()
                    }
                };
                if events.send_timeout(data(&value), STALLED).await.is_err() {
                    return;
                }
            }
            let counted = self.usage(written);
            if usage {
                let mut last = head.clone();
                last["choices"] = json!([]);
                last["usage"] = json!(counted);
                if events.send_timeout(data(&last), STALLED).await.is_err() {
                    return;
                }
            }
            let _ = events.send_timeout(Ok(Event::default().data("[DONE]")), STALLED).await;
            drop(self.place);
        });
        Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::default()).into_response()
    }
}

/// What happens to a piece in a stream.
#[derive(Debug)]
pub enum Happening {
    /// It begins.
    Begin,
    /// It goes on.
    Text(String),
    /// It has ended.
    End,
}
