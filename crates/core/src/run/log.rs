//! What a line of `metrics.jsonl` on a look at a model in training holds: scores under their names, among counters.

use crate::judge::ScoreName;
use serde_json::{Map, Value};

/// What a look holds besides its scores.
const OTHERS: [&str; 7] = ["event", "step", "images", "tokens", "seconds", "best", "diversity"];

/// Is this the key of a score in a look? Names that this version does not know are scores, too.
fn is_score((key, value): &(&String, &Value)) -> bool {
    // A score that is not a finite number is null.
    !OTHERS.contains(&key.as_str()) && (value.is_number() || value.is_null())
}

/// The names of the scores of a look, the deciding one first: a family's own score goes before KID.
pub fn scores(look: &Map<String, Value>) -> Vec<ScoreName> {
    let mut names: Vec<ScoreName> = look.iter().filter(is_score).map(|(key, _)| key.as_str().into()).collect();
    names.sort_by_key(ScoreName::is_kid);
    names
}

/// A score of a look; nothing where the look does not have it, or where it was not a finite number.
pub fn score(look: &Map<String, Value>, name: &ScoreName) -> Option<f64> {
    look.get(&name.to_string())?.as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_counters_are_scores_and_kid_comes_last() {
        let text = r#"{"event":"look","step":5,"images":160,"tokens":80,"seconds":2.5,"best":true,"diversity":0.5,
            "kid_randomconv_heldout_n64":7.5,"heldout_elbo_bits_mse":null,"of_another_version":3.0,"words":"none"}"#;
        let look: Map<String, Value> = serde_json::from_str(text).unwrap();
        let found = scores(&look);
        let names: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["heldout_elbo_bits_mse", "of_another_version", "kid_randomconv_heldout_n64"]);
        let values: Vec<Option<f64>> = found.iter().map(|name| score(&look, name)).collect();
        assert_eq!(values, [None, Some(3.0), Some(7.5)]);
    }
}
