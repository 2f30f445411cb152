//! What takes how long: a bar on a terminal, and the seconds of each stage for the report.

use indicatif::{ProgressBar, ProgressStyle};
use std::cell::RefCell;
use std::io::IsTerminal;
use std::time::Instant;

/// What takes how long: a bar on a terminal, and the seconds of each stage for the report.
pub struct Clock {
    bar: Option<ProgressBar>,
    /// What is being done, since when.
    current: RefCell<Option<(String, Instant)>>,
    done: RefCell<Vec<(String, f64)>>,
}

impl Clock {
    pub fn start() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(1);
            if let Ok(style) = ProgressStyle::with_template("{msg:<20} {wide_bar} {pos}/{len}") {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, current: RefCell::default(), done: RefCell::default() }
    }

    pub fn at(&self, what: &str, done: usize, all: usize) {
        let mut current = self.current.borrow_mut();
        if current.as_ref().is_none_or(|(name, _)| name != what)
            && let Some((name, start)) = current.replace((what.into(), Instant::now()))
        {
            self.done.borrow_mut().push((name, start.elapsed().as_secs_f64()));
        }
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_string());
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        }
    }

    pub fn stop(self) -> Vec<(String, f64)> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let mut times = self.done.into_inner();
        times.extend(self.current.into_inner().map(|(name, start)| (name, start.elapsed().as_secs_f64())));
        times
    }
}
