//! A model that has no latent space and makes its pictures in many steps. No family does yet, so one is put in its place.

use crate::support::{Place, get, pixels, png, post};
use burn::tensor::{Device, Tensor};
use maliang::device;
use maliang::families::{Condition, How, Model};
use maliang::generate::sampler::Sampler;
use maliang::weights::Weights;
use maliang_serve::Server;
use maliang_serve::shelf::{self, Painter};
use maliang_serve::work::Wish;
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATH: &str = "/v1/images/generations";
/// Longer than anything here may take.
const LONG: Duration = Duration::from_secs(60);

/// What a test and its model tell each other.
#[derive(Debug, Default)]
struct Told {
    /// Steps made.
    steps: AtomicUsize,
    /// Pictures of each batch.
    batches: Mutex<Vec<usize>>,
    /// It may come to an end.
    enough: AtomicBool,
}

/// Makes steps until the test has seen enough; the pictures are the mean of their noise, which tells them apart.
#[derive(Debug, Clone)]
struct Stepwise(Arc<Told>);

impl Model for Stepwise {
    fn load(&mut self, _: &mut Weights, _: &Device) -> maliang::Result<()> {
        Ok(())
    }

    fn weights(&self) -> Weights {
        Weights::new()
    }

    fn make(&self, noise: Tensor<2>, _: &Condition, how: How) -> Tensor<4> {
        let [batch, _] = noise.dims();
        self.0.batches.lock().unwrap().push(batch);
        let began = Instant::now();
        while !self.0.enough.load(Ordering::SeqCst) && began.elapsed() < LONG {
            self.0.steps.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(1));
            (how.between)();
        }
        noise.mean_dim(1).tanh().reshape([batch, 1, 1, 1]).expand([batch, 16, 16, 1])
    }

    fn boxed_clone(&self) -> Box<dyn Model> {
        Box::new(self.clone())
    }
}

/// A server whose model `steps` makes steps, and that model.
fn server(place: &Place) -> (Arc<Server>, Arc<Told>, Arc<Painter>) {
    place.pictures("steps", 3);
    let server = place.server();
    let (like, _) = Sampler::open(&place.model("steps")).unwrap();
    let told = Arc::new(Told::default());
    let sampler = Sampler::in_training(Box::new(Stepwise(Arc::clone(&told))), like.info, device::cpu());
    let painter = Arc::new(Painter::new(sampler));
    let entry = server.shelf.find("steps").expect("it is there");
    server.shelf.put(&entry, &shelf::Model::Pictures(Arc::clone(&painter))).unwrap();
    (server, told, painter)
}

async fn until(true_now: impl Fn() -> bool) {
    let began = Instant::now();
    while !true_now() {
        assert!(began.elapsed() < LONG, "it does not come to that");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn others_have_their_turn_between_steps() {
    let place = Place::new();
    let (server, told, painter) = server(&place);
    let own = Arc::clone(&server);
    let slow =
        tokio::spawn(async move { post(&own, PATH, &json!({"model": "steps", "n": 2, "seed": 1})).await.json() });
    until(|| told.steps.load(Ordering::SeqCst) > 0).await;
    // It goes on until these have been served.
    post(&server, PATH, &json!({"model": "pictures", "n": 3})).await.json();
    post(&server, "/v1/completions", &json!({"model": "text", "max_tokens": 5})).await.json();
    assert!(!slow.is_finished());
    told.enough.store(true, Ordering::SeqCst);
    let sampler = &painter.sampler;
    for (index, image) in (0..).zip(slow.await.unwrap()["data"].as_array().unwrap()) {
        let alone = &sampler.pictures(&[sampler.latent(1, index, 1.0)], &[0])[0];
        assert_eq!(pixels(&png(image)), alone.pixels);
    }
}

#[tokio::test]
async fn what_comes_between_steps_is_the_next_batch() {
    let place = Place::new();
    let (server, told, painter) = server(&place);
    let ask = |n: u64, seed: u64| {
        let (server, painter) = (Arc::clone(&server), Arc::clone(&painter));
        let wishes = (0..n).map(|i| Wish { z: painter.sampler.latent(seed, i, 1.0), class: 0 }).collect();
        tokio::spawn(async move { server.work.pictures(painter, wishes).await.unwrap() })
    };
    let first = ask(2, 1);
    until(|| told.steps.load(Ordering::SeqCst) > 0).await;
    let mut later = vec![ask(1, 2), ask(3, 3), ask(1, 4)];
    // Each is begun, and waits.
    tokio::task::yield_now().await;
    let before = told.steps.load(Ordering::SeqCst);
    until(|| told.steps.load(Ordering::SeqCst) > before + 5).await;
    // One whose client leaves is not computed.
    later.pop().unwrap().abort();
    tokio::task::yield_now().await;
    told.enough.store(true, Ordering::SeqCst);
    assert_eq!(first.await.unwrap().len(), 2);
    for (count, answer) in [1, 3].into_iter().zip(later) {
        assert_eq!(answer.await.unwrap().len(), count);
    }
    assert_eq!(*told.batches.lock().unwrap(), [2, 4]);
}

#[tokio::test]
async fn what_needs_a_latent_space_is_refused_by_name() {
    let place = Place::new();
    let (server, told, _) = server(&place);
    told.enough.store(true, Ordering::SeqCst);
    let z = [0.0; 6];
    for (path, body, param) in [
        (PATH, json!({"model": "steps", "latent": [z]}), "latent"),
        (PATH, json!({"model": "steps", "with_latent": true}), "with_latent"),
        ("/v1/images/interpolations", json!({"model": "steps", "through": [z, z]}), "model"),
        ("/v1/images/projections", json!({"model": "steps", "image": ""}), "model"),
    ] {
        let error = post(&server, path, &body).await.problem(400);
        assert_eq!(error["param"], param, "{error}");
        assert!(error["message"].as_str().unwrap().contains("no latent space"), "{error}");
    }
    let error = get(&server, "/v1/models/steps/directions").await.problem(400);
    assert_eq!(error["param"], "id");
    assert!(error["message"].as_str().unwrap().contains("no latent space"), "{error}");
    assert_eq!(get(&server, "/v1/models/steps").await.json()["details"].get("latent"), None);
    assert_eq!(get(&server, "/v1/models/pictures").await.json()["details"]["latent"], 6);
}
