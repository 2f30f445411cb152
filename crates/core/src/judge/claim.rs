//! What a recipe claims of the run that it describes, and whether it holds.

use super::judgement::Judgement;
use super::nearness::Verdict;
use super::score_name::ScoreName;
use super::table::number;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The `[claim]` table of a recipe.
///
/// ```
/// let claim: maliang::judge::Claim = toml::from_str(
///     r#"
///     data = "emoji:faces"
///     machine = "2 cores, 8 GB"
///     minutes = 1.5
///     passes = ["copying", "collapse"]
///     at_most = { kid_randomconv_n50 = 0.8 }
///     at_least = { coverage_randomconv_n50_k5 = 0.1 }
///     "#,
/// )?;
/// assert_eq!(claim.protocols()?.len(), 1);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Claim {
    /// The data, by its name.
    pub data: Option<String>,
    /// The machine that it was true on, in words.
    pub machine: Option<String>,
    /// Minutes of training, at most.
    pub minutes: Option<f64>,
    /// Seed of the judged pictures.
    pub seed: u64,
    /// Scores under their protocol names, as in `scores.json`, and what they reach at most.
    pub at_most: BTreeMap<ScoreName, f64>,
    /// The same, and what they reach at least.
    pub at_least: BTreeMap<ScoreName, f64>,
    /// Verdicts that are good.
    pub passes: BTreeSet<Pass>,
}

/// A verdict that a claim can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pass {
    /// Both controls came out as they must, and there are no copies of training pictures.
    Copying,
    /// The generator has not collapsed.
    Collapse,
}

/// How scores are made: extractor and pictures a side.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Protocol {
    /// The extractor's name.
    pub extractor: String,
    /// Pictures a side.
    pub n: usize,
}

/// What was claimed, what was found, and whether that is good enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The score or verdict.
    pub name: String,
    /// The claim, in words.
    pub claimed: String,
    /// What was found.
    pub found: String,
    /// Is it kept?
    pub kept: bool,
}

/// What a verdict without scores is judged with.
const USUAL: (&str, usize) = ("randomconv", 2000);

impl Protocol {
    /// From the name of a score of a judgement, for example `coverage_effnetlite0_n2000_k5`.
    fn of(name: &ScoreName) -> Option<Self> {
        match name {
            ScoreName::Pictures { extractor, side: None, n, .. } => Some(Self { extractor: extractor.clone(), n: *n }),
            _ => None,
        }
    }
}

impl Claim {
    /// The judgements that the claim needs.
    ///
    /// # Errors
    /// Nothing is claimed, or a name that is not that of a score.
    pub fn protocols(&self) -> Result<BTreeSet<Protocol>> {
        if self.at_most.is_empty() && self.at_least.is_empty() && self.passes.is_empty() && self.minutes.is_none() {
            return Err(
                Error::input("the claim is empty").hint("for example [claim] at_most = { kid_randomconv_n2000 = 0.5 }")
            );
        }
        let mut all = BTreeSet::new();
        for name in self.at_most.keys().chain(self.at_least.keys()) {
            all.insert(Protocol::of(name).ok_or_else(|| {
                Error::input(format!("\"{name}\" is not the name of a score")).hint(
                    "names are those of scores.json, for example kid_effnetlite0_n2000 or coverage_randomconv_n500_k5",
                )
            })?);
        }
        if all.is_empty() {
            all.insert(Protocol { extractor: USUAL.0.into(), n: USUAL.1 });
        }
        Ok(all)
    }

    /// Every claim against what was found: one judgement a protocol, and the minutes of training.
    ///
    /// # Errors
    /// A score that none of the judgements has: the pictures are too few for it.
    pub fn check(&self, judgements: &[Judgement], minutes: f64) -> Result<Vec<Checked>> {
        let mut all = Vec::new();
        let mut check = |name: &str, claimed: String, found: String, kept: bool| {
            all.push(Checked { name: name.into(), claimed, found, kept });
        };
        let score = |name: &ScoreName| {
            let scores = || judgements.iter().flat_map(|judgement| &judgement.scores);
            let found = scores().find(|score| score.name == *name).map(|score| score.value);
            found.ok_or_else(|| {
                let names: Vec<String> = scores().map(|score| score.name.to_string()).collect();
                Error::input(format!("there is no score \"{name}\" of these pictures"))
                    .hint(format!("a set is judged with half of its pictures at most; there are: {}", names.join(", ")))
            })
        };
        // What is not a number keeps no claim.
        for (name, &limit) in &self.at_most {
            let value = score(name)?;
            check(&name.to_string(), format!("at most {}", number(limit)), number(value), value <= limit);
        }
        for (name, &limit) in &self.at_least {
            let value = score(name)?;
            check(&name.to_string(), format!("at least {}", number(limit)), number(value), value >= limit);
        }
        if let Some(limit) = self.minutes {
            check("minutes", format!("at most {limit:.1}"), format!("{minutes:.1}"), minutes <= limit);
        }
        for pass in &self.passes {
            let (name, kept) = match pass {
                Pass::Copying => {
                    let good = |j: &Judgement| {
                        j.copying.copycat_fails && j.copying.verdict.is_some_and(|verdict| verdict != Verdict::Copies)
                    };
                    ("copying", judgements.iter().all(good))
                }
                Pass::Collapse => ("collapse", judgements.iter().all(|j| !j.collapse.is_collapse())),
            };
            check(name, "passes".into(), if kept { "passes" } else { "fails" }.into(), kept);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_their_protocol() {
        let of = |name: &str| Protocol::of(&name.into()).map(|p| (p.extractor, p.n));
        assert_eq!(of("kid_effnetlite0_n2000"), Some(("effnetlite0".into(), 2000)));
        assert_eq!(of("fd_inf_randomconv_n40"), Some(("randomconv".into(), 40)));
        assert_eq!(of("coverage_randomconv_n40_k5"), Some(("randomconv".into(), 40)));
        // No names, and names that are not those of a judgement of pictures.
        let wrong = ["kid", "kid__n4", "fid_inception_n50000", "kid_randomconv", "coverage_randomconv_n40", ""];
        let others = ["kid_randomconv_heldout_n256", "heldout_bits_per_byte", "nelbo_nats_mse_heldout_n64"];
        for name in wrong.into_iter().chain(others) {
            assert_eq!(of(name), None, "{name}");
        }
    }

    #[test]
    fn a_claim_claims_something_and_nothing_unknown() {
        let parse = |text: &str| toml::from_str::<Claim>(text);
        assert!(parse("").unwrap().protocols().is_err());
        assert!(parse("at_most = { fid = 3.0 }").unwrap().protocols().unwrap_err().message.contains("\"fid\""));
        let usual = parse("passes = [\"collapse\"]").unwrap().protocols().unwrap();
        assert_eq!(usual.into_iter().next().unwrap(), Protocol { extractor: "randomconv".into(), n: 2000 });
        let two = "at_most = { kid_a_n4 = 1, fd_a_n4 = 1 }\nat_least = { recall_b_n4_k5 = 0.5 }";
        assert_eq!(parse(two).unwrap().protocols().unwrap().len(), 2);
        for wrong in ["atmost = {}", "passes = [\"quality\"]", "minutes = \"ten\""] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
