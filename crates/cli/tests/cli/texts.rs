//! Training on text: every kind of source, kill and resume, what is shown, what is refused.

use crate::support::{Answer, Place};
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

/// Settings that make a step take a millisecond or two and save often.
const SMALL: &str = "--set model.layers=1 --set model.width=32 --set model.context=16 --set train.batch=4 \
                     --set train.look_every=10 --set text.sample_tokens=10";

/// Sixty short poems with a blank line between them.
fn poems() -> String {
    let poem = |i: usize| format!("春风{i}吹又生，\n江上{}声。\nthe moon of night {}\n\n", i % 7, i % 5);
    (0..60).map(poem).collect()
}

fn place() -> Place {
    let place = Place::new();
    std::fs::write(place.path("poems.txt"), poems()).unwrap();
    place
}

/// The step of the newest checkpoint.
fn step(place: &Place, run: &str) -> u64 {
    place.pointed(run, "last").file_name().unwrap().to_str().unwrap().parse().unwrap()
}

#[test]
fn from_a_text_to_a_run() {
    let place = place();
    let answer = place.ok(&format!("train poems.txt --steps 30 {SMALL}"));
    assert_eq!(answer.out, "runs/poems-1\n");
    for said in [
        "of text",
        "tokens",
        "characters",
        "gpt → runs/poems-1",
        "texts: runs/poems-1/samples",
        "tokens/s",
        "bits_per_byte",
    ] {
        answer.says(said);
    }
    answer.says("next: maliang generate runs/poems-1 --prompt");
    for name in ["run.toml", "data.json", "metrics.jsonl", "report.html", "best", "last", "samples/00000000.txt"] {
        assert!(place.path("runs/poems-1").join(name).is_file(), "{name}");
    }
    let settings = String::from_utf8(place.bytes("runs/poems-1/run.toml")).unwrap();
    for part in ["[corpus]", "[model]", "[train]", "[text]"] {
        assert!(settings.contains(part), "{part} is not in\n{settings}");
    }
    let sample = String::from_utf8(place.bytes("runs/poems-1/samples/00000030.txt")).unwrap();
    assert!(sample.starts_with("AI生成 AI-generated"), "{sample}");
    let report = String::from_utf8(place.bytes("runs/poems-1/report.html")).unwrap();
    assert!(report.contains("Bits per byte") && report.contains("Texts over time") && report.contains("AI生成"));
    let here = place.path("").display().to_string();
    assert!(!report.contains(here.trim_end_matches('/')), "paths of this machine stay out of the report");

    let listed = place.ok("runs").out;
    assert!(listed.contains("poems-1") && listed.contains("gpt") && listed.contains("30"), "{listed}");
    let shown = place.ok("show runs/poems-1").out;
    for word in ["poems.txt", "gpt", "vocabulary", "30 steps", "1920 tokens", "heldout_bits_per_byte", "texts"] {
        assert!(shown.contains(word), "{word} is not in\n{shown}");
    }
    let json: serde_json::Value = serde_json::from_str(&place.ok("show runs/poems-1 --json").out).unwrap();
    assert_eq!((&json["config"]["model"]["family"], &json["last_look"]["step"]), (&"gpt".into(), &30.into()));
    let model = place.pointed("runs/poems-1", "best").join("model.safetensors").display().to_string();
    let json: serde_json::Value = serde_json::from_str(&place.ok(&format!("show {model}")).out).unwrap();
    assert_eq!(json["model"]["data"], "poems.txt");
}

#[test]
fn every_kind_of_source() {
    let place = place();
    std::fs::create_dir_all(place.path("poems/old")).unwrap();
    std::fs::write(place.path("poems/a.txt"), poems()).unwrap();
    std::fs::write(place.path("poems/old/b.md"), poems().replace("moon", "sun")).unwrap();
    let lines =
        poems().split("\n\n").map(|poem| format!("{}\n", serde_json::json!({"text": poem}))).collect::<String>();
    std::fs::write(place.path("poems.jsonl"), lines).unwrap();
    for (source, family) in [("poems/", "lstm"), ("poems.jsonl", "gpt")] {
        place.ok(&format!("train {source} --model {family} --steps 5 {SMALL} --out r-{family}"));
        assert_eq!(step(&place, &format!("r-{family}")), 5);
    }
    let mut command = place.command(&format!("train - --steps 5 {SMALL}"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(poems().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"runs/stdin-1\n"[..]), "{err}");
    // What came through the pipe is in the cache: the run goes on without it.
    place.ok("train runs/stdin-1 --steps 8");
    assert_eq!(step(&place, "runs/stdin-1"), 8);
    place.ok("train poems.txt --steps 5 --config r-gpt/run.toml --out again");
    assert_eq!(step(&place, "again"), 5);
}

/// Killed as often as it takes: in the end the same bytes as of a run that nobody disturbed.
#[cfg(unix)]
#[test]
fn killed_at_any_instant() {
    let place = place();
    // So small a text is soon learnt; whether that stops the run depends on the last digits of the machine.
    let settings = format!("{SMALL} --steps 1500 --set train.patience=0");
    let (mut kills, mut random, mut before) = (0, 1u64, 0);
    let mut running = place.start(&format!("train poems.txt {settings} --out r"));
    running.wait_for("step     10");
    loop {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(5 + (random >> 33) % 120));
        if !running.kill() {
            break;
        }
        kills += 1;
        let now = step(&place, "r");
        assert!(now >= before, "a kill lost a checkpoint: {before} → {now}");
        before = now;
        if kills == 20 {
            break;
        }
        running = place.start("train r");
    }
    assert!(kills > 2, "it was killed only {kills} times");
    place.ok("train r");
    place.ok(&format!("train poems.txt {settings} --set train.look_every=1000000 --out twin"));
    assert_eq!((step(&place, "r"), step(&place, "twin")), (1500, 1500));
    assert!(place.weights("r") == place.weights("twin"), "the weights differ from those of an uninterrupted run");
    place.no_leftovers("r");
}

#[test]
fn what_belongs_to_pictures_is_refused() {
    let place = place();
    for (more, word) in [
        ("--size 64", "--size is for pictures"),
        ("--fit pad", "--fit is for pictures"),
        ("--race", "--race is for pictures"),
        ("--init poems.txt", "--init is for pictures"),
        ("--model dcgan", "no model family \"dcgan\" for text"),
        ("--set train.flip=true", "train.flip mirrors pictures"),
        ("--set corpus.tokeniser=bpe", "tokeniser"),
        ("--set gan.r1=1", "gan"),
        ("--set model.context=4000", "too short for a context of 4000"),
    ] {
        place.refused(2, &format!("train poems.txt --steps 5 {more}"), &[word]);
    }
    assert!(!place.path("runs").exists(), "nothing is left behind");
    std::fs::write(place.path("r.toml"), "[train]\nsteps = 1\n[claim]\npasses = [\"copying\"]\n").unwrap();
    place.refused(2, "recipe r.toml poems.txt", &["for pictures so far"]);
    place.ok(&format!("train poems.txt --steps 5 {SMALL} --out r"));
    place.refused(2, "train r --set train.lr=1", &["settings are fixed"]);
    place.refused(2, "explain r", &["text"]);
    place.refused(2, "train emoji:food --out r", &["holds a run on", "poems.txt"]);
    std::fs::write(place.path("empty.txt"), "").unwrap();
    let answer: Answer = place.run("train empty.txt --steps 5");
    answer.refused(2, &["empty.txt"], "an empty text");
}

#[test]
fn a_writer_is_judged_and_leaves_scores_report_and_card() {
    let place = place();
    // Larger than what is too small to judge by: 600 poems.
    let many: String =
        (0..600).map(|i| format!("春风{i}吹又生，\n江上{}声。\nmoon {}\n\n", i * 7 % 613, i * 31 % 601)).collect();
    std::fs::write(place.path("poems.txt"), many).unwrap();
    place.ok(&format!("train poems.txt --steps 20 {SMALL} --out r"));
    let answer = place.ok("judge r -n 12 --seed 3");
    for word in ["heldout_bits_per_byte_n", "5-gram model", "distinct_2_n", "copycat", "controls", "r/card.md"] {
        assert!(answer.out.contains(word), "{word} in\n{}", answer.out);
    }
    for line in answer.out.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let scores: serde_json::Value = serde_json::from_slice(&place.bytes("r/scores.json")).unwrap();
    assert_eq!((&scores["modality"], &scores["seed"]), (&"text".into(), &3.into()));
    let bits = &scores["heldout"]["bits_per_byte"];
    assert!(bits["low"].as_f64() <= bits["value"].as_f64() && bits["value"].as_f64() <= bits["high"].as_f64());
    let pieces = String::from_utf8(place.bytes("r/judged/pieces.jsonl")).unwrap();
    assert!(pieces.lines().count() == 12 && pieces.lines().all(|line| line.contains("\"aigc\"")));
    let card = String::from_utf8(place.bytes("r/card.md")).unwrap();
    assert!(
        card.contains("AIGC: '")
            && card.contains("pipeline_tag: text-generation")
            && card.contains("n-gram") | card.contains("5-gram")
    );
    let report = String::from_utf8(place.bytes("r/report.html")).unwrap();
    for word in ["heldout_bits_per_byte_n", "Copying", "Judging", "Settings", "AI生成"] {
        assert!(report.contains(word), "{word}");
    }
    let folder = place.path("").display().to_string();
    assert!(!report.contains(&folder) && !card.contains(&folder), "paths of this machine stay out");
    // The same again, to the byte.
    let before = place.bytes("r/scores.json");
    place.ok("judge r -n 12 --seed 3 --json");
    assert_eq!(place.bytes("r/scores.json"), before);
    place.refused(2, "judge r --features randomconv", &["--features", "pictures"]);
    place.refused(2, "judge r -n 0", &["-n 0"]);
    let model = place.pointed("r", "best").join("model.safetensors");
    std::fs::copy(place.path(model), place.path("alone.safetensors")).unwrap();
    place.refused(2, "judge alone.safetensors", &["alone.safetensors", "does not hold the text"]);
}

#[test]
fn text_is_checked_before_training() {
    let place = place();
    std::fs::write(place.path("poems.txt"), [poems().as_bytes(), b"\xff\x00"].concat()).unwrap();
    let answer = place.ok("data check poems.txt");
    for word in
        ["61 documents", "Han", "Latin", "blank lines", "U+FFFD", "control character", "maliang train poems.txt"]
    {
        assert!(answer.out.contains(word), "{word} in\n{}", answer.out);
    }
    let json: serde_json::Value = serde_json::from_str(&place.ok("data check poems.txt --json").out).unwrap();
    assert_eq!((&json["documents"], &json["found"]["replaced"]), (&61.into(), &1.into()));
    for (name, bytes, word) in [
        ("empty.txt", &b""[..], "white space"),
        ("gbk.txt", &b"\xb4\xba\xcc\xec\n".repeat(50), "not UTF-8"),
        ("zero.txt", &[0; 400], "no text"),
        ("none.jsonl", b"{\"n\":1}\n", "text"),
    ] {
        std::fs::write(place.path(name), bytes).unwrap();
        place.refused(2, &format!("data check {name}"), &[name, word]);
        place.refused(2, &format!("train {name} --steps 1 --out x"), &[name, word]);
        assert!(!place.path("x").exists());
    }
}
