//! `maliang train` on text.

use super::begin::{place, reasons, to_its_end};
use crate::args::TrainArgs;
use crate::terminal::{self, cache_dir, print};
use crate::units::{bytes, counted};
use maliang::data::display_name;
use maliang::data::text::{self, Corpus};
use maliang::families::names;
use maliang::families::settings::{TrainConfig, named};
use maliang::makes::Makes;
use maliang::run::config::text::TextRunConfig;
use maliang::run::dir::RunDir;
use maliang::train::text::{TextRequest, TextRun, choose_corpus, choose_text};
use maliang::{Error, Result};
use std::sync::Arc;
use toml::Table;

/// Starts a new run on the text at `source` and trains it.
pub fn start(source: &str, dir: RunDir, settings: Table, args: &TrainArgs) -> Result<()> {
    refuse_what_belongs_to_pictures(args)?;
    let scan = text::scan_text(source)?;
    let request = TextRequest { source: source.into(), family: args.model.clone(), settings };
    let checked = text::check_text(&scan, request.documents()?, &|_, _| ())?;
    let tokens = choose_corpus(&request, &checked)?;
    let corpus = Corpus::open(&tokens.config, &scan, &cache_dir(), &|_, _| ())?;
    let held_out = corpus.heldout_bytes();
    tell!(
        "{}: {} of text, {}, {} tokens to learn from, {} held out",
        display_name(source),
        bytes(corpus.train_bytes() + held_out),
        counted(corpus.documents(), "document"),
        corpus.train_len(),
        bytes(held_out)
    );
    for note in &corpus.manifest().notes {
        tell!("  {}", terminal::wrap(note, 2, 2));
    }
    for reject in corpus.manifest().rejects.iter().take(5) {
        tell!("  left out {}: {}", display_name(&reject.name), reject.reason);
    }
    let choice = choose_text(&request, &tokens.config, &corpus)?;
    reasons(tokens.reasons.iter().chain(&choice.reasons));
    tell!("{}{}", choice.config.model.family(), place((!args.dry_run).then_some(&dir)));
    tell!("  {}", terminal::wrap(&settings_line(&choice.config), 2, 2));
    if args.dry_run {
        return print(choice.config.to_toml().trim_end());
    }
    train_and_report(TextRun::create(dir, choice.config, Arc::new(corpus))?)
}

/// Goes on with the run in `dir`, with what `adjust` changes in its settings.
pub fn go_on(dir: RunDir, adjust: impl FnOnce(&mut TrainConfig)) -> Result<()> {
    train_and_report(TextRun::resume(dir, &cache_dir(), |config| adjust(&mut config.train))?)
}

fn train_and_report(run: TextRun) -> Result<()> {
    let (dir, device) = (run.dir().clone(), run.config().train.device);
    to_its_end(&dir, device, |progress| run.train(progress), "--prompt \"…\"").map(|_| ())
}

fn refuse_what_belongs_to_pictures(args: &TrainArgs) -> Result<()> {
    let flags = [
        (args.size.is_some(), "--size"),
        (args.fit.is_some(), "--fit"),
        (args.race, "--race"),
        (args.init.is_some(), "--init"),
    ];
    match flags.iter().find(|(given, _)| *given) {
        None => Ok(()),
        Some((_, flag)) => Err(Error::input(format!("{flag} is for pictures, but this is text")).hint(format!(
            "leave it out; --model {} chooses the family, --set model.width=256 its size",
            names(Makes::Text)
        ))),
    }
}

/// The settings that people ask about, in one line.
fn settings_line(config: &TextRunConfig) -> String {
    let (t, text) = (&config.train, &config.text);
    let accumulated = if text.accumulate > 1 { format!(" × {}", text.accumulate) } else { String::new() };
    format!(
        "batch {}{accumulated} of {} tokens, {}, lr {:e} (warm-up {:.0} %, cosine to {:.0} %), beta {}/{}, decay {}, clip {}, \
         {} parameters, vocabulary {}, held out {:.0} %, seed {}",
        t.batch,
        config.model.context(),
        named(&t.precision),
        t.lr,
        text.warmup * 100.0,
        text.final_lr * 100.0,
        t.beta_1,
        t.beta_2,
        t.weight_decay,
        t.clip_norm,
        config.model.parameters(),
        config.model.vocabulary(),
        config.corpus.holdout * 100.0,
        config.seed
    )
}
