//! `/v1/music`: a tune that a model wrote, to be heard.

use super::text::{LONGEST, MOST_TOKENS};
use super::{Fields, author};
use crate::Server;
use crate::problem::{Answer, Problem};
use crate::work::Part;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use maliang::music::{abc, midi, synth};
use maliang::provenance::recipe;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A tune that is to be heard.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MusicRequest {
    /// Name of the model.
    model: String,
    /// The recipe in the label of a piece that this server wrote: the piece is written again, to the letter.
    #[schema(value_type = Object)]
    recipe: Recipe,
    /// A sound, or notes for players and notation programs [wav].
    #[serde(default)]
    format: MusicForm,
}

/// What of a recipe is needed; what else it says is not.
#[derive(Debug, Deserialize)]
struct Recipe {
    model_hash: String,
    index: u64,
    request: recipe::Request,
}

/// How a tune comes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MusicForm {
    /// Sound.
    #[default]
    Wav,
    /// Notes.
    Midi,
}

/// Hear a piece of music that a model wrote in ABC notation: its first tune with notes, labelled.
#[utoipa::path(post, path = "/v1/music", tag = "text", request_body = MusicRequest, responses(
    (status = 200, description = "The tune", content((Vec<u8> = "audio/wav"), (Vec<u8> = "audio/midi"))),
    (status = 400, description = "The recipe cannot be used, or the piece is no music", body = Problem),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 404, description = "There is no such model", body = Problem),
    (status = 410, description = "The model is another one by now", body = Problem),
    (status = 429, description = "The server is full; Retry-After says when to try again", body = Problem),
))]
pub async fn play(
    State(server): State<Arc<Server>>,
    Fields(MusicRequest { model, recipe, format }): Fields<MusicRequest>,
) -> Answer<impl IntoResponse> {
    let Recipe { model_hash, index, request } = recipe;
    let strange = |message: &str| Problem::field("recipe", message);
    request.check().map_err(|error| Problem::of(error, "recipe"))?;
    if request.max_tokens > MOST_TOKENS as usize || request.prompt.chars().count() > LONGEST || index > u64::MAX / 2 {
        return Err(strange("this recipe is longer than any that this server writes"));
    }
    let _place = server.work.admit()?;
    let (entry, model) = server.model(&model).await?;
    if model.hash() != model_hash {
        return Err(Problem::gone("the file of this model was replaced, so the piece cannot be written again"));
    }
    let author = author(&entry, model)?;
    let tokens = author.tokens(&request.prompt).map_err(|error| Problem::of(error, "recipe"))?;
    let mut piece = request.prompt.clone();
    let mut parts = server.work.text(Arc::clone(&author), tokens, request.clone(), index..index + 1);
    while let Some(part) = parts.recv().await {
        match part {
            Part::Text { text, .. } => piece += &text,
            Part::End { .. } => {}
            Part::Failed(problem) => return Err(problem),
        }
    }
    let (kind, bytes) = server
        .off(move |server| {
            let book = abc::read(&piece);
            let tune = book.tunes.iter().find(|tune| !tune.notes.is_empty());
            let tune = tune.ok_or_else(|| strange("this piece has no notes in ABC notation that can be played"))?;
            let provenance = author.provenance(&server.label, &request, index);
            Ok::<_, Problem>(match format {
                MusicForm::Wav => ("audio/wav", synth::encode(tune, &provenance)?),
                MusicForm::Midi => ("audio/midi", midi::encode(tune, &provenance)?),
            })
        })
        .await??;
    Ok(([(header::CONTENT_TYPE, kind)], bytes))
}
