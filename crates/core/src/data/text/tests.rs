//! Whole paths through the text part, on inputs made here and on the real corpora.

use super::*;
use crate::data::tests::lookup::real;
use crate::rng;
use rand::RngExt;
use tempfile::TempDir;

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    dir
}

fn characters() -> CorpusConfig {
    CorpusConfig::default()
}

fn bpe(vocabulary: usize) -> CorpusConfig {
    CorpusConfig { tokenizer: TokenizerKind::Bpe, vocabulary, ..CorpusConfig::default() }
}

fn open(path: &Path, config: &CorpusConfig, cache: &Path) -> Result<Corpus> {
    Corpus::open(config, &scan_text(path.to_str().unwrap()).unwrap(), cache, &|_, _| ())
}

/// Both streams as text, documents apart.
fn texts(corpus: &Corpus) -> [Vec<String>; 2] {
    let split = |tokens: Vec<u32>| {
        assert_eq!(tokens.last(), Some(&Tokenizer::END));
        let mut parts: Vec<String> =
            tokens.split(|&token| token == Tokenizer::END).map(|part| corpus.tokenizer().decode(part)).collect();
        assert_eq!(parts.pop().as_deref(), Some(""));
        parts
    };
    let heldout = corpus.heldout(0, corpus.heldout_len());
    [split(corpus.train(0, corpus.train_len())), if heldout.is_empty() { vec![] } else { split(heldout) }]
}

/// 60 poems of four lines, with a repeat.
fn poems() -> String {
    let mut rng = rng::stream(1, "poems", 0);
    let mut poem = || -> String {
        let mut line =
            || -> String { (0..5).map(|_| char::from_u32(0x4e00 + rng.random_range(0..300)).unwrap()).collect() };
        format!("{}\n{}，{}。\n{}，{}。", line(), line(), line(), line(), line())
    };
    let mut poems: Vec<String> = (0..60).map(|_| poem()).collect();
    poems.push(poems[3].clone());
    poems.join("\n\n") + "\n"
}

#[test]
fn poems_are_documents_and_come_back_exactly() {
    let (dir, cache) = (folder(&[("poems.txt", poems().as_bytes())]), tempfile::tempdir().unwrap());
    for config in [characters(), bpe(600)] {
        let corpus = open(&dir.path().join("poems.txt"), &config, cache.path()).unwrap();
        let counts = &corpus.manifest().counts;
        assert_eq!((corpus.documents(), counts.duplicates, corpus.manifest().split), (60, 1, TextSplit::Documents));
        let [train, heldout] = texts(&corpus);
        assert_eq!((train.len(), heldout.len()), (counts.train_parts, counts.heldout_parts));
        assert!(!heldout.is_empty());
        let bytes = |texts: &[String]| texts.iter().map(String::len).sum::<usize>() as u64;
        assert_eq!([bytes(&train), bytes(&heldout)], [corpus.train_bytes(), corpus.heldout_bytes()]);
        let mut all: Vec<String> = [train, heldout].concat();
        all.sort();
        let poems = poems();
        let mut wanted: Vec<&str> = poems.trim_end().split("\n\n").take(60).collect();
        wanted.sort_unstable();
        assert_eq!(all, wanted);
        assert!(
            corpus.tokenizer().vocabulary() == counts.vocabulary && corpus.manifest().notes[0].contains("blank lines")
        );
        assert!(corpus.tokenizer().unknown(&poems).is_empty());
    }
}

#[test]
fn a_second_run_reads_the_cache_and_damage_is_mended() {
    let (dir, cache) = (folder(&[("poems.txt", poems().as_bytes())]), tempfile::tempdir().unwrap());
    let path = dir.path().join("poems.txt");
    let first = open(&path, &bpe(600), cache.path()).unwrap();
    let fingerprint = first.fingerprint().to_string();
    let tokens = first.train(0, first.train_len());
    let file = cache.path().join(format!("{fingerprint}.tokens"));
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(bytes.len(), 128 + 2 * (first.train_len() + first.heldout_len()));
    let names: Vec<_> = std::fs::read_dir(cache.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "nothing temporary is left: {names:?}");

    // Not read again: the progress stays silent.
    let scan = scan_text(path.to_str().unwrap()).unwrap();
    Corpus::open(&bpe(600), &scan, cache.path(), &|_, _| panic!("read again")).unwrap();
    // The same bytes without the cache, and the source is not needed with it.
    let elsewhere = tempfile::tempdir().unwrap();
    open(&path, &bpe(600), elsewhere.path()).unwrap();
    assert_eq!(std::fs::read(elsewhere.path().join(format!("{fingerprint}.tokens"))).unwrap(), bytes);
    std::fs::remove_file(&path).unwrap();
    let cached = Corpus::open_cached(cache.path(), &fingerprint).unwrap();
    assert_eq!((cached.train(3, 5), cached.train_len()), (tokens[3..8].to_vec(), tokens.len()));
    assert_ne!(build::fingerprint(&bpe(700), &scan), fingerprint);

    // Every bit counts.
    for at in (0..128).chain([bytes.len() - 1]) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        std::fs::write(&file, &flipped).unwrap();
        assert!(Corpus::open_cached(cache.path(), &fingerprint).is_err(), "byte {at}");
    }
    for bad in ["", "../x", "zz"] {
        assert!(Corpus::open_cached(cache.path(), bad).is_err());
    }
    std::fs::write(&path, poems()).unwrap();
    let mended = open(&path, &bpe(600), cache.path());
    assert_eq!(mended.unwrap().train(0, 4), tokens[..4]);
}

#[test]
fn a_folder_of_books_is_held_out_by_stretches() {
    let book = |name: &str| (0..3000).map(|i| format!("{name} says line {i} of the book\n")).collect::<String>();
    let dir = folder(&[
        ("a.txt", book("Ada").as_bytes()),
        ("b/c.md", book("Bob").as_bytes()),
        ("empty.txt", b" \n"),
        ("bad.txt", &[0xff; 99]),
        ("code.rs", b"fn main"),
    ]);
    let cache = tempfile::tempdir().unwrap();
    let corpus = open(dir.path(), &characters(), cache.path()).unwrap();
    let manifest = corpus.manifest();
    assert_eq!((corpus.documents(), manifest.counts.rejected, manifest.counts.ignored), (2, 1, 1));
    assert_eq!(manifest.split, TextSplit::Blocks);
    assert!(manifest.rejects[0].name == "bad.txt" && manifest.rejects[0].reason.contains("UTF-8"));
    let [train, heldout] = texts(&corpus);
    let mut lines: Vec<&str> = train.iter().chain(&heldout).flat_map(|part| part.lines()).collect();
    lines.sort_unstable();
    let both = book("Ada") + &book("Bob");
    let mut wanted: Vec<&str> = both.lines().collect();
    wanted.sort_unstable();
    assert_eq!(lines, wanted);
    let share = corpus.heldout_bytes() as f64 / both.len() as f64;
    assert!((share - 0.1).abs() < 0.01, "{share}");
    // A corpus without rare characters has no other tokens.
    assert_eq!(corpus.tokenizer().vocabulary(), 1 + both.chars().collect::<std::collections::BTreeSet<_>>().len());
    assert!(!manifest.outline().config.source.contains('/') && manifest.outline().files.is_empty());
}

#[test]
fn nothing_to_read_is_one_clear_error() {
    let cache = tempfile::tempdir().unwrap();
    for (files, word) in [
        (&[("a.txt", b"".as_slice())][..], "white space"),
        (&[("a.txt", b" \n\n\t".as_slice())], "white space"),
        (&[("a.txt", [0xb4, 0xba].repeat(99).as_slice())], "not UTF-8"),
        (&[("a.txt", [0u8; 500].as_slice())], "no text"),
        (&[("a.jsonl", b"{}\n[]\n".as_slice())], "text"),
    ] {
        let error = open(folder(files).path(), &characters(), cache.path()).unwrap_err();
        assert!(error.message.contains(word) && error.hint.is_some(), "{error}");
    }
    let dir = folder(&[("a.txt", b"some text".as_slice())]);
    for config in
        [bpe(100), CorpusConfig { holdout: 0.9, ..characters() }, CorpusConfig { vocabulary: 1, ..characters() }]
    {
        assert!(open(dir.path(), &config, cache.path()).unwrap_err().message.contains("corpus."));
    }
    let tiny = open(dir.path(), &characters(), cache.path()).unwrap();
    assert_eq!((tiny.heldout_len(), texts(&tiny)[0].concat().as_str()), (0, "some text"));
}

#[test]
fn odd_text_in_bounded_memory() {
    // One line of 40 MB without a space: what stays in memory are chunks of a MiB. (A GB takes the same way.)
    let line = "無空格".repeat(40_000_000 / 9);
    let dir = folder(&[("line.txt", line.as_bytes())]);
    let cache = tempfile::tempdir().unwrap();
    let corpus = open(dir.path(), &characters(), cache.path()).unwrap();
    assert_eq!(corpus.train_bytes() + corpus.heldout_bytes(), line.len() as u64);
    assert_eq!(corpus.tokenizer().vocabulary(), 4);
    assert_eq!(corpus.tokenizer().decode(&corpus.train(0, 4)), "無空格無");
    let check = check_text(&scan_text(dir.path().to_str().unwrap()).unwrap(), Documents::Auto, &|_, _| ()).unwrap();
    assert_eq!((check.found.lines, check.found.longest_line), (1, line.chars().count() as u64));
}

#[test]
fn what_a_check_says() {
    let dir = folder(&[("p.txt", poems().as_bytes()), ("bad.txt", &[0xff; 99])]);
    let scan = scan_text(dir.path().to_str().unwrap()).unwrap();
    let check = check_text(&scan, Documents::Auto, &|_, _| ()).unwrap();
    assert_eq!((check.documents, check.distinct, check.rejects.len(), check.files.len()), (61, 60, 1, 1));
    assert_eq!(check.scripts[0], ("Han".to_string(), 61 * 25));
    assert_eq!(check.found.characters, poems().chars().count() as u64);
    assert_eq!(check.suggested_tokenizer, TokenizerKind::Characters);
    assert!(check.distinct_characters > 200 && !check.notes.is_empty());
}

#[test]
fn real_corpora() {
    // Documents, split, rough size of the vocabulary; counted by an independent script.
    for (name, documents, split, vocabulary) in [
        ("tang300.txt", 320, TextSplit::Documents, 1500..2300),
        ("folk_abc.txt", 4240, TextSplit::Documents, 90..110),
        ("alice29.txt", 1, TextSplit::Blocks, 65..80),
        ("kjv.txt", 1, TextSplit::Blocks, 64..65),
    ] {
        let Some(path) = real(&format!("text/{name}")) else { continue };
        let cache = tempfile::tempdir().unwrap();
        let corpus = open(&path, &characters(), cache.path()).unwrap();
        let manifest = corpus.manifest();
        assert_eq!((corpus.documents(), manifest.split), (documents, split), "{name}: {:?}", manifest.notes);
        assert!(vocabulary.contains(&corpus.tokenizer().vocabulary()), "{name}: {}", corpus.tokenizer().vocabulary());
        let share = corpus.heldout_bytes() as f64 / (corpus.heldout_bytes() + corpus.train_bytes()) as f64;
        assert!((0.07..0.14).contains(&share), "{name}: {share}");
        let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap().replace("\r\n", "\n");
        let [train, heldout] = texts(&corpus);
        assert!(train.iter().chain(&heldout).all(|part| text.contains(&part.replace('\u{1a}', ""))), "{name}");
    }
}

#[test]
fn text_in_other_encodings_is_read_or_named() {
    let text = "吾輩は猫である。名前はまだ無い。\nどこで生れたか頓と見当がつかぬ。\n\n".repeat(20);
    let check = |bytes: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        std::fs::write(&path, bytes).unwrap();
        check_text(&scan_text(path.to_str().unwrap()).unwrap(), Documents::Auto, &|_, _| ())
    };
    let plain = check(text.as_bytes()).unwrap();
    let marked = format!("\u{feff}{text}");
    for bytes in [
        marked.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>(),
        marked.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        marked.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect(),
    ] {
        let found = check(&bytes).unwrap();
        assert_eq!((found.scripts, found.documents, found.found.replaced), (plain.scripts.clone(), plain.documents, 0));
    }
    let western = "Größe und Länge der Bären, für alle Fälle, überall schön.\n".repeat(9);
    let russian = "Мороз и солнце; день чудесный! Ещё ты дремлешь, друг прелестный.\n".repeat(9);
    let chinese = "床前明月光，疑是地上霜。舉頭望明月，低頭思故鄉。\n".repeat(9);
    for (encoding, text, name) in [
        (encoding_rs::SHIFT_JIS, &text, "CP932"),
        (encoding_rs::EUC_JP, &text, "EUC-JP"),
        (encoding_rs::WINDOWS_1252, &western, "CP1252"),
        (encoding_rs::KOI8_R, &russian, "KOI8-"),
        (encoding_rs::BIG5, &chinese, "Big5"),
        (encoding_rs::GB18030, &chinese, "GB18030"),
    ] {
        let error = check(&encoding.encode(text).0).unwrap_err().message;
        let start: String = text.chars().take(12).collect();
        assert!(error.contains("not UTF-8") && error.contains(&format!("iconv -f {name}")), "{error}");
        assert!(error.contains(&format!("\"{start}")), "{error}");
    }
    // A damaged byte, and a piece that ends inside a character, change nothing.
    let one_line = text.replace('\n', "");
    let mut damaged = encoding_rs::SHIFT_JIS.encode(&one_line).0.into_owned();
    damaged[40] = 0xff;
    damaged.pop();
    let error = check(&damaged).unwrap_err().message;
    assert!(error.contains("iconv -f CP932"), "{error}");
    for (name, bytes) in [
        ("UTF-16LE", text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()),
        ("UTF-16BE", text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
    ] {
        let error = check(&bytes).unwrap_err().message;
        assert!(error.contains(&format!("iconv -f {name}")) && error.contains("\"吾輩は猫"), "{error}");
    }
    let plain: Vec<u8> = "a line of text\n".repeat(9).encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(check(&plain).unwrap_err().message.contains("iconv -f UTF-16LE"));
}

#[test]
fn text_that_this_program_wrote_is_no_data() {
    use crate::provenance::{label::sample_text, text};
    let (dir, provenance) = (tempfile::tempdir().unwrap(), sample_text());
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("poem.txt", "a line of a person\n");
    write("plain.txt", &text::plain("generated", &provenance).unwrap());
    write("front.md", &text::markdown("generated", &provenance).unwrap());
    write("tune.abc", &text::abc("X:1\nK:C\nCDE\n", &provenance).unwrap());
    write("lines.jsonl", &text::json("generated", "stop", 3, &provenance).unwrap());
    let scan = scan_text(dir.path().to_str().unwrap()).unwrap();
    assert_eq!(scan.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["poem.txt"]);
    assert_eq!(scan.rejects.len(), 4);
    assert!(scan.rejects.iter().all(|reject| reject.reason.contains("written by Maliang")));
    let error = scan_text(dir.path().join("plain.txt").to_str().unwrap()).unwrap_err();
    assert!(error.message.contains("written by Maliang"), "{error}");
}
