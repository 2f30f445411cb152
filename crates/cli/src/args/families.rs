//! Help that lists families of models, made from the list of them.

use crate::terminal::wrap;
use maliang::families::{all, names, names_where};
use maliang::makes::Makes;

/// Columns by which clap indents long help.
const INDENT: usize = 10;

/// Of `--model`, in one line.
pub fn short_help() -> String {
    format!("auto; for pictures {}; for text {}", names(Makes::Pictures), names(Makes::Text))
}

/// Of `--model`: a line for each family, as clap lists possible values.
pub fn long_help() -> String {
    let auto = ("auto", "the family that suits the pictures or the text best".to_string());
    let families = all().map(|about| (about.name, format!("{}: {}", about.makes.name(), about.summary)));
    let rows: Vec<(&str, String)> = std::iter::once(auto).chain(families).collect();
    let widest = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, summary): &(&str, String)| {
        let head = format!("- {:<width$} ", format!("{name}:"), width = widest + 1);
        let column = INDENT + head.len();
        format!("{head}{}", wrap(summary, column, column)).replace(&format!("\n{:INDENT$}", ""), "\n")
    };
    let rows: Vec<String> = rows.iter().map(line).collect();
    format!("Family of the model [default: auto]\n\nPossible values:\n{}", rows.join("\n"))
}

/// Of `--mix`.
pub fn mix_help() -> String {
    let families = names_where(|about| about.has_styles);
    format!("Table of pictures with the content of their column and the style of their row ({families})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_listed() {
        let (short, long) = (short_help(), long_help());
        for about in all() {
            assert!(short.contains(about.name), "{} in {short}", about.name);
            assert!(long.contains(&format!("- {}:", about.name)), "{} in {long}", about.name);
            assert_eq!(mix_help().contains(about.name), about.has_styles, "{}", about.name);
        }
        for line in long.lines() {
            assert!(INDENT + line.chars().count() <= 80, "{line}");
        }
        let words: Vec<&str> = long.split_whitespace().collect();
        let summary: Vec<&str> = all().next().unwrap().summary.split_whitespace().collect();
        assert!(words.windows(summary.len()).any(|window| window == summary), "{long}");
    }
}
