//! `/v1/jobs`: training, judging, explaining.

use super::Fields;
use super::data::find_source;
use crate::Server;
use crate::jobs::{Job, JobRequest, Task};
use crate::problem::{Answer, Problem};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use maliang::families;
use maliang::makes::Makes;
use maliang::run::dir::RunDir;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Longest name of a run, in bytes.
const LONGEST: usize = 100;

/// All jobs.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobList {
    /// Always "list".
    object: &'static str,
    /// The one in work, those that wait in their order, then what has ended, the latest first.
    data: Vec<Job>,
}

/// Where a job is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceRequest {
    /// How many of those that wait are to be before it.
    position: u32,
}

/// All jobs.
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs", responses(
    (status = 200, description = "All jobs", body = JobList),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 403, description = "The key may not, or the server does not train", body = Problem),
))]
pub async fn list(State(server): State<Arc<Server>>) -> Answer<Json<JobList>> {
    let data = server.off(|server| server.jobs()?.list()).await??;
    Ok(Json(JobList { object: "list", data }))
}

/// Train, judge or explain. The job waits until those before it have ended; the answer says its number and its run.
#[utoipa::path(post, path = "/v1/jobs", tag = "jobs", request_body = JobRequest, responses(
    (status = 201, description = "The job", body = Job),
    (status = 400, description = "The request cannot be used; `param` names the field", body = Problem),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 403, description = "The key may not, or the server does not train", body = Problem),
    (status = 409, description = "There is a run of that name", body = Problem),
    (status = 429, description = "Too many jobs wait", body = Problem),
))]
pub async fn create(
    State(server): State<Arc<Server>>,
    Fields(request): Fields<JobRequest>,
) -> Answer<(StatusCode, Json<Job>)> {
    check(&request)?;
    let job = server.off(move |server| add(server, &request)).await??;
    Ok((StatusCode::CREATED, Json(job)))
}

fn add(server: &Server, request: &JobRequest) -> Answer<Job> {
    let jobs = server.jobs()?;
    // Names of runs are looked for and taken by one request at a time.
    let _naming = jobs.naming();
    if request.task != Task::Train {
        let run = request.run.as_deref().ok_or_else(|| {
            Problem::field("run", format!("a job of the task {} needs the name of a run", request.task.name()))
        })?;
        let dir = known_run(server, "run", run)?;
        let path = std::path::absolute(dir.root()).map_err(|_| Problem::bug())?;
        return jobs.add(request, &path.to_string_lossy(), run);
    }
    if let Some(run) = &request.resume {
        let dir = known_run(server, "resume", run)?;
        if !server.trains(&dir) {
            return Err(Problem::field(
                "resume",
                "this run is not in the directory in which the server trains, so it cannot be resumed here",
            ));
        }
        return jobs.add(request, "", &dir.name());
    }
    let source = request
        .source
        .as_deref()
        .ok_or_else(|| Problem::field("source", "training needs a data source; GET /v1/data lists them"))?;
    let path = find_source(server, source)?;
    let uploads = server.settings.uploads();
    let taken = |name: &str| {
        let path = server.runs().join(name);
        jobs.awaits(name).unwrap_or(false) || path.exists() || path == uploads
    };
    let run = match &request.name {
        Some(name) if taken(name) => return Err(Problem::conflict(format!("there is a run \"{name}\" already"))),
        Some(name) => name.clone(),
        None => {
            let stem = source.rsplit_once('.').map_or(source, |(stem, _)| stem);
            let stem: String = stem.chars().map(|c| if c.is_alphanumeric() || c == '-' { c } else { '-' }).collect();
            (1..).map(|i| format!("{stem}-{i}")).find(|name| !taken(name)).ok_or_else(Problem::bug)?
        }
    };
    jobs.add(request, &path, &run)
}

/// The run that the field `param` names.
fn known_run(server: &Server, param: &str, run: &str) -> Answer<RunDir> {
    let found = server.shelf.runs().remove(run);
    found.ok_or_else(|| {
        Problem::field(param, format!("there is no run \"{}\"; GET /v1/runs lists the runs", run.escape_debug()))
    })
}

/// Refuses what the program would refuse, and what is not a name.
pub fn check(request: &JobRequest) -> Answer<()> {
    let within = |param: &str, ok: bool, may_be: &str| {
        if ok { Ok(()) } else { Err(Problem::field(param, format!("{param} must be {may_be}"))) }
    };
    if let Some(minutes) = request.minutes {
        within("minutes", minutes > 0.0 && minutes <= 100_000.0, "above 0 and at most 100000")?;
    }
    if let Some(steps) = request.steps {
        within("steps", (1..=1_000_000_000).contains(&steps), "1 to 1000000000")?;
    }
    if let Some(model) = &request.model {
        let known = model == "auto" || families::all().any(|family| family.name == model);
        let names = families::names;
        let may_be = format!("auto, {}; for text {}", names(Makes::Pictures), names(Makes::Text));
        within("model", known, &may_be)?;
    }
    if let Some(size) = &request.size {
        let sides: Vec<Option<u32>> = size.split('x').map(|side| side.parse().ok()).collect();
        let ok = (1..=2).contains(&sides.len())
            && sides.iter().all(|side| side.is_some_and(|side| (8..=1024).contains(&side)));
        within("size", ok, "a side in pixels, or WIDTHxHEIGHT")?;
    }
    if let Some(name) = &request.name {
        within("name", is_name(name), "letters, digits, - and _, at most 100 bytes")?;
    }
    let of_training = [
        ("source", request.source.is_some()),
        ("resume", request.resume.is_some()),
        ("name", request.name.is_some()),
        ("model", request.model.is_some()),
        ("minutes", request.minutes.is_some()),
        ("steps", request.steps.is_some()),
        ("size", request.size.is_some()),
    ];
    let of_judging = [("n", request.n.is_some()), ("features", request.features.is_some())];
    let of_both = [("run", request.run.is_some())];
    let strange = match request.task {
        Task::Train => [&of_both[..], &of_judging],
        Task::Judge => [&of_training[..], &[]],
        Task::Explain => [&of_training[..], &of_judging],
    };
    if let Some((param, _)) = strange.concat().iter().find(|(_, given)| *given) {
        return Err(Problem::field(param, format!("a job of the task {} does not take {param}", request.task.name())));
    }
    if let Some(n) = request.n {
        within("n", (4..=100_000).contains(&n), "4 to 100000")?;
    }
    if let Some(features) = &request.features {
        let known = ["randomconv", "effnetlite0", "inception"];
        within("features", known.contains(&features.as_str()), "randomconv, effnetlite0 or inception")?;
    }
    if request.source.is_some() && request.resume.is_some() {
        return Err(Problem::field("resume", "a run that is resumed keeps its data source; leave source out"));
    }
    Ok(())
}

/// Can this be a file's or a run's name, wherever it is joined to a directory?
pub fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_alphanumeric() || "-_".contains(c);
    !name.is_empty() && name.len() <= LONGEST && name.chars().all(good)
}

/// One job.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = i64, Path, description = "Its number")), responses(
    (status = 200, description = "The job", body = Job),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 403, description = "The key may not, or the server does not train", body = Problem),
    (status = 404, description = "There is no such job", body = Problem),
))]
pub async fn show(State(server): State<Arc<Server>>, Path(id): Path<String>) -> Answer<Json<Job>> {
    let id = number(&id)?;
    Ok(Json(server.off(move |server| server.jobs()?.get(id)).await??))
}

/// End a job: one that waits at once, one in work as soon as it has saved. Its run can go on later.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", tag = "jobs", params(("id" = i64, Path, description = "Its number")), responses(
    (status = 200, description = "The job", body = Job),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 403, description = "The key may not, or the server does not train", body = Problem),
    (status = 404, description = "There is no such job", body = Problem),
    (status = 409, description = "It has ended already", body = Problem),
))]
pub async fn cancel(State(server): State<Arc<Server>>, Path(id): Path<String>) -> Answer<Json<Job>> {
    let id = number(&id)?;
    Ok(Json(server.off(move |server| server.jobs()?.cancel(id)).await??))
}

/// Put a job that waits before or behind others.
#[utoipa::path(post, path = "/v1/jobs/{id}/place", tag = "jobs", params(("id" = i64, Path, description = "Its number")),
    request_body = PlaceRequest, responses(
    (status = 200, description = "The job", body = Job),
    (status = 400, description = "The request cannot be used; `param` names the field", body = Problem),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 403, description = "The key may not, or the server does not train", body = Problem),
    (status = 404, description = "There is no such job", body = Problem),
    (status = 409, description = "It does not wait any more", body = Problem),
))]
pub async fn place(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
    Fields(PlaceRequest { position }): Fields<PlaceRequest>,
) -> Answer<Json<Job>> {
    let id = number(&id)?;
    Ok(Json(server.off(move |server| server.jobs()?.place(id, position as usize)).await??))
}

fn number(id: &str) -> Answer<i64> {
    id.parse().map_err(|_| Problem::nothing_here())
}
