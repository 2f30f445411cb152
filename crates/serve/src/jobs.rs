//! Jobs: training, judging and explaining, a queue on disk that is worked off one at a time.
//!
//! A job is a child process, `maliang train` and its like, at low priority: generation comes first, a crash or a lack of memory ends
//! the job and not the server, and what a job does is what the command line does. The queue is a SQLite file. When the server
//! stops, the job in work saves and goes back to the head of the queue; when it starts again, a run goes on where it was, and
//! what does not save begins anew.

use crate::problem::{Answer, Problem};
use crate::{lock, now};
use maliang::makes::Makes;
use maliang::run::dir::RunDir;
use maliang::{Error, ErrorKind, Result};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use utoipa::ToSchema;

/// Jobs that wait, at most.
const MOST_WAITING: i64 = 100;
/// Lines of what a job says that are kept: the first ones say what was chosen and why, the last ones how it ended.
const LINES: usize = 60;
/// How a program ends that was stopped before it had anything to save.
const INTERRUPTED: i32 = 130;
/// A trainer that was asked to stop has this long to save.
const SAVING: Duration = Duration::from_secs(60);

/// What a job does, as the command line calls it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Train a new run, or go on with one.
    #[default]
    Train,
    /// Score a run against real data, look for copies and collapse; its report, scores and card are there afterwards.
    Judge,
    /// Show what a run has learned.
    Explain,
}

impl Task {
    /// The command of the program.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Judge => "judge",
            Self::Explain => "explain",
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobRequest {
    /// train, judge or explain; train where nothing is said.
    #[serde(default)]
    pub task: Task,
    /// The run that is judged or explained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Generated pictures (from 10) or pieces of text (from 4) that are judged [2000, 64].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
    /// What pictures are judged with: randomconv, effnetlite0 or inception; randomconv where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<String>,
    /// A data source by name, as `GET /v1/data` lists them. Left out with `resume`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// A run that is to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<String>,
    /// Name of the new run [that of the source, with a number].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A family by name, as `GET /version` lists them, or auto, which is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Minutes of training. Of a run that is resumed: in all, those included that it has had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<f64>,
    /// Steps of training, counted in the same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Side of the pictures in pixels, or "64x48".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Seed of all random numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

impl JobRequest {
    /// What was chosen, as flags of the command line.
    pub fn choices(&self) -> Vec<String> {
        let flag = |name: &str, value: Option<String>| value.map(|value| [name.to_owned(), value]);
        let number = |value: Option<u64>| value.map(|value| value.to_string());
        [
            flag("--model", self.model.clone()),
            flag("--size", self.size.clone()),
            flag("--seed", number(self.seed)),
            flag("--minutes", self.minutes.map(|minutes| minutes.to_string())),
            flag("--steps", number(self.steps)),
            flag("-n", number(self.n)),
            flag("--features", self.features.clone()),
        ]
        .into_iter()
        .flatten()
        .flatten()
        .collect()
    }
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// It waits.
    Queued,
    /// It is in work.
    Running,
    /// It is done; of training, the budget is used up or the score no longer improved.
    Done,
    /// It could not be done; `said` tells why.
    Failed,
    /// Somebody ended it; a run that it trained can go on.
    Cancelled,
}

impl JobState {
    fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    fn of(name: &str) -> Self {
        [Self::Queued, Self::Running, Self::Done, Self::Cancelled]
            .into_iter()
            .find(|state| state.name() == name)
            .unwrap_or(Self::Failed)
    }
}

/// A job.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Job {
    /// Its number.
    pub id: i64,
    /// Always "job".
    pub object: &'static str,
    /// Where it is.
    pub state: JobState,
    /// What was asked for.
    pub request: JobRequest,
    /// The run that it trains, judges or explains.
    pub run: String,
    /// How many are before it, where it waits.
    pub position: Option<usize>,
    /// Seconds that are left of its budget, where it trains and that is known.
    pub eta: Option<f64>,
    /// When it was asked for, in seconds since 1970.
    pub created: i64,
    /// When it began.
    pub started: Option<i64>,
    /// When it ended.
    pub ended: Option<i64>,
    /// What the program said: what was chosen and why, and how it ended.
    pub said: Vec<String>,
}

/// The queue.
pub struct Jobs {
    db: Mutex<Connection>,
    /// The program that trains, judges and explains.
    trainer: PathBuf,
    /// Where runs are made.
    runs: PathBuf,
    /// Something in the queue has changed.
    changed: Notify,
    /// The job in work is to end.
    cancelled: Notify,
    /// Held by who looks for the name of a new run, until its job is in the queue.
    naming: Mutex<()>,
    /// Held as long as this server works the queue off.
    _owner: std::fs::File,
}

impl Jobs {
    /// The queue in the file at `path`; nothing where another server works it off. What was in work when the last server ended waits
    /// again, first of all.
    ///
    /// # Errors
    /// The file cannot be opened or is not a queue of ours.
    pub fn open(path: &Path, trainer: PathBuf, runs: PathBuf) -> Result<Option<Self>> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(|e| Error::io("create", directory, &e))?;
        }
        // The system gives the lock back when a server ends, however it ends.
        let place = path.with_extension("lock");
        let owner = std::fs::File::options().create(true).truncate(false).write(true).open(&place);
        let owner = owner.map_err(|e| Error::io("create", &place, &e))?;
        if matches!(owner.try_lock(), Err(std::fs::TryLockError::WouldBlock)) {
            return Ok(None);
        }
        let wrong = |e: rusqlite::Error| {
            Error::new(ErrorKind::Corrupt, format!("the queue of jobs {} cannot be used: {e}", path.display()))
                .hint("move it away to begin with an empty one; runs are not touched by that")
        };
        let db = Connection::open(path).map_err(wrong)?;
        db.busy_timeout(Duration::from_secs(5)).map_err(wrong)?;
        db.execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE IF NOT EXISTS jobs (
                 id INTEGER PRIMARY KEY, place REAL NOT NULL, state TEXT NOT NULL, request TEXT NOT NULL, source TEXT NOT NULL,
                 run TEXT NOT NULL, created INTEGER NOT NULL, started INTEGER, ended INTEGER, said TEXT NOT NULL DEFAULT ''
             ) STRICT;
             UPDATE jobs SET state = 'queued', place = (SELECT min(place) FROM jobs) - 1 WHERE state = 'running';
             UPDATE jobs SET ended = unixepoch() WHERE state = 'cancelled' AND ended IS NULL;",
        )
        .map_err(wrong)?;
        Ok(Some(Self {
            db: Mutex::new(db),
            trainer,
            runs,
            changed: Notify::new(),
            cancelled: Notify::new(),
            naming: Mutex::new(()),
            _owner: owner,
        }))
    }

    /// Is there a job that waits or is in work, and trains on this source?
    ///
    /// # Errors
    /// The disk refused.
    pub fn needs(&self, source: &str) -> Answer<bool> {
        let open = self.list()?.into_iter().filter(|job| matches!(job.state, JobState::Queued | JobState::Running));
        Ok(open.into_iter().any(|job| job.request.source.as_deref() == Some(source)))
    }

    /// The program that trains.
    pub fn trainer(&self) -> &Path {
        &self.trainer
    }

    /// Nobody else gives or takes back the name of a run meanwhile.
    pub fn naming(&self) -> MutexGuard<'_, ()> {
        lock(&self.naming)
    }

    fn db(&self) -> MutexGuard<'_, Connection> {
        lock(&self.db)
    }

    /// A new job at the end of the queue. `source` is what the program is given: data to train on, or a run to look at.
    ///
    /// # Errors
    /// Too many wait.
    pub fn add(&self, request: &JobRequest, source: &str, run: &str) -> Answer<Job> {
        let db = self.db();
        let waiting: i64 = db.query_row("SELECT count(*) FROM jobs WHERE state = 'queued'", [], |row| row.get(0))?;
        if waiting >= MOST_WAITING {
            return Err(Problem::many_jobs(MOST_WAITING));
        }
        let json = serde_json::to_string(request).map_err(|_| Problem::bug())?;
        db.execute(
            "INSERT INTO jobs (place, state, request, source, run, created)
             VALUES ((SELECT coalesce(max(place), 0) + 1 FROM jobs), 'queued', ?, ?, ?, ?)",
            params![json, source, run, now() as i64],
        )?;
        let id = db.last_insert_rowid();
        drop(db);
        self.changed.notify_one();
        self.get(id)
    }

    /// All jobs: the one in work, those that wait in their order, then what has ended, the latest first.
    ///
    /// # Errors
    /// The disk refused.
    pub fn list(&self) -> Answer<Vec<Job>> {
        let db = self.db();
        let mut statement = db.prepare(
            "SELECT * FROM jobs ORDER BY CASE state WHEN 'running' THEN 0 WHEN 'queued' THEN 1 ELSE 2 END, ended IS NOT NULL,
             CASE state WHEN 'queued' THEN place ELSE -coalesce(ended, 0) END, id LIMIT 1000",
        )?;
        let mut jobs: Vec<Job> = statement.query_map([], job)?.collect::<rusqlite::Result<_>>()?;
        jobs.iter_mut().for_each(|job| self.without_paths(job));
        let mut before = 0;
        for job in &mut jobs {
            if job.state == JobState::Queued {
                job.position = Some(before);
                before += 1;
            }
            self.estimate(job);
        }
        Ok(jobs)
    }

    /// One job.
    ///
    /// # Errors
    /// There is none of that number.
    pub fn get(&self, id: i64) -> Answer<Job> {
        let db = self.db();
        let found = db.query_row("SELECT * FROM jobs WHERE id = ?", [id], job).optional()?;
        let mut job = found.ok_or_else(|| Problem::no_job(id))?;
        self.without_paths(&mut job);
        if job.state == JobState::Queued {
            let before = "SELECT count(*) FROM jobs AS other, jobs AS own
                          WHERE own.id = ? AND other.state = 'queued' AND (other.place, other.id) < (own.place, own.id)";
            job.position = Some(db.query_row(before, [id], |row| row.get::<_, i64>(0))? as usize);
        }
        drop(db);
        self.estimate(&mut job);
        Ok(job)
    }

    /// Is a job of this run not done yet?
    ///
    /// # Errors
    /// The disk refused.
    pub fn awaits(&self, run: &str) -> Answer<bool> {
        let query = "SELECT EXISTS (SELECT 1 FROM jobs WHERE run = ? AND ended IS NULL)";
        Ok(self.db().query_row(query, [run], |row| row.get(0))?)
    }

    /// Ends a job: one that waits at once, one in work as soon as it has saved.
    ///
    /// # Errors
    /// There is none of that number, or it has ended.
    pub fn cancel(&self, id: i64) -> Answer<Job> {
        let waiting = self.db().execute(
            "UPDATE jobs SET state = 'cancelled', ended = ? WHERE id = ? AND state = 'queued'",
            params![now() as i64, id],
        )?;
        let job = self.get(id)?;
        if waiting == 0 {
            if job.state != JobState::Running {
                return Err(Problem::conflict(format!("job {id} has ended already")));
            }
            self.db().execute("UPDATE jobs SET state = 'cancelled' WHERE id = ? AND state = 'running'", [id])?;
            self.cancelled.notify_one();
        }
        self.get(id)
    }

    /// Puts a job that waits at `position` among those that do.
    ///
    /// # Errors
    /// There is none of that number, or it does not wait.
    pub fn place(&self, id: i64, position: usize) -> Answer<Job> {
        let waiting: Vec<Job> = self.list()?.into_iter().filter(|job| job.state == JobState::Queued).collect();
        if waiting.iter().all(|job| job.id != id) {
            let job = self.get(id)?;
            return Err(Problem::conflict(format!("job {id} is {}: only a queued job can be moved", job.state.name())));
        }
        let mut order: Vec<i64> = waiting.iter().map(|job| job.id).filter(|other| *other != id).collect();
        order.insert(position.min(order.len()), id);
        let mut db = self.db();
        let change = db.transaction()?;
        for (place, id) in order.iter().enumerate() {
            change.execute("UPDATE jobs SET place = ? WHERE id = ?", params![place as f64, id])?;
        }
        change.commit()?;
        drop(db);
        self.get(id)
    }

    /// Seconds that a job in work has left of its budget.
    fn estimate(&self, job: &mut Job) {
        if job.state != JobState::Running || job.request.task != Task::Train {
            return;
        }
        let run = RunDir::new(self.runs.join(&job.run));
        let train = match run.makes() {
            Makes::Pictures => run.config().map(|config| config.train),
            Makes::Text => run.text_config().map(|config| config.train),
        };
        let metrics = run.metrics();
        let last = |key: &str| metrics.iter().rev().find_map(|event| event.get(key)?.as_f64());
        let (Ok(train), Some(seconds), Some(step)) = (train, last("seconds"), last("step")) else { return };
        let by_time = (train.minutes > 0.0).then_some(train.minutes * 60.0 - seconds);
        let by_steps = (train.steps > 0 && step > 0.0).then(|| (train.steps as f64 - step).max(0.0) * seconds / step);
        job.eta = [by_time, by_steps].into_iter().flatten().reduce(f64::min).map(|left| left.max(0.0));
    }

    /// Works the queue off until `stop`.
    pub async fn work(self: Arc<Self>, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        loop {
            let next = self.next();
            let Ok(Some((id, request, source, run))) = next else {
                if let Err(error) = next {
                    tracing::error!(%error, "the queue of jobs cannot be read");
                }
                tokio::select! {
                    () = &mut stop => return,
                    () = self.changed.notified() => {}
                    () = tokio::time::sleep(Duration::from_secs(5)) => {}
                }
                continue;
            };
            let mut child = match self.start(&request, &source, &run) {
                Ok(child) => child,
                Err(error) => {
                    self.end(id, JobState::Failed, &format!("the trainer cannot be started: {error}"));
                    continue;
                }
            };
            tracing::info!(job = id, run, task = request.task.name(), "job begun");
            let said = Arc::new(Mutex::new(Said::default()));
            let listener = child.stderr.take().map(|err| tokio::spawn(listen(err, Arc::clone(&said))));
            let mut stopped = false;
            let status = loop {
                tokio::select! {
                    status = child.wait() => break status.ok(),
                    // The job that was meant may have ended by itself before it heard of it: then this is another one.
                    () = self.cancelled.notified() => if self.is_cancelled(id) { terminate(&mut child) },
                    () = &mut stop, if !stopped => {
                        stopped = true;
                        terminate(&mut child);
                        if let Ok(status) = tokio::time::timeout(SAVING, child.wait()).await {
                            break status.ok();
                        }
                        let _ = child.kill().await;
                    }
                    () = tokio::time::sleep(Duration::from_secs(1)) => self.say(id, &text(&said)),
                }
            };
            if let Some(listener) = listener {
                let _ = tokio::time::timeout(Duration::from_secs(5), listener).await;
            }
            let said = text(&said);
            let well = status.is_some_and(|status| status.success());
            // A run has been saved, and one that was not goes on from its last look; what judges or explains loses nothing by
            // beginning anew. Only what has failed by itself does not come again.
            let ended_by_signal = status.is_none_or(|status| status.code().is_none_or(|code| code == INTERRUPTED));
            if stopped && !self.is_cancelled(id) && (well || ended_by_signal || request.task != Task::Train) {
                self.say(id, &said);
                let _ = self.db().execute("UPDATE jobs SET state = 'queued' WHERE id = ? AND state = 'running'", [id]);
                return;
            }
            let state = if well { JobState::Done } else { JobState::Failed };
            tracing::info!(job = id, run, state = state.name(), "job ended");
            self.end(id, state, &said);
            if stopped {
                return;
            }
        }
    }

    /// The first job that waits; it no longer does.
    fn next(&self) -> rusqlite::Result<Option<(i64, JobRequest, String, String)>> {
        let db = self.db();
        let query = "SELECT id, request, source, run FROM jobs WHERE state = 'queued' ORDER BY place, id LIMIT 1";
        let row = |row: &Row| Ok((row.get(0)?, parsed(&row.get::<_, String>(1)?), row.get(2)?, row.get(3)?));
        let found: Option<(i64, JobRequest, String, String)> = db.query_row(query, [], row).optional()?;
        if let Some((id, ..)) = &found {
            db.execute(
                "UPDATE jobs SET state = 'running', started = coalesce(started, ?) WHERE id = ?",
                params![now() as i64, id],
            )?;
        }
        Ok(found)
    }

    fn start(&self, request: &JobRequest, source: &str, run: &str) -> std::io::Result<Child> {
        let out = self.runs.join(run);
        let mut command = at_low_priority(&self.trainer);
        command.arg(request.task.name());
        if request.task != Task::Train {
            command.arg(source).args(request.choices());
        } else if RunDir::is_run(&out) {
            // Of a run only its budget may change.
            let budget = JobRequest { minutes: request.minutes, steps: request.steps, ..JobRequest::default() };
            command.arg(&out).args(budget.choices());
        } else {
            command.arg(source).arg("--out").arg(&out).args(request.choices());
        }
        // Ctrl-C in a terminal goes to all processes of a group: this one is told to save by the server, and once.
        #[cfg(unix)]
        command.process_group(0);
        command.env("MALIANG_PARENT", std::process::id().to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn()
    }

    /// Names runs by their names in what was said: where they lie on the server is nobody's business.
    fn without_paths(&self, job: &mut Job) {
        let Ok(runs) = std::path::absolute(&self.runs) else { return };
        let runs = format!("{}/", runs.display());
        job.said.iter_mut().for_each(|line| *line = line.replace(&runs, ""));
    }

    /// Did somebody end it?
    fn is_cancelled(&self, id: i64) -> bool {
        self.get(id).is_ok_and(|job| job.state == JobState::Cancelled)
    }

    fn say(&self, id: i64, said: &str) {
        let _ = self.db().execute("UPDATE jobs SET said = ? WHERE id = ?", params![said, id]);
    }

    /// Notes the end. One that was cancelled stays so, however its process ended.
    fn end(&self, id: i64, state: JobState, said: &str) {
        let change = "UPDATE jobs SET said = ?, ended = ?, state = CASE state WHEN 'cancelled' THEN state ELSE ? END WHERE id = ?";
        if let Err(error) = self.db().execute(change, params![said, now() as i64, state.name(), id]) {
            tracing::error!(%error, job = id, "the queue of jobs cannot be written");
        }
    }
}

/// A program at low priority, by the one that does that everywhere but on Windows.
pub fn at_low_priority(program: &Path) -> Command {
    if !cfg!(unix) {
        return Command::new(program);
    }
    let mut nice = Command::new("nice");
    nice.args(["-n", "10"]).arg(program);
    nice
}

/// The first and the last lines that a trainer says.
#[derive(Default)]
struct Said {
    first: Vec<String>,
    last: std::collections::VecDeque<String>,
}

fn text(said: &Mutex<Said>) -> String {
    let said = lock(said);
    said.first.iter().chain(&said.last).map(|line| format!("{line}\n")).collect()
}

async fn listen(err: tokio::process::ChildStderr, said: Arc<Mutex<Said>>) {
    let mut lines = BufReader::new(err).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut said = lock(&said);
        if said.first.len() < LINES {
            said.first.push(line);
        } else {
            said.last.push_back(line);
            if said.last.len() > LINES {
                said.last.pop_front();
            }
        }
    }
}

/// Asks a trainer to save and end.
fn terminate(child: &mut Child) {
    #[cfg(unix)]
    if let Some(pid) = child.id().and_then(|id| rustix::process::Pid::from_raw(id as i32)) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    #[cfg(not(unix))]
    let _ = child.start_kill();
}

fn job(row: &Row) -> rusqlite::Result<Job> {
    let (said, source): (String, String) = (row.get("said")?, row.get("source")?);
    let request = parsed(&row.get::<_, String>("request")?);
    // Where its data lies on the server is nobody's business.
    let said = match &request.source {
        Some(name) if !source.is_empty() => said.replace(&source, name),
        _ => said,
    };
    Ok(Job {
        id: row.get("id")?,
        object: "job",
        state: JobState::of(&row.get::<_, String>("state")?),
        request,
        run: row.get("run")?,
        position: None,
        eta: None,
        created: row.get("created")?,
        started: row.get("started")?,
        ended: row.get("ended")?,
        said: said.lines().map(str::to_owned).collect(),
    })
}

/// A request that another version wrote may have fields that this one does not know: what it trains is in its run.
fn parsed(json: &str) -> JobRequest {
    serde_json::from_str(json).unwrap_or_default()
}
