//! Every family of the list, every property that any of them has to have.

use crate::data::text::{Corpus, Documents, check_text, scan_text};
use crate::data::{CheckReport, Dataset, Loader, Scan, Source, check, scan};
use crate::families::family::About;
use crate::families::text::TextModel;
use crate::families::trainer::{Ingredients, Trainer};
use crate::families::{Condition, FAMILIES, ModelConfig, text};
use crate::generate::picture::{encode_png, read_label};
use crate::generate::sampler::Sampler;
use crate::generate::writer::Author;
use crate::makes::Makes;
use crate::nn::{self, Module, host};
use crate::pretrained::{EfficientNetLite0, random_network};
use crate::provenance::label::Label;
use crate::provenance::recipe::{Request as Piece, Sampling};
use crate::run::checkpoint::{MODEL_FILE, directory};
use crate::run::config::RunConfig;
use crate::run::config::text::TextRunConfig;
use crate::run::dir::RunDir;
use crate::run::model_file;
use crate::train::observer::{Event, Observer};
use crate::train::run::Run;
use crate::train::text::{TextRequest, TextRun, choose_corpus, choose_text};
use crate::train::{Request, choose, set};
use crate::weights::Weights;
use crate::{device, report, rng};
use burn::tensor::{Device, Tensor, TensorData};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use toml::{Table, Value};

const STEPS: u64 = 6;

/// Listens without a clock, and asks to stop at a step.
struct Ear {
    stop_at: u64,
    step: u64,
}

impl Ear {
    fn until(stop_at: u64) -> Self {
        Self { stop_at, step: 0 }
    }
}

impl Observer for Ear {
    fn event(&mut self, event: &Event) {
        if let Event::Step { step, .. } = event {
            self.step = *step;
        }
    }

    fn stop(&self) -> bool {
        self.step >= self.stop_at
    }

    fn seconds(&self) -> f64 {
        0.0
    }
}

/// Built-in pictures, scanned and checked once for all tests.
static FOOD: LazyLock<(Scan, CheckReport)> = LazyLock::new(|| {
    let found = scan(&Source::parse("emoji:food").unwrap()).unwrap();
    let checked = check(&found, &|_, _| ()).unwrap();
    (found, checked)
});

fn settings(values: &[(&str, u64)]) -> Table {
    let mut table = Table::new();
    values.iter().for_each(|(path, value)| set(&mut table, path, Value::Integer(*value as i64)));
    table
}

/// What the family chooses for a short run on small pictures, its stack as narrow as it may be.
fn config(about: &About) -> RunConfig {
    let settings = settings(&[("train.steps", STEPS), ("train.look_every", 3), ("train.batch", 4)]);
    let request = Request {
        source: "emoji:food".into(),
        family: Some(about.name.into()),
        size: Some((32, 32)),
        settings,
        ..Request::default()
    };
    let mut config = choose(&request, &FOOD.1).unwrap().config;
    let mut model = Table::try_from(&config.model).unwrap();
    if model.contains_key("stack") {
        set(&mut model, "stack.base", Value::Integer(4));
    }
    config.model = model.try_into().unwrap();
    config
}

fn features(about: &About) -> Option<EfficientNetLite0> {
    about.needs_features.then(|| random_network(1))
}

fn data(config: &RunConfig, cache: &Path) -> Arc<Dataset> {
    Arc::new(Dataset::open(&config.data, &FOOD.0, cache, &|_, _| ()).unwrap())
}

/// Trains a new run in `place/run` until `stop_at`.
fn begin(about: &About, place: &Path, stop_at: u64) -> RunDir {
    let (dir, config) = (RunDir::new(place.join("run")), config(about));
    let data = data(&config, &place.join("cache"));
    let run = Run::create(dir.clone(), config, data).unwrap();
    run.looking_through(features(about)).train(&mut Ear::until(stop_at)).unwrap();
    dir
}

/// Model and state of a checkpoint, as bytes.
fn files(dir: &RunDir, step: u64) -> [Vec<u8>; 2] {
    let directory = directory(&dir.checkpoints(), step);
    ["model.safetensors", "state.safetensors"].map(|name| std::fs::read(directory.join(name)).unwrap())
}

fn trainer(about: &About, device: &Device, loader: &Arc<Loader>) -> Box<dyn Trainer> {
    let config = config(about);
    let given = Ingredients { settings: config.settings(), loader, device, features: features(about) };
    config.model.trainer(given).unwrap()
}

/// Runs `test` for each family that makes pictures.
fn each(test: impl Fn(&About, &Path)) {
    for about in FAMILIES {
        assert_eq!(about.makes, Makes::Pictures, "{}", about.name);
        test(about, tempfile::tempdir().unwrap().path());
    }
}

#[test]
fn interrupted_is_uninterrupted() {
    each(|about, place| {
        let whole = begin(about, &place.join("whole"), u64::MAX);
        let parts = begin(about, &place.join("parts"), 4);
        let run = Run::resume(parts.clone(), &place.join("parts/cache"), |_| ()).unwrap();
        run.looking_through(features(about)).train(&mut Ear::until(u64::MAX)).unwrap();
        assert!(files(&whole, STEPS) == files(&parts, STEPS), "{}", about.name);
    });
}

/// Nothing that training goes on with is outside of its state, and nothing in the state is left over.
#[test]
fn the_state_is_complete() {
    each(|about, place| {
        let loader = loader(about, place);
        let steps = |trainer: &mut dyn Trainer, numbers: std::ops::Range<u64>| {
            for step in numbers {
                let progress = step as f64 / STEPS as f64;
                let (lr, remedy) = (1e-3, Default::default());
                let input =
                    crate::families::trainer::StepInput { step, seed: 1, lr, progress, remedy, loader: &loader };
                trainer.step(&input);
            }
        };
        let mut one = trainer(about, &device::cpu(), &loader);
        steps(one.as_mut(), 0..3);
        let state = one.state();
        let mut other = trainer(about, &device::cpu(), &loader);
        other.restore(state.clone(), 3).unwrap();
        assert!(other.state() == state, "{}: it is back where it was", about.name);
        steps(one.as_mut(), 3..5);
        steps(other.as_mut(), 3..5);
        assert!(one.state() == other.state(), "{}: and goes on alike", about.name);
        assert!(one.state() != state, "{}: it learns", about.name);
        for (name, tensor) in &state {
            assert!(tensor.data.iter().all(|v| v.is_finite()), "{}: {name}", about.name);
        }
        let player = config(about).model.player();
        assert!(state.keys().any(|name| name.starts_with(player)), "{}: {player} makes the pictures", about.name);
    });
}

fn loader(about: &About, place: &Path) -> Arc<Loader> {
    let config = config(about);
    Arc::new(Loader::new(data(&config, place), config.train.batch, true, 1))
}

/// A trained model, written, read and written again.
#[test]
fn model_files_round_trip() {
    each(|about, place| {
        let dir = begin(about, place, u64::MAX);
        let file = directory(&dir.checkpoints(), STEPS).join(MODEL_FILE);
        let (model, info, _) = model_file::open(&file, &device::cpu()).unwrap();
        assert_eq!(info.config.family(), about.name);
        let again = place.join("again.safetensors");
        model_file::save(&again, model.as_ref(), &info).unwrap();
        assert!(std::fs::read(&file).unwrap() == std::fs::read(&again).unwrap(), "{}", about.name);
        // The description alone builds the model again, and refuses values that are not its own.
        let mut fewer = model.weights();
        fewer.pop_last();
        assert!(info.config.load(fewer, &device::cpu()).is_err(), "{}: a tensor is missing", about.name);
        let text = serde_json::to_string(&info.config).unwrap();
        assert!(text.contains(&format!("\"family\":\"{}\"", about.name)), "{text}");
        assert_eq!(serde_json::from_str::<ModelConfig>(&text).unwrap(), info.config);
    });
}

/// Pictures do not depend on their company, on a second time, or on who else computes between the steps.
#[test]
fn a_picture_alone_is_that_of_a_batch() {
    each(|about, place| {
        let (sampler, _) = Sampler::open(begin(about, place, u64::MAX).root()).unwrap();
        let frame = sampler.info.config.frame();
        let latents: Vec<_> = (0..70).map(|i| sampler.latent(5, i, 1.0)).collect();
        let classes: Vec<_> = (0..70).map(|i| sampler.class_of(i)).collect();
        assert_eq!(latents[0].len(), sampler.info.config.noise());
        let pauses = std::cell::Cell::new(0);
        let all = sampler.pictures_in_turns(&latents, &classes, &|| pauses.set(pauses.get() + 1));
        assert!(pauses.get() > 0, "{}: a turn between batches at the least", about.name);
        assert_eq!((all[0].width, all[0].height, all[0].channels), (frame.width, frame.height, frame.channels));
        for i in [0, 1, 63, 64, 69] {
            let alone = sampler.pictures(&latents[i..=i], &classes[i..=i]).remove(0);
            assert!(alone == all[i], "{}: picture {i}", about.name);
        }
        assert!(all[0] != all[1], "{}: noise matters", about.name);
    });
}

#[test]
fn one_thread_or_two() {
    each(|about, place| {
        let with = |threads: usize| {
            let place = place.join(threads.to_string());
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            files(&pool.install(|| begin(about, &place, u64::MAX)), STEPS)
        };
        assert!(with(1) == with(2), "{}", about.name);
    });
}

#[test]
fn labels_are_read_back() {
    each(|about, place| {
        let (sampler, _) = Sampler::open(begin(about, place, 3).root()).unwrap();
        let picture = sampler.pictures(&[sampler.latent(7, 2, 0.8)], &[0]).remove(0);
        let asked = sampler.provenance(&Label::default(), 7, 2, None, 0.8, "normal");
        let path = place.join("picture.png");
        std::fs::write(&path, encode_png(&picture, &asked).unwrap()).unwrap();
        let label = read_label(&path).unwrap().unwrap();
        assert!(label.matches(&asked), "{}", about.name);
        assert_eq!(label.recipe.unwrap().model_hash, sampler.hash);
    });
}

/// `⟨∇f(x), v⟩` against `[f(x + εv) − f(x − εv)] / 2ε`.
#[track_caller]
fn differentiates(what: &str, x: Vec<f32>, f: &dyn Fn(Vec<f32>) -> f64, gradient: &[f32]) {
    let v = rng::normal(&mut rng::stream(3, "direction", 0), x.len());
    // Short enough to stay on one side of most kinks of ReLU, long enough for the digits of f32.
    let epsilon = 0.02 / v.iter().map(|v| v * v).sum::<f32>().sqrt();
    let at = |sign: f32| f(x.iter().zip(&v).map(|(x, v)| x + sign * epsilon * v).collect());
    let numeric = (at(1.0) - at(-1.0)) / (2.0 * f64::from(epsilon));
    let exact: f64 = gradient.iter().zip(&v).map(|(g, v)| f64::from(g * v)).sum();
    let scale = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt() * 0.1;
    assert!((numeric - exact).abs() <= scale + 1e-4, "{what}: {numeric} by differences, {exact} by gradients");
    assert!(gradient.iter().any(|g| *g != 0.0), "{what}: there is a gradient");
}

/// Through the generating networks into their latent space, and through critics into the pictures.
#[test]
fn gradients_are_those_of_finite_differences() {
    each(|about, place| {
        let dir = begin(about, place, u64::MAX);
        let (sampler, _) = Sampler::open(dir.root()).unwrap();
        let (config, cpu) = (&sampler.info.config, device::cpu());
        let frame = config.frame();
        let numbers = frame.height * frame.width * frame.channels;
        let weight = rng::normal(&mut rng::stream(4, "weight", 0), numbers);
        let shape = [1, frame.height, frame.width, frame.channels];
        let weigh = Tensor::<4>::from_data(TensorData::new(weight, shape), &cpu);
        if let Some(latent) = sampler.model().latent() {
            let latent = latent.constant();
            let z = sampler.z(&[sampler.latent(2, 0, 1.0)]).remove(0);
            let tensor = |z: Vec<f32>| Tensor::<2>::from_data(TensorData::new(z, [1, config.noise()]), &cpu);
            let f = |z| f64::from(host((latent.decode(tensor(z), &Condition::Nothing) * weigh.clone()).sum())[0]);
            let leaf = Tensor::<2>::from_inner(tensor(z.clone())).require_grad();
            let y = latent.decode(leaf.clone(), &Condition::Nothing) * Tensor::from_inner(weigh.clone());
            let gradient = host(leaf.grad(&y.sum().backward()).unwrap());
            differentiates(&format!("{}: latent", about.name), z, &f, &gradient);
        }
        let run = dir.config().unwrap();
        let (_, mut state) = crate::run::checkpoint::load(&directory(&dir.checkpoints(), STEPS)).unwrap();
        let critic = run.model.critic(&run.settings(), &mut state, features(about)).unwrap();
        assert_eq!(critic.is_some(), about.has_critic, "{}", about.name);
        if let Some(critic) = critic {
            // Batch norm measures on the pictures, so there are several.
            let (count, shape) = (4, [4, frame.height, frame.width, frame.channels]);
            let x = rng::normal(&mut rng::stream(5, "x", 0), count * numbers).into_iter().map(|v| v * 0.5).collect();
            let tensor = |x: Vec<f32>| Tensor::<4>::from_data(TensorData::new(x, shape), &cpu);
            let f = |x| f64::from(host(critic.opinions(tensor(x), &Condition::Nothing))[0]);
            let x: Vec<f32> = x;
            let leaf = Tensor::<4>::from_inner(tensor(x.clone())).require_grad();
            let opinion = critic.opinions(leaf.clone(), &Condition::Nothing).narrow(0, 0, 1).sum();
            let gradient = host(leaf.grad(&opinion.backward()).unwrap());
            differentiates(&format!("{}: critic", about.name), x, &f, &gradient);
        }
    });
}

/// What is said of a run comes from its family.
#[test]
fn reports_and_settings_speak_of_the_family() {
    each(|about, place| {
        let dir = begin(about, place, u64::MAX);
        let config = dir.config().unwrap();
        let line = config.line().unwrap();
        for part in [config.model.training(&config.tables).unwrap(), config.model.sizes()] {
            assert!(line.contains(&part), "{}: {part} in {line}", about.name);
        }
        let page = report::of_run(&dir).unwrap();
        let losses = page.curves.iter().find(|curve| curve.name == "Losses").unwrap();
        assert_eq!(losses.note, about.losses, "{}", about.name);
        assert!(page.subtitle.starts_with(about.name), "{}", page.subtitle);
        let toml = std::fs::read_to_string(dir.file("run.toml")).unwrap();
        let tables = toml.parse::<Table>().unwrap();
        let own = tables.keys().filter(|name| !["seed", "data", "model", "train"].contains(&name.as_str()));
        for name in own {
            assert!(about.tables.contains(&name.as_str()), "{}: [{name}] is not read\n{toml}", about.name);
        }
        let (rival, why) = config.model.rival();
        assert!(FAMILIES.iter().any(|other| other.name == rival) && rival != about.name && !why.is_empty());
    });
}

/// A setting that another family reads, or nobody, is refused with a hint.
#[test]
fn settings_that_do_nothing_are_refused() {
    let tables: std::collections::BTreeSet<&str> = FAMILIES.iter().flat_map(|about| about.tables).copied().collect();
    each(|about, _| {
        for table in tables.iter().copied().chain(["gna"]).filter(|table| !about.tables.contains(table)) {
            let settings = settings(&[("train.steps", 1), (&format!("{table}.r1"), 1)]);
            let request = Request {
                source: "emoji:food".into(),
                family: Some(about.name.into()),
                size: Some((32, 32)),
                settings,
                ..Request::default()
            };
            let error = choose(&request, &FOOD.1).unwrap_err();
            assert!(error.message.contains(table) && error.hint.is_some(), "{}: {error}", about.name);
        }
    });
}

fn verses() -> String {
    (0..60).map(|i| format!("the {} sings\nto the {}\n\n", i % 7, i * i % 11)).collect()
}

fn text_config(about: &About, place: &Path) -> (TextRunConfig, Arc<Corpus>) {
    let path = place.join("verses.txt");
    std::fs::create_dir_all(place).unwrap();
    std::fs::write(&path, verses()).unwrap();
    let source = path.to_str().unwrap().to_string();
    let settings = settings(&[
        ("train.steps", STEPS),
        ("train.look_every", 3),
        ("train.batch", 4),
        ("model.layers", 1),
        ("model.width", 16),
        ("model.context", 8),
        ("text.sample_tokens", 8),
    ]);
    let request = TextRequest { source: source.clone(), family: Some(about.name.into()), settings };
    let found = scan_text(&source).unwrap();
    let checked = check_text(&found, Documents::Auto, &|_, _| ()).unwrap();
    let tokens = choose_corpus(&request, &checked).unwrap();
    let corpus = Corpus::open(&tokens.config, &found, &place.join("cache"), &|_, _| ()).unwrap();
    (choose_text(&request, &tokens.config, &corpus).unwrap().config, Arc::new(corpus))
}

fn begin_text(about: &About, place: &Path, stop_at: u64) -> RunDir {
    let dir = RunDir::new(place.join("run"));
    let (config, corpus) = text_config(about, place);
    TextRun::create(dir.clone(), config, corpus).unwrap().train(&mut Ear::until(stop_at)).unwrap();
    dir
}

/// Runs `test` for each family that makes text.
fn each_of_text(test: impl Fn(&About, &Path)) {
    for about in text::FAMILIES {
        assert_eq!(about.makes, Makes::Text, "{}", about.name);
        test(about, tempfile::tempdir().unwrap().path());
    }
}

#[test]
fn interrupted_text_is_uninterrupted_whatever_the_threads() {
    each_of_text(|about, place| {
        let whole = files(&begin_text(about, &place.join("whole"), u64::MAX), STEPS);
        let parts = begin_text(about, &place.join("parts"), 4);
        let cache = place.join("parts/cache");
        TextRun::resume(parts.clone(), &cache, |_| ()).unwrap().train(&mut Ear::until(u64::MAX)).unwrap();
        let step = directory(&parts.checkpoints(), STEPS);
        let state = std::fs::read(step.join("state.safetensors")).unwrap();
        assert!(whole[1] == state, "{}: interrupted", about.name);
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let place = place.join(threads.to_string());
            let found = pool.install(|| begin_text(about, &place, u64::MAX));
            assert!(files(&found, STEPS)[1] == whole[1], "{}: {threads} threads", about.name);
        }
    });
}

/// Files, pieces alone and together, and labels of text.
#[test]
fn models_of_text_round_trip_and_write_alike_in_company() {
    each_of_text(|about, place| {
        let dir = begin_text(about, place, u64::MAX);
        let file = directory(&dir.checkpoints(), STEPS).join(MODEL_FILE);
        let (model, tokenizer, info, _) = model_file::open_text(&file).unwrap();
        assert_eq!(info.config.family(), about.name);
        let again = place.join("again.safetensors");
        model_file::save_text(&again, &model, &tokenizer, &info).unwrap();
        assert!(std::fs::read(&file).unwrap() == std::fs::read(&again).unwrap(), "{}", about.name);

        let (author, _) = Author::open(dir.root()).unwrap();
        let sampling = Sampling { temperature: 0.9, ..Sampling::default() };
        let request = Piece { prompt: "the".into(), sampling, max_tokens: 12, stop: Vec::new(), seed: 4 };
        let alone: Vec<String> = (0..3).map(|i| author.begin(&request, i).unwrap().rest().unwrap()).collect();
        let mut pieces: Vec<_> = (0..3).map(|i| author.begin(&request, i).unwrap()).collect();
        let mut together = vec![String::new(); 3];
        while pieces.iter().any(|piece| piece.finish().is_none()) {
            let mut writing: Vec<_> =
                pieces.iter_mut().zip(&mut together).filter(|(p, _)| p.finish().is_none()).collect();
            let (mut of, mut texts): (Vec<_>, Vec<_>) = writing.drain(..).unzip();
            for (text, more) in texts.iter_mut().zip(crate::generate::text::Generation::step_each(&mut of)) {
                text.push_str(&more.unwrap());
            }
        }
        assert_eq!(alone, together, "{}", about.name);
        let asked = author.provenance(&Label::default(), &request, 1);
        let written = crate::provenance::text::markdown(&alone[1], &asked).unwrap();
        let label = crate::provenance::text::read_markdown(&written).unwrap().unwrap();
        assert!(label.matches(&asked), "{}", about.name);
    });
}

/// The loss of a text model along a random direction of all of its weights.
#[test]
fn gradients_of_text_are_those_of_finite_differences() {
    each_of_text(|about, place| {
        let (config, _) = text_config(about, place);
        let batch = 2;
        let count = batch * config.model.context();
        let mut stream = rng::stream(6, "tokens", 0);
        let mut draw =
            || -> Vec<u32> { (0..count).map(|_| rng::below(&mut stream, config.model.vocabulary()) as u32).collect() };
        let (tokens, targets) = (draw(), draw());
        let mut model = TextModel::new(&config.model);
        nn::initialise(&mut model, 1, &device::cpu().autodiff());
        let mut gradients = model.loss(&tokens, &targets, batch, None).backward();
        let mut slopes = BTreeMap::new();
        for (name, param) in model.parameters() {
            slopes.insert(name, param.flat().grad_remove(&mut gradients).map(host));
        }
        let weights = model.inner().weights();
        let (mut x, mut gradient) = (Vec::new(), Vec::new());
        for (name, tensor) in &weights {
            x.extend(&tensor.data);
            match &slopes[name] {
                Some(slope) => gradient.extend(slope),
                None => gradient.extend(vec![0.0; tensor.data.len()]),
            }
        }
        let f = |x: Vec<f32>| {
            let mut rest = &x[..];
            let mut moved: Weights = weights.clone();
            for tensor in moved.values_mut() {
                let (own, others) = rest.split_at(tensor.data.len());
                tensor.data.copy_from_slice(own);
                rest = others;
            }
            let model = TextModel::load(&config.model, moved, &device::cpu()).unwrap();
            f64::from(host(model.loss(&tokens, &targets, batch, None))[0])
        };
        differentiates(about.name, x, &f, &gradient);
    });
}
