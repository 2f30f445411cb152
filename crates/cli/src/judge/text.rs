//! `maliang judge` of a model that writes: bits per byte beside an n-gram model, repetition, copying; a report and a card.

use super::clock::Clock;
use super::place::{directory, run_of, seconds};
use crate::args::JudgeArgs;
use crate::bench::machine::Machine;
use crate::terminal::{cache_dir, print, wrap};
use crate::units::duration;
use maliang::data::text::Corpus;
use maliang::families::text::TextModel;
use maliang::generate::text::Finish;
use maliang::generate::writer::Author;
use maliang::judge::JudgedModel;
use maliang::judge::text::{self, TextJudgement, TextOptions};
use maliang::provenance::label::Label;
use maliang::provenance::recipe::Request;
use maliang::provenance::recipe::Sampling;
use maliang::report::card::TextCard;
use maliang::report::{self, TextJudgementFiles, TextRecord};
use maliang::run::config::text::TextRunConfig;
use maliang::run::dir::RunDir;
use maliang::train::text::corpus_of;
use maliang::{Error, Result, files};
use std::path::Path;

/// Pieces where -n does not say, and at most.
const PIECES: usize = 64;
const MOST_PIECES: usize = 10_000;
/// Tokens of a piece, at most: a page.
const TOKENS: usize = 300;
/// Held-out tokens that are predicted, at most: tens of seconds.
const HELDOUT_TOKENS: usize = 100_000;

/// Judges a writer, prints a table, and writes `scores.json`, `report.html` and `card.md`.
pub fn run(args: &JudgeArgs) -> Result<()> {
    let given = [(args.features.is_some(), "--features"), (args.data.is_some(), "--data")];
    if let Some((_, flag)) = given.into_iter().find(|(given, _)| *given) {
        return Err(Error::input(format!(
            "{flag} is for models of pictures, and {} writes text",
            args.model.display()
        ))
        .hint("leave it out: a model of text is judged with the held-out text of its run"));
    }
    let number = args.number.unwrap_or(PIECES);
    if !(1..=MOST_PIECES).contains(&number) {
        return Err(Error::input(format!("-n {number} is out of range: 1 to {MOST_PIECES} pieces of text")));
    }
    let label = args.producer.label()?;
    let (author, model, warnings) = Author::open_with_model(&args.model)?;
    for warning in warnings {
        tell!("note: {warning}; judging another checkpoint");
    }
    let run = run_of(&args.model).ok_or_else(|| {
        Error::input(format!("{} does not hold the text it was trained on", args.model.display()))
            .hint("judge the run directory, or a checkpoint inside it")
    })?;
    let config = run.text_config()?;
    let corpus = corpus_of(&run, &config, &cache_dir())?;
    let directory = directory(&args.model, args.output.as_deref())?;
    let job = Job { args, label, author, model, run, config, corpus, directory: &directory };
    job.judge(number)
}

struct Job<'a> {
    args: &'a JudgeArgs,
    label: Label,
    author: Author,
    model: TextModel,
    run: RunDir,
    config: TextRunConfig,
    corpus: Corpus,
    directory: &'a Path,
}

impl Job<'_> {
    fn judge(&self, number: usize) -> Result<()> {
        let clock = Clock::start();
        let request = Request {
            prompt: String::new(),
            sampling: Sampling::default(),
            max_tokens: TOKENS,
            stop: Vec::new(),
            seed: self.args.seed,
        };
        let (mut pieces, mut lines) = (Vec::new(), Vec::new());
        for index in 0..number {
            clock.at("writing", index, number);
            let (piece, line) = self.piece(&request, index as u64)?;
            pieces.push(piece);
            lines.push(line);
        }
        let options =
            TextOptions { seed: self.args.seed, tokens: HELDOUT_TOKENS, context: self.author.info.config.context() };
        let nats = |tokens: &[u32], targets: &[u32], batch: usize| self.model.nats(tokens, targets, batch);
        let stage = |what: &str, done: usize, all: usize| clock.at(what, done, all);
        let judgement = text::judge_text(&nats, &pieces, &self.corpus, self.author.tokenizer(), &options, &stage);
        let times = clock.stop();
        let info = &self.author.info;
        let model = JudgedModel { name: info.name.clone(), blake3: self.author.hash.clone(), step: info.step };
        let flags = request.sampling.flags();
        let sampling = format!("without a prompt, at most {TOKENS} tokens each {flags}").trim_end().to_string();
        let judgement = TextJudgement { model: Some(model), sampling, ..judgement? };
        let total: f64 = times.iter().map(|(_, seconds)| seconds).sum();
        let machine = Machine::here().line();
        let record = TextRecord { model: info.clone(), data: self.corpus.manifest().clone(), machine, times };
        let judged = TextJudgementFiles { judgement, record: Some(record) };
        judged.save(self.directory, &lines)?;
        self.write(&judged, &request)?;
        tell!("judged in {}", duration(total));
        if self.args.json {
            return print(judged.judgement.to_json());
        }
        print(table(&judged.judgement, &info.name, info.step))?;
        ["scores.json", "report.html", "card.md"]
            .into_iter()
            .try_for_each(|name| print(self.directory.join(name).display().to_string()))
    }

    /// Piece number `index`, and the same as a labelled line of JSON.
    fn piece(&self, request: &Request, index: u64) -> Result<(String, String)> {
        let mut writing = self.author.begin(request, index)?;
        let text = writing.rest()?;
        let finish = writing.finish().map_or("length", Finish::name);
        let provenance = self.author.provenance(&self.label, request, index);
        let line = maliang::provenance::text::json(&text, finish, writing.tokens(), &provenance)?;
        Ok((text, line))
    }

    /// The card and the page.
    fn write(&self, judged: &TextJudgementFiles, request: &Request) -> Result<()> {
        let trained_on = self.run.machines();
        let here = judged.record.as_ref().map_or("", |record| record.machine.as_str());
        let machine = if trained_on.is_empty() { here.to_string() } else { trained_on.join("; ") };
        let provenance = self.author.provenance(&self.label, request, 0);
        let card = TextCard {
            info: &self.author.info,
            provenance: &provenance,
            judgement: &judged.judgement,
            manifest: self.corpus.manifest(),
            config: Some(&self.config),
            seconds: seconds(&self.run),
            machine: &machine,
        };
        files::write_bytes(&self.directory.join("card.md"), card.markdown().as_bytes())?;
        let page = report::compose(self.directory, Some(&self.run))?;
        report::write(&self.directory.join("report.html"), &page)
    }
}

/// Name and head of the table, scores, verdicts: at most 80 columns.
fn table(judgement: &TextJudgement, name: &str, step: u64) -> String {
    let title =
        format!("{name}, step {step}: {} pieces of seed {}, {}", judgement.pieces, judgement.seed, judgement.sampling);
    let mut lines = vec![wrap(&title, 0, 0), String::new()];
    let line = |cells: [&str; 5]| {
        let [name, value, interval, beside, whose] = cells;
        format!("{name:<30} {value:>7}  {interval:<14} {beside:>7}  {whose}").trim_end().to_string()
    };
    lines.push(line(["score", "value", "95 % interval", "beside", "of"]));
    for row in judgement.rows() {
        lines.push(line([&row.name, &row.value, &row.interval, &row.beside, &row.whose]));
    }
    lines.push(String::new());
    let paragraph = |name: &str, text: &str| format!("{name:<9}{}", wrap(text, 9, 9));
    lines.extend(judgement.prediction().map(|words| paragraph("predicts", &words)));
    lines.push(paragraph("variety", &judgement.variety.words));
    lines.push(paragraph("copying", &judgement.copying.words));
    lines.push(String::new());
    let cells = |cells: [&str; 5]| {
        let [who, windows, copied, longest, median] = cells;
        format!("{who:<12} {windows:>14} {copied:>14} {longest:>9} {median:>8}")
    };
    lines.push(cells(TextJudgement::COPYING_HEAD));
    lines.extend(judgement.copying_rows().iter().map(|row| cells(row.each_ref().map(String::as_str))));
    lines.push(paragraph("controls", &judgement.controls()));
    lines.push(String::new());
    lines.join("\n")
}
