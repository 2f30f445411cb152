//! `maliang judge`: scores with intervals and floors, collapse, copying; a report and a model card.

mod pictures;
mod text;

use crate::args::JudgeArgs;
use crate::bench::machine::Machine;
use crate::terminal::{cache_dir, duration, print, weights_store, wrap};
use indicatif::{ProgressBar, ProgressStyle};
use maliang::data::{self, DataConfig, Dataset, Source};
use maliang::generate::likelihoods::{Sample, likelihoods};
use maliang::generate::picture::{encode_png, encode_real_png};
use maliang::generate::sampler::Sampler;
use maliang::generate::writer;
use maliang::judge::{self, JudgedModel, Judgement, Options};
use maliang::picture::Picture;
use maliang::provenance::label::Label;
use maliang::report::card::Card;
use maliang::report::{self, JudgementFiles, Record};
use maliang::run::checkpoint;
use maliang::run::config::RunConfig;
use maliang::run::dir::RunDir;
use maliang::train;
use maliang::{Error, Result, files};
use std::cell::RefCell;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Pictures, and the extractor of their features, where the arguments do not say.
const PICTURES: usize = 2000;
const FEATURES: &str = "randomconv";
/// Pictures whose likelihood under a VAE is bounded, at most, and importance samples of each: some ten seconds.
const LIKELIHOOD_PICTURES: usize = 256;
const IMPORTANCE_SAMPLES: usize = 64;

/// Judges a model, prints a table, and writes `scores.json`, `report.html` and `card.md`.
pub fn run(args: &JudgeArgs) -> Result<()> {
    if writer::writes(&args.model) {
        return text::run(args);
    }
    if let Some(source) = pictures::instead_of_a_model(&args.model) {
        return pictures::run(args, &source);
    }
    let label = args.producer.label()?;
    let features = args.features.as_deref().unwrap_or(FEATURES);
    let extractor = judge::extractor(features, &weights_store())?;
    let (sampler, warnings) = Sampler::open(&args.model)?;
    for warning in warnings {
        eprintln!("note: {warning}; judging another checkpoint");
    }
    let run = run_of(&args.model);
    let config = run.as_ref().map(RunDir::config).transpose()?;
    if features == "effnetlite0" && config.as_ref().is_some_and(RunConfig::needs_features) {
        eprintln!(
            "note: training looked through the same network, which flatters these scores; --features randomconv does not"
        );
    }
    let data = real_pictures(args, &sampler, run.as_ref().zip(config.as_ref()))?;
    let other_data = data.fingerprint() != sampler.info.data_fingerprint;
    if other_data {
        eprintln!("note: these are not the pictures that the model was trained on: copies are looked for among these");
    }
    let directory = directory(args)?;

    let clock = Clock::start();
    let options = Options { n: args.number.unwrap_or(PICTURES), seed: args.seed };
    let classes = classes(&sampler, &data, options.n);
    let make = |range: std::ops::Range<usize>| {
        let latents: Vec<_> = range.clone().map(|i| sampler.latent(args.seed, i as u64, 1.0)).collect();
        sampler.pictures(&latents, &classes[range]).into_iter().map(|picture| picture.pixels).collect()
    };
    let stage = |what: &str, done: usize, all: usize| clock.at(what, done, all);
    let judgement = judge::judge(&make, &data, &*extractor, &options, &cache_dir(), &stage);
    let likelihoods = config.as_ref().map_or_else(
        || Ok(Vec::new()),
        |config| {
            let sample = Sample { pictures: LIKELIHOOD_PICTURES, k: IMPORTANCE_SAMPLES, seed: args.seed };
            likelihoods(&sampler, &config.tables, &data, sample, &|done, all| clock.at("likelihood", done, all))
        },
    )?;
    let times = clock.stop();
    let info = &sampler.info;
    let subject = JudgedModel { name: info.name.clone(), blake3: sampler.hash.clone(), step: info.step };
    let judgement = Judgement { model: Some(subject), likelihoods, ..judgement? };
    let judgement = if other_data { judgement.of_other_data() } else { judgement };
    let record = Record { model: info.clone(), data: data.manifest().clone(), machine: Machine::here().line(), times };
    let job = Job { args, label, sampler, run, config, data, directory, classes };
    let pairs = job.pairs(&judgement)?;
    job.write(JudgementFiles { judgement, record: Some(record), pairs })
}

struct Job<'a> {
    args: &'a JudgeArgs,
    label: Label,
    sampler: Sampler,
    run: Option<RunDir>,
    config: Option<RunConfig>,
    data: Dataset,
    directory: PathBuf,
    /// Of each generated picture.
    classes: Vec<usize>,
}

/// The classes of so many pictures, in the proportions of the data where it has those of the model.
fn classes(sampler: &Sampler, data: &Dataset, count: usize) -> Vec<usize> {
    let known = sampler.info.config.classes();
    if known.is_empty() || known != data.labels() {
        return (0..count).map(|i| sampler.class_of(i as u64)).collect();
    }
    let mut pictures = vec![0; known.len()];
    let labels = (0..data.train_len())
        .map(|i| data.train_label(i))
        .chain((0..data.heldout_len()).map(|i| data.heldout_label(i)));
    labels.flatten().for_each(|class| pictures[class] += 1);
    judge::proportional(&pictures, count)
}

impl Job<'_> {
    /// Scores and pairs first, then what is made of them.
    fn write(&self, judged: JudgementFiles) -> Result<()> {
        judged.save(&self.directory)?;
        let path = |name: &str| self.directory.join(name);
        let JudgementFiles { judgement, record, .. } = judged;
        let (here, times) = record.map_or_else(Default::default, |record| (record.machine, record.times));
        let trained_on = self.run.as_ref().map(RunDir::machines).unwrap_or_default();
        let machine = if trained_on.is_empty() { here } else { trained_on.join("; ") };
        let provenance = self.sampler.provenance(&self.label, self.args.seed, 0, None, 1.0, "normal");
        let card = Card {
            info: &self.sampler.info,
            provenance: &provenance,
            judgement: &judgement,
            manifest: self.data.manifest(),
            config: self.config.as_ref(),
            seconds: self.run.as_ref().and_then(seconds),
            machine: &machine,
        };
        files::write_bytes(&path("card.md"), card.markdown().as_bytes())?;
        let page = report::compose(&self.directory, self.run.as_ref())?;
        report::write(&path("report.html"), &page)?;

        let info = &self.sampler.info;
        let Judgement { generated, seed, .. } = judgement;
        let title = format!("{}, step {}: {generated} pictures of seed {seed}", info.name, info.step);
        let files = ["scores.json", "report.html", "card.md"];
        conclude(self.args, &times, &judgement, &title, &self.directory, &files)
    }

    /// The pictures of the nearest pairs, generated and real, the generated ones made again and labelled.
    fn pairs(&self, judgement: &Judgement) -> Result<Vec<[Vec<u8>; 2]>> {
        let seed = self.args.seed;
        let pair = |pair: &judge::Pair| {
            let number = pair.generated as u64;
            let class = self.classes[pair.generated];
            let made = self.sampler.pictures(&[self.sampler.latent(seed, number, 1.0)], &[class]);
            let named = (!self.sampler.info.config.classes().is_empty()).then_some(class);
            let provenance = self.sampler.provenance(&self.label, seed, number, named, 1.0, "normal");
            let (width, height, channels) = (self.data.width(), self.data.height(), self.data.channels());
            let real = Picture { width, height, channels, pixels: self.data.train(pair.training).to_vec() };
            Ok([encode_png(&made[0], &provenance)?, encode_real_png(&real)?])
        };
        judgement.copying.pairs.iter().map(pair).collect()
    }
}

/// Prints what was found, and where it was written.
fn conclude(
    args: &JudgeArgs,
    times: &[(String, f64)],
    judgement: &Judgement,
    title: &str,
    directory: &Path,
    files: &[&str],
) -> Result<()> {
    let total: f64 = times.iter().map(|(_, seconds)| seconds).sum();
    eprintln!("judged in {}", duration(total));
    if args.json {
        return print(judgement.to_json());
    }
    print(table(title, judgement))?;
    files.iter().try_for_each(|name| print(directory.join(name).display().to_string()))
}

/// The run that a model belongs to, whether it is given by its run, a checkpoint or a file.
pub fn run_of(model: &Path) -> Option<RunDir> {
    let absolute = std::path::absolute(model).ok()?;
    let own = RunDir::is_run(model).then(|| model.to_path_buf());
    let above = || absolute.ancestors().skip(1).take(3).find(|path| RunDir::is_run(path)).map(Path::to_path_buf);
    own.or_else(above).map(RunDir::new)
}

/// Seconds of training behind the newest checkpoint.
fn seconds(run: &RunDir) -> Option<f64> {
    Some(checkpoint::counters(&run.pointed("last")?).ok()?.seconds)
}

/// Where to write: what was named, else the run directory for a run's best model, and here for anything else, which must not overwrite
/// the former.
fn output(args: &JudgeArgs) -> &Path {
    let default = if RunDir::is_run(&args.model) { &args.model } else { Path::new(".") };
    args.output.as_deref().unwrap_or(default)
}

/// [`output`], which is made where it is missing.
fn directory(args: &JudgeArgs) -> Result<PathBuf> {
    let directory = output(args).to_path_buf();
    std::fs::create_dir_all(&directory).map_err(|e| Error::io("create", &directory, &e))?;
    Ok(directory)
}

/// The real side: what was named with --data, else the pictures of the run.
fn real_pictures(args: &JudgeArgs, sampler: &Sampler, run: Option<(&RunDir, &RunConfig)>) -> Result<Dataset> {
    let cache = cache_dir();
    let Some(source) = &args.data else {
        let Some((run, config)) = run else {
            return Err(Error::input(format!("{} does not hold the pictures it was trained on", args.model.display()))
                .hint("name them with --data, or judge the run itself"));
        };
        return train::data_of(run, config, &cache);
    };
    let frame = sampler.info.config.frame();
    let made = DataConfig {
        source: source.clone(),
        width: frame.width,
        height: frame.height,
        channels: frame.channels,
        ..run.map_or_else(DataConfig::default, |(_, config)| config.data.clone())
    };
    let scan = data::scan(&Source::parse(source)?)?;
    Dataset::open(&made, &scan, &cache, &|_, _| ())
}

/// Title and head of the table, scores, verdicts: at most 80 columns.
fn table(title: &str, judgement: &Judgement) -> String {
    let mut lines = vec![wrap(title, 0, 0), String::new()];
    let rows = judgement.rows();
    let width = |cell: fn(&judge::Row) -> &String, least: usize| {
        rows.iter().map(|row| cell(row).chars().count()).max().unwrap_or(0).max(least)
    };
    let widths = [width(|r| &r.name, 5), width(|r| &r.value, 5), width(|r| &r.interval, 13), width(|r| &r.floor, 5)];
    let line = |cells: [&str; 4]| {
        let [a, b, c, d] = widths;
        format!("{:<a$}  {:>b$}  {:<c$}  {:>d$}", cells[0], cells[1], cells[2], cells[3])
    };
    lines.push(line(["score", "value", "95 % interval", "floor"]));
    lines.extend(rows.iter().map(|row| line([&row.name, &row.value, &row.interval, &row.floor])));
    lines.push(String::new());
    let n = judgement.n;
    lines.push(wrap(
        &format!("{n} pictures a side; floor: what {n} other real pictures get in place of the generated ones."),
        0,
        0,
    ));
    lines.push(String::new());
    let paragraph = |name: &str, text: &str| format!("{name:<9}{}", wrap(text, 9, 9));
    lines.push(paragraph("variety", &judgement.collapse.words));
    lines.push(paragraph("copying", &judgement.copying.words));
    let head = judge::Space::HEAD;
    lines.push(String::new());
    lines.push(format!("{:<13} {:<10} {:>14} {:>9} {:>8}", "copying in", head[0], head[1], head[2], head[3]));
    for space in &judgement.copying.spaces {
        for [who, repeats, authentic, c_t] in space.cells() {
            lines.push(format!("{:<13} {who:<10} {repeats:>14} {authentic:>9} {c_t:>8}", space.name));
        }
    }
    lines.push(paragraph("controls", &judgement.controls()));
    lines.push(String::new());
    lines.join("\n")
}

/// What takes how long: a bar on a terminal, and the seconds of each stage for the report.
pub struct Clock {
    bar: Option<ProgressBar>,
    /// What is being done, since when.
    current: RefCell<Option<(String, Instant)>>,
    done: RefCell<Vec<(String, f64)>>,
}

impl Clock {
    pub fn start() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(1);
            if let Ok(style) = ProgressStyle::with_template("{msg:<20} {wide_bar} {pos}/{len}") {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, current: RefCell::default(), done: RefCell::default() }
    }

    pub fn at(&self, what: &str, done: usize, all: usize) {
        let mut current = self.current.borrow_mut();
        if current.as_ref().is_none_or(|(name, _)| name != what)
            && let Some((name, start)) = current.replace((what.into(), Instant::now()))
        {
            self.done.borrow_mut().push((name, start.elapsed().as_secs_f64()));
        }
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_string());
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        }
    }

    pub fn stop(self) -> Vec<(String, f64)> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let mut times = self.done.into_inner();
        times.extend(self.current.into_inner().map(|(name, start)| (name, start.elapsed().as_secs_f64())));
        times
    }
}
