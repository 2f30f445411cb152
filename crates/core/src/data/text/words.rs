//! Cutting text into words, inside of which BPE merges: much as GPT-2 does (Radford 2019), by hand.
//!
//! A word is, each with one space or apostrophe before it if there is one: a run of letters, of at most three digits, or of
//! other characters; and a run of white space, but for a space that a word takes. No word is longer than 32 characters, so
//! that a line of Chinese, or of anything without spaces, is cut too. Nothing is lost: the words joined are the text.

/// Characters of a word, at most.
const LONGEST: usize = 32;
const MOST_DIGITS: usize = 3;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    White,
    Other,
}

fn class(c: char) -> Class {
    if c.is_alphabetic() {
        Class::Letter
    } else if c.is_whitespace() {
        Class::White
    } else if c.is_numeric() {
        Class::Digit
    } else {
        Class::Other
    }
}

/// The words of a text, in order.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (word, after) = rest.split_at(first(rest));
        rest = after;
        (!word.is_empty()).then_some(word)
    })
}

/// Bytes of the first word.
fn first(text: &str) -> usize {
    let mut chars = text.char_indices();
    let Some((_, start)) = chars.next() else { return 0 };
    let mut run = class(start);
    let mut length = 1;
    if let (' ' | '\'', Some(next)) = (start, text.chars().nth(1)) {
        let joins = class(next) != Class::White && (start == ' ' || class(next) == Class::Letter);
        if joins {
            (run, length) = (class(next), 0);
        }
    }
    let most = if run == Class::Digit { MOST_DIGITS } else { LONGEST };
    for (at, c) in chars {
        if class(c) != run {
            // The last space of several belongs to what follows.
            let gives = run == Class::White && at > 1 && text[..at].ends_with(' ');
            return at - usize::from(gives);
        }
        if length == most {
            return at;
        }
        length += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::words;
    use proptest::prelude::*;

    #[test]
    fn as_gpt_2_does() {
        fn all(text: &str) -> Vec<&str> {
            words(text).collect()
        }
        assert_eq!(
            all("Hello  world, don't!\n\n  12345 x"),
            ["Hello", " ", " world", ",", " don", "'t", "!", "\n\n ", " 123", "45", " x"]
        );
        assert_eq!(all("白日依山盡，黃河"), ["白日依山盡", "，", "黃河"]);
        assert_eq!(all("a \nb"), ["a", " \n", "b"]);
        assert_eq!(all(" "), [" "]);
        assert_eq!(all("'"), ["'"]);
        assert_eq!(all(&"字".repeat(70)).iter().map(|w| w.chars().count()).collect::<Vec<_>>(), [32, 32, 6]);
        assert!(all("").is_empty());
    }

    proptest! {
        #[test]
        fn nothing_is_lost(text in "[ab' \\n\\t1२春，!]{0,80}") {
            prop_assert_eq!(words(&text).collect::<String>(), text.clone());
            prop_assert!(words(&text).all(|word| word.chars().count() <= 33));
        }

        /// What lets a text be encoded in parts.
        #[test]
        fn cut_where_a_line_begins_the_same(before in "[ab 1]{0,9}", after in "[ab1!][ab 1\\n]{0,9}") {
            let whole = format!("{before}\n{after}");
            let cut: Vec<&str> = words(&whole[..=before.len()]).chain(words(&whole[before.len() + 1..])).collect();
            prop_assert_eq!(words(&whole).collect::<Vec<_>>(), cut);
        }
    }
}
