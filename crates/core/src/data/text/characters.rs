//! Characters as tokens, and the bytes of those that are too rare.
//!
//! A character is a token if it occurs at least twice in the training text (and is among the 16,384 most frequent). The others,
//! and those that only the held-out text has, are spelt as their UTF-8 bytes, and those bytes are tokens too. So every text of
//! the corpus comes back exactly, a probability is defined for all of it, and how likely a new character is gets learned from
//! the characters seen once, which is what Good (1953) estimates it from. A corpus without rare characters (English) has
//! no byte tokens at all.
//!
//! A character that can be spelt neither way (a Chinese one for an English corpus) cannot be encoded: it is left out.

use std::collections::{BTreeSet, HashMap};

/// Occurrences in the training text from which a character is a token.
const OFTEN: u64 = 2;

#[derive(Debug, Clone)]
pub(super) struct Characters {
    /// Token 1 and up.
    pub characters: Vec<char>,
    /// After the characters, ascending.
    pub bytes: Vec<u8>,
    ids: HashMap<char, u32>,
    /// The token of each byte; 0 for none.
    byte_ids: [u32; 256],
}

impl Characters {
    /// Of these characters and bytes, each distinct.
    pub fn new(characters: Vec<char>, bytes: Vec<u8>) -> Self {
        let ids: HashMap<char, u32> = characters.iter().copied().zip(1..).collect();
        let mut byte_ids = [0; 256];
        for (&byte, id) in bytes.iter().zip(characters.len() as u32 + 1..) {
            byte_ids[usize::from(byte)] = id;
        }
        Self { characters, bytes, ids, byte_ids }
    }

    /// Learned from how often each character occurs in the training text and which others the held-out text has. `most` tokens.
    pub fn learn(counts: &HashMap<char, u64>, heldout: &BTreeSet<char>, most: usize) -> Self {
        let mut order: Vec<(char, u64)> = counts.iter().map(|(&c, &n)| (c, n)).collect();
        order.sort_unstable_by_key(|&(c, n)| (std::cmp::Reverse(n), c));
        // A text that says everything once has tokens all the same.
        let once = order.iter().all(|&(_, n)| n < OFTEN);
        let frequent = order.iter().take(most.saturating_sub(1)).take_while(|&&(_, n)| once || n >= OFTEN);
        let characters: Vec<char> = frequent.map(|&(c, _)| c).collect();
        let known: BTreeSet<char> = characters.iter().copied().collect();
        let rare = counts.keys().chain(heldout).filter(|c| !known.contains(c));
        let bytes: BTreeSet<u8> = rare.flat_map(|c| c.encode_utf8(&mut [0; 4]).as_bytes().to_vec()).collect();
        Self::new(characters, bytes.into_iter().collect())
    }

    /// Appends the tokens of `text`.
    pub fn encode(&self, text: &str, tokens: &mut Vec<u32>) {
        for c in text.chars() {
            match self.ids.get(&c) {
                Some(&id) => tokens.push(id),
                None if self.can_spell(c) => tokens.extend(c.encode_utf8(&mut [0; 4]).bytes().map(|b| self.byte(b))),
                None => {}
            }
        }
    }

    /// Is there a way to encode this character?
    pub fn knows(&self, c: char) -> bool {
        self.ids.contains_key(&c) || self.can_spell(c)
    }

    fn can_spell(&self, c: char) -> bool {
        c.encode_utf8(&mut [0; 4]).bytes().all(|b| self.byte(b) != 0)
    }

    fn byte(&self, byte: u8) -> u32 {
        self.byte_ids[usize::from(byte)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(train: &str, heldout: &str, most: usize) -> Characters {
        let mut counts = HashMap::new();
        train.chars().for_each(|c| *counts.entry(c).or_insert(0) += 1);
        Characters::learn(&counts, &heldout.chars().collect(), most)
    }

    #[test]
    fn frequent_first_rare_as_bytes() {
        let learned = learn("bbbaaacc春", "ab夏", 100);
        assert_eq!(learned.characters, ['a', 'b', 'c'], "by frequency, then by code point");
        // 春 is E6 98 A5, 夏 is E5 A4 8F.
        assert_eq!(learned.bytes, [0x8f, 0x98, 0xa4, 0xa5, 0xe5, 0xe6]);
        let mut tokens = Vec::new();
        learned.encode("c春x", &mut tokens);
        assert_eq!(tokens, [3, 9, 5, 7], "x cannot be encoded");
        assert!(learned.knows('夏') && learned.knows('a') && !learned.knows('x'));
        assert!(learned.knows('奥'), "another character of the same bytes");
        assert!(learn("aabb", "ab", 100).bytes.is_empty());
        assert_eq!(learn("aaabbc", "", 2).characters, ['a'], "one is the end of a document");
        assert_eq!(learn("abc", "", 100).characters.len(), 3);
    }
}
