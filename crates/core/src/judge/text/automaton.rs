//! Which parts of a few texts stand in a text of any length: the texts become a suffix automaton (Blumer 1985), and the long text
//! runs through it once. Memory follows the texts that are asked about, not the corpus.

/// The suffix automaton of a sequence of symbols: its states are the classes of substrings that end at the same places.
#[derive(Debug)]
pub(super) struct Automaton {
    states: Vec<State>,
    /// The state after each symbol of the text.
    after: Vec<u32>,
}

#[derive(Debug, Clone)]
struct State {
    /// Length of the longest substring of the class.
    length: u32,
    /// The class of its longest suffix that is of another class.
    link: u32,
    /// Sorted by symbol.
    next: Vec<(u32, u32)>,
}

const ROOT: u32 = 0;

impl State {
    fn to(&self, symbol: u32) -> Option<u32> {
        let at = self.next.binary_search_by_key(&symbol, |&(symbol, _)| symbol).ok()?;
        Some(self.next[at].1)
    }

    fn set(&mut self, symbol: u32, state: u32) {
        match self.next.binary_search_by_key(&symbol, |&(symbol, _)| symbol) {
            Ok(at) => self.next[at].1 = state,
            Err(at) => self.next.insert(at, (symbol, state)),
        }
    }
}

impl Automaton {
    /// Of a text of less than 2³⁰ symbols.
    pub fn new(text: &[u32]) -> Self {
        let root = State { length: 0, link: ROOT, next: Vec::new() };
        let mut automaton = Self { states: vec![root], after: Vec::with_capacity(text.len()) };
        let mut last = ROOT;
        for &symbol in text {
            last = automaton.extend(last, symbol);
            automaton.after.push(last);
        }
        automaton
    }

    fn state(&self, state: u32) -> &State {
        &self.states[state as usize]
    }

    fn add(&mut self, state: State) -> u32 {
        self.states.push(state);
        self.states.len() as u32 - 1
    }

    /// Adds one symbol behind the state of the whole text so far; returns the state of the new whole.
    fn extend(&mut self, last: u32, symbol: u32) -> u32 {
        let length = self.state(last).length + 1;
        let new = self.add(State { length, link: ROOT, next: Vec::new() });
        let mut at = last;
        let target = loop {
            match self.state(at).to(symbol) {
                Some(target) => break target,
                None => self.states[at as usize].set(symbol, new),
            }
            if at == ROOT {
                return new;
            }
            at = self.state(at).link;
        };
        let length = self.state(at).length + 1;
        if self.state(target).length == length {
            self.states[new as usize].link = target;
            return new;
        }
        // The class falls in two: its substrings up to this length now end at one more place.
        let split = self.add(State { length, ..self.state(target).clone() });
        self.states[new as usize].link = split;
        self.states[target as usize].link = split;
        while self.state(at).to(symbol) == Some(target) {
            self.states[at as usize].set(symbol, split);
            if at == ROOT {
                break;
            }
            at = self.state(at).link;
        }
        new
    }
}

/// Runs a long text through an automaton.
pub(super) struct Matcher<'a> {
    automaton: &'a Automaton,
    /// The longest match of each class that was met.
    best: Vec<u32>,
    state: u32,
    length: u32,
}

impl<'a> Matcher<'a> {
    pub fn new(automaton: &'a Automaton) -> Self {
        Self { automaton, best: vec![0; automaton.states.len()], state: ROOT, length: 0 }
    }

    /// The next symbol of the long text.
    pub fn push(&mut self, symbol: u32) {
        loop {
            let state = self.automaton.state(self.state);
            if let Some(next) = state.to(symbol) {
                (self.state, self.length) = (next, self.length + 1);
                break;
            }
            if self.state == ROOT {
                self.length = 0;
                return;
            }
            self.state = state.link;
            self.length = self.automaton.state(self.state).length;
        }
        let best = &mut self.best[self.state as usize];
        *best = (*best).max(self.length);
    }

    /// No match goes on over this place.
    pub fn part(&mut self) {
        (self.state, self.length) = (ROOT, 0);
    }

    /// For each place in the texts, the length of the longest part that ends there and stands somewhere in the long text.
    pub fn finish(mut self) -> Vec<u32> {
        let states = &self.automaton.states;
        let mut order: Vec<u32> = (0..states.len() as u32).collect();
        order.sort_unstable_by_key(|&state| states[state as usize].length);
        // What was met includes all its suffixes: long classes tell the shorter ones,
        for &state in order.iter().rev() {
            if self.best[state as usize] > 0 {
                let link = states[state as usize].link as usize;
                self.best[link] = states[link].length;
            }
        }
        // and a class that was not met itself has its longest suffix that was.
        for &state in &order {
            if self.best[state as usize] == 0 {
                self.best[state as usize] = self.best[states[state as usize].link as usize];
            }
        }
        self.automaton.after.iter().map(|&state| self.best[state as usize]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(text: &[u32], long: &[&[u32]]) -> Vec<u32> {
        let automaton = Automaton::new(text);
        let mut matcher = Matcher::new(&automaton);
        for part in long {
            part.iter().for_each(|&symbol| matcher.push(symbol));
            matcher.part();
        }
        matcher.finish()
    }

    fn symbols(text: &str) -> Vec<u32> {
        text.chars().map(u32::from).collect()
    }

    #[test]
    fn a_span_and_where_it_ends() {
        assert_eq!(matches(&symbols("xabcyab"), &[&symbols("zabc"), &symbols("y")]), [0, 1, 2, 3, 1, 1, 2]);
        assert!(matches(&[], &[&[1, 2]]).is_empty());
        // Not over the border of two documents.
        assert_eq!(matches(&symbols("abcd"), &[&symbols("ab"), &symbols("cd")]), [1, 2, 1, 2]);
    }

    proptest! {
        #[test]
        fn as_a_search_finds_them(
            text in proptest::collection::vec(0u32..3, 0..40),
            a in proptest::collection::vec(0u32..4, 0..40),
            b in proptest::collection::vec(0u32..4, 0..10),
        ) {
            let found = matches(&text, &[&a, &b]);
            for (end, &length) in found.iter().enumerate() {
                let stands = |n: usize| [&a, &b].iter().any(|long| long.windows(n).any(|w| *w == text[end + 1 - n..=end]));
                let longest = (1..=end + 1).rev().find(|&n| stands(n)).unwrap_or(0);
                prop_assert_eq!(length as usize, longest, "{:?} {:?} {:?} at {}", text, a, b, end);
            }
        }
    }
}
