//! The activations that kernels apply while the data is at hand.

/// A pointwise non-linearity whose derivative follows from its output, so that only the output is kept for backward.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Activation {
    /// y = x
    #[default]
    Identity,
    /// y = max(x, 0)
    Relu,
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
            Self::LeakyRelu(slope) => {
                if x > 0.0 {
                    x
                } else {
                    slope * x
                }
            }
            Self::Tanh => x.tanh(),
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        }
    }

    /// f′ at the point where f is `y`.
    #[inline(always)]
    pub fn derivative(self, y: f32) -> f32 {
        match self {
            Self::Identity => 1.0,
            Self::Relu => (y > 0.0) as u8 as f32,
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
    fn what_is_not_a_number_stays_so() {
        use Activation::{Identity, LeakyRelu, Relu, Sigmoid, Tanh};
        for activation in [Identity, Relu, LeakyRelu(0.2), Tanh, Sigmoid] {
            assert!(activation.apply(f32::NAN).is_nan(), "{activation:?}");
        }
        assert_eq!([Relu.apply(-2.0), Relu.apply(0.0), Relu.apply(3.0)], [0.0, 0.0, 3.0]);
    }
}
