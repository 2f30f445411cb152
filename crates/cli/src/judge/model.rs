//! `maliang judge` of a model of pictures: scores with intervals and floors, collapse, copying; a report and a model card.

use super::clock::Clock;
use super::found::Found;
use super::place::{directory, run_of, seconds};
use crate::bench::machine::Machine;
use crate::terminal::{cache_dir, weights_store};
use maliang::data::{self, DataConfig, Dataset, Source};
use maliang::generate::likelihoods::{Sample, likelihoods};
use maliang::generate::picture::{encode_png, encode_real_png};
use maliang::generate::sampler::Sampler;
use maliang::judge::{self, JudgedModel, Judgement, Options};
use maliang::picture::Picture;
use maliang::provenance::label::Label;
use maliang::report::card::Card;
use maliang::report::{self, JudgementFiles, Record};
use maliang::run::config::RunConfig;
use maliang::run::dir::RunDir;
use maliang::train;
use maliang::{Error, Result, files};
use std::path::{Path, PathBuf};

/// Pictures that are judged where the arguments do not say.
pub const PICTURES: usize = 2000;
/// Pictures whose likelihood is bounded, at most, and importance samples of each: some ten seconds.
const LIKELIHOOD_PICTURES: usize = 256;
const IMPORTANCE_SAMPLES: usize = 64;

/// Which model is judged, and how.
pub struct Asked<'a> {
    /// A run, a checkpoint or a model file.
    pub model: &'a Path,
    /// Generated pictures.
    pub number: usize,
    /// The feature extractor.
    pub features: &'a str,
    /// The source of the real pictures; without one they are those of the run.
    pub data: Option<&'a str>,
    /// Seed of the generated pictures.
    pub seed: u64,
    /// The label of the generated pictures.
    pub label: Label,
    /// Where to write; see [`directory`].
    pub output: Option<&'a Path>,
}

/// Judges a model, and writes `scores.json`, `report.html` and `card.md`.
pub fn judge(asked: &Asked) -> Result<Found> {
    let extractor = judge::extractor(asked.features, &weights_store())?;
    let (sampler, warnings) = Sampler::open(asked.model)?;
    for warning in warnings {
        tell!("note: {warning}; judging another checkpoint");
    }
    let run = run_of(asked.model);
    let config = run.as_ref().map(RunDir::config).transpose()?;
    if asked.features == "effnetlite0" && config.as_ref().is_some_and(RunConfig::needs_features) {
        tell!(
            "note: the model was trained with the same feature network, so these scores are too good; use --features randomconv"
        );
    }
    let data = real_pictures(asked, &sampler, run.as_ref().zip(config.as_ref()))?;
    let other_data = data.fingerprint() != sampler.info.data_fingerprint;
    if other_data {
        tell!(
            "note: these are not the pictures that the model was trained on; copies are searched for among these only"
        );
    }
    let directory = directory(asked.model, asked.output)?;

    let clock = Clock::start();
    let options = Options { n: asked.number, seed: asked.seed };
    let classes = classes(&sampler, &data, options.n);
    let make = |range: std::ops::Range<usize>| {
        let latents: Vec<_> = range.clone().map(|i| sampler.latent(asked.seed, i as u64, 1.0)).collect();
        sampler.pictures(&latents, &classes[range]).into_iter().map(|picture| picture.pixels).collect()
    };
    let stage = |what: &str, done: usize, all: usize| clock.at(what, done, all);
    let judgement = judge::judge(&make, &data, &*extractor, &options, &cache_dir(), &stage);
    let likelihoods = config.as_ref().map_or_else(
        || Ok(Vec::new()),
        |config| {
            let sample = Sample { pictures: LIKELIHOOD_PICTURES, k: IMPORTANCE_SAMPLES, seed: asked.seed };
            likelihoods(&sampler, &config.tables, &data, sample, &|done, all| clock.at("likelihood", done, all))
        },
    )?;
    let times = clock.stop();
    let info = &sampler.info;
    let subject = JudgedModel { name: info.name.clone(), blake3: sampler.hash.clone(), step: info.step };
    let judgement = Judgement { model: Some(subject), likelihoods, ..judgement? };
    let judgement = if other_data { judgement.of_other_data() } else { judgement };
    let record = Record { model: info.clone(), data: data.manifest().clone(), machine: Machine::here().line(), times };
    let job = Job { asked, sampler, run, config, data, directory, classes };
    let pairs = job.pairs(&judgement)?;
    job.write(JudgementFiles { judgement, record: Some(record), pairs })
}

struct Job<'a> {
    asked: &'a Asked<'a>,
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
    fn write(self, judged: JudgementFiles) -> Result<Found> {
        judged.save(&self.directory)?;
        let path = |name: &str| self.directory.join(name);
        let JudgementFiles { judgement, record, .. } = judged;
        let (here, times) = record.map_or_else(Default::default, |record| (record.machine, record.times));
        let trained_on = self.run.as_ref().map(RunDir::machines).unwrap_or_default();
        let machine = if trained_on.is_empty() { here } else { trained_on.join("; ") };
        let provenance = self.sampler.provenance(&self.asked.label, self.asked.seed, 0, None, 1.0, "normal");
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
        let files = &["scores.json", "report.html", "card.md"];
        Ok(Found { judgement, title, times, directory: self.directory, files })
    }

    /// The pictures of the nearest pairs, generated and real, the generated ones made again and labelled.
    fn pairs(&self, judgement: &Judgement) -> Result<Vec<[Vec<u8>; 2]>> {
        let seed = self.asked.seed;
        let pair = |pair: &judge::Pair| {
            let number = pair.generated as u64;
            let class = self.classes[pair.generated];
            let made = self.sampler.pictures(&[self.sampler.latent(seed, number, 1.0)], &[class]);
            let named = (!self.sampler.info.config.classes().is_empty()).then_some(class);
            let provenance = self.sampler.provenance(&self.asked.label, seed, number, named, 1.0, "normal");
            let (width, height, channels) = (self.data.width(), self.data.height(), self.data.channels());
            let real = Picture { width, height, channels, pixels: self.data.train(pair.training).to_vec() };
            Ok([encode_png(&made[0], &provenance)?, encode_real_png(&real)?])
        };
        judgement.copying.pairs.iter().map(pair).collect()
    }
}

/// The real side: what was named with --data, else the pictures of the run.
fn real_pictures(asked: &Asked, sampler: &Sampler, run: Option<(&RunDir, &RunConfig)>) -> Result<Dataset> {
    let cache = cache_dir();
    let Some(source) = asked.data else {
        let Some((run, config)) = run else {
            return Err(Error::input(format!(
                "{} does not hold the pictures it was trained on",
                asked.model.display()
            ))
            .hint("name them with --data, or judge the run directory"));
        };
        return train::data_of(run, config, &cache);
    };
    let frame = sampler.info.config.frame();
    let made = DataConfig {
        source: source.to_owned(),
        width: frame.width,
        height: frame.height,
        channels: frame.channels,
        ..run.map_or_else(DataConfig::default, |(_, config)| config.data.clone())
    };
    let scan = data::scan(&Source::parse(source)?)?;
    Dataset::open(&made, &scan, &cache, &|_, _| ())
}
