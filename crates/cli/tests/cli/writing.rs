//! Text and music from a trained model: what is printed, what is written, how it is labelled, what is refused.

use crate::lookup::skip;
use crate::support::{Answer, Place};
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;

/// A network that trains in a moment, and says little sense.
const SMALL: &str = "--set model.layers=1 --set model.width=32 --set model.context=32 --set train.batch=8 \
                     --set train.look_every=1000 --set text.sample_tokens=10";
const LABEL: &str = "AI生成 AI-generated · Maliang ";
const SOURCE_TYPE: &str = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia";

/// A model of short poems, in the run `r`.
fn poet() -> Place {
    let place = Place::new();
    let poem = |i: usize| format!("春风{i}吹又生，\n江上{}声。\nthe moon of night {}\n\n", i % 7, i % 5);
    std::fs::write(place.path("poems.txt"), (0..60).map(poem).collect::<String>()).unwrap();
    place.ok(&format!("train poems.txt --steps 40 {SMALL} --out r"));
    place
}

/// A model of one tune with a few variants, which it learns by heart, in the run `r`.
fn fiddler() -> Place {
    let place = Place::new();
    let notes = ["GABc d2B2", "cBAG E2D2", "GABd c2A2"];
    let tune = |i: usize| {
        let bars: Vec<&str> = (0..4).map(|k| notes[(i + k * (i % 3)) % 3]).collect();
        format!("X: {}\nT: Reel\nM: C\nL: 1/8\nK: G\n|:{}:|\n\n\n", i % 10, bars.join("|"))
    };
    std::fs::write(place.path("tunes.txt"), (0..80).map(tune).collect::<String>()).unwrap();
    place.ok(&format!("train tunes.txt --steps 250 {SMALL} --set train.lr=5e-3 --out r"));
    place
}

/// BLAKE3 of the model that `generate` uses for a run.
fn hash(place: &Place, run: &str) -> String {
    let model = place.path(place.pointed(run, "best").join("model.safetensors"));
    maliang::files::blake3_file(&model).unwrap()
}

/// Checks label and recipe of piece `index` of seed 7.
#[track_caller]
fn check(aigc: &str, source: &str, recipe: &str, hash: &str, index: u64) {
    let label: Value = serde_json::from_str(aigc).unwrap_or_else(|error| panic!("{error}: {aigc}"));
    assert_eq!(label["Label"], "1");
    assert!(label["ContentProducer"].as_str().unwrap().starts_with("Maliang "));
    assert_eq!(label["ProduceID"], format!("{hash}-7-{index}"));
    assert_eq!(source, SOURCE_TYPE);
    let recipe: Value = serde_json::from_str(recipe).unwrap();
    assert_eq!(
        (&recipe["model_hash"], &recipe["index"], &recipe["request"]["seed"]),
        (&hash.into(), &index.into(), &7.into())
    );
}

/// The value behind `name: ` in one of the lines.
fn line<'a>(lines: &[&'a str], name: &str) -> &'a str {
    lines.iter().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} in {lines:?}"))
}

#[test]
fn text_goes_to_stdout_and_repeats() {
    let place = poet();
    let text = place.ok("generate r --prompt 春 -n 2 --max-tokens 40 --seed 7 --temperature 0.7").out;
    let labels: Vec<&str> = text.lines().filter(|line| line.starts_with(LABEL)).collect();
    assert!(text.starts_with(LABEL) && labels.len() == 2, "{text}");
    let short = &hash(&place, "r")[..12];
    assert!(labels[1].contains(short) && labels[1].contains("seed 7 number 1"), "{}", labels[1]);
    assert!(labels[0].contains("--max-tokens 40 --temperature 0.7 · the first character is the prompt"));
    let pieces: Vec<&str> = text.split(labels[1]).collect();
    assert!(pieces.iter().all(|piece| piece.contains("\n\n春")), "{text}");
    assert_eq!(text, place.ok("generate r --prompt 春 -n 2 --max-tokens 40 --seed 7 --temperature 0.7").out);
    let alone = place.ok("generate r --prompt 春 --max-tokens 40 --seed 7 --temperature 0.7").out;
    assert!(text.starts_with(alone.as_str()), "the first piece is the same, whatever follows");
    assert_ne!(alone, place.ok("generate r --prompt 春 --max-tokens 40 --seed 8 --temperature 0.7").out);
    let stopped = place.ok("generate r --max-tokens 200 --stop \\n --temperature 0").out;
    assert_eq!(stopped.trim_end().lines().count(), 3, "label, empty line, one line of text: {stopped}");
    let lines = place.ok("generate r --prompt 春\\n春 --max-tokens 5").out;
    assert!(lines.contains("\n\n春\n春"), "{lines}");
    let word = "the moon of night";
    let greedy = |seed: u64| {
        let mut command = place.command(&format!("generate r --temperature 0 --max-tokens 20 --seed {seed}"));
        Answer::of(command.args(["--prompt", word])).out.lines().skip(1).collect::<String>()
    };
    assert_eq!(greedy(1), greedy(2), "nothing is left to chance");
}

#[test]
fn every_text_file_is_labelled() {
    let place = poet();
    let hash = hash(&place, "r");
    for format in ["text", "markdown", "json"] {
        place.ok(&format!("generate r -n 2 --seed 7 --max-tokens 30 --prompt 江 --format {format} --out a"));
    }
    place.ok("generate r --seed 7 --max-tokens 30 --prompt 江 --temperature 0.5 --format text --out a");
    let read = |name: &str| String::from_utf8(place.bytes(format!("a/{name}"))).unwrap();
    assert_eq!(place.files("a").len(), 7, "other settings have another name: {:?}", place.files("a").keys());

    let text = read("seed7-江-0001.txt");
    assert!(text.starts_with(LABEL) && text.contains("seed 7 number 1") && text.contains("\n\n江"), "{text}");

    let markdown = read("seed7-江-0001.md");
    let (matter, body) = markdown.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap();
    let lines: Vec<&str> = matter.lines().collect();
    check(line(&lines, "AIGC: "), line(&lines, "DigitalSourceType: "), line(&lines, "recipe: "), &hash, 1);
    assert_eq!(body.trim(), text.split_once("\n\n").unwrap().1.trim());

    let object: Value = serde_json::from_str(&read("seed7-江-0001.json")).unwrap();
    check(
        &object["aigc"].to_string(),
        object["digital_source_type"].as_str().unwrap(),
        &object["recipe"].to_string(),
        &hash,
        1,
    );
    assert_eq!(object["text"].as_str().unwrap().trim(), body.trim());
    assert!(object["tokens"].as_u64().unwrap() <= 30);
    let printed = place.ok("generate r -n 2 --seed 7 --max-tokens 30 --prompt 江 --format json").out;
    assert_eq!(printed.lines().nth(1), Some(read("seed7-江-0001.json").trim_end()), "one object a line");
}

/// The chunks of a RIFF file.
fn riff(bytes: &[u8]) -> Vec<(&[u8], &[u8])> {
    assert_eq!((&bytes[..4], &bytes[8..12]), (&b"RIFF"[..], &b"WAVE"[..]));
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    assert_eq!(number(4), bytes.len() - 8);
    let (mut chunks, mut at) = (Vec::new(), 12);
    while at < bytes.len() {
        let length = number(at + 4);
        chunks.push((&bytes[at..at + 4], &bytes[at + 8..at + 8 + length]));
        at += 8 + length + length % 2;
    }
    chunks
}

#[test]
fn music_is_played_and_labelled() {
    let place = fiddler();
    let hash = hash(&place, "r");
    let mut said = String::new();
    for format in ["abc", "midi", "wav"] {
        said += &place.ok(&format!("generate r --seed 7 --temperature 0.2 --format {format} --out a")).err;
    }
    let abc = String::from_utf8(place.bytes("a/seed7-X-t0.2-0000.abc")).unwrap();
    assert_eq!(said, "", "it has learned how a tune is written:\n{abc}");
    let lines: Vec<&str> = abc.lines().collect();
    check(line(&lines, "% AIGC: "), line(&lines, "% DigitalSourceType: "), line(&lines, "% recipe: "), &hash, 0);
    assert!(lines[3].starts_with("X:") && lines.contains(&"K: G") && !abc.contains("\n\n"), "one tune: {abc}");

    let midi = place.bytes("a/seed7-X-t0.2-0000.mid");
    assert_eq!(&midi[..4], b"MThd");
    let text = String::from_utf8_lossy(&midi);
    let json = |name: &str| {
        let start = text.find(name).unwrap_or_else(|| panic!("{name}")) + name.len();
        serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>().next().unwrap().unwrap().to_string()
    };
    let at = text.find(SOURCE_TYPE).expect("the source type");
    check(&json("AIGC: "), &text[at..at + SOURCE_TYPE.len()], &json("recipe: "), &hash, 0);
    assert!(midi.windows(4).filter(|bytes| bytes == b"MTrk").count() >= 2, "a track of tempo and one of notes");

    let wav = place.bytes("a/seed7-X-t0.2-0000.wav");
    let chunks = riff(&wav);
    let chunk = |id: &[u8]| chunks.iter().find(|(found, _)| *found == id).expect("a chunk").1;
    let xmp = String::from_utf8(chunk(b"_PMX").to_vec()).unwrap();
    let recipe = xmp.split_once("<maliang:recipe>").unwrap().1.split_once('<').unwrap().0.replace("&quot;", "\"");
    assert!(xmp.contains(SOURCE_TYPE));
    check(std::str::from_utf8(chunk(b"AIGC")).unwrap(), SOURCE_TYPE, &recipe, &hash, 0);
    let loudest =
        chunk(b"data").chunks_exact(2).map(|s| i16::from_le_bytes([s[0], s[1]]).unsigned_abs()).max().unwrap();
    assert!(chunk(b"data").len() > 44_100 && (20_000..32_767).contains(&loudest), "a second of sound or more");
}

#[test]
fn what_is_no_music_is_said() {
    let place = poet();
    let answer = place.run("generate r --seed 7 --max-tokens 30 --format wav --out a");
    assert_eq!((answer.code, answer.out.as_str()), (Some(2), ""));
    answer.says("it contains no tune").says("is music that can be played").says("--format abc");
    assert!(place.ok("generate r --seed 7 --max-tokens 30 --format abc --out a").err.contains("note: "));
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let place = poet();
    for (more, words) in [
        ("--prompt 貓犬", &["never seen", "貓犬"][..]),
        ("--max-tokens 0", &["max-tokens 0"]),
        ("--temperature -1", &["temperature -1"]),
        ("--top-p 0", &["top-p 0"]),
        ("--min-p 2", &["min-p 2"]),
        ("--repetition-penalty 0", &["repetition penalty 0"]),
        ("-n 0", &["-n 0"]),
        ("--class cats", &["makes text", "--class is for pictures"]),
        ("--truncation 0.7", &["--truncation is for pictures"]),
        ("--format png", &["--format png is for pictures"]),
        ("--interpolate 4", &["--interpolate is for pictures"]),
        ("--producer 123", &["27", "123"]),
    ] {
        place.refused(2, &format!("generate r {more} --out a"), words);
    }
    assert!(!place.path("a").exists(), "nothing is left behind");
    place.refused(1, "write poems.txt", &["poems.txt"]);
    place.train("p", 1, "");
    place.refused(2, "generate p --prompt x", &["makes pictures", "--prompt is for text"]);
    place.refused(2, "generate p --format midi", &["makes pictures", "--format is for text"]);
    place.refused(2, "write p", &["makes pictures"]);
}

/// Types these lines into `maliang write`.
fn typed(place: &Place, arguments: &str, lines: &str) -> Answer {
    let mut command = place.command(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Answer { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn a_conversation() {
    let place = poet();
    let whole = typed(&place, "write r --seed 3 --max-tokens 12", "春\n/quit\nnever read\n");
    assert_eq!(whole.code, Some(0), "{}", whole.err);
    assert!(whole.out.starts_with(LABEL) && whole.out.contains("\n\n春"), "{}", whole.out);
    assert!(!whole.out.contains("never read"));
    let halves = typed(&place, "write r --seed 3 --max-tokens 6", "春\n/more\n");
    let text = |answer: &Answer| answer.out.split_once("\n\n").unwrap().1.replace('\n', "");
    assert_eq!(text(&halves), text(&whole), "what goes on is what would have come");

    let lines = "/more\n/temperature 0\n/temperature hot\n/nonsense\n貓\n/help\n/settings\n江上\n/seed 9\n/again\n";
    let answer = typed(&place, "write r --max-tokens 5", lines);
    assert_eq!(answer.code, Some(0));
    for said in [
        "there is no text yet",
        "needs a number, not \"hot\"",
        "no command /nonsense",
        "never seen these characters of the prompt: 貓",
        "/again  ",
        "--temperature 0",
    ] {
        answer.says(said);
    }
    assert_eq!(answer.out.matches(LABEL).count(), 2, "{}", answer.out);
    assert_eq!(answer.out.matches("\n\n江上").count(), 2);
    assert!(answer.out.contains("seed 9 number 0"));
}

/// In a terminal, which `script` plays: Ctrl-C ends the text and not the program.
#[test]
#[cfg(target_os = "linux")]
fn an_interrupt_ends_a_text_and_the_dialogue_goes_on() {
    if std::process::Command::new("script").arg("--version").output().is_err() {
        return skip("the program script, which plays a terminal", "install it (Debian's package bsdutils)");
    }
    let place = Place::new();
    // One document, and always the likeliest token: such a text has no end.
    std::fs::write(place.path("one.txt"), "the moon and the river. ".repeat(200)).unwrap();
    place.ok(&format!("train one.txt --steps 5 {SMALL} --out r"));
    let program = env!("CARGO_BIN_EXE_maliang");
    let mut command = std::process::Command::new("script");
    command.args(["-qec", &format!("exec {program} write r --temperature 0 --max-tokens 10000000"), "/dev/null"]);
    command.current_dir(place.path("")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut seen = Vec::new();
    let mut wait_for = |word: &str| {
        let mut byte = [0];
        while !String::from_utf8_lossy(&seen).contains(word) {
            let read = std::io::Read::read(&mut screen, &mut byte).unwrap();
            assert!(read > 0, "{word} never came: {}", String::from_utf8_lossy(&seen));
            seen.extend(byte);
        }
        seen.clear();
    };
    wait_for("> ");
    for _ in 0..2 {
        keys.write_all(b"the\n").unwrap();
        wait_for("AI生成");
        wait_for("\r\n\r\n");
        keys.write_all(b"\x03").unwrap();
        wait_for("(/more continues it)");
        wait_for("> ");
    }
    keys.write_all(b"/quit\n").unwrap();
    drop(keys);
    assert!(child.wait().unwrap().success());
}
