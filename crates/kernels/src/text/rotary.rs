//! Rotary position embedding (Su 2021, "RoFormer").

/// Base of the geometric series of frequencies (Su 2021, §3.3, after Vaswani 2017).
const BASE: f64 = 10_000.0;

/// The angles of rotary position embedding: at position t, the pair of numbers i and i + width/2 of a head is turned by
/// `t · 10000^(−2i / width)`.
///
/// Su pairs neighbours, 2i and 2i + 1; here, as in GPT-NeoX and LLaMA, the two halves of a head are paired, which is the same
/// network with the columns of its projections in another order, and turns whole vectors of numbers at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Rotary {
    /// Half the width of a head.
    half: usize,
    /// `[positions, half]`.
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rotary {
    /// The angles of `positions` positions for heads of `head_width` numbers.
    ///
    /// # Panics
    /// If the width is odd.
    pub fn new(positions: usize, head_width: usize) -> Self {
        assert!(head_width.is_multiple_of(2), "a head of {head_width} numbers has no pairs to turn");
        let half = head_width / 2;
        let frequencies: Vec<f64> = (0..half).map(|i| BASE.powf(-(i as f64) / half as f64)).collect();
        let angles = (0..positions).flat_map(|t| frequencies.iter().map(move |f| (t as f64 * f).sin_cos()));
        let (sin, cos) = angles.map(|(sin, cos)| (sin as f32, cos as f32)).unzip();
        Self { half, cos, sin }
    }

    /// Positions that it has angles for.
    pub fn positions(&self) -> usize {
        self.cos.len().checked_div(self.half).unwrap_or(0)
    }

    /// The width of a head.
    pub fn head_width(&self) -> usize {
        2 * self.half
    }

    /// Cosines and sines of all positions, each `[positions, head_width / 2]`.
    pub(super) fn tables(&self) -> (&[f32], &[f32]) {
        (&self.cos, &self.sin)
    }

    /// Turns one head at position `t` and scales it: `out = scale · R(t) · x`, both `[head_width]`.
    ///
    /// # Panics
    /// If there are no angles for the position, or the lengths do not fit.
    #[inline(always)]
    pub fn turn(&self, t: usize, scale: f32, x: &[f32], out: &mut [f32]) {
        self.turn_by(t, scale, 1.0, x, out);
    }

    /// Turns it the other way round, which is the adjoint: `out = scale · R(t)ᵀ · x`.
    #[inline(always)]
    pub(super) fn turn_back(&self, t: usize, scale: f32, x: &[f32], out: &mut [f32]) {
        self.turn_by(t, scale, -1.0, x, out);
    }

    #[inline(always)]
    fn turn_by(&self, t: usize, scale: f32, direction: f32, x: &[f32], out: &mut [f32]) {
        let at = t * self.half..(t + 1) * self.half;
        let ((a, b), (out_a, out_b)) = (x.split_at(self.half), out.split_at_mut(self.half));
        let angles = || self.cos[at.clone()].iter().zip(&self.sin[at.clone()]);
        // Two loops: one would have too many slices for the compiler to prove apart, and no vector instructions.
        for (((out_a, &a), &b), (&cos, &sin)) in out_a.iter_mut().zip(a).zip(b).zip(angles()) {
            *out_a = a * (scale * cos) - b * (scale * direction * sin);
        }
        for (((out_b, &a), &b), (&cos, &sin)) in out_b.iter_mut().zip(a).zip(b).zip(angles()) {
            *out_b = b * (scale * cos) + a * (scale * direction * sin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_depend_on_distances_alone() {
        let rotary = Rotary::new(40, 8);
        assert_eq!((rotary.positions(), rotary.head_width()), (40, 8));
        let (q, k) = ([0.3, -1.0, 0.5, 2.0, 1.5, -0.25, 0.75, 0.1], [1.0, 0.2, -0.4, 0.6, -2.0, 0.3, 0.9, 1.1]);
        let product = |t: usize, s: usize| {
            let (mut a, mut b) = ([0.0; 8], [0.0; 8]);
            rotary.turn(t, 1.0, &q, &mut a);
            rotary.turn(s, 1.0, &k, &mut b);
            a.iter().zip(&b).map(|(a, b)| a * b).sum::<f32>()
        };
        assert!((product(5, 2) - product(38, 35)).abs() < 1e-4);
        assert!((product(5, 2) - product(5, 3)).abs() > 0.1);
        let (mut there, mut back) = ([0.0; 8], [0.0; 8]);
        rotary.turn(17, 2.0, &q, &mut there);
        rotary.turn_back(17, 0.5, &there, &mut back);
        assert!(q.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-5), "{back:?}");
    }
}
