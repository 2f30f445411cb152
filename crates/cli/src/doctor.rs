//! `maliang doctor`: is this machine fit, and where does Maliang keep things?

use crate::terminal::{cache_dir, data_dir, peak_memory, print, weights_store};
use crate::units::bytes;
use maliang::data::{self, Dataset, Source};
use maliang::pretrained::Installed;
use maliang::run::dir::RunDir;
use maliang::train::observer::{Event, Observer};
use maliang::train::run::Run;
use maliang::train::{self, Request, set};
use maliang::{Error, ErrorKind, Result};
use std::time::Instant;
use sysinfo::System;
use toml::{Table, Value};

/// Prints what was found; an error when the self-test fails.
pub fn run() -> Result<()> {
    let row = |name: &str, value: String| print(format!("{name:<12} {value}"));
    let mut system =
        System::new().map_err(|e| Error::new(ErrorKind::Io, format!("cannot ask the system about itself: {e}")))?;
    system.refresh_memory();
    system.refresh_cpu_all();
    let brand = system.cpus().first().map_or(String::new(), |cpu| cpu.brand().trim().to_string());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    row("version", format!("Maliang {}", maliang::VERSION))?;
    row("system", format!("{} {}", System::long_os_version().unwrap_or_default(), System::cpu_arch()))?;
    row("processor", format!("{brand}, {threads} threads"))?;
    row("vectors", vector_instructions())?;
    row("memory", format!("{} free of {}", bytes(system.available_memory()), bytes(system.total_memory())))?;
    let cache = cache_dir();
    let used = directory_size(&cache);
    row("cache", format!("{} ({}; safe to delete, MALIANG_CACHE moves it)", cache.display(), bytes(used)))?;
    row("data", format!("{} (MALIANG_DATA moves it)", data_dir().display()))?;
    let mark = |published: bool| if published { "" } else { ", unverified" };
    let entry = |w: &Installed| format!("{} ({}{})", w.name, bytes(w.bytes), mark(w.published));
    let installed: Vec<_> = weights_store().list().iter().map(entry).collect();
    let none = "none; `maliang weights get efficientnet-lite0` installs a feature network for scores and training";
    row("weights", if installed.is_empty() { none.into() } else { installed.join(", ") })?;
    let start = Instant::now();
    self_test()?;
    let memory = peak_memory().map_or(String::new(), |m| format!(", {} of memory", bytes(m)));
    row(
        "self-test",
        format!("trained, saved and read back a tiny model in {:.1} s{memory}", start.elapsed().as_secs_f64()),
    )
}

struct Silent(Instant);

impl Observer for Silent {
    fn event(&mut self, _: &Event) {}

    fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// Trains two steps on built-in pictures in a temporary directory and opens the model.
fn self_test() -> Result<()> {
    let source = "emoji:food";
    let scan = data::scan(&Source::parse(source)?)?;
    let checked = data::check(&scan, &|_, _| ())?;
    let mut settings = Table::new();
    set(&mut settings, "train.steps", Value::Integer(2));
    set(&mut settings, "model.stack.base", Value::Integer(8));
    let request = Request {
        source: source.into(),
        family: Some("dcgan".into()),
        size: Some((16, 16)),
        settings,
        features: false,
    };
    let choice = train::choose(&request, &checked)?;
    let directory = tempfile::tempdir().map_err(|e| Error::io("create", std::env::temp_dir(), &e))?;
    let dataset = Dataset::open(&choice.config.data, &scan, directory.path(), &|_, _| ())?;
    let dir = RunDir::new(directory.path().join("run"));
    Run::create(dir.clone(), choice.config, dataset.into())?.train(&mut Silent(Instant::now()))?;
    let (sampler, warnings) = maliang::generate::sampler::Sampler::open(dir.root())?;
    let pictures = sampler.pictures(&[sampler.latent(0, 0, 1.0)], &[0]);
    if warnings.is_empty() && pictures.len() == 1 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Internal, "the self-test could not read back what it saved"))
}

fn vector_instructions() -> String {
    #[cfg(target_arch = "x86_64")]
    {
        let found = [
            ("AVX2", std::arch::is_x86_feature_detected!("avx2")),
            ("FMA", std::arch::is_x86_feature_detected!("fma")),
            ("AVX-512", std::arch::is_x86_feature_detected!("avx512f")),
            ("AVX-512 bf16", std::arch::is_x86_feature_detected!("avx512bf16")),
        ];
        let names: Vec<_> = found.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
        if names.is_empty() { "none beyond SSE2: training will be slow".into() } else { names.join(", ") }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        "those of the architecture".into()
    }
}

fn directory_size(path: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).filter(|m| m.is_file()).map(|m| m.len()).sum()
}
