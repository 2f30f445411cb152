//! Tiny models: what a label, an encoder and a search find.

use super::*;
use crate::families::ModelConfig;
use crate::families::blocks::stack::{StackConfig, Upsampling};
use crate::families::dcgan::DcganConfig;
use crate::families::fastgan::FastganConfig;
use crate::families::tests::model;
use crate::families::vae::VaeConfig;
use crate::provenance::label::Label;
use crate::run::model_file::ModelInfo;

fn sampler(config: ModelConfig) -> Sampler {
    let info = ModelInfo {
        format: ModelInfo::current_format(),
        name: "tiny".into(),
        config,
        step: 0,
        images_seen: 0,
        seed: 0,
        data: "none".into(),
        data_pictures: 0,
        data_fingerprint: String::new(),
        version: crate::VERSION.into(),
    };
    let mut sampler = Sampler::in_training(model(&info.config), info, device::cpu());
    sampler.hash = "a model".into();
    sampler
}

fn stack(side: usize) -> StackConfig {
    StackConfig { height: side, width: side, channels: 3, base: 4 }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("class {i}")).collect()
}

pub(crate) fn dcgan(classes: usize) -> Sampler {
    sampler(ModelConfig::Dcgan(DcganConfig { z_dim: 6, classes: names(classes), stack: stack(16) }))
}

pub(crate) fn fastgan() -> Sampler {
    sampler(ModelConfig::Fastgan(FastganConfig { z_dim: 6, classes: vec![], smooth: false, stack: stack(32) }))
}

pub(crate) fn vae(classes: usize) -> Sampler {
    sampler(ModelConfig::Vae(VaeConfig {
        z_dim: 6,
        classes: names(classes),
        decoder: Upsampling::default(),
        components: 0,
        stack: stack(16),
    }))
}

#[test]
fn the_label_of_an_own_picture_gives_its_latent_vector() {
    for (sampler, class) in [(dcgan(0), None), (dcgan(3), Some(2)), (vae(3), Some(1)), (fastgan(), None)] {
        let latent = sampler.latent(5, 7, 0.8);
        let given = sampler.pictures(std::slice::from_ref(&latent), &[class.unwrap_or(0)]).remove(0);
        let recipe = sampler.provenance(&Label::default(), 5, 7, class, 0.8, SEEDED).recipe;
        let found = from_label(&sampler, &given, &recipe).expect("its own picture");
        assert_eq!((&found.z, found.class), (&sampler.z(&[latent])[0], class.unwrap_or(0)));
        assert_eq!((&found.picture, found.levels, found.method), (&given, 0.0, Method::Label));

        // What was found is recorded by its numbers, and found again from them.
        let z = around(&sampler, &found.z, 0.4, 1, 3).pop().unwrap();
        let beside = sampler.decoded(std::slice::from_ref(&z), &[found.class]).remove(0);
        let recipe = Recipe { z: Some(z.clone()), latent: "anything".into(), ..recipe };
        assert_eq!(from_label(&sampler, &beside, &recipe).expect("its own picture").z, z);

        // A picture that was changed, one of another model, one that says nothing of its latent vector.
        assert_eq!(from_label(&sampler, &given, &recipe), None);
        let other = Recipe { model_hash: "another".into(), ..recipe.clone() };
        assert_eq!(from_label(&sampler, &beside, &other), None);
        let short = Recipe { z: Some(z[1..].to_vec()), ..recipe.clone() };
        assert_eq!(from_label(&sampler, &beside, &short), None);
        assert_eq!(from_label(&sampler, &beside, &Recipe { z: None, ..recipe }), None);
    }
}

#[test]
fn a_search_comes_nearer_than_the_best_random_start() {
    for (sampler, class) in [(dcgan(0), 0), (dcgan(3), 1), (fastgan(), 0)] {
        let given = sampler.pictures(&[sampler.latent(99, 0, 1.0)], &[class]).remove(0);
        let steps = std::cell::Cell::new(0);
        let found = invert(&sampler, &given, &Request::default(), &|done, _| steps.set(done));
        let Method::Search { steps: made, before, after } = found.method else { panic!("{:?}", found.method) };
        assert_eq!((made, steps.get()), (STEPS, STEPS));
        assert!(after < 0.2 * before, "{before} → {after}");
        assert!(after.is_finite() && found.levels > 0.0);
        let length = found.z.iter().map(|v| v * v).sum::<f32>().sqrt();
        assert!(length <= 6f32.sqrt() + 2.0 + 1e-4, "{length}");
        assert_eq!(found, invert(&sampler, &given, &Request::default(), &|_, _| ()), "the same again");
    }
}

#[test]
fn a_class_that_is_asked_for_is_kept() {
    let sampler = dcgan(3);
    let given = sampler.pictures(&[sampler.latent(99, 0, 1.0)], &[1]).remove(0);
    let request = Request { class: Some(2), ..Request::default() };
    assert_eq!(invert(&sampler, &given, &request, &|_, _| ()).class, 2);
}

/// The encoder of an untrained network knows nothing; but what it gives is what is decoded, under the nearest class.
#[test]
fn a_vae_encodes() {
    let sampler = vae(3);
    let given = sampler.pictures(&[sampler.latent(3, 0, 1.0)], &[1]).remove(0);
    let all: Vec<Found> = (0..3)
        .map(|class| invert(&sampler, &given, &Request { class: Some(class), ..Request::default() }, &|_, _| ()))
        .collect();
    let found = invert(&sampler, &given, &Request::default(), &|_, _| panic!("nothing is searched"));
    let nearest = all.iter().min_by(|a, b| a.levels.total_cmp(&b.levels)).unwrap();
    assert_eq!((&found, found.method), (nearest, Method::Encoder));
    let (mu, _) = sampler.model().code().unwrap().encode(tensor(&given), &sampler.condition(&[found.class]));
    assert_eq!(found.z, host(mu));
    assert_eq!(found.picture, sampler.decoded(std::slice::from_ref(&found.z), &[found.class])[0]);
}

#[test]
fn features_are_compared_where_there_are_eyes() {
    let eyes = crate::pretrained::random_network(1);
    let sampler = dcgan(0);
    let pictures = sampler.pictures(&[sampler.latent(1, 0, 1.0), sampler.latent(1, 1, 1.0)], &[0, 0]);
    let [same, other] = [0, 1].map(|i| {
        let of = |eyes| host(Distance::to(&pictures[0], eyes).of(tensor(&pictures[i]).autodiff()).inner())[0];
        [of(None), of(Some(&eyes))]
    });
    assert_eq!(same, [0.0, 0.0]);
    assert!(other[0] > 0.0 && other[1] > other[0], "{other:?}");
}
