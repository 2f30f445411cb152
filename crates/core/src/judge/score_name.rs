//! The names of scores: how files, tables and curves call a number, so that numbers of one name can be compared.
//!
//! A name is written and read here and nowhere else. What cannot be read, for example a name in the log of another version, is
//! [`ScoreName::Unknown`] and stays what it is.

use super::Better;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// The name of a score, which states its protocol.
///
/// ```
/// use maliang::judge::{Metric, ScoreName};
/// let name: ScoreName = "coverage_effnetlite0_n2000_k5".into();
/// assert_eq!(name.metric(), Some(Metric::Coverage));
/// assert_eq!(name.to_string(), "coverage_effnetlite0_n2000_k5");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ScoreName {
    /// Generated pictures compared with real ones: `kid_randomconv_heldout_n256`, `coverage_effnetlite0_n2000_k5`.
    Pictures {
        /// What is computed.
        metric: Metric,
        /// The feature extractor.
        extractor: String,
        /// Which real pictures a look at a run in training compares with; nothing for a judgement, which draws from all.
        side: Option<Side>,
        /// Pictures a side.
        n: usize,
        /// Neighbours, for a metric that looks at [some](Metric::counts_neighbours).
        k: Option<usize>,
    },
    /// −ELBO of held-out pictures in bits a number of the picture: `heldout_elbo_bits_mse`.
    ElboBits {
        /// The likelihood of the model.
        likelihood: String,
    },
    /// A bound of the negative log-likelihood in nats a picture: `nelbo_nats_bce_heldout_n64`, `nll_is64_nats_mse_given_n5`.
    Nats {
        /// The bound.
        bound: Bound,
        /// The likelihood of the model.
        likelihood: String,
        /// Whose likelihood it is.
        side: Side,
        /// Pictures.
        n: usize,
    },
    /// How well text is predicted: `heldout_bits_per_byte`, `train_loss`, `heldout_perplexity_n20000`.
    Prediction {
        /// Which text.
        side: Side,
        /// In what it is counted.
        measure: Measure,
        /// Tokens, where they are not always the same ones of a run.
        n: Option<usize>,
    },
    /// The share of the n-grams of generated text that are distinct: `distinct_2_n400`.
    Distinct {
        /// n of the n-grams.
        n: usize,
        /// Words of the text.
        units: usize,
    },
    /// The share of n-grams that a piece of text has said before: `repetition_4`.
    Repetition {
        /// n of the n-grams.
        n: usize,
    },
    /// The share of pieces of text that another one repeats: `duplicate_pieces`.
    DuplicatePieces,
    /// A name that this version does not know.
    Unknown(String),
}

/// What compares generated pictures with real ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Kernel inception distance, [`kid`](super::kid()).
    Kid,
    /// Fréchet distance, [`frechet`](super::frechet()).
    Fd,
    /// The Fréchet distance extrapolated to a number of pictures without end, [`extrapolated`](super::extrapolated).
    FdInf,
    /// See [`prdc`](super::prdc()).
    Precision,
    /// See [`prdc`](super::prdc()).
    Recall,
    /// See [`prdc`](super::prdc()).
    Density,
    /// See [`prdc`](super::prdc()).
    Coverage,
}

/// Which data a score is computed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Held out from training.
    Heldout,
    /// Trained on, where nothing is held out.
    Train,
    /// All pictures of the data, where too few are held out.
    All,
    /// Other pictures than those of the run.
    Given,
}

/// A bound of the negative log-likelihood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bound {
    /// The negative ELBO.
    Elbo,
    /// By importance sampling.
    Importance {
        /// Samples a picture.
        k: usize,
    },
}

/// In what the prediction of text is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Bits a byte of UTF-8.
    BitsPerByte,
    /// Nats a token.
    Loss,
    /// `exp` of the nats a token.
    Perplexity,
}

impl Metric {
    /// All, the longer name before the one that it begins with.
    const ALL: [Self; 7] =
        [Self::FdInf, Self::Fd, Self::Kid, Self::Precision, Self::Recall, Self::Density, Self::Coverage];

    fn name(self) -> &'static str {
        match self {
            Self::Kid => "kid",
            Self::Fd => "fd",
            Self::FdInf => "fd_inf",
            Self::Precision => "precision",
            Self::Recall => "recall",
            Self::Density => "density",
            Self::Coverage => "coverage",
        }
    }

    /// Which end is good.
    pub fn better(self) -> Better {
        if self.counts_neighbours() { Better::Higher } else { Better::Lower }
    }

    /// Does it depend on a number of nearest neighbours, which is then the k of its name?
    pub fn counts_neighbours(self) -> bool {
        matches!(self, Self::Precision | Self::Recall | Self::Density | Self::Coverage)
    }
}

impl Side {
    const ALL: [Self; 4] = [Self::Heldout, Self::Train, Self::All, Self::Given];

    fn name(self) -> &'static str {
        match self {
            Self::Heldout => "heldout",
            Self::Train => "train",
            Self::All => "all",
            Self::Given => "given",
        }
    }

    fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|side| side.name() == text)
    }
}

impl Measure {
    const ALL: [Self; 3] = [Self::BitsPerByte, Self::Loss, Self::Perplexity];

    fn name(self) -> &'static str {
        match self {
            Self::BitsPerByte => "bits_per_byte",
            Self::Loss => "loss",
            Self::Perplexity => "perplexity",
        }
    }
}

impl ScoreName {
    /// The prediction of held-out text in bits a byte: what models of text are compared by.
    pub const HELDOUT_BITS: Self = Self::Prediction { side: Side::Heldout, measure: Measure::BitsPerByte, n: None };

    /// The metric, where pictures are compared.
    pub fn metric(&self) -> Option<Metric> {
        match self {
            Self::Pictures { metric, .. } => Some(*metric),
            _ => None,
        }
    }

    /// Is it the score that every look at a run on pictures has? Where there is another one, that decides.
    pub fn is_kid(&self) -> bool {
        self.metric() == Some(Metric::Kid)
    }

    /// Does it fall by powers of ten in training, so that its curve wants a logarithmic axis?
    pub fn wants_logarithmic_axis(&self) -> bool {
        self.is_kid()
    }
}

impl fmt::Display for ScoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pictures { metric, extractor, side, n, k } => {
                write!(f, "{}_{extractor}", metric.name())?;
                side.map_or(Ok(()), |side| write!(f, "_{}", side.name()))?;
                write!(f, "_n{n}")?;
                k.map_or(Ok(()), |k| write!(f, "_k{k}"))
            }
            Self::ElboBits { likelihood } => write!(f, "heldout_elbo_bits_{likelihood}"),
            Self::Nats { bound, likelihood, side, n } => {
                match bound {
                    Bound::Elbo => f.write_str("nelbo")?,
                    Bound::Importance { k } => write!(f, "nll_is{k}")?,
                }
                write!(f, "_nats_{likelihood}_{}_n{n}", side.name())
            }
            Self::Prediction { side, measure, n } => {
                write!(f, "{}_{}", side.name(), measure.name())?;
                n.map_or(Ok(()), |n| write!(f, "_n{n}"))
            }
            Self::Distinct { n, units } => write!(f, "distinct_{n}_n{units}"),
            Self::Repetition { n } => write!(f, "repetition_{n}"),
            Self::DuplicatePieces => f.write_str("duplicate_pieces"),
            Self::Unknown(text) => f.write_str(text),
        }
    }
}

impl FromStr for ScoreName {
    type Err = Infallible;

    /// Whatever is read is written as the same text again.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let readers = [pictures, elbo_bits, nats, prediction, variety];
        let name = readers.iter().find_map(|read| read(text)).filter(|name| name.to_string() == text);
        Ok(name.unwrap_or_else(|| Self::Unknown(text.into())))
    }
}

impl From<&str> for ScoreName {
    fn from(text: &str) -> Self {
        let Ok(name) = text.parse();
        name
    }
}

/// As their texts are, which is how maps in files are sorted.
impl Ord for ScoreName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.to_string().cmp(&other.to_string())
    }
}

impl PartialOrd for ScoreName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for ScoreName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ScoreName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| text.as_str().into())
    }
}

/// `METRIC_EXTRACTOR[_SIDE]_nN[_kK]`; the name of an extractor may contain underscores.
fn pictures(text: &str) -> Option<ScoreName> {
    let begins = |metric: Metric| text.strip_prefix(metric.name())?.strip_prefix('_').map(|rest| (metric, rest));
    let (metric, rest) = Metric::ALL.into_iter().find_map(begins)?;
    let (rest, k) = match metric.counts_neighbours() {
        true => last_number(rest, "_k").map(|(rest, k)| (rest, Some(k)))?,
        false => (rest, None),
    };
    let (rest, n) = last_number(rest, "_n")?;
    let with_side = rest.rsplit_once('_').and_then(|(extractor, side)| Some((extractor, Some(Side::read(side)?))));
    let (extractor, side) = with_side.unwrap_or((rest, None));
    (!extractor.is_empty()).then(|| ScoreName::Pictures { metric, extractor: extractor.into(), side, n, k })
}

fn elbo_bits(text: &str) -> Option<ScoreName> {
    let likelihood = text.strip_prefix("heldout_elbo_bits_").filter(|rest| !rest.is_empty())?;
    Some(ScoreName::ElboBits { likelihood: likelihood.into() })
}

/// `BOUND_nats_LIKELIHOOD_SIDE_nN`.
fn nats(text: &str) -> Option<ScoreName> {
    let (bound, rest) = text.split_once("_nats_")?;
    let bound = match bound.strip_prefix("nll_is") {
        Some(k) => Bound::Importance { k: k.parse().ok()? },
        None if bound == "nelbo" => Bound::Elbo,
        None => return None,
    };
    let (rest, n) = last_number(rest, "_n")?;
    let (likelihood, side) = rest.rsplit_once('_').filter(|(likelihood, _)| !likelihood.is_empty())?;
    Some(ScoreName::Nats { bound, likelihood: likelihood.into(), side: Side::read(side)?, n })
}

/// `SIDE_MEASURE[_nN]`.
fn prediction(text: &str) -> Option<ScoreName> {
    let (side, rest) = text.split_once('_')?;
    let (rest, n) = last_number(rest, "_n").map_or((rest, None), |(rest, n)| (rest, Some(n)));
    let measure = Measure::ALL.into_iter().find(|measure| measure.name() == rest)?;
    Some(ScoreName::Prediction { side: Side::read(side)?, measure, n })
}

fn variety(text: &str) -> Option<ScoreName> {
    if text == "duplicate_pieces" {
        return Some(ScoreName::DuplicatePieces);
    }
    if let Some(n) = text.strip_prefix("repetition_") {
        return Some(ScoreName::Repetition { n: n.parse().ok()? });
    }
    let (n, units) = last_number(text.strip_prefix("distinct_")?, "_n")?;
    Some(ScoreName::Distinct { n: n.parse().ok()?, units })
}

/// The number behind the last `mark`, and what stands before it.
fn last_number<'a>(text: &'a str, mark: &str) -> Option<(&'a str, usize)> {
    let (rest, number) = text.rsplit_once(mark)?;
    Some((rest, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn pictures(metric: Metric, extractor: &str, side: Option<Side>, n: usize, k: Option<usize>) -> ScoreName {
        ScoreName::Pictures { metric, extractor: extractor.into(), side, n, k }
    }

    /// Each kind of name, and the bytes that files have of it.
    #[test]
    fn names_are_read_and_written() {
        let nats = |bound, likelihood: &str, side, n| ScoreName::Nats { bound, likelihood: likelihood.into(), side, n };
        let text = |side, measure, n| ScoreName::Prediction { side, measure, n };
        let elbo = |likelihood: &str| ScoreName::ElboBits { likelihood: likelihood.into() };
        for (name, expected) in [
            ("kid_effnetlite0_n2000", pictures(Metric::Kid, "effnetlite0", None, 2000, None)),
            ("kid_randomconv_heldout_n256", pictures(Metric::Kid, "randomconv", Some(Side::Heldout), 256, None)),
            ("kid_randomconv_all_n131", pictures(Metric::Kid, "randomconv", Some(Side::All), 131, None)),
            ("fd_inception_unverified_n4", pictures(Metric::Fd, "inception_unverified", None, 4, None)),
            ("fd_inf_randomconv_n40", pictures(Metric::FdInf, "randomconv", None, 40, None)),
            ("precision_randomconv_n10_k5", pictures(Metric::Precision, "randomconv", None, 10, Some(5))),
            ("recall_b_n4_k5", pictures(Metric::Recall, "b", None, 4, Some(5))),
            ("density_a_n4_k5", pictures(Metric::Density, "a", None, 4, Some(5))),
            ("coverage_randomconv_n500_k5", pictures(Metric::Coverage, "randomconv", None, 500, Some(5))),
            ("heldout_elbo_bits_mse", elbo("mse")),
            ("heldout_elbo_bits_logistic-mixture", elbo("logistic-mixture")),
            ("nelbo_nats_logistic_heldout_n64", nats(Bound::Elbo, "logistic", Side::Heldout, 64)),
            ("nll_is64_nats_mse_given_n5", nats(Bound::Importance { k: 64 }, "mse", Side::Given, 5)),
            ("heldout_bits_per_byte", ScoreName::HELDOUT_BITS),
            ("train_bits_per_byte", text(Side::Train, Measure::BitsPerByte, None)),
            ("train_loss", text(Side::Train, Measure::Loss, None)),
            ("heldout_bits_per_byte_n20000", text(Side::Heldout, Measure::BitsPerByte, Some(20000))),
            ("heldout_perplexity_n20000", text(Side::Heldout, Measure::Perplexity, Some(20000))),
            ("distinct_2_n400", ScoreName::Distinct { n: 2, units: 400 }),
            ("repetition_4", ScoreName::Repetition { n: 4 }),
            ("duplicate_pieces", ScoreName::DuplicatePieces),
        ] {
            assert_eq!(ScoreName::from(name), expected);
            assert_eq!(expected.to_string(), name);
        }
    }

    #[test]
    fn a_name_that_is_not_known_stays_as_it_is() {
        for name in [
            "kid",
            "kid_",
            "kid__n4",
            "kid_randomconv",
            "kid_randomconv_40",
            "kid_randomconv_n040",
            "kid_randomconv_n+4",
            "kid_randomconv_n4_k5",
            "coverage_randomconv_n4",
            "fd_inf_n4",
            "fid_inception_n50000",
            "heldout_elbo_bits_",
            "nelbo_nats__heldout_n4",
            "nll_is_nats_mse_heldout_n4",
            "nelbo_nats_mse_n4",
            "heldout_bits",
            "somewhere_loss",
            "distinct_n4",
            "repetition_",
            "",
        ] {
            let read = ScoreName::from(name);
            assert_eq!(read, ScoreName::Unknown(name.into()));
            assert_eq!((read.to_string(), read.metric()), (name.to_string(), None));
        }
    }

    #[test]
    fn as_a_key_and_as_a_value_it_is_its_text() {
        let text = r#"{"fd_a_n4":1.0,"kid_a_n4":2.0,"later":3.0}"#;
        let map: std::collections::BTreeMap<ScoreName, f64> = serde_json::from_str(text).unwrap();
        assert_eq!(map.keys().next(), Some(&pictures(Metric::Fd, "a", None, 4, None)));
        assert_eq!(serde_json::to_string(&map).unwrap(), text);
        assert_eq!(serde_json::to_string(&ScoreName::HELDOUT_BITS).unwrap(), "\"heldout_bits_per_byte\"");
    }

    #[test]
    fn larger_is_better_for_shares_and_density() {
        let higher: Vec<&str> =
            Metric::ALL.into_iter().filter(|metric| metric.better() == Better::Higher).map(Metric::name).collect();
        assert_eq!(higher, ["precision", "recall", "density", "coverage"]);
    }

    /// The words of a text that name a score with the number of its pictures or tokens.
    fn named(text: &str) -> impl Iterator<Item = &str> {
        let kinds = Metric::ALL.map(Metric::name).into_iter().chain(Side::ALL.map(Side::name));
        let kinds: Vec<String> = kinds.chain(["nelbo", "nll", "distinct"]).map(|kind| format!("{kind}_")).collect();
        let counts = |word: &str| word.split("_n").skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'));
        words.filter(move |word| counts(word) && kinds.iter().any(|kind| word.starts_with(kind.as_str())))
    }

    fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found);
            } else if path.extension().is_some_and(|end| ["toml", "md", "rs", "mjs", "json"].iter().any(|e| end == *e))
            {
                found.push(path);
            }
        }
    }

    /// Recipes, documents and the tests of all crates.
    #[test]
    fn names_that_are_written_anywhere_are_known() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut all = ["README.md", "README.zh-CN.md"].map(|name| root.join(name)).to_vec();
        for folder in ["recipes", "docs", "crates/core/tests", "crates/cli/tests", "crates/serve/tests"] {
            files(&root.join(folder), &mut all);
        }
        let texts: Vec<String> = all.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
        let names: BTreeSet<&str> = texts.iter().flat_map(|text| named(text)).collect();
        for name in &names {
            let read = ScoreName::from(*name);
            assert!(!matches!(read, ScoreName::Unknown(_)), "{name}");
            assert_eq!(read.to_string(), *name);
        }
        for name in ["kid_randomconv_n60", "coverage_effnetlite0_n65_k5", "nll_is64_nats_mse_given_n5"] {
            assert!(names.contains(name), "{name} is not among {names:?}");
        }
    }
}
