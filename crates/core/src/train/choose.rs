//! Chooses what the user left open, from the data and the budget, and says why in one line each.

use super::config::{Augmentation, GanConfig, GanLoss, RunConfig, TrainConfig, VaeTraining};
use super::plateau::PATIENCE;
use crate::data::{CheckReport, DataConfig, Fit, Source};
use crate::device::ComputeDevice;
use crate::models::{DcganConfig, FastganConfig, ModelConfig, StackConfig, Upsampling, VaeConfig, fastgan};
use crate::{Error, Result};
use maliang_kernels::Precision;
use toml::{Table, Value};

/// What the user asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The data source as typed.
    pub source: String,
    /// Family by name; `auto` or nothing lets the data decide.
    pub family: Option<String>,
    /// Width and height.
    pub size: Option<(usize, usize)>,
    /// Settings as in `run.toml`, any part of it: from a recipe and from `--set`.
    pub settings: Table,
    /// Are the weights installed that a projected GAN looks through?
    pub eyes: bool,
}

/// A complete configuration, and why it is so.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The configuration.
    pub config: RunConfig,
    /// One line a decision: (what, value, reason).
    pub reasons: Vec<(String, String, String)>,
}

/// With fewer pictures a discriminator soon knows every one of them by heart.
const FEW_FOR_A_GAN: usize = 64;
/// Where the user names no budget.
const DEFAULT_MINUTES: f64 = 10.0;
/// From so many pictures on `projected` has a head that sees pixels: it helps with 6,000 of them and harms with 144, see LAB.md.
const ENOUGH_FOR_PIXELS: usize = 1000;
/// Below this 64×64 pictures show more than 128×128 ones, which cost four times as much.
const MINUTES_FOR_128: f64 = 120.0;
/// Below this 32×32 emoji show more animals that can be named than 64×64 ones: see LAB.md.
const MINUTES_FOR_EMOJI_64: f64 = 60.0;
/// From here on a budget affords the batch of 64 of the papers.
const LONG_MINUTES: f64 = 60.0;
/// Below this a discriminator has no time to learn the pictures by heart, and DiffAugment only slows it: see LAB.md.
const FEW_EPOCHS: f64 = 60.0;
/// γ of R1 for pictures of up to [`R1_PIXELS`]; it grows with the pixels, as the gradient's length does (Karras 2020, ADA, Appendix C).
/// Far less than the 10 of Mescheder 2018: what short runs can spare. See LAB.md.
const R1: f32 = 0.03;
const R1_PIXELS: f32 = 64.0 * 64.0;
/// Half-life, in pictures, of the average of DCGAN and `projected`, whose generators keep wandering about. Short runs are spared by the
/// ramp-up (`train/optim.rs`). See LAB.md.
const LONG_EMA: f64 = 40_000.0;
/// Up to this side DCGAN learns at higher rates, and at still higher ones where there are many pictures: see LAB.md.
const SMALL_SIDE: usize = 32;
const MANY: usize = 10_000;
/// Logistics a pixel of a mixture: half of Salimans 2017, §3, whose ten cost a VAE's small decoder more than they tell.
const MIXTURE: usize = 5;
/// A class needs this many pictures before it is worth telling apart.
const ENOUGH_PER_CLASS: usize = 20;

/// The two families that are most likely to do best, for a race: what [`choose`] chooses, and the runner-up.
///
/// # Errors
/// As [`choose`], or a family that is named already.
pub fn candidates(request: &Request, report: &CheckReport) -> Result<[Choice; 2]> {
    let named = request.family.clone().or_else(|| text(lookup(&request.settings, "model.family")));
    if named.as_deref().is_some_and(|family| family != "auto") {
        return Err(Error::input(
            "a race is between the two families that fit the pictures best, but one is named already",
        )
        .hint("leave --model out (or model.family, in a recipe), or --race"));
    }
    let first = choose(request, report)?;
    let stack = first.config.model.stack();
    let wide = stack.width.min(stack.height) >= fastgan::SMALLEST;
    let (family, why) = match first.config.model.family() {
        "projected" => ("fastgan", "the same generator, against a discriminator that sees with its own eyes"),
        "dcgan" if !wide => ("vae", "blurred, but steady: it cannot collapse"),
        _ if wide => ("fastgan", "made for few pictures (Liu 2021), and slower a step"),
        _ => ("dcgan", "sharper than a VAE, if it does not learn the pictures by heart"),
    };
    let request = Request { family: Some(family.into()), ..request.clone() };
    let mut second = choose(&request, report)?;
    second.reasons = vec![("or".into(), family.into(), why.into())];
    Ok([first, second])
}

fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(String::from)
}

/// Fills in everything that `request` leaves open.
///
/// # Errors
/// An unknown setting or family, or a value out of range.
pub fn choose(request: &Request, report: &CheckReport) -> Result<Choice> {
    let mut reasons = Vec::new();
    let mut say = |what: &str, value: String, why: &str| reasons.push((what.to_string(), value, why.to_string()));
    let given = |path: &str| lookup(&request.settings, path);
    let number = |path: &str| given(path).and_then(|v| v.as_float().or_else(|| v.as_integer().map(|i| i as f64)));

    let (minutes, steps) = budget(&request.settings, &mut say);

    let source = Source::parse(&request.source);
    let idx = matches!(source, Ok(Source::Idx { .. }));
    let emoji = matches!(source, Ok(Source::Emoji(_)));
    let (width, height) = match (request.size, number("data.width"), number("data.height")) {
        (Some(size), _, _) => size,
        (None, Some(width), Some(height)) => (width as usize, height as usize),
        _ => {
            let (side, why) = size_for(report, emoji, minutes);
            say("size", format!("{side}x{side}"), &why);
            (side, side)
        }
    };
    crate::models::check_size(width, height)?;

    let channels = match number("data.channels") {
        Some(channels) => channels as usize,
        None if report.is_grey() => {
            say("channels", "1".into(), "every picture is grey");
            1
        }
        None => 3,
    };
    let (fit, background) = (report.suggested_fit, report.suggested_background);
    match fit {
        Fit::Pad if idx => say("fit", "pad".into(), "small drawings: nothing is cut off"),
        Fit::Pad => say("fit", "pad".into(), "cut-outs: nothing is cut off"),
        _ => say("fit", "crop".into(), "photographs: fills the square, edges are lost"),
    }
    let holdout = if report.distinct < 8 { 0.0 } else { 0.1 };
    let data = DataConfig { source: request.source.clone(), width, height, channels, fit, background, holdout };
    // Before anything is computed from them.
    data.validate()?;

    // Networks that were trained on photographs see coloured things well, on a ground of one colour, too; grey drawings and digits
    // they do not help, nor the flat graphics of emoji: see LAB.md.
    let seen_well = !idx && !emoji && channels == 3 && width.min(height) >= fastgan::SMALLEST;
    let named = request.family.clone().or_else(|| text(given("model.family")));
    let family = match named.as_deref() {
        Some(family) if family != "auto" => family.to_string(),
        _ if report.distinct < FEW_FOR_A_GAN => {
            say(
                "model",
                "vae".into(),
                &format!("{} pictures are too few for a GAN, which would learn them by heart", report.distinct),
            );
            "vae".into()
        }
        _ if seen_well && request.eyes => {
            say(
                "model",
                "projected".into(),
                "coloured pictures are learned fastest through the eyes of EfficientNet-Lite0",
            );
            "projected".into()
        }
        _ => {
            let missed = "; these pictures would profit from `maliang weights get efficientnet-lite0`";
            let why = "sharper pictures than a VAE, and there are enough to learn from";
            say("model", "dcgan".into(), &format!("{why}{}", if seen_well { missed } else { "" }));
            "dcgan".into()
        }
    };

    let smallest = report.labels.iter().map(|(_, count)| *count).min().unwrap_or(0);
    let classes: Vec<String> = if (2..=100).contains(&report.labels.len()) && smallest >= ENOUGH_PER_CLASS {
        say(
            "classes",
            report.labels.len().to_string(),
            &format!("every class has at least {smallest} pictures; --class picks one later"),
        );
        report.labels.iter().map(|(name, _)| name.clone()).collect()
    } else {
        Vec::new()
    };

    // Many small steps teach more than few large ones while pictures are scarce: see LAB.md.
    let usual = if minutes > 0.0 && minutes < LONG_MINUTES { 32 } else { 64 };
    let batch = usual.min(report.distinct.max(2).next_power_of_two() / 2).max(2);
    if batch < usual {
        say("batch", batch.to_string(), "a small set: a batch is at most its size");
    }
    let flip = !idx;
    if !flip {
        say("flip", "off".into(), "digits and letters must not be mirrored");
    }

    let budget = Budget { minutes, steps, batch };
    let base = base_for(&budget, &family, width, height, channels);
    say("width", format!("{base} channels"), "what the budget can train well on a plain CPU");
    let stack = StackConfig { height, width, channels, base };
    let mut gan = GanConfig::default();
    let epochs = budget.epochs(&family, &stack, report.distinct);
    if family == "projected" {
        say(
            "augment",
            "no colour".into(),
            "frozen features tell training pictures apart early; changed colours would linger",
        );
        gan.augment.retain(|part| *part != Augmentation::Color);
    } else if family != "vae" && epochs < FEW_EPOCHS && number("gan.ada").unwrap_or(0.0) == 0.0 {
        say(
            "augment",
            "none".into(),
            &format!("each picture is shown only about {epochs:.0} times: nothing to memorise"),
        );
        gan.augment.clear();
    } else if family != "vae" {
        say(
            "augment",
            "all".into(),
            &format!("each picture is shown about {epochs:.0} times: DiffAugment against memorising"),
        );
    }
    let (model, lr, beta_1) = match family.as_str() {
        // Radford 2015, §3: β₁ 0.5, and 2e-4 for pictures of 64 pixels.
        "dcgan" => {
            // Wasserstein's critic is held by clipping or by a penalty of its own.
            if given("gan.loss").and_then(Value::as_str) != Some("wasserstein") {
                gan.r1 = R1 * ((width * height) as f32 / R1_PIXELS).max(1.0);
            }
            let lr = match report.distinct {
                _ if width.max(height) > SMALL_SIDE => 2e-4,
                ..MANY => 5e-4,
                _ => 1e-3,
            };
            (ModelConfig::Dcgan(DcganConfig { z_dim: 100, classes, stack }), lr, 0.5)
        }
        // Liu 2021, §4: 2e-4, β₁ 0.5, and the hinge loss.
        "fastgan" => {
            gan.loss = GanLoss::Hinge;
            (ModelConfig::Fastgan(FastganConfig { z_dim: 256, classes, smooth: false, stack }), 2e-4, 0.5)
        }
        // Sauer 2021, Appendix: 2e-4, β 0 and 0.99, and the hinge loss.
        "projected" => {
            gan.loss = GanLoss::Hinge;
            let pixel_head = given("gan.pixel_head").and_then(Value::as_bool);
            gan.pixel_head = pixel_head.unwrap_or(report.distinct >= ENOUGH_FOR_PIXELS);
            // Who sees pixels need not be kept from patterns of two of them, and the filter has marks of its own: see LAB.md.
            let smooth = !gan.pixel_head;
            (ModelConfig::Projected(FastganConfig { z_dim: 256, classes, smooth, stack }), 2e-4, 0.0)
        }
        // Kingma & Ba's defaults suit a single player.
        "vae" => {
            let mixture = given("vae.reconstruction").and_then(Value::as_str) == Some("logistic-mixture");
            let components = if mixture { MIXTURE } else { 0 };
            let decoder = Upsampling::Transposed;
            (ModelConfig::Vae(VaeConfig { z_dim: 64, classes, decoder, components, stack }), 1e-3, 0.9)
        }
        other => {
            return Err(Error::input(format!("there is no model family \"{other}\""))
                .hint("use auto, dcgan, fastgan, projected or vae"));
        }
    };
    // Who counts steps may want them again on another machine, as nearly as can be; who counts minutes wants as many as there can be.
    // At equal scores: that was compared for DCGAN only, and `projected`, which costs most, gains next to nothing. See LAB.md.
    let precision = if steps == 0 && family == "dcgan" && Precision::Bf16.is_supported() {
        let why = "this processor multiplies them faster, at about the same scores; --precision f32 for all digits";
        say("precision", "bf16".into(), why);
        Precision::Bf16
    } else {
        Precision::F32
    };
    let train = TrainConfig {
        device: ComputeDevice::default(),
        batch,
        steps,
        minutes,
        lr,
        beta_1,
        beta_2: if family == "projected" { 0.99 } else { 0.999 },
        epsilon: 1e-8,
        weight_decay: 0.0,
        clip_norm: 0.0,
        ema_half_life: if matches!(family.as_str(), "dcgan" | "projected") { LONG_EMA } else { 10_000.0 },
        flip: Some(flip),
        precision,
        look_every: 0,
        // Who counts steps wants them; who counts minutes wants no more of them than are of use.
        patience: if steps > 0 { 0 } else { PATIENCE },
    };
    let chosen = RunConfig { seed: 0, init: None, data, model, train, gan, vae: VaeTraining::default() };

    let mut table = Table::try_from(&chosen).expect("a configuration is plain data");
    overlay(&mut table, &request.settings);
    // What the command line names directly wins over a recipe.
    if let Some((width, height)) = request.size {
        for part in ["data", "model.stack"] {
            set(&mut table, &format!("{part}.width"), Value::Integer(width as i64));
            set(&mut table, &format!("{part}.height"), Value::Integer(height as i64));
        }
    }
    set(&mut table, "data.source", Value::String(request.source.clone()));
    set(&mut table, "model.family", Value::String(family));
    let config: RunConfig = table.try_into().map_err(unusable)?;
    config.validate()?;
    // A reason for something that the user then set would be wrong.
    let set_by_user = |what: &str| match what {
        "width" => given("model.stack.base").is_some(),
        "fit" => given("data.fit").is_some(),
        "batch" => given("train.batch").is_some(),
        "flip" => given("train.flip").is_some(),
        "precision" => given("train.precision").is_some(),
        "augment" => given("gan.augment").is_some(),
        "classes" => given("model.classes").is_some(),
        _ => false,
    };
    reasons.retain(|(what, _, _)| !set_by_user(what));
    Ok(Choice { config, reasons })
}

/// Minutes and steps that may be used, 0 for no limit; at least one of the two is one.
pub(super) fn budget(settings: &Table, say: &mut impl FnMut(&str, String, &str)) -> (f64, u64) {
    let number =
        |path: &str| lookup(settings, path).and_then(|v| v.as_float().or_else(|| v.as_integer().map(|i| i as f64)));
    // As TOML can write it; whether it makes sense is said later.
    let steps = number("train.steps").map_or(0, |steps| steps.clamp(0.0, 1e18) as u64);
    match number("train.minutes") {
        None if steps == 0 => {
            say("budget", format!("{DEFAULT_MINUTES:.0} minutes"), "neither --minutes nor --steps was given");
            (DEFAULT_MINUTES, 0)
        }
        minutes => (minutes.unwrap_or(0.0), steps),
    }
}

/// What to say of settings that do not exist or have another type.
pub(super) fn unusable(error: toml::de::Error) -> Error {
    // Its text ends with the name of the setting, on a line of its own.
    Error::input(format!("a setting cannot be used: {}", error.to_string().trim_end().replace('\n', " ")))
        .hint("the names of all settings are in the run.toml of any run; --set takes them as group.name=value")
}

/// A square size that the pictures can fill and the budget can afford, and why.
fn size_for(report: &CheckReport, emoji: bool, minutes: f64) -> (usize, String) {
    if emoji && minutes < MINUTES_FOR_EMOJI_64 {
        return (32, format!("clearer than 64x64 within {MINUTES_FOR_EMOJI_64:.0} minutes on a plain CPU"));
    }
    let fitting = report.suggested_size.min(128);
    if fitting == 128 && minutes < MINUTES_FOR_128 {
        return (64, format!("sharper than 128x128 within {MINUTES_FOR_128:.0} minutes on a plain CPU"));
    }
    let why = if fitting == 32 { "many of the pictures are small" } else { "nine pictures in ten are large enough" };
    (fitting, why.into())
}

/// Channels of the first stage: the widest network of which the budget can show enough pictures.
fn base_for(budget: &Budget, family: &str, width: usize, height: usize, channels: usize) -> usize {
    /// Fewer pictures than this show little but blobs.
    const ENOUGH: f64 = 100_000.0;
    /// Through frozen eyes a generator learns from each picture, and more of them show more: see LAB.md.
    const ENOUGH_FOR_EYES: f64 = 200_000.0;
    let enough = if family == "projected" { ENOUGH_FOR_EYES } else { ENOUGH };
    let shown = |base| budget.pictures(family, &StackConfig { height, width, channels, base }).unwrap_or(f64::MAX);
    [64, 48, 32, 24].into_iter().find(|&base| shown(base) >= enough).unwrap_or(24)
}

/// How long a run may be.
struct Budget {
    minutes: f64,
    steps: u64,
    batch: usize,
}

impl Budget {
    /// Pictures that a minute budget lets a network of this size see; nothing where only steps limit the run, because
    /// then its length is the user's own choice.
    fn pictures(&self, family: &str, stack: &StackConfig) -> Option<f64> {
        (self.minutes > 0.0).then(|| self.minutes * 60.0 * speed(family, stack))
    }

    /// How often it shows each of `count` pictures.
    fn epochs(&self, family: &str, stack: &StackConfig, count: usize) -> f64 {
        let by_steps = if self.steps > 0 { self.steps as f64 * self.batch as f64 } else { f64::MAX };
        self.pictures(family, stack).unwrap_or(f64::MAX).min(by_steps) / count.max(1) as f64
    }
}

/// Pictures a second that two cores show in training; see LAB.md.
fn speed(family: &str, stack: &StackConfig) -> f64 {
    match family {
        // A generator of small channels runs further below the peak. It passes three times, its discriminator eight.
        "fastgan" => {
            let [generator, discriminator] = fastgan::cost(stack);
            60e9 / (3.0 * generator + 8.0 * discriminator)
        }
        // The frozen network and its heads cost what they cost, whatever the picture's size; the head of pixels costs by the pixel.
        "projected" => {
            let beyond_64 = (stack.width * stack.height) as f64 / (64.0 * 64.0) - 1.0;
            1.0 / (3.0 * fastgan::cost(stack)[0] / 60e9 + 3e-3 + 1e-3 * beyond_64)
        }
        // A training step passes about ten times through either stack (three forward, seven gradients).
        _ => 140e9 / (stack.cost().0 * 10.0),
    }
}

pub(super) fn lookup<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
    match (table.get(first)?, rest) {
        (value, None) => Some(value),
        (Value::Table(inner), Some(rest)) => lookup(inner, rest),
        _ => None,
    }
}

/// Sets `path` in `table`, creating the tables on the way.
pub fn set(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            table.insert(path.to_string(), value);
        }
        Some((first, rest)) => {
            let inner = table.entry(first.to_string()).or_insert_with(|| Value::Table(Table::new()));
            if !inner.is_table() {
                *inner = Value::Table(Table::new());
            }
            if let Value::Table(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

/// Lays `over` onto `table`, table by table.
pub(super) fn overlay(table: &mut Table, over: &Table) {
    for (key, value) in over {
        match (table.get_mut(key), value) {
            (Some(Value::Table(inner)), Value::Table(over)) => overlay(inner, over),
            _ => {
                table.insert(key.clone(), value.clone());
            }
        }
    }
}
