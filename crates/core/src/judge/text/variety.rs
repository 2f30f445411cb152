//! Does the model repeat itself, within a piece and from piece to piece?
//!
//! Distinct-n (Li 2016): different n-grams over all n-grams of all pieces. Repetition: of each piece, the share of its 4-grams
//! that stood in it before, `1 − different / all` (Welleck 2020, seq-rep-4), averaged. The units are words, and single characters in
//! scripts that do not part words; marks are units too, white space is none. Distinct-n falls with the length of a text, so the same
//! number of units of held-out text stands beside it, in pieces as long as the generated ones.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

/// n of the repetition.
pub(super) const REPEATED: usize = 4;
/// A model that repeats this much more than held-out text, or says this much less that is distinct, is said to.
const MUCH: f64 = 0.1;

/// The measures of one set of pieces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Distinct-1, -2, -3.
    pub distinct: [f64; 3],
    /// Mean share of repeated 4-grams in a piece.
    pub repetition: f64,
    /// Share of pieces that are the same as an earlier one.
    pub duplicates: f64,
}

/// The variety of generated text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variety {
    /// Words or characters that were looked at, of each side.
    pub units: usize,
    /// The generated text.
    pub generated: Measured,
    /// As much held-out text, if there is any.
    pub heldout: Option<Measured>,
    /// The same in words.
    pub words: String,
}

/// Compares generated pieces with held-out ones of the same length.
pub(super) fn variety(generated: &[String], heldout: &[String]) -> Variety {
    let mut of_generated: Vec<Vec<&str>> = generated.iter().map(|piece| units(piece)).collect();
    let all = of_generated.iter().map(Vec::len).sum::<usize>();
    let length = (all / generated.len().max(1)).max(1);
    let mut of_heldout: Vec<Vec<&str>> = heldout
        .iter()
        .flat_map(|piece| units(piece).chunks(length).map(<[&str]>::to_vec).collect::<Vec<_>>())
        .collect();
    let count = |pieces: &[Vec<&str>]| pieces.iter().map(Vec::len).sum::<usize>();
    let beside = count(&of_heldout);
    let most = if beside == 0 { all } else { all.min(beside) };
    cut(&mut of_generated, most);
    cut(&mut of_heldout, most);
    let found = measure(&of_generated);
    let reference = (beside > 0).then(|| measure(&of_heldout));
    Variety { units: most, generated: found, heldout: reference, words: words(&found, reference.as_ref()) }
}

fn words(found: &Measured, reference: Option<&Measured>) -> String {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let beside = |pick: fn(&Measured) -> f64| {
        reference.map_or(String::new(), |r| format!(" (held-out text: {})", percent(pick(r))))
    };
    let numbers = format!(
        "{} of pairs of words are distinct{}, {} of the 4-grams of a piece occur earlier in it{}",
        percent(found.distinct[1]),
        beside(|m| m.distinct[1]),
        percent(found.repetition),
        beside(|m| m.repetition)
    );
    let at_best = reference.copied().unwrap_or(Measured { distinct: [1.0; 3], ..Measured::default() });
    if found.repetition > at_best.repetition + MUCH {
        format!("It repeats itself within a piece: {numbers}. A repetition penalty or a higher temperature helps.")
    } else if found.distinct[1] < at_best.distinct[1] - MUCH || found.duplicates > at_best.duplicates + MUCH {
        format!("The pieces are nearly alike: {numbers}.")
    } else {
        format!("Varied: {numbers}.")
    }
}

/// Keeps `most` units, cutting the last piece.
fn cut(pieces: &mut Vec<Vec<&str>>, most: usize) {
    let mut left = most;
    for piece in pieces.iter_mut() {
        piece.truncate(left);
        left -= piece.len();
    }
    pieces.retain(|piece| !piece.is_empty());
}

fn measure(pieces: &[Vec<&str>]) -> Measured {
    let mut seen = HashSet::new();
    let repeats = pieces.iter().filter(|piece| !seen.insert(*piece)).count();
    let long: Vec<f64> = pieces
        .iter()
        .filter(|piece| piece.len() >= REPEATED)
        .map(|piece| 1.0 - distinct(std::slice::from_ref(piece), REPEATED))
        .collect();
    Measured {
        distinct: [1, 2, 3].map(|n| distinct(pieces, n)),
        repetition: long.iter().sum::<f64>() / long.len().max(1) as f64,
        duplicates: repeats as f64 / pieces.len().max(1) as f64,
    }
}

/// Different n-grams over all; 1 where there are none.
fn distinct(pieces: &[Vec<&str>], n: usize) -> f64 {
    let all = pieces.iter().map(|piece| (piece.len() + 1).saturating_sub(n)).sum::<usize>();
    let different: HashSet<&[&str]> = pieces.iter().flat_map(|piece| piece.windows(n)).collect();
    if all == 0 { 1.0 } else { different.len() as f64 / all as f64 }
}

/// Words, and single characters of scripts without spaces.
fn units(text: &str) -> Vec<&str> {
    let mut units = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let in_word = |c: char| c.is_alphanumeric() && !stands_alone(c);
        let length = match in_word(first) {
            true => rest.find(|c| !in_word(c)).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        units.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    units
}

/// Han, Kana, Thai and their like.
fn stands_alone(c: char) -> bool {
    matches!(c as u32, 0xe00..=0xeff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x2e80..=0xa4cf | 0xf900..=0xfaff | 0x20000..=0x3ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_scripts() {
        assert_eq!(units(" In the 2nd, end. "), ["In", "the", "2nd", ",", "end", "."]);
        assert_eq!(units("春眠 ok。"), ["春", "眠", "ok", "。"]);
    }

    #[test]
    fn by_hand() {
        let pieces = ["a b a b a b".to_string(), "c d".to_string(), "c d".to_string()];
        let found = variety(&pieces, &[]);
        // 4 of 10 words; ab ba cd of 7 pairs; of the three 4-grams of the first piece abab is there twice; one repeat.
        assert_eq!(found.generated.distinct[..2], [0.4, 3.0 / 7.0]);
        assert!((found.generated.repetition - 1.0 / 3.0).abs() < 1e-12);
        assert!((found.generated.duplicates - 1.0 / 3.0).abs() < 1e-12);
        assert!(found.words.starts_with("It repeats itself") && found.heldout.is_none());
    }

    #[test]
    fn beside_held_out_text_of_the_same_length() {
        let book: String = (0..500).map(|i| format!("word{i} ")).collect();
        let same = variety(&vec!["one two three four five six seven".to_string(); 9], std::slice::from_ref(&book));
        assert_eq!((same.units, same.heldout.unwrap().distinct), (63, [1.0; 3]));
        assert!(same.words.starts_with("The pieces are nearly alike"), "{}", same.words);
        let other: String = (0..500).map(|i| format!("other{i} ")).collect();
        assert!(variety(&[other], &[book]).words.starts_with("Varied"));
    }
}
