//! Rows, lists and numbers of the tables of `maliang data check`: at most 80 columns.

use crate::units::{counted, number};
use maliang::data::{Reject, display_name};
use std::fmt::Write as _;

/// Widest line that is printed.
pub const COLUMNS: usize = 80;
/// Where the values of the table start.
const INDENT: usize = 15;
/// Longest list of rejects before "and N more".
const REJECTS: usize = 20;

/// A name, and its parts joined by ` · ` (single words: by spaces) over as many lines as needed.
pub fn row(out: &mut String, name: &str, parts: &[String]) {
    let words = matches!(name, "note" | "tokens");
    let separator = if words { " " } else { " · " };
    let mut line = format!("  {name:<width$}", width = INDENT - 2);
    let mut used = INDENT;
    for (i, part) in parts.iter().enumerate() {
        let part = display_name(part);
        let more = columns(&part) + if i > 0 { columns(separator) } else { 0 };
        if i > 0 && used + more > COLUMNS {
            let _ = writeln!(out, "{line}");
            line = " ".repeat(INDENT);
            used = INDENT;
        } else if i > 0 {
            line += separator;
            used += columns(separator);
        }
        line += &part;
        used += columns(&part);
    }
    let _ = writeln!(out, "{line}");
}

/// What is said where a list is longer than what is shown of it.
pub fn more(out: &mut String, count: usize, shown: usize, what: &str) {
    if count > shown {
        let _ = writeln!(out, "  … and {} more{what}", number(count - shown));
    }
}

/// Text that is safe for a terminal and at most `width` columns wide: the middle is left out.
pub fn fit(text: &str, width: usize) -> String {
    let text = display_name(text);
    if columns(&text) <= width {
        return text;
    }
    let take = |chars: &mut dyn Iterator<Item = char>, room: usize| {
        let mut used = 0;
        chars
            .take_while(|&c| {
                used += wide(c);
                used <= room
            })
            .collect::<String>()
    };
    let room = width.saturating_sub(1);
    let head = take(&mut text.chars(), room / 2);
    let tail: String = take(&mut text.chars().rev(), room - room / 2).chars().rev().collect();
    format!("{head}…{tail}")
}

/// Columns that a text takes in a terminal.
pub fn columns(text: &str) -> usize {
    text.chars().map(wide).sum()
}

/// East Asian characters and emoji take two columns.
fn wide(c: char) -> usize {
    match c as u32 {
        0x300..=0x36f | 0x200b..=0x200d | 0xfe0e | 0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

pub fn percent(part: usize, whole: usize) -> String {
    let share = 100.0 * part as f64 / whole.max(1) as f64;
    if part == whole {
        "all".into()
    } else if share < 0.1 {
        "< 0.1 %".into()
    } else {
        format!("{share:.1} %")
    }
}

pub fn bytes(n: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// The files that cannot be used, and why.
pub fn reject_list(out: &mut String, rejects: &[Reject]) {
    if rejects.is_empty() {
        return;
    }
    let lines = rejects.iter().filter(|reject| reject.line).count();
    let counts = [(rejects.len() - lines, "file"), (lines, "line")].into_iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts.map(|(count, noun)| counted(count, noun)).collect();
    let _ = writeln!(out, "\nCannot be used: {}", counts.join(", "));
    let shown = &rejects[..rejects.len().min(REJECTS)];
    let widest = shown.iter().map(|reject| columns(&display_name(&reject.name))).max().unwrap_or(0).min(30);
    for reject in shown {
        let name = fit(&reject.name, widest);
        let padding = " ".repeat(widest - columns(&name));
        let reason = fit(&reject.reason, COLUMNS - widest - 4);
        let _ = writeln!(out, "  {name}{padding}  {reason}");
    }
    more(out, rejects.len(), REJECTS, "");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names() {
        assert_eq!([number(0), number(999), number(1000), number(1234567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([bytes(12), bytes(2048), bytes(5 << 20)], ["12 B", "2.0 KiB", "5.0 MiB"]);
        assert_eq!(fit("abcdefghij", 7), "abc…hij");
        assert_eq!(columns(&fit("小猫小猫小猫小猫", 9)), 9);
        assert_eq!(fit("a\nb", 9), "a\\nb");
    }
}
