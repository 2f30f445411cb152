//! Faults 22 to 24: many clients, bad ones, and the end. Over real sockets.

use crate::support::{Place, get, post};
use maliang_serve::{Keys, Server, Settings, run};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than anything here may take.
const LONG: Duration = Duration::from_secs(60);

/// A server that listens.
struct Open {
    server: Arc<Server>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

async fn open(place: &Place, change: impl FnOnce(&mut Settings)) -> Open {
    let mut settings = place.settings();
    change(&mut settings);
    let server = Server::new(settings, Keys::default()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let own = Arc::clone(&server);
    let task = tokio::spawn(async move {
        run(listener, &own, async {
            let _ = stopped.await;
        })
        .await;
    });
    Open { server, address, stop: Some(stop), task }
}

impl Open {
    async fn send(&self, path: &str, body: &Value) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let (body, host) = (body.to_string(), self.address);
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        stream
    }

    /// The whole answer, head and body.
    async fn ask(&self, path: &str, body: &Value) -> String {
        rest(&mut self.send(path, body).await).await
    }

    /// Waits until no request is in work.
    async fn idle(&self) {
        let began = Instant::now();
        while self.server.work.running() > 0 {
            assert!(began.elapsed() < LONG, "a request is still in work");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    tokio::time::timeout(LONG, stream.read_to_end(&mut answer)).await.expect("an answer").expect("a whole one");
    String::from_utf8_lossy(&answer).into_owned()
}

/// A stream that would go on for very long: an untrained model's likeliest token is the one it has just read, never the end.
fn endless() -> Value {
    json!({"model": "text", "prompt": "a", "max_tokens": 32768, "n": 8, "temperature": 0, "stream": true})
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_clients_are_served_or_told_to_come_again() {
    let place = Place::new();
    let open = Arc::new(open(&place, |settings| settings.capacity = 8).await);
    let body = json!({"model": "pictures", "n": 2});
    let clients: Vec<_> = (0..500)
        .map(|_| {
            let (open, body) = (Arc::clone(&open), body.clone());
            tokio::spawn(async move { open.ask("/v1/images/generations", &body).await })
        })
        .collect();
    let mut served = 0;
    for client in clients {
        let answer = client.await.unwrap();
        if answer.starts_with("HTTP/1.1 200") {
            served += 1;
        } else {
            assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("retry-after: 1"), "{answer}");
        }
    }
    assert!(served >= 8, "{served} were served");
    // Full for certain: everybody is refused, the health is told all the same, and afterwards all is well.
    let places: Vec<_> = (0..8).map(|_| open.server.work.admit().unwrap()).collect();
    let refused = post(&open.server, "/v1/images/generations", &body).await;
    assert_eq!(refused.problem(429)["code"], "too_many_requests");
    assert_eq!(get(&open.server, "/healthz").await.status, 200);
    drop(places);
    post(&open.server, "/v1/images/generations", &body).await.json();
    let metrics = get(&open.server, "/metrics").await.text();
    assert!(
        metrics.contains(&format!("maliang_pictures_total{{model=\"pictures\"}} {}", 2 * (served + 1))),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_requests_are_computed_together() {
    let place = Place::new();
    let server = place.server();
    let body = json!({"model": "pictures", "seed": 4, "n": 3});
    let alone = post(&server, "/v1/images/generations", &body).await.json();
    let together: Vec<_> = (0..16)
        .map(|_| {
            let (server, body) = (Arc::clone(&server), body.clone());
            tokio::spawn(async move { post(&server, "/v1/images/generations", &body).await.json() })
        })
        .collect();
    for one in together {
        assert_eq!(one.await.unwrap()["data"], alone["data"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_cut_off_and_others_are_served() {
    let place = Place::new();
    let open = open(&place, |settings| settings.patience = 1).await;
    let mut slow = Vec::new();
    for i in 0..200 {
        let mut stream = TcpStream::connect(open.address).await.unwrap();
        // Half of them stop in the head, the others in the body.
        let head = if i % 2 == 0 { "" } else { "content-length: 100\r\n\r\n{" };
        let sent = format!("POST /v1/completions HTTP/1.1\r\nhost: localhost\r\n{head}");
        stream.write_all(sent.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let answer = open.ask("/v1/images/generations", &json!({"model": "pictures"})).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for stream in &mut slow {
        let answer = rest(stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_for_a_client_that_has_left() {
    let place = Place::new();
    let open = open(&place, |_| {}).await;
    for stream in [true, false] {
        let mut body = endless();
        body["stream"] = json!(stream);
        let mut client = open.send("/v1/completions", &body).await;
        if stream {
            client.read_exact(&mut [0; 64]).await.unwrap();
        }
        let began = Instant::now();
        while open.server.work.running() == 0 {
            assert!(began.elapsed() < LONG, "the request never came into work");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(client);
        open.idle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_work_is_finished_before_the_end() {
    let place = Place::new();
    let mut open = open(&place, |_| {}).await;
    let body = json!({"model": "text", "prompt": "a", "max_tokens": 3000, "stream": true, "seed": 1});
    let mut client = open.send("/v1/completions", &body).await;
    client.read_exact(&mut [0; 64]).await.unwrap();
    open.stop.take().unwrap().send(()).unwrap();
    let text = rest(&mut client).await;
    assert!(text.contains("data: [DONE]"), "{text}");
    (&mut open.task).await.unwrap();
    assert!(TcpStream::connect(open.address).await.is_err());
    get(&open.server, "/readyz").await.problem(503);
    post(&open.server, "/v1/completions", &body).await.problem(503);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_does_not_wait_for_ever() {
    let place = Place::new();
    let mut open = open(&place, |settings| settings.drain = 1).await;
    let mut client = open.send("/v1/completions", &endless()).await;
    client.read_exact(&mut [0; 64]).await.unwrap();
    open.stop.take().unwrap().send(()).unwrap();
    tokio::time::timeout(LONG, &mut open.task).await.expect("it ends").unwrap();
}
