//! The optimiser against `tests/golden/adamw.json`, which `adamw.py` computes from the papers in 64 bits.

use crate::device::ComputeDevice;
use crate::families::settings::TrainConfig;
use crate::nn::optim::{Adam, Average};
use crate::nn::{Init, Module, Param, host, initialise, vector};
use burn::tensor::{Device, Tensor};
use maliang_kernels::Precision;
use serde_json::Value;

/// Two parameters and a statistic.
#[derive(Clone)]
struct Pair {
    a: Param,
    statistic: Param,
    b: Param,
}

impl Module for Pair {
    fn collect<'a>(&'a mut self, _: &str, into: &mut Vec<(String, &'a mut Param)>) {
        into.push(("a".into(), &mut self.a));
        into.push(("statistic".into(), &mut self.statistic));
        into.push(("b".into(), &mut self.b));
    }
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

fn pair(start: &Value, device: &Device) -> Pair {
    let (a, b) = (numbers(&start["a"]), numbers(&start["b"]));
    let param = |count: usize| Param::new(&[count], Init::Constant(0.0));
    let mut pair = Pair { a: param(a.len()), statistic: Param::statistic(&[1], 9.0), b: param(b.len()) };
    initialise(&mut pair, 0, device);
    pair.a.set(vector(a, device));
    pair.b.set(vector(b, device));
    pair
}

fn settings(values: &Value) -> TrainConfig {
    let number = |name: &str| values[name].as_f64().unwrap() as f32;
    TrainConfig {
        batch: 10,
        steps: 1,
        minutes: 0.0,
        lr: number("lr"),
        beta_1: number("beta_1"),
        beta_2: number("beta_2"),
        epsilon: number("epsilon"),
        weight_decay: 0.0,
        clip_norm: 0.0,
        ema_half_life: 0.0,
        flip: Some(false),
        precision: Precision::F32,
        device: ComputeDevice::Cpu,
        look_every: 0,
        patience: 0,
    }
}

#[track_caller]
fn close(found: &Param, expected: &Value) {
    for (found, expected) in host(found.flat().inner()).into_iter().zip(numbers(expected)) {
        assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
    }
}

/// A function of the pair whose gradient in each parameter is what the golden file says.
fn slope(pair: &Pair, gradients: &Value) -> Tensor<1> {
    let plain = Device::flex();
    let along = |param: &Param, name: &str| (param.flat() * vector(numbers(&gradients[name]), &plain)).sum();
    along(&pair.a, "a") + along(&pair.b, "b")
}

#[test]
fn adamw_clipping_and_average() {
    let golden: Value = serde_json::from_str(include_str!("../../../tests/golden/adamw.json")).unwrap();
    let beta = golden["settings"]["ema_beta"].as_f64().unwrap() as f32;
    for run in golden["runs"].as_array().unwrap() {
        let mut config = settings(&golden["settings"]);
        config.weight_decay = run["weight_decay"].as_f64().unwrap() as f32;
        config.clip_norm = run["clip_norm"].as_f64().unwrap() as f32;
        let mut model = pair(&golden["start"], &Device::flex().autodiff());
        let mut averaged = model.inner();
        averaged.statistic.set(vector(vec![7.0], &Device::flex()));
        let mut adam = Adam::default();
        for (gradients, expected) in
            golden["gradients"].as_array().unwrap().iter().zip(run["steps"].as_array().unwrap())
        {
            let gradients = slope(&model, gradients).backward();
            let average = Average { model: &mut averaged, beta };
            adam.step(&mut model, Some(average), gradients, &config.adam(), config.lr);
            close(&model.a, &expected["value"]["a"]);
            close(&model.b, &expected["value"]["b"]);
            close(&averaged.a, &expected["average"]["a"]);
            close(&averaged.b, &expected["average"]["b"]);
        }
        assert_eq!(host(model.statistic.flat().inner()), [9.0], "a statistic is not trained");
        assert_eq!(host(averaged.statistic.flat()), [7.0], "nor averaged");
        assert!(model.a.flat().is_require_grad() && !averaged.a.flat().device().is_autodiff());
    }
}

#[test]
fn what_no_loss_reaches_stays_as_it_is() {
    let golden: Value = serde_json::from_str(include_str!("../../../tests/golden/adamw.json")).unwrap();
    let config = TrainConfig { weight_decay: 0.5, ..settings(&golden["settings"]) };
    let mut model = pair(&golden["start"], &Device::flex().autodiff());
    let mut averaged = model.inner();
    let gradients = model.a.flat().sum().backward();
    let average = Average { model: &mut averaged, beta: 0.5 };
    Adam::default().step(&mut model, Some(average), gradients, &config.adam(), 0.1);
    for b in [&model.b, &averaged.b] {
        assert_eq!(host(b.flat().inner()), numbers(&golden["start"]["b"]));
    }
    assert_ne!(host(model.a.flat().inner()), numbers(&golden["start"]["a"]));
    assert_ne!(host(averaged.a.flat()), numbers(&golden["start"]["a"]));
}

/// The half-life ramps up with what has been seen, and zero turns the average off.
#[test]
fn the_schedule_of_the_average() {
    let golden: Value = serde_json::from_str(include_str!("../../../tests/golden/adamw.json")).unwrap();
    let config = TrainConfig { ema_half_life: 1000.0, ..settings(&golden["settings"]) };
    assert_eq!(config.average_beta(200), 0.5, "200 pictures seen: a half-life of 10, which is one batch");
    assert_eq!(config.average_beta(1_000_000), 0.5f64.powf(0.01) as f32);
    assert_eq!(TrainConfig { ema_half_life: 0.0, ..config }.average_beta(1_000_000), 0.0);
}
