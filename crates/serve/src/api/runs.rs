//! `/v1/runs`: what was trained and what is being trained.

use crate::problem::{Answer, Problem};
use crate::{Server, trash};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use maliang::explain;
use maliang::judge::ScoreName;
use maliang::run::checkpoint;
use maliang::run::dir::RunDir;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{self, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::ToSchema;

/// A log that is followed is looked at this often.
const OFTEN: Duration = Duration::from_millis(500);
/// A run that is being trained logs more often.
const LIVE: Duration = Duration::from_secs(60);
/// What a browser says when it comes back to a stream: the number of the last event that it got.
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");

/// All runs.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunList {
    /// Always "list".
    object: &'static str,
    /// By name.
    data: Vec<Run>,
}

/// A run.
#[derive(Debug, Serialize, ToSchema)]
pub struct Run {
    /// Its name, which is that of its model, too.
    id: String,
    /// Always "run".
    object: &'static str,
    /// "pictures" or "text".
    makes: &'static str,
    /// Steps trained.
    step: u64,
    /// Seconds trained.
    seconds: f64,
    /// The best look so far.
    best: Option<Look>,
    /// When something was last logged, in seconds since 1970.
    updated: u64,
    /// Is it being trained? It logged within the last minute, and wrote no report since, which is the last thing that training does.
    training: bool,
    /// Steps of which there are samples.
    samples: Vec<u64>,
    /// Is there a report?
    report: bool,
    /// Its foremost score, where it was judged; then there are all scores and a card, too.
    judged: Option<ForemostScore>,
    /// Was it explained?
    explained: bool,
    /// All settings, as `run.toml` has them; left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<Value>,
    /// What training had to say, in words; left out in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    /// Links to its pages, `report` and `explanation`, that a browser can open without a key until the server is started anew; left
    /// out in lists.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pages: BTreeMap<String, String>,
}

/// The foremost score of a run that was judged; lower is better.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Judged)]
pub struct ForemostScore {
    /// What it is: the metric, what it looks with, and how many it looked at.
    name: String,
    /// The score.
    value: f64,
    /// Of pictures, what real ones score against each other; of text, what a 5-gram model has.
    beside: f64,
}

/// The foremost score in `scores.json`.
fn judged(run: &RunDir) -> Option<ForemostScore> {
    let scores: Value = serde_json::from_slice(&std::fs::read(run.file("scores.json")).ok()?).ok()?;
    let (name, value, beside) = match scores.pointer("/heldout/bits_per_byte/value") {
        Some(bits) => (ScoreName::HELDOUT_BITS.to_string(), bits, scores.pointer("/heldout/ngram_bits_per_byte")?),
        None => {
            let first = scores.pointer("/scores/0")?;
            (first.get("name")?.as_str()?.to_owned(), first.get("value")?, first.get("floor")?)
        }
    };
    Some(ForemostScore { name, value: value.as_f64()?, beside: beside.as_f64()? })
}

/// A look at a model in training.
#[derive(Debug, Serialize, ToSchema)]
pub struct Look {
    /// After how many steps.
    step: u64,
    /// The held-out score; lower is better.
    score: f64,
}

fn run_of(id: String, run: &RunDir, whole: bool) -> Run {
    let metrics = run.metrics();
    let number = |event: &Map<String, Value>, key: &str| event.get(key).and_then(Value::as_f64);
    let last = |key: &str| metrics.iter().rev().find_map(|event| number(event, key)).unwrap_or(0.0);
    let counters = run.pointed("last").and_then(|directory| checkpoint::counters(&directory).ok());
    let best = counters.and_then(|counters| counters.best).map(|best| Look { step: best.step, score: best.score });
    let written = |name: &str| std::fs::metadata(run.file(name)).and_then(|metadata| metadata.modified()).ok();
    let (logged, reported) = (written("metrics.jsonl"), written("report.html"));
    let training = logged.is_some_and(|at| at.elapsed().is_ok_and(|since| since < LIVE)) && reported < logged;
    let updated = logged.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_secs());
    let text = |event: &Map<String, Value>| Some(event.get("text")?.as_str()?.to_owned());
    let notes = metrics.iter().filter(|event| event.get("event").is_some_and(|kind| kind == "note"));
    Run {
        object: "run",
        makes: run.makes().name(),
        step: last("step") as u64,
        seconds: last("seconds"),
        best,
        updated,
        training,
        samples: run.samples().into_iter().map(|(step, _)| step).collect(),
        report: reported.is_some(),
        judged: judged(run),
        explained: explanation_of(run).is_file(),
        settings: if whole { settings(run) } else { None },
        notes: if whole { notes.filter_map(text).collect() } else { Vec::new() },
        pages: BTreeMap::new(),
        id,
    }
}

/// What `run.toml` says; of the data's place on the server only the name.
fn settings(run: &RunDir) -> Option<Value> {
    let text = std::fs::read_to_string(run.file("run.toml")).ok()?;
    let mut settings = serde_json::to_value(text.parse::<toml::Table>().ok()?).ok()?;
    name_source(&mut settings, |path| Some(path::Path::new(path).file_name()?.to_string_lossy().into_owned()));
    Some(settings)
}

/// Puts a name in the place of the path of a run's data: where that lies on the server is nobody's business.
pub(super) fn name_source(settings: &mut Value, name: impl Fn(&str) -> Option<String>) {
    for part in ["/data/source", "/corpus/source"] {
        if let Some(own) = settings.pointer_mut(part) {
            *own = own.as_str().and_then(&name).map_or(Value::Null, Value::String);
        }
    }
}

/// The run called `id`; as with models, names are only compared.
async fn find(server: &Arc<Server>, id: &str) -> Answer<RunDir> {
    let wanted = id.to_owned();
    let found = server.off(move |server| server.shelf.runs().remove(&wanted)).await?;
    found.ok_or_else(|| Problem::no_run(id))
}

/// All runs.
#[utoipa::path(get, path = "/v1/runs", tag = "runs", responses(
    (status = 200, description = "All runs", body = RunList),
    (status = 401, description = "No key, or a wrong one", body = Problem),
))]
pub async fn list(State(server): State<Arc<Server>>) -> Answer<Json<RunList>> {
    let all = |server: &Server| server.shelf.runs().into_iter().map(|(id, run)| run_of(id, &run, false)).collect();
    Ok(Json(RunList { object: "list", data: server.off(all).await? }))
}

/// One run, with its settings.
#[utoipa::path(get, path = "/v1/runs/{id}", tag = "runs", params(("id" = String, Path, description = "Its name")), responses(
    (status = 200, description = "The run", body = Run),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 404, description = "There is no such run", body = Problem),
))]
pub async fn show(State(server): State<Arc<Server>>, Path(id): Path<String>) -> Answer<Json<Run>> {
    let run = find(&server, &id).await?;
    let shown = server.off(move |server| {
        let shown = run_of(id, &run, true);
        let pages =
            [("report", shown.report), ("explanation", shown.explained)].into_iter().filter(|(_, there)| *there);
        let pages = pages.map(|(page, _)| (page.to_owned(), server.link(&shown.id, page))).collect();
        Run { pages, ..shown }
    });
    Ok(Json(shown.await?))
}

/// The log of a run as server-sent events, one a line, and on as it grows. The number of an event is that of its line: a client
/// that comes back says the last one it got, and goes on behind it.
#[utoipa::path(get, path = "/v1/runs/{id}/events", tag = "runs", params(
    ("id" = String, Path, description = "Its name"),
    ("last-event-id" = Option<u64>, Header, description = "The last event that the client has"),
), responses(
    (status = 200, description = "Events", body = String, content_type = "text/event-stream"),
    (status = 400, description = "This is not the number of an event", body = Problem),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 404, description = "There is no such run", body = Problem),
))]
pub async fn events(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer<impl IntoResponse> {
    let mut sent: usize = match headers.get(LAST_EVENT) {
        None => 0,
        Some(value) => value
            .to_str()
            .ok()
            .and_then(|value| value.parse().ok())
            .ok_or_else(|| Problem::field("last-event-id", "this is not the number of an event"))?,
    };
    let path = find(&server, &id).await?.file("metrics.jsonl");
    let (events, receiver) = mpsc::channel(64);
    tokio::spawn(async move {
        loop {
            let from = path.clone();
            let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(from).unwrap_or_default());
            let text = read.await.unwrap_or_default();
            // A last line without an end is being written.
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            let lines: Vec<&str> = whole.lines().collect();
            // A run that was resumed forgets what came after its checkpoint, and says it again.
            sent = sent.min(lines.len());
            for line in &lines[sent..] {
                sent += 1;
                let event = Event::default().id(sent.to_string()).data(*line);
                if events.send(Ok::<_, Infallible>(event)).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(OFTEN) => {}
                () = events.closed() => return,
                () = server.work.stopping() => return,
            }
        }
    });
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::default()))
}

/// What the model made after so many steps: a labelled grid of pictures, or texts.
#[utoipa::path(get, path = "/v1/runs/{id}/samples/{step}", tag = "runs", params(
    ("id" = String, Path, description = "The run's name"),
    ("step" = u64, Path, description = "One of the run's samples"),
), responses(
    (status = 200, description = "The samples: PNG, or plain text", content((Vec<u8> = "image/png"), (String = "text/plain"))),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 404, description = "There is no such run, or no samples of that step", body = Problem),
))]
pub async fn sample(
    State(server): State<Arc<Server>>,
    Path((id, step)): Path<(String, String)>,
) -> Answer<impl IntoResponse> {
    let run = find(&server, &id).await?;
    let step: u64 = step.parse().map_err(|_| Problem::nothing_here())?;
    let found = run.samples().into_iter().find(|(own, _)| *own == step).ok_or_else(Problem::nothing_here)?.1;
    let kind = if found.extension().is_some_and(|e| e == "png") { "image/png" } else { "text/plain; charset=utf-8" };
    file(&server, found, kind).await
}

/// The run's report, a page by itself.
#[utoipa::path(get, path = "/v1/runs/{id}/report", tag = "runs", params(("id" = String, Path, description = "The run's name")), responses(
    (status = 200, description = "The report", body = String, content_type = "text/html"),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 404, description = "There is no such run, or no report of it", body = Problem),
))]
pub async fn report(State(server): State<Arc<Server>>, Path(id): Path<String>) -> Answer<Response> {
    page(&server, &id, |run| run.file("report.html")).await
}

/// What the run has learned, as a job of the task explain found it: a page by itself.
#[utoipa::path(get, path = "/v1/runs/{id}/explanation", tag = "runs", params(("id" = String, Path, description = "The run's name")), responses(
    (status = 200, description = "The page", body = String, content_type = "text/html"),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 404, description = "There is no such run, or it was not explained", body = Problem),
))]
pub async fn explanation(State(server): State<Arc<Server>>, Path(id): Path<String>) -> Answer<Response> {
    page(&server, &id, explanation_of).await
}

/// The scores of the run, as a job of the task judge found them: `scores.json`.
#[utoipa::path(get, path = "/v1/runs/{id}/scores", tag = "runs", params(("id" = String, Path, description = "The run's name")), responses(
    (status = 200, description = "The scores, with intervals and floors", body = Value),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 404, description = "There is no such run, or it was not judged", body = Problem),
))]
pub async fn scores(State(server): State<Arc<Server>>, Path(id): Path<String>) -> Answer<Response> {
    let path = find(&server, &id).await?.file("scores.json");
    file(&server, path, "application/json").await
}

/// The model card of a run that was judged.
#[utoipa::path(get, path = "/v1/runs/{id}/card", tag = "runs", params(("id" = String, Path, description = "The run's name")), responses(
    (status = 200, description = "The card, in Markdown", body = String, content_type = "text/markdown"),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 404, description = "There is no such run, or it was not judged", body = Problem),
))]
pub async fn card(State(server): State<Arc<Server>>, Path(id): Path<String>) -> Answer<Response> {
    let path = find(&server, &id).await?.file("card.md");
    file(&server, path, "text/markdown; charset=utf-8").await
}

/// What became of a run that was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub struct Deleted {
    /// Its name.
    id: String,
    /// Always "run".
    object: &'static str,
    /// Always true.
    deleted: bool,
    /// Until then it can be restored, in seconds since 1970.
    until: u64,
}

/// Delete a run with its model. For a week it can be restored.
#[utoipa::path(delete, path = "/v1/runs/{id}", tag = "runs", params(("id" = String, Path, description = "Its name")), responses(
    (status = 200, description = "It is gone from all lists", body = Deleted),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 403, description = "The key may not, or the run lies where the server does not train", body = Problem),
    (status = 404, description = "There is no such run", body = Problem),
    (status = 409, description = "It is in work", body = Problem),
))]
pub async fn delete(State(server): State<Arc<Server>>, Path(id): Path<String>) -> Answer<Json<Deleted>> {
    let run = find(&server, &id).await?;
    let until = server
        .off(move |server| {
            if !server.trains(&run) {
                return Err(Problem::forbidden(
                    "delete",
                    "this run is not in the directory in which the server trains, so it cannot be deleted here",
                ));
            }
            let jobs = server.jobs()?;
            let _naming = jobs.naming();
            if jobs.awaits(&run.name())? {
                return Err(Problem::conflict(format!(
                    "a job of the run \"{}\" waits or is in work; cancel it first",
                    run.name()
                )));
            }
            let until = trash::put(&run)?;
            server.shelf.refresh();
            Ok(until)
        })
        .await??;
    Ok(Json(Deleted { id, object: "run", deleted: true, until }))
}

/// Bring back a run that was deleted.
#[utoipa::path(post, path = "/v1/runs/{id}/restore", tag = "runs", params(("id" = String, Path, description = "Its name")), responses(
    (status = 200, description = "The run", body = Run),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 403, description = "The key may not, or the server does not train", body = Problem),
    (status = 404, description = "No run of that name was deleted within the last week", body = Problem),
    (status = 409, description = "There is another run of that name by now", body = Problem),
))]
pub async fn restore(State(server): State<Arc<Server>>, Path(id): Path<String>) -> Answer<Json<Run>> {
    let wanted = id.clone();
    let taken = server.off(move |server| {
        let jobs = server.jobs()?;
        let _naming = jobs.naming();
        if jobs.awaits(&wanted)? {
            return Err(Problem::conflict(format!("a job that waits or is in work makes another run \"{wanted}\"")));
        }
        let taken = trash::take(server.runs(), &wanted);
        server.shelf.refresh();
        taken
    });
    taken.await??;
    show(State(server), Path(id)).await
}

/// Where the page of `maliang explain` lies in a run.
fn explanation_of(run: &RunDir) -> PathBuf {
    run.file(explain::DIRECTORY).join(explain::PAGE)
}

/// A page of ours that brings all it needs with it. In a sandbox it is of no origin: whatever its data said, it could not use
/// this server.
async fn page(server: &Arc<Server>, id: &str, place: impl Fn(&RunDir) -> PathBuf) -> Answer<Response> {
    let path = place(&find(server, id).await?);
    let mut response = file(server, path, "text/html; charset=utf-8").await?;
    let policy = "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";
    let policy = HeaderValue::from_static(policy);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    Ok(response)
}

async fn file(server: &Arc<Server>, path: PathBuf, kind: &'static str) -> Answer<Response> {
    let bytes = server.off(move |_| std::fs::read(path)).await?.map_err(|_| Problem::nothing_here())?;
    Ok(([(header::CONTENT_TYPE, kind)], bytes).into_response())
}
