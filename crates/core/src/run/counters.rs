//! What a checkpoint counts: how far the run is, what its looks found, what remedies changed.

use crate::families::settings::Limits;
use crate::families::trainer::{Remedy, Tolerance};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the training state.
pub(super) const FORMAT: u32 = 1;

/// A look as the rules of training remember it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// Steps completed.
    pub step: u64,
    /// The score that decides: lower is better.
    pub score: f64,
    /// Share of pictures that the discriminator told rightly over the last hundred steps or so, for families that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
}

/// The best look so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Steps completed at that look.
    pub step: u64,
    /// Its score: lower is better.
    pub score: f64,
    /// The lowest score of any look, where it is not this one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowest: Option<f64>,
}

impl Best {
    /// What is best after a look at `step`, and whether that look is: its score is the lowest, or less than `tolerance` above the
    /// lowest. Of looks that are about as good the last one trained longest.
    pub fn after(before: Option<&Self>, step: u64, score: f64, tolerance: Tolerance) -> (Self, bool) {
        let lowest = before.map_or(f64::INFINITY, |before| before.lowest.unwrap_or(before.score));
        match before {
            Some(before) if score >= lowest + tolerance.above(lowest) => (before.clone(), false),
            _ => (Self { step, score, lowest: (lowest < score).then_some(lowest) }, true),
        }
    }
}

/// Everything of a training state that is not a tensor. Random streams need no state: they are functions of seed and step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// Version of this record.
    pub format: u32,
    /// Steps completed.
    pub step: u64,
    /// Seconds of training behind this state.
    pub seconds: f64,
    /// How often training was rolled back; enters the seeds, so that a retry draws other pictures.
    pub attempt: u32,
    /// Factor on the learning rate after rollbacks.
    pub lr_scale: f32,
    /// The best look so far.
    pub best: Option<Best>,
    /// Highest diversity of generated pictures so far, relative to real ones.
    pub diversity: f64,
    /// Every scored look that the rules of training go by, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub looks: Vec<Scored>,
    /// Has it been said that the score no longer improves?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub level: bool,
    /// Share of pictures that the discriminator classifies correctly, a moving average over about a hundred steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// What remedies have changed.
    #[serde(default, skip_serializing_if = "Remedy::is_none")]
    pub remedy: Remedy,
    /// The limits under which training has stopped early; it goes on under others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Limits>,
    /// BLAKE3 of each file of the checkpoint.
    pub files: BTreeMap<String, String>,
    /// BLAKE3 of this record with this field empty.
    pub checksum: String,
}

impl Counters {
    /// The state before the first step.
    pub fn start() -> Self {
        Self {
            format: FORMAT,
            step: 0,
            seconds: 0.0,
            attempt: 0,
            lr_scale: 1.0,
            best: None,
            diversity: 0.0,
            looks: Vec::new(),
            level: false,
            accuracy: None,
            remedy: Remedy::default(),
            stopped: None,
            files: BTreeMap::new(),
            checksum: String::new(),
        }
    }

    fn json(&self) -> String {
        serde_json::to_string(self).expect("counters are plain data")
    }

    /// The text of `state.json`: the record with the checksum of its own text.
    pub(super) fn sealed(&self) -> String {
        let open = Self { checksum: String::new(), ..self.clone() };
        Self { checksum: blake3::hash(open.json().as_bytes()).to_hex().to_string(), ..open }.json()
    }
}
