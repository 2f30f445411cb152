use super::*;
use crate::provenance::recipe::{MOST_TOKENS, Sampling};

/// One token a byte and one more for the end; each token is followed by the one of the next letter of a fixed text, with near
/// certainty, or by any, evenly.
struct Toy {
    text: &'static [u8],
    /// 0: all tokens alike; large: only the text.
    certainty: f32,
    taken: Vec<u32>,
    logits: Vec<f32>,
}

impl Toy {
    fn new(text: &'static str, certainty: f32) -> Self {
        Self { text: text.as_bytes(), certainty, taken: Vec::new(), logits: Vec::new() }
    }

    /// After the leading end token and n bytes comes byte n of the text, and the end behind its last one.
    fn predict(&mut self) -> &[f32] {
        let next = self.text.get(self.taken.len() - 1).map_or(0, |&byte| usize::from(byte) + 1);
        self.logits = vec![0.0; 257];
        self.logits[next] = self.certainty;
        &self.logits
    }
}

impl Predictor for &mut Toy {
    fn reset(&mut self) {
        self.taken.clear();
    }

    fn prefill(&mut self, tokens: &[u32]) -> &[f32] {
        self.taken.extend(tokens);
        self.predict()
    }

    fn push(&mut self, token: u32) -> &[f32] {
        self.taken.push(token);
        self.predict()
    }

    fn logits(&self) -> &[f32] {
        &self.logits
    }
}

/// Token b + 1 stands for byte b.
struct Bytes(Vec<u8>);

impl Bytes {
    fn new() -> Self {
        Self((0..=255).collect())
    }

    fn encode(text: &str) -> Vec<u32> {
        text.bytes().map(|byte| u32::from(byte) + 1).collect()
    }
}

impl Vocabulary for Bytes {
    fn bytes(&self, token: u32) -> &[u8] {
        &self.0[token as usize - 1..token as usize]
    }
}

fn request(prompt: &str) -> Request {
    Request { prompt: prompt.into(), sampling: Sampling::default(), max_tokens: 1000, stop: Vec::new(), seed: 7 }
}

const POEM: &str = "床前明月光，\n疑是地上霜。\n";

#[test]
fn a_piece_begins_with_the_end_token_and_the_prompt_and_ends_with_the_document() {
    let (mut toy, bytes) = (Toy::new(POEM, 100.0), Bytes::new());
    let prompt = Bytes::encode("床");
    let mut piece = Generation::new(&mut toy, &bytes, &prompt, &request("床"), 0).unwrap();
    let mut parts = Vec::new();
    while let Some(text) = piece.next().unwrap() {
        parts.push(text);
    }
    assert_eq!(parts.concat(), POEM["床".len()..]);
    assert!(parts.iter().all(|part| part.chars().count() == 1), "a character as soon as it is whole: {parts:?}");
    assert_eq!((piece.finish(), piece.tokens()), (Some(&Finish::End), POEM.len() - "床".len() + 1));
    assert!(!piece.extend(5), "a document that has ended does not go on");
    assert_eq!(toy.taken[..4], [&[0], &prompt[..]].concat());
    assert_eq!(toy.taken.len(), 1 + POEM.len(), "the model takes the prompt once and each token once");
}

#[test]
fn a_piece_stops_before_a_stop_string() {
    let (mut toy, bytes) = (Toy::new(POEM, 100.0), Bytes::new());
    let asked = Request { stop: vec!["是地".into(), "。".into()], ..request("") };
    let mut piece = Generation::new(&mut toy, &bytes, &[], &asked, 0).unwrap();
    assert_eq!(piece.rest().unwrap(), "床前明月光，\n疑");
    assert_eq!(piece.finish(), Some(&Finish::Stop("是地".into())));
}

#[test]
fn a_piece_that_was_cut_off_goes_on_where_it_was() {
    let (mut toy, bytes) = (Toy::new(POEM, 100.0), Bytes::new());
    let asked = Request { max_tokens: 4, stop: vec!["明日".into()], ..request("") };
    let mut piece = Generation::new(&mut toy, &bytes, &[], &asked, 0).unwrap();
    assert_eq!(piece.rest().unwrap(), "床", "the first byte of the second character is not shown");
    assert_eq!((piece.finish(), piece.tokens()), (Some(&Finish::Length), 4));
    assert!(piece.extend(5));
    assert_eq!(piece.rest().unwrap(), "前明", "what may begin a stop string is shown once nothing follows");
    assert!(piece.extend(1000));
    assert_eq!(piece.rest().unwrap(), POEM["床前明".len()..]);
    assert_eq!(piece.finish(), Some(&Finish::End));
}

#[test]
fn seed_and_number_alone_decide() {
    let bytes = Bytes::new();
    let make = |seed, index, tokens| {
        let mut toy = Toy::new(POEM, 1.0);
        let asked = Request { seed, max_tokens: tokens, ..request("") };
        Generation::new(&mut toy, &bytes, &[], &asked, index).unwrap().rest().unwrap()
    };
    let piece = make(1, 3, 40);
    assert_eq!(piece, make(1, 3, 40));
    assert!(make(1, 3, 80).starts_with(piece.trim_end_matches('\u{fffd}')));
    assert_ne!(piece, make(1, 4, 40));
    assert_ne!(piece, make(2, 3, 40));
}

#[test]
fn impossible_requests_are_refused() {
    let bytes = Bytes::new();
    for bad in [
        Request { max_tokens: 0, ..request("") },
        Request { max_tokens: MOST_TOKENS + 1, ..request("") },
        Request { stop: vec!["".into()], ..request("") },
        Request { stop: vec!["x".repeat(1001)], ..request("") },
        Request { stop: vec!["x".into(); 17], ..request("") },
        Request { sampling: Sampling { top_p: -1.0, ..Sampling::default() }, ..request("") },
    ] {
        let mut toy = Toy::new(POEM, 1.0);
        assert!(Generation::new(&mut toy, &bytes, &[], &bad, 0).is_err(), "{bad:?}");
    }
}

/// Pieces that are written together, of one length and of others, with ends of their own, are those that are written alone.
#[test]
fn pieces_are_written_together_as_alone() {
    let bytes = Bytes::new();
    let requests: Vec<Request> = (0..5)
        .map(|i| Request { max_tokens: [3, 40, 1, 17, 40][i], stop: vec!["e".into()], ..request(&"ab"[..i % 3]) })
        .collect();
    let mut toys: Vec<Toy> = (0..10).map(|_| Toy::new("abcabcdabc", 1.0)).collect();
    let (together, alone) = toys.split_at_mut(5);
    let begin = |toy, i: usize| {
        Generation::new(toy, &bytes, &Bytes::encode(&requests[i].prompt), &requests[i], i as u64).unwrap()
    };
    let mut pieces: Vec<_> = together.iter_mut().enumerate().map(|(i, toy)| begin(toy, i)).collect();
    let mut texts = vec![String::new(); 5];
    while pieces.iter().any(|piece| piece.finish().is_none()) {
        let mut all: Vec<_> = pieces.iter_mut().collect();
        for (text, more) in texts.iter_mut().zip(Generation::step_each(&mut all)) {
            *text += &more.unwrap();
        }
    }
    for (i, toy) in alone.iter_mut().enumerate() {
        let mut piece = begin(toy, i);
        assert_eq!(piece.rest().unwrap(), texts[i], "piece {i}");
        assert_eq!((piece.finish(), piece.tokens()), (pieces[i].finish(), pieces[i].tokens()), "piece {i}");
    }
}
