//! What judging pictures has found, and how it is printed.

use crate::terminal::{print, wrap};
use crate::units::duration;
use maliang::Result;
use maliang::judge::{self, Judgement};
use std::path::PathBuf;

/// A judgement that has been written.
pub struct Found {
    pub judgement: Judgement,
    /// What was judged.
    pub title: String,
    /// Seconds of each stage.
    pub times: Vec<(String, f64)>,
    /// Where the files are.
    pub directory: PathBuf,
    pub files: &'static [&'static str],
}

impl Found {
    /// Prints the table and the files, or all of `scores.json`.
    pub fn print(&self, json: bool) -> Result<()> {
        let total: f64 = self.times.iter().map(|(_, seconds)| seconds).sum();
        tell!("judged in {}", duration(total));
        if json {
            return print(self.judgement.to_json());
        }
        print(table(&self.title, &self.judgement))?;
        self.files.iter().try_for_each(|name| print(self.directory.join(name).display().to_string()))
    }
}

/// Title and head of the table, scores, verdicts: at most 80 columns.
fn table(title: &str, judgement: &Judgement) -> String {
    let mut lines = vec![wrap(title, 0, 0), String::new()];
    let rows = judgement.rows();
    let width = |cell: fn(&judge::Row) -> &String, least: usize| {
        rows.iter().map(|row| cell(row).chars().count()).max().unwrap_or(0).max(least)
    };
    let widths = [width(|r| &r.name, 5), width(|r| &r.value, 5), width(|r| &r.interval, 13), width(|r| &r.floor, 5)];
    let line = |cells: [&str; 4]| {
        let [a, b, c, d] = widths;
        format!("{:<a$}  {:>b$}  {:<c$}  {:>d$}", cells[0], cells[1], cells[2], cells[3])
    };
    lines.push(line(["score", "value", "95 % interval", "floor"]));
    lines.extend(rows.iter().map(|row| line([&row.name, &row.value, &row.interval, &row.floor])));
    lines.push(String::new());
    let n = judgement.n;
    lines.push(wrap(
        &format!("{n} pictures a side; floor: what {n} other real pictures get in place of the generated ones."),
        0,
        0,
    ));
    lines.push(String::new());
    let paragraph = |name: &str, text: &str| format!("{name:<9}{}", wrap(text, 9, 9));
    lines.push(paragraph("variety", &judgement.collapse.words));
    lines.push(paragraph("copying", &judgement.copying.words));
    let head = judge::Space::HEAD;
    lines.push(String::new());
    lines.push(format!("{:<13} {:<10} {:>14} {:>9} {:>8}", "copying in", head[0], head[1], head[2], head[3]));
    for space in &judgement.copying.spaces {
        for [who, repeats, authentic, c_t] in space.cells() {
            lines.push(format!("{:<13} {who:<10} {repeats:>14} {authentic:>9} {c_t:>8}", space.name));
        }
    }
    lines.push(paragraph("controls", &judgement.controls()));
    lines.push(String::new());
    lines.join("\n")
}
