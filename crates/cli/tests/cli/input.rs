//! What cannot be used is refused with one clear sentence, before anything is written.

use crate::support::{Place, TINY};

/// Refused by training, with exit code 2 and without a run directory.
#[track_caller]
fn refused(place: &Place, arguments: &str, words: &[&str]) {
    // Should it be accepted after all, it must not train for its default ten minutes.
    let brief = if arguments.contains("--steps") || arguments.contains("--minutes") { "" } else { "--steps 1" };
    place.refused(2, &format!("train {arguments} --out r {brief}"), words);
    assert!(!place.path("r").exists(), "train {arguments} left a run directory");
}

#[test]
fn sources_that_hold_nothing() {
    let place = Place::new();
    refused(&place, "nowhere/", &["nowhere"]);
    refused(&place, "", &["nothing to train on", "emoji:"]);
    std::fs::create_dir(place.path("empty")).unwrap();
    refused(&place, "empty", &["empty"]);
    std::fs::create_dir(place.path("bad")).unwrap();
    for name in ["a.png", "b.jpg"] {
        std::fs::write(place.path("bad").join(name), "no picture").unwrap();
    }
    refused(&place, "bad", &["bad"]);
    place.pictures("one", 1, png::ColorType::Rgb);
    refused(&place, "one", &["1 usable picture", "at least 2"]);
    // The same picture many times is one picture.
    for i in 0..5 {
        std::fs::copy(place.path("one/000.png"), place.path(format!("one/copy-{i}.png"))).unwrap();
    }
    refused(&place, "one", &["1 usable picture"]);
    refused(&place, "emoji:dragons", &["dragons", "animals", "food"]);
    refused(&place, "emoji:", &["group"]);
    std::fs::write(place.path("some.zip"), "no archive").unwrap();
    refused(&place, "some.zip", &["some.zip"]);
}

#[test]
fn settings_out_of_range() {
    let place = Place::new();
    for (arguments, words) in [
        ("--size 0", &["0x0", "16 to 256"][..]),
        ("--size 7x9999", &["7x9999", "16 to 256"]),
        ("--size 99999999999999999999", &["--size 99999999999999999999"]),
        ("--size abc", &["--size abc", "96x64"]),
        ("--size 64x", &["--size 64x"]),
        ("--size 64x64x3", &["--size 64x64x3"]),
        ("--size -5", &["--size -5"]),
        ("--steps 0", &["limit"]),
        ("--minutes -1", &["minutes", "-1"]),
        ("--minutes nan", &["minutes"]),
        ("--minutes 0", &["limit"]),
        ("--model gpt", &["gpt", "dcgan", "vae"]),
        ("--seed 18446744073709551615", &["seed", "18446744073709551615"]),
        ("--set train.lr", &["train.lr", "="]),
        ("--set train.learning_rate=1", &["learning_rate"]),
        ("--set trane.lr=1", &["trane"]),
        ("--set train.batch=many", &["batch", "many"]),
        ("--set train.batch=1", &["train.batch", "between 2"]),
        ("--set train.batch=1000000000", &["train.batch"]),
        ("--set train.batch=-4", &["batch"]),
        ("--set train.lr=-1", &["train.lr", "-1"]),
        ("--set train.lr=nan", &["train.lr"]),
        ("--set train.weight_decay=-1", &["train.weight_decay", "between 0"]),
        ("--set train.clip_norm=-1", &["train.clip_norm", "between 0"]),
        ("--set train.clip_norm=inf", &["train.clip_norm"]),
        ("--set train=3", &["train"]),
        ("--set data.fit=squeeze", &["squeeze"]),
        ("--set data.channels=2", &["channels", "2"]),
        ("--set data.holdout=0.9", &["data.holdout", "0.9"]),
        ("--set data.width=48", &["width"]),
        ("--set model.z_dim=0", &["z_dim"]),
        ("--set model.stack.base=100000", &["stack.base"]),
        ("--set model.stack.width=1000000", &["1000000"]),
        ("--set gan.loss=hopeful", &["hopeful"]),
        ("--set gan.critic_steps=0", &["critic_steps"]),
        ("--set vae.beta=-1", &["vae.beta"]),
        ("--set =1", &["--set"]),
        ("--set seed=-1", &["seed"]),
    ] {
        refused(&place, &format!("emoji:food {arguments}"), words);
    }
}

#[test]
fn recipes_that_cannot_be_read() {
    let place = Place::new();
    place.refused(1, "train emoji:food --config none.toml --out r", &["none.toml"]);
    std::fs::write(place.path("bad.toml"), "seed = 1\nthis is = = not TOML").unwrap();
    refused(&place, "emoji:food --config bad.toml", &["bad.toml", "line 2"]);
    std::fs::write(place.path("unknown.toml"), "[train]\nlearning_rate = 1\n").unwrap();
    refused(&place, "emoji:food --config unknown.toml", &["learning_rate"]);
    std::fs::write(place.path("top.toml"), "colour = 1\n").unwrap();
    refused(&place, "emoji:food --config top.toml", &["colour"]);
    std::fs::write(place.path("latin.toml"), b"source = \"\xe9\"").unwrap();
    place.refused(1, "train emoji:food --config latin.toml --out r", &["latin.toml"]);
    assert!(!place.path("r").exists());
}

#[test]
fn a_run_keeps_its_settings() {
    let place = Place::new();
    place.train("r", 2, "");
    let before = place.files("r");
    place.refused(2, "train r --size 32", &["settings are fixed", "--steps"]);
    place.refused(2, "train r --set train.lr=1", &["settings are fixed"]);
    place.refused(2, "train emoji:flags --out r", &["emoji:food", "--out"]);
    place.refused(2, "train r --steps 0", &["limit"]);
    place.refused(2, "train r --minutes -1", &["minutes"]);
    assert!(place.files("r") == before, "nothing was touched");
    std::fs::write(place.path("r/run.toml"), "seed = ").unwrap();
    place.refused(2, "train r", &["run.toml"]);
    place.ok("runs .");
    place.refused(2, "show r", &["run.toml"]);
}

#[test]
fn generate_asks_for_what_makes_sense() {
    let place = Place::new();
    place.train("r", 1, "");
    for (arguments, words) in [
        ("r -n 0", &["-n 0", "1 to"][..]),
        ("r -n 1000000000", &["1000000000"]),
        ("r --truncation nan", &["--truncation"]),
        ("r --truncation -1", &["--truncation -1"]),
        ("r --truncation inf", &["--truncation"]),
        ("r --interpolate 0", &["--interpolate 0"]),
        ("r --interpolate 100000", &["too long"]),
        ("r --interpolate 18446744073709551615", &["too long"]),
        ("nowhere", &["nowhere"]),
        (".", &["no trained model"]),
    ] {
        place.refused(2, &format!("generate {arguments} -o out"), words);
    }
    assert!(!place.path("out").exists(), "nothing was made");
    place.refused(2, "show nowhere", &["nowhere"]);
    place.refused(2, "runs nowhere", &["nowhere"]);
    place.refused(2, "data check nowhere", &["nowhere"]);
}

#[test]
fn model_files_that_are_none() {
    let place = Place::new();
    place.train("r", 1, "");
    let good = place.bytes("r/checkpoints/00000001/model.safetensors");
    let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let edited = |from: &str, to: &str| -> Vec<u8> {
        assert_eq!(from.len(), to.len());
        let text = String::from_utf8(good[8..header].to_vec()).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        [&good[..8], text.replace(from, to).as_bytes(), &good[header..]].concat()
    };
    let mut not_finite = good.clone();
    not_finite[header..header + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let foreign = {
        let header = r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 4]].concat()
    };
    let files: [(&str, Vec<u8>, &[&str]); 10] = [
        ("empty", Vec::new(), &["empty.safetensors"]),
        ("cut", good[..good.len() / 2].to_vec(), &["cut.safetensors"]),
        ("head", good[..header / 2].to_vec(), &["head.safetensors"]),
        ("long", [&good[..], b"x"].concat(), &["long.safetensors"]),
        ("picture", place.bytes("r/reals.png"), &["picture.safetensors"]),
        ("nan", not_finite, &["nan.safetensors"]),
        ("foreign", foreign, &["foreign.safetensors", "not a Maliang model"]),
        ("format", edited(r#"{\"format\":1"#, r#"{\"format\":9"#), &["format 9"]),
        ("wider", edited(r#"\"base\":4"#, r#"\"base\":8"#), &["wider.safetensors", "shape"]),
        ("absurd", edited(r#"\"z_dim\":100"#, r#"\"z_dim\":0  "#), &["absurd.safetensors", "z_dim"]),
    ];
    for (name, bytes, words) in files {
        let file = format!("{name}.safetensors");
        std::fs::write(place.path(&file), bytes).unwrap();
        let answer = place.run(&format!("generate {file} -o out"));
        let code = answer.code.unwrap();
        assert!(code == 1 || code == 2, "{name}: {}", answer.err);
        answer.refused(code, words, name);
    }
    assert!(!place.path("out").exists());
}

/// One label too many, a typing error in a flag: the parser's own messages, but its exit code is ours.
#[test]
fn flags_that_do_not_exist() {
    let place = Place::new();
    for arguments in
        ["", "trian", "train --colour red", "generate", "train emoji:food --steps many", "generate r -n -1"]
    {
        let answer = place.run(arguments);
        assert_eq!((answer.code, answer.out.as_str()), (Some(2), ""), "{arguments}");
    }
    assert_eq!(place.run("--version").code, Some(0));
    assert!(place.ok("train --help").out.contains("--set"));
}

#[test]
fn a_demo_needs_time() {
    let place = Place::new();
    place.refused(2, "demo --minutes 0 --out r", &["--minutes 0"]);
    place.refused(2, "demo --minutes nan --out r", &["--minutes"]);
    assert!(!place.path("r").exists());
}

/// Names with blanks and other scripts are nothing special.
#[test]
fn names_of_any_kind() {
    let place = Place::new();
    place.pictures("猫", 9, png::ColorType::Rgb);
    place.ok(&format!("train 猫 {TINY} --steps 1"));
    assert!(place.path("runs/猫-1/run.toml").is_file());
    place.ok(&format!("train 猫 {TINY} --steps 1"));
    assert!(place.path("runs/猫-2/run.toml").is_file(), "each run gets a directory of its own");
}
