//! Learning and applying byte-pair merges.
//!
//! Learning (Sennrich 2016, Algorithm 1): begin with bytes; as long as there is room, merge the pair of neighbouring tokens that is
//! most frequent inside words. Of pairs that are equally frequent the one with the smaller tokens is merged, and nothing depends
//! on the order of a hash map or on threads: the same words give the same merges, everywhere.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

/// Two neighbouring tokens.
pub(super) type Pair = (u32, u32);

/// The token of a byte: they follow the end of a document.
pub(super) fn byte_token(byte: u8) -> u32 {
    u32::from(byte) + FIRST_BYTE
}

const FIRST_BYTE: u32 = 1;
/// The token of the first merge.
pub(super) const FIRST_MERGE: u32 = FIRST_BYTE + 256;
/// A pair that occurs less often is not worth a token.
const OFTEN: i64 = 2;

/// The merges of `words` and how often each occurs, `most` of them, in the order in which they are to be applied: the i-th makes
/// token 257 + i.
pub(super) fn learn(words: &HashMap<Box<str>, u64>, most: usize) -> Vec<Pair> {
    let mut sorted: Vec<(&str, i64)> = words.iter().map(|(word, &n)| (&**word, n as i64)).collect();
    sorted.sort_unstable();
    let counts: Vec<i64> = sorted.iter().map(|&(_, n)| n).collect();
    let mut words: Vec<Vec<u32>> = sorted.iter().map(|(word, _)| word.bytes().map(byte_token).collect()).collect();

    // How often each pair occurs, and in which words it does or did.
    let mut pairs: HashMap<Pair, (i64, Vec<u32>)> = HashMap::new();
    for (number, word) in words.iter().enumerate() {
        for pair in word.windows(2) {
            let entry = pairs.entry((pair[0], pair[1])).or_default();
            entry.0 += counts[number];
            if entry.1.last() != Some(&(number as u32)) {
                entry.1.push(number as u32);
            }
        }
    }
    let mut heap: BinaryHeap<(i64, Reverse<Pair>)> = pairs.iter().map(|(&pair, &(n, _))| (n, Reverse(pair))).collect();

    let mut merges = Vec::new();
    while merges.len() < most {
        let Some((count, Reverse(pair))) = heap.pop() else { break };
        // Counts in the heap may be out of date, and then too large.
        let Some(&(now, _)) = pairs.get(&pair) else { continue };
        if now < count {
            heap.push((now, Reverse(pair)));
            continue;
        }
        if now < OFTEN {
            break;
        }
        let token = FIRST_MERGE + merges.len() as u32;
        merges.push(pair);
        let (_, mut places) = pairs.remove(&pair).expect("it was just read");
        places.dedup();
        let mut grown = HashSet::new();
        for number in places {
            let n = counts[number as usize];
            merge(&mut words[number as usize], pair, token, &mut |changed, sign| {
                // A pair of equal tokens (aaa) may meet itself.
                if changed == pair {
                    return;
                }
                let entry = pairs.entry(changed).or_default();
                entry.0 += sign * n;
                if sign > 0 {
                    grown.insert(changed);
                    if entry.1.last() != Some(&number) {
                        entry.1.push(number);
                    }
                }
            });
        }
        heap.extend(grown.into_iter().map(|pair| (pairs[&pair].0, Reverse(pair))));
    }
    merges
}

/// Replaces `pair` by `token` from left to right. `change` is told which other pairs there are less (−1) and more (+1) of.
fn merge(word: &mut Vec<u32>, pair: Pair, token: u32, change: &mut dyn FnMut(Pair, i64)) {
    let (mut read, mut kept) = (0, 0);
    while read < word.len() {
        if read + 1 < word.len() && (word[read], word[read + 1]) == pair {
            if kept > 0 {
                let left = word[kept - 1];
                change((left, pair.0), -1);
                change((left, token), 1);
            }
            if let Some(&right) = word.get(read + 2) {
                change((pair.1, right), -1);
                change((token, right), 1);
            }
            word[kept] = token;
            read += 2;
        } else {
            word[kept] = word[read];
            read += 1;
        }
        kept += 1;
    }
    word.truncate(kept);
}

/// The tokens of a word: of all merges that apply, the one learned first, again and again.
pub(super) fn apply(word: &str, merges: &HashMap<Pair, u32>) -> Vec<u32> {
    let mut tokens: Vec<u32> = word.bytes().map(byte_token).collect();
    loop {
        let pairs = tokens.windows(2).map(|pair| (pair[0], pair[1]));
        let first = pairs.filter_map(|pair| Some((*merges.get(&pair)?, pair))).min();
        let Some((token, pair)) = first else { return tokens };
        merge(&mut tokens, pair, token, &mut |_, _| ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counted(text: &str) -> HashMap<Box<str>, u64> {
        let mut counts = HashMap::new();
        text.split(' ').for_each(|word| *counts.entry(word.into()).or_insert(0) += 1);
        counts
    }

    /// Algorithm 1 as it is printed: all pairs counted anew for every merge.
    fn learn_slowly(words: &HashMap<Box<str>, u64>, most: usize) -> Vec<Pair> {
        let mut words: Vec<(Vec<u32>, i64)> =
            words.iter().map(|(word, &n)| (word.bytes().map(byte_token).collect(), n as i64)).collect();
        let mut merges = Vec::new();
        while merges.len() < most {
            let mut pairs: HashMap<Pair, i64> = HashMap::new();
            for (word, n) in &words {
                word.windows(2).for_each(|pair| *pairs.entry((pair[0], pair[1])).or_default() += n);
            }
            let best = pairs.into_iter().max_by_key(|&(pair, n)| (n, Reverse(pair)));
            let Some((pair, _)) = best.filter(|&(_, n)| n >= OFTEN) else { break };
            let token = FIRST_MERGE + merges.len() as u32;
            words.iter_mut().for_each(|(word, _)| merge(word, pair, token, &mut |_, _| ()));
            merges.push(pair);
        }
        merges
    }

    #[test]
    fn the_example_of_the_paper() {
        // Sennrich 2016, Section 3.2: low ×5, lowest ×2, newer ×6, wider ×3 learns r·, l o, lo w, e r·. Without the mark of a
        // word's end, and with ties going to smaller bytes, the frequent pairs are the same.
        let words = [("low", 5), ("lowest", 2), ("newer", 6), ("wider", 3)];
        let words = words.into_iter().map(|(word, n)| (word.into(), n)).collect();
        let [e, l, o, r, w] = [b'e', b'l', b'o', b'r', b'w'].map(byte_token);
        // er: 9; then, with 8 of "we" gone to "w er": lo: 7, (lo)w: 7.
        assert_eq!(learn(&words, 3), [(e, r), (l, o), (FIRST_MERGE + 1, w)]);
    }

    #[test]
    fn a_pair_of_equal_tokens() {
        let a = byte_token(b'a');
        let merges = learn(&counted("aaaaa aaaaa"), 9);
        assert_eq!(merges, learn_slowly(&counted("aaaaa aaaaa"), 9));
        assert_eq!(merges[0], (a, a));
        let ids = merges.iter().copied().zip(FIRST_MERGE..).collect();
        assert_eq!(apply("aaaaa", &ids).len(), 1);
        // Of aa·aa and aa·a, equally frequent, the smaller pair came second.
        assert_eq!((merges[1], apply("aaa", &ids)), ((FIRST_MERGE, a), vec![FIRST_MERGE + 1]));
    }

    proptest! {
        #[test]
        fn fast_is_the_same_as_slow(text in "[abc]{1,12}( [abc]{1,12}){0,15}") {
            let words = counted(&text);
            let merges = learn(&words, 40);
            prop_assert_eq!(&merges, &learn_slowly(&words, 40));
            // A word that was learned from is encoded as it was left by the learning.
            let ids: HashMap<Pair, u32> = merges.iter().copied().zip(FIRST_MERGE..).collect();
            for word in words.keys() {
                let mut learned: Vec<u32> = word.bytes().map(byte_token).collect();
                for (&pair, token) in merges.iter().zip(FIRST_MERGE..) {
                    merge(&mut learned, pair, token, &mut |_, _| ());
                }
                prop_assert_eq!(apply(word, &ids), learned);
            }
        }
    }
}
