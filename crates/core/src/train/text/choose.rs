//! Chooses what the user left open about text, from the corpus and the budget, and says why in one line each.
//!
//! In two parts: how text becomes tokens is decided by its size and script, and the network by how many tokens there are.

use super::super::choose::{budget, lookup, overlay, set, unusable};
use super::super::plateau::PATIENCE;
use crate::Result;
use crate::data::text::{Corpus, CorpusConfig, Documents, TextCheck, Tokenizer, TokenizerKind};
use crate::device::ComputeDevice;
use crate::families::settings::TrainConfig;
use crate::families::{self, text};
use crate::makes::Makes;
use crate::run::config::text::{TextRunConfig, TextTraining};
use maliang_kernels::Precision;
use toml::{Table, Value};

/// What the user asked for.
#[derive(Debug, Clone, Default)]
pub struct TextRequest {
    /// The source as typed.
    pub source: String,
    /// Family by name; `auto` or nothing lets the corpus decide.
    pub family: Option<String>,
    /// Settings as in `run.toml`, any part of it: from a file and from `--set`.
    pub settings: Table,
}

/// Why something was chosen: what, value, reason.
pub type Reason = (String, String, String);

/// How text becomes tokens, and why.
#[derive(Debug, Clone)]
pub struct CorpusChoice {
    /// The `[corpus]` part of the settings.
    pub config: CorpusConfig,
    /// One line a decision.
    pub reasons: Vec<Reason>,
}

/// A complete configuration, and why it is so.
#[derive(Debug, Clone)]
pub struct TextChoice {
    /// The configuration.
    pub config: TextRunConfig,
    /// One line a decision.
    pub reasons: Vec<Reason>,
}

impl TextRequest {
    /// What the settings take a document to be.
    ///
    /// # Errors
    /// Something that cannot be a document.
    pub fn documents(&self) -> Result<Documents> {
        let given = lookup(&self.settings, "corpus.documents").cloned();
        given.map_or(Ok(Documents::default()), |value| value.try_into().map_err(unusable))
    }
}

/// Decides how the text that was checked becomes tokens.
///
/// # Errors
/// An unknown setting, or one that cannot be used.
pub fn choose_corpus(request: &TextRequest, checked: &TextCheck) -> Result<CorpusChoice> {
    let given = |path: &str| lookup(&request.settings, path);
    let kind = given("corpus.tokenizer").map(|value| value.clone().try_into().map_err(unusable)).transpose()?;
    let tokenizer = kind.unwrap_or(checked.suggested_tokenizer);
    let vocabulary = match tokenizer {
        TokenizerKind::Bpe if checked.suggested_tokenizer == TokenizerKind::Characters => SMALLEST_BPE,
        TokenizerKind::Bpe => checked.suggested_vocabulary,
        TokenizerKind::Characters => 0,
    };
    let chosen = CorpusConfig { source: request.source.clone(), tokenizer, vocabulary, ..CorpusConfig::default() };
    let mut table = Table::try_from(&chosen).expect("a configuration is plain data");
    if let Some(Value::Table(over)) = request.settings.get("corpus") {
        overlay(&mut table, over);
    }
    set(&mut table, "source", Value::String(request.source.clone()));
    let config: CorpusConfig = table.try_into().map_err(unusable)?;
    config.validate()?;
    let words = match config.tokenizer {
        TokenizerKind::Characters => "characters".to_string(),
        TokenizerKind::Bpe => format!("BPE, {}", config.vocabulary),
    };
    // A reason for something that the user then set would be wrong.
    let by_user = given("corpus.tokenizer").is_some() || given("corpus.vocabulary").is_some();
    let reasons = if by_user { Vec::new() } else { vec![("tokens".into(), words, checked.reason.clone())] };
    Ok(CorpusChoice { config, reasons })
}

/// Entries of a vocabulary of BPE where one is asked for on a text that is small for it.
const SMALLEST_BPE: usize = 1024;
/// Layers and width of a network, from small to large.
const SIZES: [(usize, usize); 6] = [(2, 64), (3, 96), (4, 128), (4, 192), (6, 256), (6, 384)];
/// Operations a second that two cores reach in training: lab L-28.
const SPEED: f64 = 90e9;
/// Tokens for a parameter that a network should read in its budget; with fewer a smaller one learns more. Chinchilla's 20
/// (Hoffmann 2022) are for one pass over endless text; here a large part of a short run is spent on learning to spell.
const TOKENS_A_PARAMETER: f64 = 3.0;
/// Parameters for a token of the corpus, at most: a larger network only memorises it sooner.
const PARAMETERS_A_TOKEN: f64 = 50.0;
/// How often a text is read at most: what comes later is memorised, whatever dropout there is. Lab L-25.
const MOST_PASSES: f64 = 60.0;
/// From here on a budget affords to look further back.
const LONG_MINUTES: f64 = 20.0;

/// A corpus as the choice of a network sees it.
struct Facts {
    vocabulary: usize,
    tokens: usize,
    minutes: f64,
    steps: u64,
}

impl Facts {
    /// Trained numbers of a network, head included.
    fn parameters(&self, layers: usize, width: usize) -> f64 {
        (12 * layers * width * width + self.vocabulary * width) as f64
    }

    /// Tokens that a minute budget lets a network of so many parameters read: six operations for each, forwards and back.
    fn read(&self, parameters: f64) -> Option<f64> {
        (self.minutes > 0.0).then(|| self.minutes * 60.0 * SPEED / (6.0 * parameters))
    }

    /// The largest network that the budget can train and the corpus can fill.
    fn size(&self) -> (usize, usize) {
        let fits = |&&(layers, width): &&(usize, usize)| {
            let parameters = self.parameters(layers, width);
            let inner = (12 * layers * width * width) as f64;
            let enough = self.read(parameters).is_none_or(|tokens| tokens >= TOKENS_A_PARAMETER * parameters);
            enough && inner <= PARAMETERS_A_TOKEN * self.tokens as f64
        };
        *SIZES.iter().rev().find(fits).unwrap_or(&SIZES[0])
    }

    /// How often the budget shows the corpus to the network, in steps of so many tokens.
    fn epochs(&self, parameters: f64, tokens_a_step: usize) -> f64 {
        let by_steps = if self.steps > 0 { self.steps as f64 * tokens_a_step as f64 } else { f64::MAX };
        self.read(parameters).unwrap_or(f64::MAX).min(by_steps) / self.tokens.max(1) as f64
    }
}

/// Fills in everything that `request` leaves open about training on `corpus`, which was opened by `corpus_config`.
///
/// # Errors
/// An unknown setting or family, or a value out of range.
pub fn choose_text(request: &TextRequest, corpus_config: &CorpusConfig, corpus: &Corpus) -> Result<TextChoice> {
    let mut reasons: Vec<Reason> = Vec::new();
    let mut say = |what: &str, value: String, why: &str| reasons.push((what.to_string(), value, why.to_string()));
    let given = |path: &str| lookup(&request.settings, path);
    let whole = |path: &str| given(path).and_then(Value::as_integer).and_then(|value| usize::try_from(value).ok());

    let (minutes, steps) = budget(&request.settings, &mut say);
    let facts = Facts { vocabulary: corpus.tokenizer().vocabulary(), tokens: corpus.train_len(), minutes, steps };

    let named = request.family.as_deref().or_else(|| given("model.family").and_then(Value::as_str));
    let family = match named {
        Some(family) if family != "auto" => family.to_string(),
        _ => {
            say("model", "gpt".into(), "a Transformer: learns more a minute than an LSTM, and copies less of the text");
            "gpt".into()
        }
    };
    let (layers, width) = facts.size();
    let (layers, width) = (whole("model.layers").unwrap_or(layers), whole("model.width").unwrap_or(width));
    // What is built; the estimates below are those of a Transformer of this budget.
    let built = whole("model.layers").or(text::usual_layers(&family)).unwrap_or(layers);
    say("size", format!("{built} × {width}"), "what the budget can train well on a plain CPU and the text can fill");

    let usual = if minutes > 0.0 && minutes < LONG_MINUTES { 128 } else { 256 };
    // A short text should still have a few windows.
    let context = whole("model.context").unwrap_or(usual.min((facts.tokens / 8).max(8)));
    say("context", format!("{context} tokens"), "as far as the model looks back");
    // Short runs learn more from many steps than from calm ones.
    let batch = whole("train.batch").unwrap_or(if minutes > 0.0 && minutes < LONG_MINUTES { 12 } else { 16 });

    let parameters = facts.parameters(layers, width);
    let read = batch * context * whole("text.accumulate").unwrap_or(1).max(1);
    let epochs = facts.epochs(parameters, read);
    let (epochs, steps) = if steps == 0 && epochs > MOST_PASSES {
        say("steps", format!("{MOST_PASSES:.0} passes"), "a short text, which more passes would memorise");
        (MOST_PASSES, (MOST_PASSES * facts.tokens as f64 / read as f64).ceil() as u64)
    } else {
        (epochs, steps)
    };
    // Srivastava 2014: the more often a text comes back, the more must be left to chance.
    let dropout = match epochs {
        ..3.0 => 0.0,
        ..10.0 => 0.1,
        ..25.0 => 0.2,
        ..45.0 => 0.3,
        _ => 0.5,
    };
    let shown = if epochs < 1000.0 { format!("about {epochs:.0} times") } else { "very often".into() };
    say("dropout", format!("{dropout}"), &format!("the text is read {shown}"));

    let sizes = text::Sizes { vocabulary: facts.vocabulary, context, layers: built, width, dropout };
    let (model, lr) = text::choose(&family, &sizes).ok_or_else(|| families::unknown(&family, Makes::Text))?;
    let train = TrainConfig {
        device: ComputeDevice::default(),
        batch,
        steps,
        minutes,
        lr,
        beta_1: 0.9,
        // Steps of few tokens: a longer memory of the gradient's size than 0.95 (nanoGPT).
        beta_2: 0.99,
        epsilon: 1e-8,
        weight_decay: 0.1,
        clip_norm: 1.0,
        ema_half_life: 0.0,
        flip: None,
        precision: Precision::F32,
        look_every: 0,
        // A step-limited run makes all of its steps; a time-limited run stops where more of them are of no use.
        patience: if facts.steps > 0 { 0 } else { PATIENCE },
    };
    let text = TextTraining { prompts: prompts(corpus), ..TextTraining::default() };
    let chosen = TextRunConfig { seed: 0, corpus: corpus_config.clone(), model, train, text };

    let mut table = Table::try_from(&chosen).expect("a configuration is plain data");
    overlay(&mut table, &request.settings);
    set(&mut table, "corpus", Value::try_from(corpus_config).expect("a configuration is plain data"));
    set(&mut table, "model.family", Value::String(family));
    // Settings that name minutes alone name no steps.
    set(&mut table, "train.steps", Value::Integer(steps.min(i64::MAX as u64) as i64));
    let config: TextRunConfig = table.try_into().map_err(unusable)?;
    config.validate()?;
    // A reason for something that the user then set would be wrong.
    let set_by_user = |what: &str| match what {
        "size" => given("model.layers").is_some() || given("model.width").is_some(),
        "context" => given("model.context").is_some(),
        "dropout" => given("model.dropout").is_some(),
        _ => false,
    };
    reasons.retain(|(what, _, _)| !set_by_user(what));
    Ok(TextChoice { config, reasons })
}

/// What is continued at every look: twice from nothing, and the beginning of a line that training never sees.
fn prompts(corpus: &Corpus) -> Vec<String> {
    let mut prompts = vec![String::new(); 2];
    let heldout = corpus.heldout(0, corpus.heldout_len().min(2000));
    // The stream may begin in the middle of something: the first line is passed over.
    let document = heldout.split(|&token| token == Tokenizer::END).max_by_key(|tokens| tokens.len());
    let text = corpus.tokenizer().decode(document.unwrap_or_default());
    let line = text.lines().skip(1).map(str::trim).max_by_key(|line| line.chars().count().min(20));
    prompts.extend(line.map(beginning).filter(|beginning| !beginning.is_empty()));
    prompts
}

/// About a third of a line: the first words, or a few characters where words are not set apart.
fn beginning(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    if words.len() >= 4 {
        return words[..words.len().div_ceil(3).min(6)].join(" ");
    }
    line.chars().take(line.chars().count().div_ceil(3).clamp(2, 8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::text::{check_text, scan_text};

    fn facts(vocabulary: usize, tokens: usize, minutes: f64) -> Facts {
        Facts { vocabulary, tokens, minutes, steps: 0 }
    }

    #[test]
    fn larger_budgets_and_corpora_get_larger_networks() {
        let width = |tokens, minutes| facts(4096, tokens, minutes).size().1;
        let by_minutes = [1.0, 5.0, 30.0, 600.0].map(|minutes| width(10_000_000, minutes));
        assert!(by_minutes.is_sorted() && by_minutes[0] < by_minutes[3], "{by_minutes:?}");
        let by_tokens = [1_000, 20_000, 100_000, 10_000_000].map(|tokens| width(tokens, 600.0));
        assert!(by_tokens.is_sorted() && by_tokens[0] < by_tokens[3], "{by_tokens:?}");
        assert_eq!(facts(100, 10, 1e-6).size(), SIZES[0], "there is always one");
    }

    #[test]
    fn a_short_text_is_not_read_for_the_whole_budget() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.txt");
        let lines: String = (0..400).map(|i| format!("line {} of {}\n", i * 7919 % 400, i * i)).collect();
        std::fs::write(&path, &lines).unwrap();
        let checked = check_text(&scan_text(path.to_str().unwrap()).unwrap(), Documents::Auto, &|_, _| ()).unwrap();
        let chosen = |settings: &str| {
            let settings: Table = settings.parse().unwrap();
            let request = TextRequest { source: path.to_str().unwrap().into(), settings, ..TextRequest::default() };
            let corpus_config = choose_corpus(&request, &checked).unwrap().config;
            let scan = scan_text(path.to_str().unwrap()).unwrap();
            let corpus = Corpus::open(&corpus_config, &scan, &directory.path().join("cache"), &|_, _| ()).unwrap();
            let config = choose_text(&request, &corpus_config, &corpus).unwrap().config;
            let read = config.train.steps * config.tokens_a_step();
            (config.train.steps, read as f64 / corpus.train_len() as f64, config.train.patience)
        };
        let (steps, passes, patience) = chosen("train.minutes = 30.0\ntrain.steps = 0");
        assert!(steps > 0 && (MOST_PASSES..MOST_PASSES + 1.0).contains(&passes), "{passes} passes");
        assert_eq!(patience, PATIENCE, "who counts minutes");
        let (_, passes, _) = chosen("train.minutes = 30.0\ntrain.steps = 0\ntext.accumulate = 4");
        assert!((MOST_PASSES..MOST_PASSES + 4.0).contains(&passes), "{passes} passes of four batches a step");
        assert_eq!(chosen("train.steps = 9").0, 9, "what the user wants");
        assert_eq!(chosen("train.minutes = 0.001").0, 0, "minutes end before passes do");
    }

    #[test]
    fn settings_decide_and_typos_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.txt");
        std::fs::write(&path, "to be or not to be\n".repeat(20)).unwrap();
        let source = path.to_str().unwrap().to_string();
        let checked = check_text(&scan_text(&source).unwrap(), Documents::Auto, &|_, _| ()).unwrap();
        let mut request = TextRequest { source: source.clone(), ..TextRequest::default() };
        let auto = choose_corpus(&request, &checked).unwrap();
        assert_eq!((auto.config.tokenizer, auto.config.vocabulary), (TokenizerKind::Characters, 0));
        assert_eq!(auto.reasons.len(), 1);
        set(&mut request.settings, "corpus.tokenizer", Value::String("bpe".into()));
        assert_eq!(choose_corpus(&request, &checked).unwrap().config.vocabulary, SMALLEST_BPE);
        set(&mut request.settings, "corpus.vocabulary", Value::Integer(600));
        set(&mut request.settings, "corpus.documents", Value::String("blank-lines".into()));
        let choice = choose_corpus(&request, &checked).unwrap();
        assert_eq!((choice.config.tokenizer, choice.config.vocabulary), (TokenizerKind::Bpe, 600));
        assert_eq!((choice.config.source, choice.config.documents), (source, Documents::BlankLines));
        assert_eq!(request.documents().unwrap(), Documents::BlankLines);
        assert!(choice.reasons.is_empty(), "the user's own choice needs no reason");
        for (name, value) in [("tokenizer", "words"), ("documents", "pages"), ("tokeniser", "bpe")] {
            let mut request = request.clone();
            set(&mut request.settings, &format!("corpus.{name}"), Value::String(value.into()));
            let message = choose_corpus(&request, &checked).unwrap_err().message;
            assert!(message.contains(value) || message.contains(name), "{name}: {message}");
        }
    }

    #[test]
    fn beginnings_of_lines() {
        assert_eq!(beginning("In the beginning God created the heaven and the earth."), "In the beginning God");
        assert_eq!(beginning("春眠不觉晓，处处闻啼鸟。"), "春眠不觉");
        assert_eq!(beginning("ab"), "ab");
        assert_eq!(beginning(""), "");
    }
}
