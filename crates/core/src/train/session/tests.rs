//! A session in trouble: weights that are not numbers, at every moment where they can turn up.

use super::budget::nice;
use super::*;
use crate::data::{Dataset, Source, check, scan};
use crate::families::gan::settings::{GanConfig, GanLoss};
use crate::families::settings::TrainConfig;
use crate::pretrained::{EfficientNetLite0, random_network};
use crate::run::config::RunConfig;
use crate::train::pictures::Pictures;
use crate::train::run::Run;
use crate::train::{Request, choose, set};
use std::path::Path;
use std::sync::Arc;
use toml::Table;

mod control;
mod devices;
mod texts;
mod vaes;

/// Remembers what it is told.
#[derive(Default)]
struct Ear {
    notes: Vec<String>,
    estimates: u32,
    stop: bool,
}

impl Observer for Ear {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Note(text) => self.notes.push(text.clone()),
            Event::Estimate { .. } => self.estimates += 1,
            _ => (),
        }
    }

    fn stop(&self) -> bool {
        self.stop
    }

    fn seconds(&self) -> f64 {
        0.0
    }
}

const STEPS: u64 = 12;
const FAMILIES: [&str; 4] = ["dcgan", "fastgan", "projected", "vae"];

fn config_and_data(family: &str, directory: &Path) -> (RunConfig, Arc<Dataset>) {
    let source = Source::parse("emoji:food").unwrap();
    let found = scan(&source).unwrap();
    let mut settings = Table::new();
    for (path, value) in [("train.steps", STEPS), ("train.look_every", 5), ("train.batch", 8), ("model.stack.base", 4)]
    {
        set(&mut settings, path, toml::Value::Integer(value as i64));
    }
    if family == "projected" {
        set(&mut settings, "gan.feature_size", toml::Value::Integer(32));
    }
    let side = if ["fastgan", "projected"].contains(&family) { 32 } else { 16 };
    let size = Some((side, side));
    let request = Request { source: "emoji:food".into(), family: Some(family.into()), size, settings, features: false };
    let config = choose(&request, &check(&found, &|_, _| ()).unwrap()).unwrap().config;
    let data = Dataset::open(&config.data, &found, &directory.join("cache"), &|_, _| ()).unwrap();
    (config, Arc::new(data))
}

/// A run that has just begun, in `directory`.
fn session(family: &str, directory: &Path, ear: &mut Ear) -> Session<Pictures> {
    let (config, data) = config_and_data(family, directory);
    let run = Run::create(RunDir::new(directory.join("run")), config, data).unwrap();
    Session::of_pictures(run.looking_through(eyes(family)), ear).unwrap()
}

/// What a projected GAN looks through, in a test: random weights.
fn eyes(family: &str) -> Option<EfficientNetLite0> {
    (family == "projected").then(|| random_network(1))
}

/// Opens a run that was left.
fn reopen(directory: &Path, steps: u64, ear: &mut Ear) -> Session<Pictures> {
    let cache = directory.join("cache");
    let run = Run::resume(RunDir::new(directory.join("run")), &cache, |config| config.train.steps = steps).unwrap();
    Session::of_pictures(run, ear).unwrap()
}

/// Makes weights of the model in training no numbers: those whose name contains `name`.
fn poison(session: &mut Session<Pictures>, name: &str) {
    overwrite(session, name, f32::NAN);
}

fn overwrite(session: &mut Session<Pictures>, name: &str, value: f32) {
    let mut state = session.subject.trainer.state();
    let mut hit = 0;
    for (tensor, values) in state.iter_mut().filter(|(tensor, _)| tensor.contains(name) && !tensor.starts_with("adam"))
    {
        assert!(!tensor.is_empty());
        values.data[0] = value;
        hit += 1;
    }
    assert!(hit > 0, "no tensor {name}");
    session.subject.trainer.restore(state, session.counters.step).unwrap();
}

fn finite(state: &Weights) -> bool {
    state.values().flat_map(|tensor| &tensor.data).all(|v| v.is_finite())
}

/// The newest checkpoint is whole and all of its numbers are numbers.
#[track_caller]
fn newest_is_good(directory: &Path) -> u64 {
    let (found, warnings) = checkpoint::newest_whole(&directory.join("run/checkpoints"));
    let (_, counters, state) = found.expect("a checkpoint");
    assert!(warnings.is_empty() && finite(&state));
    counters.step
}

#[test]
fn poisoned_weights_are_noticed_within_a_step() {
    for family in FAMILIES {
        // Everything at once, the player's or coder's first and last layers, and what only reaches the average.
        let parts: &[&str] = match family {
            "dcgan" => &["generator", "discriminator", "generator.project", "generator.last", "discriminator.logit"],
            "projected" => &["generator", "discriminator.heads.3.logit", "discriminator.heads.0.rest.1.conv.u"],
            "fastgan" => &["generator", "generator.blocks.2.excite", "discriminator.logit", "discriminator.part.last"],
            _ => &["vae", "vae.encoder.first", "vae.mu", "vae.logvar", "vae.decoder.last"],
        };
        for part in parts {
            let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
            let mut session = session(family, directory.path(), &mut ear);
            for _ in 0..3 {
                session.step();
            }
            poison(&mut session, part);
            let Outcome { step, finished, .. } = session.train(&mut ear).unwrap();
            assert!(finished && step == STEPS, "{family} {part}");
            assert_eq!(ear.notes.len(), 1, "{family} {part}: {:?}", ear.notes);
            assert!(ear.notes[0].contains("at step 4: back to step 0"), "{family} {part}: {}", ear.notes[0]);
            assert_eq!(newest_is_good(directory.path()), STEPS, "{family} {part}");
            let attempt = checkpoint::newest_whole(&directory.path().join("run/checkpoints")).0.unwrap().1.attempt;
            assert_eq!(attempt, 1, "the retry draws other pictures");
        }
    }
}

#[test]
fn poisoned_weights_are_never_saved() {
    for family in FAMILIES {
        let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
        let mut session = session(family, directory.path(), &mut ear);
        session.step();
        poison(&mut session, "average");
        let trouble = session.look(&mut ear).unwrap();
        assert!(trouble.expect("trouble").words.contains("stopped being a number at step 1"));
        assert_eq!(newest_is_good(directory.path()), 0);
        session.roll_back(&Trouble::divergence("a test"), &mut ear).unwrap();
        assert!(session.train(&mut ear).unwrap().finished);
        assert_eq!(newest_is_good(directory.path()), STEPS);
    }
}

#[test]
fn stopping_on_poisoned_weights_keeps_the_last_good_checkpoint() {
    let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let mut session = session("dcgan", directory.path(), &mut ear);
    for _ in 0..3 {
        session.step();
    }
    poison(&mut session, "generator");
    ear.stop = true;
    let outcome = session.train(&mut ear).unwrap();
    assert!(!outcome.finished && outcome.step == 0);
    assert_eq!(newest_is_good(directory.path()), 0);
}

#[test]
fn retries_are_bounded() {
    let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let mut session = session("dcgan", directory.path(), &mut ear);
    for _ in 0..3 {
        session.roll_back(&Trouble::divergence("a test"), &mut ear).unwrap();
    }
    assert_eq!((session.counters.attempt, session.counters.lr_scale), (3, 0.125));
    let error = session.roll_back(&Trouble::divergence("a test"), &mut ear).unwrap_err();
    assert_eq!(error.kind, crate::ErrorKind::Diverged);
}

/// Weights that have exploded can be numbers still when they are saved: the next loss shows what they are.
#[test]
fn a_checkpoint_is_on_probation() {
    let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let mut session = session("dcgan", directory.path(), &mut ear);
    session.config.train.steps = 60;
    let steps = |session: &Session<Pictures>| -> Vec<u64> {
        checkpoint::list(&session.dir.checkpoints()).into_iter().map(|(step, _)| step).collect()
    };
    let walk = |session: &mut Session<Pictures>, ear: &mut Ear, to: u64| {
        while session.counters.step < to {
            session.step();
        }
        assert_eq!(session.look(ear).unwrap(), None);
    };
    for step in [10, 30] {
        walk(&mut session, &mut ear, step);
    }
    session.step();
    overwrite(&mut session, "discriminator.logit", 1e30);
    walk(&mut session, &mut ear, 31);
    assert_eq!(steps(&session), [31, 30, 10]);
    let trouble = health::losses(32, &session.step(), session.subject.loss_limit()).expect("trouble");
    session.roll_back(&trouble, &mut ear).unwrap();
    assert!(ear.notes[0].contains("at step 32: back to step 10,"), "{:?}", ear.notes);
    // What is not trusted is gone, and nothing points to it.
    assert_eq!((session.counters.step, steps(&session)), (10, vec![10]));
    for pointer in ["best", "last"] {
        assert!(session.dir.pointed(pointer).is_some_and(|path| path.ends_with("00000010")), "{pointer}");
    }
    let outcome = session.train(&mut ear).unwrap();
    assert!(outcome.finished && ear.notes.len() == 1, "{:?}", ear.notes);
}

/// Young checkpoints are not trusted, but the oldest is better than none.
#[test]
fn there_is_always_a_way_back() {
    let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let mut session = session("vae", directory.path(), &mut ear);
    session.step();
    session.roll_back(&Trouble::divergence("a test"), &mut ear).unwrap();
    assert_eq!(session.counters.step, 0);
    for _ in 0..3 {
        session.step();
        session.look(&mut ear).unwrap();
    }
    session.roll_back(&Trouble::divergence("a test"), &mut ear).unwrap();
    assert_eq!(session.counters.step, 0);
}

/// Whoever is killed right after a rollback finds it as it was: no retry is given back, and the draws are the same.
#[test]
fn a_rollback_is_remembered() {
    let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let mut first = session("dcgan", directory.path(), &mut ear);
    first.step();
    first.roll_back(&Trouble::divergence("a test"), &mut ear).unwrap();
    let (counters, losses) = (first.counters.clone(), first.step());
    drop(first);
    let mut again = reopen(directory.path(), STEPS, &mut ear);
    assert_eq!((again.counters.attempt, again.counters.lr_scale, again.counters.step), (1, 0.5, 0));
    assert_eq!(again.counters.seconds, counters.seconds);
    assert_eq!(again.step(), losses);
    again.roll_back(&Trouble::divergence("a test"), &mut ear).unwrap();
    drop(again);
    let mut third = reopen(directory.path(), STEPS, &mut ear);
    assert_eq!(third.counters.attempt, 2);
    third.roll_back(&Trouble::divergence("a test"), &mut ear).unwrap();
    drop(third);
    let error =
        reopen(directory.path(), STEPS, &mut ear).roll_back(&Trouble::divergence("a test"), &mut ear).unwrap_err();
    assert_eq!(error.kind, crate::ErrorKind::Diverged);
    assert_eq!(newest_is_good(directory.path()), 0);
}

#[test]
fn a_finished_run_tries_nothing() {
    let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let session = session("dcgan", directory.path(), &mut ear);
    assert!(session.train(&mut ear).unwrap().finished);
    assert_eq!(ear.estimates, 1);
    assert!(reopen(directory.path(), STEPS, &mut ear).train(&mut ear).unwrap().finished);
    assert_eq!(ear.estimates, 1);
    assert_eq!(reopen(directory.path(), STEPS + 1, &mut ear).train(&mut ear).unwrap().step, STEPS + 1);
    assert_eq!(ear.estimates, 2);
}

/// A state goes out and comes back as it was, and training goes on from it as if nothing had happened.
#[test]
fn state_round_trip() {
    for family in FAMILIES {
        let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
        let mut session = session(family, directory.path(), &mut ear);
        for _ in 0..3 {
            session.step();
        }
        let state = session.subject.trainer.state();
        let losses = session.step();
        let after = session.subject.trainer.state();
        session.subject.trainer.restore(state.clone(), 3).unwrap();
        assert_eq!(session.subject.trainer.state(), state, "{family}");
        session.counters.step = 3;
        assert_eq!(session.step(), losses, "{family}");
        assert_eq!(session.subject.trainer.state(), after, "{family}");
        // A state with a tensor missing is refused.
        for name in state.keys().filter(|name| !name.contains("log_scale")) {
            let mut state = state.clone();
            state.remove(name);
            assert!(session.subject.trainer.restore(state, 3).is_err(), "{family} {name}");
        }
    }
}

/// Penalties and the adaptive augmentation, whatever they carry from step to step.
#[test]
fn a_regularised_state_round_trip() {
    let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let (mut config, data) = config_and_data("dcgan", directory.path());
    config.tables.set(&GanConfig {
        loss: GanLoss::LeastSquares,
        augment: GanConfig::default().augment,
        r1: 1.0,
        r2: 1.0,
        gradient_penalty: 1.0,
        penalty_every: 2,
        ada: 0.1,
        ada_pictures: 100.0,
        ..GanConfig::default()
    });
    let run = Run::create(RunDir::new(directory.path().join("run")), config, data).unwrap();
    let mut session = Session::of_pictures(run, &mut ear).unwrap();
    for _ in 0..6 {
        session.step();
    }
    let state = session.subject.trainer.state();
    assert!(state["ada"].data[2] > 0.0, "two steps are noted, and not yet acted on");
    let losses = [session.step(), session.step(), session.step()];
    let after = session.subject.trainer.state();
    session.subject.trainer.restore(state.clone(), 6).unwrap();
    session.counters.step = 6;
    assert_eq!([session.step(), session.step(), session.step()], losses);
    assert_eq!(session.subject.trainer.state(), after);
    let mut without = state;
    without.remove("ada");
    assert!(session.subject.trainer.restore(without, 6).is_err());
}

#[test]
fn a_projected_gan_without_eyes_is_refused() {
    let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let (config, data) = config_and_data("projected", directory.path());
    let run = Run::create(RunDir::new(directory.path().join("run")), config, data).unwrap();
    let Err(error) = Session::of_pictures(run, &mut ear) else { panic!("it trains without eyes") };
    assert_eq!(error.kind, ErrorKind::Input);
    assert!(error.hint.unwrap().contains("weights get"));
}

/// Early in a run there is something to see soon; later looks are regular.
#[test]
fn the_schedule_of_looks() {
    let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let mut session = session("dcgan", directory.path(), &mut ear);
    session.config.train.steps = 1000;
    session.config.train.look_every = 80;
    let mut looks = Vec::new();
    for step in 1..=1000 {
        session.counters.step = step;
        if session.look_is_due() {
            looks.push(step);
        }
    }
    assert_eq!(looks, [10, 20, 40, 80, 160, 240, 320, 400, 480, 560, 640, 720, 800, 880, 960, 1000]);
}

#[test]
fn round_numbers() {
    let cases = [
        (0.0, 1),
        (0.3, 1),
        (1.0, 1),
        (1.9, 1),
        (2.0, 2),
        (4.99, 2),
        (7.0, 5),
        (10.0, 10),
        (999.0, 500),
        (1e6, 1_000_000),
    ];
    for (value, expected) in cases {
        assert_eq!(nice(value), expected, "{value}");
    }
}

#[test]
fn whichever_budget_ends_first() {
    let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let train = session("dcgan", directory.path(), &mut ear).config.train;
    let config = |steps, minutes| TrainConfig { steps, minutes, ..train.clone() };
    let counters = Counters { step: 40, seconds: 30.0, ..Counters::start() };
    assert_eq!(remaining_steps(&config(100, 0.0), &counters, 1.0), 60);
    assert_eq!(remaining_steps(&config(0, 1.0), &counters, 0.5), 60);
    assert_eq!(remaining_steps(&config(100, 1.0), &counters, 1.0), 30);
    assert_eq!(remaining_steps(&config(10, 0.0), &counters, 1.0), 0);
    assert_eq!(remaining_steps(&config(0, 0.1), &counters, 1.0), 0);
}
