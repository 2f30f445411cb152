//! Training that steers itself: it stops where nothing more is won, and mends what has gone wrong.

use super::*;
use crate::families::trainer::{Kind, Remedy};

fn steer(directory: &Path, ear: &mut Ear, change: impl FnOnce(&mut RunConfig)) -> Session<Pictures> {
    let (mut config, data) = config_and_data("dcgan", directory);
    change(&mut config);
    let run = Run::create(RunDir::new(directory.join("run")), config, data).unwrap();
    Session::of_pictures(run, ear).unwrap()
}

/// With a learning rate of 0 every look is like the first.
#[test]
fn a_level_score_ends_training_and_is_remembered() {
    let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let session = steer(directory.path(), &mut ear, |config| {
        config.train.steps = 200;
        config.train.patience = 3;
        config.train.lr = 0.0;
        config.train.ema_half_life = 0.0;
    });
    let outcome = session.train(&mut ear).unwrap();
    // Twelve looks: 1, 2, 5, 10, 15, … A window is an eighth of the run, which seems to be 48 looks long.
    assert!(outcome.finished && outcome.stopped_early && outcome.step == 50, "{outcome:?}");
    assert_eq!(ear.notes.len(), 1);
    assert!(ear.notes[0].contains("the last 6 looks are no better"), "{:?}", ear.notes);
    let again = reopen(directory.path(), 200, &mut ear).train(&mut ear).unwrap();
    assert!(again.stopped_early && again.step == 50 && ear.estimates == 1, "the same limits: it stays as it is");
    // Under other limits it goes on, and is judged by what comes.
    let longer = reopen(directory.path(), 300, &mut ear).train(&mut ear).unwrap();
    assert!(longer.stopped_early && longer.step == 80, "{longer:?}");
    // Killed after it was asked to go on and before the next checkpoint: the wish is not in the state, the limits are.
    drop(reopen(directory.path(), 400, &mut ear));
    assert_eq!(reopen(directory.path(), 400, &mut ear).train(&mut ear).unwrap().step, 110);
}

#[test]
fn without_patience_it_only_says_so() {
    let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let session = steer(directory.path(), &mut ear, |config| {
        config.train.steps = 120;
        config.train.lr = 0.0;
        config.train.ema_half_life = 0.0;
    });
    let outcome = session.train(&mut ear).unwrap();
    assert!(outcome.finished && !outcome.stopped_early && outcome.step == 120);
    assert_eq!(ear.notes.len(), 1, "once: {:?}", ear.notes);
}

/// Makes the averaged generator deaf to its latent vector.
fn deafen(session: &mut Session<Pictures>) {
    let mut state = session.subject.trainer.state();
    state.get_mut("average.project.weight").unwrap().data.fill(0.0);
    session.subject.trainer.restore(state, session.counters.step).unwrap();
}

#[test]
fn one_picture_for_all_is_noticed_and_mended() {
    let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let mut session = steer(directory.path(), &mut ear, |config| {
        config.tables.change(|gan: &mut GanConfig| gan.augment.clear()).unwrap();
        config.train.lr = 2e-4;
    });
    session.counters.diversity = 0.8;
    session.step();
    session.look(&mut ear).unwrap();
    session.step();
    deafen(&mut session);
    let trouble = session.look(&mut ear).unwrap().expect("trouble");
    assert_eq!(trouble.kind, Kind::Collapse);
    session.roll_back(&trouble, &mut ear).unwrap();
    for word in ["mode collapse", "learning rate halved to 1.00e-4, DiffAugment switched on", "retry 1 of 3"] {
        assert!(ear.notes[0].contains(word), "{word}: {:?}", ear.notes);
    }
    let remedy = Remedy { augment: true, d_lr_scale: 1.0 };
    assert_eq!((session.counters.attempt, session.counters.lr_scale, session.counters.remedy), (1, 0.5, remedy));
    let line = session.dir.metrics().pop().unwrap();
    assert_eq!((&line["trouble"], &line["augment"]), (&"collapse".into(), &true.into()));
    // The remedy changes what is computed, and whoever is killed here finds it again.
    let losses = session.step();
    drop(session);
    let mut again = reopen(directory.path(), STEPS, &mut ear);
    assert_eq!((again.counters.remedy, again.step()), (remedy, losses.clone()));
    again.counters.remedy = Remedy::default();
    let step = again.counters.step;
    again.subject.trainer.restore(checkpoint::newest_whole(&again.dir.checkpoints()).0.unwrap().2, step - 1).unwrap();
    again.counters.step = step - 1;
    assert_ne!(again.step(), losses, "without augmentation it is another step");
}

/// A discriminator that learns as fast as it can, and a generator that hardly does.
#[test]
fn a_discriminator_that_knows_everything_is_noticed_and_restrained() {
    let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let mut session = steer(directory.path(), &mut ear, |config| {
        config.tables.change(|gan: &mut GanConfig| gan.augment.clear()).unwrap();
        config.train.steps = 1500;
        config.train.look_every = 10;
        config.train.lr = 1e-12;
    });
    let fast = 6e9;
    session.counters.remedy.d_lr_scale = fast;
    let dir = session.dir.clone();
    assert!(session.train(&mut ear).unwrap().finished);
    let found: Vec<&String> = ear.notes.iter().filter(|note| note.contains("correctly since step")).collect();
    assert!(found.len() >= 2, "{:?}", ear.notes);
    assert!(found[0].ends_with("DiffAugment switched on") && found[0].contains("back to step"), "{}", found[0]);
    assert!(found[1].ends_with("the discriminator's learning rate halved"), "{}", found[1]);
    let (_, counters, _) = checkpoint::newest_whole(&dir.checkpoints()).0.unwrap();
    assert_eq!((counters.attempt, counters.lr_scale), (0, 1.0), "nothing was broken: no retry is used up");
    assert!(counters.remedy.augment && counters.remedy.d_lr_scale < fast);
}
