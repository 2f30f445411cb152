//! The command line of Maliang: arguments as typed are resolved once, then one file a verb does the work.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 done, or saved and stopped by Ctrl-C; 1 the machine or a file
//! failed, 2 the input cannot be used, 3 training diverged, 4 a recipe's claim was missed, 70 a bug, 130 stopped by Ctrl-C with
//! nothing done.
#![deny(clippy::print_stdout, clippy::print_stderr)] // they end the program where nobody reads; see terminal.rs

#[macro_use]
mod terminal;

mod args;
mod bench;
mod data;
mod demo;
mod doctor;
mod explain;
mod generate;
mod judge;
mod race;
mod recipe;
mod runs;
mod serve;
mod train;
mod units;
mod weights;
mod write;

use args::{Args, DataVerb, Verb};
use clap::Parser;
use maliang::{Error, ErrorKind, Result};
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

fn main() -> ExitCode {
    maliang_kernels::keep_freed_memory();
    let args = Args::parse();
    // A panic is our bug: it becomes one sentence, not a stack trace. The text is kept until the unwinding ends, because
    // panics that the library expects and catches (a decoder on a broken picture) must not be shown.
    static PANIC: Mutex<String> = Mutex::new(String::new());
    std::panic::set_hook(Box::new(|info| {
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string().replace('\n', " ");
    }));
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| run(args))).unwrap_or_else(|_| {
        let panic = PANIC.lock().unwrap_or_else(PoisonError::into_inner);
        Err(Error::new(ErrorKind::Internal, format!("this is a bug in Maliang: {panic}"))
            .hint("please report it with the command that you ran; what was saved before is intact"))
    });
    match outcome {
        Ok(code) => code,
        Err(error) => {
            tell!("{}", terminal::error_text(&error));
            ExitCode::from(match error.kind {
                ErrorKind::Input | ErrorKind::Locked => 2,
                ErrorKind::Io | ErrorKind::Corrupt => 1,
                ErrorKind::Diverged => 3,
                ErrorKind::Internal => 70,
            })
        }
    }
}

fn run(args: Args) -> Result<ExitCode> {
    match args.verb {
        Verb::Demo(demo) => demo::run(&demo)?,
        Verb::Data { verb: DataVerb::Check { source, json } } => {
            if !data::check(&source, json)? {
                return Ok(ExitCode::from(2));
            }
        }
        Verb::Train(train) => train::run(&train)?,
        Verb::Recipe(recipe) => return recipe::run(&recipe),
        Verb::Generate(generate) => generate::run(&generate)?,
        Verb::Write(write) => write::run(&write)?,
        Verb::Explain(explain) => explain::run(&explain)?,
        Verb::Judge(judge) => judge::run(&judge)?,
        Verb::Runs { directory } => runs::list(&directory)?,
        Verb::Show { run, json } => runs::show(&run, json)?,
        Verb::Serve(args) => serve::run(&args)?,
        Verb::Keys { verb } => serve::keys_verb(&verb)?,
        Verb::Weights { verb } => weights::run(&verb)?,
        Verb::Doctor => doctor::run()?,
        Verb::Bench(bench) => bench::run(&bench)?,
    }
    Ok(ExitCode::SUCCESS)
}
