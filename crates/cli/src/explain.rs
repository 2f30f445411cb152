//! `maliang explain`: grids and a page that show what a model has learned.

use crate::args::ExplainArgs;
use crate::judge::clock::Clock;
use crate::judge::place::run_of;
use crate::terminal::{cache_dir, print, weights_store};
use maliang::data::{Dataset, display_name};
use maliang::explain::{
    Critic, DIRECTIONS, DIRECTORY, Figure, Order, PAGE, direction_figures, directions, neighbour_sheet, saliency_figure,
};
use maliang::families::trainer::no_features;
use maliang::generate::picture::encode_png;
use maliang::generate::sampler::Sampler;
use maliang::judge::{best_extractor, neighbours};
use maliang::provenance::label::Label;
use maliang::report;
use maliang::report::explained::{self, Section};
use maliang::run::config::RunConfig;
use maliang::run::dir::RunDir;
use maliang::train;
use maliang::{Error, Result, files};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Generated pictures that are shown with their neighbours, and how many of these.
const PICTURES: u64 = 8;
const NEIGHBOURS: usize = 5;

/// `explain/` in a run directory; in the current directory for a checkpoint or a file.
pub fn default_directory(model: &Path) -> PathBuf {
    if RunDir::is_run(model) { model.join(DIRECTORY) } else { PathBuf::from(DIRECTORY) }
}

/// Explains a model: writes grids, directions and `explain.html`, and prints their names, or what was found as JSON.
pub fn run(args: &ExplainArgs) -> Result<()> {
    let label = args.producer.label()?;
    let (sampler, warnings) = Sampler::open(&args.model)?;
    for warning in warnings {
        tell!("note: {warning}; explaining another checkpoint");
    }
    let run = run_of(&args.model);
    let config = run.as_ref().map(RunDir::config).transpose()?;
    let run = run.zip(config);
    let data = match &run {
        Some((run, config)) => train::data_of(run, config, &cache_dir()).map_err(|error| error.message),
        None => Err("the model is not in the directory of its run".to_string()),
    };
    let directory = args.output.clone().unwrap_or_else(|| default_directory(&args.model));
    std::fs::create_dir_all(&directory).map_err(|e| Error::io("create", &directory, &e))?;
    let clock = Clock::start();
    let mut job = Job { args, label, sampler, run, data, directory, clock, written: Vec::new() };
    let parts = [job.directions()?, job.saliency()?, job.neighbours()?];
    job.finish(parts)
}

struct Job<'a> {
    args: &'a ExplainArgs,
    label: Label,
    sampler: Sampler,
    run: Option<(RunDir, RunConfig)>,
    /// The training pictures, or why they are not at hand.
    data: Result<Dataset, String>,
    directory: PathBuf,
    clock: Clock,
    /// Files, in the order in which they were written.
    written: Vec<PathBuf>,
}

/// A section of the page, and the same as JSON under its key.
type Part = (Section, &'static str, Value);

/// A part that this model or its files do not allow, and why.
fn not_shown(name: &str, key: &'static str, why: &str) -> Part {
    let section = Section { name: name.into(), text: vec![format!("Not shown: {why}.")], figures: Vec::new() };
    (section, key, json!({"missing": why}))
}

impl Job<'_> {
    /// Writes the labelled picture of a figure; returns its caption and the name of its file, for the page.
    fn draw(&mut self, figure: &Figure) -> Result<(String, String)> {
        let provenance = self.sampler.provenance(&self.label, self.args.seed, 0, None, 1.0, &figure.latent);
        let png = encode_png(&figure.picture, &provenance)?;
        let name = format!("{}.png", figure.name);
        let path = self.directory.join(&name);
        files::write_bytes(&path, &png)?;
        self.written.push(path);
        Ok((figure.caption.clone(), name))
    }

    fn directions(&mut self) -> Result<Part> {
        self.clock.at("directions", 0, 1);
        if !self.sampler.has_latent() {
            let why = format!("{} has no latent space, and so no directions", self.sampler.info.config.family());
            return Ok(not_shown("Directions", "directions", &why));
        }
        let found = directions(&self.sampler, self.data.as_ref().ok())?;
        let path = self.directory.join(DIRECTIONS);
        found.save(&path, &self.sampler.hash)?;
        self.written.push(path.clone());
        let figures = direction_figures(&self.sampler, &found, self.args.seed);
        let figures = figures.iter().map(|figure| self.draw(figure)).collect::<Result<_>>()?;
        let mut text = vec![self.about_directions(found.order)];
        text.push("`maliang generate RUN --direction K --strength S` moves pictures along one of them.".into());
        let list: Vec<Value> = found
            .list
            .iter()
            .enumerate()
            .map(|(k, direction)| json!({"number": k, "weight": direction.weight, "effect_levels": direction.effect}))
            .collect();
        let value = json!({"order": found.order, "file": path, "list": list});
        Ok((Section { name: "Directions".into(), text, figures }, "directions", value))
    }

    fn about_directions(&self, order: Order) -> String {
        match order {
            Order::Eigenvalue => "A generator turns a list of random numbers into a picture. These are the directions in which \
                 moving the numbers changes its first step most (SeFa, Shen & Zhou 2021), the strongest first. They were \
                 computed, and have no names: see in the pictures what each of them changes; some change several things at once."
                .into(),
            Order::Kl => "The model's encoder describes each picture by a list of numbers. These are the numbers that tell most \
                 about the training pictures (measured as KL, in nats), the most informative first: each is decreased and \
                 increased while all others stay the same."
                .into(),
            Order::Sensitivity => {
                let why = self.data.as_ref().err().map_or(String::new(), |why| format!(": {why}"));
                format!(
                    "The model makes each picture from a list of numbers. These are the numbers that change a picture most: \
                     each is decreased and increased while all others stay the same. Which of them tell most about the training \
                     pictures could not be measured{why}."
                )
            }
        }
    }

    fn saliency(&mut self) -> Result<Part> {
        self.clock.at("saliency", 0, 1);
        let name = "What the discriminator looks at".to_string();
        let (critic, sampler) = match self.critic()? {
            Ok(found) => found,
            Err(reason) => return Ok(not_shown(&name, "saliency", &reason)),
        };
        let figure = saliency_figure(&critic, &sampler, self.data.as_ref().ok(), self.args.seed);
        let drawn = self.draw(&figure)?;
        let mut text = vec![format!(
            "During training, a second network, the discriminator, learns to tell real pictures from generated ones. Its output \
             depends most on the bright pixels: they show where it looks, not what it decides. This is the discriminator of step {}, \
             on batches of {} as in training; every picture has a scale of its own.",
            sampler.info.step, critic.batch
        )];
        if let Err(why) = &self.data {
            text.push(format!("Only generated pictures are shown: {why}."));
        }
        let value = json!({"file": self.written.last(), "step": sampler.info.step});
        Ok((Section { name, text, figures: vec![drawn] }, "saliency", value))
    }

    /// The discriminator and the generator of its checkpoint, or why there is none.
    fn critic(&self) -> Result<Result<(Critic, Sampler), String>> {
        let about = self.sampler.info.config.about();
        if !about.has_critic {
            return Ok(Err(format!("{} has no discriminator", about.name)));
        }
        let Some((run, config)) = &self.run else {
            return Ok(Err(
                "a model file holds the generator only; the discriminator is in the checkpoints of the run".into(),
            ));
        };
        let features =
            if config.needs_features() { weights_store().efficientnet_lite0(&maliang::device::cpu())? } else { None };
        if config.needs_features() && features.is_none() {
            return Ok(Err(no_features().message));
        }
        match Critic::of_run(run, config, features)? {
            Some(critic) => {
                let sampler = Sampler::open(&critic.checkpoint)?.0;
                Ok(Ok((critic, sampler)))
            }
            None => Ok(Err("every checkpoint of the run is damaged".into())),
        }
    }

    fn neighbours(&mut self) -> Result<Part> {
        let name = "Nearest training pictures".to_string();
        let data = match &self.data {
            Ok(data) => data,
            Err(why) => return Ok(not_shown(&name, "neighbours", why)),
        };
        let extractor = best_extractor(&weights_store())?;
        let numbers = 0..PICTURES;
        let latents: Vec<_> = numbers.clone().map(|i| self.sampler.latent(self.args.seed, i, 1.0)).collect();
        let classes: Vec<_> = numbers.map(|i| self.sampler.class_of(i)).collect();
        let pictures = self.sampler.pictures(&latents, &classes);
        let on_progress = |done: usize, all: usize| self.clock.at("training pictures", done, all);
        let found = neighbours(&pictures, data, &*extractor, NEIGHBOURS, &cache_dir(), &on_progress);
        let name_of = |i: usize| display_name(&data.train_entry(i).name);
        let pairs: Vec<Value> = found
            .iter()
            .map(|near| near.iter().map(|n| json!({"name": name_of(n.index), "distance": n.distance})).collect())
            .collect();
        let features = extractor.name();
        let figure = Figure {
            name: "neighbours".into(),
            caption: "Left: a generated picture. Then the training pictures nearest to it.".into(),
            latent: format!("numbers 0 to {}, each with its nearest training pictures by {features}", PICTURES - 1),
            picture: neighbour_sheet(&pictures, &found, data),
        };
        let drawn = self.draw(&figure)?;
        let text = vec![format!(
            "The training pictures that resemble a generated picture most, by the features of {features}. Similar is not causal: \
             the model learned from all pictures, and these need not have shaped this one. `maliang judge` measures whether \
             the model copies."
        )];
        let value = json!({"file": self.written.last(), "features": features, "nearest": pairs});
        Ok((Section { name, text, figures: vec![drawn] }, "neighbours", value))
    }

    fn finish(mut self, parts: [Part; 3]) -> Result<()> {
        let info = &self.sampler.info;
        let title = format!("{}, explained", info.name);
        let subtitle = format!("{} trained on {}, the model of step {}", info.config.family(), info.data, info.step);
        let mut all = json!({"model": info.name, "blake3": self.sampler.hash, "seed": self.args.seed});
        let mut sections = Vec::new();
        for (section, key, value) in parts {
            sections.push(section);
            all[key] = value;
        }
        let path = self.directory.join(PAGE);
        files::write_bytes(&path, explained::html(&title, &subtitle, &sections, &self.directory)?.as_bytes())?;
        self.written.push(path);
        explained::save(&sections, &self.directory)?;
        // The page of the run shows it, too.
        if let Some((run, _)) = self.run.as_ref().filter(|_| self.args.output.is_none()) {
            report::write(&run.file("report.html"), &report::of_run(run)?)?;
        }
        self.clock.stop();
        if self.args.json {
            all["files"] = json!(self.written);
            return print(serde_json::to_string_pretty(&all).expect("JSON is text"));
        }
        for Section { name, text, figures } in &sections {
            if figures.is_empty() {
                tell!("note: {}: {}", name.to_lowercase(), text[0]);
            }
        }
        self.written.iter().try_for_each(|path| print(path.display().to_string()))
    }
}
