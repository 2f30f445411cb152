//! `maliang data check SOURCE`: what is in a source, what is broken, doubled, too small.

mod layout;
mod text;

use std::fmt::Write as _;

use crate::terminal::stream;
use crate::units::{counted, number};
use indicatif::{ProgressBar, ProgressStyle};
use layout::{COLUMNS, bytes, fit, more, percent, reject_list, row};
use maliang::data::{self, CheckReport, Fit, SizeSummary, Source, too_small};
use maliang::files::quoted;
use maliang::makes::Makes;
use maliang::{Error, Result};

/// Longest lists before "and N more".
const GROUPS: usize = 10;
const LABELS: usize = 60;

/// Checks a source of pictures or text and prints a table, or all of it as JSON. Says whether anything can be trained on.
pub fn check(source: &str, json: bool) -> Result<bool> {
    let (text, usable) = match data::text::makes(source) {
        Makes::Text => {
            let report = text::check(source)?;
            (if json { to_json(&report)? } else { text::render(&report) }, true)
        }
        Makes::Pictures => {
            let report = check_pictures(source)?;
            (if json { to_json(&report)? } else { render(&report) }, report.usable > 0)
        }
    };
    stream(&text).map(|_| usable)
}

fn to_json(report: &impl serde::Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(report);
    Ok(text.map_err(|e| Error::new(maliang::ErrorKind::Internal, format!("the report cannot be written: {e}")))? + "\n")
}

/// Checks every picture of a source.
fn check_pictures(source: &str) -> Result<CheckReport> {
    let scan = data::scan(&Source::parse(source)?)?;
    // Drawn on stderr, and only if that is a terminal.
    let bar = ProgressBar::new(scan.items.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("checking {wide_bar} {pos}/{len}, {eta} left") {
        bar.set_style(style);
    }
    let report = data::check(&scan, &|_, _| bar.inc(1));
    bar.finish_and_clear();
    report
}

/// The report as text of at most 80 columns.
fn render(report: &CheckReport) -> String {
    let mut out = String::new();
    let title = fit(&report.source, COLUMNS - 30);
    let pictures = counted(report.usable, "usable picture");
    let _ = writeln!(out, "{title}: {pictures}, {}\n", bytes(report.total_bytes));
    overview(&mut out, report);
    reject_list(&mut out, &report.rejects);
    copies(&mut out, report);
    advice(&mut out, report);
    out
}

fn overview(out: &mut String, report: &CheckReport) {
    let n = report.usable;
    if let (Some(width), Some(height), Some(side)) = (report.width, report.height, report.shorter_side) {
        if width.min == width.max && height.min == height.max {
            row(out, "size", &[format!("{} × {} pixels, all of them", width.min, height.min)]);
        } else {
            let range = |name: &str, s: SizeSummary| format!("{name} {}–{} (median {})", s.min, s.max, s.median);
            row(out, "size", &[range("width", width), range("height", height)]);
            row(out, "shorter side", &[range("", side).trim().to_string()]);
        }
    }
    let tally = |counts: &mut dyn Iterator<Item = (&String, &usize)>| -> Vec<String> {
        let mut counts: Vec<_> = counts.collect();
        counts.sort_by_key(|&(_, count)| std::cmp::Reverse(*count));
        counts.into_iter().map(|(name, count)| format!("{name} {}", number(*count))).collect()
    };
    if n > 0 {
        row(out, "format", &tally(&mut report.formats.iter()));
        row(out, "stored as", &tally(&mut report.modes.iter()));
    }
    let shares = [
        ("grey", report.grey, "have no colour"),
        ("transparent", report.transparent, "are drawn on the background colour"),
        ("animated", report.animated, "only the first frame is used"),
        ("rotated", report.rotated, "turned upright by their EXIF orientation"),
    ];
    for (name, count, meaning) in shares {
        if count > 0 {
            row(out, name, &[format!("{} ({}), {meaning}", number(count), percent(count, n))]);
        }
    }
    if !report.labels.is_empty() {
        let each = report.labels[0].1;
        let equal = report.labels.iter().all(|(_, count)| *count == each);
        let shown = report.labels.iter().take(LABELS);
        let mut parts: Vec<String> = shown
            .map(|(label, count)| match equal {
                true => fit(label, 30),
                false => format!("{}: {}", fit(label, 30), number(*count)),
            })
            .collect();
        if report.labels.len() > LABELS {
            parts.push(format!("and {} more", report.labels.len() - LABELS));
        }
        let of_each = if equal { format!(" of {}", number(each)) } else { String::new() };
        parts[0] = format!("{}{of_each}: {}", counted(report.labels.len(), "class"), parts[0]);
        row(out, "labels", &parts);
    }
    if report.captions > 0 {
        row(out, "captions", &[format!("{} ({})", number(report.captions), percent(report.captions, n))]);
    }
    if n > 0 && report.labels.is_empty() && report.captions == 0 {
        row(out, "labels", &["none, and no captions".into()]);
    }
    if report.ignored > 0 {
        row(out, "other files", &[format!("{}, ignored", number(report.ignored))]);
    }
    for note in &report.notes {
        row(out, "note", &note.split(' ').map(String::from).collect::<Vec<_>>());
    }
}

fn copies(out: &mut String, report: &CheckReport) {
    if !report.duplicates.is_empty() {
        let extra = report.usable - report.distinct;
        let _ = writeln!(out, "\nExact copies: {}; training sees each picture once", counted(extra, "file"));
        for group in report.duplicates.iter().take(GROUPS) {
            let others = match group.dropped.as_slice() {
                [only] => fit(only, 36),
                [first, rest @ ..] => format!("{} and {} more", fit(first, 24), rest.len()),
                [] => String::new(),
            };
            let _ = writeln!(out, "  {} = {others}", fit(&group.kept, 36));
        }
        more(out, report.duplicates.len(), GROUPS, " groups");
    }
    if !report.near_duplicates.is_empty() {
        let at_least = if report.near_complete { "" } else { "at least " };
        let pairs = counted(report.near_duplicates.len(), "pair");
        let _ = writeln!(out, "\nLook alike: {at_least}{pairs}; they are kept, please check them");
        for pair in report.near_duplicates.iter().take(GROUPS) {
            let _ = writeln!(out, "  {} ~ {}", fit(&pair.a, 36), fit(&pair.b, 36));
        }
        more(out, report.near_duplicates.len(), GROUPS, " pairs");
    }
}

fn advice(out: &mut String, report: &CheckReport) {
    let _ = writeln!(out);
    if report.usable == 0 {
        let _ = writeln!(out, "Nothing here can be trained on: no file is a picture that can be read.");
        return;
    }
    if report.distinct < 100 {
        let few = counted(report.distinct, "different picture");
        let _ = writeln!(out, "Few: {few}. Below 100, expect copies: add more if you can.");
    }
    let size = report.suggested_size;
    let small = report.items.iter().filter(|item| too_small(item.width.min(item.height), size)).count();
    if small > 0 {
        let _ = writeln!(out, "Small: {} would be enlarged a lot at --size {size}.", counted(small, "picture"));
    }
    let _ = writeln!(out, "Next: maliang train {}", quoted(&report.source));
    if report.suggested_fit == Fit::Pad && report.items.iter().any(|item| item.width != item.height) {
        let _ = writeln!(out, "      Pictures that are not square are padded; --fit crop cuts them instead.");
    }
    if size > 64 {
        let _ = writeln!(out, "      The pictures are large enough for --size {size}, which takes longer.");
    }
}

#[cfg(test)]
mod tests {
    use super::layout::columns;
    use super::*;

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let dir = tempfile::tempdir().unwrap();
        let folders = ["a".repeat(70), "猫".repeat(40), "plain".to_string()];
        for folder in &folders {
            let folder = dir.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            for i in 0..30 {
                std::fs::write(folder.join(format!("{}{i}.png", "b".repeat(90))), b"not a picture").unwrap();
                // PNM is the simplest picture: the same two in every folder, so there are copies.
                let ppm = [b"P6 2 2 255\n".as_slice(), &[i % 2 * 200; 12]].concat();
                std::fs::write(folder.join(format!("good{i}.ppm")), ppm).unwrap();
            }
        }
        let scan = data::scan(&Source::parse(dir.path().to_str().unwrap()).unwrap()).unwrap();
        let report = data::check(&scan, &|_, _| ()).unwrap();
        let text = render(&report);
        for line in text.lines().filter(|line| !line.starts_with("Next: ")) {
            assert!(columns(line) <= COLUMNS, "{line}");
        }
        assert!(text.contains("… and 70 more") && text.contains("Exact copies: 88 files"), "{text}");
    }
}
