//! From text to tokens and back. The tokenizer of a model travels inside the model's file as JSON.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::characters::Characters;
use super::config::TokenizerKind;
use super::merges::{self, FIRST_MERGE, Pair};
use super::words::words;
use crate::{Error, Result};

/// Version of the JSON form.
const FORMAT: u32 = 1;
/// Longest JSON that is read, in bytes, and largest vocabulary.
const MAX_JSON: usize = 16 << 20;
const MAX_VOCABULARY: usize = 1 << 18;
/// Longest token that is read, in bytes: a word has at most 33 characters.
const MAX_TOKEN: usize = 256;

/// Characters or byte-level BPE. Cheap to clone.
///
/// Token 0 is [`END`](Self::END). Every other token stands for some bytes; a text is the bytes of its tokens, joined.
#[derive(Debug, Clone)]
pub struct Tokenizer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    /// The bytes of all tokens, and where those of each end.
    spelling: Vec<u8>,
    ends: Vec<usize>,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one tokenizer is held at a time, never a list of them")]
enum Kind {
    Characters(Characters),
    Bpe { order: Vec<Pair>, merges: HashMap<Pair, u32> },
}

/// The JSON form: all that the rest follows from.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum Written {
    /// Tokens: the end, these characters, these bytes.
    Characters { format: u32, characters: String, bytes: Vec<u8> },
    /// Tokens: the end, the 256 bytes, these merges of two tokens each.
    Bpe { format: u32, merges: Vec<Pair> },
}

impl Tokenizer {
    /// The end of a document: between documents, before the first token of a generation, and what ends one. It stands for no text.
    pub const END: u32 = 0;

    /// Characters, learned from how often each occurs in the training text and which ones the held-out text has.
    pub(super) fn characters(counts: &HashMap<char, u64>, heldout: &BTreeSet<char>, most: usize) -> Self {
        Self::of(Kind::Characters(Characters::learn(counts, heldout, most)))
    }

    /// BPE with at most `vocabulary` tokens, learned from how often each word occurs.
    pub(super) fn bpe(words: &HashMap<Box<str>, u64>, vocabulary: usize) -> Self {
        Self::merging(merges::learn(words, vocabulary.saturating_sub(FIRST_MERGE as usize)))
    }

    fn merging(order: Vec<Pair>) -> Self {
        let merges = order.iter().copied().zip(FIRST_MERGE..).collect();
        Self::of(Kind::Bpe { order, merges })
    }

    fn of(kind: Kind) -> Self {
        let (mut spelling, mut ends) = (Vec::new(), vec![0]);
        match &kind {
            Kind::Characters(known) => {
                for c in &known.characters {
                    spelling.extend(c.encode_utf8(&mut [0; 4]).bytes());
                    ends.push(spelling.len());
                }
                for &byte in &known.bytes {
                    spelling.push(byte);
                    ends.push(spelling.len());
                }
            }
            Kind::Bpe { order, .. } => {
                for byte in 0..=u8::MAX {
                    spelling.push(byte);
                    ends.push(spelling.len());
                }
                for &(left, right) in order {
                    for part in [left as usize, right as usize] {
                        spelling.extend_from_within(ends[part - 1]..ends[part]);
                    }
                    ends.push(spelling.len());
                }
            }
        }
        Self(Arc::new(Inner { kind, spelling, ends }))
    }

    /// What a token is.
    pub fn kind(&self) -> TokenizerKind {
        match self.0.kind {
            Kind::Characters(_) => TokenizerKind::Characters,
            Kind::Bpe { .. } => TokenizerKind::Bpe,
        }
    }

    /// Number of tokens, the end of a document included.
    pub fn vocabulary(&self) -> usize {
        self.0.ends.len()
    }

    /// The tokens of `text`, never [`END`](Self::END). BPE encodes every text. Characters leave out what they cannot spell
    /// ([`unknown`](Self::unknown) says what that is); of the corpus they were learned from that is nothing.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut tokens = Vec::with_capacity(text.len() / 2);
        match &self.0.kind {
            Kind::Characters(known) => known.encode(text, &mut tokens),
            Kind::Bpe { merges, .. } => {
                let mut known: HashMap<&str, Vec<u32>> = HashMap::new();
                for word in words(text) {
                    tokens.extend_from_slice(known.entry(word).or_insert_with(|| merges::apply(word, merges)));
                }
            }
        }
        tokens
    }

    /// The characters of `text` that cannot be encoded, each once, in order.
    pub fn unknown(&self, text: &str) -> Vec<char> {
        let Kind::Characters(known) = &self.0.kind else { return Vec::new() };
        let mut seen = HashSet::new();
        text.chars().filter(|&c| !known.knows(c) && seen.insert(c)).collect()
    }

    /// The text of these tokens; bytes that are not UTF-8 become U+FFFD. The end of a document is not text.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|&token| self.bytes(token)).copied().collect();
        String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }

    /// The bytes of a token: whole characters, or part of one. None for the end of a document and for no token.
    pub fn bytes(&self, token: u32) -> &[u8] {
        let (ends, token) = (&self.0.ends, token as usize);
        if token == 0 || token >= ends.len() { &[] } else { &self.0.spelling[ends[token - 1]..ends[token]] }
    }

    /// The JSON form.
    pub fn to_json(&self) -> String {
        let written = match &self.0.kind {
            Kind::Characters(known) => Written::Characters {
                format: FORMAT,
                characters: known.characters.iter().collect(),
                bytes: known.bytes.clone(),
            },
            Kind::Bpe { order, .. } => Written::Bpe { format: FORMAT, merges: order.clone() },
        };
        serde_json::to_string(&written).expect("a tokenizer is plain data")
    }

    /// Reads the JSON form, from a file that may be anybody's.
    ///
    /// # Errors
    /// It is too long, no JSON of this form, of another version, or describes no tokenizer.
    pub fn from_json(json: &str) -> Result<Self> {
        let wrong = |what: String| Error::corrupt(format!("the tokenizer cannot be used: {what}"));
        if json.len() > MAX_JSON {
            return Err(wrong(format!("it is longer than {} MiB", MAX_JSON >> 20)));
        }
        let written: Written = serde_json::from_str(json).map_err(|e| wrong(e.to_string()))?;
        let (Written::Characters { format, .. } | Written::Bpe { format, .. }) = &written;
        if *format != FORMAT {
            return Err(wrong(format!("it has version {format}, and this program reads {FORMAT}"))
                .hint("use a newer version of Maliang"));
        }
        match written {
            Written::Characters { characters, bytes, .. } => {
                if characters.chars().count() + bytes.len() >= MAX_VOCABULARY {
                    return Err(wrong(format!("it has more than {MAX_VOCABULARY} tokens")));
                }
                let characters: Vec<char> = characters.chars().collect();
                let distinct: HashSet<char> = characters.iter().copied().collect();
                let ascending = bytes.windows(2).all(|pair| pair[0] < pair[1]);
                if distinct.len() < characters.len() || !ascending || characters.is_empty() {
                    return Err(wrong("its characters or bytes repeat, or there are none".into()));
                }
                Ok(Self::of(Kind::Characters(Characters::new(characters, bytes))))
            }
            Written::Bpe { merges, .. } => {
                check_merges(&merges).map_err(wrong)?;
                Ok(Self::merging(merges))
            }
        }
    }
}

/// Every merge joins two earlier tokens, once, to a token of bounded length.
fn check_merges(merges: &[Pair]) -> Result<(), String> {
    if merges.len() + FIRST_MERGE as usize > MAX_VOCABULARY {
        return Err(format!("it has more than {MAX_VOCABULARY} tokens"));
    }
    let mut lengths: Vec<usize> = vec![1; FIRST_MERGE as usize];
    let mut seen = HashSet::new();
    for (number, &(left, right)) in merges.iter().enumerate() {
        let known = |token: u32| token != Tokenizer::END && (token as usize) < lengths.len();
        if !known(left) || !known(right) || !seen.insert((left, right)) {
            return Err(format!("merge {number} joins tokens that do not exist, or a pair that another merge joins"));
        }
        let length = lengths[left as usize] + lengths[right as usize];
        if length > MAX_TOKEN {
            return Err(format!("merge {number} makes a token of {length} bytes"));
        }
        lengths.push(length);
    }
    Ok(())
}

impl PartialEq for Tokenizer {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0.kind, &other.0.kind) {
            (Kind::Characters(a), Kind::Characters(b)) => a.characters == b.characters && a.bytes == b.bytes,
            (Kind::Bpe { order: a, .. }, Kind::Bpe { order: b, .. }) => a == b,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn characters(text: &str) -> Tokenizer {
        let mut counts = HashMap::new();
        text.chars().for_each(|c| *counts.entry(c).or_insert(0) += 1);
        Tokenizer::characters(&counts, &BTreeSet::new(), 1000)
    }

    fn bpe(text: &str, vocabulary: usize) -> Tokenizer {
        let mut counts: HashMap<Box<str>, u64> = HashMap::new();
        words(text).for_each(|word| *counts.entry(word.into()).or_default() += 1);
        Tokenizer::bpe(&counts, vocabulary)
    }

    const TEXT: &str = "春眠不覺曉，處處聞啼鳥。\nIn the beginning, in the end; the end.\n";

    #[test]
    fn text_comes_back_exactly_and_through_json() {
        for tokenizer in [characters(TEXT), bpe(TEXT, 300)] {
            let tokens = tokenizer.encode(TEXT);
            assert_eq!(tokenizer.decode(&tokens), TEXT);
            assert!(tokens.iter().all(|&t| t != Tokenizer::END && (t as usize) < tokenizer.vocabulary()));
            let again = Tokenizer::from_json(&tokenizer.to_json()).unwrap();
            assert!(again == tokenizer && again.encode(TEXT) == tokens && again.to_json() == tokenizer.to_json());
        }
        let tokenizer = bpe(TEXT, 300);
        assert!(tokenizer.encode(TEXT).len() < TEXT.len() && tokenizer.vocabulary() <= 300);
        assert_eq!(tokenizer.bytes(1 + u32::from(b'a')), b"a");
        // Nothing for what is neither text nor a token, half characters shown as such.
        assert_eq!(tokenizer.decode(&[Tokenizer::END, 9999, 1 + 0xe6, 1 + u32::from(b'x')]), "\u{fffd}x");
        assert!(tokenizer.unknown("ж").is_empty() && tokenizer.decode(&tokenizer.encode("ж")) == "ж");
        let tokenizer = characters("aabb");
        assert_eq!((tokenizer.unknown("жabжc"), tokenizer.encode("жab")), (vec!['ж', 'c'], vec![1, 2]));
    }

    #[test]
    fn foreign_json_is_checked() {
        for (json, word) in [
            ("{}", "kind"),
            (r#"{"kind":"characters","format":2,"characters":"ab","bytes":[]}"#, "version 2"),
            (r#"{"kind":"characters","format":1,"characters":"aba","bytes":[]}"#, "repeat"),
            (r#"{"kind":"characters","format":1,"characters":"","bytes":[]}"#, "none"),
            (r#"{"kind":"characters","format":1,"characters":"ab","bytes":[2,1]}"#, "repeat"),
            (r#"{"kind":"characters","format":1,"characters":"ab","bytes":[256]}"#, "256"),
            (r#"{"kind":"characters","format":1,"characters":"ab","bytes":[],"x":1}"#, "x"),
            (r#"{"kind":"bpe","format":1,"merges":[[1,257]]}"#, "merge 0"),
            (r#"{"kind":"bpe","format":1,"merges":[[0,1]]}"#, "merge 0"),
            (r#"{"kind":"bpe","format":1,"merges":[[1,2],[1,2]]}"#, "merge 1"),
        ] {
            let error = Tokenizer::from_json(json).unwrap_err();
            assert!(error.message.contains(word), "{json}: {error}");
        }
        // Tokens that double in length: 2⁹ bytes are refused, and 2⁴⁰ would not have fitted anywhere.
        let merges: Vec<Pair> = (0..40).map(|i| if i == 0 { (1, 1) } else { (256 + i, 256 + i) }).collect();
        let json = serde_json::to_string(&Written::Bpe { format: 1, merges }).unwrap();
        assert!(Tokenizer::from_json(&json).unwrap_err().message.contains("512 bytes"));
        assert!(Tokenizer::from_json(&" ".repeat(MAX_JSON + 1)).unwrap_err().message.contains("16 MiB"));
    }

    proptest! {
        #[test]
        fn bpe_brings_back_every_text(text in "\\PC{0,60}") {
            let tokenizer = bpe(TEXT, 400);
            prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text)), text);
        }
    }
}
