//! The floors of this crate: an import goes down or stays in its room, never up. ARCHITECTURE.md says what each room is for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, lowest first. A room is a folder or a file of `src`; the longest name that fits is a file's room.
const FLOORS: &[&str] = &[
    "error",
    "rng",
    "makes",
    "device",
    "matrix",
    "files",
    "weights",
    "picture",
    "features",
    "provenance",
    "music",
    "data",
    "nn",
    "pretrained",
    "judge",
    "families/settings",
    "families/model",
    "families/trainer",
    "families/family",
    "families/choice",
    "families/blocks",
    "families/gan",
    "families/dcgan",
    "families/fastgan",
    "families/projected",
    "families/vae",
    "families/text",
    "families",
    "run",
    "generate",
    "train",
    "explain",
    "report",
];

/// Imports that go up all the same, as `file -> room`. The list only shrinks.
const EXCEPTIONS: &[&str] = &[];

#[test]
fn imports_go_down() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut upward = BTreeSet::new();
    for file in sources(&src) {
        let module = module_of(&file);
        let Some(own) = floor(&module) else {
            assert!(module.is_empty(), "{} is in no room: name its floor in this test", file.display());
            continue;
        };
        let text = without_tests(&fs::read_to_string(src.join(&file)).unwrap());
        for target in imports(&text, &module) {
            if let Some(other) = floor(&target).filter(|other| *other > own) {
                upward.insert(format!("{} -> {}", file.display(), FLOORS[other]));
            }
        }
    }
    let expected: BTreeSet<String> = EXCEPTIONS.iter().map(|line| line.to_string()).collect();
    let new: Vec<&String> = upward.difference(&expected).collect();
    let gone: Vec<&String> = expected.difference(&upward).collect();
    assert!(new.is_empty(), "these imports go up: {new:#?}");
    assert!(gone.is_empty(), "these exceptions are not needed any more: {gone:#?}");
}

/// The files of a folder that are not tests, relative to it.
fn sources(src: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![src.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            if stem == "tests" {
                continue;
            } else if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path.strip_prefix(src).unwrap().to_path_buf());
            }
        }
    }
    found.sort();
    found
}

/// `train/session.rs` → `[train, session]`; the crate's root is empty.
fn module_of(file: &Path) -> Vec<String> {
    let mut parts: Vec<String> =
        file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    parts.pop_if(|last| last == "mod" || last == "lib");
    parts
}

/// The floor of the room that a module or an item lies in; nothing for what the crate's root defines itself.
fn floor(path: &[String]) -> Option<usize> {
    (1..=path.len()).rev().find_map(|n| {
        let name = path[..n].join("/");
        FLOORS.iter().position(|room| *room == name)
    })
}

/// A file up to its first inline test module: tests may look at everything.
fn without_tests(text: &str) -> String {
    text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_string()
}

/// The paths within this crate that a file of `module` names, in `use` or elsewhere, comments left out.
fn imports(text: &str, module: &[String]) -> Vec<Vec<String>> {
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join(" ");
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            for path in tree(&code[at..]) {
                found.push(absolute(&path, module));
            }
        }
    }
    found
}

/// The leaves of what stands at the beginning of `code`: `crate::{a::B, c}` → `[crate, a, B]` and `[crate, c]`.
fn tree(code: &str) -> Vec<Vec<String>> {
    let end = code.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(code.len());
    let stem: Vec<String> = code[..end].split("::").filter(|part| !part.is_empty()).map(String::from).collect();
    if !code[..end].ends_with("::") || !code[end..].starts_with('{') {
        return vec![stem];
    }
    let (mut depth, mut parts, mut part) = (0, Vec::new(), String::new());
    for c in code[end..].chars() {
        match c {
            '{' if depth == 0 => depth = 1,
            ',' if depth == 1 => parts.push(std::mem::take(&mut part)),
            '}' if depth == 1 => break,
            _ => {
                depth += usize::from(c == '{');
                depth -= usize::from(c == '}');
                part.push(c);
            }
        }
    }
    parts.push(part);
    let leaves = parts.iter().flat_map(|part| tree(part.trim()));
    leaves.map(|leaf| stem.iter().cloned().chain(leaf).collect()).collect()
}

/// A path without its leading `crate` or `super`s.
fn absolute(path: &[String], module: &[String]) -> Vec<String> {
    if path[0] == "crate" {
        return path[1..].to_vec();
    }
    let up = path.iter().take_while(|part| *part == "super").count();
    module[..module.len().saturating_sub(up)].iter().chain(&path[up..]).cloned().collect()
}
