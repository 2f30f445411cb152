//! `maliang serve` and `maliang keys`, over a socket, with clients of our own and with those that people use.

use crate::lookup::skip;
use crate::support::{Place, Running};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

/// A network that trains in a moment.
const SMALL: &str = "--set model.layers=1 --set model.width=32 --set model.context=32 --set train.batch=8 \
                     --set train.look_every=1000 --set text.sample_tokens=10";

/// A run of pictures and one of text, served.
pub struct Served {
    pub place: Place,
    pub running: Running,
    /// Host and port.
    pub address: String,
}

impl Served {
    pub fn new(more: &str) -> Self {
        let place = Place::new();
        place.train("runs/pictures", 5, "");
        let poem = |i: usize| format!("the moon of night {}\nover the river {}\n\n", i % 5, i % 7);
        std::fs::write(place.path("poems.txt"), (0..60).map(poem).collect::<String>()).unwrap();
        place.ok(&format!("train poems.txt --model lstm --steps 10 {SMALL} --out runs/poems"));
        Self::at(place, more)
    }

    /// What is in `runs` of a place, served.
    pub fn at(place: Place, more: &str) -> Self {
        let port = if more.contains("--port") { "" } else { "--port 0" };
        let mut running = place.start(&format!("serve {port} {more}"));
        let address = running.line().strip_prefix("http://").expect("an address").to_owned();
        running.wait_for("Ctrl-C stops");
        Self { place, running, address }
    }

    /// Status and body.
    pub fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let (host, length) = (&self.address, body.len());
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n");
        stream.write_all(format!("{head}{headers}\r\n{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).expect("a status").parse().unwrap();
        (status, answer.split_once("\r\n\r\n").expect("a head").1.to_owned())
    }

    /// What a client that is run by `command` saw, and that its picture has its label.
    fn client_sees(&self, mut command: Command, script: &str) {
        let script = format!("{}/tests/clients/{script}", env!("CARGO_MANIFEST_DIR"));
        let png = self.place.path("client.png");
        let url = format!("http://{}/v1", self.address);
        let output = command.arg(script).args([&url, "pictures", "poems"]).arg(&png).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{err}");
        let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(seen["models"], serde_json::json!(["pictures", "poems"]));
        assert_eq!((&seen["model"], &seen["pictures"]), (&"pictures".into(), &2.into()));
        let text = seen["text"].as_str().unwrap();
        assert!(!text.is_empty());
        for same in ["streamed", "chat", "chat streamed"] {
            assert_eq!(seen[same], text, "{same}");
        }
        assert!(["stop", "length"].contains(&seen["reason"].as_str().unwrap()));
        assert!(seen["usage"].as_u64().unwrap() > 8);
        assert_eq!(seen["bad n"], serde_json::json!([400, "n", "invalid_request_error"]));
        assert_eq!(seen["bad model"], serde_json::json!([404, "model", "invalid_request_error"]));
        let label = maliang::generate::picture::read_label(&png).unwrap().expect("a label");
        assert_eq!(label.recipe.expect("a recipe").seed, 7);
    }
}

#[test]
fn what_is_served_is_what_generate_makes() {
    let served = Served::new("");
    let models: Value = serde_json::from_str(&served.ask("GET", "/v1/models", "", "").1).unwrap();
    assert_eq!(models["data"].as_array().unwrap().len(), 2);
    let body = r#"{"model": "poems", "prompt": "the moon", "max_tokens": 20, "seed": 4, "echo": true}"#;
    let (status, answer) = served.ask("POST", "/v1/completions", "", body);
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let mut generate = served.place.command("generate runs/poems --max-tokens 20 --seed 4 --format json");
    let printed = generate.args(["--prompt", "the moon"]).output().unwrap();
    let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(answer["choices"][0]["text"], printed["text"]);
    assert_eq!(answer["choices"][0]["label"]["recipe"], printed["recipe"]);
    // A run that is made while the server runs is found.
    served.place.train("runs/new", 5, "");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(served.ask("GET", "/v1/models/new", "", "").0, 200);
}

#[test]
#[cfg(unix)]
fn it_stops_when_asked_to() {
    let served = Served::new("--log json");
    assert_eq!(served.ask("GET", "/readyz", "x-request-id: mine\r\n", "").0, 200);
    let Served { mut running, .. } = served;
    running.wait_for("\"request\":\"mine\"");
    running.signal("TERM");
    let answer = running.end();
    assert_eq!((answer.code, answer.out.as_str()), (Some(0), ""), "{}", answer.err);
    for line in answer.err.lines().filter(|line| line.starts_with('{')) {
        serde_json::from_str::<Value>(line).expect("a line of the log is JSON");
    }
}

#[test]
fn keys_are_made_shown_once_and_asked_for() {
    let place = Place::new();
    place.ok("keys list").says("no keys");
    place.refused(2, "serve --bind 0.0.0.0 --port 0", &["no key", "maliang keys add"]);
    let key = place.ok("keys add shop").out.trim().to_owned();
    assert!(key.starts_with("ml-") && key.len() > 60, "{key}");
    place.ok("keys add wall --scope read");
    place.refused(2, "keys add shop", &["already"]);
    let list = place.ok("keys list").out;
    assert!(list.contains("shop") && list.contains("read, generate") && !list.contains(&key), "{list}");
    std::fs::create_dir(place.path("runs")).unwrap();
    let mut running = place.start("serve --port 0 --log off");
    let address = running.line().strip_prefix("http://").unwrap().to_owned();
    running.wait_for("2 keys");
    let served = Served { place, running, address };
    assert_eq!(served.ask("GET", "/v1/models", "", "").0, 401);
    assert_eq!(served.ask("GET", "/v1/models", &format!("authorization: Bearer {key}\r\n"), "").0, 200);
    served.place.ok("keys remove shop");
    // The server looks once a second.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(served.ask("GET", "/v1/models", &format!("authorization: Bearer {key}\r\n"), "").0, 401);
    served.place.ok("keys remove wall");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(served.ask("GET", "/v1/models", "", "").0, 401, "a door that was locked stays locked");
    served.place.refused(2, "keys remove shop", &["no key"]);
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let place = Place::new();
    for (more, word) in [("--capacity 0", "capacity"), ("--origin example.org", "origin")] {
        let answer = place.run(&format!("serve --port 0 {more}"));
        assert_eq!(answer.code, Some(2), "{more}");
        answer.says(word);
    }
    place.run("serve --port 99999").says("99999");
    std::fs::write(place.path("serve.toml"), "capacity = 3\nprot = 1\n").unwrap();
    place.refused(2, "serve --config serve.toml", &["serve.toml", "prot"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    place.refused(1, &format!("serve --port {port}"), &["cannot listen", "--port"]);
}

/// Does an interpreter know a package?
pub fn knows(mut command: Command, check: &[&str]) -> bool {
    command.args(check).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[test]
fn the_openai_client_for_python_is_served() {
    let python = || Command::new(std::env::var_os("MALIANG_TEST_PYTHON").unwrap_or_else(|| "python3".into()));
    if !knows(python(), &["-c", "import openai"]) {
        let remedy = "run .ci/run, or let MALIANG_TEST_PYTHON name a Python that has it (pip install openai)";
        return skip("the package openai of Python", remedy);
    }
    Served::new("--log off").client_sees(python(), "openai_client.py");
}

#[test]
fn the_openai_client_for_node_is_served() {
    let find =
        "require('module').createRequire((process.env.MALIANG_TEST_NODE_MODULES ?? '.') + '/a.js').resolve('openai')";
    if !knows(Command::new("node"), &["-e", find]) {
        let remedy =
            "run .ci/run, or npm install openai and let MALIANG_TEST_NODE_MODULES name the folder of node_modules";
        return skip("the package openai of Node", remedy);
    }
    Served::new("--log off").client_sees(Command::new("node"), "openai_client.mjs");
}
