//! `/v1/models`: what there is to generate with.

use crate::Server;
use crate::problem::{Answer, Problem};
use crate::shelf::{Entry, Model};
use axum::Json;
use axum::extract::{Path, State};
use maliang::provenance::bundle::Makes;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

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
    /// dcgan, fastgan, projected, vae, gpt or lstm.
    family: String,
    /// BLAKE3 of the model file.
    hash: String,
    /// Width and height of its pictures, as `size` takes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<String>,
    /// The classes that can be asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<String>,
    /// Length of its latent vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    latent: Option<usize>,
    /// Tokens that it sees at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<usize>,
}

fn card(entry: Entry, details: Option<Details>) -> ModelCard {
    let makes = match entry.makes {
        Makes::Pictures => "pictures",
        Makes::Text => "text",
    };
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
    let details = match &*model {
        Model::Pictures(sampler) => {
            let config = &sampler.info.config;
            Details {
                family: config.family().to_owned(),
                hash: sampler.hash.clone(),
                size: Some(format!("{}x{}", config.stack().width, config.stack().height)),
                classes: config.classes().to_vec(),
                latent: Some(config.z_dim()),
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
