//! Chord symbols such as `Am`, `G7` or `D/F#`, and the notes they are played with.

use super::key::{SEMITONES, letter};

/// The notes above the root, in semitones, by the way a chord symbol names them.
const QUALITIES: [(&str, &[u8]); 26] = [
    ("", &[0, 4, 7]),
    ("m", &[0, 3, 7]),
    ("min", &[0, 3, 7]),
    ("-", &[0, 3, 7]),
    ("maj", &[0, 4, 7]),
    ("M", &[0, 4, 7]),
    ("7", &[0, 4, 7, 10]),
    ("m7", &[0, 3, 7, 10]),
    ("min7", &[0, 3, 7, 10]),
    ("maj7", &[0, 4, 7, 11]),
    ("M7", &[0, 4, 7, 11]),
    ("6", &[0, 4, 7, 9]),
    ("m6", &[0, 3, 7, 9]),
    ("9", &[0, 4, 7, 10, 14]),
    ("m9", &[0, 3, 7, 10, 14]),
    ("add9", &[0, 4, 7, 14]),
    ("dim", &[0, 3, 6]),
    ("o", &[0, 3, 6]),
    ("dim7", &[0, 3, 6, 9]),
    ("m7b5", &[0, 3, 6, 10]),
    ("aug", &[0, 4, 8]),
    ("+", &[0, 4, 8]),
    ("sus", &[0, 5, 7]),
    ("sus4", &[0, 5, 7]),
    ("sus2", &[0, 2, 7]),
    ("7sus4", &[0, 5, 7, 10]),
];
/// The octave below middle C, in which roots lie.
const ROOT: u8 = 48;

/// The MIDI keys of the chord that `text` names: its bass an octave below, then its notes. Empty for `N.C.`, which asks for
/// silence; `None` where `text` is not a chord symbol.
pub(super) fn chord(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    if matches!(text, "N.C." | "NC") {
        return Some(Vec::new());
    }
    let (name, bass) = text.split_once('/').map_or((text, None), |(name, bass)| (name, Some(bass)));
    let (root, quality) = pitch(name)?;
    let (_, intervals) = QUALITIES.iter().find(|(name, _)| *name == quality)?;
    let bass = match bass.map(pitch) {
        Some(Some((bass, ""))) => bass,
        Some(_) => return None,
        None => root,
    };
    Some(std::iter::once(bass - 12).chain(intervals.iter().map(|interval| root + interval)).collect())
}

/// A note's name at the beginning of `text` as a key of the octave of roots, and the rest.
fn pitch(text: &str) -> Option<(u8, &str)> {
    let first = text.chars().next().filter(|c| c.is_ascii_uppercase())?;
    let semitone = SEMITONES[letter(first)?] as u8;
    let rest = &text[1..];
    let signs = [("#", 1), ("♯", 1), ("b", 11), ("♭", 11)];
    let sign = signs.iter().find_map(|(sign, by)| rest.strip_prefix(sign).map(|rest| (rest, *by)));
    let (rest, by) = sign.unwrap_or((rest, 0));
    Some((ROOT + (semitone + by) % 12, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chord_symbols() {
        let cases: [(&str, &[u8]); 7] = [
            ("C", &[36, 48, 52, 55]),
            ("Am", &[45, 57, 60, 64]),
            ("G7", &[43, 55, 59, 62, 65]),
            ("D/F#", &[42, 50, 54, 57]),
            ("Bb", &[46, 58, 62, 65]),
            ("Cb", &[47, 59, 63, 66]),
            ("N.C.", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(chord(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "D.C.", "Fine", "tr", "4", "Segno", "H", "a", "D/", "D/x", "End", "马"] {
            assert_eq!(chord(text), None, "{text}");
        }
    }
}
