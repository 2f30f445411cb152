//! Models with random weights, and a server in memory.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http_body_util::BodyExt;
use maliang::data::DataConfig;
use maliang::data::text::Tokenizer;
use maliang::device::{self, ComputeDevice};
use maliang::families::ModelConfig;
use maliang::families::blocks::stack::StackConfig;
use maliang::families::dcgan::DcganConfig;
use maliang::families::gan::settings::GanConfig;
use maliang::families::settings::{Tables, TrainConfig};
use maliang::families::text::{GptConfig, TextModel, TextModelConfig};
use maliang::nn;
use maliang::run::config::RunConfig;
use maliang::run::model_file::{self, TextInfo};
use maliang::train::{Precision, Trial};
use maliang_serve::{Keys, Log, Server, Settings, app};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tower::ServiceExt;

/// A directory with the models `pictures` (16×16, grey, classes cat and dog) and `text` (characters).
pub struct Place(tempfile::TempDir);

/// What the server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Place {
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a temporary directory"));
        std::fs::create_dir(place.path("models")).unwrap();
        place.pictures("pictures", 0);
        place.text("text");
        place
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn model(&self, name: &str) -> PathBuf {
        self.path("models").join(format!("{name}.safetensors"))
    }

    /// Writes a model of pictures.
    pub fn pictures(&self, name: &str, seed: u64) {
        let stack = StackConfig { height: 16, width: 16, channels: 1, base: 4 };
        let classes = vec!["cat".to_owned(), "dog".to_owned()];
        let config = RunConfig {
            seed,
            init: None,
            data: DataConfig { width: 16, height: 16, channels: 1, ..Default::default() },
            model: ModelConfig::Dcgan(DcganConfig { z_dim: 6, classes, stack }),
            train: TrainConfig {
                device: ComputeDevice::Cpu,
                batch: 4,
                steps: 1,
                minutes: 0.0,
                lr: 2e-4,
                beta_1: 0.5,
                beta_2: 0.999,
                epsilon: 1e-8,
                weight_decay: 0.0,
                clip_norm: 0.0,
                ema_half_life: 1000.0,
                flip: Some(false),
                precision: Precision::F32,
                look_every: 0,
                patience: 0,
            },
            tables: Tables::of(&GanConfig { augment: Vec::new(), ..Default::default() }),
        };
        Trial::new(&config).unwrap().save_model(&self.model(name)).unwrap();
    }

    /// Writes a model of text.
    pub fn text(&self, name: &str) {
        self.text_of(name, "abcdefgh \n.");
    }

    /// Writes a model of text that knows these characters.
    pub fn text_of(&self, name: &str, characters: &str) {
        let json = json!({"kind": "characters", "format": 1, "characters": characters, "bytes": []});
        let tokenizer = Tokenizer::from_json(&json.to_string()).unwrap();
        let vocabulary = tokenizer.vocabulary();
        let config =
            TextModelConfig::Gpt(GptConfig { vocabulary, context: 16, layers: 1, heads: 1, width: 32, dropout: 0.0 });
        let mut model = TextModel::new(&config);
        nn::initialise(&mut model, 0, &device::cpu());
        let info = TextInfo {
            format: TextInfo::current_format(),
            name: name.to_owned(),
            config,
            step: 0,
            tokens_seen: 0,
            seed: 0,
            data: "none".into(),
            data_documents: 1,
            data_tokens: 1,
            data_bytes: 1,
            data_fingerprint: "none".into(),
            version: maliang::VERSION.into(),
        };
        model_file::save_text(&self.model(name), &model, &tokenizer, &info).unwrap();
    }

    pub fn settings(&self) -> Settings {
        Settings { models: vec![self.path("models")], log: Log::Off, ..Default::default() }
    }

    /// A server without keys.
    pub fn server(&self) -> Arc<Server> {
        Server::new(self.settings(), Keys::default()).unwrap()
    }
}

/// Asks `app` with the method and headers of `request`, from this machine.
pub async fn ask(app: &Router, mut request: Request<Body>) -> Answer {
    let headers = request.headers_mut();
    if !headers.contains_key("host") {
        headers.insert("host", "localhost".parse().unwrap());
    }
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

pub async fn get(server: &Arc<Server>, path: &str) -> Answer {
    ask(&app(server), Request::get(path).body(Body::empty()).unwrap()).await
}

pub async fn post(server: &Arc<Server>, path: &str, body: &Value) -> Answer {
    post_bytes(server, path, body.to_string()).await
}

pub async fn post_bytes(server: &Arc<Server>, path: &str, body: impl Into<Body>) -> Answer {
    ask(&app(server), Request::post(path).header("content-type", "application/json").body(body.into()).unwrap()).await
}

impl Answer {
    /// The body of a success.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// An error as clients expect it; the field at fault.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        let error = body["error"].as_object().unwrap();
        let mut keys: Vec<_> = error.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["code", "message", "param", "type"]);
        assert!(self.headers.contains_key("x-request-id"));
        let message = error["message"].as_str().unwrap();
        assert!(!message.contains('/') || message.contains("/v1") || message.contains("/openapi"), "{message}");
        Value::Object(error.clone())
    }

    /// What the events of a stream say; the last one must be the end.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.text());
        let text = self.text();
        let mut data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(data.pop(), Some("[DONE]"), "{text}");
        data.into_iter().map(|data| serde_json::from_str(data).unwrap()).collect()
    }
}

/// The file of a picture in an answer.
pub fn png(image: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(image["b64_json"].as_str().unwrap()).unwrap()
}

/// The pixels of a PNG file.
pub fn pixels(file: &[u8]) -> Vec<u8> {
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    pixels
}
