//! A trained model, and the abilities that consumers ask it for.

use super::settings::Tables;
use crate::Result;
use crate::data::Dataset;
use crate::nn::{self, Module};
use crate::weights::Weights;
use burn::tensor::{Device, Tensor, TensorData};
use std::any::Any;
use std::fmt::Debug;

/// What a batch of pictures is asked for with.
#[derive(Debug, Clone)]
pub enum Condition {
    /// Nothing.
    Nothing,
    /// Classes, one-hot `[batch, classes]`.
    Classes(Tensor<2>),
    /// A caption a picture.
    Captions(Vec<String>),
    /// A picture each, `[batch, height, width, channels]` in [-1, 1].
    Pictures(Tensor<4>),
}

impl Condition {
    /// The classes `labels` of `count` there are; nothing where there are none.
    pub fn of_classes(labels: &[usize], count: usize, device: &Device) -> Self {
        one_hot(labels, count, device).map_or(Self::Nothing, Self::Classes)
    }

    /// The same for a model through which gradients go.
    pub(crate) fn autodiff(self) -> Self {
        match self {
            Self::Classes(labels) => Self::Classes(labels.autodiff()),
            Self::Pictures(pictures) => Self::Pictures(pictures.autodiff()),
            Self::Nothing | Self::Captions(_) => self,
        }
    }

    /// The classes, one-hot, where it is classes.
    pub fn classes(&self) -> Option<Tensor<2>> {
        match self {
            Self::Classes(labels) => Some(labels.clone()),
            Self::Nothing | Self::Captions(_) | Self::Pictures(_) => None,
        }
    }
}

/// How pictures are made, besides their noise and what is asked for.
#[derive(Clone, Copy)]
pub struct How<'a> {
    /// Called between the steps of a model that makes pictures in several: a server lets others compute there.
    pub between: &'a dyn Fn(),
}

impl Default for How<'_> {
    fn default() -> Self {
        Self { between: &|| () }
    }
}

/// A trained model. Consumers ask it for abilities.
pub trait Model: Any + Debug + Send + Sync {
    /// Takes its values out of `weights`.
    ///
    /// # Errors
    /// A missing or misshapen tensor.
    fn load(&mut self, weights: &mut Weights, device: &Device) -> Result<()>;
    /// The values by name.
    fn weights(&self) -> Weights;
    /// Noise ε ~ N(0, 1) `[batch, noise]` → pictures `[batch, height, width, channels]` in [-1, 1], each independent of the others
    /// in its batch.
    fn make(&self, noise: Tensor<2>, condition: &Condition, how: How) -> Tensor<4>;
    /// Its latent space, if it has one.
    fn latent(&self) -> Option<&dyn Latent> {
        None
    }
    /// Its encoder, if it has one.
    fn code(&self) -> Option<&dyn Code> {
        None
    }
    /// Its styles, if it has such.
    fn styles(&self) -> Option<&dyn Styles> {
        None
    }
    /// Its likelihood, if it has one.
    fn likelihood(&self) -> Option<&dyn Likelihood> {
        None
    }
    /// A copy.
    fn boxed_clone(&self) -> Box<dyn Model>;
}

impl Clone for Box<dyn Model> {
    fn clone(&self) -> Self {
        self.boxed_clone()
    }
}

/// A space of vectors that are pictures, near ones alike.
pub trait Latent {
    /// Noise ε ~ N(0, 1) → points z of the space, both `[batch, noise]`.
    fn point(&self, noise: Tensor<2>) -> Tensor<2>;
    /// Points z `[batch, noise]` → pictures, as [`Model::make`] makes them.
    fn decode(&self, z: Tensor<2>, condition: &Condition) -> Tensor<4>;
    /// The first linear map `[n_in, n_out]` that a point goes through, where its directions say how pictures differ (SeFa, Shen &
    /// Zhou 2021): the first rows belong to z.
    fn first_map(&self) -> Option<Tensor<2>> {
        None
    }
    /// A copy through which gradients go to the points and nowhere else.
    fn constant(&self) -> Box<dyn Latent>;
}

/// From pictures to the latent space.
pub trait Code {
    /// Pictures → mean and log variance of their points, each `[batch, noise]`.
    fn encode(&self, x: Tensor<4>, condition: &Condition) -> (Tensor<2>, Tensor<2>);
}

/// Contents and styles that mix.
pub trait Styles {
    /// Pictures with the contents of some points and the style of others, each with what it is asked for.
    fn mix(&self, content: (Tensor<2>, &Condition), style: (Tensor<2>, &Condition)) -> Tensor<4>;
}

/// A density of pictures, bounded by importance sampling.
pub trait Likelihood {
    /// Measures the scale of the likelihood on `data`, where training has left it open, and is ready for bounds. `classes` is how
    /// many classes the model takes.
    ///
    /// # Errors
    /// Settings that are not of this family.
    fn density<'a>(&'a self, classes: usize, tables: &Tables, data: &'a Dataset) -> Result<Box<dyn Density + 'a>>;
}

/// A [`Likelihood`] that is ready to be asked.
pub trait Density {
    /// Its name in scores.
    fn name(&self) -> &'static str;
    /// ln of the importance weights p(x, z) / q(z|x) of these pictures of the data set, `k` each.
    fn log_weights(&self, pictures: &[usize], k: usize, seed: u64) -> Vec<Vec<f64>>;
}

/// A network that tells real pictures from generated ones.
pub trait Critic: Debug + Send {
    /// The opinion of each picture, `[batch]`: larger is more real.
    fn opinions(&self, x: Tensor<4>, condition: &Condition) -> Tensor<1>;
}

/// Labels as rows of 0 and 1, `[batch, classes]`; none for an unconditional model.
pub fn one_hot(labels: &[usize], classes: usize, device: &Device) -> Option<Tensor<2>> {
    if classes == 0 {
        return None;
    }
    let mut values = vec![0.0f32; labels.len() * classes];
    for (row, &label) in values.chunks_exact_mut(classes).zip(labels) {
        row[label] = 1.0;
    }
    Some(Tensor::from_data(TensorData::new(values, [labels.len(), classes]), device))
}

/// The values of a network by name.
pub(crate) fn weights_of(module: &impl Module) -> Weights {
    let mut weights = Weights::new();
    nn::store(module, &mut weights, "");
    weights
}
