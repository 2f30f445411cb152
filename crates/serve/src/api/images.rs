//! `/v1/images/generations` and the links it gives.

use super::{Fields, needs_latent, painter, within};
use crate::problem::{Answer, Problem};
use crate::shelf::Painter;
use crate::work::Wish;
use crate::{Server, now};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maliang::generate::latent::SEEDED;
use maliang::generate::picture::encode_png;
use maliang::generate::sampler::Sampler;
use maliang::picture::Picture;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Pictures of one request.
pub(super) const MOST: i64 = 64;
/// Farther than this no model was ever trained.
const FARTHEST: f32 = 20.0;
/// How recipes name a latent vector that a client gave.
const GIVEN: &str = "z given by the client";

/// What pictures are wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageRequest {
    /// Name of the model.
    model: String,
    /// The class to make, or empty. These models know classes; they do not read text.
    #[serde(default)]
    prompt: String,
    /// How many, 1 to 64 [1].
    n: Option<i64>,
    /// "auto", or the width and height of the model as "64x64".
    size: Option<String>,
    /// Pictures in the answer, or links to them [b64_json].
    #[serde(default)]
    response_format: ImageForm,
    /// Always "png".
    output_format: Option<String>,
    /// The same seed gives the same pictures [a random one].
    seed: Option<u64>,
    /// Class by name, where the prompt does not say it [each in turn].
    class: Option<String>,
    /// Below 1 more typical and less varied, above 1 the opposite; 0 to 4 [1].
    truncation: Option<f32>,
    /// Points of the model's latent space to make pictures of, one vector each, instead of a seed.
    latent: Option<Vec<Vec<f32>>>,
    /// The point of the latent space of each picture, in the answer [false].
    #[serde(default)]
    with_latent: bool,
    /// The client's user; ignored.
    #[serde(rename = "user")]
    _user: Option<String>,
}

/// How pictures come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageForm {
    /// In the answer, as base64.
    #[default]
    B64Json,
    /// As links that this server answers until it stops.
    Url,
}

/// Pictures, and how to make them again.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImageList {
    /// Seconds since 1970.
    created: u64,
    /// One a picture.
    data: Vec<Image>,
    /// The model.
    model: String,
    /// BLAKE3 of the model file.
    model_hash: String,
    /// Width and height.
    size: String,
    /// Always "png".
    output_format: &'static str,
}

/// One picture.
#[derive(Debug, Serialize, ToSchema)]
pub struct Image {
    /// A labelled PNG as base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    b64_json: Option<String>,
    /// A link to a labelled PNG.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// Its seed, unless a latent vector was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    /// Its number under the seed.
    index: u64,
    /// Its class.
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    /// Its point of the latent space, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    latent: Option<Vec<f32>>,
}

impl Image {
    /// One of a point of the latent space and no seed.
    pub(super) fn of_point(file: &[u8], class: Option<String>, z: Vec<f32>) -> Self {
        let b64_json = Some(BASE64_STANDARD.encode(file));
        Self { b64_json, url: None, seed: None, index: 0, class, latent: Some(z) }
    }
}

/// A picture that a link means; pictures are a function of these, so nothing is stored.
#[derive(Debug, Clone, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// Name of the model.
    model: String,
    /// BLAKE3 of its file, so that a link never shows a picture of another model.
    hash: String,
    /// The seed.
    seed: u64,
    /// The picture's number under the seed.
    index: u64,
    /// Its class.
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    /// Its truncation.
    truncation: f32,
    /// What this server made of the rest; it stands for a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

/// Make pictures.
#[utoipa::path(post, path = "/v1/images/generations", tag = "images", request_body = ImageRequest, responses(
    (status = 200, description = "The pictures", body = ImageList),
    (status = 400, description = "The request cannot be used; `param` names the field", body = Problem),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 404, description = "There is no such model", body = Problem),
    (status = 413, description = "The body is too large", body = Problem),
    (status = 429, description = "The server is full; Retry-After says when to try again", body = Problem),
))]
pub async fn generate(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    Fields(request): Fields<ImageRequest>,
) -> Answer<Json<ImageList>> {
    let n = within("n", request.n, 1, 1, MOST)? as u64;
    let truncation = within("truncation", request.truncation, 1.0, 0.0, 4.0)?;
    if request.output_format.as_ref().is_some_and(|format| format != "png") {
        return Err(Problem::field("output_format", "only png is supported: its label can be read back"));
    }
    if request.with_latent && request.response_format == ImageForm::Url {
        return Err(Problem::field("with_latent", "links have no latent vectors; set response_format to b64_json"));
    }
    if request.latent.is_some() && request.response_format == ImageForm::Url {
        return Err(Problem::field("response_format", "a picture of a given latent vector has no link; use b64_json"));
    }
    let _place = server.work.admit()?;
    let (entry, model) = server.model(&request.model).await?;
    let painter = painter(&entry, model, "model")?;
    if request.latent.is_some() {
        needs_latent(&entry, &painter, "latent", "a picture of a given point")?;
    }
    if request.with_latent {
        needs_latent(&entry, &painter, "with_latent", "an answer with points of it")?;
    }
    let sampler = &painter.sampler;
    let size = size(sampler);
    if let Some(other) = request.size.as_ref().filter(|other| *other != "auto" && **other != size) {
        let other: String = other.chars().take(40).collect();
        let message = format!("{} makes pictures of {size}, not of \"{}\"", entry.id, other.escape_debug());
        return Err(Problem::field("size", message));
    }
    let class = class(sampler, request.class.as_deref(), &request.prompt)?;
    let seed = request.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let given =
        request.latent.map(|latent| points("latent", latent, sampler.info.config.noise(), request.n)).transpose()?;
    let numbers = 0..given.as_ref().map_or(n, |given| given.len() as u64);
    let list: Vec<Made> = numbers.map(|index| to_make(&entry.id, sampler, class, (seed, index), truncation)).collect();
    let data = if request.response_format == ImageForm::Url {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        list.into_iter().map(|made| linked(&server, host, made)).collect()
    } else {
        images(&server, &entry.id, &painter, list, given, request.with_latent).await?
    };
    Ok(Json(list_of(entry.id, sampler, data)))
}

/// What an answer says of pictures.
pub(super) fn list_of(model: String, of: &Sampler, data: Vec<Image>) -> ImageList {
    ImageList { created: now(), data, model, model_hash: of.hash.clone(), size: size(of), output_format: "png" }
}

/// Width and height of a model's pictures.
pub(super) fn size(sampler: &Sampler) -> String {
    let frame = sampler.info.config.frame();
    format!("{}x{}", frame.width, frame.height)
}

/// The picture of a seed and a number under it, of the class that was asked for or that its number has.
pub(super) fn to_make(id: &str, sampler: &Sampler, class: Option<usize>, place: (u64, u64), truncation: f32) -> Made {
    let (seed, index) = place;
    let class = class.unwrap_or_else(|| sampler.class_of(index));
    let class = sampler.info.config.classes().get(class).cloned();
    Made { model: id.to_owned(), hash: sampler.hash.clone(), seed, index, class, truncation, signature: None }
}

/// Pictures in the answer, of seeds or of given points.
pub(super) async fn images(
    server: &Arc<Server>,
    id: &str,
    painter: &Arc<Painter>,
    list: Vec<Made>,
    given: Option<Vec<Vec<f32>>>,
    with_latent: bool,
) -> Answer<Vec<Image>> {
    let from_seed = given.is_none();
    let files = files(server, id, painter, &list, given).await?;
    let image = |(Made { seed, index, class, .. }, (file, z))| {
        let (seed, latent) = (from_seed.then_some(seed), with_latent.then_some(z));
        Image { b64_json: Some(BASE64_STANDARD.encode::<Vec<u8>>(file)), url: None, seed, index, class, latent }
    };
    Ok(list.into_iter().zip(files).map(image).collect())
}

/// The picture that a link means.
#[utoipa::path(get, path = "/v1/images/made", tag = "images", params(Made), responses(
    (status = 200, description = "A labelled PNG", content_type = "image/png"),
    (status = 400, description = "This is not a link of this server", body = Problem),
    (status = 410, description = "The model is another one by now", body = Problem),
    (status = 429, description = "The server is full; Retry-After says when to try again", body = Problem),
))]
pub async fn made(
    State(server): State<Arc<Server>>,
    query: Result<Query<Made>, QueryRejection>,
) -> Answer<impl IntoResponse> {
    let not_ours = || {
        Problem::request(
            "link",
            "this is not a link of this server, or the server was started again since it gave the link",
        )
    };
    let Query(mut made) = query.map_err(|_| not_ours())?;
    let signature = made.signature.take().and_then(|hex| blake3::Hash::from_hex(hex).ok()).ok_or_else(not_ours)?;
    if server.sign(&query_of(&made)) != signature {
        return Err(not_ours());
    }
    let _place = server.work.admit()?;
    let (entry, model) = server.model(&made.model).await?;
    let painter = painter(&entry, model, "model")?;
    if painter.sampler.hash != made.hash {
        return Err(Problem::gone("the file of this model was replaced, so the picture cannot be made again"));
    }
    let (file, _) = files(&server, &entry.id, &painter, &[made], None).await?.pop().ok_or_else(Problem::bug)?;
    Ok(([(header::CONTENT_TYPE, "image/png"), (header::CACHE_CONTROL, "private, max-age=86400")], file))
}

/// A link to a picture, which anyone who has it may follow.
fn linked(server: &Server, host: &str, mut made: Made) -> Image {
    made.signature = Some(server.sign(&query_of(&made)).to_hex().to_string());
    let address = server.settings.public.clone().unwrap_or_else(|| format!("http://{host}"));
    let url = format!("{address}/v1/images/made?{}", query_of(&made));
    let Made { seed, index, class, .. } = made;
    Image { b64_json: None, url: Some(url), seed: Some(seed), index, class, latent: None }
}

fn query_of(made: &Made) -> String {
    serde_urlencoded::to_string(made).expect("a link is plain data")
}

/// The class that a request asks for, by its own field or by the prompt.
pub(super) fn class(sampler: &Sampler, class: Option<&str>, prompt: &str) -> Answer<Option<usize>> {
    let named = |name: &str, param: &str| sampler.class(name).map(Some).map_err(|error| in_api_words(error, param));
    let prompt = prompt.trim();
    match class {
        Some(class) if !prompt.is_empty() && prompt != class => {
            Err(Problem::field("prompt", "prompt and class name different classes; leave one of them out"))
        }
        Some(class) => named(class, "class"),
        None if prompt.is_empty() => Ok(None),
        None => {
            let classes = sampler.info.config.classes();
            if classes.is_empty() {
                let message = "this model has no classes and does not read text; send an empty prompt";
                return Err(Problem::field("prompt", message));
            }
            let same = classes.iter().find(|class| class.to_lowercase() == prompt.to_lowercase());
            named(same.map_or(prompt, String::as_str), "prompt")
        }
    }
}

/// The sentence of the library, and its hint where that does not speak of flags.
fn in_api_words(error: maliang::Error, param: &str) -> Problem {
    let known = error.hint.as_ref().filter(|hint| hint.starts_with("it knows")).map(|hint| format!("; {hint}"));
    Problem::field(param, format!("{}{}", error.message, known.unwrap_or_default()))
}

/// Latent vectors that the model can take; `param` is the field that they came in.
pub(super) fn points(param: &str, latent: Vec<Vec<f32>>, length: usize, n: Option<i64>) -> Answer<Vec<Vec<f32>>> {
    let wrong = |message: String| Err(Problem::field(param, message));
    if latent.is_empty() || latent.len() > MOST as usize {
        return wrong(format!("{} latent vectors were given: 1 to {MOST} are allowed", latent.len()));
    }
    if n.is_some_and(|n| n != latent.len() as i64) {
        return Err(Problem::field(
            "n",
            format!("{} latent vectors were given, so n must be {0} or left out", latent.len()),
        ));
    }
    if let Some(vector) = latent.iter().find(|vector| vector.len() != length) {
        return wrong(format!("a latent vector of this model has {length} numbers, not {}", vector.len()));
    }
    if latent.iter().flatten().any(|v| v.is_nan() || v.abs() > FARTHEST) {
        return wrong(format!("the numbers of a latent vector must lie between -{FARTHEST} and {FARTHEST}"));
    }
    Ok(latent)
}

/// Labelled PNG files of pictures, of seeds or of given points, and the points.
async fn files(
    server: &Arc<Server>,
    id: &str,
    painter: &Arc<Painter>,
    list: &[Made],
    given: Option<Vec<Vec<f32>>>,
) -> Answer<Vec<(Vec<u8>, Vec<f32>)>> {
    let class = |made: &Made| made.class.as_deref().map(|class| painter.sampler.class(class)).transpose();
    let classes: Vec<Option<usize>> = list.iter().map(class).collect::<maliang::Result<_>>()?;
    let z = match &given {
        Some(points) => points.clone(),
        None => {
            let own = Arc::clone(painter);
            let seeds: Vec<_> = list.iter().map(|m| (m.seed, m.index, m.truncation)).collect();
            let points = move |_: &Server| {
                let latent = |(seed, index, psi)| own.sampler.latent(seed, index, psi);
                own.sampler.z(&seeds.into_iter().map(latent).collect::<Vec<_>>())
            };
            server.off(points).await?
        }
    };
    let wish = |(z, class): (Vec<f32>, &Option<usize>)| Wish { z, class: class.unwrap_or(0) };
    let wishes = z.iter().cloned().zip(&classes).map(wish).collect();
    let pictures = server.work.pictures(Arc::clone(painter), wishes).await?;
    server
        .metrics
        .pictures
        .get_or_create(&crate::metrics::ModelLabels { model: id.to_owned() })
        .inc_by(list.len() as u64);

    let (own, list) = (Arc::clone(painter), list.to_vec());
    server
        .off(move |server| {
            let encode = |(i, picture): (usize, &Picture)| {
                let made: &Made = &list[i];
                let words = if given.is_some() { GIVEN } else { SEEDED };
                let mut provenance =
                    own.sampler.provenance(&server.label, made.seed, made.index, classes[i], made.truncation, words);
                provenance.recipe.z = given.as_ref().map(|given| given[i].clone());
                Ok((encode_png(picture, &provenance)?, z[i].clone()))
            };
            pictures.par_iter().enumerate().map(encode).collect()
        })
        .await?
}
