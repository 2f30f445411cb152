//! The activations that kernels apply while the data is at hand.

/// A pointwise non-linearity whose derivative follows from its output, so that only the output is kept for backward.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Activation {
    /// y = x
    #[default]
    Identity,
    /// y = max(x, 0)
    Relu,
    /// y = min(max(x, 0), 6)
    Relu6,
    /// y = x for x > 0, slope · x otherwise; the slope is positive.
    LeakyRelu(f32),
    /// y = tanh x
    Tanh,
    /// y = 1 / (1 + e⁻ˣ)
    Sigmoid,
}

impl Activation {
    /// y = f(x).
    #[inline(always)]
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            // Not `x.max(0.0)`, which turns what is not a number into 0 and so hides a broken weight from every loss.
            Self::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Self::Relu6 => x.clamp(0.0, 6.0), // keeps what is not a number
            Self::LeakyRelu(slope) => {
                if x > 0.0 {
                    x
                } else {
                    slope * x
                }
            }
            Self::Tanh => {
                let e = exp_minus_one(2.0 * x.clamp(-20.0, 20.0));
                e / (e + 2.0)
            }
            Self::Sigmoid => 1.0 / (2.0 + exp_minus_one(-x)),
        }
    }

    /// f′(x).
    #[inline(always)]
    pub(crate) fn slope_at(self, x: f32) -> f32 {
        self.derivative(self.apply(x))
    }

    /// f′ at the point where f is `y`.
    #[inline(always)]
    pub fn derivative(self, y: f32) -> f32 {
        match self {
            Self::Identity => 1.0,
            Self::Relu => (y > 0.0) as u8 as f32,
            Self::Relu6 => (y > 0.0 && y < 6.0) as u8 as f32,
            Self::LeakyRelu(slope) => {
                if y > 0.0 {
                    1.0
                } else {
                    slope
                }
            }
            Self::Tanh => 1.0 - y * y,
            Self::Sigmoid => y * (1.0 - y),
        }
    }
}

/// `eˣ − 1`, without a branch or a call, so that loops over it become vector instructions.
#[inline(always)]
fn exp_minus_one(x: f32) -> f32 {
    let (power, rest) = exp_parts(x);
    power * rest + (power - 1.0)
}

/// `eˣ`, likewise. At most 1.6e-38 where it should be less.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let (power, rest) = exp_parts(x);
    power * rest + power
}

/// (2ⁿ, eʳ − 1) with x = n ln 2 + r, |r| ≤ ½ ln 2, and eʳ − 1 by the first seven terms of its series (the eighth is below
/// 6e-9). Beyond ±87 it stays what it is there.
#[inline(always)]
fn exp_parts(x: f32) -> (f32, f32) {
    /// Adding 1.5 · 2²³ leaves the nearest whole number in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts: the first has few enough bits for n · LN_2_HIGH to be exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = (std::f64::consts::LN_2 - LN_2_HIGH as f64) as f32;
    let x = x.clamp(-87.0, 87.0); // keeps what is not a number
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let mut series = 1.0 / 5040.0;
    for term in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0] {
        series = series * r + term;
    }
    (f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits())), series * r)
}

/// Runs `$body` with `$f` bound to a closure per activation, so that the choice is made once and not once an element.
macro_rules! with_activation {
    ($activation:expr, $method:ident, |$f:ident| $body:expr) => {
        match $activation {
            $crate::Activation::Identity => {
                let $f = |v: f32| $crate::Activation::Identity.$method(v);
                $body
            }
            $crate::Activation::Relu => {
                let $f = |v: f32| $crate::Activation::Relu.$method(v);
                $body
            }
            $crate::Activation::Relu6 => {
                let $f = |v: f32| $crate::Activation::Relu6.$method(v);
                $body
            }
            $crate::Activation::LeakyRelu(slope) => {
                let $f = move |v: f32| $crate::Activation::LeakyRelu(slope).$method(v);
                $body
            }
            $crate::Activation::Tanh => {
                let $f = |v: f32| $crate::Activation::Tanh.$method(v);
                $body
            }
            $crate::Activation::Sigmoid => {
                let $f = |v: f32| $crate::Activation::Sigmoid.$method(v);
                $body
            }
        }
    };
}
pub(crate) use with_activation;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tanh_and_sigmoid_are_those_of_the_standard_library() {
        for i in -40_000..=40_000 {
            let x = i as f32 / 1000.0;
            for x in [x, x * 1e-4, x * 10.0] {
                let (tanh, sigmoid) = (f64::from(x).tanh(), 1.0 / (1.0 + (-f64::from(x)).exp()));
                let near = |a: f32, b: f64| (f64::from(a) - b).abs() <= 4e-7 * b.abs() + 1e-37;
                assert!(x.abs() > 87.0 || near(exp(x), f64::from(x).exp()), "exp {x}: {}", exp(x));
                assert!(near(Activation::Tanh.apply(x), tanh), "tanh {x}: {} {tanh}", Activation::Tanh.apply(x));
                let y = Activation::Sigmoid.apply(x);
                assert!(x < -87.0 || near(y, sigmoid), "sigmoid {x}: {y} {sigmoid}");
            }
        }
        let limits = [f32::INFINITY, f32::NEG_INFINITY].map(|x| Activation::Tanh.apply(x));
        assert_eq!(limits, [1.0, -1.0]);
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        use Activation::{Identity, LeakyRelu, Relu, Relu6, Sigmoid, Tanh};
        for activation in [Identity, Relu, Relu6, LeakyRelu(0.2), Tanh, Sigmoid] {
            assert!(activation.apply(f32::NAN).is_nan(), "{activation:?}");
        }
        assert_eq!([Relu.apply(-2.0), Relu.apply(0.0), Relu.apply(3.0)], [0.0, 0.0, 3.0]);
        assert_eq!([-2.0, 0.0, 3.0, 6.0, 7.0].map(|x| Relu6.apply(x)), [0.0, 0.0, 3.0, 6.0, 6.0]);
        assert_eq!([0.0, 3.0, 6.0].map(|y| Relu6.derivative(y)), [0.0, 1.0, 0.0]);
    }
}
