//! Every model, every property: shapes, determinism, independence of neighbours, and the way through a file.

mod losses;
mod optim;

use super::blocks::residual;
use super::blocks::stack::{StackConfig, Upsampling};
use super::dcgan::DcganConfig;
use super::family::{FINEST, SIDES};
use super::fastgan::FastganConfig;
use super::gan::players::{Discriminator, GanModel, Generator};
use super::gan::settings::Normalisation;
use super::projected::ProjectedConfig;
use super::vae::VaeConfig;
use super::vae::logistic::LogisticMixture;
use super::vae::net::{Vae, VaeModel};
use super::vae::prior::Prior;
use super::*;
use crate::nn::{self, Mode, Module, host};
use crate::rng;
use burn::tensor::{Tensor, TensorData};

fn stack(width: usize, height: usize, channels: usize) -> StackConfig {
    StackConfig { height, width, channels, base: 4 }
}

/// Every kind of model for pictures of this shape.
fn configs(width: usize, height: usize, channels: usize) -> Vec<ModelConfig> {
    let classes = [vec![], vec!["a".to_string(), "b".into(), "c".into()]];
    classes
        .into_iter()
        .flat_map(|classes| {
            let stack = stack(width, height, channels);
            let dcgan = ModelConfig::Dcgan(DcganConfig { z_dim: 5, classes: classes.clone(), stack: stack.clone() });
            let fastgan = ModelConfig::Fastgan(FastganConfig {
                z_dim: 6,
                classes: classes.clone(),
                smooth: true,
                stack: stack.clone(),
            });
            let vae = |decoder, components| {
                let (classes, stack) = (classes.clone(), stack.clone());
                ModelConfig::Vae(VaeConfig { z_dim: 7, classes, decoder, components, stack })
            };
            let vaes = [vae(Upsampling::Transposed, 0), vae(Upsampling::Residual, 0), vae(Upsampling::Residual, 3)];
            let large = width.min(height) >= FINEST;
            std::iter::once(dcgan).chain(vaes).chain(large.then_some(fastgan)).collect::<Vec<_>>()
        })
        .collect()
}

/// A model with weights that differ from layer to layer and measured statistics that are not the identity.
pub(crate) fn model(config: &ModelConfig) -> Box<dyn Model> {
    fn fill(module: &mut impl Module) {
        nn::initialise(module, 3, &Device::flex());
        for (name, param) in module.parameters() {
            if !param.is_trained() {
                let mut rng = rng::stream(9, &name, 0);
                let noise = rng::normal(&mut rng, param.len()).into_iter();
                let values = match name.ends_with("variance") {
                    true => noise.map(|v| (v * 0.3).exp() * 0.002).collect(),
                    false => noise.map(|v| v * 0.01).collect(),
                };
                param.set(nn::vector(values, &Device::flex()));
            }
        }
    }
    fn filled<M: Module>(mut module: M) -> M {
        fill(&mut module);
        module
    }
    match config {
        ModelConfig::Dcgan(config) => Box::new(GanModel(filled(dcgan::net::Generator::new(config)))),
        ModelConfig::Fastgan(config) | ModelConfig::Projected(ProjectedConfig(config)) => {
            Box::new(GanModel(filled(fastgan::net::Generator::new(config))))
        }
        ModelConfig::Vae(config) => Box::new(VaeModel { vae: filled(Vae::new(config)), z_dim: config.z_dim }),
        ModelConfig::Probe(_) => unreachable!("it has tests of its own"),
    }
}

/// Latents and labels of `count` pictures from number `first` on.
fn input(config: &ModelConfig, first: usize, count: usize) -> (Tensor<2>, Condition) {
    let numbers = first..first + count;
    let z: Vec<f32> =
        numbers.clone().flat_map(|i| rng::normal(&mut rng::stream(1, "z", i as u64), config.noise())).collect();
    let classes = config.classes().len();
    let labels: Vec<usize> = numbers.map(|i| i % classes.max(1)).collect();
    let device = Device::flex();
    (
        Tensor::from_data(TensorData::new(z, [count, config.noise()]), &device),
        Condition::of_classes(&labels, classes, &device),
    )
}

fn pictures(model: &dyn Model, config: &ModelConfig, first: usize, count: usize) -> Vec<f32> {
    let (z, labels) = input(config, first, count);
    host(model.make(z, &labels, How::default()))
}

#[test]
fn every_model_has_every_property() {
    for (width, height, channels) in [(16, 16, 3), (24, 40, 1), (17, 31, 3), (64, 64, 3), (51, 37, 1)] {
        for config in configs(width, height, channels) {
            let what = format!("{} {width}x{height}x{channels}, {} classes", config.family(), config.classes().len());
            config.validate().unwrap();
            let model = model(&config);
            let (z, labels) = input(&config, 0, 5);
            assert_eq!(model.make(z, &labels, How::default()).dims(), [5, height, width, channels], "{what}: shape");
            assert_eq!(model.styles().is_some(), config.about().has_styles, "{what}: styles");
            let five = pictures(model.as_ref(), &config, 0, 5);
            assert!(five.iter().all(|v| (-1.0..=1.0).contains(v)), "{what}: range");
            assert_eq!(five, pictures(model.as_ref(), &config, 0, 5), "{what}: determinism");
            let size = width * height * channels;
            // Not to the last bit: matrix products of other sizes round differently. See `Sampler::pictures`.
            let alone = pictures(model.as_ref(), &config, 3, 1);
            let near = five[3 * size..4 * size].iter().zip(&alone).all(|(a, b)| (a - b).abs() < 1e-5);
            assert!(near, "{what}: independence of neighbours");
            assert_ne!(five[..size], five[size..2 * size], "{what}: latents matter");

            let weights = model.weights();
            let loaded = config.load(weights.clone(), &Device::flex()).unwrap();
            assert_eq!(loaded.weights(), weights, "{what}: save and load");
            assert_eq!(pictures(loaded.as_ref(), &config, 0, 5), five, "{what}: save and load");
            for name in weights.keys() {
                let mut fewer = weights.clone();
                let tensor = fewer.remove(name).unwrap();
                assert!(config.load(fewer.clone(), &Device::flex()).is_err(), "{what}: {name} missing");
                fewer.insert(format!("{name}.more"), tensor.clone());
                fewer.insert(name.clone(), tensor);
                assert!(config.load(fewer, &Device::flex()).is_err(), "{what}: a tensor too many");
            }
        }
    }
}

/// A model file of before the mixtures: a Gaussian, and a config without the newer keys.
#[test]
fn earlier_models_load() {
    let text = r#"{"family":"vae","z_dim":7,"classes":[],"stack":{"height":16,"width":16,"channels":3,"base":4}}"#;
    let config: ModelConfig = serde_json::from_str(text).unwrap();
    assert_eq!(config, configs(16, 16, 3)[1]);
    let mut weights = model(&config).weights();
    weights.retain(|name, _| !name.starts_with("prior.") || ["prior.mean", "prior.factor"].contains(&name.as_str()));
    let loaded: Box<dyn std::any::Any> = config.load(weights, &Device::flex()).unwrap();
    let VaeModel { vae, .. } = *loaded.downcast().unwrap();
    assert_eq!(vae.prior_components(), 1);
    // The Gaussian alone: the mean is where noise zero goes.
    let z = vae.from_prior(Tensor::zeros([1, 7], &Device::flex()));
    assert!(host(z).iter().all(|v| v.abs() < 0.1));
}

/// Posteriors in two heaps become a mixture of two, whose samples lie in the heaps and none between.
#[test]
fn a_prior_leaves_out_gaps() {
    let device = Device::flex();
    let noise = rng::normal(&mut rng::stream(5, "test", 0), 400 * 3);
    let heap = |row: usize| if row.is_multiple_of(2) { -2.0 } else { 2.0 };
    let mu: Vec<f32> =
        noise.iter().enumerate().map(|(i, v)| 0.3 * v + if i % 3 == 0 { heap(i / 3) } else { 0.0 }).collect();
    let logvar = vec![-4.0; mu.len()];
    let mut prior = Prior::new(3);
    nn::initialise(&mut prior, 0, &device);
    prior.fit(&mu, &logvar, &(0..400).collect::<Vec<_>>());
    assert_eq!(prior.components(), 2);
    let (epsilon, _) = input(&configs(16, 16, 3)[1], 0, 300);
    let z = host(prior.sample(epsilon.clone().narrow(1, 0, 3)));
    let between = z.chunks_exact(3).filter(|row| row[0].abs() < 0.8).count();
    let left = z.chunks_exact(3).filter(|row| row[0] < 0.0).count();
    assert!(between < 6 && (100..200).contains(&left), "{between} between, {left} on the left");
    assert_eq!(z, host(prior.sample(epsilon.narrow(1, 0, 3))), "determinism");
    // What it was fitted to decides alone.
    let mut again = Prior::new(3);
    nn::initialise(&mut again, 1, &device);
    again.fit(&mu, &logvar, &(0..400).collect::<Vec<_>>());
    let values =
        |prior: &mut Prior| prior.parameters().into_iter().flat_map(|(_, p)| host(p.flat())).collect::<Vec<_>>();
    assert_eq!(values(&mut prior), values(&mut again));
}

/// A residual block begins as the identity, and its gradients are those of finite differences.
#[test]
fn residual_blocks() {
    let device = Device::flex().autodiff();
    let mut block = residual::ResidualBlock::new(4);
    nn::initialise(&mut block, 1, &device);
    let numbers = rng::normal(&mut rng::stream(2, "x", 0), 2 * 5 * 3 * 4);
    let x = Tensor::<4>::from_data(TensorData::new(numbers, [2, 5, 3, 4]), &device);
    let apart = |block: &residual::ResidualBlock| {
        host((block.forward(x.clone(), Mode::Train) - x.clone()).abs().max().inner())[0]
    };
    assert_eq!(apart(&block), 0.0);
    for (name, param) in block.parameters() {
        if name.ends_with("gamma") {
            param.set(nn::vector((0..param.len()).map(|i| 0.5 + 0.3 * i as f32).collect(), &device));
        }
    }
    assert!(apart(&block) > 0.1);
    let target = rng::normal(&mut rng::stream(3, "target", 0), 2 * 5 * 3 * 4);
    let target = Tensor::<4>::from_data(TensorData::new(target, [2, 5, 3, 4]), &device);
    let loss = |block: &residual::ResidualBlock| (block.forward(x.clone(), Mode::Train) * target.clone()).sum();
    let gradients = loss(&block).backward();
    let names: Vec<String> =
        block.parameters().into_iter().filter(|(_, p)| p.is_trained()).map(|(name, _)| name).collect();
    for name in names {
        let values = |block: &mut residual::ResidualBlock| {
            let (_, param) = block.parameters().into_iter().find(|(other, _)| *other == name).unwrap();
            param.flat()
        };
        let start = values(&mut block);
        let gradient = host(start.grad(&gradients).unwrap());
        let start = host(start.inner());
        for i in [0, start.len() - 1] {
            let at = |delta: f32| {
                let (mut moved, mut block) = (start.clone(), block.clone());
                moved[i] += delta;
                let (_, param) = block.parameters().into_iter().find(|(other, _)| *other == name).unwrap();
                param.set(nn::vector(moved, &device));
                f64::from(host(loss(&block).inner())[0])
            };
            // Weights start at 0.02, and batch norm undoes their size: a step well below it.
            let step = if name.ends_with("weight") { 5e-4 } else { 1e-2 };
            let numeric = (at(step) - at(-step)) / f64::from(2.0 * step);
            let near = (f64::from(gradient[i]) - numeric).abs() < 0.03 * (1.0 + numeric.abs());
            assert!(near, "{name} {i}: {} {numeric}", gradient[i]);
        }
    }
}

#[test]
fn the_class_matters() {
    for config in configs(32, 32, 3).into_iter().filter(|config| !config.classes().is_empty()) {
        let model = model(&config);
        let (z, _) = input(&config, 0, 1);
        let of =
            |class| host(model.make(z.clone(), &Condition::of_classes(&[class], 3, &Device::flex()), How::default()));
        assert_ne!(of(0), of(1), "{}", config.family());
        assert_eq!(of(2), of(2));
    }
}

/// Mixed with itself, a picture stays; another style changes it, and is not simply the other picture.
#[test]
fn styles_mix() {
    for config in configs(64, 48, 3).into_iter().filter(|config| config.family() == "fastgan") {
        let model = model(&config);
        let styles = model.styles().unwrap();
        let (a, b) = (input(&config, 0, 2), input(&config, 2, 2));
        let plain = |of: &(Tensor<2>, Condition)| host(model.make(of.0.clone(), &of.1, How::default()));
        let mixed = |a: &(Tensor<2>, Condition), b: &(Tensor<2>, Condition)| {
            host(styles.mix((a.0.clone(), &a.1), (b.0.clone(), &b.1)))
        };
        assert_eq!(mixed(&a, &a), plain(&a));
        let mixed = mixed(&a, &b);
        assert!(mixed != plain(&a) && mixed != plain(&b));
    }
}

#[test]
fn sizes_halve_down_to_a_few_pixels() {
    let sizes = |width, height| stack(width, height, 3).sizes();
    assert_eq!(sizes(64, 64), [[64, 64], [32, 32], [16, 16], [8, 8], [4, 4]]);
    assert_eq!(sizes(16, 16), [[16, 16], [8, 8], [4, 4]]);
    assert_eq!(sizes(31, 17), [[17, 31], [8, 15], [4, 7]]);
    assert_eq!(sizes(96, 64), [[64, 96], [32, 48], [16, 24], [8, 12], [4, 6]]);
    assert_eq!(sizes(256, 16), [[16, 256], [8, 128], [4, 64], [2, 32]], "never below two");
    for width in SIDES {
        for height in [16, 17, 100, 255, 256, width] {
            let sizes = sizes(width, height);
            let last = sizes[sizes.len() - 1];
            assert!(last.iter().all(|&side| side >= 2) && sizes.len() >= 3, "{width}x{height}: {sizes:?}");
            // What the adjoint of the halving convolution needs: it maps each size exactly to the next.
            assert!(sizes.windows(2).all(|pair| (0..2).all(|i| pair[1][i] == (pair[0][i] + 2 - 4) / 2 + 1)));
        }
    }
}

fn labels(config: &ModelConfig) -> Option<Tensor<2>> {
    let classes = config.classes().len();
    one_hot(&[0, classes.saturating_sub(1)], classes, &Device::flex())
}

fn picture(mut generator: impl Generator, config: &ModelConfig) -> Tensor<4> {
    nn::initialise(&mut generator, 0, &Device::flex());
    generator.forward(Tensor::ones([2, config.noise()], &Device::flex()), labels(config), Mode::Train)
}

fn check_heads(
    mut discriminator: impl Discriminator,
    config: &ModelConfig,
    fake: &Tensor<4>,
    task: Option<[usize; 1]>,
) {
    nn::initialise(&mut discriminator, 0, &Device::flex());
    discriminator.prepare();
    let heads = discriminator.heads(fake.clone(), labels(config));
    for choice in 0..4 {
        let seen = discriminator.look(fake.clone());
        let (real, of_task) = discriminator.judge_real(seen, labels(config), choice);
        let sizes = |heads: &[Tensor<1>]| heads.iter().map(Tensor::dims).collect::<Vec<_>>();
        assert_eq!(sizes(&heads), sizes(&real));
        assert!(heads.iter().all(|logits| logits.dims()[0] >= 2 && logits.dims()[0] % 2 == 0));
        assert_eq!(of_task.map(|task| task.dims()), task);
    }
}

#[test]
fn networks_run_at_every_size() {
    let device = Device::flex();
    let sides = [16, 17, 23, 32, 47, 64, 100, 129];
    let shapes = sides.iter().map(|&side| (side, side)).chain([(16, 256), (256, 16), (33, 18), (250, 31)]);
    for (width, height) in shapes {
        let stack = stack(width, height, 1);
        let features = stack.features();
        assert!(features > 0);
        let mut fake = Tensor::ones([2, height, width, 1], &device);
        for gan in configs(width, height, 1) {
            gan.validate().unwrap();
            match &gan {
                ModelConfig::Dcgan(config) => {
                    fake = picture(dcgan::net::Generator::new(config), &gan);
                    for normalisation in [Normalisation::Batch, Normalisation::Spectral] {
                        check_heads(dcgan::net::Discriminator::new(config, normalisation), &gan, &fake, None);
                    }
                }
                ModelConfig::Fastgan(config) => {
                    fake = picture(fastgan::net::Generator::new(config), &gan);
                    check_heads(fastgan::discriminator::Discriminator::new(config), &gan, &fake, Some([1]));
                }
                ModelConfig::Projected(_) | ModelConfig::Vae(_) | ModelConfig::Probe(_) => {}
            }
            assert_eq!(fake.dims(), [2, height, width, 1]);
        }
        for (decoder, components) in [(Upsampling::Transposed, 0), (Upsampling::Residual, 2)] {
            let config = VaeConfig { z_dim: 3, classes: vec![], decoder, components, stack: stack.clone() };
            let mut vae = Vae::new(&config);
            nn::initialise(&mut vae, 0, &device);
            let (mu, logvar) = vae.encode(fake.clone(), None, Mode::Train);
            assert_eq!((mu.dims(), logvar.dims()), ([2, 3], [2, 3]));
            let decoded = vae.decode(mu, None, Mode::Train);
            let numbers = config.mixture().map_or(1, LogisticMixture::parameters);
            assert_eq!(decoded.dims(), [2, height, width, numbers]);
            assert_eq!(vae.picture(decoded).dims(), [2, height, width, 1]);
        }
    }
}

#[test]
fn names_of_parameters_are_distinct() {
    for config in configs(64, 64, 3) {
        let check = |parameters: Vec<(String, &mut crate::nn::Param)>| {
            let count = parameters.len();
            let names: std::collections::BTreeSet<_> = parameters.into_iter().map(|(name, _)| name).collect();
            assert_eq!(names.len(), count);
        };
        match &config {
            ModelConfig::Vae(config) => check(Vae::new(config).parameters()),
            ModelConfig::Dcgan(config) => {
                check(dcgan::net::Generator::new(config).parameters());
                check(dcgan::net::Discriminator::new(config, Normalisation::Batch).parameters());
                check(dcgan::net::Discriminator::new(config, Normalisation::Spectral).parameters());
            }
            ModelConfig::Fastgan(config) | ModelConfig::Projected(ProjectedConfig(config)) => {
                check(fastgan::net::Generator::new(config).parameters());
                check(fastgan::discriminator::Discriminator::new(config).parameters());
            }
            ModelConfig::Probe(_) => {}
        }
    }
}

#[test]
fn configs_out_of_range() {
    for config in configs(64, 64, 3) {
        let changed = |change: &dyn Fn(&mut StackConfig, &mut usize)| {
            let mut config = config.clone();
            match &mut config {
                ModelConfig::Dcgan(c) => change(&mut c.stack, &mut c.z_dim),
                ModelConfig::Fastgan(c) | ModelConfig::Projected(ProjectedConfig(c)) => {
                    change(&mut c.stack, &mut c.z_dim)
                }
                ModelConfig::Vae(c) => change(&mut c.stack, &mut c.z_dim),
                ModelConfig::Probe(_) => {}
            }
            config.validate().is_err()
        };
        assert!(!changed(&|_, _| ()));
        assert!(changed(&|stack, _| stack.width = 15) && changed(&|stack, _| stack.height = 257));
        assert!(changed(&|stack, _| stack.channels = 2) && changed(&|stack, _| stack.channels = 0));
        assert!(changed(&|stack, _| stack.base = 0) && changed(&|stack, _| stack.base = usize::MAX));
        assert!(changed(&|_, z_dim| *z_dim = 0) && changed(&|_, z_dim| *z_dim = usize::MAX));
    }
}

#[test]
fn fastgan_needs_sides_of_32() {
    let config = |width, height| {
        ModelConfig::Fastgan(FastganConfig { z_dim: 4, classes: vec![], smooth: false, stack: stack(width, height, 3) })
    };
    for (width, height) in [(32, 32), (256, 32), (33, 47), (256, 256)] {
        config(width, height).validate().unwrap();
    }
    for (width, height) in [(31, 64), (64, 16)] {
        let error = config(width, height).validate().unwrap_err();
        assert!(error.message.contains("at least 32") && error.hint.unwrap().contains("dcgan"));
    }
}

/// What the discriminator draws is judged by what is there: a picture's own corner, at its own place.
#[test]
fn every_corner_is_drawn() {
    let device = Device::flex();
    let config = FastganConfig { z_dim: 4, classes: vec![], smooth: false, stack: stack(70, 45, 3) };
    let mut discriminator = fastgan::discriminator::Discriminator::new(&config);
    nn::initialise(&mut discriminator, 0, &device);
    let numbers = rng::normal(&mut rng::stream(2, "x", 0), 2 * 45 * 70 * 3);
    let x = Tensor::<4>::from_data(TensorData::new(numbers, [2, 45, 70, 3]), &device);
    let errors: Vec<f32> = (0..4).map(|corner| host(discriminator.draw(x.clone(), None, corner).1)[0]).collect();
    for (i, error) in errors.iter().enumerate() {
        assert!(errors[..i].iter().all(|other| other != error), "{errors:?}");
    }
}
