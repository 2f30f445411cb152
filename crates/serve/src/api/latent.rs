//! `/v1/images/interpolations` and `/v1/images/projections`: ways through the latent space, and into it.

use super::images::{Image, ImageList, MOST, class, images, list_of, points, to_make};
use super::{Fields, needs_latent, painter, within};
use crate::Server;
use crate::problem::{Answer, Problem};
use axum::Json;
use axum::extract::State;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maliang::data::DataConfig;
use maliang::generate::inversion::{self, Found, Method};
use maliang::generate::latent::slerp;
use maliang::generate::picture::encode_png;
use maliang::picture::Picture;
use maliang::provenance::recipe::Recipe;
use maliang::run::dir::RunDir;
use maliang::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Anchors of a walk.
const ANCHORS: i64 = 16;
/// Pictures of a walk where a request does not say.
const FRAMES: i64 = 16;

/// A walk that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InterpolationRequest {
    /// Name of the model.
    model: String,
    /// Points of the model's latent space to walk through, 2 to 16.
    through: Vec<Vec<f32>>,
    /// Pictures in all, the first and the last point among them; 2 to 64 [16].
    n: Option<i64>,
    /// Class by name: the walk stays in one [the first].
    class: Option<String>,
    /// The point of the latent space of each picture, in the answer [false].
    #[serde(default)]
    with_latent: bool,
}

/// Walk from point to point of the latent space, along the spheres that random points lie near (slerp).
#[utoipa::path(post, path = "/v1/images/interpolations", tag = "images", request_body = InterpolationRequest, responses(
    (status = 200, description = "The pictures on the way", body = ImageList),
    (status = 400, description = "The request cannot be used; `param` names the field", body = Problem),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 404, description = "There is no such model", body = Problem),
    (status = 429, description = "The server is full; Retry-After says when to try again", body = Problem),
))]
pub async fn interpolate(
    State(server): State<Arc<Server>>,
    Fields(request): Fields<InterpolationRequest>,
) -> Answer<Json<ImageList>> {
    let n = within("n", request.n, FRAMES, 2, MOST)? as usize;
    within("through", Some(request.through.len() as i64), 0, 2, ANCHORS)?;
    let _place = server.work.admit()?;
    let (entry, model) = server.model(&request.model).await?;
    let painter = painter(&entry, model, "model")?;
    needs_latent(&entry, &painter, "model", "a walk")?;
    let sampler = &painter.sampler;
    let anchors = points("through", request.through, sampler.info.config.noise(), None)?;
    let class = class(sampler, request.class.as_deref(), "")?.unwrap_or(0);
    let last = anchors.len() - 1;
    let on_the_way = |i: usize| {
        let at = i as f32 / (n - 1) as f32 * last as f32;
        let from = (at as usize).min(last - 1);
        slerp(&anchors[from], &anchors[from + 1], at - from as f32)
    };
    let path: Vec<Vec<f32>> = (0..n).map(on_the_way).collect();
    let list = (0..n as u64).map(|index| to_make(&entry.id, sampler, Some(class), (0, index), 1.0)).collect();
    let data = images(&server, &entry.id, &painter, list, Some(path), request.with_latent).await?;
    Ok(Json(list_of(entry.id, sampler, data)))
}

/// A picture that is to be found in a model.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectionRequest {
    /// Name of the model.
    model: String,
    /// A picture file as base64.
    image: String,
    /// Class by name [that of the nearest picture].
    class: Option<String>,
    /// Seed of the points where the search begins [0].
    seed: Option<u64>,
}

/// Where a picture lies in a model.
#[derive(Debug, Serialize, ToSchema)]
pub struct Projection {
    /// Name of the model.
    model: String,
    /// BLAKE3 of the model file.
    model_hash: String,
    /// How it was found: "label" is exact, "encoder" and "search" are near.
    method: &'static str,
    /// Root mean square difference of the rebuilt picture from the given one, in levels of 255.
    levels: f64,
    /// The rebuilt picture and its point of the latent space.
    image: Image,
}

/// Find a picture in a model: the point of its latent space that makes the picture most like it. It is read from the label of a
/// picture that the model made itself, encoded where the model has an encoder, and else searched for, which takes seconds and gives way to other
/// requests at each step.
#[utoipa::path(post, path = "/v1/images/projections", tag = "images", request_body = ProjectionRequest, responses(
    (status = 200, description = "Where it lies", body = Projection),
    (status = 400, description = "The request cannot be used; `param` names the field", body = Problem),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 404, description = "There is no such model", body = Problem),
    (status = 413, description = "The body is too large; make the picture smaller", body = Problem),
    (status = 429, description = "The server is full; Retry-After says when to try again", body = Problem),
))]
pub async fn project(
    State(server): State<Arc<Server>>,
    Fields(request): Fields<ProjectionRequest>,
) -> Answer<Json<Projection>> {
    let place = server.work.admit()?;
    let file = BASE64_STANDARD
        .decode(request.image.as_bytes())
        .map_err(|_| Problem::field("image", "this is not valid base64"))?;
    let (entry, model) = server.model(&request.model).await?;
    let painter = painter(&entry, model, "model")?;
    needs_latent(&entry, &painter, "model", "the search for a given picture")?;
    let sampler = &painter.sampler;
    let class = class(sampler, request.class.as_deref(), "")?;
    let seed = request.seed.unwrap_or(0);
    let (own, path, eyes) = (Arc::clone(&painter), entry.path.clone(), server.settings.weights.clone());
    let found = server
        .work
        .turns(move |give_way| {
            // Computed to its end even for a client that has left, so the place is held until then.
            let _place = place;
            let sampler = &own.sampler;
            let run = RunDir::is_run(&path).then(|| RunDir::new(&path).config().ok()).flatten();
            let (picture, recipe) = read(&file, &inversion::prepared_as(sampler, run))?;
            let from_label = recipe.and_then(|recipe| inversion::from_label(sampler, &picture, &recipe));
            if let Some(found) = from_label.filter(|found| class.is_none_or(|class| class == found.class)) {
                return Ok(found);
            }
            let eyes = eyes.filter(|_| !sampler.encodes());
            let eyes =
                eyes.and_then(|store| store.efficientnet_lite0(&maliang::device::cpu()).transpose()).transpose()?;
            let request = inversion::Request { class, seed, eyes: eyes.as_ref() };
            Ok::<Found, Problem>(inversion::invert(sampler, &picture, &request, &|_, _| give_way()))
        })
        .await??;
    let method = match found.method {
        Method::Label => "label",
        Method::Encoder => "encoder",
        Method::Search { .. } => "search",
    };
    let mut provenance = sampler.provenance(&server.label, seed, 0, Some(found.class), 1.0, &found.words());
    provenance.recipe.z = Some(found.z.clone());
    let name = sampler.info.config.classes().get(found.class).cloned();
    let image = Image::of_point(&encode_png(&found.picture, &provenance)?, name, found.z);
    let model_hash = sampler.hash.clone();
    Ok(Json(Projection { model: entry.id, model_hash, method, levels: found.levels, image }))
}

/// The picture in a file, and how it was made if its label says so.
fn read(file: &[u8], config: &DataConfig) -> Answer<(Picture, Option<Recipe>)> {
    let io = |e: std::io::Error| Error::new(ErrorKind::Io, format!("a temporary file cannot be written: {e}"));
    let aside = tempfile::NamedTempFile::new().map_err(io)?;
    std::fs::write(aside.path(), file).map_err(io)?;
    inversion::read(aside.path(), config).map_err(|_| Problem::field("image", "this file cannot be read as a picture"))
}
