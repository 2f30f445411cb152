//! What people see while things run: the progress line and errors; and where things are kept.

use crate::bench::machine::Machine;
use crate::units::{bytes, duration};
use indicatif::{ProgressBar, ProgressStyle};
use maliang::makes::Makes;
use maliang::pretrained::Store;
use maliang::train::observer::{Event, Observer};
use maliang::{Error, ErrorKind, Result};
use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The exit code where Ctrl-C left nothing done, as shells have it.
pub const INTERRUPTED: u8 = 130;
/// So many steps of 32 photographs at 64×64 it took in trials until things in them could be recognised (docs/lab).
const RECOGNISABLE: u64 = 8000;
/// The trainer of a server that fell over has left its run after this time.
const LEAVING: Duration = Duration::from_secs(60);
/// Set by the first Ctrl-C or SIGTERM.
static STOP: AtomicBool = AtomicBool::new(false);
/// A piece of text is being written in a dialogue.
static WRITING: AtomicBool = AtomicBool::new(false);
/// Nobody reads stderr any more.
static GONE: AtomicBool = AtomicBool::new(false);
/// There is training that may save and stop.
static TRAINING: AtomicBool = AtomicBool::new(false);

/// Writes a line to stderr. Where nobody reads it any more (`2>&1 | head`, a closed terminal) or the disk is full, the work goes
/// on without it.
macro_rules! tell {
    ($($words:tt)*) => { $crate::terminal::to_stderr(format_args!($($words)*)) };
}

/// What [`tell!`] does.
pub fn to_stderr(line: std::fmt::Arguments<'_>) {
    write_line(&line.to_string());
}

/// Writes a line to stderr. Says whether anybody may have read it.
fn write_line(line: &str) -> bool {
    writeln!(std::io::stderr().lock(), "{}", harmless(line)).is_ok()
}

/// `text` without what a terminal takes for commands: names come from files of others, and may hold any character.
fn harmless(text: &str) -> Cow<'_, str> {
    let odd = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(odd) {
        return text.into();
    }
    text.chars().map(|c| if odd(c) { c.escape_default().to_string() } else { c.into() }).collect::<String>().into()
}

/// Asks for a line in a dialogue.
pub fn prompt() {
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "> ").and_then(|()| err.flush());
}

/// From now on the first Ctrl-C (or SIGTERM, or the end of the terminal) asks training to save and stop, the second ends the
/// process at once. Before and after training there is nothing to save: the first one ends the process.
pub fn catch_interrupts() -> Result<()> {
    ctrlc::set_handler(|| {
        if !TRAINING.load(Ordering::SeqCst) {
            tell!("\nstopped");
            std::process::exit(i32::from(INTERRUPTED));
        }
        // A server, or a user who stops a server, may ask more than once; the server kills what does not end.
        if STOP.swap(true, Ordering::SeqCst) && SERVER.is_none() && !GONE.load(Ordering::SeqCst) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        // A terminal that is closed may say so twice, and nobody is there who could mean the second time.
        let heard = write_line("\nsaving and stopping; a second Ctrl-C stops at once without saving");
        GONE.store(!heard, Ordering::SeqCst);
    })
    .map_err(|e| Error::new(ErrorKind::Internal, format!("cannot listen for Ctrl-C: {e}")))
}

/// From now on Ctrl-C ends the piece that is being written, see [`while_writing`], and where none is, the program.
pub fn catch_interrupts_of_pieces() -> Result<()> {
    ctrlc::set_handler(|| {
        if !WRITING.load(Ordering::SeqCst) || STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(INTERRUPTED));
        }
    })
    .map_err(|e| Error::new(ErrorKind::Internal, format!("cannot listen for Ctrl-C: {e}")))
}

/// Does `work`, during which Ctrl-C only asks it to stop: it looks at [`interrupted`].
pub fn while_writing<T>(work: impl FnOnce() -> T) -> T {
    STOP.store(false, Ordering::SeqCst);
    WRITING.store(true, Ordering::SeqCst);
    let done = work();
    WRITING.store(false, Ordering::SeqCst);
    done
}

/// The process of the server that started this training, if one did.
static SERVER: LazyLock<Option<u32>> =
    LazyLock::new(|| std::env::var("MALIANG_PARENT").ok().and_then(|id| id.parse().ok()));

/// Has the server that started this training ended? What one that fell over left behind saves and ends; it would be started again.
fn orphaned() -> bool {
    #[cfg(unix)]
    return SERVER.is_some_and(|server| std::os::unix::process::parent_id() != server);
    #[cfg(not(unix))]
    false
}

/// Does `work`. For a server it is tried again while another process holds the run: that is the trainer of a server that fell over,
/// which saves and ends.
pub fn once_free<T>(work: impl Fn() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    loop {
        match work() {
            Err(error) if error.kind == ErrorKind::Locked && SERVER.is_some() && began.elapsed() < LEAVING => {
                if interrupted() || orphaned() {
                    return Err(error);
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            done => return done,
        }
    }
}

/// Has anybody asked to stop?
pub fn interrupted() -> bool {
    STOP.load(Ordering::SeqCst)
}

/// Writes one line to stdout. A reader that has had enough (`| head`) is not an error, nor is a terminal that was closed.
pub fn print(line: impl AsRef<str>) -> Result<()> {
    stream(&format!("{}\n", line.as_ref())).map(|_| ())
}

/// Writes text to stdout at once, as it is made. Returns whether anybody still reads.
pub fn stream(text: &str) -> Result<bool> {
    let mut out = std::io::stdout().lock();
    match out.write_all(harmless(text).as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if nobody_reads(&e) => Ok(false),
        Err(e) => Err(Error::io("write to", "standard output", &e)),
    }
}

/// Did writing to stdout fail because its reader is gone? A terminal that was closed answers with an error of the device.
fn nobody_reads(error: &std::io::Error) -> bool {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        use std::os::unix::fs::FileTypeExt;
        const EIO: i32 = 5;
        let copy = || std::io::stdout().as_fd().try_clone_to_owned();
        let is_device = || std::fs::File::from(copy()?).metadata().map(|of| of.file_type().is_char_device());
        if error.raw_os_error() == Some(EIO) && is_device().unwrap_or(false) {
            return true;
        }
    }
    error.kind() == std::io::ErrorKind::BrokenPipe
}

/// `text` in lines of at most 80 columns, all but the first indented; `first` columns of the first are taken already.
pub fn wrap(text: &str, first: usize, indent: usize) -> String {
    let mut out = String::new();
    let mut column = first;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if column > indent && column + 1 + width > 80 {
            out += &format!("\n{:indent$}", "");
            column = indent;
        } else if !out.is_empty() {
            out.push(' ');
            column += 1;
        }
        out += word;
        column += width;
    }
    out
}

/// An error as the user reads it.
pub fn error_text(error: &Error) -> String {
    let hint = error.hint.as_ref().map_or(String::new(), |hint| format!("\n  try: {hint}"));
    format!("error: {error}{hint}")
}

/// Where prepared pictures are kept between runs.
pub fn cache_dir() -> PathBuf {
    from_environment("MALIANG_CACHE")
        .or_else(|| from_environment("XDG_CACHE_HOME").map(|d| d.join("maliang")))
        .or_else(|| from_environment("LOCALAPPDATA").map(|d| d.join("maliang").join("cache")))
        .or_else(|| std::env::home_dir().map(|d| d.join(".cache").join("maliang")))
        .unwrap_or_else(|| std::env::temp_dir().join("maliang-cache"))
}

/// Where what the user has installed is kept.
pub fn data_dir() -> PathBuf {
    from_environment("MALIANG_DATA")
        .or_else(|| from_environment("XDG_DATA_HOME").map(|d| d.join("maliang")))
        .or_else(|| from_environment("LOCALAPPDATA").map(|d| d.join("maliang").join("data")))
        .or_else(|| std::env::home_dir().map(|d| d.join(".local").join("share").join("maliang")))
        .unwrap_or_else(|| std::env::temp_dir().join("maliang-data"))
}

/// The weights of other people's networks that the user has installed.
pub fn weights_store() -> Store {
    Store::new(data_dir().join("weights"))
}

fn from_environment(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

/// The first of `parent/name-1`, `parent/name-2`, … that does not exist.
pub fn free_directory(parent: &Path, name: &str) -> PathBuf {
    let path = |i: u32| parent.join(format!("{name}-{i}"));
    (1..).map(path).find(|p| !p.exists()).expect("some number is free")
}

/// Highest resident memory of this process in bytes, where the system tells.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// Shows training on stderr: a bar on a terminal, a line a look elsewhere.
pub struct Progress {
    makes: Makes,
    /// There was training before this session.
    begun: bool,
    start: Instant,
    bar: Option<ProgressBar>,
    latest: String,
}

impl Progress {
    /// The clock starts now; until this is dropped, Ctrl-C saves.
    pub fn new(makes: Makes) -> Self {
        TRAINING.store(true, Ordering::SeqCst);
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(1000);
            if let Ok(style) = ProgressStyle::with_template("{bar:20.cyan/blue} {percent:>3}% {wide_msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { makes, begun: false, start: Instant::now(), bar, latest: String::new() }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(harmless(line)),
            None => tell!("{line}"),
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
        TRAINING.store(false, Ordering::SeqCst);
    }
}

impl Observer for Progress {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Resumed { step } => {
                self.begun = *step > 0;
                self.say(&format!("going on from step {step}"));
            }
            Event::Estimate { seconds_per_step, steps, seconds, memory, look_every } => {
                let memory = memory.map_or(String::new(), |m| format!(", {} of memory", bytes(m)));
                self.say(&format!(
                    "about {steps} steps of {:.0} ms: {}{memory}; a look every {look_every} steps",
                    seconds_per_step * 1e3,
                    duration(*seconds)
                ));
                if self.makes == Makes::Pictures && !self.begun && *steps < RECOGNISABLE / 2 {
                    let what = if *steps < RECOGNISABLE / 8 { "colours and textures" } else { "rough shapes" };
                    let words = format!(
                        "expect {what}: photographs took about {RECOGNISABLE} steps before things in them could be recognised, \
                         simple drawings fewer; more --minutes or a smaller --size give more steps"
                    );
                    self.say(&wrap(&words, 0, 2));
                }
            }
            Event::Step { step, rate, unit, progress, eta, losses } => {
                let losses: Vec<_> = losses.iter().map(|(name, value)| format!("{name} {value:.2}")).collect();
                self.latest = format!("step {step} · {rate:.0} {}/s · {}", unit.name(), losses.join(" "));
                if let Some(bar) = &self.bar {
                    bar.set_position((progress.min(1.0) * 1000.0) as u64);
                    // First what people look for: on a narrow terminal the end is cut off.
                    bar.set_message(format!("{} left · {}", duration(*eta), self.latest));
                }
            }
            Event::Look { step, sample, scores, best, alike } => {
                let mark = match (best, alike) {
                    (true, false) => "  best so far",
                    (true, true) => "  as good as the best",
                    (false, _) => "",
                };
                let score = scores.first().map_or(String::new(), |(name, value)| format!("{name} {value:.3}"));
                let rate = if self.bar.is_none() && *step > 0 { format!("  ({})", self.latest) } else { String::new() };
                self.say(&format!("step {step:>6}  {score}{mark}{rate}"));
                if *step == 0 {
                    let directory = sample.parent().unwrap_or(sample);
                    let what = if sample.extension().is_some_and(|e| e == "txt") { "texts" } else { "grids" };
                    self.say(&format!("{what}: {}", directory.display()));
                }
            }
            Event::Note(text) => self.say(&format!("note: {text}")),
        }
    }

    fn stop(&self) -> bool {
        interrupted() || orphaned()
    }

    fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    fn memory(&self) -> Option<u64> {
        peak_memory()
    }

    fn machine(&self) -> Option<String> {
        Some(Machine::here().line())
    }
}
