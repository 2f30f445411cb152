//! Many clients at once: what is served, what is refused, how long the health takes to tell, what memory does.
//!
//! ```sh
//! cargo run --release -p maliang-serve --example load -- 60
//! ```
//!
//! A DCGAN-64 of random weights (its speed is that of a trained one) is first asked in this process, then over sockets by 64 clients
//! that each want 8 pictures as labelled PNG in base64, of a server that admits 8 requests. A client that is refused comes
//! again when it is told to. The argument are the seconds of either part.

use maliang::device::ComputeDevice;
use maliang::families::ModelConfig;
use maliang::families::blocks::stack::StackConfig;
use maliang::families::dcgan::DcganConfig;
use maliang::families::gan::settings::GanConfig;
use maliang::families::settings::{Tables, TrainConfig};
use maliang::generate::latent::SEEDED;
use maliang::generate::picture::encode_png;
use maliang::generate::sampler::Sampler;
use maliang::provenance::label::Label;
use maliang::run::config::RunConfig;
use maliang::train::{Precision, Trial};
use maliang_serve::{Keys, Log, Server, Settings, run};
use rayon::prelude::*;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const CLIENTS: usize = 64;
const CAPACITY: usize = 8;
const PICTURES: usize = 8;

/// What became of requests.
#[derive(Default)]
struct Counts {
    served: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    over: AtomicBool,
}

fn main() {
    let seconds: f64 = std::env::args().nth(1).map_or(10.0, |s| s.parse().expect("seconds are a number"));
    let time = Duration::from_secs_f64(seconds);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("dcgan-64.safetensors");
    Trial::new(&config()).and_then(|mut trial| trial.save_model(&path)).expect("a model");
    let alone = in_process(&path, time);
    println!("in process      {alone:8.0} pictures/s, encoded and labelled");

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let settings =
        Settings { models: vec![directory.path().into()], capacity: CAPACITY, log: Log::Off, ..Default::default() };
    let server = Server::new(settings, Keys::default()).expect("a server");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let own = Arc::clone(&server);
        tokio::spawn(async move { run(listener, &own, std::future::pending()).await });
        under_load(address, time, alone).await;
    });
    runtime.shutdown_timeout(Duration::from_millis(100));
}

/// Pictures a second that one thread asks the library for.
fn in_process(path: &Path, time: Duration) -> f64 {
    let (sampler, _) = Sampler::open(path).expect("the model");
    let label = Label::default();
    let batch = |seed: u64| {
        let latents: Vec<_> = (0..64).map(|i| sampler.latent(seed, i, 1.0)).collect();
        let pictures = sampler.pictures(&latents, &[0; 64]);
        let encode = |(i, picture)| encode_png(picture, &sampler.provenance(&label, seed, i as u64, None, 1.0, SEEDED));
        pictures.par_iter().enumerate().map(encode).filter(Result::is_ok).count()
    };
    batch(0);
    let (began, mut made) = (Instant::now(), 0);
    while began.elapsed() < time {
        made += batch(made as u64);
    }
    made as f64 / began.elapsed().as_secs_f64()
}

async fn under_load(address: SocketAddr, time: Duration, alone: f64) {
    let counts = Arc::new(Counts::default());
    ask(&mut connect(address).await, address).await.expect("the first answer");
    let before = memory();
    let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(client(address, Arc::clone(&counts)))).collect();
    let began = Instant::now();
    let (mut health, mut peak) = (Vec::new(), before);
    while began.elapsed() < time {
        let asked = Instant::now();
        let mut stream = connect(address).await;
        let head = format!("GET /healthz HTTP/1.1\r\nhost: {address}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("a request");
        assert_eq!(answer(&mut stream).await.expect("an answer").0, 200);
        health.push(asked.elapsed());
        peak = peak.max(memory());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let served = counts.served.load(Relaxed);
    let rate = (served as usize * PICTURES) as f64 / began.elapsed().as_secs_f64();
    counts.over.store(true, Relaxed);
    for client in clients {
        client.await.expect("a client");
    }
    health.sort();
    let percentile = |p: usize| health[(health.len() - 1) * p / 100].as_secs_f64() * 1e3;
    let (refused, failed) = (counts.refused.load(Relaxed), counts.failed.load(Relaxed));
    println!("served          {rate:8.0} pictures/s, {:.2} of that", rate / alone);
    println!("requests        {served} served, {refused} refused with 429, {failed} failed");
    println!(
        "/healthz        {:.1} ms median, {:.1} ms 99th percentile, of {}",
        percentile(50),
        percentile(99),
        health.len()
    );
    println!("memory          {} MB before, {} MB at most, {} MB after", before >> 20, peak >> 20, memory() >> 20);
}

/// Asks again and again; one that is refused waits as long as it is told to.
async fn client(address: SocketAddr, counts: Arc<Counts>) {
    let mut stream = connect(address).await;
    while !counts.over.load(Relaxed) {
        match ask(&mut stream, address).await {
            Ok((200, _)) => {
                counts.served.fetch_add(1, Relaxed);
            }
            Ok((429, retry_after)) => {
                counts.refused.fetch_add(1, Relaxed);
                tokio::time::sleep(Duration::from_secs(retry_after)).await;
            }
            _ => {
                counts.failed.fetch_add(1, Relaxed);
                stream = connect(address).await;
            }
        }
    }
}

async fn connect(address: SocketAddr) -> BufReader<TcpStream> {
    BufReader::with_capacity(1 << 16, TcpStream::connect(address).await.expect("a connection"))
}

async fn ask(stream: &mut BufReader<TcpStream>, address: SocketAddr) -> std::io::Result<(u16, u64)> {
    let body = format!("{{\"model\": \"dcgan-64\", \"n\": {PICTURES}}}");
    let length = body.len();
    let head = format!("POST /v1/images/generations HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    answer(stream).await
}

/// Status and Retry-After of an answer, read to its end.
async fn answer(stream: &mut BufReader<TcpStream>) -> std::io::Result<(u16, u64)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).and_then(|v| v.trim().parse().ok());
    let length: u64 = field("content-length:").unwrap_or(0);
    tokio::io::copy(&mut (&mut *stream).take(length), &mut tokio::io::sink()).await?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok((status, field("retry-after:").unwrap_or(0)))
}

/// Bytes of memory of this process, clients included.
fn memory() -> u64 {
    let own = sysinfo::get_current_pid().expect("a process");
    let mut system = sysinfo::System::new().expect("a system");
    system.refresh_processes(sysinfo::ProcessesToUpdate::Some(&[own]), false);
    system.process(own).map_or(0, sysinfo::Process::memory)
}

fn config() -> RunConfig {
    let stack = StackConfig { height: 64, width: 64, channels: 3, base: 64 };
    let train = TrainConfig {
        device: ComputeDevice::Cpu,
        batch: 8,
        steps: 1,
        minutes: 0.0,
        lr: 2e-4,
        beta_1: 0.5,
        beta_2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.0,
        clip_norm: 0.0,
        ema_half_life: 1000.0,
        flip: Some(true),
        precision: Precision::F32,
        look_every: 0,
        patience: 0,
    };
    RunConfig {
        seed: 0,
        init: None,
        data: maliang::data::DataConfig { width: 64, height: 64, channels: 3, ..Default::default() },
        model: ModelConfig::Dcgan(DcganConfig { z_dim: 100, classes: Vec::new(), stack }),
        train,
        tables: Tables::of(&GanConfig { augment: Vec::new(), ..Default::default() }),
    }
}
