use super::*;
use crate::nn::vector;
use crate::rng;
use maliang_kernels::Precision;
use rand::RngExt;

fn gpt() -> TextModelConfig {
    TextModelConfig::Gpt(GptConfig { vocabulary: 11, context: 12, layers: 2, heads: 2, width: 24, dropout: 0.2 })
}

fn lstm() -> TextModelConfig {
    TextModelConfig::Lstm(LstmConfig { vocabulary: 11, context: 12, layers: 2, width: 20, dropout: 0.2 })
}

fn model(config: &TextModelConfig, seed: u64, device: &Device) -> TextModel {
    config.validate().unwrap();
    let mut model = TextModel::new(config);
    nn::initialise(&mut model, seed, device);
    // Larger weights than a fresh model has, so that a mistake anywhere shows in the logits.
    for (name, param) in model.parameters() {
        let values = host(param.flat().inner());
        let factor = if name.contains("norm") || name.contains("bias") { 1.0 } else { 8.0 };
        param.set(vector(values.iter().map(|v| v * factor).collect(), device));
    }
    model
}

fn tokens(seed: u64, count: usize) -> Vec<u32> {
    let mut stream = rng::stream(seed, "test/tokens", 0);
    (0..count).map(|_| stream.random_range(0..11)).collect()
}

#[test]
fn configs_are_written_as_tables_and_checked() {
    for config in [gpt(), lstm()] {
        let text = toml::to_string(&config).unwrap();
        assert!(text.contains(&format!("family = \"{}\"", config.family())), "{text}");
        assert_eq!(toml::from_str::<TextModelConfig>(&text).unwrap(), config);
        assert!(toml::from_str::<TextModelConfig>(&format!("{text}\nsurplus = 1")).is_err());
        let mut model = TextModel::new(&config);
        assert_eq!(model.parameters().iter().map(|(_, p)| p.len()).sum::<usize>(), config.parameters());
    }
    let refused = |change: &dyn Fn(&mut GptConfig)| {
        let TextModelConfig::Gpt(mut config) = gpt() else { unreachable!() };
        change(&mut config);
        TextModelConfig::Gpt(config).validate().unwrap_err().message
    };
    assert!(refused(&|c| c.vocabulary = 1).contains("model.vocabulary is 1"));
    assert!(refused(&|c| c.context = 0).contains("model.context is 0"));
    assert!(refused(&|c| c.heads = 5).contains("cannot be shared among 5 heads"));
    assert!(refused(&|c| c.heads = 24).contains("cannot be shared among 24 heads"));
    assert!(refused(&|c| c.width = usize::MAX).contains("model.width"));
    assert!(refused(&|c| c.dropout = f32::NAN).contains("model.dropout is NaN"));
    assert!(refused(&|c| (c.width, c.layers, c.heads) = (8192, 96, 64)).contains("parameters"));
}

#[test]
fn a_fresh_model_knows_nothing_and_remembers() {
    for config in [gpt(), lstm()] {
        let mut model = TextModel::new(&config);
        nn::initialise(&mut model, 1, &Device::flex());
        let nats = model.nats(&tokens(1, 24), &tokens(2, 24), 2);
        let mean = nats.iter().sum::<f32>() / 24.0;
        assert!((mean - 11f32.ln()).abs() < 0.15, "{}: {mean}", config.family());
    }
    let mut fresh = TextModel::new(&lstm());
    nn::initialise(&mut fresh, 1, &Device::flex());
    let bias = fresh.weights()["layers.1.bias"].data.clone();
    assert_eq!(bias, [[0.0; 20], [1.0; 20], [0.0; 20], [0.0; 20]].concat());
}

/// The gradient of every parameter against the difference of the loss in a random direction.
#[test]
fn gradients_agree_with_finite_differences() {
    for config in [gpt(), lstm()] {
        let device = Device::flex().autodiff();
        let mut model = model(&config, 3, &device);
        let (x, y) = (tokens(1, 20), tokens(2, 20));
        let gradients = model.loss(&x, &y, 2, Some(7)).backward();
        let names: Vec<String> = model.parameters().into_iter().map(|(name, _)| name).collect();
        for (i, name) in names.iter().enumerate() {
            let value = model.parameters()[i].1.flat();
            let gradient = host(value.grad(&gradients).unwrap_or_else(|| panic!("no gradient of {name}")));
            let direction = rng::normal(&mut rng::stream(5, name, 0), gradient.len());
            let found: f32 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
            let numbers = host(value.inner());
            let mut at = |step: f32| {
                let moved = numbers.iter().zip(&direction).map(|(v, d)| v + step * d).collect();
                model.parameters()[i].1.set(vector(moved, &device));
                f64::from(host(model.loss(&x, &y, 2, Some(7)).inner())[0])
            };
            let numeric = ((at(1e-3) - at(-1e-3)) / 2e-3) as f32;
            at(0.0);
            assert!(
                (found - numeric).abs() < 2e-2 * (1.0 + numeric.abs()),
                "{name}: {found}, by differences {numeric}"
            );
        }
    }
}

#[test]
fn dropout_follows_its_seed_and_only_in_training() {
    for config in [gpt(), lstm()] {
        let model = model(&config, 3, &Device::flex());
        let (x, y) = (tokens(1, 24), tokens(2, 24));
        let loss = |seed| host(model.loss(&x, &y, 2, seed))[0];
        assert_eq!(loss(Some(1)), loss(Some(1)));
        assert_ne!(loss(Some(1)), loss(Some(2)));
        let mean = model.nats(&x, &y, 2).iter().sum::<f32>() / 24.0;
        assert!((loss(None) - mean).abs() < 1e-5, "{} {mean}", loss(None));
    }
}

/// Sequences of a batch know nothing of each other, tokens nothing of those that follow.
#[test]
fn a_token_is_judged_by_what_comes_before_it() {
    for config in [gpt(), lstm()] {
        let model = model(&config, 3, &Device::flex());
        let (mut x, mut y) = (tokens(1, 36), tokens(2, 36));
        let before = model.nats(&x, &y, 3);
        (x[20], y[20]) = ((x[20] + 1) % 11, (y[20] + 1) % 11);
        let after = model.nats(&x, &y, 3);
        assert_eq!(before[..20], after[..20]);
        assert_eq!(before[24..], after[24..]);
        assert!((20..24).all(|i| before[i] != after[i]));
    }
}

#[test]
fn a_model_can_be_saved_and_loaded() {
    for config in [gpt(), lstm()] {
        let model = model(&config, 3, &Device::flex());
        let again = TextModel::load(&config, model.weights(), &Device::flex()).unwrap();
        assert_eq!(model.nats(&tokens(1, 12), &tokens(2, 12), 1), again.nats(&tokens(1, 12), &tokens(2, 12), 1));
        let mut weights = model.weights();
        weights.remove("embedding.weight");
        assert!(TextModel::load(&config, weights, &Device::flex()).is_err());
    }
}

#[test]
fn bf16_trains_about_the_same() {
    for config in [gpt(), lstm()] {
        let mut model = model(&config, 3, &Device::flex());
        let (x, y) = (tokens(1, 24), tokens(2, 24));
        let full = host(model.loss(&x, &y, 2, None))[0];
        let nats = model.nats(&x, &y, 2);
        model.set_precision(Precision::Bf16);
        let rough = host(model.loss(&x, &y, 2, None))[0];
        assert!((full - rough).abs() < 0.1 * full, "{full} {rough}");
        assert_eq!(model.nats(&x, &y, 2), nats, "held-out scores are in full precision");
    }
}

/// ln softmax of the logits at each position, by the training pass on the whole text.
fn log_likelihoods(model: &TextModel, text: &[u32]) -> Vec<Vec<f32>> {
    let logits = model.logits(text, 1, None);
    let [_, vocabulary] = logits.dims();
    host(logits).chunks_exact(vocabulary).map(<[f32]>::to_vec).collect()
}

fn assert_near(a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(1.0f32, |a, b| a.max(b.abs()));
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4 * largest), "{what}: {a:?} {b:?}");
}

#[test]
fn a_writer_gives_the_numbers_of_the_training_pass() {
    for config in [gpt(), lstm()] {
        let model = model(&config, 3, &Device::flex());
        let text = tokens(4, 12);
        let expected = log_likelihoods(&model, &text);
        let mut writer = model.writer();
        assert_eq!(writer.prefill(&[]), [0.0; 11]);
        for (i, &token) in text.iter().enumerate() {
            assert_near(writer.push(token), &expected[i], "one by one");
        }
        writer.reset();
        assert_near(writer.prefill(&text[..5]), &expected[4], "five at once");
        // A clone goes its own way.
        let mut other = writer.clone();
        other.push(text[0]);
        assert_near(writer.prefill(&text[5..]), &expected[11], "and the rest");
        assert!(other.push(text[1]) != writer.push(text[1]));
    }
}

/// Writers at different places of different texts, one of them with a full context, and one of another model.
#[test]
fn writers_that_read_together_are_each_as_if_alone() {
    for config in [gpt(), lstm()] {
        let device = Device::flex();
        let (model, other) = (model(&config, 5, &device), model(&config, 6, &device));
        let mut together: Vec<Writer> = (0..5).map(|i| if i == 3 { other.writer() } else { model.writer() }).collect();
        for (i, writer) in together.iter_mut().enumerate() {
            writer.prefill(&tokens(i as u64, [1, 3, 2, 2, 100][i]));
        }
        let mut alone = together.clone();
        for round in 0..12 {
            let next = tokens(100 + round, 5);
            let mut all: Vec<&mut Writer> = together.iter_mut().collect();
            Writer::push_each(&mut all, &next);
            for (i, writer) in alone.iter_mut().enumerate() {
                assert_eq!(writer.push(next[i]), together[i].logits(), "writer {i} in round {round}");
            }
        }
    }
}

#[test]
fn a_full_context_slides() {
    let model = model(&gpt(), 3, &Device::flex());
    let text = tokens(5, 40);
    let mut writer = model.writer();
    for &token in &text[..12] {
        writer.push(token);
    }
    // Six are kept, one is new.
    let expected = log_likelihoods(&model, &text[6..13]);
    assert_near(writer.push(text[12]), &expected[6], "the first after the slide");
    let expected = log_likelihoods(&model, &text[6..16]);
    assert_near(writer.prefill(&text[13..16]), &expected[9], "and on");
    // However many are read at once, the same is seen.
    for count in [13, 18, 19, 25, 40] {
        let (mut one_by_one, mut at_once) = (model.writer(), model.writer());
        for &token in &text[..count] {
            one_by_one.push(token);
        }
        assert_near(at_once.prefill(&text[..count]), one_by_one.prefill(&[]), "at once");
    }
}

#[test]
fn a_recurrent_writer_has_no_limit_and_threads_change_nothing() {
    for config in [gpt(), lstm()] {
        let model = model(&config, 3, &Device::flex());
        let text = tokens(6, 30);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut writer = model.writer();
                writer.prefill(&text[..20]);
                text[20..].iter().flat_map(|&token| writer.push(token).to_vec()).collect::<Vec<f32>>()
            })
        };
        assert!(run(1) == run(2));
        if let TextModel::Lstm(_) = model {
            assert_near(&run(1)[9 * 11..], &log_likelihoods(&model, &text)[29], "thirty tokens of a context of twelve");
        }
    }
}

#[test]
fn heads_divide_the_width() {
    assert_eq!([64, 128, 192, 256, 384, 100, 30, 34].map(gpt::heads), [2, 4, 6, 4, 6, 2, 1, 1]);
}
