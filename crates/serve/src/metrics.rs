//! What Prometheus reads at `/metrics`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;

/// Seconds, from a page to a long text.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];
/// Pictures of a batch.
const PICTURES: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// Path as the router knows it, method and status.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    /// The path's pattern, not the path: clients cannot make new ones.
    pub route: String,
    /// GET, POST, …
    pub method: String,
    /// The status.
    pub status: u16,
}

/// A model by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ModelLabels {
    /// Its id.
    pub model: String,
}

/// A route by its pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Route {
    /// The pattern.
    pub route: String,
}

type Times = Family<Route, Histogram, fn() -> Histogram>;

/// All that is counted.
pub struct Metrics {
    registry: Registry,
    /// Requests answered.
    pub requests: Family<RouteLabels, Counter>,
    /// Seconds until the head of the answer.
    pub seconds: Times,
    /// Requests refused because the server was full.
    pub refused: Counter,
    /// Seconds that requests for pictures waited for their turn.
    pub queue: Histogram,
    /// Pictures computed together.
    pub batch: Histogram,
    /// Pictures made.
    pub pictures: Family<ModelLabels, Counter>,
    /// Tokens written.
    pub tokens: Family<ModelLabels, Counter>,
    /// Requests in work or waiting for it.
    pub running: Gauge,
    /// Models in memory.
    pub models: Gauge,
    /// Memory of the process.
    pub memory: Gauge,
}

impl Default for Metrics {
    /// All at zero.
    fn default() -> Self {
        let times: Times = Family::new_with_constructor(|| Histogram::new(SECONDS));
        let mut own = Self {
            registry: Registry::with_prefix("maliang"),
            requests: Family::default(),
            seconds: times,
            refused: Counter::default(),
            queue: Histogram::new(SECONDS),
            batch: Histogram::new(PICTURES),
            pictures: Family::default(),
            tokens: Family::default(),
            running: Gauge::default(),
            models: Gauge::default(),
            memory: Gauge::default(),
        };
        let r = &mut own.registry;
        r.register("requests", "Requests answered", own.requests.clone());
        r.register_with_unit("request", "Time until the head of the answer", Unit::Seconds, own.seconds.clone());
        r.register("refused", "Requests refused because the server was full", own.refused.clone());
        r.register_with_unit("queue", "Time that pictures waited for their turn", Unit::Seconds, own.queue.clone());
        r.register("batch_pictures", "Pictures computed together", own.batch.clone());
        r.register("pictures", "Pictures made", own.pictures.clone());
        r.register("tokens", "Tokens written", own.tokens.clone());
        r.register("running", "Requests in work or waiting for it", own.running.clone());
        r.register("models_loaded", "Models in memory", own.models.clone());
        r.register_with_unit("resident_memory", "Memory of the process", Unit::Bytes, own.memory.clone());
        own
    }
}

impl Metrics {
    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
