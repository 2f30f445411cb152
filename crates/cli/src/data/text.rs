//! `maliang data check` of text.

use std::fmt::Write as _;

use indicatif::{ProgressBar, ProgressStyle};
use maliang::Result;
use maliang::data::text::{self, Documents, TextCheck, TokenizerKind};

use super::layout::{COLUMNS, bytes, fit, percent, reject_list, row};
use crate::units::{counted, number};
use maliang::files::quoted;

/// Characters that are too few to learn to write from.
const FEW: u64 = 20_000;

/// Reads all text of a source.
pub fn check(source: &str) -> Result<TextCheck> {
    let scan = text::scan_text(source)?;
    // Drawn on stderr, and only if that is a terminal.
    let bar = ProgressBar::new(scan.bytes());
    if let Ok(style) = ProgressStyle::with_template("reading {wide_bar} {bytes}/{total_bytes}, {eta} left") {
        bar.set_style(style);
    }
    let report = text::check_text(&scan, Documents::Auto, &|done, _| bar.set_position(done));
    bar.finish_and_clear();
    report
}

/// The report as text of at most 80 columns.
pub fn render(report: &TextCheck) -> String {
    let mut out = String::new();
    let found = &report.found;
    let documents = counted(report.documents, "document");
    let title = fit(&report.source, COLUMNS - 40);
    let _ = writeln!(out, "{title}: text, {documents}, {}\n", bytes(found.bytes));
    let count = |n: u64| number(n as usize);
    let ignored = if report.ignored > 0 { vec![format!("{} others, ignored", number(report.ignored))] } else { vec![] };
    row(&mut out, "files", &[vec![number(report.files.len())], ignored].concat());
    let sizes = report.document_bytes;
    let range =
        format!("{} to {}, median {}", bytes(sizes.min as u64), bytes(sizes.max as u64), bytes(sizes.median as u64));
    row(&mut out, "documents", &[number(report.documents), range]);
    let longest = format!("the longest has {} characters", count(found.longest_line));
    row(&mut out, "lines", &[count(found.lines), longest]);
    let once = format!("{} of them once", number(report.once));
    let different = format!("{} different", number(report.distinct_characters));
    row(&mut out, "characters", &[count(found.characters), different, once]);
    let scripts: Vec<String> = report
        .scripts
        .iter()
        .map(|(name, n)| format!("{name} {}", percent(*n as usize, found.characters as usize)))
        .collect();
    row(&mut out, "written in", &scripts);
    let what = match report.suggested_tokenizer {
        TokenizerKind::Characters => "characters".to_string(),
        TokenizerKind::Bpe => format!("pieces of words, {} different ones", number(report.suggested_vocabulary)),
    };
    row(&mut out, "tokens", &words(&format!("{what}: {}", report.reason)));
    for note in &report.notes {
        row(&mut out, "note", &words(note));
    }
    for file in report.files.iter().filter(|file| file.replaced > 0).take(5) {
        let line = file.first_replaced.map_or(String::new(), |place| format!(", the first in line {}", place.line));
        row(
            &mut out,
            "not UTF-8",
            &[format!("{} in {}{line}", counted(file.replaced as usize, "sequence"), fit(&file.name, 24))],
        );
    }
    reject_list(&mut out, &report.rejects);
    if report.distinct < report.documents {
        let repeats = counted(report.documents - report.distinct, "document");
        let _ = writeln!(out, "\nExact copies: {repeats}; training sees each once");
    }
    let _ = writeln!(out);
    if found.characters < FEW {
        let _ = writeln!(
            out,
            "Few: {} characters. Below {}, expect copies: add more if you can.",
            count(found.characters),
            number(FEW as usize)
        );
    }
    let _ = writeln!(out, "Next: maliang train {}", quoted(&report.source));
    out
}

fn words(sentence: &str) -> Vec<String> {
    sentence.split(' ').map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::super::layout::columns;
    use super::*;
    use maliang::data::display_name;

    #[test]
    fn what_it_says_and_no_line_is_wider_than_the_terminal() {
        let dir = tempfile::tempdir().unwrap();
        let poem = "登鸛雀樓\n白日依山盡，黃河入海流。\n欲窮千里目，更上一層樓。\n\n";
        let poems: String = (0..40).map(|i| format!("{i} {poem}")).collect::<String>() + "0 " + poem;
        std::fs::write(dir.path().join("poems.txt"), [poems.as_bytes(), b"\xff\0\n"].concat()).unwrap();
        std::fs::write(dir.path().join(format!("{}.txt", "b".repeat(90))), [0xff; 300]).unwrap();
        let text = render(&check(dir.path().to_str().unwrap()).unwrap());
        for part in [
            // The forty, the one that repeats, and what is not UTF-8.
            "42 documents",
            "Han",
            "not UTF-8",
            "Exact copies: 1 document",
            "Cannot be used: 1 file",
            "Few:",
            "tokens       characters",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        for line in text.lines().filter(|line| !line.starts_with("Next: ")) {
            assert!(columns(&display_name(line)) <= COLUMNS, "{line}");
        }
    }
}
