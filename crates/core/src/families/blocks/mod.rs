//! Bricks that several families are built of.

pub mod labels;
pub mod residual;
pub mod stack;

use crate::nn::Init;

/// Weights of convolutions start as N(0, 0.02), γ of batch norm as N(1, 0.02) (Radford 2015, §3).
pub(crate) const WEIGHT_INIT: Init = Init::Normal(0.0, 0.02);
pub(crate) const GAMMA_INIT: Init = Init::Normal(1.0, 0.02);
