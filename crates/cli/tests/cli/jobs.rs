//! Training through a server: the queue, what ends a job, and what survives the server.

use crate::serve::Served;
use crate::support::Place;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Longer than anything here may take.
const LONG: Duration = Duration::from_secs(120);

impl Served {
    /// A server without runs.
    fn empty() -> Self {
        let place = Place::new();
        std::fs::create_dir(place.path("runs")).unwrap();
        Self::at(place, "--log off")
    }

    /// The answer to a request that must have `status`.
    #[track_caller]
    fn json(&self, method: &str, path: &str, body: &Value, status: u16) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (own, answer) = self.ask(method, path, "", &body);
        assert_eq!(own, status, "{method} {path}: {answer}");
        serde_json::from_str(&answer).unwrap()
    }

    /// Waits until job `id` is in a state that `wanted` likes.
    #[track_caller]
    fn job(&self, id: &Value, wanted: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let job = self.json("GET", &format!("/v1/jobs/{id}"), &Value::Null, 200);
            if wanted(&job) {
                return job;
            }
            assert!(began.elapsed() < LONG, "{job}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn train(&self, more: &Value) -> Value {
        let mut body = json!({"source": "emoji:food", "size": "16", "model": "dcgan"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.json("POST", "/v1/jobs", &body, 201)["id"].clone()
    }
}

fn is(state: &'static str) -> impl Fn(&Value) -> bool {
    move |job| job["state"] == state
}

#[test]
fn a_file_that_is_sent_is_checked_and_trained_on() {
    let served = Served::empty();
    let poem = |i: usize| format!("the moon of night {}\nover the river {}\n\n", i % 5, i % 7);
    let text: String = (0..80).map(poem).collect();
    let path = "/v1/data/my poems.txt".replace(' ', "%20");
    assert_eq!(served.ask("POST", &path, "", &text).0, 201);
    assert_eq!(served.ask("POST", &path, "", &text).0, 409);
    assert_eq!(served.ask("POST", "/v1/data/photos%20(1)%2C%20gr%C3%B6%C3%9Fer.jsonl", "", "x").0, 201);
    assert_eq!(served.ask("DELETE", "/v1/data/photos%20(1)%2C%20gr%C3%B6%C3%9Fer.jsonl", "", "").0, 200);
    assert_eq!(served.ask("DELETE", "/v1/data/photos%20(1)%2C%20gr%C3%B6%C3%9Fer.jsonl", "", "").0, 404);
    for bad in ["..%2fx.txt", ".txt", "x.exe", "%00.txt"] {
        assert_eq!(served.ask("POST", &format!("/v1/data/{bad}"), "", "x").0, 400, "{bad}");
    }
    let list = served.json("GET", "/v1/data", &Value::Null, 200);
    assert_eq!((&list["data"][0]["id"], &list["data"][0]["bytes"]), (&json!("my poems.txt"), &json!(text.len())));
    let found = served.json("GET", &format!("{path}/check"), &Value::Null, 200);
    assert_eq!(found["found"]["bytes"], text.len());
    let job = served.json("POST", "/v1/jobs", &json!({"source": "my poems.txt", "steps": 5}), 201);
    assert_eq!(job["run"], "my-poems-1");
    let job = served.job(&job["id"], |job| !job["ended"].is_null());
    assert_eq!(job["state"], "done", "{job}");
    let plan = served.json("POST", &format!("{path}/plan"), &json!({"model": "lstm", "minutes": 1}), 200);
    for told in [&job["said"], &plan] {
        assert!(!told.to_string().contains("uploads"), "{told}");
    }
    assert!(job["said"].as_array().unwrap().iter().any(|line| line.as_str().unwrap().contains("my-poems-1")), "{job}");
    let answer = served.json("POST", "/v1/completions", &json!({"model": "my-poems-1", "max_tokens": 5}), 200);
    assert!(answer["usage"]["completion_tokens"].as_u64().unwrap() > 0);
}

/// One server works the queue off; another one on the same runs serves their models only.
#[test]
fn the_queue_has_one_owner() {
    let served = Served::empty();
    let id = served.train(&json!({"steps": 100_000, "name": "long"}));
    served.job(&id, is("running"));
    let mut second = served.place.start("serve runs --port 0 --log off");
    let address = second.line();
    let address = address.strip_prefix("http://").unwrap();
    let asked = |path: &str| {
        use std::io::{Read, Write};
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(asked("/v1/models").starts_with("HTTP/1.1 200"));
    let refused = asked("/v1/jobs");
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("beside another one"), "{refused}");
    assert_eq!(served.job(&id, |_| true)["state"], "running");
    drop(second);
    // Its source is needed.
    assert_eq!(served.ask("POST", "/v1/data/a.txt", "", &"a line of text\n".repeat(90)).0, 201);
    let waiting = served.json("POST", "/v1/jobs", &json!({"source": "a.txt", "steps": 5}), 201);
    assert_eq!(served.ask("DELETE", "/v1/data/a.txt", "", "").0, 409);
    for job in [&waiting["id"], &id] {
        served.json("POST", &format!("/v1/jobs/{job}/cancel"), &Value::Null, 200);
    }
    served.job(&id, |job| !job["ended"].is_null());
    assert_eq!(served.ask("DELETE", "/v1/data/a.txt", "", "").0, 200);
}

#[test]
fn jobs_wait_are_moved_and_ended() {
    let served = Served::empty();
    let first = served.train(&json!({"minutes": 60}));
    let second = served.train(&json!({"steps": 5, "name": "second"}));
    let third = served.train(&json!({"steps": 5, "name": "third"}));
    let running = served.job(&first, |job| job["eta"].as_f64().is_some_and(|eta| eta > 3000.0));
    assert_eq!(running["state"], "running");
    assert_eq!(
        served.json("POST", "/v1/jobs", &json!({"source": "emoji:food", "name": "third"}), 409)["error"]["code"],
        "conflict"
    );
    assert_eq!(served.job(&third, is("queued"))["position"], 1);
    served.json("POST", &format!("/v1/jobs/{third}/place"), &json!({"position": 0}), 200);
    assert_eq!(served.job(&second, is("queued"))["position"], 1);
    served.json("POST", &format!("/v1/jobs/{second}/cancel"), &Value::Null, 200);
    served.json("POST", &format!("/v1/jobs/{second}/cancel"), &Value::Null, 409);
    served.json("POST", &format!("/v1/jobs/{first}/cancel"), &Value::Null, 200);
    assert_eq!(served.job(&third, is("done"))["run"], "third");
    let ended = served.job(&first, |job| !job["ended"].is_null());
    assert_eq!(ended["state"], "cancelled");
    // It had saved, so it can go on.
    let steps = served.json("GET", "/v1/runs/emoji-food-1", &Value::Null, 200)["step"].as_u64().unwrap();
    let more = served.json("POST", "/v1/jobs", &json!({"resume": "emoji-food-1", "steps": steps + 3}), 201);
    served.job(&more["id"], is("done"));
    assert_eq!(served.json("GET", "/v1/runs/emoji-food-1", &Value::Null, 200)["step"], steps + 3);
}

#[test]
fn what_cannot_be_trained_is_said() {
    let served = Served::empty();
    for (body, param) in [
        (json!({}), "source"),
        (json!({"source": "../../etc/passwd"}), "source"),
        (json!({"source": "/etc/passwd"}), "source"),
        (json!({"source": "emoji:../x"}), "source"),
        (json!({"source": "emoji:food", "minutes": 0}), "minutes"),
        (json!({"source": "emoji:food", "name": "../x"}), "name"),
        (json!({"source": "emoji:food", "size": "0x5"}), "size"),
        (json!({"source": "emoji:food", "model": "--help"}), "model"),
        (json!({"resume": "none"}), "resume"),
        // Settings of run.toml are not taken over HTTP, neither those that a family reads nor others.
        (json!({"source": "emoji:food", "model": "vae", "settings": {"gan.r1": 0.1}}), "settings"),
    ] {
        assert_eq!(served.json("POST", "/v1/jobs", &body, 400)["error"]["param"], param, "{body}");
    }
    served.json("GET", "/v1/jobs/77", &Value::Null, 404);
    let id =
        served.json("POST", "/v1/jobs", &json!({"source": "emoji:nothing-like-that", "steps": 5}), 201)["id"].clone();
    let job = served.job(&id, is("failed"));
    assert!(job["said"].as_array().unwrap().iter().any(|line| line.as_str().unwrap().starts_with("error: ")), "{job}");
}

#[test]
fn a_run_is_planned_judged_and_explained() {
    let served = Served::empty();
    let plan = served.json("POST", "/v1/data/emoji:food/plan", &json!({"size": "16", "model": "vae"}), 200);
    assert_eq!((&plan["settings"]["model"]["family"], &plan["settings"]["data"]["width"]), (&json!("vae"), &json!(16)));
    assert!(
        plan["said"].as_array().unwrap().iter().any(|line| line.as_str().unwrap().contains("emoji:food")),
        "{plan}"
    );
    let bad = served.json("POST", "/v1/data/emoji:food/plan", &json!({"task": "judge", "run": "a"}), 400);
    assert_eq!(bad["error"]["param"], "task");
    served.json("POST", "/v1/data/emoji:nothing-like-that/plan", &json!({}), 400);
    let settings = json!({"model": "vae", "settings": {"gan.r1": 0.1}});
    let refused = served.json("POST", "/v1/data/emoji:food/plan", &settings, 400);
    assert_eq!(refused["error"]["param"], "settings");
    // The program's own reason, and its hint.
    let refused = served.json("POST", "/v1/data/emoji:food/plan", &json!({"model": "gpt"}), 400);
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("\"gpt\"") && message.contains("dcgan, fastgan, projected or vae"), "{message}");
    assert!(!served.place.path("runs/emoji-food-1").exists(), "a plan makes no run");

    served.job(&served.train(&json!({"steps": 3, "name": "food"})), is("done"));
    for (body, param) in [
        (json!({"task": "judge"}), "run"),
        (json!({"task": "judge", "run": "none"}), "run"),
        (json!({"task": "judge", "run": "food", "minutes": 1}), "minutes"),
        (json!({"task": "judge", "run": "food", "features": "--help"}), "features"),
        (json!({"task": "judge", "run": "food", "n": 2}), "n"),
        (json!({"task": "explain", "run": "food", "n": 20}), "n"),
        (json!({"source": "emoji:food", "run": "food"}), "run"),
    ] {
        assert_eq!(served.json("POST", "/v1/jobs", &body, 400)["error"]["param"], param, "{body}");
    }
    let judge = served.json("POST", "/v1/jobs", &json!({"task": "judge", "run": "food", "n": 20, "seed": 3}), 201);
    let explain = served.json("POST", "/v1/jobs", &json!({"task": "explain", "run": "food"}), 201);
    assert_eq!((&judge["run"], &judge["request"]["task"]), (&json!("food"), &json!("judge")));
    let judged = served.job(&judge["id"], |job| !job["ended"].is_null());
    assert_eq!(judged["state"], "done", "{judged}");
    let scores = served.json("GET", "/v1/runs/food/scores", &Value::Null, 200);
    assert_eq!((&scores["generated"], &scores["seed"]), (&json!(20), &json!(3)));
    assert_eq!(served.ask("GET", "/v1/runs/food/card", "", "").0, 200);
    let explained = served.job(&explain["id"], |job| !job["ended"].is_null());
    assert_eq!(explained["state"], "done", "{explained}");
    assert!(served.ask("GET", "/v1/runs/food/explanation", "", "").1.contains("Directions"));
    let run = served.json("GET", "/v1/runs/food", &Value::Null, 200);
    assert_eq!((&run["judged"]["value"], &run["explained"]), (&scores["scores"][0]["value"], &json!(true)));
}

/// Stopped, or killed: the run goes on when the server is started again.
#[test]
#[cfg(target_os = "linux")]
fn a_job_survives_its_server() {
    let mut served = Served::empty();
    let id = served.train(&json!({"steps": 100_000, "name": "long"}));
    let waiting = served.train(&json!({"steps": 5, "name": "next"}));
    for kill in [false, true] {
        let step = |served: &Served| served.json("GET", "/v1/runs/long", &Value::Null, 200)["step"].as_u64().unwrap();
        served.job(&id, is("running"));
        let began = Instant::now();
        while !served.place.path("runs/long/last").exists() || step(&served) < 10 {
            assert!(began.elapsed() < LONG, "it does not train");
            std::thread::sleep(Duration::from_millis(50));
        }
        let Served { place, running, .. } = served;
        if kill {
            assert!(running.kill());
            // The trainer notices, saves and ends.
            let began = Instant::now();
            while maliang::run::dir::RunDir::new(place.path("runs/long")).lock().is_err() {
                assert!(began.elapsed() < LONG, "the trainer goes on");
                std::thread::sleep(Duration::from_millis(50));
            }
        } else {
            running.signal("TERM");
            assert_eq!(running.end().code, Some(0));
        }
        served = Served::at(place, "--log off");
    }
    served.job(&id, is("running"));
    assert_eq!(served.job(&waiting, is("queued"))["position"], 0);
    served.json("POST", &format!("/v1/jobs/{id}/cancel"), &Value::Null, 200);
    served.job(&waiting, is("done"));
}
