//! Every model, every property: shapes, determinism, independence of neighbours, and the way through a file.

use super::*;
use crate::nn::{Module, host};
use crate::rng;

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
            let fastgan =
                ModelConfig::Fastgan(FastganConfig { z_dim: 6, classes: classes.clone(), stack: stack.clone() });
            let vae = ModelConfig::Vae(VaeConfig { z_dim: 7, classes, stack });
            let large = width.min(height) >= fastgan::SMALLEST;
            [dcgan, vae].into_iter().chain(large.then_some(fastgan))
        })
        .collect()
}

/// A model with weights that differ from layer to layer and measured statistics that are not the identity.
fn model(config: &ModelConfig) -> PictureModel {
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
    let mut model = PictureModel::new(config);
    match &mut model {
        PictureModel::Gan(generator) => fill(generator),
        PictureModel::Vae(vae) => fill(vae),
    }
    model
}

/// Latents and labels of `count` pictures from number `first` on.
fn input(config: &ModelConfig, first: usize, count: usize) -> (Tensor<2>, Option<Tensor<2>>) {
    let numbers = first..first + count;
    let z: Vec<f32> =
        numbers.clone().flat_map(|i| rng::normal(&mut rng::stream(1, "z", i as u64), config.z_dim())).collect();
    let classes = config.classes().len();
    let labels: Vec<usize> = numbers.map(|i| i % classes.max(1)).collect();
    let device = Device::flex();
    (Tensor::from_data(TensorData::new(z, [count, config.z_dim()]), &device), one_hot(&labels, classes, &device))
}

fn pictures(model: &PictureModel, config: &ModelConfig, first: usize, count: usize) -> Vec<f32> {
    let (z, labels) = input(config, first, count);
    host(model.generate(z, labels))
}

#[test]
fn every_model_has_every_property() {
    for (width, height, channels) in [(16, 16, 3), (24, 40, 1), (17, 31, 3), (64, 64, 3), (51, 37, 1)] {
        for config in configs(width, height, channels) {
            let what = format!("{} {width}x{height}x{channels}, {} classes", config.family(), config.classes().len());
            config.validate().unwrap();
            let model = model(&config);
            let (z, labels) = input(&config, 0, 5);
            assert_eq!(model.generate(z, labels).dims(), [5, height, width, channels], "{what}: shape");
            let five = pictures(&model, &config, 0, 5);
            assert!(five.iter().all(|v| (-1.0..=1.0).contains(v)), "{what}: range");
            assert_eq!(five, pictures(&model, &config, 0, 5), "{what}: determinism");
            let size = width * height * channels;
            // Not to the last bit: matrix products of other sizes round differently. See `Sampler::pictures`.
            let alone = pictures(&model, &config, 3, 1);
            let near = five[3 * size..4 * size].iter().zip(&alone).all(|(a, b)| (a - b).abs() < 1e-5);
            assert!(near, "{what}: independence of neighbours");
            assert_ne!(five[..size], five[size..2 * size], "{what}: latents matter");

            let weights = model.weights();
            let loaded = PictureModel::load(&config, weights.clone(), &Device::flex()).unwrap();
            assert_eq!(loaded.weights(), weights, "{what}: save and load");
            assert_eq!(pictures(&loaded, &config, 0, 5), five, "{what}: save and load");
            for name in weights.keys() {
                let mut fewer = weights.clone();
                let tensor = fewer.remove(name).unwrap();
                assert!(PictureModel::load(&config, fewer.clone(), &Device::flex()).is_err(), "{what}: {name} missing");
                fewer.insert(format!("{name}.more"), tensor.clone());
                fewer.insert(name.clone(), tensor);
                assert!(PictureModel::load(&config, fewer, &Device::flex()).is_err(), "{what}: a tensor too many");
            }
        }
    }
}

#[test]
fn the_class_matters() {
    for config in configs(32, 32, 3).into_iter().filter(|config| !config.classes().is_empty()) {
        let model = model(&config);
        let (z, _) = input(&config, 0, 1);
        let of = |class| host(model.generate(z.clone(), one_hot(&[class], 3, &Device::flex())));
        assert_ne!(of(0), of(1), "{}", config.family());
        assert_eq!(of(2), of(2));
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
        for gan in configs(width, height, 1).into_iter().filter(|config| config.family() != "vae") {
            gan.validate().unwrap();
            let mut generator = Generator::new(&gan).unwrap();
            let mut discriminator = Discriminator::new(&gan).unwrap();
            nn::initialise(&mut generator, 0, &device);
            nn::initialise(&mut discriminator, 0, &device);
            let classes = gan.classes().len();
            let labels = one_hot(&[0, classes.saturating_sub(1)], classes, &device);
            fake = generator.forward(Tensor::ones([2, gan.z_dim()], &device), labels.clone(), Mode::Train);
            assert_eq!(fake.dims(), [2, height, width, 1]);
            let heads = discriminator.forward(fake.clone(), labels.clone());
            for choice in 0..4 {
                let (real, task) = discriminator.judge_real(discriminator.look(fake.clone()), labels.clone(), choice);
                let sizes = |heads: &[Tensor<1>]| heads.iter().map(Tensor::dims).collect::<Vec<_>>();
                assert_eq!(sizes(&heads), sizes(&real));
                assert!(heads.iter().all(|logits| logits.dims()[0] >= 2 && logits.dims()[0] % 2 == 0));
                assert_eq!(task.map(|task| task.dims()), (gan.family() == "fastgan").then_some([1]));
            }
        }
        let mut vae = Vae::new(&VaeConfig { z_dim: 3, classes: vec![], stack });
        nn::initialise(&mut vae, 0, &device);
        let (mu, logvar) = vae.encode(fake, None, Mode::Train);
        assert_eq!((mu.dims(), logvar.dims()), ([2, 3], [2, 3]));
        assert_eq!(vae.decode(mu, None, Mode::Train).dims(), [2, height, width, 1]);
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
            gan => {
                check(Generator::new(gan).unwrap().parameters());
                check(Discriminator::new(gan).unwrap().parameters());
            }
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
                ModelConfig::Fastgan(c) | ModelConfig::Projected(c) => change(&mut c.stack, &mut c.z_dim),
                ModelConfig::Vae(c) => change(&mut c.stack, &mut c.z_dim),
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
        ModelConfig::Fastgan(FastganConfig { z_dim: 4, classes: vec![], stack: stack(width, height, 3) })
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
    let config = FastganConfig { z_dim: 4, classes: vec![], stack: stack(70, 45, 3) };
    let mut discriminator = fastgan::Discriminator::new(&config);
    nn::initialise(&mut discriminator, 0, &device);
    let numbers = rng::normal(&mut rng::stream(2, "x", 0), 2 * 45 * 70 * 3);
    let x = Tensor::<4>::from_data(TensorData::new(numbers, [2, 45, 70, 3]), &device);
    let errors: Vec<f32> = (0..4).map(|corner| host(discriminator.draw(x.clone(), None, corner).1)[0]).collect();
    for (i, error) in errors.iter().enumerate() {
        assert!(errors[..i].iter().all(|other| other != error), "{errors:?}");
    }
}
