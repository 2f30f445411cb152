//! Keys: what `K:` says about accidentals.

/// A key signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    /// Sharps, negative for flats, without the explicit accidentals.
    pub sharps: i8,
    pub minor: bool,
    /// Semitones that each of C D E F G A B is raised by.
    pub raised: [i8; 7],
}

/// C D E F G A B: semitones above C, and places on the circle of fifths as seen from C.
pub(super) const SEMITONES: [i16; 7] = [0, 2, 4, 5, 7, 9, 11];
const FIFTHS: [i8; 7] = [0, 2, 4, -1, 1, 3, 5];
/// The letters in the order in which sharps appear; flats appear the other way round.
const SHARPS: [usize; 7] = [3, 0, 4, 1, 5, 2, 6];

/// The number of a letter in C D E F G A B.
pub(super) fn letter(c: char) -> Option<usize> {
    "CDEFGAB".find(c.to_ascii_uppercase())
}

impl Key {
    /// C major.
    pub const C: Self = Self { sharps: 0, minor: false, raised: [0; 7] };

    fn new(sharps: i8, minor: bool) -> Self {
        let mut raised = [0; 7];
        for i in 0..usize::from(sharps.unsigned_abs()).min(7) {
            raised[if sharps > 0 { SHARPS[i] } else { SHARPS[6 - i] }] = sharps.signum();
        }
        Self { sharps, minor, raised }
    }

    /// The key that the text behind `K:` says, such as `Gm`, `D Mixolydian`, `Amix`, `Dphr ^f`, `HP` or `none`. Clefs, voices and
    /// transpositions behind it change nothing that is heard here.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        match text {
            "" | "none" | "NONE" => return Ok(Self::C),
            // Highland bagpipes: F and C are sharp, G is natural; HP writes no signature and means the same.
            "HP" | "Hp" => return Ok(Self::new(2, false)),
            _ => {}
        }
        let mut characters = text.chars();
        let tonic = characters.next().filter(|c| c.is_ascii_uppercase()).and_then(letter);
        let Some(tonic) = tonic else { return if is_clef(text) { Ok(Self::C) } else { Err(unknown(text)) } };
        let mut rest = characters.as_str();
        let mut fifths = FIFTHS[tonic];
        for (sign, by) in [('#', 7), ('b', -7)] {
            if let Some(behind) = rest.strip_prefix(sign) {
                (rest, fifths) = (behind, fifths + by);
                break;
            }
        }
        let mut words = rest.split_whitespace().peekable();
        let word = words.peek().copied().unwrap_or("");
        let (mut shift, mut minor, mut glued) = (0, false, "");
        if word != "exp" && !is_clef(word) {
            // `Dmix=c`: the accidental follows without a blank.
            let (name, accidentals) = word.split_at(word.find(['^', '_', '=']).unwrap_or(word.len()));
            (shift, minor) = mode(name).ok_or_else(|| unknown(text))?;
            glued = accidentals;
            words.next();
        }
        let sharps = fifths + shift;
        if !(-7..=7).contains(&sharps) {
            return Err(format!("the key \"{text}\" has more than seven accidentals"));
        }
        let mut key = Self::new(sharps, minor);
        for word in std::iter::once(glued).chain(words).filter(|word| !word.is_empty() && !is_clef(word)) {
            key.accidentals(word).ok_or_else(|| unknown(text))?;
        }
        Ok(key)
    }

    /// Explicit accidentals such as `^f`, `_b=c`.
    fn accidentals(&mut self, word: &str) -> Option<()> {
        if word == "exp" {
            self.raised = [0; 7];
            return Some(());
        }
        let mut characters = word.chars();
        while let Some(sign) = characters.next() {
            let by = match sign {
                '^' => 1,
                '_' => -1,
                '=' => 0,
                _ => return None,
            };
            self.raised[letter(characters.next()?)?] = by;
        }
        Some(())
    }
}

/// The mode that a word names by its first three letters: its shift on the circle of fifths, and whether it is minor. `m` is
/// minor; `M`, as some collections write it, is major.
fn mode(word: &str) -> Option<(i8, bool)> {
    match word {
        "" | "M" => return Some((0, false)),
        "m" => return Some((-3, true)),
        _ => {}
    }
    if !word.chars().all(|c| c.is_ascii_alphabetic()) {
        return None;
    }
    let name = word.to_ascii_lowercase();
    let modes = [
        ("major", (0, false)),
        ("minor", (-3, true)),
        ("aeolian", (-3, true)),
        ("mixolydian", (-1, false)),
        ("dorian", (-2, true)),
        ("phrygian", (-4, true)),
        ("lydian", (1, false)),
        ("locrian", (-5, true)),
        ("ionian", (0, false)),
    ];
    let found = modes.into_iter().find(|(mode, _)| name.get(..3) == mode.get(..3) && mode.starts_with(&name));
    found.map(|(_, mode)| mode)
}

/// Words behind the key that say how to write it down.
fn is_clef(word: &str) -> bool {
    const CLEFS: [&str; 12] = [
        "clef",
        "treble",
        "bass",
        "alto",
        "tenor",
        "perc",
        "middle",
        "transpose",
        "octave",
        "stafflines",
        "staffscale",
        "style",
    ];
    CLEFS.iter().any(|clef| word.starts_with(clef))
}

fn unknown(text: &str) -> String {
    format!("the key \"{}\" is not known", text.chars().take(30).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures() {
        let cases = [
            ("C", 0),
            ("G", 1),
            ("D", 2),
            ("F", -1),
            ("Bb", -2),
            ("Eb", -3),
            ("F#", 6),
            ("Cb", -7),
            ("Am", 0),
            ("Gm", -2),
            ("F#m", 3),
            ("E Minor", 1),
            ("Amin", 0),
            ("A Mixolydian", 2),
            ("Dmix", 1),
            ("AMix", 2),
            ("Ador", 1),
            ("A Dorian", 1),
            ("Glyd", 2),
            ("Glydian", 2),
            ("Bphr", 1),
            ("Bloc", 0),
            ("D Major", 2),
            ("EM", 4),
            ("HP", 2),
            ("none", 0),
            ("", 0),
            ("Dmaj clef=bass", 2),
            ("treble", 0),
            ("G treble-8", 1),
        ];
        for (text, sharps) in cases {
            assert_eq!(Key::parse(text).map(|key| key.sharps), Ok(sharps), "{text}");
        }
        assert_eq!(Key::parse("D").unwrap().raised, [1, 0, 0, 1, 0, 0, 0], "C# and F#");
        assert_eq!(Key::parse("Eb").unwrap().raised, [0, 0, -1, 0, 0, -1, -1], "E, A and B flat");
        assert!(Key::parse("Em").unwrap().minor && !Key::parse("Emix").unwrap().minor);
    }

    #[test]
    fn explicit_accidentals() {
        assert_eq!(Key::parse("Dmix=c").unwrap().raised, [0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(Key::parse("D =c").unwrap().raised, [0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(Key::parse("A minor ^f_b").unwrap().raised, [0, 0, 0, 1, 0, 0, -1]);
        assert_eq!(Key::parse("D exp ^g").unwrap().raised, [0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn nonsense_is_no_key() {
        for bad in ["H", "x", "Bn", "Dmixm", "G#", "Gxyz", "G ^", "G ^h", "Fbm"] {
            assert!(Key::parse(bad).is_err(), "{bad}");
        }
    }
}
