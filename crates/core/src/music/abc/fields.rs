//! Metre, note length and tempo: what `M:`, `L:` and `Q:` say.

use super::super::{Ticks, WHOLE};

/// Notes and bars longer than this many whole notes are slips.
pub(super) const LONGEST: u64 = 64;

/// `M:`: beats in a bar and the note that is one beat; `None` for free metre.
pub(super) fn meter(text: &str) -> Result<Option<(u32, u32)>, String> {
    let bad = || format!("the metre \"{}\" is not known", text.chars().take(30).collect::<String>());
    match text {
        "" | "none" => return Ok(None),
        "C" => return Ok(Some((4, 4))),
        "C|" => return Ok(Some((2, 2))),
        _ => {}
    }
    let (beats, unit) = text.rsplit_once('/').ok_or_else(bad)?;
    let inner = beats.trim().trim_start_matches('(').trim_end_matches(')');
    let beats = inner
        .split('+')
        .map(|part| part.trim().parse::<u16>().map(u32::from))
        .sum::<Result<u32, _>>()
        .map_err(|_| bad())?;
    let unit: u32 = unit.trim().parse().map_err(|_| bad())?;
    let known = (1..=64).contains(&beats) && unit.is_power_of_two() && unit <= 64;
    if known { Ok(Some((beats, unit))) } else { Err(bad()) }
}

/// The length of a bar.
pub(super) fn bar((beats, unit): (u32, u32)) -> Ticks {
    WHOLE * Ticks::from(beats) / Ticks::from(unit)
}

/// `L:`: the length of a note that is written without one.
pub(super) fn note_length(text: &str) -> Result<Ticks, String> {
    fraction(text)
        .and_then(|(n, d)| length(WHOLE, n, d))
        .ok_or_else(|| format!("the note length \"{}\" is not known", text.chars().take(30).collect::<String>()))
}

/// The note length of a tune that has no `L:` (ABC 2.1, 3.1.7): 1/16 in metres below 3/4, else 1/8.
pub(super) fn default_length(meter: Option<(u32, u32)>) -> Ticks {
    match meter {
        Some((beats, unit)) if 4 * beats < 3 * unit => WHOLE / 16,
        _ => WHOLE / 8,
    }
}

/// `unit` · n / d, where that is a length a note may have; rounded to whole ticks.
pub(super) fn length(unit: Ticks, n: u64, d: u64) -> Option<Ticks> {
    let ticks = unit.checked_mul(n)?.checked_add(d / 2)?.checked_div(d)?;
    (1..=LONGEST * WHOLE).contains(&ticks).then_some(ticks)
}

/// `Q:`: quarter notes a minute. `1/4=120`, `1/4 1/8=60` (the beat is the sum), `120` and `C=120` (old: notes of length `unit`),
/// each with a text in quotes before or behind. A text alone says nothing: `None`.
pub(super) fn tempo(text: &str, unit: Ticks) -> Result<Option<f64>, String> {
    let bad = || format!("the tempo \"{}\" is not known", text.chars().take(30).collect::<String>());
    // What stands between quotes is for people.
    let plain: String = text.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let plain = plain.trim();
    if plain.is_empty() {
        return Ok(None);
    }
    let (beat, rate) = plain.split_once('=').map_or(("", plain), |(beat, rate)| (beat.trim(), rate.trim()));
    let rate: f64 = rate.split_whitespace().next().ok_or_else(bad)?.parse().map_err(|_| bad())?;
    let beat = match beat {
        "" | "C" | "c" => unit,
        _ => {
            let part = |part: &str| fraction(part).and_then(|(n, d)| length(WHOLE, n, d)).ok_or_else(bad);
            beat.split_whitespace().map(part).sum::<Result<Ticks, String>>()?
        }
    };
    let quarters = rate * beat as f64 / (WHOLE / 4) as f64;
    // Slower or faster than this no tune is meant.
    if (10.0..=1000.0).contains(&quarters) { Ok(Some(quarters)) } else { Err(bad()) }
}

/// `n/d`.
fn fraction(text: &str) -> Option<(u64, u64)> {
    let (n, d) = text.split_once('/').unwrap_or((text, "1"));
    Some((n.trim().parse().ok()?, d.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metres() {
        let cases = [
            ("C", Some((4, 4))),
            ("C|", Some((2, 2))),
            ("6/8", Some((6, 8))),
            ("2+3/8", Some((5, 8))),
            ("(2+2+3)/8", Some((7, 8))),
            ("none", None),
        ];
        for (text, expected) in cases {
            assert_eq!(meter(text), Ok(expected), "{text}");
        }
        for bad in ["4", "0/4", "4/0", "4/5", "4294967295+1/4", "x/y", "99/4"] {
            assert!(meter(bad).is_err(), "{bad}");
        }
        assert_eq!((bar((6, 8)), default_length(Some((2, 4))), default_length(Some((3, 4)))), (30_240, 2520, 5040));
    }

    #[test]
    fn note_lengths() {
        assert_eq!((note_length("1/8"), note_length("1"), note_length(" 1/16 ")), (Ok(5040), Ok(WHOLE), Ok(2520)));
        for bad in ["", "1/0", "0/8", "a", "1/99999999", "18446744073709551615/2"] {
            assert!(note_length(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tempos() {
        let cases = [
            ("1/4=120", Some(120.0)),
            ("3/8=120", Some(180.0)),
            ("1/2=104", Some(208.0)),
            ("1/4=80 \"Slow\"", Some(80.0)),
            ("\"Allegro\" 1/8=100", Some(50.0)),
            ("\"Slow\"", None),
            ("", None),
            ("1/4 1/8=60", Some(90.0)),
            ("200", Some(100.0)),
            ("C=200", Some(100.0)),
        ];
        for (text, expected) in cases {
            assert_eq!(tempo(text, WHOLE / 8), Ok(expected), "{text}");
        }
        for bad in ["fast", "1/4=", "1/4=0", "1/4=1e9", "1/0=100", "1/4=NaN"] {
            assert!(tempo(bad, WHOLE / 8).is_err(), "{bad}");
        }
    }
}
