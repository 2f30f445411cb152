//! The judgement on models that are known: the corpus itself, a uniform one, a copier.

use super::*;
use crate::data::tests::lookup::real;
use crate::data::text::{CorpusConfig, scan_text};
use crate::judge::Verdict;
use crate::rng;
use rand::RngExt;
use std::path::Path;

fn corpus(path: &Path, cache: &Path) -> Corpus {
    let config = CorpusConfig { holdout: 0.2, ..CorpusConfig::default() };
    Corpus::open(&config, &scan_text(path.to_str().unwrap()).unwrap(), cache, &|_, _| ()).unwrap()
}

/// Sentences of a small grammar: new ones are easy to make.
fn sentence(rng: &mut impl rand::Rng) -> String {
    let words: Vec<String> =
        (0..200u32).map(|i| format!("w{}{}", char::from(b'a' + (i % 26) as u8), i * 7919 % 1000)).collect();
    (0..8).map(|_| words[rng.random_range(0..words.len())].clone()).collect::<Vec<_>>().join(" ")
}

fn text(seed: u64, sentences: usize) -> Vec<String> {
    let mut rng = rng::stream(seed, "grammar", 0);
    (0..sentences).map(|_| sentence(&mut rng)).collect()
}

fn uniform(vocabulary: usize) -> impl Fn(&[u32], &[u32], usize) -> Vec<f32> {
    move |_, targets, _| vec![(vocabulary as f32).ln(); targets.len()]
}

fn judged(pieces: &[String], corpus: &Corpus) -> Result<TextJudgement> {
    let options = TextOptions { seed: 1, tokens: 4000, context: 32 };
    let nats = uniform(corpus.tokenizer().vocabulary());
    judge_text(&nats, pieces, corpus, corpus.tokenizer(), &options, &|_, _, _| ())
}

#[test]
fn new_text_is_clean_and_pasted_text_is_not() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = dir.path().join("text.txt");
    let lines = text(1, 3000);
    std::fs::write(&path, lines.join("\n")).unwrap();
    let corpus = corpus(&path, cache.path());

    let new = judged(&text(2, 40), &corpus).unwrap();
    assert_eq!(new.copying.verdict, Some(Verdict::Clean), "{:?}", new.copying);
    assert_eq!((new.copying.heldout_passes, new.copying.copycat_fails), (Some(true), true));
    let heldout = new.heldout.as_ref().unwrap();
    let uniform = (corpus.tokenizer().vocabulary() as f64).log2();
    // Every token but the ends of parts is one byte.
    let bits = uniform * heldout.tokens as f64 / heldout.bytes as f64;
    assert!((heldout.bits_per_byte.value - bits).abs() < 1e-5, "{heldout:?} {bits}");
    assert!(heldout.ngram_bits_per_byte < bits && heldout.gain.high < 0.0);
    assert!(new.prediction().unwrap().starts_with("Not yet better"));

    // Pieces that say nothing are not looked at, and the others keep their numbers.
    let mut pieces: Vec<String> = [vec![String::new(), " \n".into()], text(3, 30)].concat();
    pieces.extend(lines[..30].iter().map(|line| line.replacen('w', "W", 1)));
    let pasted = judged(&pieces, &corpus).unwrap();
    assert_eq!(pasted.copying.verdict, Some(Verdict::Copies), "{:?}", pasted.copying);
    let span = &pasted.copying.passages[0];
    assert!(span.piece >= 32 && pieces[span.piece].contains(&span.text), "{span:?}");
    assert!(span.length >= 30 && lines.join(" ").contains(&span.text), "{span:?}");
    assert!(pasted.rows().len() == 7 && pasted.copying_rows().len() == 3 && !pasted.protocol().is_empty());
    let again: TextJudgement = serde_json::from_str(&pasted.to_json()).unwrap();
    assert_eq!(again.copying.passages, pasted.copying.passages);
}

#[test]
fn a_corpus_that_repeats_itself_allows_no_verdict() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = dir.path().join("text.txt");
    std::fs::write(&path, text(1, 30).join("\n").repeat(60)).unwrap();
    let found = judged(&text(2, 40), &corpus(&path, cache.path())).unwrap().copying;
    assert_eq!((found.verdict, found.heldout_passes), (None, Some(false)), "{found:?}");
}

#[test]
fn what_cannot_be_judged() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = dir.path().join("text.txt");
    std::fs::write(&path, text(1, 5).join("\n")).unwrap();
    let small = corpus(&path, cache.path());
    assert!(judged(&vec![" ".into(); 9], &small).unwrap_err().message.contains("0 pieces"));
    // Too small to hold anything out: a report all the same, and it says so.
    let found = judged(&text(2, 9), &small).unwrap();
    assert!(found.heldout.is_none() && found.copying.heldout_passes.is_none() && found.prediction().is_none());
    std::fs::write(&path, "ABC".repeat(99)).unwrap();
    let other = corpus(&path, cache.path());
    let options = TextOptions { seed: 1, tokens: 10, context: 4 };
    let error = judge_text(&uniform(9), &text(2, 9), &small, other.tokenizer(), &options, &|_, _, _| ()).unwrap_err();
    assert!(error.message.contains("other tokens"));
}

/// On the real corpora both controls must come out, with windows that fit the text.
#[test]
fn real_corpora_pass_their_controls() {
    for (name, windows) in [("tang300.txt", 12..=16), ("alice29.txt", 24..=50), ("folk_abc.txt", 24..=200)] {
        let Some(path) = real(&format!("text/{name}")) else { continue };
        let cache = tempfile::tempdir().unwrap();
        let corpus = corpus(&path, cache.path());
        // Held-out text in the place of the generated.
        let pieces: Vec<String> = corpus.heldout_documents(40_000).into_iter().take(60).collect();
        let pieces: Vec<String> = pieces
            .iter()
            .flat_map(|text| {
                text.chars().collect::<Vec<_>>().chunks(300).map(|c| c.iter().collect()).collect::<Vec<String>>()
            })
            .collect();
        let found = judged(&pieces, &corpus).unwrap().copying;
        eprintln!("{name}: window {}, {:?} {:?} {:?}", found.window, found.generated, found.heldout, found.copycat);
        assert_eq!((found.heldout_passes, found.copycat_fails), (Some(true), true), "{name}: {found:?}");
        assert_eq!(found.verdict, Some(Verdict::Clean), "{name}");
        assert!(windows.contains(&found.window), "{name}: {}", found.window);
    }
}
