//! A directory to run the program in, and what it answers.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// Settings that make a step take a millisecond and save every five steps.
pub const TINY: &str = "--size 16 --set model.stack.base=4 --set train.batch=8 --set train.look_every=5";
/// The same but for the size.
pub const NARROW: &str = "--set model.stack.base=4 --set train.batch=8 --set train.look_every=5";

/// A directory of its own: working directory, cache and pictures of one test.
pub struct Place(tempfile::TempDir);

/// What the program answered.
#[derive(Debug)]
pub struct Answer {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    /// The program, with arguments separated by blanks.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maliang"));
        command.args(arguments.split_whitespace()).current_dir(self.0.path());
        command
            .env("MALIANG_CACHE", self.path("cache"))
            .env("MALIANG_DATA", self.path("data"))
            .env_remove("MALIANG_PRODUCER")
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &str) -> Answer {
        Answer::of(&mut self.command(arguments))
    }

    /// Runs what must succeed.
    #[track_caller]
    pub fn ok(&self, arguments: &str) -> Answer {
        let answer = self.run(arguments);
        assert_eq!(answer.code, Some(0), "maliang {arguments}\n{}", answer.err);
        answer
    }

    /// Runs what must be refused with `code`, in one clear sentence that holds all of `words`.
    #[track_caller]
    pub fn refused(&self, code: i32, arguments: &str, words: &[&str]) -> Answer {
        let answer = self.run(arguments);
        answer.refused(code, words, arguments);
        answer
    }

    /// Trains a tiny network on built-in pictures to the end, in the directory `out`.
    #[track_caller]
    pub fn train(&self, out: &str, steps: u64, more: &str) -> Answer {
        self.ok(&format!("train emoji:food {TINY} --steps {steps} --out {out} {more}"))
    }

    /// Trains the run `twin` in one go, with the settings of `run` but to another step.
    #[track_caller]
    pub fn twin(&self, run: &str, steps: u64, more: &str) {
        self.ok(&format!("train --config {run}/run.toml --steps {steps} --out twin {more}"));
    }

    /// Starts the program and lets it run.
    pub fn start(&self, arguments: &str) -> Running {
        let mut command = self.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let err = BufReader::new(child.stderr.take().expect("stderr is piped"));
        Running { child, err, heard: String::new() }
    }

    /// Writes `count` pictures, each different, into `folder`.
    pub fn pictures(&self, folder: &str, count: usize, color: png::ColorType) {
        std::fs::create_dir_all(self.path(folder)).unwrap();
        for i in 0..count {
            let seed = folder.bytes().map(usize::from).sum::<usize>() + 1000 * i;
            write_picture(&self.path(folder).join(format!("{i:03}.png")), seed, color);
        }
    }

    /// The bytes of the file `name`.
    #[track_caller]
    pub fn bytes(&self, name: impl AsRef<Path>) -> Vec<u8> {
        let path = self.path(name);
        std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// The checkpoint that `last` or `best` of a run points at, relative to this place.
    #[track_caller]
    pub fn pointed(&self, run: &str, pointer: &str) -> PathBuf {
        let step = String::from_utf8(self.bytes(Path::new(run).join(pointer))).unwrap();
        Path::new(run).join("checkpoints").join(step.trim())
    }

    /// Model and training state of the newest checkpoint of a run.
    #[track_caller]
    pub fn weights(&self, run: &str) -> [Vec<u8>; 2] {
        let last = self.pointed(run, "last");
        ["model.safetensors", "state.safetensors"].map(|name| self.bytes(last.join(name)))
    }

    /// All files of a directory with their bytes.
    pub fn files(&self, directory: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut left = vec![self.path(directory)];
        while let Some(directory) = left.pop() {
            for entry in std::fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    left.push(path);
                } else {
                    found.insert(path.clone(), std::fs::read(&path).unwrap());
                }
            }
        }
        found
    }

    /// A finished or stopped run leaves nothing half-written behind.
    #[track_caller]
    pub fn no_leftovers(&self, run: &str) {
        let mut left = vec![self.path(run)];
        while let Some(directory) = left.pop() {
            for entry in std::fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                assert!(!name.starts_with('.'), "left behind: {}", path.display());
                if path.is_dir() {
                    left.push(path);
                }
            }
        }
    }

    /// The events of a run's log.
    pub fn metrics(&self, run: &str) -> Vec<serde_json::Value> {
        let text = String::from_utf8(self.bytes(Path::new(run).join("metrics.jsonl"))).unwrap();
        text.lines().map(|line| serde_json::from_str(line).expect("a line of the log is JSON")).collect()
    }
}

impl Answer {
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the program starts");
        let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// One `error:` line, at most one `try:` line after it, nothing of a panic, nothing on stdout.
    #[track_caller]
    pub fn refused(&self, code: i32, words: &[&str], what: &str) {
        let Self { out, err, .. } = self;
        assert_eq!(self.code, Some(code), "{what}\n{err}");
        assert_eq!(out, "", "{what}: stdout is for results");
        let lines: Vec<&str> = err.lines().collect();
        let at = lines.iter().position(|line| line.starts_with("error: ")).expect("an error line");
        let after = &lines[at + 1..];
        assert!(after.is_empty() || after.len() == 1 && after[0].starts_with("  try: "), "{what}\n{err}");
        for bad in ["panicked", "bug in Maliang", "RUST_BACKTRACE", "src/"] {
            assert!(!err.contains(bad), "{what}\n{err}");
        }
        let said = lines[at..].join(" ");
        for word in words {
            assert!(said.contains(word), "{what}: \"{word}\" is not in\n{err}");
        }
    }

    #[track_caller]
    pub fn says(&self, word: &str) -> &Self {
        assert!(self.err.contains(word), "\"{word}\" is not in\n{}", self.err);
        self
    }
}

/// The program at work; killed when dropped.
pub struct Running {
    child: Child,
    err: BufReader<std::process::ChildStderr>,
    heard: String,
}

impl Running {
    /// Reads stderr until a line contains `word`.
    #[track_caller]
    pub fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        let start = std::time::Instant::now();
        while !line.contains(word) {
            // Not a speed test: a bound, so that a reworded message fails instead of waiting for ever.
            assert!(start.elapsed().as_secs() < 120, "it never said \"{word}\":\n{}", self.heard);
            line.clear();
            let read = self.err.read_line(&mut line).expect("stderr is UTF-8");
            assert!(read > 0, "it ended without saying \"{word}\":\n{}", self.heard);
            self.heard += &line;
        }
    }

    /// The next line of stdout.
    #[track_caller]
    #[expect(clippy::unbuffered_bytes, reason = "what comes after the line is for whoever asks next")]
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        for byte in self.child.stdout.as_mut().expect("stdout is piped").bytes() {
            match byte.expect("stdout can be read") {
                b'\n' => break,
                byte => line.push(byte),
            }
        }
        String::from_utf8(line).expect("stdout is UTF-8")
    }

    /// Sends a signal by name.
    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().expect("kill is there");
        assert!(status.success(), "the program is still running");
    }

    /// What a terminal does that is closed: nobody reads any more, and SIGHUP comes. Returns the exit code.
    #[cfg(unix)]
    pub fn hang_up(mut self) -> Option<i32> {
        drop(self.child.stdout.take());
        let nobody =
            BufReader::new(Command::new("true").stderr(Stdio::piped()).spawn().unwrap().stderr.take().unwrap());
        drop(std::mem::replace(&mut self.err, nobody));
        self.signal("HUP");
        self.child.wait().expect("it can be waited for").code()
    }

    /// SIGKILL: it gets no chance to clean up. Says whether it was still running.
    pub fn kill(mut self) -> bool {
        let was_running = self.child.try_wait().expect("it can be waited for").is_none();
        self.child.kill().expect("it can be killed");
        let status = self.child.wait().expect("it can be waited for");
        was_running && killed(status)
    }

    /// Waits for the end.
    pub fn end(mut self) -> Answer {
        let mut out = String::new();
        self.child.stdout.take().expect("stdout is piped").read_to_string(&mut out).expect("stdout is UTF-8");
        self.err.read_to_string(&mut self.heard).expect("stderr is UTF-8");
        let status = self.child.wait().expect("it can be waited for");
        Answer { code: status.code(), out, err: std::mem::take(&mut self.heard) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended, or its test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn killed(status: ExitStatus) -> bool {
    status.code().is_none() || cfg!(not(unix))
}

/// A colourful or grey 24×20 picture that differs for every `seed`.
fn write_picture(path: &Path, seed: usize, color: png::ColorType) {
    let (width, height, channels) = (24usize, 20usize, color.samples());
    let level = |i: usize| {
        let (x, y, c) = (i / channels % width, i / channels / width, i % channels);
        let wave = (x as f64 * 0.3 + (seed * (c + 1)) as f64 * 1.7).sin() + (y as f64 * 0.2 + seed as f64).cos();
        (wave * 60.0 + 127.0) as u8
    };
    let pixels: Vec<u8> = (0..width * height * channels).map(level).collect();
    let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), width as u32, height as u32);
    encoder.set_color(color);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
}

/// Changes one bit in the middle of a file.
pub fn flip_bit(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// Copies a directory with all it holds.
pub fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_directory(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}
