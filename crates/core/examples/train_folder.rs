//! Trains a small VAE on a folder of pictures for a few hundred steps; grids and the model land in a run directory.
//!
//! `cargo run --release -p maliang --example train_folder -- PHOTOS/ runs/example`

use maliang::data::{Dataset, Source, check, scan};
use maliang::run::dir::RunDir;
use maliang::train::observer::{Event, Observer};
use maliang::train::run::Run;
use maliang::train::{Request, choose, set};
use std::time::Instant;

struct Printer(Instant);

impl Observer for Printer {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Step { step, rate, losses, .. } if step % 25 == 0 => {
                println!("step {step:4}  {rate:6.1} pictures/s  {losses:.1?}");
            }
            Event::Look { step, sample, scores, .. } => println!("look at {step}: {scores:.3?}  {}", sample.display()),
            _ => {}
        }
    }

    fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

fn main() -> maliang::Result<()> {
    let mut args = std::env::args().skip(1);
    let source = args.next().unwrap_or_else(|| "emoji:animals".into());
    let out = args.next().unwrap_or_else(|| "runs/example".into());
    let pictures = scan(&Source::parse(&source)?)?;
    let report = check(&pictures, &|_, _| ())?;
    let mut request = Request { source, family: Some("vae".into()), size: Some((64, 64)), ..Request::default() };
    set(&mut request.settings, "train.steps", 300.into());
    let config = choose(&request, &report)?.config;
    let data = Dataset::open(&config.data, &pictures, &std::env::temp_dir().join("maliang-cache"), &|_, _| ())?;
    let outcome = Run::create(RunDir::new(&out), config, data.into())?.train(&mut Printer(Instant::now()))?;
    println!("{} steps in {:.0} s: {out}", outcome.step, outcome.seconds);
    Ok(())
}
