//! From the scores of a language model to the next token.
//!
//! The order of operations is fixed:
//!
//! 1. repetition penalty on the logits (Keskar et al. 2019, *CTRL*, section 4.1);
//! 2. temperature: logits / T; at T = 0 the largest logit wins (the smallest token among equals) and the rest is skipped;
//! 3. softmax;
//! 4. top-k: the k most likely tokens stay (Fan et al. 2018);
//! 5. top-p: of those, scaled to sum 1, the fewest that sum to p or more stay (Holtzman et al. 2020, nucleus sampling);
//! 6. min-p: of those, the ones at least min-p times as likely as the likeliest stay (Nguyen et al. 2024);
//! 7. a draw in proportion to the probabilities that are left.
//!
//! The likeliest token always stays. Among equally likely tokens the smaller one comes first, so nothing depends on how a
//! sort breaks ties. Sums are f64, added in the order of the tokens' likelihood where a filter sorts and of the tokens
//! themselves where none does.

use crate::data::text::Tokenizer;
use crate::error::{Error, ErrorKind, Result};
use crate::provenance::recipe::Sampling;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::cmp::Ordering;

/// Chooses tokens by one [`Sampling`]; keeps its scratch memory from token to token.
#[derive(Debug, Clone)]
pub(crate) struct Chooser {
    sampling: Sampling,
    /// Tokens and their logits, then their weights.
    candidates: Vec<(u32, f64)>,
    /// Which tokens the text already has.
    seen: Vec<bool>,
}

impl Chooser {
    pub fn new(sampling: Sampling) -> Self {
        Self { sampling, candidates: Vec::new(), seen: Vec::new() }
    }

    /// The text now has `token`: from here on the repetition penalty counts it. The end of a document is not a repetition.
    pub fn saw(&mut self, token: u32) {
        if self.sampling.repetition_penalty == 1.0 || token == Tokenizer::END {
            return; // nothing will ask
        }
        let at = token as usize;
        if self.seen.len() <= at {
            self.seen.resize(at + 1, false);
        }
        self.seen[at] = true;
    }

    /// The next token for `logits`, one a token of the vocabulary, in the order of operations of this module. Draws one
    /// number from `rng`, or none at temperature 0.
    ///
    /// # Errors
    /// No logit is a number: the model is broken.
    pub fn choose(&mut self, logits: &[f32], rng: &mut ChaCha8Rng) -> Result<u32> {
        self.penalised(logits);
        let best = |a: &&(u32, f64), b: &&(u32, f64)| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0));
        let Some(&(likeliest, top)) = self.candidates.iter().max_by(best) else {
            return Err(Error::new(ErrorKind::Corrupt, "the model's predictions are not numbers")
                .hint("use another checkpoint of the run"));
        };
        if self.sampling.temperature == 0.0 {
            return Ok(likeliest);
        }
        let temperature = f64::from(self.sampling.temperature);
        for (_, value) in &mut self.candidates {
            *value = ((*value - top) / temperature).exp(); // e⁰ = 1 for the likeliest: no overflow, and the scale of min-p
        }
        self.filter();
        let total: f64 = self.candidates.iter().map(|(_, weight)| weight).sum();
        let mut left = rng.random::<f64>() * total;
        for &(token, weight) in &self.candidates {
            left -= weight;
            if left < 0.0 {
                return Ok(token);
            }
        }
        Ok(likeliest) // the sum of the parts can fall short of the whole by a rounding
    }

    /// Fills the candidates with penalised logits; those that are not numbers are not candidates.
    fn penalised(&mut self, logits: &[f32]) {
        let penalty = f64::from(self.sampling.repetition_penalty);
        self.candidates.clear();
        for (i, &logit) in logits.iter().enumerate().filter(|(_, logit)| logit.is_finite()) {
            let logit = f64::from(logit);
            let value = match self.seen.get(i) {
                Some(true) if logit > 0.0 => logit / penalty,
                Some(true) => logit * penalty,
                _ => logit,
            };
            self.candidates.push((i as u32, value));
        }
    }

    /// Top-k, top-p and min-p over weights of which the largest is 1.
    fn filter(&mut self) {
        let Sampling { top_k, top_p, min_p, .. } = self.sampling;
        let likelier = |a: &(u32, f64), b: &(u32, f64)| -> Ordering { b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)) };
        if top_k > 0 && top_k < self.candidates.len() {
            self.candidates.select_nth_unstable_by(top_k - 1, likelier);
            self.candidates.truncate(top_k);
            self.candidates.sort_unstable_by(likelier);
        }
        if top_p < 1.0 {
            self.candidates.sort_unstable_by(likelier);
            let total: f64 = self.candidates.iter().map(|(_, weight)| weight).sum();
            let mut sum = 0.0;
            let enough = self.candidates.iter().position(|(_, weight)| {
                sum += weight;
                sum >= f64::from(top_p) * total
            });
            self.candidates.truncate(enough.map_or(self.candidates.len(), |last| last + 1));
        }
        if min_p > 0.0 {
            self.candidates.retain(|(_, weight)| *weight >= f64::from(min_p));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng;
    use proptest::prelude::*;

    /// Logits of the probabilities ½, ¼, ⅛, 1⁄16, 1⁄16 in the order of `ORDER`.
    fn logits() -> Vec<f32> {
        [0.0625f32, 0.25, 0.5, 0.0625, 0.125].map(f32::ln).to_vec()
    }

    fn frequencies(sampling: Sampling, seen: &[u32]) -> Vec<f64> {
        let mut chooser = Chooser::new(sampling);
        seen.iter().for_each(|&token| chooser.saw(token));
        let mut rng = rng::stream(1, "text", 0);
        let mut counts = vec![0.0; 5];
        for _ in 0..20_000 {
            counts[chooser.choose(&logits(), &mut rng).unwrap() as usize] += 1.0 / 20_000.0;
        }
        counts
    }

    #[track_caller]
    fn near(found: &[f64], expected: [f64; 5]) {
        // Four standard errors of a frequency near ½ in 20,000 draws.
        assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 0.0142), "{found:?} {expected:?}");
        assert!(found.iter().zip(expected).all(|(f, e)| (e == 0.0) == (*f == 0.0)), "{found:?} {expected:?}");
    }

    #[test]
    fn draws_follow_the_distribution_of_each_filter() {
        let plain = Sampling::default();
        near(&frequencies(plain, &[]), [0.0625, 0.25, 0.5, 0.0625, 0.125]);
        // Temperature ½ squares the probabilities: 1, 16, 64, 1, 4 of 86.
        let cold = Sampling { temperature: 0.5, ..plain };
        near(&frequencies(cold, &[]), [1.0, 16.0, 64.0, 1.0, 4.0].map(|w| w / 86.0));
        near(&frequencies(Sampling { top_k: 2, ..plain }, &[]), [0.0, 1.0 / 3.0, 2.0 / 3.0, 0.0, 0.0]);
        // ½ + ¼ is just enough for 0.75; of equally likely tokens the smaller one stays.
        near(&frequencies(Sampling { top_p: 0.75, ..plain }, &[]), [0.0, 1.0 / 3.0, 2.0 / 3.0, 0.0, 0.0]);
        near(&frequencies(Sampling { top_k: 4, ..plain }, &[]), [1.0, 4.0, 8.0, 0.0, 2.0].map(|w| w / 15.0));
        near(&frequencies(Sampling { min_p: 0.2, ..plain }, &[]), [0.0, 2.0, 4.0, 0.0, 1.0].map(|w| w / 7.0));
        // Top-p counts what top-k left: of ⅔ and ⅓, the first alone has 0.6.
        near(&frequencies(Sampling { top_k: 2, top_p: 0.6, ..plain }, &[]), [0.0, 0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn the_penalty_makes_repetition_less_likely_whatever_the_sign() {
        let sampling = Sampling { repetition_penalty: 2.0, ..Sampling::default() };
        // Negative logits are doubled: ½ becomes ¼. Weights 1, 4, 4, 1, 2 of 12.
        near(&frequencies(sampling, &[2]), [1.0, 4.0, 4.0, 1.0, 2.0].map(|w| w / 12.0));
        let mut chooser = Chooser::new(Sampling { temperature: 0.0, ..sampling });
        let mut rng = rng::stream(1, "text", 0);
        let positive = [2.0, 3.0, 2.5];
        assert_eq!(chooser.choose(&positive, &mut rng).unwrap(), 1);
        chooser.saw(1);
        assert_eq!(chooser.choose(&positive, &mut rng).unwrap(), 2, "3 / 2 is less than 2.5");
        chooser.saw(Tokenizer::END);
        chooser.saw(2);
        assert_eq!(chooser.choose(&positive, &mut rng).unwrap(), 0, "the end of a document is no repetition");
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest_and_draws_nothing() {
        let mut chooser = Chooser::new(Sampling { temperature: 0.0, ..Sampling::default() });
        let mut rng = rng::stream(1, "text", 0);
        assert_eq!(chooser.choose(&[1.0, 3.0, f32::NAN, 3.0], &mut rng).unwrap(), 1);
        assert_eq!(rng.random::<u64>(), rng::stream(1, "text", 0).random::<u64>());
        let error = chooser.choose(&[f32::NAN, f32::INFINITY], &mut rng).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt);
    }

    #[test]
    fn meaningless_settings_are_refused() {
        let plain = Sampling::default();
        assert!(plain.check().is_ok());
        for bad in [
            Sampling { temperature: -1.0, ..plain },
            Sampling { temperature: f32::NAN, ..plain },
            Sampling { top_p: 0.0, ..plain },
            Sampling { top_p: 1.5, ..plain },
            Sampling { min_p: -0.1, ..plain },
            Sampling { repetition_penalty: 0.0, ..plain },
        ] {
            let error = bad.check().unwrap_err();
            assert!(error.message.contains("out of range") && error.hint.is_some(), "{error}");
        }
        assert_eq!(plain.flags(), "");
        let flags = Sampling { temperature: 0.8, top_k: 5, min_p: 0.1, ..plain }.flags();
        assert_eq!(flags, "--temperature 0.8 --top-k 5 --min-p 0.1");
    }

    proptest! {
        /// Beside the plainest way to write it: sort everything, keep what each filter keeps.
        #[test]
        fn only_what_the_filters_keep_is_drawn(
            logits in prop::collection::vec(-8.0f32..8.0, 1..60), seed in any::<u64>(),
            top_k in 0usize..70, top_p in 0.01f32..=1.0, min_p in 0.0f32..1.0, temperature in 0.1f32..3.0,
        ) {
            let sampling = Sampling { temperature, top_k, top_p, min_p, repetition_penalty: 1.0 };
            let token = Chooser::new(sampling).choose(&logits, &mut rng::stream(seed, "text", 0)).unwrap() as usize;
            let top = logits.iter().copied().fold(f32::MIN, f32::max);
            let weight = |i: usize| ((f64::from(logits[i]) - f64::from(top)) / f64::from(temperature)).exp();
            let mut order: Vec<usize> = (0..logits.len()).collect();
            order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
            if top_k > 0 {
                order.truncate(top_k);
            }
            let total: f64 = order.iter().map(|&i| weight(i)).sum();
            let before: f64 = order.iter().take_while(|&&i| i != token).map(|&i| weight(i)).sum();
            prop_assert!(order.contains(&token));
            prop_assert!(before < f64::from(top_p) * total + 1e-9 * total);
            prop_assert!(weight(token) >= f64::from(min_p));
        }
    }
}
