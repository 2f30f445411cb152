//! A judgement as people read it: rows of a table, and sentences.

use super::{Judgement, REPLICATES, Score, Space};
use crate::features::Scaling;

/// One score as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its protocol name; "× 10³" where the field writes it so.
    pub name: String,
    /// The score.
    pub value: String,
    /// Its interval, or nothing.
    pub interval: String,
    /// The real-versus-real floor.
    pub floor: String,
}

/// Four significant digits, as far as they are needed.
pub fn number(value: f64) -> String {
    match value.abs() {
        v if !v.is_finite() => "-".into(),
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.1}"),
        v if v >= 10.0 => format!("{value:.2}"),
        v if v >= 0.001 || v == 0.0 => format!("{value:.3}"),
        _ => format!("{value:.1e}"),
    }
}

impl Judgement {
    /// The scores in their order, then the likelihoods.
    pub fn rows(&self) -> Vec<Row> {
        let likelihoods = self.likelihoods.iter().map(|found| Row {
            name: found.name.to_string(),
            value: number(found.value),
            interval: format!("{} to {}", number(found.low), number(found.high)),
            floor: String::new(),
        });
        self.scores.iter().map(|score| self.row(score)).chain(likelihoods).collect()
    }

    fn row(&self, score: &Score) -> Row {
        // Trained networks' KID is written times a thousand in papers; that of standardised features is large already.
        let thousandfold = score.name.is_kid() && self.scaling == Scaling::Raw;
        let factor = if thousandfold { 1e3 } else { 1.0 };
        let text = |v: f64| number(v * factor);
        let interval = score.low.zip(score.high).map_or(String::new(), |(l, h)| format!("{} to {}", text(l), text(h)));
        let name = format!("{}{}", score.name, if thousandfold { " × 10³" } else { "" });
        Row { name, value: text(score.value), interval, floor: text(score.floor) }
    }

    /// What the table needs to be read rightly, a sentence a paragraph.
    pub fn protocol(&self) -> Vec<String> {
        let Self { n, extractor, .. } = self;
        let scaling = match self.scaling {
            Scaling::Raw => "taken as they are",
            Scaling::Standardised => "each standardised by the real pictures, because they are untrained",
        };
        let mut lines = vec![
            format!(
                "{n} generated pictures against {n} real ones, drawn with a fixed seed from all pictures of the data. The \
                 floor is what {n} other real pictures get in place of the generated ones: what makes new pictures cannot be \
                 expected to do better, and what repeats its training pictures may."
            ),
            format!(
                "Features: {extractor}, {scaling}. Numbers of one name are comparable with each other, not with those of \
                 other extractors or sizes."
            ),
            format!(
                "Intervals of 95 %: KID by the bootstrap ({REPLICATES} resamplings of the pictures), the Fréchet distance by \
                 leaving out a tenth in turn, shares and density by the number of pictures, those on the other side taken as they are."
            ),
            format!(
                "The Fréchet distance (fd) is biased: with {n} pictures even a perfect generator does not get 0 but about the \
                 floor. fd_inf is extrapolated to a number of pictures without end."
            ),
        ];
        if !self.likelihoods.is_empty() {
            lines.push(
                "nelbo and nll_is are nats a picture, the lower the better: the negative ELBO, and the negative log-likelihood \
                 bounded by importance sampling (Burda 2016), which is never above it; both of the model as it was trained, with \
                 N(0, I) over its latents, while pictures are made from the density that was fitted to them afterwards. Intervals \
                 are over the pictures. They compare models of one likelihood on the same pictures; that of mse is a density and \
                 can be negative."
                    .into(),
            );
        }
        match extractor.as_str() {
            "inception" => lines.push(
                "With these features fd is computed as FID is, but it is not FID, which takes 50,000 generated pictures and all \
                 real ones: do not compare it with the numbers of papers. The network has learnt from photographs of ImageNet \
                 and knows little of pictures that are nothing like them."
                    .into(),
            ),
            "inception_unverified" => lines.push(
                "The network has FID's architecture, but its weights were installed from another file than the published one: \
                 nobody knows whether they are the same."
                    .into(),
            ),
            _ => {}
        }
        if self.model.is_some() {
            lines.push("A model with classes made as many of each, relative to the others, as the data has.".into());
        }
        if *n < self.generated {
            lines.push(format!(
                "There are {} real pictures, so each side has half of them; the copying report looks at all {} generated ones.",
                self.data_pictures[0] + self.data_pictures[1],
                self.generated
            ));
        }
        lines
    }

    /// Whether the controls of the copying report came out as they must.
    pub fn controls(&self) -> String {
        let copying = &self.copying;
        let heldout = match copying.heldout_passes {
            Some(true) => "held-out pictures pass",
            Some(false) => "held-out pictures do not pass",
            None => "there are too few held-out pictures to check this with",
        };
        let copycat = if copying.copycat_fails { "is caught" } else { "is not caught" };
        format!("{heldout}; a copycat (training pictures with a little noise) {copycat}")
    }
}

impl Space {
    /// The heads of [`cells`](Self::cells).
    pub const HEAD: [&str; 4] = ["", "repeats", "AuthPct", "C_T"];

    /// One line a set of pictures: whose, repeated training pictures, AuthPct, C_T.
    pub fn cells(&self) -> Vec<[String; 4]> {
        let sets = [
            ("generated", Some(&self.generated)),
            ("held-out", self.heldout.as_ref()),
            ("copycat", Some(&self.copycat)),
        ];
        let line = |(name, m): (&str, Option<&super::Measures>)| {
            let m = m?;
            let c_t = m.c_t.map_or("-".into(), |z| format!("{z:+.1}"));
            Some([name.to_string(), format!("{} of {}", m.copies, m.of), format!("{:.1} %", m.auth_pct), c_t])
        };
        sets.into_iter().filter_map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 0.98765, -0.04, 3.25, 31.4159, 812.34, 12345.6, 0.000_123, f64::NAN].map(number);
        assert_eq!(texts, ["0.000", "0.988", "-0.040", "3.250", "31.42", "812.3", "12346", "1.2e-4", "-"]);
    }
}
