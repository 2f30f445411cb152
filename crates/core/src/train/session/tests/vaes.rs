//! Every way to build and train a VAE.

use super::*;
use crate::families::vae::settings::{Reconstruction, VaeTraining};
use crate::generate::likelihoods::{Sample, likelihoods};
use crate::generate::sampler::Sampler;
use crate::judge::Likelihood;

/// What is set, by a name.
const KINDS: [(&str, &[(&str, &str)]); 4] = [
    ("residual", &[("model.decoder", "residual")]),
    ("mixture", &[("vae.reconstruction", "logistic-mixture")]),
    ("adversarial", &[("vae.adversarial", "0.01")]),
    (
        "all",
        &[
            ("model.decoder", "residual"),
            ("vae.reconstruction", "logistic-mixture"),
            ("vae.adversarial", "0.02"),
            ("gan.loss", "relativistic-paired"),
        ],
    ),
];

fn vae(settings: &[(&str, &str)], directory: &Path, ear: &mut Ear) -> Session<Pictures> {
    let (config, data) = config_and_data("vae", directory);
    let mut table = Table::try_from(&config).unwrap();
    for (path, value) in settings {
        let value = value.parse().map_or_else(|_| toml::Value::from(*value), toml::Value::Float);
        set(&mut table, path, value);
        if *path == "vae.reconstruction" && table["vae"]["reconstruction"].as_str() == Some("logistic-mixture") {
            set(&mut table, "model.components", toml::Value::Integer(2));
        }
    }
    let run = Run::create(RunDir::new(directory.join("run")), table.try_into().unwrap(), data).unwrap();
    Session::of_pictures(run, ear).unwrap()
}

#[test]
fn state_of_every_vae() {
    for (kind, settings) in KINDS {
        let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
        let mut session = vae(settings, directory.path(), &mut ear);
        let steps = |session: &mut Session<Pictures>| [session.step(), session.step()];
        steps(&mut session);
        let state = session.subject.trainer.state();
        assert!(finite(&state), "{kind}");
        let losses = steps(&mut session);
        let after = session.subject.trainer.state();
        session.subject.trainer.restore(state.clone(), 2).unwrap();
        session.counters.step = 2;
        assert_eq!(steps(&mut session), losses, "{kind}");
        assert_eq!(session.subject.trainer.state(), after, "{kind}");
        for name in state.keys().filter(|name| !name.contains("log_scale")) {
            let mut state = state.clone();
            state.remove(name);
            assert!(session.subject.trainer.restore(state, 2).is_err(), "{kind} {name}");
        }
    }
}

/// The state of a run of before the mixture of the latent space.
#[test]
fn an_earlier_state_is_restored() {
    let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let mut session = vae(&[], directory.path(), &mut ear);
    session.step();
    let state = session.subject.trainer.state();
    let mut earlier = state.clone();
    earlier.retain(|name, _| {
        !["weights", "means", "axes", "variances"].iter().any(|part| name.ends_with(&format!("prior.{part}")))
    });
    assert!(earlier.len() < state.len());
    session.subject.trainer.restore(earlier, 1).unwrap();
    assert_eq!(session.subject.trainer.state(), state);
}

/// The discriminator's weight in the decoder's loss decides what the decoder becomes, and only where there is one.
#[test]
fn the_adversary_teaches_the_decoder() {
    let after = |weight: &str| {
        let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
        let mut session = vae(&[("vae.adversarial", weight)], directory.path(), &mut ear);
        session.step();
        session.subject.trainer.state()
    };
    let (none, little, much) = (after("0.0"), after("0.01"), after("5.0"));
    let name = "vae.decoder.last.weight";
    assert!(none[name] != little[name] && little[name] != much[name]);
    assert!(little.keys().any(|name| name.starts_with("discriminator.")));
    assert!(!none.keys().any(|name| name.contains("discriminator") || name.contains("adam_d")));
}

/// A look writes the grid, real pictures, what becomes of them, and ways between them; that of a GAN stays a grid.
#[test]
fn a_look_shows_reconstructions() {
    let height = |family: &str| {
        let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
        let session = session(family, directory.path(), &mut ear);
        let file = std::fs::File::open(session.dir.sample(0, "png")).unwrap();
        let decoder = png::Decoder::new(std::io::BufReader::new(file));
        let height = decoder.read_info().unwrap().info().height;
        (session, height, directory)
    };
    let ((_, gan, _), (session, vae, _directory)) = (height("dcgan"), height("vae"));
    // Four more rows of cells, and four lines of text.
    assert!((4 * 66 + 4 * 18..4 * 66 + 4 * 30).contains(&(vae - gan)), "{vae}, {gan}");

    let data = &session.subject.dataset;
    let pictures = [data.heldout(0), data.heldout(1)];
    let (sampler, _) = Sampler::open(session.dir.root()).unwrap();
    let z = sampler.encode(&pictures, &[]).unwrap();
    let made = sampler.decoded(&z, &[]);
    assert_eq!((z.len(), made.len(), made[1].pixels.len()), (2, 2, 16 * 16 * 3));
    assert_eq!(sampler.encode(&pictures[1..], &[]).unwrap()[0].len(), 64);
}

fn bounds(session: &mut Session<Pictures>, k: usize) -> [Likelihood; 2] {
    let sampler = session.subject.model(session.counters.step);
    let sample = Sample { pictures: 64, k, seed: 1 };
    let (tables, data) = (&session.config.tables, &session.subject.dataset);
    likelihoods(&sampler, tables, data, sample, &|_, _| ()).unwrap().try_into().unwrap()
}

/// Importance sampling closes some of the gap, more of it with more samples.
#[test]
fn bounds_are_in_their_order() {
    for kind in ["mse", "bce", "logistic", "logistic-mixture"] {
        let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
        let mut session = vae(&[("vae.reconstruction", kind)], directory.path(), &mut ear);
        (0..20).for_each(|_| drop(session.step()));
        let ([elbo, few], [_, more]) = (bounds(&mut session, 2), bounds(&mut session, 16));
        assert!(
            more.value < few.value && few.value < elbo.value,
            "{kind}: {} {} {}",
            elbo.value,
            few.value,
            more.value
        );
        assert!(elbo.name.to_string().starts_with(&format!("nelbo_nats_{kind}_heldout_n")), "{}", elbo.name);
        assert!(more.name.to_string().starts_with(&format!("nll_is16_nats_{kind}_heldout_n")), "{}", more.name);
        assert_eq!(bounds(&mut session, 16)[1], more, "determinism");
    }
}

/// Static binarisation of Fashion-MNIST at a half: `bce` is then a likelihood of the pictures, in nats as papers report it.
#[test]
#[ignore = "takes minutes; needs the real data set: cargo test --release -p maliang binarised -- --ignored --nocapture"]
fn binarised_fashion_mnist() {
    use std::io::Read;
    let Some(path) = crate::data::tests::lookup::real("fashion-mnist/t10k-images-idx3-ubyte.gz") else { return };
    let (directory, mut ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes[16..].iter_mut().for_each(|v| *v = if *v >= 128 { 255 } else { 0 });
    let source = directory.path().join("binarised-idx3-ubyte");
    std::fs::write(&source, bytes).unwrap();

    let source = source.to_str().unwrap().to_string();
    let found = scan(&Source::parse(&source).unwrap()).unwrap();
    let mut settings = Table::new();
    set(&mut settings, "train.steps", toml::Value::Integer(1500));
    set(&mut settings, "model.stack.base", toml::Value::Integer(16));
    set(&mut settings, "vae.reconstruction", "bce".into());
    let request = Request { source, family: Some("vae".into()), size: Some((28, 28)), settings, features: false };
    let config = choose(&request, &check(&found, &|_, _| ()).unwrap()).unwrap().config;
    assert_eq!(
        (config.tables.get::<VaeTraining>().unwrap().reconstruction, config.data.channels),
        (Reconstruction::Bce, 1)
    );
    let data = Dataset::open(&config.data, &found, &directory.path().join("cache"), &|_, _| ()).unwrap();
    assert!(data.heldout(0).iter().all(|&v| v == 0 || v == 255), "binary after preparing");
    let run = Run::create(RunDir::new(directory.path().join("run")), config, Arc::new(data)).unwrap();
    let mut session = Session::of_pictures(run, &mut ear).unwrap();
    (0..1500).for_each(|_| drop(session.step()));
    session.counters.step = 1500;
    let [elbo, sampled] = bounds(&mut session, 64);
    for found in [&elbo, &sampled] {
        println!("{}: {:.2} ({:.2} to {:.2})", found.name, found.value, found.low, found.high);
    }
    assert!(sampled.value < elbo.value);
    // 784 fair coins are 543 nats.
    assert!(elbo.value < 300.0, "{}", elbo.value);
}
