//! `maliang bench`: what this machine can do, and how much of it Maliang uses.

pub mod machine;
mod measure;
mod networks;
mod row;
mod text;

use crate::args::BenchArgs;
use crate::terminal::{peak_memory, print, wrap};
use indicatif::{ProgressBar, ProgressStyle};
use machine::Machine;
use maliang::families::ModelConfig;
use maliang::generate::sampler::Sampler;
use maliang::train::{Precision, Trial};
use maliang::workload::{self, Workload};
use maliang::{Error, ErrorKind, Result, files};
use measure::{best, median, repeats};
use row::{Figures, Row, TextTraining, Training};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Pictures a step, a convolution and a call of the sampler.
const BATCH: usize = 64;
/// An operation takes milliseconds: this part of an entry's time gives it enough repeats.
const SHARE_OF_AN_OPERATION: f64 = 1.0 / 6.0;

/// What is measured, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    Gemm,
    Conv,
    Streams,
    Products,
    Sequences,
    Dcgan,
    Vae,
    GptSmall,
    Gpt,
    Lstm,
    Generate,
    Write,
    ColdStart,
    Memory,
}

/// The names that `--only` takes.
const NAMES: [(&str, &[Entry]); 13] = [
    ("gemm", &[Entry::Gemm]),
    ("ops", &[Entry::Conv, Entry::Streams]),
    ("conv", &[Entry::Conv]),
    ("text-ops", &[Entry::Products, Entry::Sequences]),
    ("dcgan-64", &[Entry::Dcgan]),
    ("vae-64", &[Entry::Vae]),
    ("gpt-small", &[Entry::GptSmall]),
    ("gpt", &[Entry::Gpt]),
    ("lstm", &[Entry::Lstm]),
    ("generate", &[Entry::Generate]),
    ("write", &[Entry::Write]),
    ("cold-start", &[Entry::ColdStart]),
    ("memory", &[Entry::Memory]),
];

/// Measures what the arguments ask for and prints it.
pub fn run(args: &BenchArgs) -> Result<()> {
    let plan = plan(&args.only)?;
    if !(args.seconds > 0.0 && args.seconds <= 3600.0) {
        return Err(Error::input(format!("--seconds {} is out of range: above 0, at most 3600", args.seconds)));
    }
    if !args.precision.get().is_supported() {
        return Err(Error::input("this processor has no bf16 instructions: there is nothing to measure")
            .hint("leave --precision out"));
    }
    let bench = Bench {
        args,
        alone: plan.len() == 1,
        place: tempfile::tempdir().map_err(|e| Error::io("create", std::env::temp_dir(), &e))?,
        progress: progress(plan.len()),
        peak: None,
        rows: Vec::new(),
    };
    bench.run(&plan)
}

/// What `--only` asks for; everything when it names nothing.
fn plan(only: &[String]) -> Result<BTreeSet<Entry>> {
    let entries = |name: &String| {
        let found = NAMES.iter().find(|(known, _)| known == name);
        found.map(|(_, entries)| *entries).ok_or_else(|| {
            let known: Vec<&str> = NAMES.iter().map(|(known, _)| *known).collect();
            Error::input(format!("there is nothing called \"{name}\" to measure"))
                .hint(format!("--only takes {}; several with commas between", known.join(", ")))
        })
    };
    if only.is_empty() {
        return Ok(NAMES.iter().flat_map(|(_, entries)| *entries).copied().collect());
    }
    Ok(only.iter().map(entries).collect::<Result<Vec<_>>>()?.concat().into_iter().collect())
}

/// What is being measured now, on stderr when that is a terminal. It does not move by itself: that would take time from
/// what is measured.
fn progress(entries: usize) -> ProgressBar {
    let bar = ProgressBar::new(entries as u64);
    if let Ok(style) = ProgressStyle::with_template("measuring {msg} ({pos} of {len} done)") {
        bar.set_style(style);
    }
    bar
}

/// The whole answer of `--json`.
#[derive(Serialize)]
struct Report<'a> {
    version: &'a str,
    machine: &'a Machine,
    results: &'a [Row],
}

struct Bench<'a> {
    args: &'a BenchArgs,
    /// Is there one entry only? Then the memory of this process is the memory of that entry.
    alone: bool,
    place: TempDir,
    progress: ProgressBar,
    /// The f32 peak of all threads together, in GFLOP/s, once it is known.
    peak: Option<f64>,
    rows: Vec<Row>,
}

impl Bench<'_> {
    fn run(mut self, plan: &BTreeSet<Entry>) -> Result<()> {
        let machine = Machine::here();
        if !self.args.json {
            let title = format!("Maliang {} on {}", maliang::VERSION, machine.line());
            self.progress.suspend(|| print(wrap(&title, 0, 2)))?;
        }
        for &entry in plan {
            match entry {
                Entry::Gemm => self.gemm()?,
                Entry::Conv => self.arithmetic("conv/sum", workload::convolutions(BATCH, self.args.precision.get()))?,
                Entry::Streams => self.streams(workload::streams(BATCH))?,
                Entry::Products => {
                    self.arithmetic("product/sum", workload::text::products(self.args.precision.get()))?;
                }
                Entry::Sequences => {
                    self.arithmetic("sequence/sum", workload::text::sequences(self.args.precision.get()))?;
                    self.streams(workload::text::rows())?;
                }
                Entry::Dcgan => self.training("dcgan-64")?,
                Entry::Vae => self.training("vae-64")?,
                Entry::GptSmall => self.text_training("gpt-small", &text::gpt_small())?,
                Entry::Gpt => self.text_training("gpt", &text::gpt())?,
                Entry::Lstm => self.text_training("lstm", &text::lstm())?,
                Entry::Generate => self.generate()?,
                Entry::Write => self.write()?,
                Entry::ColdStart => self.cold_start()?,
                Entry::Memory => self.memory()?,
            }
            self.progress.inc(1);
        }
        self.progress.finish_and_clear();
        let report = Report { version: maliang::VERSION, machine: &machine, results: &self.rows };
        let text = serde_json::to_string(&report).expect("a report is plain data");
        if self.args.json {
            print(&text)?;
        }
        match &self.args.output {
            Some(path) => files::write_bytes(path, format!("{text}\n").as_bytes()),
            None => Ok(()),
        }
    }

    fn say(&self, what: &str) {
        self.progress.set_message(what.to_string());
        self.progress.tick();
    }

    /// Keeps a result, and prints it as a line of the table.
    fn add(&mut self, name: &str, figures: Figures) -> Result<()> {
        let row = Row { name: name.to_string(), figures };
        if !self.args.json {
            self.progress.suspend(|| print(row.line()))?;
        }
        self.rows.push(row);
        Ok(())
    }

    fn precision(&self) -> String {
        self.args.precision.name().to_string()
    }

    /// Seconds of one run of `workload`: the best of its repeats. The peak and what is compared with it are measured
    /// alike, so that a share tells about the code and not about what else the machine was doing.
    fn best(&self, workload: &mut Workload, budget: f64) -> f64 {
        self.say(&workload.name);
        best(&repeats(budget, || workload.run()))
    }

    /// The f32 peak of one or all threads by the crate `gemm`, in GFLOP/s: the better of two sizes.
    fn measured_peak(&self, all_threads: bool) -> f64 {
        let of_side = |side| {
            let mut product = workload::gemm(side, all_threads);
            product.work / self.best(&mut product, self.args.seconds / 2.0) / 1e9
        };
        of_side(1024).max(of_side(2048))
    }

    fn peak(&mut self) -> f64 {
        let peak = self.peak.unwrap_or_else(|| self.measured_peak(true));
        *self.peak.insert(peak)
    }

    fn gemm(&mut self) -> Result<()> {
        let threads = workload::threads();
        if threads > 1 {
            let gigaflops = self.measured_peak(false);
            self.add("gemm", Figures::Peak { threads: 1, gigaflops })?;
        }
        let gigaflops = self.peak();
        self.add("gemm", Figures::Peak { threads, gigaflops })
    }

    /// What computes, each and all together.
    fn arithmetic(&mut self, sum: &str, workloads: impl IntoIterator<Item = Workload>) -> Result<()> {
        let peak = self.peak();
        let (mut flops, mut seconds) = (0.0, 0.0);
        for mut workload in workloads {
            let took = self.best(&mut workload, self.args.seconds * SHARE_OF_AN_OPERATION);
            (flops, seconds) = (flops + workload.work, seconds + took);
            let gigaflops = workload.work / took / 1e9;
            self.add(&workload.name, Figures::arithmetic(self.precision(), gigaflops, peak))?;
        }
        self.add(sum, Figures::arithmetic(self.precision(), flops / seconds / 1e9, peak))
    }

    /// What moves memory.
    fn streams(&mut self, workloads: impl IntoIterator<Item = Workload>) -> Result<()> {
        for mut stream in workloads {
            let took = self.best(&mut stream, self.args.seconds * SHARE_OF_AN_OPERATION);
            self.add(&stream.name, Figures::Traffic { gigabytes_per_second: stream.work / took / 1e9 })?;
        }
        Ok(())
    }

    fn training(&mut self, name: &str) -> Result<()> {
        self.say(name);
        let training = if self.alone { self.training_here(name)? } else { self.elsewhere(name)? };
        self.add(name, Figures::Training(training))
    }

    fn text_training(&mut self, name: &str, network: &text::Network) -> Result<()> {
        self.say(name);
        let training = if self.alone { self.text_training_here(network)? } else { self.elsewhere(name)? };
        self.add(name, Figures::TextTraining(training))
    }

    /// Times steps in this process.
    fn text_training_here(&self, network: &text::Network) -> Result<TextTraining> {
        let mut trial = network.trial(self.args.precision.get())?;
        let seconds = median(&repeats(self.args.seconds, || {
            std::hint::black_box(trial.step());
        }));
        Ok(TextTraining {
            precision: self.precision(),
            batch: network.batch,
            tokens_per_second: trial.tokens() as f64 / seconds,
            ms_per_step: seconds * 1e3,
            peak_memory_bytes: peak_memory(),
        })
    }

    /// Tokens a second of one stream, as `maliang generate` writes them, from the beginning of the context to its end.
    fn write(&mut self) -> Result<()> {
        self.say("write");
        let network = text::gpt();
        let mut writer = network.trial(Precision::F32)?.writer();
        let count = network.model.context();
        let seconds = median(&repeats(self.args.seconds, || {
            writer.reset();
            for token in 0..count as u32 {
                std::hint::black_box(writer.push(token % 64));
            }
        }));
        self.add("write", Figures::Writing { tokens_per_second: count as f64 / seconds })
    }

    /// Times steps in this process.
    fn training_here(&self, name: &str) -> Result<Training> {
        let mut trial = Trial::new(&networks::config(network(name), BATCH, self.args.precision.get()))?;
        let seconds = median(&repeats(self.args.seconds, || {
            std::hint::black_box(trial.step());
        }));
        Ok(Training {
            precision: self.precision(),
            batch: BATCH,
            images_per_second: BATCH as f64 / seconds,
            ms_per_step: seconds * 1e3,
            peak_memory_bytes: peak_memory(),
        })
    }

    /// Has a fresh process of this program time the steps: its memory is that of the training alone.
    fn elsewhere<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let (seconds, precision) = (self.args.seconds.to_string(), self.precision());
        let answer =
            call(&["bench", "--json", "--only", name, "--seconds", &seconds, "--precision", &precision], name)?;
        let value = serde_json::from_slice::<serde_json::Value>(&answer).ok();
        let training = value.and_then(|mut v| serde_json::from_value(v["results"][0].take()).ok());
        training.ok_or_else(|| Error::new(ErrorKind::Internal, format!("the process measuring {name} gave no result")))
    }

    /// Pictures a second as `maliang generate` makes them, always in f32, without writing them.
    fn generate(&mut self) -> Result<()> {
        self.say("generate");
        let (sampler, _) = Sampler::open(&self.model()?)?;
        let latents: Vec<_> = (0..BATCH as u64).map(|i| sampler.latent(0, i, 1.0)).collect();
        let seconds = median(&repeats(self.args.seconds, || {
            std::hint::black_box(sampler.pictures(&latents, &[]));
        }));
        let images_per_second = BATCH as f64 / seconds;
        self.add("generate", Figures::Generation { precision: "f32".into(), batch: BATCH, images_per_second })
    }

    /// From nothing to a picture on the disk: the life of a process.
    fn cold_start(&mut self) -> Result<()> {
        self.say("cold-start");
        let (model, out) = (self.model()?, self.place.path().join("pictures"));
        let arguments = ["generate".as_ref(), model.as_os_str(), "-n1".as_ref(), "-o".as_ref(), out.as_os_str()];
        let mut trouble = None;
        let seconds = median(&repeats(self.args.seconds, || {
            if let Err(error) = call(&arguments, "cold-start") {
                trouble.get_or_insert(error);
            }
        }));
        match trouble {
            Some(error) => Err(error),
            None => self.add("cold-start", Figures::Start { seconds }),
        }
    }

    /// Peak memory of training DCGAN-64, from its entry where that was measured already.
    fn memory(&mut self) -> Result<()> {
        self.say("memory");
        let known = self.rows.iter().find_map(|row| match &row.figures {
            Figures::Training(training) if row.name == "dcgan-64" => Some(training.peak_memory_bytes),
            _ => None,
        });
        let peak_memory_bytes = match known {
            Some(peak) => peak,
            None => self.elsewhere::<Training>("dcgan-64")?.peak_memory_bytes,
        };
        self.add("memory", Figures::Memory { peak_memory_bytes })
    }

    /// A model file of an untrained DCGAN-64: making pictures of nothing takes as long as making good ones.
    fn model(&self) -> Result<PathBuf> {
        let path = self.place.path().join("model.safetensors");
        if !path.is_file() {
            Trial::new(&networks::config(network("dcgan-64"), BATCH, Precision::F32))?.save_model(&path)?;
        }
        Ok(path)
    }
}

fn network(name: &str) -> (ModelConfig, f32, f32) {
    if name == "vae-64" { networks::vae() } else { networks::dcgan() }
}

/// Runs this program with `arguments` and gives what it wrote to stdout.
fn call(arguments: &[impl AsRef<std::ffi::OsStr>], what: &str) -> Result<Vec<u8>> {
    let program = std::env::current_exe().map_err(|e| Error::io("find", "this program", &e))?;
    let mut command = Command::new(&program);
    let output = command.args(arguments).env_remove("MALIANG_PRODUCER").stdin(Stdio::null()).output();
    let output = output.map_err(|e| Error::io("start", &program, &e))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said =
        said.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or("it ended without an error message");
    Err(Error::new(ErrorKind::Io, format!("the process measuring {what} failed: {said}")))
}
