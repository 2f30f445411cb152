//! Small writers on a small corpus.

use super::super::Session;
use crate::data::text::{Corpus, Documents, check_text, scan_text};
use crate::judge::ScoreName;
use crate::makes::Makes;
use crate::run::checkpoint;
use crate::run::config::text::TextRunConfig;
use crate::run::dir::RunDir;
use crate::run::model_file;
use crate::train::health::{self, Trouble};
use crate::train::observer::{Event, Observer, Outcome};
use crate::train::set;
use crate::train::subject::{Moment, Subject};
use crate::train::text::{TextRequest, TextRun, Texts, choose_corpus, choose_text, corpus_of};
use crate::weights::Weights;
use crate::{ErrorKind, device};
use std::path::Path;
use std::sync::Arc;
use toml::{Table, Value};

/// Remembers what it is told. Its clock goes forward a second with every question.
#[derive(Default)]
struct Ear {
    notes: Vec<String>,
    looks: Vec<Vec<(ScoreName, f64)>>,
    stop_after: Option<u64>,
    step: u64,
    clock: std::cell::Cell<f64>,
    still: bool,
}

impl Observer for Ear {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Note(text) => self.notes.push(text.clone()),
            Event::Look { scores, .. } => self.looks.push(scores.clone()),
            Event::Step { step, .. } => self.step = *step,
            _ => (),
        }
    }

    fn stop(&self) -> bool {
        self.stop_after.is_some_and(|after| self.step >= after)
    }

    fn seconds(&self) -> f64 {
        if !self.still {
            self.clock.set(self.clock.get() + 1.0);
        }
        self.clock.get()
    }
}

/// Ninety short verses, three lines each, of a few words: there is something to learn in a few steps.
fn verses() -> String {
    let words = ["moon", "river", "spring", "wind", "stone", "light", "snow"];
    let word = |i: usize| words[i % words.len()];
    let verse = |i: usize| {
        format!("the {} and the {}\nunder the {}\nsing to the {}", word(i), word(i / 7), word(i / 49), word(i + i / 7))
    };
    (0..90).map(verse).collect::<Vec<_>>().join("\n\n")
}

const FAMILIES: [&str; 2] = ["gpt", "lstm"];
const STEPS: u64 = 12;

fn config_and_corpus(directory: &Path, family: &str, settings: &[(&str, Value)]) -> (TextRunConfig, Arc<Corpus>) {
    let path = directory.join("verses.txt");
    std::fs::write(&path, verses()).unwrap();
    let source = path.to_str().unwrap().to_string();
    let mut table = Table::new();
    for (name, value) in [
        ("train.steps", STEPS),
        ("train.look_every", 5),
        ("train.batch", 4),
        ("model.layers", 2),
        ("model.width", 32),
        ("model.context", 16),
        ("text.sample_tokens", 30),
    ] {
        set(&mut table, name, Value::Integer(value as i64));
    }
    set(&mut table, "model.dropout", Value::Float(0.1));
    settings.iter().for_each(|(name, value)| set(&mut table, name, value.clone()));
    let request = TextRequest { source: source.clone(), family: Some(family.into()), settings: table };
    let scan = scan_text(&source).unwrap();
    let checked = check_text(&scan, Documents::Auto, &|_, _| ()).unwrap();
    let tokens = choose_corpus(&request, &checked).unwrap();
    let corpus = Corpus::open(&tokens.config, &scan, &directory.join("cache"), &|_, _| ()).unwrap();
    let config = choose_text(&request, &tokens.config, &corpus).unwrap().config;
    (config, Arc::new(corpus))
}

/// A run that has just begun.
fn session(directory: &Path, family: &str, settings: &[(&str, Value)], ear: &mut Ear) -> Session<Texts> {
    let (config, corpus) = config_and_corpus(directory, family, settings);
    TextRun::create(RunDir::new(directory.join("run")), config, corpus).unwrap().open(ear).unwrap()
}

/// Opens a run that was left.
fn reopen(directory: &Path, ear: &mut Ear) -> Session<Texts> {
    let dir = RunDir::new(directory.join("run"));
    TextRun::resume(dir, &directory.join("cache"), |_| ()).unwrap().open(ear).unwrap()
}

/// State and counters of the newest checkpoint.
fn newest(directory: &Path) -> (crate::run::counters::Counters, Weights) {
    let (found, warnings) = checkpoint::newest_whole(&directory.join("run/checkpoints"));
    assert!(warnings.is_empty(), "{warnings:?}");
    let (_, counters, state) = found.unwrap();
    (counters, state)
}

#[test]
fn it_learns_and_shows_it() {
    // A recurrent network learns more slowly from as many tokens.
    for (family, steps, reached) in [("gpt", 150, 1.5), ("lstm", 600, 2.5)] {
        let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
        let settings = [
            ("train.steps", Value::Integer(steps)),
            ("train.look_every", Value::Integer(50)),
            ("train.lr", Value::Float(5e-3)),
        ];
        let outcome = session(directory.path(), family, &settings, &mut ear).train(&mut ear).unwrap();
        assert!(
            outcome.finished && outcome.step == steps as u64 && ear.notes.is_empty(),
            "{outcome:?} {:?}",
            ear.notes
        );
        let bits: Vec<f64> = ear.looks.iter().map(|scores| scores[0].1).collect();
        assert_eq!(ear.looks[0][0].0.to_string(), "heldout_bits_per_byte");
        // Untrained: the logarithm of the vocabulary, a byte a token.
        let (config, corpus) = config_and_corpus(directory.path(), family, &[]);
        let blind = (corpus.tokenizer().vocabulary() as f64).log2();
        assert!((bits[0] - blind).abs() < 0.2, "{family}: {bits:?}, blind {blind}");
        assert!(*bits.last().unwrap() < reached, "{family}: {bits:?}");
        let best = outcome.best.unwrap();
        assert_eq!(best.score, bits.iter().copied().fold(f64::INFINITY, f64::min));

        let run = RunDir::new(directory.path().join("run"));
        let sample = std::fs::read_to_string(run.sample(steps as u64, "txt")).unwrap();
        assert!(sample.starts_with("AI生成 AI-generated: "), "{sample}");
        assert!(config.text.prompts.iter().all(|prompt| sample.contains(prompt.as_str())), "{sample}");
        assert_eq!(sample.matches("────").count(), 2 * config.text.prompts.len());
        assert!(sample.contains("the "), "{family} has learned a word: {sample}");
        let look = run.metrics().into_iter().rfind(|event| event["event"] == "look").unwrap();
        assert_eq!(look["tokens"], steps * 4 * 16);
        assert!(!look.contains_key("diversity") && look["heldout_loss"].is_number());
        let (_, tokenizer, info, _) =
            model_file::open_text(&run.pointed("best").unwrap().join("model.safetensors")).unwrap();
        assert_eq!((info.step, info.tokens_seen), (best.step, best.step * 64));
        assert_eq!((info.data.as_str(), info.name.as_str()), ("verses.txt", format!("verses.txt-{family}").as_str()));
        assert_eq!(tokenizer.to_json(), corpus.tokenizer().to_json());
    }
}

/// A state goes out and comes back as it was, and training goes on from it as if nothing had happened.
#[test]
fn state_round_trip() {
    for family in FAMILIES {
        for ema in [0.0, 100.0] {
            let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
            let settings = [("train.ema_half_life", Value::Float(ema)), ("text.accumulate", Value::Integer(2))];
            let mut session = session(directory.path(), family, &settings, &mut ear);
            for _ in 0..3 {
                session.step();
            }
            let state = session.subject.state();
            assert_eq!(state.keys().any(|name| name.starts_with("average.")), ema > 0.0);
            let losses = session.step();
            let after = session.subject.state();
            session.subject.restore(state.clone(), 3, 0).unwrap();
            session.counters.step = 3;
            assert_eq!(session.subject.state(), state, "{family}");
            assert_eq!(session.step(), losses, "{family}");
            assert_eq!(session.subject.state(), after, "{family}");
            for name in state.keys() {
                let mut state = state.clone();
                state.remove(name);
                assert!(session.subject.restore(state, 3, 0).is_err(), "{family} {name}");
            }
        }
    }
}

/// Stopped and gone on with, as often as one likes: the same weights, and the schedule where it was.
#[test]
fn interrupted_is_uninterrupted() {
    for family in FAMILIES {
        let whole = tempfile::tempdir().unwrap();
        let mut ear = Ear::default();
        assert!(session(whole.path(), family, &[], &mut ear).train(&mut ear).unwrap().finished);
        let parts = tempfile::tempdir().unwrap();
        let mut ear = Ear { stop_after: Some(4), ..Ear::default() };
        let outcome = session(parts.path(), family, &[], &mut ear).train(&mut ear).unwrap();
        assert!(!outcome.finished && outcome.step == 4);
        for after in [7, STEPS] {
            let mut ear = Ear { stop_after: Some(after), ..Ear::default() };
            assert_eq!(reopen(parts.path(), &mut ear).train(&mut ear).unwrap().step, after);
        }
        assert!(newest(whole.path()).1 == newest(parts.path()).1, "{family}");
    }
}

/// Where time limits a run, its schedule follows the seconds in the checkpoint and not the clock.
#[test]
fn a_schedule_of_minutes_goes_on_where_it_was() {
    let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear { still: true, ..Ear::default() });
    let settings = [("train.steps", Value::Integer(0)), ("train.minutes", Value::Float(1.0))];
    let mut first = session(directory.path(), "gpt", &settings, &mut ear);
    first.counters.seconds = 30.0;
    first.step();
    first.look(&mut ear).unwrap();
    let losses = (first.step(), first.step());
    let state = first.subject.state();
    drop(first);
    let mut again = reopen(directory.path(), &mut Ear { clock: 1e6.into(), still: true, ..Ear::default() });
    assert_eq!((again.counters.step, again.counters.seconds), (1, 30.0));
    assert_eq!((again.step(), again.step()), losses);
    assert!(again.subject.state() == state);
    // At another place of the budget it is another step.
    again.subject.restore(newest(directory.path()).1, 1, 0).unwrap();
    (again.counters.step, again.counters.seconds) = (1, 3.0);
    again.step();
    assert!(again.subject.state() != state);
}

#[test]
fn divergence_is_noticed_and_rolled_back() {
    for family in FAMILIES {
        let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
        let mut session = session(directory.path(), family, &[], &mut ear);
        for _ in 0..3 {
            session.step();
        }
        let mut state = session.subject.state();
        state.iter_mut().filter(|(name, _)| name.starts_with("model.")).for_each(|(_, v)| v.data[0] = f32::NAN);
        session.subject.restore(state, 3, 0).unwrap();
        let Outcome { step, finished, .. } = session.train(&mut ear).unwrap();
        assert!(finished && step == STEPS, "{family}");
        assert!(ear.notes.len() == 1 && ear.notes[0].contains("at step 4: back to step 0"), "{:?}", ear.notes);
        assert_eq!(newest(directory.path()).0.attempt, 1, "the retry draws other windows");
    }
    assert!(health::losses(1, &vec![("loss", 2e3)], 1e3).is_some());
}

#[test]
fn a_retry_draws_other_windows() {
    let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let mut session = session(directory.path(), "gpt", &[("train.lr", Value::Float(0.0))], &mut ear);
    let first = session.step();
    session.roll_back(&Trouble::divergence("a test"), &mut ear).unwrap();
    assert_ne!(session.step(), first);
}

/// Where there is only one window to draw, gradients of several batches average to that of one.
#[test]
fn accumulated_gradients_are_averaged() {
    let directory = tempfile::tempdir().unwrap();
    let after = |accumulate| {
        let (mut config, corpus) = config_and_corpus(directory.path(), "gpt", &[("model.dropout", Value::Float(0.0))]);
        let crate::families::text::TextModelConfig::Gpt(gpt) = &mut config.model else { panic!("a gpt") };
        gpt.context = corpus.train_len() - 1;
        config.text.accumulate = accumulate;
        config.train.batch = 1;
        let mut texts = Texts::new(&config, corpus).unwrap();
        let moment = Moment { step: 0, seed: 1, lr: 1e-3, remedy: Default::default(), progress: 0.5 };
        (texts.step(&moment), texts.state())
    };
    let ((one, once), (three, thrice)) = (after(1), after(3));
    assert!((one[0].1 - three[0].1).abs() < 1e-5);
    let apart = |name: &str| {
        let pairs = once[name].data.iter().zip(&thrice[name].data);
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    let moments = once.keys().filter(|name| name.starts_with("adam.m."));
    moments.for_each(|name| assert!(apart(name) < 1e-6, "{name}: {}", apart(name)));
}

/// Gains and biases keep their size; matrices shrink by `lr · decay`.
#[test]
fn only_matrices_decay() {
    let directory = tempfile::tempdir().unwrap();
    let after = |decay: f32| {
        let (mut config, corpus) = config_and_corpus(directory.path(), "gpt", &[]);
        (config.train.weight_decay, config.train.clip_norm) = (decay, 1.0);
        let mut texts = Texts::new(&config, corpus).unwrap();
        let before = texts.state();
        texts.step(&Moment { step: 0, seed: 1, lr: 1e-2, remedy: Default::default(), progress: 0.05 });
        (before, texts.state())
    };
    let ((before, plain), (_, decayed)) = (after(0.0), after(0.5));
    let mut kinds = [0, 0];
    for (name, tensor) in plain.iter().filter(|(name, _)| name.starts_with("model.")) {
        let matrix = tensor.shape.len() > 1;
        kinds[usize::from(matrix)] += 1;
        for ((p, d), b) in tensor.data.iter().zip(&decayed[name].data).zip(&before[name].data) {
            let expected = if matrix { 1e-2 * 0.5 * b } else { 0.0 };
            assert!((p - d - expected).abs() < 1e-6, "{name}: {p} {d} {b}");
        }
    }
    assert!(kinds[0] > 0 && kinds[1] > 0, "both kinds were there");
}

#[test]
fn settings_round_trip_and_are_checked() {
    let directory = tempfile::tempdir().unwrap();
    let (config, corpus) = config_and_corpus(directory.path(), "gpt", &[]);
    let text = config.to_toml();
    assert_eq!(toml::from_str::<TextRunConfig>(&text).unwrap(), config);
    assert!(!text.contains("flip"), "{text}");
    let root = directory.path().join("run");
    let refused = |change: &dyn Fn(&mut TextRunConfig), word: &str| {
        let mut config = config.clone();
        change(&mut config);
        let Err(error) = TextRun::create(RunDir::new(&root), config, corpus.clone()) else {
            panic!("{word}: accepted")
        };
        assert_eq!(error.kind, ErrorKind::Input);
        assert!(error.message.contains(word), "{word}: {}", error.message);
        assert!(!root.exists(), "nothing is left behind");
    };
    refused(&|c| c.train.flip = Some(true), "train.flip");
    refused(&|c| c.train.batch = 0, "train.batch");
    refused(&|c| c.text.accumulate = 0, "text.accumulate");
    refused(&|c| c.text.warmup = f64::NAN, "text.warmup");
    refused(&|c| c.text.prompts.clear(), "text.prompts");
    refused(&|c| set_model(c, "vocabulary", 7), "model.vocabulary is 7");
    refused(&|c| set_model(c, "context", 8000), "too short for a context of 8000");
}

fn set_model(config: &mut TextRunConfig, name: &str, value: i64) {
    let mut table = Table::try_from(&*config).unwrap();
    set(&mut table, &format!("model.{name}"), Value::Integer(value));
    *config = table.try_into().unwrap();
}

#[test]
fn a_run_without_its_cache() {
    let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear { stop_after: Some(2), ..Ear::default() });
    session(directory.path(), "gpt", &[], &mut ear).train(&mut ear).unwrap();
    let resume = || TextRun::resume(RunDir::new(directory.path().join("run")), &directory.path().join("cache"), |_| ());
    let forget = || std::fs::remove_dir_all(directory.path().join("cache")).unwrap();
    // From the cache alone, then from the unchanged text alone, and from neither.
    let (text, away) = (directory.path().join("verses.txt"), directory.path().join("away.txt"));
    std::fs::rename(&text, &away).unwrap();
    resume().unwrap();
    std::fs::rename(&away, &text).unwrap();
    forget();
    resume().unwrap();
    // Copied, so of another time, but of the same bytes: the run goes on under the name that its corpus had.
    let name = || {
        let dir = RunDir::new(directory.path().join("run"));
        let corpus = corpus_of(&dir, &dir.text_config().unwrap(), &directory.path().join("cache"));
        corpus.unwrap().fingerprint().to_string()
    };
    let before = name();
    forget();
    std::fs::write(&text, verses()).unwrap();
    std::fs::File::options().append(true).open(&text).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    resume().unwrap();
    assert_eq!(name(), before);
    forget();
    std::fs::write(&text, verses().replace("moon", "mouse")).unwrap();
    let Err(error) = resume() else { panic!("it trains on something else") };
    assert!(error.message.contains("has changed"), "{}", error.message);
}

#[test]
fn a_model_file_says_what_it_makes() {
    let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
    drop(session(directory.path(), "lstm", &[], &mut ear));
    let path = RunDir::new(directory.path().join("run")).pointed("last").unwrap().join("model.safetensors");
    assert_eq!(model_file::makes(&path).unwrap(), Makes::Text);
    let error = model_file::open(&path, &device::cpu()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Input);
    assert!(error.message.contains("writes text") && error.hint.unwrap().contains("--prompt"));
    let (dir, pictures) = (RunDir::new(directory.path().join("run")), RunDir::new(directory.path()));
    assert!(dir.makes() == Makes::Text && dir.config().unwrap_err().message.contains("run on text"));
    assert!(pictures.makes() == Makes::Pictures, "no run at all");
    // The same model and tokenizer give the same bytes; another vocabulary is refused.
    let (model, tokenizer, info, hash) = model_file::open_text(&path).unwrap();
    let copy = directory.path().join("copy.safetensors");
    model_file::save_text(&copy, &model, &tokenizer, &info).unwrap();
    assert_eq!(model_file::open_text(&copy).unwrap().3, hash);
}
