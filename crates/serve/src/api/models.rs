//! `/v1/models`: what there is to generate with.

use super::images::size;
use super::{needs_latent, painter};
use crate::Server;
use crate::problem::{Answer, Problem};
use crate::shelf::{Entry, Model};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use maliang::explain::Order;
use maliang::generate::locate;
use serde::Serialize;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::ToSchema;

/// Bytes of a file that are read at once.
const PART: usize = 1 << 18;

/// A list, as OpenAI's API has it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelList {
    /// Always "list".
    object: &'static str,
    /// By name.
    data: Vec<ModelCard>,
}

/// A model: OpenAI's four fields, and ours.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelCard {
    /// What to call it in a request.
    id: String,
    /// Always "model".
    object: &'static str,
    /// When its file was written, in seconds since 1970.
    created: u64,
    /// Always "maliang".
    owned_by: &'static str,
    /// What it makes: "pictures" or "text".
    makes: &'static str,
    /// More of it; left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

/// What a model file says of itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct Details {
    /// Its family, as `GET /version` lists them.
    family: String,
    /// BLAKE3 of the model file.
    hash: String,
    /// Width and height of its pictures, as `size` takes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<String>,
    /// The classes that can be asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<String>,
    /// Length of its latent vectors; left out where it has no latent space.
    #[serde(skip_serializing_if = "Option::is_none")]
    latent: Option<usize>,
    /// Tokens that it sees at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<usize>,
}

fn card(entry: Entry, details: Option<Details>) -> ModelCard {
    let makes = entry.makes.name();
    ModelCard { id: entry.id, object: "model", created: entry.created, owned_by: "maliang", makes, details }
}

/// All models.
#[utoipa::path(get, path = "/v1/models", tag = "models", responses(
    (status = 200, description = "All models", body = ModelList),
    (status = 401, description = "No key, or a wrong one", body = Problem),
))]
pub async fn list(State(server): State<Arc<Server>>) -> Answer<Json<ModelList>> {
    let entries = server.off(|server| server.shelf.list()).await?;
    let data = entries.into_iter().map(|entry| card(entry, None)).collect();
    Ok(Json(ModelList { object: "list", data }))
}

/// One model, with what it can be asked for.
#[utoipa::path(get, path = "/v1/models/{id}", tag = "models", params(("id" = String, Path, description = "Its name")), responses(
    (status = 200, description = "The model", body = ModelCard),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 404, description = "There is no such model", body = Problem),
))]
pub async fn show(State(server): State<Arc<Server>>, Path(id): Path<String>) -> Answer<Json<ModelCard>> {
    let (entry, model) = server.model(&id).await?;
    let details = match &model {
        Model::Pictures(painter) => {
            let (sampler, config) = (&painter.sampler, &painter.sampler.info.config);
            Details {
                family: config.family().to_owned(),
                hash: sampler.hash.clone(),
                size: Some(size(sampler)),
                classes: config.classes().to_vec(),
                latent: sampler.has_latent().then(|| config.noise()),
                context: None,
            }
        }
        Model::Text(author) => {
            let config = &author.info.config;
            Details {
                family: config.family().to_owned(),
                hash: author.hash.clone(),
                size: None,
                classes: Vec::new(),
                latent: None,
                context: Some(config.context()),
            }
        }
    };
    Ok(Json(card(entry, Some(details))))
}

/// The model as one file of safetensors, which `maliang generate` and `maliang serve` take on any machine. It says itself what
/// it is, what it was trained on and when.
#[utoipa::path(get, path = "/v1/models/{id}/file", tag = "models", params(("id" = String, Path, description = "Its name")), responses(
    (status = 200, description = "The file", body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 404, description = "There is no such model", body = Problem),
))]
pub async fn file(State(server): State<Arc<Server>>, Path(id): Path<String>) -> Answer<impl IntoResponse> {
    let wanted = id.clone();
    let found = server.off(move |server| locate::file(&server.shelf.find(&wanted)?.path).ok()).await?;
    let path = found.ok_or_else(|| Problem::no_model(&id))?;
    let mut file = tokio::fs::File::open(&path).await.map_err(|_| Problem::no_model(&id))?;
    let bytes = file.metadata().await.map_err(|_| Problem::bug())?.len();
    let (parts, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        loop {
            let mut part = Vec::with_capacity(PART);
            let read = (&mut file).take(PART as u64).read_to_end(&mut part).await;
            // A client that has left, or the end.
            if matches!(read, Ok(0)) || parts.send(read.map(|_| part)).await.is_err() {
                return;
            }
        }
    });
    let plain: String =
        id.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, bytes.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{plain}.safetensors\"")),
    ];
    Ok((headers, Body::from_stream(ReceiverStream::new(receiver))))
}

/// Directions of a model's latent space along which its pictures change.
#[derive(Debug, Serialize, ToSchema)]
pub struct DirectionList {
    /// Always "list".
    object: &'static str,
    /// What they are ordered by: "eigenvalue" (SeFa), "kl" or "sensitivity".
    order: &'static str,
    /// The strongest first, 16 at most.
    data: Vec<DirectionCard>,
}

/// One direction: add a multiple of it to a point of the latent space.
#[derive(Debug, Serialize, ToSchema)]
pub struct DirectionCard {
    /// A unit vector.
    vector: Vec<f32>,
    /// What it is ordered by.
    weight: f64,
    /// Mean absolute change of a number of the picture by a step of 1, in levels of 255.
    effect: f64,
}

/// Directions along which a model's pictures change: those that `explain` found, or what the weights tell by themselves.
#[utoipa::path(get, path = "/v1/models/{id}/directions", tag = "models", params(("id" = String, Path, description = "Its name")), responses(
    (status = 200, description = "The directions", body = DirectionList),
    (status = 400, description = "It writes text, has no latent space, or its latent vectors are too long", body = Problem),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 404, description = "There is no such model", body = Problem),
    (status = 429, description = "The server is full; Retry-After says when to try again", body = Problem),
))]
pub async fn directions(State(server): State<Arc<Server>>, Path(id): Path<String>) -> Answer<Json<DirectionList>> {
    let _place = server.work.admit()?;
    let (entry, model) = server.model(&id).await?;
    let painter = painter(&entry, model, "id")?;
    needs_latent(&entry, &painter, "id", "a list of directions")?;
    let list = move || {
        let found = painter.directions(&entry.path)?;
        let order = match found.order {
            Order::Eigenvalue => "eigenvalue",
            Order::Kl => "kl",
            Order::Sensitivity => "sensitivity",
        };
        let card = |own: &maliang::explain::Direction| DirectionCard {
            vector: own.vector.clone(),
            weight: own.weight,
            effect: own.effect,
        };
        Ok(Json(DirectionList { object: "list", order, data: found.list.iter().map(card).collect() }))
    };
    server.work.turn(list).await?
}
