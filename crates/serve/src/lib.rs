//! Maliang over HTTP: models of pictures and text behind an API that clients of OpenAI's speak already.
//!
//! [`serve`] is all that the command line calls. [`app`] is the same without sockets, for tests and other servers.
//!
//! * [`shelf`]: which models there are, which are in memory
//! * [`work`]: how they compute for many clients at once
//! * [`jobs`]: training, judging and explaining, one after another
//! * [`trash`]: runs that were deleted
//! * [`api`]: the handlers
//! * [`studio`]: the page
//! * [`guard`]: what every request goes through; [`keys`]: who may do what; [`problem`]: what a client is told
#![deny(missing_docs)]

pub mod api;
pub mod guard;
pub mod jobs;
pub mod keys;
pub mod metrics;
pub mod problem;
pub mod settings;
pub mod shelf;
pub mod studio;
pub mod trash;
pub mod work;

pub use keys::{CurrentKeys, Keys, Scope};
pub use settings::{Log, Settings};

use api::{chat, completions, data, images, jobs as job, latent, models, music, runs, system};
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, Method, header};
use axum::routing::get;
use axum::{Json, Router, middleware};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use jobs::Jobs;
use maliang::provenance::label::Label;
use maliang::run::dir::RunDir;
use maliang::{Error, ErrorKind, Result};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use problem::{Answer, Problem};
use shelf::{Entry, Model, Shelf};
use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use tower_http::timeout::RequestBodyTimeoutLayer;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use work::Work;

/// A lock, also of a thread that fell over while it held it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A server without its socket.
pub struct Server {
    /// How it is set up.
    pub settings: Settings,
    /// Who may do what; nobody is asked where there are none.
    pub keys: CurrentKeys,
    /// The models.
    pub shelf: Shelf,
    /// What computes.
    pub work: Work,
    /// Training, where the settings name a trainer.
    jobs: Option<Arc<Jobs>>,
    /// Where it makes runs.
    runs: PathBuf,
    /// What is counted.
    pub metrics: Arc<metrics::Metrics>,
    /// Who answers for what is generated.
    pub label: Label,
    /// What links are signed with; another one at every start.
    secret: [u8; 32],
}

impl Server {
    /// A server for these settings.
    ///
    /// # Errors
    /// A setting is out of range, or the door would be open.
    pub fn new(settings: Settings, keys: Keys) -> Result<Arc<Self>> {
        settings.check(&keys)?;
        let label = settings.producer.as_deref().map_or_else(|| Ok(Label::default()), Label::registered)?;
        let metrics = Arc::new(metrics::Metrics::default());
        let shelf = Shelf::new(settings.models.clone(), settings.memory);
        let work = Work::new(settings.capacity, Arc::clone(&metrics));
        let runs = settings.runs();
        trash::empty(&runs);
        data::sweep(&settings.uploads());
        let open = |trainer: &PathBuf| {
            Jobs::open(&runs.join("jobs.sqlite"), trainer.clone(), runs.clone()).map(|jobs| jobs.map(Arc::new))
        };
        let jobs = settings.trainer.as_ref().map(open).transpose()?.flatten();
        if settings.trainer.is_some() && jobs.is_none() {
            tracing::warn!(runs = %runs.display(), "another server works on the queue of jobs here; this one does not train");
        }
        let keys = CurrentKeys::new(keys);
        Ok(Arc::new(Self { settings, keys, shelf, work, jobs, runs, metrics, label, secret: rand::random() }))
    }

    /// Does what blocks, or computes a little, on a thread for that.
    async fn off<T: Send + 'static>(self: &Arc<Self>, f: impl FnOnce(&Self) -> T + Send + 'static) -> Answer<T> {
        let own = Arc::clone(self);
        tokio::task::spawn_blocking(move || f(&own)).await.map_err(|_| Problem::bug())
    }

    /// The model called `id`, opened if it is not in memory.
    async fn model(self: &Arc<Self>, id: &str) -> Answer<(Entry, Model)> {
        let id = id.to_owned();
        self.off(move |server| {
            let entry = server.shelf.find(&id).ok_or_else(|| Problem::no_model(&id))?;
            let model = server.shelf.get(&entry)?;
            Ok((entry, model))
        })
        .await?
    }

    /// The queue of jobs.
    fn jobs(&self) -> Answer<&Jobs> {
        self.jobs.as_deref().ok_or_else(|| {
            Problem::forbidden(
                "training",
                "this server does not train: it was started without, or beside another one on the same runs",
            )
        })
    }

    /// Where runs are made.
    fn runs(&self) -> &Path {
        &self.runs
    }

    /// Does a run lie where this server makes them?
    fn trains(&self, run: &RunDir) -> bool {
        run.root().parent() == Some(self.runs())
    }

    /// What stands for a key in a link.
    fn sign(&self, query: &str) -> blake3::Hash {
        blake3::keyed_hash(&self.secret, query.as_bytes())
    }

    /// The link to `page` of the run `id`, which a browser can open without a key until the server is started anew.
    fn link(&self, id: &str, page: &str) -> String {
        let path = format!("/v1/runs/{}/{page}", utf8_percent_encode(id, NON_ALPHANUMERIC));
        let signature = self.sign(&path).to_hex();
        format!("{path}?signature={signature}")
    }

    /// Does the path come from [`link`](Self::link)?
    fn signed_path(&self, path: &str, signature: &str) -> bool {
        blake3::Hash::from_hex(signature).is_ok_and(|signature| signature == self.sign(path))
    }
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Maliang",
    description = "Pictures and text from models of one's own. Speaks OpenAI's API where that has a word for it; fields beyond it \
                   are seed, class, truncation, latent, top_k, min_p and repetition_penalty."
))]
struct Description;

/// All routes, and their description.
fn routes() -> (Router<Arc<Server>>, utoipa::openapi::OpenApi) {
    let (router, mut description) = OpenApiRouter::<Arc<Server>>::with_openapi(Description::openapi())
        .routes(routes!(models::list))
        .routes(routes!(models::show))
        .routes(routes!(models::file))
        .routes(routes!(models::directions))
        .routes(routes!(images::generate))
        .routes(routes!(images::made))
        .routes(routes!(latent::interpolate))
        .routes(routes!(latent::project))
        .routes(routes!(completions::complete))
        .routes(routes!(chat::complete))
        .routes(routes!(music::play))
        .routes(routes!(job::list, job::create))
        .routes(routes!(job::show))
        .routes(routes!(job::cancel))
        .routes(routes!(job::place))
        .routes(routes!(data::list))
        .routes(routes!(data::upload, data::delete))
        .routes(routes!(data::check))
        .routes(routes!(data::plan))
        .routes(routes!(runs::list))
        .routes(routes!(runs::show, runs::delete))
        .routes(routes!(runs::restore))
        .routes(routes!(runs::events))
        .routes(routes!(runs::sample))
        .routes(routes!(runs::report))
        .routes(routes!(runs::explanation))
        .routes(routes!(runs::scores))
        .routes(routes!(runs::card))
        .routes(routes!(system::healthz))
        .routes(routes!(system::readyz))
        .routes(routes!(system::version))
        .routes(routes!(system::metrics))
        .split_for_parts();
    description.info.version = maliang::VERSION.to_owned();
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    description.components.get_or_insert_default().add_security_scheme("key", bearer);
    description.security = Some(vec![SecurityRequirement::new("key", [""; 0])]);
    (router, description)
}

/// The server as a service.
pub fn app(server: &Arc<Server>) -> Router {
    let (router, description) = routes();
    let description = Arc::new(description);
    let origins = server.settings.origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        // Clients such as OpenAI's own send headers of theirs along.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([guard::REQUEST_ID, header::RETRY_AFTER]);
    let inner = router
        .route("/", get(studio::page))
        .route("/studio", get(studio::redirect))
        .route("/docs", get(studio::docs))
        .route("/studio/{file}", get(studio::file))
        .route("/openapi.json", get(move || async move { Json(description.as_ref().clone()) }))
        .fallback(|| async { Problem::nothing_here() })
        .method_not_allowed_fallback(|| async { Problem::method() })
        .layer(DefaultBodyLimit::max(settings::BODY))
        .layer(RequestBodyTimeoutLayer::new(server.settings.patience()))
        .layer(CatchPanicLayer::custom(guard::panicked))
        .layer(middleware::from_fn_with_state(Arc::clone(server), guard::guard))
        .layer(cors)
        .with_state(Arc::clone(server));
    Router::new().fallback_service(tower::service_fn(move |mut request: Request| {
        tidy_path(&mut request);
        inner.clone().oneshot(request)
    }))
}

/// Clients join addresses and paths with a slash too many: `//v1/models` and `/v1/models/` are `/v1/models`.
fn tidy_path(request: &mut Request) {
    let path = request.uri().path();
    if !path.contains("//") && (path == "/" || !path.ends_with('/')) {
        return;
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let query = request.uri().query().map_or(String::new(), |query| format!("?{query}"));
    let Ok(tidy) = format!("/{}{query}", parts.join("/")).parse::<axum::http::uri::PathAndQuery>() else { return };
    let mut uri = request.uri().clone().into_parts();
    uri.path_and_query = Some(tidy);
    if let Ok(uri) = axum::http::Uri::from_parts(uri) {
        *request.uri_mut() = uri;
    }
}

/// Serves until the process is asked to stop (SIGTERM, Ctrl-C), then finishes what is in work. `ready` is told where the server
/// listens and how many models it has.
///
/// # Errors
/// The settings cannot be used, or the address cannot be had.
pub fn serve(settings: Settings, keys: Keys, ready: impl FnOnce(SocketAddr, usize)) -> Result<()> {
    log_as(settings.log);
    let server = Server::new(settings, keys)?;
    let internal = |e: std::io::Error| Error::new(ErrorKind::Io, format!("cannot start the server: {e}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(internal)?;
    let outcome = runtime.block_on(async {
        let address = server.settings.address();
        let listener = TcpListener::bind(address).await.map_err(|e| {
            Error::new(ErrorKind::Io, format!("cannot listen at {address}: {e}"))
                .hint("another program may be using the port; choose another one with --port")
        })?;
        let own = listener.local_addr().map_err(internal)?;
        let stop = asked_to_stop().map_err(internal)?;
        ready(own, server.off(|server| server.shelf.list().len()).await.unwrap_or(0));
        run(listener, &server, stop).await;
        Ok(())
    });
    // Threads that still compute for nobody must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}

/// Answers connections until `stop`, then lets those in work finish, for as long as the settings say.
pub async fn run(listener: TcpListener, server: &Arc<Server>, stop: impl Future<Output = ()>) {
    let app = app(server);
    let training = server.jobs.clone().map(|jobs| {
        let own = Arc::clone(server);
        tokio::spawn(jobs.work(async move { own.work.stopping().await }))
    });
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(server.settings.connections));
    let callers = Callers::new(server.settings.connections.div_ceil(2));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((place, listener.accept().await))
        };
        let (place, accepted) = tokio::select! {
            () = &mut stop => break,
            accepted = accepted => match accepted {
                Some(accepted) => accepted,
                None => break,
            },
        };
        let (stream, caller) = match accepted {
            Ok((stream, address)) => match callers.enter(address.ip()) {
                Some(caller) => (stream, caller),
                // This client has enough connections: others must find a free one.
                None => continue,
            },
            Err(error) => {
                // Out of file descriptors, as a rule: the clients that are here will give theirs back.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(server.settings.patience() * 3));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(server.settings.patience())
            .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(app.clone()));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that breaks off is not an event for the log.
            let _ = connection.await;
            drop((place, caller));
        });
    }
    drop(listener);
    server.work.close();
    tracing::info!(running = server.work.running(), "stopping");
    if tokio::time::timeout(Duration::from_secs(server.settings.drain), graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests were not finished in time");
        server.work.abandon();
    }
    // The run in work saves; it goes on when the server is started again.
    if let Some(training) = training {
        let _ = training.await;
    }
}

/// How many connections each address has.
struct Callers {
    most: usize,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A connection of an address, until it is dropped.
struct Caller(IpAddr, Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Callers {
    fn new(most: usize) -> Self {
        Self { most, open: Arc::default() }
    }

    /// One more connection of this address, unless it has enough.
    fn enter(&self, address: IpAddr) -> Option<Caller> {
        let mut open = lock(&self.open);
        let count = open.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Caller(address, Arc::clone(&self.open)))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let mut open = lock(&self.1);
        match open.get_mut(&self.0) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                open.remove(&self.0);
            }
        }
    }
}

/// Ends at the first signal to stop; the second one ends the process at once.
fn asked_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut signals = {
        use tokio::signal::unix::{SignalKind, signal};
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let (sender, receiver) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut first = Some(sender);
        loop {
            #[cfg(unix)]
            tokio::select! {
                _ = signals.0.recv() => {}
                _ = signals.1.recv() => {}
            }
            #[cfg(not(unix))]
            if tokio::signal::ctrl_c().await.is_err() {
                return;
            }
            match first.take() {
                Some(sender) => {
                    let _ = sender.send(());
                }
                // 128 and the number of SIGINT, as shells have it.
                None => std::process::exit(130),
            }
        }
    });
    Ok(async move {
        let _ = receiver.await;
    })
}

fn log_as(log: Log) {
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false);
    // What cannot be logged (a full disk, nobody reading) is lost: no request fails for it.
    let lines = lines.log_internal_errors(false);
    // A log that is set up already, by a program around this one, stays.
    let _ = match log {
        Log::Off => return,
        Log::Json => lines.json().flatten_event(true).try_init(),
        Log::Text => lines.with_ansi(false).try_init(),
    };
}
