//! One result: an object of the JSON answer, a line of the table.

use crate::units::bytes;
use serde::{Deserialize, Serialize, Serializer};

#[derive(Serialize)]
pub struct Row {
    pub name: String,
    #[serde(flatten)]
    pub figures: Figures,
}

/// What was found; the names of the fields are those of the JSON.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Figures {
    /// The most that the machine was seen to compute.
    Peak {
        threads: usize,
        #[serde(serialize_with = "rounded")]
        gigaflops: f64,
    },
    /// An operation that computes.
    Arithmetic {
        precision: String,
        #[serde(serialize_with = "rounded")]
        gigaflops: f64,
        /// Of the f32 peak of all threads.
        #[serde(serialize_with = "rounded")]
        share_of_peak: f64,
    },
    /// An operation that moves memory.
    Traffic {
        #[serde(serialize_with = "rounded")]
        gigabytes_per_second: f64,
    },
    /// Training steps.
    Training(Training),
    /// Training steps of a text model.
    TextTraining(TextTraining),
    /// Text from a model, one stream.
    Writing {
        #[serde(serialize_with = "rounded")]
        tokens_per_second: f64,
    },
    /// Pictures from a model.
    Generation {
        precision: String,
        batch: usize,
        #[serde(serialize_with = "rounded")]
        images_per_second: f64,
    },
    /// A process from nothing.
    Start {
        #[serde(serialize_with = "rounded")]
        seconds: f64,
    },
    /// Highest resident memory; nothing where the system does not tell.
    Memory { peak_memory_bytes: Option<u64> },
}

/// Training steps, as this process or another one measured them.
#[derive(Serialize, Deserialize)]
pub struct Training {
    pub precision: String,
    pub batch: usize,
    #[serde(serialize_with = "rounded")]
    pub images_per_second: f64,
    #[serde(serialize_with = "rounded")]
    pub ms_per_step: f64,
    pub peak_memory_bytes: Option<u64>,
}

/// The same of a text model.
#[derive(Serialize, Deserialize)]
pub struct TextTraining {
    pub precision: String,
    pub batch: usize,
    #[serde(serialize_with = "rounded")]
    pub tokens_per_second: f64,
    #[serde(serialize_with = "rounded")]
    pub ms_per_step: f64,
    pub peak_memory_bytes: Option<u64>,
}

impl Figures {
    pub fn arithmetic(precision: String, gigaflops: f64, peak: f64) -> Self {
        Self::Arithmetic { precision, gigaflops, share_of_peak: gigaflops / peak }
    }
}

impl Row {
    /// At most 80 columns.
    pub fn line(&self) -> String {
        let memory = |peak: &Option<u64>| peak.map_or("unknown".into(), bytes);
        let (more, value, unit) = match &self.figures {
            Figures::Peak { threads, gigaflops } => {
                (format!(", {threads} thread{}", if *threads == 1 { "" } else { "s" }), *gigaflops, "GFLOP/s".into())
            }
            Figures::Arithmetic { precision, gigaflops, share_of_peak } => {
                let share = format!("GFLOP/s  {:>4.0} % of the peak", share_of_peak * 100.0);
                (format!(" {precision}"), *gigaflops, share)
            }
            Figures::Traffic { gigabytes_per_second } => (String::new(), *gigabytes_per_second, "GB/s".into()),
            Figures::Training(t) => {
                let step =
                    format!("images/s, {} ms a step, {} peak", figure(t.ms_per_step), memory(&t.peak_memory_bytes));
                (format!(" {}, batch {}", t.precision, t.batch), t.images_per_second, step)
            }
            Figures::TextTraining(t) => {
                let step =
                    format!("tokens/s, {} ms a step, {} peak", figure(t.ms_per_step), memory(&t.peak_memory_bytes));
                (format!(" {}, batch {}", t.precision, t.batch), t.tokens_per_second, step)
            }
            Figures::Writing { tokens_per_second } => (" f32".into(), *tokens_per_second, "tokens/s".into()),
            Figures::Generation { precision, batch, images_per_second } => {
                (format!(" {precision}, batch {batch}"), *images_per_second, "images/s".into())
            }
            Figures::Start { seconds } => (String::new(), *seconds, "s".into()),
            Figures::Memory { peak_memory_bytes } => {
                return format!("{:<32}{:>7}  training dcgan-64", self.name, memory(peak_memory_bytes));
            }
        };
        format!("{:<32}{:>7} {unit}", format!("{}{more}", self.name), figure(value))
    }
}

/// Three digits that count, as people read them.
fn figure(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Four digits that count: more are noise.
fn rounded<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(format!("{value:.3e}").parse().unwrap_or(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The widest of every kind, on a slow machine and on a fast one.
    #[test]
    fn lines_fit_the_terminal() {
        let precision = || "bf16".to_string();
        for (value, peak) in [(0.0001, None), (99_999.4, Some(999_900_000_000))] {
            let training = Training {
                precision: precision(),
                batch: 64,
                images_per_second: value,
                ms_per_step: value,
                peak_memory_bytes: peak,
            };
            let text = TextTraining {
                precision: precision(),
                batch: 64,
                tokens_per_second: value,
                ms_per_step: value,
                peak_memory_bytes: peak,
            };
            let rows = [
                ("gpt-small", Figures::TextTraining(text)),
                ("write", Figures::Writing { tokens_per_second: value }),
                ("product/1024x384/weight-gradient", Figures::arithmetic(precision(), value, value / 99.0)),
                ("gemm", Figures::Peak { threads: 1024, gigaflops: value }),
                ("conv/128x256/weight-gradient", Figures::arithmetic(precision(), value, value / 99.0)),
                ("batch_norm/backward", Figures::Traffic { gigabytes_per_second: value }),
                ("dcgan-64", Figures::Training(training)),
                ("generate", Figures::Generation { precision: precision(), batch: 64, images_per_second: value }),
                ("cold-start", Figures::Start { seconds: value }),
                ("memory", Figures::Memory { peak_memory_bytes: peak }),
            ];
            for (name, figures) in rows {
                let line = Row { name: name.into(), figures }.line();
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
    }

    #[test]
    fn four_digits_count() {
        let row = Row { name: "cold-start".into(), figures: Figures::Start { seconds: 0.123_456_789 } };
        assert_eq!(serde_json::to_string(&row).unwrap(), r#"{"name":"cold-start","seconds":0.1235}"#);
        assert_eq!(row.line().split_whitespace().collect::<Vec<_>>(), ["cold-start", "0.123", "s"]);
    }
}
