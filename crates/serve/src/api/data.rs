//! `/v1/data`: what can be trained on.

use super::Fields;
use super::jobs::is_name;
use crate::Server;
use crate::jobs::{JobRequest, Task};
use crate::problem::{Answer, Problem};
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio_stream::StreamExt;
use utoipa::ToSchema;

/// Files that can be sources of data.
const ENDINGS: [&str; 5] = ["zip", "txt", "md", "jsonl", "gz"];

/// How the name of a file begins that is still being sent.
const PARTIAL: &str = ".upload-";
/// Looking at a source takes this long at most.
const LOOKING: Duration = Duration::from_secs(120);
/// One look at a time, of so many that may wait for it: they take no place of those who generate.
static LOOKS: Semaphore = Semaphore::const_new(1);
static PLACES: Semaphore = Semaphore::const_new(MOST_LOOKS);
const MOST_LOOKS: usize = 4;
/// Bytes that it may say.
const MOST_SAID: u64 = 16 << 20;

/// All sources.
#[derive(Debug, Serialize, ToSchema)]
pub struct SourceList {
    /// Always "list".
    object: &'static str,
    /// By name.
    data: Vec<DataSource>,
}

/// Something to train on.
#[derive(Debug, Serialize, ToSchema)]
pub struct DataSource {
    /// Its name, for jobs.
    id: String,
    /// Always "data".
    object: &'static str,
    /// Bytes of a file; nothing for a folder.
    bytes: Option<u64>,
}

/// Sources by name: what lies in the data roots, and what was sent here.
fn sources(server: &Server) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for root in server.settings.data.iter().chain([&server.settings.uploads()]) {
        for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let ending =
                path.extension().is_some_and(|e| ENDINGS.contains(&e.to_string_lossy().to_lowercase().as_str()));
            if !name.starts_with('.') && (path.is_dir() || ending) {
                found.entry(name).or_insert(path);
            }
        }
    }
    found
}

/// What the trainer is given for a source; names are only compared. `emoji:GROUP` are pictures that are built in.
pub fn find_source(server: &Server, id: &str) -> Answer<String> {
    if id.strip_prefix("emoji:").is_some_and(is_name) {
        return Ok(id.to_owned());
    }
    let found = sources(server).remove(id).and_then(|path| std::path::absolute(path).ok());
    found.map(|path| path.to_string_lossy().into_owned()).ok_or_else(|| {
        Problem::field(
            "source",
            "there is no data source of this name; GET /v1/data lists them, and emoji:animals is built in",
        )
    })
}

/// All sources.
#[utoipa::path(get, path = "/v1/data", tag = "data", responses(
    (status = 200, description = "All sources", body = SourceList),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 403, description = "The key may not, or the server does not train", body = Problem),
))]
pub async fn list(State(server): State<Arc<Server>>) -> Answer<Json<SourceList>> {
    let found = server.off(sources).await?;
    let bytes = |path: &PathBuf| path.metadata().ok().filter(|m| m.is_file()).map(|m| m.len());
    let data =
        found.iter().map(|(id, path)| DataSource { id: id.clone(), object: "data", bytes: bytes(path) }).collect();
    Ok(Json(SourceList { object: "list", data }))
}

/// Send a file: a .zip of pictures, or a text. The body is the file itself.
#[utoipa::path(post, path = "/v1/data/{name}", tag = "data", params(("name" = String, Path, description = "Its name, with its ending")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
    (status = 201, description = "It can be trained on", body = DataSource),
    (status = 400, description = "The name or the file cannot be used", body = Problem),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 403, description = "The key may not, or the server does not train", body = Problem),
    (status = 409, description = "There is a source of that name", body = Problem),
    (status = 413, description = "The file is too large", body = Problem),
    (status = 507, description = "The disk is full, or all that may be kept is", body = Problem),
))]
pub async fn upload(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    request: Request,
) -> Answer<(StatusCode, Json<DataSource>)> {
    server.jobs()?;
    let directory = server.settings.uploads();
    let (stem, ending) = name.rsplit_once('.').unwrap_or((&name, ""));
    if !is_file_name(&name) || stem.trim().is_empty() || !ENDINGS.contains(&ending.to_lowercase().as_str()) {
        let message =
            format!("a name has no slashes, does not begin with a dot, and ends with one of: .{}", ENDINGS.join(" ."));
        return Err(Problem::field("name", message));
    }
    let path = directory.join(&name);
    let wanted = name.clone();
    let taken = || Problem::conflict(format!("there is a data source \"{name}\" already; choose another name"));
    let (is_taken, mut kept) = server.off(move |server| (sources(server).contains_key(&wanted), kept(server))).await?;
    if is_taken {
        return Err(taken());
    }
    let refused = |error: std::io::Error| {
        tracing::error!(%error, "an upload cannot be stored");
        Problem::not_stored()
    };
    tokio::fs::create_dir_all(&directory).await.map_err(refused)?;
    // It gets its name when it is whole. One that breaks off leaves nothing: the file goes with its guard.
    let partial = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(&directory).map_err(refused)?;
    let mut file = tokio::fs::File::from_std(partial.reopen().map_err(refused)?);
    let (mut body, mut bytes) = (request.into_body().into_data_stream(), 0);
    while let Some(chunk) = body.next().await {
        let chunk =
            chunk.map_err(|_| Problem::request("body", "the file did not arrive completely, or not in time"))?;
        bytes += chunk.len() as u64;
        if bytes > server.settings.upload {
            return Err(Problem::too_large(server.settings.upload as usize));
        }
        kept += chunk.len() as u64;
        if kept > server.settings.uploaded {
            return Err(Problem::uploads_full(server.settings.uploaded));
        }
        file.write_all(&chunk).await.map_err(refused)?;
    }
    // What was written last may have failed, and only this says so.
    file.flush().await.map_err(refused)?;
    file.sync_all().await.map_err(refused)?;
    if file.metadata().await.map_err(refused)?.len() != bytes {
        return Err(Problem::not_stored());
    }
    partial.persist_noclobber(&path).map_err(|error| match error.error.kind() {
        // Another client was faster with this name.
        std::io::ErrorKind::AlreadyExists => taken(),
        _ => refused(error.error),
    })?;
    Ok((StatusCode::CREATED, Json(DataSource { id: name, object: "data", bytes: Some(bytes) })))
}

/// Delete a file that was sent here. What lies in the data directories of the server stays.
#[utoipa::path(delete, path = "/v1/data/{name}", tag = "data", params(("name" = String, Path, description = "Its name")), responses(
    (status = 200, description = "It is gone", body = DeletedData),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 403, description = "The key may not, or the server does not train", body = Problem),
    (status = 404, description = "No such file was sent here", body = Problem),
    (status = 409, description = "A job that waits or is in work needs it", body = Problem),
))]
pub async fn delete(State(server): State<Arc<Server>>, Path(name): Path<String>) -> Answer<Json<DeletedData>> {
    server.jobs()?;
    server
        .off(move |server| {
            let path = server.settings.uploads().join(&name);
            if !is_file_name(&name) || !path.is_file() {
                return Err(Problem::nothing_here());
            }
            if server.jobs()?.needs(&name)? {
                return Err(Problem::conflict(format!(
                    "a job that waits or is in work needs \"{name}\"; cancel it first"
                )));
            }
            std::fs::remove_file(&path).map_err(|error| {
                tracing::error!(%error, "an upload cannot be deleted");
                Problem::not_stored()
            })?;
            Ok(Json(DeletedData { id: name, object: "data", deleted: true }))
        })
        .await?
}

/// A file that was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeletedData {
    /// Its name.
    id: String,
    /// Always "data".
    object: &'static str,
    /// Always true.
    deleted: bool,
}

/// A name as browsers give it to a file, that names nothing but a file of one directory.
fn is_file_name(name: &str) -> bool {
    let odd = |c: char| c.is_control() || matches!(c, '/' | '\\');
    (1..=200).contains(&name.len()) && !name.starts_with('.') && !name.contains(odd)
}

/// Bytes of all files that were sent here.
fn kept(server: &Server) -> u64 {
    let files = std::fs::read_dir(server.settings.uploads()).into_iter().flatten().flatten();
    files.filter_map(|entry| entry.metadata().ok()).filter(|of| of.is_file()).map(|of| of.len()).sum()
}

/// Removes what uploads have left that broke off with the server.
pub fn sweep(directory: &std::path::Path) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Look at a source as `maliang data check` does: counts, sizes, what is broken, what repeats.
#[utoipa::path(get, path = "/v1/data/{name}/check", tag = "data", params(("name" = String, Path, description = "Its name")), responses(
    (status = 200, description = "What was found", body = Value),
    (status = 400, description = "It cannot be trained on; the message says why", body = Problem),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 403, description = "The key may not, or the server does not train", body = Problem),
))]
pub async fn check(State(server): State<Arc<Server>>, Path(name): Path<String>) -> Answer<Json<Value>> {
    let (output, _) = look(&server, name.clone(), &["data", "check", "--json"], Vec::new()).await?;
    let mut found: Value = serde_json::from_slice(&output.stdout).map_err(|_| Problem::bug())?;
    // Where its data lies on the server is nobody's business.
    if let Some(source) = found.get_mut("source") {
        *source = name.into();
    }
    Ok(Json(found))
}

/// What training on a source would choose, and why.
#[derive(Debug, Serialize, ToSchema)]
pub struct Plan {
    /// What was found and what is chosen, a line each, as the command line says it.
    said: Vec<String>,
    /// Every setting, as `run.toml` would have them.
    settings: Value,
}

/// What would be chosen for a source, and why; nothing is trained. The fields are those of a job, `source` aside.
#[utoipa::path(post, path = "/v1/data/{name}/plan", tag = "data", params(("name" = String, Path, description = "Its name")),
    request_body = JobRequest, responses(
    (status = 200, description = "What would be chosen", body = Plan),
    (status = 400, description = "It cannot be trained on so; the message says why", body = Problem),
    (status = 401, description = "No key, or a wrong one", body = Problem),
    (status = 403, description = "The key may not, or the server does not train", body = Problem),
))]
pub async fn plan(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    Fields(request): Fields<JobRequest>,
) -> Answer<Json<Plan>> {
    super::jobs::check(&request)?;
    if request.task != Task::Train || request.resume.is_some() || request.source.is_some() {
        return Err(Problem::field(
            "task",
            "only training of a new run can be planned, on the data source in the path: leave out task, source and resume",
        ));
    }
    let (output, source) = look(&server, name.clone(), &["train", "--dry-run"], request.choices()).await?;
    let settings = std::str::from_utf8(&output.stdout).ok().and_then(|text| text.parse::<toml::Table>().ok());
    let mut settings = settings.and_then(|table| serde_json::to_value(table).ok()).ok_or_else(Problem::bug)?;
    super::runs::name_source(&mut settings, |_| Some(name.clone()));
    let said = String::from_utf8_lossy(&output.stderr).replace(&source, &name).lines().map(str::to_owned).collect();
    Ok(Json(Plan { said, settings }))
}

/// What a program says, to a bound, and how it ends.
async fn output(mut command: Command) -> std::io::Result<Output> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr, status) = tokio::join!(bounded(out), bounded(err), child.wait());
    Ok(Output { status: status?, stdout: stdout?, stderr: stderr? })
}

/// The first bytes of what is said; who says more finds nobody listening.
async fn bounded(said: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(said) = said {
        said.take(MOST_SAID).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// Has the program look at a source. It is a process of its own, as for training: what somebody sent here cannot take the server
/// along, and it has so much time and no more. Also returns what the program was given as the source.
async fn look(server: &Arc<Server>, name: String, command: &[&str], flags: Vec<String>) -> Answer<(Output, String)> {
    let _place = PLACES.try_acquire().map_err(|_| Problem::busy(MOST_LOOKS))?;
    let trainer = server.jobs()?.trainer().to_owned();
    let source = server.off(move |server| find_source(server, &name)).await??;
    let mut child = crate::jobs::at_low_priority(&trainer);
    child.args(command).arg(&source).args(flags).kill_on_drop(true);
    let look = async {
        // Each takes all cores and much memory: one at a time.
        let _turn = LOOKS.acquire().await;
        output(child).await
    };
    let output = tokio::time::timeout(LOOKING, look).await.map_err(|_| {
        let message =
            format!("checking it takes longer than {} seconds; a job can train on it nevertheless", LOOKING.as_secs());
        Problem::field("name", message)
    })?;
    let output = output.map_err(|_| Problem::bug())?;
    if output.stdout.len() as u64 >= MOST_SAID {
        return Err(Problem::field("name", "the result is too long for an answer; `maliang data check` prints it"));
    }
    if output.status.success() {
        return Ok((output, source));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Problem::field("name", refusal(&said).replace(&source, "it")))
}

/// Why the program refused, and its hint where that speaks neither of the command line nor of a path: a client has neither.
fn refusal(said: &str) -> String {
    let line = |prefix| said.lines().find_map(|line| line.strip_prefix(prefix));
    let error = line("error: ").unwrap_or("it cannot be read");
    let of_use = |hint: &&str| !["--", "`", "/", "\\"].iter().any(|mark| hint.contains(mark));
    line("  try: ").filter(of_use).map_or_else(|| error.to_owned(), |hint| format!("{error}; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_of_the_command_line_are_left_out() {
        assert_eq!(refusal("a: 3 pictures\nerror: no such family\n  try: use vae"), "no such family; use vae");
        assert_eq!(refusal("error: too small\n  try: --size 64"), "too small");
        assert_eq!(refusal("error: too small\n  try: look into /tmp"), "too small");
        assert_eq!(refusal(""), "it cannot be read");
    }
}
