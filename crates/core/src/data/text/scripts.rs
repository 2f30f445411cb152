//! Which script a character belongs to: the ones that most text is written in, by Unicode block.

/// The script of a letter, or what kind of other character it is.
pub(super) fn script(c: char) -> &'static str {
    if c.is_whitespace() {
        return "white space";
    }
    if c.is_numeric() && !c.is_alphabetic() {
        return "digits";
    }
    match c as u32 {
        0x41..=0x5a | 0x61..=0x7a | 0xaa | 0xba | 0xc0..=0xd6 | 0xd8..=0xf6 | 0xf8..=0x24f | 0x1e00..=0x1eff => "Latin",
        0x370..=0x3ff | 0x1f00..=0x1fff => "Greek",
        0x400..=0x52f => "Cyrillic",
        0x530..=0x58f => "Armenian",
        0x590..=0x5ff => "Hebrew",
        0x600..=0x6ff | 0x750..=0x77f | 0x8a0..=0x8ff => "Arabic",
        0x900..=0x97f => "Devanagari",
        0x980..=0x9ff => "Bengali",
        0xb80..=0xbff => "Tamil",
        0xe00..=0xe7f => "Thai",
        0x10a0..=0x10ff => "Georgian",
        0x1100..=0x11ff | 0x3130..=0x318f | 0xac00..=0xd7af => "Hangul",
        0x3040..=0x309f => "Hiragana",
        0x30a0..=0x30ff => "Katakana",
        0x2e80..=0x2fdf
        | 0x3005..=0x3007
        | 0x3021..=0x3029
        | 0x3400..=0x4dbf
        | 0x4e00..=0x9fff
        | 0xf900..=0xfaff
        | 0x20000..=0x3ffff => "Han",
        0xe000..=0xf8ff => "private use",
        0x1f000..=0x1faff => "emoji",
        0xfffd => "replaced (U+FFFD)",
        _ if c.is_alphabetic() => "other letters",
        _ => "punctuation and signs",
    }
}

#[cfg(test)]
mod tests {
    use super::script;

    #[test]
    fn scripts() {
        for (text, name) in [
            ("aZéß", "Latin"),
            ("春〇㐀𠀀", "Han"),
            ("あ", "Hiragana"),
            ("ア", "Katakana"),
            ("한", "Hangul"),
            ("Жя", "Cyrillic"),
            ("09٣", "digits"),
            (" \n\u{3000}", "white space"),
            ("，。!|", "punctuation and signs"),
        ] {
            text.chars().for_each(|c| assert_eq!(script(c), name, "{c}"));
        }
    }
}
